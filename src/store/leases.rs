//! From queue to claim: leases under an epoch, and the fence that a row count decides, never a read. The call row is
//! changed only where state and epoch are still ours, so that of two workers one gets the call and the other learns it.

use std::collections::{BTreeSet, HashMap};

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::calls::CallRow;
use super::events::EventRow;
use super::parties::number_key;
use super::sql::Text as _;
use super::vault::Label;
use super::{AuditEntry, Result, StoreError, Tx, on, row};
use crate::domain::call::{AgentResult, Call, EventDetail, EventKind, Outcome};
use crate::domain::ids::{
    AttemptId, AuditEntryId, CallId, DecisionId, Incarnation, PartyId, TenantId,
};
use crate::domain::phone::NumberKey;
use crate::domain::time::Micros;

/// A call leased by one worker.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The call.
    pub call: Call,
    /// The lease's number; every later lease has a higher one.
    pub lease_epoch: i64,
    /// What the call is about.
    pub subject: Option<String>,
    /// The softphone's SDP offer; empty where an agent's phone is called first, and once the person was erased.
    pub sdp_offer: Vec<u8>,
}

/// A call that ended because its own time ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredCall {
    /// Whose call.
    pub tenant: TenantId,
    /// The call.
    pub call_id: CallId,
    /// Key of its number.
    pub number_key: NumberKey,
    /// Who asked for it.
    pub actor: String,
}

/// What is known of a call of which something cannot be read.
struct DamagedCall {
    tenant: TenantId,
    call_id: CallId,
    number_key: NumberKey,
    actor: String,
}

impl DamagedCall {
    fn of(row: &CallRow) -> Result<Self> {
        Ok(Self {
            tenant: TenantId(row.tenant_id.clone()),
            call_id: CallId(row.call_id),
            number_key: number_key(&row.number_key)?,
            actor: row.actor.clone(),
        })
    }

    fn entry(&self, why: &str, at: Micros) -> AuditEntry {
        AuditEntry {
            entry_id: AuditEntryId::new(at),
            kind: "call.unreadable".to_owned(),
            actor: self.actor.clone(),
            subject_key: Some(self.number_key.0),
            payload: serde_json::json!({ "call_id": self.call_id, "why": why }),
            at,
        }
    }
}

/// The end of a leased call that is not sent.
#[derive(Debug, Clone)]
pub struct UnsentEnd {
    /// The call.
    pub call_id: CallId,
    /// Under which lease it was held.
    pub lease_epoch: i64,
    /// Outcome, retry class and why.
    pub detail: EventDetail,
    /// When.
    pub at: Micros,
}

row!(ExpiredRow {
    call_id: Uuid,
    tenant_id: String,
    last_sequence: i64,
    number_key: Vec<u8>,
    actor: String,
});

row!(DeniedRow {
    call_id: Uuid,
    tenant_id: String,
    last_sequence: i64
});

impl Tx {
    /// Leases the oldest queued calls of a campaign that nobody else is taking (lease-1). One of which something cannot be
    /// read ends right there, and holds up no other.
    pub async fn lease_calls(
        &mut self,
        owner: Incarnation,
        campaign: &str,
        limit: u32,
        at: Micros,
    ) -> Result<Vec<Leased>> {
        let mut rows: Vec<CallRow> = on!(self, |conn| {
            let mut query =
                QueryBuilder::<Db>::new("UPDATE calls SET queue_state = 'leased', lease_owner = ");
            query
                .bind_uuid(owner.0)
                .text(", lease_epoch = lease_epoch + 1, lease_time = ")
                .bind_number(at.0);
            query
                .text(" WHERE call_id")
                .among_queued(campaign, i64::from(limit));
            query
                .text(" AND queue_state = 'queued' RETURNING ")
                .text(CallRow::COLUMNS);
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.sort_by_key(|row| (row.create_time, row.call_id));
        let ids: Vec<Uuid> = rows.iter().map(|row| row.call_id).collect();
        let mut offers: HashMap<Uuid, Option<Vec<u8>>> = on!(self, |conn| {
            let mut query =
                QueryBuilder::<Db>::new("SELECT call_id, sealed_offer FROM calls WHERE call_id");
            query.among_uuids(&ids);
            query.build_query_as().fetch_all(conn).await
        })?
        .into_iter()
        .collect();
        let tenants: BTreeSet<&str> = rows.iter().map(|row| row.tenant_id.as_str()).collect();
        let mut unreadable = Vec::new();
        for tenant in tenants {
            let of_tenant = rows.iter().filter(|row| row.tenant_id == tenant);
            let parties: Vec<PartyId> = of_tenant.map(|row| PartyId(row.party_id)).collect();
            unreadable.extend(
                self.load_sound_keys(&TenantId(tenant.to_owned()), &parties)
                    .await?,
            );
        }
        let unreadable: HashMap<PartyId, StoreError> = unreadable.into_iter().collect();
        let (mut leased, mut damaged) = (Vec::new(), Vec::new());
        for row in rows {
            let sealed = offers.remove(&row.call_id).flatten();
            let known = DamagedCall::of(&row);
            let opened = match unreadable.get(&PartyId(row.party_id)) {
                Some(error) => Err(error.to_string()),
                None => self
                    .open_lease(row, sealed.as_deref())
                    .map_err(|error| error.to_string()),
            };
            match opened {
                Ok(opened) => leased.push(opened),
                Err(why) => damaged.push((known?, why)),
            }
        }
        self.set_aside(&damaged, at).await?;
        Ok(leased)
    }

    fn open_lease(&self, mut row: CallRow, sealed_offer: Option<&[u8]>) -> Result<Leased> {
        let offer = match &row.agent {
            None => self.open_for(PartyId(row.party_id), Label::Sdp, sealed_offer)?,
            Some(_) => None,
        };
        Ok(Leased {
            lease_epoch: row.lease_epoch,
            subject: row.subject.take(),
            sdp_offer: offer.unwrap_or_default(),
            call: self.read_call(row)?,
        })
    }

    /// Ends calls that cannot be read, undialed: whoever leased them again would fail again, and with them all that wait
    /// in the same queue.
    async fn set_aside(&mut self, damaged: &[(DamagedCall, String)], at: Micros) -> Result<()> {
        const SQL: &str = "UPDATE calls SET queue_state = 'done', state = 'failed', end_time = $2,
                last_sequence = last_sequence + 1
            WHERE call_id = $1 AND queue_state = 'leased' RETURNING last_sequence";
        for (call, why) in damaged {
            tracing::error!(call.id = %call.call_id, why, "a queued call cannot be read; it is ended and not dialed");
            let sequence: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
                .bind(call.call_id.0)
                .bind(at.0)
                .fetch_one(conn)
                .await)?;
            let detail = EventDetail {
                note: Some(
                    "what is stored of the call cannot be read, so it was not dialed".to_owned(),
                ),
                ..EventDetail::default()
            };
            let (tenant, kind) = (&call.tenant, EventKind::Ended);
            self.insert_events(&[EventRow::new(
                tenant,
                call.call_id,
                sequence,
                at,
                kind,
                &detail,
            )?])
            .await?;
            self.insert_audit(tenant, &[call.entry(why, at)]).await?;
        }
        Ok(())
    }

    /// Gives a lease back (lease-2); false = it was not ours any more.
    pub async fn release_lease(&mut self, call_id: CallId, epoch: i64) -> Result<bool> {
        const SQL: &str = "UPDATE calls SET queue_state = 'queued', lease_owner = NULL
            WHERE call_id = $1 AND queue_state = 'leased' AND lease_epoch = $2";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(call_id.0)
            .bind(epoch)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Ends a leased call whose time ran out; none = it was not ours any more.
    pub async fn expire_call(
        &mut self,
        call_id: CallId,
        epoch: i64,
        at: Micros,
    ) -> Result<Option<ExpiredCall>> {
        const SQL: &str = "UPDATE calls SET queue_state = 'done', state = 'expired', end_time = $3,
                last_sequence = last_sequence + 1
            WHERE call_id = $1 AND queue_state = 'leased' AND lease_epoch = $2
            RETURNING call_id, tenant_id, last_sequence, number_key, actor";
        let rows: Vec<ExpiredRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(call_id.0)
            .bind(epoch)
            .bind(at.0)
            .fetch_all(conn)
            .await)?;
        Ok(self.expired(rows, at).await?.pop())
    }

    /// Ends calls that wait in the queue past their time, so that they hold up nobody; at most this many.
    pub async fn expire_due(&mut self, at: Micros, limit: i64) -> Result<Vec<ExpiredCall>> {
        const SQL: &str = "UPDATE calls SET queue_state = 'done', state = 'expired', end_time = $1,
                last_sequence = last_sequence + 1
            WHERE queue_state = 'queued' AND call_id IN (SELECT call_id FROM calls
                WHERE queue_state = 'queued' AND expire_time <= $1 ORDER BY create_time LIMIT $2)
            RETURNING call_id, tenant_id, last_sequence, number_key, actor";
        let rows: Vec<ExpiredRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(at.0)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        self.expired(rows, at).await
    }

    async fn expired(&mut self, rows: Vec<ExpiredRow>, at: Micros) -> Result<Vec<ExpiredCall>> {
        let (mut calls, mut events) = (Vec::new(), Vec::new());
        for row in rows {
            let (tenant, call_id) = (TenantId(row.tenant_id), CallId(row.call_id));
            let (kind, detail) = (EventKind::Expired, EventDetail::default());
            events.push(EventRow::new(
                &tenant,
                call_id,
                row.last_sequence,
                at,
                kind,
                &detail,
            )?);
            calls.push(ExpiredCall {
                tenant,
                call_id,
                number_key: number_key(&row.number_key)?,
                actor: row.actor,
            });
        }
        self.insert_events(&events).await?;
        Ok(calls)
    }

    /// Leases that this process holds and has not claimed.
    pub async fn leases_of(&mut self, owner: Incarnation) -> Result<Vec<(CallId, i64)>> {
        const SQL: &str = "SELECT call_id, lease_epoch FROM calls WHERE queue_state = 'leased' AND lease_owner = $1";
        let rows: Vec<(Uuid, i64)> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(owner.0)
            .fetch_all(conn)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|(call_id, epoch)| (CallId(call_id), epoch))
            .collect())
    }

    /// Ends a leased call that no attempt was made of; false = it was no longer held under this lease, and nothing was changed.
    pub async fn end_unsent(&mut self, tenant: &TenantId, end: &UnsentEnd) -> Result<bool> {
        const SQL: &str =
            "UPDATE calls SET queue_state = 'done', state = 'failed', outcome = $5, agent_result = $6, end_time = $4,
                last_sequence = last_sequence + 1
            WHERE tenant_id = $1 AND call_id = $2 AND queue_state = 'leased' AND lease_epoch = $3
            RETURNING last_sequence";
        let sequence: Option<i64> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(end.call_id.0)
            .bind(end.lease_epoch)
            .bind(end.at.0)
            .bind(end.detail.outcome.map(Outcome::as_str))
            .bind(end.detail.agent_result.map(AgentResult::as_str))
            .fetch_optional(conn)
            .await)?;
        let Some(sequence) = sequence else {
            return Ok(false);
        };
        let (call_id, kind) = (end.call_id, EventKind::Ended);
        let ended = EventRow::new(tenant, call_id, sequence, end.at, kind, &end.detail)?;
        self.insert_events(&[ended]).await?;
        Ok(true)
    }

    /// Ends leased calls that the gate refused (claim-5); answers those that were still ours.
    pub async fn deny_claim(
        &mut self,
        rows: &[(CallId, i64, DecisionId)],
        at: Micros,
    ) -> Result<Vec<CallId>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = rows
            .iter()
            .map(|(call, epoch, decision)| (call.0, *epoch, decision.0))
            .collect();
        let denied: Vec<DeniedRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "UPDATE calls SET queue_state = 'done', state = 'denied', claim_decision_id = t.column3, end_time = ",
            );
            query
                .bind_number(at.0)
                .text(", last_sequence = last_sequence + 1 FROM ")
                .table_of(&wanted);
            query.text(
                " WHERE call_id = t.column1 AND queue_state = 'leased' AND lease_epoch = t.column2",
            );
            query.text(" RETURNING call_id, tenant_id, last_sequence");
            query.build_query_as().fetch_all(conn).await
        })?;
        let decisions: HashMap<Uuid, DecisionId> = rows
            .iter()
            .map(|(call, _, decision)| (call.0, *decision))
            .collect();
        let mut events = Vec::with_capacity(denied.len());
        for row in &denied {
            let (tenant, call) = (TenantId(row.tenant_id.clone()), CallId(row.call_id));
            let detail = EventDetail {
                decision_id: decisions.get(&row.call_id).copied(),
                ..EventDetail::default()
            };
            events.push(EventRow::new(
                &tenant,
                call,
                row.last_sequence,
                at,
                EventKind::Denied,
                &detail,
            )?);
        }
        self.insert_events(&events).await?;
        Ok(denied.into_iter().map(|row| CallId(row.call_id)).collect())
    }

    /// Takes leased calls for these attempts (claim-5); answers those that were still ours. What clients see of it is
    /// changed by [`Tx::insert_attempts`].
    pub async fn fence_claims(&mut self, rows: &[(CallId, i64, AttemptId)]) -> Result<Vec<CallId>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = rows
            .iter()
            .map(|(call, epoch, attempt)| (call.0, *epoch, attempt.0))
            .collect();
        let taken: Vec<Uuid> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "UPDATE calls SET queue_state = 'claimed', attempt_id = t.column3 FROM ",
            );
            query.table_of(&wanted);
            query.text(
                " WHERE call_id = t.column1 AND queue_state = 'leased' AND lease_epoch = t.column2",
            );
            query.text(" RETURNING call_id");
            query.build_query_scalar().fetch_all(conn).await
        })?;
        Ok(taken.into_iter().map(CallId).collect())
    }

    /// Ends the old attempt as superseded and hands its call to the new one (claim-5); false = it was not ours any more,
    /// or somebody asked to end it. The call stays claimed: nobody may lease a call that may have been sent.
    pub async fn fence_again(
        &mut self,
        call_id: CallId,
        old: AttemptId,
        new: AttemptId,
        at: Micros,
    ) -> Result<bool> {
        const END: &str =
            "UPDATE attempts SET outcome = 'superseded', permit_open = FALSE, end_time = $2
            WHERE attempt_id = $1 AND outcome IS NULL";
        const HAND: &str = "UPDATE calls SET attempt_id = $3
            WHERE call_id = $1 AND queue_state = 'claimed' AND attempt_id = $2 AND NOT hang_up_requested";
        // Calls before attempts, everywhere; what decides are the counts of the two updates.
        let handed = on!(self, |conn| sqlx::query(HAND)
            .bind(call_id.0)
            .bind(old.0)
            .bind(new.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        if handed != 1 {
            return Ok(false);
        }
        let ended = on!(self, |conn| sqlx::query(END)
            .bind(old.0)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        // Half of it must not be kept: the call would name an attempt that was never made.
        self.failed |= ended != 1;
        Ok(ended == 1)
    }
}
