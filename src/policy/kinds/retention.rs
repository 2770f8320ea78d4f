//! `retention`: what must be kept, and for how long. Shown with each call; the keeping is the store's.

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
pub struct Retention {
    record: Record,
    keep_years: Option<u32>,
    keep_days: Option<u32>,
    keep_from: Option<Vec<KeepFrom>>,
    suppression_min_days: Option<u32>,
    prospect_max_days: Option<u32>,
    fields: Option<Vec<String>>,
}

/// What is kept.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Call,
    Consent,
    RegisterVersion,
    ProspectAndOptOut,
}

/// From when the time counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeepFrom {
    Given,
    Withdrawn,
    LastUsed,
}

impl Readable for Retention {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[("record", "\"call\"")];
}

impl RuleKind for Retention {
    fn decides(&self) -> bool {
        false
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn judge(&self, _: &Rule, moment: &Moment<'_>) -> Finding {
        let record = match self.record {
            Record::Call => "call",
            Record::Consent => "consent",
            Record::RegisterVersion => "register version",
            Record::ProspectAndOptOut => "prospect and opt-out",
        };
        moment
            .info(format_args!("a record of the {record} must be kept"))
            .with_some("keep_years", self.keep_years)
            .with_some("keep_days", self.keep_days)
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    #[test]
    fn informs_and_never_decides() {
        table(
            "US-GA",
            "2026-10-14T12:00:00Z",
            "US-retention-tsr",
            &[("any call", |_| {}, Info)],
        );
    }
}
