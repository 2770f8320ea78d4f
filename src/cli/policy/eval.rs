//! `dialgate policy eval`: cases in, decisions out, one JSON object a line, on all cores.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{RulesArgs, case, open};
use crate::cli::lines::{self, LINE_BYTES_MAX, Line};
use crate::domain::Text;
use crate::domain::decision::{Judgement, RuleResult, Verdict};
use crate::domain::time::Micros;
use crate::policy::facts::Case;
use crate::policy::{Pack, judge};

/// Judge cases, one JSON object a line, and print a decision for each.
///
/// Every line of input has one line of output, in the same order. A denial is an answer like any other and ends with 0. A
/// line that is no case is answered with `{"line", "error"}`; the others are judged all the same, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "Example: dialgate policy eval --check tests/fixtures/examples.jsonl")]
pub struct EvalArgs {
    #[command(flatten)]
    rules: RulesArgs,
    /// Compare with what each case expects, and end with 1 where they differ.
    #[arg(long)]
    check: bool,
    /// File with the cases; standard input when absent.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Judges the whole stream.
pub(super) fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let Some(pack) = args.rules.load() else {
        return Ok(ExitCode::FAILURE);
    };
    let input = open(args.file.as_deref())?;
    let mut output = BufWriter::new(io::stdout().lock());
    let mut complaints = io::stderr().lock();
    let tally = eval(&pack, input, &mut output, &mut complaints, args.check)?;
    Ok(if tally.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One decision, exactly as the README of the rules lays it out.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    verdict: Verdict,
    denied_by: &'a [Text],
    rules: &'a [RuleResult],
    jurisdictions: &'a [Text],
    zones: &'a [Text],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_allowed_time: Option<Micros>,
}

/// A line that is no case. It has no verdict: whoever looks for an allow finds none.
#[derive(Serialize)]
struct NoCase {
    line: u64,
    error: String,
}

/// What is told of one line beside its answer.
#[derive(Debug, Default)]
struct Note {
    no_case: bool,
    /// Where there was an expectation: whether verdict and rules were right.
    right: Option<(bool, bool)>,
    complaint: Option<String>,
}

/// How the lines went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    no_case: usize,
    expecting: usize,
    verdicts_right: usize,
    rules_right: usize,
}

impl Tally {
    fn add(&mut self, note: &Note) {
        self.no_case += usize::from(note.no_case);
        if let Some((verdict, rules)) = note.right {
            self.expecting += 1;
            self.verdicts_right += usize::from(verdict);
            self.rules_right += usize::from(rules);
        }
    }

    fn is_clean(&self) -> bool {
        self.no_case == 0
            && self.verdicts_right == self.expecting
            && self.rules_right == self.expecting
    }
}

/// Answers line by line.
fn eval(
    pack: &Pack,
    input: impl BufRead + Send,
    output: &mut impl Write,
    complaints: &mut impl Write,
    check: bool,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut told = Ok(());
    lines::answer(
        input,
        output,
        |line, out| answer(pack, line, out, check),
        |note| {
            tally.add(&note);
            if let (Some(complaint), Ok(())) = (&note.complaint, &told) {
                told = writeln!(complaints, "{complaint}");
            }
        },
    )?;
    told?;
    if tally.no_case > 0 {
        let count = tally.no_case;
        let lines = if count == 1 { "line is" } else { "lines are" };
        writeln!(
            complaints,
            "{count} {lines} no case: see `error` in the output"
        )?;
    }
    if check {
        writeln!(
            complaints,
            "{} cases with expectations: {} verdicts right, {} rule sets right",
            tally.expecting, tally.verdicts_right, tally.rules_right
        )?;
    }
    Ok(tally)
}

fn answer(pack: &Pack, line: Line<'_>, out: &mut Vec<u8>, check: bool) -> Note {
    let read = if line.is_cut {
        Err(format!(
            "longer than {LINE_BYTES_MAX} bytes, which no case is"
        ))
    } else {
        case::read(line.bytes, pack)
    };
    let note = match read {
        Ok(case) => {
            let judgement = judge(pack, &case);
            print(
                out,
                &Answer {
                    id: &case.id,
                    verdict: judgement.verdict,
                    denied_by: &judgement.denied_by,
                    rules: &judgement.rules,
                    jurisdictions: &judgement.jurisdictions,
                    zones: &judgement.zones,
                    next_allowed_time: judgement.next_allowed_time,
                },
            );
            if check {
                compare(&case, &judgement)
            } else {
                Note::default()
            }
        }
        Err(error) => {
            let line = line.number;
            print(out, &NoCase { line, error });
            Note {
                no_case: true,
                ..Note::default()
            }
        }
    };
    out.push(b'\n');
    note
}

fn print(out: &mut Vec<u8>, object: &impl Serialize) {
    // INVARIANT: plain data with text for keys always becomes JSON, and memory takes every write.
    let written = serde_json::to_writer(out, object);
    debug_assert!(written.is_ok(), "{written:?}");
}

fn compare(case: &Case, judgement: &Judgement) -> Note {
    let Some(expect) = &case.expect else {
        return Note::default();
    };
    let verdict = judgement.verdict == expect.verdict;
    let rules = expect.rules_agree_with(judgement);
    let differs = || {
        format!(
            "case `{}`: expected {} by {:?}, got {} by {:?}",
            case.id, expect.verdict, expect.rules, judgement.verdict, judgement.denied_by
        )
    };
    Note {
        no_case: false,
        right: Some((verdict, rules)),
        complaint: (!(verdict && rules)).then(differs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"a","call":{"at":"2026-04-21T12:59:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{}}"#;

    fn check(input: &str) -> (Vec<serde_json::Value>, String, Tally) {
        let pack = Pack::embedded().unwrap();
        let (mut output, mut complaints) = (Vec::new(), Vec::new());
        let tally = eval(&pack, input.as_bytes(), &mut output, &mut complaints, true).unwrap();
        let output = String::from_utf8(output).unwrap();
        let answers = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (
            answers.collect(),
            String::from_utf8(complaints).unwrap(),
            tally,
        )
    }

    #[test]
    fn bad_lines_are_told_and_the_others_answered_in_order() {
        let input = format!("{GOOD}\nnonsense\n\n{}", GOOD.replace(r#""a""#, r#""b""#));
        let (answers, complaints, tally) = check(&input);
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_str()).collect();
        assert_eq!(ids, [Some("a"), None, None, Some("b")]);
        for (at, says) in [
            (1, "not a case: expected"),
            (2, "not a case: the line is empty"),
        ] {
            assert_eq!(answers[at]["line"], at + 1);
            let error = answers[at]["error"].as_str().unwrap();
            assert!(error.starts_with(says), "{error}");
            assert_eq!(answers[at].get("verdict"), None);
        }
        assert!(
            complaints.starts_with("2 lines are no case"),
            "{complaints}"
        );
        assert_eq!(tally.no_case, 2);
        assert!(!tally.is_clean());
    }

    #[test]
    fn an_answer_has_the_keys_of_the_readme() {
        let (answers, ..) = check(GOOD);
        let keys: Vec<_> = answers[0].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "denied_by",
                "id",
                "jurisdictions",
                "rules",
                "verdict",
                "zones"
            ]
        );
        let rule: Vec<_> = answers[0]["rules"][0].as_object().unwrap().keys().collect();
        assert_eq!(rule, ["citation", "evidence", "outcome", "reason", "rule"]);
    }

    #[test]
    fn a_mismatch_is_counted() {
        let expecting = |verdict: &str| {
            GOOD.replace(
                "{}}",
                &format!(
                    r#"{{}},"expect":{{"verdict":"{verdict}","rules":["US-national-dnc"]}}}}"#
                ),
            )
        };
        let (_, complaints, tally) =
            check(&format!("{}\n{}", expecting("deny"), expecting("allow")));
        assert_eq!(
            (tally.expecting, tally.verdicts_right, tally.rules_right),
            (2, 1, 1),
            "{complaints}"
        );
        assert!(
            complaints.contains("2 cases with expectations: 1 verdicts right, 1 rule sets right")
        );
    }
}
