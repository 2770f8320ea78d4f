//! Numbers of which a suppression was ever recorded, in memory: nearly all of a list are of people who never said anything, and
//! of these the store need not be asked. Each look-up there reads a page of its own.
//!
//! A number that is not held here has no suppression on record, and that must be certain: a sieve may say "perhaps" too often, "never"
//! wrongly not once. What a batch's transaction can see is either numbered as a change or not yet (`store/changes.rs`). Up to
//! `up_to` all numbered ones are held; each batch reads the rest, those without a position first: what gets its position
//! between the two reads is met by the second. Where that would be more than a few, the batch asks the store of each number.
//!
//! Lifts change nothing: a number once held stays.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::ids::TenantId;
use crate::domain::phone::NumberKey;
use crate::gate::Core;
use crate::store::{Store, StoreError, Tx};

/// Numbers that a tenant's lists have asked about before a sieve is made: for fewer it isn't worth reading all there are.
const WORTH_IT: usize = 20_000;

/// Suppressions that a batch reads beside the sieve at most.
const NEWS_MAX: i64 = 1_000;

/// Numbers that a sieve holds at most: some 400 MB.
const HELD_MAX: usize = 20_000_000;

/// Numbers read in one transaction.
const PAGE: i64 = 20_000;

/// Changes that get their position in one transaction, as for who follows them.
const PLACED_AT_ONCE: i64 = 256;

/// The sieves of a node, by tenant.
#[derive(Default)]
pub(super) struct Sieves {
    tenants: RwLock<BTreeMap<TenantId, State>>,
}

enum State {
    /// So many numbers were asked about without one that is of use: there is none, or it has fallen behind.
    Wanting(usize),
    /// A task is making it.
    InTheMaking,
    Ready(Sieve),
    /// There are too many suppressions for one.
    TooLarge,
}

#[derive(Default)]
struct Sieve {
    /// The first eight bytes of their keys. Two keys that share them cost one look-up.
    held: HashSet<u64>,
    /// All suppressions whose change has a position up to this are held.
    up_to: i64,
}

impl Sieve {
    fn hold(&mut self, keys: impl IntoIterator<Item = NumberKey>) {
        self.held.extend(keys.into_iter().map(beginning));
    }

    fn may_hold(&self, key: NumberKey) -> bool {
        self.held.contains(&beginning(key))
    }
}

impl Sieves {
    /// Those of the numbers of which no suppression is on record that this transaction can see; none where that isn't known
    /// without asking of each.
    pub async fn never_blocked(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<Option<Vec<NumberKey>>, StoreError> {
        let Some(up_to) = self.with(tenant, |sieve| sieve.up_to) else {
            return Ok(None);
        };
        let Some(untold) = tx.untold_numbers(tenant, NEWS_MAX).await? else {
            self.fallen_behind(tenant);
            return Ok(None);
        };
        let latest = tx.latest_suppression_change(tenant).await?;
        if latest.saturating_sub(up_to) > NEWS_MAX {
            self.fallen_behind(tenant);
            return Ok(None);
        }
        if latest > up_to {
            let (told, last) = tx.numbers_told_after(tenant, up_to, NEWS_MAX).await?;
            self.learn(tenant, told, last);
        }
        let untold: HashSet<NumberKey> = untold.into_iter().collect();
        let is_never =
            |sieve: &Sieve, key: &NumberKey| !sieve.may_hold(*key) && !untold.contains(key);
        Ok(self.with(tenant, |sieve| {
            let keys = keys.iter().copied();
            keys.filter(|key| is_never(sieve, key)).collect()
        }))
    }

    /// How many numbers the tenant's sieve holds, if there is one.
    pub fn size(&self, tenant: &TenantId) -> Option<usize> {
        self.with(tenant, |sieve| sieve.held.len())
    }

    fn with<T>(&self, tenant: &TenantId, look: impl FnOnce(&Sieve) -> T) -> Option<T> {
        match self.read().get(tenant) {
            Some(State::Ready(sieve)) => Some(look(sieve)),
            _ => None,
        }
    }

    /// What was read after a position that the sieve had reached: it may have gone further since, never back.
    fn learn(&self, tenant: &TenantId, keys: Vec<NumberKey>, up_to: i64) {
        if let Some(State::Ready(sieve)) = self.write().get_mut(tenant) {
            sieve.hold(keys);
            sieve.up_to = sieve.up_to.max(up_to);
        }
    }

    /// It would have to learn more than a batch should wait for.
    fn fallen_behind(&self, tenant: &TenantId) {
        if let Some(state @ State::Ready(_)) = self.write().get_mut(tenant) {
            *state = State::Wanting(0);
        }
    }

    /// Whether somebody must make a sieve, now that so many numbers more were asked about. Who is told so makes it.
    fn is_wanted(&self, tenant: &TenantId, numbers: usize) -> bool {
        let mut tenants = self.write();
        let state = tenants.entry(tenant.clone()).or_insert(State::Wanting(0));
        let State::Wanting(asked) = state else {
            return false;
        };
        *asked = asked.saturating_add(numbers);
        let is_wanted = *asked >= WORTH_IT;
        if is_wanted {
            *state = State::InTheMaking;
        }
        is_wanted
    }

    fn made(&self, tenant: &TenantId, state: State) {
        self.write().insert(tenant.clone(), state);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TenantId, State>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TenantId, State>> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts numbers that the store was asked about, and makes a sieve when they are many.
pub(super) fn asked(core: &Arc<Core>, tenant: &TenantId, numbers: usize) {
    if !core.scrubs.sieves.is_wanted(tenant, numbers) {
        return;
    }
    let (core, tenant) = (Arc::clone(core), tenant.clone());
    tokio::spawn(async move {
        let made = make(&core.store, &tenant).await;
        let state = made.unwrap_or_else(|error| {
            tracing::warn!(%error, "lists are slower: which numbers have opt-outs could not be read");
            State::Wanting(0)
        });
        core.scrubs.sieves.made(&tenant, state);
    });
}

/// Reads them all.
async fn make(store: &Store, tenant: &TenantId) -> Result<State, StoreError> {
    while store
        .place_untold_suppressions(tenant, PLACED_AT_ONCE)
        .await?
        > 0
    {}
    let mut sieve = Sieve {
        // Before the first page: what is recorded meanwhile gets a later position.
        up_to: store
            .read()
            .await?
            .latest_suppression_change(tenant)
            .await?,
        ..Sieve::default()
    };
    let mut last = None;
    loop {
        let mut tx = store.read().await?;
        let keys = tx.suppressed_numbers_after(tenant, last, PAGE).await?;
        drop(tx);
        let Some(key) = keys.last() else {
            return Ok(State::Ready(sieve));
        };
        last = Some(*key);
        sieve.hold(keys);
        if sieve.held.len() > HELD_MAX {
            return Ok(State::TooLarge);
        }
    }
}

fn beginning(key: NumberKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = key.0;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}
