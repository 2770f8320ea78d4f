//! What is told of registers: how old the list of each is, and how two snapshots of one differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{differences, follow};
use crate::domain::ids::{SnapshotId, TenantId};
use crate::domain::phone::Phone;
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Micros;
use crate::gate::Gate;
use crate::gate::error::GateError;
use crate::gate::registers::RegisterRefusal;
use crate::policy::Pack;
use crate::registry::{Change, Diff, Snapshot};

/// First digits by which changes are counted: country code and area code of the numbers that are most.
const PREFIX_DIGITS: usize = 4;
/// Beginnings that are told.
const PREFIXES_SHOWN: usize = 100;
/// Snapshots of a register that are looked through for the latest two.
const LATEST: i64 = 2;

/// A register, and how old what is loaded of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterStatus {
    /// Its id in the rule pack.
    pub register: String,
    /// Its name; empty if the rules do not know it.
    pub name: String,
    /// Whose it is; empty if the rules do not know it.
    pub jurisdiction: String,
    /// The snapshot in force.
    pub snapshot: Option<RegisterSnapshot>,
    /// Its age in days.
    pub age_days: Option<i64>,
    /// The largest age that all rules which ask it take.
    pub max_age_days: Option<i64>,
    /// Whether rules deny for its age, or for want of it.
    pub stale: bool,
    /// Whether this node holds the snapshot in force.
    pub loaded: bool,
}

/// How two snapshots of one register differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterDiff {
    /// The older one.
    pub before: RegisterSnapshot,
    /// The newer one.
    pub after: RegisterSnapshot,
    /// All of it.
    pub all: Diff,
    /// By the first digits, those with most changes first: beginning, added, removed.
    pub prefixes: Vec<(String, u64, u64)>,
}

impl Gate {
    /// The registers that the rules in force know, and those that have a snapshot.
    pub async fn registers(
        &self,
        tenant: &TenantId,
        now: Micros,
    ) -> Result<Vec<RegisterStatus>, GateError> {
        let (_, pack) = self.policy_now(tenant).await?;
        let in_force = self
            .store()
            .read()
            .await?
            .registers_in_force(tenant)
            .await?;
        let mut snapshots: BTreeMap<String, RegisterSnapshot> = in_force
            .into_iter()
            .map(|snapshot| (snapshot.register.clone(), snapshot))
            .collect();
        let known = pack.registers().map(str::to_owned);
        let all: BTreeSet<String> = known.chain(snapshots.keys().cloned()).collect();
        let status = |register: String| {
            let snapshot = snapshots.remove(&register);
            self.status(&pack, register, snapshot, now)
        };
        Ok(all.into_iter().map(status).collect())
    }

    fn status(
        &self,
        pack: &Pack,
        register: String,
        snapshot: Option<RegisterSnapshot>,
        now: Micros,
    ) -> RegisterStatus {
        let today = now.utc_date();
        let declared = pack.register(&register);
        let stale = snapshot.as_ref().is_none_or(|snapshot| {
            let why = pack.register_staleness(&register, snapshot.as_of, today);
            why.is_some()
        });
        RegisterStatus {
            name: declared.map(|row| row.name.clone()).unwrap_or_default(),
            jurisdiction: declared
                .map(|row| row.jurisdiction.clone())
                .unwrap_or_default(),
            age_days: (snapshot.as_ref()).map(|each| (today - each.as_of).get_days().into()),
            max_age_days: pack.register_age_max(&register),
            stale,
            loaded: (snapshot.as_ref()).is_some_and(|each| self.core.shelf.holds(each).is_some()),
            register,
            snapshot,
        }
    }

    /// How two snapshots differ; absent = the one in force, and the one before it.
    pub async fn diff_register(
        &self,
        tenant: &TenantId,
        register: &str,
        before: Option<SnapshotId>,
        after: Option<SnapshotId>,
    ) -> Result<RegisterDiff, GateError> {
        let missing = |why| GateError::from(RegisterRefusal::NoSnapshot(why));
        let is_known = self
            .policy_now(tenant)
            .await?
            .1
            .register(register)
            .is_some();
        let mut tx = self.store().read().await?;
        let latest = tx
            .latest_register_snapshots(tenant, register, LATEST)
            .await?;
        let mut latest = latest.into_iter();
        let (newest, next) = (latest.next(), latest.next());
        if newest.is_none() && !is_known {
            return Err(GateError::NotFound { what: "register" });
        }
        // None: nothing was loaded; true: nothing before the newest, and nothing else was asked for.
        let is_one = newest.as_ref().map(|_| next.is_none() && before.is_none());
        let before = match before {
            None => next,
            Some(id) => tx.register_snapshot(tenant, id).await?,
        };
        let after = match after {
            None => newest,
            Some(id) => tx.register_snapshot(tenant, id).await?,
        };
        drop(tx);
        let (before, after) = match (before, after, is_one) {
            (_, _, None) => return Err(missing("no list of this register was loaded yet")),
            (Some(before), Some(after), _) => (before, after),
            (None, Some(_), Some(true)) => {
                return Err(missing(
                    "the list in force is the first one of this register: there is none before it to compare with",
                ));
            }
            _ => {
                return Err(missing(
                    "there is no snapshot of this id; `registry list --history REGISTER` shows them",
                ));
            }
        };
        if before.register != register || after.register != register {
            return Err(missing(
                "the snapshot is one of another register; `registry list --history REGISTER` shows those of one",
            ));
        }
        let open = async |snapshot: &RegisterSnapshot| {
            let opened = follow::opened(&self.core, tenant, snapshot).await?;
            opened.map_err(|_| {
                missing(
                    "the file of one of the two is not kept any more: those of the latest two snapshots are, and those of the last day",
                )
            })
        };
        let (older, newer) = (open(&before).await?, open(&after).await?);
        let (all, prefixes) = by_prefix(older, newer).await?;
        Ok(RegisterDiff {
            before,
            after,
            all,
            prefixes,
        })
    }
}

type Counts = BTreeMap<String, (u64, u64)>;

async fn by_prefix(
    older: Arc<Snapshot>,
    newer: Arc<Snapshot>,
) -> Result<(Diff, Vec<(String, u64, u64)>), GateError> {
    let counts = Arc::new(Mutex::new(Counts::new()));
    let counted = Arc::clone(&counts);
    let count = move |change: Change, number: Phone| {
        let digits = number.reveal();
        let prefix: String = digits.chars().skip(1).take(PREFIX_DIGITS).collect();
        let mut counts = counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prefix).or_default();
        match change {
            Change::Added => count.0 += 1,
            Change::Removed => count.1 += 1,
        }
    };
    let all = differences(older, newer, count).await?;
    let counts = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    let mut prefixes: Vec<(String, u64, u64)> = counts
        .into_iter()
        .map(|(prefix, (added, removed))| (prefix, added, removed))
        .collect();
    prefixes.sort_by_key(|(_, added, removed)| std::cmp::Reverse(added + removed));
    prefixes.truncate(PREFIXES_SHOWN);
    Ok((all, prefixes))
}
