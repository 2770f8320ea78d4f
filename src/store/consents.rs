//! Acts of consent.
use super::{ListQuery, Page, Result, Tx};
use crate::domain::consent::ConsentEvent;
use crate::domain::filter::Field;
use crate::domain::ids::{ConsentEventId, PartyId, TenantId};
use crate::domain::phone::NumberKey;

/// What acts of consent can be filtered by.
pub const CONSENT_FIELDS: &[Field] = &[];

impl Tx {
    /// Records an act.
    pub async fn insert_consent(&mut self, tenant: &TenantId, event: &ConsentEvent) -> Result<()> {
        todo!()
    }
    /// One act; none once the person was erased.
    pub async fn consent(
        &mut self,
        tenant: &TenantId,
        id: ConsentEventId,
    ) -> Result<Option<ConsentEvent>> {
        todo!()
    }
    /// Acts, newest recorded first, of this person and number where given.
    pub async fn consents(
        &mut self,
        tenant: &TenantId,
        party: Option<PartyId>,
        number: Option<&NumberKey>,
        q: &ListQuery,
    ) -> Result<Page<ConsentEvent>> {
        todo!()
    }
}
