//! `caller_id`: what the person must be shown.

use serde::Deserialize;

use super::super::facts::CallerIdFacts;
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};
use crate::domain::phone::Phone;

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct CallerId {
    #[serde(default = "super::yes")]
    withheld_allowed: bool,
    #[serde(default)]
    must_be_own_number: bool,
    #[serde(default)]
    must_be_callable: bool,
    #[serde(default)]
    must_be_in_directory: bool,
    #[serde(default)]
    forbidden_prefixes: Vec<String>,
    #[serde(default)]
    required_prefixes: Vec<String>,
    items: Option<Vec<String>>,
    must_accept_opt_outs: Option<bool>,
    own_means: Option<String>,
    platform_prefixes: Option<Vec<String>>,
    planned_prefixes: Option<Vec<String>>,
    must_originate_in_country_of_number: Option<bool>,
    return_number_days: Option<u32>,
}

impl Readable for CallerId {}

impl RuleKind for CallerId {
    fn check(&self, _: &Common, _: &Names, faults: &mut Faults<'_>) {
        for (key, prefixes) in [
            ("forbidden_prefixes", &self.forbidden_prefixes),
            ("required_prefixes", &self.required_prefixes),
        ] {
            for (index, prefix) in prefixes.iter().enumerate() {
                let digits = prefix.strip_prefix('+').unwrap_or_default();
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    faults.tell(
                        &[&format!("{key}[{index}]")],
                        format!("`{key}`: prefix `{prefix}` must be `+` and digits"),
                    );
                }
            }
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let (call, facts) = (&moment.scene.case.call, &moment.scene.case.facts);
        match self.fault(call.caller_id_withheld, call.from, facts.caller_id) {
            Some(fault) => moment.fail_unless_lifted(rule, format_args!("{fault}")),
            None => moment.pass(format_args!("the number shown is as it must be")),
        }
    }
}

impl CallerId {
    /// What is wrong with what is shown; the number itself stays out of the text.
    pub fn fault(
        &self,
        withheld: Option<bool>,
        from: Option<Phone>,
        known: Option<CallerIdFacts>,
    ) -> Option<String> {
        if !self.withheld_allowed && withheld == Some(true) {
            return Some("the number shown must not be withheld".to_owned());
        }
        let must = [
            (
                self.must_be_own_number,
                known.and_then(|c| c.owned),
                "the caller's own",
            ),
            (
                self.must_be_callable,
                known.and_then(|c| c.callable),
                "one that can be called back",
            ),
            (
                self.must_be_in_directory,
                known.and_then(|c| c.in_directory),
                "in the public directory",
            ),
        ];
        for (asked, fact, words) in must {
            match fact {
                Some(true) => {}
                _ if !asked => {}
                Some(false) => return Some(format!("the number shown is not {words}")),
                None => {
                    return Some(format!(
                        "it is not known whether the number shown is {words}"
                    ));
                }
            }
        }
        if self.forbidden_prefixes.is_empty() && self.required_prefixes.is_empty() {
            return None;
        }
        let Some(from) = from else {
            return Some("the number to be shown is not known".to_owned());
        };
        let shown = from.reveal();
        let begins = |prefix: &&String| shown.starts_with(prefix.as_str());
        if let Some(prefix) = self.forbidden_prefixes.iter().find(begins) {
            return Some(format!("the number shown must not begin with {prefix}"));
        }
        if !self.required_prefixes.is_empty() && !self.required_prefixes.iter().any(|p| begins(&p))
        {
            let wanted = self.required_prefixes.join(" or ");
            return Some(format!("the number shown must begin with {wanted}"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    use crate::domain::phone::Phone;
    use crate::policy::facts::{CallerIdFacts, Case};
    use crate::policy::showable;

    const AT: &str = "2026-10-14T12:00:00Z";

    fn shown(case: &mut Case, number: &str, owned: Option<bool>, callable: Option<bool>) {
        case.call.from = Some(Phone::parse(number).unwrap());
        case.facts.caller_id = Some(CallerIdFacts {
            owned,
            callable,
            in_directory: None,
        });
    }

    #[test]
    fn numbers_that_cost_or_mislead_are_not_shown_in_germany() {
        table(
            "DE",
            AT,
            "DE-caller-id",
            &[
                (
                    "own",
                    |c| shown(c, "+493023125900", Some(true), Some(true)),
                    Pass,
                ),
                (
                    "mass traffic",
                    |c| shown(c, "+491371234567", Some(true), Some(true)),
                    Fail,
                ),
                (
                    "a premium number",
                    |c| shown(c, "+499001234567", Some(true), Some(true)),
                    Fail,
                ),
                (
                    "directory assistance",
                    |c| shown(c, "+4911880000", Some(true), Some(true)),
                    Fail,
                ),
            ],
        );
    }

    fn may_show(place: &str, pool: &[(Phone, CallerIdFacts)]) -> Vec<bool> {
        let case = case(place, AT);
        let number = crate::place::dialable(pack().tables(), &case.call.to).unwrap();
        showable(pack(), &case, &number, pool)
    }

    /// What may be chosen from is what would pass when it is judged.
    #[test]
    fn of_several_numbers_those_may_be_shown_that_the_law_of_the_place_passes() {
        let numbers = [
            "+33162001122",
            "+33612345678",
            "+421888123456",
            "+493023125900",
        ];
        let own = CallerIdFacts {
            owned: Some(true),
            callable: Some(true),
            in_directory: Some(false),
        };
        let pool: Vec<_> = numbers
            .iter()
            .map(|number| (Phone::parse(number).unwrap(), own))
            .collect();
        for (place, wanted) in [
            ("FR", [true, false, true, true]),
            ("SK", [false, false, true, false]),
            ("DE", [true, true, true, true]),
            // Not in the directory.
            ("NO", [false, false, false, false]),
        ] {
            assert_eq!(may_show(place, &pool), wanted, "{place}");
        }
        let strange = CallerIdFacts {
            owned: Some(false),
            ..own
        };
        let pool = [(pool[3].0, strange)];
        assert_eq!(may_show("DE", &pool), [false]);
    }

    #[test]
    fn what_is_shown_must_be_as_the_law_says() {
        table(
            "US-GA",
            AT,
            "US-caller-id",
            &[
                ("shown", |_| {}, Pass),
                ("withheld", |c| c.call.caller_id_withheld = Some(true), Fail),
            ],
        );
        table(
            "DE",
            AT,
            "EEA-identity",
            &[
                ("nothing known", |_| {}, Fail),
                (
                    "own and callable",
                    |c| shown(c, "+493023125900", Some(true), Some(true)),
                    Pass,
                ),
                (
                    "not own",
                    |c| shown(c, "+493023125900", Some(false), Some(true)),
                    Fail,
                ),
                (
                    "own, callable or not",
                    |c| shown(c, "+493023125900", Some(true), None),
                    Fail,
                ),
            ],
        );
        table(
            "FR",
            AT,
            "FR-caller-id",
            &[
                (
                    "a platform number",
                    |c| shown(c, "+33162001122", Some(true), None),
                    Pass,
                ),
                (
                    "a mobile number",
                    |c| shown(c, "+33612345678", Some(true), None),
                    Fail,
                ),
                (
                    "number unknown",
                    |c| {
                        shown(c, "+33162001122", Some(true), None);
                        c.call.from = None;
                    },
                    Fail,
                ),
            ],
        );
        table(
            "SK",
            AT,
            "SK-caller-id",
            &[
                (
                    "the range for marketing",
                    |c| shown(c, "+421888123456", None, None),
                    Pass,
                ),
                ("another", |c| shown(c, "+421212345678", None, None), Fail),
            ],
        );
    }
}
