//! How a node ends, and what it says meanwhile: on SIGTERM, without its database, and when a task fails that it cannot do
//! without.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::gate::{Campaigns, Gate, GateConfig};
use dialgate::grpc::client::{Client, Code, Status};
use dialgate::grpc::pb;
use dialgate::policy::Pack;
use dialgate::sip::{Datagrams, Endpoint, SipConfig};
use tokio::task::block_in_place;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::database::Database;
use super::ledger::Ledger;
use super::link::{Link, State};
use super::sink::now;
use super::world::{AGENT, Home, World, place, signal, until};
use crate::gate::bench::{Bench, campaign, phone};
use crate::support::builders::TestStore;
use crate::support::streams::NoStreams;

/// The index of somebody whose phone rings until it is cancelled.
const RINGS: usize = 2;

/// What tells the child of the next test that it is one: a filter that matches no test.
const CHILD: &str = "as-the-child-that-aborts";

/// A node that went on without the gate's task would answer nobody, and its calls would stay claimed.
#[test]
fn p04_a_node_ends_when_a_task_fails_that_it_cannot_do_without() {
    if std::env::args().any(|argument| argument == CHILD) {
        return fail_at_the_gate();
    }
    let this = "p04_a_node_ends_when_a_task_fails_that_it_cannot_do_without";
    aborts(this, "the clock is broken");
}

/// A node that went on without its SIP endpoint would claim one call after the other, and use their attempts up.
#[test]
fn p04_a_node_ends_when_its_sip_endpoint_fails() {
    if std::env::args().any(|argument| argument == CHILD) {
        return fail_at_the_socket();
    }
    let this = "p04_a_node_ends_when_its_sip_endpoint_fails";
    aborts(this, "the socket is broken");
}

/// This binary runs the test once more in a process of its own, where a task panics with these words.
fn aborts(test: &str, words: &str) {
    let this = format!("joints::endings::{test}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &this, CHILD, "--nocapture", "--test-threads=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut status = None;
    until("the child to end", 60, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let told = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    const SIGABRT: i32 = 6;
    assert_eq!(status.unwrap().signal(), Some(SIGABRT), "{told}");
    assert!(told.contains(words), "{told}");
}

/// Fails at the first look for a datagram.
#[derive(Debug)]
struct Broken;

impl Datagrams for Broken {
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([192, 0, 2, 1], 5060)))
    }

    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        panic!("the socket is broken")
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn try_recv_from(&self, _: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }

    fn try_send_to(&self, _: &[u8], _: SocketAddr) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

fn fail_at_the_socket() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let _endpoint = Endpoint::over(
            Box::new(Broken),
            Box::new(NoStreams),
            &SipConfig::default(),
            Clock::Real,
        )
        .unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
}

fn fail_at_the_gate() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bench = Bench::over(TestStore::sqlite().await).await;
        let request = bench.request("+14045550141");
        let clock = Clock::Manual(ManualClock::at(bench.now()));
        let readings = AtomicU32::new(0);
        let broken = move || match readings.fetch_add(1, Ordering::SeqCst) {
            0 => clock.read(),
            _ => panic!("the clock is broken"),
        };
        let gate = Gate::start(
            bench.store.store.clone(),
            Arc::new(Pack::embedded().unwrap()),
            Campaigns::new(vec![campaign("us", "US", "seller")]),
            GateConfig::default(),
            Arc::new(broken),
        );
        let _ = gate.check(request).await;
        // What would go on if the process did.
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_a_node_that_drains_says_that_it_serves_no_more() {
    let mut world = World::build(Home::Sqlite, 1, RINGS + 1).await;
    let client = world.client(AGENT, 0).await;
    let number = world.people[RINGS].0.clone();
    let wish = || {
        let id = uuid::Uuid::new_v4().to_string();
        place(&number, "", id, Duration::from_secs(60))
    };
    client.calls().place_call(wish()).await.unwrap();
    let give_up = now() + Duration::from_secs(30);
    while world.sink.rings(&number) == 0 {
        assert!(now() < give_up, "it does not ring");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let address = format!("http://127.0.0.1:{}", world.nodes[0].grpc_port);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let mut ask = async || {
        let request = HealthCheckRequest::default();
        health
            .check(request)
            .await
            .map(|told| told.into_inner().status())
    };
    assert_eq!(ask().await.unwrap(), ServingStatus::Serving);
    signal(world.nodes[0].pid(), "TERM");
    let begun = now();
    // The phone rings for as long as the node drains; the one look a second must come well before.
    while ask().await.unwrap() != ServingStatus::NotServing {
        assert!(
            now() - begun < Duration::from_secs(4),
            "it says that it serves"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = client.calls().place_call(wish()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let heard = |what: &str| {
        world
            .sink
            .packets()
            .iter()
            .any(|packet| packet.what == what)
    };
    assert!(!heard("CANCEL"), "it did not drain: it had ended its calls");
    block_in_place(|| world.nodes[0].stop());
    let heard = |what: &str| {
        world
            .sink
            .packets()
            .iter()
            .any(|packet| packet.what == what)
    };
    assert!(heard("CANCEL") && heard("487"));
    assert_eq!(Ledger::open(&world).await.unsettled().await, (0, 0, 0));
}

/// Without the database nothing is acknowledged, and nobody waits for ever; with it the same request is, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_an_opt_out_that_cannot_be_stored_is_not_acknowledged() {
    /// What a client is told to wait for at most; the server's own limits are shorter.
    const PATIENCE: Duration = Duration::from_secs(20);
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let link = Link::to(database.folder());
    let mut world = World::build(Home::Postgres(database), 2, 1).await;
    world.reconfigure(1, &Database::url_by(link.folder()));
    block_in_place(|| world.nodes[1].start());
    let client = world.client(AGENT, 1).await;
    for (index, state) in [State::Cut, State::Still].into_iter().enumerate() {
        let number = format!("+6125550090{index}");
        let request = opt_out(&number);
        link.set(state);
        let begun = now();
        let told = tokio::time::timeout(PATIENCE, suppress(&client, &request)).await;
        match (state, told) {
            (_, Ok(Ok(id))) => panic!("{state:?}: {id} was acknowledged"),
            // A network that drops everything tells nobody anything; the client's own limit ends it.
            (State::Still, Err(_)) => {}
            (_, Err(_)) => panic!("{state:?}: no answer for {PATIENCE:?}"),
            (_, Ok(Err(status))) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        eprintln!("figures: {state:?}, told after {:.1?}", now() - begun);
        link.set(State::Open);
        let give_up = now() + Duration::from_secs(30);
        let first = loop {
            match suppress(&client, &request).await {
                Ok(id) => break id,
                Err(status) => assert!(now() < give_up, "{status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(suppress(&client, &request).await.unwrap(), first);
        let key = world
            .store()
            .await
            .hasher()
            .key(&Default::default(), phone(&number));
        let mut tx = world.store().await.read().await.unwrap();
        let now = Clock::Real.read().wall;
        let found = tx
            .covering(&Default::default(), &[key], None, now)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{state:?}");
    }
}

fn opt_out(number: &str) -> pb::CreateSuppressionRequest {
    pb::CreateSuppressionRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        subject: Some(pb::create_suppression_request::Subject::Number(
            number.to_owned(),
        )),
        reason: pb::SuppressionReason::PartyRequest.into(),
        source: pb::SuppressionSource::Agent.into(),
        ..pb::CreateSuppressionRequest::default()
    }
}

async fn suppress(
    client: &Client,
    request: &pb::CreateSuppressionRequest,
) -> Result<String, Status> {
    let mut suppressions = client.suppressions();
    let told = suppressions.create_suppression(request.clone()).await?;
    Ok(told.into_inner().suppression.unwrap().suppression_id)
}
