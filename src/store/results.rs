//! How attempts count for caps, where that is told after they began: by an agent, or by an answer nobody expected any more.

use super::{Result, Tx, on};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{AttemptId, CallId, TenantId};
use crate::domain::time::Micros;

impl Tx {
    /// Records how the attempts of a call count for caps; false = a lock was not had in 250 ms, and nothing was changed.
    pub async fn set_attempt_result(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
        result: AttemptResult,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE attempts SET result = $3 WHERE tenant_id = $1 AND call_id = $2";
        let saved = self.savepoint().await?;
        let set = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(call_id.0)
            .bind(result.as_str())
            .execute(conn)
            .await
            .map(|_| ()));
        match saved {
            true => self.end_savepoint(set).await.map(|set| set.is_some()),
            false => set.map(|()| true),
        }
    }

    /// Records that the call of this attempt was answered and nobody was there to talk; the first time stays.
    pub async fn mark_abandoned(
        &mut self,
        tenant: &TenantId,
        id: AttemptId,
        at: Micros,
    ) -> Result<()> {
        // Calls before attempts, everywhere.
        const CALL: &str = "UPDATE calls SET abandon_time = COALESCE(abandon_time, $3)
            WHERE tenant_id = $1 AND call_id = (SELECT call_id FROM attempts WHERE attempt_id = $2)";
        const ATTEMPT: &str = "UPDATE attempts SET abandon_time = COALESCE(abandon_time, $3)
            WHERE tenant_id = $1 AND attempt_id = $2";
        for sql in [CALL, ATTEMPT] {
            on!(self, |conn| sqlx::query(sql)
                .bind(&tenant.0)
                .bind(id.0)
                .bind(at.0)
                .execute(conn)
                .await
                .map(|_| ()))?;
        }
        Ok(())
    }

    /// An answer that came when the outcome was recorded counts, unless a refusal does or an agent has said otherwise.
    pub async fn count_late_answer(&mut self, tenant: &TenantId, id: AttemptId) -> Result<()> {
        const SQL: &str =
            "UPDATE attempts SET result = 'answered' WHERE tenant_id = $1 AND attempt_id = $2
            AND result IS NULL AND outcome NOT IN ('rejected', 'unwanted')";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }
}
