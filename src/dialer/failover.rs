//! Going on to the trunk's next target (RFC 3263 section 4.3, RFC 3261 section 8.1.3.1), and after its last to the campaign's next
//! trunk: only while nothing rang and nobody wants the call to end, and only with a new permit.
//!
//! What went to the earlier target is over by then: its permit is dropped, so that nothing is sent again, and what it still
//! says is cancelled, or acknowledged and ended, by `sip`. A pace token first and the gate last, as for a first INVITE: an
//! opt-out, a closed window or a hang-up meanwhile ends the call here. The whole sequence is one attempt for the caps: the
//! further claim supersedes the earlier one in its own transaction (claim-5).

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::domain::call::{EventDetail, EventKind, Outcome, Retry};
use crate::domain::ids::CallId;
use crate::domain::time::{Micros, Mono};
use crate::gate::Claimed;
use crate::sip::{Control, EndedBy, Ending, HangUpCause, Heard, Trunk};

use super::attempt::{Leg, Under};
use super::claims::claim;
use super::journal::Journal;
use super::lanes::{drained, ways_of};
use super::pace::{Pace, Token};
use super::pair::gone;
use super::tracks::Track;
use super::{Active, Phase, Shared};

/// A call that is over, and since when.
#[derive(Clone)]
pub(super) struct Over {
    pub(super) at: Micros,
    pub(super) ending: Ending,
}

/// What stands against another target, whatever the last one said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Against {
    /// Somebody wants the call to end.
    wish: bool,
    draining: bool,
    /// The call's own time is over.
    expired: bool,
    /// A target that had been given up for silence was heard to ring after all.
    rang: bool,
}

/// Where a call goes on.
struct Next {
    /// The trunk at its next target.
    at: Arc<Trunk>,
    /// It is another trunk than before.
    is_other: bool,
    /// The target before named it.
    is_named: bool,
}

/// Whether the trunk knows no such number, and gives no cause for that: another may reach it, and a number is not called bad on
/// the word of one.
fn asks_another_trunk(ending: &Ending) -> bool {
    const NOT_FOUND: u16 = 404;
    ending.outcome == Outcome::InvalidNumber
        && ending.code == Some(NOT_FOUND)
        && ending.q850_cause.is_none()
}

/// Whether a call that ended so at one target may be tried at the next. The table of outcomes gives [`Retry::Trunk`] to no
/// call that rang: who heard one ring would hear a second call.
fn may_go_on(ending: &Ending, against: Against) -> bool {
    let trunks_failure = ending.retry == Retry::Trunk || asks_another_trunk(ending);
    let trunks_failure = trunks_failure && ending.by != EndedBy::Us && !ending.answered;
    trunks_failure && against == Against::default()
}

impl Under<'_> {
    /// The turn of the next target or trunk, or the end of the call.
    pub(super) async fn go_on(&mut self, mut over: Over) -> Result<Leg, Over> {
        let now = self.shared.clock.read();
        if let Some(target) = self.tried.last() {
            let track = &self.begun.track;
            track.lane.targets.learn(*target, &over.ending, now);
            track.pace.slow_until(track.lane.targets.slow_until());
        }
        if over.ending.outcome == Outcome::PermitExpired {
            // Nothing went to this target. What counts is what the one before it did.
            over.ending = self.before.take().unwrap_or(over.ending);
            return Err(over);
        }
        let named = self.redirected(&over.ending, now.mono);
        if named.is_none() && !may_go_on(&over.ending, Against::default()) {
            return Err(over);
        }
        let Some(mut next) = named.or_else(|| self.next(&over.ending, now.mono)) else {
            return Err(over);
        };
        let (wish, mut hang_up) = self.shared.between_targets(self.leased.call.call_id);
        let against = Against {
            wish: wish.is_some(),
            draining: *self.begun.phase.borrow() >= Phase::Draining,
            expired: self.leased.call.expire_time <= now.wall,
            rang: self.has_rung(),
        };
        if let Some(cause) = wish {
            return Err(self.hung_up(cause));
        }
        if against != Against::default() {
            return Err(over);
        }
        loop {
            self.tell_of_next(&over, &next).await;
            let token = self.token(&over, &mut hang_up).await?;
            // A token may take long: the target may be asleep by now, and the trunk another.
            match self.still(&next) {
                Some(at) => return self.claim_next(over, at, token).await,
                None if next.is_named => return Err(over),
                None => drop(token),
            }
            let now = self.shared.clock.read().mono;
            let Some(other) = self.next(&over.ending, now) else {
                return Err(over);
            };
            next = other;
        }
    }

    /// The target as it is to be called now, or none if it is not.
    fn still(&self, next: &Next) -> Option<Arc<Trunk>> {
        let now = self.shared.clock.read().mono;
        let track = &self.begun.track;
        if next.is_named {
            let takes_calls = track.lane.targets.takes_calls(next.at.target, now);
            return takes_calls.then(|| Arc::clone(&next.at));
        }
        if next.is_other {
            let (all, _) = self.shared.tracks.all();
            let is_current = all
                .get(track.name())
                .is_some_and(|each| Arc::ptr_eq(each, track));
            (is_current && track.lane.may_be_chosen(now)).then_some(())?;
        }
        track.lane.targets.pick(self.seed(), &self.tried, now)
    }

    /// The trunk's own target where a 3xx says that this very number is to be called, once a call. Another number, or a host
    /// that is not the trunk's, is followed by nobody.
    fn redirected(&mut self, ending: &Ending, now: Mono) -> Option<Next> {
        let to = ending.redirect.as_ref()?;
        if std::mem::replace(&mut self.redirected, true) {
            return None;
        }
        let targets = &self.begun.track.lane.targets;
        let target = targets.named(to, self.seed(), now)?;
        Some(Next {
            at: targets.at(target)?,
            is_other: false,
            is_named: true,
        })
    }

    /// Waits for a token of every pace that the call is under.
    async fn token(
        &mut self,
        over: &Over,
        hang_up: &mut mpsc::Receiver<Control>,
    ) -> Result<Token, Over> {
        let paces = self.begun.paces.with(&self.begun.track);
        tokio::select! {
            biased;
            Some(Control::HangUp { cause }) = hang_up.recv() => Err(self.hung_up(cause)),
            () = drained(&mut self.begun.phase) => Err(over.clone()),
            () = gone(&mut self.pair, &self.leased.call, &self.shared.clock) => Err(self.hung_up(HangUpCause::AgentGone)),
            token = Pace::token(&paces) => Ok(token),
        }
    }

    /// All targets of a trunk first, and then the next trunk that is up and has a channel; one that has a token too goes before
    /// those that have none.
    fn next(&mut self, ending: &Ending, now: Mono) -> Option<Next> {
        if !asks_another_trunk(ending) {
            let targets = &self.begun.track.lane.targets;
            if let Some(at) = targets.pick(self.seed(), &self.tried, now) {
                return Some(Next {
                    at,
                    is_other: false,
                    is_named: false,
                });
            }
        } else if std::mem::replace(&mut self.unknown, true) {
            // Two agree.
            return None;
        }
        // By what the trunks may carry now: they may be others than when the call began.
        let (allowed, _) = ways_of(self.shared, self.leased);
        self.begun.ways.retain(|name| allowed.contains(name));
        let (all, _) = self.shared.tracks.all();
        let tracks = self.begun.ways.iter().filter_map(|name| all.get(name));
        let open: Vec<&Arc<Track>> = tracks.filter(|each| each.lane.may_be_chosen(now)).collect();
        let (quick, slow): (Vec<_>, Vec<_>) =
            (open.into_iter()).partition(|each| each.pace.wait().is_none());
        let (at, track, channel) = quick.into_iter().chain(slow).find_map(|track| {
            let at = track.lane.targets.pick(self.seed(), &[], now)?;
            let channel = track.channels.take()?;
            Some((at, Arc::clone(track), channel))
        })?;
        self.begun.ways.retain(|name| name != track.name());
        // With it goes the channel of the trunk before: nothing of the call is there any more.
        (self.begun.track, self.begun.channel) = (track, channel);
        self.tried.clear();
        Some(Next {
            at,
            is_other: true,
            is_named: false,
        })
    }

    /// Its history says why there is another INVITE. The earlier permit is gone: an opt-out need not wait for the next.
    async fn tell_of_next(&self, over: &Over, next: &Next) {
        let ending = &over.ending;
        tracing::info!(call.id = %self.leased.call.call_id, sip.code = ending.code, outcome = %ending.outcome,
            trunk = next.at.name, sip.target = %next.at.target, "the target failed; asking the gate for the next one");
        let what = match (next.is_named, next.is_other) {
            (true, _) => "the trunk's target that it names".to_owned(),
            (false, false) => "the trunk's next target".to_owned(),
            (false, true) => format!("the next trunk, `{}`,", self.begun.track.name()),
        };
        let detail = EventDetail {
            sip_code: ending.code,
            sip_reason: ending.reason.clone(),
            q850_cause: ending.q850_cause,
            note: Some(format!(
                "`{}` before anything rang; {what} is tried under a claim of its own",
                ending.outcome,
            )),
            ..EventDetail::default()
        };
        let journal = Journal::new(self.shared, &self.leased.call, over.at);
        let permit = Some(self.attempt_id);
        journal.event(EventKind::Note, detail, None, permit).await;
    }

    /// Its history says why the next one was not tried after all.
    async fn say_unsigned(&self, over: &Over, why: &str) {
        let call = &self.leased.call;
        tracing::warn!(call.id = %call.call_id, why, "nobody vouches for the number at the next target");
        let detail = EventDetail {
            note: Some(format!("not tried there: {why}")),
            ..EventDetail::default()
        };
        let permit = Some(self.attempt_id);
        Journal::new(self.shared, call, over.at)
            .event(EventKind::Note, detail, None, permit)
            .await;
    }

    async fn claim_next(&mut self, over: Over, at: Arc<Trunk>, token: Token) -> Result<Leg, Over> {
        let track = Arc::clone(&self.begun.track);
        self.media_for(&track, &over).await?;
        // A signature of its own: whoever verifies may take one that comes twice for a copy.
        let vouch = match self.shared.vouch(&track.lane, &self.leased.call).await {
            Ok(vouch) => vouch,
            Err(why) => {
                self.say_unsigned(&over, &why.to_string()).await;
                return Err(over);
            }
        };
        let sip_call_id = self.shared.endpoint.new_call_id();
        let old = Some(self.attempt_id);
        let again =
            claim(self.shared, self.leased, track.name(), (&sip_call_id, old)).vouched(&vouch);
        match self.shared.gate.claim(again).await {
            Ok(Claimed::Permitted { permit, attempt_id }) => {
                self.attempt_id = attempt_id;
                self.attestation = vouch.attestation();
                self.sip_call_id = sip_call_id;
                // Asked for while the gate judged: the permit is used for nothing. What is asked for from here on, whoever
                // looks for it finds again.
                if let Some(cause) = self.shared.wish(self.leased.call.call_id) {
                    return Err(self.hung_up(cause));
                }
                if self.has_rung() {
                    return Err(over);
                }
                self.before = Some(over.ending);
                Ok(Leg {
                    trunk: at,
                    permit,
                    token,
                    vouch,
                })
            }
            Ok(Claimed::Denied(decision)) => {
                self.say_refused(&decision).await;
                Err(self.hung_up(HangUpCause::Denied))
            }
            Ok(Claimed::Expired) => Err(over),
            // Somebody asked to end the call, or a sweeper did, and the store knows it already.
            Ok(Claimed::Lost) => Err(self.hung_up(HangUpCause::Client)),
            Err(error) => {
                tracing::warn!(call.id = %self.leased.call.call_id, %error, "the gate could not decide on the next target");
                Err(over)
            }
        }
    }

    /// What the lots of this call follow from, at all of its targets.
    pub(super) fn seed(&self) -> u64 {
        self.leased.call.call_id.lot()
    }

    pub(super) fn has_rung(&self) -> bool {
        self.rang.iter().any(|rang| rang.yet() > Heard::Nothing)
    }

    pub(super) fn hung_up(&self, cause: HangUpCause) -> Over {
        Over {
            at: self.shared.clock.read().wall,
            ending: Ending::hung_up(cause),
        }
    }
}

impl Shared {
    /// Between two targets there is no dialog that could be told to end: whoever asks is heard here.
    fn between_targets(&self, call_id: CallId) -> (Option<HangUpCause>, mpsc::Receiver<Control>) {
        let (here, hang_up) = mpsc::channel(1);
        let mut wish = None;
        if let Some(Active::Dialing {
            control, ending, ..
        }) = self.active().get_mut(&call_id)
        {
            *control = here;
            // Asked for when the earlier dialog was over already.
            wish = *ending;
        }
        (wish, hang_up)
    }

    /// Why the call is to end, if somebody wants that.
    pub(super) fn wish(&self, call_id: CallId) -> Option<HangUpCause> {
        match self.active().get(&call_id) {
            Some(Active::Dialing { ending, .. } | Active::Desk { ending, .. }) => *ending,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_the_trunk_that_nobody_wants_to_end_is_tried_at_the_next_target() {
        let none = Against::default();
        let rang = Against { rang: true, ..none };
        let (wish, draining, expired) = (
            Against { wish: true, ..none },
            Against {
                draining: true,
                ..none
            },
            Against {
                expired: true,
                ..none
            },
        );
        let peer = EndedBy::Peer;
        // 503, 500 and the like, no route, silence, a socket that refuses.
        for (outcome, by) in [
            (Outcome::Congestion, peer),
            (Outcome::CarrierError, peer),
            (Outcome::NoRoute, peer),
            (Outcome::Unreachable, EndedBy::Timeout),
        ] {
            let ending = Ending::plain(outcome, Retry::Trunk, by);
            assert!(may_go_on(&ending, none), "{outcome}");
            for against in [wish, draining, expired, rang] {
                assert!(!may_go_on(&ending, against), "{outcome}, {against:?}");
            }
        }
        for (outcome, retry, by, answered) in [
            // 503 after 180: `sip` gives it this class.
            (Outcome::Congestion, Retry::Soon, peer, false),
            (Outcome::Busy, Retry::Soon, peer, false),
            (Outcome::Rejected, Retry::Later, peer, false),
            (Outcome::BlockedByAnalytics, Retry::Never, peer, false),
            (Outcome::TrunkAuthFailed, Retry::Fix, peer, false),
            (Outcome::NoAnswer, Retry::Later, EndedBy::Timeout, false),
            (Outcome::Canceled, Retry::None, EndedBy::Us, false),
            (Outcome::PermitExpired, Retry::None, EndedBy::Timeout, false),
            (Outcome::Answered, Retry::None, peer, true),
            // Not to be had from `sip`, and refused all the same.
            (Outcome::Congestion, Retry::Trunk, EndedBy::Us, false),
            (Outcome::Answered, Retry::Trunk, peer, true),
        ] {
            let ending = Ending {
                answered,
                ..Ending::plain(outcome, retry, by)
            };
            assert!(!may_go_on(&ending, none), "{ending:?}");
        }
    }
}
