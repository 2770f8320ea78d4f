//! How people write numbers: with blanks, brackets, full-width digits, letters on the keys, an extension, or without the
//! country. For wishes to stop, which are taken however they are written; what is to be dialed is asked of [`super::dialable`].

use rlibphonenumber::{NumberLengthType, PhoneNumber};

use super::floor::dialable;
use super::tables::Tables;
use crate::domain::phone::{Phone, without_decimals};

/// No spelling of a number is longer.
const LONGEST_SPELLING: usize = 250;

/// Why a text is not taken for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// It is none.
    #[error(
        "is not a telephone number: write `+`, the country calling code and the national number"
    )]
    NotANumber,
    /// It is written as within a country, and nobody said which.
    #[error(
        "is written without its country: write `+` and the country calling code, or give a default country"
    )]
    CountryMissing,
}

/// The number that this text means; one without a country is of `country` (ISO 3166-1). Any well-formed number is taken,
/// dialable or not: the tables may learn tomorrow what they do not know today.
pub fn spelled(tables: &Tables, text: &str, country: Option<&str>) -> Result<Phone, Unreadable> {
    let text = without_decimals(text.trim());
    if text.is_empty() || text.len() > LONGEST_SPELLING {
        return Err(Unreadable::NotANumber);
    }
    if let Ok(strict) = Phone::parse(text) {
        // As it would be dialed, if it can be. A trunk prefix that was left in can't, and the wish is about the line behind it.
        return Ok(match dialable(tables, text) {
            Ok(number) => number.phone,
            Err(_) => meant(text, None)
                .filter(|meant| dialable(tables, &meant.reveal()).is_ok())
                .unwrap_or(strict),
        });
    }
    let text = international(text);
    if let Some(meant) = meant(&text, country) {
        return Ok(meant);
    }
    let plain = without_separators(&text);
    if let Ok(number) = Phone::parse(&plain) {
        return Ok(number);
    }
    let is_national = country.is_none() && (4..=15).contains(&plain.len());
    if is_national && plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unreadable::CountryMissing);
    }
    Err(Unreadable::NotANumber)
}

/// As the library reads it, if its length is that of a number of its country: letters and stray digits would make another
/// number of it.
fn meant(text: &str, country: Option<&str>) -> Option<Phone> {
    let region = country.and_then(|country| country.parse().ok());
    let parsed = PhoneNumber::parse(text, region).ok()?;
    if parsed.is_possible_with_reason() != Ok(NumberLengthType::IsPossible) {
        return None;
    }
    Phone::parse(&parsed.to_string()).ok()
}

/// The exit prefix of most of the world for the plus sign, as it is written in lists; and its full-width twin.
fn international(text: &str) -> String {
    let text = text.replace('＋', "+");
    match text.strip_prefix("00") {
        Some(rest) if !rest.starts_with('0') => format!("+{rest}"),
        _ => text,
    }
}

/// Digits of any script as ASCII ones, without what stands between them.
fn without_separators(text: &str) -> String {
    let is_between = |each: char| {
        each.is_whitespace()
            || matches!(
                each,
                '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}'
            )
    };
    let ascii = |each: char| match each {
        '０'..='９' => {
            char::from_u32(u32::from(each) - u32::from('０') + u32::from('0')).unwrap_or(each)
        }
        other => other,
    };
    text.chars()
        .filter(|each| !is_between(*each))
        .map(ascii)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, country: Option<&str>) -> Result<String, Unreadable> {
        let tables = Tables::shared().unwrap();
        spelled(&tables, text, country).map(Phone::reveal)
    }

    #[test]
    fn common_spellings_mean_the_same_number() {
        for text in [
            "+14045550141",
            " +1 (404) 555-0141 ",
            "+1.404.555.0141",
            "+1\u{a0}404\u{a0}555\u{a0}0141",
            "0014045550141",
            "tel:+1-404-555-0141",
            "+１４０４５５５０１４１",
            "＋１ ４０４ ５５５ ０１４１",
            "+1 404 555 0141 ext. 12",
            "+1 404 555 0141 x12",
            "+1404555-0141;ext=3",
            "+14045550141.0",
        ] {
            assert_eq!(read(text, None).as_deref(), Ok("+14045550141"), "{text}");
        }
        for text in [
            "4045550141",
            "(404) 555-0141",
            "1-404-555-0141",
            "404.555.0141",
            "4045550141.0",
            "14045550141.00",
            "４０４５５５０１４１",
        ] {
            assert_eq!(
                read(text, Some("US")).as_deref(),
                Ok("+14045550141"),
                "{text}"
            );
        }
        for (text, country, number) in [
            ("020 7946 0018", "GB", "+442079460018"),
            ("+44 (0)20 7946 0018", "US", "+442079460018"),
            ("+4402079460018", "US", "+442079460018"),
            ("0044 20 7946 0018", "DE", "+442079460018"),
            ("011 44 20 7946 0018", "US", "+442079460018"),
            ("06 1234 5678", "IT", "+390612345678"),
            ("030/23125 000", "DE", "+493023125000"),
            ("1-800-FLOWERS", "US", "+18003569377"),
        ] {
            assert_eq!(read(text, Some(country)).as_deref(), Ok(number), "{text}");
        }
    }

    #[test]
    fn a_number_that_nobody_may_dial_is_taken_all_the_same() {
        for text in [
            "+19005550141",
            "+999123456789",
            "+8835100012345",
            "+10005550141",
        ] {
            assert_eq!(read(text, None).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_number_is_not_taken_for_one() {
        for text in [
            "",
            "  ",
            "n/a",
            "unknown",
            "john@example.com",
            "+",
            "+1",
            "12",
            "911",
            "4045550141 / 4045550142",
            "4045550141 4045550142",
            "4045550141abc",
            "+1404555014112345678",
            "1.4045550141E10",
            "1.40456E+10",
            "=+14045550141+1",
            "00000000000",
        ] {
            assert!(
                read(text, Some("US")).is_err(),
                "{text}: {:?}",
                read(text, Some("US"))
            );
        }
        assert_eq!(read("4045550141", None), Err(Unreadable::CountryMissing));
        assert_eq!(
            read("(404) 555-0141", None),
            Err(Unreadable::CountryMissing)
        );
        assert_eq!(
            read(&"1".repeat(1_000_000), Some("US")),
            Err(Unreadable::NotANumber)
        );
    }
}
