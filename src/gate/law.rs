//! Which law decides. The store says so, in every transaction that judges, under a lock that whoever changes it takes
//! alone; a node holds the packs it has met by their hash. What a node does not hold it loads before it judges, and what
//! it cannot load it does not judge by: an older pack never stands in.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::domain::ids::{ActivationId, AuditEntryId, TenantId};
use crate::domain::policy::{Activation, PackOrigin};
use crate::domain::time::Micros;
use crate::policy::{OperatorLayer, Pack, PackFiles, PackProblems};
use crate::store::{AuditEntry, NewPack, Store, StoreError, Tx, Urgency};

use super::error::GateError;

/// Who acts where nobody asked: a node at its start.
const SYSTEM: &str = "system";

/// Packs held at once; a few megabytes each.
const HELD_MAX: usize = 4;

/// How often a transaction begins anew because the law changed under it.
pub(super) const ATTEMPTS: usize = 5;

/// The law of this node.
pub(super) struct Law {
    configured: Arc<Pack>,
    /// Regions that the configuration stops.
    regions: Vec<String>,
    state: Mutex<State>,
}

struct State {
    held: BTreeMap<String, Arc<Pack>>,
    /// The one that decided last.
    latest: Arc<Pack>,
    /// Tenants for whom this node has settled what its configuration brings.
    settled: HashSet<TenantId>,
}

/// What one transaction judges by.
#[derive(Clone)]
pub(super) struct InForce {
    pub pack: Arc<Pack>,
    /// Regions in which nobody is called now.
    pub stops: Vec<String>,
}

/// What a transaction found.
pub(super) enum Look {
    Ready(InForce),
    /// This node has not yet said what its configuration brings.
    Unsettled,
    /// The pack of this hash has to be loaded first.
    Missing(String),
}

impl Law {
    pub fn new(configured: Arc<Pack>, regions: Vec<String>) -> Self {
        let hash = configured.version().sha256.clone();
        let state = State {
            held: BTreeMap::from([(hash, Arc::clone(&configured))]),
            latest: Arc::clone(&configured),
            settled: HashSet::new(),
        };
        Self {
            configured,
            regions,
            state: Mutex::new(state),
        }
    }

    /// The pack that the configuration names.
    pub fn configured(&self) -> &Arc<Pack> {
        &self.configured
    }

    /// The pack by which this node judged last: for reading numbers, never for a verdict.
    pub fn latest(&self) -> Arc<Pack> {
        Arc::clone(&self.state().latest)
    }

    /// Whether this node has said what its configuration brings.
    pub fn is_settled(&self, tenant: &TenantId) -> bool {
        self.state().settled.contains(tenant)
    }

    /// What this transaction judges by; the lock is held until it ends.
    pub async fn look(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        at: Micros,
    ) -> Result<Look, StoreError> {
        if !self.is_settled(tenant) {
            return Ok(Look::Unsettled);
        }
        tx.share_policy(tenant).await?;
        let Some(policy) = tx.policy_in_force(tenant, at).await? else {
            return Err(StoreError::Damaged {
                what: "activations",
            });
        };
        let mut state = self.state();
        let Some(pack) = state.held.get(&policy.sha256).cloned() else {
            return Ok(Look::Missing(policy.sha256));
        };
        state.latest = Arc::clone(&pack);
        drop(state);
        let mut stops = policy.stops;
        stops.extend(self.regions.iter().cloned());
        Ok(Look::Ready(InForce { pack, stops }))
    }

    /// Does what a look found missing, in transactions of its own.
    pub async fn prepare(
        &self,
        store: &Store,
        tenant: &TenantId,
        look: Look,
        at: Micros,
    ) -> Result<(), GateError> {
        match look {
            Look::Ready(_) => Ok(()),
            Look::Unsettled => self.settle(store, tenant, at).await,
            Look::Missing(sha256) => self.pack(store, tenant, &sha256).await.map(drop),
        }
    }

    /// The pack of this hash: held, or loaded from the store.
    pub async fn pack(
        &self,
        store: &Store,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Arc<Pack>, GateError> {
        if let Some(pack) = self.state().held.get(sha256) {
            return Ok(Arc::clone(pack));
        }
        let files = kept_files(store, tenant, sha256).await?;
        self.load(files, sha256).await
    }

    /// The pack of this hash as the store keeps it now. One that is held counts only if the files are still those it was
    /// made of: who makes old decisions again wants to know.
    pub async fn pack_as_kept(
        &self,
        store: &Store,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Arc<Pack>, GateError> {
        let files = kept_files(store, tenant, sha256).await?;
        let held = self.state().held.get(sha256).cloned();
        match held.filter(|held| *held.files() == files) {
            Some(held) => Ok(held),
            None => self.load(files, sha256).await,
        }
    }

    async fn load(&self, files: PackFiles, sha256: &str) -> Result<Arc<Pack>, GateError> {
        let unusable = |problem: &dyn std::fmt::Display| {
            tracing::error!(pack.sha256 = sha256, %problem, "a stored rule pack cannot be used by this node");
            GateError::PackUnusable {
                sha256: sha256.to_owned(),
            }
        };
        let pack = build(files).await?;
        let pack = pack.map_err(|problems| unusable(&problems))?;
        if pack.version().sha256 != sha256 {
            return Err(unusable(
                &"its files have another hash: they were changed in the database",
            ));
        }
        Ok(self.hold(pack))
    }

    /// Holds a pack, so that nobody has to load it.
    pub fn hold(&self, pack: Pack) -> Arc<Pack> {
        let pack = Arc::new(pack);
        let mut state = self.state();
        if state.held.len() >= HELD_MAX {
            let kept = [
                self.configured.version().sha256.clone(),
                state.latest.version().sha256.clone(),
            ];
            state.held.retain(|hash, _| kept.contains(hash));
        }
        let hash = pack.version().sha256.clone();
        state.held.insert(hash, Arc::clone(&pack));
        pack
    }

    /// This law with the operator's layer.
    pub async fn compose(
        base: &PackFiles,
        layer: &OperatorLayer,
    ) -> Result<Result<Pack, PackProblems>, GateError> {
        build(base.clone().with_operator(layer.file())).await
    }

    /// Settles what the configuration of this node brings. The first node activates its pack. A later one that brings a
    /// pack which was never in force by configuration activates it, unless somebody activated another by name; one that
    /// brings a pack which was superseded does not take the law back.
    async fn settle(&self, store: &Store, tenant: &TenantId, at: Micros) -> Result<(), GateError> {
        let base = self.configured.base_sha256();
        for _ in 0..ATTEMPTS {
            let mut tx = store.read().await?;
            let latest = tx.latest_activation(tenant).await?;
            let was_in_force = tx.was_configured(tenant, &base).await?;
            drop(tx);
            // Made before anything is locked: a pack takes a while.
            let pack = match &latest {
                None => Some(Arc::clone(&self.configured)),
                Some(latest) if latest.base_sha256 == base => None,
                Some(latest) if latest.origin == PackOrigin::Uploaded || was_in_force => {
                    tracing::warn!(
                        pack.configured = %self.configured.version().sha256, pack.active = %latest.sha256,
                        activated.by = %latest.actor,
                        "the rule pack of this node's configuration is not the active one, which stays in force; \
                         `dialgate policy activate --configured` changes that"
                    );
                    None
                }
                Some(latest) => Some(self.succeed(store, tenant, latest).await?),
            };
            let done = match pack {
                None => true,
                Some(pack) => {
                    self.bring(store, tenant, latest.as_ref(), &pack, at)
                        .await?
                }
            };
            if done {
                self.state().settled.insert(tenant.clone());
                return Ok(());
            }
        }
        Err(GateError::Busy {
            retry_after: Duration::from_millis(500),
        })
    }

    /// Activates what the configuration brings, if nobody activated anything meanwhile.
    async fn bring(
        &self,
        store: &Store,
        tenant: &TenantId,
        latest: Option<&Activation>,
        pack: &Pack,
        at: Micros,
    ) -> Result<bool, GateError> {
        let mut tx = store.write(Urgency::Ordinary).await?;
        match tx.own_policy(tenant).await {
            Err(StoreError::LockTimeout) => return Ok(false),
            owned => owned?,
        }
        let now = tx.latest_activation(tenant).await?;
        if now.map(|now| now.epoch) != latest.map(|latest| latest.epoch) {
            return Ok(false);
        }
        let since = latest.map_or(at, |latest| latest.followed_by(at));
        let activation = Activation {
            activation_id: ActivationId::new(since),
            epoch: latest.map_or(1, |latest| latest.epoch + 1),
            sha256: pack.version().sha256.clone(),
            base_sha256: pack.base_sha256(),
            version: pack.version().version.clone(),
            origin: PackOrigin::Configured,
            reason: match latest {
                None => "first start".to_owned(),
                Some(_) => "a node started with another rule pack".to_owned(),
            },
            actor: SYSTEM.to_owned(),
            at: since,
        };
        keep(&mut tx, tenant, pack, SYSTEM, at).await?;
        tx.insert_activation(tenant, &activation).await?;
        let payload = json!({
            "activation_id": activation.activation_id, "epoch": activation.epoch,
            "before": latest.map(|latest| &latest.sha256), "after": activation.sha256,
            "version": activation.version, "origin": activation.origin, "change": activation.reason,
        });
        let entry = AuditEntry {
            entry_id: AuditEntryId::new(at),
            kind: "policy.activated".to_owned(),
            actor: SYSTEM.to_owned(),
            subject_key: None,
            payload,
            at,
        };
        tx.insert_audit(tenant, &[entry]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The configured pack with the operator's layer of the one before it. A rule that can no longer be switched off
    /// decides again; closed days stay closed.
    async fn succeed(
        &self,
        store: &Store,
        tenant: &TenantId,
        before: &Activation,
    ) -> Result<Arc<Pack>, GateError> {
        let mut tx = store.read().await?;
        let files = PackFiles::of(tx.pack_files(tenant, &before.sha256).await?);
        drop(tx);
        let mut layer = layer_of(&files)?;
        layer.disabled_rules.retain(|row| {
            let problems = self.configured.disabled_rule_problems(row);
            if let Some((_, problem)) = problems.first() {
                tracing::warn!(rule = %row.id, problem, "a disabled rule decides again under the new rule pack");
            }
            problems.is_empty()
        });
        let composed = Self::compose(self.configured.files(), &layer).await?;
        let pack = composed.map_err(GateError::PackRefused)?;
        Ok(self.hold(pack))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn kept_files(
    store: &Store,
    tenant: &TenantId,
    sha256: &str,
) -> Result<PackFiles, GateError> {
    let files = store.read().await?.pack_files(tenant, sha256).await?;
    match files.is_empty() {
        true => Err(GateError::NotFound { what: "pack" }),
        false => Ok(PackFiles::of(files)),
    }
}

/// The operator's layer of these files.
pub(super) fn layer_of(files: &PackFiles) -> Result<OperatorLayer, GateError> {
    let layer = OperatorLayer::parse(files.operator());
    Ok(layer.map_err(|_| StoreError::Damaged {
        what: "operator's layer of a rule pack",
    })?)
}

/// Keeps a pack in the store.
pub(super) async fn keep(
    tx: &mut Tx,
    tenant: &TenantId,
    pack: &Pack,
    actor: &str,
    at: Micros,
) -> Result<(), StoreError> {
    let files: Vec<(&str, &str)> = pack.files().iter().collect();
    let new = NewPack {
        sha256: &pack.version().sha256,
        version: &pack.version().version,
        files: &files,
        actor,
    };
    tx.insert_pack(tenant, new, at).await
}

/// Builds a pack where it holds nobody up.
pub(super) async fn build(files: PackFiles) -> Result<Result<Pack, PackProblems>, GateError> {
    let built = tokio::task::spawn_blocking(move || Pack::of(files)).await;
    built.map_err(|_| StoreError::Other("the loading of a rule pack ended early".to_owned()).into())
}
