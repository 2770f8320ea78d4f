//! Loads another snapshot of a register: makes it beside the one in force, checks everything about it, keeps its file in the
//! store, and only then puts it in force, in one transaction.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::build::{self, Built};
use super::{Shelf, differences, follow, unusable};
use crate::domain::ids::{SnapshotId, TenantId};
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::{Ask, Gate};
use crate::registry::{Covers, Diff, Snapshot};
use crate::store::{Notice, StoreError, Urgency};

/// Bytes of a piece of a snapshot's file in the store: one is written in a few milliseconds, in which nothing else is on
/// SQLite.
const PIECE_BYTES: usize = 256 * 1024;

/// A snapshot as an administrator brings it.
#[derive(Debug, Clone)]
pub struct NewRegister {
    /// The register's id in the rule pack.
    pub register: String,
    /// Date of the list's version.
    pub as_of: jiff::civil::Date,
    /// SHA-256 of the content.
    pub content_sha256: [u8; 32],
    /// What the content is.
    pub content: RegisterContent,
    /// Take it though it lost more numbers than may be.
    pub accept_shrunk: bool,
    /// Take it though the one in force is newer.
    pub accept_older: bool,
    /// Take it though more of its lines are no number than may be.
    pub accept_rejected: bool,
    /// Check everything, and put nothing in force.
    pub validate_only: bool,
}

/// What the content of an import is.
#[derive(Debug, Clone)]
pub enum RegisterContent {
    /// The whole list, as its owner ships it.
    List(RegisterLines),
    /// What was added to the snapshot in force, and what was deleted from it.
    Changes(RegisterLines),
    /// A snapshot's file, with what its maker counted.
    Snapshot {
        /// Lines that were read.
        rows_read: u64,
        /// Lines among them that were no number.
        rows_rejected: u64,
    },
}

/// How the lines of a list are read.
#[derive(Debug, Clone)]
pub struct RegisterLines {
    /// What the list is complete for; absent = by the list itself, or as before.
    pub covers: Option<Covers>,
    /// ISO country of numbers that do not say theirs; absent = the register's.
    pub default_country: Option<String>,
    /// The column of the number, by name or by place from 1; absent = by the form of the lines.
    pub column: Option<String>,
}

/// Why a list was not taken. Nothing is changed by any of them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterRefusal {
    /// Not what was announced.
    #[error("the content that arrived has another hash; send it again")]
    ContentMismatch,
    /// Not a list, or not a snapshot.
    #[error("{0}")]
    Unreadable(String),
    /// It lost too many numbers.
    #[error(
        "the list has {numbers} numbers and had {before}: it lost more than the {percent} % that [registry] \
         shrink_max_percent allows; if that is right, import it with accept_shrunk (`--yes-it-shrank`)"
    )]
    Shrank {
        /// Numbers now.
        numbers: i64,
        /// Numbers before.
        before: i64,
        /// What may be lost.
        percent: u8,
    },
    /// Too many of its lines are no number.
    #[error(
        "{rejected} of the {lines} lines are no number, more than the {percent} % that [registry] reject_max_percent allows, and \
         who stands on one of them would count as not listed; what was in force stays. See which lines they are (`--rejects FILE`); \
         if none of them is a number, import the list with accept_rejected (`--yes-leave-them-out`)"
    )]
    Rejected {
        /// Lines that were read.
        lines: i64,
        /// Lines among them that were no number.
        rejected: i64,
        /// What may be rejected.
        percent: u8,
    },
    /// The one in force is newer.
    #[error(
        "the snapshot in force is of {in_force}, which is later; if the older one is right, import it with \
         accept_older (`--yes-it-is-older`)"
    )]
    Older {
        /// Date of the one in force.
        in_force: jiff::civil::Date,
    },
    /// Changes to nothing.
    #[error(
        "there is no snapshot of this register yet that changes could be made to; import the full list first"
    )]
    Empty,
    /// Nothing of it is a number: in force it would say of everybody that they are not listed.
    #[error(
        "the list has no number at all, {rejected} of its {lines} lines were rejected; what was in force stays. Check which file it is, \
         and how it is written"
    )]
    NoNumbers {
        /// Lines that were read.
        lines: u64,
        /// Lines among them that were no number.
        rejected: u64,
    },
    /// Changes of which none could be read: with their date the list in force would seem newer than it is.
    #[error(
        "not one of the {lines} lines says a change, {rejected} were rejected, the first one in line {line}: {problem}; what was in force \
         stays. A line of changes is `404,5550199,A` or `4045550199,D`"
    )]
    NoChanges {
        /// Lines that were read.
        lines: u64,
        /// Lines among them that were no change.
        rejected: u64,
        /// The first of them.
        line: u64,
        /// What is wrong with that.
        problem: String,
    },
    /// Nothing to compare, or to compare with.
    #[error("{0}")]
    NoSnapshot(&'static str),
}

impl RegisterRefusal {
    /// The reason as a program knows it, and what of the request it is about.
    #[must_use]
    pub fn reason(&self) -> (&'static str, &'static str) {
        match self {
            Self::ContentMismatch => ("CONTENT_MISMATCH", "header.content_sha256"),
            Self::Unreadable(_) => ("LIST_UNREADABLE", "content"),
            Self::Shrank { .. } => ("LIST_SHRANK", "header.accept_shrunk"),
            Self::Rejected { .. } => ("LIST_REJECTED", "header.accept_rejected"),
            Self::Older { .. } => ("LIST_OLDER", "header.as_of_date"),
            Self::Empty => ("REGISTER_EMPTY", "header.form"),
            Self::NoNumbers { .. } => ("LIST_WITHOUT_NUMBERS", "content"),
            Self::NoChanges { .. } => ("LIST_WITHOUT_CHANGES", "content"),
            Self::NoSnapshot(_) => ("REGISTER_SNAPSHOT_NOT_FOUND", "register"),
        }
    }
}

/// A line that is no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterReject {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What an import came to.
#[derive(Debug, Clone)]
pub struct RegisterImport {
    /// The snapshot; or as it would be.
    pub snapshot: RegisterSnapshot,
    /// The one that was in force.
    pub before: Option<RegisterSnapshot>,
    /// Numbers that the one before has not, and numbers that only the one before has, if that can be read.
    pub diff: Option<Diff>,
    /// The first lines that are no numbers.
    pub rejects: Vec<RegisterReject>,
}

/// The snapshot in force, if there is one, and its numbers, if this node can read them.
pub(super) type InForce = Option<(RegisterSnapshot, Option<Arc<Snapshot>>)>;

impl Gate {
    /// Loads a snapshot. Once this answers it is in force on this node, and on every other one within seconds.
    pub async fn import_register(
        &self,
        ask: &Ask,
        new: NewRegister,
        content: mpsc::Receiver<Vec<u8>>,
    ) -> Result<RegisterImport, GateError> {
        if let Some(done) = self.imported_before(ask).await? {
            return Ok(done);
        }
        let country = self.may_be_imported(&new, ask.at)?;
        let tenant = &ask.principal.tenant;
        let before = self.in_force_of(tenant, &new.register).await?;
        let folder = self.core.shelf.config.folder.clone();
        let country = (country, Arc::clone(self.pack().tables()));
        let built = build::build(folder, &new, country, before.clone(), content).await?;
        let import = compare(ask, &new, &built, before).await?;
        if let Some(before) = import.unchanged() {
            return Ok(before);
        }
        self.core.shelf.may_replace(&new, &import)?;
        if new.validate_only {
            return Ok(import);
        }
        self.keep(tenant, &import.snapshot, &built.path, ask.at)
            .await?;
        self.put_in_force(ask, &new, import, built).await
    }

    /// What the same request came to before.
    async fn imported_before(&self, ask: &Ask) -> Result<Option<RegisterImport>, GateError> {
        let Some((mut tx, stored)) = self.asked_before(ask).await? else {
            return Ok(None);
        };
        let id: SnapshotId = crate::gate::records::made(&stored)?;
        let snapshot = tx.register_snapshot(&ask.principal.tenant, id).await?;
        let snapshot = snapshot.ok_or(StoreError::Damaged { what: "request" })?;
        Ok(Some(RegisterImport {
            snapshot,
            before: None,
            diff: None,
            rejects: Vec::new(),
        }))
    }

    /// The country of the register, if it is one that the rules know and the date is one that a list can have.
    fn may_be_imported(&self, new: &NewRegister, now: Micros) -> Result<String, GateError> {
        let pack = self.pack();
        let declared = pack.register(&new.register);
        let declared = declared.ok_or(GateError::NotFound { what: "register" })?;
        // The day may have begun already where the list comes from.
        if new.as_of > now.utc_date().saturating_add(jiff::Span::new().days(1)) {
            let problem =
                "lies in the future; give the date of the list's version, as its owner says";
            return Err(GateError::invalid("as_of_date", problem));
        }
        let country = declared.jurisdiction.split('-').next();
        Ok(country.unwrap_or_default().to_owned())
    }

    /// The snapshot in force and its numbers. That they cannot be read must not keep a new list out.
    pub(super) async fn in_force_of(
        &self,
        tenant: &TenantId,
        register: &str,
    ) -> Result<InForce, GateError> {
        let mut tx = self.store().read().await?;
        let latest = tx.latest_register_snapshots(tenant, register, 1).await?;
        drop(tx);
        match latest.into_iter().next() {
            None => Ok(None),
            Some(latest) => {
                let opened = follow::opened(&self.core, tenant, &latest).await?;
                Ok(Some((latest, opened.ok())))
            }
        }
    }

    /// Keeps the file in the store, for other nodes, and in its place here.
    async fn keep(
        &self,
        tenant: &TenantId,
        snapshot: &RegisterSnapshot,
        path: &Path,
        at: Micros,
    ) -> Result<(), GateError> {
        let unread = |error| unusable("read", path, &error);
        let mut file = tokio::fs::File::open(path).await.map_err(unread)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        for position in 0.. {
            piece.clear();
            let mut part = (&mut file).take(PIECE_BYTES as u64);
            part.read_to_end(&mut piece).await.map_err(unread)?;
            if piece.is_empty() {
                break;
            }
            // A transaction a piece, so that opt-outs and claims write in between.
            let mut tx = self.store().write(Urgency::Ordinary).await?;
            tx.insert_register_piece(tenant, &snapshot.sha256, (position, &piece), at)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn put_in_force(
        &self,
        ask: &Ask,
        new: &NewRegister,
        import: RegisterImport,
        built: Built,
    ) -> Result<RegisterImport, GateError> {
        let tenant = &ask.principal.tenant;
        let snapshot = &import.snapshot;
        let path = self.core.shelf.path(&snapshot.sha256);
        let unnamed = |error: tempfile::PathPersistError| unusable("write", &path, &error.error);
        built.path.persist(&path).map_err(unnamed)?;

        let (mut tx, _) = self.begin(ask, Urgency::Ordinary).await?;
        tx.insert_register_snapshot(tenant, snapshot).await?;
        let payload = json!({
            "snapshot_id": snapshot.snapshot_id, "register": snapshot.register, "as_of": snapshot.as_of,
            "sha256": snapshot.sha256, "covers": snapshot.covers, "numbers": snapshot.numbers,
            "rows_read": snapshot.rows_read, "rows_rejected": snapshot.rows_rejected,
            "before": import.before.as_ref().map(|before| &before.sha256),
            "added": import.diff.map(|diff| diff.added), "removed": import.diff.map(|diff| diff.removed),
            "accept_shrunk": new.accept_shrunk, "accept_older": new.accept_older, "accept_rejected": new.accept_rejected,
        });
        tx.insert_audit(tenant, &[ask.entry("register.imported", None, payload)])
            .await?;
        let stored = ask.stored(snapshot.snapshot_id.to_string(), true);
        tx.insert_requests(tenant, &[stored]).await?;
        tx.commit().await?;

        self.core
            .shelf
            .put(&snapshot.register, Some(built.snapshot));
        if let Err(error) = self.store().notify(&Notice::RegisterChanged).await {
            tracing::debug!(%error, "other nodes were not told of a register's snapshot; they find it by themselves");
        }
        Ok(import)
    }
}

impl RegisterImport {
    /// The same numbers of the same date are in force already: nothing is to be done.
    fn unchanged(&self) -> Option<Self> {
        let before = self.before.as_ref()?;
        (before.sha256 == self.snapshot.sha256).then(|| Self {
            snapshot: before.clone(),
            ..self.clone()
        })
    }
}

impl Shelf {
    /// Whether the list may take the place of the one before.
    fn may_replace(&self, new: &NewRegister, import: &RegisterImport) -> Result<(), GateError> {
        self.is_readable(new, &import.snapshot)?;
        let Some(before) = &import.before else {
            return Ok(());
        };
        let snapshot = &import.snapshot;
        if snapshot.as_of < before.as_of && !new.accept_older {
            return Err(RegisterRefusal::Older {
                in_force: before.as_of,
            }
            .into());
        }
        let percent = self.config.shrink_max_percent;
        let kept = i128::from(before.numbers) * i128::from(100 - percent.min(100));
        if i128::from(snapshot.numbers) * 100 < kept && !new.accept_shrunk {
            return Err(RegisterRefusal::Shrank {
                numbers: snapshot.numbers,
                before: before.numbers,
                percent,
            }
            .into());
        }
        Ok(())
    }

    /// Whether nearly all of its lines could be read.
    fn is_readable(&self, new: &NewRegister, made: &RegisterSnapshot) -> Result<(), GateError> {
        let percent = self.config.reject_max_percent;
        let (lines, rejected) = (made.rows_read, made.rows_rejected);
        let is_readable = i128::from(rejected) * 100 <= i128::from(lines) * i128::from(percent);
        if is_readable || new.accept_rejected {
            return Ok(());
        }
        Err(RegisterRefusal::Rejected {
            lines,
            rejected,
            percent,
        }
        .into())
    }
}

/// What is new in a snapshot, and its row.
async fn compare(
    ask: &Ask,
    new: &NewRegister,
    built: &Built,
    before: InForce,
) -> Result<RegisterImport, GateError> {
    let header = built.snapshot.header();
    let numbers = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let snapshot = RegisterSnapshot {
        snapshot_id: SnapshotId::new(ask.at),
        register: new.register.clone(),
        position: before.as_ref().map_or(1, |(before, _)| before.position + 1),
        as_of: header.as_of,
        covers: header.covers.to_string(),
        numbers: numbers(header.numbers),
        rows_read: numbers(built.rows_read),
        rows_rejected: numbers(built.rows_rejected),
        sha256: header.sha256.clone(),
        file_bytes: numbers(built.snapshot.file_bytes()),
        actor: ask.principal.actor(),
        recorded_at: ask.at,
    };
    let diff = match &before {
        None => Some(Diff {
            added: header.numbers,
            ..Diff::default()
        }),
        Some((_, None)) => None,
        Some((_, Some(before))) => {
            let (before, after) = (Arc::clone(before), Arc::clone(&built.snapshot));
            Some(differences(before, after, |_, _| {}).await?)
        }
    };
    Ok(RegisterImport {
        snapshot,
        before: before.map(|(before, _)| before),
        diff,
        rejects: built.rejects.clone(),
    })
}
