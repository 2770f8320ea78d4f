//! Asks each target of a trunk for a sign of life (OPTIONS), where the configuration wants that: what gives none for a while is
//! not sent calls, and is when it gives one again.
//!
//! Life is any final response but those by which a server says that it, or what it stands for, does not work: 408, 502, 503
//! and 504, which a proxy answers in the name of the server behind it. A 500 or 501 is life: the server itself speaks, and what
//! it makes of a call the call will show; so are 401 and 404, the usual answers to a question that nobody expected.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::domain::time::Mono;
use crate::meter;
use crate::sip::{Answered, Target, Unheard};

use super::spread::Spread;
use super::targets::Targets;
use super::{LOOK_EVERY, Phase, Shared};

/// Whether and how a trunk's targets are asked for a sign of life, section `[trunk.NAME.health]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// How often each target is asked, in seconds, a tenth more or less; 0 = never.
    pub interval_seconds: u64,
    /// How long it may take to answer, in milliseconds.
    pub timeout_ms: u64,
    /// Questions in a row without a sign of life after which it is down.
    pub failures_down: NonZeroU32,
    /// Signs of life in a row after which it is up again.
    pub successes_up: NonZeroU32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval_seconds: 0,
            timeout_ms: 4_000,
            failures_down: NonZeroU32::MIN.saturating_add(1),
            successes_up: NonZeroU32::MIN,
        }
    }
}

/// A carrier that goes down is to be noticed the same day.
const INTERVAL_SECONDS_MAX: u64 = 3_600;
/// Less would give up before a repetition could help; more says nothing that a call would not say first.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 500..=30_000;
/// More would never come to pass.
const IN_A_ROW_MAX: u32 = 100;

impl HealthConfig {
    /// What is wrong with the section, each line naming its key.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.interval_seconds > INTERVAL_SECONDS_MAX {
            problems.push(format!(
                "health.interval_seconds: set at most {INTERVAL_SECONDS_MAX}, or 0 for never"
            ));
        }
        if !TIMEOUT_MS.contains(&self.timeout_ms) {
            problems.push(format!(
                "health.timeout_ms: is {}, set {} to {}",
                self.timeout_ms,
                TIMEOUT_MS.start(),
                TIMEOUT_MS.end()
            ));
        }
        if self.interval_seconds > 0 && self.timeout_ms > self.interval_seconds * 1_000 {
            problems.push(
                "health.timeout_ms: set at most the interval, each question is answered before the next"
                    .to_owned(),
            );
        }
        for (key, count) in [
            ("failures_down", self.failures_down),
            ("successes_up", self.successes_up),
        ] {
            if count.get() > IN_A_ROW_MAX {
                problems.push(format!("health.{key}: is {count}, set 1 to {IN_A_ROW_MAX}"));
            }
        }
        problems
    }
}

/// What speaks against a target's being alive, in one word.
fn failure(heard: &Result<Answered, Unheard>) -> Option<String> {
    match heard {
        Ok(Answered {
            code: code @ (408 | 502 | 503 | 504),
            ..
        }) => Some(format!("sip_{code}")),
        Ok(_) => None,
        Err(Unheard::TimedOut) => Some("timeout".to_owned()),
        Err(Unheard::Lost) => Some("lost".to_owned()),
        // We are at fault, and the target is not.
        Err(Unheard::NotSent) => None,
    }
}

/// Keeps the state of a trunk's targets up to date until the worker has stopped.
pub(super) async fn run(
    shared: Arc<Shared>,
    targets: Arc<Targets>,
    mut phase: watch::Receiver<Phase>,
) {
    let stopped = phase.wait_for(|phase| *phase == Phase::Stopped);
    tokio::select! {
        biased;
        _ = stopped => {}
        () = keep(&shared, &targets) => {}
    }
}

async fn keep(shared: &Arc<Shared>, targets: &Arc<Targets>) {
    let mut asking = JoinSet::new();
    let mut due: BTreeMap<Target, Mono> = BTreeMap::new();
    let mut spread = Spread::of(&shared.seed());
    let interval = Duration::from_secs(targets.health.interval_seconds);
    loop {
        let now = shared.clock.read();
        // What changes because time has passed is told too.
        targets.settle(now);
        if !interval.is_zero() {
            let known = targets.all();
            due.retain(|target, _| known.contains(target));
            for target in known {
                let at = due.entry(target).or_insert(now.mono);
                if *at <= now.mono && !targets.is_asleep(target, now.mono) {
                    // Spread, so that many nodes do not ask in step for ever.
                    *at = now.mono.plus(spread.about(interval));
                    asking.spawn(ask(Arc::clone(shared), Arc::clone(targets), target));
                }
            }
        }
        while asking.try_join_next().is_some() {}
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask(shared: Arc<Shared>, targets: Arc<Targets>, target: Target) {
    let Some(trunk) = targets.at(target) else {
        return;
    };
    let patience = Duration::from_millis(targets.health.timeout_ms);
    let heard = shared.endpoint.options(&trunk, patience).await;
    let rest = match heard {
        Ok(Answered {
            code: 503,
            retry_after,
        }) => retry_after,
        _ => None,
    };
    let failed = failure(&heard);
    meter::asked_for_life(targets.name(), failed.is_none());
    targets.asked(target, failed, rest, shared.clock.read());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_is_life_but_those_that_say_the_contrary() {
        let heard = |code| {
            failure(&Ok(Answered {
                code,
                retry_after: None,
            }))
        };
        for life in [200, 302, 401, 403, 404, 405, 407, 480, 481, 500, 501, 603] {
            assert_eq!(heard(life), None, "{life}");
        }
        for death in [408, 502, 503, 504] {
            assert_eq!(heard(death), Some(format!("sip_{death}")));
        }
        assert_eq!(failure(&Err(Unheard::TimedOut)).unwrap(), "timeout");
        assert_eq!(failure(&Err(Unheard::NotSent)), None);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(HealthConfig::default().problems().is_empty());
        let bad = HealthConfig {
            interval_seconds: 4_000,
            timeout_ms: 100,
            failures_down: 101.try_into().unwrap(),
            successes_up: 101.try_into().unwrap(),
        };
        assert_eq!(bad.problems().len(), 4);
    }
}
