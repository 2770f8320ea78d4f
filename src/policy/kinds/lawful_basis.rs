//! `lawful_basis`: a ground that the call must stand on. Covers the bases of the GDPR and US consent requirements alike.

use serde::Deserialize;

use super::super::ground::{self, Ground};
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LawfulBasis {
    #[serde(default)]
    any_of: Vec<Ground>,
    #[serde(default)]
    all_of: Vec<Ground>,
}

impl Readable for LawfulBasis {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("any_of", "[\"consent\"]"),
        ("any_of[]", "\"consent\""),
        ("all_of", "[\"consent\"]"),
        ("all_of[]", "\"consent\""),
    ];
}

impl RuleKind for LawfulBasis {
    fn check(&self, _: &Common, _: &Names, faults: &mut Faults<'_>) {
        for (key, grounds) in [("any_of", &self.any_of), ("all_of", &self.all_of)] {
            if grounds.contains(&Ground::ConsentAfterListing) {
                faults.tell(
                    &[key],
                    format!(
                        "`{key}`: `consent_after_listing` can stand on rows of kind `register` only"
                    ),
                );
            }
        }
        if self.any_of.is_empty() && self.all_of.is_empty() {
            let written = if faults.has("all_of") {
                "all_of"
            } else {
                "any_of"
            };
            faults.tell_of(written, "`any_of` or `all_of` must name a ground");
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let any = ground::first(&self.any_of, rule, moment);
        let missing = (self.all_of.iter()).find(|ground| !ground.stands(rule, moment));
        let consent = moment.standing().valid.map(|given| given.at);
        match (missing, any) {
            (Some(missing), _) => {
                moment.fail_unless_lifted(rule, format_args!("there is no {}", missing.words()))
            }
            (None, None) if !self.any_of.is_empty() => {
                let wanted = ground::any_of_words(&self.any_of);
                moment.fail_unless_lifted(rule, format_args!("there is no {wanted}"))
            }
            (None, Some(ground)) => moment
                .pass(format_args!(
                    "the call stands on {ground}: {}",
                    ground.words()
                ))
                .with(format_args!("ground={ground}")),
            (None, None) => moment.pass(format_args!("every ground asked for is there")),
        }
        .with_some("consent.at", consent)
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    use crate::domain::call::CallKind;

    const AT: &str = "2026-05-19T15:00:00Z";

    #[test]
    fn one_of_any_is_enough() {
        table(
            "US-FL",
            AT,
            "US-FL-consent",
            &[
                (
                    "no ground",
                    |c| c.call.call_kind = CallKind::Autodialed,
                    Fail,
                ),
                (
                    "written consent",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.consents = vec![given("2026-05-01T15:00:00Z", "written")];
                    },
                    Pass,
                ),
                (
                    "a web form is not written",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.consents = vec![given("2026-05-01T15:00:00Z", "web_form")];
                    },
                    Fail,
                ),
                (
                    "consent to live calls only",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.consents = vec![given("2026-05-01T15:00:00Z", "written")];
                        c.facts.consents[0].channels = Some(vec![CallKind::LiveManual]);
                    },
                    Fail,
                ),
                (
                    "consent to an empty list of calls",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.consents = vec![given("2026-05-01T15:00:00Z", "written")];
                        c.facts.consents[0].channels = Some(Vec::new());
                    },
                    Fail,
                ),
                (
                    "consent dated ahead",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.consents = vec![given("2026-05-19T15:00:01Z", "written")];
                    },
                    Fail,
                ),
                (
                    "a customer, and a human talks",
                    |c| {
                        c.call.call_kind = CallKind::Autodialed;
                        c.facts.relationship = bought("2026-04-19");
                    },
                    Pass,
                ),
                (
                    "a customer, and a recording talks",
                    |c| {
                        c.call.call_kind = CallKind::Prerecorded;
                        c.facts.relationship = bought("2026-04-19");
                    },
                    Fail,
                ),
            ],
        );
    }

    #[test]
    fn all_of_needs_each() {
        fn recorded(case: &mut crate::policy::facts::Case) {
            case.call.call_kind = CallKind::Prerecorded;
        }
        table(
            "US-MS",
            AT,
            "US-MS-consent-prerecorded",
            &[
                ("nothing", recorded, Fail),
                (
                    "a customer",
                    |c| {
                        recorded(c);
                        c.facts.relationship = bought("2026-04-19");
                    },
                    Fail,
                ),
                (
                    "a new product",
                    |c| {
                        recorded(c);
                        c.call.new_product = Some(true);
                    },
                    Fail,
                ),
                (
                    "both",
                    |c| {
                        recorded(c);
                        c.facts.relationship = bought("2026-04-19");
                        c.call.new_product = Some(true);
                    },
                    Pass,
                ),
            ],
        );
    }

    /// Judges a mobile in New Jersey, where a contract or a call-back carries a call, with these facts beside it.
    fn new_jersey(facts: &str) -> crate::domain::decision::RuleOutcome {
        let mut case = case("US-NJ", AT);
        case.facts = serde_json::from_str(facts).unwrap();
        case.facts.line_type = Some(crate::domain::party::LineType::Mobile);
        outcome(&case, "US-NJ-consent-mobile")
    }

    #[test]
    fn a_promised_call_back_carries_a_call_within_its_bounds() {
        let asked = r#""requested_at":"2026-05-19T14:00:00Z""#;
        for (rest, expected) in [
            ("", Pass),
            (
                r#","not_before":"2026-05-19T15:00:00Z","not_after":"2026-05-19T15:00:00Z""#,
                Pass,
            ),
            (r#","not_before":"2026-05-19T15:00:01Z""#, Fail),
            (r#","not_after":"2026-05-19T14:59:59Z""#, Fail),
        ] {
            let facts = format!(r#"{{"callback":{{{asked}{rest}}}}}"#);
            assert_eq!(new_jersey(&facts), expected, "{facts}");
            let stop = r#""opt_outs":[{"at":"2026-05-01T00:00:00Z","kind":"do_not_call"}]"#;
            let opted_out = facts.replacen('{', &format!("{{{stop},"), 1);
            assert_eq!(new_jersey(&opted_out), Fail, "{opted_out}");
        }
    }

    #[test]
    fn a_contract_carries_what_belongs_to_it_until_it_ends() {
        for (dealings, expected) in [
            (r#""contract_in_force":true"#, Fail),
            (r#""contract_in_force":true,"offer_related":true"#, Pass),
            (r#""contract_in_force":false,"offer_related":true"#, Fail),
            (
                r#""contract_in_force":true,"offer_related":true,"ended_at":"2026-05-01T00:00:00Z""#,
                Fail,
            ),
        ] {
            let facts = format!(r#"{{"relationship":{{{dealings}}}}}"#);
            assert_eq!(new_jersey(&facts), expected, "{facts}");
        }
    }

    #[test]
    fn grounds_that_depend_on_dates_and_registers() {
        // Norway: own similar products within 365 days.
        table(
            "NO",
            "2026-10-14T12:00:00Z",
            "NO-basis-consumer",
            &[
                (
                    "day 365",
                    |c| {
                        c.facts.relationship = serde_json::from_str(
                            r#"{"offer_related":true,"last_transaction":"2025-10-14"}"#,
                        )
                        .unwrap()
                    },
                    Pass,
                ),
                (
                    "day 366",
                    |c| {
                        c.facts.relationship = serde_json::from_str(
                            r#"{"offer_related":true,"last_transaction":"2025-10-13"}"#,
                        )
                        .unwrap()
                    },
                    Fail,
                ),
                (
                    "tomorrow",
                    |c| {
                        c.facts.relationship = serde_json::from_str(
                            r#"{"offer_related":true,"last_transaction":"2026-10-15"}"#,
                        )
                        .unwrap()
                    },
                    Fail,
                ),
            ],
        );
        table(
            "AU",
            "2026-10-14T23:30:00Z",
            "AU-basis",
            &[
                ("register not asked", |_| {}, Fail),
                (
                    "no answer",
                    |c| c.facts.registers = vec![register("au-dncr", None, "2026-10-01")],
                    Fail,
                ),
                (
                    "clear",
                    |c| c.facts.registers = vec![register("au-dncr", Some(false), "2026-10-01")],
                    Pass,
                ),
                (
                    "listed",
                    |c| c.facts.registers = vec![register("au-dncr", Some(true), "2026-10-01")],
                    Fail,
                ),
            ],
        );
    }
}
