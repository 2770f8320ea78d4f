//! Which process follows which call, for the others.

use super::*;

contract![
    who_follows_a_call_is_known_to_others_until_it_leaves,
    a_process_that_follows_calls_is_not_forgotten,
];

async fn who_follows_a_call_is_known_to_others_until_it_leaves(store: TestStore) {
    let [one, other] = [1, 2].map(|_| Incarnation::new(NOON));
    let first = store.queued(phone(1)).await.call.call_id;
    let second = store.queued(phone(2)).await.call.call_id;
    let calls = [(tenant(), first), (tenant(), second)];
    let mut tx = store.write().await;
    tx.attend(one, &[]).await.unwrap();
    tx.attend(one, &calls).await.unwrap();
    tx.attend(one, &calls[..1]).await.unwrap();
    tx.attend(other, &calls[..1]).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.write().await;
    for (call_id, than, attended) in [
        (first, one, true),
        (first, other, true),
        (second, one, false),
        (second, other, true),
    ] {
        let is = tx.is_attended_elsewhere(call_id, than).await.unwrap();
        assert_eq!(is, attended, "{call_id} elsewhere than by {than}");
    }
    let mut all = calls.to_vec();
    all.sort_by_key(|(_, call_id)| *call_id);
    assert_eq!(tx.attended_by(one, 10).await.unwrap(), all);
    assert_eq!(tx.attended_by(one, 1).await.unwrap(), all[..1]);
    tx.leave(one, &[first, second]).await.unwrap();
    tx.leave(one, &[first]).await.unwrap();
    assert!(tx.attended_by(one, 10).await.unwrap().is_empty());
    assert!(!tx.is_attended_elsewhere(first, other).await.unwrap());
    assert!(tx.is_attended_elsewhere(first, one).await.unwrap());
}

/// One that died before it ever beat has a heart that stands still, too.
async fn a_process_that_follows_calls_is_not_forgotten(store: TestStore) {
    let (beats, silent) = (Incarnation::new(NOON), Incarnation::new(NOON));
    let call_id = store.queued(phone(1)).await.call.call_id;
    let mut tx = store.write().await;
    tx.beat(beats, "one", NOON).await.unwrap();
    for process in [beats, silent] {
        tx.attend(process, &[(tenant(), call_id)]).await.unwrap();
    }
    tx.forget_node(beats).await.unwrap();
    let mut hearts = tx.heartbeats().await.unwrap();
    hearts.sort();
    let mut known = [(beats, 1), (silent, 0)];
    known.sort();
    assert_eq!(hearts, known);
    for process in [beats, silent] {
        tx.leave(process, &[call_id]).await.unwrap();
    }
    tx.forget_node(beats).await.unwrap();
    assert!(tx.heartbeats().await.unwrap().is_empty());
}
