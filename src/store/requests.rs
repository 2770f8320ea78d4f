//! What was asked before, so that repeating a request repeats its answer.
use super::{Result, Tx};
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

impl Tx {
    /// Those of these requests that are known.
    pub async fn requests(
        &mut self,
        tenant: &TenantId,
        ids: &[RequestId],
    ) -> Result<Vec<StoredRequest>> {
        todo!()
    }
    /// Records requests; one that is there already is [`super::StoreError::Duplicate`].
    pub async fn insert_requests(
        &mut self,
        tenant: &TenantId,
        rows: &[StoredRequest],
    ) -> Result<()> {
        todo!()
    }
    /// Records that the barrier has passed.
    pub async fn pass_request(&mut self, tenant: &TenantId, id: RequestId) -> Result<()> {
        todo!()
    }
}
