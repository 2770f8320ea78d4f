//! From queue to claim: leases under an epoch, and the fence that a row count decides, never a read.
use super::{Result, Tx};
use crate::domain::call::Call;
use crate::domain::ids::{AttemptId, CallId, DecisionId, Incarnation};
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
    /// The softphone's SDP offer.
    pub sdp_offer: Vec<u8>,
}

impl Tx {
    /// Leases the oldest queued calls of a trunk that nobody else is taking.
    pub async fn lease_calls(
        &mut self,
        owner: Incarnation,
        trunk: &str,
        limit: u32,
        at: Micros,
    ) -> Result<Vec<Leased>> {
        todo!()
    }
    /// Gives a lease back; false = it was not ours any more.
    pub async fn release_lease(&mut self, call_id: CallId, epoch: i64) -> Result<bool> {
        todo!()
    }
    /// Ends a leased call whose time ran out; false = it was not ours any more.
    pub async fn expire_call(&mut self, call_id: CallId, epoch: i64, at: Micros) -> Result<bool> {
        todo!()
    }
    /// Ends leased calls that the gate refused; answers those that were still ours.
    pub async fn deny_claim(
        &mut self,
        rows: &[(CallId, i64, DecisionId)],
        at: Micros,
    ) -> Result<Vec<CallId>> {
        todo!()
    }
    /// Takes leased calls for these attempts; answers those that were still ours.
    pub async fn fence_claims(&mut self, rows: &[(CallId, i64, AttemptId)]) -> Result<Vec<CallId>> {
        todo!()
    }
    /// Ends the old attempt as superseded and hands its call to the new one; false = it was not ours any more.
    pub async fn fence_again(
        &mut self,
        call_id: CallId,
        old: AttemptId,
        new: AttemptId,
        at: Micros,
    ) -> Result<bool> {
        todo!()
    }
}
