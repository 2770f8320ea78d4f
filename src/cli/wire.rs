//! Small conversions between what people write and read and what the contract carries: words, instants, dates.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::grpc::client as wire;
use crate::grpc::pb;

/// The short word of an enum value of the contract, such as `no_answer` for `OUTCOME_NO_ANSWER`; empty for UNSPECIFIED
/// and for values that only a newer server knows.
macro_rules! word {
    ($set:ident, $value:expr) => {
        $crate::grpc::client::words::short(
            $crate::grpc::pb::$set::try_from($value)
                .unwrap_or_default()
                .as_str_name(),
            $crate::grpc::pb::$set::default().as_str_name(),
        )
    };
}
pub(crate) use word;

/// The enum value of the contract for a word of our own vocabulary.
macro_rules! value {
    ($set:ident, $word:expr) => {
        $crate::grpc::pb::$set::from_str_name(&$crate::grpc::client::words::full(
            $word.as_str(),
            $crate::grpc::pb::$set::default().as_str_name(),
        ))
        .unwrap_or_default()
        .into()
    };
}
pub(crate) use value;

/// An instant for the wire.
#[must_use]
pub fn to_wire(at: Timestamp) -> wire::Timestamp {
    // jiff counts nanoseconds backwards before 1970, the wire always forwards.
    let (seconds, nanos) = match (at.as_second(), at.subsec_nanosecond()) {
        (seconds, nanos) if nanos < 0 => (seconds - 1, nanos + 1_000_000_000),
        both => both,
    };
    wire::Timestamp { seconds, nanos }
}

/// An instant from the wire; absent and impossible ones are none.
#[must_use]
pub fn from_wire(at: Option<&wire::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// An instant as people read it: UTC, whole seconds; empty when absent.
#[must_use]
pub fn seconds(at: Option<&wire::Timestamp>) -> String {
    from_wire(at).map_or_else(String::new, |at| format!("{at:.0}"))
}

/// A date for the wire.
#[must_use]
pub fn date_to_wire(date: Date) -> pb::Date {
    pb::Date {
        year: date.year().into(),
        month: date.month().into(),
        day: date.day().into(),
    }
}

/// A date from the wire as people read it; empty when absent.
#[must_use]
pub fn date_text(date: Option<&pb::Date>) -> String {
    date.map_or_else(String::new, |date| {
        format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{CallKind, Purpose};
    use crate::domain::consent::{ConsentForm, InitiatedBy};
    use crate::domain::party::{Audience, LineType};
    use crate::domain::suppression::{SuppressionReason, SuppressionSource};

    /// A word without its value on the wire would be sent as UNSPECIFIED and quietly mean something else.
    #[test]
    fn every_word_of_ours_has_its_value_on_the_wire() {
        macro_rules! all {
            ($($set:ident,)+) => {$(
                for word in $set::ALL {
                    let value: i32 = value!($set, word);
                    assert_ne!(value, 0, "{} {word}", stringify!($set));
                    assert_eq!(word!($set, value), word.as_str());
                }
            )+};
        }
        all!(
            CallKind,
            Purpose,
            ConsentForm,
            InitiatedBy,
            Audience,
            LineType,
            SuppressionReason,
            SuppressionSource,
        );
        assert_eq!(word!(Outcome, 0), "");
        assert_eq!(word!(Outcome, 9999), "");
    }

    #[test]
    fn instants_survive_the_wire_also_before_1970() {
        for text in ["2026-11-20T14:30:00.25Z", "1969-12-31T23:59:58.75Z"] {
            let at: Timestamp = text.parse().unwrap();
            let wire = to_wire(at);
            assert!((0..1_000_000_000).contains(&wire.nanos));
            assert_eq!(from_wire(Some(&wire)), Some(at));
        }
    }
}
