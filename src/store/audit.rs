//! The audit entries: one for every effect, in its own transaction. They are never changed.
use super::{ListQuery, Page, Result, Tx};
use crate::domain::filter::Field;
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::domain::time::Micros;

/// What audit entries can be filtered by.
pub const AUDIT_FIELDS: &[Field] = &[];

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

impl Tx {
    /// Records entries.
    pub async fn insert_audit(&mut self, tenant: &TenantId, rows: &[AuditEntry]) -> Result<()> {
        todo!()
    }
    /// Entries, newest first.
    pub async fn audit_entries(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<AuditEntry>> {
        todo!()
    }
}
