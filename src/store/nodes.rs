//! Heartbeats of the processes that hold permits, and what a dead one left behind.
use super::{Result, Tx};
use crate::domain::ids::{AttemptId, CallId, Incarnation, TenantId};
use crate::domain::time::Micros;

impl Tx {
    /// Counts this process's heartbeat up by one.
    pub async fn beat(&mut self, me: Incarnation, node: &str, at: Micros) -> Result<()> {
        todo!()
    }
    /// Every process's counter; one that stands still belongs to a dead process.
    pub async fn heartbeats(&mut self) -> Result<Vec<(Incarnation, i64)>> {
        todo!()
    }
    /// Attempts of this process without an outcome.
    pub async fn orphans(
        &mut self,
        owner: Incarnation,
    ) -> Result<Vec<(AttemptId, CallId, TenantId)>> {
        todo!()
    }
    /// Puts calls that this process leased and never claimed back into the queue.
    pub async fn requeue_leases_of(&mut self, owner: Incarnation) -> Result<u64> {
        todo!()
    }
    /// Forgets a process that left nothing open.
    pub async fn forget_node(&mut self, owner: Incarnation) -> Result<()> {
        todo!()
    }
}
