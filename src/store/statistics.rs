//! What PostgreSQL's planner knows of the tables.

use super::{Pools, Result, Store};

impl Store {
    /// Lets the planner count anew what a list grows and what it is held against. A plan that was made for a table of some rows
    /// is kept until somebody counts, and reads all of them for each key: the server does so by itself only once a minute, and
    /// until then every portion, and every check of the gate, is slower than the one before. SQLite plans by the indexes alone.
    pub async fn count_anew(&self) -> Result<()> {
        if let Pools::Postgres { ordinary, .. } = &self.shared.pools {
            sqlx::query("ANALYZE suppressions, party_numbers")
                .execute(ordinary)
                .await?;
        }
        Ok(())
    }
}
