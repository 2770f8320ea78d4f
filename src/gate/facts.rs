//! What is known for a question: what the store says, what the registers of this node say of the number, and what providers
//! said of it. Nobody is asked here; this runs within transactions.

use std::collections::HashMap;

use crate::domain::ids::TenantId;
use crate::domain::phone::NumberKey;
use crate::domain::provider::ScrubResult;
use crate::policy::facts::Facts;
use crate::store::{FactsWanted, StoreError, Tx};

use super::Core;

impl Core {
    /// The facts of these questions, in their order.
    pub(super) async fn load_facts(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        wanted: &[FactsWanted],
    ) -> Result<Vec<Facts>, StoreError> {
        let (facts, _) = self.load_facts_and_results(tx, tenant, wanted).await?;
        Ok(facts)
    }

    /// The same, with what providers said of each number.
    pub(super) async fn load_facts_and_results(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        wanted: &[FactsWanted],
    ) -> Result<(Vec<Facts>, HashMap<NumberKey, Vec<ScrubResult>>), StoreError> {
        let mut facts = tx.load_facts(tenant, wanted).await?;
        self.shelf.add_checks(wanted, &mut facts);
        let results = self.providers.add_answers(tx, tenant, wanted, &mut facts);
        let results = results.await?;
        Ok((facts, results))
    }
}
