//! What the phone library says of the kind of North American numbers, remembered by their first digits: it is asked by a
//! dozen regular expressions, each drawn from a pool that all threads share.
//!
//! Of a number of ten digits its patterns tell apart the first seven at most, so a thousand numbers each are of one kind. A
//! test asks it for numbers of every area code and holds this against them. Whether a number is possible at all is seen by
//! its length alone, and only those of ten digits are looked up here.

use std::sync::atomic::{AtomicU8, Ordering};

use rlibphonenumber::PhoneNumberType;

/// Digits of a national number.
const DIGITS: usize = 10;

/// Those by which the kind is remembered.
const LEADING: usize = 7;

/// One place for each beginning from 2 to 9. A page of it takes memory only once something is remembered there.
static KINDS: [AtomicU8; 8_000_000] = [const { AtomicU8::new(NOTHING) }; 8_000_000];

/// Nothing is remembered yet; else one more than the place in this list.
const NOTHING: u8 = 0;
const ALL: [PhoneNumberType; 12] = [
    PhoneNumberType::FixedLine,
    PhoneNumberType::Mobile,
    PhoneNumberType::FixedLineOrMobile,
    PhoneNumberType::TollFree,
    PhoneNumberType::PremiumRate,
    PhoneNumberType::SharedCost,
    PhoneNumberType::VoIP,
    PhoneNumberType::PersonalNumber,
    PhoneNumberType::Pager,
    PhoneNumberType::UAN,
    PhoneNumberType::VoiceMail,
    PhoneNumberType::Unknown,
];

/// The kind of this possible national number, if one that begins alike was asked about before.
pub(super) fn known(national: &str) -> Option<PhoneNumberType> {
    let kept = place(national)?.load(Ordering::Relaxed);
    ALL.get(usize::from(kept.checked_sub(1)?)).copied()
}

/// Remembers the kind of this possible national number, and answers it.
pub(super) fn learn(national: &str, kind: PhoneNumberType) -> PhoneNumberType {
    let index = ALL.iter().position(|known| *known == kind);
    let index = index.and_then(|index| u8::try_from(index + 1).ok());
    if let Some((place, index)) = place(national).zip(index) {
        place.store(index, Ordering::Relaxed);
    }
    kind
}

fn place(national: &str) -> Option<&'static AtomicU8> {
    if national.len() != DIGITS {
        return None;
    }
    let leading: usize = national.get(..LEADING)?.parse().ok()?;
    KINDS.get(leading.checked_sub(2_000_000)?)
}

#[cfg(test)]
mod tests {
    use super::super::floor::north_american_parsed;
    use super::super::tables::tests::tables;
    use super::*;

    /// Numbers of every exchange by chance, the same ones each time.
    struct Dice(u64);

    impl Dice {
        fn throw(&mut self, sides: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }
    }

    #[test]
    fn a_thousand_numbers_are_of_one_kind() {
        let mut dice = Dice(5);
        let mut kinds = std::collections::HashSet::new();
        for area_code in tables().area_codes.keys() {
            for _ in 0..40 {
                let leading = format!("{area_code}{:04}", 2_000 + dice.throw(8_000));
                let numbers = [0, 999, dice.throw(1_000), dice.throw(1_000)];
                let [first, rest @ ..] = numbers.map(|last| {
                    north_american_parsed(&format!("{leading}{last:03}"))
                        .unwrap()
                        .get_type()
                });
                assert!(rest.iter().all(|kind| *kind == first), "{leading}");
                kinds.insert(format!("{first:?}"));
            }
        }
        assert!(kinds.len() > 3, "{kinds:?}");
    }

    #[test]
    fn what_was_learned_is_known_of_those_that_begin_alike() {
        // Nobody else asks about these: the area code is nobody's.
        assert_eq!(known("9990000001"), None);
        for (index, kind) in ALL.into_iter().enumerate() {
            let begins = format!("999{index:04}");
            assert_eq!(learn(&format!("{begins}001"), kind), kind);
            assert_eq!(known(&format!("{begins}999")), Some(kind));
        }
        for other in ["9990012001", "99900000011", "999000000", "1990000001", ""] {
            assert_eq!(known(other), None, "{other}");
        }
        assert_eq!(
            learn("999000000", PhoneNumberType::Pager),
            PhoneNumberType::Pager
        );
    }
}
