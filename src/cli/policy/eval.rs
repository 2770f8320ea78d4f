//! `dialgate policy eval`: cases in, decisions out, one JSON object a line, without a server.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::domain::decision::{Judgement, RuleResult, Verdict};
use crate::domain::time::Micros;
use crate::policy::facts::Case;
use crate::policy::{Pack, judge};

/// A case is a few kilobytes; a longer line is no case.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Judge cases, one JSON object a line, and print a decision for each.
///
/// A denial is an answer like any other and ends with 0. A line that is no case is told on stderr; the other lines are
/// answered all the same, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "Example: dialgate policy eval --check tests/fixtures/examples.jsonl")]
pub struct EvalArgs {
    /// Folder with rules to use instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Compare with what each case expects, and end with 1 where they differ.
    #[arg(long)]
    check: bool,
    /// File with the cases; standard input when absent.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command; every line of input has been answered or complained about by then.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let pack = match &args.rules {
        Some(folder) => Pack::load(folder),
        None => Pack::embedded(),
    };
    let pack = match pack {
        Ok(pack) => pack,
        Err(problems) => {
            // One line a fault, as a compiler would.
            eprintln!("error: {problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let input: Box<dyn BufRead> = match &args.file {
        Some(path) => {
            let file = File::open(path)
                .with_context(|| format!("cannot open the cases `{}`", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(io::stdin().lock()),
    };
    let mut output = BufWriter::new(io::stdout().lock());
    let tally = eval(
        &pack,
        input,
        &mut output,
        &mut io::stderr().lock(),
        args.check,
    )?;
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
    denied_by: &'a [String],
    rules: &'a [RuleResult],
    jurisdictions: &'a [String],
    zones: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_allowed_time: Option<Micros>,
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
    fn is_clean(&self) -> bool {
        self.no_case == 0
            && self.verdicts_right == self.expecting
            && self.rules_right == self.expecting
    }
}

/// Answers line by line.
fn eval(
    pack: &Pack,
    mut input: impl BufRead,
    output: &mut impl Write,
    complaints: &mut impl Write,
    check: bool,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut bounded = input.by_ref().take(LINE_BYTES_MAX);
        if bounded
            .read_until(b'\n', &mut line)
            .context("cannot read the cases")?
            == 0
        {
            break;
        }
        if line.len() as u64 == LINE_BYTES_MAX {
            anyhow::bail!("line {number}: longer than {LINE_BYTES_MAX} bytes, which no case is");
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let case: Case = match serde_json::from_slice(&line) {
            Ok(case) => case,
            Err(error) => {
                tally.no_case += 1;
                writeln!(complaints, "line {number}: {}", fault(&line, &error))?;
                continue;
            }
        };
        let judgement = judge(pack, &case);
        let answer = Answer {
            id: &case.id,
            verdict: judgement.verdict,
            denied_by: &judgement.denied_by,
            rules: &judgement.rules,
            jurisdictions: &judgement.jurisdictions,
            zones: &judgement.zones,
            next_allowed_time: judgement.next_allowed_time,
        };
        serde_json::to_writer(&mut *output, &answer)?;
        output.write_all(b"\n")?;
        if check {
            compare(&case, &judgement, &mut tally, complaints)?;
        }
    }
    output.flush()?;
    if check {
        let Tally {
            expecting,
            verdicts_right,
            rules_right,
            ..
        } = tally;
        writeln!(
            complaints,
            "{expecting} cases with expectations: {verdicts_right} verdicts right, {rules_right} rule sets right"
        )?;
    }
    Ok(tally)
}

fn compare(
    case: &Case,
    judgement: &Judgement,
    tally: &mut Tally,
    complaints: &mut impl Write,
) -> io::Result<()> {
    let Some(expect) = &case.expect else {
        return Ok(());
    };
    let verdict = judgement.verdict == expect.verdict;
    let rules = expect.rules_agree_with(judgement);
    tally.expecting += 1;
    tally.verdicts_right += usize::from(verdict);
    tally.rules_right += usize::from(rules);
    if !(verdict && rules) {
        writeln!(
            complaints,
            "case `{}`: expected {} by {:?}, got {} by {:?}",
            case.id, expect.verdict, expect.rules, judgement.verdict, judgement.denied_by
        )?;
    }
    Ok(())
}

/// What is wrong with a line, beginning with the field. Quoted input may hold a number, so long runs of digits go.
fn fault(line: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(m, _)| m);
    // The reader complains of a missing field after the object's closing brace. A word that is not in its set is found out
    // when the text is read already, so a closing brace or bracket may stand between the value and the reader.
    let path = match message.strip_prefix("missing field `") {
        Some(missing) => {
            let name = missing.trim_end_matches('`');
            let path = path_at(line, error.column());
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        }
        None => {
            let last = error.column().saturating_sub(1);
            let closed = matches!(line.get(last), Some(b'}' | b']'));
            path_at(line, if closed { last } else { error.column() })
        }
    };
    let mut clean = String::with_capacity(message.len());
    let mut digits = String::new();
    for c in message.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        clean.push_str(if digits.len() < 5 { &digits } else { "…" });
        digits.clear();
        clean.push(c);
    }
    let clean = clean.trim_end_matches('\0');
    if path.is_empty() {
        format!("not a case: {clean}")
    } else {
        format!("{path}: {clean}")
    }
}

/// The path of the value that the reader was at, such as `facts.consents[0].form`.
fn path_at(line: &[u8], column: usize) -> String {
    enum Inside {
        Object { key: String, in_key: bool },
        Array { index: usize },
    }
    let mut stack: Vec<Inside> = Vec::new();
    let mut text: Option<Vec<u8>> = None;
    let mut escaped = false;
    for &byte in line.iter().take(column) {
        if let Some(read) = &mut text {
            match byte {
                b'"' if !escaped => {
                    if let Some(Inside::Object { key, in_key: true }) = stack.last_mut() {
                        *key = String::from_utf8_lossy(read).into_owned();
                    }
                    text = None;
                }
                _ => read.push(byte),
            }
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match (byte, stack.last_mut()) {
            (b'"', _) => (text, escaped) = (Some(Vec::new()), false),
            (b'{', _) => stack.push(Inside::Object {
                key: String::new(),
                in_key: true,
            }),
            (b'[', _) => stack.push(Inside::Array { index: 0 }),
            (b'}' | b']', _) => drop(stack.pop()),
            (b':', Some(Inside::Object { in_key, .. })) => *in_key = false,
            (b',', Some(Inside::Object { in_key, .. })) => *in_key = true,
            (b',', Some(Inside::Array { index })) => *index += 1,
            _ => {}
        }
    }
    let mut path = String::new();
    for inside in stack {
        match inside {
            Inside::Object { key, .. } if path.is_empty() || key.is_empty() => path.push_str(&key),
            Inside::Object { key, .. } => path.extend([".", &key]),
            Inside::Array { index } => path.push_str(&format!("[{index}]")),
        }
    }
    path
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
        let ids: Vec<_> = answers.iter().map(|answer| &answer["id"]).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(
            complaints.starts_with("line 2: not a case: "),
            "{complaints}"
        );
        assert_eq!(tally.no_case, 1);
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
    fn a_fault_names_its_field() {
        let consent =
            |event: &str| GOOD.replace(r#"{}}"#, &format!(r#"{{"consents":[{event}]}}}}"#));
        let given = r#"{"action":"given","at":"2026-04-01T00:00:00Z","#;
        for (line, says) in [
            (
                GOOD.replace(r#","facts":{}"#, ""),
                "line 1: facts: missing field `facts`",
            ),
            (
                GOOD.replace(r#","call_kind":"live_manual""#, ""),
                "line 1: call.call_kind: missing field",
            ),
            (
                GOOD.replace("live_manual", "robot"),
                "line 1: call.call_kind: unknown call kind `robot`, expected one of live_manual,",
            ),
            (
                GOOD.replace("{}}", r#"{"minor":"no"}}"#),
                "line 1: facts.minor: invalid type",
            ),
            (
                GOOD.replace("{}}", r#"{"opt_in":true}}"#),
                "line 1: facts.opt_in: unknown field `opt_in`",
            ),
            (
                consent(&format!(
                    r#"{given}"form":"written"}},{given}"form":"loud"}}"#
                )),
                "line 1: facts.consents[1].form: unknown consent form",
            ),
            (
                consent(r#"{"action":"given"}"#),
                "line 1: facts.consents[0].at: missing field `at`",
            ),
            (
                GOOD.replace(r#""to":"#, r#""from":"14045550100","to":"#),
                "line 1: call.from: not an E.164 number",
            ),
            (
                GOOD.replace(r#""to":"#, r#""atds":"14045550100","to":"#),
                "line 1: call.atds: invalid type: string \"…\", expected",
            ),
        ] {
            let (answers, complaints, _) = check(&line);
            assert!(answers.is_empty());
            assert!(
                complaints.starts_with(says),
                "{complaints} should say {says}"
            );
            assert!(!complaints.contains("4045550100"));
        }
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
