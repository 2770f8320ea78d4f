//! Holidays, worked out day by day.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use toml::Table;

use super::book::Book;
use super::place::Spot;

/// Whether the calendar closes the day. Country and place are for the calendars read from the table.
pub fn is_holiday(book: &Book, calendar: &str, day: Date, country: &str, spot: &Spot) -> bool {
    if calendar == "public" || calendar == "public_strict" {
        return in_table(book, calendar, day, country, spot);
    }
    let calendar = &book.calendars[calendar];
    let shift = calendar["weekend_shift"].as_str().unwrap();
    for entry in calendar["days"].as_array().unwrap() {
        let entry = entry.as_table().unwrap();
        for year in day.year() - 1..=day.year() + 1 {
            if closes(entry, shift, year).contains(&day) {
                return true;
            }
        }
    }
    false
}

/// No data for the country or the year: the day counts as a holiday.
fn in_table(book: &Book, calendar: &str, day: Date, country: &str, spot: &Spot) -> bool {
    let Some(of_country) = book.holidays.get(country) else {
        return true;
    };
    if !(of_country.values().flatten()).any(|other| other.year() == day.year()) {
        return true;
    }
    let places = &book.places;
    let own = format!("{country}-");
    let mut known = spot.known_regions.clone();
    known.retain(|region| region.starts_with(&own));
    for (region, days) in of_country {
        let around = |here: &String| places.larger(here).contains(region);
        // Whose region is known in the large may be in any part of it.
        let may_be_there = known.is_empty()
            || known
                .iter()
                .any(|here| places.larger(region).contains(here));
        let counts = region.is_empty()
            || spot.known_regions.iter().any(around)
            || spot.number_regions.iter().any(around)
            || (places.territory(region)).is_some_and(|own| spot.countries.contains(&own))
            || (calendar == "public_strict" && may_be_there);
        if counts && days.contains(&day) {
            return true;
        }
    }
    false
}

/// The days that this entry closes in this year: the day itself, and the day it is moved to.
fn closes(entry: &Table, shift: &str, year: i16) -> Vec<Date> {
    let even = entry.get("years").and_then(toml::Value::as_str) == Some("even");
    if even && year % 2 != 0 {
        return Vec::new();
    }
    let Some(day) = day_of(entry, year) else {
        return Vec::new();
    };
    if let Some(from) = entry.get("effective_from").and_then(toml::Value::as_str)
        && day < from.parse::<Date>().unwrap()
    {
        return Vec::new();
    }
    let mut closed = vec![day];
    if entry.contains_key("observed_on") {
        let mut monday = day;
        if matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            while monday.weekday() != Weekday::Monday {
                monday = monday.tomorrow().unwrap();
            }
        } else {
            while monday.weekday() != Weekday::Monday {
                monday = monday.yesterday().unwrap();
            }
        }
        closed.push(monday);
        return closed;
    }
    if day.weekday() == Weekday::Sunday && shift != "none" {
        closed.push(day.tomorrow().unwrap());
    }
    if day.weekday() == Weekday::Saturday && shift == "sat_to_fri_sun_to_mon" {
        closed.push(day.yesterday().unwrap());
    }
    closed
}

fn day_of(entry: &Table, year: i16) -> Option<Date> {
    if let Some(fixed) = entry.get("fixed").and_then(toml::Value::as_str) {
        let (month, day) = fixed.split_once('-').unwrap();
        return Date::new(year, month.parse().unwrap(), day.parse().unwrap()).ok();
    }
    if let Some(offset) = entry
        .get("easter_offset_days")
        .and_then(toml::Value::as_integer)
    {
        return Some(easter(year) + offset.days());
    }
    let rule = entry.get("nth").or_else(|| entry.get("nth_plus")).unwrap();
    let month = i8::try_from(rule["month"].as_integer().unwrap()).unwrap();
    let weekday = weekday(rule["weekday"].as_str().unwrap());
    let wanted = rule["n"].as_integer().unwrap();
    let first = Date::new(year, month, 1).unwrap();
    let mut days = Vec::new();
    let mut day = first;
    while day.month() == month {
        if day.weekday() == weekday {
            days.push(day);
        }
        day = day.tomorrow().unwrap();
    }
    let at = match wanted {
        -1 => days.len() - 1,
        n => usize::try_from(n - 1).unwrap(),
    };
    let plus = rule
        .get("plus_days")
        .and_then(toml::Value::as_integer)
        .unwrap_or(0);
    days.get(at).map(|day| *day + plus.days())
}

pub fn weekday(name: &str) -> Weekday {
    match name {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        other => panic!("`{other}` is no weekday"),
    }
}

/// Gauss's rule for the Gregorian calendar, with its two exceptions.
fn easter(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y % 4, y % 7);
    let k = y / 100;
    let p = (13 + 8 * k) / 25;
    let q = k / 4;
    let m = (15 - p + k - q) % 30;
    let n = (4 + k - q) % 7;
    let d = (19 * a + m) % 30;
    let e = (2 * b + 4 * c + 6 * d + n) % 7;
    let mut march = 22 + d + e;
    if march == 57 || (march == 56 && d == 28 && e == 6 && a > 10) {
        march -= 7;
    }
    Date::new(year, 3, 1).unwrap() + (i64::from(march) - 1).days()
}

#[test]
fn easter_falls_where_it_fell() {
    for day in [
        "2024-03-31",
        "2025-04-20",
        "2026-04-05",
        "2027-03-28",
        "2038-04-25",
        "2049-04-18",
    ] {
        let day: Date = day.parse().unwrap();
        assert_eq!(easter(day.year()), day);
    }
}
