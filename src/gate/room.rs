//! How many more calls the queue of a trunk takes. What other batches of this node are about to queue is not in the store
//! yet, and counts all the same. Nodes do not see each other's: together they may queue a batch too many.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::route::Carriers;
use crate::domain::time::Micros;
use crate::store::{StoreError, Tx};

use super::Core;

/// What the batches under way have taken, by trunk.
#[derive(Default)]
pub(super) struct Rooms {
    taken: Mutex<HashMap<String, i64>>,
    /// Held from the counting to the taking.
    counting: tokio::sync::Mutex<()>,
}

impl Rooms {
    fn taken(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        // Whole after a panic: each change is one addition.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of some trunks while one batch counts; the others wait.
pub(super) struct Counting<'a> {
    rooms: &'a Rooms,
    left: HashMap<String, i64>,
    taken: HashMap<String, i64>,
    /// None where nothing is to be counted.
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

/// What one batch has taken; given back when its transaction is over, for then the store knows.
pub(super) struct Taken<'a> {
    rooms: &'a Rooms,
    by_trunk: HashMap<String, i64>,
}

impl<'a> Counting<'a> {
    /// Counts what waits for these trunks.
    pub async fn begin(
        core: &'a Core,
        tx: &mut Tx,
        (carriers, trunks): (&Carriers, BTreeSet<&str>),
        now: Micros,
    ) -> Result<Self, StoreError> {
        let alone = match trunks.is_empty() {
            false => Some(core.rooms.counting.lock().await),
            true => None,
        };
        // Before the store is asked: what is given back meanwhile is counted twice and not missed.
        let taken = core.rooms.taken().clone();
        let mut left = HashMap::new();
        for trunk in trunks {
            let max = carriers.get(trunk).map_or(0, |carrier| carrier.queue_max);
            let queued = tx.queued_count(trunk, now).await?;
            let others = taken.get(trunk).copied().unwrap_or(0);
            left.insert(trunk.to_owned(), max - queued - others);
        }
        Ok(Self {
            rooms: &core.rooms,
            left,
            taken: HashMap::new(),
            _alone: alone,
        })
    }

    /// Takes a place in the queue of this trunk; false if it is full.
    pub fn take(&mut self, trunk: &str) -> bool {
        let Some(left) = self.left.get_mut(trunk).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        *self.taken.entry(trunk.to_owned()).or_default() += 1;
        true
    }

    /// Lets the next batch count.
    pub fn end(self) -> Taken<'a> {
        let mut all = self.rooms.taken();
        for (trunk, count) in &self.taken {
            *all.entry(trunk.clone()).or_default() += count;
        }
        drop(all);
        Taken {
            rooms: self.rooms,
            by_trunk: self.taken,
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut all = self.rooms.taken();
        for (trunk, count) in &self.by_trunk {
            if let Some(taken) = all.get_mut(trunk) {
                *taken -= count;
            }
        }
    }
}
