//! Which process has streams by which whoever placed a call follows it, for the other processes; see `gate/presence.rs`.

use uuid::Uuid;

use super::{Result, Tx, insert_rows, on};
use crate::domain::ids::{CallId, Incarnation, TenantId};

impl Tx {
    /// This process has streams that follow these calls.
    pub async fn attend(&mut self, me: Incarnation, calls: &[(TenantId, CallId)]) -> Result<()> {
        insert_rows!(self, "call_attendants", calls, |row| {
            call_id: "uuid" = row.1.0,
            incarnation: "uuid" = me.0,
            tenant_id: "text" = row.0.0.as_str(),
        }, " ON CONFLICT (call_id, incarnation) DO NOTHING")?;
        Ok(())
    }

    /// This process has none any more.
    pub async fn leave(&mut self, process: Incarnation, calls: &[CallId]) -> Result<()> {
        const SQL: &str = "DELETE FROM call_attendants WHERE call_id = $1 AND incarnation = $2";
        for call_id in calls {
            on!(self, |conn| sqlx::query(SQL)
                .bind(call_id.0)
                .bind(process.0)
                .execute(conn)
                .await
                .map(drop))?;
        }
        Ok(())
    }

    /// Whether another process than this one has.
    pub async fn is_attended_elsewhere(
        &mut self,
        call_id: CallId,
        than: Incarnation,
    ) -> Result<bool> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM call_attendants WHERE call_id = $1 AND incarnation <> $2)";
        on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(call_id.0)
            .bind(than.0)
            .fetch_one(conn)
            .await)
    }

    /// The calls that this process follows by its rows, so many at most.
    pub async fn attended_by(
        &mut self,
        process: Incarnation,
        most: i64,
    ) -> Result<Vec<(TenantId, CallId)>> {
        const SQL: &str = "SELECT tenant_id, call_id FROM call_attendants WHERE incarnation = $1
            ORDER BY call_id LIMIT $2";
        let rows: Vec<(String, Uuid)> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(process.0)
            .bind(most)
            .fetch_all(conn)
            .await)?;
        let call = |(tenant, call_id)| (TenantId(tenant), CallId(call_id));
        Ok(rows.into_iter().map(call).collect())
    }
}
