//! `prohibited_day`: no calls into a region while an operator's stop holds there.

use serde::Deserialize;

use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::rule::Rule;
use super::RuleKind;

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProhibitedDay {
    trigger: Trigger,
}

/// What closes the days.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trigger {
    /// The operator recorded an emergency in the row's jurisdiction.
    Emergency,
}

impl Readable for ProhibitedDay {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[("trigger", "\"emergency\"")];
}

impl RuleKind for ProhibitedDay {
    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let Trigger::Emergency = self.trigger;
        let region = &rule.common.jurisdiction;
        let regions = &moment.scene.case.facts.emergency_regions;
        if regions.iter().any(|name| name.eq_ignore_ascii_case(region)) {
            moment
                .fail_unless_lifted(rule, format_args!("an emergency stop holds in {region}"))
                .with(format_args!("emergency_region={region}"))
        } else {
            moment.pass(format_args!("no emergency stop holds in {region}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    #[test]
    fn a_stop_closes_its_own_region() {
        table(
            "US-LA",
            "2026-05-19T15:00:00Z",
            "US-LA-emergency",
            &[
                ("none", |_| {}, Pass),
                (
                    "there",
                    |c| c.facts.emergency_regions = vec!["US-LA".to_owned()],
                    Fail,
                ),
                (
                    "elsewhere",
                    |c| c.facts.emergency_regions = vec!["US-NY".to_owned()],
                    Pass,
                ),
            ],
        );
    }
}
