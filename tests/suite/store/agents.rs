//! Calls with an agent whose phone comes first: who has the agent, what a node of the release before makes of such a call, and
//! what is kept of those who answered to nobody.

use dialgate::domain::call::AgentResult;
use dialgate::store::{NewCall, UnsentEnd};

use super::*;

contract![
    an_agent_is_had_by_one_call_at_a_time,
    why_the_agent_was_not_there_stands_with_the_call,
    an_abandoned_call_is_marked_once,
];

async fn queued(store: &TestStore, number: u32, agent: &str) -> NewCall {
    let number = phone(number);
    let party = store.party(number).await;
    let mut new = new_call(party, number, store.key(number));
    new.call.agent = Some(agent.to_owned());
    new.sdp_offer = Vec::new();
    let mut tx = store.write().await;
    tx.insert_calls(&tenant(), std::slice::from_ref(&new))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    new
}

async fn leased(store: &TestStore, owner: Incarnation) -> Vec<dialgate::store::Leased> {
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "spring", 100, NOON).await.unwrap();
    tx.commit().await.unwrap();
    leased
}

async fn seat(store: &TestStore, agent: &str, call_id: CallId) -> bool {
    let mut tx = store.write().await;
    let taken = tx.take_seat(&tenant(), agent, call_id).await.unwrap();
    tx.commit().await.unwrap();
    taken
}

async fn an_agent_is_had_by_one_call_at_a_time(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let calls = [
        queued(&store, 1, "anna").await,
        queued(&store, 2, "anna").await,
        queued(&store, 3, "ben").await,
    ];
    let ids = calls.map(|new| new.call.call_id);
    let held = leased(&store, owner).await;
    assert_eq!(held.len(), 3);
    assert_eq!(held[0].call.agent.as_deref(), Some("anna"));
    assert!(held[0].sdp_offer.is_empty());
    assert!(seat(&store, "anna", ids[0]).await);
    assert!(seat(&store, "anna", ids[0]).await, "it has her already");
    assert!(!seat(&store, "anna", ids[1]).await);
    assert!(seat(&store, "ben", ids[2]).await);
    // Back in the queue it waits there, unleased, until she is free.
    let release = async |call_id: CallId| {
        let epoch = held.iter().find(|each| each.call.call_id == call_id);
        let mut tx = store.write().await;
        let epoch = epoch.unwrap().lease_epoch;
        assert!(tx.release_lease(call_id, epoch).await.unwrap());
        tx.commit().await.unwrap();
    };
    release(ids[1]).await;
    let waiting = async || {
        let mut tx = store.read().await;
        tx.waiting_campaigns(&["spring"], NOON).await.unwrap()
    };
    assert!(waiting().await.is_empty());
    assert!(leased(&store, owner).await.is_empty());
    // So it does while the other is dialed.
    let mut tx = store.write().await;
    let made = attempt(&held[0].call, owner);
    let fence = [(ids[0], held[0].lease_epoch, made.attempt_id)];
    assert_eq!(tx.fence_claims(&fence).await.unwrap(), [ids[0]]);
    tx.insert_attempts(&tenant(), std::slice::from_ref(&made))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(!seat(&store, "anna", ids[1]).await);
    assert!(leased(&store, owner).await.is_empty());
    let mut tx = store.write().await;
    let over = end(ids[0], made.attempt_id, Outcome::NoAnswer);
    assert!(tx.end_attempt(&tenant(), &over).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(waiting().await, ["spring"]);
    let next = leased(&store, owner).await;
    assert_eq!(next[0].call.call_id, ids[1]);
    assert!(seat(&store, "anna", ids[1]).await);
}

async fn why_the_agent_was_not_there_stands_with_the_call(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let call_id = queued(&store, 1, "anna").await.call.call_id;
    let held = leased(&store, owner).await;
    let ended = UnsentEnd {
        call_id,
        lease_epoch: held[0].lease_epoch,
        detail: EventDetail {
            agent_result: Some(AgentResult::Declined),
            ..EventDetail::default()
        },
        at: after(5),
    };
    let mut tx = store.write().await;
    assert!(tx.end_unsent(&tenant(), &ended).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let call = tx.call(&tenant(), call_id).await.unwrap().unwrap();
    assert_eq!(call.state, CallState::Failed);
    assert_eq!(call.agent_result, Some(AgentResult::Declined));
    assert_eq!((call.outcome, call.attempt_id), (None, None));
    let told = tx.events_after(&tenant(), call_id, 0, 10).await.unwrap();
    let last = told.last().unwrap();
    assert_eq!(last.detail.agent_result, Some(AgentResult::Declined));
}

async fn an_abandoned_call_is_marked_once(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, made) = store.claimed(phone(1), owner).await;
    let mut over = end(call.call_id, made.attempt_id, Outcome::AnsweredAfterCancel);
    over.detail.abandoned = true;
    let mut tx = store.write().await;
    assert!(tx.end_attempt(&tenant(), &over).await.unwrap());
    tx.commit().await.unwrap();
    let abandoned = async || {
        let mut tx = store.read().await;
        let call = tx.call(&tenant(), call.call_id).await.unwrap().unwrap();
        call.abandon_time
    };
    assert_eq!(abandoned().await, Some(over.at));
    let mut tx = store.write().await;
    tx.mark_abandoned(&tenant(), made.attempt_id, after(900))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(abandoned().await, Some(over.at), "the first time stays");
    let (quiet, late) = store.claimed(phone(2), owner).await;
    let mut tx = store.write().await;
    tx.mark_abandoned(&tenant(), late.attempt_id, after(7))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let call = tx.call(&tenant(), quiet.call_id).await.unwrap().unwrap();
    assert_eq!(call.abandon_time, Some(after(7)));
}
