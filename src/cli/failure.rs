//! How a failure reaches a person or a program: what went wrong, where, and what to do about it; and the exit code.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{Paint, plain};
use crate::grpc::client::{Code, Refusal, Status};

/// Exit codes (sysexits has no word for a lawful refusal).
pub mod exit {
    use std::process::ExitCode;

    /// It failed.
    pub const FAILED: ExitCode = ExitCode::FAILURE;

    /// The command line made no sense.
    #[must_use]
    pub fn usage() -> ExitCode {
        ExitCode::from(2)
    }

    /// The gate denied the call.
    #[must_use]
    pub fn denied() -> ExitCode {
        ExitCode::from(3)
    }
}

/// The command line asks for something that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// A failure outside the server's answers, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Advised {
    /// What went wrong.
    pub problem: String,
    /// What to do.
    pub advice: &'static str,
    /// Why.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The server's refusal of one request.
#[derive(Debug, thiserror::Error)]
#[error("{}", plain(.status.message()))]
pub struct Refused {
    status: Box<Status>,
    /// The options that repeat a change whose effect is not known.
    repeat: Option<String>,
}

impl Refused {
    /// A question was refused.
    #[must_use]
    pub fn question(status: Status) -> Self {
        Self {
            status: Box::new(status),
            repeat: None,
        }
    }

    /// A change was refused, or its answer did not arrive; `repeat` are the options that ask for the very same again.
    #[must_use]
    pub fn change(status: Status, repeat: String) -> Self {
        Self {
            status: Box::new(status),
            repeat: Some(repeat),
        }
    }
}

/// A failure, taken apart.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// What went wrong.
    pub message: String,
    /// gRPC code, such as `INVALID_ARGUMENT`.
    pub code: Option<&'static str>,
    /// The server's reason word, such as `NUMBER_NOT_DIALABLE`.
    pub reason: Option<String>,
    /// Fields of the request that are wrong, and how.
    pub fields: Vec<(String, String)>,
    /// Whatever else the server told, `name: text`.
    pub details: Vec<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What to do.
    pub advice: Vec<String>,
}

/// Prints a failure to standard error and tells the exit code.
pub fn report(error: &anyhow::Error, as_json: bool) -> ExitCode {
    // A reader that went away has all it wanted.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let report = Report::of(error);
    let text = if as_json {
        report.to_json().to_string()
    } else {
        report.to_text(Paint::of(&std::io::stderr()))
    };
    // Nothing is left to be done when even standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
    if find::<Usage>(error).is_some() {
        exit::usage()
    } else {
        exit::FAILED
    }
}

impl Report {
    /// Takes a failure apart.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(refused) = find::<Refused>(error) {
            return Self::of_refused(refused);
        }
        let mut parts: Vec<String> = Vec::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // Some libraries repeat their cause in their own text.
            if !parts.iter().any(|part| part.contains(&text)) {
                parts.push(text);
            }
        }
        Self {
            message: plain_lines(&parts.join(": ")),
            advice: find::<Advised>(error)
                .map(|advised| advised.advice.to_owned())
                .into_iter()
                .collect(),
            ..Self::default()
        }
    }

    fn of_refused(refused: &Refused) -> Self {
        let told = Refusal::from(&*refused.status);
        let fields = told.fields.iter();
        let mut report = Self {
            message: plain(&told.message).into_owned(),
            code: Some(told.code),
            reason: told
                .reason
                .as_deref()
                .map(|reason| plain(reason).into_owned()),
            fields: fields
                .map(|(field, problem)| (plain(field).into_owned(), plain(problem).into_owned()))
                .collect(),
            retry_after: told.retry_after,
            ..Self::default()
        };
        for (name, text) in &told.details {
            report.detail(name, text);
        }
        report.advice = advice(&report, refused.repeat.as_deref(), refused.status.code());
        report
    }

    fn detail(&mut self, name: &str, text: &str) {
        let detail = match (name, text) {
            ("", "") => return,
            (one, "") | ("", one) => plain(one).into_owned(),
            (name, text) => format!("{}: {}", plain(name), plain(text)),
        };
        if !self.details.contains(&detail) {
            self.details.push(detail);
        }
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self, paint: Paint) -> String {
        let mut text = format!("{} {}", paint.bad("error:"), self.message);
        match (self.code, &self.reason) {
            (Some(code), Some(reason)) => {
                text.push_str(&paint.faint(&format!(" ({reason}, {code})")))
            }
            (Some(code), None) => text.push_str(&paint.faint(&format!(" ({code})"))),
            _ => {}
        }
        text.push('\n');
        // One field alone is the message.
        let is_new = |text: &str| text != self.message;
        let fields = self.fields.iter();
        for (field, problem) in
            fields.filter(|(field, problem)| is_new(&format!("{field}: {problem}")))
        {
            let _ = writeln!(text, "  {}: {problem}", paint.strong(field));
        }
        for detail in self.details.iter().filter(|detail| is_new(detail)) {
            let _ = writeln!(text, "  {detail}");
        }
        if let Some(after) = self.retry_after {
            let _ = writeln!(text, "  try again in {:.1} s", after.as_secs_f64());
        }
        for advice in &self.advice {
            let _ = writeln!(text, "{} {advice}", paint.good("what to do:"));
        }
        text
    }

    /// For programs: one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|(field, problem)| json!({ "field": field, "problem": problem }))
            .collect();
        json!({ "error": {
            "message": self.message,
            "code": self.code,
            "reason": self.reason,
            "fields": fields,
            "details": self.details,
            "retry_after_seconds": self.retry_after.map(|after| after.as_secs_f64()),
            "advice": self.advice,
        }})
    }
}

/// What this machine found wrong may be a list, a line each.
fn plain_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(plain).collect();
    lines.join("\n")
}

fn find<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    find::<std::io::Error>(error).is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        && find::<Advised>(error).is_none()
}

/// What a person can do about it: by the reason word where we know it, else by the code.
fn advice(report: &Report, repeat: Option<&str>, code: Code) -> Vec<String> {
    let mut advice: Vec<String> = by_reason(report.reason.as_deref().unwrap_or_default())
        .or(by_code(code))
        .map(str::to_owned)
        .into_iter()
        .collect();
    let unknown_effect = matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
    );
    if let Some(options) = repeat.filter(|_| unknown_effect) {
        advice.push(format!(
            "whether it took effect is not known; repeat it with {options}, nothing is done twice"
        ));
    }
    advice
}

fn by_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "NUMBER_NOT_E164" => {
            "write the number as +, country calling code and national number, without spaces"
        }
        "NUMBER_NOT_DIALABLE" => {
            "check the number with `dialgate locate NUMBER`; emergency, short and premium numbers are never dialed"
        }
        "CAMPAIGN_UNKNOWN" => "name a [campaign.NAME] of the server's configuration",
        "CAMPAIGN_NOT_ACTIVE" => {
            "set `active = true` in the campaign's section of the server's configuration, or name another"
        }
        "CALLER_ID_NOT_ALLOWED" => {
            "leave --caller-id out, or name one of the campaign's caller ids"
        }
        "CALL_KIND_NOT_ALLOWED" => "use a --kind that the campaign lists under call_kinds",
        "DESTINATION_NOT_ALLOWED" => {
            "add the country to the campaign's destinations if it is meant to be called"
        }
        "REQUEST_EXPIRED" => "place the call again with a later --expires",
        "REQUEST_ID_REUSED" => {
            "this --request-id was used for something else; leave it out to get a fresh one"
        }
        "PARTY_AMBIGUOUS" => "several people share the number; say which with --party",
        "ETAG_MISMATCH" => "somebody changed the record meanwhile; repeat the command",
        "SECOND_APPROVER_REQUIRED" => {
            "it is asked for; somebody whose key has the role approver agrees with `optout approve`"
        }
        "LIFT_NOT_REQUESTED" => "an administrator asks first, with `optout lift`",
        "TRUNK_SATURATED" | "GATE_BUSY" => {
            "nothing was queued; place the call again after the time named"
        }
        "CREDENTIAL_INVALID" => {
            "the key is wrong or was revoked; `dialgate admin key create` on the server makes another"
        }
        "FILTER_INVALID" => {
            "correct the --filter at the place named; words are quoted, as in verdict = \"deny\""
        }
        "CONFLICT" => "somebody changed the same record at the same time; repeat the command",
        "STORE_BUSY" => "the server's database is busy; repeat the command",
        "SHUTTING_DOWN" => "the server is stopping; repeat the command once it runs again",
        "PAGE_TOKEN_INVALID" => "start the list again without a page token",
        "STORE_UNAVAILABLE" => {
            "the server cannot reach its database and decides nothing until it can"
        }
        _ => return None,
    })
}

fn by_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Unauthenticated => {
            "set DIALGATE_API_KEY or give --key-file FILE; `dialgate admin key create` on the server makes a key"
        }
        Code::PermissionDenied => {
            "use a key whose role may do this; `dialgate admin key create --role ROLE` makes one"
        }
        Code::Unavailable => "see that the server runs and can be reached, then repeat",
        Code::DeadlineExceeded => "the server did not answer in time; see its log",
        Code::Unimplemented => "the server is older than this command; use the version it runs",
        Code::Internal | Code::Unknown | Code::DataLoss => "see the server's log",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_code_reason_field_and_what_to_do() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let mut report = Report {
            message: "the number cannot be dialed".to_owned(),
            code: Some("INVALID_ARGUMENT"),
            reason: Some("NUMBER_NOT_DIALABLE".to_owned()),
            fields: vec![pair("to", "premium-rate numbers are not dialed")],
            ..Report::default()
        };
        report.detail("why", "PREMIUM_RATE\u{1b}[2J");
        report.advice = advice(&report, None, Code::InvalidArgument);
        assert_eq!(
            report.to_text(Paint::Plain),
            "error: the number cannot be dialed (NUMBER_NOT_DIALABLE, INVALID_ARGUMENT)\n  \
             to: premium-rate numbers are not dialed\n  \
             why: PREMIUM_RATE\u{fffd}[2J\n\
             what to do: check the number with `dialgate locate NUMBER`; emergency, short and premium numbers are \
             never dialed\n"
        );
        let object = report.to_json();
        assert_eq!(object["error"]["reason"], "NUMBER_NOT_DIALABLE");
        assert_eq!(object["error"]["fields"][0]["field"], "to");
    }

    #[test]
    fn only_a_change_of_unknown_effect_is_to_be_repeated_under_its_id() {
        let advice = |status, id: Option<&str>| {
            let refused = id.map_or_else(
                || Refused::question(Status::clone(&status)),
                |id| Refused::change(status.clone(), format!("--request-id {id}")),
            );
            Report::of(&refused.into()).advice.join("; ")
        };
        let gone = Status::unavailable("gone");
        assert!(advice(gone.clone(), Some("id-1")).contains("--request-id id-1"));
        assert!(!advice(gone, None).contains("--request-id"));
        assert!(!advice(Status::invalid_argument("wrong"), Some("id-1")).contains("--request-id"));
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::Error::from(std::io::Error::other("disk is full"))
            .context("cannot write: disk is full");
        assert_eq!(Report::of(&error).message, "cannot write: disk is full");
    }
}
