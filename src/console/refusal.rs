//! The one place where errors become answers over HTTP: `{"error": {"reason", "message", "fields": [{"field", "problem"}]}}`,
//! with a reason that programs can act on. What is wrong inside goes to the log under an incident id, never to the sender.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::signature::TOLERANCE_SECONDS;
use crate::gate::GateError;
use crate::store::StoreError;

/// When whoever was refused for want of room may come again, in seconds.
const RETRY_AFTER: &str = "1";

/// One field that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// Its name.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A request that was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: &'static str,
    message: String,
    fields: Vec<Problem>,
    retry: bool,
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct Told<'a> {
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    reason: &'a str,
    message: &'a str,
    fields: &'a [Problem],
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            fields: Vec::new(),
            retry: false,
            allow: None,
        }
    }

    fn come_again(status: StatusCode, reason: &'static str, message: &str) -> Self {
        Self {
            retry: true,
            ..Self::new(status, reason, message)
        }
    }

    /// Fields that cannot be used as they are, all of them at once.
    pub fn fields(fields: Vec<Problem>) -> Self {
        let lines: Vec<String> = fields
            .iter()
            .map(|each| format!("{}: {}", each.field, each.problem))
            .collect();
        Self {
            fields,
            ..Self::new(StatusCode::BAD_REQUEST, "INVALID_FIELDS", lines.join("; "))
        }
    }

    fn field(mut self, field: &str, problem: &str) -> Self {
        self.fields.push(Problem {
            field: field.to_owned(),
            problem: problem.to_owned(),
        });
        self
    }

    /// The body is no JSON. The place is told, its text is not.
    pub fn not_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let message = format!("the body is not JSON, at line {line}, column {column}");
        Self::new(StatusCode::BAD_REQUEST, "BODY_NOT_JSON", message)
    }

    /// The body is JSON, and no object.
    pub fn not_an_object() -> Self {
        let message = "the body is not a JSON object";
        Self::new(StatusCode::BAD_REQUEST, "BODY_NOT_JSON", message)
    }

    /// The body is of another kind.
    pub fn not_said_to_be_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE_UNSUPPORTED",
            "send the form as JSON, with the header `Content-Type: application/json`",
        )
    }

    /// The body is larger than may be.
    pub fn too_large(bytes_max: usize) -> Self {
        let message = format!("the body is larger than {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
    }

    /// The body ended before it was whole.
    pub fn body_broken_off() -> Self {
        let message = "the body ended early; send it again";
        Self::new(StatusCode::BAD_REQUEST, "BODY_BROKEN_OFF", message)
    }

    /// No signature, or none that can be read.
    pub fn unsigned() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "SIGNATURE_MISSING",
            "send the headers `Dialgate-Source: NAME` and `Dialgate-Signature: t=UNIX_SECONDS,v1=HEX`, the HMAC-SHA-256 of \
             `UNIX_SECONDS.BODY` under the source's secret",
        )
    }

    /// One answer for every kind of wrong signature: nothing to learn by trying.
    pub fn wrongly_signed() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "SIGNATURE_INVALID",
            "the signature is not valid: the source is unknown, the secret another, or the body was changed after signing",
        )
    }

    /// Signed too long ago, or in the future.
    pub fn stale() -> Self {
        let message = format!(
            "the signature was made more than {TOLERANCE_SECONDS} seconds from now; sign again when sending again, and set the clock"
        );
        Self::new(StatusCode::UNAUTHORIZED, "SIGNATURE_STALE", message)
    }

    /// As many requests as may be are at work.
    pub fn busy() -> Self {
        Self::come_again(
            StatusCode::TOO_MANY_REQUESTS,
            "CONSOLE_BUSY",
            "as many requests as may be are at work; send it again in a moment",
        )
    }

    /// It took too long.
    pub fn timed_out() -> Self {
        Self::come_again(
            StatusCode::SERVICE_UNAVAILABLE,
            "TIMED_OUT",
            "the request took too long; whether it was recorded is not known, send it again with the same submission_id",
        )
    }

    /// Nothing is at this path.
    pub fn unknown_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "PATH_UNKNOWN",
            "there is nothing here",
        )
    }

    /// The path is known, the method is not one of its own.
    pub fn unknown_method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                format!("only {allow} is taken here"),
            )
        }
    }

    /// The node does not serve now.
    pub fn not_ready(why: &'static str) -> Self {
        Self::come_again(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", why)
    }

    /// Something is wrong inside. The log has the line, the sender its number.
    pub fn internal(what: &str) -> Self {
        let incident = Uuid::new_v4();
        tracing::error!(incident.id = %incident, error = what, "a form failed for a reason of our own");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            format!("something went wrong inside; the log has it under incident `{incident}`"),
        )
    }

    /// What the gate could not do with a form.
    pub fn from_gate(error: &GateError) -> Self {
        match error {
            GateError::Invalid { field, problem } => Self::fields(vec![Problem {
                field: field.clone(),
                problem: problem.clone(),
            }]),
            GateError::RequestIdReused => {
                let problem = "was used for a form that says something else; take a new one";
                let message = format!("submission_id: {problem}");
                Self::new(StatusCode::CONFLICT, "SUBMISSION_ID_REUSED", message)
                    .field("submission_id", problem)
            }
            GateError::PartyAmbiguous => {
                let problem = "several people share this number; name the one who is meant";
                let message = format!("party_id: {problem}");
                Self::new(StatusCode::CONFLICT, "PARTY_AMBIGUOUS", message)
                    .field("party_id", problem)
            }
            GateError::Busy { .. } => Self::busy(),
            GateError::Store(error) => Self::from_store(error),
            other => Self::internal(&other.to_string()),
        }
    }

    fn from_store(error: &StoreError) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a form was refused: the store is not available");
                Self::come_again(
                    unavailable,
                    "STORE_UNAVAILABLE",
                    "the database is not available; whether it was recorded is not known, send it again with the same submission_id",
                )
            }
            StoreError::LockTimeout | StoreError::Duplicate { .. } => Self::come_again(
                unavailable,
                "STORE_BUSY",
                "the database was busy with the same rows; nothing was recorded, send it again with the same submission_id",
            ),
            StoreError::Damaged { .. } | StoreError::Setting(_) | StoreError::Other(_) => {
                Self::internal(&error.to_string())
            }
        }
    }

    #[cfg(test)]
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|each| each.field.as_str())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let told = Told {
            error: Reason {
                reason: self.reason,
                message: &self.message,
                fields: &self.fields,
            },
        };
        let mut response = (self.status, Json(told)).into_response();
        let headers = response.headers_mut();
        if self.retry {
            let after = HeaderValue::from_static(RETRY_AFTER);
            headers.insert(header::RETRY_AFTER, after);
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_in_the_store_stays_inside() {
        let secret = || "syntax error near SELECT at 10.0.0.7".to_owned();
        for (error, status, reason) in [
            (StoreError::Unavailable(secret()), 503, "STORE_UNAVAILABLE"),
            (StoreError::LockTimeout, 503, "STORE_BUSY"),
            (StoreError::Duplicate { what: secret() }, 503, "STORE_BUSY"),
            (StoreError::Damaged { what: "request" }, 500, "INTERNAL"),
            (StoreError::Setting(secret()), 500, "INTERNAL"),
            (StoreError::Other(secret()), 500, "INTERNAL"),
        ] {
            let refusal = Refusal::from_gate(&GateError::from(error));
            assert_eq!((refusal.status.as_u16(), refusal.reason), (status, reason));
            assert!(!refusal.message.contains("SELECT"), "{refusal:?}");
        }
    }

    #[test]
    fn what_a_form_can_cure_is_told_by_its_field() {
        for (error, status, field) in [
            (GateError::RequestIdReused, 409, "submission_id"),
            (GateError::PartyAmbiguous, 409, "party_id"),
        ] {
            let refusal = Refusal::from_gate(&error);
            assert_eq!(refusal.status.as_u16(), status);
            assert_eq!(refusal.named().collect::<Vec<_>>(), [field]);
        }
    }
}
