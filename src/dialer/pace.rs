//! The pace of a trunk: tokens that fill up by the one clock that the whole node lives by.

use std::time::Duration;

use governor::clock::Clock as Time;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::TrunkConfig;
use crate::clock::Clock;

/// The pace of one trunk.
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ours, NoOpMiddleware<Duration>>,
    clock: Ours,
}

/// Our monotonic clock as the limiter reads it.
#[derive(Clone)]
struct Ours(Clock);

impl Time for Ours {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.read().mono.0
    }
}

impl Pace {
    /// The pace of this section of the configuration.
    pub(super) fn of(config: &TrunkConfig, clock: Clock) -> Self {
        let quota = Quota::per_second(config.calls_per_second).allow_burst(config.burst);
        let clock = Ours(clock);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
        }
    }

    /// Waits for the right to begin one call.
    pub(super) async fn token(&self) {
        while let Err(early) = self.limiter.check() {
            tokio::time::sleep(early.wait_time_from(self.clock.now())).await;
        }
    }
}
