//! The law, through the library: the worked examples, the promises that hold for every case, and the pack's own rules.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod faults;
mod packs;

use std::path::Path;
use std::time::Duration;

use dialgate::domain::decision::{RuleOutcome, Verdict};
use dialgate::domain::time::{Micros, Mono, Reading};
use dialgate::policy::facts::{Case, OptOut};
use dialgate::policy::{Pack, evaluate, judge, rules_markdown};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

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

/// A copy of the built-in rules in a folder of its own, as an operator would keep one.
fn rules_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rules")),
        folder.path(),
    );
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What is wrong with the folder's pack, one line a fault.
fn faults(folder: &Path) -> Vec<String> {
    let faults = Pack::load(folder).unwrap_err();
    assert!(
        faults
            .to_string()
            .starts_with("the rule pack cannot be used\n  ")
    );
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn an_operators_folder_takes_the_place_of_the_built_in_pack() {
    let folder = rules_folder();
    let loaded = Pack::load(folder.path()).unwrap();
    assert_eq!(loaded.version(), pack().version());
    assert_eq!(loaded.rules().len(), pack().rules().len());
    let sheet = folder.path().join("numbering/us_zip_zones.csv");
    let text = std::fs::read_to_string(&sheet).unwrap();
    std::fs::write(&sheet, format!("# edited\n{text}")).unwrap();
    let edited = Pack::load(folder.path()).unwrap();
    assert_ne!(
        edited.version().sha256,
        pack().version().sha256,
        "the numbering tables count too"
    );

    // Another day closed by proclamation: another version, another verdict.
    let table = folder.path().join("us.toml");
    let text = std::fs::read_to_string(&table).unwrap();
    let day = "  { name = \"Day of mourning\", fixed = \"05-20\" },\n";
    let mark = "id = \"US-LA\"\njurisdiction = \"US-LA\"\nweekend_shift";
    assert!(text.contains(mark));
    let (before, after) = text.split_once(mark).unwrap();
    let after = after.replacen("days = [\n", &format!("days = [\n{day}"), 1);
    std::fs::write(&table, format!("{before}{mark}{after}")).unwrap();
    let changed = Pack::load(folder.path()).unwrap();
    assert_ne!(changed.version().sha256, pack().version().sha256);
    let case: Case = serde_json::from_value(json!({
        "id": "t", "facts": {},
        "call": { "at": "2026-05-20T15:00:00Z", "to": "+15045550141", "call_kind": "live_manual" },
    }))
    .unwrap();
    let denies = |pack| {
        judge(pack, &case)
            .denied_by
            .contains(&"US-LA-window".into())
    };
    assert!(denies(&changed) && !denies(pack()));
}

/// A rule file with a fault in nearly every row.
const FAULTY: &str = r#"schema = 2
as_of = "2026-11-21"
[surprise]
[[rule]]
id = "XX-one"
jurisdiction = "NZ"
kind = "calling_window"
call_kinds = ["live_manual", "robot"]
audience = "everybody"
windows = { mon-fri = ["09:00-20:00"], sat = [] }
colour = "red"
citation = "none"
certainty = "recall"
[[rule]]
id = "XX-two"
jurisdiction = "Narnia"
kind = "register"
call_kinds = ["live_manual"]
audience = "both"
register = "nz-list"
max_age_days = 31
liftable = false
lifted_by = ["consent"]
citation = "none"
certainty = "recall"
[[rule]]
id = "US-window"
jurisdiction = "NZ"
kind = "moon_phase"
call_kinds = ["live_manual"]
audience = "both"
citation = "none"
certainty = "recall"
[[rule]]
id = "US-window"
jurisdiction = "NZ"
kind = "lawful_basis"
call_kinds = ["live_manual"]
audience = "both"
effective_from = "2026-02-30"
certainty = "recall"
[[rule]]
id = "US-window"
jurisdiction = "NZ"
kind = "lawful_basis"
call_kinds = ["live_manual"]
audience = "both"
citation = "none"
certainty = "recall"
"#;

#[test]
fn all_faults_of_a_pack_are_told_at_once_with_their_lines() {
    let folder = rules_folder();
    std::fs::write(folder.path().join("extra.toml"), FAULTY).unwrap();
    let table = folder.path().join("holidays.csv");
    let mut days = std::fs::read_to_string(&table).unwrap();
    days.push_str("NZ,,New Year's Day,0,2026-13-01\n");
    std::fs::write(&table, &days).unwrap();
    let last = days.lines().count();

    let found = faults(folder.path());
    for wanted in [
        "extra.toml:3: unknown table `surprise`",
        "extra.toml:8: rule `XX-one`: `call_kinds[1]`: unknown call kind `robot`",
        "extra.toml:9: rule `XX-one`: `audience`: unknown value `everybody`",
        "extra.toml:10: rule `XX-one`: `windows`: `sun` is missing",
        "extra.toml:11: rule `XX-one`: `colour`: unknown key",
        "extra.toml:16: rule `XX-two`: jurisdiction `Narnia` is no ISO country",
        "extra.toml:22: rule `XX-two`: `lifted_by` on a row with `liftable = false`",
        "extra.toml:20: rule `XX-two`: register `nz-list` is not declared",
        "extra.toml:29: rule `US-window`: unknown kind `moon_phase`",
        "extra.toml:34: rule `US-window`: `citation`: is missing",
        "extra.toml:40: rule `US-window`: `effective_from`: ",
        "extra.toml:42: rule `US-window`: `any_of` or `all_of` must name a ground",
        &format!("holidays.csv:{last}: `dates`: `2026-13-01` is no date"),
    ] {
        assert!(
            found.iter().any(|fault| fault.starts_with(wanted)),
            "{wanted}\nnot in {found:#?}"
        );
    }
    let taken = "rule `US-window`: the id is taken by extra.toml:26; give the row another";
    assert!(
        found
            .iter()
            .any(|fault| fault.starts_with("us.toml:") && fault.ends_with(taken)),
        "{found:#?}"
    );
}

#[test]
fn the_sheet_for_readers_is_no_part_of_the_law() {
    let folder = rules_folder();
    assert!(folder.path().join("README.md").is_file());
    let loaded = Pack::load(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(loaded.version(), pack().version());
    assert_eq!(loaded.files().text("README.md"), None);
}

#[test]
fn a_pack_that_could_allow_what_nobody_knows_is_refused() {
    let folder = rules_folder();
    let table = folder.path().join("world.toml");
    let text = std::fs::read_to_string(&table).unwrap();
    let text = text.replace("when = \"no_candidate_zone\"", "when = \"known_minor\"");
    std::fs::write(&table, &text).unwrap();
    let found = faults(folder.path());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("`when = \"no_candidate_zone\"`"),
        "{found:#?}"
    );

    std::fs::write(&table, "schema = 3\nas_of = [").unwrap();
    let found = faults(folder.path());
    assert!(
        found
            .iter()
            .any(|fault| fault.starts_with("world.toml:2: not TOML")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|fault| fault
                .starts_with("world.toml:1: `schema`: this program reads `schema = 2`"))
    );

    // What the parser makes up for a value that is none is no fault of line 1.
    let broken = format!("{text}\n[[rule]]\nid = \"Z\"\nkind == 1\n");
    let line = broken.lines().count();
    std::fs::write(&table, broken).unwrap();
    let found = faults(folder.path());
    let own = format!("world.toml:{line}: not TOML");
    let others = |fault: &&String| !fault.starts_with(&own) && !fault.contains("no_candidate_zone");
    assert_eq!(found.iter().find(others), None, "{found:#?}");

    std::fs::remove_file(&table).unwrap();
    std::fs::remove_file(folder.path().join("holidays.csv")).unwrap();
    let found = faults(folder.path());
    assert!(
        found
            .iter()
            .any(|fault| fault.starts_with("holidays.csv: the file cannot be read"))
    );
    let nowhere = faults(&folder.path().join("nowhere"));
    assert!(
        nowhere
            .iter()
            .any(|fault| fault.contains("the folder cannot be read")),
        "{nowhere:#?}"
    );
}

/// Cases of all sorts: lawful, unlawful, contradictory. Each fact may be missing.
fn any_case() -> impl Strategy<Value = Case> {
    let to = select(vec![
        "+14045550141",
        "+12395550147",
        "+17015550145",
        "+18015550149",
        "+12155550141",
        "+15145550161",
        "+493023125201",
        "+33199001411",
        "+442079460301",
        "+61255501201",
        "+4722345678",
        "+34912345678",
        "+390612345678",
        "+31202345678",
        "+421212345678",
        "+3225550141",
        "+551123456789",
        "+262262123456",
        "+18005550100",
        "911",
        "",
    ]);
    let call = (
        any_time(),
        to,
        select(vec!["live_manual", "autodialed", "prerecorded"]),
        option::of(select(vec!["sales", "informational"])),
        option::of(select(vec!["IE", "US", "zz"])),
        option::of(select(vec![
            "press_subscription",
            "pensions",
            "energy_supply",
        ])),
        option::of(any::<bool>()),
        option::of(select(vec!["+33162001122", "+33612345678"])),
    );
    let call = call.prop_map(|(at, to, kind, purpose, controller, sector, flag, from)| {
        json!({ "at": at, "to": to, "call_kind": kind, "purpose": purpose, "controller_country": controller,
                "sector": sector, "atds": flag, "special_category": flag, "new_product": flag, "from": from,
                "seller": "this", "subject": "roof" })
    });
    (call, any_facts()).prop_map(|(call, facts)| {
        serde_json::from_value(json!({ "id": "any", "call": call, "facts": facts })).unwrap()
    })
}

fn any_time() -> impl Strategy<Value = String> {
    // 2024 to 2028, and the ends of time.
    prop_oneof![
        20 => (1_704_067_200_i64..1_861_833_600).prop_map(|second| Micros(second * 1_000_000).to_string()),
        1 => select(vec!["0000-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-30T22:00:00Z"])
            .prop_map(str::to_owned),
    ]
}

fn any_date() -> impl Strategy<Value = String> {
    (2024..2028, 1..13, 1..29).prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"))
}

fn any_opt_out() -> impl Strategy<Value = Value> {
    (any_time(), option::of(select(vec!["seller", "all"])), option::of(select(vec!["this", "other"]))).prop_map(
        |(at, scope, seller)| json!({ "at": at, "kind": "objection", "scope": scope, "seller": seller }),
    )
}

fn any_consent() -> impl Strategy<Value = Value> {
    let form = select(vec!["written", "web_form", "oral", "implied"]);
    let period = option::of(select(vec!["indefinite", "unspecified", "2026-10-31"]));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()));
    (any_time(), any::<bool>(), option::of(form), period, flags).prop_map(|(at, given, form, period, (yes, hours))| {
        let action = if given { "given" } else { "withdrawn" };
        json!({ "action": action, "at": at, "form": form, "period": period, "explicit": yes, "documented": yes,
                "out_of_hours": hours, "initiated_by": yes.map(|y| if y { "person" } else { "seller" }) })
    })
}

fn any_facts() -> impl Strategy<Value = Value> {
    let ids = vec![
        "us-dnc",
        "us-fl-dnc",
        "us-pa-dnc",
        "ca-dncl",
        "au-dncr",
        "gb-tps",
        "no-reservasjon",
        "be-dncm",
    ];
    let registers = vec(
        (
            select(ids),
            option::of(any::<bool>()),
            any_date(),
            option::of(any_date()),
        ),
        0..8,
    );
    let registers = registers.prop_map(|all| -> Value {
        let entry = |(id, listed, as_of, since)| json!({ "register": id, "listed": listed, "as_of": as_of, "listed_since": since });
        all.into_iter().map(entry).collect()
    });
    let outcome = select(vec!["no_answer", "answered", "refused", "hung_up"]);
    let attempts = vec((any_time(), outcome), 0..5).prop_map(|all| -> Value {
        all.into_iter()
            .map(|(at, outcome)| json!({ "at": at, "outcome": outcome }))
            .collect()
    });
    let dealings = (
        option::of(any_date()),
        option::of(any_date()),
        option::of(any::<bool>()),
        option::of(any_time()),
    );
    let dealings = option::of(dealings.prop_map(|(bought, asked, yes, ended)| {
        json!({ "last_transaction": bought, "last_inquiry": asked, "contract_in_force": yes, "offer_related": yes,
                "contract_ended_on": bought, "ended_at": ended })
    }));
    let callback = option::of(
        (any_time(), option::of(any_time()))
            .prop_map(|(asked, from)| json!({ "requested_at": asked, "not_before": from })),
    );
    let person = (
        option::of(select(vec!["consumer", "business", "unknown"])),
        option::of(select(vec!["landline", "mobile", "voip", "unknown"])),
        option::of(select(vec![
            json!({ "timezone": "America/Chicago" }),
            json!({ "region": "US-FL" }),
            json!({ "postal_code": "58102" }),
            json!({ "postal_code": "00000" }),
            json!({ "country": "DE" }),
        ])),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
    );
    let lists = (
        vec(any_opt_out(), 0..2),
        vec(any_consent(), 0..4),
        registers,
        attempts,
    );
    (person, lists, dealings, callback).prop_map(|(person, lists, dealings, callback)| {
        let (audience, line, location, minor, yes) = person;
        let (opt_outs, consents, registers, attempts) = lists;
        json!({
            "audience": audience, "line_type": line, "location": location, "minor": minor, "opt_outs": opt_outs,
            "consents": consents, "registers": registers, "attempts": attempts, "relationship": dealings,
            "callback": callback, "personal_relationship": yes,
            "notice": yes.map(|_| json!({ "version": "n" })),
            "legitimate_interest": yes.map(|yes| json!({ "assessment_on_file": yes })),
            "caller_id": yes.map(|yes| json!({ "owned": yes, "callable": yes, "in_directory": yes })),
            "registrations": [{ "id": "ca-dncl" }],
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever the facts, there is an answer, it agrees with itself, and only an allow carries a permit.
    #[test]
    fn every_case_has_an_answer(case in any_case()) {
        let read = Reading { wall: case.call.at, mono: Mono(Duration::ZERO) };
        let (judgement, permit) = evaluate(pack(), &case, read);
        let failing: Vec<_> = judgement.rules.iter()
            .filter(|rule| rule.outcome == RuleOutcome::Fail)
            .map(|rule| rule.rule.clone())
            .collect();
        prop_assert_eq!(&failing, &judgement.denied_by);
        prop_assert_eq!(judgement.verdict == Verdict::Allow, failing.is_empty());
        prop_assert_eq!(permit.is_some(), judgement.verdict == Verdict::Allow);
        if let Some(next) = judgement.next_allowed_time {
            prop_assert!(next > case.call.at);
            let mut later = case;
            later.call.at = next;
            prop_assert_eq!(judge(pack(), &later).denied_by, Vec::<String>::new());
        }
    }

    /// Asking to be left alone never makes a call lawful.
    #[test]
    fn an_opt_out_never_turns_deny_into_allow(case in any_case(), opt_out in any_opt_out()) {
        let before = judge(pack(), &case).verdict;
        let mut after = case;
        let opt_out: OptOut = serde_json::from_value(opt_out).unwrap();
        after.facts.opt_outs.push(opt_out);
        if judge(pack(), &after).verdict == Verdict::Allow {
            prop_assert_eq!(before, Verdict::Allow);
        }
    }
}
