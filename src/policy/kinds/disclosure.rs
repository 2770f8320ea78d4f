//! `disclosure`: what the person must be told. A notice must be attached before the call; the rest is said in it.

use serde::Deserialize;

use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::rule::Rule;
use super::RuleKind;

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct Disclosure {
    #[serde(default)]
    requires_notice: bool,
    #[serde(default)]
    items: Vec<String>,
    within_seconds: Option<u32>,
    when_said: Option<String>,
    end_call_within_seconds: Option<u32>,
}

impl Readable for Disclosure {}

impl RuleKind for Disclosure {
    fn decides(&self) -> bool {
        self.requires_notice
    }

    fn is_constant(&self) -> bool {
        !self.requires_notice
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        if !self.requires_notice {
            let items = self.items.join(", ");
            return moment
                .info(format_args!("to be said in the call: {items}"))
                .with_some("within_seconds", self.within_seconds);
        }
        let notice = moment.scene.case.facts.notice.as_ref();
        match notice.filter(|notice| !notice.version.trim().is_empty()) {
            Some(notice) => moment
                .pass(format_args!("a privacy notice is attached"))
                .with(format_args!("notice.version={}", notice.version)),
            None => moment.fail_unless_lifted(rule, format_args!("no privacy notice is attached")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    #[test]
    fn a_notice_gates_and_the_rest_informs() {
        table(
            "DE",
            "2026-10-14T12:00:00Z",
            "EEA-art14-notice",
            &[
                ("none", |_| {}, Fail),
                (
                    "attached",
                    |c| c.facts.notice = serde_json::from_str(r#"{"version":"n-7"}"#).unwrap(),
                    Pass,
                ),
                (
                    "without a version",
                    |c| c.facts.notice = serde_json::from_str(r#"{"version":" "}"#).unwrap(),
                    Fail,
                ),
            ],
        );
        table(
            "US-GA",
            "2026-10-14T12:00:00Z",
            "US-disclosure-tsr",
            &[("a duty in the call", |_| {}, Info)],
        );
    }
}
