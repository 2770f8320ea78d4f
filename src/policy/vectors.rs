//! Test vectors: worked cases that a pack carries along, each with what must come out. They are judged whenever the pack is
//! loaded, so that a slip of the pen in a rule is found by the sentence that it breaks and not by a person being called.

use super::facts::Case;
use super::files::{Content, Layer, PackFiles};
use super::judge;
use super::pack::{Pack, PackProblem};
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

/// The worked cases of a layer; lines that are none are told.
pub(super) fn read(files: &PackFiles, of: Layer, problems: &mut Vec<PackProblem>) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (layer, file, text) in files.layered(Content::Vectors) {
        if layer != of {
            continue;
        }
        for (line, text) in (1_u64..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            let mut fault = |problem: String| {
                problems.push(PackProblem {
                    file: file.to_owned(),
                    line: Some(line),
                    problem,
                });
            };
            match serde_json::from_str::<Case>(text) {
                Ok(case) if case.expect.is_none() => fault(format!(
                    "case `{}` has no `expect`; say which verdict and rules must come out",
                    case.id
                )),
                Ok(case) => vectors.push(Vector {
                    file: file.to_owned(),
                    line,
                    case,
                }),
                // Quoted input could hold a number; where it is wrong is enough.
                Err(error) => fault(format!(
                    "not a case: {:?} error at column {}; `dialgate policy eval` tells more",
                    error.classify(),
                    error.column()
                )),
            }
        }
    }
    vectors
}

/// Judges these cases, and tells each that comes out otherwise than it says.
pub(super) fn run(pack: &Pack, vectors: &[Vector], problems: &mut Vec<PackProblem>) {
    for Vector { file, line, case } in vectors {
        let Some(expect) = &case.expect else { continue };
        if let Some(problem) = case.place_problem(pack.tables()) {
            problems.push(PackProblem {
                file: file.clone(),
                line: Some(*line),
                problem: format!("case `{}`: {problem}", case.id),
            });
            continue;
        }
        let judgement = judge(pack, case);
        if judgement.verdict == expect.verdict && expect.rules_agree_with(&judgement) {
            continue;
        }
        problems.push(PackProblem {
            file: file.clone(),
            line: Some(*line),
            problem: format!(
                "case `{}` should be {} by {}, but is {} by {}",
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
