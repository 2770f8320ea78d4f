//! `restriction`: states in which nobody is called, whatever the grounds.

use serde::Deserialize;

use super::super::ground::Ground;
use super::super::moment::{Finding, Moment};
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

impl RuleKind for Restriction {
    fn check(&self, common: &Common, _: &Names, problems: &mut Vec<String>) {
        let person = matches!(self.when, When::RestrictionActive | When::KnownMinor);
        if !person && !common.lifted_by.is_empty() {
            problems.push(
                "`lifted_by` on a row that denies what nobody knows; nothing lifts that".to_owned(),
            );
        }
        let only_consent = self.reopened_by.iter().all(|g| *g == Ground::Consent);
        let may_reopen = self.when == When::RestrictionActive || self.reopened_by.is_empty();
        if !only_consent || !may_reopen {
            problems.push(
                "`reopened_by` takes `consent` only, and only with `when = \"restriction_active\"`"
                    .to_owned(),
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

/// Which of the two occasions without which nothing would deny an unknown place is on no unconditional row.
pub(in super::super) fn missing_occasions<'a>(
    rules: impl Iterator<Item = &'a Rule> + Clone,
) -> impl Iterator<Item = &'static str> {
    let needed = [
        (When::NoCandidateZone, "no_candidate_zone"),
        (When::NoRulesForCountry, "no_rules_for_country"),
    ];
    needed.into_iter().filter_map(move |(when, name)| {
        let stands = rules.clone().any(|rule| {
            let occasion = matches!(&rule.kind, Kind::Restriction(row) if row.when == when);
            occasion
                && rule.has_effect()
                && rule.rank == Rank::Policy
                && rule.common.is_unconditional()
        });
        (!stands).then_some(name)
    })
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
