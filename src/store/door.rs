//! What may stand between the store and its database: the seam at which the simulation (tests/suite/simulation) puts the
//! transactions of a node into an order that its seed decides, and lets some of them fail, wait, or commit unheard. The
//! real store runs behind it. In production there is no door, which costs a comparison with `None`.

use std::pin::Pin;
use std::sync::Arc;

use super::{Pools, Result, Store};

/// Something that is waited for.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Stands before each transaction.
pub trait Door: Send + Sync {
    /// Before BEGIN; an error is that of a database that cannot be reached.
    fn enter(&self, writes: bool) -> Waiting<'_, Result<Box<dyn Passage>>>;
}

/// One transaction behind the door; dropped when it is over and its connection on its way back.
pub trait Passage: Send + Sync {
    /// After each statement that succeeded: it may be told to have failed.
    fn statement(&mut self) -> Result<()>;

    /// Before COMMIT; an error keeps it from taking place.
    fn commit(&mut self) -> Waiting<'_, Result<()>>;

    /// After COMMIT took effect; an error keeps anyone from hearing of it.
    fn committed(&mut self) -> Waiting<'_, Result<()>>;
}

impl Store {
    /// The same store behind a door. Only one that was just opened and not yet cloned can be put there.
    #[must_use]
    pub fn behind(mut self, door: Arc<dyn Door>) -> Self {
        let put = Arc::get_mut(&mut self.shared).map(|shared| shared.door = Some(door));
        assert!(put.is_some(), "the store is in use already");
        self
    }

    /// Connections that are not in their pool.
    #[must_use]
    pub fn connections_in_use(&self) -> usize {
        fn away<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> usize {
            (pool.size() as usize).saturating_sub(pool.num_idle())
        }
        match &self.shared.pools {
            Pools::Postgres { ordinary, urgent } => away(ordinary) + away(urgent),
            Pools::Sqlite {
                writer, readers, ..
            } => away(writer) + away(readers),
        }
    }
}
