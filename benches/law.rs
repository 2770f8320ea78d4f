//! How fast the law is judged, without I/O: the worked examples, every rule in play judged and explained.
//!
//! `cargo bench --bench law`. Without `--bench` it only shows that it runs. Printed as a Markdown table.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a benchmark may fail loudly, and measures time"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use dialgate::domain::decision::Verdict;
use dialgate::place::{dialable, locate};
use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, judge, outline};

/// Rounds that the median is taken of.
const ROUNDS: usize = 9;

fn main() {
    let is_full = std::env::args().any(|argument| argument == "--bench");
    let span = Duration::from_millis(if is_full { 500 } else { 1 });

    let before = resident_bytes();
    let started = Instant::now();
    let pack = Pack::embedded().unwrap();
    let loaded = started.elapsed();
    let memory = resident_bytes().saturating_sub(before);

    let cases: Vec<Case> = include_str!("../tests/fixtures/examples.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let judgements: Vec<_> = cases.iter().map(|case| judge(&pack, case)).collect();
    let is_us = |at: &usize| {
        judgements[*at]
            .jurisdictions
            .first()
            .is_some_and(|j| j == "US")
    };
    let allows = |at: &usize| judgements[*at].verdict == Verdict::Allow;
    let all: Vec<usize> = (0..cases.len()).collect();
    let us: Vec<usize> = all.iter().copied().filter(is_us).collect();
    let (us_allowed, us_denied) = us.iter().partition(|at| allows(at));

    println!("| cases | number | rules a case | CPU a case, median (spread) | a core and second |");
    println!("|---|---|---|---|---|");
    let sets: [(&str, &Vec<usize>); 4] = [
        ("worked examples, all", &all),
        ("of them US", &us),
        ("US, allowed", &us_allowed),
        ("US, denied, with the next allowed time", &us_denied),
    ];
    for (name, set) in sets {
        let rules: usize = set.iter().map(|at| judgements[*at].rules.len()).sum();
        let rules = rules as f64 / set.len() as f64;
        let set: Vec<&Case> = set.iter().map(|at| &cases[*at]).collect();
        let name = format!("{name} | {} | {rules:.1}", set.len());
        measure(&name, span, &set, |case| {
            black_box(judge(&pack, black_box(case)));
        });
    }
    let us: Vec<&Case> = us.iter().map(|at| &cases[*at]).collect();
    measure_parts(&pack, span, &us);
    println!();
    println!(
        "All packs: {} rules, loaded in {:.1} ms, {:.1} MiB resident.",
        pack.rules().len(),
        loaded.as_secs_f64() * 1e3,
        memory as f64 / 1024.0 / 1024.0
    );
}

/// What of a judgement is the number, the place, and the words.
fn measure_parts(pack: &Pack, span: Duration, us: &[&Case]) {
    let tables = pack.tables();
    let read: Vec<_> = us
        .iter()
        .map(|case| (*case, dialable(tables, &case.call.to).unwrap()))
        .collect();
    measure(
        "US, number known, without words (`outline`) | | ",
        span,
        &read,
        |(case, number)| {
            black_box(outline(pack, black_box(case), number));
        },
    );
    measure(
        "part of US: is the number dialable | | ",
        span,
        us,
        |case| {
            let _ = black_box(dialable(tables, black_box(&case.call.to)));
        },
    );
    let numbers: Vec<_> = us
        .iter()
        .map(|case| (dialable(tables, &case.call.to).unwrap(), &case.facts))
        .collect();
    measure(
        "part of US: where is the person | | ",
        span,
        &numbers,
        |(number, facts)| {
            black_box(locate(tables, black_box(number), facts.location.as_ref()));
        },
    );
}

/// Prints a row: processor time of doing this to one of them.
fn measure<T>(name: &str, span: Duration, set: &[T], act: impl Fn(&T)) {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(span, set, &act)).collect();
    rounds.sort_by(f64::total_cmp);
    let (median, micros) = (rounds[ROUNDS / 2], |at: usize| rounds[at] * 1e6);
    println!(
        "| {name} | {:.2} µs ({:.2}-{:.2}) | {:.0} |",
        micros(ROUNDS / 2),
        micros(0),
        micros(ROUNDS - 1),
        1.0 / median
    );
}

/// Processor seconds a piece, over at least this span.
fn round<T>(span: Duration, set: &[T], act: &impl Fn(&T)) -> f64 {
    let (started, cpu, mut done) = (Instant::now(), thread_cpu(), 0_u32);
    while done == 0 || started.elapsed() < span {
        set.iter().for_each(act);
        done += set.len() as u32;
    }
    (thread_cpu() - cpu).as_secs_f64() / f64::from(done)
}

/// What this thread has run; time in which another process had the core does not count.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
