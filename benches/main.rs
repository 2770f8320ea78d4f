//! What dialgate costs, each figure as a ratio to a ceiling measured in the same run. What the figures mean and how they
//! were taken: docs/PERFORMANCE.md.
//!
//! `cargo bench` measures; `cargo bench -- gate sip` only what is named. Run without cargo's `--bench` (as `cargo test`
//! does) or with `--smoke`, each bench runs at a tiny size, which shows that it works and says nothing about speed.
//! `DIALGATE_BENCH_LIST`, `_OPT_OUTS`, `_PEOPLE`, `_LISTED`, `_ROUNDS`, `_SOAK_RATE` and `_SOAK_SECONDS` set one size each, for
//! profiles, and `DIALGATE_BENCH_STORE=SQLite` (or `PostgreSQL`) leaves the other one out. No figure fails a run, whatever its
//! size: a machine that is busy is no fault of the code. What is wrong does: a call that is lost, a pace that is broken, an entry
//! that stays. The soak in full: `DIALGATE_BENCH_SOAK_SECONDS=600 cargo bench --bench figures -- soak`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    reason = "a bench fails by panicking, and is read from top to bottom"
)]

mod checks;
mod dial;
mod gate;
mod imports;
mod latency;
mod log;
mod opt_outs;
mod registers;
mod scrub;
mod sip;
mod soak;
mod support;

use support::{Size, machine};

type Bench = fn(&Size);

/// The benches, in the order of docs/PERFORMANCE.md.
const BENCHES: [(&str, Bench); 11] = [
    ("gate", gate::run),
    ("log", log::run),
    ("latency", latency::run),
    ("checks", checks::run),
    ("scrub", scrub::run),
    ("opt_outs", opt_outs::run),
    ("imports", imports::run),
    ("sip", sip::run),
    ("dial", dial::run),
    ("soak", soak::run),
    ("registers", registers::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A process of its own for what is measured by its processor time.
    match arguments.first().map(String::as_str) {
        Some("--play-echo") => return checks::play_echo(&arguments[1..]),
        Some("--play-judge") => return checks::play_judge(&arguments[1..]),
        Some("--play-list-echo") => return scrub::play_echo(&arguments[1..]),
        Some("--play-caller") => return sip::play_caller(&arguments[1..]),
        Some("--play-lingerer") => return sip::play_lingerer(&arguments[1..]),
        Some("--play-import") => return registers::play_import(&arguments[1..]),
        _ => {}
    }
    let measures = arguments.iter().any(|argument| argument == "--bench");
    let smoke = arguments.iter().any(|argument| argument == "--smoke") || !measures;
    let named: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    for name in &named {
        let known = BENCHES.map(|(known, _)| known);
        assert!(
            known.contains(&name.as_str()),
            "no bench is called `{name}`; there are {}",
            known.join(", ")
        );
    }
    let size = if smoke { Size::SMOKE } else { Size::FULL };
    let size = size.or_environment();
    println!("{}\n", machine::describe(smoke));
    for (name, bench) in BENCHES {
        if named.is_empty() || named.iter().any(|wanted| *wanted == name) {
            bench(&size);
        }
    }
    println!("{}", machine::load());
}
