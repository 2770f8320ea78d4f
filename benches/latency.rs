//! How long a CheckCall takes at 500 a second, each counted from the instant for which it was planned.
//!
//! Beside it, at the same pace and counted in the same way: the bare insert of the same rows, the echo over gRPC, and the
//! disk's own write of 8 KiB with fdatasync.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use crate::gate;
use crate::support::bare::Writer;
use crate::support::figures::{Goal, Sample, Table, percentile};
use crate::support::home::{Engine, Home};
use crate::support::node::{self, Process};
use crate::support::pace::{open_loop, open_loop_blocking};
use crate::support::wire::{self, Client};
use crate::support::{Size, block_on, scene};

/// Checks a second.
const RATE: u32 = 500;
const P50: Goal = Goal::AtMost(1.0);
const P99: Goal = Goal::AtMost(5.0);

/// The probe's file, written over and over again.
const FILE_BYTES: u64 = 16 << 20;
const WRITE_BYTES: u64 = 8 << 10;

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store", "what", "p50 ms", "goal", "verdict", "p99 ms", "goal", "verdict", "p99.9 ms",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print(&format!("Latency at {RATE} a second"));
    });
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let (home, twin) = (Home::new(engine).await, Home::new(engine).await);
    scene::introduce(&home.store, size.people).await;
    let rows = gate::first_rows(&home, &gate::open(&home), size).await;
    gate::twin_people(&home, &twin).await;
    let writer = Writer::start(twin.bare().await, Arc::new(rows));
    let (process, key) = node::serve(&home, "127.0.0.1:9".parse().unwrap());
    let client = Client::connect(process.port, Some(&key)).await;
    let bytes = client.clone().ask(wire::question(0)).await.len();
    let echo = Process::play("--play-echo", &[&bytes.to_string()]);
    let bare = Client::connect(echo.port, None).await;

    let [mut checks, mut inserts, mut echoes, mut writes] = [(); 4].map(|()| Side::default());
    for round in 0..size.rounds {
        let people = size.people;
        let first = round as u32 * 7_919;
        checks.add(
            open_loop(
                RATE,
                size.span,
                ask(&client, move |index| (first + index) % people),
            )
            .await,
        );
        inserts.add(
            open_loop(RATE, size.span, {
                let writer = writer.clone();
                move |index| {
                    let writer = writer.clone();
                    async move { writer.write(index as usize).await }
                }
            })
            .await,
        );
        echoes.add(open_loop(RATE, size.span, ask(&bare, move |index| index % people)).await);
        let (span, file) = (size.span, home.folder.path().join("probe"));
        let probe = tokio::task::spawn_blocking(move || disk(&file, span));
        writes.add(probe.await.unwrap());
    }
    let name = engine.name();
    checks.tell(name, "CheckCall over gRPC", (P50, P99), table);
    let none = (Goal::None, Goal::None);
    inserts.tell(name, "bare insert of its rows", none, table);
    echoes.tell(name, "echo over gRPC", none, table);
    writes.tell(name, "8 KiB write and fdatasync", none, table);
}

fn ask(
    client: &Client,
    person: impl Fn(u32) -> u32 + Send + 'static,
) -> impl Fn(u32) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    let client = client.clone();
    move |index| {
        let mut client = client.clone();
        let question = wire::question(person(index));
        Box::pin(async move { drop(client.ask(question).await) })
    }
}

fn disk(path: &std::path::Path, span: Duration) -> Vec<Duration> {
    let file = File::create(path).unwrap();
    let block = vec![7; WRITE_BYTES as usize];
    for offset in (0..FILE_BYTES).step_by(WRITE_BYTES as usize) {
        file.write_all_at(&block, offset).unwrap();
    }
    file.sync_all().unwrap();
    open_loop_blocking(RATE, span, |index| {
        let offset = u64::from(index) * WRITE_BYTES % FILE_BYTES;
        file.write_all_at(&block, offset).unwrap();
        file.sync_data().unwrap();
    })
}

/// The percentiles of each round.
#[derive(Default)]
struct Side {
    p50: Sample,
    p99: Sample,
    p999: Sample,
}

impl Side {
    fn add(&mut self, mut took: Vec<Duration>) {
        self.p50.0.push(percentile(&mut took, 0.5));
        self.p99.0.push(percentile(&mut took, 0.99));
        self.p999.0.push(percentile(&mut took, 0.999));
    }

    fn tell(&self, store: &str, what: &str, (p50, p99): (Goal, Goal), table: &mut Table) {
        table.row(vec![
            store.to_owned(),
            what.to_owned(),
            self.p50.show(2),
            p50.show(),
            p50.verdict(self.p50.median()),
            self.p99.show(2),
            p99.show(),
            p99.verdict(self.p99.median()),
            self.p999.show(2),
        ]);
    }
}
