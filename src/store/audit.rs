//! The audit entries: one for every effect, in its own transaction. They are never changed, and carry no readable number.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::leases::ExpiredCall;
use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{from_json, to_text};
use super::sql::Text as _;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::domain::time::Micros;

/// What audit entries can be filtered by.
pub const AUDIT_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("entry_id", FieldKind::Uuid),
    field("kind", FieldKind::Text),
    field("actor", FieldKind::Text),
    field("subject_key", FieldKind::Key),
    field("log_index", FieldKind::Number),
];

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Identifier.
    pub entry_id: AuditEntryId,
    /// What took place.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Key of the number or person it is about.
    pub subject_key: Option<[u8; 32]>,
    /// The rest, without readable numbers or names.
    pub payload: serde_json::Value,
    /// When.
    pub at: Micros,
}

/// An entry with its place in the transparency log.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedEntry {
    /// The entry.
    pub entry: AuditEntry,
    /// Its place, as soon as it has one.
    pub log_index: Option<i64>,
}

row!(AuditRow {
    entry_id: Uuid,
    kind: String,
    actor: String,
    subject_key: Option<Vec<u8>>,
    payload: String,
    create_time: i64,
    log_index: Option<i64>,
});

impl AuditEntry {
    /// A call's own time ran out before it could be dialed.
    #[must_use]
    pub fn call_expired(call: &ExpiredCall, at: Micros) -> Self {
        Self {
            entry_id: AuditEntryId::new(at),
            kind: "call.expired".to_owned(),
            actor: call.actor.clone(),
            subject_key: Some(call.number_key.0),
            payload: serde_json::json!({ "call_id": call.call_id }),
            at,
        }
    }
}

impl Tx {
    /// Records entries.
    pub async fn insert_audit(&mut self, tenant: &TenantId, rows: &[AuditEntry]) -> Result<()> {
        let rows = rows
            .iter()
            .map(|row| Ok((row, to_text(&row.payload)?)))
            .collect::<Result<Vec<_>>>()?;
        insert_rows!(self, "audit_entries", &rows, |row| {
            entry_id: "uuid" = row.0.entry_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            kind: "text" = row.0.kind.as_str(),
            actor: "text" = row.0.actor.as_str(),
            subject_key: "bytea" = row.0.subject_key.as_ref().map(<[u8; 32]>::as_slice),
            payload: "text" = row.1.as_str(),
            create_time: "bigint" = row.0.at.0,
        })?;
        Ok(())
    }

    /// Entries, newest first.
    pub async fn audit_entries(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<AuditEntry>> {
        let page = self.placed_entries(tenant, q).await?;
        page.try_map(|placed| Ok(placed.entry))
    }

    /// The same with their places in the log.
    pub async fn placed_entries(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<PlacedEntry>> {
        let rows: Vec<AuditRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(AuditRow::COLUMNS)
                .text(" FROM audit_entries WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "entry_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        q.page(rows, |row| (row.create_time, row.entry_id))
            .try_map(PlacedEntry::try_from)
    }
}

impl TryFrom<AuditRow> for PlacedEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self> {
        let key = row.subject_key.map(<[u8; 32]>::try_from).transpose();
        let entry = AuditEntry {
            entry_id: AuditEntryId(row.entry_id),
            kind: row.kind,
            actor: row.actor,
            subject_key: key.map_err(|_| StoreError::Damaged {
                what: "audit subject",
            })?,
            payload: from_json(row.payload.as_bytes(), "audit payload")?,
            at: Micros(row.create_time),
        };
        Ok(Self {
            entry,
            log_index: row.log_index,
        })
    }
}
