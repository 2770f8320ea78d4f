//! Calls from the queue to their end.

use super::*;

contract![
    a_call_runs_from_queue_to_outcome,
    leases_are_given_once,
    a_call_that_cannot_be_read_holds_up_no_other,
    hanging_up_ends_what_nobody_claimed,
    dispositions_are_kept,
    nodes_leave_orphans_and_leases,
];

async fn a_call_runs_from_queue_to_outcome(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, made) = store.claimed(phone(1), owner).await;
    let id = call.call_id;
    let mut tx = store.write().await;
    let claimed = tx.call(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(claimed.state, CallState::Claimed);
    assert_eq!(claimed.claim_decision_id, Some(made.decision_id));
    assert_eq!(claimed.attempt_id, Some(made.attempt_id));
    assert_eq!(
        (claimed.to, claimed.from),
        (Some(phone(1)), Some(phone(9999)))
    );
    for (kind, state, at) in [
        (EventKind::Inviting, Some(CallState::Inviting), 1),
        (EventKind::Progress, None, 2),
        (EventKind::Ringing, Some(CallState::Ringing), 3),
        (EventKind::Ringing, Some(CallState::Ringing), 4),
    ] {
        tx.record_event(&tenant(), &event(id, after(at), kind, state))
            .await
            .unwrap();
    }
    let mut answered = event(id, after(5), EventKind::Answered, Some(CallState::Answered));
    answered.detail.sdp = Some(b"v=0 answer".to_vec());
    answered.detail.sip_code = Some(200);
    answered.close_permit = Some(made.attempt_id);
    let recorded = tx.record_event(&tenant(), &answered).await.unwrap();
    assert_eq!((recorded.sequence, &recorded.detail), (7, &answered.detail));
    assert!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        tx.end_attempt(&tenant(), &end(id, made.attempt_id, Outcome::Answered))
            .await
            .unwrap()
    );
    let late = event(id, after(99), EventKind::Note, Some(CallState::Ringing));
    tx.record_event(&tenant(), &late).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let over = tx.call(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(
        over.state,
        CallState::Ended,
        "a late event does not bring it back"
    );
    assert_eq!(
        (over.outcome, over.sip_code, over.q850_cause),
        (Some(Outcome::Answered), Some(486), Some(17))
    );
    let times = [
        over.invite_time,
        over.ring_time,
        over.answer_time,
        over.end_time,
    ];
    assert_eq!(
        times,
        [
            Some(after(1)),
            Some(after(3)),
            Some(after(5)),
            Some(after(60))
        ]
    );
    let events = tx.events_after(&tenant(), id, 0, 100).await.unwrap();
    let got: Vec<_> = events
        .iter()
        .map(|event| (event.sequence, event.kind))
        .collect();
    let kinds = [
        EventKind::Queued,
        EventKind::Claimed,
        EventKind::Inviting,
        EventKind::Progress,
        EventKind::Ringing,
        EventKind::Ringing,
        EventKind::Answered,
        EventKind::Ended,
        EventKind::Note,
    ];
    assert_eq!(
        got,
        (1..).zip(kinds).collect::<Vec<_>>(),
        "no gap, no repeat"
    );
    assert_eq!(events[6].detail, answered.detail, "the SDP comes back too");
    assert_eq!(events[6].event_id, recorded.event_id);
    assert_eq!(events[0].detail.decision_id, Some(call.place_decision_id));
    assert_eq!(events[1].detail.decision_id, Some(made.decision_id));
    assert_eq!(events[7].detail.outcome, Some(Outcome::Answered));
    assert_eq!(
        tx.events_after(&tenant(), id, 3, 2).await.unwrap(),
        events[3..5]
    );
    assert_eq!(tx.call(&tenant(), CallId::new(NOON)).await.unwrap(), None);
    let listed = tx
        .list_calls(
            &tenant(),
            &list("outcome = answered AND state = ended", CALL_FIELDS),
        )
        .await
        .unwrap();
    assert_eq!(listed.rows, [over]);
    drop(tx);
    let mut tx = store.write().await;
    assert!(
        tx.record_event(
            &tenant(),
            &event(CallId::new(NOON), NOON, EventKind::Note, None)
        )
        .await
        .is_err()
    );
}

async fn leases_are_given_once(store: TestStore) {
    let party = store.party(phone(1)).await;
    let calls: Vec<_> = (0..10)
        .map(|index| {
            let mut new = new_call(party, phone(1), store.key(phone(1)));
            new.call.create_time = after(index);
            new
        })
        .collect();
    let mut elsewhere = new_call(party, phone(1), store.key(phone(1)));
    elsewhere.call.campaign_id = "other".to_owned();
    elsewhere.call.trunk = "other".to_owned();
    let mut tx = store.write().await;
    tx.insert_calls(&tenant(), &calls).await.unwrap();
    tx.insert_calls(&tenant(), &[elsewhere]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        store.read().await.queued_count("main", NOON).await.unwrap(),
        10
    );
    assert_eq!(
        store.read().await.queued_count("none", NOON).await.unwrap(),
        0
    );
    let names = ["spring", "none", "other"];
    let (now, late) = (NOON, after(600));
    for (at, waiting) in [(now, &["spring", "other"][..]), (late, &[])] {
        let told = store.read().await.waiting_campaigns(&names, at).await;
        assert_eq!(told.unwrap(), waiting);
    }
    let at_hand = store.read().await.calls_at_hand().await.unwrap();
    assert_eq!((at_hand.queued, at_hand.attempts), (11, 0));

    let (one, other) = (Incarnation::new(NOON), Incarnation::new(NOON));
    let mut tx = store.write().await;
    let first = tx.lease_calls(one, "spring", 3, NOON).await.unwrap();
    let got: Vec<_> = first.iter().map(|leased| leased.call.call_id).collect();
    let oldest: Vec<_> = calls[..3].iter().map(|new| new.call.call_id).collect();
    assert_eq!(got, oldest, "oldest first");
    assert_eq!(first[0].call, calls[0].call);
    assert_eq!(first[0].sdp_offer, calls[0].sdp_offer);
    assert_eq!(first[0].subject, calls[0].subject);
    if store.store.engine() == Engine::Postgres {
        // While one worker is taking the oldest, another takes the next without waiting.
        let mut beside = store.write().await;
        let second = beside.lease_calls(other, "spring", 3, NOON).await.unwrap();
        assert_eq!(second[0].call.call_id, calls[3].call.call_id);
        beside.commit().await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let rest = tx.lease_calls(other, "spring", 100, NOON).await.unwrap();
    assert_eq!(
        rest.len(),
        if store.store.engine() == Engine::Postgres {
            4
        } else {
            7
        }
    );
    assert!(
        tx.lease_calls(other, "spring", 100, NOON)
            .await
            .unwrap()
            .is_empty()
    );

    assert!(tx.expire_due(after(-1), 100).await.unwrap().is_empty());

    let moved = [calls[0].call.call_id, calls[1].call.call_id];
    tx.move_calls(&moved, "spare").await.unwrap();
    for (new, trunk) in calls.iter().zip(["spare", "spare", "main"]) {
        let now = tx.call(&tenant(), new.call.call_id).await.unwrap().unwrap();
        assert_eq!(now.trunk, trunk);
    }

    let leased = &first[0];
    assert!(
        !tx.release_lease(leased.call.call_id, leased.lease_epoch + 1)
            .await
            .unwrap()
    );
    assert!(
        tx.release_lease(leased.call.call_id, leased.lease_epoch)
            .await
            .unwrap()
    );
    assert!(
        !tx.release_lease(leased.call.call_id, leased.lease_epoch)
            .await
            .unwrap()
    );
    let again = tx.lease_calls(other, "spring", 100, NOON).await.unwrap();
    assert_eq!(again.len(), 1);
    assert!(again[0].lease_epoch > leased.lease_epoch);
    assert!(
        tx.expire_call(leased.call.call_id, leased.lease_epoch, NOON)
            .await
            .unwrap()
            .is_none(),
        "an old lease does nothing"
    );
    assert!(
        tx.expire_call(again[0].call.call_id, again[0].lease_epoch, after(601))
            .await
            .unwrap()
            .is_some()
    );
    let expired = tx
        .call(&tenant(), again[0].call.call_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (expired.state, expired.end_time),
        (CallState::Expired, Some(after(601)))
    );
    let last = tx
        .events_after(&tenant(), expired.call_id, 1, 10)
        .await
        .unwrap();
    assert_eq!((last.len(), last[0].kind), (1, EventKind::Expired));

    let (denied, verdict) = (&rest[0], DecisionId::new(NOON));
    let rows = [
        (denied.call.call_id, denied.lease_epoch, verdict),
        (expired.call_id, again[0].lease_epoch, verdict),
    ];
    assert_eq!(
        tx.deny_claim(&rows, after(9)).await.unwrap(),
        [denied.call.call_id],
        "only what was still ours"
    );
    let call = tx
        .call(&tenant(), denied.call.call_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (call.state, call.claim_decision_id, call.end_time),
        (CallState::Denied, Some(verdict), Some(after(9)))
    );
    let last = tx
        .events_after(&tenant(), call.call_id, 1, 10)
        .await
        .unwrap();
    assert_eq!(
        (last[0].kind, last[0].detail.decision_id),
        (EventKind::Denied, Some(verdict))
    );
    // What waits past its time leaves the queue; what somebody leased does not.
    let ended = tx.expire_due(after(601), 100).await.unwrap();
    assert_eq!(ended.len(), 1);
    let call = tx.call(&tenant(), ended[0].call_id).await.unwrap().unwrap();
    assert_eq!(
        (call.trunk.as_str(), call.state),
        ("other", CallState::Expired)
    );
    assert!(tx.expire_due(after(601), 100).await.unwrap().is_empty());
    assert!(tx.deny_claim(&[], NOON).await.unwrap().is_empty());
    assert!(tx.fence_claims(&[]).await.unwrap().is_empty());
}

/// Of four calls three are damaged, each in another place.
async fn a_call_that_cannot_be_read_holds_up_no_other(store: TestStore) {
    let mut calls = Vec::new();
    for number in 1..=4 {
        calls.push(store.queued(phone(number)).await.call);
    }
    store
        .damage(
            "UPDATE calls SET sealed_number = $1 WHERE call_id = $2",
            calls[0].call_id.0,
        )
        .await;
    store
        .damage(
            "UPDATE parties SET wrapped_key = $1 WHERE party_id = $2",
            calls[1].party_id.0,
        )
        .await;
    store
        .damage(
            "UPDATE calls SET sealed_offer = $1 WHERE call_id = $2",
            calls[2].call_id.0,
        )
        .await;
    let mut tx = store.write().await;
    let leased = tx
        .lease_calls(Incarnation::new(NOON), "spring", 9, after(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let leased: Vec<CallId> = leased.iter().map(|leased| leased.call.call_id).collect();
    assert_eq!(leased, [calls[3].call_id]);

    let mut tx = store.read().await;
    assert!(matches!(
        tx.call(&tenant(), calls[0].call_id).await,
        Err(StoreError::Damaged { .. })
    ));
    for call in &calls[..3] {
        let ended = tx
            .call_to_end(&tenant(), call.call_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((ended.state, ended.outcome), (CallState::Failed, None));
        assert_eq!(
            (ended.end_time, ended.actor),
            (Some(after(1)), call.actor.clone())
        );
    }
    assert!(
        tx.call_to_end(&tenant(), CallId::new(NOON))
            .await
            .unwrap()
            .is_none()
    );
    let events = tx
        .events_after(&tenant(), calls[0].call_id, 0, 10)
        .await
        .unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Queued, EventKind::Ended]);
    assert!(
        events[1]
            .detail
            .note
            .as_ref()
            .unwrap()
            .contains("cannot be read")
    );
    let filter = list("kind = \"call.unreadable\"", AUDIT_FIELDS);
    let entries = tx.audit_entries(&tenant(), &filter).await.unwrap().rows;
    assert_eq!(entries.len(), 3);
    drop(tx);
    // And they stay ended: the next lease does not meet them again.
    let mut tx = store.write().await;
    assert!(
        tx.lease_calls(Incarnation::new(NOON), "spring", 9, after(2))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn hanging_up_ends_what_nobody_claimed(store: TestStore) {
    let queued = store.queued(phone(1)).await.call;
    let leased = store.queued(phone(2)).await.call;
    let mut tx = store.write().await;
    let leases = tx
        .lease_calls(Incarnation::new(NOON), "spring", 2, NOON)
        .await
        .unwrap();
    assert!(tx.release_lease(queued.call_id, 1).await.unwrap());
    for call in [&queued, &leased] {
        let state = tx
            .request_hang_up(&tenant(), call.call_id, after(2))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Canceled));
        let state = tx
            .request_hang_up(&tenant(), call.call_id, after(3))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Canceled));
        let over = tx.call(&tenant(), call.call_id).await.unwrap().unwrap();
        assert_eq!(
            (over.outcome, over.end_time),
            (Some(Outcome::Canceled), Some(after(2)))
        );
        let events = tx
            .events_after(&tenant(), call.call_id, 0, 10)
            .await
            .unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Queued, EventKind::Ended]);
    }
    let epoch = leases
        .iter()
        .find(|lease| lease.call.call_id == leased.call_id)
        .unwrap()
        .lease_epoch;
    let fence = [(leased.call_id, epoch, AttemptId::new(NOON))];
    assert!(
        tx.fence_claims(&fence).await.unwrap().is_empty(),
        "the worker that leased it learns it at the fence"
    );
    assert!(
        tx.lease_calls(Incarnation::new(NOON), "spring", 9, NOON)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        tx.request_hang_up(&tenant(), CallId::new(NOON), NOON)
            .await
            .unwrap(),
        None
    );
    tx.commit().await.unwrap();
    let (claimed, _) = store.claimed(phone(3), Incarnation::new(NOON)).await;
    let mut tx = store.write().await;
    for _ in 0..2 {
        let state = tx
            .request_hang_up(&tenant(), claimed.call_id, after(2))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Claimed), "its owner ends it");
    }
    let events = tx
        .events_after(&tenant(), claimed.call_id, 2, 10)
        .await
        .unwrap();
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::HangUpRequested],
        "told once"
    );
}

async fn dispositions_are_kept(store: TestStore) {
    let (call, _) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let first = Disposition {
        disposition_id: DispositionId::new(NOON),
        call_id: call.call_id,
        code: DispositionCode::ConnectedInterested,
        note: Some("likes blue".to_owned()),
        amends: None,
        suppression_id: None,
        actor: "key:agent".to_owned(),
        at: NOON,
    };
    let second = Disposition {
        disposition_id: DispositionId::new(after(1)),
        code: DispositionCode::OptOutAll,
        note: None,
        amends: Some(first.disposition_id),
        suppression_id: Some(SuppressionId::new(NOON)),
        at: after(1),
        ..first.clone()
    };
    let mut tx = store.write().await;
    assert!(tx.hold_for_word(&tenant(), call.call_id).await.unwrap());
    if store.store.engine() == Engine::Postgres {
        let mut other = store.write().await;
        let held = other.hold_for_word(&tenant(), call.call_id).await;
        assert!(!held.unwrap(), "one at a time, and the other goes on");
        other.commit().await.unwrap();
    }
    tx.insert_disposition(&tenant(), &first).await.unwrap();
    tx.insert_disposition(&tenant(), &second).await.unwrap();
    assert_eq!(
        tx.dispositions_of(&tenant(), call.call_id).await.unwrap(),
        [first.clone(), second]
    );
    assert!(
        tx.dispositions_of(&tenant(), CallId::new(NOON))
            .await
            .unwrap()
            .is_empty()
    );
    tx.set_attempt_result(&tenant(), call.call_id, AttemptResult::Refused)
        .await
        .unwrap();
    let facts = tx
        .load_facts(&tenant(), &[wanted(&store, 1, call.party_id)])
        .await
        .unwrap();
    assert_eq!(facts[0].attempts[0].outcome, AttemptResult::Refused);
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let lost = Disposition {
        call_id: CallId::new(NOON),
        ..first
    };
    assert!(tx.insert_disposition(&tenant(), &lost).await.is_err());
}

async fn nodes_leave_orphans_and_leases(store: TestStore) {
    let (dead, alive) = (Incarnation::new(NOON), Incarnation::new(after(1)));
    let mut tx = store.write().await;
    for (node, beats) in [(dead, 1), (alive, 3)] {
        for _ in 0..beats {
            tx.beat(node, "node-1", NOON).await.unwrap();
        }
    }
    assert_eq!(tx.heartbeats().await.unwrap(), [(dead, 1), (alive, 3)]);
    tx.commit().await.unwrap();
    let (call, made) = store.claimed(phone(1), dead).await;
    let waiting = store.queued(phone(2)).await.call;
    let mut tx = store.write().await;
    let lease = tx
        .lease_calls(dead, "spring", 9, NOON)
        .await
        .unwrap()
        .remove(0);
    tx.forget_node(dead).await.unwrap();
    assert_eq!(
        tx.heartbeats().await.unwrap().len(),
        2,
        "it left something behind"
    );
    assert_eq!(
        tx.orphans(dead).await.unwrap(),
        [(made.attempt_id, call.call_id, tenant())]
    );
    assert!(tx.orphans(alive).await.unwrap().is_empty());
    assert_eq!(
        tx.leases_of(dead).await.unwrap(),
        [(waiting.call_id, lease.lease_epoch)]
    );
    assert!(tx.leases_of(alive).await.unwrap().is_empty());
    assert_eq!(tx.requeue_leases_of(alive).await.unwrap(), 0);
    assert_eq!(
        tx.requeue_leases_of(dead).await.unwrap(),
        1,
        "what it claimed never goes back"
    );
    let again = tx.lease_calls(alive, "spring", 9, NOON).await.unwrap();
    assert_eq!((again.len(), again[0].call.call_id), (1, waiting.call_id));
    assert!(again[0].lease_epoch > lease.lease_epoch);
    assert!(
        !tx.release_lease(waiting.call_id, lease.lease_epoch)
            .await
            .unwrap()
    );
    let outcome = end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown);
    assert!(tx.end_attempt(&tenant(), &outcome).await.unwrap());
    tx.forget_node(dead).await.unwrap();
    assert_eq!(tx.heartbeats().await.unwrap(), [(alive, 3)]);
    tx.commit().await.unwrap();
}
