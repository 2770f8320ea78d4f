//! Packs in layers: what an operator adds, closes and switches off, and the vectors that every pack is tried with.

use std::collections::BTreeSet;
use std::path::Path;

use dialgate::domain::decision::{RuleOutcome, RuleResult, Verdict};
use dialgate::domain::party::{Audience, LineType};
use dialgate::domain::time::Micros;
use dialgate::policy::facts::Case;
use dialgate::policy::{
    ClosedDay, DisabledRule, OperatorLayer, Pack, PackFiles, PackProblems, judge,
};
use serde_json::json;

use super::pack;

fn with(layer: &OperatorLayer) -> Result<Pack, PackProblems> {
    Pack::of(PackFiles::embedded().with_operator(layer.file()))
}

fn told(result: Result<Pack, PackProblems>) -> Vec<String> {
    let PackProblems(problems) = result.unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn added(files: &[(&str, &str)]) -> Result<Pack, PackProblems> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Pack::of(PackFiles::embedded().with_added(PackFiles::read(folder.path())?))
}

fn case(to: &str, at: &str) -> Case {
    let registers: Vec<_> = ["us-dnc", "us-la-dnc"]
        .map(|id| json!({ "register": id, "listed": false, "as_of": at.get(..10) }))
        .into();
    serde_json::from_value(json!({
        "id": "t", "call": { "at": at, "to": to, "call_kind": "live_manual" },
        "facts": { "audience": "consumer", "line_type": "landline", "registers": registers },
    }))
    .unwrap()
}

fn said(pack: &Pack, case: &Case, rule: &str) -> Option<RuleResult> {
    judge(pack, case)
        .rules
        .into_iter()
        .find(|said| said.rule == rule)
}

/// A row of an operator's own, and what else a file needs.
const OWN: &str = r#"schema = 2
as_of = "2026-11-22"
[[rule]]
id = "HOUSE-no-mondays"
jurisdiction = "US"
kind = "calling_window"
call_kinds = ["live_manual", "autodialed", "prerecorded"]
audience = "both"
windows = { mon = [], tue-sun = ["09:00-20:00"] }
statutory = false
citation = "house rule 7"
certainty = "primary"
"#;

#[test]
fn every_jurisdiction_of_the_built_in_pack_has_a_vector() {
    let met: BTreeSet<String> = (pack().vectors().iter())
        .flat_map(|vector| judge(pack(), &vector.case).rules)
        .map(|said| said.rule.into())
        .collect();
    let places = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
        let rules = pack().rules().iter().filter(|rule| wanted(&rule.common.id));
        rules
            .map(|rule| rule.common.jurisdiction.as_str())
            .collect()
    };
    assert_eq!(places(&|id| met.contains(id)), places(&|_| true));
    assert!(pack().vectors().len() > 100);
    assert!(
        pack()
            .vectors()
            .iter()
            .all(|vector| vector.case.why.is_some())
    );
}

#[test]
fn a_folder_adds_rows_vectors_and_holidays() {
    let monday = r#"{"id":"monday","call":{"at":"2026-04-20T15:00:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{"audience":"consumer","line_type":"landline","registers":[{"register":"us-dnc","listed":false,"as_of":"2026-04-10"}]},"expect":{"verdict":"deny","rules":["HOUSE-no-mondays"]}}"#;
    let whole = added(&[
        ("house.toml", OWN),
        ("tests/house.jsonl", monday),
        (
            "holidays.csv",
            "country,region,name,observed,dates\nES,ES-CT,Day of the house,0,2026-06-17\n",
        ),
    ])
    .unwrap();
    assert_eq!(whole.rules().len(), pack().rules().len() + 1);
    assert_eq!(whole.vectors().len(), pack().vectors().len() + 1);
    assert_ne!(whole.version().sha256, pack().version().sha256);
    assert_eq!(
        whole.version().version,
        "2026-11-22",
        "the newest date speaks"
    );
    let mut girona = case("+34972345678", "2026-06-17T10:00:00Z");
    girona.facts.location = serde_json::from_str(r#"{"region":"ES-CT"}"#).unwrap();
    let window = |pack: &Pack| said(pack, &girona, "ES-window").unwrap().outcome;
    assert_eq!(
        (window(pack()), window(&whole)),
        (RuleOutcome::Pass, RuleOutcome::Fail)
    );

    // What comes out otherwise than it should is refused with its line.
    let tuesday = monday.replace("04-20T", "04-21T");
    let problems = told(added(&[
        ("house.toml", OWN),
        ("tests/house.jsonl", &format!("{monday}\n\n{tuesday}")),
    ]));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("added/tests/house.jsonl:3: case `monday`: expect: should be deny by `HOUSE-no-mondays`, but is allow"), "{problems:#?}");
}

/// An operator's own row for the United States protects the lines that their law presumes to be residential, though its file
/// does not repeat the convention.
#[test]
fn a_mobile_line_is_a_consumers_under_an_added_row_too() {
    let text = OWN.replace("audience = \"both\"", "audience = \"consumer\"");
    let whole = added(&[("house.toml", &text)]).unwrap();
    let mut monday = case("+14045550141", "2026-04-20T15:00:00Z");
    monday.facts.audience = Some(Audience::Business);
    let outcome = |case: &Case| said(&whole, case, "HOUSE-no-mondays").map(|said| said.outcome);
    assert_eq!(outcome(&monday), None, "a business on a fixed line");
    for line in [Some(LineType::Mobile), Some(LineType::Unknown), None] {
        monday.facts.line_type = line;
        assert_eq!(outcome(&monday), Some(RuleOutcome::Fail), "{line:?}");
    }
}

/// A convention of an added file joins that of the built-in ones, whatever the file is called.
#[test]
fn no_convention_takes_another_away() {
    let text = OWN.replace(
        "[[rule]]",
        "[conventions]\nconsumer_line_types = [\"voip\"]\n[[rule]]",
    );
    for name in ["aa.toml", "zz.toml"] {
        let whole = added(&[(name, &text)]).unwrap();
        let mut business = case("+14045550141", "2026-04-21T15:00:00Z");
        business.facts.audience = Some(Audience::Business);
        business.facts.registers.clear();
        for line in [LineType::Voip, LineType::Mobile, LineType::Unknown] {
            business.facts.line_type = Some(line);
            let said = said(&whole, &business, "US-national-dnc").map(|said| said.outcome);
            assert_eq!(said, Some(RuleOutcome::Fail), "{name} {line}");
        }
    }
}

/// A territory under the law of another country has rows as a region of it, under whichever of its names, and no others.
#[test]
fn a_territory_has_rows_as_a_region() {
    let of = |place: &str| {
        OWN.replace(
            "jurisdiction = \"US\"",
            &format!("jurisdiction = \"{place}\""),
        )
    };
    let problems = told(added(&[("house.toml", &of("RE"))]));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].contains("`RE` is under the law of `FR`"),
        "{problems:#?}"
    );
    for name in ["FR-974", "FR-RE"] {
        let whole = added(&[("house.toml", &of(name))]).unwrap();
        for location in [
            "{}",
            r#"{"country":"RE"}"#,
            r#"{"country":"FR","region":"FR-974"}"#,
            r#"{"region":"FR-RE"}"#,
        ] {
            let mut monday = case("+262262123456", "2026-04-20T08:00:00Z");
            monday.facts.location = serde_json::from_str(location).unwrap();
            let said = said(&whole, &monday, "HOUSE-no-mondays").map(|said| said.outcome);
            assert_eq!(said, Some(RuleOutcome::Fail), "{name} {location}");
        }
    }
}

/// Days about which sources disagree are closed until an operator says that they are not kept; others stay closed.
#[test]
fn an_uncertain_holiday_can_be_opened() {
    let open = |calendar: &str, name: &str| {
        format!(
            "schema = 2\nas_of = \"2026-11-22\"\n[[open_day]]\ncalendar = \"{calendar}\"\nname = \"{name}\"\nreason = \"counsel\"\n"
        )
    };
    let acadian = "Friday after Thanksgiving (Acadian Day)";
    let whole = added(&[("open.toml", &open("US-LA", acadian))]).unwrap();
    // The Friday after Thanksgiving; and Christmas Day, which nobody doubts.
    for (at, verdict) in [
        ("2026-11-27T17:00:00Z", Verdict::Allow),
        ("2026-12-25T17:00:00Z", Verdict::Deny),
    ] {
        let case = case("+15045550141", at);
        assert_eq!(judge(pack(), &case).verdict, Verdict::Deny, "{at}");
        assert_eq!(judge(&whole, &case).verdict, verdict, "{at}");
    }
    for (calendar, name, say) in [
        (
            "US-LA",
            "Christmas Day",
            "`name`: `Christmas Day` is not marked uncertain",
        ),
        ("US-LA", "Nobody's Day", "`name`: `US-LA` has no day called"),
        (
            "us-xx",
            acadian,
            "`calendar`: no [[holiday_calendar]] is called `us-xx`",
        ),
    ] {
        let problems = told(added(&[("open.toml", &open(calendar, name))]));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(say), "{problems:#?}");
        assert!(problems[0].starts_with("added/open.toml:"), "{problems:#?}");
    }
}

#[test]
fn nothing_of_the_base_is_said_anew_and_everything_wrong_is_told() {
    let text = OWN.replace("HOUSE-no-mondays", "US-window").replace(
        "citation = \"house rule 7\"",
        "citation = \" \"\nsectors = []",
    );
    let problems = told(added(&[
        ("house.toml", &text),
        (
            "more.toml",
            &OWN.replace(
                "id = \"HOUSE-no-mondays\"\njurisdiction = \"US\"",
                "id = \"house rule\"\njurisdiction = \"XQ\"",
            )
            .replace(
                "tue-sun = [\"09:00-20:00\"]",
                "tue-sun = [\"09:00-12:00\", \"11:00-20:00\"]",
            ),
        ),
        (
            "register.toml",
            "schema = 2\nas_of = \"2026-11-22\"\n[[register]]\nid = \"us-dnc\"\njurisdiction = \"US\"\nname = \"again\"\n",
        ),
        (
            "days.toml",
            "schema = 2\nas_of = \"2026-11-22\"\n[[closed_day]]\njurisdiction = \"US-LA\"\ndate = \"2026-02-30\"\nreason = \"x\"\n",
        ),
        ("tests/house.jsonl", "{\"id\":1}\n"),
        ("numbering/us_zip_zones.csv", "prefix,kind,regions,zones\n"),
    ]));
    for wanted in [
        "added/house.toml:4: rule `US-window`: the id is taken by us.toml:",
        "added/house.toml:11: rule `US-window`: `citation` is empty",
        "added/house.toml:12: rule `US-window`: `sectors = []` matches no call at all",
        "added/more.toml:4: rule `house rule`: `id` takes letters",
        "added/more.toml:5: rule `house rule`: the numbering tables know no country `XQ`",
        "added/more.toml:9: rule `house rule`: `windows.tue-sun`: the hours 09:00-12:00 and 11:00-20:00 overlap",
        "added/register.toml:4: register `us-dnc`: the id is taken by us.toml:",
        "added/days.toml:5: closed day: `date`: ",
        "added/tests/house.jsonl:1: id: invalid type",
        "added/numbering/us_zip_zones.csv: numbering tables cannot be added to",
    ] {
        assert!(
            problems.iter().any(|each| each.starts_with(wanted)),
            "{wanted}\nnot in {problems:#?}"
        );
    }
    for (place, wanted) in [
        ("US-FLL", "no law and no table knows `US-FLL`"),
        ("CA-ZZ", "no law and no table knows `CA-ZZ`"),
        (
            "US-fl",
            "jurisdiction `US-fl` is no ISO country, ISO region",
        ),
    ] {
        let place = format!("jurisdiction = \"{place}\"");
        let problems = told(added(&[(
            "more.toml",
            &OWN.replace("jurisdiction = \"US\"", &place),
        )]));
        let wanted = format!("added/more.toml:5: rule `HOUSE-no-mondays`: {wanted}");
        assert!(
            problems.iter().any(|each| each.starts_with(&wanted)),
            "{wanted}\nnot in {problems:#?}"
        );
    }
}

#[test]
fn a_worked_case_in_no_known_place_is_told() {
    let vector = r#"{"id":"v","call":{"at":"2026-04-21T12:59:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{"location":{"region":"US-XX"}},"expect":{"verdict":"deny","rules":[]}}"#;
    let problems = told(added(&[("more.toml", OWN), ("tests/house.jsonl", vector)]));
    let wanted = "added/tests/house.jsonl:1: case `v`: facts.location.region: no table knows";
    assert!(
        problems.iter().any(|each| each.starts_with(wanted)),
        "{problems:#?}"
    );
}

#[test]
fn a_closed_day_closes_its_own_hours_and_the_next_day_is_named() {
    let day = |place: &str, date: &str| ClosedDay {
        jurisdiction: place.to_owned(),
        date: date.parse().unwrap(),
        reason: "proclamation 7".to_owned(),
        by: "key:anna".to_owned(),
    };
    let closed = |days: Vec<ClosedDay>| OperatorLayer {
        closed_days: days,
        ..OperatorLayer::default()
    };
    let one = with(&closed(vec![day("US-LA", "2026-05-19")])).unwrap();
    let louisiana = case("+15045550141", "2026-05-19T15:00:00Z");
    assert_eq!(judge(pack(), &louisiana).verdict, Verdict::Allow);
    let judgement = judge(&one, &louisiana);
    assert_eq!(judgement.denied_by, ["US-LA-window"]);
    let next: Micros = "2026-05-20T13:00:00Z"
        .parse::<jiff::Timestamp>()
        .unwrap()
        .into();
    assert_eq!(judgement.next_allowed_time, Some(next));
    let window = said(&one, &louisiana, "US-LA-window").unwrap();
    assert!(
        window
            .reason
            .contains("a day closed by the operator (proclamation 7)"),
        "{}",
        window.reason
    );
    assert!(
        window
            .evidence
            .contains(&"closed_day=US-LA 2026-05-19".into()),
        "{:?}",
        window.evidence
    );
    assert_eq!(
        judge(&one, &case("+14045550141", "2026-05-19T15:00:00Z")).verdict,
        Verdict::Allow
    );
    assert_eq!(
        judge(&one, &case("+15045550141", "2026-05-21T15:00:00Z")).verdict,
        Verdict::Allow
    );

    // Georgia has no hours of its own that decide: those that are in play close.
    let georgia = with(&closed(vec![day("US-GA", "2026-05-19")])).unwrap();
    assert_eq!(
        judge(&georgia, &case("+14045550141", "2026-05-19T15:00:00Z")).denied_by,
        ["US-window"]
    );
    // A local feast in Spain closes where it is kept, and where nobody knows the region.
    let spain = with(&closed(vec![day("ES-MD", "2026-05-19")])).unwrap();
    let mut madrid = case("+34912345678", "2026-05-19T10:00:00Z");
    assert_eq!(
        said(&spain, &madrid, "ES-window").unwrap().outcome,
        RuleOutcome::Fail
    );
    madrid.facts.location = serde_json::from_str(r#"{"region":"ES-CT"}"#).unwrap();
    assert_eq!(
        said(&spain, &madrid, "ES-window").unwrap().outcome,
        RuleOutcome::Pass
    );
    // Everywhere.
    let all = with(&closed(vec![day("ZZ", "2026-05-19")])).unwrap();
    assert_eq!(
        judge(&all, &case("+14045550141", "2026-05-19T15:00:00Z")).verdict,
        Verdict::Deny
    );

    let problems = told(with(&closed(vec![
        day("US-LO", "2026-05-19"),
        day("US-LA", "2026-05-19"),
        day("US-LA", "2026-05-19"),
    ])));
    assert!(
        problems
            .iter()
            .any(|each| each.contains("is closed in `US-LA` by operator.toml:")),
        "{problems:#?}"
    );
    let problems = told(with(&closed(vec![day("US-LO", "2026-05-19")])));
    assert!(
        problems[0].contains("no law and no table knows `US-LO`"),
        "{problems:#?}"
    );
    let parts = pack().files().iter().map(|(name, text)| {
        let text = text.replace(
            "id = \"POLICY-default-window\"",
            "enforced = false\nid = \"POLICY-default-window\"",
        );
        (
            name.to_owned(),
            if name.starts_with("tests/") {
                String::new()
            } else {
                text
            },
        )
    });
    let files = PackFiles::of(parts.collect::<Vec<_>>())
        .with_operator(closed(vec![day("DE", "2026-05-19")]).file());
    let problems = told(Pack::of(files));
    assert!(
        problems[0].contains("no calling_window is in force for `DE` on 2026-05-19"),
        "{problems:#?}"
    );
}

#[test]
fn a_disabled_rule_is_shown_and_has_no_effect() {
    let recall = pack().rules().iter().filter(|rule| {
        rule.common.certainty.as_str() == "recall"
            && rule.decides()
            && rule.common.jurisdiction != "ZZ"
    });
    let ids: Vec<&str> = recall.map(|rule| rule.common.id.as_str()).collect();
    // The first vector that one of them denies.
    let (case, id) = (pack().vectors().iter())
        .find_map(|vector| {
            let denied = judge(pack(), &vector.case).denied_by;
            let id = denied.iter().find(|id| ids.contains(&id.as_str()))?.clone();
            Some((vector.case.clone(), id))
        })
        .unwrap_or_else(|| panic!("no vector is denied by one of {ids:?}"));
    let layer = |id: &str| OperatorLayer {
        disabled_rules: vec![DisabledRule {
            id: id.to_owned(),
            reason: "repealed".to_owned(),
            by: "key:anna".to_owned(),
        }],
        ..OperatorLayer::default()
    };
    let less = with(&layer(&id)).unwrap();
    let shown = said(&less, &case, &id).unwrap();
    assert_eq!(shown.outcome, RuleOutcome::Info);
    assert_eq!(shown.reason, "disabled: switched off by key:anna: repealed");
    assert!(!judge(&less, &case).denied_by.contains(&id));
    assert_eq!(less.base_sha256(), pack().version().sha256);
    assert!(
        pack()
            .diff(&less)
            .rows
            .iter()
            .any(|row| row.table == "disabled_rule" && id == row.id)
    );

    let problems = told(with(&layer("US-national-dnc")));
    assert!(
        problems[0].contains("only rules of certainty `recall` can be switched off"),
        "{problems:#?}"
    );
    let problems = told(with(&layer("POLICY-opt-out")));
    assert!(
        problems[0].contains("is the product's own"),
        "{problems:#?}"
    );
    // Without its own row on opt-outs a country has the product's: nobody who opted out is called by a switch.
    let less = with(&layer("CH-objection")).unwrap();
    let mut swiss = crate::policy::packs::case("+41442345678", "2026-10-14T10:00:00Z");
    swiss.facts.opt_outs =
        vec![serde_json::from_str(r#"{"at":"2026-10-01T00:00:00Z","kind":"objection"}"#).unwrap()];
    let denied = judge(&less, &swiss).denied_by;
    assert!(denied.contains(&"POLICY-opt-out".into()), "{denied:?}");
    let problems = told(with(&layer("US-nothing")));
    assert!(
        problems[0].contains("there is no rule `US-nothing`")
            && problems[0].contains("`dialgate policy enable US-nothing`"),
        "{problems:#?}"
    );
}
