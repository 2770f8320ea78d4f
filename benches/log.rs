//! What the transparency log costs the gate, and how fast it takes entries in and verifies them.
//!
//! The same gate on the same store decides for 256 callers, in turns with the sequencer at work beside it, as in `serve`, and without.
//! What was written without it is placed before the next turn, unmeasured, so that no side works off what the other left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dialgate::audit::{ExportHeader, ExportLine, Frontier, Verifier, leaf_hash};
use dialgate::clock::Clock;
use dialgate::domain::ids::TenantId;
use dialgate::sequencer::{Sequenced, Sequencer, Sequencing, SigningPlace, Witness};

use crate::gate::{Side, load, open};
use crate::support::figures::{Goal, Sample, Table, ratios};
use crate::support::home::{Engine, Home};
use crate::support::{Size, block_on, now, scene};

const CALLERS: usize = 256;

/// Of the gate with the log, beside the gate without.
const GOAL: Goal = Goal::AtLeast(0.9);

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "with the log, decisions/s",
            "without",
            "ratio",
            "goal",
            "verdict",
            "p50/p99 ms",
            "without, p50/p99 ms",
            "entries without a place at the end",
            "entries placed/s, alone",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print("The transparency log beside the gate");
    });
    verify(size);
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let home = Home::new(engine).await;
    scene::introduce(&home.store, size.people).await;
    let gate = open(&home);
    let place = SigningPlace {
        path: home.folder.path().join("log.key"),
        origin: None,
    };
    let sequencer = Sequencer::open(home.store.clone(), &place, Clock::Real);
    let sequencer = sequencer.await.unwrap();
    let next = Arc::new(AtomicU32::new(0));
    let people = size.people;
    let ask = move || {
        let (gate, index) = (gate.clone(), next.fetch_add(1, Ordering::Relaxed) % people);
        async move { drop(gate.check(scene::question(index)).await.unwrap()) }
    };
    let (mut with, mut without) = (Side::default(), Side::default());
    let (mut waiting, mut alone) = (Sample::default(), Sample::default());
    for _ in 0..size.rounds {
        let working = Sequencing::start(&sequencer, Witness::default());
        with.add(load(CALLERS, size.span, home.server(), ask.clone()).await);
        let mut tx = home.store.read().await.unwrap();
        let lag = tx.log_lag(&TenantId::default()).await.unwrap();
        drop(tx);
        waiting.0.push(lag.entries as f64);
        working.stop().await;
        settle(&sequencer).await;
        without.add(load(CALLERS, size.span, home.server(), ask.clone()).await);
        let begun = now();
        let placed = settle(&sequencer).await;
        alone.0.push(placed as f64 / (now() - begun).as_secs_f64());
    }
    let ratio = ratios(&with.rate, &without.rate);
    table.row(vec![
        engine.name().to_owned(),
        with.rate.show(0),
        without.rate.show(0),
        ratio.show(2),
        GOAL.show(),
        GOAL.verdict(ratio.median()),
        with.latency(),
        without.latency(),
        waiting.show(0),
        alone.show(0),
    ]);
}

async fn settle(sequencer: &Sequencer) -> usize {
    let mut placed = 0;
    while let Sequenced::Placed { entries, .. } = sequencer.turn().await.unwrap() {
        placed += entries;
    }
    placed
}

/// An export of a million entries, in memory, verified on one thread.
fn verify(size: &Size) {
    let count = size.list as u64;
    let leaf = |index: u64| {
        format!(
            r#"{{"v":1,"entry_id":"0190d5a5-0000-7000-8000-{index:012}","tenant":"default","kind":"decision","actor":"key:desk-7:0190d5a5-0000-7000-8000-000000000001","subject_key":"{index:064x}","create_time":"2026-04-21T15:00:00.000001Z","payload":{{"attempt_id":null,"call_id":"0190d5a5-0000-7000-8000-{index:012}","campaign_id":"us-sales","decision_id":"0190d5a5-0000-7000-8000-{index:012}","denied_by":["US-national-dnc"],"pack":{{"sha256":"{index:064x}","version":"2026-11-21","zone_data":"2026a"}},"stage":"place","verdict":"deny"}}}}"#
        )
    };
    let mut frontier = Frontier::default();
    let mut lines = Vec::new();
    for index in 0..count {
        let leaf = leaf(index);
        let leaf_hash = leaf_hash(leaf.as_bytes());
        frontier.push(leaf_hash);
        lines.push(
            ExportLine::Entry {
                index,
                leaf_hash,
                leaf: &leaf,
            }
            .text(),
        );
    }
    let key = dialgate::audit::SigningKey::generate("bench").unwrap();
    let head = dialgate::audit::TreeHead {
        size: count,
        root: frontier.root(),
    };
    let header = ExportHeader {
        format: dialgate::audit::EXPORT_FORMAT,
        origin: "bench".to_owned(),
        key: key.verifier().to_string(),
        first: 0,
        size: count,
        checkpoints: 1,
        peaks: Vec::new(),
    };
    let note = dialgate::audit::Checkpoint::sign(&head, &key);
    let bytes: usize = lines.iter().map(String::len).sum();
    let begun = now();
    let mut verifier = Verifier::new(Some(key.verifier().clone()), Vec::new());
    verifier.line(ExportLine::Header(header).text().as_bytes());
    lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    verifier.line(ExportLine::Checkpoint(note).text().as_bytes());
    let verdict = verifier.finish(true);
    let took = (now() - begun).as_secs_f64();
    assert_eq!((verdict.entries, verdict.checkpoints), (count, 1));
    println!(
        "Verification: {count} entries of {} bytes in {took:.2} s on one thread, {:.0} entries/s.\n",
        bytes / lines.len(),
        count as f64 / took
    );
}
