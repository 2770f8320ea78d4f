//! Leaves a provider alone that fails again and again: what is asked of it would be waited for in vain. Pure; time is told.

use std::time::Duration;

use crate::domain::time::Mono;

/// The state of one provider on one node.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause: Duration,
    failures: u32,
    /// Until when nothing is asked; then one question may try.
    open_until: Option<Mono>,
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The provider is left alone from now on.
    Opened,
    /// It answers again.
    Closed,
}

impl Breaker {
    /// Opens after so many failures in a row, for so long.
    #[must_use]
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max,
            pause,
            failures: 0,
            open_until: None,
        }
    }

    /// Whether a question may be put now. The one that tries a provider again after a pause keeps the others away for
    /// another, or until it is answered.
    pub fn admits(&mut self, now: Mono) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now.plus(self.pause));
                true
            }
        }
    }

    /// What a question that was admitted came to.
    pub fn heard(&mut self, is_answer: bool, now: Mono) -> Option<Turn> {
        if is_answer {
            self.failures = 0;
            return self.open_until.take().map(|_| Turn::Closed);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.failures_max {
            return None;
        }
        let was_open = self.open_until.replace(now.plus(self.pause)).is_some();
        (!was_open).then_some(Turn::Opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn it_opens_tries_one_and_closes() {
        let mut breaker = Breaker::new(3, Duration::from_secs(30));
        for _ in 0..2 {
            assert!(breaker.admits(second(0)));
            assert_eq!(breaker.heard(false, second(0)), None);
        }
        assert_eq!(breaker.heard(true, second(0)), None, "only in a row");
        for _ in 0..2 {
            assert_eq!(breaker.heard(false, second(1)), None);
        }
        assert_eq!(breaker.heard(false, second(1)), Some(Turn::Opened));
        assert_eq!(breaker.heard(false, second(1)), None, "told once");
        assert!(!breaker.admits(second(30)));
        assert!(breaker.admits(second(31)), "one tries");
        assert!(!breaker.admits(second(32)), "and no other");
        assert_eq!(breaker.heard(false, second(33)), None, "still open");
        assert!(!breaker.admits(second(62)));
        assert!(breaker.admits(second(63)));
        // Who tries and never tells keeps nobody away for ever.
        assert!(breaker.admits(second(93)));
        assert_eq!(breaker.heard(true, second(94)), Some(Turn::Closed));
        assert!(breaker.admits(second(94)) && breaker.admits(second(94)));
    }
}
