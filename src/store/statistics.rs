//! What PostgreSQL's planner knows of the tables.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Pools, Result, Store};

/// Rows recorded since the start at which is counted first.
const FIRST: usize = 64;

/// How many rows were recorded since the start, and at how many the planner counts again.
pub(super) struct Growth {
    rows: AtomicUsize,
    next: AtomicUsize,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            rows: AtomicUsize::new(0),
            next: AtomicUsize::new(FIRST),
        }
    }
}

impl Growth {
    /// So many more; whether it is time to count, which is told to one alone.
    fn add(&self, rows: usize) -> bool {
        let total = self
            .rows
            .fetch_add(rows, Ordering::Relaxed)
            .saturating_add(rows);
        let next = self.next.load(Ordering::Relaxed);
        let later = total.saturating_mul(2);
        total >= next
            && (self.next)
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Store {
    /// Tells that so many opt-outs or consents more are on record; each time they have doubled, the planner counts anew what they are
    /// held against. A plan that was made for a table of some rows is kept until somebody counts, and reads all of them for each
    /// key: the server does so by itself only once a minute, and until then every opt-out, and every check of the gate, is slower
    /// than the one before. SQLite plans by the indexes alone.
    pub async fn grew(&self, rows: usize) -> Result<()> {
        let Pools::Postgres { ordinary, .. } = &self.shared.pools else {
            return Ok(());
        };
        if self.shared.growth.add(rows) {
            sqlx::query("ANALYZE suppressions, party_numbers, requests")
                .execute(ordinary)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_counted_as_often_as_it_doubles() {
        let growth = Growth::default();
        let counted: Vec<usize> = (1..=1000).filter(|_| growth.add(1)).collect();
        assert_eq!(counted, [64, 128, 256, 512]);
        assert!(growth.add(100_000));
        assert!(!growth.add(100_000));
    }
}
