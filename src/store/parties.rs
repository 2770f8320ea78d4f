//! People and their numbers.
use super::{Result, Tx};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::party::{Party, PartyNumber, Profile};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;

/// A person as somebody wants them recorded: all of it, replacing what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyDraft {
    /// Identifier, new or known.
    pub party_id: PartyId,
    /// What is known of the person.
    pub profile: Profile,
    /// Their numbers.
    pub numbers: Vec<PartyNumber>,
}

impl Tx {
    /// Who holds these numbers; one number may have several holders or none.
    pub async fn parties_by_number(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<Vec<(NumberKey, PartyId)>> {
        todo!()
    }
    /// Records an empty person for each number that nobody holds yet.
    pub async fn ensure_parties(
        &mut self,
        tenant: &TenantId,
        wanted: &[(PartyId, Phone)],
        at: Micros,
    ) -> Result<()> {
        todo!()
    }
    /// Records a person whole; the answer carries the new etag.
    pub async fn upsert_party(
        &mut self,
        tenant: &TenantId,
        draft: &PartyDraft,
        at: Micros,
    ) -> Result<Party> {
        todo!()
    }
    /// A person; none once erased.
    pub async fn party(&mut self, tenant: &TenantId, id: PartyId) -> Result<Option<Party>> {
        todo!()
    }
}
