//! Between the wire and the domain. Messages are parsed, not checked: what comes out of here is well formed, and what is
//! wrong in a message is reported all at once, each field by its path ([`Fields`]).

pub(super) mod call;
pub(super) mod consent;
pub(super) mod contact;
mod dealings;
pub(super) mod decision;
mod fields;
pub(super) mod import;
pub(super) mod policy;
pub(super) mod register;
pub(super) mod scrub;
pub(super) mod suppression;
pub(super) mod trunk;
pub(super) mod webhook;
mod words;

use crate::domain::consent::REFERENCE_CHARS_MAX;
use crate::domain::time::Micros;

use super::pb;

pub(super) use fields::{Fields, Noted};
pub(super) use words::{Mirror, wire, wire_all, wire_option};

/// Longest free text.
const NOTE_CHARS_MAX: usize = 4096;
/// Longest name of a seller, a campaign or a source.
const NAME_CHARS_MAX: usize = 128;

pub(super) fn time(at: Micros) -> prost_types::Timestamp {
    // Euclidean, for the wire counts the fraction forwards before 1970 too.
    let micros = at.0.rem_euclid(1_000_000);
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: i32::try_from(micros * 1000).unwrap_or(0),
    }
}

fn time_option(at: Option<Micros>) -> Option<prost_types::Timestamp> {
    at.map(time)
}

fn date(date: jiff::civil::Date) -> pb::Date {
    pb::Date {
        year: date.year().into(),
        month: date.month().into(),
        day: date.day().into(),
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_microseconds_on_both_sides_of_1970() {
        for (micros, seconds, nanos) in [
            (0, 0, 0),
            (1_500_000, 1, 500_000_000),
            (-1, -1, 999_999_000),
            (-1_000_000, -1, 0),
            (1_800_000_000_123_456, 1_800_000_000, 123_456_000),
        ] {
            let at = time(Micros(micros));
            assert_eq!((at.seconds, at.nanos), (seconds, nanos), "{micros}");
            let mut fields = Fields::default();
            assert_eq!(fields.time("t", Some(at)).unwrap(), Some(Micros(micros)));
        }
    }
}
