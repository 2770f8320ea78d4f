//! That both evaluators say the same: of the worked examples, and of cases by chance.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::cases::{Words, any_case};
use super::compare::{Both, shipped, shrink};
use super::packs::Draft;
use crate::joints::rng::{Rng, seed, size};

pub static SHIPPED: LazyLock<Both> = LazyLock::new(|| Both::read(&shipped()));

/// Gives each thread its share of the numbers.
pub fn on_all_cores(count: usize, each: &(dyn Fn(usize) + Sync)) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            scope.spawn(move || (core..count).step_by(cores).for_each(each));
        }
    });
}

#[test]
fn the_second_evaluator_gets_the_worked_examples_right() {
    let mut count = 0;
    for line in include_str!("../../fixtures/examples.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let opinion = SHIPPED.naive(&case);
        let expected: Vec<&str> = (case["expect"]["rules"].as_array().unwrap().iter())
            .map(|id| id.as_str().unwrap())
            .collect();
        let with = |outcomes: [&str; 2]| -> Vec<&str> {
            let all = opinion.rules.iter();
            all.filter(|(_, outcome)| outcomes.contains(outcome))
                .map(|(id, _)| id.as_str())
                .collect()
        };
        if case["expect"]["verdict"] == "deny" {
            assert!(!opinion.denied_by.is_empty(), "{line}");
            let mut expected = expected;
            let mut found = with(["fail", "void"]);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{line}");
        } else {
            assert_eq!(opinion.denied_by, Vec::<String>::new(), "{line}");
            let met = with(["pass", "lifted"]);
            assert!(expected.iter().all(|id| met.contains(id)), "{line}");
        }
        assert_eq!(SHIPPED.difference(&case), None, "{line}");
        count += 1;
    }
    assert_eq!(count, 40);
}

/// Differences found, by what they are about, each with its smallest case.
pub fn hunt(both: &Both, seed: u64, count: usize) -> BTreeMap<String, String> {
    let words = Words::of(&both.book);
    let found = std::sync::Mutex::new(BTreeMap::new());
    on_all_cores(count, &|index| {
        let mut rng = Rng::new(seed, index as u64);
        let case = any_case(&mut rng, &words, index);
        let Some(difference) = both.certain_difference(&case) else {
            return;
        };
        let name = difference[0].clone();
        let mut known = found.lock().unwrap();
        if known.contains_key(&name) || known.len() > 30 {
            return;
        }
        known.insert(name.clone(), String::new());
        drop(known);
        let small = shrink(&case, &|case| {
            both.difference(case)
                .is_some_and(|other| other.contains(&name))
        });
        let text = format!("{:#?}\n{small}", both.difference(&small).unwrap());
        found.lock().unwrap().insert(name, text);
    });
    found.into_inner().unwrap()
}

/// `DIALGATE_CASES` for a longer run, `DIALGATE_SEED` for the same one again.
#[test]
fn the_engine_and_the_second_evaluator_agree_on_the_shipped_rules() {
    let count = size("DIALGATE_CASES", 1500);
    let found = hunt(&SHIPPED, seed(), count);
    let text: Vec<String> = found.into_values().collect();
    assert!(text.is_empty(), "{}", text.join("\n\n"));
}

/// Packs by chance, each with its share of the cases.
#[test]
fn the_engine_and_the_second_evaluator_agree_on_rules_by_chance() {
    const CASES_A_PACK: usize = 300;
    let seed = seed();
    let packs = size("DIALGATE_CASES", 600).div_ceil(CASES_A_PACK);
    let found = std::sync::Mutex::new(BTreeMap::new());
    on_all_cores(packs, &|index| {
        let mut rng = Rng::new(seed, 1_000_000 + index as u64);
        let draft = Draft::any(&mut rng);
        let both = Both::read(draft.folder().path());
        let words = Words::of(&both.book);
        for index in 0..CASES_A_PACK {
            let case = any_case(&mut rng, &words, index);
            let Some(difference) = both.certain_difference(&case) else {
                continue;
            };
            // What it is about: the kind of the row, and what either says.
            let name = difference[0].trim_start_matches(|c| c != '-').to_owned();
            let mut known = found.lock().unwrap();
            if known.len() > 20 || known.contains_key(&name) {
                continue;
            }
            known.insert(name.clone(), String::new());
            drop(known);
            let text = smallest(&draft, &both, &case, &difference[0]);
            found.lock().unwrap().insert(name, text);
        }
    });
    let text: Vec<String> = found.into_inner().unwrap().into_values().collect();
    assert!(text.is_empty(), "{}", text.join("\n\n"));
}

/// The smallest case and the smallest pack that still differ in this.
fn smallest(draft: &Draft, both: &Both, case: &Value, difference: &str) -> String {
    let differs = |both: &Both, case: &Value| {
        both.difference(case)
            .is_some_and(|found| found.iter().any(|other| other == difference))
    };
    let case = shrink(case, &|case| differs(both, case));
    let mut draft = draft.clone();
    // In large pieces first: reading a pack takes its time.
    let mut piece = draft.tables.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < draft.tables.len() {
            let smaller = draft.without(at..(at + piece).min(draft.tables.len()));
            let folder = smaller.folder();
            // Without a table that others need it is no pack.
            if smaller.tables.len() < draft.tables.len()
                && dialgate::policy::Pack::load(folder.path()).is_ok()
                && differs(&Both::read(folder.path()), &case)
            {
                draft = smaller;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    let both = Both::read(draft.folder().path());
    let case = shrink(&case, &|case| differs(&both, case));
    format!(
        "{:#?}\n{case}\nunder\n{}",
        both.difference(&case),
        draft.tables[3..].join("\n")
    )
}
