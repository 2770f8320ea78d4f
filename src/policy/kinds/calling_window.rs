//! `calling_window`: the hours of the local day in which a call may start. Half-open: the opening minute may, the closing
//! one may not (README 1.1).

use std::collections::BTreeMap;

use jiff::civil::{Date, Time, Weekday};
use serde::Deserialize;

use super::super::moment::{Finding, Moment};
use super::super::rule::{Common, Rule};
use super::super::window::{MonthDay, Span, Week};
use super::{Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallingWindow {
    windows: Option<Week>,
    holiday_calendar: Option<String>,
    on_holiday: Option<Vec<Span>>,
    on_holiday_eve: Option<Vec<Span>>,
    #[serde(default)]
    date_windows: BTreeMap<MonthDay, Vec<Span>>,
    lift_scope: Option<LiftScope>,
    #[expect(dead_code, reason = "never decides; read so that it is checked")]
    advisory_windows: Option<BTreeMap<String, Vec<Span>>>,
    #[serde(default)]
    no_own_hours: bool,
}

/// How much a ground opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LiftScope {
    /// Days that are closed as a whole, not the hours of open ones.
    ClosedDays,
}

impl RuleKind for CallingWindow {
    fn check(&self, common: &Common, names: &Names, problems: &mut Vec<String>) {
        if self.windows.is_some() == self.no_own_hours {
            problems.push(
                "either `windows` or `no_own_hours = true` must be there, and not both".to_owned(),
            );
        }
        match &self.holiday_calendar {
            Some(calendar) if !names.calendars.contains(calendar) => problems.push(format!(
                "holiday calendar `{calendar}` is not declared; add a [[holiday_calendar]] of that id"
            )),
            None if self.on_holiday.is_some() || self.on_holiday_eve.is_some() => problems
                .push("`on_holiday` and `on_holiday_eve` need a `holiday_calendar`".to_owned()),
            _ => {}
        }
        if self.lift_scope.is_some() && common.lifted_by.is_empty() {
            problems.push("`lift_scope` needs `lifted_by`".to_owned());
        }
    }

    fn decides(&self) -> bool {
        !self.no_own_hours
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let Some(week) = &self.windows else {
            return moment.info(format_args!("this jurisdiction sets no hours of its own"));
        };
        // The rule on unknown zones denies the call; a local time made up for this row would explain nothing.
        if moment.zone.is_none() {
            return moment.info(format_args!("not judged: no time zone is known"));
        }
        let (date, time) = (moment.local.date(), moment.local.time());
        let holiday = self.holiday(rule, moment, date);
        let day = Day {
            weekday: date.weekday(),
            time,
            hours: self.hours(week, holiday.is_some(), rule, moment),
            holiday,
        };
        let may_lift = self.lift_scope.is_none() || day.hours.is_closed();
        if day.hours.contain(time) {
            moment.pass(format_args!("{day}"))
        } else if may_lift {
            moment.fail_unless_lifted(rule, format_args!("{day}"))
        } else {
            moment.fail(format_args!("{day}"))
        }
        .with(format_args!("local_time={}", moment.local))
        .with_some("holiday", holiday)
    }

    fn heals(&self) -> bool {
        true
    }
}

impl CallingWindow {
    /// Adds the minutes of the day at which this row may open.
    pub(in super::super) fn opening_minutes(&self, minutes: &mut Vec<u16>) {
        let week = self.windows.iter().flat_map(Week::spans);
        let special = [&self.on_holiday, &self.on_holiday_eve];
        let special = special.into_iter().flatten().flatten();
        let dated = self.date_windows.values().flatten();
        minutes.extend(week.chain(special).chain(dated).map(|span| span.start));
    }

    fn holiday<'a>(&self, rule: &Rule, moment: &Moment<'a>, date: Date) -> Option<&'a str> {
        let calendar = self.holiday_calendar.as_deref()?;
        moment.holiday(calendar, rule, date)
    }

    /// The lists of hours that this day must meet, all of them. A closed weekday stays closed, whatever else it is.
    fn hours<'a>(
        &'a self,
        week: &'a Week,
        holiday: bool,
        rule: &Rule,
        moment: &Moment<'_>,
    ) -> Hours<'a> {
        let date = moment.local.date();
        let eve = || {
            let tomorrow = date.tomorrow().ok();
            tomorrow.is_some_and(|next| self.holiday(rule, moment, next).is_some())
        };
        Hours {
            weekday: week.on(date.weekday()),
            holiday: holiday.then(|| self.on_holiday.as_deref().unwrap_or_default()),
            eve: self.on_holiday_eve.as_deref().filter(|_| eve()),
            dated: (self.date_windows.get(&MonthDay::of(date))).map(Vec::as_slice),
        }
    }
}

/// The lists of hours that hold on one day.
#[derive(Debug)]
struct Hours<'a> {
    weekday: &'a [Span],
    holiday: Option<&'a [Span]>,
    eve: Option<&'a [Span]>,
    dated: Option<&'a [Span]>,
}

impl Hours<'_> {
    fn lists(&self) -> impl Iterator<Item = &[Span]> {
        let special = [self.holiday, self.eve, self.dated];
        std::iter::once(self.weekday).chain(special.into_iter().flatten())
    }

    fn contain(&self, time: Time) -> bool {
        self.lists()
            .all(|list| list.iter().any(|span| span.contains(time)))
    }

    fn is_closed(&self) -> bool {
        self.lists().any(<[Span]>::is_empty)
    }
}

/// The local day in words.
struct Day<'a> {
    weekday: Weekday,
    time: Time,
    hours: Hours<'a>,
    holiday: Option<&'a str>,
}

impl std::fmt::Display for Day<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hour, minute, second) = (self.time.hour(), self.time.minute(), self.time.second());
        write!(f, "it is {:?} {hour:02}:{minute:02}:{second:02} there", self.weekday)?;
        if let Some(name) = self.holiday {
            write!(f, ", a holiday ({name})")?;
        }
        if self.hours.is_closed() {
            return f.write_str("; no calls on this day");
        }
        for (index, list) in self.hours.lists().enumerate() {
            f.write_str(if index == 0 { "; hours " } else { ", and of these " })?;
            for (index, span) in list.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{span}")?;
            }
        }
        Ok(())
    }
}
