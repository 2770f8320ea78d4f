//! A trunk asks for credentials when the permit of the first INVITE is over. The answer needs a claim of its own, and what
//! is known of the person may have changed meanwhile: then no second INVITE leaves, and the call ends with the decision that refused it (claim-5).

use std::time::Duration;

use dialgate::domain::call::{EventKind, Outcome};
use dialgate::domain::decision::{Stage, Verdict};
use dialgate::domain::ids::{CallId, TenantId};
use dialgate::grpc::pb;
use tokio::task::block_in_place;

use super::database::Database;
use super::ledger::Ledger;
use super::sink::now;
use super::world::{AGENT, FIRST, Home, Node, World, place};
use crate::support::history::Packet;

/// The index of somebody whose trunk asks for credentials late.
const CHALLENGES_LATE: usize = 5;
const GOOD_FOR: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_a_renewal_that_is_denied_sends_nothing_on_sqlite() {
    denied(Home::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_a_renewal_that_is_denied_sends_nothing_on_postgres() {
    if let Some(database) = block_in_place(Database::create) {
        denied(Home::Postgres(database)).await;
    }
}

/// The same trunk and person with nothing in the way: the second INVITE leaves, so that the others' silence means something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_a_renewal_that_is_allowed_sends_the_answer() {
    let mut world = World::build(Home::Sqlite, 1, CHALLENGES_LATE + 1).await;
    placed(&world).await;
    Ledger::open(&world)
        .await
        .settled(Duration::from_secs(30))
        .await;
    assert_eq!(transactions(&heard(&world)).len(), 2, "{:?}", heard(&world));
    stop(&mut world);
}

async fn denied(home: Home) {
    let mut world = World::build(home, 1, CHALLENGES_LATE + 1).await;
    let call = placed(&world).await;
    let give_up = now() + Duration::from_secs(10);
    while heard(&world).is_empty() {
        assert!(now() < give_up, "no INVITE left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It binds every judgement from its commit on, and cancels nothing by itself: only the renewal can notice.
    restrict(&world).await;
    Ledger::open(&world)
        .await
        .settled(Duration::from_secs(30))
        .await;

    // The challenge was the final answer to the first INVITE: there is nothing to cancel.
    let heard = heard(&world);
    let words: Vec<&str> = heard.iter().map(|packet| packet.what.as_str()).collect();
    assert_eq!(words, ["INVITE", "ACK"], "{heard:?}");
    let store = world.store().await;
    let mut tx = store.read().await.unwrap();
    let tenant = TenantId::default();
    let events = tx.events_after(&tenant, call, 0, 100).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(
        (last.kind, last.detail.outcome),
        (EventKind::Ended, Some(Outcome::Canceled))
    );
    // Its history names the decision that refused it, and nobody opted out.
    assert!(events.iter().all(|event| event.kind != EventKind::OptOut));
    let told = events.iter().find(|event| {
        event
            .detail
            .note
            .as_ref()
            .is_some_and(|note| note.contains("refused"))
    });
    let refused = told.and_then(|event| event.detail.decision_id).unwrap();
    let decision = tx.decision(&tenant, refused, false).await.unwrap().unwrap();
    assert_eq!(
        (decision.stage, decision.judgement.verdict),
        (Stage::Claim, Verdict::Deny)
    );
    drop(tx);
    stop(&mut world);
}

async fn placed(world: &World) -> CallId {
    let client = world.client(AGENT, 0).await;
    let number = &world.people[CHALLENGES_LATE].0;
    let wish = place(number, "", uuid::Uuid::new_v4().to_string(), GOOD_FOR);
    let placed = client.calls().place_call(wish).await.unwrap();
    placed.into_inner().call.unwrap().call_id.parse().unwrap()
}

/// Their record is not to be used for calls any more (GDPR Art. 18).
async fn restrict(world: &World) {
    let request = pb::UpsertContactRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        contact: Some(pb::Contact {
            party_id: world.people[CHALLENGES_LATE].1.clone(),
            restriction: Some(pb::Restriction {
                start_time: Some(prost_types::Timestamp::default()),
            }),
            ..pb::Contact::default()
        }),
        update_mask: None,
    };
    let client = world.client(FIRST, 0).await;
    client.contacts().upsert_contact(request).await.unwrap();
}

/// What the callee heard.
fn heard(world: &World) -> Vec<Packet> {
    let packets = world.sink.packets().into_iter();
    packets.filter(|packet| !packet.sent).collect()
}

/// The transactions of INVITEs; retransmissions belong to one.
fn transactions(heard: &[Packet]) -> std::collections::BTreeSet<String> {
    let invites = heard.iter().filter(|packet| packet.what == "INVITE");
    invites.map(|packet| packet.branch.clone()).collect()
}

fn stop(world: &mut World) {
    block_in_place(|| world.nodes.iter_mut().for_each(Node::stop));
}
