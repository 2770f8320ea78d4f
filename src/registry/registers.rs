//! The snapshots in force, for readers that never wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// Snapshots by the id of their register.
pub type Loaded = BTreeMap<String, Arc<Snapshot>>;

/// The snapshot in force of each register. Who reads takes all of them at one moment and is never held up by who replaces
/// one; a snapshot that was replaced is unmapped when its last reader lets go of it.
#[derive(Debug, Default)]
pub struct Registers {
    loaded: ArcSwap<Loaded>,
}

impl Registers {
    /// What is in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// Puts a register's snapshot in force, or takes it out: what is not there is not known, and never clear. Answers
    /// what was in force before. Let go of that where a wait does no harm: unmapping 250 MB takes milliseconds.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the registers keep it, though they copy the handle to do so"
    )]
    pub fn replace(
        &self,
        register: &str,
        snapshot: Option<Arc<Snapshot>>,
    ) -> Option<Arc<Snapshot>> {
        let before = self.loaded.rcu(|loaded| {
            let mut next = Loaded::clone(loaded);
            match &snapshot {
                Some(snapshot) => next.insert(register.to_owned(), Arc::clone(snapshot)),
                None => next.remove(register),
            };
            next
        });
        before.get(register).cloned()
    }
}
