//! The transparency log over the audit entries: their places, the tiles of the tree over them, and the checkpoints that were
//! signed. What they have to be is `audit`'s business, when they are made the sequencer's. Here is what keeps two sequencers
//! from making two logs: the row of the log is locked while one works, and no place is given twice.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::sql::Text as _;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::audit::{Hash, LoggedEntry, TileId, Tiles};
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::domain::time::Micros;

/// A log as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    /// By what its signatures are known: name, hash and public key.
    pub verifier_key: String,
    /// How many entries have their place.
    pub size: u64,
}

/// A checkpoint that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many entries it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When.
    pub at: Micros,
}

/// What has no place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogLag {
    /// How many entries.
    pub entries: u64,
    /// When the oldest of them was written.
    pub oldest_at: Option<Micros>,
}

row!(LogRow {
    verifier_key: String,
    tree_size: i64,
});

row!(LoggedRow {
    entry_id: Uuid,
    tenant_id: String,
    kind: String,
    actor: String,
    subject_key: Option<Vec<u8>>,
    payload: String,
    create_time: i64,
    log_index: Option<i64>,
});

row!(CheckpointRow {
    tree_size: i64,
    note: String,
    create_time: i64,
});

row!(LagRow {
    entries: i64,
    oldest_time: Option<i64>,
});

impl Tx {
    /// Begins a log that is known by this key, unless there is one; false if there was.
    pub async fn begin_audit_log(
        &mut self,
        tenant: &TenantId,
        verifier_key: &str,
        at: Micros,
    ) -> Result<bool> {
        const SQL: &str = "INSERT INTO audit_logs (tenant_id, verifier_key, tree_size, create_time) VALUES ($1, $2, 0, $3)
            ON CONFLICT (tenant_id) DO NOTHING";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(verifier_key)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// The log, if it was begun.
    pub async fn audit_log(&mut self, tenant: &TenantId) -> Result<Option<AuditLog>> {
        const SQL: &str = "SELECT verifier_key, tree_size FROM audit_logs WHERE tenant_id = $1";
        let row: Option<LogRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .fetch_optional(conn)
            .await)?;
        row.map(AuditLog::try_from).transpose()
    }

    /// The log, held until the transaction ends; nothing if it was not begun, or another holds it just now. SQLite has one
    /// writer, who holds everything.
    pub async fn hold_audit_log(&mut self, tenant: &TenantId) -> Result<Option<AuditLog>> {
        const ON_POSTGRES: &str = "SELECT verifier_key, tree_size FROM audit_logs WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED";
        const ON_SQLITE: &str =
            "SELECT verifier_key, tree_size FROM audit_logs WHERE tenant_id = $1";
        let row: Option<LogRow> = on!(
            self,
            postgres
                | conn
                | sqlx::query_as(ON_POSTGRES)
                    .bind(&tenant.0)
                    .fetch_optional(conn)
                    .await,
            sqlite
                | conn
                | sqlx::query_as(ON_SQLITE)
                    .bind(&tenant.0)
                    .fetch_optional(conn)
                    .await
        )?;
        row.map(AuditLog::try_from).transpose()
    }

    /// Entries that are committed and have no place yet, at most so many, about in the order of their times.
    pub async fn unplaced_entries(
        &mut self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<LoggedEntry>> {
        const SQL: &str = "SELECT entry_id, tenant_id, kind, actor, subject_key, payload, create_time, log_index FROM audit_entries
            WHERE tenant_id = $1 AND log_index IS NULL ORDER BY entry_id LIMIT $2";
        let rows: Vec<LoggedRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await)?;
        Ok(rows.into_iter().map(LoggedEntry::from).collect())
    }

    /// How many have no place, and since when.
    pub async fn log_lag(&mut self, tenant: &TenantId) -> Result<LogLag> {
        const SQL: &str =
            "SELECT COUNT(*) AS entries, MIN(create_time) AS oldest_time FROM audit_entries
            WHERE tenant_id = $1 AND log_index IS NULL";
        let row: LagRow = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .fetch_one(conn)
            .await)?;
        Ok(LogLag {
            entries: u64::try_from(row.entries).unwrap_or(0),
            oldest_at: row.oldest_time.map(Micros),
        })
    }

    /// Gives these entries the places from here on, in this order. Each has none so far, or nothing is done.
    pub async fn place_entries(
        &mut self,
        tenant: &TenantId,
        first: u64,
        entries: &[AuditEntryId],
    ) -> Result<()> {
        let places: Vec<(Uuid, i64, Uuid)> = (stored(first)..)
            .zip(entries)
            .map(|(place, id)| (id.0, place, id.0))
            .collect();
        if places.is_empty() {
            return Ok(());
        }
        let placed = on!(self, |conn| {
            let mut query =
                QueryBuilder::<Db>::new("UPDATE audit_entries SET log_index = t.column2 FROM ");
            query.table_of(&places);
            query
                .text(" WHERE entry_id = t.column1 AND log_index IS NULL AND tenant_id = ")
                .bind_text(&tenant.0);
            query
                .build()
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if usize::try_from(placed) == Ok(entries.len()) {
            return Ok(());
        }
        self.failed = true;
        Err(StoreError::Duplicate {
            what: "the place of an audit entry".to_owned(),
        })
    }

    /// The log is this long from now on, covered by this checkpoint; false, and nothing done, if it is not as long as was seen.
    pub async fn extend_audit_log(
        &mut self,
        tenant: &TenantId,
        seen: u64,
        checkpoint: &StoredCheckpoint,
    ) -> Result<bool> {
        const GROW: &str =
            "UPDATE audit_logs SET tree_size = $1 WHERE tenant_id = $2 AND tree_size = $3";
        const KEEP: &str = "INSERT INTO audit_checkpoints (tenant_id, tree_size, note, create_time) VALUES ($1, $2, $3, $4)";
        let grown = on!(self, |conn| sqlx::query(GROW)
            .bind(stored(checkpoint.size))
            .bind(&tenant.0)
            .bind(stored(seen))
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))?;
        if !grown {
            return Ok(false);
        }
        on!(self, |conn| sqlx::query(KEEP)
            .bind(&tenant.0)
            .bind(stored(checkpoint.size))
            .bind(&checkpoint.note)
            .bind(checkpoint.at.0)
            .execute(conn)
            .await
            .map(|_| true))
    }

    /// The tiles that there are of these.
    pub async fn audit_tiles(&mut self, tenant: &TenantId, ids: &[TileId]) -> Result<Tiles> {
        const SQL: &str = "SELECT hashes FROM audit_tiles
            WHERE tenant_id = $1 AND level = $2 AND tile_index = $3";
        let mut tiles = Vec::with_capacity(ids.len());
        // By their keys, one after the other: a proof needs a handful.
        for id in ids {
            let stored: Option<Vec<u8>> = on!(self, |conn| sqlx::query_scalar(SQL)
                .bind(&tenant.0)
                .bind(i64::from(id.level))
                .bind(stored(id.index))
                .fetch_optional(conn)
                .await)?;
            tiles.extend(stored.map(|stored| (*id, hashes(&stored))));
        }
        Ok(tiles.into_iter().collect())
    }

    /// Writes tiles, over those that had fewer hashes.
    pub async fn put_audit_tiles(
        &mut self,
        tenant: &TenantId,
        tiles: &[(TileId, Vec<Hash>)],
    ) -> Result<()> {
        let rows: Vec<(TileId, Vec<u8>)> = tiles
            .iter()
            .map(|(id, hashes)| (*id, hashes.iter().flat_map(|hash| hash.0).collect()))
            .collect();
        insert_rows!(self, "audit_tiles", &rows, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            level: "bigint" = i64::from(row.0.level),
            tile_index: "bigint" = stored(row.0.index),
            hashes: "bytea" = row.1.as_slice(),
        }, " ON CONFLICT (tenant_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes")?;
        Ok(())
    }

    /// The checkpoint that covers most.
    pub async fn latest_checkpoint(
        &mut self,
        tenant: &TenantId,
    ) -> Result<Option<StoredCheckpoint>> {
        const SQL: &str =
            "SELECT tree_size, note, create_time FROM audit_checkpoints WHERE tenant_id = $1
            ORDER BY tree_size DESC LIMIT 1";
        let row: Option<CheckpointRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .fetch_optional(conn)
            .await)?;
        row.map(StoredCheckpoint::try_from).transpose()
    }

    /// Checkpoints over so many entries and more, the one over fewest first; at most so many.
    pub async fn checkpoints_from(
        &mut self,
        tenant: &TenantId,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>> {
        const SQL: &str = "SELECT tree_size, note, create_time FROM audit_checkpoints
            WHERE tenant_id = $1 AND tree_size >= $2 ORDER BY tree_size LIMIT $3";
        let rows: Vec<CheckpointRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(stored(size))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(StoredCheckpoint::try_from).collect()
    }

    /// How many checkpoints cover from so many to so many entries, both included.
    pub async fn count_checkpoints(
        &mut self,
        tenant: &TenantId,
        from: u64,
        to: u64,
    ) -> Result<u64> {
        const SQL: &str = "SELECT COUNT(*) FROM audit_checkpoints
            WHERE tenant_id = $1 AND tree_size >= $2 AND tree_size <= $3";
        let count: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(stored(from))
            .bind(stored(to))
            .fetch_one(conn)
            .await)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Entries by their places, from this one on; at most so many.
    pub async fn logged_entries(
        &mut self,
        tenant: &TenantId,
        first: u64,
        limit: u32,
    ) -> Result<Vec<(u64, LoggedEntry)>> {
        const SQL: &str = "SELECT entry_id, tenant_id, kind, actor, subject_key, payload, create_time, log_index FROM audit_entries
            WHERE tenant_id = $1 AND log_index IS NOT NULL AND log_index >= $2 ORDER BY log_index LIMIT $3";
        let rows: Vec<LoggedRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(stored(first))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await)?;
        rows.into_iter()
            .map(|row| Ok((size(row.log_index.unwrap_or(-1))?, LoggedEntry::from(row))))
            .collect()
    }

    /// One entry, with its place if it has one yet.
    pub async fn logged_entry(
        &mut self,
        tenant: &TenantId,
        id: AuditEntryId,
    ) -> Result<Option<(Option<u64>, LoggedEntry)>> {
        const SQL: &str = "SELECT entry_id, tenant_id, kind, actor, subject_key, payload, create_time, log_index FROM audit_entries
            WHERE tenant_id = $1 AND entry_id = $2";
        let row: Option<LoggedRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .fetch_optional(conn)
            .await)?;
        row.map(|row| Ok((row.log_index.map(size).transpose()?, LoggedEntry::from(row))))
            .transpose()
    }
}

/// The hashes of a stored tile.
fn hashes(stored: &[u8]) -> Vec<Hash> {
    let (hashes, _) = stored.as_chunks::<32>();
    hashes.iter().copied().map(Hash).collect()
}

/// A count as the database has it.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn size(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| StoreError::Damaged {
        what: "size of the audit log",
    })
}

impl TryFrom<LogRow> for AuditLog {
    type Error = StoreError;

    fn try_from(row: LogRow) -> Result<Self> {
        Ok(Self {
            verifier_key: row.verifier_key,
            size: size(row.tree_size)?,
        })
    }
}

impl TryFrom<CheckpointRow> for StoredCheckpoint {
    type Error = StoreError;

    fn try_from(row: CheckpointRow) -> Result<Self> {
        Ok(Self {
            size: size(row.tree_size)?,
            note: row.note,
            at: Micros(row.create_time),
        })
    }
}

impl From<LoggedRow> for LoggedEntry {
    fn from(row: LoggedRow) -> Self {
        Self {
            entry_id: row.entry_id,
            tenant: row.tenant_id,
            kind: row.kind,
            actor: row.actor,
            subject_key: row.subject_key,
            payload: row.payload,
            at: Micros(row.create_time),
        }
    }
}
