//! Processes are killed at random instants under load, and started again: P-01, P-02, P-03, P-04, P-07, P-08 and P-16 hold
//! of what is left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::{JoinSet, block_in_place};

use super::database::Database;
use super::ledger::{Ledger, figures};
use super::load::{Load, Mix};
use super::rng::{Rng, seed, size};
use super::sink::{Failing, Part, now};
use super::world::{Home, World};
use crate::support::history::{At, History, check};
use crate::support::log::must_hold;

const MIX: Mix = Mix {
    opt_outs: 14,
    lifts: 16,
    consents: 6,
    checks: 6,
    doubled: 15,
    aimed: 0,
};
const CLIENTS: usize = 8;
const PEOPLE: usize = 40;
/// Ring time-out, dead-worker detection and its sweep; the promise is 60 s from the restart.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_p02_p03_p04_p07_p08_p16_hold_on_sqlite_when_the_server_is_killed() {
    run(Home::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_p02_p03_p04_p07_p08_p16_hold_on_postgres_when_servers_and_the_database_are_killed() {
    if let Some(database) = block_in_place(Database::create) {
        run(Home::Postgres(database), 2).await;
    }
}

/// The same requests from several clients at once and again later, over two nodes that are killed in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_a_request_that_is_made_again_and_again_counts_once() {
    const MIX: Mix = Mix {
        opt_outs: 8,
        lifts: 9,
        consents: 0,
        checks: 0,
        doubled: 100,
        aimed: 0,
    };
    /// Tries that one request takes on average, nearly.
    const TRIES: usize = 3;
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let (seed, budget) = (seed(), size("DIALGATE_DUPLICATES", 600) / TRIES);
    let kills = (budget / 60).clamp(2, 500);
    // Many for many calls: it is not the count of one person's attempts that is to be tried.
    let people = PEOPLE.max(budget / 30);
    let mut world = World::build(Home::Postgres(database), 2, people).await;
    // Those whose calls are over soon: the queue is not to fill.
    world.people.retain(|(number, _)| {
        let part = matches!(
            Part::of(number),
            Part::Answers | Part::Busy | Part::ChallengesBusy
        );
        part && matches!(Failing::of(number), Failing::Never | Failing::Refuses)
    });
    block_in_place(|| world.nodes[1].start());
    let load = Load::of(&world, MIX, Duration::from_secs(120), budget).await;
    let mut clients = load.run(seed, CLIENTS);
    let mut rng = Rng::new(seed, 3);
    let begun = now();
    for kill in 0..kills {
        tell_progress(kill, kills, "kills", begun);
        progress(&load, &mut clients, budget * TRIES / kills).await;
        tokio::time::sleep(rng.millis(0, 100)).await;
        block_in_place(|| strike(&mut world, kill));
    }
    finish(&mut clients).await;
    let told = format!("{kills} kills in {:.1?}", now() - begun);
    conclude(&mut world, &load, true, &told).await;
}

async fn run(home: Home, nodes: usize) {
    let (seed, kills) = (seed(), size("DIALGATE_KILLS", 6));
    let mut world = World::build(home, nodes, PEOPLE).await;
    block_in_place(|| {
        world
            .nodes
            .iter_mut()
            .skip(1)
            .for_each(super::world::Node::start)
    });
    let load = Load::of(&world, MIX, Duration::from_secs(120), usize::MAX).await;
    let mut clients = load.run(seed, CLIENTS);
    let mut rng = Rng::new(seed, 1);
    let begun = now();
    for kill in 0..kills {
        tell_progress(kill, kills, "kills", begun);
        let operations = 10 + rng.below(80);
        progress(&load, &mut clients, operations).await;
        tokio::time::sleep(rng.millis(0, 300)).await;
        block_in_place(|| strike(&mut world, kill));
    }
    progress(&load, &mut clients, 50).await;
    let spent = now() - begun;
    load.stop();
    finish(&mut clients).await;
    let per_kill = spent / u32::try_from(kills.max(1)).unwrap();
    let told = format!("{kills} kills in {spent:.1?}, {per_kill:.2?} each");
    conclude(&mut world, &load, true, &told).await;
}

/// Says every now and then how far a long run has come.
pub fn tell_progress(done: usize, of: usize, what: &str, begun: At) {
    if of >= 50 && done > 0 && done.is_multiple_of(of / 20) {
        eprintln!("{done} of {of} {what} after {:.0?}", now() - begun);
    }
}

/// Kills the next in turn, and starts it again.
pub fn strike(world: &mut World, turn: usize) {
    let targets = world.nodes.len() + usize::from(matches!(world.home, Home::Postgres(_)));
    let target = turn % targets;
    match (world.nodes.get_mut(target), &mut world.home) {
        (Some(node), _) => {
            node.kill();
            node.start();
        }
        (None, Home::Postgres(database)) => database.kill_and_restart(),
        (None, Home::Sqlite) => unreachable!("an embedded store has no process"),
    }
}

/// Waits until so many more requests were answered.
pub async fn progress(load: &Load, clients: &mut JoinSet<()>, operations: usize) {
    let goal = load.answered.load(Ordering::SeqCst) + operations;
    let give_up = now() + Duration::from_secs(90);
    while load.answered.load(Ordering::SeqCst) < goal {
        match clients.try_join_next() {
            Some(ended) => ended.unwrap(),
            None if clients.is_empty() => return,
            None => {}
        }
        assert!(now() < give_up, "nothing moves");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for the clients' last answers.
pub async fn finish(clients: &mut JoinSet<()>) {
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

/// Waits for the end of everything, stops the nodes, and checks what is left.
pub async fn conclude(world: &mut World, load: &Arc<Load>, honest: bool, told: &str) -> History {
    let ledger = Ledger::open(world).await;
    let waited = ledger.settled(RECOVERY_MAX).await;
    block_in_place(|| world.nodes.iter_mut().for_each(super::world::Node::stop));
    let read = now();
    let history = History {
        operations: load.take(),
        packets: world.sink.take(),
        stored: ledger.read(world, honest).await,
        lossless: true,
    };
    // Whoever was killed in the middle of a turn: every effect has its entry (the checker counts), and every entry its place.
    let logged = must_hold(&world.store().await).await.len();
    let checked = now();
    let wrong = block_in_place(|| check(&history));
    let store = match &world.home {
        Home::Sqlite => "SQLite",
        Home::Postgres(_) => "PostgreSQL",
    };
    eprintln!(
        "figures: {store}, {told}; {}; {logged} entries in the log; settled in {waited:.1?}:{}; {} violations (read in {:.1?}, checked in {:.1?})",
        figures(&history),
        ledger.outcomes().await,
        wrong.len(),
        checked - read,
        now() - checked,
    );
    if !wrong.is_empty() {
        let kept = world.keep_logs();
        let told: Vec<String> = wrong.iter().take(20).map(ToString::to_string).collect();
        panic!(
            "{} violations; logs in {}:\n{}",
            wrong.len(),
            kept.display(),
            told.join("\n")
        );
    }
    history
}
