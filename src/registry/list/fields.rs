//! One line: its columns, and the number that they say.

use std::borrow::Cow;
use std::sync::Arc;

use super::report::RejectReason;
use crate::domain::phone::{Phone, without_decimals};
use crate::place::{self, Tables, Unreadable};

type Read<T> = Result<T, RejectReason>;

/// Added or deleted, in a change list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Added,
    Deleted,
}

/// The columns of a line. A row is a line: quotation marks do not span lines, so that a stray one costs its own line only.
pub(super) fn columns(line: &[u8], delimiter: u8) -> Read<Vec<Cow<'_, [u8]>>> {
    if !line.contains(&b'"') {
        return Ok(line
            .split(|byte| *byte == delimiter)
            .map(Cow::Borrowed)
            .collect());
    }
    let quotes = line.iter().filter(|byte| **byte == b'"').count();
    if !quotes.is_multiple_of(2) {
        return Err(RejectReason::OpenQuote);
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(line);
    let mut row = csv::ByteRecord::new();
    match reader.read_byte_record(&mut row) {
        Ok(true) => Ok(row.iter().map(|field| Cow::Owned(field.to_vec())).collect()),
        _ => Err(RejectReason::WrongColumns),
    }
}

/// What stands between the columns of this line: the first of the usual ones that occurs.
pub(super) fn delimiter_of(line: &[u8]) -> u8 {
    let usual = [b',', b';', b'\t', b'|'];
    let found = usual.into_iter().find(|byte| line.contains(byte));
    found.unwrap_or(b',')
}

/// How numbers are read that are written out.
#[derive(Debug)]
pub(super) struct Spelling {
    tables: Arc<Tables>,
    country: Option<String>,
    /// Numbers without a country are of the North American plan.
    is_north_american: bool,
}

impl Spelling {
    pub fn new(tables: Arc<Tables>, country: Option<String>) -> Self {
        const SAMPLE: &str = "2015550123";
        let sample = place::spelled(&tables, SAMPLE, country.as_deref());
        Self {
            is_north_american: sample.is_ok_and(|number| number.integer() == 12_015_550_123),
            tables,
            country,
        }
    }

    /// Tells whether ten digits are a number of the North American plan.
    pub fn is_north_american(&self) -> bool {
        self.is_north_american
    }

    /// The number of a column that holds all of it.
    pub fn number(&self, field: &[u8]) -> Read<Phone> {
        let text = text_of(field)?;
        let text = text.strip_prefix("tel:").unwrap_or(&text);
        let digits = digits_of(text)?;
        let has_plus = text.starts_with('+');
        // Within a country numbers may be very short, and exit prefixes make them longer than any.
        let least = match has_plus {
            true => 7,
            false if self.is_north_american => 10,
            false => 4,
        };
        if digits.len() < least {
            return Err(RejectReason::TooShort);
        }
        // Most lists are plain digits; the library takes microseconds for each.
        match (digits.len(), digits.starts_with('1')) {
            (10, false) if self.is_north_american && !has_plus && !digits.starts_with('0') => {
                return north_american(&digits);
            }
            (11, true) if self.is_north_american || has_plus => {
                return north_american(digits.get(1..).unwrap_or_default());
            }
            _ => {}
        }
        let number = place::spelled(&self.tables, text, self.country.as_deref());
        let number = number.map_err(|why| match why {
            Unreadable::CountryMissing => RejectReason::CountryMissing,
            Unreadable::NotANumber if digits.len() < 7 => RejectReason::TooShort,
            Unreadable::NotANumber if digits.len() > 15 => RejectReason::TooLong,
            Unreadable::NotANumber => RejectReason::NotPossible,
        })?;
        let digits = number.digits();
        match digits.strip_prefix('1') {
            Some(national) => north_american(national),
            None => Ok(number),
        }
    }
}

/// The number of two columns, area code and the rest.
pub(super) fn area_code_and_number(area_code: &[u8], rest: &[u8]) -> Read<Phone> {
    let area_code = exactly(3, area_code)?;
    let rest = exactly(7, rest)?;
    north_american(&(area_code + &rest))
}

/// Tells whether two columns are area code and number as far as their lengths go.
pub(super) fn is_split(area_code: &[u8], rest: &[u8]) -> bool {
    exactly(3, area_code).is_ok() && exactly(7, rest).is_ok()
}

/// The mark among what follows the number in a line of a change list: one column is the mark, the others are empty or a
/// time. Owners differ in their order.
pub(super) fn mark_of(columns: &[Cow<'_, [u8]>]) -> Read<Mark> {
    let mut found = None;
    for column in columns {
        let word = column.trim_ascii();
        let mark = match word.to_ascii_lowercase().as_slice() {
            b"a" | b"add" | b"added" => Some(Mark::Added),
            b"d" | b"del" | b"delete" | b"deleted" => Some(Mark::Deleted),
            _ => None,
        };
        if mark.is_none() && !is_time(word) {
            return Err(RejectReason::NoMark);
        }
        if mark.is_some() && found.replace(mark).is_some() {
            return Err(RejectReason::WrongColumns);
        }
    }
    found.flatten().ok_or(RejectReason::NoMark)
}

/// Nothing, or what a date and a time consist of. The day counts of a list are in its label; this one is not read.
fn is_time(word: &[u8]) -> bool {
    let halves = [b"AM".as_slice(), b"PM", b"am", b"pm"];
    let word = halves
        .into_iter()
        .find_map(|half| word.strip_suffix(half))
        .unwrap_or(word);
    let of_time = |byte: &u8| byte.is_ascii_digit() || b" -:/.+TZ".contains(byte);
    word.iter().all(of_time) && word.first().is_none_or(u8::is_ascii_digit)
}

/// Ten digits of the North American plan: neither area codes nor exchanges begin with 0 or 1.
fn north_american(national: &str) -> Read<Phone> {
    let begins = |at: usize| {
        let digit = national.as_bytes().get(at);
        digit.is_some_and(|digit| (b'2'..=b'9').contains(digit))
    };
    if national.len() != 10 || !begins(0) || !begins(3) {
        return Err(RejectReason::NotPossible);
    }
    let digits: u64 = national.parse().map_err(|_| RejectReason::NotPossible)?;
    Phone::of_integer(10_000_000_000 + digits).map_err(|_| RejectReason::NotPossible)
}

/// So many digits and nothing else but what may stand between digits.
fn exactly(count: usize, field: &[u8]) -> Read<String> {
    let text = text_of(field)?;
    let digits = digits_of(&text)?;
    match digits.len().cmp(&count) {
        std::cmp::Ordering::Less => Err(RejectReason::TooShort),
        std::cmp::Ordering::Greater => Err(RejectReason::TooLong),
        std::cmp::Ordering::Equal if text.starts_with('+') => Err(RejectReason::NotPossible),
        std::cmp::Ordering::Equal => Ok(digits),
    }
}

/// The text of a column, with ASCII for full-width digits, without blanks around it.
fn text_of(field: &[u8]) -> Read<Cow<'_, str>> {
    let text = std::str::from_utf8(field).map_err(|_| RejectReason::NotUtf8)?;
    // Blanks that spreadsheets leave, and a mark that text tools leave in the middle when they join files.
    let around = |each: char| each.is_whitespace() || matches!(each, '\u{200b}' | '\u{feff}');
    let text = text.trim_matches(around);
    if text.is_empty() {
        return Err(RejectReason::NoNumber);
    }
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text));
    }
    let ascii = |each: char| match each {
        '\u{ff10}'..='\u{ff19}' => {
            char::from_u32(u32::from(each) - 0xff10 + u32::from('0')).unwrap_or(each)
        }
        '\u{ff0b}' => '+',
        other => other,
    };
    Ok(Cow::Owned(text.chars().map(ascii).collect()))
}

/// The digits of a number, if there is nothing else than what people write between them.
fn digits_of(text: &str) -> Read<String> {
    let text = without_decimals(text);
    let mut digits = String::with_capacity(text.len().min(16));
    for (at, each) in text.char_indices() {
        match each {
            '0'..='9' => digits.push(each),
            '+' if at == 0 => {}
            '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
            blank if blank.is_whitespace() => {}
            _ if digits.len() >= 7 && is_extension(text.get(at..).unwrap_or_default()) => {
                return Err(RejectReason::Extension);
            }
            letter if letter.is_alphabetic() => return Err(RejectReason::Letters),
            _ => return Err(RejectReason::NotPossible),
        }
    }
    Ok(digits)
}

/// Tells whether an extension begins here: `x12`, `ext. 12`, `;ext=12`, `#12`.
fn is_extension(rest: &str) -> bool {
    let rest = rest.to_ascii_lowercase();
    let rest = rest.trim_start_matches([';', ',', ' ']);
    let heads = ["extension", "ext", "x", "#"];
    let after = heads.iter().find_map(|head| rest.strip_prefix(head));
    let after = after.map(|rest| rest.trim_start_matches(['.', ':', '=', ' ']));
    after.is_some_and(|after| after.starts_with(|each: char| each.is_ascii_digit()))
}
