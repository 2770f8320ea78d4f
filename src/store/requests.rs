//! What was asked before, so that repeating a request repeats its answer.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::sql::Text as _;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::ids::{RequestId, TenantId};
use crate::domain::time::Micros;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// The caller's name for it.
    pub request_id: RequestId,
    /// What was asked.
    pub method: String,
    /// Hash of all that was asked.
    pub digest: [u8; 32],
    /// Identifiers of what it made.
    pub subject: String,
    /// Of an opt-out: the barrier has passed, so that OK may be answered without waiting anew.
    pub passed: bool,
    /// When.
    pub at: Micros,
}

row!(RequestRow {
    request_id: Uuid,
    method: String,
    digest: Vec<u8>,
    subject: String,
    passed: bool,
    create_time: i64,
});

impl Tx {
    /// Those of these requests that are known.
    pub async fn requests(
        &mut self,
        tenant: &TenantId,
        ids: &[RequestId],
    ) -> Result<Vec<StoredRequest>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<RequestRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(RequestRow::COLUMNS)
                .text(" FROM requests WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND request_id").among_uuids(&ids);
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(StoredRequest::try_from).collect()
    }

    /// Records requests; one that is there already is [`StoreError::Duplicate`].
    pub async fn insert_requests(
        &mut self,
        tenant: &TenantId,
        rows: &[StoredRequest],
    ) -> Result<()> {
        insert_rows!(self, "requests", rows, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            request_id: "uuid" = row.request_id.0,
            method: "text" = row.method.as_str(),
            digest: "bytea" = row.digest.to_vec(),
            subject: "text" = row.subject.as_str(),
            passed: "boolean" = row.passed,
            create_time: "bigint" = row.at.0,
        })?;
        Ok(())
    }

    /// Records that the barrier has passed.
    pub async fn pass_requests(&mut self, tenant: &TenantId, ids: &[RequestId]) -> Result<()> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        on!(self, |conn| {
            let mut query =
                QueryBuilder::<Db>::new("UPDATE requests SET passed = TRUE WHERE tenant_id = ");
            query.bind_text(&tenant.0).text(" AND request_id");
            query.among_uuids(&ids);
            query.build().execute(conn).await.map(|_| ())
        })
    }
}

impl TryFrom<RequestRow> for StoredRequest {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self> {
        Ok(Self {
            request_id: RequestId(row.request_id),
            method: row.method,
            digest: row.digest.try_into().map_err(|_| StoreError::Damaged {
                what: "request digest",
            })?,
            subject: row.subject,
            passed: row.passed,
            at: Micros(row.create_time),
        })
    }
}
