//! The INVITE: written under the permit, answered by provisional and final responses, challenged, cancelled.

use std::io::ErrorKind;

use super::dialog::RequestKind;
use super::{
    Call, EndedBy, Ending, Invitation, LATE_AFTER, Mono, Output, Own, Permit, Progress, RENEW_WAIT,
    Reading, Settled, Signal, SipEvent, State, Warrant, Whom, reason_of,
};
use crate::sip::head::Header;
use crate::sip::message::Way;
use crate::sip::peer::Hop;
use crate::sip::values::discreet;
use crate::sip::wire::Message;

/// Settled INVITEs that are remembered: one a challenge, and those are bounded.
const SETTLED_MAX: usize = 16;

impl Call {
    /// Asks for the INVITE to be written, if it may be.
    pub(super) fn want_write(&mut self, out: &mut Vec<Output>) {
        if self.warrant.is_some() {
            self.invite.pending = true;
            out.push(Output::WriteInvite);
        }
    }

    /// The INVITE left; `after` was read after the system call (claim-9).
    pub(super) fn on_written(
        &mut self,
        counted_from: Reading,
        after: Reading,
        out: &mut Vec<Output>,
    ) {
        let invite = &mut self.invite;
        invite.pending = false;
        // A stream repeats what is lost by itself.
        let repeats = !invite.locked.to().is_stream();
        invite.repeat = repeats.then(|| after.mono.plus(invite.interval));
        invite.interval = invite.interval.saturating_mul(2);
        if invite.progress == Progress::Unwritten {
            invite.progress = Progress::Calling;
            let patience = self
                .id
                .trunk
                .first_response_timeout
                .min(self.limits.timers.long());
            self.deadlines.response = Some(after.mono.plus(patience));
        }
        let first = !self.sent;
        self.sent = true;
        let wall_age = after.wall.since(counted_from.wall);
        let late = after.mono.since(counted_from.mono) >= LATE_AFTER
            || wall_age >= i64::try_from(LATE_AFTER.as_micros()).unwrap_or(i64::MAX);
        let event = SipEvent::Sent {
            at: after,
            late,
            first,
        };
        if first || late {
            out.push(Output::Event(event));
        } else {
            self.report(event, out);
        }
    }

    /// The system refused to send: unreachable if it was the first, else as if the datagram had been lost.
    pub(super) fn on_write_failed(&mut self, kind: ErrorKind, now: Mono, out: &mut Vec<Output>) {
        self.invite.pending = false;
        if self.falls_back(kind) {
            // The same INVITE by datagram, as if there were no stream: RFC 3261 section 18.1.1.
            self.way = Way::Datagram;
            let (cseq, branch) = (self.invite.cseq, &self.invite.branch);
            let auth = &self.invite.auth;
            let extra: (&[Header], &[Header]) = (auth, &self.talk.timer.proposal());
            self.invite.locked = self.id.invite(cseq, branch, extra, &self.offer, self.way);
            self.invite.blocked = false;
            self.want_write(out);
        } else if self.invite.progress == Progress::Unwritten {
            let (signal, by) = match self.way {
                // What it said to the datagram stands.
                Way::Stream(code) => (Signal::Code(code), EndedBy::Peer),
                Way::ByLength | Way::Datagram => (Signal::Silence, EndedBy::Timeout),
            };
            self.end_unanswered(signal, None, by, now, out);
        } else {
            self.invite.repeat = Some(now.plus(self.invite.interval));
        }
    }

    /// Whether it went by a stream for its length alone, and that was refused.
    fn falls_back(&self, kind: ErrorKind) -> bool {
        let refused = matches!(
            kind,
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::Unsupported
        );
        let for_length = self.invite.locked.to().transport() != self.id.trunk.target.transport;
        let for_length = for_length && self.way == Way::ByLength;
        refused && for_length && self.invite.progress == Progress::Unwritten
    }

    /// The connection that the INVITE went by broke before anything was heard of it. That is an answer like a 503: RFC 3261
    /// section 8.1.3.1.
    pub(super) fn on_lost(&mut self, hop: &Hop, now: Mono, out: &mut Vec<Output>) {
        let inviting = self.state == State::Inviting && self.is_unheard();
        if inviting && self.invite.locked.to() == hop {
            self.end_unanswered(Signal::Silence, None, EndedBy::Timeout, now, out);
        }
    }

    /// The permit is over: nothing more is sent under it.
    pub(super) fn on_permit_over(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.drop_permit(out);
        if self.state != State::Inviting {
            return;
        }
        match (self.sent, self.invite.progress) {
            // The target took no INVITE for as long as it might have had one; another may.
            (false, _) if self.invite.blocked && self.invite.locked.to().is_stream() => {
                self.end_unanswered(Signal::Silence, None, EndedBy::Timeout, now, out);
            }
            (false, _) => self.end_without_permit(now, out),
            (true, Progress::Unwritten) => self.await_permit(now, out),
            (true, _) => out.push(Output::Event(SipEvent::PermitSpent)),
        }
    }

    /// Gives the permit up in memory; whoever is told of it hears later (claim-10).
    fn drop_permit(&mut self, out: &mut Vec<Output>) {
        self.let_permit_go(out);
        self.deadlines.permit = None;
        self.invite.pending = false;
        self.invite.repeat = None;
    }

    /// A stream repeats by itself what the network loses, and asks no permit.
    pub(super) fn let_permit_go(&mut self, out: &mut Vec<Output>) {
        let unheard = matches!(
            self.invite.progress,
            Progress::Unwritten | Progress::Calling
        );
        if self.warrant.take().is_some() && unheard && self.invite.locked.to().is_stream() {
            out.push(Output::Withdraw);
        }
    }

    fn await_permit(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.state = State::AwaitingPermit;
        self.deadlines.renew = Some(now.plus(RENEW_WAIT));
        out.push(Output::Event(SipEvent::PermitNeeded));
    }

    /// A new claim for the same call.
    pub(super) fn renew(&mut self, permit: Permit, now: Reading, out: &mut Vec<Output>) {
        if self.state != State::AwaitingPermit {
            return;
        }
        self.deadlines.renew = None;
        // The INVITE at hand was made for these numbers and for no others.
        let is_same = match &self.id.whom {
            Whom::Number(numbers) => {
                permit.to() == numbers.to && permit.from() == Some(numbers.from)
            }
            Whom::Desk(_) => false,
        };
        if !is_same {
            self.note(None, "the new permit is for another call", out);
            return self.end_without_permit(now.mono, out);
        }
        match self.id.vouch(permit.read().wall) {
            Ok(false) => {}
            // Made for the permit before: its signature may be of another minute.
            Ok(true) => {
                let (cseq, branch) = (self.invite.cseq, &self.invite.branch);
                let (auth, way) = (&self.invite.auth, self.way);
                let extra: (&[Header], &[Header]) = (auth, &self.talk.timer.proposal());
                self.invite.locked = self.id.invite(cseq, branch, extra, &self.offer, way);
            }
            Err(why) => return self.end(Ending::unsigned(why), now.mono, out),
        }
        self.deadlines.permit = Some(permit.read().mono.plus(Permit::LIFE));
        self.warrant = Some(Warrant::Permit(permit));
        self.state = State::Inviting;
        self.want_write(out);
    }

    pub(super) fn on_response(
        &mut self,
        message: &Message,
        code: u16,
        reason: &str,
        now: Reading,
        out: &mut Vec<Output>,
    ) {
        if message.from_tag.as_deref() != Some(self.id.from_tag.as_str()) {
            return;
        }
        if message.method != "INVITE" {
            return self.on_request_answered(message, code, now.mono, out);
        }
        let branch = message.via.branch.as_str();
        if self.answers_reinvite(branch) {
            return self.on_reinvite_answered(message, code, now.mono, out);
        }
        let settled = self.settled.iter().find(|old| old.branch == branch);
        match (settled.map(|old| old.cseq), code) {
            (Some(cseq), 200..=299) => self.on_success(message, code, cseq, now.mono, out),
            (Some(_), 300..) => self.acknowledge_again(branch, out),
            (None, _) if branch != self.invite.branch || !self.sent => {}
            (None, 100..=199) => self.on_provisional(message, code, reason, now.mono, out),
            (None, 200..=299) => self.on_success(message, code, self.invite.cseq, now.mono, out),
            (None, 300..) => self.on_failure(message, code, now.mono, out),
            _ => {}
        }
    }

    fn on_provisional(
        &mut self,
        message: &Message,
        code: u16,
        reason: &str,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        if self.invite.progress == Progress::Finished {
            return;
        }
        self.invite.progress = Progress::Proceeding;
        self.invite.pending = false;
        self.invite.repeat = None;
        self.deadlines.response = None;
        if self.own.is_some() || self.state == State::Over {
            // CANCEL waited for this: RFC 3261 section 9.1. A call given up for silence must not ring either, and if it did for
            // a moment, its owner is not to try another way.
            self.rang |= (180..190).contains(&code);
            return self.send_cancel(now, out);
        }
        let patience = Some(now.plus(self.id.ring_timeout()));
        let first_ring = (180..190).contains(&code) && !self.rang;
        if first_ring {
            self.rang = true;
            self.drop_permit(out);
        }
        if first_ring || self.deadlines.ring.is_none() {
            self.deadlines.ring = patience;
        }
        self.acknowledge_reliable(message, now, out);
        self.report_provisional(message, code, reason, first_ring, out);
    }

    /// Tells of a provisional response unless it repeats the last one. The first ring is never left out: with it the
    /// permit was given up.
    fn report_provisional(
        &mut self,
        message: &Message,
        code: u16,
        reason: &str,
        first_ring: bool,
        out: &mut Vec<Output>,
    ) {
        let sdp = message.sdp().unwrap_or_default().to_vec();
        let report = (code, message.to_tag.clone(), sdp.clone());
        if self.last_report.as_ref() == Some(&report) {
            return;
        }
        self.last_report = Some(report);
        let reason = discreet(reason);
        let event = match code {
            180..190 if sdp.is_empty() => SipEvent::Ringing { code, reason },
            180..190 => SipEvent::EarlyMedia { code, reason, sdp },
            _ => SipEvent::Progress { code, reason },
        };
        if first_ring {
            out.push(Output::Event(event));
        } else {
            self.report(event, out);
        }
    }

    fn on_failure(&mut self, message: &Message, code: u16, now: Mono, out: &mut Vec<Output>) {
        if self.invite.progress == Progress::Finished {
            return;
        }
        self.invite.progress = Progress::Finished;
        self.invite.pending = false;
        self.invite.repeat = None;
        self.deadlines.response = None;
        let to = message.first("To").unwrap_or_default();
        let tag = message.to_tag.as_deref().unwrap_or_default();
        let (cseq, branch) = (self.invite.cseq, &self.invite.branch);
        // As the INVITE went: RFC 3261 section 17.1.1.3.
        let hop = self.invite.locked.to().clone();
        let sent = (hop.transport(), branch.as_str());
        let ack = self.id.ack_failure(cseq, sent, to, tag);
        out.push(Output::Send(ack.clone(), hop.clone()));
        if self.settled.len() < SETTLED_MAX {
            self.settled.push(Settled {
                branch: self.invite.branch.clone(),
                cseq: self.invite.cseq,
                ack: (ack, hop),
                refused: None,
            });
        }
        let may_follow = self.own.is_none() && !self.rang && self.state == State::Inviting;
        if code == 422 && may_follow && self.talk.timer.raise(message) {
            return self.invite_again(now, out);
        }
        if matches!(code, 413 | 414 | 513) && may_follow && self.may_go_by_stream() {
            self.way = Way::Stream(code);
            return self.invite_again(now, out);
        }
        if matches!(code, 401 | 407) && may_follow {
            match self.auth.challenged(message, code == 407, &self.id.trunk) {
                Ok(()) => return self.invite_again(now, out),
                Err(why) => self.note(Some(code), why, out),
            }
        }
        self.end_unanswered(Signal::Code(code), Some(message), EndedBy::Peer, now, out);
    }

    /// Whether an INVITE that was called too large may go once by a stream instead: RFC 3261 sections 18.1.1 and 21.5.14 leave what
    /// to do to the client, and a middle box that cuts datagrams short cuts no stream.
    fn may_go_by_stream(&self) -> bool {
        let is_datagram = !self.invite.locked.to().is_stream();
        is_datagram && self.id.trunk.hop_of_large().is_some()
    }

    fn acknowledge_again(&self, branch: &str, out: &mut Vec<Output>) {
        if let Some(old) = self.settled.iter().find(|old| old.branch == branch) {
            out.push(Output::Send(old.ack.0.clone(), old.ack.1.clone()));
        }
    }

    /// The answer to a challenge or to a 422: a new INVITE under the same claim, if that still lives.
    fn invite_again(&mut self, now: Mono, out: &mut Vec<Output>) {
        let branch = self.tokens.branch();
        let cseq = self.invite.cseq + 1;
        let uri = self.id.request_uri();
        let auth = self
            .auth
            .headers("INVITE", &uri, &self.id.trunk, &mut self.tokens);
        self.deadlines.ring = None;
        self.invite = Invitation {
            locked: self.id.invite(
                cseq,
                &branch,
                (&auth, &self.talk.timer.proposal()),
                &self.offer,
                self.way,
            ),
            branch,
            cseq,
            auth,
            progress: Progress::Unwritten,
            pending: false,
            blocked: false,
            interval: self.limits.timers.t1,
            repeat: None,
        };
        if self.warrant.is_some() {
            self.want_write(out);
        } else {
            self.await_permit(now, out);
        }
    }

    /// Gives the call up before an answer. The permit goes first.
    pub(super) fn cancel(&mut self, own: Own, now: Mono, out: &mut Vec<Output>) {
        let had_permit = self.warrant.is_some();
        self.drop_permit(out);
        if self.own.is_some() || self.state == State::Over {
            return;
        }
        if had_permit && self.sent {
            // An opt-out that waits for this attempt need not wait for the call's end.
            out.push(Output::Event(SipEvent::PermitSpent));
        }
        self.own = Some(own);
        self.deadlines.ring = None;
        match self.invite.progress {
            // Nothing is out there, or only an INVITE that has had its final answer.
            Progress::Unwritten | Progress::Finished => {
                self.end_unanswered(Signal::Silence, None, EndedBy::Us, now, out);
            }
            // Held until the first provisional; the trunk's patience runs on and ends it if none comes.
            Progress::Calling => self.note(
                None,
                "cancelling as soon as the far end has said anything",
                out,
            ),
            Progress::Proceeding => self.send_cancel(now, out),
        }
    }

    fn send_cancel(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.cancelled {
            return;
        }
        self.cancelled = true;
        let reason = reason_of(self.own.unwrap_or(Own::RingTimer));
        let hop = self.invite.locked.to().clone();
        let branch = self.invite.branch.clone();
        let sent = (hop.transport(), branch.as_str());
        let bytes = self.id.cancel(self.invite.cseq, sent, reason);
        self.send_request(RequestKind::Cancel, branch, bytes, hop, now, out);
        if self.state == State::Over {
            self.linger(now);
        } else {
            // No 487 within 64 T1 counts as cancelled: RFC 3261 section 9.1.
            self.deadlines.cancel = Some(now.plus(self.limits.timers.long()));
        }
    }

    /// Nothing more is awaited from the INVITE but repetitions.
    pub(super) fn finish_invite(&mut self, out: &mut Vec<Output>) {
        self.invite.progress = Progress::Finished;
        self.drop_permit(out);
        self.deadlines.response = None;
        self.deadlines.ring = None;
        self.deadlines.cancel = None;
    }
}
