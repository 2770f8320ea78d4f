//! `register`: somebody else's do-not-call list. An unknown answer, a stale list and a listing deny alike.

use jiff::civil::Date;
use serde::Deserialize;

use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct Register {
    pub(in super::super) register: String,
    max_age_days: Option<i64>,
    statutory_days: Option<i64>,
    #[serde(default)]
    same_calendar_month: bool,
    #[serde(default)]
    refresh_days_of_month: Vec<i8>,
}

impl Readable for Register {
    const STAND_INS: &'static [(&'static str, &'static str)] =
        &[("register", "\"?\""), ("max_age_days", "1")];
}

impl RuleKind for Register {
    fn check(&self, common: &Common, names: &Names, faults: &mut Faults<'_>) {
        if !names.registers.contains(&self.register) && !names.is_partial {
            faults.tell(
                &["register"],
                format!(
                    "register `{}` is not declared; add a [[register]] of that id",
                    self.register
                ),
            );
        }
        if common.enforced && self.max_age_days.is_none() {
            faults.tell(
                &["enforced"],
                "`max_age_days` is missing: how old may the list be?",
            );
        }
        if self.max_age_days.is_some_and(|days| days < 0) {
            faults.tell(&["max_age_days"], "`max_age_days` must not be negative");
        }
        for (index, day) in self.refresh_days_of_month.iter().enumerate() {
            // Days that every month has.
            if !(1..=28).contains(day) {
                faults.tell(
                    &[&format!("refresh_days_of_month[{index}]")],
                    format!("`refresh_days_of_month` takes days from 1 to 28, and not {day}"),
                );
            }
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let id = &self.register;
        let Some(entry) = moment.register_entry(id) else {
            return moment
                .fail_unless_lifted(rule, format_args!("register {id} was not asked"))
                .with(format_args!("register={id}"));
        };
        match entry.listed {
            None => moment.fail_unless_lifted(
                rule,
                format_args!("register {id} was asked and gave no answer"),
            ),
            Some(true) => {
                moment.fail_unless_lifted(rule, format_args!("the number is on register {id}"))
            }
            Some(false) => match self.staleness(entry.as_of, moment.date()) {
                Some(why) => moment.fail_unless_lifted(
                    rule,
                    format_args!("the version of register {id} that was asked {why}"),
                ),
                None => moment.pass(format_args!("the number is not on register {id}")),
            },
        }
        .with(format_args!("register={id}"))
        .with(format_args!("as_of={}", entry.as_of))
        .with_some("listed", entry.listed)
        .with_some("listed_since", entry.listed_since)
        .with_some("snapshot", entry.snapshot.as_deref())
        .with_provider(moment.provider_of(entry))
    }
}

impl Register {
    /// The largest age in days that the row takes.
    pub(in super::super) fn age_max(&self) -> Option<i64> {
        self.max_age_days
    }

    /// Why the list's version is no good today; `None` when it is.
    pub(in super::super) fn staleness(&self, as_of: Date, today: Date) -> Option<&'static str> {
        let age = i64::from((today - as_of).get_days());
        // One day ahead is only the date of a zone further east; but next month's list is not yet this month's.
        if age < -1 {
            return Some("carries a date ahead of today");
        }
        if self.max_age_days.is_some_and(|days| age > days) {
            return Some("is too old; load a newer one");
        }
        let same_month = (as_of.year(), as_of.month()) == (today.year(), today.month());
        if self.same_calendar_month && !same_month {
            return Some("is of another month; load this month's");
        }
        if self.last_refresh(today).is_some_and(|day| as_of < day) {
            return Some("is older than the latest refresh; load a newer one");
        }
        None
    }

    /// The latest day of refresh that is not after today.
    fn last_refresh(&self, today: Date) -> Option<Date> {
        let last_month = today.first_of_month().yesterday().ok();
        let months = [Some(today), last_month];
        let days = months.into_iter().flatten().flat_map(|month| {
            let days = self.refresh_days_of_month.iter();
            days.filter_map(move |day| month.with().day(*day).build().ok())
        });
        days.filter(|day| *day <= today).max()
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    const AT: &str = "2026-05-19T15:00:00Z";

    #[test]
    fn only_a_fresh_no_is_clear() {
        table(
            "US-GA",
            AT,
            "US-national-dnc",
            &[
                ("not asked", |_| {}, Fail),
                (
                    "another register",
                    |c| c.facts.registers = vec![register("us-fl-dnc", Some(false), "2026-05-10")],
                    Fail,
                ),
                (
                    "no answer",
                    |c| c.facts.registers = vec![register("us-dnc", None, "2026-05-10")],
                    Fail,
                ),
                (
                    "listed",
                    |c| c.facts.registers = vec![register("us-dnc", Some(true), "2026-05-10")],
                    Fail,
                ),
                (
                    "31 days old",
                    |c| c.facts.registers = vec![register("us-dnc", Some(false), "2026-04-18")],
                    Pass,
                ),
                (
                    "32 days old",
                    |c| c.facts.registers = vec![register("us-dnc", Some(false), "2026-04-17")],
                    Fail,
                ),
                (
                    "the date of a zone further east",
                    |c| c.facts.registers = vec![register("us-dnc", Some(false), "2026-05-20")],
                    Pass,
                ),
                (
                    "a date ahead",
                    |c| c.facts.registers = vec![register("us-dnc", Some(false), "2026-05-21")],
                    Fail,
                ),
                (
                    "the latest counts",
                    |c| {
                        c.facts.registers = vec![
                            register("us-dnc", Some(true), "2026-05-10"),
                            register("us-dnc", Some(false), "2026-05-01"),
                        ]
                    },
                    Fail,
                ),
                (
                    "of two equally new the worse",
                    |c| {
                        c.facts.registers = vec![
                            register("us-dnc", Some(true), "2026-05-10"),
                            register("us-dnc", Some(false), "2026-05-10"),
                        ]
                    },
                    Fail,
                ),
            ],
        );
    }

    #[test]
    fn a_ground_lifts_listing_staleness_and_silence_alike() {
        table(
            "US-GA",
            AT,
            "US-national-dnc",
            &[
                (
                    "not asked",
                    |c| c.facts.personal_relationship = Some(true),
                    Lifted,
                ),
                (
                    "listed",
                    |c| {
                        c.facts.registers = vec![register("us-dnc", Some(true), "2026-05-10")];
                        c.call.seller_type = Some(crate::domain::call::SellerType::Nonprofit);
                    },
                    Lifted,
                ),
                (
                    "stale",
                    |c| {
                        c.facts.registers = vec![register("us-dnc", Some(false), "2025-05-10")];
                        c.facts.consents = vec![given("2026-05-01T00:00:00Z", "written")];
                    },
                    Lifted,
                ),
                (
                    "clear needs no lift",
                    |c| {
                        c.facts.registers = vec![register("us-dnc", Some(false), "2026-05-10")];
                        c.facts.personal_relationship = Some(true);
                    },
                    Pass,
                ),
            ],
        );
    }

    #[test]
    fn the_day_is_the_called_persons() {
        // 29 days in Sydney, where it is the next day already.
        let mut case = case("AU", AT);
        case.facts.registers = vec![register("au-dncr", Some(false), "2026-10-01")];
        timeline(
            &case,
            "AU-dncr",
            &[
                ("2026-10-30T12:59:59Z", Pass),
                ("2026-10-30T13:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn lists_of_the_month_and_of_fixed_days() {
        let mut norway = case("NO", AT);
        norway.facts.registers = vec![register("no-reservasjon", Some(false), "2026-09-30")];
        timeline(
            &norway,
            "NO-register",
            &[
                ("2026-09-30T12:00:00Z", Pass),
                ("2026-09-30T22:00:00Z", Fail),
            ],
        );
        norway.facts.registers = vec![register("no-reservasjon", Some(false), "2026-10-01")];
        timeline(
            &norway,
            "NO-register",
            &[
                ("2026-09-30T21:59:59Z", Fail),
                ("2026-09-30T22:00:00Z", Pass),
            ],
        );
        let mut slovakia = case("SK", AT);
        slovakia.facts.registers = vec![register("sk-0888", Some(false), "2026-10-02")];
        timeline(
            &slovakia,
            "SK-list",
            &[
                ("2026-10-15T21:59:59Z", Pass),
                ("2026-10-15T22:00:00Z", Fail),
            ],
        );
        slovakia.facts.registers = vec![register("sk-0888", Some(false), "2026-10-16")];
        timeline(
            &slovakia,
            "SK-list",
            &[
                ("2026-10-31T12:00:00Z", Pass),
                ("2026-11-01T12:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn a_consent_later_than_the_listing() {
        fn listed(case: &mut crate::policy::facts::Case, since: Option<&str>, consent: &str) {
            case.facts.registers = vec![register("be-dncm", Some(true), "2026-05-18")];
            case.facts.registers[0].listed_since = since.map(|date| date.parse().unwrap());
            case.facts.consents = vec![given(consent, "written")];
        }
        table(
            "BE",
            AT,
            "BE-dncm",
            &[
                (
                    "the day after",
                    |c| listed(c, Some("2026-03-01"), "2026-03-02T12:00:00Z"),
                    Lifted,
                ),
                (
                    "the same day",
                    |c| listed(c, Some("2026-03-01"), "2026-03-01T12:00:00Z"),
                    Fail,
                ),
                (
                    "nobody knows since when",
                    |c| listed(c, None, "2026-03-02T12:00:00Z"),
                    Fail,
                ),
            ],
        );
    }
}
