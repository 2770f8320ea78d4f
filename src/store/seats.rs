//! Agents whose phones are called first, one call at a time each, on whatever node. A seat names the call that its agent was
//! last called for; it is taken while that call is leased or claimed, and free by itself once it is not, so that nobody has to
//! give it back and none is lost with a node.

use super::{Result, Tx, on};
use crate::domain::ids::{CallId, TenantId};

/// A condition on a row of `calls`: no other call has its agent. The end of a WHERE clause.
macro_rules! agent_free {
    () => {
        " AND (agent IS NULL OR NOT EXISTS (SELECT 1 FROM agent_seats AS s JOIN calls AS c ON c.call_id = s.call_id
            WHERE s.tenant_id = calls.tenant_id AND s.agent = calls.agent AND c.queue_state IN ('leased', 'claimed')))"
    };
}
pub(super) use agent_free;

impl Tx {
    /// Has an agent for a leased call; false = another call has them.
    pub async fn take_seat(
        &mut self,
        tenant: &TenantId,
        agent: &str,
        call_id: CallId,
    ) -> Result<bool> {
        const SQL: &str = "INSERT INTO agent_seats (tenant_id, agent, call_id) VALUES ($1, $2, $3)
            ON CONFLICT (tenant_id, agent) DO UPDATE SET call_id = excluded.call_id
            WHERE agent_seats.call_id = excluded.call_id OR NOT EXISTS (SELECT 1 FROM calls AS c
                WHERE c.call_id = agent_seats.call_id AND c.queue_state IN ('leased', 'claimed'))";
        let taken = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(agent)
            .bind(call_id.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(taken == 1)
    }
}
