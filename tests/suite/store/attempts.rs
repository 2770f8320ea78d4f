//! Claims, fences, permits, and what cancels them.

use dialgate::domain::call::Attestation;
use dialgate::store::UnsentEnd;

use super::*;

contract![
    a_double_claim_is_impossible,
    a_further_claim_supersedes_the_old_one,
    an_outcome_is_fixed_once,
    a_call_tells_the_attestation_of_its_latest_attempt,
    a_leased_call_that_is_not_sent_ends_once,
    an_end_told_by_another_leaves_the_permit_open,
    an_end_says_how_it_counts_unless_an_agent_has,
    permits_are_watched_and_closed,
    permits_longer_than_the_proof_are_refused,
    cancels_are_found_by_their_owner,
];

async fn a_call_tells_the_attestation_of_its_latest_attempt(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let new = store.queued(phone(1)).await;
    let id = new.call.call_id;
    let shown = async || {
        let mut tx = store.read().await;
        tx.call(&tenant(), id).await.unwrap().unwrap().attestation
    };
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "spring", 1, NOON).await.unwrap();
    let first = NewAttempt {
        attestation: Some(Attestation::B),
        ..attempt(&new.call, owner)
    };
    let fence = [(id, leased[0].lease_epoch, first.attempt_id)];
    assert_eq!(tx.fence_claims(&fence).await.unwrap(), [id]);
    tx.insert_attempts(&tenant(), std::slice::from_ref(&first))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(shown().await, Some(Attestation::B));
    for next in [Some(Attestation::A), Some(Attestation::C), None] {
        let old = {
            let mut tx = store.read().await;
            let call = tx.call(&tenant(), id).await.unwrap().unwrap();
            call.attempt_id.unwrap()
        };
        let again = NewAttempt {
            attempt_id: AttemptId::new(NOON),
            attestation: next,
            ..first.clone()
        };
        let mut tx = store.write().await;
        assert!(
            tx.fence_again(id, old, again.attempt_id, NOON)
                .await
                .unwrap()
        );
        tx.insert_attempts(&tenant(), &[again]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(shown().await, next);
    }
}

async fn a_leased_call_that_is_not_sent_ends_once(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let new = store.queued(phone(1)).await;
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "spring", 1, NOON).await.unwrap();
    tx.commit().await.unwrap();
    let end = |lease_epoch| UnsentEnd {
        call_id: new.call.call_id,
        lease_epoch,
        detail: EventDetail {
            outcome: Some(Outcome::IdentityRejected),
            note: Some("nobody vouches for it".to_owned()),
            ..EventDetail::default()
        },
        at: after(1),
    };
    let epoch = leased[0].lease_epoch;
    for (epoch, ends) in [(epoch - 1, false), (epoch, true), (epoch, false)] {
        let mut tx = store.write().await;
        assert_eq!(tx.end_unsent(&tenant(), &end(epoch)).await.unwrap(), ends);
        tx.commit().await.unwrap();
    }
    let mut tx = store.read().await;
    let call = tx.call(&tenant(), new.call.call_id).await.unwrap().unwrap();
    assert_eq!(
        (call.state, call.outcome, call.attempt_id, call.end_time),
        (
            CallState::Failed,
            Some(Outcome::IdentityRejected),
            None,
            Some(after(1))
        )
    );
    let events = tx
        .events_after(&tenant(), call.call_id, 0, 9)
        .await
        .unwrap();
    let last = events.last().unwrap();
    assert_eq!((events.len(), last.kind), (2, EventKind::Ended));
    assert_eq!(last.detail.note.as_deref(), Some("nobody vouches for it"));
}

async fn a_double_claim_is_impossible(store: TestStore) {
    let new = store.queued(phone(1)).await;
    let owner = Incarnation::new(NOON);
    let mut tx = store.write().await;
    let leased = tx
        .lease_calls(owner, "spring", 1, NOON)
        .await
        .unwrap()
        .remove(0);
    tx.commit().await.unwrap();
    let id = new.call.call_id;
    let mut tx = store.write().await;
    let stale = [(id, leased.lease_epoch - 1, AttemptId::new(NOON))];
    assert!(
        tx.fence_claims(&stale).await.unwrap().is_empty(),
        "an older lease"
    );
    drop(tx);
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (store, epoch) = (store.store.clone(), leased.lease_epoch);
            let made = attempt(&new.call, owner);
            tokio::spawn(async move {
                let mut tx = store.write(Urgency::Ordinary).await.unwrap();
                let mine = tx
                    .fence_claims(&[(id, epoch, made.attempt_id)])
                    .await
                    .unwrap()
                    == [id];
                if mine {
                    tx.insert_attempts(&tenant(), &[made]).await.unwrap();
                    tx.commit().await.unwrap();
                }
                mine
            })
        })
        .collect();
    let mut winners = 0;
    for tried in tries {
        winners += usize::from(tried.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(store.read().await.attempts_open().await.unwrap().len(), 1);
    let at_hand = store.read().await.calls_at_hand().await.unwrap();
    assert_eq!((at_hand.queued, at_hand.attempts), (0, 1));
    let mut tx = store.write().await;
    let unfenced = attempt(&store.queued_elsewhere().await, owner);
    let without = tx.insert_attempts(&tenant(), &[unfenced]).await;
    assert!(
        without.is_err(),
        "an attempt whose call the fence did not take"
    );
    assert!(tx.commit().await.is_err());
}

impl TestStore {
    /// A call that is not in this store.
    async fn queued_elsewhere(&self) -> dialgate::domain::call::Call {
        new_call(PartyId::new(NOON), phone(1), self.key(phone(1))).call
    }
}

async fn a_further_claim_supersedes_the_old_one(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, old) = store.claimed(phone(1), owner).await;
    let new = attempt(&call, owner);
    let mut tx = store.write().await;
    assert!(
        tx.fence_again(call.call_id, old.attempt_id, new.attempt_id, after(3))
            .await
            .unwrap()
    );
    tx.insert_attempts(&tenant(), std::slice::from_ref(&new))
        .await
        .unwrap();
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [new.attempt_id]
    );
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let third = AttemptId::new(NOON);
    assert!(
        !tx.fence_again(call.call_id, old.attempt_id, third, after(4))
            .await
            .unwrap(),
        "not the latest any more"
    );
    assert!(
        !tx.end_attempt(&tenant(), &end(call.call_id, old.attempt_id, Outcome::Busy))
            .await
            .unwrap()
    );
    let asked = [wanted(&store, 1, call.party_id)];
    let facts = tx.load_facts(&tenant(), &asked).await.unwrap();
    assert_eq!(
        facts[0].attempts.len(),
        1,
        "a challenge answered late is one attempt"
    );
    let own = FactsWanted {
        call_id: Some(call.call_id),
        ..asked[0].clone()
    };
    let facts = tx.load_facts(&tenant(), &[own]).await.unwrap();
    assert!(
        facts[0].attempts.is_empty(),
        "to the call itself it is no earlier one"
    );
    assert!(
        tx.end_attempt(&tenant(), &end(call.call_id, new.attempt_id, Outcome::Busy))
            .await
            .unwrap()
    );
    assert!(
        !tx.fence_again(call.call_id, new.attempt_id, third, after(4))
            .await
            .unwrap(),
        "it is over"
    );
    tx.commit().await.unwrap();
    let events = store
        .read()
        .await
        .events_after(&tenant(), call.call_id, 0, 10)
        .await
        .unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Queued,
            EventKind::Claimed,
            EventKind::Claimed,
            EventKind::Ended
        ]
    );
}

async fn an_outcome_is_fixed_once(store: TestStore) {
    for (number, outcome, answered, state) in [
        (1, Outcome::Busy, false, CallState::Failed),
        (2, Outcome::Answered, true, CallState::Ended),
        (3, Outcome::Canceled, false, CallState::Canceled),
        (4, Outcome::AnsweredAfterCancel, false, CallState::Canceled),
        (5, Outcome::InterruptedUnknown, false, CallState::Failed),
        (6, Outcome::InterruptedUnknown, true, CallState::Ended),
    ] {
        let (call, made) = store.claimed(phone(number), Incarnation::new(NOON)).await;
        let mut tx = store.write().await;
        if answered {
            let kind = event(
                call.call_id,
                NOON,
                EventKind::Answered,
                Some(CallState::Answered),
            );
            tx.record_event(&tenant(), &kind).await.unwrap();
        }
        assert!(
            tx.end_attempt(&tenant(), &end(call.call_id, made.attempt_id, outcome))
                .await
                .unwrap()
        );
        let again = end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown);
        assert!(
            !tx.end_attempt(&tenant(), &again).await.unwrap(),
            "a second outcome is a note, not an outcome"
        );
        tx.commit().await.unwrap();
        let over = store
            .read()
            .await
            .call(&tenant(), call.call_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((over.state, over.outcome), (state, Some(outcome)));
    }
    assert!(
        store.read().await.attempts_open().await.unwrap().is_empty(),
        "an end gives the permit up"
    );
}

/// sweep-1, sweep-2: who thinks the owner dead may be wrong, and an opt-out must go on waiting for the permit.
async fn an_end_told_by_another_leaves_the_permit_open(store: TestStore) {
    let (call, made) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let swept = AttemptEnd {
        permit_gone: false,
        ..end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown)
    };
    let mut tx = store.write().await;
    assert!(tx.end_attempt(&tenant(), &swept).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [made.attempt_id]
    );
}

/// What the agent says goes before what the line tells, whichever is written down first.
async fn an_end_says_how_it_counts_unless_an_agent_has(store: TestStore) {
    use AttemptResult::{Answered, HungUp, Refused};
    let owner = Incarnation::new(NOON);
    for (number, before, told, after, counts) in [
        (1, None, Some(HungUp), None, HungUp),
        (2, None, None, None, Answered),
        (3, Some(Refused), Some(HungUp), None, Refused),
        (4, None, Some(HungUp), Some(Refused), Refused),
    ] {
        let (call, made) = store.claimed(phone(number), owner).await;
        let over = AttemptEnd {
            counts_as: told,
            ..end(call.call_id, made.attempt_id, Outcome::Answered)
        };
        let mut tx = store.write().await;
        if let Some(said) = before {
            tx.set_attempt_result(&tenant(), call.call_id, said)
                .await
                .unwrap();
        }
        assert!(tx.end_attempt(&tenant(), &over).await.unwrap());
        if let Some(said) = after {
            tx.set_attempt_result(&tenant(), call.call_id, said)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let asked = FactsWanted {
            seller: call.seller.clone(),
            ..wanted(&store, number, call.party_id)
        };
        let mut tx = store.read().await;
        let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
        let got: Vec<_> = facts[0].attempts.iter().map(|past| past.outcome).collect();
        assert_eq!(got, [counts], "{number}");
    }
}

async fn permits_are_watched_and_closed(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, one) = store.claimed(phone(1), owner).await;
    let (_, other) = store.claimed(phone(2), owner).await;
    let both = [one.attempt_id, other.attempt_id];
    let mut tx = store.write().await;
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [one.attempt_id]
    );
    assert_eq!(tx.still_open(&both).await.unwrap().len(), 2);
    assert_eq!(tx.attempts_open().await.unwrap().len(), 2);
    assert_eq!(
        tx.close_permits(&[one.attempt_id, AttemptId::new(NOON)])
            .await
            .unwrap(),
        1
    );
    assert_eq!(tx.close_permits(&[one.attempt_id]).await.unwrap(), 0);
    assert_eq!(tx.close_permits(&[]).await.unwrap(), 0);
    assert_eq!(tx.still_open(&both).await.unwrap(), [other.attempt_id]);
    assert!(tx.still_open(&[]).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    assert_eq!(
        store.read().await.orphans(owner).await.unwrap().len(),
        2,
        "closing a permit is no outcome"
    );
}

async fn permits_longer_than_the_proof_are_refused(store: TestStore) {
    for (number, permit_ms, accepted) in [
        (1, 0, false),
        (2, 1, true),
        (3, 1500, true),
        (4, 1501, false),
    ] {
        let new = store.queued(phone(number)).await;
        let mut tx = store.write().await;
        let leased = tx
            .lease_calls(Incarnation::new(NOON), "spring", 1, NOON)
            .await
            .unwrap()
            .remove(0);
        let mut made = attempt(&new.call, Incarnation::new(NOON));
        made.call_id = leased.call.call_id;
        made.permit_ms = permit_ms;
        tx.fence_claims(&[(made.call_id, leased.lease_epoch, made.attempt_id)])
            .await
            .unwrap();
        assert_eq!(
            tx.insert_attempts(&tenant(), &[made]).await.is_ok(),
            accepted,
            "{permit_ms} ms"
        );
        assert_eq!(tx.commit().await.is_ok(), accepted);
    }
}

async fn cancels_are_found_by_their_owner(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let mut made = BTreeMap::new();
    let claim_that_saw = claimed_in_spite_of_an_opt_out(&store, phone(6), owner).await;
    made.insert(6, claim_that_saw);
    for number in [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12] {
        made.insert(number, store.claimed(phone(number), owner).await);
    }
    let id = |number: u32| (made[&number].1.attempt_id, made[&number].0.call_id);
    let subject = |number: u32| SuppressionSubject::Number(made[&number].0.number_key);
    let mut tx = store.write().await;
    assert!(tx.cancels_for(owner, NOON).await.unwrap().is_empty());
    // 1: asked for by number. 2: by an opt-out nobody asked for. 3: of the person. 4: this seller, this kind of call.
    assert_eq!(
        tx.request_cancel(
            &tenant(),
            &made[&1].0.number_key,
            &[],
            &suppression(subject(1)),
        )
        .await
        .unwrap(),
        1
    );
    assert_eq!(
        tx.request_cancel(
            &tenant(),
            &made[&1].0.number_key,
            &[],
            &suppression(subject(1)),
        )
        .await
        .unwrap(),
        0
    );
    let mut add = async |subject, change: &dyn Fn(&mut Suppression)| {
        let mut new = suppression(subject);
        change(&mut new);
        tx.insert_suppression(&tenant(), &new).await.unwrap();
    };
    add(subject(2), &|_| {}).await;
    add(SuppressionSubject::Party(made[&3].0.party_id), &|_| {}).await;
    add(subject(4), &|new| {
        new.seller = Some("acme".to_owned());
        new.channels = vec![CallKind::Prerecorded, CallKind::LiveManual];
    })
    .await;
    // 10: recorded after the claim by a node whose clock is an hour behind.
    add(subject(10), &|new| new.recorded_at = after(-3600)).await;
    // Not these: another seller, another kind, expired; and 6, whose claim saw it.
    add(subject(5), &|new| new.seller = Some("other".to_owned())).await;
    add(subject(5), &|new| {
        (new.reason, new.channels) = (SuppressionReason::Litigator, vec![CallKind::Autodialed]);
    })
    .await;
    add(subject(5), &|new| {
        (new.reason, new.expires_at) = (SuppressionReason::Internal, Some(NOON))
    })
    .await;
    // 7: answered, so an opt-out does not cut it. 8: answered, and somebody hangs up. 9: over.
    add(subject(7), &|_| {}).await;
    // 11, 12: answered, and a sweeper took their owner for dead; somebody had hung 12 up.
    for number in [7, 8, 11, 12] {
        let answered = event(
            made[&number].0.call_id,
            NOON,
            EventKind::Answered,
            Some(CallState::Answered),
        );
        tx.record_event(&tenant(), &answered).await.unwrap();
    }
    let state = tx
        .request_hang_up(&tenant(), made[&8].0.call_id, after(1))
        .await
        .unwrap();
    assert_eq!(state, Some(CallState::Answered));
    add_end(&mut tx, id(9)).await;
    tx.request_hang_up(&tenant(), made[&12].0.call_id, after(1))
        .await
        .unwrap();
    for number in [11, 12] {
        let (attempt, call) = id(number);
        let buried = end(call, attempt, Outcome::InterruptedUnknown);
        assert!(tx.end_attempt(&tenant(), &buried).await.unwrap());
    }
    let mut expected: Vec<_> = [1, 2, 3, 4, 10]
        .map(|number| (id(number).0, id(number).1, CancelCause::OptOut))
        .into_iter()
        .chain([(id(8).0, id(8).1, CancelCause::HangUp)])
        .chain([11, 12].map(|number| (id(number).0, id(number).1, CancelCause::TakenForDead)))
        .collect();
    expected.sort_by_key(|cancel| cancel.0);
    assert_eq!(tx.cancels_for(owner, after(1)).await.unwrap(), expected);
    assert!(
        tx.cancels_for(Incarnation::new(NOON), after(1))
            .await
            .unwrap()
            .is_empty(),
        "another process"
    );
    tx.commit().await.unwrap();
}

/// A claim whose facts had an opt-out among them.
pub(super) async fn claimed_in_spite_of_an_opt_out(
    store: &TestStore,
    number: Phone,
    owner: Incarnation,
) -> (Call, NewAttempt) {
    let call = store.queued(number).await.call;
    let mut tx = store.write().await;
    let mut opt_out = suppression(SuppressionSubject::Number(call.number_key));
    // By a node whose clock is an hour ahead.
    opt_out.recorded_at = after(3600);
    tx.insert_suppression(&tenant(), &opt_out).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "spring", 1, NOON).await.unwrap();
    let asked = FactsWanted {
        number,
        number_key: call.number_key,
        party_id: Some(call.party_id),
        seller: call.seller.clone(),
        call_kind: call.call_kind,
        purpose: Purpose::Sales,
        call_id: Some(call.call_id),
        at: NOON,
    };
    let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
    assert_eq!(facts[0].opt_outs.len(), 1);
    let made = attempt(&leased[0].call, owner);
    let fence = [(call.call_id, leased[0].lease_epoch, made.attempt_id)];
    tx.fence_claims(&fence).await.unwrap();
    tx.insert_attempts(&tenant(), std::slice::from_ref(&made))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (leased[0].call.clone(), made)
}

async fn add_end(tx: &mut Tx, (attempt, call): (AttemptId, CallId)) {
    assert!(
        tx.end_attempt(&tenant(), &end(call, attempt, Outcome::Busy))
            .await
            .unwrap()
    );
    tx.request_hang_up(&tenant(), call, after(1)).await.unwrap();
}
