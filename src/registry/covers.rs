//! What a list speaks of: numbers that begin with certain digits. Of all others it says nothing, which is not "not listed".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::phone::Phone;

/// A set of leading digits of E.164 numbers, such as `1` (a whole country) or `1212,1646` (two area codes of it). None of
/// them begins with another one: `1,1212` is `1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Covers {
    /// Sorted as text.
    prefixes: Vec<String>,
    /// The same as first and last number when filled up to 15 digits, neighbours joined, sorted.
    ranges: Vec<(u64, u64)>,
}

/// Text that is not a list of leading digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the beginning of E.164 numbers: write 1 to 15 digits without `+`, the first not 0, several with commas between them, such as `1212,1646`"
)]
pub struct NotAPrefix(String);

/// Digits of the longest number.
const WIDTH: u32 = 15;

impl Covers {
    /// The numbers that begin with one of these.
    pub fn of<T: AsRef<str>>(prefixes: impl IntoIterator<Item = T>) -> Result<Self, NotAPrefix> {
        let mut all = Vec::new();
        for prefix in prefixes {
            let prefix = prefix.as_ref();
            range(prefix)?;
            all.push(prefix.to_owned());
        }
        all.sort_unstable();
        // In this order whatever begins with a prefix follows right after it.
        all.dedup_by(|next, kept| next.starts_with(kept.as_str()));
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for prefix in &all {
            let (first, last) = range(prefix)?;
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => ranges.push((first, last)),
            }
        }
        Ok(Self {
            prefixes: all,
            ranges,
        })
    }

    /// Tells whether the list speaks of this number.
    #[must_use]
    pub fn contains(&self, number: Phone) -> bool {
        let digits = number.integer();
        let Some(missing) = WIDTH.checked_sub(digits.ilog10() + 1) else {
            return false;
        };
        let filled = digits * 10_u64.pow(missing);
        let next = self.ranges.partition_point(|(first, _)| *first <= filled);
        next.checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| filled <= *last)
    }

    /// Tells whether it speaks of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The leading digits, sorted as text.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(String::as_str)
    }
}

/// The same for very many questions: by the first four digits, which every number has, most are answered at once.
#[derive(Debug)]
pub(super) struct Reach {
    covers: Covers,
    /// By the four digits.
    begins: Vec<Begin>,
}

/// What is known of a number by its first four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Covered,
    Elsewhere,
    /// More digits have to tell.
    Partly,
}

impl Reach {
    pub fn of(covers: &Covers) -> Self {
        const FILL: u64 = 10_u64.pow(WIDTH - 4);
        let begin = |four: u64| {
            let (first, last) = (four * FILL, four * FILL + (FILL - 1));
            let next = covers.ranges.partition_point(|(_, end)| *end < first);
            match covers.ranges.get(next) {
                Some((begin, end)) if *begin <= first && last <= *end => Begin::Covered,
                Some((begin, _)) if *begin <= last => Begin::Partly,
                _ => Begin::Elsewhere,
            }
        };
        Self {
            covers: covers.clone(),
            begins: (0..10_000).map(begin).collect(),
        }
    }

    /// Tells whether the list speaks of this number.
    pub fn contains(&self, number: Phone) -> bool {
        let digits = number.integer();
        let behind = digits.ilog10().saturating_sub(3);
        let begin = usize::try_from(digits / 10_u64.pow(behind)).ok();
        match begin.and_then(|four| self.begins.get(four)) {
            Some(Begin::Covered) => true,
            Some(Begin::Elsewhere) => false,
            Some(Begin::Partly) | None => self.covers.contains(number),
        }
    }
}

fn range(prefix: &str) -> Result<(u64, u64), NotAPrefix> {
    let wrong = || NotAPrefix(prefix.to_owned());
    let plain = prefix.bytes().all(|byte| byte.is_ascii_digit()) && !prefix.starts_with('0');
    let missing = u32::try_from(prefix.len())
        .ok()
        .and_then(|length| WIDTH.checked_sub(length))
        .ok_or_else(wrong)?;
    let digits: u64 = prefix.parse().map_err(|_| wrong())?;
    let first = digits * 10_u64.pow(missing);
    if plain {
        Ok((first, first + (10_u64.pow(missing) - 1)))
    } else {
        Err(wrong())
    }
}

impl FromStr for Covers {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let words = text.split(',').map(str::trim);
        Self::of(words.filter(|word| !word.is_empty()))
    }
}

impl fmt::Display for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.prefixes.join(","))
    }
}

impl Serialize for Covers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Covers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(text: &str) -> Covers {
        text.parse().unwrap()
    }

    #[test]
    fn shown_sorted_and_without_what_is_said_twice() {
        for (text, shown) in [
            ("", ""),
            ("1", "1"),
            (" 1646, 1212 ,1212,", "1212,1646"),
            ("44,1,1212", "1,44"),
            ("12,121,1", "1"),
            ("21,2,12", "12,2"),
            ("123456789012345", "123456789012345"),
        ] {
            assert_eq!(covers(text).to_string(), shown, "{text}");
        }
        for bad in ["0", "+1", "1;2", "12a", "1 2", "1234567890123456", "１"] {
            let problem = bad.parse::<Covers>().unwrap_err().to_string();
            assert!(problem.contains(&format!("`{bad}`")), "{problem}");
        }
    }

    #[test]
    fn a_number_of_another_area_is_not_covered() {
        let two = covers("1212,1646");
        for (number, covered) in [
            ("+12125550101", true),
            ("+16465550101", true),
            ("+17185550101", false),
            ("+12115550101", false),
            ("+12135550101", false),
            ("+121255501", true),
            ("+442079460301", false),
            ("+1212555", true),
        ] {
            assert_eq!(
                two.contains(Phone::parse(number).unwrap()),
                covered,
                "{number}"
            );
        }
        let nothing = Covers::default();
        assert!(nothing.is_empty() && !nothing.contains(Phone::parse("+12125550101").unwrap()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn covered_is_what_begins_so(
            prefixes in proptest::collection::vec("[1-9][0-9]{0,5}", 0..12),
            number in "[1-9][0-9]{6,14}",
        ) {
            let covers = Covers::of(&prefixes).unwrap();
            let begins = prefixes.iter().any(|prefix| number.starts_with(prefix.as_str()));
            let phone = Phone::parse(&format!("+{number}")).unwrap();
            prop_assert_eq!(covers.contains(phone), begins);
            prop_assert_eq!(Reach::of(&covers).contains(phone), begins);
            prop_assert_eq!(&covers.to_string().parse::<Covers>().unwrap(), &covers);
        }
    }
}
