//! Calls, their events and what agents say of them.

use std::time::Duration;

use tonic::Status;

use crate::domain::access::{Principal, Role};
use crate::domain::call::{Call, CallEvent, CallKind, CallRequest};
use crate::domain::disposition::Disposition;
use crate::domain::ids::{CallId, RequestId};
use crate::domain::instruction::{Instruct, TONES_MAX};
use crate::domain::time::{Micros, Mono};
use crate::gate::NewDisposition;
use crate::grpc::auth::reads_personal_data;
use crate::grpc::{CheckOffer, pb};
use crate::place::Tables;

use super::{
    Fields, NAME_CHARS_MAX, NOTE_CHARS_MAX, Noted, text, time, time_option, wire, wire_option,
};

/// A call that was not dialed a day later is no longer what anybody asked for.
const EXPIRE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a tone sounds if nothing is said of it.
const TONE_MILLIS: u16 = 160;
const TONE_MILLIS_RANGE: std::ops::RangeInclusive<u16> = 40..=2_000;

/// What is asked for by both `CheckCall` and `PlaceCall`.
struct Wanted {
    to: String,
    campaign: String,
    call_kind: i32,
    caller_id: String,
    party_id: String,
}

/// Reads `CheckCall`.
pub(in crate::grpc) fn check_request(
    message: pb::CheckCallRequest,
    tables: &Tables,
    who: &Principal,
    digest: [u8; 32],
) -> Result<CallRequest, Status> {
    let mut fields = Fields::default();
    let wanted = Wanted {
        to: message.to,
        campaign: message.campaign,
        call_kind: message.call_kind,
        caller_id: message.caller_id,
        party_id: message.party_id,
    };
    let request = wanted.read(&mut fields, tables, who, digest);
    fields.done()?;
    Ok(request?)
}

/// Reads `PlaceCall`. Whether its time has passed is the gate's question: a repeated request is answered even then.
pub(in crate::grpc) fn place_request(
    message: pb::PlaceCallRequest,
    tables: &Tables,
    (check_offer, knows_agent): (&CheckOffer, &dyn Fn(&str) -> bool),
    who: &Principal,
    digest: [u8; 32],
    now: Micros,
    answer_by: Option<Mono>,
) -> Result<CallRequest, Status> {
    let mut fields = Fields::default();
    let request_id = fields.request_id(&message.request_id);
    let checked = check_offer(Some(&message.campaign), &message.sdp_offer);
    let wanted = Wanted {
        to: message.to,
        campaign: message.campaign,
        call_kind: message.call_kind,
        caller_id: message.caller_id,
        party_id: message.party_id,
    };
    let request = wanted.read(&mut fields, tables, who, digest);
    let agent = fields.name("agent", message.agent);
    let agent = match agent {
        Ok(Some(name)) if !knows_agent(&name) => fields.wrong(
            "agent",
            "names no agent of the configuration; see its sections [agent.NAME]",
        ),
        agent => agent,
    };
    let sdp_offer = match (&agent, message.sdp_offer) {
        (Ok(Some(_)) | Err(_), offer) if offer.is_empty() => Ok(offer),
        (Ok(Some(_)), _) => fields.wrong(
            "sdp_offer",
            "is not taken together with `agent`, whose phone makes its own; leave one of the two out",
        ),
        (_, offer) => match checked {
            Ok(()) => Ok(offer),
            Err(problem) => fields.wrong("sdp_offer", problem),
        },
    };
    let expire_time = fields.time("expire_time", message.expire_time);
    let expire_time = match fields.required("expire_time", expire_time) {
        Ok(at) if at > now.plus(EXPIRE_MAX) => fields.wrong(
            "expire_time",
            "is more than 24 hours ahead; name an earlier instant",
        ),
        other => other,
    };
    fields.done()?;
    Ok(CallRequest {
        request_id: Some(request_id?),
        sdp_offer: sdp_offer?,
        agent: agent?,
        expire_time: Some(expire_time?),
        answer_by,
        ..request?
    })
}

impl Wanted {
    fn read(
        self,
        fields: &mut Fields,
        tables: &Tables,
        who: &Principal,
        digest: [u8; 32],
    ) -> Result<CallRequest, Noted> {
        let to = fields.number(tables, "to", &self.to);
        let to = fields.required("to", to);
        let campaign = fields.text("campaign", self.campaign, NAME_CHARS_MAX);
        let campaign = fields.required("campaign", campaign);
        let call_kind = fields.required_word::<CallKind>("call_kind", self.call_kind);
        let caller_id = fields.number(tables, "caller_id", &self.caller_id);
        let party_id = fields.id("party_id", &self.party_id);
        Ok(CallRequest {
            tenant: who.tenant.clone(),
            request_id: None,
            request_digest: digest,
            to: to?,
            party_id: party_id?,
            campaign_id: campaign?,
            call_kind: call_kind?,
            caller_id: caller_id?,
            sdp_offer: Vec::new(),
            agent: None,
            expire_time: None,
            answer_by: None,
            actor: who.actor(),
        })
    }
}

/// Reads what an agent says of a call.
pub(in crate::grpc) fn disposition_request(
    fields: &mut Fields,
    call_id: &str,
    code: i32,
    note: String,
    amends: Option<&str>,
) -> Result<NewDisposition, Noted> {
    let call_id = fields.id("call_id", call_id);
    let call_id = fields.required("call_id", call_id);
    let amends = match amends {
        None => Ok(None),
        Some(id) => {
            let id = fields.id("disposition_id", id);
            fields.required("disposition_id", id).map(Some)
        }
    };
    let code = fields.required_word("code", code);
    let note = fields.text("note", note, NOTE_CHARS_MAX);
    Ok(NewDisposition {
        call_id: call_id?,
        code: code?,
        note: note?,
        amends: amends?,
    })
}

/// Which call is asked for something, and the name of the request.
pub(in crate::grpc) struct OfCall {
    pub(in crate::grpc) request_id: RequestId,
    pub(in crate::grpc) call_id: CallId,
}

/// Reads both before the rest is complained of.
fn of_call(fields: &mut Fields, request_id: &str, call_id: &str) -> Result<OfCall, Noted> {
    let request_id = fields.request_id(request_id);
    let call_id = fields.id("call_id", call_id);
    let call_id = fields.required("call_id", call_id);
    Ok(OfCall {
        request_id: request_id?,
        call_id: call_id?,
    })
}

/// Reads `OfferMedia`.
pub(in crate::grpc) fn media_offer(
    message: pb::OfferMediaRequest,
    check_offer: &CheckOffer,
) -> Result<(OfCall, Instruct), Status> {
    let mut fields = Fields::default();
    let of = of_call(&mut fields, &message.request_id, &message.call_id);
    let sdp = match check_offer(None, &message.sdp_offer) {
        Ok(()) => Ok(message.sdp_offer),
        Err(problem) => fields.wrong("sdp_offer", problem),
    };
    fields.done()?;
    Ok((of?, Instruct::Offer { sdp: sdp? }))
}

/// Reads `AnswerMediaOffer`; without a session it declines.
pub(in crate::grpc) fn media_answer(
    message: pb::AnswerMediaOfferRequest,
    check_offer: &CheckOffer,
) -> Result<(OfCall, Instruct), Status> {
    let mut fields = Fields::default();
    let of = of_call(&mut fields, &message.request_id, &message.call_id);
    let offer = match u32::try_from(message.offer_id) {
        Ok(offer) if offer > 0 => Ok(offer),
        _ => fields.wrong("offer_id", "names no offer; send that of the event"),
    };
    let sdp = match message.sdp_answer {
        answer if answer.is_empty() => Ok(None),
        answer => match check_offer(None, &answer) {
            Ok(()) => Ok(Some(answer)),
            Err(problem) => fields.wrong("sdp_answer", problem.replace("SDP offer", "SDP answer")),
        },
    };
    fields.done()?;
    let (of, offer) = (of?, offer?);
    Ok(match sdp? {
        Some(sdp) => (of, Instruct::Answer { offer, sdp }),
        None => (of, Instruct::Decline { offer }),
    })
}

/// Reads `SendDtmf`.
pub(in crate::grpc) fn tones(message: pb::SendDtmfRequest) -> Result<(OfCall, Instruct), Status> {
    let mut fields = Fields::default();
    let of = of_call(&mut fields, &message.request_id, &message.call_id);
    let is_tone = |tone: char| matches!(tone, '0'..='9' | '*' | '#' | 'A'..='D');
    let tones = match message.tones {
        tones if tones.is_empty() => fields.wrong("tones", "is missing"),
        tones if tones.len() <= TONES_MAX && tones.chars().all(is_tone) => Ok(tones),
        _ => fields.wrong(
            "tones",
            format!("are not at most {TONES_MAX} of the digits, `*`, `#` and `A` to `D`"),
        ),
    };
    let millis = match u16::try_from(message.tone_milliseconds) {
        Ok(0) => Ok(TONE_MILLIS),
        Ok(millis) if TONE_MILLIS_RANGE.contains(&millis) => Ok(millis),
        _ => fields.wrong(
            "tone_milliseconds",
            "is not between 40 and 2000; 0 stands for 160",
        ),
    };
    fields.done()?;
    let (tones, millis) = (tones?, millis?);
    Ok((of?, Instruct::Dtmf { tones, millis }))
}

/// A call, for this role.
pub(in crate::grpc) fn call(call: Call, role: Role) -> pb::Call {
    let shown = call.to.filter(|_| reads_personal_data(role));
    pb::Call {
        call_id: call.call_id.to_string(),
        state: wire(call.state),
        to: text(shown.map(|number| number.reveal())),
        to_masked: text(call.to.map(|number| number.masked())),
        number_key: call.number_key.hex(),
        party_id: call.party_id.to_string(),
        caller_id: text(call.from.map(|number| number.reveal())),
        campaign: call.campaign_id,
        seller: call.seller,
        call_kind: wire(call.call_kind),
        trunk: call.trunk,
        place_decision_id: call.place_decision_id.to_string(),
        claim_decision_id: text(call.claim_decision_id),
        attempt_id: text(call.attempt_id),
        outcome: wire_option(call.outcome),
        attestation: wire_option(call.attestation),
        sip_code: call.sip_code.map(Into::into),
        q850_cause: call.q850_cause.map(Into::into),
        actor: call.actor,
        create_time: Some(time(call.create_time)),
        expire_time: Some(time(call.expire_time)),
        invite_time: time_option(call.invite_time),
        ring_time: time_option(call.ring_time),
        answer_time: time_option(call.answer_time),
        end_time: time_option(call.end_time),
        agent: call.agent.unwrap_or_default(),
        agent_result: wire_option(call.agent_result),
        abandon_time: time_option(call.abandon_time),
    }
}

/// An event, for this role: the SDP names addresses of the person.
pub(in crate::grpc) fn event(event: CallEvent, role: Role) -> pb::CallEvent {
    let detail = event.detail;
    pb::CallEvent {
        event_id: event.event_id.to_string(),
        call_id: event.call_id.to_string(),
        sequence: event.sequence,
        event_time: Some(time(event.at)),
        kind: wire(event.kind),
        sip_code: detail.sip_code.map(Into::into),
        sip_reason: detail.sip_reason.unwrap_or_default(),
        q850_cause: detail.q850_cause.map(Into::into),
        outcome: wire_option(detail.outcome),
        retry_class: wire_option(detail.retry),
        sdp: detail
            .sdp
            .filter(|_| reads_personal_data(role))
            .unwrap_or_default(),
        decision_id: text(detail.decision_id),
        note: detail.note.unwrap_or_default(),
        offer_id: detail
            .offer
            .and_then(|offer| i32::try_from(offer).ok())
            .unwrap_or_default(),
        agent_result: wire_option(detail.agent_result),
        abandoned: detail.abandoned,
    }
}

/// What an agent said, for this role.
pub(in crate::grpc) fn disposition(disposition: Disposition, role: Role) -> pb::Disposition {
    pb::Disposition {
        disposition_id: disposition.disposition_id.to_string(),
        call_id: disposition.call_id.to_string(),
        code: wire(disposition.code),
        note: text(disposition.note.filter(|_| reads_personal_data(role))),
        amends_disposition_id: text(disposition.amends),
        suppression_id: text(disposition.suppression_id),
        actor: disposition.actor,
        record_time: Some(time(disposition.at)),
    }
}
