//! How many rows a portion takes: so many as are recorded while others can wait. A row about somebody whom we know takes many
//! times as long as one about a stranger, and a list may hold nothing but the one kind or the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most rows; more gain nothing.
const ROWS_MAX: usize = 256;
/// Fewest rows: a commit has its price, however few they are.
const ROWS_MIN: usize = 8;
/// Rows of the first.
const ROWS_FIRST: usize = 64;
/// A portion shall not take longer: nobody else writes to SQLite meanwhile.
const LONG: Duration = Duration::from_millis(10);

/// Shared between who reads the list and who records it.
#[derive(Debug, Clone)]
pub(super) struct PortionSize(Arc<AtomicUsize>);

impl Default for PortionSize {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(ROWS_FIRST)))
    }
}

impl PortionSize {
    /// Rows of the next portion.
    pub(super) fn rows(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A portion of this size was recorded, and took so long.
    pub(super) fn took(&self, time: Duration) {
        let rows = self.rows();
        let next = if time > LONG {
            rows / 2
        } else if time < LONG / 2 {
            rows * 2
        } else {
            rows
        };
        self.0
            .store(next.clamp(ROWS_MIN, ROWS_MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_shrinks_while_it_is_slow_and_grows_while_it_is_quick() {
        let size = PortionSize::default();
        let reader = size.clone();
        for expected in [32, 16, 8, 8] {
            size.took(Duration::from_millis(11));
            assert_eq!(reader.rows(), expected);
        }
        size.took(Duration::from_millis(7));
        assert_eq!(reader.rows(), 8);
        for expected in [16, 32, 64, 128, 256, 256] {
            size.took(Duration::from_millis(1));
            assert_eq!(reader.rows(), expected);
        }
    }
}
