//! A status of the server, taken apart into what a person or a program can use (google.rpc error details).

use std::time::Duration;

use tonic::Status;
use tonic_types::StatusExt;

use crate::grpc::code;

/// Why the server refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A sentence.
    pub message: String,
    /// The code's name, such as `INVALID_ARGUMENT`.
    pub code: &'static str,
    /// The server's reason word, such as `NUMBER_NOT_DIALABLE`.
    pub reason: Option<String>,
    /// Fields of the request that are wrong, and how.
    pub fields: Vec<(String, String)>,
    /// Whatever else it told: a name and a text, either of which may be empty.
    pub details: Vec<(String, String)>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let told = status.get_error_details();
        let mut refusal = Self {
            message: status.message().to_owned(),
            code: code::word(status.code()),
            reason: told.error_info().map(|info| info.reason.clone()),
            retry_after: told.retry_info().and_then(|info| info.retry_delay),
            ..Self::default()
        };
        if let Some(request) = told.bad_request() {
            let violations = request.field_violations.iter();
            refusal.fields = violations
                .map(|wrong| (wrong.field.clone(), wrong.description.clone()))
                .collect();
        }
        let mut detail =
            |name: &str, text: &str| refusal.details.push((name.to_owned(), text.to_owned()));
        if let Some(failure) = told.precondition_failure() {
            for violation in &failure.violations {
                detail(&violation.subject, &violation.description);
            }
        }
        if let Some(failure) = told.quota_failure() {
            for violation in &failure.violations {
                detail(&violation.subject, &violation.description);
            }
        }
        if let Some(resource) = told.resource_info() {
            detail(&resource.resource_type, &resource.resource_name);
        }
        if let Some(info) = told.error_info() {
            let mut metadata: Vec<_> = info.metadata.iter().collect();
            metadata.sort();
            for (name, value) in metadata {
                detail(name, value);
            }
        }
        refusal
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn every_part_of_a_status_is_kept() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let mut details = ErrorDetails::new();
        details
            .set_error_info(
                "NUMBER_NOT_DIALABLE",
                "dialgate",
                [pair("why", "PREMIUM_RATE")],
            )
            .add_bad_request_violation("to", "premium-rate numbers are not dialed")
            .add_precondition_failure_violation("STATE", "campaign", "it is not active")
            .set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::InvalidArgument, "cannot be dialed", details);
        assert_eq!(
            Refusal::from(&status),
            Refusal {
                message: "cannot be dialed".to_owned(),
                code: "INVALID_ARGUMENT",
                reason: Some("NUMBER_NOT_DIALABLE".to_owned()),
                fields: vec![pair("to", "premium-rate numbers are not dialed")],
                details: vec![
                    pair("campaign", "it is not active"),
                    pair("why", "PREMIUM_RATE")
                ],
                retry_after: Some(Duration::from_millis(1500)),
            }
        );
        let bare = Refusal::from(&Status::unavailable("gone"));
        assert_eq!((bare.code, bare.reason), ("UNAVAILABLE", None));
    }
}
