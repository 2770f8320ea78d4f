//! Deterministic simulation: several nodes, each the real gate, worker, SIP layer and store, in one thread under virtual
//! time, over a network, carriers and a database that go wrong by a seed. Seconds of real time are minutes there, with
//! thousands of calls, crashes, freezes, clock steps and lost answers; what must hold is looked at as it happens.
//!
//! One carrier is reached by connections (`streams`), the others by datagrams.
//!
//! `driver` moves the time and decides who runs, `vessel` is what a node touches of the world, `world` what all share.
//! A run that fails tells its seed; `DIALGATE_SEED=n` repeats it, `DIALGATE_SIM_SEEDS=n` tries so many new ones, and
//! `DIALGATE_SIM_TRACE=file` writes down every step. A seed that failed once stands in [`PINNED`].

mod carrier;
mod checks;
mod driver;
mod node;
mod streams;
mod trace;
mod vessel;
mod workload;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use driver::{Size, run};

use crate::joints::rng::size;

/// Seeds that broke something once, and what.
const PINNED: [u64; 3] = [
    // The pace: tokens filled up behind calls that a slow store held back, and all left at once.
    1,
    // The barrier: an opt-out recorded by a clock that was set back lost against a consent recorded before it.
    113,
    // A call whose end a slow store would not take was found again and again by who looks for calls to end, without a pause.
    1_795_318_792_256_526,
];

/// One run: about a thousand calls.
const SMALL: Size = Size {
    load: Duration::from_secs(12),
    per_second: 90,
};

#[test]
fn p01_p03_p04_p07_p08_p11_p12_hold_under_every_seed() {
    let told = std::env::var("DIALGATE_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let fresh = u64::try_from(dialgate::clock::Clock::Real.read().wall.0).unwrap();
    let seeds: Vec<u64> = match told {
        Some(seed) => vec![seed],
        None => PINNED
            .into_iter()
            .chain((0..size("DIALGATE_SIM_SEEDS", 1) as u64).map(|count| fresh + count))
            .collect(),
    };
    let (queue, calls) = (Mutex::new(seeds.into_iter()), AtomicUsize::new(0));
    let (went_on, went_over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let for_agents = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let _stop = StopOnPanic(&failed);
        let next = || {
            let seed = queue.lock().unwrap().next();
            seed.filter(|_| !failed.load(Ordering::Relaxed))
        };
        while let Some(seed) = next() {
            let report = run(seed, SMALL, &seed.to_string());
            calls.fetch_add(report.allowed, Ordering::Relaxed);
            went_on.fetch_add(report.went_on, Ordering::Relaxed);
            went_over.fetch_add(report.went_over, Ordering::Relaxed);
            for_agents.fetch_add(report.for_agents, Ordering::Relaxed);
            eprintln!("{report}");
        }
    };
    // Each run is one thread's own; two of them keep two cores busy.
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let (went_on, went_over) = (went_on.into_inner(), went_over.into_inner());
    eprintln!(
        "{} calls in all, {went_on} went on to a second target, {went_over} to a second trunk",
        calls.into_inner()
    );
    assert!(went_on > 0 && went_over > 0, "no target failed");
    assert!(for_agents.into_inner() > 0, "no agent picked up");
}

/// No further seed is begun when one has failed.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Without this a seed would be worth nothing.
#[test]
fn a_seed_gives_the_same_run_again() {
    let short = Size {
        load: Duration::from_secs(3),
        ..SMALL
    };
    let (first, again) = (run(7, short, "first"), run(7, short, "again"));
    assert_eq!(first.hash, again.hash, "{first}\n{again}");
    assert!(first.allowed > 50, "{first}");
}
