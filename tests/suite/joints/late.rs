//! The one stated limit of the barrier: a process frozen between a permit's last comparison and the system call, for longer
//! than the margin, sends its INVITE late. Nothing can prevent that; it must be noticed, written down and cancelled
//! (claim-9). A real worker is stopped at just that point.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dialgate::domain::call::{CallEvent, EventKind, Outcome};
use dialgate::domain::filter::Filter;
use dialgate::domain::ids::{CallId, TenantId};
use dialgate::gate::BARRIER_WAIT;
use dialgate::grpc::pb;
use dialgate::store::{AUDIT_FIELDS, ListQuery, Store};
use tokio::task::block_in_place;

use super::database::Database;
use super::ledger::Ledger;
use super::world::{AGENT, Home, World, place, signal, until};
use crate::support::history::Packet;
use crate::support::postgres::{done, text};

/// The index of somebody whose phone rings until it is cancelled.
const RINGS: usize = 2;
const GOOD_FOR: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_an_invite_that_leaves_late_is_noticed_and_cancelled() {
    let world = World::build(Home::Sqlite, 1, RINGS + 1).await;
    let mut frozen = Frozen::dialing(world).await;
    tokio::time::sleep(BARRIER_WAIT + Duration::from_millis(200)).await;
    frozen.thaw();
    frozen.is_cancelled_and_told().await;
}

/// While one node is frozen another acknowledges the opt-out, as it must: it waits for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_an_invite_that_leaves_behind_an_opt_out_is_noticed_and_cancelled() {
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let world = World::build(Home::Postgres(database), 2, RINGS + 1).await;
    let mut frozen = Frozen::dialing(world).await;
    let client = frozen.world.client(AGENT, 1 - frozen.node).await;
    let request = pb::CreateSuppressionRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        subject: Some(pb::create_suppression_request::Subject::Number(
            frozen.number.clone(),
        )),
        reason: pb::SuppressionReason::PartyRequest.into(),
        source: pb::SuppressionSource::Agent.into(),
        ..pb::CreateSuppressionRequest::default()
    };
    client
        .suppressions()
        .create_suppression(request)
        .await
        .unwrap();
    let acknowledged = frozen.world.sink.mark().await;
    frozen.thaw();
    let invite = frozen.is_cancelled_and_told().await;
    assert!(invite.at > acknowledged, "it was not late: {invite:?}");
}

/// A world in which a node stands still with an INVITE in its hand.
struct Frozen {
    world: World,
    node: usize,
    number: String,
    call: CallId,
}

impl Frozen {
    async fn dialing(mut world: World) -> Self {
        let once = world.folder.path().join("freeze");
        block_in_place(|| {
            let library = build(world.folder.path());
            for node in &mut world.nodes {
                node.kill();
                node.under_freeze(&library, &once);
                node.start();
            }
        });
        std::fs::write(&once, "").unwrap();
        let number = world.people[RINGS].0.clone();
        let client = world.client(AGENT, 0).await;
        let request = place(&number, "", uuid::Uuid::new_v4().to_string(), GOOD_FOR);
        let placed = client.calls().place_call(request).await.unwrap();
        let call = placed.into_inner().call.unwrap();
        let mut node = None;
        block_in_place(|| {
            until("a node to freeze", 30, || {
                node = world.nodes.iter().position(super::world::Node::is_stopped);
                node.is_some()
            });
        });
        Self {
            node: node.unwrap(),
            number,
            call: call.call_id.parse().unwrap(),
            world,
        }
    }

    fn thaw(&mut self) {
        let sent = self.world.sink.packets();
        assert!(sent.is_empty(), "it was stopped too late: {sent:?}");
        signal(self.world.nodes[self.node].pid(), "CONT");
    }

    /// Waits for the end, and answers the INVITE.
    async fn is_cancelled_and_told(&mut self) -> Packet {
        let ledger = Ledger::open(&self.world).await;
        ledger.settled(Duration::from_secs(30)).await;
        let packets = self.world.sink.packets();
        let heard: Vec<&Packet> = packets.iter().filter(|packet| !packet.sent).collect();
        let words: Vec<&str> = heard.iter().map(|packet| packet.what.as_str()).collect();
        assert_eq!(words, ["INVITE", "CANCEL", "ACK"], "{packets:?}");
        let delay = heard[1].at - heard[0].at;
        assert!(delay < Duration::from_secs(1), "CANCEL after {delay:?}");

        let store = self.world.store().await;
        let events = events(&store, self.call).await;
        let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
        let late = kinds.iter().position(|kind| *kind == EventKind::LateSend);
        assert!(late.is_some(), "{kinds:?}");
        let last = events.last().unwrap();
        assert_eq!(last.kind, EventKind::Ended);
        assert_eq!(last.detail.outcome, Some(Outcome::Canceled));
        assert_eq!(late_entries(&store).await, [self.call]);
        let log = self.world.nodes[self.node].log();
        assert!(log.contains("an INVITE left later than the barrier allows"));
        block_in_place(|| {
            self.world
                .nodes
                .iter_mut()
                .for_each(super::world::Node::stop)
        });
        heard[0].clone()
    }
}

async fn events(store: &Store, call: CallId) -> Vec<CallEvent> {
    let mut tx = store.read().await.unwrap();
    tx.events_after(&TenantId::default(), call, 0, 100)
        .await
        .unwrap()
}

/// The calls of which the audit log says that an INVITE left late.
async fn late_entries(store: &Store) -> Vec<CallId> {
    let query = ListQuery {
        filter: Filter::parse("kind = \"late_send\"", AUDIT_FIELDS).unwrap(),
        page_size: 10,
        after: None,
    };
    let mut tx = store.read().await.unwrap();
    let entries = tx.audit_entries(&TenantId::default(), &query).await;
    let entries = entries.unwrap().rows.into_iter();
    entries
        .map(|entry| entry.payload["call_id"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Builds what stops the process; a C compiler is there wherever Rust links.
fn build(folder: &Path) -> PathBuf {
    let library = folder.join("freeze.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/joints/freeze.c");
    done(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", text(&library)])
            .arg(text(&source))
            .arg("-ldl"),
        "cc",
    );
    library
}
