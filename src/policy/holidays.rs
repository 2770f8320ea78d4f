//! Public holidays: calendars that rules compute, and the table of observed days per country and region.

use std::collections::{HashMap, HashSet};

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::heal::Readable;
use super::origin::Faults;
use super::window::{MonthDay, weekday};
use crate::domain::time::{self, Micros};

/// Computed calendars are laid out for these years; outside them every day counts as a holiday.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;

/// What stands for the name where there is no data: unknown is not open.
const NO_DATA: &str = "no holiday data for this country and year";

/// One `[[holiday_calendar]]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub(super) struct CalendarRow {
    pub id: String,
    pub jurisdiction: String,
    weekend_shift: WeekendShift,
    days: Vec<DayRow>,
    certainty: super::rule::Certainty,
    #[serde(default)]
    note: String,
}

impl Readable for CalendarRow {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("id", "\"?\""),
        ("jurisdiction", "\"?\""),
        ("weekend_shift", "\"none\""),
        ("days", "[]"),
        ("days[].name", "\"?\""),
        ("days[].fixed", "\"01-01\""),
        ("days[].nth", "{ month = 1, weekday = \"mon\", n = 1 }"),
        (
            "days[].nth_plus",
            "{ month = 1, weekday = \"mon\", n = 1, plus_days = 1 }",
        ),
        ("days[].*.month", "1"),
        ("days[].*.weekday", "\"mon\""),
        ("days[].*.n", "1"),
        ("days[].*.plus_days", "1"),
        ("days[].easter_offset_days", "1"),
        ("certainty", "\"recall\""),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WeekendShift {
    None,
    SunToMon,
    SatToFriSunToMon,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayRow {
    name: String,
    fixed: Option<MonthDay>,
    nth: Option<Nth>,
    nth_plus: Option<NthPlus>,
    easter_offset_days: Option<i32>,
    years: Option<Years>,
    #[serde(default, deserialize_with = "time::read_optional_date")]
    effective_from: Option<Date>,
    observed_on: Option<ObservedOn>,
    /// Whether sources disagree; such a day is closed unless an `[[open_day]]` opens it.
    #[serde(default)]
    uncertain: bool,
}

/// One `[[open_day]]` as written: a day of a calendar about which sources disagree, and which an operator knows not to be
/// kept where they call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenDay {
    calendar: String,
    name: String,
    reason: String,
}

impl Readable for OpenDay {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("calendar", "\"?\""),
        ("name", "\"?\""),
        ("reason", "\"?\""),
    ];
}

impl OpenDay {
    /// Says what is wrong with it: only what is there and uncertain can be opened.
    pub fn check<'c>(
        &self,
        mut calendars: impl Iterator<Item = &'c CalendarRow>,
        faults: &mut Faults<'_>,
    ) {
        if self.reason.trim().is_empty() {
            faults.tell(
                &["reason"],
                "`reason` is empty; say why the day is not kept",
            );
        }
        let Some(calendar) = calendars.find(|row| row.id == self.calendar) else {
            let problem = format!(
                "`calendar`: no [[holiday_calendar]] is called `{}`",
                self.calendar
            );
            faults.tell(&["calendar"], problem);
            return;
        };
        let mut days = calendar.days.iter();
        match days.find(|day| day.name == self.name) {
            Some(day) if day.uncertain => {}
            Some(_) => faults.tell(
                &["name"],
                format!(
                    "`name`: `{}` is not marked uncertain, and stays closed",
                    self.name
                ),
            ),
            None => faults.tell(
                &["name"],
                format!(
                    "`name`: `{}` has no day called `{}`",
                    self.calendar, self.name
                ),
            ),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nth {
    month: i8,
    weekday: Day,
    n: i8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NthPlus {
    month: i8,
    weekday: Day,
    n: i8,
    plus_days: i32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Day(Weekday);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let day = weekday(&text).map(Self);
        day.ok_or_else(|| format!("`{text}` is no weekday; write `mon`"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Years {
    Even,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ObservedOn {
    MondayOfWeek,
}

impl CalendarRow {
    /// Says what is wrong with the calendar beyond its shape.
    pub fn check(&self, faults: &mut Faults<'_>) {
        for (key, text) in [("id", &self.id)] {
            if text.trim().is_empty() {
                faults.tell(&[key], format!("`{key}` is empty"));
            }
        }
        for (index, day) in self.days.iter().enumerate() {
            day.check(&format!("days[{index}]"), faults);
        }
    }

    /// Every closed date with its name: the day itself and the day it is shifted to.
    fn lay_out(&self, open: &[&OpenDay]) -> HashMap<Date, String> {
        let is_open = |day: &&DayRow| {
            let named = |open: &&OpenDay| open.calendar == self.id && open.name == day.name;
            day.uncertain && open.iter().any(named)
        };
        let mut dates = HashMap::new();
        let years = YEARS.start() - 1..=YEARS.end() + 1;
        for day in self.days.iter().filter(|day| !is_open(day)) {
            for date in years.clone().filter_map(|year| day.date(year)) {
                let shifted = day.shifted(date, self.weekend_shift);
                for (closed, suffix) in [(Some(date), ""), (shifted, " (observed)")] {
                    let closed = closed.filter(|closed| {
                        YEARS.contains(&closed.year())
                            && day.effective_from.is_none_or(|from| from <= *closed)
                    });
                    if let Some(closed) = closed {
                        dates
                            .entry(closed)
                            .or_insert_with(|| format!("{}{suffix}", day.name));
                    }
                }
            }
        }
        dates
    }
}

impl DayRow {
    fn check(&self, path: &str, faults: &mut Faults<'_>) {
        let (name, written) = (&self.name, faults.written(path));
        if name.trim().is_empty() {
            let part = format!("{path}.name");
            faults.tell(&[&part], format!("`{written}.name` is empty"));
        }
        let rules = [
            ("fixed", self.fixed.is_some()),
            ("nth", self.nth.is_some()),
            ("nth_plus", self.nth_plus.is_some()),
            ("easter_offset_days", self.easter_offset_days.is_some()),
        ];
        let given: Vec<&str> = (rules.iter())
            .filter(|(_, is_given)| *is_given)
            .map(|(key, _)| *key)
            .collect();
        let rule = match given.as_slice() {
            [rule] => *rule,
            _ => {
                faults.tell_of(
                    path,
                    format!("`{written}`: `{name}` needs exactly one of `fixed`, `nth`, `nth_plus`, `easter_offset_days`"),
                );
                return;
            }
        };
        let parts = ["", ".month", ".weekday", ".n", ".plus_days"];
        let parts = parts.map(|part| format!("{path}.{rule}{part}"));
        // A fixed day is one of the year by its form.
        if self.fixed.is_none() && self.date(2024).is_none() {
            faults.tell(
                &parts.each_ref().map(String::as_str),
                format!("`{written}.{rule}`: `{name}` names no date of the year"),
            );
        }
    }

    fn date(&self, year: i16) -> Option<Date> {
        if matches!(self.years, Some(Years::Even)) && year % 2 != 0 {
            return None;
        }
        let nth = |month, day: Day, n| {
            let first = Date::new(year, month, 1).ok()?;
            first.nth_weekday_of_month(n, day.0).ok()
        };
        if let Some(fixed) = self.fixed {
            fixed.in_year(year)
        } else if let Some(rule) = &self.nth {
            nth(rule.month, rule.weekday, rule.n)
        } else if let Some(rule) = &self.nth_plus {
            nth(rule.month, rule.weekday, rule.n)?
                .checked_add(rule.plus_days.days())
                .ok()
        } else {
            easter(year)?
                .checked_add(self.easter_offset_days?.days())
                .ok()
        }
    }

    fn shifted(&self, date: Date, shift: WeekendShift) -> Option<Date> {
        let day = date.weekday();
        let offset = match (&self.observed_on, shift, day) {
            // The Monday of that week, for a weekend the next Monday.
            (Some(ObservedOn::MondayOfWeek), _, Weekday::Saturday) => 2,
            (Some(ObservedOn::MondayOfWeek), _, Weekday::Sunday) => 1,
            (Some(ObservedOn::MondayOfWeek), _, _) => -i32::from(day.to_monday_zero_offset()),
            (None, WeekendShift::SatToFriSunToMon, Weekday::Saturday) => -1,
            (None, WeekendShift::SatToFriSunToMon | WeekendShift::SunToMon, Weekday::Sunday) => 1,
            (None, ..) => return None,
        };
        date.checked_add(offset.days()).ok()
    }
}

/// Easter Sunday by the Gregorian computus (Meeus, Jones and Butcher).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    let (month, day) = (i8::try_from(n / 31).ok()?, i8::try_from(n % 31 + 1).ok()?);
    Date::new(year, month, day).ok()
}

/// Every calendar of a pack.
#[derive(Debug, Default)]
pub(super) struct Holidays {
    computed: HashMap<String, HashMap<Date, String>>,
    public: HashMap<String, Country>,
}

/// Where a row of the table puts its holidays.
pub(super) struct Listed {
    pub line: u64,
    pub country: String,
    pub region: String,
}

/// The observed days of one country.
#[derive(Debug, Default)]
struct Country {
    years: HashSet<i16>,
    /// Region and name of each holiday on a date; an empty region is the whole country.
    days: HashMap<Date, Vec<(String, String)>>,
}

impl Holidays {
    /// The calendar of national days, with the region's where it is known.
    pub const PUBLIC: &'static str = "public";
    /// The same, but a holiday of any region closes where the region is not known.
    pub const PUBLIC_STRICT: &'static str = "public_strict";

    /// Lays out a computed calendar, without the days that an operator opened.
    pub fn add_calendar(&mut self, row: &CalendarRow, open: &[&OpenDay]) {
        self.computed.insert(row.id.clone(), row.lay_out(open));
    }

    /// Whether a calendar of this id is there.
    pub fn calendars(&self) -> impl Iterator<Item = &str> {
        let computed = self.computed.keys().map(String::as_str);
        computed.chain([Self::PUBLIC, Self::PUBLIC_STRICT])
    }

    /// Adds the rows of `holidays.csv` (`country,region,name,observed,dates`), telling line and fault of bad ones.
    pub fn add_table(&mut self, text: &str, mut fault: impl FnMut(u64, String)) -> Vec<Listed> {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let wanted = ["country", "region", "name", "observed", "dates"];
        let has_header = matches!(reader.headers(), Ok(header) if header == wanted.as_slice());
        if !has_header {
            let before = text.lines().take_while(|line| line.starts_with('#'));
            let header = wanted.join(",");
            fault(
                u64::try_from(before.count())
                    .unwrap_or(u64::MAX)
                    .saturating_add(1),
                format!("the first row must be `{header}`"),
            );
            return Vec::new();
        }
        let mut listed = Vec::new();
        for row in reader.records() {
            match row {
                Ok(row) => listed.push(self.add_row(&row, &mut fault)),
                Err(error) => fault(
                    error.position().map_or(1, csv::Position::line),
                    "the row must have five fields; put a name with a comma into quotes".to_owned(),
                ),
            }
        }
        listed
    }

    fn add_row(&mut self, row: &csv::StringRecord, fault: &mut impl FnMut(u64, String)) -> Listed {
        let line = row.position().map_or(1, csv::Position::line);
        let field = |index| row.get(index).unwrap_or_default();
        let (country, region, name, dates) = (field(0), field(1), field(2), field(4));
        if name.trim().is_empty() {
            fault(line, "`name` is empty; say which holiday it is".to_owned());
        }
        if !matches!(field(3), "0" | "1") {
            let problem = format!("`observed`: `{}` must be 0 or 1", field(3));
            fault(line, problem);
        }
        if dates.trim().is_empty() {
            let problem = "`dates` is empty; write days such as `2026-12-25`, with spaces between";
            fault(line, problem.to_owned());
        }
        let entry = self.public.entry(country.to_owned()).or_default();
        for date in dates.split_whitespace() {
            match time::date(date) {
                Some(date) => {
                    entry.years.insert(date.year());
                    let named = (region.to_owned(), name.to_owned());
                    entry.days.entry(date).or_default().push(named);
                }
                None => fault(
                    line,
                    format!("`dates`: `{date}` is no date; write `2026-12-25`"),
                ),
            }
        }
        Listed {
            line,
            country: country.to_owned(),
            region: region.to_owned(),
        }
    }

    /// The computed calendar of this id.
    pub fn computed(&self, calendar: &str) -> Option<Computed<'_>> {
        self.computed.get(calendar).map(Computed)
    }

    /// The first day of the country's next year on file, if this one is not.
    pub fn data_after(&self, country: &str, year: i16) -> Option<Micros> {
        let years = &self.public.get(country)?.years;
        if years.contains(&year) {
            return None;
        }
        let next = years.iter().copied().filter(|known| *known > year).min()?;
        let first = Date::new(next, 1, 1).ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(first.timestamp().into())
    }

    /// The name of the public holiday that this date is in the country, or in one of its regions that this function names.
    /// Without data the day counts as one.
    pub fn public(&self, country: &str, counts: impl Fn(&str) -> bool, date: Date) -> Option<&str> {
        let Some(data) = self.public.get(country) else {
            return Some(NO_DATA);
        };
        if !data.years.contains(&date.year()) {
            return Some(NO_DATA);
        }
        let mut named = data.days.get(&date)?.iter();
        let named = named.find(|(region, _)| region.is_empty() || counts(region));
        named.map(|(_, name)| name.as_str())
    }
}

/// A computed calendar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Computed<'a>(&'a HashMap<Date, String>);

impl<'a> Computed<'a> {
    /// The name of the holiday that this date is.
    pub fn holiday(self, date: Date) -> Option<&'a str> {
        if YEARS.contains(&date.year()) {
            self.0.get(&date).map(String::as_str)
        } else {
            Some(NO_DATA)
        }
    }
}
