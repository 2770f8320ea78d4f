//! Opt-outs, their lifts, and that a claim cannot miss one.

use dialgate::domain::account::AccountKey;

use super::*;

contract![
    suppressions_are_kept_and_lifted,
    lifted_ones_are_found_by_what_they_are_about,
    they_are_found_by_what_they_cover,
    a_wish_of_the_person_covers_every_kind_of_call,
    a_claim_that_waited_sees_the_opt_out,
    an_opt_out_goes_first,
];

async fn lifted_ones_are_found_by_what_they_are_about(store: TestStore) {
    let party = SuppressionSubject::Party(store.party(phone(1)).await);
    let [one, other] = [2, 3].map(|n| SuppressionSubject::Number(store.key(phone(n))));
    let account = SuppressionSubject::Account(AccountKey([7; 32]));
    let t = tenant();
    let mut tx = store.write().await;
    let mut lifted = Vec::new();
    for subject in [one, other, party, account] {
        let mut each = suppression(subject);
        tx.insert_suppression(&t, &each).await.unwrap();
        lift(&mut tx, &mut each, after(1)).await;
        tx.insert_suppression(&t, &suppression(subject))
            .await
            .unwrap();
        lifted.push(each);
    }
    for each in &lifted {
        let found = tx.lifted_suppressions(&t, &[each.subject]).await.unwrap();
        assert_eq!(found, std::slice::from_ref(each), "and not what stands");
    }
    let mut found = tx
        .lifted_suppressions(&t, &[account, one, party])
        .await
        .unwrap();
    found.sort_by_key(|each| lifted.iter().position(|one| one == each));
    assert_eq!(
        found,
        [lifted[0].clone(), lifted[2].clone(), lifted[3].clone()]
    );
    assert!(tx.lifted_suppressions(&t, &[]).await.unwrap().is_empty());
}

async fn they_are_found_by_what_they_cover(store: TestStore) {
    let t = tenant();
    let mut tx = store.write().await;
    let mut add = async |n: u32, channels: &[CallKind], purposes: &[Purpose]| {
        let mut each = suppression(SuppressionSubject::Number(store.key(phone(n))));
        // What is about the number alone keeps to what it names.
        each.reason = SuppressionReason::Internal;
        (each.channels, each.purposes) = (channels.to_vec(), purposes.to_vec());
        tx.insert_suppression(&t, &each).await.unwrap();
        each.suppression_id
    };
    let all = add(1, &[], &[]).await;
    let offers = add(2, &[CallKind::LiveManual], &[Purpose::Sales]).await;
    let most = add(
        3,
        &[CallKind::Autodialed, CallKind::Prerecorded],
        &[Purpose::Sales, Purpose::Service],
    )
    .await;
    for (filter, mut wanted) in [
        ("purposes = sales", vec![all, offers, most]),
        ("purposes = service", vec![all, most]),
        ("purposes != service", vec![offers]),
        ("NOT purposes = sales", vec![]),
        ("channels = live_manual", vec![all, offers]),
        (
            "channels = prerecorded AND purposes = informational",
            vec![all],
        ),
    ] {
        let page = tx
            .list_suppressions(&t, &list(filter, SUPPRESSION_FIELDS))
            .await;
        let mut found: Vec<_> = (page.unwrap().rows.iter())
            .map(|each| each.suppression_id)
            .collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{filter}");
    }
    let unknown = Filter::parse("purposes = fun", SUPPRESSION_FIELDS).unwrap_err();
    assert!(unknown.message.contains("informational"), "{unknown}");
}

async fn suppressions_are_kept_and_lifted(store: TestStore) {
    let party = store.party(phone(1)).await;
    let key = store.key(phone(1));
    let mut of_number = suppression(SuppressionSubject::Number(key));
    of_number.seller = Some("acme".to_owned());
    of_number.channels = vec![CallKind::Autodialed, CallKind::Prerecorded];
    // What is about the number alone keeps to the kinds that it names.
    of_number.reason = SuppressionReason::Litigator;
    let mut of_party = suppression(SuppressionSubject::Party(party));
    of_party.recorded_at = after(1);
    of_party.reason = SuppressionReason::Internal;
    of_party.expires_at = Some(after(100));
    let mut tx = store.write().await;
    tx.insert_suppression(&tenant(), &of_number).await.unwrap();
    tx.insert_suppression(&tenant(), &of_party).await.unwrap();
    assert_eq!(
        tx.suppression(&tenant(), of_number.suppression_id)
            .await
            .unwrap(),
        Some(of_number.clone())
    );
    assert_eq!(
        tx.suppression(&tenant(), SuppressionId::new(NOON))
            .await
            .unwrap(),
        None
    );
    let page = tx
        .list_suppressions(&tenant(), &everything())
        .await
        .unwrap();
    assert_eq!(page.rows, [of_party.clone(), of_number.clone()]);
    let found = tx
        .covering(&tenant(), &[key, store.key(phone(2))], None, after(99))
        .await
        .unwrap();
    assert_eq!(found, [(key, of_number.clone()), (key, of_party.clone())]);
    let found = tx
        .covering(&tenant(), &[key], Some("other"), after(99))
        .await
        .unwrap();
    assert_eq!(
        found,
        [(key, of_party.clone())],
        "it binds another seller only"
    );
    let found = tx
        .covering(&tenant(), &[key], Some("acme"), after(100))
        .await
        .unwrap();
    assert_eq!(found, [(key, of_number.clone())], "the other has expired");

    let subject = of_number.subject;
    for (seller, channels, there) in [
        (Some("acme"), vec![CallKind::Autodialed], true),
        (
            Some("acme"),
            vec![CallKind::Autodialed, CallKind::Prerecorded],
            true,
        ),
        (Some("acme"), vec![CallKind::LiveManual], false),
        (Some("acme"), vec![], false),
        (Some("other"), vec![CallKind::Autodialed], false),
        (None, vec![CallKind::Autodialed], false),
    ] {
        let same = tx
            .same_suppression(
                &tenant(),
                &Suppression {
                    seller: seller.map(str::to_owned),
                    channels: channels.clone(),
                    ..of_number.clone()
                },
                of_number.received_at,
            )
            .await
            .unwrap();
        assert_eq!(same.is_some(), there, "{seller:?} {channels:?}");
    }
    let same = tx
        .same_suppression(&tenant(), &suppression(of_party.subject), Micros(i64::MIN))
        .await
        .unwrap();
    assert_eq!(
        same, None,
        "one that expires does not stand for one that does not"
    );

    let mut lifted = of_number.clone();
    lift(&mut tx, &mut lifted, after(50)).await;
    let stored = tx
        .suppression(&tenant(), of_number.suppression_id)
        .await
        .unwrap();
    assert_eq!(stored, Some(lifted));
    let t = tenant();
    let found = tx.covering(&t, &[key], Some("acme"), after(100)).await;
    assert!(found.unwrap().is_empty());
    let same = tx.same_suppression(&t, &of_number, Micros(i64::MIN)).await;
    assert_eq!(same.unwrap(), None);
    let standing = list(
        "NOT lift_time > \"1970-01-01T00:00:00Z\"",
        SUPPRESSION_FIELDS,
    );
    let page = tx.list_suppressions(&tenant(), &standing).await.unwrap();
    assert_eq!(page.rows, [of_party]);
    tx.commit().await.unwrap();

    let mut tx = store.write().await;
    let mut expiring = suppression(subject);
    expiring.expires_at = Some(after(9));
    let refused = tx.insert_suppression(&tenant(), &expiring).await;
    assert!(refused.is_err(), "a person's wish never expires");
}

/// Also one that was recorded with the kinds it named: facts, repetitions and the owners of calls under way agree on it.
async fn a_wish_of_the_person_covers_every_kind_of_call(store: TestStore) {
    let owner = Incarnation::new(NOON);
    for (number, reason) in (1..).zip(SuppressionReason::ALL) {
        let (call, made) = store.claimed(phone(number), owner).await;
        let mut narrow = suppression(SuppressionSubject::Number(call.number_key));
        (narrow.reason, narrow.channels) = (*reason, vec![CallKind::Prerecorded]);
        let mut tx = store.write().await;
        tx.insert_suppression(&tenant(), &narrow).await.unwrap();
        let of_person = reason.is_of_person();
        for (kind, covered) in [
            (CallKind::Prerecorded, true),
            (CallKind::LiveManual, of_person),
            (CallKind::Autodialed, of_person),
        ] {
            assert_eq!(narrow.covers_kind(kind), covered, "{reason} {kind}");
            let asked = FactsWanted {
                call_kind: kind,
                ..wanted(&store, number, call.party_id)
            };
            let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
            assert_eq!(facts[0].opt_outs.len() == 1, covered, "{reason} {kind}");
            let t = tenant();
            // A wish of the same reason that names this kind alone.
            let mut wish = suppression(narrow.subject);
            (wish.reason, wish.channels) = (*reason, vec![kind]);
            let same = tx.same_suppression(&t, &wish, wish.received_at).await;
            assert_eq!(same.unwrap().is_some(), covered, "{reason} {kind}");
        }
        let of_all = suppression(narrow.subject);
        let t = tenant();
        let same = tx.same_suppression(&t, &of_all, of_all.received_at);
        assert_eq!(same.await.unwrap().is_some(), of_person, "{reason}");
        // The call under way is a live one.
        let cancels = tx.cancels_for(owner, NOON).await.unwrap();
        let cancelled = cancels.iter().any(|(id, _, _)| *id == made.attempt_id);
        assert_eq!(cancelled, of_person, "{reason}");
        tx.commit().await.unwrap();
    }
}

/// Lifts a suppression as two people do, trying on the way everything that does not lift it.
pub(super) async fn lift(tx: &mut Tx, standing: &mut Suppression, at: Micros) {
    let (id, nobody) = (standing.suppression_id, SuppressionId::new(NOON));
    let request = LiftRequest {
        at: after(0),
        requested_by: "key:a".to_owned(),
        reason: "asked to be called".to_owned(),
        evidence_ref: "form 9".to_owned(),
        evidence_at: Some(after(0)),
    };
    let lift = Lift {
        at,
        requested_by: request.requested_by.clone(),
        approved_by: "key:b".to_owned(),
        reason: request.reason.clone(),
        evidence_ref: request.evidence_ref.clone(),
        evidence_at: request.evidence_at,
    };
    let t = tenant();
    assert!(
        !tx.lift_suppression(&t, id, &lift).await.unwrap(),
        "not asked for"
    );
    assert!(tx.request_lift(&t, id, &request).await.unwrap());
    assert!(!tx.request_lift(&t, id, &request).await.unwrap());
    assert!(!tx.request_lift(&t, nobody, &request).await.unwrap());
    standing.lift_request = Some(request);
    let asked = tx.suppression(&t, id).await.unwrap();
    assert_eq!(
        asked.as_ref(),
        Some(&*standing),
        "a wish alone lifts nothing"
    );
    let alone = Lift {
        approved_by: "key:a".to_owned(),
        ..lift.clone()
    };
    assert!(
        !tx.lift_suppression(&t, id, &alone).await.unwrap(),
        "it takes two people"
    );
    assert!(tx.lift_suppression(&t, id, &lift).await.unwrap());
    assert!(!tx.lift_suppression(&t, id, &lift).await.unwrap());
    assert!(!tx.lift_suppression(&t, nobody, &lift).await.unwrap());
    standing.lift = Some(lift);
}

/// The heart of the barrier: a claim that had to wait for the number's lock reads the opt-out it waited for.
pub(super) async fn a_claim_that_waited_sees_the_opt_out(store: TestStore) {
    let party = store.party(phone(1)).await;
    let key = store.key(phone(1));
    let mut opt_out = store.store.write(Urgency::OptOut).await.unwrap();
    opt_out
        .insert_suppression(&tenant(), &suppression(SuppressionSubject::Number(key)))
        .await
        .unwrap();
    assert!(opt_out.try_lock_numbers(&tenant(), &[key.0]).await.unwrap());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let claim = {
        let (store, asked) = (store.store.clone(), wanted(&store, 1, party));
        tokio::spawn(async move {
            let begun = store.write(Urgency::Ordinary);
            sender.send(()).unwrap();
            let mut tx = begun.await.unwrap();
            tx.lock_numbers(&tenant(), &[key.0, party_lock_key(party), key.0])
                .await
                .unwrap();
            tx.load_facts(&tenant(), &[asked]).await.unwrap()
        })
    };
    receiver.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!claim.is_finished(), "the claim waits");
    opt_out.commit().await.unwrap();
    assert_eq!(claim.await.unwrap()[0].opt_outs.len(), 1);
}

/// Ten writers wait; an opt-out that comes last is among the first two.
async fn an_opt_out_goes_first(store: TestStore) {
    let holder = store.write().await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let spawn = |urgency: Urgency| {
        let (store, sender) = (store.store.clone(), sender.clone());
        tokio::spawn(async move {
            let tx = store.write(urgency).await.unwrap();
            sender.send(urgency).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            tx.commit().await.unwrap();
        })
    };
    for _ in 0..7 {
        spawn(Urgency::Ordinary);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    spawn(Urgency::OptOut);
    tokio::time::sleep(Duration::from_millis(50)).await;
    holder.commit().await.unwrap();
    let mut order = Vec::new();
    while order.len() < 8 {
        order.push(receiver.recv().await.unwrap());
    }
    let place = order
        .iter()
        .position(|urgency| *urgency == Urgency::OptOut)
        .unwrap();
    if store.store.engine() == Engine::Sqlite {
        assert!(place <= 1, "{order:?}");
    }
}
