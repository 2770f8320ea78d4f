//! The HTTP adapter: one JSON object there, one back. `docs/PROVIDERS.md` describes both for whoever puts a service, or a
//! bridge to one, at the other end; the tests here are its table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Provider, Query, Said, Saying};
use crate::domain::object::objects_only;
use crate::domain::party::LineType;
use crate::domain::phone::Phone;
use crate::domain::provider::{ProviderKind, ScrubOutcome};
use crate::http_client::{Bounds, HttpAnswer, HttpClient, HttpError, Target};

/// An answer is a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest word of a provider that is kept.
const RAW_CODE_MAX: usize = 16;

/// A provider that speaks HTTP.
pub struct HttpProvider {
    client: HttpClient,
    target: Target,
    kind: ProviderKind,
    timeout: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    check: ProviderKind,
    phone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<jiff::civil::Date>,
}

objects_only!(read Reply);

/// Keys that are not known are left alone: services add some.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", remote = "Self")]
struct Reply {
    phone: Option<String>,
    result_code: Option<String>,
    reassigned: Option<bool>,
    safe_harbor: Option<bool>,
    line_type: Option<String>,
}

impl HttpProvider {
    /// Asks there.
    #[must_use]
    pub fn new(client: HttpClient, target: Target, kind: ProviderKind, timeout: Duration) -> Self {
        Self {
            client,
            target,
            kind,
            timeout,
        }
    }

    async fn exchange(&self, query: Query) -> Said {
        let request = Request {
            check: self.kind,
            phone: &query.number.reveal(),
            since: query.since,
        };
        let Ok(body) = serde_json::to_vec(&request) else {
            return Said::error("unsent");
        };
        let bounds = Bounds {
            timeout: self.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        match self.client.post_json(&self.target, body, bounds).await {
            Ok(answer) => read(self.kind, query.number, &answer),
            Err(HttpError::Timeout) => Said::error("timeout"),
            Err(HttpError::Unreachable) => Said::error("unreachable"),
            Err(HttpError::TooLarge) => Said::error("too_large"),
            Err(HttpError::Broken) => Said::error("broken"),
        }
    }
}

impl Provider for HttpProvider {
    fn ask(&self, query: Query) -> Saying<'_> {
        Box::pin(self.exchange(query))
    }
}

/// What an answer says, if it is one and about this number.
fn read(kind: ProviderKind, number: Phone, answer: &HttpAnswer) -> Said {
    if answer.status != 200 {
        return Said::error(format!("http_{}", answer.status));
    }
    let Ok(reply) = serde_json::from_slice::<Reply>(&answer.body) else {
        return Said::error("malformed");
    };
    let Some(phone) = &reply.phone else {
        return Said::error("no_number");
    };
    if *phone != number.reveal() {
        return Said::error("other_number");
    }
    match kind {
        ProviderKind::Reassigned => reassigned(&reply),
        ProviderKind::LineType => line_type(reply.line_type.as_deref()),
        ProviderKind::Litigator => litigator(reply.result_code.as_deref()),
    }
}

/// "No" counts only with the safe harbour: without it the database does not stand for its answer.
fn reassigned(reply: &Reply) -> Said {
    let (result, raw_code) = match (reply.reassigned, reply.safe_harbor) {
        (Some(true), _) => (ScrubOutcome::Listed, "true"),
        (Some(false), Some(true)) => (ScrubOutcome::Clear, "false"),
        (Some(false), _) => (ScrubOutcome::Unknown, "no_safe_harbor"),
        (None, _) => (ScrubOutcome::Unknown, "null"),
    };
    Said {
        result,
        raw_code: raw_code.to_owned(),
        line_type: None,
    }
}

fn line_type(letter: Option<&str>) -> Said {
    let line_type = match letter {
        Some("L") => Some(LineType::Landline),
        Some("W") => Some(LineType::Mobile),
        Some("V") => Some(LineType::Voip),
        _ => None,
    };
    Said {
        result: match line_type {
            Some(_) => ScrubOutcome::Clear,
            None => ScrubOutcome::Unknown,
        },
        raw_code: told(letter),
        line_type,
    }
}

/// A relationship that the service knows of does not take a number off its list: whose relationship that would be, the law
/// asks elsewhere.
fn litigator(letter: Option<&str>) -> Said {
    let result = match letter {
        Some("C" | "W" | "Y") => ScrubOutcome::Clear,
        Some("D" | "P" | "B" | "E" | "O") => ScrubOutcome::Listed,
        _ => ScrubOutcome::Unknown,
    };
    Said {
        result,
        raw_code: told(letter),
        line_type: None,
    }
}

/// The service's word as far as it is one: what else it wrote may be somebody's number.
fn told(word: Option<&str>) -> String {
    match word {
        None => "null".to_owned(),
        Some(word) => {
            let is_word = (1..=RAW_CODE_MAX).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
            if is_word { word } else { "unreadable" }.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScrubOutcome::{Clear, Error, Listed, Unknown};

    fn heard(kind: ProviderKind, status: u16, body: &str) -> (ScrubOutcome, String) {
        let number = Phone::parse("+14045550141").unwrap();
        let answer = HttpAnswer {
            status,
            body: body.as_bytes().to_vec(),
        };
        let said = read(kind, number, &answer);
        assert_eq!(
            said.line_type.is_some(),
            kind == ProviderKind::LineType && said.result == Clear,
            "{body}"
        );
        (said.result, said.raw_code)
    }

    /// The tables of docs/PROVIDERS.md: fields beside the number, and what they come to.
    fn table(kind: ProviderKind, rows: &[(&str, ScrubOutcome, &str)]) {
        for (fields, result, raw_code) in rows {
            let body = format!(r#"{{"Phone":"+14045550141",{fields}}}"#);
            let found = heard(kind, 200, &body);
            assert_eq!(found, (*result, (*raw_code).to_owned()), "{kind} {fields}");
        }
    }

    #[test]
    fn p06_a_number_was_kept_only_if_the_database_stands_for_it() {
        let twice = r#""Reassigned":false,"Reassigned":true,"SafeHarbor":true"#;
        let no_harbor = "no_safe_harbor";
        let rows = [
            (r#""Reassigned":true,"SafeHarbor":true"#, Listed, "true"),
            (r#""Reassigned":true"#, Listed, "true"),
            (r#""Reassigned":false,"SafeHarbor":true"#, Clear, "false"),
            (
                r#""Reassigned":false,"SafeHarbor":false"#,
                Unknown,
                no_harbor,
            ),
            (
                r#""Reassigned":false,"SafeHarbor":null"#,
                Unknown,
                no_harbor,
            ),
            (r#""Reassigned":false"#, Unknown, no_harbor),
            (r#""Reassigned":null,"SafeHarbor":true"#, Unknown, "null"),
            (r#""ResultCode":"C""#, Unknown, "null"),
            (r#""Reassigned":"no","SafeHarbor":true"#, Error, "malformed"),
            (r#""Reassigned":0,"SafeHarbor":1"#, Error, "malformed"),
            (twice, Error, "malformed"),
        ];
        table(ProviderKind::Reassigned, &rows);
    }

    #[test]
    fn p06_a_line_is_known_by_its_letter() {
        let rows = [
            (r#""LineType":"L""#, Clear, "L"),
            (r#""LineType":"W""#, Clear, "W"),
            (r#""LineType":"V""#, Clear, "V"),
            (r#""LineType":"w""#, Unknown, "w"),
            (r#""LineType":"""#, Unknown, "unreadable"),
            (r#""LineType":null"#, Unknown, "null"),
            (r#""ResultCode":"W""#, Unknown, "null"),
        ];
        table(ProviderKind::LineType, &rows);
    }

    #[test]
    fn p06_nobody_is_off_a_list_by_a_letter_that_is_not_known() {
        let rows = [
            (r#""ResultCode":"C""#, Clear, "C"),
            (r#""ResultCode":"W","Reason":"Wireless;GA""#, Clear, "W"),
            (r#""ResultCode":"Y""#, Clear, "Y"),
            (r#""ResultCode":"D""#, Listed, "D"),
            (r#""ResultCode":"P","Reason":"Litigator""#, Listed, "P"),
            (r#""ResultCode":"B""#, Listed, "B"),
            (r#""ResultCode":"E""#, Listed, "E"),
            (r#""ResultCode":"O""#, Listed, "O"),
            (r#""ResultCode":"M""#, Unknown, "M"),
            (r#""ResultCode":"Q""#, Unknown, "Q"),
            (r#""ResultCode":" C""#, Unknown, "unreadable"),
            (r#""ResultCode":"14045550141""#, Unknown, "unreadable"),
            (r#""ResultCode":null"#, Unknown, "null"),
            (r#""resultcode":"C""#, Unknown, "null"),
        ];
        table(ProviderKind::Litigator, &rows);
    }

    #[test]
    fn p06_what_is_no_answer_about_the_number_is_an_error() {
        const CLEAR: &str =
            r#""ResultCode":"C","LineType":"L","Reassigned":false,"SafeHarbor":true"#;
        for (status, body, why) in [
            (
                500,
                format!(r#"{{"Phone":"+14045550141",{CLEAR}}}"#),
                "http_500",
            ),
            (
                201,
                format!(r#"{{"Phone":"+14045550141",{CLEAR}}}"#),
                "http_201",
            ),
            (302, String::new(), "http_302"),
            (
                200,
                format!(r#"{{"Phone":"+14045550142",{CLEAR}}}"#),
                "other_number",
            ),
            (
                200,
                format!(r#"{{"Phone":"4045550141",{CLEAR}}}"#),
                "other_number",
            ),
            (200, format!(r#"{{"Phone":null,{CLEAR}}}"#), "no_number"),
            (200, format!("{{{CLEAR}}}"), "no_number"),
            (
                200,
                format!(r#"{{"Phone":"+14045550141",{CLEAR}"#),
                "malformed",
            ),
            (
                200,
                format!(r#"{{"Phone":"+14045550141",{CLEAR}}} x"#),
                "malformed",
            ),
            (
                200,
                format!(r#"[{{"Phone":"+14045550141",{CLEAR}}}]"#),
                "malformed",
            ),
            (
                200,
                r#"["+14045550141","C",false,true,"L"]"#.to_owned(),
                "malformed",
            ),
            (200, "null".to_owned(), "malformed"),
            (200, String::new(), "malformed"),
            (200, "<html>".to_owned(), "malformed"),
        ] {
            for kind in ProviderKind::ALL {
                let found = heard(*kind, status, &body);
                assert_eq!(found, (Error, why.to_owned()), "{kind} {body}");
            }
        }
    }
}
