//! What the tests of the law share: the built-in pack, a bare case, and one rule's outcome.

use std::sync::LazyLock;

use super::facts::{Attempt, Case, Consent, OptOut};
use super::{Pack, judge};
use crate::domain::decision::{RuleOutcome, RuleResult};
use crate::domain::party::{RegisterCheck, Relationship};
use crate::domain::time::Micros;

/// The built-in pack.
pub(super) fn pack() -> &'static Pack {
    static PACK: LazyLock<Pack> =
        LazyLock::new(|| Pack::embedded().unwrap_or_else(|faults| panic!("{faults}")));
    &PACK
}

/// A number of each place that the tests call.
pub(super) fn number(place: &str) -> &'static str {
    match place {
        "US-AL" => "+12055550141",
        "US-CT" => "+12035550141",
        "US-FL" => "+12395550147",
        "US-GA" => "+14045550141",
        "US-KY" => "+15025550141",
        "US-LA" => "+15045550141",
        "US-MS" => "+16015550141",
        "US-ND" => "+17015550145",
        "US-NE" => "+14025550141",
        "US-NJ" => "+12015550141",
        "US-NV" => "+17025550141",
        "US-OR" => "+15035550141",
        "US-PA" => "+12155550141",
        "US-PR" => "+17875550141",
        "US-TX" => "+15125550148",
        "US-UT" => "+18015550149",
        "US-WA" => "+12065550141",
        "US-WY" => "+13075550141",
        "AU" => "+61255501201",
        "BE" => "+3225550141",
        "BR" => "+551123456789",
        "CA" => "+15145550161",
        "CH" => "+41442345678",
        "DE" => "+493023125201",
        "ES" => "+34912345678",
        "FR" => "+33199001411",
        "GB" => "+442079460301",
        "IT" => "+390612345678",
        "NL" => "+31202345678",
        "NO" => "+4722345678",
        "RE" => "+262262123456",
        "SK" => "+421212345678",
        _ => panic!("no number for {place}"),
    }
}

/// A live call to a consumer's landline, and nothing known beside.
pub(super) fn case(place: &str, at: &str) -> Case {
    let to = number(place);
    serde_json::from_str(&format!(
        r#"{{"id":"t","call":{{"at":"{at}","to":"{to}","call_kind":"live_manual"}},
            "facts":{{"audience":"consumer","line_type":"landline"}}}}"#
    ))
    .unwrap()
}

/// What the rule says of the case.
pub(super) fn said(case: &Case, rule: &str) -> Option<RuleResult> {
    let rules = judge(pack(), case).rules;
    rules.into_iter().find(|said| said.rule == rule)
}

/// The outcome of a rule that must be in play.
pub(super) fn outcome(case: &Case, rule: &str) -> RuleOutcome {
    said(case, rule)
        .unwrap_or_else(|| panic!("{rule} is not in play"))
        .outcome
}

/// One row of a table of cases: what is different, and what the rule then says.
pub(super) type Row = (&'static str, fn(&mut Case), RuleOutcome);

/// Judges a bare case with each row's difference.
pub(super) fn table(place: &str, at: &str, rule: &str, rows: &[Row]) {
    for (what, differ, expected) in rows {
        let mut case = case(place, at);
        differ(&mut case);
        assert_eq!(outcome(&case, rule), *expected, "{rule}: {what}");
    }
}

/// The outcome at each of these instants.
pub(super) fn timeline(case: &Case, rule: &str, rows: &[(&str, RuleOutcome)]) {
    for (at, expected) in rows {
        let mut case = case.clone();
        case.call.at = instant(at);
        assert_eq!(outcome(&case, rule), *expected, "{rule} at {at}");
    }
}

pub(super) fn instant(text: &str) -> Micros {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

pub(super) fn consent(json: &str) -> Consent {
    serde_json::from_str(json).unwrap()
}

/// A consent of this form, given at this instant.
pub(super) fn given(at: &str, form: &str) -> Consent {
    consent(&format!(
        r#"{{"action":"given","at":"{at}","form":"{form}"}}"#
    ))
}

pub(super) fn withdrawn(at: &str) -> Consent {
    consent(&format!(r#"{{"action":"withdrawn","at":"{at}"}}"#))
}

pub(super) fn opt_out(at: &str) -> OptOut {
    serde_json::from_str(&format!(r#"{{"at":"{at}","kind":"do_not_call"}}"#)).unwrap()
}

pub(super) fn register(id: &str, listed: Option<bool>, as_of: &str) -> RegisterCheck {
    RegisterCheck {
        register: id.to_owned(),
        listed,
        as_of: as_of.parse().unwrap(),
        listed_since: None,
        snapshot: None,
    }
}

pub(super) fn attempt(at: &str, outcome: &str) -> Attempt {
    serde_json::from_str(&format!(r#"{{"at":"{at}","outcome":"{outcome}"}}"#)).unwrap()
}

pub(super) fn bought(on: &str) -> Option<Relationship> {
    Some(Relationship {
        last_transaction: Some(on.parse().unwrap()),
        ..Relationship::default()
    })
}

pub(super) fn asked(on: &str) -> Option<Relationship> {
    Some(Relationship {
        last_inquiry: Some(on.parse().unwrap()),
        ..Relationship::default()
    })
}
