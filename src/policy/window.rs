//! Hours of the day as rule files write them: `"08:00-21:00"`, a week of such lists, and days of the year.

use jiff::civil::{Date, Time, Weekday};
use serde::Deserialize;
use std::collections::BTreeMap;

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

/// Two spans of one list that share a minute: one of them is not what its writer meant.
pub(super) fn overlap(spans: &[Span]) -> Option<(Span, Span)> {
    let share = |one: Span, two: Span| one.start < two.end && two.start < one.end;
    (spans.iter().enumerate()).find_map(|(index, one)| {
        let others = spans.iter().skip(index + 1);
        let other = others.copied().find(|other| share(*one, *other))?;
        Some((*one, other))
    })
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
#[serde(try_from = "BTreeMap<String, Vec<Span>>")]
pub(super) struct Week([Vec<Span>; 7]);

impl Week {
    /// The hours of this weekday.
    pub fn on(&self, day: Weekday) -> &[Span] {
        let index = usize::from(day.to_monday_zero_offset().unsigned_abs());
        self.0.get(index).map_or(&[], Vec::as_slice)
    }

    /// All spans of the week.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.0.iter().flatten()
    }
}

impl TryFrom<BTreeMap<String, Vec<Span>>> for Week {
    type Error = String;

    fn try_from(table: BTreeMap<String, Vec<Span>>) -> Result<Self, String> {
        let mut days: [Option<Vec<Span>>; 7] = Default::default();
        for (key, spans) in table {
            if let Some((one, two)) = overlap(&spans) {
                return Err(format!("`{key}`: the hours {one} and {two} overlap"));
            }
            let (first, last) = key.split_once('-').unwrap_or((&key, &key));
            let index = |name: &str| DAYS.iter().position(|day| *day == name);
            let (Some(first), Some(last)) = (index(first), index(last)) else {
                return Err(format!("`{key}` is no day; write `mon` or `mon-fri`"));
            };
            if first > last {
                return Err(format!(
                    "`{key}` runs backwards; the week begins with `mon`"
                ));
            }
            for (day, name) in days.iter_mut().zip(DAYS).take(last + 1).skip(first) {
                if day.replace(spans.clone()).is_some() {
                    return Err(format!("`{name}` is named twice"));
                }
            }
        }
        let mut week: [Vec<Span>; 7] = Default::default();
        for ((day, given), name) in week.iter_mut().zip(days).zip(DAYS) {
            *day = given.ok_or_else(|| format!("`{name}` is missing; `[]` closes a day"))?;
        }
        Ok(Self(week))
    }
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
                let spans = if hours.is_empty() {
                    vec![]
                } else {
                    vec![span(hours).unwrap()]
                };
                ((*days).to_owned(), spans)
            });
            Week::try_from(table.collect::<BTreeMap<_, _>>())
        };
        let good = week(&[("mon-sat", "08:00-20:00"), ("sun", "")]).unwrap();
        assert_eq!(good.on(Weekday::Saturday).len(), 1);
        assert!(good.on(Weekday::Sunday).is_empty());
        for (bad, says) in [
            (&[("mon-sat", "")][..], "`sun` is missing"),
            (&[("mon-sun", ""), ("tue", "")][..], "`tue` is named twice"),
            (&[("fri-mon", "")][..], "runs backwards"),
            (&[("holiday", "")][..], "is no day"),
        ] {
            assert!(week(bad).unwrap_err().contains(says), "{bad:?}");
        }
        let hours =
            |list: &[&str]| -> Vec<Span> { list.iter().map(|s| span(s).unwrap()).collect() };
        assert_eq!(overlap(&hours(&["08:00-12:00", "12:00-20:00"])), None);
        assert!(overlap(&hours(&["14:00-20:00", "08:00-12:00", "11:59-13:00"])).is_some());
        let twice =
            BTreeMap::from([("mon-sun".to_owned(), hours(&["08:00-12:00", "10:00-11:00"]))]);
        assert!(Week::try_from(twice).unwrap_err().contains("overlap"));
    }
}
