//! The pace of a trunk, as its carrier sees it: never more first INVITEs in any second than the rate and the burst.
//!
//! A bucket of tokens that fill up by the node's own clock, and that is not all: between token and INVITE lies the claim,
//! which a slow store holds up, and a socket that may be full. Tokens that wait there would fill the bucket anew behind
//! them and then leave all at once. So the bucket never fills beyond the burst less the tokens in hand: what may leave
//! within a second is what was in hand or in the bucket when it began, the burst at most, and what the rate adds.
//!
//! While a target of the trunk sleeps at its own wish (503 with Retry-After) tokens fill up half as fast: the carrier is
//! short of room, and the other targets are not to get at once what the one could not take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::TrunkConfig;
use crate::clock::Clock;
use crate::domain::time::Mono;

/// The pace of one trunk.
pub(super) struct Pace {
    clock: Clock,
    /// Time that one token takes to fill up.
    interval: Duration,
    burst: u32,
    bucket: Mutex<Bucket>,
    /// A token left somebody's hand.
    given_up: Notify,
    /// One waits for the bucket, the others in the order in which they came: new calls and those that go on to another
    /// target.
    turn: tokio::sync::Mutex<()>,
}

struct Bucket {
    /// What has filled up and was not taken, as the time that took.
    filled: Duration,
    at: Mono,
    in_hand: u32,
    /// Until then it fills up half as fast.
    slow_until: Mono,
}

/// The right to begin one call, or to try its next target; in hand until its INVITE has left or never will.
pub(super) struct Token(Arc<Pace>);

impl Pace {
    /// The pace of this section of the configuration; the bucket is full.
    pub(super) fn of(config: &TrunkConfig, clock: Clock) -> Arc<Self> {
        let interval = Duration::from_secs(1) / config.calls_per_second.get();
        let burst = config.burst.get();
        let bucket = Mutex::new(Bucket {
            filled: interval.saturating_mul(burst),
            at: clock.read().mono,
            in_hand: 0,
            slow_until: Mono::default(),
        });
        Arc::new(Self {
            clock,
            interval,
            burst,
            bucket,
            given_up: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Waits for the right to send one call's INVITE to one target.
    pub(super) async fn token(self: &Arc<Self>) -> Token {
        let _turn = self.turn.lock().await;
        loop {
            match self.take() {
                None => return Token(Arc::clone(self)),
                // With all tokens in hand nothing fills up until one is given up; looking too early costs nothing.
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, self.given_up.notified()).await;
                }
            }
        }
    }

    /// Halves the pace until then.
    pub(super) fn slow_until(&self, until: Mono) {
        let now = self.clock.read().mono;
        let mut bucket = self.bucket();
        bucket.fill(now, self.interval, self.burst);
        bucket.slow_until = bucket.slow_until.max(until);
    }

    /// Takes a token, or tells when there may be one.
    fn take(&self) -> Option<Duration> {
        let now = self.clock.read().mono;
        let mut bucket = self.bucket();
        bucket.fill(now, self.interval, self.burst);
        match bucket.filled.checked_sub(self.interval) {
            Some(left) => {
                bucket.filled = left;
                bucket.in_hand += 1;
                None
            }
            None => Some(self.interval.saturating_sub(bucket.filled)),
        }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // Whoever panicked while holding it left numbers that are true of some moment.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self, now: Mono, interval: Duration, burst: u32) {
        let most = interval.saturating_mul(burst.saturating_sub(self.in_hand));
        let slow = now.min(self.slow_until).since(self.at);
        let filled = self.filled.saturating_add(now.since(self.at) - slow / 2);
        self.filled = filled.min(most);
        self.at = now;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let pace = &self.0;
        let now = pace.clock.read().mono;
        let mut bucket = pace.bucket();
        bucket.fill(now, pace.interval, pace.burst);
        bucket.in_hand = bucket.in_hand.saturating_sub(1);
        drop(bucket);
        pace.given_up.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Micros;

    fn pace(per_second: u32, burst: u32) -> (Arc<Pace>, Arc<ManualClock>) {
        let clock = ManualClock::at(Micros(0));
        let config = TrunkConfig {
            calls_per_second: per_second.try_into().unwrap(),
            burst: burst.try_into().unwrap(),
            ..TrunkConfig::towards("127.0.0.1:9".parse::<std::net::SocketAddr>().unwrap())
        };
        (Pace::of(&config, Clock::Manual(Arc::clone(&clock))), clock)
    }

    fn try_token(pace: &Arc<Pace>) -> Option<Token> {
        pace.take().is_none().then(|| Token(Arc::clone(pace)))
    }

    /// How many tokens are to be had and used at once.
    fn used_at_once(pace: &Arc<Pace>) -> usize {
        std::iter::from_fn(|| try_token(pace)).take(1_000).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (pace, clock) = pace(10, 3);
        assert_eq!(used_at_once(&pace), 3);
        assert_eq!(pace.take(), Some(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(99));
        assert_eq!(used_at_once(&pace), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(used_at_once(&pace), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(used_at_once(&pace), 3, "no more than the burst");
    }

    #[test]
    fn a_target_that_sleeps_halves_the_pace_until_it_wakes() {
        let (pace, clock) = pace(10, 3);
        assert_eq!(used_at_once(&pace), 3);
        pace.slow_until(Mono(Duration::from_secs(1)));
        pace.slow_until(Mono(Duration::from_millis(500)));
        clock.advance(Duration::from_millis(199));
        assert_eq!(used_at_once(&pace), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(used_at_once(&pace), 1);
        clock.advance(Duration::from_millis(800));
        assert_eq!(used_at_once(&pace), 3, "and no more than the burst");
        clock.advance(Duration::from_millis(100));
        assert_eq!(used_at_once(&pace), 1, "it is over");
    }

    #[test]
    fn tokens_that_wait_for_a_slow_store_do_not_fill_up_behind_themselves() {
        let (pace, clock) = pace(10, 3);
        let mut waiting: Vec<Token> = std::iter::from_fn(|| try_token(&pace)).take(9).collect();
        assert_eq!(waiting.len(), 3);
        clock.advance(Duration::from_secs(5));
        assert_eq!(used_at_once(&pace), 0, "three may leave at any moment");
        waiting.pop();
        assert_eq!(used_at_once(&pace), 0, "one just left");
        clock.advance(Duration::from_millis(150));
        assert_eq!(used_at_once(&pace), 1);
        drop(waiting);
        clock.advance(Duration::from_secs(5));
        assert_eq!(used_at_once(&pace), 3);
    }
}
