//! The one thread that moves time, lets datagrams arrive and nodes run in an order drawn by the seed, and does the damage.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::domain::ids::TenantId;
use dialgate::gate::{Campaigns, Gate, GateConfig};
use dialgate::policy::Pack;
use dialgate::store::{Store, StoreConfig};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::checks::{Checks, Observer};
use super::node::{BEGINNING, CAMPAIGNS, Node, campaign};
use super::trace::Trace;
use super::vessel::Doom;
use super::workload::{Load, Person, ask, introduce};
use super::world::{NODES, Shared, Weather, World, node_at};
use crate::joints::rng::Rng;

const PEOPLE: usize = 60;
/// Between two looks at the tables.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// When the damage is over, all is settled within a minute; what still rings then may take its time to be cancelled.
const SETTLED_WITHIN: Duration = Duration::from_secs(75);

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// How long people want things and things break.
    pub load: Duration,
    pub per_second: u32,
}

pub struct Report {
    pub hash: (u64, u64),
    pub allowed: usize,
    pub went_on: usize,
    pub went_over: usize,
    pub for_agents: usize,
    text: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

thread_local! {
    /// The seed that this thread runs.
    static RUNNING: Cell<Option<u64>> = const { Cell::new(None) };
    /// A task of a node panicked; its runtime would keep it to itself.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// A seed must be known even when the process ends on the spot, as it does when a vital task fails: so it goes to the
/// real standard error, not to the one that the test harness holds back.
fn tell_seed_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(seed) = RUNNING.get() {
                PANICKED.set(true);
                let _ = writeln!(
                    std::io::stderr(),
                    "simulation: DIALGATE_SEED={seed} fails: {panic}"
                );
            }
            before(panic);
        }));
    });
}

/// One run from beginning to end; panics if anything is wrong.
pub fn run(seed: u64, size: Size, name: &str) -> Report {
    tell_seed_on_panic();
    RUNNING.set(Some(seed));
    PANICKED.set(false);
    // Told before anything can hang.
    eprintln!("simulation: DIALGATE_SEED={seed} begins");
    let began = Clock::Real.read().mono;
    let mut simulation = Simulation::new(seed, name);
    let report = simulation.run(size);
    let real = Clock::Real.read().mono.since(began);
    RUNNING.set(None);
    let text = format!(
        "seed {seed}: {report} in {real:.1?}, {:.0} calls a second",
        simulation.world().load.figures.allowed as f64 / real.as_secs_f64()
    );
    let world = simulation.world();
    Report {
        hash: world.trace.hash(),
        allowed: world.load.figures.allowed,
        went_on: world.checks.went_on,
        went_over: world.checks.went_over,
        for_agents: world.checks.for_agents,
        text,
    }
}

struct Simulation {
    rng: Rng,
    world: Shared,
    nodes: Vec<Node>,
    store: StoreConfig,
    looked: Duration,
    mended: bool,
    /// Thousandths of an arrival.
    owed: u64,
    weather_until: Duration,
    deaths: BTreeMap<(usize, u64), Duration>,
    damage: BTreeMap<&'static str, usize>,
    // Last: the files go when nobody uses them any more.
    _folder: tempfile::TempDir,
}

impl Simulation {
    fn new(seed: u64, name: &str) -> Self {
        // Neighbouring seeds shall have nothing in common: the finisher of SplitMix64.
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let seed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let (store, file) = store_in(folder.path());
        let template = template();
        std::fs::write(&file, &template.database).unwrap();
        let checks = Checks::new(Observer::new(&file), &template.people);
        let people = template
            .people
            .iter()
            .map(|(person, _)| person.clone())
            .collect();
        let world = World::new(seed, Trace::new(name), checks, Load::new(seed, people));
        Self {
            rng: Rng::new(seed, 4),
            world: Arc::new(Mutex::new(world)),
            nodes: (0..NODES).map(Node::new).collect(),
            store,
            looked: Duration::ZERO,
            mended: false,
            owed: 0,
            weather_until: Duration::ZERO,
            deaths: BTreeMap::new(),
            damage: BTreeMap::new(),
            _folder: folder,
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn run(&mut self, size: Size) -> String {
        for index in 0..NODES {
            self.start(index);
        }
        while self.world().now < size.load {
            let span = self.step();
            self.arrivals(size, span);
            self.break_something(span);
        }
        self.mend();
        let mended = self.world().now;
        loop {
            self.step();
            let now = self.world().now;
            let world = self.world();
            let quiet = world.load.is_quiet() && world.now >= self.looked;
            if quiet && world.checks.observer.unsettled() == (0, 0, 0) {
                break;
            }
            let left = world.checks.observer.unsettled();
            drop(world);
            if now - mended > SETTLED_WITHIN {
                self.fail(&[format!(
                    "P-04: calls, attempts and permits are left after {SETTLED_WITHIN:?}: {left:?}"
                )]);
            }
            // Whoever waits for the end looks now and then, and in the end hangs up what nobody else does.
            let until = now + Duration::from_secs(4);
            while self.world().now < until {
                self.step();
            }
            let mut world = self.world();
            let up = world.checks.observer.under_way();
            let now = world.now;
            world.load.hang_up(now, up);
        }
        self.settle(mended)
    }

    /// Everything is over: the whole of it is judged.
    fn settle(&mut self, mended: Duration) -> String {
        let mut wrong = self.unnoticed();
        let world = self.world();
        wrong.extend(world.checks.observer.impossible());
        wrong.extend(world.checks.history(&world.load, &world.packets));
        drop(world);
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
        let mut world = self.world();
        let outcomes: String = world
            .checks
            .observer
            .outcomes()
            .iter()
            .map(|(outcome, count)| format!(" {outcome}={count}"))
            .collect();
        // What is left in the tables is part of what must be the same again.
        world.note(format_args!("left:{outcomes}"));
        let (lines, hash) = world.trace.hash();
        format!(
            "{:.0?} of virtual time, settled {:.0?} after the last damage; {:?}; {} INVITEs, {} calls went on to a second target, {} to a second trunk, {} were for agents; {} signs of life asked for, {} registrations; {:?};{outcomes}; {lines} steps, hash {hash:016x}",
            world.now,
            world.now - mended,
            world.load.figures,
            world.checks.invites,
            world.checks.went_on,
            world.checks.went_over,
            world.checks.for_agents,
            world.questions,
            world.registrations,
            self.damage
        )
    }

    /// INVITEs that left beyond the margin, of processes that lived on, and of which their history says nothing.
    fn unnoticed(&self) -> Vec<String> {
        let world = self.world();
        let told = world.checks.observer.late();
        let lived = |vessel: &(usize, u64)| !self.deaths.contains_key(vessel);
        let silent = world
            .checks
            .beyond
            .iter()
            .filter(|(call_id, vessel)| lived(vessel) && !told.contains(call_id));
        silent
            .map(|(call_id, vessel)| {
                format!("P-03: the late INVITE of {call_id} by {vessel:?} was not noticed")
            })
            .collect()
    }

    /// One step of time: what has arrived is delivered, who asks is heard, and every node runs until it has nothing to do.
    fn step(&mut self) -> Duration {
        // What is left when nothing breaks any more is to settle, and need not be seen in slow motion.
        let longest = if self.mended { 12 } else { 3 };
        let span = Duration::from_millis(self.rng.next() % longest + 1);
        self.world().pass(span);
        self.deliver();
        self.ask();
        let mut order: Vec<usize> = (0..NODES).collect();
        for index in 0..NODES {
            order.swap(index, index + self.rng.below(NODES - index));
        }
        for index in order {
            self.start(index);
            self.nodes[index].run(&self.world);
            let dying = self.nodes[index]
                .life()
                .is_some_and(|life| life.vessel.body().dying);
            if dying {
                let down = self.down();
                self.kill(index, down);
            }
        }
        self.judge();
        span
    }

    fn judge(&mut self) {
        let mut world = self.world();
        let now = world.now;
        world.checks.thaw(now);
        if now >= self.looked + LOOK_EVERY {
            world.checks.look();
            drop(world);
            self.looked = now;
            world = self.world();
        }
        let mut wrong = std::mem::take(&mut world.checks.wrong);
        drop(world);
        if PANICKED.get() {
            wrong.push("a task of a node panicked".to_owned());
        }
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
    }

    fn fail(&self, wrong: &[String]) -> ! {
        let tail = self.world().trace.tail();
        panic!(
            "{}\nthe last steps:{tail}\n{}",
            wrong.join("\n"),
            wrong.join("\n")
        );
    }

    fn deliver(&mut self) {
        let mut world = self.world();
        let now = world.now;
        world.net.pass(now);
        for flight in world.arrivals() {
            match node_at(flight.to) {
                Some(_) if let Some(wire) = flight.wire => {
                    if world.net.is_open(wire) {
                        world.net.deliver(wire, &flight.bytes);
                    }
                }
                None => {
                    let answers = world
                        .carrier
                        .hear(now, flight.to, flight.from, &flight.bytes);
                    world.answer(answers);
                }
                Some(index) => {
                    if let Some(life) = self.nodes[index].life() {
                        life.vessel.deliver(flight.bytes, flight.from);
                    }
                }
            }
        }
        let answers = world.carrier.act(now);
        world.answer(answers);
    }

    fn ask(&mut self) {
        let mut world = self.world();
        let now = world.now;
        world.load.give_up(now);
        for request in world.load.due(now) {
            let first = world.load.pick_node();
            let alive = (0..NODES)
                .map(|step| (first + step) % NODES)
                .find(|index| self.nodes[*index].life().is_some());
            let Some(life) = alive.and_then(|index| self.nodes[index].life()) else {
                world.load.put(now + Duration::from_millis(100), request);
                continue;
            };
            let task = ask(
                &mut world,
                Arc::clone(&life.vessel),
                life.gate.clone(),
                &request,
            );
            self.nodes[life.vessel.index].spawn(task);
        }
    }

    fn arrivals(&mut self, size: Size, span: Duration) {
        self.owed += u64::from(size.per_second) * u64::try_from(span.as_millis()).unwrap();
        let mut world = self.world();
        let now = world.now;
        for _ in 0..self.owed / 1_000 {
            world.load.arrive(now);
        }
        drop(world);
        self.owed %= 1_000;
    }

    fn start(&mut self, index: usize) {
        let world = self.world();
        // Opening a store writes, which must not wait for a lock that virtual time holds.
        let due = self.nodes[index].life().is_none()
            && self.nodes[index].down_until <= world.now
            && world.writer.is_none();
        drop(world);
        if due {
            self.nodes[index].start(&self.world, &self.store);
            self.wall_is(index);
        }
    }

    fn wall_is(&mut self, index: usize) {
        let offset = self.nodes[index].offset;
        let mut world = self.world();
        let now = world.now;
        world.checks.wall_is(index, now, offset);
    }

    fn kill(&mut self, index: usize, down: Duration) {
        let Some(life) = self.nodes[index].life() else {
            return;
        };
        let vessel = (index, life.vessel.life);
        self.nodes[index].kill();
        let mut world = self.world();
        let now = world.now;
        world.note(format_args!("node {index} is dead for {down:?}"));
        world.load.died(index, now);
        drop(world);
        self.deaths.insert(vessel, now);
        self.nodes[index].down_until = now + down;
        *self.damage.entry("deaths").or_default() += 1;
    }

    fn down(&mut self) -> Duration {
        match self.rng.percent(85) {
            true => self.rng.millis(50, 2_000),
            // Long enough for the others to bury what it left.
            false => self.rng.millis(20_000, 26_000),
        }
    }

    /// Now and then.
    fn break_something(&mut self, span: Duration) {
        let now = self.world().now;
        if now >= self.weather_until {
            self.weather_until = now + self.rng.millis(300, 3_000);
            let weather = Weather::draw(&mut self.rng);
            let mut world = self.world();
            world.weather = weather;
            world.note(format_args!("{weather:?}"));
        }
        if self.rng.below(2_000) >= usize::try_from(3 * span.as_millis()).unwrap() {
            return;
        }
        let index = self.rng.below(NODES);
        let alive = self
            .nodes
            .iter()
            .filter(|node| node.life().is_some())
            .count();
        let kind = match self.rng.below(100) {
            0..12 if alive > 1 => {
                let down = self.down();
                self.kill(index, down);
                "kills"
            }
            12..27 if alive > 1 => self.doom(index),
            27..33 if alive > 1 && self.nodes[index].stop() => "stops",
            33..50 => self.freeze(index),
            50..65 => self.step_wall(index),
            65..85 => {
                let until = now + self.rng.millis(50, 4_000);
                self.world().cut[index] = until;
                "cuts"
            }
            85..100 => {
                let until = now + self.rng.millis(2, 900);
                if let Some(life) = self.nodes[index].life() {
                    life.vessel.body().clogged_until = until;
                }
                "clogs"
            }
            _ => return,
        };
        self.world()
            .note(format_args!("damage to node {index}: {kind}"));
        *self.damage.entry(kind).or_default() += 1;
    }

    /// Something that waits for its occasion.
    fn doom(&mut self, index: usize) -> &'static str {
        let margin = self.rng.percent(85);
        let stand = match margin {
            true => self.rng.millis(1, 450),
            false => self.rng.millis(600, 3_000),
        };
        let doom = *self.rng.pick(&[
            Doom::DieBeforeCommit,
            Doom::DieAfterCommit,
            Doom::DieBeforeInvite,
            Doom::DieAfterInvite,
            Doom::FreezeAtInvite(stand),
            Doom::FreezeAtInvite(stand),
        ]);
        if let Some(life) = self.nodes[index].life() {
            life.vessel.body().doom = Some(doom);
        }
        "dooms"
    }

    fn freeze(&mut self, index: usize) -> &'static str {
        let span = match self.rng.below(100) {
            0..85 => self.rng.millis(10, 2_500),
            85..95 => self.rng.millis(2_500, 8_000),
            // Long enough to be taken for dead.
            _ => self.rng.millis(21_000, 25_000),
        };
        let world = self.world();
        let (now, locked) = (
            world.now,
            world.writer.is_some_and(|(holder, _)| holder == index),
        );
        drop(world);
        // SQLite lets nobody write while a stopped process holds its lock: true, and soon dull.
        let span = if locked {
            span.min(Duration::from_secs(6))
        } else {
            span
        };
        if let Some(life) = self.nodes[index].life() {
            let mut body = life.vessel.body();
            body.frozen_until = body.frozen_until.max(now + span);
        }
        "freezes"
    }

    fn step_wall(&mut self, index: usize) -> &'static str {
        let base = 1 + 137 * i64::try_from(index).unwrap();
        let small = i64::try_from(self.rng.millis(1, 6_000).as_millis()).unwrap() - 3_000;
        let millis = *self.rng.pick(&[0, 0, 300_000, -300_000, small]);
        self.nodes[index].step_wall(base + millis * 1_000);
        self.wall_is(index);
        "steps"
    }

    /// The damage is over: whoever is dead comes back, whoever stands still goes on.
    fn mend(&mut self) {
        self.mended = true;
        let mut world = self.world();
        let now = world.now;
        world.weather = Weather::FAIR;
        world.cut = [now; NODES];
        world.note(format_args!("mended"));
        drop(world);
        for node in &mut self.nodes {
            node.down_until = now;
            if let Some(life) = node.life() {
                let mut body = life.vessel.body();
                body.frozen_until = body.frozen_until.min(now + body.ahead);
                body.clogged_until = now;
                body.doom = None;
            }
        }
    }
}

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database with all the people in it, made once.
struct Template {
    database: Vec<u8>,
    /// Each with the key of their number.
    people: Vec<(Person, Vec<u8>)>,
}

fn store_in(folder: &Path) -> (StoreConfig, std::path::PathBuf) {
    let (file, key_file) = (folder.join("dialgate.db"), folder.join("numbers.key"));
    // The same for every run: the order of numbers is that of their keys.
    std::fs::write(&key_file, "5a".repeat(32)).unwrap();
    std::fs::set_permissions(
        &key_file,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let url = format!("sqlite://{}", file.display());
    (
        StoreConfig {
            url,
            key_file,
            max_connections: 4,
        },
        file,
    )
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (config, file) = store_in(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let people = runtime.block_on(async {
            let store = Store::open(&config).await.unwrap();
            let clock = Clock::Manual(ManualClock::at(BEGINNING));
            let pack = Arc::new(Pack::embedded().unwrap());
            let campaigns = Campaigns::new(CAMPAIGNS.map(campaign).to_vec());
            let gate = Gate::start(
                store.clone(),
                pack,
                campaigns,
                GateConfig::default(),
                Arc::new(move || clock.read()),
            );
            gate.settle().await.unwrap();
            let people = introduce(&gate, PEOPLE).await;
            let key = |person: &Person| {
                store
                    .hasher()
                    .key(&TenantId::default(), person.number)
                    .0
                    .to_vec()
            };
            let mut connection = SqliteConnectOptions::new()
                .filename(&file)
                .connect()
                .await
                .unwrap();
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut connection)
                .await
                .unwrap();
            people
                .into_iter()
                .map(|person| (person.clone(), key(&person)))
                .collect()
        });
        let database = std::fs::read(&file).unwrap();
        Template { database, people }
    })
}
