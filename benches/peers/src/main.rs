//! dialgate's judgement beside a general policy engine, in one run: `cargo run --release` in this folder.
//!
//! The engine gets eleven rules over facts that are resolved already ([`POLICY`]) and answers with those that deny;
//! dialgate parses the number, finds the places and clocks, judges every rule in play and explains each.

use std::hint::black_box;
use std::time::{Duration, Instant};

use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, judge};
use regorus::{Engine, Value};

const POLICY: &str = include_str!("policy.rego");
const ROUNDS: usize = 9;
const SPAN: Duration = Duration::from_millis(500);

fn main() {
    let mut engine = Engine::new();
    engine
        .add_policy("policy.rego".to_owned(), POLICY.to_owned())
        .expect("the policy must be read");
    let inputs = [input(600, 0), input(420, 3)].map(|text| Value::from_json_str(&text).expect("JSON"));
    for (input, denied) in inputs.iter().zip([0, 2]) {
        engine.set_input(input.clone());
        let said = engine.eval_rule("data.dial.deny".to_owned()).expect("an answer");
        assert_eq!(said.as_set().expect("a set").len(), denied, "{said:?}");
    }

    let pack = Pack::embedded().expect("the built-in pack");
    let cases: Vec<Case> = include_str!("../../../tests/fixtures/examples.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a case"))
        .filter(|case: &Case| case.call.to.starts_with("+1"))
        .collect();

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turn, so that both meet the same machine.
    for _ in 0..ROUNDS {
        ours.push(round(cases.len(), || {
            for case in &cases {
                black_box(judge(black_box(&pack), black_box(case)));
            }
        }));
        theirs.push(round(inputs.len(), || {
            for input in &inputs {
                engine.set_input(input.clone());
                let denied = engine.eval_rule("data.dial.deny".to_owned());
                black_box(denied.expect("an answer"));
            }
        }));
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!("| engine | CPU a decision | ratio |");
    println!("|---|---|---|");
    println!("| dialgate, +1 examples, all rules judged and explained | {:.2} µs | 1 |", ours * 1e6);
    println!("| regorus, 11 rules, facts resolved before | {:.2} µs | {:.1} |", theirs * 1e6, theirs / ours);
}

fn input(local_minute: u32, attempts: u32) -> String {
    format!(
        r#"{{"call_kind": "live_manual", "local_minutes": [{local_minute}], "opt_out": {{"on_file": false, "at": ""}},
            "restriction": {{"active": false, "since": ""}}, "consent": {{"form": "none", "valid": false}},
            "register": {{"listed": false, "age_days": 9, "as_of": "2026-04-10"}}, "holiday": "",
            "attempts_24h": {attempts}, "caller_id_withheld": false, "registered": true}}"#
    )
}

/// Processor seconds that one decision takes.
fn round(decisions: usize, mut decide: impl FnMut()) -> f64 {
    let (started, cpu, mut made) = (Instant::now(), thread_cpu(), 0);
    while started.elapsed() < SPAN {
        decide();
        made += decisions;
    }
    (thread_cpu() - cpu).as_secs_f64() / made as f64
}

/// What this thread has run; time in which another process had the core does not count.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
