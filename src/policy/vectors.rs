//! Test vectors: worked cases that a pack carries along, each with what must come out. They are judged whenever the pack is
//! loaded, so that a slip of the pen in a rule is found by the sentence that it breaks and not by a person being called.

use super::case::Written;
use super::facts::Case;
use super::files::{Content, Layer, PackFiles};
use super::pack::{Pack, PackProblem};
use super::{NOT_DIALABLE, judge};
use crate::domain::decision::{Judgement, RuleOutcome};

/// One worked case of a pack.
#[derive(Debug)]
pub struct Vector {
    /// The file it stands in.
    pub file: String,
    /// The line.
    pub line: u64,
    /// What is asked and expected.
    pub case: Case,
}

/// The worked cases of a layer. Lines that are none are told, and what this pack does not know; only those without a fault
/// are given back.
pub(super) fn read(
    files: &PackFiles,
    of: Layer,
    pack: Option<&Pack>,
    problems: &mut Vec<PackProblem>,
) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let texts = files.layered(Content::Vectors).into_iter();
    for (_, file, text) in texts.filter(|(layer, ..)| *layer == of) {
        for (line, text) in (1_u64..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            let mut written = Written::of(text.as_bytes());
            if let Some(pack) = pack {
                written.look_up(pack);
                look_up_rules(&mut written, pack);
            }
            if written.has_read("expect")
                && written
                    .case
                    .as_ref()
                    .is_some_and(|case| case.expect.is_none())
            {
                let fault = "expect: is missing; say which verdict and rules must come out";
                written.faults.push(fault.to_owned());
            }
            let name = match &written.case {
                Some(case) if written.has_read("id") => format!("case `{}`: ", case.id),
                _ => String::new(),
            };
            problems.extend(written.faults.iter().map(|fault| PackProblem {
                file: file.to_owned(),
                line: Some(line),
                problem: format!("{name}{fault}"),
            }));
            vectors.extend(
                written
                    .case
                    .filter(|_| written.faults.is_empty())
                    .map(|case| Vector {
                        file: file.to_owned(),
                        line,
                        case,
                    }),
            );
        }
    }
    vectors
}

/// A rule that nobody knows is never met, and never denies.
fn look_up_rules(written: &mut Written, pack: &Pack) {
    let Some(expect) = written.case.as_ref().and_then(|case| case.expect.as_ref()) else {
        return;
    };
    let unknown = |id: &str| pack.find(id).is_none() && id != NOT_DIALABLE;
    let rules = expect.rules.iter().enumerate();
    let faults: Vec<String> = (rules.filter(|(_, id)| unknown(id) && !pack.is_partial()))
        .map(|(index, id)| {
            format!(
                "expect.rules[{index}]: there is no rule `{id}`; `dialgate policy list` names them"
            )
        })
        .collect();
    written.faults.extend(faults);
}

/// Judges these cases, and tells each that comes out otherwise than it says.
pub(super) fn run(pack: Option<&Pack>, vectors: &[Vector], problems: &mut Vec<PackProblem>) {
    let Some(pack) = pack else { return };
    for Vector { file, line, case } in vectors {
        let Some(expect) = &case.expect else { continue };
        let judgement = judge(pack, case);
        if judgement.verdict == expect.verdict && expect.rules_agree_with(&judgement) {
            continue;
        }
        problems.push(PackProblem {
            file: file.clone(),
            line: Some(*line),
            problem: format!(
                "case `{}`: expect: should be {} by {}, but is {} by {}",
                case.id,
                expect.verdict,
                listed(expect.rules.iter().map(String::as_str)),
                judgement.verdict,
                listed(denying(&judgement)),
            ),
        });
    }
}

fn denying(judgement: &Judgement) -> impl Iterator<Item = &str> {
    let counts = |outcome| matches!(outcome, RuleOutcome::Fail | RuleOutcome::Void);
    let rules = judgement.rules.iter();
    rules
        .filter(move |rule| counts(rule.outcome))
        .map(|rule| rule.rule.as_str())
}

fn listed<'a>(rules: impl Iterator<Item = &'a str>) -> String {
    let rules: Vec<String> = rules.map(|rule| format!("`{rule}`")).collect();
    match rules.as_slice() {
        [] => "no rule".to_owned(),
        rules => rules.join(", "),
    }
}
