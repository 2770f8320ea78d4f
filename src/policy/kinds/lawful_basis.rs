//! `lawful_basis`: a ground that the call must stand on. Covers the bases of the GDPR and US consent requirements alike.

use serde::Deserialize;

use super::super::ground::{self, Ground};
use super::super::moment::{Finding, Moment};
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

impl RuleKind for LawfulBasis {
    fn check(&self, _: &Common, _: &Names, problems: &mut Vec<String>) {
        if self.any_of.is_empty() && self.all_of.is_empty() {
            problems.push("`any_of` or `all_of` must name a ground".to_owned());
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
            (None, Some(ground)) => moment.pass(format_args!("there is a {}", ground.words())),
            (None, None) => moment.pass(format_args!("every ground asked for is there")),
        }
        .with_some("consent.at", consent)
    }
}
