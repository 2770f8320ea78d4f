//! A lane per trunk: lease what is due, wait for a free channel, wait for a pace token, begin the attempt.

use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::store::{Leased, Notice, StoreError, Urgency};

use super::{Active, LOOK_EVERY, Lane, Phase, Shared, attempt, journal};

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
    let pace = RateLimiter::direct(
        Quota::per_second(lane.config.calls_per_second).allow_burst(lane.config.burst),
    );
    loop {
        let leased = tokio::select! {
            leased = due(&shared, &lane, &channels) => leased,
            () = drained(&mut phase) => return,
        };
        let mut waiting = leased.into_iter();
        while let Some(call) = waiting.next() {
            tokio::select! {
                channel = turn(&channels, &pace) => {
                    let Ok(channel) = channel else { return };
                    calls.spawn(attempt::run(Arc::clone(&shared), lane.clone(), call, channel));
                }
                () = drained(&mut phase) => {
                    give_back(&shared, std::iter::once(call).chain(waiting)).await;
                    return;
                }
            }
        }
    }
}

/// A channel first, then a token, and then claim-1: a token that is taken is used within milliseconds, so that the pace
/// on the wire is the pace of the tokens.
async fn turn(
    channels: &Arc<Semaphore>,
    pace: &DefaultDirectRateLimiter,
) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
    let channel = Arc::clone(channels).acquire_owned().await?;
    pace.until_ready().await;
    Ok(channel)
}

/// Leases calls as soon as there are any; looks when told, and every quarter of a second without.
async fn due(shared: &Shared, lane: &Lane, channels: &Semaphore) -> Vec<Leased> {
    let mut notices = shared.gate.store().notices();
    loop {
        let room = u32::try_from(channels.available_permits())
            .unwrap_or(LEASE_MAX)
            .clamp(1, LEASE_MAX);
        match lease(shared, lane, room).await {
            Ok(leased) if !leased.is_empty() => return leased,
            Ok(_) => {
                let _ = tokio::time::timeout(LOOK_EVERY, queued(&mut notices)).await;
            }
            Err(error) => {
                tracing::warn!(trunk = lane.trunk.name, %error, "cannot lease calls; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// lease-1, for as many calls as there is room for.
async fn lease(shared: &Shared, lane: &Lane, room: u32) -> Result<Vec<Leased>, StoreError> {
    let store = shared.gate.store();
    // Looking is cheap and needs no write lock; only what waits is leased.
    if store.read().await?.queued_count(&lane.trunk.name).await? == 0 {
        return Ok(Vec::new());
    }
    let at = shared.clock.read().wall;
    let mut tx = store.write(Urgency::Ordinary).await?;
    let leased = tx
        .lease_calls(shared.me, &lane.trunk.name, room, at)
        .await?;
    if let Err(error) = tx.commit().await {
        // Not known: they may be ours all the same.
        for leased in &leased {
            journal::give_back(store, leased).await;
        }
        return Err(error);
    }
    // What is leased to us and not known here, `watch` gives back.
    let held = leased
        .iter()
        .map(|each| (each.call.call_id, Active::Waiting));
    shared.active().extend(held);
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

async fn drained(phase: &mut watch::Receiver<Phase>) {
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
