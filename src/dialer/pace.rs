//! Paces as carriers and the people called see them: never more new calls in any second than the rate and the burst. One for
//! each trunk, and where the configuration asks for it one for a campaign and one for all numbers that begin alike.
//!
//! A bucket of tokens that fill up by the node's own clock, and that is not all: between token and INVITE lies the claim,
//! which a slow store holds up, and a socket that may be full. Tokens that wait there would fill the bucket anew behind
//! them and then leave all at once. So the bucket never fills beyond the burst less the tokens in hand: what may leave
//! within a second is what was in hand or in the bucket when it began, the burst at most, and what the rate adds.
//!
//! While a target of the trunk sleeps at its own wish (503 with Retry-After) tokens fill up half as fast: the carrier is
//! short of room, and the other targets are not to get at once what the one could not take.
//!
//! An INVITE to a further target or trunk takes a token like a first one: to whoever receives it it is a new call. The answer
//! to a challenge takes none: it is the same call, which carriers count once, and it has to leave while its permit lives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::LOOK_EVERY;
use crate::clock::Clock;
use crate::domain::route::Rate;
use crate::domain::time::Mono;

/// One pace.
pub(super) struct Pace {
    clock: Clock,
    bucket: Mutex<Bucket>,
    /// A token left somebody's hand: for the call under way whose turn it is, and for who begins new ones.
    given_up: Notify,
    stir: Arc<Notify>,
    /// One waits for the bucket, the others in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// Calls under way that wait. They go before new ones: somebody is on the line already.
    under_way: AtomicUsize,
}

struct Bucket {
    /// Time that one token takes to fill up.
    interval: Duration,
    burst: u32,
    /// What has filled up and was not taken, as the time that took.
    filled: Duration,
    at: Mono,
    in_hand: u32,
    /// Until then it fills up half as fast.
    slow_until: Mono,
}

/// The right to begin one call, or to try its next target, by all paces that it is under; in hand until its INVITE has left or
/// never will.
pub(super) struct Token(Vec<Arc<Pace>>);

impl Pace {
    /// A pace whose bucket is full; `stir` is told of each token that is given up.
    pub(super) fn new(rate: Rate, clock: Clock, stir: Arc<Notify>) -> Arc<Self> {
        let bucket = Bucket::full(rate, clock.read().mono);
        Arc::new(Self {
            clock,
            bucket: Mutex::new(bucket),
            given_up: Notify::new(),
            stir,
            turn: tokio::sync::Mutex::new(()),
            under_way: AtomicUsize::new(0),
        })
    }

    /// Keeps to this rate from now on. What is in hand stays in hand, and nothing is in the bucket that was not before.
    pub(super) fn set(&self, rate: Rate) {
        let now = self.clock.read().mono;
        let mut bucket = self.bucket();
        bucket.fill(now);
        let tokens = bucket.tokens();
        (bucket.interval, bucket.burst) = (interval(rate), rate.burst.get());
        bucket.filled = bucket.interval.saturating_mul(tokens);
        bucket.fill(now);
    }

    /// Halves the pace until then.
    pub(super) fn slow_until(&self, until: Mono) {
        let now = self.clock.read().mono;
        let mut bucket = self.bucket();
        bucket.fill(now);
        bucket.slow_until = bucket.slow_until.max(until);
    }

    /// How long a new call has to wait at least; none = it need not.
    pub(super) fn wait(&self) -> Option<Duration> {
        let now = self.clock.read().mono;
        let wait = self.bucket().wait(now);
        match self.under_way.load(Ordering::SeqCst) {
            0 => wait,
            _ => Some(wait.unwrap_or_default().max(LOOK_EVERY)),
        }
    }

    /// Takes a token of each of these, or of none and tells which has none, and how long that lasts at least.
    pub(super) fn take_all(paces: &[Arc<Self>]) -> Result<Token, Short> {
        let mut taken = Vec::with_capacity(paces.len());
        for pace in paces {
            let now = pace.clock.read().mono;
            if let Err(wait) = pace.bucket().take(now) {
                taken.iter().for_each(|each: &Arc<Self>| each.put_back());
                let pace = Arc::clone(pace);
                return Err(Short { pace, wait });
            }
            taken.push(Arc::clone(pace));
        }
        Ok(Token(taken))
    }

    /// Waits for the right to send the INVITE of a call under way to a further target, by these paces.
    pub(super) async fn token(paces: &[Arc<Self>]) -> Token {
        let mut short = match Self::take_all(paces) {
            Ok(token) => return token,
            Err(short) => short,
        };
        loop {
            // It goes before new calls where it waits, and nowhere else: a trunk with tokens is not to stand idle for it.
            let pace = Arc::clone(&short.pace);
            let _before_new_ones = UnderWay::of(&pace);
            let _turn = pace.turn.lock().await;
            while Arc::ptr_eq(&short.pace, &pace) {
                // With all tokens in hand nothing fills up until one is given up; looking too early costs nothing.
                let wait = short.wait.min(LOOK_EVERY);
                let _ = tokio::time::timeout(wait, pace.given_up.notified()).await;
                match Self::take_all(paces) {
                    Ok(token) => return token,
                    Err(next) => short = next,
                }
            }
        }
    }

    fn put_back(&self) {
        let now = self.clock.read().mono;
        self.bucket().put_back(now);
        self.tell();
    }

    fn tell(&self) {
        self.given_up.notify_one();
        self.stir.notify_one();
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // Whoever panicked while holding it left numbers that are true of some moment.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pace without a token, and how long it stays so at least.
pub(super) struct Short {
    pace: Arc<Pace>,
    wait: Duration,
}

/// A call under way that waits for a pace.
struct UnderWay(Arc<Pace>);

impl UnderWay {
    fn of(pace: &Arc<Pace>) -> Self {
        pace.under_way.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(pace))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.stir.notify_one();
    }
}

fn interval(rate: Rate) -> Duration {
    Duration::from_secs(1) / rate.calls_per_second.get()
}

impl Bucket {
    fn full(rate: Rate, at: Mono) -> Self {
        let (interval, burst) = (interval(rate), rate.burst.get());
        Self {
            interval,
            burst,
            filled: interval.saturating_mul(burst),
            at,
            in_hand: 0,
            slow_until: Mono::default(),
        }
    }

    fn fill(&mut self, now: Mono) {
        let room = self.burst.saturating_sub(self.in_hand);
        let slow = now.min(self.slow_until).since(self.at);
        let filled = self.filled.saturating_add(now.since(self.at) - slow / 2);
        self.filled = filled.min(self.interval.saturating_mul(room));
        self.at = now;
    }

    /// Whole tokens in the bucket.
    fn tokens(&self) -> u32 {
        let interval = self.interval.as_nanos().max(1);
        u32::try_from(self.filled.as_nanos() / interval).unwrap_or(u32::MAX)
    }

    fn wait(&mut self, now: Mono) -> Option<Duration> {
        self.fill(now);
        let wait = self.interval.saturating_sub(self.filled);
        (wait > Duration::ZERO).then_some(wait)
    }

    fn take(&mut self, now: Mono) -> Result<(), Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.filled = self.filled.saturating_sub(self.interval);
        self.in_hand += 1;
        Ok(())
    }

    /// One that was in hand has left.
    fn give_up(&mut self, now: Mono) {
        self.fill(now);
        self.in_hand = self.in_hand.saturating_sub(1);
    }

    /// One that was in hand was not used and never will be.
    fn put_back(&mut self, now: Mono) {
        self.give_up(now);
        self.filled = self.filled.saturating_add(self.interval);
        self.fill(now);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        for pace in &self.0 {
            let now = pace.clock.read().mono;
            pace.bucket().give_up(now);
            pace.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Micros;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            calls_per_second: per_second.try_into().unwrap(),
            burst: burst.try_into().unwrap(),
        }
    }

    fn pace(per_second: u32, burst: u32) -> (Arc<Pace>, Arc<ManualClock>) {
        let clock = ManualClock::at(Micros(0));
        let of = Clock::Manual(Arc::clone(&clock));
        let stir = Arc::default();
        (Pace::new(rate(per_second, burst), of, stir), clock)
    }

    fn try_token(pace: &Arc<Pace>) -> Option<Token> {
        Pace::take_all(std::slice::from_ref(pace)).ok()
    }

    /// How many tokens are to be had and used at once.
    fn used_at_once(pace: &Arc<Pace>) -> usize {
        std::iter::from_fn(|| try_token(pace)).take(1_000).count()
    }

    /// A trunk with tokens does not stand idle because a call under way waits for the pace of its campaign.
    #[tokio::test]
    async fn who_waits_for_one_pace_leaves_the_others_to_new_calls() {
        let ((trunk, _), (own, clock)) = (pace(100, 10), pace(1, 1));
        assert_eq!(used_at_once(&own), 1);
        let both = [Arc::clone(&trunk), Arc::clone(&own)];
        let waits = tokio::spawn(async move { Pace::token(&both).await });
        while own.under_way.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(trunk.wait(), None);
        assert_eq!(trunk.under_way.load(Ordering::SeqCst), 0);
        clock.advance(Duration::from_secs(1));
        assert!(
            own.wait() >= Some(LOOK_EVERY),
            "the one under way goes first"
        );
        drop(waits.await.unwrap());
        assert_eq!(own.under_way.load(Ordering::SeqCst), 0);
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
    fn a_burst_and_then_the_rate() {
        let (pace, clock) = pace(10, 3);
        assert_eq!(used_at_once(&pace), 3);
        assert_eq!(pace.wait(), Some(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(99));
        assert_eq!(used_at_once(&pace), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(used_at_once(&pace), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(used_at_once(&pace), 3, "no more than the burst");
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

    #[test]
    fn of_several_paces_all_give_a_token_or_none() {
        let (quick, clock) = pace(10, 2);
        let of = Clock::Manual(Arc::clone(&clock));
        let slow = Pace::new(rate(1, 1), of, Arc::default());
        let both = [Arc::clone(&quick), Arc::clone(&slow)];
        assert!(Pace::take_all(&both).is_ok());
        let wait = Pace::take_all(&both).err().map(|short| short.wait);
        assert_eq!(wait, Some(Duration::from_secs(1)));
        assert_eq!(
            used_at_once(&quick),
            1,
            "what the slow one refused is not gone"
        );
        clock.advance(Duration::from_secs(1));
        assert!(Pace::take_all(&both).is_ok());
    }

    #[test]
    fn another_rate_makes_no_tokens() {
        let (pace, clock) = pace(10, 2);
        assert_eq!(used_at_once(&pace), 2);
        pace.set(rate(100, 50));
        assert_eq!(used_at_once(&pace), 0);
        clock.advance(Duration::from_millis(10));
        assert_eq!(used_at_once(&pace), 1);
        clock.advance(Duration::from_secs(1));
        pace.set(rate(1, 1));
        assert_eq!(used_at_once(&pace), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Calls that come at any times, and claims that take any time: no second sees more leave than rate and burst, and
        /// nothing is lost.
        #[test]
        fn p11_no_sliding_second_sees_more_than_rate_and_burst(
            (per_second, burst) in (5_u32..40, 1_u32..10),
            arrivals in prop::collection::vec((0_u64..400, 0_u64..900), 1..60),
        ) {
            let (pace, clock) = pace(per_second, burst);
            let mut coming: Vec<(u64, u64)> = Vec::new();
            let mut at = 0;
            for (gap, hold) in arrivals {
                at += gap / 10;
                coming.push((at, hold));
            }
            let all = coming.len();
            let mut queue = std::collections::VecDeque::from(coming);
            let mut held: Vec<(u64, Token)> = Vec::new();
            let mut left: Vec<u64> = Vec::new();
            let mut now = 0_u64;
            while left.len() < all {
                prop_assert!(now < 1_000_000, "the last never leaves");
                held.retain(|(until, _)| {
                    let stays = *until > now;
                    if !stays {
                        left.push(now);
                    }
                    stays
                });
                while queue.front().is_some_and(|(at, _)| *at <= now) {
                    let Some(token) = try_token(&pace) else { break };
                    let (_, hold) = queue.pop_front().unwrap();
                    held.push((now + hold, token));
                }
                clock.advance(Duration::from_millis(1));
                now += 1;
            }
            for (index, first) in left.iter().enumerate() {
                let within = left[index..].iter().filter(|at| **at < first + 1_000).count();
                prop_assert!(within <= (per_second + burst) as usize, "{within} in the second from {first}");
            }
        }
    }
}
