//! Rows of a list of opt-outs: what each means, or why it means nothing.

use crate::domain::account::Account;
use crate::domain::call::{CallKind, Purpose};
use crate::domain::import::RejectReason;
use crate::domain::suppression::{SuppressionReason, SuppressionSource, SuppressionSubject};
use crate::domain::time::Micros;
use crate::gate::imports::kind::Found;
use crate::gate::imports::written::{
    CHANNEL, NUMBER_MISSING, PURPOSE, Parts, Refusal, RowReader, party, refuse, text, words,
};

/// Longest reference to evidence, in characters; as one opt-out alone may have.
const REFERENCE_CHARS_MAX: usize = 512;
/// Longest note.
const NOTE_CHARS_MAX: usize = 4096;
/// Where each part of a row stands: the name of its column in the header line, or its place from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuppressionColumns<P = String> {
    /// The number.
    pub number: Option<P>,
    /// The person, in place of a number.
    pub party_id: Option<P>,
    /// The account, in place of a number.
    pub account: Option<P>,
    /// The seller it binds.
    pub seller: Option<P>,
    /// The kinds of call it covers.
    pub channels: Option<P>,
    /// The purposes it covers.
    pub purposes: Option<P>,
    /// Why.
    pub reason: Option<P>,
    /// When it was said.
    pub received_time: Option<P>,
    /// What proves it.
    pub evidence_ref: Option<P>,
    /// Free text.
    pub note: Option<P>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionDefaults {
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

/// What the rows of a list of opt-outs mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRows {
    /// Where each part of a row stands.
    pub columns: SuppressionColumns,
    /// What rows mean that do not say it.
    pub defaults: SuppressionDefaults,
}

/// A row that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gate::imports) struct Row {
    /// The line at which it begins.
    pub line: i64,
    /// What it is about.
    pub subject: SuppressionSubject,
    /// The rest of it.
    pub said: SuppressionDefaults,
}

pub(super) const UNKNOWN_PARTY: Refusal =
    refuse(RejectReason::Party, "nobody of this party_id is known");

pub(super) const LIFTED: Refusal = refuse(
    RejectReason::Lifted,
    "this wish was lifted since, by two people and with a newer permission; if it was said again after that, give the later time",
);

const UNKNOWN_REASON: Refusal = refuse(
    RejectReason::Reason,
    "there is no such reason: party_request, objection, registry, court, minor, deceased, complaint, internal, litigator",
);

/// Where the columns are.
pub(super) fn places(
    columns: &SuppressionColumns,
    find: impl Fn(&Option<String>) -> Found,
) -> Result<SuppressionColumns<usize>, String> {
    Ok(SuppressionColumns {
        number: find(&columns.number)?,
        party_id: find(&columns.party_id)?,
        account: find(&columns.account)?,
        seller: find(&columns.seller)?,
        channels: find(&columns.channels)?,
        purposes: find(&columns.purposes)?,
        reason: find(&columns.reason)?,
        received_time: find(&columns.received_time)?,
        evidence_ref: find(&columns.evidence_ref)?,
        note: find(&columns.note)?,
    })
}

/// What a row means.
pub(super) fn row(
    reader: &RowReader<SuppressionRows>,
    places: &SuppressionColumns<usize>,
    line: i64,
    parts: &Parts<'_>,
) -> Result<Row, Refusal> {
    let defaults = &reader.rows.defaults;
    let subject = subject(
        reader,
        parts.at(places.number),
        parts.at(places.party_id),
        parts.at(places.account),
    )?;
    let channels = match parts.at(places.channels) {
        Some(text) => words(text, CHANNEL)?,
        None => defaults.channels.clone(),
    };
    let purposes = match parts.at(places.purposes) {
        Some(text) => words(text, PURPOSE)?,
        None => defaults.purposes.clone(),
    };
    let reason = match parts.at(places.reason) {
        Some(word) => word
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| UNKNOWN_REASON)?,
        None => defaults.reason,
    };
    let said = SuppressionDefaults {
        seller: reader.seller(parts.at(places.seller))?,
        channels,
        purposes,
        reason,
        source: defaults.source,
        received_at: match parts.at(places.received_time) {
            // In doubt a wish is as late as may be.
            Some(text) => Some(reader.moment(text)?.1),
            None => defaults.received_at,
        },
        evidence_ref: text(parts.at(places.evidence_ref), REFERENCE_CHARS_MAX)?
            .or_else(|| defaults.evidence_ref.clone()),
        note: text(parts.at(places.note), NOTE_CHARS_MAX)?.or_else(|| defaults.note.clone()),
    };
    Ok(Row {
        line,
        subject,
        said,
    })
}

fn subject(
    reader: &RowReader<SuppressionRows>,
    number: Option<&str>,
    party_id: Option<&str>,
    account: Option<&str>,
) -> Result<SuppressionSubject, Refusal> {
    match (number, party_id, account) {
        (Some(text), None, None) => {
            let number = reader.number(text)?;
            Ok(SuppressionSubject::Number(
                reader.hasher.key(&reader.tenant, number),
            ))
        }
        (None, Some(id), None) => party(id).map(SuppressionSubject::Party),
        (None, None, Some(name)) => match Account::parse(name) {
            Ok(account) => Ok(SuppressionSubject::Account(
                reader.account_hasher.key(&reader.tenant, &account),
            )),
            Err(_) => Err(refuse(
                RejectReason::Account,
                "the account is none: at most 128 characters, without control characters",
            )),
        },
        (None, None, None) => Err(NUMBER_MISSING),
        (_, _, _) => Err(refuse(
            RejectReason::TwoSubjects,
            "the row names two of a number, a party_id and an account: an opt-out is about one of them",
        )),
    }
}

#[cfg(test)]
mod tests;
