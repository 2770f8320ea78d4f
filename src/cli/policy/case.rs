//! A line of a stream read as a case, and what is wrong with it if it is none.

use crate::place::Tables;
use crate::policy::facts::Case;

/// Reads a case whose places these tables know; the error begins with the field at fault, and holds no number.
pub fn read(line: &[u8], tables: &Tables) -> Result<Case, String> {
    if line.trim_ascii().is_empty() {
        return Err("not a case: the line is empty".to_owned());
    }
    let case: Case = serde_json::from_slice(line).map_err(|error| fault(line, &error))?;
    match case.place_problem(tables) {
        Some(problem) => Err(problem),
        None => Ok(case),
    }
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

    fn assert_says(line: &str, says: &str) {
        let tables = Tables::embedded().unwrap();
        let fault = read(line.as_bytes(), &tables).unwrap_err();
        assert!(fault.starts_with(says), "{fault} should say {says}");
        assert!(!fault.contains("4045550100"));
    }

    fn consent(event: &str) -> String {
        GOOD.replace(r#"{}}"#, &format!(r#"{{"consents":[{event}]}}}}"#))
    }

    #[test]
    fn a_fault_names_its_field() {
        let given = r#"{"action":"given","at":"2026-04-01T00:00:00Z","#;
        for (line, says) in [
            (
                GOOD.replace(r#","facts":{}"#, ""),
                "facts: missing field `facts`",
            ),
            (
                GOOD.replace(r#","call_kind":"live_manual""#, ""),
                "call.call_kind: missing field",
            ),
            (
                GOOD.replace("live_manual", "robot"),
                "call.call_kind: unknown call kind `robot`, expected one of live_manual,",
            ),
            (
                GOOD.replace("{}}", r#"{"minor":"no"}}"#),
                "facts.minor: invalid type",
            ),
            (
                GOOD.replace("{}}", r#"{"opt_in":true}}"#),
                "facts.opt_in: unknown field `opt_in`",
            ),
            (
                consent(&format!(
                    r#"{given}"form":"written"}},{given}"form":"loud"}}"#
                )),
                "facts.consents[1].form: unknown consent form",
            ),
            (
                consent(r#"{"action":"given"}"#),
                "facts.consents[0].at: missing field `at`",
            ),
            (
                GOOD.replace(r#""to":"#, r#""from":"14045550100","to":"#),
                "call.from: not an E.164 number",
            ),
            (
                GOOD.replace(r#""to":"#, r#""atds":"14045550100","to":"#),
                "call.atds: invalid type: string \"…\", expected",
            ),
        ] {
            assert_says(&line, says);
        }
    }

    #[test]
    fn a_value_that_is_no_place_time_or_period_is_told() {
        let given = r#"{"action":"given","at":"2026-04-01T00:00:00Z","#;
        for (line, says) in [
            (
                consent(&format!(r#"{given}"period":"forever"}}"#)),
                "facts.consents[0].period: unknown period `forever`, expected indefinite,",
            ),
            (
                consent(&format!(r#"{given}"channels":[]}}"#)),
                "facts.consents[0].channels: is empty; leave it out for all kinds of call",
            ),
            (
                GOOD.replace("{}}", r#"{"location":{"timezone":"Mars/Olympus"}}}"#),
                "facts.location.timezone: `Mars/Olympus` is not the IANA time zone of a place",
            ),
            (
                GOOD.replace(
                    "{}}",
                    r#"{"location":{"region":"Florida","country":"US"}}}"#,
                ),
                "facts.location.region: `Florida` is not an ISO 3166-2 code",
            ),
            (
                GOOD.replace("{}}", r#"{"location":{"region":"US-XX"}}}"#),
                "facts.location.region: no table knows the region `US-XX`",
            ),
            (
                GOOD.replace(r#""to":"#, r#""controller_country":"Germany","to":"#),
                "call.controller_country: `Germany` is not an ISO 3166-1 alpha-2 code",
            ),
            (
                GOOD.replace("12:59:00Z", "12:59:00Z[Mars/X]"),
                "call.at: invalid value: string \"2026-04-21T12:59:00Z[Mars/X]\", expected a time as in",
            ),
            (
                consent(
                    r#"{"action":"given","at":"2026-04-01T00:00:00Z","period":"2026-04-10[u-ca=hebrew]"}"#,
                ),
                "facts.consents[0].period: unknown period",
            ),
            (
                GOOD.replace("{}}", r#"{"relationship":{"last_inquiry":"20260410"}}}"#),
                "facts.relationship.last_inquiry: invalid value: string \"…\", expected a date as in",
            ),
        ] {
            assert_says(&line, says);
        }
    }
}
