//! What the two evaluators once read differently and the engine had wrong, kept as small packs of their own.

use dialgate::policy::{Pack, judge};
use serde_json::{Value, json};

use super::packs::Draft;

/// A row that speaks of every call, with these keys besides.
fn row(place: &str, kind: &str, keys: &str) -> String {
    format!(
        "[[rule]]\nid = \"{place}-{kind}\"\njurisdiction = \"{place}\"\nkind = \"{kind}\"\naudience = \"both\"\n\
         call_kinds = [\"live_manual\", \"autodialed\", \"prerecorded\"]\ncitation = \"none\"\ncertainty = \"recall\"\n{keys}\n"
    )
}

/// What the rule says of the case under these rows; `-` where it is not in play.
fn check(rows: &[String], at: &str, to: &str, facts: &Value, rule: &str, expected: &str) {
    let pack =
        Pack::load(Draft::of(rows).folder().path()).unwrap_or_else(|faults| panic!("{faults}"));
    let case = json!({ "id": "once", "call": { "at": at, "to": to, "call_kind": "live_manual" }, "facts": facts });
    let judgement = judge(&pack, &serde_json::from_value(case).unwrap());
    let said = serde_json::to_value(&judgement).unwrap();
    let rules = said["rules"].as_array().unwrap();
    let found = rules.iter().find(|found| found["rule"] == rule);
    let found = found.map_or("-", |found| found["outcome"].as_str().unwrap());
    assert_eq!(found, expected, "{rule} in {said:#}");
}

/// An area code proves no region: under `public_strict` a holiday of any province closes (Family Day is none in Quebec).
#[test]
fn an_area_code_is_no_known_region_for_holidays() {
    let keys = "windows = { mon-sun = [\"08:00-21:00\"] }\nholiday_calendar = \"public_strict\"\non_holiday = []";
    let rows = [row("CA", "calling_window", keys)];
    let (at, to) = ("2026-02-16T17:00:00Z", "+15145550161");
    check(&rows, at, to, &json!({}), "CA-calling_window", "fail");
    let quebec = json!({ "location": { "region": "CA-QC" } });
    check(&rows, at, to, &quebec, "CA-calling_window", "pass");
    let elsewhere = json!({ "location": { "region": "CA-ON" } });
    check(&rows, at, to, &elsewhere, "CA-calling_window", "fail");
}

/// A fallback duty gives way to a duty of its kind from a more special place, as a gate does; but no gate to a duty.
#[test]
fn fallback_duties_give_way() {
    let (at, to) = ("2026-05-19T15:00:00Z", "+12125550142");
    let abandonment = [
        row(
            "ZZ",
            "abandonment",
            "fallback = true\nmax_rate_percent = 3.0",
        ),
        row("US", "abandonment", "max_rate_percent = 5.0"),
    ];
    check(&abandonment, at, to, &json!({}), "ZZ-abandonment", "-");
    check(
        &abandonment[..1],
        at,
        to,
        &json!({}),
        "ZZ-abandonment",
        "info",
    );
    let disclosure = [
        row(
            "ZZ",
            "disclosure",
            "fallback = true\nrequires_notice = true",
        ),
        row("US", "disclosure", ""),
    ];
    check(&disclosure, at, to, &json!({}), "ZZ-disclosure", "fail");
}

/// `lifted_by` is a key of every row.
#[test]
fn a_ground_lifts_a_restriction() {
    let rows = [row(
        "US",
        "restriction",
        "when = \"known_minor\"\nlifted_by = [\"new_product\", \"consent\"]",
    )];
    let (at, to) = ("2026-05-19T15:00:00Z", "+12125550142");
    let given = json!([{ "action": "given", "at": "2026-05-01T00:00:00Z", "form": "written" }]);
    check(
        &rows,
        at,
        to,
        &json!({ "minor": true }),
        "US-restriction",
        "fail",
    );
    check(
        &rows,
        at,
        to,
        &json!({ "minor": true, "consents": given }),
        "US-restriction",
        "lifted",
    );
    let rows = [row(
        "US",
        "restriction",
        "when = \"restriction_active\"\nlifted_by = [\"consent\"]",
    )];
    let restriction = json!({ "since": "2026-05-10T00:00:00Z" });
    check(
        &rows,
        at,
        to,
        &json!({ "restriction": restriction }),
        "US-restriction",
        "fail",
    );
    let both = json!({ "restriction": restriction, "consents": given });
    check(&rows, at, to, &both, "US-restriction", "lifted");
}

/// The number's own country keeps its law, a territory's part of it too, wherever the person is said to be.
#[test]
fn a_territory_keeps_its_law_when_the_person_is_elsewhere() {
    let rows = [row("FR-RE", "registration", "registration = \"permit\"")];
    let elsewhere = json!({ "location": { "country": "US" } });
    check(
        &rows,
        "2026-05-19T15:00:00Z",
        "+262262161234",
        &elsewhere,
        "FR-RE-registration",
        "fail",
    );
}

/// A key that would be read and not obeyed is refused.
#[test]
fn what_nothing_can_lift_takes_no_lift() {
    for (kind, keys) in [
        ("opt_out", "reopened_by = []"),
        (
            "ground_validity",
            "ground = \"consent\"\nrequires_documented = true",
        ),
        ("restriction", "when = \"no_candidate_zone\""),
    ] {
        let lifted = row("US", kind, &format!("{keys}\nlifted_by = [\"consent\"]"));
        let faults = Pack::load(Draft::of(&[lifted]).folder().path()).unwrap_err();
        assert!(faults.to_string().contains("`lifted_by` on a"), "{faults}");
        assert!(Pack::load(Draft::of(&[row("US", kind, keys)]).folder().path()).is_ok());
    }
}
