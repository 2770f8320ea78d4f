//! Acts of consent.

use crate::domain::access::Role;
use crate::domain::consent::{
    ConsentAction, ConsentEvent, ConsentForm, InitiatedBy, SOURCE_CHARS_MAX, not_a_period,
};
use crate::domain::time::Micros;
use crate::gate::NewConsent;
use crate::grpc::auth::reads_personal_data;
use crate::grpc::pb;
use crate::place::Tables;

use super::{
    Fields, NAME_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, text, time, wire, wire_all, wire_option,
};

/// Reads `RecordConsent`.
pub(in crate::grpc) fn given(
    fields: &mut Fields,
    message: pb::RecordConsentRequest,
    tables: &Tables,
    now: Micros,
) -> Result<NewConsent, Noted> {
    let number = fields.number(tables, "number", &message.number);
    let number = fields.required("number", number);
    let party_id = fields.id("party_id", &message.party_id);
    let seller = fields.text("seller", message.seller, NAME_CHARS_MAX);
    let seller = fields.required("seller", seller);
    let at = fields.past("event_time", message.event_time, now);
    let channels = fields.words("channels", &message.channels);
    let form = fields.required_word::<ConsentForm>("form", message.form);
    let period = period(fields, message.period);
    let initiated_by = fields.word::<InitiatedBy>("initiated_by", message.initiated_by);
    let source = fields.text("source", message.source, SOURCE_CHARS_MAX);
    let evidence_ref = fields.text("evidence_ref", message.evidence_ref, REFERENCE_CHARS_MAX);
    let wording_ref = fields.text("wording_ref", message.wording_ref, REFERENCE_CHARS_MAX);
    Ok(NewConsent {
        number: number?,
        party_id: party_id?,
        seller: seller?,
        action: ConsentAction::Given,
        at: at?,
        channels: channels?,
        form: Some(form?),
        explicit: message.explicit,
        documented: message.documented,
        out_of_hours: message.out_of_hours,
        period: period?,
        initiated_by: initiated_by?,
        source: source?,
        evidence_ref: evidence_ref?,
        wording_ref: wording_ref?,
    })
}

/// Reads `WithdrawConsent`.
pub(in crate::grpc) fn withdrawn(
    fields: &mut Fields,
    message: pb::WithdrawConsentRequest,
    tables: &Tables,
    now: Micros,
) -> Result<NewConsent, Noted> {
    let number = fields.any_number(tables, "number", &message.number);
    let number = fields.required("number", number);
    let party_id = fields.id("party_id", &message.party_id);
    let seller = fields.text("seller", message.seller, NAME_CHARS_MAX);
    let seller = fields.required("seller", seller);
    let at = fields.past("event_time", message.event_time, now);
    let channels = fields.words("channels", &message.channels);
    let source = fields.text("source", message.source, SOURCE_CHARS_MAX);
    let evidence_ref = fields.text("evidence_ref", message.evidence_ref, REFERENCE_CHARS_MAX);
    Ok(NewConsent {
        number: number?,
        party_id: party_id?,
        seller: seller?,
        action: ConsentAction::Withdrawn,
        at: at?,
        channels: channels?,
        form: None,
        explicit: None,
        documented: None,
        out_of_hours: None,
        period: None,
        initiated_by: None,
        source: source?,
        evidence_ref: evidence_ref?,
        wording_ref: None,
    })
}

/// `indefinite`, `unspecified`, or a last day.
pub(super) fn period(fields: &mut Fields, value: String) -> Result<Option<String>, Noted> {
    if value.is_empty() {
        return Ok(None);
    }
    match not_a_period(&value) {
        Some(problem) => fields.wrong("period", problem),
        None => Ok(Some(value)),
    }
}

/// An act of consent, for this role.
pub(in crate::grpc) fn event(event: ConsentEvent, role: Role) -> pb::ConsentEvent {
    let shown = Some(event.number).filter(|_| reads_personal_data(role));
    pb::ConsentEvent {
        consent_event_id: event.consent_event_id.to_string(),
        party_id: event.party_id.to_string(),
        number: text(shown.map(|number| number.reveal())),
        number_masked: event.number.masked(),
        seller: event.seller,
        action: wire(event.action),
        event_time: Some(time(event.at)),
        record_time: Some(time(event.recorded_at)),
        channels: wire_all(&event.channels),
        form: wire_option(event.form),
        explicit: event.explicit,
        documented: event.documented,
        out_of_hours: event.out_of_hours,
        period: event.period.unwrap_or_default(),
        initiated_by: wire_option(event.initiated_by),
        source: event.source.unwrap_or_default(),
        evidence_ref: event.evidence_ref.unwrap_or_default(),
        wording_ref: event.wording_ref.unwrap_or_default(),
        actor: event.actor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_word_or_a_day() {
        let read = |text: &str| period(&mut Fields::default(), text.to_owned()).is_ok();
        assert!(read("") && read("indefinite") && read("unspecified") && read("2027-01-31"));
        for bad in [
            "forever",
            "2027-02-30",
            "20270131",
            "2027-01-31T00:00:00",
            "INDEFINITE",
        ] {
            assert!(!read(bad), "{bad}");
        }
    }
}
