//! Opt-outs that come at once, recorded in one transaction: what is asked of each is asked for all of them together, and what is
//! written is written together. Only of those about people, accounts and numbers that somebody holds or held, each is looked at by itself.

use std::collections::{BTreeMap, HashMap};

use crate::domain::ids::{RequestId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::Suppression;
use crate::gate::Ask;
use crate::gate::error::GateError;
use crate::gate::records::the_same;
use crate::store::{AuditEntry, StoreError, StoredRequest, Tx};

use super::strangers::Strangers;
use super::{Wish, entry, record};

/// One transaction's worth of them.
pub(super) struct Round {
    asked: HashMap<(TenantId, RequestId), StoredRequest>,
    pub(super) strangers: Strangers,
    new: BTreeMap<TenantId, New>,
}

#[derive(Default)]
struct New {
    suppressions: Vec<Suppression>,
    entries: Vec<AuditEntry>,
    requests: Vec<StoredRequest>,
}

impl Round {
    /// Looks at what is on record of all of them.
    pub(super) async fn begin(tx: &mut Tx, wishes: &[Wish]) -> Result<Self, StoreError> {
        let mut round = Self {
            asked: HashMap::new(),
            strangers: Strangers::default(),
            new: BTreeMap::new(),
        };
        for (tenant, theirs) in by_tenant(wishes) {
            let ids: Vec<RequestId> = theirs.iter().map(|wish| wish.ask.request_id).collect();
            for stored in tx.requests(tenant, &ids).await? {
                let name = (tenant.clone(), stored.request_id);
                round.asked.insert(name, stored);
            }
            let keys = theirs
                .iter()
                .filter_map(|wish| wish.suppression.subject.number());
            let keys: Vec<NumberKey> = keys.collect();
            round.strangers.look(tx, tenant, &keys).await?;
        }
        Ok(round)
    }

    /// The memory of this very request if it was asked before.
    pub(super) fn asked_before(&self, ask: &Ask) -> Result<Option<&StoredRequest>, GateError> {
        let name = (ask.principal.tenant.clone(), ask.request_id);
        let stored = self.asked.get(&name);
        stored.map(|stored| the_same(stored, ask)).transpose()
    }

    /// opt-out-1 for one of them.
    pub(super) async fn record(
        &mut self,
        tx: &mut Tx,
        wish: &Wish,
    ) -> Result<Suppression, StoreError> {
        let (ask, suppression) = (&wish.ask, &wish.suppression);
        let tenant = &ask.principal.tenant;
        let recorded = match self.strangers.number(suppression) {
            Some(_) => self.record_strangers(ask, suppression),
            None => record(tx, ask, suppression.clone()).await?,
        };
        let request = ask.stored(recorded.suppression_id.to_string(), false);
        self.of(tenant).requests.push(request);
        Ok(recorded)
    }

    /// Nobody holds the number, so no consent can be in doubt, and nobody is bound.
    fn record_strangers(&mut self, ask: &Ask, suppression: &Suppression) -> Suppression {
        let found = self.strangers.find(suppression, suppression.received_at);
        let (kind, recorded) = match found {
            Some(found) => ("suppression.repeated", found.clone()),
            None => {
                self.strangers.add(suppression);
                let new = self.of(&ask.principal.tenant);
                new.suppressions.push(suppression.clone());
                ("suppression.created", suppression.clone())
            }
        };
        let entry = entry(ask, kind, &recorded);
        self.of(&ask.principal.tenant).entries.push(entry);
        recorded
    }

    fn of(&mut self, tenant: &TenantId) -> &mut New {
        self.new.entry(tenant.clone()).or_default()
    }

    /// Writes what was not written one by one.
    pub(super) async fn write(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        for (tenant, new) in std::mem::take(&mut self.new) {
            tx.insert_suppressions(&tenant, &new.suppressions).await?;
            tx.insert_audit(&tenant, &new.entries).await?;
            tx.insert_requests(&tenant, &new.requests).await?;
        }
        Ok(())
    }
}

/// Each tenant's, in their order.
pub(super) fn by_tenant(wishes: &[Wish]) -> BTreeMap<&TenantId, Vec<&Wish>> {
    let mut theirs: BTreeMap<&TenantId, Vec<&Wish>> = BTreeMap::new();
    for wish in wishes {
        theirs
            .entry(&wish.ask.principal.tenant)
            .or_default()
            .push(wish);
    }
    theirs
}
