//! `registration`: a permit or registration that the seller must hold on the day of the call.

use serde::Deserialize;

use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    registration: String,
}

impl Readable for Registration {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[("registration", "\"?\"")];
}

impl RuleKind for Registration {
    fn check(&self, _: &Common, _: &Names, faults: &mut Faults<'_>) {
        if self.registration.trim().is_empty() {
            faults.tell(
                &["registration"],
                "`registration` is empty; name what the seller must hold",
            );
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let id = &self.registration;
        let mut held = moment.scene.case.facts.registrations.iter();
        let mut held = held.by_ref().filter(|held| held.id == *id).peekable();
        if held.peek().is_none() {
            return moment
                .fail_unless_lifted(rule, format_args!("the seller does not hold {id}"))
                .with(format_args!("registration={id}"));
        }
        let today = moment.date();
        match held.find(|held| held.valid_to.is_none_or(|last| today <= last)) {
            Some(held) => moment
                .pass(format_args!("the seller holds {id}"))
                .with_some("valid_to", held.valid_to),
            None => moment.fail_unless_lifted(rule, format_args!("the seller's {id} has run out")),
        }
        .with(format_args!("registration={id}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    fn held(case: &mut crate::policy::facts::Case, id: &str, valid_to: Option<&str>) {
        case.facts.registrations = vec![crate::policy::facts::RegistrationFact {
            id: id.to_owned(),
            number: None,
            valid_to: valid_to.map(|date| date.parse().unwrap()),
        }];
    }

    #[test]
    fn the_seller_must_hold_it_that_day() {
        // 22:00 on 13 October in Montreal.
        table(
            "CA",
            "2026-10-14T02:00:00Z",
            "CA-registration",
            &[
                ("none", |_| {}, Fail),
                ("held", |c| held(c, "ca-dncl", None), Pass),
                ("another", |c| held(c, "us-ky-ag", None), Fail),
                (
                    "its last day",
                    |c| held(c, "ca-dncl", Some("2026-10-13")),
                    Pass,
                ),
                ("run out", |c| held(c, "ca-dncl", Some("2026-10-12")), Fail),
            ],
        );
    }
}
