//! Numbers as people and spreadsheets write them, read into E.164. That a number may be dialed is [`super::dialable`]'s
//! judgement, of what comes out here.
//!
//! Nothing is guessed, for somebody may be called: what has letters, an extension or a second number in it is told, not
//! mended. A wish to stop is read more kindly, by [`super::spelled`]. A number without its calling code is read as somebody
//! in the stated country would dial it.

use std::borrow::Cow;

use rlibphonenumber::{PhoneNumber, PhoneNumberFormat, Region};

use super::Tables;

/// Nobody writes a number longer than this, separators included.
const LONGEST_SPELLING: usize = 64;

/// Why a text cannot be read as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotANumber {
    /// Nothing there.
    #[error("empty")]
    Empty,
    /// Letters, or other signs that are in no number.
    #[error("holds letters or signs that are in no number: write digits")]
    OtherSigns,
    /// An extension behind the number.
    #[error("has an extension: a line behind a switchboard cannot be dialed from here")]
    Extension,
    /// Without its calling code, and no country was stated.
    #[error(
        "has no calling code: write `+` and the calling code, or state the country of the list"
    )]
    CountryMissing,
    /// Digits that are no number there.
    #[error("not a number as it is written in its country: check its length")]
    NotRead,
}

impl NotANumber {
    /// The code for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "EMPTY",
            Self::OtherSigns => "OTHER_SIGNS",
            Self::Extension => "EXTENSION",
            Self::CountryMissing => "COUNTRY_MISSING",
            Self::NotRead => "NOT_A_NUMBER",
        }
    }
}

/// The country in which numbers without a calling code are read.
#[derive(Debug, Clone, Copy)]
pub struct HomeCountry(Region);

impl HomeCountry {
    /// The country of this ISO 3166-1 code; none if the tables or the numbering plans do not know it.
    #[must_use]
    pub fn parse(tables: &Tables, code: &str) -> Option<Self> {
        let code = code.to_ascii_uppercase();
        let region = Region::try_from(code.as_str()).ok()?;
        tables.knows_country(&code).then_some(Self(region))
    }
}

/// Reads a number as it is written: E.164 as it is, else what its digits come to in the country of the list.
pub fn read_number(text: &str, home: Option<HomeCountry>) -> Result<Cow<'_, str>, NotANumber> {
    if is_strict(text) {
        return Ok(Cow::Borrowed(text));
    }
    let digits = plain_digits(text)?;
    if digits.starts_with('+') {
        return Ok(Cow::Owned(digits));
    }
    let home = home.ok_or(NotANumber::CountryMissing)?;
    let parsed = PhoneNumber::parse(&digits, Some(home.0)).map_err(|_| NotANumber::NotRead)?;
    Ok(Cow::Owned(
        parsed.format_as(PhoneNumberFormat::E164).into_owned(),
    ))
}

fn is_strict(text: &str) -> bool {
    let digits = text.strip_prefix('+');
    digits
        .is_some_and(|digits| digits.len() > 6 && digits.bytes().all(|each| each.is_ascii_digit()))
}

/// The digits, and a plus sign before them, without what separates them.
fn plain_digits(text: &str) -> Result<String, NotANumber> {
    let text = text.trim_matches(|each: char| each.is_whitespace() || each == '\u{feff}');
    let text = strip_scheme(text);
    if text.is_empty() {
        return Err(NotANumber::Empty);
    }
    if text.len() > LONGEST_SPELLING * 4 || text.chars().count() > LONGEST_SPELLING {
        return Err(NotANumber::NotRead);
    }
    let mut digits = String::with_capacity(text.len());
    for each in text.chars() {
        if let Some(digit) = digit(each) {
            digits.push(digit);
        } else if matches!(each, '+' | '\u{ff0b}') && digits.is_empty() {
            digits.push('+');
        } else if !separates(each) {
            return Err(other_sign(text));
        }
    }
    // What a spreadsheet makes of a number that it took for an amount.
    let is_amount = text.ends_with(".0") || text.ends_with(".00");
    match digits.trim_start_matches('+').is_empty() || is_amount {
        true => Err(NotANumber::NotRead),
        // `+49 (0)30 …`: the zone's own 0 is left out behind a calling code.
        false if digits.starts_with('+') && text.contains("(0)") => Err(NotANumber::NotRead),
        false => Ok(digits),
    }
}

fn strip_scheme(text: &str) -> &str {
    let head = text.get(..4).unwrap_or_default();
    match head.eq_ignore_ascii_case("tel:") {
        true => text.get(4..).unwrap_or_default(),
        false => text,
    }
}

/// An extension is a number with something behind it; whatever else has letters is none.
fn other_sign(text: &str) -> NotANumber {
    let lower = text.to_lowercase();
    let marks = ["ext", "x", "#", ",", ";", "durchwahl", "anexo", "int."];
    let is_digit = |each: char| digit(each).is_some();
    let is_number = |head: &str| {
        let digits = head.chars().filter(|each| is_digit(*each)).count();
        let signs = |each: char| is_digit(each) || separates(each) || each == '+';
        digits > 5 && head.chars().all(signs)
    };
    let has_extension = marks
        .iter()
        .filter_map(|mark| lower.split_once(mark))
        .any(|(number, rest)| is_number(number) && rest.chars().any(is_digit));
    match has_extension {
        true => NotANumber::Extension,
        false => NotANumber::OtherSigns,
    }
}

/// ASCII, full-width and Arabic digits.
fn digit(each: char) -> Option<char> {
    let from = |zero: char| {
        let value = u32::from(each).checked_sub(u32::from(zero))?;
        char::from_digit(value, 10)
    };
    ['0', '\u{ff10}', '\u{0660}', '\u{06f0}']
        .into_iter()
        .find_map(from)
}

/// What stands between the digits of a number.
fn separates(each: char) -> bool {
    each.is_whitespace()
        || matches!(
            each,
            '-' | '.' | '(' | ')' | '/' | '[' | ']' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}'
                | '\u{ff08}' | '\u{ff09}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, home: &str) -> Result<String, NotANumber> {
        let tables = Tables::shared().unwrap();
        let home = HomeCountry::parse(&tables, home);
        read_number(text, home).map(Cow::into_owned)
    }

    #[test]
    fn a_number_is_read_as_it_is_written_there() {
        for (text, home, number) in [
            ("+14045550141", "", "+14045550141"),
            ("+1 (404) 555-0141", "", "+14045550141"),
            ("tel:+1-404-555-0141", "", "+14045550141"),
            ("\u{feff} +1.404.555.0141 ", "", "+14045550141"),
            ("(404) 555-0141", "US", "+14045550141"),
            ("404 555 0141", "us", "+14045550141"),
            ("1 404 555 0141", "US", "+14045550141"),
            ("4045550141", "US", "+14045550141"),
            ("011 49 30 901820", "US", "+4930901820"),
            ("030 / 90 18 20", "DE", "+4930901820"),
            ("0049 30 901820", "DE", "+4930901820"),
            ("+４４ ２０ ７９４６ ０９５８", "", "+442079460958"),
            ("٠٢٠٧٩٤٦٠٩٥٨", "GB", "+442079460958"),
            ("06 1234 5678", "IT", "+390612345678"),
            (
                "\u{202a}020\u{2011}7946 0958\u{202c}",
                "GB",
                "+442079460958",
            ),
        ] {
            assert_eq!(read(text, home).as_deref(), Ok(number), "{text} in {home}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, home, problem) in [
            ("", "US", NotANumber::Empty),
            ("  ", "US", NotANumber::Empty),
            ("404 555 0141", "", NotANumber::CountryMissing),
            ("0049 30 901820", "", NotANumber::CountryMissing),
            ("phone", "US", NotANumber::OtherSigns),
            ("1-800-FLOWERS", "US", NotANumber::OtherSigns),
            ("1.40456E+10", "US", NotANumber::OtherSigns),
            ("4045550141.0", "US", NotANumber::NotRead),
            ("404 555 0141 x12", "US", NotANumber::Extension),
            ("+1 404 555 0141 ext. 5", "US", NotANumber::Extension),
            ("+49 30 901820;ext=12", "", NotANumber::Extension),
            ("+49 30 901820, 12", "", NotANumber::Extension),
            ("+49 (0)30 901820", "", NotANumber::NotRead),
            ("+1+4045550141", "", NotANumber::OtherSigns),
            ("---", "US", NotANumber::NotRead),
            ("1", "US", NotANumber::NotRead),
            ("4045550141\u{fffd}", "US", NotANumber::OtherSigns),
            (&"4".repeat(70), "US", NotANumber::NotRead),
        ] {
            assert_eq!(read(text, home), Err(problem), "{text} in {home}");
        }
    }

    #[test]
    fn a_country_is_one_that_the_tables_know() {
        let tables = Tables::shared().unwrap();
        for (code, known) in [
            ("US", true),
            ("de", true),
            ("XX", false),
            ("", false),
            ("USA", false),
        ] {
            assert_eq!(HomeCountry::parse(&tables, code).is_some(), known, "{code}");
        }
    }
}
