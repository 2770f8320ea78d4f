//! What agents said of calls.
use super::{Result, Tx};
use crate::domain::disposition::Disposition;
use crate::domain::ids::{CallId, TenantId};

impl Tx {
    /// Records a disposition; a note is sealed under the person's key.
    pub async fn insert_disposition(&mut self, tenant: &TenantId, new: &Disposition) -> Result<()> {
        todo!()
    }
    /// Dispositions of a call, oldest first.
    pub async fn dispositions_of(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
    ) -> Result<Vec<Disposition>> {
        todo!()
    }
}
