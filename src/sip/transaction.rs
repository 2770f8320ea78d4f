//! Client transactions within a dialog and of all requests but the INVITE that begins it, and the repetition of final answers
//! to an INVITE within a dialog.
//! Pure: they are told the time and say what is to be sent again (RFC 3261 section 17).

use std::time::Duration;

use super::config::SipConfig;
use super::peer::Hop;
use crate::domain::time::Mono;

/// The timers of RFC 3261 section 17 as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timers {
    pub(super) t1: Duration,
    pub(super) t2: Duration,
    pub(super) t4: Duration,
}

impl Timers {
    pub(super) fn of(config: &SipConfig) -> Self {
        Self {
            t1: Duration::from_millis(config.t1_ms),
            t2: Duration::from_millis(config.t2_ms),
            t4: Duration::from_millis(config.t4_ms),
        }
    }

    /// 64 T1: timers B, D, F, H, J, L and M over UDP.
    pub(super) fn long(self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// What a transaction's timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    Nothing,
    Again,
    TimedOut,
}

/// Something sent again at growing intervals until it is answered or given up.
#[derive(Debug)]
pub(super) struct Repeated {
    pub(super) bytes: Vec<u8>,
    pub(super) to: Hop,
    interval: Duration,
    /// Never on a stream, which repeats what is lost by itself.
    at: Option<Mono>,
    until: Mono,
    t2: Duration,
}

impl Repeated {
    /// Has just been sent for the first time.
    pub(super) fn sent(bytes: Vec<u8>, to: Hop, timers: Timers, now: Mono) -> Self {
        let at = (!to.is_stream()).then(|| now.plus(timers.t1));
        Self {
            bytes,
            to,
            interval: timers.t1,
            at,
            until: now.plus(timers.long()),
            t2: timers.t2,
        }
    }

    /// The same for a 2xx to an INVITE, which a proxy may lose behind any stream (RFC 3261 section 13.3.1.4).
    pub(super) fn sent_end_to_end(bytes: Vec<u8>, to: Hop, timers: Timers, now: Mono) -> Self {
        let at = Some(now.plus(timers.t1));
        Self {
            at,
            ..Self::sent(bytes, to, timers, now)
        }
    }

    /// Given up after so long, were it before the time of the RFC.
    pub(super) fn within(self, patience: Duration, now: Mono) -> Self {
        let until = self.until.min(now.plus(patience));
        Self { until, ..self }
    }

    /// A provisional response: from now on at the slowest pace (timer E in Proceeding).
    pub(super) fn slow_down(&mut self) {
        self.interval = self.t2;
    }

    /// An INVITE within a dialog: its intervals double without a limit (timer A).
    pub(super) fn invited(bytes: Vec<u8>, to: Hop, timers: Timers, now: Mono) -> Self {
        let t2 = timers.long();
        Self::sent(bytes, to, Timers { t2, ..timers }, now)
    }

    /// A provisional response to an INVITE: it is not sent again, and its final response is waited for until then.
    pub(super) fn hold(&mut self, until: Mono) {
        self.at = None;
        self.until = until;
    }

    pub(super) fn wake(&self) -> Mono {
        self.at.map_or(self.until, |at| at.min(self.until))
    }

    pub(super) fn tick(&mut self, now: Mono) -> Tick {
        if now >= self.until {
            return Tick::TimedOut;
        }
        if self.at.is_none_or(|at| now < at) {
            return Tick::Nothing;
        }
        self.interval = self.interval.saturating_mul(2).min(self.t2);
        self.at = Some(now.plus(self.interval));
        Tick::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_doubles_up_to_t2_and_ends_after_64_t1() {
        let timers = Timers::of(&SipConfig::default());
        let to = Hop::Udp(([127, 0, 0, 1], 5060).into());
        let mut repeated = Repeated::sent(vec![1], to, timers, Mono::default());
        let mut schedule = Vec::new();
        loop {
            let at = repeated.wake();
            match repeated.tick(at) {
                Tick::Again => schedule.push(at.0.as_millis()),
                Tick::TimedOut => break assert_eq!(at.0.as_secs(), 32),
                Tick::Nothing => panic!("woke for nothing"),
            }
        }
        assert_eq!(
            schedule,
            [
                500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
    }
}
