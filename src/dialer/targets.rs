//! The targets of one trunk, in the order in which they are tried, and which of them asked to be left alone for a while.
//!
//! A 503 with Retry-After is about the server and not about the call: nothing else is sent there meanwhile (RFC 3261 section
//! 21.5.4), as long as there is another. Each node learns it by itself and forgets it when it ends. What a name stands for is
//! kept up to date by `names`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::config::Route;
use crate::domain::time::Mono;
use crate::sip::{Answer, Ending, Target, Trunk, ordered};

/// Where the calls of a trunk may go.
#[derive(Debug)]
pub(super) struct Targets {
    /// In the order of the configuration.
    pub(super) places: Vec<Place>,
    asleep: Mutex<HashMap<Target, Mono>>,
}

/// The trunk at one destination.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) route: Route,
    /// What its name stands for.
    answers: Mutex<Vec<Answer>>,
}

impl Place {
    /// Whether it is a name, and not an address.
    pub(super) fn is_named(&self) -> bool {
        self.route.destination.numeric().is_none()
    }

    /// Takes note of what its name stands for now; tells whether that is news.
    pub(super) fn learn(&self, answers: Vec<Answer>) -> bool {
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *known != answers;
        *known = answers;
        news
    }

    /// Whether anything is known of what its name stands for.
    pub(super) fn knows_any(&self) -> bool {
        let known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        !known.is_empty()
    }

    /// Its targets in the order in which the call of this seed tries them.
    fn targets(&self, seed: u64) -> Vec<Target> {
        match self.route.destination.numeric() {
            Some(target) => vec![target],
            None => ordered(
                &self.answers.lock().unwrap_or_else(PoisonError::into_inner),
                seed,
            ),
        }
    }

    fn at(&self, target: Target) -> Arc<Trunk> {
        let trunk = &self.route.trunk;
        if trunk.target == target {
            return Arc::clone(trunk);
        }
        Arc::new(Trunk {
            target,
            ..Trunk::clone(trunk)
        })
    }
}

impl Targets {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let place = |route| Place {
            route,
            answers: Mutex::default(),
        };
        Self {
            places: routes.into_iter().map(place).collect(),
            asleep: Mutex::default(),
        }
    }

    /// Whether there is any: names may not be known yet.
    pub(super) fn has_any(&self) -> bool {
        self.places.iter().any(|place| !place.targets(0).is_empty())
    }

    /// The first that is awake and that this call has not tried. A new call is sent to the first of all if none is.
    pub(super) fn pick(&self, seed: u64, tried: &[Target], now: Mono) -> Option<Arc<Trunk>> {
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let is_awake = |target: &Target| asleep.get(target).is_none_or(|until| *until <= now);
        let all = self.places.iter().flat_map(|place| {
            let targets = place.targets(seed).into_iter();
            targets.map(move |target| (place, target))
        });
        let left: Vec<_> = all.filter(|(_, target)| !tried.contains(target)).collect();
        let awake = left.iter().find(|(_, target)| is_awake(target));
        let first = left.first().filter(|_| tried.is_empty());
        awake.or(first).map(|(place, target)| place.at(*target))
    }

    /// Takes note of a target that wants to be left alone.
    pub(super) fn learn(&self, target: Target, ending: &Ending, now: Mono) {
        const SERVICE_UNAVAILABLE: u16 = 503;
        let Some(rest) = ending.retry_after else {
            return;
        };
        if ending.code != Some(SERVICE_UNAVAILABLE) || rest == Duration::ZERO {
            return;
        }
        tracing::warn!(sip.target = %target, seconds = rest.as_secs(), "the target wants to be left alone");
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        // Names come and go, and with them what they stood for.
        asleep.retain(|_, until| *until > now);
        asleep.insert(target, now.plus(rest));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::dialer::TrunkConfig;
    use crate::domain::call::{Outcome, Retry};
    use crate::sip::EndedBy;

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 5060))
    }

    fn targets(of: &TrunkConfig) -> Targets {
        Targets::new(of.trunk("t").unwrap().routes)
    }

    #[test]
    fn each_target_once_in_order_and_those_asleep_not_at_all() {
        let targets = targets(&TrunkConfig {
            fallback_targets: vec![addr(2).into(), addr(3).into()],
            ..TrunkConfig::towards(addr(1))
        });
        let now = Mono(Duration::from_secs(100));
        let busy = |code, seconds| Ending {
            code: Some(code),
            retry_after: Some(Duration::from_secs(seconds)),
            ..Ending::plain(Outcome::Congestion, Retry::Trunk, EndedBy::Peer)
        };
        let next = |tried: &[u8], now| {
            let tried: Vec<Target> = tried.iter().map(|host| addr(*host).into()).collect();
            targets.pick(0, &tried, now).map(|trunk| trunk.target.addr)
        };
        let learn = |host, ending: Ending| targets.learn(addr(host).into(), &ending, now);
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), Some(addr(2)));
        assert_eq!(next(&[1, 2], now), Some(addr(3)));
        assert_eq!(next(&[1, 2, 3], now), None);
        // Only a 503 is about the target.
        learn(1, busy(486, 30));
        assert_eq!(next(&[], now), Some(addr(1)));
        learn(1, busy(503, 30));
        learn(2, busy(503, 60));
        assert_eq!(next(&[], now), Some(addr(3)));
        assert_eq!(next(&[3], now), None, "the others sleep");
        let later = now.plus(Duration::from_secs(30));
        assert_eq!(next(&[], later), Some(addr(1)));
        assert_eq!(next(&[1], later), Some(addr(3)));
        // With all of them asleep a new call is tried all the same, once.
        learn(3, busy(503, 60));
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), None);
    }

    #[test]
    fn a_name_is_walked_in_the_order_of_its_answers_and_then_comes_the_next_destination() {
        let targets = targets(&TrunkConfig {
            fallback_targets: vec![addr(9).into()],
            ..TrunkConfig::towards(
                "tcp:carrier.example"
                    .parse::<crate::sip::Destination>()
                    .unwrap(),
            )
        });
        let walk = |seed| {
            let mut tried = Vec::new();
            while let Some(trunk) = targets.pick(seed, &tried, Mono::default()) {
                tried.push(trunk.target);
            }
            tried
        };
        assert!(targets.has_any());
        assert_eq!(walk(1), [addr(9).into()], "the name is not known yet");
        let at = |host| Target {
            transport: crate::sip::Transport::Tcp,
            addr: addr(host),
        };
        let answer = |host, priority| Answer {
            rank: 0,
            priority,
            weight: 1,
            targets: vec![at(host)],
        };
        assert!(targets.places[0].learn(vec![answer(2, 20), answer(1, 10)]));
        assert!(
            !targets.places[0].learn(vec![answer(2, 20), answer(1, 10)]),
            "no news"
        );
        assert_eq!(walk(1), [at(1), at(2), addr(9).into()]);
        let first = targets.pick(1, &[], Mono::default()).unwrap();
        assert_eq!(first.domain, "carrier.example");
        // Both have the connections of their destination.
        let second = targets.pick(1, &[at(1)], Mono::default()).unwrap();
        assert!(Arc::ptr_eq(&first.peer, &second.peer));
    }
}
