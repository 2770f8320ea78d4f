//! P-04: what nobody remembers is found. Each test runs one worker in this process, whose clock is moved by hand, over a
//! store in which something was left.

use std::sync::Arc;
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig};
use dialgate::domain::call::Outcome;
use dialgate::domain::ids::Incarnation;
use dialgate::sip::{Endpoint, SipConfig};

use super::sink::now;
use crate::gate::bench::Bench;
use crate::gate::on_both;
use crate::support::builders::{NOON, phone};

on_both! {
    p04_a_claim_whose_worker_never_beat_is_closed,
    p04_hundreds_of_calls_of_a_dead_worker_are_closed_in_one_go,
    p04_a_lease_that_its_owner_never_heard_of_goes_back,
    p03_a_worker_taken_for_dead_keeps_its_permit_until_it_must_be_over,
}

/// Time that passes between two sweeps: less than would make them late.
const STEP: Duration = Duration::from_secs(4);

/// A worker without trunks: it keeps watch and sweeps.
struct Keeper {
    bench: Bench,
    dialer: Dialer,
    me: Incarnation,
}

impl Keeper {
    async fn start(bench: Bench) -> Self {
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let config = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&config, clock.clone()).await.unwrap();
        let before = bench.store.read().await.heartbeats().await.unwrap();
        let dialer = Dialer::start(
            bench.gate.clone(),
            endpoint,
            Vec::new(),
            &DialerConfig::default(),
            clock,
        );
        let mut keeper = Self {
            bench,
            dialer,
            me: Incarnation::new(NOON),
        };
        // The new heart is the worker's.
        for _ in 0..500 {
            let hearts = keeper.bench.store.read().await.heartbeats().await.unwrap();
            if let Some((me, _)) = hearts
                .iter()
                .find(|heart| heart.1 > 0 && !before.iter().any(|old| old.0 == heart.0))
            {
                keeper.me = *me;
                return keeper;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the worker's heart does not beat");
    }

    async fn beats(&self) -> i64 {
        let hearts = self.bench.store.read().await.heartbeats().await.unwrap();
        hearts
            .iter()
            .find(|heart| heart.0 == self.me)
            .map_or(0, |heart| heart.1)
    }

    /// Waits until a sweep that began after now is over.
    async fn swept(&self) {
        let (before, give_up) = (self.beats().await, now() + Duration::from_secs(30));
        while self.beats().await < before + 2 {
            assert!(now() < give_up, "the worker does not sweep");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets time pass until this holds, never so much between two sweeps that the worker would mistrust its own looks.
    async fn sweep_until(&self, mut holds: impl AsyncFnMut(&Bench) -> bool) {
        for _ in 0..30 {
            if holds(&self.bench).await {
                return;
            }
            self.bench.clock.advance(STEP);
            self.swept().await;
        }
        panic!("it never came to pass");
    }

    /// Lets that much time pass in steps until this holds.
    async fn pass(&self, step: Duration, mut holds: impl AsyncFnMut(&Bench) -> bool) {
        let give_up = now() + Duration::from_secs(30);
        while !holds(&self.bench).await {
            assert!(now() < give_up, "it never came to pass");
            self.bench.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

mod tests {
    use super::*;

    /// It died between its first claim and its first heartbeat.
    pub async fn p04_a_claim_whose_worker_never_beat_is_closed(bench: Bench) {
        let dead = Incarnation::new(NOON);
        let (call, _) = bench.store.claimed(phone(1), dead).await;
        let keeper = Keeper::start(bench).await;
        keeper
            .sweep_until(async |bench| {
                bench
                    .store
                    .read()
                    .await
                    .orphans(dead)
                    .await
                    .unwrap()
                    .is_empty()
            })
            .await;
        let mut tx = keeper.bench.store.read().await;
        let call = tx.call(&call.tenant, call.call_id).await.unwrap().unwrap();
        assert_eq!(call.outcome, Some(Outcome::InterruptedUnknown));
        keeper.dialer.drain().await;
    }

    /// However many there are: a second's pause after every few would make them wait for minutes.
    pub async fn p04_hundreds_of_calls_of_a_dead_worker_are_closed_in_one_go(bench: Bench) {
        const LEFT: u32 = 300;
        let dead = Incarnation::new(NOON);
        for index in 0..LEFT {
            bench.store.claimed(phone(index), dead).await;
        }
        let keeper = Keeper::start(bench).await;
        let left = async |bench: &Bench| {
            let mut tx = bench.store.read().await;
            tx.orphans(dead).await.unwrap().len()
        };
        keeper
            .sweep_until(async |bench| left(bench).await < LEFT as usize)
            .await;
        keeper.swept().await;
        assert_eq!(left(&keeper.bench).await, 0);
        keeper.dialer.drain().await;
    }

    /// The answer to the lease's COMMIT was lost, and its owner lives on.
    pub async fn p04_a_lease_that_its_owner_never_heard_of_goes_back(bench: Bench) {
        let keeper = Keeper::start(bench).await;
        keeper.bench.store.queued(phone(1)).await;
        let mut tx = keeper.bench.store.write().await;
        assert_eq!(
            tx.lease_calls(keeper.me, "spring", 9, NOON)
                .await
                .unwrap()
                .len(),
            1
        );
        tx.commit().await.unwrap();
        keeper
            .pass(Duration::from_secs(1), async |bench| {
                bench
                    .store
                    .read()
                    .await
                    .queued_count("main", NOON)
                    .await
                    .unwrap()
                    == 1
            })
            .await;
        keeper.dialer.drain().await;
    }

    /// Its heart stands still and it goes on working: an opt-out that believed its permit closed would be answered early.
    pub async fn p03_a_worker_taken_for_dead_keeps_its_permit_until_it_must_be_over(bench: Bench) {
        let other = Incarnation::new(NOON);
        let mut tx = bench.store.write().await;
        tx.beat(other, "other", NOON).await.unwrap();
        tx.commit().await.unwrap();
        let keeper = Keeper::start(bench).await;
        for index in 0..20 {
            // Each sweep sees a claim for the first time: so does the one for which the heart's time has run out.
            keeper.bench.clock.advance(STEP);
            let (_, attempt) = keeper.bench.store.claimed(phone(index), other).await;
            keeper.swept().await;
            let mut tx = keeper.bench.store.read().await;
            if !tx.orphans(other).await.unwrap().is_empty() {
                continue;
            }
            let ids = [attempt.attempt_id];
            assert_eq!(tx.still_open(&ids).await.unwrap(), ids);
            drop(tx);
            keeper
                .sweep_until(async |bench| {
                    let mut tx = bench.store.read().await;
                    tx.still_open(&ids).await.unwrap().is_empty()
                })
                .await;
            return keeper.dialer.drain().await;
        }
        panic!("the worker is never taken for dead");
    }
}
