//! What is known for a question: what the store says, what the registers of this node say of the number, and what providers
//! said of it. Nobody is asked here; this runs within transactions.

use std::collections::HashMap;

use crate::domain::ids::TenantId;
use crate::domain::phone::NumberKey;
use crate::domain::provider::ScrubResult;
use crate::policy::facts::Facts;
use crate::store::{FactsWanted, Links, StoreError, Tx};

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

    /// The same, where the transaction has asked already who holds the numbers.
    pub(super) async fn load_facts_among(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        wanted: &[FactsWanted],
        links: &Links,
    ) -> Result<Vec<Facts>, StoreError> {
        let mut facts = tx.load_facts_among(tenant, wanted, links).await?;
        self.add_answers(tx, tenant, wanted, &mut facts).await?;
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
        let results = self.add_answers(tx, tenant, wanted, &mut facts).await?;
        Ok((facts, results))
    }

    /// What the store does not know of the numbers: what registers say, and providers said.
    async fn add_answers(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        wanted: &[FactsWanted],
        facts: &mut [Facts],
    ) -> Result<HashMap<NumberKey, Vec<ScrubResult>>, StoreError> {
        self.shelf.add_checks(wanted, facts);
        self.providers.add_answers(tx, tenant, wanted, facts).await
    }
}
