//! Many clients follow a call: they hear of each event at once on every node, and cost the store next to nothing while
//! nothing happens. `DIALGATE_FOLLOWERS` makes them more.

use std::time::Duration;

use dialgate::grpc::client::Client;
use dialgate::grpc::pb;
use dialgate::grpc::pb::watch_call_response::Content;
use sqlx::postgres::PgPool;
use tokio::task::{JoinSet, block_in_place};

use super::database::Database;
use super::rng::size;
use super::sink::{Sink, now};
use super::world::{AGENT, Home, World, place};

/// The index of somebody whose phone rings until it is cancelled.
const RINGS: usize = 2;
/// Streams that one connection takes, and some to spare.
const A_CONNECTION: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_hear_at_once_and_let_the_store_rest() {
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let url = database.url();
    let mut world = World::build(Home::Postgres(database), 2, RINGS + 1).await;
    block_in_place(|| world.nodes[1].start());
    let pool = PgPool::connect(&url).await.unwrap();
    let number = world.people[RINGS].0.clone();
    let agents = [world.client(AGENT, 0).await, world.client(AGENT, 1).await];
    let id = || uuid::Uuid::new_v4().to_string();
    let request = place(&number, "", id(), Duration::from_secs(60));
    let placed = agents[0].calls().place_call(request).await.unwrap();
    let call_id = placed.into_inner().call.unwrap().call_id;
    rings(&world.sink, &number).await;
    let alone = transactions(&pool, Duration::from_secs(3)).await;

    let count = size("DIALGATE_FOLLOWERS", 100);
    let mut followers = JoinSet::new();
    let mut clients = Vec::new();
    for index in 0..count {
        if index % A_CONNECTION == 0 {
            clients = vec![world.client(AGENT, 0).await, world.client(AGENT, 1).await];
        }
        followers.spawn(end_of(clients[index % 2].clone(), call_id.clone()));
    }
    // Their first readings.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let followed = transactions(&pool, Duration::from_secs(4)).await;

    let hang_up = pb::HangUpCallRequest {
        request_id: id(),
        call_id,
    };
    let asked = now();
    agents[1].calls().hang_up_call(hang_up).await.unwrap();
    let mut heard: Vec<Duration> = followers.join_all().await;
    heard.iter_mut().for_each(|at| *at -= asked);
    heard.sort();
    let (half, last) = (heard[count / 2], heard[count - 1]);
    let each = (followed - alone).max(0.0) / count as f64;
    eprintln!(
        "figures: {count} followers: {alone:.0} transactions a second without them, {followed:.0} with them, \
         {each:.2} each; the end was heard after p50 {half:.3?}, at most {last:.3?}"
    );
    assert!(each < 1.0, "each reads {each} times a second");
    assert!(
        half < Duration::from_secs(1),
        "they wait for their own look"
    );
}

async fn rings(sink: &Sink, number: &str) {
    let give_up = now() + Duration::from_secs(30);
    while sink.rings(number) == 0 {
        assert!(now() < give_up, "it does not ring");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// When this client heard the call's last event.
async fn end_of(client: Client, call_id: String) -> Duration {
    let request = pb::WatchCallRequest {
        call_id,
        ..pb::WatchCallRequest::default()
    };
    let mut stream = client
        .calls()
        .watch_call(request)
        .await
        .unwrap()
        .into_inner();
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(Content::Event(event)) = message.content
            && event.kind() == pb::CallEventKind::Ended
        {
            return now();
        }
    }
}

/// Transactions a second, over that time.
async fn transactions(pool: &PgPool, span: Duration) -> f64 {
    async fn count(pool: &PgPool) -> i64 {
        let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    }
    let (before, begun) = (count(pool).await, now());
    tokio::time::sleep(span).await;
    let counted = count(pool).await - before;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let counted = counted as f64;
    counted / (now() - begun).as_secs_f64()
}
