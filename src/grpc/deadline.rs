//! The client's own deadline (`grpc-timeout`). It is answered here with DEADLINE_EXCEEDED, for the transport underneath
//! would say CANCELLED; and `PlaceCall` takes it as a further bound on when a call may be dialed.

use std::time::Duration;

use http::HeaderMap;

use crate::domain::time::Mono;

/// Answered that much before the transport's own timer fires.
const HEAD_START: Duration = Duration::from_millis(5);

const HEADER: &str = "grpc-timeout";

/// How long an answer may take, if the client said so.
pub(super) fn limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    parse(text).map(|limit| limit.saturating_sub(HEAD_START))
}

/// When the answer to a request must be there. One instant for all who ask, set where the server's own timer is: a placement
/// that the server has answered with DEADLINE_EXCEEDED must not be in time for the gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerBy(pub Mono);

/// When the answer to this request must be there, if the client said so.
pub(super) fn answer_by<T>(request: &tonic::Request<T>) -> Option<Mono> {
    request.extensions().get::<AnswerBy>().map(|by| by.0)
}

/// At most eight digits and a unit ("gRPC over HTTP/2", section on Timeout).
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|each| each.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("7u", Some(Duration::from_micros(7))),
            ("8n", Some(Duration::from_nanos(8))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("+1S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
