//! Rows of a list of consents: what each means, or why it means nothing. A list tells of what was, so a consent whose time is not
//! said is no consent: taken as of now it would be newer than any opt-out.

use crate::domain::call::CallKind;
use crate::domain::consent::{
    ConsentAction, ConsentForm, InitiatedBy, REFERENCE_CHARS_MAX, SOURCE_CHARS_MAX, is_over_by,
    not_a_period,
};
use crate::domain::import::RejectReason;
use crate::domain::time::Micros;
use crate::gate::imports::kind::Found;
use crate::gate::imports::written::{
    CHANNEL, NUMBER_MISSING, Parts, Refusal, RowReader, party, refuse, text, words,
};
use crate::gate::records::NewConsent;
use crate::place;

/// Where each part of a row stands: the name of its column in the header line, or its place from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsentColumns<P = String> {
    /// The number.
    pub number: Option<P>,
    /// Whose consent, where several people share the number.
    pub party_id: Option<P>,
    /// Towards which seller.
    pub seller: Option<P>,
    /// The kinds of call it covers.
    pub channels: Option<P>,
    /// Given or withdrawn.
    pub action: Option<P>,
    /// When the person acted.
    pub event_time: Option<P>,
    /// How it was expressed.
    pub form: Option<P>,
    /// Expressly given.
    pub explicit: Option<P>,
    /// A record of the act exists.
    pub documented: Option<P>,
    /// Names calls outside the legal hours.
    pub out_of_hours: Option<P>,
    /// How long it holds.
    pub period: Option<P>,
    /// Who started the exchange.
    pub initiated_by: Option<P>,
    /// Where it came from.
    pub source: Option<P>,
    /// What proves it.
    pub evidence_ref: Option<P>,
    /// The wording shown.
    pub wording_ref: Option<P>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentDefaults {
    /// The seller; absent = a row has to name it.
    pub seller: Option<String>,
    /// The kinds of call; empty = all.
    pub channels: Vec<CallKind>,
    /// Given or withdrawn.
    pub action: ConsentAction,
    /// When the people acted; absent = a row of a consent given has to say it, and one withdrawn is withdrawn now.
    pub at: Option<Micros>,
    /// How consent was expressed; absent = a row of one given has to say it.
    pub form: Option<ConsentForm>,
    /// Expressly given.
    pub explicit: Option<bool>,
    /// A record of the act exists.
    pub documented: Option<bool>,
    /// Names calls outside the legal hours.
    pub out_of_hours: Option<bool>,
    /// `indefinite`, `unspecified`, or an end date.
    pub period: Option<String>,
    /// Who started the exchange.
    pub initiated_by: Option<InitiatedBy>,
    /// Where it came from.
    pub source: Option<String>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// The wording shown.
    pub wording_ref: Option<String>,
}

/// What the rows of a list of consents mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRows {
    /// Where each part of a row stands.
    pub columns: ConsentColumns,
    /// What rows mean that do not say it.
    pub defaults: ConsentDefaults,
}

/// A row that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gate::imports) struct Row {
    /// The line at which it begins.
    pub line: i64,
    /// The act it tells.
    pub act: NewConsent,
}

const SELLER_MISSING: Refusal = refuse(
    RejectReason::SellerMissing,
    "the row names no seller: name it in a column, or one for the whole list",
);
const NOT_DIALABLE: Refusal = refuse(
    RejectReason::NotDialable,
    "nobody can be called at this number: it is none of an ordinary line, or not assigned",
);
const UNKNOWN_ACTION: Refusal = refuse(
    RejectReason::Action,
    "there is no such action: given, withdrawn",
);
const TIME_MISSING: Refusal = refuse(
    RejectReason::TimeMissing,
    "the row does not say when consent was given; a list tells of what was, so now is not taken for it",
);
const FORM_MISSING: Refusal = refuse(
    RejectReason::Form,
    "the row does not say how consent was given: name it in a column, or one form for the whole list",
);
const UNKNOWN_FORM: Refusal = refuse(
    RejectReason::Form,
    "there is no such form: written, web_form, recorded_voice, third_party_verified, oral, implied, preticked, \
     terms_acceptance, bundled",
);
const NO_FLAG: Refusal = refuse(
    RejectReason::Flag,
    "explicit, documented and out_of_hours are `yes`, `no`, or empty where that is not known",
);
const NO_PERIOD: Refusal = refuse(
    RejectReason::Period,
    "the period is neither `indefinite` nor `unspecified` nor a last day such as 2027-01-31",
);
const OVER: Refusal = refuse(
    RejectReason::Period,
    "the period ends on a day that was over when consent was given: one of the two is wrong",
);
const UNKNOWN_INITIATOR: Refusal = refuse(
    RejectReason::InitiatedBy,
    "initiated_by is `person` or `seller`",
);

/// Where the columns are.
pub(super) fn places(
    columns: &ConsentColumns,
    find: impl Fn(&Option<String>) -> Found,
) -> Result<ConsentColumns<usize>, String> {
    Ok(ConsentColumns {
        number: find(&columns.number)?,
        party_id: find(&columns.party_id)?,
        seller: find(&columns.seller)?,
        channels: find(&columns.channels)?,
        action: find(&columns.action)?,
        event_time: find(&columns.event_time)?,
        form: find(&columns.form)?,
        explicit: find(&columns.explicit)?,
        documented: find(&columns.documented)?,
        out_of_hours: find(&columns.out_of_hours)?,
        period: find(&columns.period)?,
        initiated_by: find(&columns.initiated_by)?,
        source: find(&columns.source)?,
        evidence_ref: find(&columns.evidence_ref)?,
        wording_ref: find(&columns.wording_ref)?,
    })
}

/// What a row means. As `WithdrawConsent` asks nothing of how consent had been given, a row that takes it back is not asked
/// either, whatever stands in those columns.
pub(super) fn row(
    reader: &RowReader<ConsentRows>,
    places: &ConsentColumns<usize>,
    line: i64,
    parts: &Parts<'_>,
) -> Result<Row, Refusal> {
    let defaults = &reader.rows.defaults;
    let number = parts.at(places.number).ok_or(NUMBER_MISSING)?;
    let action = word(parts.at(places.action), UNKNOWN_ACTION)?.unwrap_or(defaults.action);
    let withdrawn = NewConsent {
        number: match action {
            ConsentAction::Given => reader.number_to_call(number)?,
            ConsentAction::Withdrawn => reader.number(number)?,
        },
        party_id: parts.at(places.party_id).map(party).transpose()?,
        seller: reader
            .seller(parts.at(places.seller))?
            .ok_or(SELLER_MISSING)?,
        action,
        at: acted(reader, action, parts.at(places.event_time))?,
        channels: match parts.at(places.channels) {
            Some(text) => words(text, CHANNEL)?,
            None => defaults.channels.clone(),
        },
        form: None,
        explicit: None,
        documented: None,
        out_of_hours: None,
        period: None,
        initiated_by: None,
        source: text(parts.at(places.source), SOURCE_CHARS_MAX)?
            .or_else(|| defaults.source.clone()),
        evidence_ref: text(parts.at(places.evidence_ref), REFERENCE_CHARS_MAX)?
            .or_else(|| defaults.evidence_ref.clone()),
        wording_ref: None,
    };
    let act = match action {
        ConsentAction::Withdrawn => withdrawn,
        ConsentAction::Given => given(reader, places, parts, withdrawn)?,
    };
    Ok(Row { line, act })
}

/// What is said of consent that was given, beside what is said of any act.
fn given(
    reader: &RowReader<ConsentRows>,
    places: &ConsentColumns<usize>,
    parts: &Parts<'_>,
    act: NewConsent,
) -> Result<NewConsent, Refusal> {
    let defaults = &reader.rows.defaults;
    let flag = |place, default| flag(parts.at(place)).map(|said| said.or(default));
    place::dialable(reader.pack.tables(), &act.number.reveal()).map_err(|_| NOT_DIALABLE)?;
    let form = word(parts.at(places.form), UNKNOWN_FORM)?.or(defaults.form);
    let period = match parts.at(places.period) {
        Some(text) if not_a_period(text).is_some() => return Err(NO_PERIOD),
        Some(text) => Some(text.to_owned()),
        None => defaults.period.clone(),
    };
    if let (Some(period), Some(at)) = (&period, act.at)
        && is_over_by(period, at)
    {
        return Err(OVER);
    }
    Ok(NewConsent {
        form: Some(form.ok_or(FORM_MISSING)?),
        explicit: flag(places.explicit, defaults.explicit)?,
        documented: flag(places.documented, defaults.documented)?,
        out_of_hours: flag(places.out_of_hours, defaults.out_of_hours)?,
        period,
        initiated_by: word(parts.at(places.initiated_by), UNKNOWN_INITIATOR)?
            .or(defaults.initiated_by),
        wording_ref: text(parts.at(places.wording_ref), REFERENCE_CHARS_MAX)?
            .or_else(|| defaults.wording_ref.clone()),
        ..act
    })
}

/// When the person acted. Of a day, consent is taken for its first moment and a withdrawal for its last: in doubt the wish to
/// stop is the later one.
fn acted(
    reader: &RowReader<ConsentRows>,
    action: ConsentAction,
    part: Option<&str>,
) -> Result<Option<Micros>, Refusal> {
    let default = reader.rows.defaults.at;
    match (part, action) {
        (Some(text), ConsentAction::Given) => Ok(Some(reader.moment(text)?.0)),
        (Some(text), ConsentAction::Withdrawn) => Ok(Some(reader.moment(text)?.1)),
        (None, ConsentAction::Given) => default.ok_or(TIME_MISSING).map(Some),
        (None, ConsentAction::Withdrawn) => Ok(default),
    }
}

/// A word of a closed set.
fn word<W: std::str::FromStr>(part: Option<&str>, unknown: Refusal) -> Result<Option<W>, Refusal> {
    let Some(text) = part else { return Ok(None) };
    text.to_ascii_lowercase()
        .parse()
        .map(Some)
        .map_err(|_| unknown)
}

fn flag(part: Option<&str>) -> Result<Option<bool>, Refusal> {
    let Some(text) = part else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "1" => Ok(Some(true)),
        "no" | "n" | "false" | "0" => Ok(Some(false)),
        _ => Err(NO_FLAG),
    }
}

#[cfg(test)]
mod tests;
