//! What must hold of every case under the shipped rules, whatever they say.

use std::time::Duration;

use dialgate::domain::decision::{Judgement, Verdict};
use dialgate::domain::phone::Phone;
use dialgate::place::{Dialable, dialable, stand_in as stand_for};
use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, judge, outline};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::agreement::SHIPPED;
use super::cases::{Words, any_case, good_case};
use super::fact::Fact;
use crate::joints::rng::{Rng, size};

fn words() -> &'static Words {
    static WORDS: std::sync::LazyLock<Words> =
        std::sync::LazyLock::new(|| Words::of(&SHIPPED.book));
    &WORDS
}

fn judged(case: &Value) -> Judgement {
    judge(&SHIPPED.pack, &parsed(case))
}

fn parsed(case: &Value) -> Case {
    serde_json::from_value(case.clone()).unwrap()
}

fn denies(case: &Value) -> bool {
    judged(case).verdict == Verdict::Deny
}

/// Any case at all, or one that is mostly allowed.
fn cases(good: bool) -> impl Strategy<Value = Value> {
    any::<u64>().prop_map(move |seed| {
        let mut rng = Rng::new(seed, 3);
        if good {
            good_case(&mut rng, words())
        } else {
            any_case(&mut rng, words(), 0)
        }
    })
}

/// Regions with more than one clock.
const SPLIT: [&str; 10] = [
    "US-KY", "US-FL", "US-TX", "US-TN", "US-ND", "US-IN", "US-OR", "US-AZ", "US-AK", "CA-ON",
];

fn config() -> ProptestConfig {
    let cases = u32::try_from(size("DIALGATE_PROPERTIES", 150)).unwrap();
    ProptestConfig {
        cases,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Without words the same rules are judged, and say the same.
    #[test]
    fn an_outline_is_what_the_judgement_comes_to(case in cases(false), good in cases(true)) {
        for case in [parsed(&case), parsed(&good)] {
            let judgement = judge(&SHIPPED.pack, &case);
            let Ok(number) = dialable(SHIPPED.pack.tables(), &case.call.to) else {
                continue;
            };
            let outline = outline(&SHIPPED.pack, &case, &number);
            prop_assert_eq!(outline.verdict, judgement.verdict);
            prop_assert_eq!(outline.denied_by, judgement.denied_by);
            prop_assert_eq!(outline.next_allowed_time, judgement.next_allowed_time);
        }
    }

    /// Where nobody called before, the number that stands for all of its kind is told the same as the number itself.
    #[test]
    fn a_stand_in_is_judged_as_the_number_itself(case in cases(false), good in cases(true), digits in any::<u64>()) {
        let tables = SHIPPED.pack.tables();
        for mut case in [parsed(&case), parsed(&good)] {
            case.facts.attempts.clear();
            let Ok(number) = dialable(tables, &case.call.to) else {
                continue;
            };
            let own = outline(&SHIPPED.pack, &case, &number);
            let phone = stand_for(tables, &number);
            let stand_in = Dialable { phone, ..number.clone() };
            case.call.to = phone.reveal();
            prop_assert_eq!(&own, &outline(&SHIPPED.pack, &case, &stand_in));
            // Any other number of its kind has the same one.
            let scale = 100;
            let other = Phone::of_integer(number.phone.integer() / scale * scale + digits % scale).unwrap();
            let other = Dialable { phone: other, ..number };
            prop_assert_eq!(stand_for(tables, &other), phone);
        }
    }

    /// Whoever says stop at the very instant of the call is not called: no consent can be newer.
    #[test]
    fn an_opt_out_turns_every_allow_into_a_deny(case in cases(true), all in any::<bool>()) {
        let mut stopped = case.clone();
        let mut opt_out = json!({ "at": case["call"]["at"], "kind": "do_not_call" });
        if all {
            opt_out["scope"] = json!("all");
            opt_out["seller"] = json!("somebody else");
        }
        stopped["facts"]["opt_outs"].as_array_mut().unwrap().push(opt_out);
        prop_assert!(denies(&stopped), "{}", stopped);
    }

    /// An opt-out of any time lets through only whom a consent given after it lets through.
    #[test]
    fn only_a_newer_consent_outlives_an_opt_out(case in cases(true), hours in 0_i64..5000) {
        let at = case["call"].instant("at").unwrap() - jiff::SignedDuration::from_hours(hours);
        let mut stopped = case.clone();
        stopped["facts"]["opt_outs"] = json!([{ "at": at.to_string(), "kind": "objection" }]);
        let newer = |event: &&Value| event.word("action") == Some("given") && event.instant("at").unwrap() > at;
        let reopened = stopped["facts"].each("consents").iter().any(newer);
        prop_assert!(reopened || denies(&stopped), "{}", stopped);
    }

    /// What is not known of a list denies. All entries of an id go, since of several the latest counts.
    #[test]
    fn deleting_register_entries_opens_nothing(case in cases(false), keep in any::<u64>()) {
        let mut without = case.clone();
        let ids: Vec<String> = SHIPPED.pack.registers().map(str::to_owned).collect();
        let kept = |entry: &Value| {
            let at = ids.iter().position(|id| Some(id.as_str()) == entry.word("register"));
            at.is_none_or(|at| keep >> (at % 64) & 1 == 1)
        };
        without["facts"]["registers"].as_array_mut().unwrap().retain(kept);
        prop_assert!(denies(&without) || !denies(&case), "{}", case);
    }

    /// A call that is allowed where the clock is not known is allowed by each of the clocks.
    #[test]
    fn more_zones_open_no_window(case in cases(true), region in proptest::sample::select(&SPLIT[..])) {
        let mut split = case;
        split["facts"]["location"] = json!({ "region": region });
        let judgement = judged(&split);
        prop_assert!(judgement.zones.len() > 1);
        for zone in &judgement.zones {
            let mut single = split.clone();
            single["facts"]["location"]["timezone"] = json!(zone);
            prop_assert!(denies(&split) || !denies(&single), "{zone}: {split}");
        }
    }

    /// The same case gives the same bytes: judged twice, through the case object of the log, and by a pack read anew.
    #[test]
    fn a_replay_gives_the_same_bytes(case in cases(false)) {
        let bytes = |pack: &Pack, case: &Case| serde_json::to_string(&judge(pack, case)).unwrap();
        let first = bytes(&SHIPPED.pack, &parsed(&case));
        let stored = serde_json::to_string(&parsed(&case)).unwrap();
        let replayed: Case = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&stored, &serde_json::to_string(&replayed).unwrap());
        prop_assert_eq!(&first, &bytes(&SHIPPED.pack, &parsed(&case)));
        prop_assert_eq!(&first, &bytes(&SHIPPED.pack, &replayed));
        prop_assert_eq!(&first, &bytes(embedded(), &replayed));
    }

    /// Open at the instant named, closed a second before.
    #[test]
    fn the_next_allowed_time_holds_on_both_sides(case in cases(true), hours in 0_u64..200) {
        let mut case = parsed(&case);
        case.call.at = case.call.at.plus(Duration::from_secs(hours * 3600));
        let judgement = judge(&SHIPPED.pack, &case);
        if let Some(next) = judgement.next_allowed_time {
            let now = case.call.at;
            case.call.at = next;
            prop_assert_eq!(judge(&SHIPPED.pack, &case).verdict, Verdict::Allow);
            case.call.at = next.minus(Duration::from_secs(1)).max(now);
            prop_assert_eq!(judge(&SHIPPED.pack, &case).verdict, Verdict::Deny);
        }
    }
}

fn embedded() -> &'static Pack {
    static PACK: std::sync::LazyLock<Pack> =
        std::sync::LazyLock::new(|| Pack::embedded().unwrap_or_else(|faults| panic!("{faults}")));
    &PACK
}

/// The properties of allows would say nothing about cases that are all denied.
#[test]
fn good_cases_are_mostly_allowed() {
    let mut rng = Rng::new(17, 0);
    let allowed = (0..200)
        .filter(|_| !denies(&good_case(&mut rng, words())))
        .count();
    assert!(allowed > 80, "{allowed} of 200");
}
