//! The tasks: one that gives places again and again, and one for each who is a witness. None is vital: while they fail
//! entries are written all the same and wait for their places, and the figures tell how many.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::turn::{SequenceError, Sequenced, Sequencer};
use super::witness::{Takes, Witness, WitnessAddress, WitnessFile};
use crate::meter;

/// How often one looks for entries without a place: an entry is to be provable within a second.
const LOOK: Duration = Duration::from_millis(200);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// A witness that did not take a checkpoint is asked again after this time.
const WITNESS_AGAIN: Duration = Duration::from_secs(5);
/// So many checkpoints wait while a witness file cannot be written. Of more the oldest are dropped: each covers all before it.
const WAITING_MAX: usize = 1024;

/// The running tasks; dropped, they end where they are.
pub struct Sequencing {
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

impl Sequencing {
    /// Starts them.
    #[must_use]
    pub fn start(sequencer: &Sequencer, witness: Witness) -> Self {
        let closing = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let news = News::default();
        if let Some(file) = witness.file {
            tasks.spawn(keep_adding(file, news.each.subscribe(), closing.clone()));
        }
        if let Some(address) = witness.address {
            let latest = news.latest.subscribe();
            tasks.spawn(keep_posting(address, latest, closing.clone()));
        }
        tasks.spawn(keep_running(sequencer.clone(), news, closing.clone()));
        Self { tasks, closing }
    }

    /// Ends them, after a last turn: what this node wrote is provable when it has gone.
    pub async fn stop(self) {
        /// A store or a witness that does not answer is not waited for.
        const LIMIT: Duration = Duration::from_secs(3);
        let Self { mut tasks, closing } = self;
        closing.cancel();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LIMIT, ended).await.is_err() {
            tracing::warn!("the sequencer of the audit log did not end in time");
        }
    }
}

/// What witnesses are told: each checkpoint, and the latest one.
struct News {
    each: broadcast::Sender<String>,
    latest: watch::Sender<Option<String>>,
}

impl Default for News {
    fn default() -> Self {
        Self {
            each: broadcast::Sender::new(WAITING_MAX),
            latest: watch::Sender::new(None),
        }
    }
}

impl News {
    fn tell(&self, note: &str) {
        // Without a witness file nobody listens.
        let _ = self.each.send(note.to_owned());
        self.latest.send_replace(Some(note.to_owned()));
    }
}

async fn keep_running(sequencer: Sequencer, news: News, closing: CancellationToken) {
    let mut is_begun = false;
    let mut problem: Option<String> = None;
    loop {
        // Cancelled between turns only: within one there is a transaction.
        let is_last = closing.is_cancelled();
        let pause = match next(&sequencer, &news, &mut is_begun).await {
            Ok(Sequenced::Placed { .. }) => Duration::ZERO,
            Ok(_) if is_last => return,
            Ok(_) => LOOK,
            Err(_) if is_last => return,
            Err(error) => {
                let text = error.to_string();
                if problem.as_ref() != Some(&text) {
                    tell(&error);
                }
                problem = Some(text);
                closing.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                continue;
            }
        };
        if problem.take().is_some() {
            tracing::info!("entries of the audit log get their places again");
        }
        closing.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// One turn. Before the first one witnesses are told what was signed last, which none may have taken before this node began.
async fn next(
    sequencer: &Sequencer,
    news: &News,
    is_begun: &mut bool,
) -> Result<Sequenced, SequenceError> {
    if !*is_begun {
        if let Some(checkpoint) = sequencer.latest().await? {
            news.tell(&checkpoint.note);
        }
        *is_begun = true;
    }
    one_turn(sequencer, news).await
}

/// A turn as a task of its own, so that one that panics is a turn that failed.
async fn one_turn(sequencer: &Sequencer, news: &News) -> Result<Sequenced, SequenceError> {
    let own = sequencer.clone();
    let turn = tokio::spawn(async move { own.turn().await });
    let sequenced = turn.await.unwrap_or_else(|_| {
        let what = "a turn of the sequencer panicked".to_owned();
        Err(crate::store::StoreError::Other(what).into())
    })?;
    if let Sequenced::Placed {
        entries,
        checkpoint,
    } = &sequenced
    {
        meter::audit_placed(*entries);
        news.tell(&checkpoint.note);
    }
    Ok(sequenced)
}

fn tell(error: &SequenceError) {
    match error {
        SequenceError::Store(error) => {
            tracing::warn!(%error, "entries of the audit log wait for their places");
        }
        error => tracing::error!(%error, "entries of the audit log get no places"),
    }
}

/// Hands one checkpoint over, and says so when a witness begins to fail or comes back. Whether it was taken.
async fn hand(witness: &impl Takes, note: &str, is_broken: &mut bool) -> bool {
    let handed = witness.take(note).await;
    meter::audit_witnessed(handed.is_ok());
    match &handed {
        Ok(()) if *is_broken => tracing::info!("the witness takes checkpoints again"),
        Err(problem) if !*is_broken => {
            tracing::warn!("a checkpoint of the audit log was not witnessed: {problem}");
        }
        _ => {}
    }
    *is_broken = handed.is_err();
    handed.is_ok()
}

/// Adds each checkpoint to the file, in order and once. Ends with the sequencer, after its last one.
async fn keep_adding(
    file: WitnessFile,
    mut each: broadcast::Receiver<String>,
    closing: CancellationToken,
) {
    let mut is_broken = false;
    loop {
        let note = match each.recv().await {
            Ok(note) => note,
            Err(RecvError::Lagged(count)) => {
                tracing::warn!("{count} checkpoints of the audit log are not in the witness file");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        while !hand(&file, &note, &mut is_broken).await {
            if closing.is_cancelled() {
                return;
            }
            let pause = tokio::time::sleep(WITNESS_AGAIN);
            closing.run_until_cancelled(pause).await;
        }
    }
}

/// Posts the latest checkpoint, again and again until one is taken. Ends with the sequencer, after its last one.
async fn keep_posting(
    address: WitnessAddress,
    mut latest: watch::Receiver<Option<String>>,
    closing: CancellationToken,
) {
    let mut is_broken = false;
    loop {
        let note = latest.borrow_and_update().clone();
        let is_taken = match note {
            Some(note) => hand(&address, &note, &mut is_broken).await,
            None => true,
        };
        if is_taken {
            if latest.changed().await.is_err() {
                return;
            }
            continue;
        }
        if closing.is_cancelled() {
            return;
        }
        let pause = tokio::time::sleep(WITNESS_AGAIN);
        closing.run_until_cancelled(pause).await;
    }
}
