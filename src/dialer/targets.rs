//! The targets of one trunk, in the order in which they are tried, and which of them asked to be left alone for a while.
//!
//! A 503 with Retry-After is about the server and not about the call: nothing else is sent there meanwhile (RFC 3261 section
//! 21.5.4), as long as there is another. Each node learns it by itself and forgets it when it ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::time::Mono;
use crate::sip::{Ending, Trunk};

/// Where the calls of a trunk may go.
#[derive(Debug)]
pub(super) struct Targets {
    /// The same trunk once a target.
    trunks: Vec<Arc<Trunk>>,
    asleep: Mutex<HashMap<SocketAddr, Mono>>,
}

impl Targets {
    pub(super) fn new(trunks: Vec<Arc<Trunk>>) -> Self {
        Self {
            trunks,
            asleep: Mutex::default(),
        }
    }

    /// The first that is awake and that this call has not tried. A new call is sent to the first of all if none is.
    pub(super) fn pick(&self, tried: &[SocketAddr], now: Mono) -> Option<Arc<Trunk>> {
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let is_awake = |target| asleep.get(target).is_none_or(|until| *until <= now);
        let mut left = self
            .trunks
            .iter()
            .filter(|trunk| !tried.contains(&trunk.target));
        let first = left.clone().next().filter(|_| tried.is_empty());
        left.find(|trunk| is_awake(&trunk.target))
            .or(first)
            .cloned()
    }

    /// Takes note of a target that wants to be left alone.
    pub(super) fn learn(&self, target: SocketAddr, ending: &Ending, now: Mono) {
        const SERVICE_UNAVAILABLE: u16 = 503;
        let Some(rest) = ending.retry_after else {
            return;
        };
        if ending.code != Some(SERVICE_UNAVAILABLE) || rest == Duration::ZERO {
            return;
        }
        tracing::warn!(sip.target = %target, seconds = rest.as_secs(), "the target wants to be left alone");
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        asleep.insert(target, now.plus(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{Outcome, Retry};
    use crate::sip::EndedBy;

    #[test]
    fn each_target_once_in_order_and_those_asleep_not_at_all() {
        let addr = |host: u8| SocketAddr::from(([192, 0, 2, host], 5060));
        let trunk = |host| Arc::new(Trunk::new("t", addr(host), "carrier.example"));
        let targets = Targets::new((1..=3).map(trunk).collect());
        let now = Mono(Duration::from_secs(100));
        let busy = |code, seconds| Ending {
            code: Some(code),
            retry_after: Some(Duration::from_secs(seconds)),
            ..Ending::plain(Outcome::Congestion, Retry::Trunk, EndedBy::Peer)
        };
        let next = |tried: &[u8], now| {
            let tried: Vec<SocketAddr> = tried.iter().map(|host| addr(*host)).collect();
            targets.pick(&tried, now).map(|trunk| trunk.target)
        };
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), Some(addr(2)));
        assert_eq!(next(&[1, 2], now), Some(addr(3)));
        assert_eq!(next(&[1, 2, 3], now), None);
        // Only a 503 is about the target.
        targets.learn(addr(1), &busy(486, 30), now);
        assert_eq!(next(&[], now), Some(addr(1)));
        targets.learn(addr(1), &busy(503, 30), now);
        targets.learn(addr(2), &busy(503, 60), now);
        assert_eq!(next(&[], now), Some(addr(3)));
        assert_eq!(next(&[3], now), None, "the others sleep");
        let later = now.plus(Duration::from_secs(30));
        assert_eq!(next(&[], later), Some(addr(1)));
        assert_eq!(next(&[1], later), Some(addr(3)));
        // With all of them asleep a new call is tried all the same, once.
        targets.learn(addr(3), &busy(503, 60), now);
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), None);
    }
}
