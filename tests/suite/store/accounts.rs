//! Accounts: who belongs to one, who left it, and what an opt-out of it does to them; and the purposes of opt-outs.

use super::*;
use dialgate::domain::account::{Account, AccountKey};
use dialgate::store::PartyDraft;

contract! {
    people_belong_to_accounts,
    an_opt_out_of_an_account_covers_who_belongs_to_it_and_who_left_it_since,
    p03_the_owner_finds_calls_to_people_of_an_account,
    p03_an_opt_out_comes_after_a_consent_in_doubt_of_who_joins_the_account,
    a_purpose_means_the_same_in_facts_cancels_and_repetitions,
}

fn named(name: &str) -> Account {
    Account::parse(name).unwrap()
}

fn key(store: &TestStore, name: &str) -> AccountKey {
    store.store.account_hasher().key(&tenant(), &named(name))
}

fn of_account(store: &TestStore, name: &str) -> Suppression {
    suppression(SuppressionSubject::Account(key(store, name)))
}

/// The person of this number, as one of this account.
fn member(party: PartyId, number: u32, account: Option<&str>) -> PartyDraft {
    let mut draft = draft(party, &[phone(number)]);
    draft.profile.account = account.map(named);
    draft
}

async fn tell(store: &TestStore, draft: &PartyDraft, at: Micros) {
    let mut tx = store.write().await;
    let told = tx.upsert_party(&tenant(), draft, at).await.unwrap();
    assert_eq!(told.profile, draft.profile);
    tx.commit().await.unwrap();
}

async fn people_belong_to_accounts(store: TestStore) {
    let (anna, ben) = (PartyId::new(NOON), PartyId::new(NOON));
    tell(&store, &member(anna, 1, Some("ACME")), NOON).await;
    tell(&store, &member(ben, 2, Some("ACME")), NOON).await;
    let acme = of_account(&store, "ACME");
    let count = async |suppression: &Suppression| {
        let mut tx = store.read().await;
        let count = tx.people_covered(&tenant(), suppression).await;
        count.unwrap()
    };
    assert_eq!(count(&acme).await, 2);
    assert_eq!(
        count(&of_account(&store, "ACME 2")).await,
        0,
        "another name"
    );
    // A person and a number are counted too.
    assert_eq!(
        count(&suppression(SuppressionSubject::Party(anna))).await,
        1
    );
    let unknown = SuppressionSubject::Party(PartyId::new(NOON));
    assert_eq!(count(&suppression(unknown)).await, 0);
    let number = SuppressionSubject::Number(store.key(phone(2)));
    assert_eq!(count(&suppression(number)).await, 1);

    let account_of = async |party| {
        let found = store.read().await.party(&tenant(), party).await;
        let account = found.unwrap().unwrap().profile.account;
        account.map(|account| account.reveal().to_owned())
    };
    assert_eq!(account_of(anna).await.as_deref(), Some("ACME"));
    // The latest one told counts, the same told again changes nothing, and one may be left for none.
    tell(&store, &member(anna, 1, Some("Umbrella")), after(60)).await;
    tell(&store, &member(anna, 1, Some("Umbrella")), after(61)).await;
    assert_eq!(account_of(anna).await.as_deref(), Some("Umbrella"));
    tell(&store, &member(anna, 1, None), after(62)).await;
    assert_eq!(account_of(anna).await, None);
    tell(&store, &member(anna, 1, Some("ACME")), after(63)).await;
    assert_eq!(account_of(anna).await.as_deref(), Some("ACME"));
    // Each came after the opt-out of noon, or within what clocks are apart.
    assert_eq!(count(&of_account(&store, "Umbrella")).await, 1);
    let mut by_list = of_account(&store, "Umbrella");
    by_list.reason = SuppressionReason::Internal;
    assert_eq!(
        count(&by_list).await,
        0,
        "what is no person's wish follows nobody out"
    );
}

async fn an_opt_out_of_an_account_covers_who_belongs_to_it_and_who_left_it_since(store: TestStore) {
    let people: Vec<PartyId> = (0..5).map(|_| PartyId::new(NOON)).collect();
    let minute = 60;
    // 1 belongs to it, 2 left long before, 3 shortly before, 4 after, 5 joins later.
    for (number, party) in (1..).zip(&people[..4]) {
        let of_acme = member(*party, number, Some("ACME"));
        tell(&store, &of_acme, after(-3600)).await;
    }
    tell(&store, &member(people[1], 2, None), after(-11 * minute)).await;
    tell(
        &store,
        &member(people[2], 3, Some("Umbrella")),
        after(-9 * minute),
    )
    .await;
    tell(&store, &member(people[4], 5, None), after(-3600)).await;
    let wish = of_account(&store, "ACME");
    let mut by_list = of_account(&store, "ACME");
    // It binds from earlier, so the wish is the one that another wish repeats.
    (by_list.reason, by_list.received_at) = (SuppressionReason::Internal, after(-1));
    let mut elsewhere = of_account(&store, "Initech");
    elsewhere.seller = Some("acme".to_owned());
    let mut tx = store.write().await;
    for new in [&wish, &by_list, &elsewhere] {
        tx.insert_suppression(&tenant(), new).await.unwrap();
    }
    tx.commit().await.unwrap();
    tell(&store, &member(people[3], 4, None), after(minute)).await;
    tell(
        &store,
        &member(people[4], 5, Some("ACME")),
        after(60 * minute),
    )
    .await;

    let mut tx = store.write().await;
    let keys: Vec<NumberKey> = (1..=5).map(|number| store.key(phone(number))).collect();
    let found = tx
        .covering(&tenant(), &keys, Some("acme"), after(100))
        .await;
    let mut found: Vec<(NumberKey, SuppressionId)> = (found.unwrap().into_iter())
        .map(|(key, found)| (key, found.suppression_id))
        .collect();
    let (own, list) = (wish.suppression_id, by_list.suppression_id);
    let mut covered: Vec<(NumberKey, SuppressionId)> =
        [(1, own), (1, list), (3, own), (4, own), (5, own), (5, list)]
            .map(|(number, id)| (store.key(phone(number)), id))
            .to_vec();
    found.sort_unstable();
    covered.sort_unstable();
    assert_eq!(found, covered);
    let asked: Vec<FactsWanted> = (1..=5)
        .map(|number: u32| wanted(&store, number, people[number as usize - 1]))
        .collect();
    let facts = tx.load_facts(&tenant(), &asked).await.unwrap();
    let blocked: Vec<usize> = facts.iter().map(|facts| facts.opt_outs.len()).collect();
    assert_eq!(blocked, [2, 0, 1, 1, 2]);

    // It is found, listed and repeated by its account, and ends by a lift.
    let t = tenant();
    assert!(
        tx.account_opted_out(&t, &key(&store, "ACME"), NOON)
            .await
            .unwrap()
    );
    assert!(
        !tx.account_opted_out(&t, &key(&store, "Umbrella"), NOON)
            .await
            .unwrap()
    );
    assert_eq!(
        tx.same_suppression(&t, &of_account(&store, "ACME"), wish.received_at)
            .await
            .unwrap(),
        Some(wish.clone())
    );
    let filter = format!("account_key = \"{}\"", key(&store, "Initech").hex());
    let page = tx.list_suppressions(&t, &list_of(&filter)).await.unwrap();
    assert_eq!(page.rows, [elsewhere]);
    let mut standing = wish;
    super::suppressions::lift(&mut tx, &mut standing, after(200)).await;
    let facts = tx.load_facts(&t, &asked).await.unwrap();
    let blocked: Vec<usize> = facts.iter().map(|facts| facts.opt_outs.len()).collect();
    assert_eq!(blocked, [1, 0, 0, 0, 1]);
}

fn list_of(filter: &str) -> ListQuery {
    list(filter, SUPPRESSION_FIELDS)
}

/// Also of who has left, or joined while their call was ringing; not of a call that is for another purpose, or that began
/// knowing of the opt-out.
async fn p03_the_owner_finds_calls_to_people_of_an_account(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let mut made = BTreeMap::new();
    for number in 1..=5 {
        made.insert(number, store.claimed(phone(number), owner).await);
    }
    let belongs = async |number: u32, account, at| {
        let party = made[&number].0.party_id;
        tell(&store, &member(party, number, account), at).await;
    };
    for number in 1..=3 {
        belongs(number, Some("ACME"), after(-3600)).await;
    }
    belongs(2, None, after(-60)).await;
    belongs(3, None, after(-1800)).await;
    belongs(4, Some("Umbrella"), after(-60)).await;
    let found = async || {
        let found = store
            .read()
            .await
            .cancels_for(owner, after(1))
            .await
            .unwrap();
        let number = |id| made.iter().find(|(_, made)| made.1.attempt_id == id);
        let numbers = found.iter().map(|(id, _, cause)| {
            assert_eq!(*cause, CancelCause::OptOut);
            *number(*id).unwrap().0
        });
        numbers.collect::<BTreeSet<u32>>()
    };
    assert!(found().await.is_empty());
    let mut elsewhere = of_account(&store, "ACME");
    elsewhere.seller = Some("other".to_owned());
    let mut for_service = of_account(&store, "ACME");
    for_service.reason = SuppressionReason::Internal;
    for_service.purposes = vec![Purpose::Service];
    let add = async |new: &Suppression| {
        let mut tx = store.write().await;
        tx.insert_suppression(&tenant(), new).await.unwrap();
        tx.commit().await.unwrap();
    };
    add(&elsewhere).await;
    add(&for_service).await;
    assert!(found().await.is_empty(), "neither is about these calls");
    add(&of_account(&store, "ACME")).await;
    assert_eq!(found().await, [1, 2].into());
    belongs(5, Some("ACME"), after(1)).await;
    assert_eq!(found().await, [1, 2, 5].into());

    // A claim that saw it, and was allowed in spite of it, goes on.
    let call = store.queued(phone(6)).await.call;
    tell(&store, &member(call.party_id, 6, Some("ACME")), NOON).await;
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "spring", 1, NOON).await.unwrap();
    let asked = wanted(&store, 6, call.party_id);
    let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
    assert_eq!(facts[0].opt_outs.len(), 1);
    let seeing = attempt(&leased[0].call, owner);
    let fence = [(call.call_id, leased[0].lease_epoch, seeing.attempt_id)];
    tx.fence_claims(&fence).await.unwrap();
    tx.insert_attempts(&tenant(), &[seeing]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found().await, [1, 2, 5].into());
}

/// As for who is given a number that opted out: in doubt the opt-out comes later than the consent.
async fn p03_an_opt_out_comes_after_a_consent_in_doubt_of_who_joins_the_account(store: TestStore) {
    let (anna, ben) = (PartyId::new(NOON), PartyId::new(NOON));
    tell(&store, &member(anna, 1, Some("ACME")), NOON).await;
    tell(&store, &member(ben, 2, None), NOON).await;
    let mut tx = store.write().await;
    for (party, number) in [(anna, 1), (ben, 2)] {
        // By a clock that was ahead.
        let mut given = consent(party, phone(number));
        (given.at, given.recorded_at) = (after(120), after(120));
        tx.insert_consent(&tenant(), &given).await.unwrap();
    }
    let wish = of_account(&store, "ACME");
    let last = tx
        .last_consent_given(&tenant(), wish.subject, NOON, NOON)
        .await;
    assert_eq!(last.unwrap(), Some(after(120)));
    tx.insert_suppression(&tenant(), &wish).await.unwrap();
    tx.commit().await.unwrap();
    let binds_from = async |number, party| {
        let asked = wanted(&store, number, party);
        let facts = store.write().await.load_facts(&tenant(), &[asked]).await;
        facts.unwrap()[0].opt_outs.first().map(|each| each.at)
    };
    assert_eq!(
        binds_from(1, anna).await,
        Some(NOON),
        "as it was recorded here"
    );
    // Who belongs to it already is told of once more: that takes back nothing.
    tell(&store, &member(anna, 1, Some("ACME")), after(299)).await;
    assert_eq!(binds_from(1, anna).await, Some(NOON));
    tell(&store, &member(ben, 2, Some("ACME")), after(300)).await;
    assert_eq!(binds_from(2, ben).await, Some(after(120)));
    let mut tx = store.write().await;
    tx.raise_for_new_holders(&tenant(), &wish).await.unwrap();
    tx.bind_holders(&tenant(), &wish, NOON).await.unwrap();
    let stated = tx
        .opted_out_about(&tenant(), SuppressionSubject::Party(ben), after(60))
        .await;
    assert!(
        stated.unwrap(),
        "a consent of a stated time a minute later is in doubt"
    );
    tx.commit().await.unwrap();
    assert_eq!(binds_from(1, anna).await, Some(after(120)));
}

async fn a_purpose_means_the_same_in_facts_cancels_and_repetitions(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let mut number = 0;
    for reason in SuppressionReason::ALL {
        for named in [&[Purpose::Sales][..], &[Purpose::Service], &[]] {
            number += 1;
            let (call, made) = store.claimed(phone(number), owner).await;
            let mut told = suppression(SuppressionSubject::Number(call.number_key));
            (told.reason, told.purposes) = (*reason, named.to_vec());
            let mut tx = store.write().await;
            tx.insert_suppression(&tenant(), &told).await.unwrap();
            let stored = tx
                .suppression(&tenant(), told.suppression_id)
                .await
                .unwrap();
            assert_eq!(
                stored.unwrap().purposes,
                told.purposes(),
                "{reason} {named:?}"
            );
            for purpose in Purpose::ALL {
                let asked = FactsWanted {
                    purpose: *purpose,
                    ..wanted(&store, number, call.party_id)
                };
                let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
                let (t, covered) = (tenant(), told.covers_purpose(*purpose));
                assert_eq!(!facts[0].opt_outs.is_empty(), covered, "{reason} {purpose}");
                let mut wish = told.clone();
                wish.purposes = vec![*purpose];
                let same = tx.same_suppression(&t, &wish, wish.received_at);
                let same = same.await.unwrap();
                assert_eq!(same.is_some(), covered, "{reason} {purpose}");
            }
            // The call under way is for sales.
            let covered = told.covers_purpose(Purpose::Sales);
            let cancels = tx.cancels_for(owner, NOON).await.unwrap();
            let cancelled = cancels.iter().any(|(id, _, _)| *id == made.attempt_id);
            assert_eq!(cancelled, covered, "{reason} {named:?}");
            let asked = tx
                .request_cancel(&tenant(), &call.number_key, &[], &told)
                .await;
            assert_eq!(asked.unwrap(), u64::from(covered), "{reason} {named:?}");
            tx.commit().await.unwrap();
        }
    }
}
