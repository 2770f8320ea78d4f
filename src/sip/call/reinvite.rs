//! INVITEs of ours within a call that is up: an offer of the client's, or a refresh of the session. They bear the tag of a far
//! end that has answered, so no permit stands behind them. Offers that cross are put off (RFC 3261 section 14.1).

use std::time::Duration;

use super::{Call, EndedBy, Mono, Output, Settled, SipEvent, State};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Followed, InstructionResult};
use crate::sip::auth::Auth;
use crate::sip::head::Header;
use crate::sip::message::{ALLOW, InDialog, Remote, SDP};
use crate::sip::peer::Hop;
use crate::sip::sdp;
use crate::sip::transaction::{Repeated, Tick};
use crate::sip::wire::Message;

/// How often offers may cross before ours is given up.
const GLARES_MAX: u8 = 3;
/// The far end's own request is answered, and its answer acknowledged, before ours is sent.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// How long a far end that has said something is waited for (timer C).
const FINAL_WAIT: Duration = Duration::from_secs(180);
/// Final answers that are acknowledged again.
const REMEMBERED_MAX: usize = 4;

/// An INVITE of ours within the call.
#[derive(Debug)]
pub(super) struct Reinvite {
    purpose: Purpose,
    sdp: Vec<u8>,
    glares: u8,
    challenged: bool,
    stage: Stage,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Refresh,
    Offer(InstructionId),
}

#[derive(Debug)]
enum Stage {
    /// To be sent then.
    Waiting(Mono),
    Sent(Box<Sent>),
}

#[derive(Debug)]
struct Sent {
    remote: Remote,
    branch: String,
    cseq: u32,
    /// Credentials, which the ACK of a 2xx repeats.
    auth: Vec<Header>,
    repeated: Repeated,
}

impl Reinvite {
    pub(super) fn wake(&self) -> Mono {
        match &self.stage {
            Stage::Waiting(at) => *at,
            Stage::Sent(sent) => sent.repeated.wake(),
        }
    }

    /// What was sent there and has no final answer.
    pub(super) fn sent_to(&self, hop: &Hop) -> Option<Vec<u8>> {
        let sent = self.sent().filter(|sent| sent.repeated.to == *hop)?;
        Some(sent.repeated.bytes.clone())
    }

    fn sent(&self) -> Option<&Sent> {
        match &self.stage {
            Stage::Waiting(_) => None,
            Stage::Sent(sent) => Some(sent),
        }
    }
}

impl Call {
    /// Whether an offer of ours is on its way.
    pub(super) fn has_offered(&self) -> bool {
        let sent = self.talk.reinvite.as_ref().and_then(|ours| ours.sent());
        self.state == State::Up && sent.is_some()
    }

    pub(super) fn reinvite(
        &mut self,
        purpose: Purpose,
        sdp: Vec<u8>,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let sdp = match purpose {
            Purpose::Offer(_) => self.raised(sdp),
            Purpose::Refresh => sdp,
        };
        self.talk.reinvite = Some(Box::new(Reinvite {
            purpose,
            sdp,
            glares: 0,
            challenged: false,
            stage: Stage::Waiting(now),
        }));
        self.tick_reinvite(now, out);
    }

    pub(super) fn tick_reinvite(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(ours) = self.talk.reinvite.as_deref_mut() else {
            return;
        };
        match &mut ours.stage {
            Stage::Waiting(at) if *at > now => {}
            Stage::Waiting(at) if self.inbound.is_busy() => *at = now.plus(BUSY_PAUSE),
            Stage::Waiting(_) => self.send_reinvite(now, out),
            Stage::Sent(sent) => match sent.repeated.tick(now) {
                Tick::Nothing => {}
                Tick::Again => {
                    let again = &sent.repeated;
                    out.push(Output::Send(again.bytes.clone(), again.to.clone()));
                }
                Tick::TimedOut => self.end_silent_talk(408, now, out),
            },
        }
    }

    fn send_reinvite(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(mut ours) = self.talk.reinvite.take() else {
            return;
        };
        // INVARIANT: without the tag of a far end that answered this would be the INVITE of a new call, and need a permit.
        let leg = self
            .legs
            .iter_mut()
            .find(|leg| !leg.ended && !leg.remote.tag.is_empty());
        let Some(leg) = leg.filter(|_| self.state == State::Up) else {
            return self.follow_up(ours.purpose, Followed::plain(InstructionResult::NotUp), out);
        };
        let cseq = leg.next_cseq;
        leg.next_cseq += 1;
        let remote = leg.remote.clone();
        let (target, trunk) = (&remote.target, &self.id.trunk);
        let auth = self.auth.headers("INVITE", target, trunk, &mut self.tokens);
        let mut extra = auth.clone();
        extra.extend(self.talk.timer.terms());
        extra.push(self.contact());
        extra.push(Header::new("Allow", ALLOW));
        extra.push(Header::new("Content-Type", SDP));
        let branch = self.tokens.branch();
        let method = InDialog::Invite;
        let (bytes, to) = self
            .id
            .within(method, &remote, cseq, &branch, &extra, &ours.sdp);
        out.push(Output::Send(bytes.clone(), to.clone()));
        let repeated = Repeated::invited(bytes, to, self.limits.timers, now);
        ours.stage = Stage::Sent(Box::new(Sent {
            remote,
            branch,
            cseq,
            auth,
            repeated,
        }));
        self.talk.reinvite = Some(ours);
    }

    /// Whether a response is to an INVITE of ours within the call.
    pub(super) fn answers_reinvite(&self, branch: &str) -> bool {
        let sent = self.talk.reinvite.as_ref().and_then(|ours| ours.sent());
        sent.is_some_and(|sent| sent.branch == branch)
            || self.talk.reinvited.iter().any(|old| old.branch == branch)
    }

    pub(super) fn on_reinvite_answered(
        &mut self,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let branch = message.via.branch.as_str();
        if let Some(old) = self.talk.reinvited.iter().find(|old| old.branch == branch) {
            if code >= 200 {
                let (bytes, to) = old.ack_of(code);
                out.push(Output::Send(bytes, to));
            }
            return;
        }
        if code < 200 {
            if let Some(Stage::Sent(sent)) = self.talk.reinvite.as_mut().map(|ours| &mut ours.stage)
            {
                sent.repeated.hold(now.plus(FINAL_WAIT));
            }
            return;
        }
        let Some(mut ours) = self.talk.reinvite.take() else {
            return;
        };
        if let Stage::Sent(sent) = std::mem::replace(&mut ours.stage, Stage::Waiting(now)) {
            self.acknowledge_reinvite(message, code, *sent, out);
        }
        if self.state == State::Up {
            self.heed_reinvite(ours, message, code, now, out);
        }
    }

    /// Within the transaction if it was refused, else as a request of its own to where the 2xx says.
    fn acknowledge_reinvite(
        &mut self,
        message: &Message,
        code: u16,
        sent: Sent,
        out: &mut Vec<Output>,
    ) {
        let Sent {
            mut remote,
            branch,
            cseq,
            auth,
            ..
        } = sent;
        let ack = if code < 300 {
            self.refresh_target(message);
            let leg = self.legs.iter().find(|leg| leg.remote.tag == remote.tag);
            remote = leg.map_or(remote, |leg| leg.remote.clone());
            let fresh = self.tokens.branch();
            self.id
                .within(InDialog::Ack, &remote, cseq, &fresh, &auth, &[])
        } else {
            self.id
                .within(InDialog::Ack, &remote, cseq, &branch, &[], &[])
        };
        out.push(Output::Send(ack.0.clone(), ack.1.clone()));
        if self.talk.reinvited.len() == REMEMBERED_MAX {
            self.talk.reinvited.remove(0);
        }
        self.talk.reinvited.push(Settled {
            branch,
            cseq,
            ack,
            refused: None,
        });
    }

    fn heed_reinvite(
        &mut self,
        mut ours: Box<Reinvite>,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        match code {
            200..=299 => return self.on_reinvite_accepted(*ours, message, code, now, out),
            401 | 407 if !ours.challenged => {
                ours.challenged = true;
                self.auth = Auth::default();
                let trunk = &self.id.trunk;
                if self.auth.challenged(message, code == 407, trunk).is_err() {
                    return self.follow_up(ours.purpose, Followed::with_code(code), out);
                }
            }
            408 | 481 => {
                self.follow_up(ours.purpose, Followed::with_code(code), out);
                return self.end_silent_talk(code, now, out);
            }
            422 if self.talk.timer.raise(message) => {}
            491 if ours.glares < GLARES_MAX => {
                ours.glares += 1;
                // The Call-ID is ours: 2.1 to 4 seconds in steps of 10 ms.
                let wait = Duration::from_millis(2_100 + 10 * self.tokens.below(191));
                ours.stage = Stage::Waiting(now.plus(wait));
            }
            _ => {
                if ours.purpose == Purpose::Refresh {
                    self.refresh_again(message, now);
                }
                return self.follow_up(ours.purpose, Followed::with_code(code), out);
            }
        }
        self.talk.reinvite = Some(ours);
        self.tick_reinvite(now, out);
    }

    fn on_reinvite_accepted(
        &mut self,
        ours: Reinvite,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        self.talk.timer.agreed(message, now);
        let answer = message.sdp().unwrap_or_default().to_vec();
        if !sdp::fits(&ours.sdp, &answer) {
            self.follow_up(
                ours.purpose,
                Followed::plain(InstructionResult::Misfit),
                out,
            );
            let reason = "SIP;cause=488;text=\"Not Acceptable Here\"";
            return self.end_talk(reason, EndedBy::Us, None, now, out);
        }
        self.offer = ours.sdp;
        if matches!(ours.purpose, Purpose::Offer(_)) {
            self.take_wishes();
        }
        if let Some(leg) = self.legs.iter_mut().find(|leg| !leg.ended) {
            let changed = !sdp::unchanged(&leg.remote_sdp, &answer);
            leg.remote_sdp.clone_from(&answer);
            if changed && ours.purpose == Purpose::Refresh {
                // A far end may answer a refresh with another session all the same.
                let sdp = answer.clone();
                out.push(Output::Event(SipEvent::MediaOffer { offer: None, sdp }));
            }
        }
        let followed = Followed {
            sdp: answer,
            ..Followed::with_code(code)
        };
        self.follow_up(ours.purpose, followed, out);
    }

    /// Tells the client what became of its offer; nobody waits for a refresh.
    fn follow_up(&self, purpose: Purpose, followed: Followed, out: &mut Vec<Output>) {
        if let Purpose::Offer(id) = purpose {
            out.push(Output::Event(SipEvent::Followed { id, followed }));
        }
    }

    /// A call that ends leaves no instruction without an answer, nor an offer of the far end's.
    pub(super) fn end_instructions(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.talk.timer.stop();
        self.withdraw_offered(487, "Request Terminated", now, out);
        let over = Followed::plain(InstructionResult::NotUp);
        if let Some(tones) = self.talk.tones.take() {
            let (id, followed) = (tones.id(), over.clone());
            out.push(Output::Event(SipEvent::Followed { id, followed }));
        }
        if let Some(ours) = self.talk.reinvite.take() {
            self.follow_up(ours.purpose, over, out);
            if let Stage::Sent(sent) = ours.stage {
                // Its answer may be on its way, whichever it is, and is acknowledged.
                let fresh = self.tokens.branch();
                let Sent {
                    remote,
                    branch,
                    cseq,
                    auth,
                    ..
                } = *sent;
                let ack = self
                    .id
                    .within(InDialog::Ack, &remote, cseq, &fresh, &auth, &[]);
                let refused = self
                    .id
                    .within(InDialog::Ack, &remote, cseq, &branch, &[], &[]);
                self.talk.reinvited.push(Settled {
                    branch,
                    cseq,
                    ack,
                    refused: Some(Box::new(refused)),
                });
            }
        }
    }

    /// RFC 3261 section 12.2.1.2.
    pub(super) fn refresh_target(&mut self, message: &Message) {
        let tag = message.to_tag.as_deref().unwrap_or_default();
        let target = super::target_of(message);
        let leg = self.legs.iter_mut().find(|leg| leg.remote.tag == tag);
        if let (Some(leg), Some(target)) = (leg, target) {
            leg.remote.target = target;
        }
    }
}
