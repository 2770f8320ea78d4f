//! Calls: the row that clients see and the fence compares. The number is sealed under the person's key, the number shown,
//! which is the seller's, under the deployment's own.

use std::collections::HashMap;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::attempts::NewAttempt;
use super::events::EventRow;
use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{number_key, parse_phone, word};
use super::seats::agent_free;
use super::sql::Text as _;
use super::vault::Label;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::{
    AgentResult, Attestation, Call, CallKind, CallState, EventDetail, EventKind, Outcome,
};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{AttemptId, CallId, DecisionId, PartyId, TenantId};
use crate::domain::phone::Phone;
use crate::domain::time::Micros;

/// What calls can be filtered by.
pub const CALL_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("end_time", FieldKind::Time),
    field("call_id", FieldKind::Uuid),
    field("party_id", FieldKind::Uuid),
    field("number_key", FieldKind::Key),
    field("campaign_id", FieldKind::Text),
    field("seller", FieldKind::Text),
    field("trunk", FieldKind::Text),
    field("actor", FieldKind::Text),
    field(
        "state",
        FieldKind::Words(|word| word.parse::<CallState>().err()),
    ),
    field(
        "outcome",
        FieldKind::Words(|word| word.parse::<Outcome>().err()),
    ),
    field(
        "call_kind",
        FieldKind::Words(|word| word.parse::<CallKind>().err()),
    ),
    field("sip_code", FieldKind::Number),
    field("agent", FieldKind::Text),
    field(
        "agent_result",
        FieldKind::Words(|word| word.parse::<AgentResult>().err()),
    ),
    field("abandon_time", FieldKind::Time),
];

/// A call that was allowed into the queue.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// The row.
    pub call: Call,
    /// What the call is about; caps may count by it.
    pub subject: Option<String>,
    /// The softphone's SDP offer.
    pub sdp_offer: Vec<u8>,
}

/// Calls and attempts that have not ended, in all queues and of all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallsAtHand {
    /// Calls that wait for a worker.
    pub queued: i64,
    /// Attempts without an outcome.
    pub attempts: i64,
}

row!(CallRow {
    call_id: Uuid,
    tenant_id: String,
    party_id: Uuid,
    number_key: Vec<u8>,
    sealed_number: Option<Vec<u8>>,
    sealed_from: Option<Vec<u8>>,
    campaign_id: String,
    seller: String,
    subject: Option<String>,
    call_kind: String,
    trunk: String,
    state: String,
    lease_epoch: i64,
    attempt_id: Option<Uuid>,
    attestation: Option<String>,
    place_decision_id: Uuid,
    claim_decision_id: Option<Uuid>,
    outcome: Option<String>,
    sip_code: Option<i64>,
    q850_cause: Option<i64>,
    actor: String,
    create_time: i64,
    expire_time: i64,
    invite_time: Option<i64>,
    ring_time: Option<i64>,
    answer_time: Option<i64>,
    end_time: Option<i64>,
    agent: Option<String>,
    agent_result: Option<String>,
    abandon_time: Option<i64>,
});

row!(SequenceRow {
    call_id: Uuid,
    last_sequence: i64
});

impl Tx {
    /// Queues calls, each with its first event.
    pub async fn insert_calls(&mut self, tenant: &TenantId, rows: &[NewCall]) -> Result<()> {
        let parties: Vec<PartyId> = rows.iter().map(|row| row.call.party_id).collect();
        self.load_keys(tenant, &parties).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let call = &row.call;
            let number = call.to.map(Phone::reveal);
            sealed.push((
                row,
                self.seal_for(
                    call.party_id,
                    Label::Number,
                    number.as_deref().map(str::as_bytes),
                )?,
                self.seal_caller_id(call.from)?,
                // A node of the release before knows nothing of agents, and would call the person with nobody there. It cannot
                // open this, and ends such a call undialed.
                match &call.agent {
                    None => self.seal_for(call.party_id, Label::Sdp, Some(&row.sdp_offer))?,
                    Some(agent) => {
                        self.seal_for(call.party_id, Label::Desk, Some(agent.as_bytes()))?
                    }
                },
            ));
            let detail = EventDetail {
                decision_id: Some(call.place_decision_id),
                ..EventDetail::default()
            };
            events.push(EventRow::new(
                tenant,
                call.call_id,
                1,
                call.create_time,
                EventKind::Queued,
                &detail,
            )?);
        }
        insert_rows!(self, "calls", &sealed, |row| {
            call_id: "uuid" = row.0.call.call_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            party_id: "uuid" = row.0.call.party_id.0,
            number_key: "bytea" = row.0.call.number_key.0.to_vec(),
            sealed_number: "bytea" = row.1.clone(),
            sealed_from: "bytea" = row.2.clone(),
            campaign_id: "text" = row.0.call.campaign_id.as_str(),
            seller: "text" = row.0.call.seller.as_str(),
            subject: "text" = row.0.subject.as_deref(),
            call_kind: "text" = row.0.call.call_kind.as_str(),
            trunk: "text" = row.0.call.trunk.as_str(),
            state: "text" = "queued",
            queue_state: "text" = "queued",
            lease_epoch: "bigint" = 0_i64,
            place_decision_id: "uuid" = row.0.call.place_decision_id.0,
            actor: "text" = row.0.call.actor.as_str(),
            create_time: "bigint" = row.0.call.create_time.0,
            expire_time: "bigint" = row.0.call.expire_time.0,
            last_sequence: "bigint" = 1_i64,
            hang_up_requested: "boolean" = false,
            sealed_offer: "bytea" = row.3.clone(),
            agent: "text" = row.0.call.agent.as_deref(),
        })?;
        self.insert_events(&events).await
    }

    /// What clients see of the calls of new attempts; answers the number of each call's next event.
    pub(super) async fn tell_claims(
        &mut self,
        tenant: &TenantId,
        rows: &[NewAttempt],
    ) -> Result<HashMap<Uuid, i64>> {
        let wanted: Vec<_> = rows
            .iter()
            .map(|row| (row.call_id.0, number_of(row.attestation), row.decision_id.0))
            .collect();
        let claimed: Vec<SequenceRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "UPDATE calls SET claim_decision_id = t.column3, last_sequence = last_sequence + 1,
                     attestation = CASE t.column2 WHEN 1 THEN 'A' WHEN 2 THEN 'B' WHEN 3 THEN 'C' END,
                     state = CASE WHEN state = 'queued' THEN 'claimed' ELSE state END FROM ",
            );
            query
                .table_of(&wanted)
                .text(" WHERE call_id = t.column1 AND queue_state = 'claimed' AND tenant_id = ");
            query
                .bind_text(&tenant.0)
                .text(" RETURNING call_id, last_sequence");
            query.build_query_as().fetch_all(conn).await
        })?;
        Ok(claimed
            .into_iter()
            .map(|row| (row.call_id, row.last_sequence))
            .collect())
    }

    /// How many calls wait for this trunk, and not in vain.
    pub async fn queued_count(&mut self, trunk: &str, at: Micros) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM calls WHERE queue_state = 'queued' AND trunk = $1 AND expire_time > $2";
        on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(trunk)
            .bind(at.0)
            .fetch_one(conn)
            .await)
    }

    /// Those of these campaigns of which a call waits, and not in vain.
    pub async fn waiting_campaigns(
        &mut self,
        campaigns: &[&str],
        at: Micros,
    ) -> Result<Vec<String>> {
        const SQL: &str = concat!(
            "SELECT EXISTS (SELECT 1 FROM calls WHERE queue_state = 'queued' AND campaign_id = $1 AND expire_time > $2",
            agent_free!(),
            ")"
        );
        let mut waiting = Vec::new();
        for campaign in campaigns {
            let waits: bool = on!(self, |conn| sqlx::query_scalar(SQL)
                .bind(*campaign)
                .bind(at.0)
                .fetch_one(conn)
                .await)?;
            waiting.extend(waits.then(|| (*campaign).to_owned()));
        }
        Ok(waiting)
    }

    /// Records that these calls go by this trunk.
    pub async fn move_calls(&mut self, calls: &[CallId], trunk: &str) -> Result<()> {
        let ids: Vec<Uuid> = calls.iter().map(|id| id.0).collect();
        on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("UPDATE calls SET trunk = ");
            query
                .bind_text(trunk)
                .text(" WHERE call_id")
                .among_uuids(&ids);
            query.build().execute(conn).await.map(drop)
        })
    }

    /// What is at hand in all queues and of all nodes.
    pub async fn calls_at_hand(&mut self) -> Result<CallsAtHand> {
        const SQL: &str = "SELECT (SELECT count(*) FROM calls WHERE queue_state = 'queued'), (SELECT count(*) FROM attempts WHERE outcome IS NULL)";
        let (queued, attempts) = on!(self, |conn| sqlx::query_as(SQL).fetch_one(conn).await)?;
        Ok(CallsAtHand { queued, attempts })
    }

    /// One call.
    pub async fn call(&mut self, tenant: &TenantId, id: CallId) -> Result<Option<Call>> {
        let Some(row) = self.call_row(tenant, id).await? else {
            return Ok(None);
        };
        self.load_keys(tenant, &[PartyId(row.party_id)]).await?;
        self.read_call(row).map(Some)
    }

    async fn call_row(&mut self, tenant: &TenantId, id: CallId) -> Result<Option<CallRow>> {
        on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(CallRow::COLUMNS)
                .text(" FROM calls WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND call_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })
    }

    /// One call, for whoever must end it: without its numbers, which it may no longer be possible to read.
    pub async fn call_to_end(&mut self, tenant: &TenantId, id: CallId) -> Result<Option<Call>> {
        let row = self.call_row(tenant, id).await?;
        row.map(|row| {
            self.read_call(CallRow {
                sealed_number: None,
                sealed_from: None,
                ..row
            })
        })
        .transpose()
    }

    /// Calls, newest first.
    pub async fn list_calls(&mut self, tenant: &TenantId, q: &ListQuery) -> Result<Page<Call>> {
        let rows: Vec<CallRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(CallRow::COLUMNS)
                .text(" FROM calls WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "call_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let page = q.page(rows, |row| (row.create_time, row.call_id));
        let parties: Vec<PartyId> = page.rows.iter().map(|row| PartyId(row.party_id)).collect();
        self.load_keys(tenant, &parties).await?;
        page.try_map(|row| self.read_call(row))
    }

    /// Records the wish to end a call. One that no attempt has claimed yet ends right there, as `canceled` (lease-3); a
    /// claimed one is its owner's to end. Answers the state it then has.
    pub async fn request_hang_up(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        at: Micros,
    ) -> Result<Option<CallState>> {
        const END: &str = "UPDATE calls SET queue_state = 'done', state = 'canceled', outcome = 'canceled', end_time = $3,
                hang_up_requested = TRUE, last_sequence = last_sequence + 1
            WHERE tenant_id = $1 AND call_id = $2 AND queue_state IN ('queued', 'leased') RETURNING last_sequence";
        const ASK: &str = "UPDATE calls SET hang_up_requested = TRUE, last_sequence = last_sequence + 1
            WHERE tenant_id = $1 AND call_id = $2 AND queue_state = 'claimed' AND NOT hang_up_requested
            RETURNING last_sequence";
        const STATE: &str = "SELECT state FROM calls WHERE tenant_id = $1 AND call_id = $2";
        let ended: Option<i64> = on!(self, |conn| sqlx::query_scalar(END)
            .bind(&tenant.0)
            .bind(call_id.0)
            .bind(at.0)
            .fetch_optional(conn)
            .await)?;
        let event = if let Some(sequence) = ended {
            let detail = EventDetail {
                outcome: Some(Outcome::Canceled),
                ..EventDetail::default()
            };
            Some((sequence, EventKind::Ended, detail))
        } else {
            let asked: Option<i64> = on!(self, |conn| sqlx::query_scalar(ASK)
                .bind(&tenant.0)
                .bind(call_id.0)
                .fetch_optional(conn)
                .await)?;
            asked.map(|sequence| (sequence, EventKind::HangUpRequested, EventDetail::default()))
        };
        if let Some((sequence, kind, detail)) = event {
            self.insert_events(&[EventRow::new(tenant, call_id, sequence, at, kind, &detail)?])
                .await?;
        }
        let state: Option<String> = on!(self, |conn| sqlx::query_scalar(STATE)
            .bind(&tenant.0)
            .bind(call_id.0)
            .fetch_optional(conn)
            .await)?;
        state.map(|state| word(&state, "call state")).transpose()
    }

    pub(super) fn seal_caller_id(&self, from: Option<Phone>) -> Result<Option<Vec<u8>>> {
        from.map(|from| {
            self.vault
                .own()
                .seal(Label::CallerId, from.reveal().as_bytes())
        })
        .transpose()
    }

    pub(super) fn open_caller_id(&self, sealed: Option<&[u8]>) -> Result<Option<Phone>> {
        sealed
            .map(|sealed| parse_phone(&self.vault.own().open(Label::CallerId, sealed)?))
            .transpose()
    }

    /// The call of a row whose person's key was loaded.
    pub(super) fn read_call(&self, row: CallRow) -> Result<Call> {
        let party_id = PartyId(row.party_id);
        let to = self.open_for(party_id, Label::Number, row.sealed_number.as_deref())?;
        Ok(Call {
            call_id: CallId(row.call_id),
            tenant: TenantId(row.tenant_id),
            party_id,
            number_key: number_key(&row.number_key)?,
            to: to.map(|plain| parse_phone(&plain)).transpose()?,
            from: self.open_caller_id(row.sealed_from.as_deref())?,
            campaign_id: row.campaign_id,
            seller: row.seller,
            call_kind: word(&row.call_kind, "call kind")?,
            trunk: row.trunk,
            state: word(&row.state, "call state")?,
            place_decision_id: DecisionId(row.place_decision_id),
            claim_decision_id: row.claim_decision_id.map(DecisionId),
            attempt_id: row.attempt_id.map(AttemptId),
            attestation: row
                .attestation
                .map(|attestation| word(&attestation, "attestation"))
                .transpose()?,
            outcome: row
                .outcome
                .map(|outcome| word(&outcome, "outcome"))
                .transpose()?,
            sip_code: small(row.sip_code)?,
            q850_cause: small(row.q850_cause)?,
            actor: row.actor,
            create_time: Micros(row.create_time),
            expire_time: Micros(row.expire_time),
            invite_time: row.invite_time.map(Micros),
            ring_time: row.ring_time.map(Micros),
            answer_time: row.answer_time.map(Micros),
            end_time: row.end_time.map(Micros),
            agent: row.agent,
            agent_result: row
                .agent_result
                .map(|result| word(&result, "agent result"))
                .transpose()?,
            abandon_time: row.abandon_time.map(Micros),
        })
    }
}

/// An attestation as the statement's table carries it, beside ids, as a number.
fn number_of(attestation: Option<Attestation>) -> i64 {
    match attestation {
        None => 0,
        Some(Attestation::A) => 1,
        Some(Attestation::B) => 2,
        Some(Attestation::C) => 3,
    }
}

fn small(number: Option<i64>) -> Result<Option<u16>> {
    number
        .map(u16::try_from)
        .transpose()
        .map_err(|_| StoreError::Damaged { what: "code" })
}
