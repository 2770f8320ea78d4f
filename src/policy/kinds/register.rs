//! `register`: somebody else's do-not-call list. An unknown answer, a stale list and a listing deny alike.

use jiff::civil::Date;
use serde::Deserialize;

use super::super::moment::{Finding, Moment};
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};
use crate::domain::party::RegisterCheck;

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys for readers are read so that they are checked")]
pub struct Register {
    pub(in super::super) register: String,
    max_age_days: Option<i64>,
    statutory_days: Option<i64>,
    #[serde(default)]
    same_calendar_month: bool,
    #[serde(default)]
    refresh_days_of_month: Vec<i8>,
}

impl RuleKind for Register {
    fn check(&self, common: &Common, names: &Names, problems: &mut Vec<String>) {
        if !names.registers.contains(&self.register) {
            problems.push(format!(
                "register `{}` is not declared; add a [[register]] of that id",
                self.register
            ));
        }
        if common.enforced && self.max_age_days.is_none() {
            problems.push("`max_age_days` is missing: how old may the list be?".to_owned());
        }
        if self.max_age_days.is_some_and(|days| days < 0) {
            problems.push("`max_age_days` must not be negative".to_owned());
        }
        // Days that every month has.
        if !(self.refresh_days_of_month.iter()).all(|day| (1..=28).contains(day)) {
            problems.push("`refresh_days_of_month` takes days from 1 to 28".to_owned());
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
            Some(false) => match self.staleness(entry, moment) {
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
    }
}

impl Register {
    /// Why the list's version is no good today; `None` when it is.
    fn staleness(&self, entry: &RegisterCheck, moment: &Moment<'_>) -> Option<&'static str> {
        let (today, as_of) = (moment.date(), entry.as_of);
        let age = moment.days_since(as_of);
        // One day ahead is only the date of a zone further east.
        if age < -1 {
            return Some("carries a date ahead of today");
        }
        if self.max_age_days.is_some_and(|days| age > days) {
            return Some("is too old; load a newer one");
        }
        let same_month = (as_of.year(), as_of.month()) == (today.year(), today.month());
        if self.same_calendar_month && age > 0 && !same_month {
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
