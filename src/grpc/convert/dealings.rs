//! What passed between a person and each seller.

use std::collections::BTreeMap;

use crate::domain::party::{
    Callback, Dealings, LegitimateInterest, Notice, PresumedConsent, Relationship, SELLERS_MAX,
};
use crate::grpc::pb;

use super::contact::inner;
use super::{
    Fields, NAME_CHARS_MAX, NOTE_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, date, text, time,
    time_option,
};

/// Reads the dealings of a contact; each seller may stand there once, or one of the two would be lost.
pub(super) fn by_seller(
    fields: &mut Fields,
    messages: Vec<pb::Dealings>,
) -> Result<BTreeMap<String, Dealings>, Noted> {
    if messages.len() > SELLERS_MAX {
        return fields.wrong(
            "dealings",
            format!("are with more than {SELLERS_MAX} sellers"),
        );
    }
    let read: Vec<Result<(String, Dealings), Noted>> = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            fields.within(&format!("dealings[{index}]"), |fields| {
                dealings(fields, message)
            })
        })
        .collect();
    let mut known = BTreeMap::new();
    for (index, each) in read.into_iter().enumerate() {
        let (seller, told) = each?;
        if known.insert(seller, told).is_some() {
            return fields.wrong(&format!("dealings[{index}].seller"), "stands there twice");
        }
    }
    Ok(known)
}

fn dealings(fields: &mut Fields, message: pb::Dealings) -> Result<(String, Dealings), Noted> {
    let seller = fields.text("seller", message.seller, NAME_CHARS_MAX);
    let seller = fields.required("seller", seller);
    let relationship = inner(fields, "relationship", message.relationship, relationship);
    let legitimate_interest = inner(
        fields,
        "legitimate_interest",
        message.legitimate_interest,
        legitimate_interest,
    );
    let presumed_consent = inner(
        fields,
        "presumed_consent",
        message.presumed_consent,
        presumed_consent,
    );
    let notice = inner(fields, "notice", message.notice, notice);
    let callback = inner(fields, "callback", message.callback, callback);
    let told = Dealings {
        relationship: relationship?,
        legitimate_interest: legitimate_interest?,
        presumed_consent: presumed_consent?,
        notice: notice?,
        callback: callback?,
        personal_relationship: message.personal_relationship,
    };
    Ok((seller?, told))
}

fn relationship(fields: &mut Fields, message: pb::Relationship) -> Result<Relationship, Noted> {
    let last_transaction = fields.date("last_transaction_date", message.last_transaction_date);
    let last_inquiry = fields.date("last_inquiry_date", message.last_inquiry_date);
    let contract_ended_on = fields.date("contract_end_date", message.contract_end_date);
    let ended_at = fields.time("end_time", message.end_time);
    Ok(Relationship {
        last_transaction: last_transaction?,
        last_inquiry: last_inquiry?,
        contract_in_force: message.contract_in_force,
        contract_ended_on: contract_ended_on?,
        offer_related: message.offer_related,
        member: message.member,
        ended_at: ended_at?,
    })
}

fn legitimate_interest(
    fields: &mut Fields,
    message: pb::LegitimateInterest,
) -> Result<LegitimateInterest, Noted> {
    let reference = fields.text("reference", message.reference, REFERENCE_CHARS_MAX);
    Ok(LegitimateInterest {
        assessment_on_file: message.assessment_on_file,
        reference: reference?,
    })
}

fn presumed_consent(
    fields: &mut Fields,
    message: pb::PresumedConsent,
) -> Result<PresumedConsent, Noted> {
    let evidence = fields.text("evidence", message.evidence, NOTE_CHARS_MAX);
    let evidence = fields.required("evidence", evidence)?;
    Ok(PresumedConsent { evidence })
}

fn notice(fields: &mut Fields, message: pb::Notice) -> Result<Notice, Noted> {
    let version = fields.text("version", message.version, NAME_CHARS_MAX);
    let version = fields.required("version", version)?;
    Ok(Notice { version })
}

fn callback(fields: &mut Fields, message: pb::Callback) -> Result<Callback, Noted> {
    let requested_at = fields.time("request_time", message.request_time);
    let requested_at = fields.required("request_time", requested_at);
    let not_before = fields.time("not_before_time", message.not_before_time);
    let not_after = fields.time("not_after_time", message.not_after_time);
    let (not_before, not_after) = (not_before?, not_after?);
    if let (Some(from), Some(to)) = (not_before, not_after)
        && from > to
    {
        return fields.wrong("not_after_time", "is before not_before_time");
    }
    Ok(Callback {
        requested_at: requested_at?,
        not_before,
        not_after,
    })
}

/// Dealings as clients see them, by the seller's name.
pub(super) fn list(known: BTreeMap<String, Dealings>) -> Vec<pb::Dealings> {
    known
        .into_iter()
        .map(|(seller, told)| with_seller(seller, told))
        .collect()
}

fn with_seller(seller: String, told: Dealings) -> pb::Dealings {
    pb::Dealings {
        seller,
        relationship: told.relationship.map(|relationship| pb::Relationship {
            last_transaction_date: relationship.last_transaction.map(date),
            last_inquiry_date: relationship.last_inquiry.map(date),
            contract_in_force: relationship.contract_in_force,
            contract_end_date: relationship.contract_ended_on.map(date),
            offer_related: relationship.offer_related,
            member: relationship.member,
            end_time: time_option(relationship.ended_at),
        }),
        legitimate_interest: told
            .legitimate_interest
            .map(|interest| pb::LegitimateInterest {
                assessment_on_file: interest.assessment_on_file,
                reference: text(interest.reference),
            }),
        presumed_consent: told.presumed_consent.map(|presumed| pb::PresumedConsent {
            evidence: presumed.evidence,
        }),
        notice: told.notice.map(|notice| pb::Notice {
            version: notice.version,
        }),
        callback: told.callback.map(|callback| pb::Callback {
            request_time: Some(time(callback.requested_at)),
            not_before_time: time_option(callback.not_before),
            not_after_time: time_option(callback.not_after),
        }),
        personal_relationship: told.personal_relationship,
    }
}
