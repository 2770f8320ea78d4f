//! `calling_window`: the hours of the local day in which a call may start. Half-open: the opening minute may, the closing
//! one may not (README 1.1).

use std::collections::BTreeMap;

use jiff::civil::{Date, Time, Weekday};
use serde::Deserialize;

use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::super::window::{MonthDay, Span, Week, check_days, check_spans};
use super::{Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallingWindow {
    windows: Option<Week>,
    pub(in super::super) holiday_calendar: Option<String>,
    on_holiday: Option<Vec<Span>>,
    on_holiday_eve: Option<Vec<Span>>,
    #[serde(default)]
    date_windows: BTreeMap<MonthDay, Vec<Span>>,
    lift_scope: Option<LiftScope>,
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

impl Readable for CallingWindow {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("windows", "{ mon-sun = [] }"),
        ("windows.*", "[]"),
        ("advisory_windows.*", "[]"),
        ("holiday_calendar", "\"public\""),
        ("date_windows", "{}"),
        ("date_windows.*", "[]"),
        ("on_holiday", "[]"),
        ("on_holiday_eve", "[]"),
        ("lift_scope", "\"closed_days\""),
    ];
}

impl RuleKind for CallingWindow {
    fn check(&self, common: &Common, names: &Names, faults: &mut Faults<'_>) {
        match &self.windows {
            Some(_) if self.no_own_hours => faults.tell(
                &["no_own_hours"],
                "`windows` and `no_own_hours = true` contradict each other; leave one out",
            ),
            None if !self.no_own_hours => faults.tell(
                &["no_own_hours"],
                "either `windows` or `no_own_hours = true` must be there",
            ),
            Some(week) => week.check("windows", faults),
            None => {}
        }
        if let Some(calendar) = &self.holiday_calendar
            && !names.calendars.contains(calendar)
            && !names.is_partial
        {
            faults.tell(
                &["holiday_calendar"],
                format!("holiday calendar `{calendar}` is not declared; add a [[holiday_calendar]] of that id"),
            );
        }
        if let Some(days) = &self.advisory_windows {
            check_days("advisory_windows", days, faults);
        }
        for (day, spans) in &self.date_windows {
            check_spans(&format!("date_windows.{day}"), spans, faults);
        }
        for (key, spans) in [
            ("on_holiday", &self.on_holiday),
            ("on_holiday_eve", &self.on_holiday_eve),
        ] {
            let Some(spans) = spans else { continue };
            check_spans(key, spans, faults);
            if self.holiday_calendar.is_none() {
                faults.tell_of(key, format!("`{key}` needs a `holiday_calendar`"));
            }
        }
        if self.lift_scope.is_some() && common.lifted_by.is_empty() {
            faults.tell_of("lift_scope", "`lift_scope` needs `lifted_by`");
        }
    }

    fn decides(&self) -> bool {
        !self.no_own_hours
    }

    fn is_constant(&self) -> bool {
        self.windows.is_none()
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
        let closed = moment.closed_day(rule);
        let mut hours = self.hours(week, holiday.is_some(), rule, moment);
        hours.closed = closed.map(|_| [].as_slice());
        let day = Day {
            weekday: date.weekday(),
            time,
            hours,
            holiday,
            closed: closed.map(|day| day.reason.as_str()),
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
        .with_some(
            "closed_day",
            closed.map(|day| format!("{} {}", day.jurisdiction, day.date)),
        )
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
            closed: None,
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
    /// An empty list where the operator closed the day.
    closed: Option<&'a [Span]>,
}

impl Hours<'_> {
    fn lists(&self) -> impl Iterator<Item = &[Span]> {
        let special = [self.holiday, self.eve, self.dated, self.closed];
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
    /// Why the operator closed the day.
    closed: Option<&'a str>,
}

impl std::fmt::Display for Day<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hour, minute, second) = (self.time.hour(), self.time.minute(), self.time.second());
        write!(
            f,
            "it is {:?} {hour:02}:{minute:02}:{second:02} there",
            self.weekday
        )?;
        if let Some(name) = self.holiday {
            write!(f, ", a holiday ({name})")?;
        }
        if let Some(reason) = self.closed {
            write!(f, ", a day closed by the operator ({reason})")?;
        }
        if self.hours.is_closed() {
            return f.write_str("; no calls on this day");
        }
        for (index, list) in self.hours.lists().enumerate() {
            f.write_str(if index == 0 {
                "; hours "
            } else {
                ", and of these "
            })?;
            for (index, span) in list.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{span}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    use crate::policy::facts::Case;

    #[test]
    fn windows_are_half_open_to_the_second() {
        timeline(
            &case("US-GA", "2026-04-21T12:00:00Z"),
            "US-window",
            &[
                ("2026-04-21T11:59:59.999999Z", Fail),
                ("2026-04-21T12:00:00Z", Pass),
                ("2026-04-22T00:59:59.999999Z", Pass),
                ("2026-04-22T01:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn the_clock_on_the_wall_counts_when_it_is_shifted() {
        timeline(
            &case("US-GA", "2026-04-21T12:00:00Z"),
            "US-window",
            &[
                // 7 and 8 March: 08:00 is 13:00 UTC, then 12:00.
                ("2026-03-07T12:59:59Z", Fail),
                ("2026-03-07T13:00:00Z", Pass),
                ("2026-03-08T11:59:59Z", Fail),
                ("2026-03-08T12:00:00Z", Pass),
                ("2026-03-09T00:59:59Z", Pass),
                ("2026-03-09T01:00:00Z", Fail),
                // 31 October and 1 November: back again.
                ("2026-10-31T11:59:59Z", Fail),
                ("2026-10-31T12:00:00Z", Pass),
                ("2026-11-01T12:59:59Z", Fail),
                ("2026-11-01T13:00:00Z", Pass),
                ("2026-11-02T01:59:59Z", Pass),
                ("2026-11-02T02:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn every_candidate_zone_must_be_open() {
        timeline(
            &case("US-ND", "2026-09-15T13:20:00Z"),
            "US-window",
            &[
                ("2026-09-15T13:59:59Z", Fail),
                ("2026-09-15T14:00:00Z", Pass),
                ("2026-09-16T01:59:59Z", Pass),
                ("2026-09-16T02:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn a_gap_at_noon_and_closed_days() {
        timeline(
            &case("FR", "2026-06-16T10:00:00Z"),
            "FR-window",
            &[
                ("2026-06-16T07:59:59Z", Fail),
                ("2026-06-16T08:00:00Z", Pass),
                ("2026-06-16T10:59:59Z", Pass),
                ("2026-06-16T11:00:00Z", Fail),
                ("2026-06-16T11:59:59Z", Fail),
                ("2026-06-16T12:00:00Z", Pass),
                ("2026-06-16T17:59:59Z", Pass),
                ("2026-06-16T18:00:00Z", Fail),
                ("2026-06-20T09:00:00Z", Fail),
                ("2026-06-21T09:00:00Z", Fail),
                // Ascension Day, a Thursday; the Friday after is open.
                ("2026-05-14T09:00:00Z", Fail),
                ("2026-05-15T09:00:00Z", Pass),
                // 14 July.
                ("2026-07-14T09:00:00Z", Fail),
            ],
        );
        let mut agreed = case("FR", "2026-06-20T09:00:00Z");
        agreed.facts.consents = vec![given("2026-06-01T00:00:00Z", "written")];
        assert_eq!(
            outcome(&agreed, "FR-window"),
            Fail,
            "a consent that does not name the hours"
        );
        agreed.facts.consents[0].out_of_hours = Some(true);
        assert_eq!(outcome(&agreed, "FR-window"), Lifted);
    }

    #[test]
    fn consent_in_utah_opens_closed_days_and_no_hours() {
        let mut case = case("US-UT", "2026-07-24T18:20:00Z");
        timeline(
            &case,
            "US-UT-window",
            &[
                ("2026-07-23T18:20:00Z", Pass),
                ("2026-07-24T18:20:00Z", Fail),
                ("2026-07-26T18:20:00Z", Fail),
            ],
        );
        case.facts.consents = vec![given("2026-06-01T00:00:00Z", "oral")];
        timeline(
            &case,
            "US-UT-window",
            &[
                ("2026-07-24T18:20:00Z", Lifted),
                ("2026-07-26T18:20:00Z", Lifted),
                ("2026-07-24T04:00:00Z", Fail),
            ],
        );
    }

    #[test]
    fn shifted_holidays_close_both_days() {
        let closed = |place, rule, at| outcome(&case(place, at), rule) == Fail;
        // Alabama, 4 July 2026 is a Saturday: so is Friday closed. Louisiana shifts Sundays only.
        assert!(closed("US-AL", "US-AL-window", "2026-07-03T16:00:00Z"));
        assert!(closed("US-AL", "US-AL-window", "2026-07-04T16:00:00Z"));
        assert!(!closed("US-AL", "US-AL-window", "2026-07-02T16:00:00Z"));
        assert!(!closed("US-LA", "US-LA-window", "2026-07-03T16:00:00Z"));
        // Mardi Gras 2027 and the election day of an even year.
        assert!(closed("US-LA", "US-LA-window", "2027-02-09T16:00:00Z"));
        assert!(closed("US-LA", "US-LA-window", "2026-11-03T16:00:00Z"));
        assert!(!closed("US-LA", "US-LA-window", "2027-11-02T16:00:00Z"));
        // Juneteenth 2027 is a Saturday: Utah keeps the Monday after it.
        assert!(closed("US-UT", "US-UT-window", "2027-06-21T16:00:00Z"));
        assert!(!closed("US-UT", "US-UT-window", "2027-06-18T16:00:00Z"));
    }

    #[test]
    fn special_days_of_the_year_and_eves() {
        let netherlands =
            |at, expected| assert_eq!(outcome(&case("NL", at), "NL-hours"), expected, "{at}");
        netherlands("2026-05-04T16:29:59Z", Pass);
        netherlands("2026-05-04T16:30:00Z", Fail);
        netherlands("2026-05-06T16:30:00Z", Pass);
        // Saturday 5 December 2026: the hours of the Saturday and those of the day.
        netherlands("2026-12-05T14:59:59Z", Pass);
        netherlands("2026-12-05T15:00:00Z", Fail);
        // Italy on the eve of 2 June, a Monday evening.
        let italy =
            |at, expected| assert_eq!(outcome(&case("IT", at), "IT-hours"), expected, "{at}");
        italy("2026-06-01T16:59:59Z", Pass);
        italy("2026-06-01T17:00:00Z", Fail);
        italy("2026-06-01T07:59:59Z", Fail);
        italy("2026-06-02T10:00:00Z", Fail);
        italy("2026-06-03T17:30:00Z", Pass);
        // Nebraska lets recordings go out from 13:00 on holidays.
        let nebraska = |at, expected| {
            let mut case: Case = case("US-NE", at);
            case.facts.location =
                serde_json::from_str(r#"{"timezone":"America/Chicago"}"#).unwrap();
            case.call.call_kind = crate::domain::call::CallKind::Prerecorded;
            assert_eq!(outcome(&case, "US-NE-window-prerecorded"), expected, "{at}");
        };
        nebraska("2026-12-25T18:59:59Z", Fail);
        nebraska("2026-12-25T19:00:00Z", Pass);
    }

    #[test]
    fn regional_holidays_close_where_the_region_is_theirs_or_unknown() {
        // The day of the Community of Madrid, moved by nobody in 2025: a Friday.
        let mut spain = case("ES", "2025-05-02T10:00:00Z");
        assert_eq!(outcome(&spain, "ES-window"), Fail, "region unknown");
        let at = |spain: &mut Case, region: &str| {
            spain.facts.location =
                serde_json::from_str(&format!(r#"{{"region":"{region}"}}"#)).unwrap();
            outcome(spain, "ES-window")
        };
        assert_eq!(at(&mut spain, "ES-MD"), Fail);
        assert_eq!(at(&mut spain, "ES-CT"), Pass);
        spain.call.at = instant("2033-05-04T10:00:00Z");
        assert_eq!(at(&mut spain, "ES-CT"), Fail, "no data for that year");
    }

    #[test]
    fn the_law_changes_at_local_midnight() {
        let case = case("US-PA", "2026-10-17T23:30:00Z");
        timeline(
            &case,
            "US-PA-window",
            &[
                ("2026-10-17T23:30:00Z", Pass),
                ("2026-10-18T00:59:59Z", Pass),
            ],
        );
        timeline(
            &case,
            "US-PA-window-act47",
            &[
                ("2026-10-19T22:59:59Z", Pass),
                ("2026-10-19T23:00:00Z", Fail),
            ],
        );
    }
}
