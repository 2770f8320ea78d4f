//! How lists are written, whatever their rows mean: columns found by name or place, encodings, and the parts that rows of every
//! kind may have. A row that is rejected is told by its line and its reason, never by what stands in it.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::account::AccountHasher;
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::import::{ImportReject, RejectReason};
use crate::domain::phone::{NumberHasher, Phone};
use crate::domain::time::{self, EARLIEST_WISH, Listed, Micros};
use crate::gate::{Campaigns, ReadClocks};
use crate::place::{HomeCountry, NotANumber, Unreadable, read_number, spelled};
use crate::policy::Pack;

use super::cells::{Cells, bare, detected, split};
use super::kind::{Found, Kind};

/// How much a clock elsewhere may be ahead.
const DRIFT: std::time::Duration = std::time::Duration::from_secs(60);

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListForm {
    /// A number a line.
    #[default]
    Lines,
    /// Columns; what stands between them, if it is not to be told by the first line.
    Columns(Option<char>),
}

/// In which encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListEncoding {
    /// UTF-8, or UTF-16 by its first bytes; a line that is not UTF-8 is read as Latin-1.
    #[default]
    Detected,
    /// UTF-8 and nothing else.
    Utf8,
    /// Latin-1, as Windows writes it.
    Latin1,
}

/// How a list is to be read, whatever its rows mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSettings {
    /// How it is packed.
    pub packing: super::Packing,
    /// In which encoding it is written.
    pub encoding: ListEncoding,
    /// A number a line, or columns.
    pub form: ListForm,
    /// The first line that is not empty names the columns.
    pub has_header: bool,
    /// The country of numbers that are written without one.
    pub default_country: Option<String>,
}

/// Why a row means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: RejectReason,
    pub problem: &'static str,
}

impl Refusal {
    pub fn at(self, line: i64) -> ImportReject {
        ImportReject {
            line,
            reason: self.reason,
            problem: self.problem.to_owned(),
        }
    }
}

pub(super) const fn refuse(reason: RejectReason, problem: &'static str) -> Refusal {
    Refusal { reason, problem }
}

pub(super) const LINE_TOO_LONG: Refusal =
    refuse(RejectReason::LineTooLong, "the line is longer than 64 KiB");
pub(super) const OPEN_QUOTE: Refusal = refuse(
    RejectReason::OpenQuote,
    "the row opens quotes that it does not close, or that close in another row; write a quote within quotes twice",
);
pub(super) const NUMBER_MISSING: Refusal =
    refuse(RejectReason::NumberMissing, "the row names no number");
const NUL: Refusal = refuse(
    RejectReason::Nul,
    "the line holds a NUL character; send plain text",
);
const ENCODING: Refusal = refuse(
    RejectReason::Encoding,
    "the line is not UTF-8; name the encoding, or convert the list",
);
const COLUMN_COUNT: Refusal = refuse(
    RejectReason::ColumnCount,
    "the row has another count of columns than the first",
);
const NO_TIME: Refusal = refuse(
    RejectReason::Time,
    "the time is none: write it as 2026-11-20T14:30:00Z, best with its offset, or a day as 2026-11-20",
);

const NO_DATE: Refusal = refuse(
    RejectReason::Time,
    "the time lies before 1990, as what programs write for no date does: leave it empty if it is not known",
);
const NO_NUMBER: &str =
    "is not a telephone number: write `+`, the country calling code and the national number";
const COUNTRY_MISSING: Refusal = refuse(
    RejectReason::CountryMissing,
    "the number is written without its country: write `+` and the calling code, or give a default country",
);

/// What rows are read with.
pub(super) struct RowReader<K> {
    pub settings: ListSettings,
    /// What rows mean.
    pub rows: K,
    pub tenant: TenantId,
    pub hasher: NumberHasher,
    pub account_hasher: AccountHasher,
    pub pack: Arc<Pack>,
    pub campaigns: Campaigns,
    pub read: ReadClocks,
}

/// Where the columns of one list are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout<P> {
    delimiter: Option<char>,
    count: usize,
    places: P,
}

/// The parts of a row.
pub(super) struct Parts<'a>(&'a [String]);

impl<'a> Parts<'a> {
    /// What stands at a place; nothing if it is empty.
    pub fn at(&self, place: Option<usize>) -> Option<&'a str> {
        let text = self.0.get(place?)?.trim();
        (!text.is_empty()).then_some(text)
    }
}

impl<K: Kind> RowReader<K> {
    /// That of a list that has a number a line, or no line at all.
    pub fn number_alone() -> Layout<K::Places> {
        Layout {
            delimiter: None,
            count: 1,
            places: K::number_alone(),
        }
    }

    /// Finds the columns by the first line, or says why they are not there.
    pub fn layout(&self, first: &[u8]) -> Result<Layout<K::Places>, String> {
        let ListForm::Columns(delimiter) = self.settings.form else {
            return Ok(Self::number_alone());
        };
        let text = self
            .text(first)
            .map_err(|refusal| refusal.problem.to_owned())?;
        let delimiter = delimiter.unwrap_or_else(|| detected(&text));
        let Cells::Whole(cells) = split(&text, Some(delimiter)) else {
            return Err("the first line opens quotes and does not close them".to_owned());
        };
        Ok(Layout {
            delimiter: Some(delimiter),
            count: cells.len(),
            places: self.rows.places(|column| self.place(column, &cells))?,
        })
    }

    fn place(&self, column: &Option<String>, cells: &[String]) -> Found {
        let Some(name) = column else { return Ok(None) };
        let wanted = name.trim();
        let is_named = |cell: &String| cell.trim().eq_ignore_ascii_case(wanted);
        if self.settings.has_header
            && let Some(place) = cells.iter().position(is_named)
        {
            return Ok(Some(place));
        }
        match wanted.parse::<usize>() {
            Ok(place) if (1..=cells.len()).contains(&place) => Ok(Some(place - 1)),
            Ok(place) => Err(format!(
                "there is no column {place}: the first line has {}",
                cells.len()
            )),
            Err(_) if self.settings.has_header => {
                Err(format!("the first line names no column `{wanted}`"))
            }
            Err(_) => Err(format!(
                "the column `{wanted}` is no number: without a header line columns are named by their place, from 1"
            )),
        }
    }

    /// A line as text.
    pub fn text(&self, bytes: &[u8]) -> Result<String, Refusal> {
        if bytes.contains(&0) {
            return Err(NUL);
        }
        match (self.settings.encoding, std::str::from_utf8(bytes)) {
            (ListEncoding::Detected | ListEncoding::Utf8, Ok(text)) => Ok(text.to_owned()),
            (ListEncoding::Utf8, Err(_)) => Err(ENCODING),
            (ListEncoding::Detected, Err(_)) | (ListEncoding::Latin1, _) => {
                Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
            }
        }
    }

    /// The cells of a text.
    pub fn cells(&self, layout: &Layout<K::Places>, text: &str) -> Cells {
        match layout.delimiter {
            None => Cells::Whole(vec![bare(text).to_owned()]),
            delimiter => split(text, delimiter),
        }
    }

    /// What the cells of a row mean; nothing if all of them are empty.
    pub fn row(
        &self,
        layout: &Layout<K::Places>,
        line: i64,
        cells: &[String],
    ) -> Result<Option<K::Row>, Refusal> {
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(None);
        }
        if cells.len() != layout.count {
            return Err(COLUMN_COUNT);
        }
        K::row(self, &layout.places, line, &Parts(cells)).map(Some)
    }

    /// A number, in any common spelling.
    pub fn number(&self, text: &str) -> Result<Phone, Refusal> {
        let country = self.settings.default_country.as_deref();
        spelled(self.pack.tables(), text, country).map_err(|why| match why {
            Unreadable::NotANumber => refuse(RejectReason::Number, NO_NUMBER),
            Unreadable::CountryMissing => COUNTRY_MISSING,
        })
    }

    /// A number that may be called for it: nothing is guessed, no letters, no extension.
    pub fn number_to_call(&self, text: &str) -> Result<Phone, Refusal> {
        let tables = self.pack.tables();
        let home = self.settings.default_country.as_deref();
        let home = home.and_then(|country| HomeCountry::parse(tables, country));
        let digits = read_number(text, home).map_err(|why| match why {
            NotANumber::CountryMissing => COUNTRY_MISSING,
            NotANumber::Extension => refuse(
                RejectReason::Number,
                "has an extension: the line behind a switchboard cannot be dialed, and whom the others reach did not consent",
            ),
            NotANumber::OtherSigns => refuse(
                RejectReason::Number,
                "holds letters or signs that are in no number: write digits",
            ),
            NotANumber::Empty | NotANumber::NotRead => refuse(RejectReason::Number, NO_NUMBER),
        })?;
        Phone::parse(&digits).map_err(|_| refuse(RejectReason::Number, NO_NUMBER))
    }

    /// A seller, or that of rows that name none.
    pub fn seller(&self, part: Option<&str>) -> Result<Option<String>, Refusal> {
        match part {
            None => Ok(self.rows.seller().map(str::to_owned)),
            Some(seller) if self.campaigns.calls_for(seller) => Ok(Some(seller.to_owned())),
            Some(_) => Err(refuse(
                RejectReason::Seller,
                "no campaign of the configuration calls for this seller",
            )),
        }
    }

    /// An instant that has come, twice; or the first and the last moment of a day, or of a time without an offset, wherever on
    /// Earth, neither of them later than now.
    pub fn moment(&self, text: &str) -> Result<(Micros, Micros), Refusal> {
        let now = (self.read)().wall;
        let (first, last) = match (time::listed(text), time::date(text)) {
            (Some(Listed::Instant(at)), _) => (at.into(), at.into()),
            (Some(Listed::Clock(clock)), _) => {
                anywhere(clock, Duration::from_secs(60)).ok_or(NO_TIME)?
            }
            (None, Some(day)) => {
                anywhere(day.into(), Duration::from_secs(86_400)).ok_or(NO_TIME)?
            }
            (None, None) => return Err(NO_TIME),
        };
        if last < EARLIEST_WISH {
            return Err(NO_DATE);
        }
        if first > now.plus(DRIFT) {
            return Err(refuse(
                RejectReason::TimeInFuture,
                "the time lies in the future",
            ));
        }
        Ok((first.min(now), last.min(now)))
    }
}

/// The first and the last moment of what begins at this time of the day and lasts so long, wherever on Earth.
fn anywhere(begins: jiff::civil::DateTime, lasts: Duration) -> Option<(Micros, Micros)> {
    let begins = begins.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let hours = |count: u64| Duration::from_secs(3600 * count);
    let begins = Micros::from(begins);
    let ends = begins.plus(lasts).plus(hours(12));
    Some((
        begins.minus(hours(14)),
        ends.minus(Duration::from_micros(1)),
    ))
}

/// A person's identifier.
pub(super) fn party(text: &str) -> Result<PartyId, Refusal> {
    text.parse()
        .map_err(|_| refuse(RejectReason::Party, "the party_id is not a UUID"))
}

pub(super) const CHANNEL: Refusal = refuse(
    RejectReason::Channel,
    "there is no such kind of call: live_manual, autodialed, prerecorded, or all",
);
pub(super) const PURPOSE: Refusal = refuse(
    RejectReason::Purpose,
    "there is no such purpose: sales, informational, service, or all",
);

/// The words of a set in a cell, each once; none = all.
pub(super) fn words<T: std::str::FromStr + PartialEq>(
    text: &str,
    unknown: Refusal,
) -> Result<Vec<T>, Refusal> {
    let mut found = Vec::new();
    let is_between = |each: char| each.is_whitespace() || matches!(each, ',' | ';' | '|' | '+');
    for word in text.split(is_between).filter(|word| !word.is_empty()) {
        let word = word.to_ascii_lowercase();
        if word == "all" {
            return Ok(Vec::new());
        }
        let word = match word.parse() {
            Ok(word) => word,
            Err(_) => return Err(unknown),
        };
        if !found.contains(&word) {
            found.push(word);
        }
    }
    Ok(found)
}

/// Text of so many characters at most.
pub(super) fn text(part: Option<&str>, chars_max: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = part else { return Ok(None) };
    let is_control = |each: char| each.is_control() && !matches!(each, '\n' | '\t');
    if text.chars().count() > chars_max || text.contains(is_control) {
        return Err(refuse(
            RejectReason::Text,
            "a text is too long (a source 64, a reference 512, a note 4096 characters) or holds control characters",
        ));
    }
    Ok(Some(text.to_owned()))
}
