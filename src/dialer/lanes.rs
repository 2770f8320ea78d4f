//! A lane per trunk: lease what is due, wait for a free channel, wait for a pace token, begin the attempt.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::store::{Leased, Notice, StoreError, Urgency};

use super::attempt::{self, Track};
use super::pace::Pace;
use super::{Active, LOOK_EVERY, Lane, Phase, Shared, journal};

/// Calls leased in one transaction at most: enough to keep a fast trunk busy, few enough to leave other nodes theirs.
const LEASE_MAX: u32 = 32;

/// Runs until the worker drains; what it had leased and not begun goes back to the queue.
pub(super) async fn run(
    shared: Arc<Shared>,
    lane: Lane,
    mut phase: watch::Receiver<Phase>,
    calls: TaskTracker,
) {
    let channels = Arc::new(Semaphore::new(lane.config.channels.get() as usize));
    let track = Track {
        pace: Pace::of(&lane.config, shared.clock.clone()),
        phase: phase.clone(),
        lane: lane.clone(),
    };
    loop {
        let (free, leased) = tokio::select! {
            biased;
            () = drained(&mut phase) => return,
            taken = due(&shared, &lane, &channels) => taken,
        };
        let mut waiting = leased.into_iter().zip(free);
        while let Some((call, channel)) = waiting.next() {
            track.pace.slow_until(lane.targets.slow_until());
            tokio::select! {
                // A stop goes first: no call is begun any more.
                biased;
                () = drained(&mut phase) => {
                    let rest = waiting.map(|(call, _)| call);
                    give_back(&shared, std::iter::once(call).chain(rest)).await;
                    return;
                }
                token = track.pace.token() => {
                    if !lane.targets.may_call(shared.clock.read().mono) {
                        // Not any more: a token may take minutes. They go back to the queue and wait there.
                        let rest = waiting.map(|(call, _)| call);
                        give_back(&shared, std::iter::once(call).chain(rest)).await;
                        break;
                    }
                    calls.spawn(attempt::run(Arc::clone(&shared), track.clone(), call, channel, token));
                }
            }
        }
    }
}

/// A channel first, then a call for it, then a token, and then claim-1. A node without a free channel leaves the calls to
/// others; a token counts as in hand until the INVITE has left, so that the pace on the wire is the pace of the tokens.
async fn due(
    shared: &Shared,
    lane: &Lane,
    channels: &Arc<Semaphore>,
) -> (Vec<OwnedSemaphorePermit>, Vec<Leased>) {
    let mut notices = shared.gate.store().notices();
    loop {
        while !lane.targets.may_call(shared.clock.read().mono) {
            // Nobody knows where its calls go, or nobody there takes them; they wait.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut free = free_channels(lane, channels).await;
        match lease(shared, lane, free.len()).await {
            Ok(leased) if !leased.is_empty() => {
                free.truncate(leased.len());
                return (free, leased);
            }
            Ok(_) => {
                drop(free);
                let _ = tokio::time::timeout(LOOK_EVERY, queued(&mut notices)).await;
            }
            Err(error) => {
                tracing::warn!(trunk = lane.trunk.name, %error, "cannot lease calls; trying again");
                drop(free);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// At least one channel, and as many more as are free and the pace uses within a second.
async fn free_channels(lane: &Lane, channels: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let wanted = lane.config.calls_per_second.max(lane.config.burst).get();
    let wanted = wanted.min(LEASE_MAX) as usize;
    let mut free = Vec::new();
    // The semaphore is never closed, so there is always a first.
    free.extend(Arc::clone(channels).acquire_owned().await);
    while free.len() < wanted {
        let Ok(channel) = Arc::clone(channels).try_acquire_owned() else {
            break;
        };
        free.push(channel);
    }
    free
}

/// lease-1, for as many calls as there is room for.
async fn lease(shared: &Shared, lane: &Lane, room: usize) -> Result<Vec<Leased>, StoreError> {
    let store = shared.gate.store();
    let now = shared.clock.read().wall;
    // Looking is cheap and needs no write lock; only what waits is leased.
    if store
        .read()
        .await?
        .queued_count(&lane.trunk.name, now)
        .await?
        == 0
    {
        return Ok(Vec::new());
    }
    let room = u32::try_from(room).unwrap_or(LEASE_MAX);
    let mut tx = store.write(Urgency::Ordinary).await?;
    let leased = tx
        .lease_calls(shared.me, &lane.trunk.name, room, now)
        .await?;
    if let Err(error) = tx.commit().await {
        // Not known: they may be ours all the same.
        for leased in &leased {
            journal::give_back(store, leased).await;
        }
        return Err(error);
    }
    let mut active = shared.active();
    for leased in &leased {
        // Known from here on: a lease of ours that is on record and not known here was never heard of.
        active.insert(leased.call.call_id, Active::Waiting);
    }
    Ok(leased)
}

async fn queued(notices: &mut tokio::sync::broadcast::Receiver<Notice>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match notices.recv().await {
            // Missed notices may have been ours.
            Ok(Notice::CallQueued) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

pub(super) async fn drained(phase: &mut watch::Receiver<Phase>) {
    // A dropped sender is a worker that is gone.
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
}

/// This process is about to end: what it cannot give back another's sweeper will.
async fn give_back(shared: &Shared, calls: impl Iterator<Item = Leased>) {
    for leased in calls {
        if let Err(error) = journal::release(shared.gate.store(), &leased).await {
            tracing::warn!(call.id = %leased.call.call_id, %error, "a leased call was not given back; a sweeper will");
        }
        shared.active().remove(&leased.call.call_id);
    }
}
