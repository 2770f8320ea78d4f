//! Durable decisions per second, beside a bare insert of the same rows.
//!
//! Both write to databases of the same schema with the same settings, in this process, for the same number of callers, each
//! of whom asks again as soon as it is answered. The ceiling only inserts. The gate locks the number, finds the person, loads
//! and opens what is known, judges every rule, seals the case and inserts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::domain::decision::Verdict;
use dialgate::domain::route::Carrier;
use dialgate::gate::{Campaigns, Gate, GateConfig};
use dialgate::policy::Pack;

use crate::support::bare::{Row, Writer};
use crate::support::figures::{Goal, Sample, Table, percentile, ratios};
use crate::support::home::{Engine, Home};
use crate::support::{Size, block_on, machine, now, scene};

const CALLERS: [usize; 3] = [1, 64, 256];

/// Asked of the gate at 256 callers.
const GOAL: Goal = Goal::AtLeast(0.5);

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "callers",
            "decisions/s",
            "bare rows/s",
            "ratio",
            "goal",
            "verdict",
            "p50/p99 ms",
            "bare p50/p99 ms",
            "cpu µs",
            "bare cpu µs",
            "database's cpu µs",
            "bare database's",
        ]);
        let mut notes = String::new();
        for engine in Engine::all() {
            notes += &measure(engine, size, &mut table).await;
        }
        table.print("Durable decisions");
        println!("{notes}");
    });
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) -> String {
    let (home, twin) = (Home::new(engine).await, Home::new(engine).await);
    scene::introduce(&home.store, size.people).await;
    let gate = open(&home);
    let rows = Arc::new(first_rows(&home, &gate, size).await);
    twin_people(&home, &twin).await;
    let writer = Writer::start(twin.bare().await, Arc::clone(&rows));
    let next = Arc::new(AtomicU32::new(0));
    for callers in CALLERS {
        let (mut ours, mut bare) = (Side::default(), Side::default());
        for _ in 0..size.rounds {
            let (gate, people, next) = (gate.clone(), size.people, Arc::clone(&next));
            let ask = move || {
                let (gate, index) = (gate.clone(), next.fetch_add(1, Ordering::Relaxed) % people);
                async move {
                    let decision = gate.check(scene::question(index)).await.unwrap();
                    assert_eq!(decision.judgement.verdict, Verdict::Allow);
                }
            };
            ours.add(load(callers, size.span, home.server(), ask).await);
            let (writer, count) = (writer.clone(), Arc::new(AtomicU32::new(0)));
            let write = move || {
                let (writer, index) = (writer.clone(), count.fetch_add(1, Ordering::Relaxed));
                async move { writer.write(index as usize).await }
            };
            bare.add(load(callers, size.span, home.server(), write).await);
        }
        let ratio = ratios(&ours.rate, &bare.rate);
        let goal = if callers == 256 { GOAL } else { Goal::None };
        table.row(vec![
            engine.name().to_owned(),
            callers.to_string(),
            ours.rate.show(0),
            bare.rate.show(0),
            ratio.show(2),
            goal.show(),
            goal.verdict(ratio.median()),
            ours.latency(),
            bare.latency(),
            ours.cpu.show(0),
            bare.cpu.show(0),
            ours.database.show(0),
            bare.database.show(0),
        ]);
    }
    let middle = &rows[rows.len() / 2];
    format!(
        "{}: {} bytes a decision with its audit entry ({} of them what {} rules say), {} people. The processor time is this \
         process's, callers included; PostgreSQL's own comes beside it.\n\n",
        engine.name(),
        middle.bytes(),
        middle.judgement_bytes(),
        middle.rules(),
        size.people,
    )
}

pub fn open(home: &Home) -> Gate {
    let config = GateConfig {
        trunks: [(scene::TRUNK.to_owned(), Carrier::of_all(1_000_000))].into(),
        ..GateConfig::default()
    };
    Gate::start(
        home.store.clone(),
        Arc::new(Pack::embedded().unwrap()),
        Campaigns::new(vec![scene::campaign()]),
        config,
        Arc::new(|| Clock::Real.read()),
    )
}

/// Asks about some of the people, so that there are rows to take the bytes from.
pub async fn first_rows(home: &Home, gate: &Gate, size: &Size) -> Vec<Row> {
    let mut asked = Vec::new();
    for index in 0..size.people.min(1_000) {
        let gate = gate.clone();
        asked.push(tokio::spawn(async move {
            gate.check(scene::question(index)).await.unwrap()
        }));
    }
    for each in asked {
        each.await.unwrap();
    }
    let rows = Row::read(&home.bare().await).await;
    assert!(rows.iter().all(Row::is_allow));
    rows
}

/// The people whom the rows name, for the twin database holds rows to the same references.
pub async fn twin_people(home: &Home, twin: &Home) {
    use crate::support::home::on;
    const READ: &str = "SELECT party_id, tenant_id, wrapped_key, sealed_profile, version, create_time, update_time FROM parties";
    const WRITE: &str = "INSERT INTO parties (party_id, tenant_id, wrapped_key, sealed_profile, version, create_time, update_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    type Person = (
        uuid::Uuid,
        String,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        i64,
        i64,
        i64,
    );
    let bare = home.bare().await;
    let people: Vec<Person> =
        on!(&bare, |pool| sqlx::query_as(READ).fetch_all(pool).await).unwrap();
    let bare = twin.bare().await;
    on!(&bare, |pool| {
        let mut tx = pool.begin().await.unwrap();
        for person in people {
            let insert = sqlx::query(WRITE)
                .bind(person.0)
                .bind(person.1)
                .bind(person.2)
                .bind(person.3)
                .bind(person.4)
                .bind(person.5)
                .bind(person.6);
            insert.execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    });
}

/// What one measurement told.
pub struct Measured {
    rate: f64,
    latencies: Vec<Duration>,
    cpu: f64,
    database: f64,
}

/// All measurements of one side.
#[derive(Default)]
pub struct Side {
    pub rate: Sample,
    latencies: Vec<Duration>,
    cpu: Sample,
    database: Sample,
}

impl Side {
    pub fn add(&mut self, measured: Measured) {
        self.rate.0.push(measured.rate);
        self.cpu.0.push(measured.cpu);
        self.database.0.push(measured.database);
        self.latencies.extend(measured.latencies);
    }

    pub fn latency(&mut self) -> String {
        format!(
            "{:.2}/{:.2}",
            percentile(&mut self.latencies, 0.5),
            percentile(&mut self.latencies, 0.99)
        )
    }
}

/// So many callers, each asking as soon as it is answered, for so long.
pub async fn load<F, A>(callers: usize, span: Duration, server: Option<u32>, ask: F) -> Measured
where
    F: Fn() -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let spent = || {
        let database = server.map_or(Duration::ZERO, machine::family);
        (machine::process(std::process::id()), database)
    };
    let (before, begun) = (spent(), now());
    let end = begun + span;
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut asked = now();
                while asked < end {
                    ask().await;
                    let answered = now();
                    latencies.push(answered - asked);
                    asked = answered;
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    let took = now() - begun;
    let after = spent();
    let count = latencies.len() as f64;
    let per = |spent: Duration| spent.as_secs_f64() * 1e6 / count;
    Measured {
        rate: count / took.as_secs_f64(),
        cpu: per(after.0 - before.0),
        database: per(after.1.saturating_sub(before.1)),
        latencies,
    }
}
