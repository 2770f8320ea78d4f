//! `opt_out`: the person told the seller, or all sellers, to stop. Acts at once and never ends by itself.

use serde::Deserialize;

use super::super::ground::{self, Ground};
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};
use crate::domain::consent::InitiatedBy;

/// Keys of the kind. The outer limits and keeping times are for readers: the gate stops at once and forgets nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct OptOut {
    #[serde(default)]
    reopened_by: Vec<Ground>,
    reopened_only_if_initiated_by: Option<InitiatedBy>,
    honor_max_business_days: Option<u32>,
    honor_max_days: Option<u32>,
    keep_days: Option<u32>,
    keep_years: Option<u32>,
    scope: Option<Scope>,
}

/// What an opt-out covers by law. The case has every opt-out of the person, through whichever of their numbers it came,
/// and does not say through which: the stricter reading holds for every row.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Person,
    AllRobocallsOfSeller,
}

impl Readable for OptOut {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("reopened_by", "[\"consent\"]"),
        ("reopened_by[]", "\"consent\""),
    ];
}

impl RuleKind for OptOut {
    fn check(&self, common: &Common, _: &Names, faults: &mut Faults<'_>) {
        if !common.lifted_by.is_empty() {
            faults.tell_of(
                "lifted_by",
                "`lifted_by` on an opt-out; name in `reopened_by` what opens the line when given after it",
            );
        }
        // Only an act of consent has a time of its own that can lie after the opt-out.
        for (index, ground) in self.reopened_by.iter().enumerate() {
            if !ground.is_consent() {
                let key = format!("reopened_by[{index}]");
                faults.tell(
                    &[&key],
                    format!("`{key}`: `{ground}` is none of the forms of consent, which alone open the line again"),
                );
            }
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let Some(at) = moment.scene.last_opt_out else {
            return moment.pass(format_args!("no opt-out is on file"));
        };
        // A consent before the opt-out does not stand any more, so one that stands was given after it.
        let consent = moment.standing().valid;
        let by_the_right_one = self
            .reopened_only_if_initiated_by
            .is_none_or(|who| consent.is_some_and(|given| given.initiated_by == Some(who)));
        let ground = ground::first(&self.reopened_by, rule, moment).filter(|_| by_the_right_one);
        match (ground, self.reopened_by.is_empty()) {
            (Some(ground), _) => moment.lifted(ground, format_args!("the person opted out")),
            (None, true) => moment.fail(format_args!("the person opted out, for good")),
            (None, false) => moment.fail(format_args!(
                "the person opted out, and there is no {} given since{}",
                ground::any_of_words(&self.reopened_by),
                match self.reopened_only_if_initiated_by {
                    Some(InitiatedBy::Person) => " on the person's own initiative",
                    Some(InitiatedBy::Seller) => " on the seller's initiative",
                    None => "",
                }
            )),
        }
        .with(format_args!("opt_out.at={at}"))
        .with_some("consent.at", consent.map(|given| given.at))
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    const AT: &str = "2026-05-19T15:00:00Z";

    #[test]
    fn a_request_to_stop_is_kept() {
        table(
            "US-GA",
            AT,
            "US-internal-dnc",
            &[
                ("none on file", |_| {}, Pass),
                (
                    "asked to stop",
                    |c| c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")],
                    Fail,
                ),
                (
                    "ten years ago",
                    |c| c.facts.opt_outs = vec![opt_out("2016-05-01T15:00:00Z")],
                    Fail,
                ),
                (
                    "by a clock that is ahead",
                    |c| c.facts.opt_outs = vec![opt_out("2026-05-19T15:00:09Z")],
                    Fail,
                ),
                (
                    "to another seller",
                    |c| {
                        c.call.seller = Some("this".to_owned());
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.opt_outs[0].seller = Some("other".to_owned());
                    },
                    Pass,
                ),
                (
                    "to a seller, and it is not known which calls now",
                    |c| {
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.opt_outs[0].seller = Some("other".to_owned());
                    },
                    Fail,
                ),
                (
                    "to all, heard by another seller",
                    |c| {
                        c.call.seller = Some("this".to_owned());
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.opt_outs[0].seller = Some("other".to_owned());
                        c.facts.opt_outs[0].scope = Some(crate::policy::facts::OptOutScope::All);
                    },
                    Fail,
                ),
            ],
        );
    }

    #[test]
    fn only_a_later_consent_of_the_right_kind_opens_the_line_again() {
        table(
            "US-GA",
            AT,
            "US-internal-dnc",
            &[
                (
                    "signed later",
                    |c| {
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.consents = vec![given("2026-05-01T15:00:00.000001Z", "written")];
                    },
                    Lifted,
                ),
                (
                    "signed at the same instant",
                    |c| {
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.consents = vec![given("2026-05-01T15:00:00Z", "written")];
                    },
                    Fail,
                ),
                (
                    "signed before",
                    |c| {
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.consents = vec![given("2026-04-01T15:00:00Z", "written")];
                    },
                    Fail,
                ),
                (
                    "said later",
                    |c| {
                        c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                        c.facts.consents = vec![given("2026-05-02T15:00:00Z", "oral")];
                    },
                    Fail,
                ),
                (
                    "stopped again after signing",
                    |c| {
                        c.facts.opt_outs = vec![
                            opt_out("2026-05-01T15:00:00Z"),
                            opt_out("2026-05-03T15:00:00Z"),
                        ];
                        c.facts.consents = vec![given("2026-05-02T15:00:00Z", "written")];
                    },
                    Fail,
                ),
            ],
        );
        table(
            "CA",
            AT,
            "CA-internal-dnc",
            &[(
                "never",
                |c| {
                    c.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
                    c.facts.consents = vec![given("2026-05-02T15:00:00Z", "written")];
                },
                Fail,
            )],
        );
    }

    #[test]
    fn the_person_must_have_begun_where_the_law_says_so() {
        fn reopened(case: &mut crate::policy::facts::Case, by: &str) {
            case.facts.opt_outs = vec![opt_out("2026-05-01T15:00:00Z")];
            case.facts.consents = vec![consent(&format!(
                r#"{{"action":"given","at":"2026-05-02T15:00:00Z","form":"written","documented":true{by}}}"#
            ))];
        }
        table(
            "DE",
            AT,
            "EEA-objection",
            &[
                (
                    "the person",
                    |c| reopened(c, r#","initiated_by":"person""#),
                    Lifted,
                ),
                (
                    "the seller",
                    |c| reopened(c, r#","initiated_by":"seller""#),
                    Fail,
                ),
                ("nobody knows", |c| reopened(c, ""), Fail),
            ],
        );
    }
}
