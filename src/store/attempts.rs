//! Attempts: the durable twins of permits. `permit_open` is cleared by the owner, after dropping its permit, or by who has
//! watched the row for the barrier's wait; never because something was sent.

use std::collections::BTreeSet;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::consents::{join_channels, join_purposes};
use super::events::EventRow;
use super::holders::links;
use super::sql::Text as _;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::{Attestation, CallState, EventDetail, EventKind, Outcome, Purpose};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{AttemptId, CallId, DecisionId, Incarnation, PartyId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::{CLOCKS_APART, Micros};

/// An attempt about to be made.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// Identifier.
    pub attempt_id: AttemptId,
    /// Its call.
    pub call_id: CallId,
    /// Person called.
    pub party_id: PartyId,
    /// Key of the number called.
    pub number_key: NumberKey,
    /// On whose behalf.
    pub seller: String,
    /// What it is about.
    pub subject: Option<String>,
    /// Why the person is called, as the claim was judged; absent = nobody knows, and every opt-out covers it.
    pub purpose: Option<Purpose>,
    /// Number shown.
    pub from: Option<Phone>,
    /// How strongly its INVITE vouches for that number; absent = it does not.
    pub attestation: Option<Attestation>,
    /// The decision that allowed it.
    pub decision_id: DecisionId,
    /// Trunk that carries it.
    pub trunk: String,
    /// SIP Call-ID, made before the claim.
    pub sip_call_id: String,
    /// The process that holds its permit.
    pub owner: Incarnation,
    /// Life of the permit, at most 1500.
    pub permit_ms: i32,
    /// When it was claimed.
    pub at: Micros,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its call.
    pub call_id: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// How it counts, where the outcome alone does not tell; an agent's word goes before it.
    pub counts_as: Option<AttemptResult>,
    /// SIP code, reason, cause and retry class for the event; `outcome` is filled in.
    pub detail: EventDetail,
    /// When.
    pub at: Micros,
    /// Whoever tells of the end knows that the permit is no more. A sweeper does not: it may be wrong about the owner's
    /// death, and closes the permit only by watching it (sweep-2).
    pub permit_gone: bool,
}

/// Why an attempt is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// An opt-out covers it.
    OptOut,
    /// A sweeper took its owner for dead and ended it on record (sweep-1); nobody opted out.
    TakenForDead,
    /// Somebody asked to end the call.
    HangUp,
}

row!(CancelRow {
    attempt_id: Uuid,
    call_id: Uuid,
    hang_up: bool,
    ended: bool
});

impl Tx {
    /// Records attempts with open permits, and what clients see of it: state `claimed`, the claim's decision and an event
    /// `claimed` for each. After the fence, in its transaction (claim-6).
    pub async fn insert_attempts(&mut self, tenant: &TenantId, rows: &[NewAttempt]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let sequences = self.tell_claims(tenant, rows).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(sequence) = sequences.get(&row.call_id.0) else {
                self.failed = true;
                return Err(StoreError::Other(
                    "an attempt's call was not taken by the fence".to_owned(),
                ));
            };
            sealed.push((row, self.seal_caller_id(row.from)?));
            let detail = EventDetail {
                decision_id: Some(row.decision_id),
                ..EventDetail::default()
            };
            events.push(EventRow::new(
                tenant,
                row.call_id,
                *sequence,
                row.at,
                EventKind::Claimed,
                &detail,
            )?);
        }
        insert_rows!(self, "attempts", &sealed, |row| {
            attempt_id: "uuid" = row.0.attempt_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            call_id: "uuid" = row.0.call_id.0,
            party_id: "uuid" = row.0.party_id.0,
            number_key: "bytea" = row.0.number_key.0.to_vec(),
            seller: "text" = row.0.seller.as_str(),
            subject: "text" = row.0.subject.as_deref(),
            purpose: "text" = row.0.purpose.map(Purpose::as_str),
            sealed_from: "bytea" = row.1.clone(),
            attestation: "text" = row.0.attestation.map(Attestation::as_str),
            decision_id: "uuid" = row.0.decision_id.0,
            trunk: "text" = row.0.trunk.as_str(),
            sip_call_id: "text" = row.0.sip_call_id.as_str(),
            owner: "uuid" = row.0.owner.0,
            permit_ms: "bigint" = i64::from(row.0.permit_ms),
            permit_open: "boolean" = true,
            cancel_requested: "boolean" = false,
            create_time: "bigint" = row.0.at.0,
        })?;
        self.insert_opt_outs_seen(tenant, rows).await?;
        self.insert_events(&events).await
    }

    /// What the claims of this transaction saw and were allowed in spite of. Only what they did not see may cancel them, and
    /// of two nodes' clocks none can tell which that is.
    async fn insert_opt_outs_seen(&mut self, tenant: &TenantId, rows: &[NewAttempt]) -> Result<()> {
        // One that is about number and person alike is seen once.
        let mut seen = BTreeSet::new();
        for row in rows {
            let about = [
                SuppressionSubject::Number(row.number_key),
                SuppressionSubject::Party(row.party_id),
            ];
            let covering = self.seen.iter().filter(|(_, it)| about.contains(it));
            seen.extend(covering.map(|(id, _)| (row.attempt_id, *id)));
        }
        let seen: Vec<_> = seen.into_iter().collect();
        insert_rows!(self, "attempt_opt_outs", &seen, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            attempt_id: "uuid" = row.0.0,
            suppression_id: "uuid" = row.1.0,
        })?;
        Ok(())
    }

    /// Ends an attempt that has no outcome yet, and its call with it (claim-11, sweep-1); false = it had one, and nothing
    /// was changed.
    pub async fn end_attempt(&mut self, tenant: &TenantId, e: &AttemptEnd) -> Result<bool> {
        const ATTEMPT: &str =
            "UPDATE attempts SET outcome = $3, permit_open = permit_open AND NOT $5, end_time = $4,
                result = COALESCE(result, $6)
            WHERE tenant_id = $1 AND attempt_id = $2 AND outcome IS NULL";
        const CALL: &str = "UPDATE calls SET queue_state = 'done', state = $4, outcome = $5, end_time = $6, sip_code = $7,
                q850_cause = $8, last_sequence = last_sequence + 1
            WHERE tenant_id = $1 AND call_id = $2 AND attempt_id = $3 AND queue_state = 'claimed'
            RETURNING last_sequence";
        let answered = self.hold_call(tenant, e.call_id).await?;
        let ended = on!(self, |conn| sqlx::query(ATTEMPT)
            .bind(&tenant.0)
            .bind(e.attempt_id.0)
            .bind(e.outcome.as_str())
            .bind(e.at.0)
            .bind(e.permit_gone)
            .bind(e.counts_as.map(AttemptResult::as_str))
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        if ended != 1 {
            return Ok(false);
        }
        let sequence: Option<i64> = on!(self, |conn| sqlx::query_scalar(CALL)
            .bind(&tenant.0)
            .bind(e.call_id.0)
            .bind(e.attempt_id.0)
            .bind(final_state(e.outcome, answered).as_str())
            .bind(e.outcome.as_str())
            .bind(e.at.0)
            .bind(e.detail.sip_code.map(i64::from))
            .bind(e.detail.q850_cause.map(i64::from))
            .fetch_optional(conn)
            .await)?;
        let Some(sequence) = sequence else {
            self.failed = true;
            return Err(StoreError::Other(
                "an attempt without outcome is not its call's latest".to_owned(),
            ));
        };
        let detail = EventDetail {
            outcome: Some(e.outcome),
            ..e.detail.clone()
        };
        self.insert_events(&[EventRow::new(
            tenant,
            e.call_id,
            sequence,
            e.at,
            EventKind::Ended,
            &detail,
        )?])
        .await?;
        self.end_instructions_of(e.call_id, e.at).await?;
        if e.detail.abandoned {
            self.mark_abandoned(tenant, e.attempt_id, e.at).await?;
        }
        Ok(true)
    }

    /// Records that these permits are given up. Only the owner (claim-10), or who watched them for the barrier's wait
    /// (sweep-2), may do so.
    pub async fn close_permits(&mut self, ids: &[AttemptId]) -> Result<u64> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "UPDATE attempts SET permit_open = FALSE WHERE permit_open AND attempt_id",
            );
            query.among_uuids(&ids);
            query
                .build()
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })
    }

    /// Attempts to this number, or to any number of these people, whose permits are open (opt-out-4).
    pub async fn open_permits(
        &mut self,
        tenant: &TenantId,
        key: &NumberKey,
        parties: &[PartyId],
    ) -> Result<Vec<AttemptId>> {
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let ids: Vec<Uuid> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT attempt_id FROM attempts WHERE permit_open AND tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND number_key = ")
                .bind_bytes(&key.0)
                .text(" UNION SELECT attempt_id FROM attempts WHERE permit_open AND tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&parties);
            query.build_query_scalar().fetch_all(conn).await
        })?;
        Ok(ids.into_iter().map(AttemptId).collect())
    }

    /// Those of these attempts whose permits are still open (opt-out-5). To look again, begin another transaction.
    pub async fn still_open(&mut self, ids: &[AttemptId]) -> Result<Vec<AttemptId>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let open: Vec<Uuid> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT attempt_id FROM attempts WHERE permit_open AND attempt_id",
            );
            query.among_uuids(&ids);
            query.build_query_scalar().fetch_all(conn).await
        })?;
        Ok(open.into_iter().map(AttemptId).collect())
    }

    /// Attempts of any owner whose permits are open, for the sweeper's watch.
    pub async fn attempts_open(&mut self) -> Result<Vec<AttemptId>> {
        const SQL: &str = "SELECT attempt_id FROM attempts WHERE permit_open";
        let ids: Vec<Uuid> = on!(self, |conn| sqlx::query_scalar(SQL).fetch_all(conn).await)?;
        Ok(ids.into_iter().map(AttemptId).collect())
    }

    /// Asks the owners of unended attempts to this number, or to any number of these people, to cancel those that this opt-out
    /// covers by seller, kind of call and purpose (opt-out-3); how many were asked. A lock not had in 250 ms is no error: 0,
    /// and the owners' poll finds them.
    pub async fn request_cancel(
        &mut self,
        tenant: &TenantId,
        key: &NumberKey,
        parties: &[PartyId],
        suppression: &Suppression,
    ) -> Result<u64> {
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let seller = suppression.seller.as_deref();
        let channels = join_channels(suppression.kinds());
        let purposes = join_purposes(&suppression.purposes());
        let saved = self.savepoint().await?;
        let asked = on!(self, |conn| {
            // Not with OR: SQLite would walk over all of the tenant's attempts, whatever the indexes.
            let mut query = QueryBuilder::<Db>::new(
                "UPDATE attempts SET cancel_requested = TRUE WHERE outcome IS NULL AND NOT cancel_requested AND attempt_id IN
                    (SELECT attempt_id FROM attempts WHERE tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND number_key = ")
                .bind_bytes(&key.0)
                .text(
                    " AND outcome IS NULL UNION SELECT attempt_id FROM attempts WHERE tenant_id = ",
                )
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&parties)
                .text(" AND outcome IS NULL)");
            if let Some(seller) = seller {
                query.text(" AND seller = ").bind_text(seller);
            }
            if !channels.is_empty() {
                query
                    .text(" AND EXISTS (SELECT 1 FROM calls AS c WHERE c.call_id = attempts.call_id AND (' ' || ")
                    .bind_text(&channels)
                    .text(" || ' ') LIKE ('% ' || c.call_kind || ' %'))");
            }
            if !purposes.is_empty() {
                query
                    .text(" AND (purpose IS NULL OR (' ' || ")
                    .bind_text(&purposes)
                    .text(" || ' ') LIKE ('% ' || purpose || ' %'))");
            }
            query
                .build()
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        });
        match saved {
            true => self
                .end_savepoint(asked)
                .await
                .map(Option::unwrap_or_default),
            false => asked,
        }
    }

    /// What this owner must end (claim-12): unanswered attempts that an opt-out covers which their claim did not see, calls
    /// that somebody asked to end, and whatever a sweeper ended on record.
    pub async fn cancels_for(
        &mut self,
        owner: Incarnation,
        at: Micros,
    ) -> Result<Vec<(AttemptId, CallId, CancelCause)>> {
        // An attempt of a living owner that a sweeper ended by mistake is to end, answered or not: no opt-out and no
        // hang-up would find it any more, and nobody can follow it.
        // An opt-out that the claim itself saw was reopened by a newer permission, or there would be no attempt. Any other
        // came later, whatever time of day the node that recorded it believed it was.
        // And it may have been told of another number of the person's ([`Suppression::follows_holder`]), or of the account they
        // belong to ([`Suppression::follows_member`]).
        // Each question is a subquery of its own, the last one a CROSS JOIN that SQLite walks in the order written: an OR over
        // columns, or a join begun at the opt-outs, would look at all of the tenant's, four times a second. For the same
        // reason what was ended on record is a query of its own: each half has its partial index.
        macro_rules! of_person {
            // `SuppressionReason::is_of_person`.
            () => {
                "s.reason NOT IN ('registry', 'internal', 'litigator')"
            };
        }
        macro_rules! unseen {
            // `Suppression::covers_kind` and `covers_purpose` last; purposes are on record as what they cover.
            () => {
                concat!(" AND s.lift_time IS NULL AND (s.expire_time IS NULL OR s.expire_time > $2)
                    AND NOT EXISTS (SELECT 1 FROM attempt_opt_outs AS o
                        WHERE o.attempt_id = a.attempt_id AND o.suppression_id = s.suppression_id)
                    AND (s.seller IS NULL OR s.seller = a.seller)
                    AND (s.channels = '' OR ", of_person!(),
                    " OR (' ' || s.channels || ' ') LIKE ('% ' || c.call_kind || ' %'))
                    AND (s.purposes = '' OR a.purpose IS NULL OR (' ' || s.purposes || ' ') LIKE ('% ' || a.purpose || ' %'))")
            };
        }
        const SQL: &str = concat!(
            "SELECT a.attempt_id AS attempt_id, a.call_id AS call_id, c.hang_up_requested AS hang_up, FALSE AS ended
            FROM attempts AS a JOIN calls AS c ON c.call_id = a.call_id
            WHERE a.owner = $1 AND a.outcome IS NULL AND (c.hang_up_requested
                OR c.answer_time IS NULL AND (a.cancel_requested
                OR EXISTS (SELECT 1 FROM suppressions AS s WHERE s.tenant_id = a.tenant_id AND s.number_key = a.number_key",
            unseen!(),
            ") OR EXISTS (SELECT 1 FROM suppressions AS s WHERE s.tenant_id = a.tenant_id AND s.party_id = a.party_id",
            unseen!(),
            ") OR EXISTS (SELECT 1 FROM ",
            links!(),
            " AS n CROSS JOIN suppressions AS s
                    WHERE n.tenant_id = a.tenant_id AND n.party_id = a.party_id
                    AND s.tenant_id = n.tenant_id AND s.number_key = n.number_key
                    AND (n.end_time IS NULL OR n.end_time > s.received_time OR n.end_time > s.create_time)
                    AND ",
            of_person!(),
            unseen!(),
            ") OR EXISTS (SELECT 1 FROM party_accounts AS m CROSS JOIN suppressions AS s
                    WHERE m.tenant_id = a.tenant_id AND m.party_id = a.party_id
                    AND s.tenant_id = m.tenant_id AND s.account_key = m.account_key
                    AND (m.end_time IS NULL OR (m.end_time + $3 > s.received_time OR m.end_time + $3 > s.create_time)
                        AND ",
            of_person!(),
            ")",
            unseen!(),
            ")))
            UNION ALL SELECT a.attempt_id, a.call_id, c.hang_up_requested, TRUE
            FROM attempts AS a JOIN calls AS c ON c.call_id = a.call_id
            WHERE a.owner = $1 AND a.outcome = 'interrupted_unknown'
            ORDER BY attempt_id"
        );
        let rows: Vec<CancelRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(owner.0)
            .bind(at.0)
            .bind(Micros(0).plus(CLOCKS_APART).0)
            .fetch_all(conn)
            .await)?;
        let cancel = |row: CancelRow| {
            let cause = match (row.ended, row.hang_up) {
                (true, _) => CancelCause::TakenForDead,
                (false, true) => CancelCause::HangUp,
                (false, false) => CancelCause::OptOut,
            };
            (AttemptId(row.attempt_id), CallId(row.call_id), cause)
        };
        Ok(rows.into_iter().map(cancel).collect())
    }

    /// Locks the call before its attempt is touched, and tells whether it was answered.
    pub(super) async fn hold_call(&mut self, tenant: &TenantId, call_id: CallId) -> Result<bool> {
        const HOLD: &str =
            "SELECT answer_time FROM calls WHERE tenant_id = $1 AND call_id = $2 FOR NO KEY UPDATE";
        const READ: &str = "SELECT answer_time FROM calls WHERE tenant_id = $1 AND call_id = $2";
        let answer: Option<Option<i64>> = on!(
            self,
            postgres
                | conn
                | sqlx::query_scalar(HOLD)
                    .bind(&tenant.0)
                    .bind(call_id.0)
                    .fetch_optional(conn)
                    .await,
            sqlite
                | conn
                | sqlx::query_scalar(READ)
                    .bind(&tenant.0)
                    .bind(call_id.0)
                    .fetch_optional(conn)
                    .await
        )?;
        Ok(answer.flatten().is_some())
    }
}

/// What clients see of a call whose last attempt ended so.
fn final_state(outcome: Outcome, answered: bool) -> CallState {
    match outcome {
        Outcome::Answered => CallState::Ended,
        Outcome::InterruptedUnknown if answered => CallState::Ended,
        Outcome::Canceled | Outcome::AnsweredAfterCancel => CallState::Canceled,
        _ => CallState::Failed,
    }
}
