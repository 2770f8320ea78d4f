//! The one place where errors become `google.rpc.Status`: one `ErrorInfo` each, with a reason that programs can act on, and
//! the details that its code calls for. What is wrong inside goes to the log under an incident id, never to the client.

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::gate::{GateError, RegisterRefusal};
use crate::policy::{PackProblem, PackProblems};
use crate::store::StoreError;

/// Whose reasons these are.
pub const DOMAIN: &str = "dialgate";

/// How long a client should wait when the database was busy.
const STORE_RETRY_AFTER: Duration = Duration::from_millis(500);

/// One field that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Path of the field in the request.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
    /// The reason it gives the whole status, when it stands alone.
    pub reason: &'static str,
    /// A finer word for programs.
    pub code: Option<&'static str>,
}

/// The reason of a status about fields that have no reason of their own.
pub(super) const INVALID_FIELDS: &str = "INVALID_FIELDS";

/// An error under construction.
pub(super) struct Refusal {
    code: Code,
    reason: String,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Refusal {
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    /// What the request asks for is not to be had as things stand: which field asks, and why not.
    pub fn precondition(reason: &str, field: &str, problem: &str) -> Self {
        let mut refusal = Self::new(
            Code::FailedPrecondition,
            reason,
            format!("{field}: {problem}"),
        );
        refusal
            .details
            .add_precondition_failure_violation(reason, field, problem);
        refusal.details.add_bad_request_violation(field, problem);
        refusal
    }

    fn come_again(reason: &str, after: Duration, message: &str) -> Self {
        let mut refusal = Self::new(Code::ResourceExhausted, reason, message);
        refusal.details.set_retry_info(Some(after));
        refusal
    }

    fn field(mut self, field: &str, problem: &str) -> Self {
        self.details.add_bad_request_violation(field, problem);
        self
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    pub fn status(mut self) -> Status {
        self.details
            .set_error_info(self.reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, self.message, self.details)
    }
}

/// Fields that cannot be used as they are, all of them at once.
pub(super) fn invalid(violations: &[Violation]) -> Status {
    let lines: Vec<String> = violations
        .iter()
        .map(|each| format!("{}: {}", each.field, each.problem))
        .collect();
    let first = violations.first();
    let alike = violations
        .iter()
        .all(|each| Some(each.reason) == first.map(|first| first.reason));
    let reason = first
        .filter(|_| alike)
        .map_or(INVALID_FIELDS, |each| each.reason);
    let mut refusal = Refusal::new(Code::InvalidArgument, reason, lines.join("; "));
    for each in violations {
        refusal = refusal.field(&each.field, &each.problem);
    }
    if let [only] = violations {
        refusal = refusal.with("field", &only.field);
        if let Some(code) = only.code {
            refusal = refusal.with("code", code);
        }
    }
    refusal.status()
}

/// One field of a message that is not read as a whole.
pub(super) fn wrong(field: &str, problem: &str) -> Status {
    token(INVALID_FIELDS, field, problem)
}

/// A filter that cannot be read.
pub(super) fn filter(position: usize, problem: &str) -> Status {
    Refusal::new(
        Code::InvalidArgument,
        "FILTER_INVALID",
        format!("filter: {problem}"),
    )
    .field("filter", problem)
    .with("field", "filter")
    .with("position", position.to_string())
    .status()
}

/// A token that is not one of ours, or not for this question.
pub(super) fn token(reason: &'static str, field: &str, problem: &str) -> Status {
    invalid(&[Violation {
        field: field.to_owned(),
        problem: problem.to_owned(),
        reason,
        code: None,
    }])
}

/// There is no such thing, or not for this tenant.
pub(super) fn not_found(what: &str) -> Status {
    let reason = format!(
        "{}_NOT_FOUND",
        what.to_ascii_uppercase().replace([' ', '-'], "_")
    );
    let told = format!("there is no such {what}");
    let mut refusal = Refusal::new(Code::NotFound, reason, told.clone());
    refusal.details.set_resource_info(what, "", "", told);
    refusal.status()
}

/// Several people share the number that was to name one; these are their identifiers.
pub(super) fn ambiguous(party_ids: &str) -> Status {
    Refusal::precondition(
        "PARTY_AMBIGUOUS",
        "number",
        "several people share this number; ask by party_id",
    )
    .with("party_ids", party_ids)
    .status()
}

/// Nobody is named by the credential, or not by a valid one.
pub(super) fn unauthenticated(reason: &str, message: &str) -> Status {
    Refusal::new(Code::Unauthenticated, reason, message).status()
}

/// The credential's role is not enough.
pub(super) fn scope_missing(method: &str, needed: &str, role: &str) -> Status {
    Refusal::new(
        Code::PermissionDenied,
        "SCOPE_MISSING",
        format!("this method needs the role {needed}; the API key has the role {role}"),
    )
    .with("method", method)
    .with("roles", needed)
    .status()
}

/// No method of that name.
pub(super) fn method_unknown(path: &str) -> Status {
    Refusal::new(
        Code::Unimplemented,
        "METHOD_UNKNOWN",
        "there is no such method; ask the reflection service for those there are",
    )
    .with("method", path)
    .status()
}

/// The client's own deadline passed.
pub(super) fn deadline() -> Status {
    Refusal::new(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the deadline passed before the answer; a change may have taken place, ask again with the same request id",
    )
    .status()
}

/// As many as may be are at work.
pub(super) fn busy(after: Duration, message: &str) -> Status {
    Refusal::come_again("GATE_BUSY", after, message).status()
}

/// The server is going down; another node, or this one later, goes on.
pub(super) fn closing() -> Status {
    Refusal::new(
        Code::Unavailable,
        "SHUTTING_DOWN",
        "the server is shutting down; go on with the latest resume token, at another node or later",
    )
    .status()
}

/// A stream whose client neither sends nor reads.
pub(super) fn idle() -> Status {
    Refusal::new(
        Code::DeadlineExceeded,
        "STREAM_IDLE",
        "nothing was sent or read for ten minutes; begin again",
    )
    .status()
}

/// Something is wrong inside. The log has the line, the client its number.
pub(super) fn internal(what: &str) -> Status {
    let incident = Uuid::new_v4();
    tracing::error!(incident.id = %incident, error = what, "a request failed for a reason of our own");
    Refusal::new(
        Code::Internal,
        "INTERNAL",
        format!("something went wrong inside; the log has it under incident `{incident}`"),
    )
    .with("incident_id", incident.to_string())
    .status()
}

/// What the store could not do.
pub(super) fn from_store(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "a request was refused: the store is not available");
            Refusal::new(
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                "the database is not available; a change may have taken place, try again with the same request id",
            )
            .status()
        }
        StoreError::LockTimeout => {
            let mut refusal = Refusal::new(
                Code::Unavailable,
                "STORE_BUSY",
                "the database was busy with the same rows; nothing was done, try again with the same request id",
            );
            refusal.details.set_retry_info(Some(STORE_RETRY_AFTER));
            refusal.status()
        }
        StoreError::Duplicate { what } => {
            tracing::info!(what, "a request met another that writes the same");
            Refusal::new(
                Code::Aborted,
                "CONFLICT",
                "another request wrote the same at the same time; ask again with the same request id",
            )
            .status()
        }
        StoreError::Damaged { .. } | StoreError::Setting(_) | StoreError::Other(_) => {
            internal(&error.to_string())
        }
    }
}

/// What the gate could not do.
pub(super) fn from_gate(error: &GateError) -> Status {
    match error {
        GateError::NotDialable { field, why } => invalid(&[not_dialable(field, *why)]),
        GateError::Invalid { field, problem } => invalid(&[Violation {
            field: field.clone(),
            problem: problem.clone(),
            reason: INVALID_FIELDS,
            code: None,
        }]),
        GateError::SellerUnknown { .. } => invalid(&[Violation {
            field: "contact.dealings".to_owned(),
            problem: "no campaign of the configuration calls for one of the sellers".to_owned(),
            reason: INVALID_FIELDS,
            code: None,
        }]),
        GateError::NotFound { what } => not_found(what),
        GateError::TrunkSaturated { retry_after } => Refusal::come_again(
            "TRUNK_SATURATED",
            *retry_after,
            "the queue of the trunk is full; nothing was queued, try again later",
        )
        .status(),
        GateError::Busy { retry_after } => busy(
            *retry_after,
            "the gate has more requests than it can take; try again later",
        ),
        GateError::Closing => {
            Refusal::new(Code::Unavailable, "SHUTTING_DOWN", error.to_string()).status()
        }
        GateError::Store(error) => from_store(error),
        GateError::Register(refusal) => register_refused(refusal),
        GateError::PackRefused(problems) => pack_refused(problems),
        GateError::PackUnusable { sha256 } => {
            Refusal::new(Code::Unavailable, "PACK_NOT_ACTIVE", error.to_string())
                .with("sha256", sha256)
                .status()
        }
        GateError::RequestIdReused => {
            let problem =
                "was used for a request with another content or by another API key; take a new one";
            Refusal::new(
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
                format!("request_id: {problem}"),
            )
            .field("request_id", problem)
            .status()
        }
        GateError::EtagMismatch => {
            let problem = "the record has changed since it was read; read it again";
            Refusal::new(
                Code::Aborted,
                "ETAG_MISMATCH",
                format!("contact.etag: {problem}"),
            )
            .field("contact.etag", problem)
            .status()
        }
        GateError::ImportTaken => {
            Refusal::new(Code::Aborted, "IMPORT_TAKEN_OVER", error.to_string()).status()
        }
        GateError::ImportBrokenOff => {
            Refusal::new(Code::Aborted, "IMPORT_BROKEN_OFF", error.to_string()).status()
        }
        _ => as_things_stand(error).status(),
    }
}

/// Every fault of a pack, each with the file and line it stands at.
fn pack_refused(problems: &PackProblems) -> Status {
    let PackProblems(all) = problems;
    let shown = all.iter().take(PACK_PROBLEMS_MAX);
    let place = |at: &PackProblem| match at.line {
        Some(line) => format!("upload.files[{}]:{line}", at.file),
        None => format!("upload.files[{}]", at.file),
    };
    let mut text = format!("the rule pack cannot be used; faults: {}", all.len());
    for problem in shown.clone() {
        text.push_str(&format!("\n  {problem}"));
    }
    if all.len() > PACK_PROBLEMS_MAX {
        text.push_str("\n  and more; `dialgate policy test DIR` tells them all");
    }
    let refusal = Refusal::new(Code::InvalidArgument, "PACK_INVALID", text);
    shown
        .fold(refusal, |refusal, at| {
            refusal.field(&place(at), &at.problem)
        })
        .with("problems", all.len().to_string())
        .status()
}

/// Trailers are small; a pack with more faults than this is tried on the machine where it was written.
const PACK_PROBLEMS_MAX: usize = 20;

/// Those that a change of the configuration, of a record or of the time would cure.
fn as_things_stand(error: &GateError) -> Refusal {
    let about = Refusal::precondition;
    match error {
        GateError::CampaignUnknown => {
            let problem = "the configuration has no campaign of this name";
            Refusal::new(
                Code::NotFound,
                "CAMPAIGN_UNKNOWN",
                format!("campaign: {problem}"),
            )
            .field("campaign", problem)
        }
        GateError::CampaignInactive => about(
            "CAMPAIGN_NOT_ACTIVE",
            "campaign",
            "the campaign is not active",
        ),
        GateError::RuleNotDisablable { problem } => about("RULE_NOT_DISABLABLE", "rule", problem),
        GateError::CallerIdNotAllowed => about(
            "CALLER_ID_NOT_ALLOWED",
            "caller_id",
            "the campaign may not show this number",
        ),
        GateError::CallKindNotAllowed => about(
            "CALL_KIND_NOT_ALLOWED",
            "call_kind",
            "the campaign does not make calls of this kind",
        ),
        GateError::DestinationNotAllowed { country } => about(
            "DESTINATION_NOT_ALLOWED",
            "to",
            &format!("the campaign's destinations do not include the country `{country}`"),
        )
        .with("country", country),
        GateError::RequestExpired => about(
            "REQUEST_EXPIRED",
            "expire_time",
            "has passed; ask again with a later one",
        ),
        GateError::PartyAmbiguous => about(
            "PARTY_AMBIGUOUS",
            "party_id",
            "several people share this number; name the one who is meant",
        ),
        GateError::SecondApproverRequired => about(
            "SECOND_APPROVER_REQUIRED",
            "suppression_id",
            "a lift takes two people: this one is asked for, now somebody whose key has the role approver must agree",
        ),
        GateError::LiftNotRequested => about(
            "LIFT_NOT_REQUESTED",
            "suppression_id",
            "nobody has asked for this lift: an administrator does, with the permission that is newer; then an approver agrees",
        ),
        GateError::DispositionExists => about(
            "DISPOSITION_EXISTS",
            "call_id",
            "the call has a disposition already; correct that one with AmendDisposition",
        ),
        GateError::DispositionNotLatest => about(
            "DISPOSITION_NOT_LATEST",
            "disposition_id",
            "is not the latest disposition of the call; read the call again",
        ),
        other => Refusal::new(Code::Internal, "INTERNAL", other.to_string()),
    }
}

/// A list that was not taken.
fn register_refused(refusal: &RegisterRefusal) -> Status {
    let (reason, field) = refusal.reason();
    if let RegisterRefusal::NoSnapshot(_) = refusal {
        return Refusal::new(Code::NotFound, reason, refusal.to_string()).status();
    }
    Refusal::precondition(reason, field, &refusal.to_string()).status()
}

/// A number that is no destination, in words and with the code of the floor.
pub(super) fn not_dialable(field: &str, why: crate::place::NotDialable) -> Violation {
    let code = why.code();
    Violation {
        field: field.to_owned(),
        problem: why.to_string(),
        reason: if code == "NOT_E164" {
            "NUMBER_NOT_E164"
        } else {
            "NUMBER_NOT_DIALABLE"
        },
        code: Some(code),
    }
}

/// Gives the errors that the transport itself makes (a message too large or garbled) their `ErrorInfo` too.
pub(super) fn complete<B: Default>(response: http::Response<B>) -> http::Response<B> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    let (reason, code) = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            ("MESSAGE_TOO_LARGE", Code::ResourceExhausted)
        }
        Code::Unimplemented => ("METHOD_UNKNOWN", Code::Unimplemented),
        // Not the server's failure: the message is not one of this method.
        Code::Internal => ("MESSAGE_UNREADABLE", Code::InvalidArgument),
        // The health service's word for a name it does not know.
        Code::NotFound => ("SERVICE_UNKNOWN", Code::NotFound),
        code => ("MESSAGE_REFUSED", code),
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details_and_metadata(code, status.message(), details, MetadataMap::new())
        .into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: &Status) -> (Code, String) {
        let details = status.get_error_details();
        (status.code(), details.error_info().unwrap().reason.clone())
    }

    #[test]
    fn what_went_wrong_in_the_store_stays_inside() {
        let secret = || "syntax error near SELECT at 10.0.0.7".to_owned();
        for (error, code, expected) in [
            (
                StoreError::Unavailable(secret()),
                Code::Unavailable,
                "STORE_UNAVAILABLE",
            ),
            (StoreError::LockTimeout, Code::Unavailable, "STORE_BUSY"),
            (
                StoreError::Duplicate { what: secret() },
                Code::Aborted,
                "CONFLICT",
            ),
            (
                StoreError::Damaged { what: "request" },
                Code::Internal,
                "INTERNAL",
            ),
            (StoreError::Setting(secret()), Code::Internal, "INTERNAL"),
            (StoreError::Other(secret()), Code::Internal, "INTERNAL"),
        ] {
            let status = from_gate(&GateError::from(error));
            assert_eq!(reason(&status), (code, expected.to_owned()));
            assert!(!format!("{status:?}").contains("SELECT"), "{status:?}");
        }
    }

    #[test]
    fn who_should_come_again_is_told_when() {
        let retry_after = Duration::from_millis(700);
        for (error, expected) in [
            (GateError::Busy { retry_after }, "GATE_BUSY"),
            (GateError::TrunkSaturated { retry_after }, "TRUNK_SATURATED"),
        ] {
            let status = from_gate(&error);
            assert_eq!(
                reason(&status),
                (Code::ResourceExhausted, expected.to_owned())
            );
            let details = status.get_error_details();
            assert_eq!(details.retry_info().unwrap().retry_delay, Some(retry_after));
        }
    }

    #[test]
    fn every_error_of_the_gate_has_its_reason() {
        for error in [
            GateError::CampaignUnknown,
            GateError::CampaignInactive,
            GateError::CallerIdNotAllowed,
            GateError::CallKindNotAllowed,
            GateError::DestinationNotAllowed {
                country: "DE".to_owned(),
            },
            GateError::RequestExpired,
            GateError::RequestIdReused,
            GateError::PartyAmbiguous,
            GateError::EtagMismatch,
            GateError::SecondApproverRequired,
            GateError::LiftNotRequested,
            GateError::DispositionExists,
            GateError::DispositionNotLatest,
            GateError::NotFound { what: "call" },
            GateError::SellerUnknown {
                seller: "acme".to_owned(),
            },
            GateError::Invalid {
                field: "x".to_owned(),
                problem: "y".to_owned(),
            },
        ] {
            assert_ne!(reason(&from_gate(&error)).1, "INTERNAL", "{error}");
        }
    }

    #[test]
    fn violations_of_one_kind_give_their_reason_and_mixed_ones_the_common_one() {
        let one = |field: &str, reason| Violation {
            field: field.to_owned(),
            problem: "is wrong".to_owned(),
            reason,
            code: None,
        };
        let numbers = [one("a", "NUMBER_NOT_E164"), one("b", "NUMBER_NOT_E164")];
        assert_eq!(reason(&invalid(&numbers)).1, "NUMBER_NOT_E164");
        let mixed = [one("a", "NUMBER_NOT_E164"), one("b", INVALID_FIELDS)];
        let status = invalid(&mixed);
        assert_eq!(reason(&status).1, "INVALID_FIELDS");
        assert_eq!(status.message(), "a: is wrong; b: is wrong");
    }

    #[test]
    fn errors_of_the_transport_get_a_reason_too() {
        let made = |status: Status| {
            let response: http::Response<String> = complete(status.into_http());
            Status::from_header_map(response.headers()).unwrap()
        };
        for (code, expected, reported) in [
            (
                Code::OutOfRange,
                "MESSAGE_TOO_LARGE",
                Code::ResourceExhausted,
            ),
            (Code::Internal, "MESSAGE_UNREADABLE", Code::InvalidArgument),
            (Code::Unimplemented, "METHOD_UNKNOWN", Code::Unimplemented),
        ] {
            let status = made(Status::new(code, "why"));
            assert_eq!(reason(&status), (reported, expected.to_owned()));
        }
        let ours = made(not_found("call"));
        assert_eq!(reason(&ours), (Code::NotFound, "CALL_NOT_FOUND".to_owned()));
    }
}
