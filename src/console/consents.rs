//! `POST /v1/consents`: an act of consent from a web form, given or taken back. It is appended and never overwrites; sent
//! again, it is answered with what it made.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use serde::Serialize;

use super::bounds::Place;
use super::config::ConsentSource;
use super::form::{self, Form};
use super::refusal::Refusal;
use super::server::Desk;
use super::signature::Signature;
use crate::domain::access::{Principal, Role};
use crate::domain::consent::{ConsentAction, ConsentEvent};
use crate::domain::ids::{ConsentEventId, PartyId, TenantId};
use crate::domain::time::Micros;
use crate::gate::Ask;

const SOURCE: &str = "dialgate-source";
const SIGNATURE: &str = "dialgate-signature";
const JSON: &str = "application/json";
const METHOD: &str = "SubmitConsent";

/// What is on record of the form. Nothing of the person beyond what the form itself said.
#[derive(Serialize)]
pub(super) struct Taken {
    consent_event: Recorded,
}

#[derive(Serialize)]
struct Recorded {
    consent_event_id: ConsentEventId,
    party_id: PartyId,
    seller: String,
    action: ConsentAction,
    event_time: Micros,
    record_time: Micros,
}

/// Takes a form.
pub(super) async fn take(
    State(desk): State<Arc<Desk>>,
    Extension(place): Extension<Place>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Taken>, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(desk.body_bytes_max),
        _ => Refusal::body_broken_off(),
    })?;
    let now = desk.clock.read().wall;
    let source = signer(&desk, &headers, &body, now)?;
    if !is_json(&headers) {
        return Err(Refusal::not_said_to_be_json());
    }
    let pack = desk.gate.pack();
    let form = form::read(&body, source, pack.tables(), now)?;
    let event = record(&desk, source, form, now, place).await?;
    Ok(Json(Taken {
        consent_event: Recorded {
            consent_event_id: event.consent_event_id,
            party_id: event.party_id,
            seller: event.seller,
            action: event.action,
            event_time: event.at,
            record_time: event.recorded_at,
        },
    }))
}

/// The source that signed this body, about now.
fn signer<'d>(
    desk: &'d Desk,
    headers: &HeaderMap,
    body: &[u8],
    now: Micros,
) -> Result<&'d ConsentSource, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let name = text(SOURCE).ok_or_else(Refusal::unsigned)?;
    let signature = text(SIGNATURE)
        .and_then(Signature::parse)
        .ok_or_else(Refusal::unsigned)?;
    let source = (desk.sources.iter())
        .find(|source| source.name == name)
        .ok_or_else(Refusal::wrongly_signed)?;
    if !signature.fits(&source.secret, body) {
        tracing::warn!(source = source.name, "a form with a wrong signature");
        return Err(Refusal::wrongly_signed());
    }
    if !signature.is_fresh(now) {
        tracing::warn!(source = source.name, "a form whose signature is too old");
        return Err(Refusal::stale());
    }
    Ok(source)
}

/// Whether the body is said to be JSON; a parameter such as the character set changes nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("");
    kind.trim().eq_ignore_ascii_case(JSON)
}

/// Carried through though the sender goes away meanwhile, its place held until it is done.
async fn record(
    desk: &Desk,
    source: &ConsentSource,
    form: Form,
    at: Micros,
    place: Place,
) -> Result<ConsentEvent, Refusal> {
    let ask = Ask {
        principal: Principal {
            tenant: TenantId::default(),
            api_key_id: None,
            name: source.name.clone(),
            role: Role::Agent,
        },
        request_id: form.request_id,
        method: METHOD,
        digest: form.digest,
        at,
    };
    let gate = desk.gate.clone();
    let carried = tokio::spawn(async move {
        let recorded = gate.record_consent(&ask, form.new).await;
        drop(place);
        recorded
    });
    match carried.await {
        Ok(recorded) => recorded.map_err(|error| Refusal::from_gate(&error)),
        Err(_) => Err(Refusal::internal("the task of a form ended early")),
    }
}
