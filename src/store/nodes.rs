//! Heartbeats of the processes that hold permits, and what a dead one left behind. A process is judged by its counter on
//! the judge's own clock, never by the times in its row.

use uuid::Uuid;

use super::{Result, Tx, on, row};
use crate::domain::ids::{AttemptId, CallId, Incarnation, TenantId};
use crate::domain::time::Micros;

row!(OrphanRow {
    attempt_id: Uuid,
    call_id: Uuid,
    tenant_id: String
});

impl Tx {
    /// Counts this process's heartbeat up by one.
    pub async fn beat(&mut self, me: Incarnation, node: &str, at: Micros) -> Result<()> {
        const SQL: &str = "INSERT INTO nodes (incarnation, node, beats, create_time, update_time) VALUES ($1, $2, 1, $3, $3)
            ON CONFLICT (incarnation) DO UPDATE SET beats = nodes.beats + 1, update_time = excluded.update_time";
        on!(self, |conn| sqlx::query(SQL)
            .bind(me.0)
            .bind(node)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Every process's counter; one that stands still belongs to a dead process. One that holds something and never beat,
    /// for it died first, has a counter that stands at 0.
    pub async fn heartbeats(&mut self) -> Result<Vec<(Incarnation, i64)>> {
        const SQL: &str = "SELECT incarnation, beats FROM nodes
            UNION ALL
            SELECT held.owner, 0 FROM (SELECT owner FROM attempts WHERE outcome IS NULL
                UNION SELECT lease_owner AS owner FROM calls WHERE queue_state = 'leased'
                UNION SELECT incarnation AS owner FROM call_attendants) AS held
            WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE incarnation = held.owner)
            ORDER BY 1";
        let rows: Vec<(Uuid, i64)> = on!(self, |conn| sqlx::query_as(SQL).fetch_all(conn).await)?;
        Ok(rows
            .into_iter()
            .map(|(incarnation, beats)| (Incarnation(incarnation), beats))
            .collect())
    }

    /// Attempts of this process without an outcome.
    pub async fn orphans(
        &mut self,
        owner: Incarnation,
    ) -> Result<Vec<(AttemptId, CallId, TenantId)>> {
        const SQL: &str = "SELECT attempt_id, call_id, tenant_id FROM attempts
            WHERE owner = $1 AND outcome IS NULL ORDER BY attempt_id";
        let rows: Vec<OrphanRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(owner.0)
            .fetch_all(conn)
            .await)?;
        let orphan = |row: OrphanRow| {
            (
                AttemptId(row.attempt_id),
                CallId(row.call_id),
                TenantId(row.tenant_id),
            )
        };
        Ok(rows.into_iter().map(orphan).collect())
    }

    /// Puts calls that this process leased and never claimed back into the queue (sweep-3). What it claimed may have been
    /// sent and never goes back.
    pub async fn requeue_leases_of(&mut self, owner: Incarnation) -> Result<u64> {
        const SQL: &str = "UPDATE calls SET queue_state = 'queued', lease_owner = NULL
            WHERE lease_owner = $1 AND queue_state = 'leased'";
        on!(self, |conn| sqlx::query(SQL)
            .bind(owner.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }

    /// Forgets a process that left nothing behind; one with unended attempts, leases or calls that clients follow stays.
    pub async fn forget_node(&mut self, owner: Incarnation) -> Result<()> {
        // Two questions, each with an index of few rows: of one with OR, SQLite would look through all attempts.
        const SQL: &str = "DELETE FROM nodes WHERE incarnation = $1
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE owner = $1 AND outcome IS NULL)
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE owner = $1 AND permit_open)
            AND NOT EXISTS (SELECT 1 FROM calls WHERE lease_owner = $1 AND queue_state = 'leased')
            AND NOT EXISTS (SELECT 1 FROM call_attendants WHERE incarnation = $1)";
        on!(self, |conn| sqlx::query(SQL)
            .bind(owner.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }
}
