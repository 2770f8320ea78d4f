//! Opt-outs told of one number of a person, and their other numbers.

use dialgate::domain::call::CallKind;
use dialgate::domain::ids::{ConsentEventId, Incarnation, PartyId};
use dialgate::domain::suppression::{Suppression, SuppressionReason, SuppressionSubject};

use super::suppressions::lift;
use super::{NOON, TestStore, after, consent, draft, phone, suppression, tenant, wanted};

contract![
    an_opt_out_follows_who_holds_its_number,
    an_opt_out_is_raised_for_who_holds_its_number_later,
    a_wish_outlives_the_link_of_its_number,
    calls_to_other_numbers_of_the_person_are_found,
];

/// Anna holds 1 and 2, Bert holds 1 and 3, Carl held 1 until ten seconds past noon and holds 4.
async fn people(store: &TestStore) -> [PartyId; 3] {
    let people = [0, 1, 2].map(|_| PartyId::new(NOON));
    let mut tx = store.write().await;
    for (id, numbers) in people.iter().zip([[1, 2], [1, 3], [1, 4]]) {
        let draft = draft(*id, &numbers.map(phone));
        tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
    }
    let without = draft(people[2], &[phone(4)]);
    tx.upsert_party(&tenant(), &without, after(10))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    people
}

fn of_number(store: &TestStore, number: u32, change: impl Fn(&mut Suppression)) -> Suppression {
    let mut new = suppression(SuppressionSubject::Number(store.key(phone(number))));
    change(&mut new);
    new
}

async fn an_opt_out_follows_who_holds_its_number(store: TestStore) {
    let [anna, bert, carl] = people(&store).await;
    let stranger = PartyId::new(NOON);
    let wish = of_number(&store, 1, |_| {});
    let later = of_number(&store, 1, |new| {
        (new.received_at, new.recorded_at) = (after(10), after(10));
    });
    let of_party = suppression(SuppressionSubject::Party(anna));
    let mut tx = store.write().await;
    let asked = [
        wanted(&store, 2, anna),
        wanted(&store, 3, bert),
        wanted(&store, 4, carl),
        wanted(&store, 2, stranger),
    ];
    for reason in [
        SuppressionReason::Registry,
        SuppressionReason::Internal,
        SuppressionReason::Litigator,
    ] {
        let named = of_number(&store, 1, |new| new.reason = reason);
        tx.insert_suppression(&tenant(), &named).await.unwrap();
        assert!(
            tx.followed(&tenant(), &named, 9).await.unwrap().is_empty(),
            "the number was named, not the person"
        );
    }
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    assert!(found.iter().all(|facts| facts.opt_outs.is_empty()));
    for each in [&wish, &later] {
        tx.insert_suppression(&tenant(), each).await.unwrap();
    }
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    let found: Vec<_> = found.iter().map(|facts| facts.opt_outs.len()).collect();
    assert_eq!(found, [2, 2, 1, 0], "Carl had given it up by the later one");
    for (suppression, limit, followed) in [
        (&wish, 9, vec![anna, bert, carl]),
        (&later, 9, vec![anna, bert]),
        (&wish, 0, vec![]),
        (&of_party, 9, vec![]),
    ] {
        let mut followed = followed;
        followed.sort();
        let found = tx.followed(&tenant(), suppression, limit).await.unwrap();
        assert_eq!(found, followed);
    }
    let keys = [2, 4, 5].map(|number| store.key(phone(number)));
    let covered = tx.covering(&tenant(), &keys, None, NOON).await.unwrap();
    let told = |key, each: &Suppression| (key, each.suppression_id);
    let mut expected = [
        told(keys[0], &wish),
        told(keys[0], &later),
        told(keys[1], &wish),
    ];
    let mut found: Vec<_> = covered.iter().map(|(key, each)| told(*key, each)).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    for mut each in [wish, later] {
        lift(&mut tx, &mut each, after(50)).await;
    }
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    assert!(found.iter().all(|facts| facts.opt_outs.is_empty()));
    assert!(
        tx.covering(&tenant(), &keys, None, NOON)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn calls_to_other_numbers_of_the_person_are_found(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, attempt) = store.claimed(phone(2), owner).await;
    let (_, other) = store.claimed(phone(3), owner).await;
    let key = store.key(phone(1));
    let mut tx = store.write().await;
    let both = draft(call.party_id, &[phone(1), phone(2)]);
    tx.upsert_party(&tenant(), &both, NOON).await.unwrap();
    for (people, open) in [
        (vec![], vec![]),
        (vec![call.party_id], vec![attempt.attempt_id]),
    ] {
        let found = tx.open_permits(&tenant(), &key, &people).await.unwrap();
        assert_eq!(found, open);
    }
    for (reason, seller, channels, found) in [
        (SuppressionReason::Litigator, None, vec![], 0),
        (SuppressionReason::PartyRequest, Some("other"), vec![], 0),
        (
            SuppressionReason::PartyRequest,
            None,
            vec![CallKind::Prerecorded],
            1,
        ),
        (
            SuppressionReason::PartyRequest,
            Some("acme"),
            vec![CallKind::LiveManual],
            1,
        ),
    ] {
        let new = of_number(&store, 1, |new| {
            (new.reason, new.channels) = (reason, channels.clone());
            new.seller = seller.map(str::to_owned);
        });
        tx.insert_suppression(&tenant(), &new).await.unwrap();
        let cancels = tx.cancels_for(owner, NOON).await.unwrap();
        assert_eq!(cancels.len(), found, "{reason:?}");
        assert!(cancels.iter().all(|(id, _, _)| *id == attempt.attempt_id));
    }
    for (people, seller, channels, asked) in [
        (vec![], None, vec![], 0),
        (vec![call.party_id], Some("other"), vec![], 0),
        (vec![call.party_id], None, vec![CallKind::Prerecorded], 0),
        (
            vec![call.party_id],
            Some("acme"),
            vec![CallKind::LiveManual],
            1,
        ),
        (vec![call.party_id], None, vec![], 0),
        (vec![other.party_id], None, vec![], 1),
    ] {
        let t = tenant();
        let mut wish = suppression(SuppressionSubject::Number(key));
        (wish.reason, wish.channels) = (SuppressionReason::Litigator, channels.clone());
        wish.seller = seller.map(str::to_owned);
        let found = tx.request_cancel(&t, &key, &people, &wish);
        assert_eq!(
            found.await.unwrap(),
            asked,
            "{people:?} {seller:?} {channels:?}"
        );
    }
    tx.commit().await.unwrap();
}

/// The end of a link and the time of an opt-out are of two clocks; what came first is told by who saw whom.
async fn a_wish_outlives_the_link_of_its_number(store: TestStore) {
    let [anna, _, carl] = people(&store).await;
    let owner = Incarnation::new(NOON);
    let wish = of_number(&store, 1, |new| {
        (new.received_at, new.recorded_at) = (after(60), after(60));
    });
    let register = of_number(&store, 1, |new| new.reason = SuppressionReason::Registry);
    let of_party = suppression(SuppressionSubject::Party(anna));
    let mut tx = store.write().await;
    for each in [&wish, &register, &of_party] {
        tx.insert_suppression(&tenant(), each).await.unwrap();
    }
    // Anna's link is ended by a clock that is behind: not before what is on record.
    let behind = after(-240);
    tx.upsert_party(&tenant(), &draft(anna, &[phone(2)]), behind)
        .await
        .unwrap();
    let followed = tx.followed(&tenant(), &wish, 9).await.unwrap();
    assert!(followed.contains(&anna) && !followed.contains(&carl));
    // Carl had given the number up by the clocks, and is held to have spoken all the same.
    for each in [&wish, &register, &of_party, &wish] {
        tx.bind_holders(&tenant(), each, after(9)).await.unwrap();
    }
    let followed = tx.followed(&tenant(), &wish, 9).await.unwrap();
    assert!(followed.contains(&anna) && followed.contains(&carl));
    let asked = [wanted(&store, 2, anna), wanted(&store, 4, carl)];
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    let found: Vec<_> = found.iter().map(|facts| facts.opt_outs.len()).collect();
    assert_eq!(found, [2, 1]);
    let keys = [store.key(phone(4))];
    let covered = tx.covering(&tenant(), &keys, None, NOON).await.unwrap();
    assert_eq!(covered.len(), 1);
    tx.commit().await.unwrap();
    let (call, attempt) = store.claimed(phone(7), owner).await;
    let mut tx = store.write().await;
    for (numbers, at) in [
        (&[phone(7), phone(1)][..], after(1)),
        (&[phone(7)], after(2)),
    ] {
        let draft = draft(call.party_id, numbers);
        tx.upsert_party(&tenant(), &draft, at).await.unwrap();
    }
    let found = tx.cancels_for(owner, after(70)).await.unwrap();
    assert_eq!(
        found.len(),
        1,
        "theirs after the wish, and ended by an older clock"
    );
    assert_eq!(found[0].0, attempt.attempt_id);
}

/// Anna has consented at noon, and then is found to hold 5 as well.
async fn an_opt_out_is_raised_for_who_holds_its_number_later(store: TestStore) {
    let [anna, bert] = [0, 1].map(|_| PartyId::new(NOON));
    let mut tx = store.write().await;
    let mut given = consent(anna, phone(2));
    (given.at, given.recorded_at) = (NOON, NOON);
    for (id, number) in [(anna, 2), (bert, 5)] {
        let draft = draft(id, &[phone(number)]);
        tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
    }
    tx.insert_consent(&tenant(), &given).await.unwrap();
    let said_at = |at| {
        of_number(&store, 5, |new| {
            (new.received_at, new.recorded_at) = (at, at);
        })
    };
    let (old, behind, later) = (
        said_at(after(-601)),
        said_at(after(-300)),
        said_at(after(1)),
    );
    for each in [&old, &behind] {
        tx.insert_suppression(&tenant(), each).await.unwrap();
    }
    let both = draft(anna, &[phone(2), phone(5)]);
    tx.upsert_party(&tenant(), &both, after(60)).await.unwrap();
    let meanwhile = said_at(after(-200));
    for each in [&later, &meanwhile] {
        tx.insert_suppression(&tenant(), each).await.unwrap();
        tx.raise_for_new_holders(&tenant(), each).await.unwrap();
        // Once they are bound it is settled.
        tx.bind_holders(&tenant(), each, after(0)).await.unwrap();
    }
    given.consent_event_id = ConsentEventId::new(NOON);
    (given.at, given.recorded_at) = (after(30), after(30));
    tx.insert_consent(&tenant(), &given).await.unwrap();
    tx.raise_for_new_holders(&tenant(), &meanwhile)
        .await
        .unwrap();
    tx.upsert_party(&tenant(), &both, after(60)).await.unwrap();
    let asked = [wanted(&store, 2, anna), wanted(&store, 5, bert)];
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    let times = found.iter().map(|facts| {
        let mut times: Vec<_> = facts.opt_outs.iter().map(|each| each.at).collect();
        times.sort_unstable();
        times
    });
    let as_told = [&old, &behind, &meanwhile, &later].map(|each| each.received_at);
    assert_eq!(
        times.collect::<Vec<_>>(),
        [[old.received_at, NOON, NOON, later.received_at], as_told]
    );
}
