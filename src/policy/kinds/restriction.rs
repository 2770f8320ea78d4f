//! `restriction`: states in which nobody is called, whatever the grounds.

use serde::Deserialize;

use super::super::ground::Ground;
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::{Faults, Origin};
use super::super::pack::PackProblem;
use super::super::rule::{Common, Rank, Rule};
use super::{Kind, Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    pub(in super::super) when: When,
    #[serde(default)]
    reopened_by: Vec<Ground>,
}

/// The occasions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum When {
    /// Use of the record is restricted (GDPR Art. 18).
    RestrictionActive,
    /// The person is known to be under 18.
    KnownMinor,
    /// Nobody can say what time it is there.
    NoCandidateZone,
    /// No row names the called country.
    NoRulesForCountry,
}

impl Readable for Restriction {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("when", "\"restriction_active\""),
        ("reopened_by", "[\"consent\"]"),
        ("reopened_by[]", "\"consent\""),
    ];
}

impl RuleKind for Restriction {
    fn check(&self, common: &Common, _: &Names, faults: &mut Faults<'_>) {
        let person = matches!(self.when, When::RestrictionActive | When::KnownMinor);
        if !person && !common.lifted_by.is_empty() {
            faults.tell_of(
                "lifted_by",
                "`lifted_by` on a row that denies what nobody knows; nothing lifts that",
            );
        }
        for (index, ground) in self.reopened_by.iter().enumerate() {
            if *ground != Ground::Consent {
                let key = format!("reopened_by[{index}]");
                faults.tell(
                    &[&key],
                    format!(
                        "`{key}`: `{ground}` opens nothing here; `reopened_by` takes `consent` only"
                    ),
                );
            }
        }
        if self.when != When::RestrictionActive && !self.reopened_by.is_empty() {
            faults.tell_of(
                "reopened_by",
                "`reopened_by` stands only with `when = \"restriction_active\"`; leave it out",
            );
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let scene = moment.scene;
        match self.when {
            When::RestrictionActive => self.restricted(rule, moment),
            When::KnownMinor if scene.case.facts.minor == Some(true) => {
                moment.fail_unless_lifted(rule, format_args!("the person is known to be under 18"))
            }
            When::KnownMinor => moment.pass(format_args!("the person is not known to be under 18")),
            When::NoCandidateZone => {
                let finding = match moment.zone {
                    Some(_) => moment.pass(format_args!("the time zones are known")),
                    None => moment.fail(format_args!(
                        "no time zone can be named for the person; record where they are"
                    )),
                };
                // Where the zones come from: the trail of evidence belongs to the row that asks for it.
                let trail = scene.place.evidence.iter();
                trail.fold(finding, |finding, step| {
                    finding.with(format_args!("place={step}"))
                })
            }
            When::NoRulesForCountry => {
                let unknown = (scene.countries.iter()).find(|c| !scene.pack.has_rules_for(c));
                match unknown {
                    Some(country) => moment
                        .fail(format_args!("no rule names the called country"))
                        .with(format_args!("country={country}")),
                    None if scene.countries.is_empty() => {
                        moment.fail(format_args!("the called country is not known"))
                    }
                    None => moment.pass(format_args!("the law of the called country is on file")),
                }
            }
        }
    }
}

impl Restriction {
    fn restricted(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let Some(restriction) = &moment.scene.case.facts.restriction else {
            return moment.pass(format_args!("use of the record is not restricted"));
        };
        let since = restriction.since;
        let newer = moment.standing().valid.filter(|given| given.at > since);
        match newer {
            Some(given) if self.reopened_by.contains(&Ground::Consent) => moment
                .lifted(
                    Ground::Consent,
                    format_args!("use of the record is restricted"),
                )
                .with(format_args!("consent.at={}", given.at)),
            _ => moment.fail_unless_lifted(rule, format_args!("use of the record is restricted")),
        }
        .with(format_args!("restriction.since={since}"))
    }
}

/// Tells which of the two occasions without which nothing would deny an unknown place is on no unconditional row, at the
/// row that comes nearest to it.
pub(in super::super) fn check_occasions(rules: &[(Rule, Origin)], problems: &mut Vec<PackProblem>) {
    let needed = [
        (When::NoCandidateZone, "no_candidate_zone"),
        (When::NoRulesForCountry, "no_rules_for_country"),
    ];
    for (when, name) in needed {
        let is_own = |rule: &Rule| {
            matches!(&rule.kind, Kind::Restriction(row) if row.when == when)
                && rule.rank == Rank::Policy
        };
        // A row with a part that could not be read may be the one.
        let may_be = |rule: &Rule, origin: &Origin| {
            let is_policy = rule.rank == Rank::Policy || !origin.has_read("jurisdiction");
            let is_unread = match &rule.kind {
                _ if !origin.has_read("kind") => true,
                Kind::Restriction(row) => {
                    !origin.has_read("when") || (row.when == when && !origin.has_read_all())
                }
                _ => false,
            };
            is_policy && is_unread
        };
        let stands = rules.iter().any(|(rule, origin)| {
            let all = is_own(rule) && rule.has_effect() && rule.common.is_unconditional();
            all || may_be(rule, origin)
        });
        if stands {
            continue;
        }
        let near = |wanted: &dyn Fn(&Rule) -> bool| rules.iter().find(|(rule, _)| wanted(rule));
        let nearest = near(&is_own)
            .or_else(|| near(&|rule| rule.rank == Rank::Policy))
            .or_else(|| rules.first());
        let problem = format!(
            "no enforced restriction of jurisdiction `ZZ` says `when = \"{name}\"` for every call; \
             without it a call could be allowed because nothing is known"
        );
        problems.push(match nearest {
            Some((_, origin)) => origin.fault("when", &problem),
            None => PackProblem {
                file: "*.toml".to_owned(),
                line: None,
                problem,
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    const AT: &str = "2026-05-19T12:00:00Z";

    #[test]
    fn nobody_in_such_a_state_is_called() {
        fn restricted(case: &mut crate::policy::facts::Case) {
            let since = instant("2026-05-01T12:00:00Z");
            case.facts.restriction = Some(crate::domain::party::Restriction { since });
        }
        table(
            "DE",
            AT,
            "EEA-restriction",
            &[
                ("not restricted", |_| {}, Pass),
                ("restricted", restricted, Fail),
                (
                    "restricted after the consent",
                    |c| {
                        restricted(c);
                        c.facts.consents = vec![given("2026-04-30T12:00:00Z", "written")];
                        c.facts.consents[0].documented = Some(true);
                    },
                    Fail,
                ),
                (
                    "consent to it since",
                    |c| {
                        restricted(c);
                        c.facts.consents = vec![given("2026-05-02T12:00:00Z", "written")];
                        c.facts.consents[0].documented = Some(true);
                    },
                    Lifted,
                ),
            ],
        );
        table(
            "US-GA",
            AT,
            "POLICY-restriction",
            &[(
                "no way out in policy",
                |c| {
                    restricted(c);
                    c.facts.consents = vec![given("2026-05-02T12:00:00Z", "written")];
                },
                Fail,
            )],
        );
        table(
            "DE",
            AT,
            "EEA-minor",
            &[
                ("age unknown", |_| {}, Pass),
                ("a minor", |c| c.facts.minor = Some(true), Fail),
            ],
        );
        table(
            "DE",
            AT,
            "POLICY-unknown-zone",
            &[("zones known", |_| {}, Pass)],
        );
        table(
            "DE",
            AT,
            "POLICY-no-rules",
            &[("rules known", |_| {}, Pass)],
        );
        table("BR", AT, "POLICY-no-rules", &[("no rules", |_| {}, Fail)]);
    }
}
