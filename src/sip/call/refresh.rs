//! The session timer (RFC 4028): a far end that is gone is noticed, and we are by it. Who refreshes is agreed with each
//! answer; the other one ends the call when no refresh comes.

use std::time::Duration;

use super::dialog::RequestKind;
use super::reinvite::Purpose;
use super::{Call, EndedBy, Mono, Output, State};
use crate::sip::auth::Auth;
use crate::sip::config::Trunk;
use crate::sip::head::Header;
use crate::sip::message::{ALLOW, InDialog};
use crate::sip::values::with_params;
use crate::sip::wire::Message;

/// Further ones would only delay the refusal.
const RAISES_MAX: u8 = 3;
/// What is under way between the two ends is over before the refresh.
const BUSY_PAUSE: Duration = Duration::from_secs(2);
/// A refresh that was refused for the moment is tried again after so long at least, and this part of the interval at most.
const AGAIN_AFTER_MIN: Duration = Duration::from_secs(2);
const AGAIN_AFTER_SHARE: u32 = 8;
/// So long before the session expires the one who waits for a refresh gives up, or a third of it (section 10).
const GIVE_UP_BEFORE: Duration = Duration::from_secs(32);

/// The terms of the session timer, and where it stands.
#[derive(Debug)]
pub(super) struct SessionTimer {
    /// As we propose it.
    interval: Option<Duration>,
    least: Duration,
    raises: u8,
    running: Option<Running>,
    /// The far end takes UPDATE, which carries no session that could be refused.
    by_update: bool,
    /// Refreshes that were refused since the last one that was not.
    refused: u32,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    interval: Duration,
    /// Whether the refreshes are ours to send.
    ours: bool,
    /// When to send one, or when to give up waiting for one.
    at: Mono,
}

impl SessionTimer {
    pub(super) fn of(trunk: &Trunk) -> Self {
        Self {
            interval: trunk.session_expires,
            least: trunk.session_min,
            raises: 0,
            running: None,
            by_update: false,
            refused: 0,
        }
    }

    pub(super) fn wake(&self) -> Option<Mono> {
        self.running.map(|running| running.at)
    }

    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    /// What the INVITE of a call proposes. Who refreshes is left to the far end (section 7.1).
    pub(super) fn proposal(&self) -> Vec<Header> {
        let mut headers = vec![Header::new("Supported", "timer")];
        if let Some(interval) = self.interval {
            headers.push(Header::new("Session-Expires", seconds(interval)));
            headers.push(Header::new("Min-SE", seconds(self.least)));
        }
        headers
    }

    /// What a request of ours within the call says: as agreed, and we refresh with it (section 7.4).
    pub(super) fn terms(&self) -> Vec<Header> {
        let mut headers = vec![Header::new("Supported", "timer")];
        if let Some(running) = self.running {
            let by = if running.ours { "uac" } else { "uas" };
            let terms = [&seconds(running.interval), ";refresher=", by].concat();
            headers.push(Header::new("Session-Expires", terms));
            headers.push(Header::new("Min-SE", seconds(self.least)));
        }
        headers
    }

    /// A 422: whether a longer interval may be proposed, which is taken up then.
    pub(super) fn raise(&mut self, message: &Message) -> bool {
        let least = message
            .first("Min-SE")
            .and_then(|text| text.split(';').next()?.trim().parse().ok())
            .map(Duration::from_secs);
        let Some(least) = least.filter(|least| *least > self.least) else {
            return false;
        };
        let proposed = self
            .running
            .map(|running| running.interval)
            .or(self.interval);
        if self.raises == RAISES_MAX || least > Trunk::SESSION_MAX || proposed.is_none() {
            return false;
        }
        self.raises += 1;
        self.least = least;
        self.interval = self.interval.map(|interval| interval.max(least));
        if let Some(running) = &mut self.running {
            running.interval = running.interval.max(least);
        }
        true
    }

    /// A 2xx to an INVITE or a refresh of ours. One that says nothing of it switches the timer off (section 7.2).
    pub(super) fn agreed(&mut self, message: &Message, now: Mono) {
        if message.first("Allow").is_some() {
            self.by_update = message.names("Allow", "UPDATE");
        }
        self.refused = 0;
        self.running = session_expires(message).map(|(interval, by_us)| {
            let interval = interval.max(Trunk::SESSION_MIN);
            Running::from(interval, by_us.unwrap_or(true), now)
        });
    }

    /// A refresh of the far end, or another INVITE or UPDATE that is being accepted; what the 2xx says of the timer.
    pub(super) fn answered(&mut self, message: &Message, now: Mono) -> Vec<Header> {
        let asked = session_expires(message);
        let interval = asked.map(|(interval, _)| interval.max(self.least));
        let Some(interval) = interval.or(self.running.map(|running| running.interval)) else {
            return Vec::new();
        };
        let theirs = message.names("Supported", "timer") || message.names("Require", "timer");
        let ours = match asked {
            // `uac` is the far end here, whose request it is.
            Some((_, Some(by_uac))) => !by_uac,
            _ => self.running.is_some_and(|running| running.ours),
        };
        let ours = ours || !theirs;
        self.running = Some(Running::from(interval, ours, now));
        let by = if ours { "uas" } else { "uac" };
        let terms = [&seconds(interval), ";refresher=", by].concat();
        let mut headers = vec![
            Header::new("Supported", "timer"),
            Header::new("Session-Expires", terms),
        ];
        if !ours {
            headers.push(Header::new("Require", "timer"));
        }
        headers
    }

    /// The interval that a request would have to propose at least, if what it proposes is too short (section 9).
    pub(super) fn too_short(&self, message: &Message) -> Option<Header> {
        let (interval, _) = session_expires(message)?;
        let can_raise = message.names("Supported", "timer");
        (can_raise && interval < self.least).then(|| Header::new("Min-SE", seconds(self.least)))
    }
}

impl Running {
    fn from(interval: Duration, ours: bool, now: Mono) -> Self {
        let wait = if ours {
            interval / 2
        } else {
            interval.saturating_sub(GIVE_UP_BEFORE.min(interval / 3))
        };
        let at = now.plus(wait);
        Self { interval, ours, at }
    }
}

impl Call {
    pub(super) fn tick_timer(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(running) = self.talk.timer.running.filter(|running| running.at <= now) else {
            return;
        };
        if !running.ours {
            self.talk.timer.stop();
            let reason = "SIP;cause=408;text=\"Session expired\"";
            return self.end_talk(reason, EndedBy::Timeout, None, now, out);
        }
        let busy = self.talk.reinvite.is_some() || self.is_refreshing() || self.inbound.is_busy();
        let next = match busy {
            true => now.plus(BUSY_PAUSE),
            false => now.plus(running.interval / 2),
        };
        self.talk.timer.running = Some(Running {
            at: next,
            ..running
        });
        if !busy {
            self.refresh(false, now, out);
        }
    }

    fn is_refreshing(&self) -> bool {
        let is_update = |kind: &RequestKind| matches!(kind, RequestKind::Update { .. });
        self.requests
            .iter()
            .any(|request| is_update(request.kind()))
    }

    /// Without touching the session, if the far end can do that; else with the session as it is.
    fn refresh(&mut self, challenged: bool, now: Mono, out: &mut Vec<Output>) {
        if !self.talk.timer.by_update {
            return self.reinvite(Purpose::Refresh, self.offer.clone(), now, out);
        }
        let mut extra = self.talk.timer.terms();
        extra.push(self.contact());
        extra.push(Header::new("Allow", ALLOW));
        let kind = RequestKind::Update { challenged };
        self.send_within(kind, InDialog::Update, extra, &[], now, out);
    }

    pub(super) fn on_update_answered(
        &mut self,
        message: &Message,
        code: u16,
        challenged: bool,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        if self.state != State::Up {
            return;
        }
        match code {
            200..=299 => {
                self.refresh_target(message);
                self.talk.timer.agreed(message, now);
            }
            401 | 407 if !challenged => {
                self.auth = Auth::default();
                let trunk = &self.id.trunk;
                if self.auth.challenged(message, code == 407, trunk).is_ok() {
                    self.refresh(true, now, out);
                }
            }
            408 | 481 => self.end_silent_talk(code, now, out),
            422 if self.talk.timer.raise(message) => self.refresh(challenged, now, out),
            // Whatever it allows by its own account.
            405 | 501 => {
                self.talk.timer.by_update = false;
                self.refresh(false, now, out);
            }
            // It is there, and its session stays (RFC 3261 section 14.1).
            _ => self.refresh_again(message, now),
        }
    }

    /// A refresh was refused. Half an interval later the session would be over at the far end, so that it is tried again before:
    /// when the far end says, or else after some seconds, and then after twice as many each time.
    pub(super) fn refresh_again(&mut self, message: &Message, now: Mono) {
        // The Call-ID is ours: 2.1 to 4 seconds after offers that crossed, in steps of 10 ms (RFC 3261 section 14.1).
        let chance = Duration::from_millis(2_100 + 10 * self.tokens.below(191));
        let timer = &mut self.talk.timer;
        let Some(running) = &mut timer.running else {
            return;
        };
        let longest = running.interval / AGAIN_AFTER_SHARE;
        let own = chance.saturating_mul(1 << timer.refused.min(16));
        timer.refused = timer.refused.saturating_add(1);
        let asked = crate::sip::outcome::retry_after(message);
        let wait = asked.unwrap_or(own).min(longest).max(AGAIN_AFTER_MIN);
        running.at = running.at.min(now.plus(wait));
    }

    /// The far end does not know the call any more, or says nothing.
    pub(super) fn end_silent_talk(&mut self, code: u16, now: Mono, out: &mut Vec<Output>) {
        let (reason, by) = match code {
            481 => ("SIP;cause=481;text=\"Dialog unknown there\"", EndedBy::Peer),
            _ => ("SIP;cause=408;text=\"Request timeout\"", EndedBy::Timeout),
        };
        self.end_talk(reason, by, None, now, out);
    }
}

/// The interval, and whether the sender of the request is to refresh, if that is said.
fn session_expires(message: &Message) -> Option<(Duration, Option<bool>)> {
    let (interval, params) = with_params(message.first("Session-Expires")?).ok()?;
    let interval: u64 = interval.trim().parse().ok()?;
    let by_uac = params
        .get("refresher")
        .map(|word| !word.eq_ignore_ascii_case("uas"));
    let interval = Duration::from_secs(interval).min(Trunk::SESSION_MAX);
    Some((interval, by_uac))
}

fn seconds(interval: Duration) -> String {
    interval.as_secs().to_string()
}
