//! The tasks: one that gives places again and again, one that hands checkpoints to the witness. Neither is vital: while they fail
//! entries are written all the same and wait for their places, and the figures tell how many.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::turn::{SequenceError, Sequenced, Sequencer};
use super::witness::Witness;
use crate::meter;

/// How often one looks for entries without a place: an entry is to be provable within a second.
const LOOK: Duration = Duration::from_millis(200);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// A witness that did not take a checkpoint is asked again after this time, with the latest one.
const WITNESS_AGAIN: Duration = Duration::from_secs(5);

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
        let (told, news) = watch::channel(None);
        tasks.spawn(keep_running(sequencer.clone(), told, closing.clone()));
        if witness.is_any() {
            tasks.spawn(keep_handing(witness, news, closing.clone()));
        }
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

async fn keep_running(
    sequencer: Sequencer,
    told: watch::Sender<Option<String>>,
    closing: CancellationToken,
) {
    let mut problem: Option<String> = None;
    loop {
        // Cancelled between turns only: within one there is a transaction.
        let is_last = closing.is_cancelled();
        let pause = match one_turn(&sequencer, &told).await {
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

/// A turn as a task of its own, so that one that panics is a turn that failed.
async fn one_turn(
    sequencer: &Sequencer,
    told: &watch::Sender<Option<String>>,
) -> Result<Sequenced, SequenceError> {
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
        told.send_replace(Some(checkpoint.note.clone()));
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

/// Ends with the sequencer, after its last checkpoint.
async fn keep_handing(
    witness: Witness,
    mut news: watch::Receiver<Option<String>>,
    closing: CancellationToken,
) {
    let mut is_broken = false;
    loop {
        let latest = news.borrow_and_update().clone();
        if let Some(note) = latest {
            let handed = witness.hand(&note).await;
            meter::audit_witnessed(handed.is_ok());
            match &handed {
                Ok(()) if is_broken => tracing::info!("the witness takes checkpoints again"),
                Err(problem) if !is_broken => {
                    tracing::warn!("a checkpoint of the audit log was not witnessed: {problem}");
                }
                _ => {}
            }
            is_broken = handed.is_err();
        }
        if is_broken {
            if closing.is_cancelled() {
                return;
            }
            let pause = tokio::time::sleep(WITNESS_AGAIN);
            closing.run_until_cancelled(pause).await;
        } else if news.changed().await.is_err() {
            return;
        }
    }
}
