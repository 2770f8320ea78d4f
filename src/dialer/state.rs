//! What is known of one target: whether it gave a sign of life when it was last asked for one, whether it asked to be left
//! alone, and what went wrong last. Pure: told what happened and when.

use std::time::Duration;

use crate::domain::time::{Mono, Reading};
use crate::domain::trunk::{Failure, TargetState};

use super::health::HealthConfig;

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    is_down: bool,
    /// Questions in a row that spoke against the state that it has.
    against: u32,
    asleep_until: Option<Mono>,
    /// What was told of it last, and since when it is so.
    pub(super) told: TargetState,
    pub(super) since: Reading,
    pub(super) last_failure: Option<Failure>,
}

impl Known {
    /// Taken for alive until something speaks against it.
    pub(super) fn new(now: Reading) -> Self {
        Self {
            is_down: false,
            against: 0,
            asleep_until: None,
            told: TargetState::Up,
            since: now,
            last_failure: None,
        }
    }

    /// What it is now. One that is down and asleep is down: nobody knows that it will be back when its sleep ends.
    pub(super) fn state(&self, now: Mono) -> TargetState {
        if self.is_down {
            TargetState::Down
        } else if self.is_asleep(now) {
            TargetState::Asleep
        } else {
            TargetState::Up
        }
    }

    /// Whether it asked to be left alone, with calls and with questions (RFC 3261 section 21.5.4).
    pub(super) fn is_asleep(&self, now: Mono) -> bool {
        self.asleep_until.is_some_and(|until| now < until)
    }

    /// It was asked for a sign of life.
    pub(super) fn asked(&mut self, failed: Option<String>, rule: &HealthConfig, now: Reading) {
        let is_life = failed.is_none();
        self.failed(failed, now);
        if is_life != self.is_down {
            self.against = 0;
            return;
        }
        self.against = self.against.saturating_add(1);
        let enough = match self.is_down {
            true => rule.successes_up.get(),
            false => rule.failures_down.get(),
        };
        if self.against >= enough {
            self.is_down = !self.is_down;
            self.against = 0;
        }
    }

    /// What stays of it when its trunk's section is another: that it wants to be left alone.
    pub(super) fn resting(&self) -> Self {
        Self {
            is_down: false,
            against: 0,
            ..self.clone()
        }
    }

    /// It wants to be left alone for so long.
    pub(super) fn sleeps(&mut self, rest: Duration, now: Mono) {
        let until = now.plus(rest);
        self.asleep_until = self.asleep_until.filter(|known| *known > until);
        self.asleep_until.get_or_insert(until);
    }

    /// Something went wrong.
    pub(super) fn failed(&mut self, reason: Option<String>, now: Reading) {
        if let Some(reason) = reason {
            let at = now.wall;
            self.last_failure = Some(Failure { at, reason });
        }
    }

    /// Its state, if that is another than was told last.
    pub(super) fn news(&mut self, now: Reading) -> Option<TargetState> {
        let state = self.state(now.mono);
        if state == self.told {
            return None;
        }
        self.told = state;
        self.since = now;
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    fn at(seconds: u64) -> Reading {
        Reading {
            wall: Micros(i64::try_from(seconds).unwrap() * 1_000_000),
            mono: Mono(Duration::from_secs(seconds)),
        }
    }

    fn rule(failures: u32, successes: u32) -> HealthConfig {
        HealthConfig {
            failures_down: failures.try_into().unwrap(),
            successes_up: successes.try_into().unwrap(),
            ..HealthConfig::default()
        }
    }

    /// A string of signs of life (`+`) and failures (`-`) and what the target is after each: `u` up, `d` down.
    fn check(failures: u32, successes: u32, heard: &str, states: &str) {
        let mut known = Known::new(at(0));
        let after = heard.chars().zip(1..).map(|(sign, second)| {
            let failed = (sign == '-').then(|| "timeout".to_owned());
            known.asked(failed, &rule(failures, successes), at(second));
            match known.state(at(second).mono) {
                TargetState::Up => 'u',
                TargetState::Down => 'd',
                TargetState::Asleep => 'a',
            }
        });
        assert_eq!(after.collect::<String>(), states, "{heard}");
    }

    #[test]
    fn one_failure_is_chance_and_several_in_a_row_are_not() {
        check(2, 1, "+-+--+-++", "uuuuduuuu");
        check(1, 1, "-+-+", "dudu");
        check(3, 2, "--+---+-++", "uuuuuddddu");
    }

    #[test]
    fn who_asked_to_be_left_alone_is_and_then_comes_back() {
        let mut known = Known::new(at(0));
        known.sleeps(Duration::from_secs(30), at(0).mono);
        known.sleeps(Duration::from_secs(10), at(0).mono);
        assert_eq!(known.news(at(1)), Some(TargetState::Asleep));
        assert_eq!(known.news(at(29)), None, "the longer one counts");
        assert_eq!(known.since, at(1));
        assert_eq!(known.news(at(30)), Some(TargetState::Up));
        known.sleeps(Duration::from_secs(30), at(30).mono);
        for _ in 0..2 {
            known.asked(Some("timeout".to_owned()), &rule(2, 1), at(31));
        }
        assert_eq!(known.news(at(32)), Some(TargetState::Down));
        assert_eq!(known.last_failure.unwrap().reason, "timeout");
    }
}
