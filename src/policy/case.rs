//! A case as somebody writes it: every fault of it, each beginning with the field, and none holding a number.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeFloat, DeInteger, DeTable, DeValue};

use super::facts::Case;
use super::heal::{Healed, Readable, heal};
use super::pack::Pack;

impl Readable for Case {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("id", "\"?\""),
        (
            "call",
            "{ at = \"2026-01-01T00:00:00Z\", to = \"?\", call_kind = \"live_manual\" }",
        ),
        ("call.at", "\"2026-01-01T00:00:00Z\""),
        ("call.to", "\"?\""),
        ("call.call_kind", "\"live_manual\""),
        ("facts", "{}"),
        ("facts.opt_outs[].at", "\"2026-01-01T00:00:00Z\""),
        ("facts.opt_outs[].kind", "\"objection\""),
        ("facts.consents[].action", "\"withdrawn\""),
        ("facts.consents[].at", "\"2026-01-01T00:00:00Z\""),
        ("facts.consents[].channels[]", "\"live_manual\""),
        ("facts.registers[].register", "\"?\""),
        ("facts.registers[].as_of", "\"2026-01-01\""),
        ("facts.attempts[].at", "\"2026-01-01T00:00:00Z\""),
        ("facts.attempts[].outcome", "\"answered\""),
        ("facts.legitimate_interest.assessment_on_file", "false"),
        ("facts.presumed_consent.evidence", "\"?\""),
        ("facts.notice.version", "\"?\""),
        ("facts.restriction.since", "\"2026-01-01T00:00:00Z\""),
        ("facts.callback.requested_at", "\"2026-01-01T00:00:00Z\""),
        ("facts.directory.listed", "false"),
        ("facts.directory.marketing_opt_in", "false"),
        ("facts.registrations[].id", "\"?\""),
        ("facts.reassigned_check.queried_on", "\"2026-01-01\""),
        ("facts.reassigned_check.for_date", "\"2026-01-01\""),
        ("facts.reassigned_check.answer", "\"no\""),
        ("facts.provider_answers[].provider", "\"?\""),
        ("facts.provider_answers[].kind", "\"reassigned\""),
        ("facts.provider_answers[].result", "\"unknown\""),
        ("facts.provider_answers[].raw_code", "\"?\""),
        (
            "facts.provider_answers[].answered_at",
            "\"2026-01-01T00:00:00Z\"",
        ),
        ("facts.emergency_regions[]", "\"ZZ\""),
        ("facts.stopped_regions[]", "\"ZZ\""),
        ("expect", "{ verdict = \"deny\", rules = [] }"),
        ("expect.verdict", "\"deny\""),
        ("expect.rules", "[]"),
    ];
}

/// A line read as a case, and what is wrong with it.
pub(super) struct Written {
    /// What stands in for what could not be read included; none if the line is no object.
    pub case: Option<Case>,
    /// Each beginning with the field.
    pub faults: Vec<String>,
    unread: BTreeSet<String>,
}

impl Case {
    /// Reads a case whose places the tables of this pack know; else everything that is wrong with it, each fault beginning
    /// with the field, and none holding a number.
    pub fn read(text: &[u8], pack: &Pack) -> Result<Self, Vec<String>> {
        let mut written = Written::of(text);
        written.look_up(pack);
        match written.case {
            Some(case) if written.faults.is_empty() => Ok(case),
            _ => Err(written.faults),
        }
    }
}

impl Written {
    /// Reads a line.
    pub fn of(text: &[u8]) -> Self {
        let none = |fault: String| Self {
            case: None,
            faults: vec![fault],
            unread: BTreeSet::new(),
        };
        if text.trim_ascii().is_empty() {
            return none("not a case: the line is empty".to_owned());
        }
        let error = match serde_json::from_slice::<Case>(text) {
            Ok(case) => {
                return Self {
                    case: Some(case),
                    faults: Vec::new(),
                    unread: BTreeSet::new(),
                };
            }
            Err(error) => error,
        };
        let cause = error.to_string();
        let cause = without_numbers(
            cause
                .rsplit_once(" at line ")
                .map_or(&cause, |(text, _)| text),
        );
        let Ok(value) = serde_json::from_slice::<Value>(text) else {
            return none(format!("not a case: {cause} at column {}", error.column()));
        };
        if !value.is_object() {
            return none("not a case: write one object in braces".to_owned());
        }
        let Healed {
            value,
            faults,
            unread,
            ..
        } = heal::<Case>(tree(value, &mut 0));
        let faults = faults.into_iter().map(|fault| {
            let problem = without_numbers(&fault.problem);
            match fault.path.as_str() {
                "" => format!("not a case: {problem}"),
                path => format!("{path}: {problem}"),
            }
        });
        let mut faults: Vec<String> = faults.collect();
        if faults.is_empty() {
            // A key that stands there twice is gone when the object is taken apart.
            faults.push(format!("not a case: {cause}"));
        }
        Self {
            case: value,
            faults,
            unread,
        }
    }

    /// Adds what the tables and laws of a pack do not know.
    pub fn look_up(&mut self, pack: &Pack) {
        let problems = self.case.iter().flat_map(|case| case.place_problems(pack));
        for (field, problem) in problems.collect::<Vec<_>>() {
            if self.has_read(&field) {
                self.faults.push(format!("{field}: {problem}"));
            }
        }
    }

    /// Whether a field is as its writer wrote it.
    pub fn has_read(&self, field: &str) -> bool {
        !self.unread.iter().any(|unread| {
            (field.strip_prefix(unread.as_str()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// The same value as TOML, each part under a number of its own where TOML has a place of the text. What is `null` is not
/// there.
fn tree(value: Value, next: &mut usize) -> Spanned<DeValue<'static>> {
    *next += 1;
    let start = *next;
    let value = match value {
        Value::String(text) => DeValue::String(Cow::Owned(text)),
        Value::Bool(yes) => DeValue::Boolean(yes),
        // No field of a case takes a number; it may be somebody's, and is not told again.
        Value::Number(number) if number.is_f64() => DeValue::Float(DeFloat::default()),
        Value::Number(_) => DeValue::Integer(DeInteger::default()),
        Value::Null => DeValue::Table(DeTable::new()),
        Value::Array(list) => {
            let mut array = DeArray::new();
            list.into_iter()
                .for_each(|each| array.push(tree(each, next)));
            DeValue::Array(array)
        }
        Value::Object(entries) => {
            let mut table = DeTable::new();
            for (key, value) in entries.into_iter().filter(|(_, value)| !value.is_null()) {
                *next += 1;
                let key = Spanned::new(*next..*next + 1, Cow::Owned(key));
                table.insert(key, tree(value, next));
            }
            DeValue::Table(table)
        }
    };
    Spanned::new(start..*next + 1, value)
}

/// Quoted input may hold a number of a person, so long runs of digits go.
fn without_numbers(message: &str) -> String {
    let message = message
        .replace("integer `0`", "a number")
        .replace("floating point `0.0`", "a number");
    let mut clean = String::with_capacity(message.len());
    let mut digits = String::new();
    for c in message.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_digit() => digits.push(c),
            c => {
                clean.push_str(if digits.len() < 5 { &digits } else { "…" });
                digits.clear();
                clean.extend(c);
            }
        }
    }
    clean
}
