//! Opt-outs and what else blocks.

use crate::domain::access::Role;
use crate::domain::suppression::{
    Lift, LiftRequest, Suppression, SuppressionChange, SuppressionReason, SuppressionSource,
    SuppressionSubject,
};
use crate::domain::time::Micros;
use crate::gate::{LiftStep, NewLift, NewSuppression};
use crate::grpc::auth::reads_personal_data;
use crate::grpc::pb;
use crate::grpc::pb::create_suppression_request::Subject as Wanted;
use crate::grpc::pb::suppression::Subject;
use crate::place::Tables;

use super::{
    Fields, NAME_CHARS_MAX, NOTE_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, text, time, time_option,
    wire, wire_all,
};

/// Reads `CreateSuppression`. What is not said is read as widely as can be.
pub(in crate::grpc) fn new(
    fields: &mut Fields,
    message: pb::CreateSuppressionRequest,
    tables: &Tables,
    now: Micros,
) -> Result<NewSuppression, Noted> {
    let (mut number, mut party_id, mut account) = (Ok(None), Ok(None), Ok(None));
    match message.subject {
        Some(Wanted::Number(text)) => {
            let read = fields.any_number(tables, "number", &text);
            number = fields.required("number", read).map(Some);
        }
        Some(Wanted::PartyId(id)) => {
            let read = fields.id("party_id", &id);
            party_id = fields.required("party_id", read).map(Some);
        }
        Some(Wanted::Account(name)) => {
            let read = fields.account("account", &name);
            account = fields.required("account", read).map(Some);
        }
        None => number = fields.wrong("number", "is missing; set number, party_id or account"),
    }
    let seller = fields.text("seller", message.seller, NAME_CHARS_MAX);
    let channels = fields.words("channels", &message.channels);
    let purposes = fields.words("purposes", &message.purposes);
    let reason = fields.word::<SuppressionReason>("reason", message.reason);
    let source = fields.word::<SuppressionSource>("source", message.source);
    let received_at = fields.past("received_time", message.received_time, now);
    let expires_at = fields.time("expire_time", message.expire_time);
    let evidence_ref = fields.text("evidence_ref", message.evidence_ref, REFERENCE_CHARS_MAX);
    let note = fields.text("note", message.note, NOTE_CHARS_MAX);
    let reason = reason?.unwrap_or(SuppressionReason::PartyRequest);
    let expires_at = match expires_at? {
        Some(_) if !may_expire(reason) => fields.wrong(
            "expire_time",
            "a person's own wish never expires; leave it out, or give the reason INTERNAL or LITIGATOR",
        ),
        Some(at) if at <= now => fields.wrong("expire_time", "has passed; name a later instant"),
        other => Ok(other),
    };
    Ok(NewSuppression {
        number: number?,
        party_id: party_id?,
        account: account?,
        seller: seller?,
        channels: channels?,
        purposes: purposes?,
        reason,
        source: source?.unwrap_or(SuppressionSource::Api),
        received_at: received_at?,
        expires_at: expires_at?,
        evidence_ref: evidence_ref?,
        note: note?,
    })
}

fn may_expire(reason: SuppressionReason) -> bool {
    matches!(
        reason,
        SuppressionReason::Internal | SuppressionReason::Litigator
    )
}

/// Reads which step of a lift is meant: an approver agrees with what stands, everybody else has to say why.
pub(in crate::grpc) fn lift_step(
    fields: &mut Fields,
    message: &pb::LiftSuppressionRequest,
    role: Role,
    now: Micros,
) -> Result<LiftStep, Noted> {
    let says_nothing = message.reason.is_empty()
        && message.evidence_ref.is_empty()
        && message.evidence_time.is_none();
    if role == Role::Approver {
        return match says_nothing {
            true => Ok(LiftStep::Approve),
            // Taken for an approval, what they say of their own would be lost.
            false => fields.wrong(
                "reason",
                "is given: an approver approves what an administrator asked for, and says nothing else; leave reason, evidence_ref and evidence_time out",
            ),
        };
    }
    let reason = match says_nothing {
        true => fields.wrong(
            "reason",
            "is empty: an administrator asks for a lift and says why, with the person's newer permission; to approve one takes a key of the role approver",
        ),
        false => {
            let reason = fields.text("reason", message.reason.clone(), NOTE_CHARS_MAX);
            fields.required("reason", reason)
        }
    };
    let reference = message.evidence_ref.clone();
    let evidence_ref = fields.text("evidence_ref", reference, REFERENCE_CHARS_MAX);
    let evidence_ref = fields.required("evidence_ref", evidence_ref);
    let evidence_at = fields.past("evidence_time", message.evidence_time, now);
    let evidence_at = fields.required("evidence_time", evidence_at);
    Ok(LiftStep::Ask(NewLift {
        reason: reason?,
        evidence_ref: evidence_ref?,
        evidence_at: evidence_at?,
    }))
}

/// The suppression that would be recorded. Nothing has its identifier.
pub(in crate::grpc) fn tried(tried: Suppression, role: Role) -> pb::Suppression {
    pb::Suppression {
        suppression_id: String::new(),
        ..suppression(tried, role)
    }
}

/// What happened to a suppression, for this role.
pub(in crate::grpc) fn change(change: SuppressionChange, role: Role) -> pb::SuppressionChange {
    pb::SuppressionChange {
        position: change.position,
        kind: wire(change.kind),
        suppression: Some(suppression(change.suppression, role)),
    }
}

/// A suppression, for this role. It holds no readable number; what people wrote about the person is another matter.
pub(in crate::grpc) fn suppression(suppression: Suppression, role: Role) -> pb::Suppression {
    let channels = wire_all(suppression.kinds());
    let purposes = wire_all(&suppression.purposes());
    let note = suppression.note.filter(|_| reads_personal_data(role));
    pb::Suppression {
        suppression_id: suppression.suppression_id.to_string(),
        subject: Some(match suppression.subject {
            SuppressionSubject::Number(key) => Subject::NumberKey(key.hex()),
            SuppressionSubject::Party(party_id) => Subject::PartyId(party_id.to_string()),
            SuppressionSubject::Account(key) => Subject::AccountKey(key.hex()),
        }),
        seller: text(suppression.seller),
        channels,
        purposes,
        reason: wire(suppression.reason),
        source: wire(suppression.source),
        received_time: Some(time(suppression.received_at)),
        record_time: Some(time(suppression.recorded_at)),
        expire_time: time_option(suppression.expires_at),
        evidence_ref: text(suppression.evidence_ref),
        note: text(note),
        actor: suppression.actor,
        lift: suppression.lift.map(lifted),
        lift_request: suppression.lift_request.map(lift_request),
    }
}

fn lifted(lift: Lift) -> pb::SuppressionLift {
    pb::SuppressionLift {
        lift_time: Some(time(lift.at)),
        requested_by: lift.requested_by,
        approved_by: lift.approved_by,
        reason: lift.reason,
        evidence_ref: lift.evidence_ref,
        evidence_time: time_option(lift.evidence_at),
    }
}

fn lift_request(request: LiftRequest) -> pb::SuppressionLiftRequest {
    pb::SuppressionLiftRequest {
        request_time: Some(time(request.at)),
        requested_by: request.requested_by,
        reason: request.reason,
        evidence_ref: request.evidence_ref,
        evidence_time: time_option(request.evidence_at),
    }
}
