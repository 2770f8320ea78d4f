//! Batches: what is waiting is decided in one transaction. No timer: the previous commit collects the next batch, and an
//! idle gate decides a batch of one.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::domain::call::CallRequest;
use crate::domain::decision::Decision;
use crate::domain::ids::{RequestId, TenantId};
use crate::store::{StoreError, Urgency};

use super::claim::{ClaimRequest, Claimed};
use super::error::GateError;
use super::judge::{self, Judged, Plan};
use super::{Core, Placed};

/// Questions that one transaction decides at most; more gain little and cost the slowest of them time.
pub const BATCH_MAX: usize = 256;

pub(super) type Reply<T> = oneshot::Sender<Result<T, GateError>>;

/// One question and the way back.
pub(super) enum Job {
    Check {
        request: CallRequest,
        reply: Reply<Decision>,
    },
    Place {
        request: CallRequest,
        request_id: RequestId,
        reply: Reply<Placed>,
    },
    Claim {
        claim: Box<ClaimRequest>,
        reply: Reply<Claimed>,
    },
}

/// The answer to one job; of the job's own kind, or an error.
pub(super) enum Answer {
    Checked(Box<Decision>),
    Placed(Box<Placed>),
    Claimed(Claimed),
    Refused(GateError),
}

/// Where a batch failed: before COMMIT nothing happened, and its members may be tried one by one; at COMMIT nobody knows.
enum Failure {
    BeforeCommit(StoreError),
    AtCommit(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::BeforeCommit(error)
    }
}

/// Decides until every sender is gone.
pub(super) async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Job>) {
    let mut waiting: Vec<Job> = Vec::new();
    loop {
        if waiting.is_empty() && queue.recv_many(&mut waiting, BATCH_MAX).await == 0 {
            return;
        }
        while waiting.len() < BATCH_MAX {
            let Ok(job) = queue.try_recv() else { break };
            waiting.push(job);
        }
        let (batch, rest) = compatible(waiting);
        waiting = rest;
        decide(&core, batch).await;
    }
}

/// Splits off what can be decided together: one tenant, each request id once, and one claim a number and a person, so
/// that the caps of the second see the attempt of the first.
fn compatible(jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let Some(tenant) = jobs.first().map(|job| job.tenant().clone()) else {
        return (jobs, Vec::new());
    };
    let (mut requests, mut claimed) = (HashSet::new(), HashSet::new());
    jobs.into_iter().partition(|job| {
        *job.tenant() == tenant
            && match job {
                Job::Check { .. } => true,
                Job::Place { request_id, .. } => requests.insert(*request_id),
                Job::Claim { claim, .. } => {
                    let keys = judge::claim_keys(&claim.call);
                    let free = keys.iter().all(|key| !claimed.contains(key));
                    if free {
                        claimed.extend(keys);
                    }
                    free
                }
            }
    })
}

async fn decide(core: &Core, jobs: Vec<Job>) {
    match transact(core, &jobs).await {
        Ok(answers) => reply_all(jobs, answers),
        Err(Failure::BeforeCommit(error)) if jobs.len() > 1 => {
            tracing::warn!(batch.size = jobs.len(), %error, "a batch failed before its commit; trying its members one by one");
            for job in jobs {
                let answers = transact(core, std::slice::from_ref(&job)).await;
                reply_all(
                    vec![job],
                    answers.unwrap_or_else(|failure| vec![failed(failure)]),
                );
            }
        }
        Err(failure) => {
            let error = GateError::from(failure.into_error());
            let answers = jobs
                .iter()
                .map(|_| Answer::Refused(error.clone()))
                .collect();
            reply_all(jobs, answers);
        }
    }
}

/// One transaction: clocks, locks, facts, judgements, effects, commit. Steps 1 to 7 of the claim (barrier.md 3).
async fn transact(core: &Core, jobs: &[Job]) -> Result<Vec<Answer>, Failure> {
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    let tenant = first.tenant();
    // Step 1: every permit of the batch counts its life from here, before BEGIN.
    let read = (core.read)();
    let mut tx = core.store.write(Urgency::Ordinary).await?;
    let plans: Vec<Plan<'_>> = judge::plan(core, &mut tx, tenant, jobs, read).await?;
    let judged: Vec<Judged<'_>> = judge::judge(core, &mut tx, tenant, plans, read).await?;
    let answers = super::effects::record(core, &mut tx, tenant, judged, read).await?;
    // Step 7: no positive answer to COMMIT, no permit leaves.
    tx.commit().await.map_err(Failure::AtCommit)?;
    if answers
        .iter()
        .any(|answer| matches!(answer, Answer::Placed(placed) if placed.call.is_some()))
    {
        core.store
            .notify(&crate::store::Notice::CallQueued)
            .await
            .unwrap_or_else(|error| {
                tracing::debug!(%error, "the worker was not woken; it looks by itself");
            });
    }
    Ok(answers)
}

fn reply_all(jobs: Vec<Job>, answers: Vec<Answer>) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        job.reply(answer);
    }
}

fn failed(failure: Failure) -> Answer {
    Answer::Refused(failure.into_error().into())
}

impl Failure {
    fn into_error(self) -> StoreError {
        match self {
            Self::BeforeCommit(error) | Self::AtCommit(error) => error,
        }
    }
}

impl Job {
    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Self::Check { request, .. } | Self::Place { request, .. } => &request.tenant,
            Self::Claim { claim, .. } => &claim.call.tenant,
        }
    }

    /// Hands the answer back. Whoever asked may be gone: a decision stands all the same, and a permit is dropped.
    fn reply(self, answer: Answer) {
        match (self, answer) {
            (Self::Check { reply, .. }, Answer::Checked(decision)) => {
                drop(reply.send(Ok(*decision)))
            }
            (Self::Place { reply, .. }, Answer::Placed(placed)) => drop(reply.send(Ok(*placed))),
            (Self::Claim { reply, .. }, Answer::Claimed(claimed)) => drop(reply.send(Ok(claimed))),
            (Self::Check { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            (Self::Place { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            (Self::Claim { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            // INVARIANT: `effects::record` answers each job in its own kind; a dropped reply is an error to who waits.
            (_, _) => debug_assert!(false, "an answer of another kind than its question"),
        }
    }
}
