//! What can go wrong in the store, by what a caller does about it. No case carries a number or a statement's parameters.

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot write now (connection lost, pool exhausted, disk full); nothing was
    /// decided. Of a COMMIT it means: not known whether it took place.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A lock was not had in time, or two transactions waited for each other; the transaction did nothing.
    #[error("the database lock was not had in time, try again")]
    LockTimeout,
    /// A row of that identity is there already.
    #[error("there is already a {what} of that identity")]
    Duplicate {
        /// The table or constraint that refused.
        what: String,
    },
    /// A stored value cannot be unsealed or understood.
    #[error("stored data cannot be read: {what}")]
    Damaged {
        /// What cannot be read.
        what: &'static str,
    },
    /// The store refuses to start under this setting; the sentence says what to change.
    #[error("{0}")]
    Setting(String),
    /// Anything else, with a text for the log.
    #[error("database error: {0}")]
    Other(String),
}

/// The store's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
