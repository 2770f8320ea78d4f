//! `abandonment`: limits of pacing, shown with each call they speak of. The dialer's pace is not a matter of one call.

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
pub struct Abandonment {
    max_rate_percent: Option<f64>,
    rate_period: Option<RatePeriod>,
    rate_per: Option<String>,
    denominator: Option<String>,
    agent_within_seconds: Option<u32>,
    message_within_seconds: Option<u32>,
    min_ring_seconds: Option<u32>,
    min_rings: Option<u32>,
    no_recall_hours: Option<u32>,
    on_abandon: Option<String>,
    safe_harbour: Option<bool>,
}

/// Over which time a rate is measured.
#[derive(Debug, Deserialize)]
enum RatePeriod {
    #[serde(rename = "30d")]
    ThirtyDays,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "calendar_month")]
    CalendarMonth,
}

impl Readable for Abandonment {}

impl RuleKind for Abandonment {
    fn decides(&self) -> bool {
        false
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn judge(&self, _: &Rule, moment: &Moment<'_>) -> Finding {
        moment
            .info(format_args!("limits the share of calls without an agent"))
            .with_some("max_rate_percent", self.max_rate_percent)
            .with_some("agent_within_seconds", self.agent_within_seconds)
            .with_some("min_ring_seconds", self.min_ring_seconds)
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
            "US-abandon-fcc",
            &[(
                "dialed by a system",
                |c| c.call.call_kind = crate::domain::call::CallKind::Autodialed,
                Info,
            )],
        );
    }
}
