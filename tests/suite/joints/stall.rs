//! A node that stands still: PostgreSQL takes its transactions away after two seconds, and it must be back at work as soon
//! as it goes on, with connections that it first has to find broken.

use std::time::Duration;

use dialgate::grpc::client::Client;
use dialgate::grpc::pb;
use tokio::task::block_in_place;

use super::database::Database;
use super::kill_loop::{finish, progress};
use super::load::{Load, Mix};
use super::rng::seed;
use super::sink::now;
use super::world::{AGENT, CAMPAIGN, Home, World, signal};

const MIX: Mix = Mix {
    opt_outs: 14,
    lifts: 16,
    consents: 10,
    checks: 20,
    doubled: 0,
    aimed: 0,
};
const CLIENTS: usize = 8;
const ROUNDS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_is_back_at_once() {
    const AT_ONCE: Duration = Duration::from_secs(1);
    /// For a machine that does other things too: when a pool gives up.
    const AT_MOST: Duration = Duration::from_secs(5);
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let world = World::build(Home::Postgres(database), 1, 20).await;
    let (client, number) = (world.client(AGENT, 0).await, &world.people[0].0);
    let seed = seed();
    let mut back = Vec::new();
    for round in 0..ROUNDS {
        let load = Load::of(&world, MIX, Duration::from_secs(60), usize::MAX).await;
        let mut clients = load.run(seed.wrapping_add(2 * round), CLIENTS);
        progress(&load, &mut clients, 60).await;
        let pid = world.nodes[0].pid();
        signal(pid, "STOP");
        load.stop();
        tokio::time::sleep(Duration::from_secs(3)).await;
        signal(pid, "CONT");
        let begun = now();
        for step in 0..3 {
            let told = match step {
                1 => opt_out(&client, number).await,
                _ => check(&client, number).await,
            };
            told.unwrap();
        }
        back.push(now() - begun);
        finish(&mut clients).await;
    }
    eprintln!("figures: back at work after {back:.3?}");
    let log = world.nodes[0].log();
    assert!(
        log.contains("error communicating with database") || log.contains("25P03"),
        "no transaction was taken away"
    );
    back.sort();
    assert!(back[0] < AT_ONCE && back[1] < AT_MOST, "{back:?}");
}

async fn check(client: &Client, number: &str) -> Result<(), tonic::Status> {
    let request = pb::CheckCallRequest {
        to: number.to_owned(),
        campaign: CAMPAIGN.to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..pb::CheckCallRequest::default()
    };
    client.calls().check_call(request).await.map(drop)
}

/// Of a number that nobody calls, so that it waits for no barrier.
async fn opt_out(client: &Client, number: &str) -> Result<(), tonic::Status> {
    let other = number.replace("+612555000", "+612555009");
    let request = pb::CreateSuppressionRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        subject: Some(pb::create_suppression_request::Subject::Number(other)),
        reason: pb::SuppressionReason::PartyRequest.into(),
        source: pb::SuppressionSource::Agent.into(),
        ..pb::CreateSuppressionRequest::default()
    };
    client
        .suppressions()
        .create_suppression(request)
        .await
        .map(drop)
}
