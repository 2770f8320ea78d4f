//! Imports of opt-outs and of consents: which list, how far, and the rows that were not recorded. What is recorded of a list and how far it
//! is are written in one transaction, by the one who goes on with it.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::paging::{CREATE_TIME, field, push_list};
use super::parties::word;
use super::sql::Text as _;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{ImportId, TenantId};
use crate::domain::import::{Import, ImportCounts, ImportKind, ImportReject, ImportState};
use crate::domain::time::Micros;

/// What imports can be filtered by.
pub const IMPORT_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("end_time", FieldKind::Time),
    field("import_id", FieldKind::Uuid),
    field(
        "state",
        FieldKind::Words(|word| word.parse::<ImportState>().err()),
    ),
    field("actor", FieldKind::Text),
];

row!(ImportRow {
    import_id: Uuid,
    kind: String,
    state: String,
    content_sha256: Vec<u8>,
    size_bytes: i64,
    settings_sha256: Vec<u8>,
    rows_read: i64,
    rows_created: i64,
    rows_repeated: i64,
    rows_rejected: i64,
    lines: i64,
    lines_sha256: Vec<u8>,
    acknowledged_lines: i64,
    acknowledged_rows: i64,
    problem: Option<String>,
    actor: String,
    create_time: i64,
    end_time: Option<i64>,
});

row!(RejectRow {
    line: i64,
    reason: String,
    problem: String,
});

/// Who goes on with an import: one sending of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportRunner {
    /// The import.
    pub import_id: ImportId,
    /// The sending.
    pub runner: Uuid,
}

/// A further piece of a list that this transaction records.
#[derive(Debug, Clone, Copy)]
pub struct ImportStep {
    /// Lines that were done before it.
    pub from_line: i64,
    /// Lines that are done with it.
    pub to_line: i64,
    /// SHA-256 of all of them.
    pub lines_sha256: [u8; 32],
    /// Its rows.
    pub counts: ImportCounts,
}

impl Tx {
    /// Records the beginning of an import; one of the same list that is open is [`StoreError::Duplicate`].
    pub async fn insert_import(
        &mut self,
        tenant: &TenantId,
        new: &Import,
        runner: Uuid,
    ) -> Result<()> {
        let rows = [new];
        insert_rows!(self, "suppression_imports", &rows, |row| {
            import_id: "uuid" = row.import_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            kind: "text" = row.kind.as_str(),
            state: "text" = row.state.as_str(),
            content_sha256: "bytea" = row.content_sha256.to_vec(),
            size_bytes: "bigint" = row.size_bytes,
            settings_sha256: "bytea" = row.settings_sha256.to_vec(),
            runner: "uuid" = runner,
            rows_read: "bigint" = row.counts.read,
            rows_created: "bigint" = row.counts.created,
            rows_repeated: "bigint" = row.counts.repeated,
            rows_rejected: "bigint" = row.counts.rejected,
            lines: "bigint" = row.lines,
            lines_sha256: "bytea" = row.lines_sha256.to_vec(),
            acknowledged_lines: "bigint" = row.acknowledged_lines,
            acknowledged_rows: "bigint" = row.acknowledged_rows,
            problem: "text" = row.problem.as_deref(),
            actor: "text" = row.actor.as_str(),
            create_time: "bigint" = row.began_at.0,
            end_time: "bigint" = row.ended_at.map(|at| at.0),
        })?;
        Ok(())
    }

    /// The import of this list, read in this way, that is open. What is hashed of the settings tells the kind, too.
    pub async fn open_import(
        &mut self,
        tenant: &TenantId,
        content_sha256: &[u8; 32],
        settings_sha256: &[u8; 32],
    ) -> Result<Option<Import>> {
        let row: Option<ImportRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ImportRow::COLUMNS)
                .text(" FROM suppression_imports WHERE state = 'open' AND tenant_id = ")
                .bind_text(&tenant.0);
            query
                .text(" AND content_sha256 = ")
                .bind_bytes(content_sha256)
                .text(" AND settings_sha256 = ")
                .bind_bytes(settings_sha256);
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(Import::try_from).transpose()
    }

    /// When the first import of this list began, read in this way, that has not failed; none if there is none.
    pub async fn list_came_at(
        &mut self,
        tenant: &TenantId,
        content_sha256: &[u8; 32],
        settings_sha256: &[u8; 32],
    ) -> Result<Option<Micros>> {
        const SQL: &str = "SELECT MIN(create_time) FROM suppression_imports
            WHERE tenant_id = $1 AND content_sha256 = $2 AND settings_sha256 = $3 AND state <> 'failed'";
        let first: Option<i64> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(content_sha256.to_vec())
            .bind(settings_sha256.to_vec())
            .fetch_one(conn)
            .await)?;
        Ok(first.map(Micros))
    }

    /// One import of this kind.
    pub async fn import(
        &mut self,
        tenant: &TenantId,
        kind: ImportKind,
        id: ImportId,
    ) -> Result<Option<Import>> {
        let row: Option<ImportRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ImportRow::COLUMNS)
                .text(" FROM suppression_imports WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query
                .text(" AND import_id = ")
                .bind_uuid(id.0)
                .text(" AND kind = ")
                .bind_text(kind.as_str());
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(Import::try_from).transpose()
    }

    /// Imports of this kind, newest first.
    pub async fn list_imports(
        &mut self,
        tenant: &TenantId,
        kind: ImportKind,
        q: &ListQuery,
    ) -> Result<Page<Import>> {
        let rows: Vec<ImportRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ImportRow::COLUMNS)
                .text(" FROM suppression_imports WHERE kind = ")
                .bind_text(kind.as_str())
                .text(" AND tenant_id = ");
            push_list(&mut query, tenant, q, "import_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        q.page(rows, |row| (row.create_time, row.import_id))
            .try_map(Import::try_from)
    }

    /// Takes an open import over from whoever went on with it until now; false = it is not open. Taken before it is read, so
    /// that what is read is where the other one stopped for good.
    pub async fn take_import(&mut self, tenant: &TenantId, as_whom: ImportRunner) -> Result<bool> {
        const SQL: &str = "UPDATE suppression_imports SET runner = $3 WHERE tenant_id = $1 AND import_id = $2 AND state = 'open'";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(as_whom.import_id.0)
            .bind(as_whom.runner)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Notes a further piece as recorded; false = another goes on with the import, and nothing of this may be committed.
    pub async fn step_import(
        &mut self,
        tenant: &TenantId,
        as_whom: ImportRunner,
        step: &ImportStep,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE suppression_imports SET lines = $5, lines_sha256 = $6, rows_read = rows_read + $7,
                rows_created = rows_created + $8, rows_repeated = rows_repeated + $9, rows_rejected = rows_rejected + $10
            WHERE tenant_id = $1 AND import_id = $2 AND runner = $3 AND state = 'open' AND lines = $4";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(as_whom.import_id.0)
            .bind(as_whom.runner)
            .bind(step.from_line)
            .bind(step.to_line)
            .bind(step.lines_sha256.to_vec())
            .bind(step.counts.read)
            .bind(step.counts.created)
            .bind(step.counts.repeated)
            .bind(step.counts.rejected)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Notes how many lines and rows can be overtaken by no call any more; false = another goes on with the import.
    pub async fn acknowledge_import(
        &mut self,
        tenant: &TenantId,
        as_whom: ImportRunner,
        lines: i64,
        rows: i64,
    ) -> Result<bool> {
        const SQL: &str =
            "UPDATE suppression_imports SET acknowledged_lines = $4, acknowledged_rows = $5
            WHERE tenant_id = $1 AND import_id = $2 AND runner = $3 AND state = 'open'";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(as_whom.import_id.0)
            .bind(as_whom.runner)
            .bind(lines)
            .bind(rows)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Ends an import: finished, or failed for this reason; false = another goes on with it, or it has ended.
    pub async fn end_import(
        &mut self,
        tenant: &TenantId,
        as_whom: ImportRunner,
        problem: Option<&str>,
        at: Micros,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE suppression_imports SET state = $4, problem = $5, end_time = $6
            WHERE tenant_id = $1 AND import_id = $2 AND runner = $3 AND state = 'open'";
        let state = match problem {
            None => ImportState::Finished,
            Some(_) => ImportState::Failed,
        };
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(as_whom.import_id.0)
            .bind(as_whom.runner)
            .bind(state.as_str())
            .bind(problem)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Records rows that were not recorded; a line that is there already stays as it is.
    pub async fn insert_import_rejects(
        &mut self,
        tenant: &TenantId,
        import: ImportId,
        rows: &[ImportReject],
    ) -> Result<()> {
        insert_rows!(self, "suppression_import_rejects", rows, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            import_id: "uuid" = import.0,
            line: "bigint" = row.line,
            reason: "text" = row.reason.as_str(),
            problem: "text" = row.problem.as_str(),
        }, " ON CONFLICT (tenant_id, import_id, line) DO NOTHING")?;
        Ok(())
    }

    /// The rows of an import that were not recorded, in the order of the list, after this line. The place of a row is its line
    /// and its import.
    pub async fn import_rejects(
        &mut self,
        tenant: &TenantId,
        import: ImportId,
        q: &ListQuery,
    ) -> Result<Page<ImportReject>> {
        const SQL: &str = "SELECT line, reason, problem FROM suppression_import_rejects
            WHERE tenant_id = $1 AND import_id = $2 AND line > $3 ORDER BY line LIMIT $4";
        let after = q.after.map_or(0, |key| key.at.0);
        let rows: Vec<RejectRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(import.0)
            .bind(after)
            .bind(q.one_more())
            .fetch_all(conn)
            .await)?;
        q.page(rows, |row| (row.line, import.0))
            .try_map(ImportReject::try_from)
    }
}

impl TryFrom<RejectRow> for ImportReject {
    type Error = StoreError;

    fn try_from(row: RejectRow) -> Result<Self> {
        Ok(Self {
            line: row.line,
            reason: word(&row.reason, "reject reason")?,
            problem: row.problem,
        })
    }
}

impl TryFrom<ImportRow> for Import {
    type Error = StoreError;

    fn try_from(row: ImportRow) -> Result<Self> {
        let hash = |bytes: Vec<u8>| {
            <[u8; 32]>::try_from(bytes).map_err(|_| StoreError::Damaged {
                what: "import hash",
            })
        };
        Ok(Self {
            import_id: ImportId(row.import_id),
            kind: word(&row.kind, "kind of list")?,
            state: word(&row.state, "import state")?,
            content_sha256: hash(row.content_sha256)?,
            size_bytes: row.size_bytes,
            settings_sha256: hash(row.settings_sha256)?,
            counts: ImportCounts {
                read: row.rows_read,
                created: row.rows_created,
                repeated: row.rows_repeated,
                rejected: row.rows_rejected,
            },
            lines: row.lines,
            lines_sha256: hash(row.lines_sha256)?,
            acknowledged_lines: row.acknowledged_lines,
            acknowledged_rows: row.acknowledged_rows,
            problem: row.problem,
            actor: row.actor,
            began_at: Micros(row.create_time),
            ended_at: row.end_time.map(Micros),
        })
    }
}
