//! `next_allowed_time` by brute force: every minute from the call on, then every second around what the engine found.
//! The engine looks 400 days behind the last date that law or facts name (`HORIZON` in src/policy/next.rs); within 400 days of
//! the call, what it does not find does not exist.

use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;

use super::agreement::{SHIPPED, on_all_cores};
use super::cases::{Words, any_case};
use super::compare::Both;
use super::fact::Fact;
use super::packs::Draft;
use super::place::Spot;
use super::verdict::judge_at;
use crate::joints::rng::{Rng, seed, size};

/// How far it is held to account.
const HORIZON: SignedDuration = SignedDuration::from_hours(400 * 24);

/// What is wrong with the engine's answer, if anything.
fn fault(both: &Both, case: &Value, minutes: i64) -> Option<String> {
    let now = case["call"].instant("at").unwrap();
    let spot = both.book.places.find(both.pack.tables(), case).ok()?;
    if !denies(both, case, &spot, now) {
        return None;
    }
    let parsed = serde_json::from_value(case.clone()).ok()?;
    let said = dialgate::policy::judge(&both.pack, &parsed).next_allowed_time;
    let said: Option<Timestamp> = said.map(|at| at.to_string().parse().unwrap());
    let last = said.map_or(now + HORIZON, |at| at - 1.second());
    let earlier = earlier_allow(both, case, &spot, (now, last), minutes);
    match (said, earlier) {
        (said, Some(at)) => Some(format!("{at} is allowed, the engine says {said:?}")),
        (Some(at), None) if denies(both, case, &spot, at) => {
            Some(format!("{at} is denied, the engine says it is allowed"))
        }
        _ => None,
    }
}

/// An instant after the first and up to the last at which the call is allowed: minute by minute at first, then in steps
/// of an uneven size, and second by second in the last minutes before the end.
fn earlier_allow(
    both: &Both,
    case: &Value,
    spot: &Spot,
    (first, last): (Timestamp, Timestamp),
    minutes: i64,
) -> Option<Timestamp> {
    let mut tries: Vec<Timestamp> = (1..=minutes).map(|at| first + at.minutes()).collect();
    let mut at = first + minutes.minutes();
    let span = last.duration_since(first).as_secs().max(0);
    // 97 minutes drift through the hours of the day.
    let step = (span / 60 / minutes.max(1)).max(97);
    while at < last {
        tries.push(at);
        at += step.minutes();
    }
    tries.extend((0..90).map(|second| last - i64::from(second).seconds()));
    tries.retain(|at| first < *at && *at <= last);
    tries.into_iter().find(|at| !denies(both, case, spot, *at))
}

fn denies(both: &Both, case: &Value, spot: &Spot, at: Timestamp) -> bool {
    !judge_at(&both.book, case, spot, at).denied_by.is_empty()
}

/// Facts in good order, with one or two things that time may heal.
fn waiting_case(rng: &mut Rng, words: &Words, index: usize) -> Value {
    let mut case = any_case(rng, words, index);
    if rng.percent(70) {
        let facts = case["facts"].as_object_mut().unwrap();
        for key in ["restriction", "minor", "reassigned_check"] {
            facts.remove(key);
        }
        facts["opt_outs"] = serde_json::json!([]);
    }
    case
}

fn faults(both: &Both, seed: u64, count: usize, minutes: i64) -> Vec<String> {
    let words = Words::of(&both.book);
    let found = std::sync::Mutex::new(Vec::new());
    on_all_cores(count, &|index| {
        let mut rng = Rng::new(seed, 7_000_000 + index as u64);
        let case = waiting_case(&mut rng, &words, index);
        if found.lock().unwrap().len() < 5
            && let Some(fault) = fault(both, &case, minutes)
        {
            let small =
                super::compare::shrink(&case, &|case| self::fault(both, case, minutes).is_some());
            let after = self::fault(both, &small, minutes).unwrap();
            found
                .lock()
                .unwrap()
                .push(format!("{fault}\n{after}\n{small}"));
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn the_next_allowed_time_is_the_first_one() {
    let count = size("DIALGATE_WAITS", 40);
    let found = faults(&SHIPPED, seed(), count, 200);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[test]
fn the_next_allowed_time_is_the_first_one_under_rules_by_chance() {
    let seed = seed();
    for pack in 0..size("DIALGATE_WAITS", 40).div_ceil(20) {
        let draft = Draft::any(&mut Rng::new(seed, 8_000_000 + pack as u64));
        let both = Both::read(draft.folder().path());
        let found = faults(&both, seed ^ pack as u64, 20, 200);
        assert!(
            found.is_empty(),
            "{}\nunder\n{}",
            found.join("\n\n"),
            draft.text()
        );
    }
}
