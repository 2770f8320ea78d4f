//! All durable truth: people, permission, decisions, calls, locks and leases, on SQLite or PostgreSQL with one text.
//!
//! Every statement runs in a [`Tx`]; one `Tx` is one snapshot and commits whole. The steps of the barrier live with
//! their callers (`gate`, `dialer`); here are the statements, each of which must keep the order of locks: number locks,
//! calls, attempts. Readable numbers exist here only sealed (`vault`). Time is an argument everywhere.
//!
//! Read `connect` for the settings that the promises rest on, then the file of the table at hand.

#![deny(missing_docs)]

mod api_keys;
mod attempts;
mod audit;
mod calls;
mod connect;
mod consents;
mod decisions;
mod dispositions;
mod error;
mod events;
mod facts;
mod leases;
mod locks;
mod migrate;
mod nodes;
mod notice;
mod paging;
mod parties;
mod requests;
mod suppressions;
mod vault;

use std::path::PathBuf;

use crate::domain::phone::NumberHasher;

pub use api_keys::StoredApiKey;
pub use attempts::{AttemptEnd, CancelCause, NewAttempt};
pub use audit::{AUDIT_FIELDS, AuditEntry};
pub use calls::{CALL_FIELDS, NewCall};
pub use consents::CONSENT_FIELDS;
pub use decisions::DECISION_FIELDS;
pub use error::{Result, StoreError};
pub use events::NewEvent;
pub use facts::FactsWanted;
pub use leases::Leased;
pub use locks::party_lock_key;
pub use notice::Notice;
pub use paging::{ListQuery, Page, PageKey};
pub use parties::PartyDraft;
pub use requests::StoredRequest;
pub use suppressions::SUPPRESSION_FIELDS;

/// Where the store is and what unlocks it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:///path/x.db`, `sqlite:x.db` or `postgres://…`.
    pub url: String,
    /// The file of the secret under which numbers are hashed and people's keys are wrapped; made on first start.
    pub key_file: PathBuf,
    /// Most connections held at once.
    pub max_connections: u32,
}

/// Which database is behind the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// Who goes first where only one may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// An opt-out: waits for at most one ordinary writer.
    OptOut,
    /// Everything else.
    Ordinary,
}

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {}

/// One transaction; dropped without [`Tx::commit`] it leaves nothing.
pub struct Tx {}

impl Store {
    /// Connects, migrates, sets and checks the durability settings, opens or makes the key file.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        todo!()
    }
    /// Makes the keys by which numbers are looked up.
    #[must_use]
    pub fn hasher(&self) -> &NumberHasher {
        todo!()
    }
    /// Which database this is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        todo!()
    }
    /// A transaction for reading.
    pub async fn read(&self) -> Result<Tx> {
        todo!()
    }
    /// A transaction for writing.
    pub async fn write(&self, urgency: Urgency) -> Result<Tx> {
        todo!()
    }
    /// Tells every node, after commit. Losing one costs time, never safety.
    pub async fn notify(&self, notice: &Notice) -> Result<()> {
        todo!()
    }
    /// Notices of this node and of every other.
    #[must_use]
    pub fn notices(&self) -> tokio::sync::broadcast::Receiver<Notice> {
        todo!()
    }
    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        todo!()
    }
}

impl Tx {
    /// Makes everything done here durable. An error means: not known.
    pub async fn commit(self) -> Result<()> {
        todo!()
    }
}
