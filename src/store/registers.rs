//! Snapshots of registers: which there were, which are in force, and their files in pieces for nodes that lack them.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::paging::{CREATE_TIME, field, push_list};
use super::sql::Text as _;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{SnapshotId, TenantId};
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Micros;

/// What snapshots of registers can be filtered by.
pub const REGISTER_SNAPSHOT_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("snapshot_id", FieldKind::Uuid),
    field("register", FieldKind::Text),
    field("sha256", FieldKind::Text),
    field("actor", FieldKind::Text),
];

row!(SnapshotRow {
    snapshot_id: Uuid,
    register: String,
    position: i64,
    as_of: String,
    covers: String,
    numbers: i64,
    rows_read: i64,
    rows_rejected: i64,
    sha256: String,
    file_bytes: i64,
    actor: String,
    create_time: i64,
});

impl Tx {
    /// Puts a snapshot in force. Its position is one above the latest; another one that took it meanwhile is a duplicate.
    pub async fn insert_register_snapshot(
        &mut self,
        tenant: &TenantId,
        new: &RegisterSnapshot,
    ) -> Result<()> {
        let rows = [new];
        insert_rows!(self, "register_snapshots", &rows, |row| {
            snapshot_id: "uuid" = row.snapshot_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            register: "text" = row.register.as_str(),
            position: "bigint" = row.position,
            as_of: "text" = row.as_of.to_string(),
            covers: "text" = row.covers.as_str(),
            numbers: "bigint" = row.numbers,
            rows_read: "bigint" = row.rows_read,
            rows_rejected: "bigint" = row.rows_rejected,
            sha256: "text" = row.sha256.as_str(),
            file_bytes: "bigint" = row.file_bytes,
            actor: "text" = row.actor.as_str(),
            create_time: "bigint" = row.recorded_at.0,
        })?;
        Ok(())
    }

    /// The snapshot in force of each register that has one, in the order of their names.
    pub async fn registers_in_force(&mut self, tenant: &TenantId) -> Result<Vec<RegisterSnapshot>> {
        let rows: Vec<SnapshotRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SnapshotRow::COLUMNS)
                .text(" FROM register_snapshots AS s WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(
                " AND position = (SELECT max(position) FROM register_snapshots AS l
                 WHERE l.tenant_id = s.tenant_id AND l.register = s.register) ORDER BY register",
            );
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(RegisterSnapshot::try_from).collect()
    }

    /// The latest snapshots of one register, newest first.
    pub async fn latest_register_snapshots(
        &mut self,
        tenant: &TenantId,
        register: &str,
        limit: i64,
    ) -> Result<Vec<RegisterSnapshot>> {
        let rows: Vec<SnapshotRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SnapshotRow::COLUMNS)
                .text(" FROM register_snapshots WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND register = ")
                .bind_text(register);
            query
                .text(" ORDER BY position DESC LIMIT ")
                .bind_number(limit);
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(RegisterSnapshot::try_from).collect()
    }

    /// One snapshot.
    pub async fn register_snapshot(
        &mut self,
        tenant: &TenantId,
        id: SnapshotId,
    ) -> Result<Option<RegisterSnapshot>> {
        let row: Option<SnapshotRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SnapshotRow::COLUMNS)
                .text(" FROM register_snapshots WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND snapshot_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(RegisterSnapshot::try_from).transpose()
    }

    /// Snapshots of all registers, newest first, those that are no longer in force too.
    pub async fn register_snapshots(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<RegisterSnapshot>> {
        let rows: Vec<SnapshotRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SnapshotRow::COLUMNS)
                .text(" FROM register_snapshots WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "snapshot_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        q.page(rows, |row| (row.create_time, row.snapshot_id))
            .try_map(RegisterSnapshot::try_from)
    }

    /// Keeps a piece of a snapshot's file. Pieces are named by the hash of the whole, so that one that is there is the same,
    /// and only its time is new.
    pub async fn insert_register_piece(
        &mut self,
        tenant: &TenantId,
        sha256: &str,
        (position, content): (i64, &[u8]),
        at: Micros,
    ) -> Result<()> {
        const SQL: &str = "INSERT INTO register_pieces (tenant_id, sha256, position, content, create_time)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id, sha256, position) DO UPDATE SET create_time = excluded.create_time";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(sha256)
            .bind(position)
            .bind(content)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// A piece of a snapshot's file; none behind the last, or where the file is kept no more.
    pub async fn register_piece(
        &mut self,
        tenant: &TenantId,
        sha256: &str,
        position: i64,
    ) -> Result<Option<Vec<u8>>> {
        const SQL: &str = "SELECT content FROM register_pieces
            WHERE tenant_id = $1 AND sha256 = $2 AND position = $3";
        on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(sha256)
            .bind(position)
            .fetch_optional(conn)
            .await)
    }

    /// Forgets pieces that were kept before this instant and are not of the latest two snapshots of a register, at most so
    /// many at once; tells how many. What is being loaded has no snapshot yet, so that the instant should be a day back.
    pub async fn forget_register_pieces(
        &mut self,
        tenant: &TenantId,
        before: Micros,
        limit: i64,
    ) -> Result<u64> {
        const SQL: &str = "DELETE FROM register_pieces WHERE tenant_id = $1 AND (sha256, position) IN (
            SELECT sha256, position FROM register_pieces WHERE tenant_id = $1 AND create_time < $2 AND sha256 NOT IN (
                SELECT s.sha256 FROM register_snapshots AS s WHERE s.tenant_id = $1 AND s.position > (
                    SELECT max(l.position) - 2 FROM register_snapshots AS l
                    WHERE l.tenant_id = s.tenant_id AND l.register = s.register))
            LIMIT $3)";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(before.0)
            .bind(limit)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}

impl TryFrom<SnapshotRow> for RegisterSnapshot {
    type Error = StoreError;

    fn try_from(row: SnapshotRow) -> Result<Self> {
        Ok(Self {
            snapshot_id: SnapshotId(row.snapshot_id),
            register: row.register,
            position: row.position,
            as_of: row.as_of.parse().map_err(|_| StoreError::Damaged {
                what: "date of a register's snapshot",
            })?,
            covers: row.covers,
            numbers: row.numbers,
            rows_read: row.rows_read,
            rows_rejected: row.rows_rejected,
            sha256: row.sha256,
            file_bytes: row.file_bytes,
            actor: row.actor,
            recorded_at: Micros(row.create_time),
        })
    }
}
