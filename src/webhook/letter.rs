//! What is sent: changes as JSON. It says of a suppression what somebody who keeps a copy needs, and by which key or id to ask for
//! the rest: no number, no note, no evidence and nobody who works here (docs/WEBHOOKS.md).

use serde::Serialize;

use crate::domain::call::{CallKind, Purpose};
use crate::domain::ids::{PartyId, SuppressionId};
use crate::domain::suppression::{
    Suppression, SuppressionChange, SuppressionChangeKind, SuppressionReason, SuppressionSource,
    SuppressionSubject,
};
use crate::domain::time::Micros;

#[derive(Serialize)]
struct Letter<'a> {
    webhook: &'a str,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    position: i64,
    kind: SuppressionChangeKind,
    time: Micros,
    suppression: Shown<'a>,
}

#[derive(Serialize)]
struct Shown<'a> {
    suppression_id: SuppressionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    number_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    party_id: Option<PartyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seller: Option<&'a str>,
    channels: &'a [CallKind],
    purposes: Vec<Purpose>,
    reason: SuppressionReason,
    source: SuppressionSource,
    received_time: Micros,
    record_time: Micros,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lift_request_time: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lift_time: Option<Micros>,
}

/// The body that tells this webhook of these changes; none if it cannot be written.
pub(super) fn body(webhook: &str, changes: &[SuppressionChange]) -> Option<Vec<u8>> {
    let changes = changes.iter().map(|change| Change {
        position: change.position,
        kind: change.kind,
        time: change.happened_at(),
        suppression: shown(&change.suppression),
    });
    let letter = Letter {
        webhook,
        changes: changes.collect(),
    };
    serde_json::to_vec(&letter).ok()
}

fn shown(suppression: &Suppression) -> Shown<'_> {
    let (mut number_key, mut party_id, mut account_key) = (None, None, None);
    match suppression.subject {
        SuppressionSubject::Number(key) => number_key = Some(key.hex()),
        SuppressionSubject::Party(party) => party_id = Some(party),
        SuppressionSubject::Account(key) => account_key = Some(key.hex()),
    }
    Shown {
        suppression_id: suppression.suppression_id,
        number_key,
        party_id,
        account_key,
        seller: suppression.seller.as_deref(),
        channels: suppression.kinds(),
        purposes: suppression.purposes(),
        reason: suppression.reason,
        source: suppression.source,
        received_time: suppression.received_at,
        record_time: suppression.recorded_at,
        expire_time: suppression.expires_at,
        lift_request_time: suppression.lift_request.as_ref().map(|asked| asked.at),
        lift_time: suppression.lift.as_ref().map(|lift| lift.at),
    }
}

/// The name of the message with these changes: the same however often it is sent.
pub(super) fn id(webhook: &str, round: i64, first: i64, last: i64) -> String {
    format!("{webhook}_{round}_{first}-{last}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::phone::NumberKey;
    use crate::domain::suppression::{Lift, LiftRequest};

    #[test]
    fn p21_a_letter_says_what_a_copy_needs_and_no_more() {
        let at = |seconds: i64| Micros((1_795_262_400 + seconds) * 1_000_000);
        let told = || "who, why and by what".to_owned();
        let suppression = Suppression {
            suppression_id: SuppressionId(uuid::Uuid::nil()),
            subject: SuppressionSubject::Number(NumberKey([7; 32])),
            seller: Some("acme".to_owned()),
            channels: vec![CallKind::Autodialed],
            purposes: vec![Purpose::Sales],
            reason: SuppressionReason::Internal,
            source: SuppressionSource::Agent,
            received_at: at(0),
            recorded_at: at(1),
            expires_at: Some(at(100)),
            evidence_ref: Some(told()),
            note: Some(told()),
            actor: told(),
            lift_request: Some(LiftRequest {
                at: at(2),
                requested_by: told(),
                reason: told(),
                evidence_ref: told(),
                evidence_at: Some(at(1)),
            }),
            lift: Some(Lift {
                at: at(3),
                requested_by: told(),
                approved_by: told(),
                reason: told(),
                evidence_ref: told(),
                evidence_at: Some(at(1)),
            }),
        };
        let change = SuppressionChange {
            position: 9,
            kind: SuppressionChangeKind::LiftRequested,
            suppression,
        };
        let body = String::from_utf8(body("crm", &[change]).unwrap()).unwrap();
        let key = "07".repeat(32);
        assert_eq!(
            body,
            format!(
                r#"{{"webhook":"crm","changes":[{{"position":9,"kind":"lift_requested","time":"2026-11-21T12:00:02Z","suppression":{{"suppression_id":"00000000-0000-0000-0000-000000000000","number_key":"{key}","seller":"acme","channels":["autodialed"],"purposes":["sales"],"reason":"internal","source":"agent","received_time":"2026-11-21T12:00:00Z","record_time":"2026-11-21T12:00:01Z","expire_time":"2026-11-21T12:01:40Z","lift_request_time":"2026-11-21T12:00:02Z","lift_time":"2026-11-21T12:00:03Z"}}}}]}}"#
            )
        );
    }
}
