//! Calls: the row that clients see and the fence compares.
use super::{ListQuery, Page, Result, Tx};
use crate::domain::call::{Call, CallState};
use crate::domain::filter::Field;
use crate::domain::ids::{CallId, TenantId};
use crate::domain::time::Micros;

/// What calls can be filtered by.
pub const CALL_FIELDS: &[Field] = &[];

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

impl Tx {
    /// Queues calls, each with its first event.
    pub async fn insert_calls(&mut self, tenant: &TenantId, rows: &[NewCall]) -> Result<()> {
        todo!()
    }
    /// How many calls wait for this trunk.
    pub async fn queued_count(&mut self, trunk: &str) -> Result<i64> {
        todo!()
    }
    /// One call.
    pub async fn call(&mut self, tenant: &TenantId, id: CallId) -> Result<Option<Call>> {
        todo!()
    }
    /// Calls, newest first.
    pub async fn list_calls(&mut self, tenant: &TenantId, q: &ListQuery) -> Result<Page<Call>> {
        todo!()
    }
    /// Records the wish to end a call; a call still queued ends right there. Answers the state it then has.
    pub async fn request_hang_up(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        at: Micros,
    ) -> Result<Option<CallState>> {
        todo!()
    }
}
