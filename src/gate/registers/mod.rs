//! The registers of this node: what the snapshot in force of each says of a number. The store says which one is in force;
//! [`follow`] brings its file here, [`import`] makes and checks another one.
//!
//! A register without a snapshot, or whose snapshot this node cannot read, is not asked, and what is not asked is not clear.

mod age;
mod build;
mod config;
mod follow;
mod import;
mod listing;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::party::RegisterCheck;
use crate::domain::phone::Phone;
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Mono;
use crate::policy::facts::Facts;
use crate::registry::{Change, Diff, Loaded, Registers, Snapshot};
use crate::store::{FactsWanted, StoreError};

use super::error::GateError;

pub use config::RegistryConfig;
pub use import::{
    NewRegister, RegisterContent, RegisterImport, RegisterLines, RegisterRefusal, RegisterReject,
};
pub use listing::{RegisterDiff, RegisterStatus};

/// The snapshots that this node holds.
pub(super) struct Shelf {
    registers: Registers,
    config: RegistryConfig,
    /// What the store said when it was last looked at, with what the operator was told of each.
    known: Mutex<Vec<Known>>,
    /// Snapshots that this node could not use, by their hash, and when it tried.
    failed: Mutex<BTreeMap<String, Mono>>,
}

/// A snapshot in force as the store knows it.
struct Known {
    snapshot: RegisterSnapshot,
    told: age::Told,
}

impl Shelf {
    pub fn new(config: RegistryConfig) -> Self {
        Self {
            registers: Registers::default(),
            config,
            known: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Adds to the facts of these questions what the registers say of their numbers.
    pub fn add_checks(&self, wanted: &[FactsWanted], facts: &mut [Facts]) {
        let registers = self.load();
        for (facts, wanted) in facts.iter_mut().zip(wanted) {
            facts.registers.extend(checks(&registers, wanted.number));
        }
    }

    /// What is in force now, for one batch.
    fn load(&self) -> Arc<Loaded> {
        self.registers.load()
    }

    /// The snapshot of a register, if this node holds just this one.
    fn holds(&self, wanted: &RegisterSnapshot) -> Option<Arc<Snapshot>> {
        let held = self.registers.load().get(&wanted.register).cloned();
        held.filter(|held| held.header().sha256 == wanted.sha256)
    }

    /// Where the file of a snapshot is, or will be.
    fn path(&self, sha256: &str) -> PathBuf {
        self.config.folder.join(format!("{sha256}.{FILE_ENDING}"))
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<String, Mono>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a snapshot's file name ends with.
const FILE_ENDING: &str = "register";

/// What these snapshots say of a number. One that does not cover it says nothing, so that what somebody else was told of the
/// number stands.
fn checks(loaded: &Loaded, number: Phone) -> impl Iterator<Item = RegisterCheck> {
    loaded.iter().filter_map(move |(register, snapshot)| {
        let listed = snapshot.look_up(number)?;
        let header = snapshot.header();
        Some(RegisterCheck {
            register: register.clone(),
            listed: Some(listed),
            as_of: header.as_of,
            listed_since: None,
            snapshot: Some(RegisterSnapshot::name_of(&header.sha256).to_owned()),
        })
    })
}

/// How two snapshots differ, found out where that holds nobody up.
async fn differences(
    before: Arc<Snapshot>,
    after: Arc<Snapshot>,
    each: impl FnMut(Change, Phone) + Send + 'static,
) -> Result<Diff, GateError> {
    let compared = tokio::task::spawn_blocking(move || before.compare(&after, each));
    compared.await.map_err(ended_early)
}

fn ended_early(_: tokio::task::JoinError) -> GateError {
    StoreError::Other("a task over a register's snapshot ended early".to_owned()).into()
}

/// The folder of the snapshots cannot be worked in.
fn unusable(doing: &str, path: &Path, error: &io::Error) -> GateError {
    StoreError::Other(format!("cannot {doing} `{}`: {error}", path.display())).into()
}
