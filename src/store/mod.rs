//! All durable truth: people, permission, decisions, calls, locks and leases, on SQLite or PostgreSQL with one text.
//!
//! Every statement runs in a [`Tx`]; one `Tx` is one snapshot and commits whole. The steps of the barrier live with
//! their callers (`gate`, `dialer`); here are the statements, each of which must keep the order of locks: number locks,
//! calls, attempts. Readable numbers exist here only sealed (`vault`). Time is an argument everywhere.
//!
//! Read `connect` for the settings that the promises rest on, then the file of the table at hand.

#![deny(missing_docs)]

mod accounts;
mod api_keys;
mod attempts;
mod attendants;
mod audit;
mod begin;
mod calls;
mod changes;
mod connect;
mod consents;
mod covering;
mod decisions;
mod dispositions;
mod door;
mod error;
mod events;
mod facts;
mod holders;
mod imports;
mod instructions;
mod known;
mod leases;
mod locks;
mod log;
mod migrate;
mod nodes;
mod notice;
mod number_facts;
mod paging;
mod parties;
mod policy;
mod raises;
mod registers;
mod requests;
mod results;
mod scrub_results;
mod seats;
mod sql;
mod statistics;
mod suppressions;
mod vault;
mod webhooks;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

use crate::domain::account::AccountHasher;
use crate::domain::ids::{PartyId, SuppressionId};
use crate::domain::phone::NumberHasher;
use crate::domain::suppression::SuppressionSubject;
use notice::Notices;
use sql::{insert_rows, on, row};
use vault::{DataKey, Vault};

pub use api_keys::StoredApiKey;
pub use attempts::{AttemptEnd, CancelCause, NewAttempt};
pub use audit::{AUDIT_FIELDS, AuditEntry, PlacedEntry};
pub use calls::{CALL_FIELDS, CallsAtHand, NewCall};
pub use consents::CONSENT_FIELDS;
pub use decisions::{DECISION_FIELDS, RecordedCase, RecordedDecision};
pub use door::{Door, Passage, Waiting};
pub use error::{Result, StoreError};
pub use events::NewEvent;
pub use facts::FactsWanted;
pub use imports::{IMPORT_FIELDS, ImportRunner, ImportStep};
pub use instructions::OpenInstruction;
pub use leases::{ExpiredCall, Leased, UnsentEnd};
pub use locks::party_lock_key;
pub use log::{AuditLog, LogLag, StoredCheckpoint};
pub use notice::Notice;
pub use number_facts::Links;
pub use paging::{ListQuery, Page, PageKey};
pub use parties::PartyDraft;
pub use policy::{ACTIVATION_FIELDS, NewPack, PolicyInForce, REGION_STOP_FIELDS};
pub use registers::REGISTER_SNAPSHOT_FIELDS;
pub use requests::StoredRequest;
pub use suppressions::SUPPRESSION_FIELDS;
pub use webhooks::{WebhookRow, WebhookTurn};

/// Where the store is and what unlocks it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:///path/x.db`, `sqlite:x.db` or `postgres://…`.
    pub url: String,
    /// The file of the secret under which numbers are hashed and people's keys are wrapped; made on first start.
    pub key_file: PathBuf,
    /// Most connections held at once by ordinary work; on PostgreSQL three more serve opt-outs and notifications.
    pub max_connections: u32,
}

impl StoreConfig {
    /// Everything that is wrong with the section, each problem with its key. A URL may hold a password and is not shown.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {}
            Some(("sqlite", _)) if connect::sqlite_file(&self.url).is_none() => problems.push(
                "url: the database URL must name a file, such as `sqlite:///var/lib/dialgate/dialgate.db`, and nothing else"
                    .to_owned(),
            ),
            Some(("sqlite", _)) => {}
            _ => problems.push(
                "url: the database URL must begin with `sqlite:` or `postgres://`".to_owned(),
            ),
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.max_connections) {
            problems.push(format!(
                "max_connections: is {}, set 1 to {CONNECTIONS_MAX}",
                self.max_connections
            ));
        }
        problems
    }
}

/// More than any node uses and fewer than a server falls over: each costs a process of PostgreSQL, or a thread.
const CONNECTIONS_MAX: u32 = 1_000;

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
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    pools: Pools,
    vault: Arc<Vault>,
    notices: Notices,
    growth: statistics::Growth,
    /// None but in the simulation.
    door: Option<Arc<dyn Door>>,
}

enum Pools {
    Postgres {
        ordinary: PgPool,
        /// Connections that only opt-outs take: however busy the others are, one is free soon.
        urgent: PgPool,
    },
    Sqlite {
        /// One connection: SQLite lets one write at a time, and waiting here is fairer than its busy handler.
        writer: SqlitePool,
        readers: SqlitePool,
        turnstile: Turnstile,
    },
}

/// Who writes next on SQLite. Ordinary writers pass the outer gate before they queue at the inner one, so that at most
/// one of them stands there before an opt-out does.
#[derive(Clone, Default)]
struct Turnstile {
    outer: Arc<Mutex<()>>,
    inner: Arc<Mutex<()>>,
}

impl Turnstile {
    async fn pass(&self, urgency: Urgency) -> Turn {
        let outer = match urgency {
            Urgency::OptOut => None,
            Urgency::Ordinary => Some(Arc::clone(&self.outer).lock_owned().await),
        };
        let inner = Arc::clone(&self.inner).lock_owned().await;
        Turn {
            _inner: inner,
            _outer: outer,
        }
    }
}

/// The right to write. The inner gate opens first, to whoever stands there.
struct Turn {
    _inner: OwnedMutexGuard<()>,
    _outer: Option<OwnedMutexGuard<()>>,
}

/// One transaction; dropped without [`Tx::commit`] it leaves nothing.
///
/// What it reads may be as old as its first statement: whoever waits for a change looks again in a new one.
pub struct Tx {
    inner: Inner,
    vault: Arc<Vault>,
    /// The data keys met so far; none for an erased person. They live no longer than the transaction.
    keys: HashMap<PartyId, Option<DataKey>>,
    /// Opt-outs among the facts that were loaded here, and whom they are about.
    seen: HashSet<(SuppressionId, SuppressionSubject)>,
    /// A statement failed, so nothing here may be taken for done: PostgreSQL answers such a COMMIT with a silent rollback.
    failed: bool,
    writing: bool,
    passage: Option<Box<dyn Passage>>,
    /// Given up after the transaction, as the fields above are dropped first.
    _turn: Option<Turn>,
}

enum Inner {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

impl Store {
    /// Connects, migrates, sets and checks the durability settings, opens or makes the key file.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        connect::open(config).await
    }

    /// Makes the keys by which numbers are looked up.
    #[must_use]
    pub fn hasher(&self) -> &NumberHasher {
        self.shared.vault.hasher()
    }

    /// Makes the keys by which accounts are looked up.
    #[must_use]
    pub fn account_hasher(&self) -> &AccountHasher {
        self.shared.vault.account_hasher()
    }

    /// Which database this is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &self.shared.pools {
            Pools::Postgres { .. } => Engine::Postgres,
            Pools::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// A transaction for reading. To look again for a change, begin another.
    pub async fn read(&self) -> Result<Tx> {
        let passage = self.enter(false).await?;
        let inner = match &self.shared.pools {
            Pools::Postgres { ordinary, .. } => {
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
                Inner::Postgres(begin::begin(ordinary, begin).await?)
            }
            Pools::Sqlite { readers, .. } => {
                Inner::Sqlite(readers.begin_with("BEGIN DEFERRED").await?)
            }
        };
        Ok(self.transaction(inner, passage, None))
    }

    /// A transaction for writing (claim-2). READ COMMITTED and no more: a claim must see what was committed while it
    /// waited for its number's lock (docs/ARCHITECTURE.md, the barrier).
    pub async fn write(&self, urgency: Urgency) -> Result<Tx> {
        let turn = match &self.shared.pools {
            Pools::Postgres { .. } => None,
            Pools::Sqlite { turnstile, .. } => Some(turnstile.pass(urgency).await),
        };
        let passage = self.enter(true).await?;
        let inner = match &self.shared.pools {
            Pools::Postgres { ordinary, urgent } => {
                let pool = match urgency {
                    Urgency::OptOut => urgent,
                    Urgency::Ordinary => ordinary,
                };
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
                Inner::Postgres(begin::begin(pool, begin).await?)
            }
            Pools::Sqlite { writer, .. } => {
                Inner::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
        };
        let mut tx = self.transaction(inner, passage, turn);
        tx.writing = true;
        Ok(tx)
    }

    /// Tells every node, after commit. Losing one costs time, never safety.
    pub async fn notify(&self, notice: &Notice) -> Result<()> {
        self.shared.notices.send(*notice);
        match &self.shared.pools {
            Pools::Postgres { ordinary, urgent } => {
                let pool = match notice {
                    Notice::OptOut(_) | Notice::OptOutWide => urgent,
                    Notice::CallQueued | Notice::RegisterChanged | Notice::CallChanged(_) => {
                        ordinary
                    }
                };
                self.shared.notices.send_far(pool, *notice).await
            }
            Pools::Sqlite { .. } => Ok(()),
        }
    }

    /// Notices of this node and of every other.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let mut tx = self.read().await?;
        let _one: i32 = on!(tx, |conn| sqlx::query_scalar("SELECT 1")
            .fetch_one(conn)
            .await)?;
        Ok(())
    }

    async fn enter(&self, writes: bool) -> Result<Option<Box<dyn Passage>>> {
        match &self.shared.door {
            None => Ok(None),
            Some(door) => door.enter(writes).await.map(Some),
        }
    }

    fn transaction(
        &self,
        inner: Inner,
        passage: Option<Box<dyn Passage>>,
        turn: Option<Turn>,
    ) -> Tx {
        Tx {
            inner,
            vault: Arc::clone(&self.shared.vault),
            keys: HashMap::new(),
            seen: HashSet::new(),
            failed: false,
            writing: false,
            passage,
            _turn: turn,
        }
    }
}

impl Tx {
    /// Makes everything done here durable. An error means: not known.
    pub async fn commit(mut self) -> Result<()> {
        if self.failed {
            return Err(StoreError::Other(
                "a statement of this transaction failed, so it cannot be committed".to_owned(),
            ));
        }
        if let Some(passage) = &mut self.passage {
            passage.commit().await?;
        }
        match self.inner {
            Inner::Postgres(inner) => inner.commit().await?,
            Inner::Sqlite(inner) => inner.commit().await?,
        }
        match &mut self.passage {
            None => Ok(()),
            Some(passage) => passage.committed().await,
        }
    }

    /// Notes that a statement failed.
    fn settle<T>(&mut self, result: sqlx::Result<T>) -> Result<T> {
        let mut result = result.map_err(StoreError::from);
        if let (Ok(_), Some(passage)) = (&result, &mut self.passage)
            && let Err(error) = passage.statement()
        {
            result = Err(error);
        }
        self.failed |= result.is_err();
        result
    }
}
