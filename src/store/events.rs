//! The history of a call; sequences have no gap.
use super::{Result, Tx};
use crate::domain::call::{CallEvent, CallState, EventDetail, EventKind};
use crate::domain::ids::{AttemptId, CallId, TenantId};
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
    /// The state that clients see from now on.
    pub state: Option<CallState>,
    /// The attempt whose permit is given up with this event.
    pub close_permit: Option<AttemptId>,
}

impl Tx {
    /// Records an event under the next sequence, and what it changes of the call.
    pub async fn record_event(&mut self, tenant: &TenantId, e: &NewEvent) -> Result<CallEvent> {
        todo!()
    }
    /// Events of a call after this sequence, oldest first.
    pub async fn events_after(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<CallEvent>> {
        todo!()
    }
}
