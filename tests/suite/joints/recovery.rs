//! P-04's minute: a node is killed while its phones ring, and what it left is closed as `interrupted_unknown` within 60 s of
//! its next start, however much that is; nobody is called again.

use std::time::Duration;

use tokio::task::{JoinSet, block_in_place};

use super::database::Database;
use super::ledger::Ledger;
use super::rng::size;
use super::sink::now;
use super::world::{AGENT, Home, Node, World, place};

/// Everybody's phone rings until it is cancelled: numbers that end in 2.
const EACH: usize = 10;
const RINGS: usize = 2;
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p04_a_killed_nodes_calls_are_closed_within_a_minute_on_sqlite() {
    recovers(Home::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p04_a_killed_nodes_calls_are_closed_within_a_minute_on_postgres() {
    if let Some(database) = block_in_place(Database::create) {
        recovers(Home::Postgres(database)).await;
    }
}

async fn recovers(home: Home) {
    let count = size("DIALGATE_RINGING", 40);
    let mut world = World::build(home, 1, 0).await;
    let numbers: Vec<String> = (0..count)
        .map(|index| format!("+612555{:05}", index * EACH + RINGS))
        .collect();
    world.introduce(&numbers).await;
    block_in_place(|| {
        let node = &mut world.nodes[0];
        node.stop();
        node.set("DIALGATE__TRUNK__CARRIER__CHANNELS", "5000");
        node.set("DIALGATE__TRUNK__CARRIER__QUEUE_MAX", "5000");
        // Nothing may end by itself while the rest begins to ring.
        node.set("DIALGATE__TRUNK__CARRIER__RING_TIMEOUT_SECONDS", "600");
        node.start();
    });
    place_all(&world, &numbers).await;
    let give_up = now() + Duration::from_secs(120);
    while !numbers.iter().all(|number| world.sink.rings(number) > 0) {
        assert!(now() < give_up, "not every phone rings");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    block_in_place(|| world.nodes[0].kill());
    world.sink.mark().await;
    let dialed = invites(&world);
    let ledger = Ledger::open(&world).await;
    let (calls, attempts, _) = ledger.unsettled().await;
    let all = i64::try_from(count).unwrap();
    assert_eq!((calls, attempts), (all, all));
    block_in_place(|| world.nodes[0].start());
    let waited = ledger.settled(WITHIN).await;
    eprintln!(
        "figures: {count} ringing calls of a killed node closed {waited:.1?} after its start:{}",
        ledger.outcomes().await
    );
    // Some rang at the trunk's second target: their first claims are superseded.
    let told = ledger.outcomes().await;
    let closed = format!("interrupted_unknown={count}");
    assert!(told.split_whitespace().any(|word| word == closed), "{told}");
    assert_eq!(invites(&world), dialed, "somebody was called again");
    block_in_place(|| world.nodes.iter_mut().for_each(Node::stop));
}

/// INVITE datagrams so far.
fn invites(world: &World) -> usize {
    let packets = world.sink.packets().into_iter();
    packets
        .filter(|packet| !packet.sent && packet.what == "INVITE")
        .count()
}

/// Some at a time, as so many softphones would.
async fn place_all(world: &World, numbers: &[String]) {
    const GOOD_FOR: Duration = Duration::from_secs(600);
    let mut softphones = JoinSet::new();
    for part in numbers.chunks(numbers.len().div_ceil(16)) {
        let (client, part) = (world.client(AGENT, 0).await, part.to_vec());
        softphones.spawn(async move {
            for number in part {
                let wish = place(&number, "", uuid::Uuid::new_v4().to_string(), GOOD_FOR);
                let placed = client.calls().place_call(wish).await.unwrap();
                assert!(placed.into_inner().call.is_some(), "{number} was refused");
            }
        });
    }
    while let Some(done) = softphones.join_next().await {
        done.unwrap();
    }
}
