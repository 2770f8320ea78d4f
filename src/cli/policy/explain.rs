//! `dialgate policy explain`: one case, judged and told for people.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::{RulesArgs, case, open};
use crate::cli::card::{Detail, card};
use crate::cli::output::Output;
use crate::cli::wire::{to_wire, value};
use crate::domain::Text;
use crate::domain::decision::{Judgement, RuleResult};
use crate::grpc::pb;
use crate::policy::facts::Case;
use crate::policy::{Pack, judge};

/// Judge one case and show what every rule says and why.
///
/// The verdict comes first, then each rule with its law and the evidence it went by, then when the call may be made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate policy explain case.json\n  \
                        dialgate policy explain tests/fixtures/examples.jsonl --id us-ga-window")]
pub struct ExplainArgs {
    #[command(flatten)]
    rules: RulesArgs,
    /// Of a file with several cases, the one with this id; without it, all of them.
    #[arg(long)]
    id: Option<String>,
    /// File with the case, or `-` for standard input.
    #[arg(value_name = "CASE")]
    file: PathBuf,
}

/// Explains what is asked for; ends with 1 if there is no such case.
pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let Some(pack) = args.rules.load() else {
        return Ok(ExitCode::FAILURE);
    };
    let mut text = Vec::new();
    open(Some(&args.file))?
        .read_to_end(&mut text)
        .context("cannot read the case")?;
    let wanted = |case: &Case| args.id.as_ref().is_none_or(|id| *id == case.id);
    let cases: Vec<Case> = cases(&text, &pack)?.into_iter().filter(wanted).collect();
    if cases.is_empty() {
        anyhow::bail!(
            "no such case in `{}`: see the ids in it",
            args.file.display()
        );
    }
    let output = Output::new(false);
    for (index, case) in cases.iter().enumerate() {
        if index > 0 {
            output.remark("")?;
        }
        let judged = decision(&pack, case, judge(&pack, case));
        output.remark(&output.paint().strong(&format!("case {}", case.id)))?;
        output.remark(&card(&judged, Detail::Full, output.paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One case written over as many lines as its author likes, or one a line.
fn cases(text: &[u8], pack: &Pack) -> anyhow::Result<Vec<Case>> {
    if serde_json::from_slice::<Case>(text).is_ok() {
        return Ok(vec![case::read(text, pack).map_err(anyhow::Error::msg)?]);
    }
    let lines: Vec<&[u8]> = (text.split(|byte| *byte == b'\n'))
        .filter(|line| !line.trim_ascii().is_empty())
        .collect();
    if lines.len() < 2 || serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() {
        // One object: its faults are told as of one line.
        return case::read(text, pack)
            .map(|case| vec![case])
            .map_err(anyhow::Error::msg);
    }
    (1..)
        .zip(lines)
        .map(|(number, line)| {
            case::read(line, pack).map_err(|error| anyhow::anyhow!("case {number}: {error}"))
        })
        .collect()
}

/// The judgement as a client would see it, for the card that all commands show.
fn decision(pack: &Pack, case: &Case, judgement: Judgement) -> pb::Decision {
    let version = pack.version().clone();
    pb::Decision {
        verdict: value!(Verdict, judgement.verdict),
        denied_by: strings(judgement.denied_by),
        rule_results: judgement.rules.into_iter().map(rule_result).collect(),
        jurisdictions: strings(judgement.jurisdictions),
        zones: strings(judgement.zones),
        next_allowed_time: judgement
            .next_allowed_time
            .map(|at| to_wire(at.timestamp())),
        warnings: judgement.warnings,
        pack: Some(pb::PackVersion {
            version: version.version,
            sha256: version.sha256,
            zone_data: version.zone_data,
        }),
        decided_time: Some(to_wire(case.call.at.timestamp())),
        ..pb::Decision::default()
    }
}

fn strings(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(String::from).collect()
}

fn rule_result(result: RuleResult) -> pb::RuleResult {
    pb::RuleResult {
        rule: result.rule.into(),
        outcome: value!(RuleOutcome, result.outcome),
        reason: result.reason.into(),
        citation: result.citation.into(),
        evidence: strings(result.evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack() -> Pack {
        Pack::embedded().unwrap()
    }

    const CASE: &str = r#"{"id":"a","call":{"at":"2026-04-21T03:00:00Z","to":"+14045550141","call_kind":"live_manual"},
        "facts":{"registers":[{"register":"us-dnc","listed":false,"as_of":"2026-04-10"}]}}"#;

    #[test]
    fn the_verdict_comes_first_then_the_rules_then_when_it_opens() {
        let pack = pack();
        let case = &cases(CASE.as_bytes(), &pack).unwrap()[0];
        let judged = decision(&pack, case, judge(&pack, case));
        let text = card(&judged, Detail::Full, crate::cli::output::Paint::Plain);
        let places = [
            "DENIED",
            "denied by US-window",
            "47 CFR 64.1200(c)(1)",
            "zone=America/New_York",
            "pass",
            "may be called from  2026-04-21T12:00:00Z",
            "Tue 2026-04-21 08:00 EDT",
        ];
        let found: Vec<_> = places.iter().map(|part| text.find(part)).collect();
        assert!(
            found.iter().all(Option::is_some) && found.is_sorted(),
            "{found:?}\n{text}"
        );
    }

    #[test]
    fn a_file_holds_one_case_or_one_a_line() {
        let line = CASE.replace('\n', " ");
        let other = line.replace(r#""a""#, r#""b""#);
        let two = format!("{line}\n\n{other}\n");
        let ids: Vec<_> = (cases(two.as_bytes(), &pack()).unwrap().into_iter())
            .map(|case| case.id)
            .collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(cases(CASE.as_bytes(), &pack()).unwrap().len(), 1);
        let fault = |text: &str| cases(text.as_bytes(), &pack()).unwrap_err().to_string();
        let robot = CASE.replace("live_manual", "robot");
        assert!(
            fault(&robot).starts_with("call.call_kind: unknown"),
            "{}",
            fault(&robot)
        );
        let second = format!("{line}\n{}", other.replace("live_manual", "robot"));
        assert!(
            fault(&second).starts_with("case 2: call.call_kind"),
            "{}",
            fault(&second)
        );
        assert!(fault("").contains("empty"));
    }
}
