//! Batches: what is waiting is decided in one transaction. No timer: the previous commits collect the next batch, and an
//! idle gate decides a batch of one.
//!
//! A batch waits for its database most of the time, so on PostgreSQL two are under way at once: the number locks keep apart
//! what two nodes may not do to one number, and so what two batches may not. SQLite has one writer, and one batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::domain::ids::{CallId, TenantId};
use crate::domain::time::{Micros, Mono};
use crate::store::{Engine, Notice, StoreError, Tx, Urgency};

use super::Core;
use super::counted;
use super::error::GateError;
use super::job::{Answer, Job};
use super::judge::{self, Judged, Plan};
use super::law::{ATTEMPTS, Look};

/// Questions that one transaction decides at most; more gain little and cost the slowest of them time.
pub const BATCH_MAX: usize = 256;

/// Where a batch failed: before COMMIT nothing happened, and its members may be tried one by one; at COMMIT nobody knows.
enum Failure {
    BeforeCommit(StoreError),
    AtCommit(StoreError),
    /// The law could not be had; nothing happened.
    Law(GateError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::BeforeCommit(error)
    }
}

/// Decides until every sender is gone.
pub(super) async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Job>) {
    let at_once = match core.store.engine() {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    };
    let mut deciding = JoinSet::new();
    let mut waiting: Vec<Job> = Vec::new();
    loop {
        let full = deciding.len() >= at_once;
        tokio::select! {
            biased;
            Some(ended) = deciding.join_next() => {
                end(ended);
                continue;
            }
            taken = queue.recv_many(&mut waiting, BATCH_MAX), if waiting.is_empty() && !full => {
                if taken == 0 {
                    break;
                }
            }
            () = std::future::ready(()), if !waiting.is_empty() && !full => {}
        }
        while waiting.len() < BATCH_MAX {
            let Ok(job) = queue.try_recv() else { break };
            waiting.push(job);
        }
        let (batch, rest) = compatible(waiting);
        waiting = rest;
        deciding.spawn(decide(Arc::clone(&core), batch));
    }
    while let Some(ended) = deciding.join_next().await {
        end(ended);
    }
}

/// A batch that panicked ends the gate's task, and with it the node: whoever asked would wait for ever.
fn end(batch: Result<(), JoinError>) {
    if let Err(error) = batch
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
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

async fn decide(core: Arc<Core>, jobs: Vec<Job>) {
    let core = &*core;
    match transact(core, &jobs).await {
        Ok(answers) => settle(core, jobs, answers).await,
        Err(Failure::BeforeCommit(error)) if may_help(&error, jobs.len()) => {
            tracing::warn!(batch.size = jobs.len(), %error, "a batch failed before its commit; trying its members one by one");
            for job in jobs {
                let answers = transact(core, std::slice::from_ref(&job)).await;
                let answers = answers.unwrap_or_else(|failure| vec![failed(failure)]);
                settle(core, vec![job], answers).await;
            }
        }
        Err(failure) => {
            let error = failure.into_error();
            let refuse = |job: Job| job.reply(Answer::Refused(error.clone()));
            jobs.into_iter().map(refuse).for_each(drop);
        }
    }
}

/// A store that is away is away for each of them; trying would only keep the others waiting. One alone is tried again if
/// another batch, or node, wrote the same request meanwhile: the second look finds what that was answered.
fn may_help(error: &StoreError, questions: usize) -> bool {
    match error {
        StoreError::Unavailable(_) => false,
        StoreError::Duplicate { .. } => true,
        _ => questions > 1,
    }
}

/// One transaction: clocks, locks, facts, judgements, effects, commit. Steps claim-1 to claim-7 (docs/models/README.md).
async fn transact(core: &Core, jobs: &[Job]) -> Result<Vec<Answer>, Failure> {
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    let tenant = first.tenant();
    let mut begun_anew = false;
    for _ in 0..ATTEMPTS {
        // claim-1: every permit of the batch counts its life from here, before BEGIN (claim-2).
        let read = (core.read)();
        let mut tx = core.store.write(Urgency::Ordinary).await?;
        let law = match core.law.look(&mut tx, tenant, read.wall).await? {
            Look::Ready(law) => law,
            missing => {
                // Another law than this node holds. Loading it takes a while, so this transaction ends and another begins.
                drop(tx);
                let ready = core.law.prepare(&core.store, tenant, missing, read.wall);
                ready.await.map_err(Failure::Law)?;
                continue;
            }
        };
        let sights = judge::sights(core, &law, jobs);
        let plans: Vec<Plan<'_>> =
            judge::plan(core, &law, &mut tx, tenant, (jobs, sights), read).await?;
        let judged: Vec<Judged<'_>> =
            judge::judge(core, &law, &mut tx, tenant, plans, read).await?;
        let (mut answers, taken) =
            super::effects::record(core, &mut tx, tenant, judged, read).await?;
        if !begun_anew && has_late(core, jobs, &answers) {
            // Nothing is committed, and the next turn refuses what nobody waits for any more: whoever comes back with the
            // same request is decided afresh. Once only, for the others wait.
            begun_anew = true;
            drop(tx);
            continue;
        }
        end_late(core, &mut tx, jobs, &mut answers).await?;
        // claim-7: no positive answer to COMMIT, no permit leaves.
        tx.commit().await.map_err(Failure::AtCommit)?;
        drop(taken);
        return Ok(answers);
    }
    Err(Failure::Law(GateError::Busy {
        retry_after: Duration::from_millis(500),
    }))
}

/// The placement of this job, if it would be queued though its deadline has passed behind a lock or a slow store.
fn late<'a>(job: &'a Job, answer: &Answer, now: Mono) -> Option<(&'a TenantId, CallId)> {
    match (job, answer) {
        (Job::Place { request, .. }, Answer::Placed(placed)) => {
            let call = placed.call.as_ref()?;
            let is_late = request.answer_by.is_some_and(|end| end <= now);
            is_late.then_some((&request.tenant, call.call_id))
        }
        _ => None,
    }
}

fn has_late(core: &Core, jobs: &[Job], answers: &[Answer]) -> bool {
    let now = (core.read)().mono;
    let mut pairs = jobs.iter().zip(answers);
    pairs.any(|(job, answer)| late(job, answer, now).is_some())
}

/// Ends what is late in the transaction that places it: nobody sees it queued.
async fn end_late(
    core: &Core,
    tx: &mut Tx,
    jobs: &[Job],
    answers: &mut [Answer],
) -> Result<(), StoreError> {
    let now = (core.read)();
    for (job, answer) in jobs.iter().zip(answers) {
        if let Some((tenant, call_id)) = late(job, answer, now.mono) {
            tx.request_hang_up(tenant, call_id, now.wall).await?;
            *answer = Answer::Refused(GateError::RequestExpired);
        }
    }
    Ok(())
}

/// Who is gone that much before their deadline waited no longer because of it: the timers of the server, of the transport and
/// of the client go off around it. Who lost the connection earlier may come back and ask by the same request id.
const GRACE: Duration = Duration::from_millis(100);

/// Answers first, for permits' lives are running; then takes back what nobody waits for any more, and wakes the workers.
async fn settle(core: &Core, jobs: Vec<Job>, answers: Vec<Answer>) {
    let now = (core.read)();
    let mut late = Vec::new();
    let mut is_queued = false;
    for (job, answer) in jobs.into_iter().zip(answers) {
        counted::decision(&answer);
        match (&job, &answer) {
            (Job::Place { request, .. }, Answer::Placed(placed)) => {
                let Some(call) = &placed.call else {
                    job.reply(answer);
                    continue;
                };
                is_queued = true;
                let (queued, end) = ((request.tenant.clone(), call.call_id), request.answer_by);
                if end.is_some_and(|end| end <= now.mono) {
                    late.push((queued, Some(job)));
                } else if !job.reply(answer) && end.is_some_and(|end| end <= now.mono.plus(GRACE)) {
                    late.push((queued, None));
                }
            }
            _ => drop(job.reply(answer)),
        }
    }
    let (calls, waiting): (Vec<_>, Vec<_>) = late.into_iter().unzip();
    take_back(core, &calls, now.wall).await;
    for job in waiting.into_iter().flatten() {
        job.reply(Answer::Refused(GateError::RequestExpired));
    }
    if is_queued && let Err(error) = core.store.notify(&Notice::CallQueued).await {
        tracing::debug!(%error, "the workers were not woken; they look by themselves");
    }
}

/// A placement whose client stopped waiting while it was committed is not dialed: nobody follows that call. All in one
/// transaction, for a worker may be about to lease them; and again if it fails.
async fn take_back(core: &Core, calls: &[(TenantId, CallId)], now: Micros) {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        if calls.is_empty() {
            return;
        }
        let end = async {
            let mut tx = core.store.write(Urgency::Ordinary).await?;
            for (tenant, call_id) in calls {
                tx.request_hang_up(tenant, *call_id, now).await?;
            }
            tx.commit().await
        };
        match end.await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(calls = calls.len(), %error, "calls that nobody waits for were not taken back");
            }
        }
    }
}

fn failed(failure: Failure) -> Answer {
    Answer::Refused(failure.into_error())
}

impl Failure {
    fn into_error(self) -> GateError {
        match self {
            Self::BeforeCommit(error) | Self::AtCommit(error) => error.into(),
            Self::Law(error) => error,
        }
    }
}
