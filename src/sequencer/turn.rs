//! One turn: what is committed and has no place gets one. All of it is one transaction, so a node that dies within it has done
//! nothing, and whoever comes next does it anew.

use std::sync::Arc;

use super::key::{KeyProblem, SigningPlace};
use crate::audit::{Checkpoint, Edge, SigningKey, TileId, TreeHead, leaf_hash};
use crate::clock::Clock;
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::store::{AuditLog, Store, StoreError, StoredCheckpoint, Tx, Urgency};

/// Entries that are given places in one transaction: some milliseconds of the one writer of SQLite.
pub const BATCH_MAX: u32 = 256;

/// Why entries got no place.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// What is stored is not what was signed.
    #[error(
        "the stored tree of the audit log is not the one of its last checkpoint, over {size} entries: somebody changed the database, \
         or it is damaged; nothing is signed until it is restored"
    )]
    Tampered {
        /// How many entries the log has.
        size: u64,
    },
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sequenced {
    /// Nothing is without a place.
    Nothing,
    /// Another node works just now.
    Another,
    /// So many entries got theirs, and this was signed.
    Placed {
        /// How many.
        entries: usize,
        /// The checkpoint.
        checkpoint: StoredCheckpoint,
    },
}

/// Gives places and signs. Cheap to clone.
#[derive(Clone)]
pub struct Sequencer {
    store: Store,
    tenant: TenantId,
    key: Arc<SigningKey>,
    clock: Clock,
}

impl Sequencer {
    /// Opens the log of this store with the key of this place, and begins it if there is none.
    pub async fn open(
        store: Store,
        place: &SigningPlace,
        clock: Clock,
    ) -> Result<Self, SequenceError> {
        let tenant = TenantId::default();
        let known = store.read().await?.audit_log(&tenant).await?;
        let key = Arc::new(place.open(known.is_some())?);
        let this = Self {
            store,
            tenant,
            key,
            clock,
        };
        let ours = this.key.verifier().to_string();
        let log = match known {
            Some(log) => log,
            None => this.begin(&ours).await?,
        };
        if log.verifier_key == ours {
            return Ok(this);
        }
        Err(KeyProblem::Another {
            path: place.path.clone(),
            wanted: log.verifier_key,
        }
        .into())
    }

    /// Begins the log, with a checkpoint over nothing; or finds it begun meanwhile.
    async fn begin(&self, ours: &str) -> Result<AuditLog, SequenceError> {
        let at = self.clock.read().wall;
        let mut tx = self.store.write(Urgency::Ordinary).await?;
        if tx.begin_audit_log(&self.tenant, ours, at).await? {
            let first = self.checkpoint(&Edge::default());
            tx.extend_audit_log(&self.tenant, 0, &first).await?;
        }
        let log = tx.audit_log(&self.tenant).await?;
        tx.commit().await?;
        log.ok_or_else(|| StoreError::Damaged { what: "audit log" }.into())
    }

    /// By what the signatures are known.
    #[must_use]
    pub fn verifier(&self) -> &crate::audit::VerifierKey {
        self.key.verifier()
    }

    /// What was signed last.
    pub async fn latest(&self) -> Result<Option<StoredCheckpoint>, SequenceError> {
        let mut tx = self.store.read().await?;
        Ok(tx.latest_checkpoint(&self.tenant).await?)
    }

    /// Gives places to what has none, a batch at most. Looks first without holding up any writer.
    pub async fn turn(&self) -> Result<Sequenced, SequenceError> {
        let mut tx = self.store.read().await?;
        let is_idle = tx.unplaced_entries(&self.tenant, 1).await?.is_empty();
        drop(tx);
        if is_idle {
            return Ok(Sequenced::Nothing);
        }
        let mut tx = self.store.write(Urgency::Ordinary).await?;
        let Some(log) = tx.hold_audit_log(&self.tenant).await? else {
            return Ok(Sequenced::Another);
        };
        let mut edge = self.edge(&mut tx, log.size).await?;
        let entries = tx.unplaced_entries(&self.tenant, BATCH_MAX).await?;
        if entries.is_empty() {
            return Ok(Sequenced::Nothing);
        }
        let leaves = entries
            .iter()
            .map(|entry| leaf_hash(entry.leaf().as_bytes()));
        let tiles = edge.append(leaves);
        let ids: Vec<AuditEntryId> = entries
            .iter()
            .map(|entry| AuditEntryId(entry.entry_id))
            .collect();
        tx.place_entries(&self.tenant, log.size, &ids).await?;
        tx.put_audit_tiles(&self.tenant, &tiles).await?;
        let checkpoint = self.checkpoint(&edge);
        if !tx
            .extend_audit_log(&self.tenant, log.size, &checkpoint)
            .await?
        {
            return Ok(Sequenced::Another);
        }
        tx.commit().await?;
        Ok(Sequenced::Placed {
            entries: ids.len(),
            checkpoint,
        })
    }

    /// The right edge of the tree as it is stored, if it is the one that was signed last.
    async fn edge(&self, tx: &mut Tx, size: u64) -> Result<Edge, SequenceError> {
        let ids: Vec<TileId> = Edge::tiles(size).map(|(id, _)| id).collect();
        let tiles = tx.audit_tiles(&self.tenant, &ids).await?;
        let signed = tx.latest_checkpoint(&self.tenant).await?;
        let signed = signed
            .and_then(|signed| Checkpoint::open(&signed.note, self.key.verifier()).ok())
            .map(|signed| signed.head);
        Edge::of(size, &tiles)
            .filter(|edge| signed == Some(head(edge)))
            .ok_or(SequenceError::Tampered { size })
    }

    fn checkpoint(&self, edge: &Edge) -> StoredCheckpoint {
        StoredCheckpoint {
            size: edge.size(),
            note: Checkpoint::sign(&head(edge), &self.key),
            at: self.clock.read().wall,
        }
    }
}

fn head(edge: &Edge) -> TreeHead {
    TreeHead {
        size: edge.size(),
        root: edge.root(),
    }
}
