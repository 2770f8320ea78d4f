//! What can go wrong in the store, by what a caller does about it. No case carries a number or a statement's parameters.

use sqlx::error::ErrorKind;
use sqlx::postgres::PgDatabaseError;

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
    #[error("there is already a row of that identity ({what})")]
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_database(error.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Configuration(error) => {
                Self::Setting(format!("the database URL cannot be used: {error}"))
            }
            other => Self::Other(other.to_string()),
        }
    }
}

/// Only the message of an error is kept, never PostgreSQL's DETAIL, which quotes values.
fn from_database(error: &(dyn sqlx::error::DatabaseError + 'static)) -> StoreError {
    let text = error.message().to_owned();
    if error.kind() == ErrorKind::UniqueViolation {
        let what = error.constraint().map_or(text, str::to_owned);
        return StoreError::Duplicate { what };
    }
    let code = error.code().unwrap_or_default();
    let class = match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => postgres_class(&code),
        None => sqlite_class(&code),
    };
    match class {
        Class::Lock => StoreError::LockTimeout,
        Class::Unavailable => StoreError::Unavailable(format!("{text} ({code})")),
        Class::Other => StoreError::Other(format!("{text} ({code})")),
    }
}

enum Class {
    Lock,
    Unavailable,
    Other,
}

/// By SQLSTATE: lock_not_available, deadlock_detected, serialization_failure; then what ended the connection or the
/// server's ability to write (shutdown, idle in transaction, disk full, too many connections, its own I/O).
fn postgres_class(code: &str) -> Class {
    match code {
        "55P03" | "40P01" | "40001" => Class::Lock,
        "25P03" | "25P04" | "25006" | "57014" => Class::Unavailable,
        _ if ["08", "53", "57P", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Class::Unavailable
        }
        _ => Class::Other,
    }
}

/// By primary result code: BUSY and LOCKED; then READONLY, IOERR, FULL, CANTOPEN.
fn sqlite_class(code: &str) -> Class {
    match code.parse::<u32>().unwrap_or(0) & 0xff {
        5 | 6 => Class::Lock,
        8 | 10 | 13 | 14 => Class::Unavailable,
        _ => Class::Other,
    }
}
