//! What two people alone can end: stops of regions, the operator's word that nobody there is called, and blocks that no
//! consent opens. Built in, like the floor: no row of any pack is needed for one to hold, and none limits or lifts it. Rows
//! of kind `prohibited_day` speak beside it.

use std::collections::BTreeMap;

use super::kinds::Kind;
use super::moment::{Scene, binds};
use super::rule::Rule;
use crate::domain::decision::{RuleOutcome, RuleResult};
use crate::domain::suppression::UntilLifted;
use crate::domain::time::Micros;

/// What begins the id of the built-in rule of a stopped region; the region follows.
const STOP_RULE: &str = "OPERATOR-stop-";

/// What begins the id of the built-in rule of a block that no consent opens; why follows ([`UntilLifted`]).
pub const BLOCK_RULE: &str = "OPERATOR-block-";

impl Scene<'_> {
    /// What denies whatever any row says: the blocks that no consent opens, then the stops.
    pub fn barred(&self) -> Vec<RuleResult> {
        let mut barred = self.blocks();
        barred.extend(self.stops());
        barred
    }

    /// The blocks that bind this seller until two people lift them, one of each why: the latest.
    fn blocks(&self) -> Vec<RuleResult> {
        let binding = self.case.facts.opt_outs.iter();
        let binding = binding.filter(|opt_out| binds(opt_out, self.case));
        let mut latest: BTreeMap<UntilLifted, Micros> = BTreeMap::new();
        for opt_out in binding {
            if let Some(why) = opt_out.until_lifted {
                let at = latest.entry(why).or_insert(opt_out.at);
                *at = (*at).max(opt_out.at);
            }
        }
        latest.into_iter().map(block).collect()
    }

    /// What the operator's stops say of this call: those that hold where the person is or may be, each once.
    fn stops(&self) -> Vec<RuleResult> {
        let mut holding: Vec<String> = Vec::new();
        for named in &self.case.facts.stopped_regions {
            let region = match self.pack.knows_jurisdiction(named) {
                true => named.clone(),
                false => named.to_ascii_uppercase(),
            };
            // A place that this pack does not know may be anywhere.
            let holds = !self.pack.knows_jurisdiction(&region) || self.may_be_in(&region);
            if holds && !holding.contains(&region) {
                holding.push(region);
            }
        }
        holding.iter().map(|region| denial(region)).collect()
    }
}

/// Whether stops are reported after this row: they are of the kind `prohibited_day`.
pub(super) fn comes_after(rule: &Rule) -> bool {
    let own = Kind::NAMES
        .iter()
        .position(|name| *name == "prohibited_day");
    rule.decides() && Some(rule.kind.order()) <= own
}

fn block((why, at): (UntilLifted, Micros)) -> RuleResult {
    let reason = match why {
        UntilLifted::Court => "a court's order stops these calls",
        UntilLifted::Minor => "the person is on record as a minor",
        UntilLifted::Deceased => "the person is on record as dead",
        UntilLifted::Internal => "the operator has blocked the number or person",
        UntilLifted::Litigator => "the number is on record as a litigator's",
        UntilLifted::Account => "the organisation that the person belongs to opted out",
    };
    RuleResult {
        rule: format!("{BLOCK_RULE}{why}").into(),
        outcome: RuleOutcome::Fail,
        reason: format!("{reason}; no consent opens that, only a lift by two people").into(),
        citation: "the operator's own record".into(),
        evidence: vec![format!("opt_out.at={at}").into()],
    }
}

fn denial(region: &str) -> RuleResult {
    RuleResult {
        rule: format!("{STOP_RULE}{region}").into(),
        outcome: RuleOutcome::Fail,
        reason: format!("the operator has stopped calls into {region}").into(),
        citation: "the operator's own stop".into(),
        evidence: vec![format!("stopped_region={region}").into()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::super::testing::*;
    use crate::domain::decision::Verdict;
    use crate::domain::suppression::UntilLifted;

    #[test]
    fn a_stop_is_reported_beside_the_rows_of_its_kind() {
        let mut case = case("US-LA", "2026-05-19T15:00:00Z");
        let stops = ["us-la", "US-LA", "US-NY", "HOUSE-GROUP"].map(str::to_owned);
        case.facts.stopped_regions = stops.to_vec();
        case.facts.emergency_regions = vec!["US-LA".to_owned()];
        case.facts.opt_outs = vec![opt_out("2026-05-01T00:00:00Z")];
        let judgement = judge(pack(), &case);
        assert_eq!(judgement.verdict, Verdict::Deny);
        assert_eq!(judgement.next_allowed_time, None);
        let denied_by: Vec<_> = judgement
            .denied_by
            .iter()
            .map(ToString::to_string)
            .collect();
        let kind = |id: &str| pack().find(id).map(|rule| rule.kind.order());
        let emergency = denied_by
            .iter()
            .position(|id| id == "US-LA-emergency")
            .unwrap();
        // A place that this pack does not know may be anywhere; each place is named once.
        let stops = ["OPERATOR-stop-US-LA", "OPERATOR-stop-HOUSE-GROUP"];
        assert_eq!(denied_by[emergency + 1..emergency + 3], stops);
        assert_eq!(
            denied_by
                .iter()
                .filter(|id| id.starts_with("OPERATOR"))
                .count(),
            2
        );
        let after = denied_by.iter().skip(emergency + 3);
        assert!(
            after
                .into_iter()
                .all(|id| kind(id) > kind("US-LA-emergency")),
            "{denied_by:?}"
        );
    }

    /// A territory is stopped under each of its names, and whoever may be there: whose state alone is known, too.
    #[test]
    fn a_territory_is_stopped_under_each_of_its_names() {
        for (number, location, stop, holds) in [
            ("+358401234567", r#"{"country":"FI"}"#, "AX", true),
            ("+358401234567", r#"{"country":"FI"}"#, "FI-01", true),
            ("+358401234567", r#"{"region":"FI-18"}"#, "AX", false),
            ("+358181234567", "{}", "FI-01", true),
            ("+33612345678", r#"{"country":"FR"}"#, "RE", true),
            ("+33612345678", r#"{"region":"FR-75C"}"#, "RE", false),
            ("+33612345678", r#"{"region":"FR-974"}"#, "RE", true),
            ("+262262123456", "{}", "FR-974", true),
            ("+442079460301", r#"{"country":"US"}"#, "PR", true),
            ("+14045550145", r#"{"country":"US"}"#, "PR", false),
            (
                "+14045550145",
                r#"{"country":"US","postal_code":"96940"}"#,
                "PW",
                true,
            ),
            ("+34932345678", r#"{"region":"ES-B"}"#, "ES-CT", true),
            ("+34932345678", r#"{"region":"ES-CT"}"#, "ES-B", true),
            ("+34932345678", r#"{"region":"ES-M"}"#, "ES-CT", false),
        ] {
            let mut case = case("US-GA", "2026-05-19T15:00:00Z");
            case.call.to = number.to_owned();
            case.facts.location = serde_json::from_str(location).unwrap();
            case.facts.stopped_regions = vec![stop.to_owned()];
            let name = format!("OPERATOR-stop-{stop}");
            let is_stopped = judge(pack(), &case).denied_by.iter().any(|id| *id == *name);
            assert_eq!(is_stopped, holds, "{number} {location} {stop}");
        }
    }

    #[test]
    fn what_two_people_must_lift_no_consent_opens() {
        let consents = |by: &str| {
            let by = format!(
                r#"{{"action":"given","at":"2026-05-02T15:00:00Z","form":"written","documented":true,"initiated_by":"{by}"}}"#
            );
            vec![consent(&by)]
        };
        let denied = |case: &crate::policy::facts::Case| -> Vec<String> {
            let judgement = judge(pack(), case);
            let ids = judgement.denied_by.iter();
            ids.map(ToString::to_string).collect()
        };
        for place in ["US-GA", "DE"] {
            let mut case = case(place, "2026-05-19T15:00:00Z");
            case.facts.consents = consents("person");
            let before = denied(&case);
            case.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
            assert_eq!(denied(&case), before, "{place}: their own wish is reopened");
            for why in UntilLifted::ALL {
                case.facts.opt_outs[0].until_lifted = Some(*why);
                let after: Vec<String> = denied(&case)
                    .into_iter()
                    .filter(|id| !before.contains(id))
                    .collect();
                assert_eq!(after, [format!("OPERATOR-block-{why}")], "{place}");
            }
            // Each why once, whatever there is of it; another seller's not at all.
            case.call.seller = Some("this".to_owned());
            let mut again = case.facts.opt_outs[0].clone();
            again.at = again.at.plus(std::time::Duration::from_secs(3_600));
            case.facts.opt_outs.push(again);
            let judgement = judge(pack(), &case);
            let blocks = judgement.rules.iter();
            let blocks: Vec<_> = blocks
                .filter(|result| result.rule.starts_with(super::BLOCK_RULE))
                .collect();
            assert_eq!(blocks.len(), 1);
            assert_eq!(*blocks[0].evidence[0], *"opt_out.at=2026-05-01T16:00:00Z");
            assert_eq!(judgement.next_allowed_time, None);
            for opt_out in &mut case.facts.opt_outs {
                opt_out.seller = Some("other".to_owned());
            }
            assert_eq!(denied(&case), before, "{place}: said to another seller");
        }
    }

    #[test]
    fn what_rows_ask_for_stops_nobody_without_a_row() {
        let mut case = case("US-GA", "2026-05-19T15:00:00Z");
        let before = judge(pack(), &case);
        case.facts.emergency_regions = vec!["US-GA".to_owned()];
        assert_eq!(judge(pack(), &case), before);
    }
}
