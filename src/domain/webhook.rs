//! How far a webhook is: to where the changes of opt-outs were delivered, and how it goes.

use std::time::Duration;

use super::text::words;
use super::time::Micros;

/// A change that is not delivered after this time is overdue.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(60);

words! {
    /// Whether anything is delivered.
    WebhookState, "state of a webhook" {
        /// What comes is delivered, at once or when it is tried again.
        Delivering = "delivering",
        /// It was given up; an administrator brings it back.
        Parked = "parked",
    }
}

/// How far a webhook is, and what became of the latest tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookProgress {
    /// Its name in the configuration.
    pub name: String,
    /// How often it began with the first change again.
    pub round: i64,
    /// Position of the last change that was delivered; 0 = none.
    pub delivered: i64,
    /// Position of the last change of the batch that was sent and not taken yet: what is sent again is the same batch.
    pub batch_end: Option<i64>,
    /// Whether anything is delivered.
    pub state: WebhookState,
    /// Tries in a row that failed.
    pub tries: i64,
    /// When the first of them failed.
    pub failing_since: Option<Micros>,
    /// When the last of them failed.
    pub tried_at: Option<Micros>,
    /// For how long it was tried in vain: the time from try to try, without that in which no node tried.
    pub failing_for: Duration,
    /// Not tried before.
    pub next_try_at: Option<Micros>,
    /// What went wrong last, in one word; absent once something was delivered.
    pub last_problem: Option<String>,
    /// When something was delivered last.
    pub delivered_at: Option<Micros>,
}

impl WebhookProgress {
    /// A webhook that has delivered up to here and goes on from there.
    #[must_use]
    pub fn new(name: String, delivered: i64) -> Self {
        Self {
            name,
            round: 1,
            delivered,
            batch_end: None,
            state: WebhookState::Delivering,
            tries: 0,
            failing_since: None,
            tried_at: None,
            failing_for: Duration::ZERO,
            next_try_at: None,
            last_problem: None,
            delivered_at: None,
        }
    }
}

/// What a webhook has still to deliver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookLag {
    /// Changes that were not delivered.
    pub changes: i64,
    /// When the oldest of them happened.
    pub oldest_at: Option<Micros>,
}

impl WebhookLag {
    /// For how long the oldest change has been waiting.
    #[must_use]
    pub fn age(&self, now: Micros) -> Duration {
        let micros = self.oldest_at.map_or(0, |at| now.since(at));
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whether it has been waiting for too long.
    #[must_use]
    pub fn is_overdue(&self, now: Micros) -> bool {
        self.age(now) > OVERDUE_AFTER
    }
}
