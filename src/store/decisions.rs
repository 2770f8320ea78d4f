//! Decisions; the case object is sealed under the person's key.
use super::{ListQuery, Page, Result, Tx};
use crate::domain::decision::Decision;
use crate::domain::filter::Field;
use crate::domain::ids::{DecisionId, TenantId};

/// What decisions can be filtered by.
pub const DECISION_FIELDS: &[Field] = &[];

impl Tx {
    /// Records decisions.
    pub async fn insert_decisions(&mut self, tenant: &TenantId, rows: &[Decision]) -> Result<()> {
        todo!()
    }
    /// One decision; `full` with its case.
    pub async fn decision(
        &mut self,
        tenant: &TenantId,
        id: DecisionId,
        full: bool,
    ) -> Result<Option<Decision>> {
        todo!()
    }
    /// Decisions, newest first.
    pub async fn list_decisions(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
        full: bool,
    ) -> Result<Page<Decision>> {
        todo!()
    }
}
