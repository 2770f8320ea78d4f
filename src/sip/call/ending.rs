//! How a call ends, whoever ends it, and what is told on the way.

use super::*;
use crate::sip::redirect;
use crate::sip::values::discreet;

impl Call {
    pub(super) fn hang_up(&mut self, cause: HangUpCause, now: Reading, out: &mut Vec<Output>) {
        match self.state {
            State::Inviting | State::AwaitingPermit => {
                self.cancel(Own::HangUp(cause), now.mono, out)
            }
            State::Up if cause == HangUpCause::NoMedia => self.end_deaf(now.mono, out),
            State::Up => self.end_talk(
                reason_of(Own::HangUp(cause)),
                EndedBy::Us,
                None,
                now.mono,
                out,
            ),
            State::Over => {}
        }
    }

    /// The end of a call that was answered and that nobody can talk in.
    fn end_deaf(&mut self, now: Mono, out: &mut Vec<Output>) {
        let cause = HangUpCause::NoMedia;
        self.bye_all(reason_of(Own::HangUp(cause)), now, out);
        let ending = Ending {
            code: Some(200),
            answered: true,
            ..Ending::hung_up(cause)
        };
        self.end(ending, now, out);
    }

    /// The end of a call that was not answered, judged by the table.
    pub(super) fn end_unanswered(
        &mut self,
        signal: Signal,
        message: Option<&Message>,
        by: EndedBy,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let reasons = message.map(Reasons::of).unwrap_or_default();
        let phrase = match message.map(|message| &message.start) {
            Some(Start::Response { reason, .. }) => reason.as_str(),
            _ => "",
        };
        let (outcome, retry) = judge(&Evidence {
            own: self.own,
            signal,
            phrase,
            reasons: &reasons,
            rang: self.rang,
            trunk: &self.id.trunk,
        });
        let by = match self.own {
            Some(Own::HangUp(_)) => EndedBy::Us,
            Some(Own::RingTimer) => EndedBy::Timeout,
            None => by,
        };
        let ending = Ending {
            outcome,
            retry,
            code: match signal {
                Signal::Code(code) => Some(code),
                Signal::Silence => None,
            },
            reason: message.is_some().then(|| discreet(phrase)),
            q850_cause: reasons.q850,
            retry_after: message.and_then(crate::sip::outcome::retry_after),
            by,
            answered: false,
            redirect: match (signal, message) {
                (Signal::Code(300..=305), Some(message)) if self.own.is_none() => {
                    redirect::same_number_elsewhere(&self.id.request_uri(), message).map(Box::new)
                }
                _ => None,
            },
        };
        self.end(ending, now, out);
    }

    /// The end for want of a permit: as far as the callee is concerned nothing was sent.
    pub(super) fn end_without_permit(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.end(
            Ending::plain(Outcome::PermitExpired, Retry::None, EndedBy::Timeout),
            now,
            out,
        );
    }

    /// Tells the ending, once. The permit goes first.
    pub(super) fn end(&mut self, ending: Ending, now: Mono, out: &mut Vec<Output>) {
        if self.state == State::Over {
            return;
        }
        self.let_permit_go(out);
        self.state = State::Over;
        self.end_instructions(now, out);
        self.invite.pending = false;
        self.invite.repeat = None;
        self.deadlines = Deadlines::default();
        self.offer = Vec::new();
        self.invite.locked.forget();
        self.last_report = None;
        if self.sent {
            self.linger(now);
        }
        out.push(Output::Event(SipEvent::Ended(ending)));
    }

    /// Stragglers are answered for 64 T1 more, and as long as one may be under way.
    pub(super) fn linger(&mut self, now: Mono) {
        let Timers { t4, .. } = self.limits.timers;
        self.deadlines.linger = Some(now.plus(self.limits.timers.long()).plus(t4));
    }

    /// An event that may be left out when there were too many.
    pub(super) fn report(&mut self, event: SipEvent, out: &mut Vec<Output>) {
        if let Some(left) = self.reports_left.checked_sub(1) {
            self.reports_left = left;
            out.push(Output::Event(event));
        }
    }

    pub(super) fn note(&mut self, code: Option<u16>, text: &str, out: &mut Vec<Output>) {
        let text = text.to_owned();
        self.report(SipEvent::Note { code, text }, out);
    }
}

/// The Reason header of what we do ourselves (RFC 3326).
pub(super) fn reason_of(own: Own) -> &'static str {
    match own {
        Own::HangUp(HangUpCause::Drain) => "SIP;cause=503;text=\"Service shutting down\"",
        Own::HangUp(HangUpCause::AgentGone) => "SIP;cause=480;text=\"Temporarily Unavailable\"",
        Own::HangUp(HangUpCause::Misfit | HangUpCause::NoMedia) => {
            "SIP;cause=488;text=\"Not Acceptable Here\""
        }
        Own::HangUp(HangUpCause::Elsewhere) => "SIP;cause=200;text=\"Call completed elsewhere\"",
        Own::HangUp(_) => "Q.850;cause=16;text=\"Normal call clearing\"",
        Own::RingTimer => "Q.850;cause=19;text=\"No answer from user\"",
    }
}
