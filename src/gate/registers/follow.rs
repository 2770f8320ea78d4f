//! Keeps this node at what the store says is in force: brings the file of a new snapshot here, opens it, swaps it in, and
//! clears away files that nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::age::{self, Told};
use super::{FILE_ENDING, Known, Shelf, ended_early, unusable};
use crate::domain::ids::TenantId;
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Mono;
use crate::gate::error::GateError;
use crate::gate::{Core, Gate};
use crate::registry::{RegistryError, Snapshot};
use crate::store::{Notice, Store, Urgency};

/// How often the store is looked at without a notice.
const LOOK: Duration = Duration::from_secs(2);

/// Files and pieces that nobody needs are kept so long: somebody may be loading them.
const KEPT: Duration = Duration::from_hours(24);

/// Pieces that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 8;

/// A snapshot that could not be used is tried again after this time: somebody may have put its file right.
const TRY_AGAIN: Duration = Duration::from_secs(60);

impl Gate {
    /// Brings this node to the registers in force; to be called before it serves.
    pub async fn look_at_registers(&self) -> Result<(), GateError> {
        look(&self.core, &TenantId::default()).await
    }

    /// Goes on doing so until the gate is dropped.
    pub fn follow_registers(&self) {
        let notices = self.store().notices();
        tokio::spawn(follow(Arc::downgrade(&self.core), notices));
    }
}

/// Not vital: while the store cannot be read nothing is judged, and what grows old meanwhile denies by its date.
async fn follow(core: Weak<Core>, mut notices: Receiver<Notice>) {
    loop {
        woken(&mut notices).await;
        let Some(core) = core.upgrade() else { return };
        let tenant = TenantId::default();
        if let Err(error) = look(&core, &tenant).await {
            tracing::debug!(%error, "the registers in force could not be read; they are looked at again");
        }
    }
}

/// Waits for the next look: its time, or a notice.
async fn woken(notices: &mut Receiver<Notice>) {
    let noticed = async {
        loop {
            match notices.recv().await {
                Ok(Notice::RegisterChanged) | Err(RecvError::Lagged(_)) => return,
                Ok(_) => {}
                // No notices any more: the time decides.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    // Either ends the wait.
    let _ = tokio::time::timeout(LOOK, noticed).await;
}

/// One look: what changed is brought here and put in force.
async fn look(core: &Core, tenant: &TenantId) -> Result<(), GateError> {
    let in_force = core.store.read().await?.registers_in_force(tenant).await?;
    let now = (core.read)();
    let mut changed = false;
    for wanted in &in_force {
        if core.shelf.holds(wanted).is_none() && core.shelf.is_worth_trying(wanted, now.mono) {
            changed = true;
            bring(core, tenant, wanted, now.mono).await?;
        }
    }
    core.shelf.know(in_force);
    age::tell(&core.shelf, &core.law.latest(), now.wall);
    if changed {
        clear_away(core, tenant).await?;
    }
    Ok(())
}

/// Opens the file of a snapshot, from the store if it is not here, and puts it in force. One that cannot be read takes the
/// one before out of force: that is not what the register says any more.
async fn bring(
    core: &Core,
    tenant: &TenantId,
    wanted: &RegisterSnapshot,
    now: Mono,
) -> Result<(), GateError> {
    match opened(core, tenant, wanted).await? {
        Ok(snapshot) => {
            tracing::info!(
                register = %wanted.register, register.as_of = %wanted.as_of, register.numbers = wanted.numbers,
                register.sha256 = %wanted.sha256, "a register's snapshot is in force on this node"
            );
            core.shelf.put(&wanted.register, Some(snapshot));
        }
        Err(error) => {
            core.shelf.put(&wanted.register, None);
            core.shelf.could_not(wanted, now);
            tracing::error!(
                register = %wanted.register, register.sha256 = %wanted.sha256, %error,
                "a register's snapshot cannot be used by this node: it does not know what the register says, and the \
                 rules deny; load the list again with `dialgate registry import`"
            );
        }
    }
    Ok(())
}

/// A snapshot: held, or of the file that is here, or of the store's pieces. The inner error is the file's.
pub(super) async fn opened(
    core: &Core,
    tenant: &TenantId,
    wanted: &RegisterSnapshot,
) -> Result<Result<Arc<Snapshot>, RegistryError>, GateError> {
    if let Some(held) = core.shelf.holds(wanted) {
        return Ok(Ok(held));
    }
    let path = core.shelf.path(&wanted.sha256);
    let here = open(path.clone(), &wanted.sha256).await?;
    if here.is_ok() {
        return Ok(here);
    }
    fetch(&core.store, tenant, wanted, &path).await?;
    open(path, &wanted.sha256).await
}

/// Opens a file where that holds nobody up, and sees that it is the one that is wanted.
async fn open(
    path: PathBuf,
    sha256: &str,
) -> Result<Result<Arc<Snapshot>, RegistryError>, GateError> {
    let sha256 = sha256.to_owned();
    let open = move || {
        let snapshot = Snapshot::open(&path)?;
        if snapshot.header().sha256 != sha256 {
            return Err(RegistryError::Damaged {
                path,
                what: "it is another snapshot than its name says",
            });
        }
        Ok(Arc::new(snapshot))
    };
    tokio::task::spawn_blocking(open).await.map_err(ended_early)
}

/// Puts the pieces of a snapshot together, beside its place; whoever opens it sees whether it is whole.
async fn fetch(
    store: &Store,
    tenant: &TenantId,
    wanted: &RegisterSnapshot,
    path: &Path,
) -> Result<(), GateError> {
    let unwritten = |error: io::Error| unusable("write", path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(unwritten)?;
    let part = tempfile::Builder::new()
        .prefix(".fetched-")
        .tempfile_in(folder)
        .map_err(unwritten)?;
    let (file, part) = part.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut position = 0;
    loop {
        // A transaction a piece: nobody keeps the database from clearing up for as long as the whole takes.
        let mut tx = store.read().await?;
        let Some(piece) = tx.register_piece(tenant, &wanted.sha256, position).await? else {
            break;
        };
        drop(tx);
        file.write_all(&piece).await.map_err(unwritten)?;
        position += 1;
    }
    file.sync_all().await.map_err(unwritten)?;
    part.persist(path).map_err(|error| unwritten(error.error))
}

/// The folder for snapshots, for its owner alone.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Removes pieces and files that are of no snapshot in force nor of one before it, a day after they were made.
async fn clear_away(core: &Core, tenant: &TenantId) -> Result<(), GateError> {
    let before = (core.read)().wall.minus(KEPT);
    loop {
        let mut tx = core.store.write(Urgency::Ordinary).await?;
        let forgotten = tx
            .forget_register_pieces(tenant, before, FORGOTTEN_AT_ONCE)
            .await?;
        tx.commit().await?;
        if forgotten == 0 {
            break;
        }
    }
    let mut kept = BTreeSet::new();
    for known in core.shelf.registers() {
        let mut tx = core.store.read().await?;
        let latest = tx.latest_register_snapshots(tenant, &known, 2).await?;
        kept.extend(latest.into_iter().map(|each| core.shelf.path(&each.sha256)));
    }
    let folder = core.shelf.config.folder.clone();
    let cleared = tokio::task::spawn_blocking(move || remove_old(&folder, &kept)).await;
    if let Ok(Err(error)) = cleared {
        tracing::warn!(%error, "old snapshots of registers could not be removed");
    }
    Ok(())
}

/// By the file system's own clock, for these are its times.
fn remove_old(folder: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_snapshot = path.extension().is_some_and(|ending| ending == FILE_ENDING);
        let made = std::fs::metadata(&path)?.modified()?;
        let is_old = made.elapsed().is_ok_and(|age: Duration| age > KEPT);
        if is_snapshot && is_old && !kept.contains(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Shelf {
    /// Puts a snapshot in force here, or takes it out; whether there was one before.
    pub(super) fn put(&self, register: &str, snapshot: Option<Arc<Snapshot>>) -> bool {
        let before = self.registers.replace(register, snapshot);
        let held = before.is_some();
        // Unmapping a large file takes milliseconds, which no batch should wait for.
        if held {
            tokio::task::spawn_blocking(move || drop(before));
        }
        held
    }

    fn know(&self, in_force: Vec<RegisterSnapshot>) {
        let mut known = self.known();
        let told: BTreeMap<String, Told> = known
            .drain(..)
            .map(|each| (each.snapshot.sha256, each.told))
            .collect();
        known.extend(in_force.into_iter().map(|snapshot| Known {
            told: told.get(&snapshot.sha256).copied().unwrap_or_default(),
            snapshot,
        }));
    }

    /// The registers that have a snapshot.
    fn registers(&self) -> Vec<String> {
        let known = self.known();
        let names = known.iter().map(|each| each.snapshot.register.clone());
        names.collect()
    }

    fn is_worth_trying(&self, wanted: &RegisterSnapshot, now: Mono) -> bool {
        let failed = self.failed().get(&wanted.sha256).copied();
        failed.is_none_or(|at| now.since(at) >= TRY_AGAIN)
    }

    fn could_not(&self, wanted: &RegisterSnapshot, now: Mono) {
        self.failed().insert(wanted.sha256.clone(), now);
    }
}
