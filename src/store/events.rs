//! The history of a call. Sequences have no gap: each is taken from the call's row in the transaction that writes it.

use uuid::Uuid;

use super::parties::{from_json, to_text, word};
use super::vault::Label;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::{CallEvent, CallState, EventDetail, EventKind};
use crate::domain::ids::{AttemptId, CallId, EventId, PartyId, TenantId};
use crate::domain::time::Micros;

/// An event about to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The call.
    pub call_id: CallId,
    /// When it happened.
    pub at: Micros,
    /// What happened.
    pub kind: EventKind,
    /// More about it.
    pub detail: EventDetail,
    /// The state that clients see from now on; a call that is over keeps its last.
    pub state: Option<CallState>,
    /// The attempt whose permit is given up with this event.
    pub close_permit: Option<AttemptId>,
}

/// An event as it is inserted.
pub(super) struct EventRow {
    event: CallEvent,
    tenant: TenantId,
    detail: String,
    sealed_sdp: Option<Vec<u8>>,
}

impl EventRow {
    pub(super) fn new(
        tenant: &TenantId,
        call_id: CallId,
        sequence: i64,
        at: Micros,
        kind: EventKind,
        detail: &EventDetail,
    ) -> Result<Self> {
        Ok(Self {
            event: CallEvent {
                event_id: EventId::new(at),
                call_id,
                sequence,
                at,
                kind,
                detail: detail.clone(),
            },
            tenant: tenant.clone(),
            detail: to_text(detail)?,
            sealed_sdp: None,
        })
    }
}

row!(ChangedRow {
    last_sequence: i64,
    party_id: Uuid
});

row!(StoredRow {
    event_id: Uuid,
    sequence: i64,
    event_time: i64,
    kind: String,
    detail: String,
    sealed_sdp: Option<Vec<u8>>,
    party_id: Uuid,
});

impl Tx {
    /// Records an event under the next sequence, and what it changes of the call. The first of its kind sets the time at
    /// which the call was sent, rang or was answered.
    pub async fn record_event(&mut self, tenant: &TenantId, e: &NewEvent) -> Result<CallEvent> {
        const SQL: &str = "UPDATE calls SET last_sequence = last_sequence + 1,
                state = CASE WHEN queue_state = 'done' THEN state ELSE COALESCE($3, state) END,
                invite_time = COALESCE(invite_time, $4), ring_time = COALESCE(ring_time, $5),
                answer_time = COALESCE(answer_time, $6)
            WHERE tenant_id = $1 AND call_id = $2 RETURNING last_sequence, party_id";
        let when = |kind| (e.kind == kind).then_some(e.at.0);
        let changed: Option<ChangedRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(e.call_id.0)
            .bind(e.state.map(CallState::as_str))
            .bind(when(EventKind::Inviting))
            .bind(when(EventKind::Ringing))
            .bind(when(EventKind::Answered))
            .fetch_optional(conn)
            .await)?;
        let changed = changed
            .ok_or_else(|| StoreError::Other("an event's call is not recorded".to_owned()))?;
        if let Some(attempt) = e.close_permit {
            self.close_permits(&[attempt]).await?;
        }
        let mut row = EventRow::new(
            tenant,
            e.call_id,
            changed.last_sequence,
            e.at,
            e.kind,
            &e.detail,
        )?;
        if let Some(sdp) = &e.detail.sdp {
            let party = PartyId(changed.party_id);
            self.load_keys(tenant, &[party]).await?;
            row.sealed_sdp = self.seal_for(party, Label::Sdp, Some(sdp))?;
        }
        self.insert_events(std::slice::from_ref(&row)).await?;
        Ok(row.event)
    }

    /// Events of a call after this sequence, oldest first.
    pub async fn events_after(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<CallEvent>> {
        const SQL: &str = "SELECT e.event_id, e.sequence, e.event_time, e.kind, e.detail, e.sealed_sdp, c.party_id
            FROM call_events AS e JOIN calls AS c ON c.call_id = e.call_id
            WHERE e.tenant_id = $1 AND e.call_id = $2 AND e.sequence > $3 ORDER BY e.sequence LIMIT $4";
        let rows: Vec<StoredRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(call_id.0)
            .bind(sequence)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await)?;
        if let Some(row) = rows.iter().find(|row| row.sealed_sdp.is_some()) {
            self.load_keys(tenant, &[PartyId(row.party_id)]).await?;
        }
        rows.into_iter()
            .map(|row| self.read_event(call_id, &row))
            .collect()
    }

    /// Inserts events whose sequences were taken.
    pub(super) async fn insert_events(&mut self, rows: &[EventRow]) -> Result<()> {
        insert_rows!(self, "call_events", rows, |row| {
            call_id: "uuid" = row.event.call_id.0,
            sequence: "bigint" = row.event.sequence,
            event_id: "uuid" = row.event.event_id.0,
            tenant_id: "text" = row.tenant.0.as_str(),
            event_time: "bigint" = row.event.at.0,
            kind: "text" = row.event.kind.as_str(),
            detail: "text" = row.detail.as_str(),
            sealed_sdp: "bytea" = row.sealed_sdp.clone(),
        })?;
        Ok(())
    }

    fn read_event(&self, call_id: CallId, row: &StoredRow) -> Result<CallEvent> {
        let mut detail: EventDetail = from_json(row.detail.as_bytes(), "event detail")?;
        detail.sdp = self.open_for(PartyId(row.party_id), Label::Sdp, row.sealed_sdp.as_deref())?;
        Ok(CallEvent {
            event_id: EventId(row.event_id),
            call_id,
            sequence: row.sequence,
            at: Micros(row.event_time),
            kind: word(&row.kind, "event kind")?,
            detail,
        })
    }
}
