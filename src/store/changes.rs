//! What happened to suppressions, in one order: a change that was given its position keeps it, and none is ever put before
//! another that somebody may have read. Who records a suppression does not number it, for then all of them would wait for
//! each other; who follows numbers what was committed since.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::parties::{number_key, word};
use super::sql::Text as _;
use super::suppressions::SuppressionRow;
use super::{Result, Store, Tx, Urgency, insert_rows, on, row};
use crate::domain::ids::TenantId;
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{SuppressionChange, SuppressionChangeKind};

row!(UntoldRow {
    suppression_id: Uuid,
    told: i64,
    due: i64,
});

row!(ToldNumberRow {
    position: i64,
    number_key: Option<Vec<u8>>,
});

row!(PlacedRow {
    suppression_id: Uuid,
    position: i64,
    kind: String,
});

/// The first half of the key of PostgreSQL's advisory lock; the second is the tenant's.
const LOCK: i32 = 0x6469_6163;

impl Store {
    /// Gives their positions to changes that have none, at most so many suppressions at once; writes nothing where there are
    /// none. Tells how many changes those were.
    pub async fn place_untold_suppressions(&self, tenant: &TenantId, limit: i64) -> Result<u64> {
        let mut tx = self.read().await?;
        if !tx.has_untold_suppressions(tenant).await? {
            return Ok(0);
        }
        drop(tx);
        let mut tx = self.write(Urgency::Ordinary).await?;
        let placed = tx.place_suppression_changes(tenant, limit).await?;
        tx.commit().await?;
        Ok(placed)
    }
}

impl Tx {
    /// Gives their positions to changes that have none, at most so many suppressions at once; tells how many changes those
    /// were. One does this at a time, so that positions become visible in their order.
    pub async fn place_suppression_changes(
        &mut self,
        tenant: &TenantId,
        limit: i64,
    ) -> Result<u64> {
        const ALONE: &str = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        self.lock_tenant(ALONE, LOCK, tenant).await?;
        const UNTOLD: &str = "SELECT suppression_id, told, CAST(
                CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END AS BIGINT) AS due
            FROM suppressions WHERE tenant_id = $1
                AND told < CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END
            ORDER BY create_time, suppression_id LIMIT $2";
        let untold: Vec<UntoldRow> = on!(self, |conn| sqlx::query_as(UNTOLD)
            .bind(&tenant.0)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        if untold.is_empty() {
            return Ok(0);
        }
        const LAST: &str =
            "SELECT COALESCE(MAX(position), 0) FROM suppression_changes WHERE tenant_id = $1";
        let last: i64 = on!(self, |conn| sqlx::query_scalar(LAST)
            .bind(&tenant.0)
            .fetch_one(conn)
            .await)?;
        let changes = untold.iter().flat_map(|row| {
            let due = (row.told..row.due).filter_map(SuppressionChangeKind::at);
            due.map(|kind| (row.suppression_id, kind))
        });
        let placed: Vec<(i64, Uuid, SuppressionChangeKind)> = (last + 1..)
            .zip(changes)
            .map(|(position, (id, kind))| (position, id, kind))
            .collect();
        let added = insert_rows!(self, "suppression_changes", &placed, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            position: "bigint" = row.0,
            suppression_id: "uuid" = row.1,
            kind: "text" = row.2.as_str(),
        })?;
        self.mark_told(&untold).await?;
        Ok(added)
    }

    /// Whether there are changes without a position.
    pub async fn has_untold_suppressions(&mut self, tenant: &TenantId) -> Result<bool> {
        const SQL: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM suppressions WHERE tenant_id = $1
            AND told < CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END
            ORDER BY create_time, suppression_id LIMIT 1) AS untold";
        let found: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .fetch_one(conn)
            .await)?;
        Ok(found > 0)
    }

    /// As far as was told; what came since is told next time.
    async fn mark_told(&mut self, untold: &[UntoldRow]) -> Result<()> {
        for due in 1..=3 {
            let rows = untold.iter().filter(|row| row.due == due);
            let ids: Vec<Uuid> = rows.map(|row| row.suppression_id).collect();
            if ids.is_empty() {
                continue;
            }
            on!(self, |conn| {
                let mut query = QueryBuilder::<Db>::new("UPDATE suppressions SET told = ");
                query
                    .bind_number(due)
                    .text(" WHERE suppression_id")
                    .among_uuids(&ids);
                query.build().execute(conn).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// The changes after a position, in order, each with its suppression as it is now.
    pub async fn suppression_changes_after(
        &mut self,
        tenant: &TenantId,
        position: i64,
        limit: i64,
    ) -> Result<Vec<SuppressionChange>> {
        const PLACED: &str = "SELECT suppression_id, position, kind FROM suppression_changes
            WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3";
        let placed: Vec<PlacedRow> = on!(self, |conn| sqlx::query_as(PLACED)
            .bind(&tenant.0)
            .bind(position)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        let ids: Vec<Uuid> = placed.iter().map(|row| row.suppression_id).collect();
        let rows: Vec<SuppressionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE suppression_id")
                .among_uuids(&ids);
            query.build_query_as().fetch_all(conn).await
        })?;
        let mut found = std::collections::HashMap::new();
        for row in rows {
            found.insert(row.suppression_id, self.read_suppression(row)?);
        }
        let mut changes = Vec::with_capacity(placed.len());
        for row in placed {
            let damaged = super::StoreError::Damaged {
                what: "change of a suppression",
            };
            changes.push(SuppressionChange {
                position: row.position,
                kind: word(&row.kind, "kind of change")?,
                suppression: found.get(&row.suppression_id).cloned().ok_or(damaged)?,
            });
        }
        Ok(changes)
    }

    /// The numbers of suppressions that have changes without a position, of at most so many suppressions; none = there are more.
    pub async fn untold_numbers(
        &mut self,
        tenant: &TenantId,
        most: i64,
    ) -> Result<Option<Vec<NumberKey>>> {
        const SQL: &str = "SELECT number_key FROM suppressions WHERE tenant_id = $1
            AND told < CASE WHEN lift_time IS NOT NULL THEN 3 WHEN lift_request_time IS NOT NULL THEN 2 ELSE 1 END
            ORDER BY create_time, suppression_id LIMIT $2";
        let keys: Vec<Option<Vec<u8>>> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(most.saturating_add(1))
            .fetch_all(conn)
            .await)?;
        if i64::try_from(keys.len()).is_ok_and(|found| found > most) {
            return Ok(None);
        }
        let keys = keys.into_iter().flatten();
        keys.map(|key| number_key(&key))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The numbers that the changes after a position are about, of at most so many changes, and the position of the last of
    /// these.
    pub async fn numbers_told_after(
        &mut self,
        tenant: &TenantId,
        position: i64,
        limit: i64,
    ) -> Result<(Vec<NumberKey>, i64)> {
        const SQL: &str = "SELECT position, number_key FROM suppression_changes AS c
            JOIN suppressions AS s ON s.suppression_id = c.suppression_id
            WHERE c.tenant_id = $1 AND c.position > $2 ORDER BY c.position LIMIT $3";
        let rows: Vec<ToldNumberRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(position)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        let last = rows.last().map_or(position, |row| row.position);
        let keys = rows.into_iter().filter_map(|row| row.number_key);
        let keys = keys.map(|key| number_key(&key)).collect::<Result<_>>()?;
        Ok((keys, last))
    }

    /// The numbers of which a suppression was ever recorded, in the order of their keys, from behind this one on.
    pub async fn suppressed_numbers_after(
        &mut self,
        tenant: &TenantId,
        after: Option<NumberKey>,
        limit: i64,
    ) -> Result<Vec<NumberKey>> {
        const SQL: &str = "SELECT number_key FROM suppressions
            WHERE tenant_id = $1 AND number_key IS NOT NULL AND number_key > $2 ORDER BY number_key LIMIT $3";
        let after = after.map(|key| key.0.to_vec()).unwrap_or_default();
        let keys: Vec<Vec<u8>> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(&after)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        keys.iter().map(|key| number_key(key)).collect()
    }

    /// The position of the latest change; 0 before the first.
    pub async fn latest_suppression_change(&mut self, tenant: &TenantId) -> Result<i64> {
        const SQL: &str =
            "SELECT COALESCE(MAX(position), 0) FROM suppression_changes WHERE tenant_id = $1";
        on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .fetch_one(conn)
            .await)
    }
}
