//! Attempts: the durable twins of permits.
use super::{Result, Tx};
use crate::domain::call::{EventDetail, Outcome};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{AttemptId, CallId, DecisionId, Incarnation, PartyId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;

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
    /// Number shown.
    pub from: Option<Phone>,
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
    /// SIP code, reason, cause and retry class for the event; `outcome` is filled in.
    pub detail: EventDetail,
    /// When.
    pub at: Micros,
}

/// Why an attempt is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// An opt-out covers it.
    OptOut,
    /// Somebody asked to end the call.
    HangUp,
}

impl Tx {
    /// Records attempts with open permits.
    pub async fn insert_attempts(&mut self, tenant: &TenantId, rows: &[NewAttempt]) -> Result<()> {
        todo!()
    }
    /// Ends an attempt that has no outcome yet, and its call with it; false = it had one, and nothing was changed.
    pub async fn end_attempt(&mut self, tenant: &TenantId, e: &AttemptEnd) -> Result<bool> {
        todo!()
    }
    /// Records that these permits are given up. Only the owner, or who watched them for the barrier's wait, may do so.
    pub async fn close_permits(&mut self, ids: &[AttemptId]) -> Result<u64> {
        todo!()
    }
    /// Attempts to this number whose permits are open.
    pub async fn open_permits(
        &mut self,
        tenant: &TenantId,
        key: &NumberKey,
    ) -> Result<Vec<AttemptId>> {
        todo!()
    }
    /// Those of these attempts whose permits are still open.
    pub async fn still_open(&mut self, ids: &[AttemptId]) -> Result<Vec<AttemptId>> {
        todo!()
    }
    /// Asks the owners of unended attempts to this number to cancel them. Not had in 250 ms: 0, and the owners' poll finds them.
    pub async fn request_cancel(&mut self, tenant: &TenantId, key: &NumberKey) -> Result<u64> {
        todo!()
    }
    /// What this owner must cancel: unanswered attempts that an opt-out covers, and calls that somebody asked to end.
    pub async fn cancels_for(
        &mut self,
        owner: Incarnation,
        at: Micros,
    ) -> Result<Vec<(AttemptId, CallId, CancelCause)>> {
        todo!()
    }
    /// Records how the attempts of a call count for caps.
    pub async fn set_attempt_result(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        result: AttemptResult,
    ) -> Result<()> {
        todo!()
    }
    /// Attempts of any owner whose permits are open, for the sweeper's watch.
    pub async fn attempts_open(&mut self) -> Result<Vec<AttemptId>> {
        todo!()
    }
}
