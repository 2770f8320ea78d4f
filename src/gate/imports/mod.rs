//! Imports: lists of opt-outs and of consents, recorded row by row as they come in. A row takes effect with the commit of its
//! portion. A wish to stop is told as acknowledged once no call can overtake it: the barrier's wait after that commit, and one
//! more look at who was given its number meanwhile (opt-out-7; `docs/ARCHITECTURE.md`, "The barrier"). Portions wait while later
//! ones are recorded. An act of consent binds every claim that begins after its commit, and nothing waits. What is recorded
//! stays, whatever becomes of the list.
//!
//! A list is known by its hash and by how it is read. If it broke off, it goes on where it was acknowledged when it is sent again: what
//! was recorded by a sending that nobody heard the end of is waited for once more. One that is done and is sent again is a new
//! import, which judges every row by what is on record then: what stands is found, what was lifted or rejected is looked at anew
//! ([`kind::Listed`]). `opening` tells which of the two it is, `reader` is the thread that reads it, `content`, `cells` and
//! `written` are what it reads with, `portion` is what is done with a portion. What a row means and how it is recorded is of the
//! kind of list ([`kind`]): `suppressions`, `consents`. A further kind is a further folder.

mod cells;
mod consents;
mod content;
mod kind;
mod opening;
mod portion;
mod reader;
mod size;
mod suppressions;
mod written;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::ids::{ImportId, TenantId};
use crate::domain::import::{Import, ImportCounts, ImportKind, ImportReject, ImportState};
use crate::domain::time::Mono;
use crate::store::{ImportRunner, Urgency};

use super::error::GateError;
use super::suppress::BARRIER_WAIT;
use super::{Ask, Gate};

pub use cells::cells_of_line;
pub use consents::{ConsentColumns, ConsentDefaults, ConsentRows};
pub use content::{ImportPiece, Packing, lines_of_list};
use kind::{Kind, Listed};
use opening::fresh;
use reader::{Announced, Earlier, End, Portion};
use size::PortionSize;
pub use suppressions::{SuppressionColumns, SuppressionDefaults, SuppressionRows};
use written::RowReader;
pub use written::{ListEncoding, ListForm, ListSettings};

/// Portions that were read and wait to be recorded.
const PORTIONS_AHEAD: usize = 2;

/// Rows that wait for their acknowledgement at most: what two seconds bring on any machine, and a bound on memory.
const WAITING_ROWS_MAX: usize = 131_072;

/// How often it is looked whether a portion has waited long enough.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Rejects of a trial that are told.
const TRIAL_REJECTS_MAX: usize = 100;

/// Whose turn comes between two portions: others who write.
const BREATHER: Duration = Duration::from_millis(1);

/// A list as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// SHA-256 of the whole list as it is sent.
    pub content_sha256: [u8; 32],
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of how it is to be read.
    pub settings_sha256: [u8; 32],
    /// How it is to be read.
    pub settings: ListSettings,
    /// What its rows mean.
    pub rows: ListRows,
}

/// What the rows of a list mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListRows {
    /// Opt-outs.
    Suppressions(Box<SuppressionRows>),
    /// Acts of consent.
    Consents(Box<ConsentRows>),
}

/// What is told while a list is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportNews {
    /// As it stands before anything of this sending is recorded.
    Started(Import),
    /// How far it is.
    Progress(ImportProgress),
    /// A row was not recorded.
    Rejected(ImportReject),
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Its rows.
    pub counts: ImportCounts,
    /// Rows that are done for good: no call can overtake what is an opt-out among them.
    pub acknowledged_rows: i64,
    /// Lines that they and what stands between them take.
    pub acknowledged_lines: i64,
    /// Bytes of the list, as sent, that had come in for that.
    pub bytes: u64,
}

/// One sending of a list.
struct Sending<'a, K: Kind> {
    gate: &'a Gate,
    ask: &'a Ask,
    runner: ImportRunner,
    import: Import,
    list: Listed,
    news: mpsc::Sender<ImportNews>,
    waiting: VecDeque<Waiting<K::Waiting>>,
    bytes: u64,
    size: PortionSize,
    /// Rows that the store was told to have grown by.
    grown: i64,
}

/// A portion that is recorded and not acknowledged.
struct Waiting<W> {
    committed: Mono,
    left: Vec<W>,
    lines: i64,
    rows: i64,
    bytes: u64,
}

impl Gate {
    /// Records a list. Answers when it has ended, finished or failed; an error leaves it open, and the same list sent again goes
    /// on. News that nobody takes are dropped: who does not listen holds up no wish.
    pub async fn import(
        &self,
        ask: &Ask,
        new: NewImport,
        pieces: mpsc::Receiver<ImportPiece>,
        news: mpsc::Sender<ImportNews>,
    ) -> Result<Import, GateError> {
        match new.rows.clone() {
            ListRows::Suppressions(rows) => self.import_rows(ask, new, *rows, pieces, news).await,
            ListRows::Consents(rows) => self.import_rows(ask, new, *rows, pieces, news).await,
        }
    }

    async fn import_rows<K: Kind>(
        &self,
        ask: &Ask,
        new: NewImport,
        rows: K,
        pieces: mpsc::Receiver<ImportPiece>,
        news: mpsc::Sender<ImportNews>,
    ) -> Result<Import, GateError> {
        self.may_be_read(&rows)?;
        let runner = Uuid::new_v4();
        let (import, list) = self.open_import(ask, &new, K::KIND, runner).await?;
        // Whoever is told how it stands has to be told; there is room for it.
        let _ = news.try_send(ImportNews::Started(import.clone()));
        if import.state != ImportState::Open {
            return Ok(import);
        }
        let import_id = import.import_id;
        let mut sending = Sending::<K> {
            gate: self,
            ask,
            runner: ImportRunner { import_id, runner },
            import,
            list,
            news,
            waiting: VecDeque::new(),
            bytes: 0,
            size: PortionSize::default(),
            grown: 0,
        };
        let end = sending.read(new, rows, pieces).await?;
        sending.end(end).await
    }

    /// Reads a list and tells what would become of it; nothing is recorded.
    pub async fn try_import(
        &self,
        ask: &Ask,
        new: NewImport,
        pieces: mpsc::Receiver<ImportPiece>,
        news: mpsc::Sender<ImportNews>,
    ) -> Result<Import, GateError> {
        match new.rows.clone() {
            ListRows::Suppressions(rows) => self.try_rows(ask, new, *rows, pieces, news).await,
            ListRows::Consents(rows) => self.try_rows(ask, new, *rows, pieces, news).await,
        }
    }

    async fn try_rows<K: Kind>(
        &self,
        ask: &Ask,
        new: NewImport,
        rows: K,
        pieces: mpsc::Receiver<ImportPiece>,
        news: mpsc::Sender<ImportNews>,
    ) -> Result<Import, GateError> {
        self.may_be_read(&rows)?;
        let tenant = &ask.principal.tenant;
        let mut import = fresh(ask, &new, K::KIND);
        import.import_id = ImportId(Uuid::nil());
        let list = self.as_it_came(tenant, &new, &import).await?;
        let size = PortionSize::default();
        let (reading, mut portions) = self.start_reading(tenant, new, rows, pieces, &import, size);
        let mut told = 0;
        while let Some(portion) = portions.recv().await {
            let ask = Ask {
                at: self.read().wall,
                ..ask.clone()
            };
            let outcome = K::tried(self, &ask, list, &portion.rows).await?;
            let outcome = portion.with(outcome);
            import.counts = import.counts.plus(outcome.counts);
            for reject in outcome.rejects {
                if told < TRIAL_REJECTS_MAX {
                    told += 1;
                    drop(news.send(ImportNews::Rejected(reject)).await);
                }
            }
            let progress = ImportProgress {
                counts: import.counts,
                bytes: portion.bytes,
                ..ImportProgress::default()
            };
            let _ = news.try_send(ImportNews::Progress(progress));
        }
        (import.state, import.problem) = match ended(reading).await {
            End::Whole => (ImportState::Finished, None),
            End::Failed(why) => (ImportState::Failed, Some(why)),
            End::BrokenOff => return Err(GateError::ImportBrokenOff),
        };
        import.ended_at = Some(self.read().wall);
        Ok(import)
    }

    fn may_be_read(&self, rows: &impl Kind) -> Result<(), GateError> {
        match rows.seller() {
            Some(seller) => self.campaigns().knows_seller(seller),
            None => Ok(()),
        }
    }

    fn start_reading<K: Kind>(
        &self,
        tenant: &TenantId,
        new: NewImport,
        rows: K,
        pieces: mpsc::Receiver<ImportPiece>,
        import: &Import,
        size: PortionSize,
    ) -> (tokio::task::JoinHandle<End>, mpsc::Receiver<Portion<K>>) {
        let reader = RowReader {
            settings: new.settings,
            rows,
            tenant: tenant.clone(),
            hasher: self.store().hasher().clone(),
            account_hasher: self.store().account_hasher().clone(),
            pack: self.pack(),
            campaigns: self.campaigns().clone(),
            read: Arc::clone(&self.core.read),
        };
        let announced = Announced {
            sha256: new.content_sha256,
            bytes: new.size_bytes,
        };
        let earlier = Earlier {
            acknowledged: import.acknowledged_lines,
            recorded: import.lines,
            sha256: import.lines_sha256,
        };
        let (out, portions) = mpsc::channel(PORTIONS_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            reader::read(reader, pieces, announced, earlier, size, out)
        });
        (reading, portions)
    }
}

impl<K: Kind> Sending<'_, K> {
    /// Records and acknowledges all that comes.
    async fn read(
        &mut self,
        new: NewImport,
        rows: K,
        pieces: mpsc::Receiver<ImportPiece>,
    ) -> Result<End, GateError> {
        let tenant = self.ask.principal.tenant.clone();
        let size = self.size.clone();
        let (reading, mut portions) =
            self.gate
                .start_reading(&tenant, new, rows, pieces, &self.import, size);
        let mut more = true;
        while more || !self.waiting.is_empty() {
            // Before more is recorded: a list that comes in faster than it is recorded always has a portion ready.
            if self.due_in().is_some_and(|left| left.is_zero()) {
                self.acknowledge().await?;
                continue;
            }
            let has_room = self
                .waiting
                .iter()
                .map(|portion| portion.left.len())
                .sum::<usize>()
                < WAITING_ROWS_MAX;
            let due_in = self.due_in();
            tokio::select! {
                biased;
                () = tokio::time::sleep(due_in.unwrap_or_default().min(LOOK_AGAIN)), if due_in.is_some() => {}
                portion = portions.recv(), if more && has_room => match portion {
                    Some(portion) => {
                        self.record(portion).await?;
                        tokio::time::sleep(BREATHER).await;
                    }
                    None => more = false,
                },
            }
        }
        Ok(ended(reading).await)
    }

    /// How long the oldest portion has still to wait, by this node's own clock.
    fn due_in(&self) -> Option<Duration> {
        let oldest = self.waiting.front()?;
        let waited = self.gate.read().mono.since(oldest.committed);
        Some(BARRIER_WAIT.saturating_sub(waited))
    }

    fn tell(&self) {
        let progress = ImportProgress {
            counts: self.import.counts,
            acknowledged_rows: self.import.acknowledged_rows,
            acknowledged_lines: self.import.acknowledged_lines,
            bytes: self.bytes,
        };
        // Whoever does not listen learns it from the next.
        let _ = self.news.try_send(ImportNews::Progress(progress));
    }

    /// Ends the import as its list did.
    async fn end(mut self, end: End) -> Result<Import, GateError> {
        let problem = match end {
            End::Whole => None,
            End::Failed(why) => Some(why),
            End::BrokenOff => return Err(GateError::ImportBrokenOff),
        };
        let tenant = &self.ask.principal.tenant;
        let at = self.gate.read().wall;
        let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
        if !tx
            .end_import(tenant, self.runner, problem.as_deref(), at)
            .await?
        {
            return Err(GateError::ImportTaken);
        }
        self.import.state = if problem.is_none() {
            ImportState::Finished
        } else {
            ImportState::Failed
        };
        let what = self.import.state.as_str();
        (self.import.problem, self.import.ended_at) = (problem, Some(at));
        let ask = Ask {
            at,
            ..self.ask.clone()
        };
        tx.insert_audit(tenant, &[entry(&ask, what, &self.import)])
            .await?;
        tx.pass_requests(tenant, &[ask.request_id]).await?;
        tx.commit().await?;
        Ok(self.import)
    }
}

async fn ended(reading: tokio::task::JoinHandle<End>) -> End {
    match reading.await {
        Ok(end) => end,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime goes down.
            Err(_) => End::BrokenOff,
        },
    }
}

fn entry(ask: &Ask, what: &str, import: &Import) -> crate::store::AuditEntry {
    let payload = json!({
        "import_id": import.import_id,
        "state": import.state,
        "content_sha256": hex(&import.content_sha256),
        "settings_sha256": hex(&import.settings_sha256),
        "rows_read": import.counts.read,
        "created": import.counts.created,
        "repeated": import.counts.repeated,
        "rejected": import.counts.rejected,
        "problem": import.problem,
        "request_id": ask.request_id,
    });
    let whose = match import.kind {
        ImportKind::Suppressions => "suppression",
        ImportKind::Consents => "consent",
    };
    ask.entry(&format!("{whose}.import_{what}"), None, payload)
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
