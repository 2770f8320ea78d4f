//! One provider on this node: whether it may be asked now, and what comes of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use tokio::sync::Semaphore;

use crate::domain::ids::ScrubResultId;
use crate::domain::phone::NumberKey;
use crate::domain::provider::{ScrubOutcome, ScrubResult};
use crate::domain::time::{Micros, Mono, Reading};
use crate::provider::{Breaker, Query, Said, Service, Turn};

/// Questions that are put to one provider at once.
const AT_ONCE: usize = 64;

/// For how long nobody asks again what a provider could not tell, and what it failed at: whoever tries a number twice does
/// not ask twice.
const UNKNOWN_COUNTS: Duration = Duration::from_mins(5);
const ERROR_COUNTS: Duration = Duration::from_secs(10);

/// A provider with what this node remembers of it.
pub(super) struct Desk {
    pub service: Service,
    breaker: Mutex<Breaker>,
    places: Semaphore,
    /// The day of which the operator was told that the budget is spent.
    told_spent: Mutex<Option<Date>>,
}

impl Desk {
    pub fn new(service: Service) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(
                service.breaker_failures,
                service.breaker_pause,
            )),
            places: Semaphore::new(AT_ONCE),
            told_spent: Mutex::default(),
            service,
        }
    }

    /// Whether the breaker lets a question through.
    pub fn admits(&self, now: Mono) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.admits(now)
    }

    /// A place among the questions under way; none when there are too many.
    pub fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Tells the operator once a day.
    pub fn budget_is_spent(&self, day: Date) {
        let mut told = self
            .told_spent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if told.replace(day) != Some(day) {
            tracing::warn!(
                provider = %self.service.name, max_per_day = self.service.max_per_day, %day,
                "the day's budget of a provider is spent: it is not asked any more today (UTC), and the rules deny what \
                 they need its answers for"
            );
        }
    }

    /// Asks. Whoever does not answer in time has not answered.
    pub async fn ask(&self, query: Query) -> Said {
        let asked = self.service.provider.ask(query);
        tokio::time::timeout(self.service.timeout, asked)
            .await
            .unwrap_or_else(|_| Said::error("timeout"))
    }

    /// Tells the breaker.
    pub fn heard(&self, said: &Said, now: Mono) {
        let is_answer = said.result != ScrubOutcome::Error;
        let turn = self
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .heard(is_answer, now);
        let (provider, why) = (&self.service.name, &said.raw_code);
        match turn {
            Some(Turn::Opened) => tracing::warn!(
                %provider, %why, pause_seconds = self.service.breaker_pause.as_secs(),
                "a provider failed again and again and is left alone for a while; the rules deny what they need its answers for"
            ),
            Some(Turn::Closed) => tracing::info!(%provider, "a provider answers again"),
            None if !is_answer => tracing::debug!(%provider, %why, "a provider gave no answer"),
            None => {}
        }
    }

    /// The row for what was said.
    pub fn result(
        &self,
        key: NumberKey,
        query: Query,
        asked_at: Micros,
        (said, now): (Said, Reading),
    ) -> ScrubResult {
        let counts = match said.result {
            ScrubOutcome::Listed | ScrubOutcome::Clear => self.service.valid,
            ScrubOutcome::Unknown => UNKNOWN_COUNTS,
            ScrubOutcome::Error => ERROR_COUNTS,
        };
        ScrubResult {
            scrub_result_id: ScrubResultId::new(now.wall),
            number_key: key,
            provider: self.service.name.clone(),
            kind: self.service.kind,
            result: said.result,
            raw_code: said.raw_code,
            line_type: said.line_type,
            for_date: query.since,
            asked_at,
            answered_at: now.wall,
            valid_until: now.wall.plus(counts),
        }
    }
}
