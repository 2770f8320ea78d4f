//! A decision as a card: the verdict, each rule with its reason and its citation, when the call may be made, and what to
//! do next. `check`, `call`, `audit query` and `demo` print the same cards.

use std::cmp::Reverse;
use std::fmt::Write as _;

use comfy_table::{Cell, Color};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::output::{self, Paint, plain};
use super::wire::{self, word};
use crate::grpc::pb;
use pb::{Decision, RuleOutcome, RuleResult, Verdict};

/// How much of a decision to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Of a denial only the rules that deny; the others are counted.
    Denials,
    /// Evidence for the rules that deny.
    Brief,
    /// Evidence for every rule, and the input of the decision if it came along.
    Full,
}

/// The card of a decision.
#[must_use]
pub fn card(decision: &Decision, detail: Detail, paint: Paint) -> String {
    let mut card = heading(decision, paint);
    card.push_str("\n\n");
    card.push_str(&indent(&rules(decision, detail, paint)));
    card.push('\n');
    let others = decision.rule_results.len() - shown(decision, detail).len();
    if others > 0 {
        let line = format!("  and {others} more rules that do not deny");
        let _ = writeln!(card, "{}", paint.faint(&line));
    }
    for warning in &decision.warnings {
        let _ = writeln!(card, "  warning: {}", plain(warning));
    }
    if decision.verdict() != Verdict::Allow {
        card.push_str(&next_allowed(decision, paint));
        let advice = output::wrap(&next_step(decision), width(), "             ");
        let _ = writeln!(
            card,
            "  {}  {}",
            paint.strong("next step"),
            advice.trim_start()
        );
    }
    if detail == Detail::Full && !decision.case_json.is_empty() {
        let _ = writeln!(
            card,
            "  {}  {}",
            paint.strong("case"),
            plain(&decision.case_json)
        );
    }
    for line in output::wrap(&origin(decision), width(), "  ").lines() {
        let _ = writeln!(card, "{}", paint.faint(line));
    }
    card.truncate(card.trim_end().len());
    card
}

/// The instant as the clock in each of these zones shows it, `Mon 2026-11-23 08:00 EST  America/New_York`. Zones that are
/// not known here are left out.
#[must_use]
pub fn local_times(at: Timestamp, zones: &[String]) -> Vec<String> {
    zones
        .iter()
        .filter_map(|name| {
            let zone = TimeZone::get(name).ok()?;
            let local = at.to_zoned(zone);
            Some(format!(
                "{}  {name}",
                local.strftime("%a %Y-%m-%d %H:%M %Z")
            ))
        })
        .collect()
}

/// One sentence: what the caller may do about a denial.
#[must_use]
pub fn next_step(decision: &Decision) -> String {
    let mut steps: Vec<String> = Vec::new();
    for rule in denying(decision) {
        let (kind, step) = step_for(rule);
        if kind == Remedy::None {
            // Nothing else that could be done matters once the person said no.
            return step;
        }
        if kind == Remedy::Wait && decision.next_allowed_time.is_some() {
            continue;
        }
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    if decision.next_allowed_time.is_some() {
        steps.push("call again at the time named".to_owned());
    }
    if steps.is_empty() {
        steps.push(
            "see what the failed rules name, then ask again with `dialgate check`".to_owned(),
        );
    }
    steps.join("; ")
}

fn heading(decision: &Decision, paint: Paint) -> String {
    let verdict = match decision.verdict() {
        Verdict::Allow => paint.good("ALLOWED"),
        Verdict::Deny | Verdict::Unspecified => paint.bad("DENIED"),
    };
    let mut text = verdict;
    if !decision.campaign.is_empty() {
        let _ = write!(text, "  campaign {}", plain(&decision.campaign));
    }
    let stage = word!(DecisionStage, decision.stage);
    if !stage.is_empty() {
        let _ = write!(text, ", stage {stage}");
    }
    let at = wire::seconds(decision.decided_time.as_ref());
    if !at.is_empty() {
        let _ = write!(text, ", {at}");
    }
    if !decision.denied_by.is_empty() {
        let _ = write!(
            text,
            "\n  denied by {}",
            plain(&decision.denied_by.join(", "))
        );
    }
    text
}

fn rules(decision: &Decision, detail: Detail, paint: Paint) -> String {
    let mut table = output::bare_table(&["outcome", "rule", "reason", "law"], width() + 2);
    if paint == Paint::Colours {
        table.enforce_styling();
    }
    for rule in shown(decision, detail) {
        let outcome = rule.outcome();
        let mut reason = plain(&rule.reason).into_owned();
        let is_told = detail == Detail::Full || denies(outcome);
        if is_told && !rule.evidence.is_empty() {
            let _ = write!(reason, "\n[{}]", plain(&rule.evidence.join(", ")));
        }
        let mut cell = Cell::new(word!(RuleOutcome, rule.outcome));
        if let Some(colour) = colour(outcome).filter(|_| paint == Paint::Colours) {
            cell = cell.fg(colour);
        }
        table.add_row(vec![
            cell,
            Cell::new(plain(&rule.rule)),
            Cell::new(reason),
            Cell::new(plain(&rule.citation)),
        ]);
    }
    output::pad(&mut table);
    table.trim_fmt()
}

fn next_allowed(decision: &Decision, paint: Paint) -> String {
    let Some(at) = wire::from_wire(decision.next_allowed_time.as_ref()) else {
        return String::new();
    };
    let mut text = format!("  {}  {at:.0}\n", paint.strong("may be called from"));
    for local in local_times(at, &decision.zones) {
        let _ = writeln!(text, "                      {local}");
    }
    text
}

fn origin(decision: &Decision) -> String {
    let mut parts = Vec::new();
    if !decision.decision_id.is_empty() {
        parts.push(format!("decision {}", plain(&decision.decision_id)));
    }
    if let Some(pack) = &decision.pack {
        let hash: String = pack.sha256.chars().take(12).collect();
        parts.push(format!(
            "rules {} ({}), zone data {}",
            plain(&pack.version),
            plain(&hash),
            plain(&pack.zone_data)
        ));
    }
    if !decision.jurisdictions.is_empty() {
        parts.push(format!(
            "law of {}",
            plain(&decision.jurisdictions.join(", "))
        ));
    }
    if !decision.zones.is_empty() {
        parts.push(format!("clocks {}", plain(&decision.zones.join(", "))));
    }
    parts.join(" · ")
}

/// The rules that the card tells of.
fn shown(decision: &Decision, detail: Detail) -> Vec<&RuleResult> {
    let mut rules = in_order(decision);
    if detail == Detail::Denials && decision.verdict() != Verdict::Allow {
        rules.retain(|rule| denies(rule.outcome()));
    }
    rules
}

/// Rules that deny first, in the order of report; then by how much they matter to a reader.
fn in_order(decision: &Decision) -> Vec<&RuleResult> {
    let mut rules: Vec<&RuleResult> = decision.rule_results.iter().collect();
    let rank = |rule: &RuleResult| match rule.outcome() {
        RuleOutcome::Fail => 5,
        RuleOutcome::Void => 4,
        RuleOutcome::Lifted => 3,
        RuleOutcome::Pass => 2,
        RuleOutcome::Info | RuleOutcome::Unspecified => 1,
    };
    let place = |rule: &RuleResult| decision.denied_by.iter().position(|id| *id == rule.rule);
    // Stable: what ranks alike stays in the order of the server.
    rules.sort_by_key(|rule| {
        let place = place(rule);
        (Reverse(place.is_some()), place, Reverse(rank(rule)))
    });
    rules
}

/// The rules behind a denial, in the order of report; also those that only name themselves.
fn denying(decision: &Decision) -> impl Iterator<Item = &RuleResult> {
    decision
        .denied_by
        .iter()
        .filter_map(|id| decision.rule_results.iter().find(|rule| rule.rule == *id))
}

fn denies(outcome: RuleOutcome) -> bool {
    matches!(outcome, RuleOutcome::Fail | RuleOutcome::Void)
}

fn colour(outcome: RuleOutcome) -> Option<Color> {
    match outcome {
        RuleOutcome::Fail | RuleOutcome::Void => Some(Color::Red),
        RuleOutcome::Pass | RuleOutcome::Lifted => Some(Color::Green),
        RuleOutcome::Info | RuleOutcome::Unspecified => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Nothing: the person decides.
    None,
    /// It passes by itself, if at all.
    Wait,
    /// Somebody can do something.
    Act,
}

/// What helps against one rule. The wire carries rule ids and no kinds, and an operator's pack has ids of its own; so
/// this goes by the words that ids are made of, and says nothing special where it finds none.
fn step_for(rule: &RuleResult) -> (Remedy, String) {
    let id = rule.rule.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| id.contains(word));
    let act = |text: &str| (Remedy::Act, text.to_owned());
    if has(&[
        "internal-dnc",
        "opt-out",
        "objection",
        "revoke-all",
        "refusal",
    ]) {
        let step = "do not call: this person asked not to be called, and only newer permission of theirs reopens it";
        (Remedy::None, step.to_owned())
    } else if has(&["minor"]) {
        (
            Remedy::None,
            "do not call: this person is a minor".to_owned(),
        )
    } else if has(&["window", "emergency", "closed", "holiday"]) {
        (
            Remedy::Wait,
            "call within the hours that the rule names".to_owned(),
        )
    } else if has(&["cap", "frequency", "redial"]) {
        (
            Remedy::Wait,
            "the permitted number of attempts is used up".to_owned(),
        )
    } else if has(&["unknown-zone"]) {
        act(
            "record where the person is: `dialgate contact set NUMBER --region US-XX --zip ZIP` or `--timezone ZONE`",
        )
    } else if has(&["not-dialable"]) {
        act("check the number: `dialgate locate NUMBER`")
    } else if has(&["no-rules"]) {
        act(
            "no rules are known for this country, so nobody there can be called; add rules for it to the pack",
        )
    } else if has(&["notice"]) {
        act(
            "give the privacy notice and record it: `dialgate contact set NUMBER --seller SELLER --notice VERSION`",
        )
    } else if has(&["caller-id", "identity"]) {
        act("show another number: --caller-id with one of the campaign's")
    } else if has(&["registration", "permit", "authorised"]) {
        act("add the seller's registration to the campaign in the server's configuration")
    } else if has(&["lia", "controller-basis"]) {
        act(
            "record the assessment of legitimate interest: `dialgate contact set NUMBER --seller SELLER --assessment REF`",
        )
    } else if let Some(register) = register_of(rule) {
        (
            Remedy::Act,
            format!(
                "ask the register and record what it says: `dialgate contact set NUMBER --register {register}=clear@DATE`"
            ),
        )
    } else if has(&[
        "basis", "bases", "consent", "pewc", "robocall", "sector", "listed",
    ]) {
        act(
            "obtain consent and record it: `dialgate consent record NUMBER --seller SELLER --form FORM`",
        )
    } else if has(&["restriction"]) {
        act("processing of this person's data is restricted; clear it with whoever restricted it")
    } else {
        act("see what the failed rules name, then ask again with `dialgate check`")
    }
}

/// The register a rule asks for: named in its evidence, or told by the rule's id.
fn register_of(rule: &RuleResult) -> Option<String> {
    let named = rule
        .evidence
        .iter()
        .find_map(|item| item.strip_prefix("register="))
        .map(|name| plain(name).into_owned());
    let id = rule.rule.to_ascii_lowercase();
    let told = [
        "-dnc", "-rnd", "register", "robinson", "-tps", "bloctel", "-rpo", "-nix", "-ndd",
    ];
    named.or_else(|| {
        told.iter()
            .any(|word| id.contains(word))
            .then(|| "REGISTER".to_owned())
    })
}

fn width() -> usize {
    usize::from(output::width()) - 2
}

fn indent(text: &str) -> String {
    let mut indented = String::new();
    for line in text.lines() {
        let _ = writeln!(indented, "  {}", line.trim_end());
    }
    indented
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rule: &str, outcome: RuleOutcome, reason: &str, evidence: &[&str]) -> RuleResult {
        RuleResult {
            rule: rule.into(),
            outcome: outcome.into(),
            reason: reason.into(),
            citation: "47 CFR 64.1200(c)".into(),
            evidence: evidence.iter().map(|&item| item.to_owned()).collect(),
        }
    }

    fn denied() -> Decision {
        Decision {
            decision_id: "0190d5a5-0000-7000-8000-000000000001".into(),
            stage: pb::DecisionStage::Check.into(),
            verdict: Verdict::Deny.into(),
            denied_by: vec!["US-window".into(), "US-national-dnc".into()],
            rule_results: vec![
                rule(
                    "US-caller-id",
                    RuleOutcome::Pass,
                    "the number shown is the seller's",
                    &["owned=true"],
                ),
                rule(
                    "US-national-dnc",
                    RuleOutcome::Fail,
                    "the check is 40 days old",
                    &["register=us-dnc"],
                ),
                rule("US-disclosure-tsr", RuleOutcome::Info, "say who calls", &[]),
                rule(
                    "US-window",
                    RuleOutcome::Fail,
                    "07:12 is before 08:00",
                    &["zone=America/New_York"],
                ),
            ],
            jurisdictions: vec!["US".into(), "US-GA".into()],
            zones: vec!["America/New_York".into(), "Nowhere/Else".into()],
            next_allowed_time: Some(wire::to_wire("2026-11-20T13:00:00Z".parse().unwrap())),
            warnings: vec!["possible, not valid\u{1b}[2J".into()],
            pack: Some(pb::PackVersion {
                version: "2026.11".into(),
                sha256: "0123456789abcdef".into(),
                zone_data: "2026e".into(),
            }),
            decided_time: Some(wire::to_wire("2026-11-20T12:12:00.5Z".parse().unwrap())),
            campaign: "spring".into(),
            ..Decision::default()
        }
    }

    #[test]
    fn a_denial_names_its_rules_first_with_their_law_and_when_to_call() {
        let text = card(&denied(), Detail::Brief, Paint::Plain);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let first_words: Vec<String> = lines
            .iter()
            .map(|line| line.iter().take(2).copied().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            text.lines().next(),
            Some("DENIED  campaign spring, stage check, 2026-11-20T12:12:00Z")
        );
        let place = |start: &str| {
            first_words
                .iter()
                .position(|words| words == start)
                .unwrap_or_else(|| panic!("{start} in\n{text}"))
        };
        assert!(place("denied by") < place("fail US-window"));
        assert!(place("fail US-window") < place("fail US-national-dnc"));
        assert!(place("fail US-national-dnc") < place("pass US-caller-id"));
        assert!(place("pass US-caller-id") < place("info US-disclosure-tsr"));
        assert!(text.contains("47 CFR 64.1200(c)"));
        assert!(text.contains("[zone=America/New_York]"), "{text}");
        assert!(
            !text.contains("owned=true"),
            "evidence of what passes is for the full card"
        );
        assert!(text.contains("2026-11-20T13:00:00Z\n"));
        assert!(text.contains("Fri 2026-11-20 08:00 EST  America/New_York"));
        assert!(
            next_step(&denied())
                .contains("--register us-dnc=clear@DATE`; call again at the time named")
        );
        assert!(text.contains("warning: possible, not valid\u{fffd}[2J"));
        assert!(text.contains("rules 2026.11 (0123456789ab), zone data 2026e"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn the_full_card_shows_all_evidence_and_the_case() {
        let decision = Decision {
            case_json: r#"{"call":{}}"#.into(),
            ..denied()
        };
        let text = card(&decision, Detail::Full, Paint::Plain);
        assert!(text.contains("owned=true") && text.contains(r#"case  {"call":{}}"#));
        assert!(card(&decision, Detail::Brief, Paint::Colours).contains("\u{1b}[31;1mDENIED"));
    }

    #[test]
    fn an_allowed_call_has_no_next_step() {
        let decision = Decision {
            verdict: Verdict::Allow.into(),
            denied_by: vec![],
            next_allowed_time: None,
            ..denied()
        };
        let text = card(&decision, Detail::Brief, Paint::Plain);
        assert!(
            text.starts_with("ALLOWED  ")
                && !text.contains("next step")
                && !text.contains("denied by")
        );
    }

    #[test]
    fn each_kind_of_denial_has_its_next_step() {
        let step = |ids: &[&str], next: bool| {
            next_step(&Decision {
                verdict: Verdict::Deny.into(),
                denied_by: ids.iter().map(|&id| id.to_owned()).collect(),
                rule_results: ids
                    .iter()
                    .map(|id| rule(id, RuleOutcome::Fail, "", &[]))
                    .collect(),
                next_allowed_time: next.then(crate::grpc::client::Timestamp::default),
                ..Decision::default()
            })
        };
        for (id, expected) in [
            ("POLICY-opt-out", "do not call"),
            ("US-internal-dnc", "do not call"),
            ("EEA-objection", "do not call"),
            ("EEA-minor", "do not call"),
            ("GB-tps", "--register"),
            ("US-national-dnc", "--register"),
            ("DE-basis-consumer", "consent record"),
            ("US-pewc-prerecorded", "consent record"),
            ("POLICY-unknown-zone", "--timezone"),
            ("EEA-art14-notice", "--notice"),
            ("EEA-lia-record", "--assessment"),
            ("US-caller-id", "--caller-id"),
            ("CA-registration", "registration"),
            ("US-FL-cap", "attempts is used up"),
            ("ACME-special", "dialgate check"),
        ] {
            assert!(
                step(&[id], false).contains(expected),
                "{id}: {}",
                step(&[id], false)
            );
        }
        assert_eq!(step(&["US-window"], true), "call again at the time named");
        assert!(step(&["US-window"], false).contains("within the hours"));
        // Whatever else is wrong, a person's no is the whole answer.
        assert!(step(&["US-window", "GB-tps", "GB-objection"], true).starts_with("do not call"));
        assert!(!step(&["GB-tps", "GB-objection"], true).contains("--register"));
    }
}
