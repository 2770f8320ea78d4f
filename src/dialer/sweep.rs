//! The heartbeat of this process, and what dead ones left behind (sweep-1 to sweep-3). Any node may sweep, several at
//! once are harmless. A worker judged dead may be alive: so nothing that may have been sent is ever dialed again from
//! here, and a permit is declared closed only after watching it for the barrier's full wait on this node's own clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::call::{EventDetail, Outcome, Retry};
use crate::domain::ids::{AttemptId, CallId, Incarnation, TenantId};
use crate::domain::time::{Micros, Mono, Reading};
use crate::gate::BARRIER_WAIT;
use crate::store::{AttemptEnd, AuditEntry, StoreError, Urgency};

use super::journal::end_attempt;
use super::{Phase, Shared, unattended};

/// How often this process counts its heartbeat up and looks at the others'.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// A heartbeat that stood still for so long, on the sweeper's clock, belongs to a dead process.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Looks that lie further apart than this say nothing about the time between them: the store did not answer, or this
/// process stood still, and a living heart may not have been able to beat either, or not have been heard.
const LATE_AFTER: Duration = BEAT_EVERY.saturating_mul(5);

/// A sweep buries for so long at most: our own heart must beat, and the next look must not be late. What is left is gone
/// on with at once.
const BURY_FOR: Duration = Duration::from_secs(2);

/// Attempts that are ended at the same time.
const BURIED_AT_ONCE: usize = 4;

/// How long the answers to what clients asked of calls are kept, for who asks the same again: no call is up for longer.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// How often what is older is forgotten, and how many of it at once.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const FORGOTTEN_MAX: i64 = 1_000;

/// Calls that one look ends at most; the next look is a second away.
const EXPIRED_MAX: i64 = 256;

/// What was seen of others, and since when it has not changed.
#[derive(Default)]
struct Seen {
    /// When the hearts were looked at last, with success.
    looked: Option<Mono>,
    hearts: HashMap<Incarnation, (i64, Mono)>,
    permits: HashMap<AttemptId, Mono>,
    tidied: Option<Mono>,
}

/// Beats and sweeps until the worker has stopped.
pub(super) async fn run(shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let mut seen = Seen::default();
    loop {
        let pause = match beat_and_sweep(&shared, &mut seen).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => BEAT_EVERY,
            Err(error) => {
                tracing::warn!(%error, "cannot beat or sweep; trying again");
                BEAT_EVERY
            }
        };
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // A process that stopped in order leaves nothing, and says so; if it cannot, the next sweeper finds out.
    if let Err(error) = leave_nothing(&shared).await {
        tracing::warn!(%error, "cannot close what is left; another node's sweeper will");
    }
}

/// What has no outcome when the worker has stopped is ended as what a dead one left.
async fn leave_nothing(shared: &Arc<Shared>) -> Result<(), StoreError> {
    while bury(shared, shared.me, shared.clock.read()).await? {}
    Ok(())
}

/// True = dead workers have left more than this sweep could end.
async fn beat_and_sweep(shared: &Arc<Shared>, seen: &mut Seen) -> Result<bool, StoreError> {
    let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
    tx.beat(shared.me, &shared.node, shared.clock.read().wall)
        .await?;
    let hearts = tx.heartbeats().await?;
    let has_peers = hearts.iter().any(|(each, _)| *each != shared.me);
    shared.has_peers.store(has_peers, Ordering::Relaxed);
    let open = tx.attempts_open().await?;
    tx.commit().await?;
    // After the look: a store that answers slowly must not make a permit seem watched for longer than it was.
    let now = shared.clock.read();
    expire(shared, now).await?;
    let mut more = false;
    if seen.may_tidy(now.mono) {
        let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
        tx.forget_instructions(now.wall.minus(KEPT_FOR), FORGOTTEN_MAX)
            .await?;
        tx.commit().await?;
    }
    for dead in seen.dead(shared.me, &hearts, now.mono) {
        match unattended::bury(shared, dead).await {
            Ok(left) => more |= left,
            Err(error) => {
                tracing::warn!(owner = %dead, %error, "cannot see to the calls that were followed by way of a dead worker; trying again");
            }
        }
        match bury(shared, dead, now).await {
            Ok(left) => more |= left,
            Err(error) => {
                tracing::warn!(owner = %dead, %error, "cannot close all that a dead worker left; trying again");
            }
        }
    }
    let watched = seen.watched(&open, now.mono);
    if !watched.is_empty() {
        let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
        tx.close_permits(&watched).await?;
        tx.commit().await?;
    }
    Ok(more)
}

/// Ends what a dead worker had claimed, as not known (sweep-1), and frees what it had only leased (sweep-3). True = there
/// was no time for all of it.
async fn bury(shared: &Arc<Shared>, dead: Incarnation, now: Reading) -> Result<bool, StoreError> {
    let store = shared.gate.store();
    let mut orphans = store.read().await?.orphans(dead).await?;
    if dead != shared.me {
        tracing::warn!(owner = %dead, attempts = orphans.len(), "a worker is gone; closing what it left");
    }
    // Other sweepers are at the same list: each begins somewhere else, by the millisecond it was started in.
    let started = shared.me.0.as_u128() >> 80;
    let begin = started.checked_rem(orphans.len() as u128).unwrap_or(0);
    orphans.rotate_left(usize::try_from(begin).unwrap_or(0));
    let mut failed = None;
    for some in orphans.chunks(BURIED_AT_ONCE) {
        if shared.clock.read().mono.since(now.mono) >= BURY_FOR {
            return failed.map_or(Ok(true), Err);
        }
        let mut ends = JoinSet::new();
        for (attempt_id, call_id, tenant) in some.iter().cloned() {
            let shared = Arc::clone(shared);
            ends.spawn(
                async move { end_orphan(&shared, attempt_id, call_id, &tenant, now.wall).await },
            );
        }
        // One that cannot be ended does not keep the others from their end.
        for ended in ends.join_all().await {
            failed = failed.or(ended.err());
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut tx = store.write(Urgency::Ordinary).await?;
    tx.requeue_leases_of(dead).await?;
    tx.forget_node(dead).await?;
    tx.commit().await?;
    Ok(false)
}

async fn end_orphan(
    shared: &Shared,
    attempt_id: AttemptId,
    call_id: CallId,
    tenant: &TenantId,
    at: Micros,
) -> Result<(), StoreError> {
    let store = shared.gate.store();
    let Some(call) = store.read().await?.call_to_end(tenant, call_id).await? else {
        return Ok(());
    };
    let outcome = Outcome::InterruptedUnknown;
    let detail = EventDetail {
        outcome: Some(outcome),
        retry: Some(Retry::Never),
        ..EventDetail::default()
    };
    let end = AttemptEnd {
        attempt_id,
        call_id,
        outcome,
        counts_as: None,
        detail,
        at,
        permit_gone: false,
    };
    end_attempt(store, &call, &end).await?;
    shared.tell(call_id).await;
    Ok(())
}

/// Calls whose time ran out in the queue end there; they hold up nobody, and whoever follows them is told.
async fn expire(shared: &Shared, now: Reading) -> Result<(), StoreError> {
    let store = shared.gate.store();
    let mut tx = store.write(Urgency::Ordinary).await?;
    let expired = tx.expire_due(now.wall, EXPIRED_MAX).await?;
    for call in &expired {
        let entry = AuditEntry::call_expired(call, now.wall);
        tx.insert_audit(&call.tenant, &[entry]).await?;
    }
    tx.commit().await?;
    let tell = async {
        for call in &expired {
            shared.tell(call.call_id).await;
        }
    };
    // Who is not told looks by themselves; our own heart must beat.
    let _ = tokio::time::timeout(BEAT_EVERY, tell).await;
    Ok(())
}

impl Seen {
    /// Whether it is time to forget what is old.
    fn may_tidy(&mut self, now: Mono) -> bool {
        let due = self.tidied.is_none_or(|last| now.since(last) >= TIDY_EVERY);
        if due {
            self.tidied = Some(now);
        }
        due
    }

    /// Processes whose counter has stood still for too long, in looks that came in time; after one that did not, all
    /// begin anew.
    fn dead(
        &mut self,
        me: Incarnation,
        hearts: &[(Incarnation, i64)],
        now: Mono,
    ) -> Vec<Incarnation> {
        let last = self.looked.replace(now);
        if last.is_some_and(|last| now.since(last) > LATE_AFTER) {
            self.hearts.clear();
        }
        self.hearts
            .retain(|known, _| hearts.iter().any(|(each, _)| each == known));
        let mut dead = Vec::new();
        for (owner, beats) in hearts.iter().filter(|(owner, _)| *owner != me) {
            let (last, since) = self.hearts.entry(*owner).or_insert((*beats, now));
            if last != beats {
                (*last, *since) = (*beats, now);
            } else if now.since(*since) >= DEAD_AFTER {
                dead.push(*owner);
            }
        }
        dead
    }

    /// Permits that this process has itself seen open for the barrier's wait (sweep-2).
    fn watched(&mut self, open: &[AttemptId], now: Mono) -> Vec<AttemptId> {
        self.permits.retain(|known, _| open.contains(known));
        let mut watched = Vec::new();
        for attempt_id in open {
            let since = *self.permits.entry(*attempt_id).or_insert(now);
            if now.since(since) >= BARRIER_WAIT {
                watched.push(*attempt_id);
            }
        }
        watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn a_heart_that_stands_still_long_enough_is_dead_and_ours_never_is() {
        let (me, other) = (Incarnation::new(Micros(1)), Incarnation::new(Micros(2)));
        let mut seen = Seen::default();
        for second in 0..20 {
            let dead = seen.dead(me, &[(me, 1), (other, 1)], at(second));
            assert!(dead.is_empty(), "after {second} s");
        }
        for second in 20..40 {
            let dead = seen.dead(me, &[(me, 1), (other, 2)], at(second));
            assert!(dead.is_empty(), "it beat; after {second} s");
        }
        assert_eq!(seen.dead(me, &[(me, 1), (other, 2)], at(40)), [other]);
    }

    #[test]
    fn nobody_dies_of_time_in_which_the_sweeper_itself_saw_nothing() {
        let (me, other) = (Incarnation::new(Micros(1)), Incarnation::new(Micros(2)));
        let hearts = [(me, 1), (other, 1)];
        let mut seen = Seen::default();
        for second in 0..20 {
            assert!(seen.dead(me, &hearts, at(second)).is_empty());
        }
        // The store did not answer for 25 s: that everything stands still then says nothing.
        for second in 44..64 {
            let dead = seen.dead(me, &hearts, at(second));
            assert!(dead.is_empty(), "after {second} s");
        }
        // Dead all the same, and buried well within 60 s from when the store was back.
        assert_eq!(seen.dead(me, &hearts, at(64)), [other]);
    }

    #[test]
    fn a_look_that_failed_once_does_not_keep_the_dead_alive() {
        let (me, other) = (Incarnation::new(Micros(1)), Incarnation::new(Micros(2)));
        let mut seen = Seen::default();
        let dead = [0, 5, 10, 15, 20].map(|second| seen.dead(me, &[(other, 1)], at(second)));
        assert_eq!(dead, [vec![], vec![], vec![], vec![], vec![other]]);
    }

    #[test]
    fn a_permit_is_closed_only_after_the_wait_on_our_own_clock() {
        let attempt = AttemptId::new(Micros(1));
        let mut seen = Seen::default();
        assert!(seen.watched(&[attempt], at(100)).is_empty());
        assert!(seen.watched(&[attempt], at(101)).is_empty());
        assert_eq!(seen.watched(&[attempt], at(102)), [attempt]);
        assert!(seen.watched(&[], at(103)).is_empty());
        assert!(seen.watched(&[attempt], at(104)).is_empty(), "seen anew");
    }
}
