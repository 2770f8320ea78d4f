//! Imports: lists of opt-outs, recorded row by row as they come in. A wish takes effect with the commit of its portion, and is
//! told as acknowledged once no call can overtake it: the barrier's wait after that commit, and one more look at who was given
//! its number meanwhile (opt-out-7; `docs/ARCHITECTURE.md`, "The barrier"). Portions wait while later ones are recorded. What is
//! recorded stays, whatever becomes of the list.
//!
//! A list is known by its hash and by how it is read. Sent again, it goes on where it was acknowledged: what was recorded by a
//! sending that nobody heard the end of is waited for once more. `reader` is the thread that reads it, `content` and `rows` are
//! what it reads with, `portion` is what is done with a portion.

mod cells;
mod content;
mod portion;
mod reader;
mod rows;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::ids::{ImportId, TenantId};
use crate::domain::import::{ImportCounts, ImportReject, ImportState, SuppressionImport};
use crate::domain::suppression::Suppression;
use crate::domain::time::Mono;
use crate::store::{ImportRunner, StoreError, Urgency};

use super::error::GateError;
use super::suppress::BARRIER_WAIT;
use super::{Ask, Gate};

pub use content::{ImportPiece, Packing, lines_of_list};
use reader::{Announced, Earlier, End, Portion};
use rows::RowReader;
pub use rows::{ListColumns, ListEncoding, ListForm, ListSettings, RowDefaults};

/// Rows of a portion at most: so many are written in some milliseconds, during which nobody else writes to SQLite.
const PORTION_ROWS: usize = 256;

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
}

/// What is told while a list is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportNews {
    /// As it stands before anything of this sending is recorded.
    Started(SuppressionImport),
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
    /// Rows that no call can overtake any more.
    pub acknowledged_rows: i64,
    /// Lines that they and what stands between them take.
    pub acknowledged_lines: i64,
    /// Bytes of the list, as sent, that had come in for that.
    pub bytes: u64,
}

/// One sending of a list.
struct Sending<'a> {
    gate: &'a Gate,
    ask: &'a Ask,
    runner: ImportRunner,
    import: SuppressionImport,
    news: mpsc::Sender<ImportNews>,
    waiting: VecDeque<Waiting>,
    bytes: u64,
}

/// A portion that is recorded and not acknowledged.
struct Waiting {
    committed: Mono,
    wishes: Vec<Suppression>,
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
    ) -> Result<SuppressionImport, GateError> {
        self.may_be_read(&new.settings)?;
        let runner = Uuid::new_v4();
        let import = self.open_import(ask, &new, runner).await?;
        // Whoever is told how it stands has to be told; there is room for it.
        let _ = news.try_send(ImportNews::Started(import.clone()));
        if import.state == ImportState::Finished {
            return Ok(import);
        }
        let import_id = import.import_id;
        let mut sending = Sending {
            gate: self,
            ask,
            runner: ImportRunner { import_id, runner },
            import,
            news,
            waiting: VecDeque::new(),
            bytes: 0,
        };
        let end = sending.read(new, pieces).await?;
        sending.end(end).await
    }

    /// Reads a list and tells what would become of it; nothing is recorded.
    pub async fn try_import(
        &self,
        ask: &Ask,
        new: NewImport,
        pieces: mpsc::Receiver<ImportPiece>,
        news: mpsc::Sender<ImportNews>,
    ) -> Result<SuppressionImport, GateError> {
        self.may_be_read(&new.settings)?;
        let tenant = &ask.principal.tenant;
        let mut import = fresh(ask, &new);
        import.import_id = ImportId(Uuid::nil());
        let (reading, mut portions) = self.start_reading(tenant, new, pieces, &import);
        let mut told = 0;
        while let Some(portion) = portions.recv().await {
            let counts = self.tried(ask, &import, &portion).await?;
            import.counts = import.counts.plus(counts);
            for reject in portion.rejects {
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

    fn may_be_read(&self, settings: &ListSettings) -> Result<(), GateError> {
        match &settings.defaults.seller {
            Some(seller) => self.campaigns().knows_seller(seller),
            None => Ok(()),
        }
    }

    /// The import of this list, which this sending now goes on with.
    async fn open_import(
        &self,
        ask: &Ask,
        new: &NewImport,
        runner: Uuid,
    ) -> Result<SuppressionImport, GateError> {
        // Whoever comes second sees what came first, and takes it over. There is no third.
        for _ in 0..3 {
            match self.open_import_once(ask, new, runner).await {
                Err(GateError::Store(error)) if matches!(*error, StoreError::Duplicate { .. }) => {}
                answer => return answer,
            }
        }
        Err(GateError::ImportTaken)
    }

    async fn open_import_once(
        &self,
        ask: &Ask,
        new: &NewImport,
        runner: Uuid,
    ) -> Result<SuppressionImport, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let found = tx
            .import_of(tenant, &new.content_sha256, &new.settings_sha256)
            .await?;
        let (kind, import) = match found {
            Some(finished) if finished.state == ImportState::Finished => return Ok(finished),
            Some(open) => {
                let import_id = open.import_id;
                let taken = tx
                    .take_import(tenant, ImportRunner { import_id, runner })
                    .await?;
                // Read once more, now that nobody else goes on with it.
                match tx.import(tenant, import_id).await?.filter(|_| taken) {
                    Some(import) => ("suppression.import_resumed", import),
                    None => {
                        return Err(StoreError::Duplicate {
                            what: "import".to_owned(),
                        }
                        .into());
                    }
                }
            }
            None => {
                let import = fresh(ask, new);
                tx.insert_import(tenant, &import, runner).await?;
                ("suppression.import_started", import)
            }
        };
        tx.insert_audit(tenant, &[entry(ask, kind, &import)])
            .await?;
        if repeated.is_none() {
            let stored = ask.stored(import.import_id.to_string(), false);
            tx.insert_requests(tenant, &[stored]).await?;
        }
        tx.commit().await?;
        Ok(import)
    }

    fn start_reading(
        &self,
        tenant: &TenantId,
        new: NewImport,
        pieces: mpsc::Receiver<ImportPiece>,
        import: &SuppressionImport,
    ) -> (tokio::task::JoinHandle<End>, mpsc::Receiver<Portion>) {
        let reader = RowReader {
            settings: new.settings,
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
            reader::read(reader, pieces, announced, earlier, out)
        });
        (reading, portions)
    }
}

impl Sending<'_> {
    /// Records and acknowledges all that comes.
    async fn read(
        &mut self,
        new: NewImport,
        pieces: mpsc::Receiver<ImportPiece>,
    ) -> Result<End, GateError> {
        let tenant = self.ask.principal.tenant.clone();
        let (reading, mut portions) = self.gate.start_reading(&tenant, new, pieces, &self.import);
        let mut more = true;
        while more || !self.waiting.is_empty() {
            let has_room = self
                .waiting
                .iter()
                .map(|portion| portion.wishes.len())
                .sum::<usize>()
                < WAITING_ROWS_MAX;
            let is_due = self.due_in();
            tokio::select! {
                biased;
                () = tokio::time::sleep(is_due.unwrap_or_default().min(LOOK_AGAIN)), if is_due.is_some() => {
                    self.acknowledge().await?;
                }
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
    async fn end(mut self, end: End) -> Result<SuppressionImport, GateError> {
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
        let kind = match problem {
            None => "suppression.import_finished",
            Some(_) => "suppression.import_failed",
        };
        self.import.state = if problem.is_none() {
            ImportState::Finished
        } else {
            ImportState::Failed
        };
        (self.import.problem, self.import.ended_at) = (problem, Some(at));
        let ask = Ask {
            at,
            ..self.ask.clone()
        };
        tx.insert_audit(tenant, &[entry(&ask, kind, &self.import)])
            .await?;
        tx.pass_request(tenant, ask.request_id).await?;
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

/// An import of which nothing is read yet.
fn fresh(ask: &Ask, new: &NewImport) -> SuppressionImport {
    SuppressionImport {
        import_id: ImportId::new(ask.at),
        state: ImportState::Open,
        content_sha256: new.content_sha256,
        size_bytes: i64::try_from(new.size_bytes).unwrap_or(i64::MAX),
        settings_sha256: new.settings_sha256,
        counts: ImportCounts::default(),
        lines: 0,
        lines_sha256: [0; 32],
        acknowledged_lines: 0,
        acknowledged_rows: 0,
        problem: None,
        actor: ask.principal.actor(),
        began_at: ask.at,
        ended_at: None,
    }
}

fn entry(ask: &Ask, kind: &str, import: &SuppressionImport) -> crate::store::AuditEntry {
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
    ask.entry(kind, None, payload)
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
