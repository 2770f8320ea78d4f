//! Hours of the day as rule files write them: `"08:00-21:00"`, a week of such lists, and days of the year.

use jiff::civil::{Date, Time, Weekday};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::origin::Faults;

/// A half-open span of local time, in minutes of the day; `24:00` is its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span {
    /// First minute inside.
    pub start: u16,
    /// First minute outside.
    pub end: u16,
}

impl Span {
    /// Whether a call may start at this time.
    pub fn contains(self, time: Time) -> bool {
        let minute =
            u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs());
        (self.start..self.end).contains(&minute)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = text.split_once('-').and_then(|(start, end)| {
            let (start, end) = (minute(start)?, minute(end)?);
            (start < end).then_some(Self { start, end })
        });
        span.ok_or_else(|| format!("`{text}` is no span of hours; write `08:00-21:00`"))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, end) = (self.start, self.end);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            start / 60,
            start % 60,
            end / 60,
            end % 60
        )
    }
}

/// Tells each span of a list that shares a minute with one before it: one of them is not what its writer meant.
pub(super) fn check_spans(path: &str, spans: &[Span], faults: &mut Faults<'_>) {
    for (index, two) in spans.iter().enumerate() {
        let mut before = spans.iter().take(index);
        if let Some(one) = before.find(|one| one.start < two.end && two.start < one.end) {
            let part = format!("{path}[{index}]");
            faults.tell(
                &[&part],
                format!("`{path}`: the hours {one} and {two} overlap"),
            );
        }
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

/// The names of the days as the files write them, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The weekday of this name.
pub(super) fn weekday(name: &str) -> Option<Weekday> {
    let index = DAYS.iter().position(|day| *day == name)?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

/// The hours of each weekday; an empty list is a closed day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, Vec<Span>>")]
pub(super) struct Week {
    days: [Vec<Span>; 7],
    written: BTreeMap<String, Vec<Span>>,
}

impl Week {
    /// The hours of this weekday.
    pub fn on(&self, day: Weekday) -> &[Span] {
        let index = usize::from(day.to_monday_zero_offset().unsigned_abs());
        self.days.get(index).map_or(&[], Vec::as_slice)
    }

    /// All spans of the week.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.days.iter().flatten()
    }
}

impl From<BTreeMap<String, Vec<Span>>> for Week {
    /// Takes what is written of each day; whether that is a week, `check` says.
    fn from(written: BTreeMap<String, Vec<Span>>) -> Self {
        let mut days: [Vec<Span>; 7] = Default::default();
        for (key, spans) in &written {
            let (first, last) = range(key).unwrap_or((1, 0));
            for (index, day) in days.iter_mut().enumerate() {
                if (first..=last).contains(&index) {
                    day.clone_from(spans);
                }
            }
        }
        Self { days, written }
    }
}

impl Week {
    /// Says what keeps the table at this path from being a week: each day must be named, and once.
    pub fn check(&self, path: &str, faults: &mut Faults<'_>) {
        check_days(path, &self.written, faults);
        let ranges = self.written.keys();
        let ranges: Vec<_> = ranges.filter_map(|key| Some((key, range(key)?))).collect();
        for (index, (key, (first, last))) in ranges.iter().enumerate() {
            for (other, (from, to)) in ranges.iter().take(index) {
                if first <= to && from <= last {
                    let part = format!("{path}.{key}");
                    let twice = names((*first).max(*from), (*last).min(*to));
                    let problem = format!("`{path}`: `{other}` and `{key}` both name {twice}");
                    faults.tell(&[&part], problem);
                }
            }
        }
        let is_named = |day| {
            ranges
                .iter()
                .any(|(_, (first, last))| (*first..=*last).contains(&day))
        };
        let missing: Vec<String> = (0..DAYS.len())
            .filter(|day| !is_named(*day))
            .map(|day| names(day, day))
            .collect();
        // A key that is no day may be meant for those that are missing.
        if !missing.is_empty() && ranges.len() == self.written.len() {
            let are = if missing.len() == 1 { "is" } else { "are" };
            let missing = missing.join(", ");
            faults.tell(
                &[path],
                format!("`{path}`: {missing} {are} missing; `[]` closes a day"),
            );
        }
    }
}

/// Says what is wrong with each key and each list of a table of days.
pub(super) fn check_days(path: &str, days: &BTreeMap<String, Vec<Span>>, faults: &mut Faults<'_>) {
    for (key, spans) in days {
        let part = format!("{path}.{key}");
        if range(key).is_none() {
            let problem = format!(
                "`{path}`: `{key}` is no day; write `mon`, or `mon-fri` for several, the week beginning with `mon`"
            );
            faults.tell(&[&part], problem);
        }
        check_spans(&part, spans, faults);
    }
}

/// These days by name.
fn names(first: usize, last: usize) -> String {
    let days = DAYS.iter().enumerate();
    let named = days.filter(|(index, _)| (first..=last).contains(index));
    let named: Vec<String> = named.map(|(_, name)| format!("`{name}`")).collect();
    named.join(", ")
}

/// The first and last day of a key such as `mon` or `mon-fri`.
fn range(key: &str) -> Option<(usize, usize)> {
    let (first, last) = key.split_once('-').unwrap_or((key, key));
    let index = |name: &str| DAYS.iter().position(|day| *day == name);
    let (first, last) = (index(first)?, index(last)?);
    (first <= last).then_some((first, last))
}

/// A day of every year, `"12-24"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MonthDay {
    pub month: i8,
    pub day: i8,
}

impl MonthDay {
    /// The day of the year that this date is.
    pub fn of(date: Date) -> Self {
        Self {
            month: date.month(),
            day: date.day(),
        }
    }

    /// The date in that year; `None` for 29 February of a common year.
    pub fn in_year(self, year: i16) -> Option<Date> {
        Date::new(year, self.month, self.day).ok()
    }
}

impl std::fmt::Display for MonthDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

impl TryFrom<String> for MonthDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let day = text.split_once('-').and_then(|(month, day)| {
            let shape = month.len() == 2 && day.len() == 2;
            let this = Self {
                month: month.parse().ok()?,
                day: day.parse().ok()?,
            };
            // A leap year, so that 29 February is a day.
            (shape && this.in_year(2024).is_some()).then_some(this)
        });
        day.ok_or_else(|| format!("`{text}` is no day of the year; write `12-24`"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::Origin;
    use super::*;
    use jiff::civil::time;

    fn span(text: &str) -> Result<Span, String> {
        Span::try_from(text.to_owned())
    }

    #[test]
    fn spans_are_half_open() {
        let day = span("08:00-21:00").unwrap();
        assert!(!day.contains(time(7, 59, 59, 999_999_999)));
        assert!(day.contains(time(8, 0, 0, 0)));
        assert!(day.contains(time(20, 59, 59, 999_999_999)));
        assert!(!day.contains(time(21, 0, 0, 0)));
        assert!(span("00:00-24:00").unwrap().contains(time(23, 59, 59, 0)));
        assert_eq!(day.to_string(), "08:00-21:00");
        for bad in [
            "",
            "8:00-21:00",
            "21:00-08:00",
            "08:00-08:00",
            "08:60-09:00",
            "08:00-24:01",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_week_names_each_day_once() {
        let week = |entries: &[(&str, &str)]| {
            let table = entries.iter().map(|(days, hours)| {
                let spans = hours.split_whitespace().map(|text| span(text).unwrap());
                ((*days).to_owned(), spans.collect())
            });
            Week::from(table.collect::<BTreeMap<_, _>>())
        };
        let said = |week: &Week| {
            let origin = Origin::new("x.toml", 1, "row".to_owned());
            let mut problems = Vec::new();
            week.check("windows", &mut Faults::new(&origin, &mut problems));
            let problems = problems.into_iter().map(|each| each.problem);
            problems.collect::<Vec<_>>()
        };
        let good = week(&[("mon-sat", "08:00-12:00 12:00-20:00"), ("sun", "")]);
        assert_eq!(good.on(Weekday::Saturday).len(), 2);
        assert!(good.on(Weekday::Sunday).is_empty());
        assert_eq!(said(&good), [""; 0]);
        for (bad, says) in [
            (&[("mon-fri", "")][..], &["`sat`, `sun` are missing"][..]),
            (&[("mon-sat", "")], &["`sun` is missing"]),
            (
                &[("mon-sun", ""), ("tue", "")],
                &["`mon-sun` and `tue` both name `tue`"],
            ),
            (&[("fri-mon", "")], &["`fri-mon` is no day"]),
            (
                &[
                    ("holiday", ""),
                    ("mon-sun", "14:00-20:00 08:00-12:00 11:59-13:00 19:00-21:00"),
                ],
                &[
                    "`holiday` is no day",
                    "08:00-12:00 and 11:59-13:00 overlap",
                    "14:00-20:00 and 19:00-21:00 overlap",
                ],
            ),
        ] {
            let found = said(&week(bad));
            assert_eq!(found.len(), says.len(), "{found:?}");
            for (found, says) in found.iter().zip(says) {
                assert!(found.contains(says), "{found} should say {says}");
            }
        }
    }
}
