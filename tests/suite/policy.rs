//! The law, through the library: the worked examples, the promises that hold for every case, and the pack's own rules.

use dialgate::domain::decision::RuleOutcome;
use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, judge, rules_markdown};

/// The worked decisions that came with the rules.
const EXAMPLES: &str = include_str!("../fixtures/examples.jsonl");

fn pack() -> &'static Pack {
    static PACK: std::sync::LazyLock<Pack> =
        std::sync::LazyLock::new(|| Pack::embedded().unwrap_or_else(|faults| panic!("{faults}")));
    &PACK
}

fn examples() -> Vec<Case> {
    let lines = EXAMPLES.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_worked_examples_come_out_as_written() {
    let mut wrong = Vec::new();
    let cases = examples();
    for case in &cases {
        let expect = case.expect.as_ref().unwrap();
        let judgement = judge(pack(), case);
        if judgement.verdict != expect.verdict || !expect.rules_agree_with(&judgement) {
            let said: Vec<_> = judgement
                .rules
                .iter()
                .filter(|r| matches!(r.outcome, RuleOutcome::Fail | RuleOutcome::Void))
                .map(|r| format!("{} {:?}: {}", r.rule, r.outcome, r.reason))
                .collect();
            wrong.push(format!(
                "{}: {} {said:#?}, expected {expect:?}",
                case.id, judgement.verdict
            ));
        }
    }
    assert_eq!(cases.len(), 40);
    assert!(
        wrong.is_empty(),
        "{} of 40 are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_list_of_rules_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/RULES.md");
    let wanted = rules_markdown(pack());
    if std::env::var_os("DIALGATE_BLESS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/RULES.md is out of date; write it anew with `DIALGATE_BLESS=1 cargo test --test suite policy`"
    );
}
