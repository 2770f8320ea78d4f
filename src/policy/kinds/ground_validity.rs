//! `ground_validity`: which consents and assessments on file count at all. Never denies by itself: a ground that does
//! not count is missing for the rows that need it.

use jiff::ToSpan as _;
use serde::Deserialize;

use super::super::facts::Consent;
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};
use crate::domain::consent::ConsentForm;
use crate::domain::party::ReassignedAnswer;

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct GroundValidity {
    ground: Subject,
    #[serde(default)]
    latest_event_wins: bool,
    #[serde(default)]
    forms_rejected: Vec<ConsentForm>,
    forms_allowed: Option<Vec<ConsentForm>>,
    #[serde(default)]
    requires_documented: bool,
    max_age_days: Option<i64>,
    max_age_months: Option<i32>,
    only_period: Option<Period>,
    #[serde(default)]
    end_exclusive: bool,
    #[serde(default)]
    void_if_reassigned: bool,
    /// Which answers give a safe harbour; a consent is void on `yes` alone.
    safe_answers: Option<Vec<ReassignedAnswer>>,
    aging_days: Option<u32>,
    #[serde(default)]
    requires_assessment: bool,
    burden_of_proof: Option<String>,
    required_evidence: Option<Vec<String>>,
    revocation_means: Option<String>,
    honor_max_business_days: Option<u32>,
    port_grace_days: Option<u32>,
}

/// What the row speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Consent,
    LegitimateInterest,
}

/// Which consents the age limit speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Period {
    Unspecified,
}

impl Readable for GroundValidity {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("ground", "\"consent\""),
        ("max_age_months", "1"),
        ("only_period", "\"unspecified\""),
    ];
}

impl RuleKind for GroundValidity {
    fn check(&self, common: &Common, _: &Names, faults: &mut Faults<'_>) {
        if !common.lifted_by.is_empty() {
            faults.tell_of(
                "lifted_by",
                "`lifted_by` on a row that denies nothing by itself; leave it out",
            );
        }
        faults.within("max_age_days", self.max_age_days, 1..=i64::MAX);
        faults.within(
            "max_age_months",
            self.max_age_months.map(i64::from),
            1..=i64::MAX,
        );
        if self.forms_allowed.as_ref().is_some_and(Vec::is_empty) {
            faults.tell(
                &["forms_allowed"],
                "`forms_allowed = []` lets no consent count; leave the key out, or name the forms that do",
            );
        }
        for (key, is_there) in [
            ("only_period", self.only_period.is_some()),
            ("end_exclusive", self.end_exclusive),
        ] {
            if is_there && self.max_age_months.is_none() {
                faults.tell_of(key, format!("`{key}` needs `max_age_months`"));
            }
        }
        if self.requires_assessment && self.ground != Subject::LegitimateInterest {
            faults.tell(
                &["requires_assessment", "ground"],
                "`requires_assessment` needs `ground = \"legitimate_interest\"`",
            );
        }
    }

    fn judge(&self, _: &Rule, moment: &Moment<'_>) -> Finding {
        match self.ground {
            Subject::Consent if self.void_if_reassigned => self
                .judge_consent(moment)
                .with_provider(moment.provider_of_reassigned()),
            Subject::Consent => self.judge_consent(moment),
            Subject::LegitimateInterest => self.judge_interest(moment),
        }
    }
}

impl GroundValidity {
    /// Why the row rejects this consent; `None` when it does not.
    pub(in super::super) fn rejects(
        &self,
        consent: &Consent,
        moment: &Moment<'_>,
    ) -> Option<&'static str> {
        if self.ground != Subject::Consent {
            return None;
        }
        let allowed = |form| {
            let listed = self.forms_allowed.as_ref();
            listed.is_none_or(|forms| forms.contains(&form)) && !self.forms_rejected.contains(&form)
        };
        let asks_form = self.forms_allowed.is_some() || !self.forms_rejected.is_empty();
        if asks_form && !consent.form.is_some_and(allowed) {
            return Some(match consent.form {
                Some(_) => "its form does not count",
                None => "its form is not recorded",
            });
        }
        if self.requires_documented && consent.documented != Some(true) {
            return Some("it is not documented");
        }
        if self.is_too_old(consent, moment) {
            return Some("it is too old");
        }
        if self.void_if_reassigned && was_reassigned(moment) {
            return Some("the number was disconnected since");
        }
        None
    }

    fn judge_consent(&self, moment: &Moment<'_>) -> Finding {
        let standing = moment.standing();
        if let Some(valid) = standing.valid {
            return moment
                .pass(format_args!("a consent on file counts"))
                .with(format_args!("consent.at={}", valid.at));
        }
        let rejected = standing
            .live
            .iter()
            .rev()
            .find_map(|event| self.rejects(event, moment).map(|why| (event.at, why)));
        match rejected {
            Some((at, why)) => moment
                .void(format_args!("a consent is on file, but {why}"))
                .with(format_args!("consent.at={at}")),
            None if self.latest_event_wins && standing.ended && standing.live.is_empty() => moment
                .void(format_args!(
                    "a consent is on file, but a later withdrawal or opt-out ended it"
                )),
            None => moment.pass(format_args!("nothing on file that this rule rejects")),
        }
    }

    fn judge_interest(&self, moment: &Moment<'_>) -> Finding {
        match &moment.scene.case.facts.legitimate_interest {
            Some(interest) if self.requires_assessment && !interest.assessment_on_file => moment
                .void(format_args!(
                    "legitimate interest is claimed, but no assessment is on file"
                )),
            Some(interest) => moment
                .pass(format_args!("the assessment is on file"))
                .with_some("legitimate_interest.ref", interest.reference.as_ref()),
            None => moment.pass(format_args!("nothing on file that this rule rejects")),
        }
    }

    fn is_too_old(&self, consent: &Consent, moment: &Moment<'_>) -> bool {
        let given = moment.date_of(consent.at);
        let by_days = (self.max_age_days).is_some_and(|days| !moment.is_within_days(given, days));
        let unspecified = matches!(consent.period.as_deref(), None | Some("unspecified"));
        let counts = self.only_period.is_none() || unspecified;
        let by_months = self.max_age_months.is_some_and(|months| {
            if self.end_exclusive {
                // The span begins on the day itself, so it ends the day before the same date.
                moment.date() >= given.saturating_add(months.months())
            } else {
                !moment.is_within_months(given, months)
            }
        });
        by_days || (counts && by_months)
    }
}

/// Whether the database says that the number changed hands: no consent on file counts then, not even one of after the
/// query, until a newer query tells of the present holder.
fn was_reassigned(moment: &Moment<'_>) -> bool {
    let check = moment.scene.case.facts.reassigned_check;
    check.is_some_and(|check| check.answer == ReassignedAnswer::Yes)
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    const AT: &str = "2026-10-14T12:00:00Z";

    fn documented(at: &str, form: &str) -> crate::policy::facts::Consent {
        let mut consent = given(at, form);
        consent.documented = Some(true);
        consent
    }

    #[test]
    fn a_rejected_consent_is_void_and_does_not_count() {
        table(
            "DE",
            AT,
            "DE-consent-record",
            &[
                ("none", |_| {}, Pass),
                (
                    "documented",
                    |c| c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "written")],
                    Pass,
                ),
                (
                    "not known to be documented",
                    |c| c.facts.consents = vec![given("2026-07-14T10:00:00Z", "written")],
                    Void,
                ),
                (
                    "an older one counts",
                    |c| {
                        c.facts.consents = vec![
                            documented("2026-07-14T10:00:00Z", "written"),
                            given("2026-08-14T10:00:00Z", "written"),
                        ]
                    },
                    Pass,
                ),
            ],
        );
        table(
            "DE",
            AT,
            "EEA-consent-no-silence",
            &[
                (
                    "an act",
                    |c| c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "web_form")],
                    Pass,
                ),
                (
                    "a ticked box",
                    |c| c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "preticked")],
                    Void,
                ),
                (
                    "form unknown",
                    |c| {
                        c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "web_form")];
                        c.facts.consents[0].form = None;
                    },
                    Void,
                ),
            ],
        );
        table(
            "CA",
            AT,
            "CA-express-consent",
            &[
                (
                    "recorded",
                    |c| c.facts.consents = vec![given("2026-07-14T10:00:00Z", "recorded_voice")],
                    Pass,
                ),
                (
                    "only said",
                    |c| c.facts.consents = vec![given("2026-07-14T10:00:00Z", "oral")],
                    Void,
                ),
            ],
        );
    }

    #[test]
    fn the_latest_event_wins() {
        table(
            "DE",
            AT,
            "EEA-consent-withdrawn",
            &[
                (
                    "standing",
                    |c| c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "written")],
                    Pass,
                ),
                (
                    "withdrawn",
                    |c| {
                        c.facts.consents = vec![
                            documented("2026-07-14T10:00:00Z", "written"),
                            withdrawn("2026-07-15T10:00:00Z"),
                        ]
                    },
                    Void,
                ),
                (
                    "withdrawn at the same instant",
                    |c| {
                        c.facts.consents = vec![
                            withdrawn("2026-07-14T10:00:00Z"),
                            documented("2026-07-14T10:00:00Z", "written"),
                        ]
                    },
                    Void,
                ),
                (
                    "given again",
                    |c| {
                        c.facts.consents = vec![
                            documented("2026-07-14T10:00:00Z", "written"),
                            withdrawn("2026-07-15T10:00:00Z"),
                            documented("2026-07-16T10:00:00Z", "written"),
                        ]
                    },
                    Pass,
                ),
                (
                    "withdrawn for recordings only",
                    |c| {
                        c.facts.consents = vec![
                            documented("2026-07-14T10:00:00Z", "written"),
                            withdrawn("2026-07-15T10:00:00Z"),
                        ];
                        c.facts.consents[1].channels =
                            Some(vec![crate::domain::call::CallKind::Prerecorded]);
                    },
                    Pass,
                ),
                (
                    "ended by an opt-out",
                    |c| {
                        c.facts.consents = vec![documented("2026-07-14T10:00:00Z", "written")];
                        c.facts.opt_outs = vec![opt_out("2026-07-15T10:00:00Z")];
                    },
                    Void,
                ),
            ],
        );
    }

    #[test]
    fn consents_grow_old() {
        // Spain: two years. The last good day is day 730, in Madrid.
        let mut spain = case("ES", AT);
        spain.facts.consents = vec![documented("2024-10-14T10:00:00Z", "written")];
        timeline(
            &spain,
            "ES-consent-expiry",
            &[
                ("2026-10-14T12:00:00Z", Pass),
                ("2026-10-14T21:59:59Z", Pass),
                ("2026-10-14T22:00:00Z", Void),
            ],
        );
        // Australia: three months without a stated period, the same date exclusive, in Sydney.
        let mut australia = case("AU", AT);
        australia.facts.location =
            serde_json::from_str(r#"{"timezone":"Australia/Sydney"}"#).unwrap();
        australia.facts.consents = vec![given("2026-06-20T01:00:00Z", "web_form")];
        let rows = [
            ("2026-09-19T13:59:59Z", Pass),
            ("2026-09-19T14:00:00Z", Void),
        ];
        timeline(&australia, "AU-consent-expiry", &rows);
        australia.facts.consents[0].period = Some("unspecified".to_owned());
        timeline(&australia, "AU-consent-expiry", &rows);
        australia.facts.consents[0].period = Some("indefinite".to_owned());
        timeline(
            &australia,
            "AU-consent-expiry",
            &[("2026-09-19T14:00:00Z", Pass)],
        );
        // A period of its own ends a consent everywhere, with its last day included.
        australia.facts.consents[0].period = Some("2026-12-31".to_owned());
        australia.facts.registers = vec![register("au-dncr", Some(true), "2026-12-20")];
        timeline(
            &australia,
            "AU-dncr",
            &[
                ("2026-12-31T12:59:59Z", Lifted),
                ("2026-12-31T13:00:00Z", Fail),
            ],
        );
        australia.facts.consents[0].period = Some("some time".to_owned());
        timeline(&australia, "AU-dncr", &[("2026-12-31T12:59:59Z", Fail)]);
    }

    #[test]
    fn a_reassigned_number_takes_its_consent_along() {
        fn answer(case: &mut crate::policy::facts::Case, answer: &str, queried_on: &str) {
            case.call.call_kind = crate::domain::call::CallKind::Autodialed;
            case.facts.consents = vec![given("2026-05-01T15:00:00Z", "written")];
            case.facts.reassigned_check = serde_json::from_str(&format!(
                r#"{{"queried_on":"{queried_on}","for_date":"2026-05-01","answer":"{answer}"}}"#
            ))
            .unwrap();
        }
        table(
            "US-GA",
            AT,
            "US-rnd",
            &[
                ("disconnected", |c| answer(c, "yes", "2026-10-01"), Void),
                ("not disconnected", |c| answer(c, "no", "2026-10-01"), Pass),
                ("no data", |c| answer(c, "no_data", "2026-10-01"), Pass),
                (
                    "disconnected, and a consent of after the query: ask anew",
                    |c| answer(c, "yes", "2026-04-30"),
                    Void,
                ),
            ],
        );
    }

    #[test]
    fn the_evidence_names_the_provider_whose_answer_counts() {
        let mut case = case("US-GA", AT);
        case.call.call_kind = crate::domain::call::CallKind::Autodialed;
        let on = |day: &str| {
            let check =
                format!(r#"{{"queried_on":"{day}","for_date":"2026-05-01","answer":"no"}}"#);
            serde_json::from_str(&check).unwrap()
        };
        let answer = r#"{"provider":"rnd","kind":"reassigned","result":"clear","raw_code":"false",
            "answered_at":"2026-10-01T09:30:00Z"}"#;
        case.facts.provider_answers = vec![serde_json::from_str(answer).unwrap()];
        let mut evidence = |check| {
            case.facts.reassigned_check = check;
            said(&case, "US-rnd").unwrap().evidence
        };
        let said = [
            "provider=rnd",
            "answered=2026-10-01T09:30:00Z",
            "raw_code=false",
        ];
        assert!(
            said.iter()
                .all(|part| evidence(on("2026-10-01")).iter().any(|each| each == part))
        );
        // Somebody told of a newer one.
        assert!(
            !evidence(on("2026-10-02"))
                .iter()
                .any(|each| each == said[0])
        );
        assert!(!evidence(None).iter().any(|each| each == said[0]));
    }

    #[test]
    fn legitimate_interest_needs_its_assessment() {
        fn assessed(case: &mut crate::policy::facts::Case, on_file: bool) {
            case.facts.legitimate_interest = Some(crate::domain::party::LegitimateInterest {
                assessment_on_file: on_file,
                reference: None,
            });
        }
        table(
            "DE",
            AT,
            "EEA-lia-record",
            &[
                ("not claimed", |_| {}, Pass),
                ("on file", |c| assessed(c, true), Pass),
                ("not on file", |c| assessed(c, false), Void),
            ],
        );
    }
}
