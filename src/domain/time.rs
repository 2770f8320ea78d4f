//! Instants and readings of the clocks, as plain numbers. Reading a clock is `clock`'s business alone.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

/// The first of January 1990. No law let anybody consent to a call, or object to one, before it; but programs write 1900 or 1970 where
/// there is no date.
pub const EARLIEST_WISH: Micros = Micros(631_152_000_000_000);

/// How far apart the clocks of two nodes may be, each up to five minutes off: of instants that lie closer, told by two of
/// them, nobody can say which came first. Whoever needs to know takes the opt-out for the later one.
pub const CLOCKS_APART: Duration = Duration::from_mins(10);

impl Micros {
    /// The instant this much later; saturates at the ends of the range.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// The instant this much earlier; saturates at the ends of the range.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Microseconds from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant as jiff's timestamp; instants outside its range are clamped to it.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// The date in UTC, where no place says another.
    #[must_use]
    pub fn utc_date(self) -> Date {
        let utc = self.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        utc.date()
    }
}

impl From<jiff::Timestamp> for Micros {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

impl fmt::Display for Micros {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.timestamp(), f)
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Instant).map(Self::from)
    }
}

/// Reads an instant as RFC 3339 writes it: date, `T`, time with seconds, `Z` or an offset. The library reads far more, and
/// a zone or a calendar in brackets would be dropped without a word.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    let (day, rest) = text.split_at_checked("2026-11-20".len())?;
    let (clock, rest) = rest.split_at_checked("T14:30:00".len())?;
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (offset.len() < fraction.len()).then_some(offset)?
        }
        None => rest,
    };
    // Within a day and an hour's minutes; digits compare as numbers do.
    let within = |at: usize, most: &str| offset.get(at..at + 2).is_some_and(|two| two <= most);
    let is_offset = offset.eq_ignore_ascii_case("Z")
        || ["+00:00", "-00:00"]
            .iter()
            .any(|form| has_form(offset, form))
            && within(1, "23")
            && within(4, "59");
    let is_written = has_form(day, "0000-00-00") && has_form(clock, "T00:00:00") && is_offset;
    text.parse().ok().filter(|_| is_written)
}

/// Reads an instant or a time of the day without an offset, as databases and spreadsheets write them into lists: a blank may stand
/// for the `T`, and seconds may be missing.
#[must_use]
pub fn listed(text: &str) -> Option<Listed> {
    let mut text = text.to_owned();
    if text.as_bytes().get("2026-11-20".len()) == Some(&b' ') {
        text.replace_range("2026-11-20".len().."2026-11-20 ".len(), "T");
    }
    let is_clock = ["0000-00-00T00:00:00", "0000-00-00T00:00"]
        .iter()
        .any(|form| has_form(&text, form));
    match instant(&text) {
        Some(at) => Some(Listed::Instant(at)),
        None => text.parse().ok().filter(|_| is_clock).map(Listed::Clock),
    }
}

/// A time as a list says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// With its offset.
    Instant(Timestamp),
    /// By the clock of a place that is not said.
    Clock(DateTime),
}

/// Reads a calendar date as ISO 8601 writes it in full, such as `2026-11-20`, and nothing beside it.
#[must_use]
pub fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|_| has_form(text, "0000-00-00"))
}

/// Whether the text has this form, in which `0` stands for any digit.
fn has_form(text: &str, form: &str) -> bool {
    let same = |(one, form): (u8, u8)| match form {
        b'0' => one.is_ascii_digit(),
        _ => one.eq_ignore_ascii_case(&form),
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(same)
}

/// For `#[serde(deserialize_with)]`: a date, read strictly.
pub fn read_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    deserializer.deserialize_str(Day)
}

/// For `#[serde(deserialize_with)]`: a date or none, read strictly.
pub fn read_optional_date<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Date>, D::Error> {
    Ok(Option::<IsoDate>::deserialize(deserializer)?.map(|IsoDate(date)| date))
}

/// A date that is read strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct IsoDate(#[serde(deserialize_with = "read_date")] pub Date);

struct Instant;

impl Visitor<'_> for Instant {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as in 2026-11-20T14:30:00Z or 2026-11-20T09:30:00-05:00")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        instant(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

struct Day;

impl Visitor<'_> for Day {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date as in 2026-11-20")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Date, E> {
        date(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// A point on one process's monotonic clock, counted from an origin of its own. Never compared between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub Duration);

impl Mono {
    /// Time passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The point this much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Micros,
    /// The monotonic clock of this process.
    pub mono: Mono,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        for good in [
            "2026-04-21T12:59:00Z",
            "2026-04-21t12:59:00z",
            "2026-04-21T12:59:00.5Z",
            "2026-04-21T08:59:00.000000-04:00",
            "2026-04-22T12:58:00+23:59",
        ] {
            assert!(instant(good).is_some(), "{good}");
        }
        let same = [
            "2026-04-21T12:59:00Z",
            "2026-04-21T08:59:00-04:00",
            "2026-04-21T18:29:00+05:30",
        ];
        for each in same {
            assert_eq!(instant(each), instant(same[0]));
        }
        for bad in [
            "2026-04-21T12:59:00Z[Mars/X]",
            "2026-04-21T12:59:00Z[America/New_York]",
            "2026-04-21T12:59:00Z[u-ca=hebrew]",
            "20260421T125900Z",
            "2026-04-21T12:59Z",
            "2026-04-21T12:59:00,5Z",
            "2026-04-21T12:59:00.Z",
            "2026-04-21 12:59:00Z",
            "2026-04-21T12:59:00",
            "2026-04-21T12:59:00+25:59",
            "2026-04-21T12:59:00+24:00",
            "2026-04-21T12:59:00+05:60",
            "2026-04-21T12:59:00+0530",
            "2026-04-21T12:59:00+05",
            "2026-04-21T12:59:00+05:30:00",
            "2026-04-31T12:59:00Z",
            "2026-04-21T25:59:00Z",
            "2026-04-21",
            "2026-04-21T12:59:0ü",
            "+002026-04-21T12:59:00Z",
            "",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
            let quoted = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Micros>(&quoted).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_write_times_as_databases_do() {
        let at = instant("2026-04-21T12:59:00+02:00").unwrap();
        let clock = Listed::Clock("2026-04-21T12:59:00".parse().unwrap());
        for (text, read) in [
            ("2026-04-21T12:59:00+02:00", Some(Listed::Instant(at))),
            ("2026-04-21 12:59:00+02:00", Some(Listed::Instant(at))),
            ("2026-04-21 12:59:00", Some(clock)),
            ("2026-04-21T12:59", Some(clock)),
            ("2026-04-21 12:59", Some(clock)),
            ("2026-04-21  12:59", None),
            ("2026-04-21 12:59 Z", None),
            ("2026-04-21", None),
            ("21.04.2026 12:59", None),
            ("2026-04-31 12:59", None),
            ("2026-04-21 ü2:59", None),
            ("", None),
        ] {
            assert_eq!(listed(text), read, "{text}");
        }
    }

    #[test]
    fn dates_are_read_as_iso_8601_writes_them_in_full() {
        assert_eq!(date("2026-04-10"), Some(Date::constant(2026, 4, 10)));
        for bad in [
            "2026-04-10[u-ca=hebrew]",
            "20260410",
            "2026-04-10T12:00:00",
            "2026-02-29",
            "2026-4-10",
            "+002026-04-10",
            "2026-W15-5",
            "",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
