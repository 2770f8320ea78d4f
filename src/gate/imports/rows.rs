//! Rows of a list: what each line means, or why it means nothing. A row that is rejected is told by its line and its reason,
//! never by what stands in it.

use std::sync::Arc;

use crate::domain::account::{Account, AccountHasher};
use crate::domain::call::{CallKind, Purpose};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::import::{ImportReject, RejectReason};
use crate::domain::phone::NumberHasher;
use crate::domain::suppression::{SuppressionReason, SuppressionSource, SuppressionSubject};
use crate::domain::time::{self, Micros};
use crate::gate::{Campaigns, ReadClocks};
use crate::place::{Unreadable, spelled};
use crate::policy::Pack;

use super::cells::{Cells, bare, detected, split};

/// Longest reference to evidence, in characters; as one opt-out alone may have.
const REFERENCE_CHARS_MAX: usize = 512;
/// Longest note.
const NOTE_CHARS_MAX: usize = 4096;
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

/// Where each part of a row stands: the name of its column in the header line, or its place from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListColumns {
    /// The number.
    pub number: Option<String>,
    /// The person, in place of a number.
    pub party_id: Option<String>,
    /// The account, in place of a number.
    pub account: Option<String>,
    /// The seller it binds.
    pub seller: Option<String>,
    /// The kinds of call it covers.
    pub channels: Option<String>,
    /// The purposes it covers.
    pub purposes: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it was said.
    pub received_time: Option<String>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDefaults {
    /// The seller; absent = every seller.
    pub seller: Option<String>,
    /// The kinds of call; empty = all.
    pub channels: Vec<CallKind>,
    /// The purposes; empty = all.
    pub purposes: Vec<Purpose>,
    /// Why.
    pub reason: SuppressionReason,
    /// How it reached us.
    pub source: SuppressionSource,
    /// When it was said; absent = when the list came.
    pub received_at: Option<Micros>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// How a list is to be read.
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
    /// Where each part of a row stands.
    pub columns: ListColumns,
    /// The country of numbers that are written without one.
    pub default_country: Option<String>,
    /// What rows mean that do not say it.
    pub defaults: RowDefaults,
}

/// A row that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line at which it begins.
    pub line: i64,
    /// What it is about.
    pub subject: SuppressionSubject,
    /// The rest of it.
    pub said: RowDefaults,
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
pub(super) const UNKNOWN_PARTY: Refusal =
    refuse(RejectReason::Party, "nobody of this party_id is known");
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

/// What rows are read with.
pub(super) struct RowReader {
    pub settings: ListSettings,
    pub tenant: TenantId,
    pub hasher: NumberHasher,
    pub account_hasher: AccountHasher,
    pub pack: Arc<Pack>,
    pub campaigns: Campaigns,
    pub read: ReadClocks,
}

/// Where the columns of one list are, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layout {
    delimiter: Option<char>,
    count: usize,
    number: Option<usize>,
    party_id: Option<usize>,
    account: Option<usize>,
    seller: Option<usize>,
    channels: Option<usize>,
    purposes: Option<usize>,
    reason: Option<usize>,
    received_time: Option<usize>,
    evidence_ref: Option<usize>,
    note: Option<usize>,
}

impl RowReader {
    /// Finds the columns by the first line, or says why they are not there.
    pub fn layout(&self, first: &[u8]) -> Result<Layout, String> {
        let ListForm::Columns(delimiter) = self.settings.form else {
            return Ok(Layout {
                count: 1,
                number: Some(0),
                ..Layout::default()
            });
        };
        let text = self
            .text(first)
            .map_err(|refusal| refusal.problem.to_owned())?;
        let delimiter = delimiter.unwrap_or_else(|| detected(&text));
        let Cells::Whole(cells) = split(&text, Some(delimiter)) else {
            return Err("the first line opens quotes and does not close them".to_owned());
        };
        let place = |column: &Option<String>| match column {
            None => Ok(None),
            Some(name) => self.place(name, &cells).map(Some),
        };
        let columns = &self.settings.columns;
        Ok(Layout {
            delimiter: Some(delimiter),
            count: cells.len(),
            number: place(&columns.number)?,
            party_id: place(&columns.party_id)?,
            account: place(&columns.account)?,
            seller: place(&columns.seller)?,
            channels: place(&columns.channels)?,
            purposes: place(&columns.purposes)?,
            reason: place(&columns.reason)?,
            received_time: place(&columns.received_time)?,
            evidence_ref: place(&columns.evidence_ref)?,
            note: place(&columns.note)?,
        })
    }

    fn place(&self, name: &str, cells: &[String]) -> Result<usize, String> {
        let wanted = name.trim();
        let is_named = |cell: &String| cell.trim().eq_ignore_ascii_case(wanted);
        if self.settings.has_header
            && let Some(place) = cells.iter().position(is_named)
        {
            return Ok(place);
        }
        match wanted.parse::<usize>() {
            Ok(place) if (1..=cells.len()).contains(&place) => Ok(place - 1),
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
    pub fn cells(&self, layout: &Layout, text: &str) -> Cells {
        match layout.delimiter {
            None => Cells::Whole(vec![bare(text).to_owned()]),
            delimiter => split(text, delimiter),
        }
    }

    /// What the cells of a row mean; nothing if all of them are empty.
    pub fn row(
        &self,
        layout: &Layout,
        line: i64,
        cells: &[String],
    ) -> Result<Option<Row>, Refusal> {
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(None);
        }
        if cells.len() != layout.count {
            return Err(COLUMN_COUNT);
        }
        let cell = |place: Option<usize>| {
            let text = place
                .and_then(|place| cells.get(place))
                .map_or("", |cell| cell.trim());
            (!text.is_empty()).then_some(text)
        };
        let defaults = &self.settings.defaults;
        let subject = self.subject(
            cell(layout.number),
            cell(layout.party_id),
            cell(layout.account),
        )?;
        let channels = match cell(layout.channels) {
            Some(text) => words(text, CHANNEL)?,
            None => defaults.channels.clone(),
        };
        let purposes = match cell(layout.purposes) {
            Some(text) => words(text, PURPOSE)?,
            None => defaults.purposes.clone(),
        };
        let reason = match cell(layout.reason) {
            Some(word) => word.to_ascii_lowercase().parse().map_err(|_| {
                refuse(
                    RejectReason::Reason,
                    "there is no such reason: party_request, objection, registry, court, minor, deceased, complaint, \
                     internal, litigator",
                )
            })?,
            None => defaults.reason,
        };
        let said = RowDefaults {
            seller: self.seller(cell(layout.seller))?,
            channels,
            purposes,
            reason,
            source: defaults.source,
            received_at: match cell(layout.received_time) {
                Some(text) => Some(self.received(text)?),
                None => defaults.received_at,
            },
            evidence_ref: text(cell(layout.evidence_ref), REFERENCE_CHARS_MAX)?
                .or_else(|| defaults.evidence_ref.clone()),
            note: text(cell(layout.note), NOTE_CHARS_MAX)?.or_else(|| defaults.note.clone()),
        };
        Ok(Some(Row {
            line,
            subject,
            said,
        }))
    }

    fn subject(
        &self,
        number: Option<&str>,
        party: Option<&str>,
        account: Option<&str>,
    ) -> Result<SuppressionSubject, Refusal> {
        match (number, party, account) {
            (Some(text), None, None) => {
                let country = self.settings.default_country.as_deref();
                let number = spelled(self.pack.tables(), text, country).map_err(|why| match why {
                    Unreadable::NotANumber => refuse(
                        RejectReason::Number,
                        "is not a telephone number: write `+`, the country calling code and the national number",
                    ),
                    Unreadable::CountryMissing => refuse(
                        RejectReason::CountryMissing,
                        "the number is written without its country: write `+` and the calling code, or give a default country",
                    ),
                })?;
                Ok(SuppressionSubject::Number(
                    self.hasher.key(&self.tenant, number),
                ))
            }
            (None, Some(id), None) => match id.parse::<PartyId>() {
                Ok(id) => Ok(SuppressionSubject::Party(id)),
                Err(_) => Err(refuse(RejectReason::Party, "the party_id is not a UUID")),
            },
            (None, None, Some(name)) => match Account::parse(name) {
                Ok(account) => Ok(SuppressionSubject::Account(
                    self.account_hasher.key(&self.tenant, &account),
                )),
                Err(_) => Err(refuse(
                    RejectReason::Account,
                    "the account is none: at most 128 characters, without control characters",
                )),
            },
            (None, None, None) => Err(refuse(
                RejectReason::NumberMissing,
                "the row names no number",
            )),
            (_, _, _) => Err(refuse(
                RejectReason::TwoSubjects,
                "the row names two of a number, a party_id and an account: an opt-out is about one of them",
            )),
        }
    }

    fn seller(&self, cell: Option<&str>) -> Result<Option<String>, Refusal> {
        match cell {
            None => Ok(self.settings.defaults.seller.clone()),
            Some(seller) if self.campaigns.calls_for(seller) => Ok(Some(seller.to_owned())),
            Some(_) => Err(refuse(
                RejectReason::Seller,
                "no campaign of the configuration calls for this seller",
            )),
        }
    }

    /// An instant, or a day: then its last moment anywhere on Earth, for in doubt a wish is as late as may be.
    fn received(&self, text: &str) -> Result<Micros, Refusal> {
        let now = (self.read)().wall;
        let instant = time::instant(text).map(Micros::from);
        let (first, last) = match (instant, time::date(text)) {
            (Some(at), _) => (at, at),
            (None, Some(day)) => end_of_day(day).ok_or(NO_TIME)?,
            (None, None) => return Err(NO_TIME),
        };
        if first > now.plus(DRIFT) {
            return Err(refuse(
                RejectReason::TimeInFuture,
                "the time lies in the future",
            ));
        }
        Ok(last.min(now))
    }
}

const NO_TIME: Refusal = refuse(
    RejectReason::Time,
    "the time is none: write it as 2026-11-20T14:30:00Z, with its offset, or a day as 2026-11-20",
);

/// The first and the last moment of a day, wherever on Earth.
fn end_of_day(day: jiff::civil::Date) -> Option<(Micros, Micros)> {
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let hours = |count: u64| std::time::Duration::from_secs(3600 * count);
    let midnight = Micros::from(midnight);
    Some((
        midnight.minus(hours(14)),
        midnight
            .plus(hours(24 + 12))
            .minus(std::time::Duration::from_micros(1)),
    ))
}

const CHANNEL: Refusal = refuse(
    RejectReason::Channel,
    "there is no such kind of call: live_manual, autodialed, prerecorded, or all",
);
const PURPOSE: Refusal = refuse(
    RejectReason::Purpose,
    "there is no such purpose: sales, informational, service, or all",
);

/// The words of a set in a cell, each once; none = all.
fn words<T: std::str::FromStr + PartialEq>(
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

fn text(cell: Option<&str>, chars_max: usize) -> Result<Option<String>, Refusal> {
    let Some(text) = cell else { return Ok(None) };
    let is_control = |each: char| each.is_control() && !matches!(each, '\n' | '\t');
    if text.chars().count() > chars_max || text.contains(is_control) {
        return Err(refuse(
            RejectReason::Text,
            "a text is too long (evidence 512, note 4096 characters) or holds control characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests;
