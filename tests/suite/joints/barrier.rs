//! P-03 over several nodes: no INVITE datagram follows an acknowledged opt-out, whatever stops, hangs, is cut off or gets
//! another time of day; and what rings then is cancelled.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;

use super::database::Database;
use super::kill_loop::{conclude, finish, progress, tell_progress};
use super::link::{Link, State};
use super::load::{Load, Mix};
use super::rng::{Rng, seed, size};
use super::sink::now;
use super::world::{Home, Node, World, signal};
use crate::support::history::{At, Cancel, History, cancels};

const MIX: Mix = Mix {
    opt_outs: 24,
    lifts: 26,
    consents: 4,
    checks: 2,
    doubled: 10,
    aimed: 40,
};
const CLIENTS: usize = 10;
/// Ten of each way in which the first target fails, or does not.
const PEOPLE: usize = 50;
/// Longer than a node's clock is ever moved.
const GOOD_FOR: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_an_opt_out_is_a_barrier_over_three_nodes_on_postgres() {
    let Some(database) = block_in_place(Database::create) else {
        return;
    };
    let folder = database.folder().to_owned();
    let world = World::build(Home::Postgres(database), 3, PEOPLE).await;
    run(Stage::set(world, &[Link::to(&folder), Link::to(&folder)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p03_an_opt_out_is_a_barrier_on_sqlite() {
    run(Stage::set(World::build(Home::Sqlite, 1, PEOPLE).await, &[])).await;
}

/// The world, what can be done to it, and to which node something was done and when.
struct Stage<'a> {
    world: World,
    /// Of the last nodes.
    links: &'a [Link],
    /// What the last node's clock is read from, if it can be moved.
    clock: Option<PathBuf>,
    disturbed: Vec<Disturbance>,
}

/// Something was done to the node with this port.
struct Disturbance {
    node: u16,
    from: At,
    until: At,
    killed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Stopped for longer than a permit lives, and set going again.
    Stop,
    Kill,
    Cut,
    Still,
    /// The wall clock, by five minutes or back.
    Step,
}

impl<'a> Stage<'a> {
    fn set(mut world: World, links: &'a [Link]) -> Self {
        let last = world.nodes.len() - 1;
        for (index, link) in links.iter().enumerate() {
            let node = last + 1 - links.len() + index;
            world.reconfigure(node, &Database::url_by(link.folder()));
        }
        let mut clock = None;
        if let Some(library) = faketime() {
            let file = world.folder.path().join("offset");
            std::fs::write(&file, "+0\n").unwrap();
            let node = &mut world.nodes[last];
            block_in_place(|| node.kill());
            node.under_clock(&library, &file);
            clock = Some(file);
        }
        block_in_place(|| {
            world
                .nodes
                .iter_mut()
                .filter(|node| !node.runs())
                .for_each(Node::start)
        });
        Self {
            world,
            links,
            clock,
            disturbed: Vec::new(),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![Fault::Stop, Fault::Kill];
        if !self.links.is_empty() {
            faults.extend([Fault::Cut, Fault::Still]);
        }
        if self.clock.is_some() {
            faults.push(Fault::Step);
        }
        faults
    }

    async fn suffer(&mut self, fault: Fault, rng: &mut Rng) {
        let begun = now();
        let count = self.world.nodes.len();
        let mut node = rng.below(count);
        match fault {
            Fault::Stop => {
                let pid = self.world.nodes[node].pid();
                signal(pid, "STOP");
                tokio::time::sleep(rng.millis(1_400, 3_500)).await;
                signal(pid, "CONT");
            }
            Fault::Kill => block_in_place(|| {
                self.world.nodes[node].kill();
                self.world.nodes[node].start();
            }),
            Fault::Cut | Fault::Still => {
                let link = rng.below(self.links.len());
                node = count - self.links.len() + link;
                self.links[link].set(if matches!(fault, Fault::Cut) {
                    State::Cut
                } else {
                    State::Still
                });
                tokio::time::sleep(rng.millis(200, 4_000)).await;
                self.links[link].set(State::Open);
            }
            Fault::Step => {
                node = count - 1;
                let offset = *rng.pick(&["+300", "-300", "+0", "+2", "-2"]);
                // In one step, so that nobody reads half of it.
                let file = self.clock.clone().unwrap();
                let new = file.with_extension("new");
                std::fs::write(&new, format!("{offset}\n")).unwrap();
                std::fs::rename(new, file).unwrap();
            }
        }
        self.disturbed.push(Disturbance {
            node: self.world.nodes[node].sip_port,
            from: begun,
            until: now(),
            killed: matches!(fault, Fault::Kill),
        });
    }
}

/// The library that gives a process another time of day; none where it is not installed, which in CI is a failure.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let found = folders
        .map(|each| each.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists());
    if found.is_none() {
        let told = "libfaketime is not installed: ./tests/run installs it";
        assert!(std::env::var_os("CI").is_none(), "{told}");
        eprintln!("no clock is moved: {told}");
    }
    found
}

/// A node that is disturbed so soon after an opt-out was not left alone with it.
const LEFT_ALONE: Duration = Duration::from_secs(3);

async fn run(mut stage: Stage<'_>) {
    let (seed, count) = (seed(), size("DIALGATE_BARRIER_FAULTS", 8));
    let load = Load::of(&stage.world, MIX, GOOD_FOR, usize::MAX).await;
    let mut rng = Rng::new(seed, 2);
    // Left alone at first, so that there are calls whose CANCEL nothing excuses.
    load.opt_out_who_rings(&mut rng).await;
    tokio::time::sleep(LEFT_ALONE).await;
    let mut clients = load.run(seed, CLIENTS);
    let faults = stage.faults();
    progress(&load, &mut clients, 400).await;
    let begun = now();
    for turn in 0..count {
        tell_progress(turn, count, "faults", begun);
        let operations = 20 + rng.below(80);
        progress(&load, &mut clients, operations).await;
        stage.suffer(faults[turn % faults.len()], &mut rng).await;
    }
    progress(&load, &mut clients, 150).await;
    load.stop();
    finish(&mut clients).await;
    let told = format!("{count} faults in {:.1?}", now() - begun);
    let honest = stage.clock.is_none();
    let history = conclude(&mut stage.world, &load, honest, &told).await;
    cancelled_in_time(&history, &stage.disturbed);
}

/// What rang when an opt-out was asked for is cancelled within a second of its acknowledgement, by nodes that were left
/// alone.
fn cancelled_in_time(history: &History, disturbed: &[Disturbance]) {
    const AT_MOST: Duration = Duration::from_secs(1);
    /// What a stopped or cut off node needs to find its way back.
    const AFTERMATH: Duration = Duration::from_secs(6);
    /// One of each phone that goes on ringing, before anything else happens; the load adds many more.
    const SAMPLES_MIN: usize = PEOPLE / 5;
    let found = cancels(history, |invite, at| {
        disturbed.iter().any(|it| {
            // What a killed process had dialed, nobody can cancel.
            let over = it.killed && invite.at < it.until;
            it.node == invite.node
                && at + LEFT_ALONE > it.from
                && (over || at < it.until + AFTERMATH)
        })
    });
    let known: Vec<Cancel> = found.iter().filter_map(|cancel| *cancel).collect();
    let never = found.len() - known.len();
    let of = |span: fn(&Cancel) -> Duration| {
        let mut spans: Vec<Duration> = known.iter().map(span).collect();
        spans.sort();
        let at = |share: usize| spans.get(spans.len() * share / 100).copied();
        [at(50), at(99), spans.last().copied()].map(Option::unwrap_or_default)
    };
    let [p50, p99, max] = of(|cancel| cancel.acknowledged);
    let [p50_asked, p99_asked, max_asked] = of(|cancel| cancel.asked);
    eprintln!(
        "figures: {} calls rang behind an opt-out, {never} were never cancelled; CANCEL after its acknowledgement \
         p50 {p50:.3?}, p99 {p99:.3?}, at most {max:.3?}; after its start p50 {p50_asked:.3?}, p99 {p99_asked:.3?}, \
         at most {max_asked:.3?}",
        found.len(),
    );
    assert_eq!(never, 0, "a call rang on");
    assert!(
        known.len() >= SAMPLES_MIN,
        "only {} CANCELs were measured",
        known.len()
    );
    assert!(p99 <= AT_MOST, "CANCEL p99 {p99:?}");
}
