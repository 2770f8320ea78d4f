//! The facts of a whole batch, one statement a table.
use super::{Result, Tx};
use crate::domain::call::CallKind;
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;
use crate::policy::facts::Facts;

/// Whose facts are wanted, towards whom.
#[derive(Debug, Clone)]
pub struct FactsWanted {
    /// The number judged.
    pub number: Phone,
    /// Its key.
    pub number_key: NumberKey,
    /// The person judged.
    pub party_id: PartyId,
    /// The seller on whose behalf.
    pub seller: String,
    /// The kind of call.
    pub call_kind: CallKind,
    /// The instant judged.
    pub at: Micros,
}

impl Tx {
    /// The facts, in the order of the questions.
    pub async fn load_facts(
        &mut self,
        tenant: &TenantId,
        wanted: &[FactsWanted],
    ) -> Result<Vec<Facts>> {
        todo!()
    }
}
