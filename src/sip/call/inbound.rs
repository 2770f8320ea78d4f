//! What the far end asks within our dialogs: BYE, session refreshes, and all that we decline in good form.

use super::dialog::target_of;
use super::offered::Offered;
use super::{Call, EndedBy, Mono, Output, Reading, SipEvent, State};
use crate::sip::head::Header;
use crate::sip::message::{ALLOW, Asked, Reply, SDP, respond};
use crate::sip::peer::Hop;
use crate::sip::sdp;
use crate::sip::transaction::{Repeated, Tick};
use crate::sip::wire::Message;

/// Answers that are kept for repetitions of their requests.
const RECENT_MAX: usize = 4;

/// The server side of a call.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    recent: Vec<Recent>,
    /// The answer to a re-INVITE, repeated until its ACK (RFC 3261 sections 13.3.1.4 and 17.2.1).
    unacknowledged: Option<(u32, bool, Repeated)>,
    /// An offer that the client was asked about.
    pub(super) offered: Option<Box<Offered>>,
    /// How many there were.
    pub(super) offers: u32,
}

#[derive(Debug)]
struct Recent {
    branch: String,
    method: String,
    cseq: u32,
    answer: (Vec<u8>, Hop),
}

impl Inbound {
    pub(super) fn wake(&self) -> Option<Mono> {
        let unacknowledged = self.unacknowledged.as_ref();
        let unacknowledged = unacknowledged.map(|(_, _, repeated)| repeated.wake());
        let offered = self.offered.as_ref().map(|offered| offered.wake());
        [unacknowledged, offered].into_iter().flatten().min()
    }

    /// Whether an INVITE of the far end is under way, until its ACK: none of ours may be then (RFC 3261 section 14.1).
    pub(super) fn is_busy(&self) -> bool {
        let accepted = self
            .unacknowledged
            .as_ref()
            .is_some_and(|(_, accepted, _)| *accepted);
        accepted || self.offered.is_some()
    }
}

impl Call {
    pub(super) fn on_request(
        &mut self,
        message: &Message,
        source: &Hop,
        now: Reading,
        out: &mut Vec<Output>,
    ) {
        let ours = message.to_tag.as_deref() == Some(self.id.from_tag.as_str());
        if message.method == "ACK" {
            if ours {
                self.on_ack(message, out);
            }
            return;
        }
        if let Some(offered) = &self.inbound.offered
            && offered.is(message)
        {
            return self.say_trying(message, source, out);
        }
        let recent = self.inbound.recent.iter().find(|recent| {
            recent.branch == message.via.branch
                && recent.method == message.method
                && recent.cseq == message.cseq
        });
        if let Some(recent) = recent {
            // A repetition may come by another connection than the request did.
            let bytes = recent.answer.0.clone();
            let to = match source.is_stream() {
                true => source.clone(),
                false => recent.answer.1.clone(),
            };
            return out.push(Output::Send(bytes, to));
        }
        let tag = message.from_tag.clone().unwrap_or_default();
        let early = ours && self.is_early(&tag);
        let leg = self
            .legs
            .iter_mut()
            .find(|leg| ours && leg.remote.tag == tag);
        let reply = match leg {
            None if early => Some(early_answer(message)),
            None => Some(self.outside_legs(message)),
            // A request older than the last: RFC 3261 section 12.2.2.
            Some(leg) if leg.remote_cseq.is_some_and(|last| message.cseq < last) => {
                Some(answer(500, "Server Internal Error"))
            }
            Some(leg) => {
                leg.remote_cseq = Some(message.cseq);
                self.within_leg(&tag, message, source, now.mono, out)
            }
        };
        if let Some(reply) = reply {
            self.reply(message, source, reply, now.mono, out);
        }
    }

    /// The ACK of an answer of ours. With a session in it, it answers one that we were asked to offer: ours as it stands.
    fn on_ack(&mut self, message: &Message, out: &mut Vec<Output>) {
        let of_it = |(cseq, _, _): &mut (u32, bool, Repeated)| *cseq == message.cseq;
        if self.inbound.unacknowledged.take_if(of_it).is_none() {
            return;
        }
        let tag = message.from_tag.as_deref().unwrap_or_default();
        let leg = self
            .legs
            .iter_mut()
            .find(|leg| leg.remote.tag == tag && !leg.ended);
        if let (Some(leg), Some(answered)) = (leg, message.sdp())
            && !sdp::unchanged(&leg.remote_sdp, answered)
        {
            let sdp = answered.to_vec();
            leg.remote_sdp.clone_from(&sdp);
            // No report that may be left out: the client has to send its audio there.
            out.push(Output::Event(SipEvent::MediaOffer { offer: None, sdp }));
        }
    }

    /// A request for none of the dialogs at hand. A CANCEL finds its re-INVITE long answered (section 9.2).
    fn outside_legs(&self, message: &Message) -> Reply<'static> {
        let invited = message.method == "CANCEL"
            && self
                .inbound
                .recent
                .iter()
                .any(|recent| recent.branch == message.via.branch && recent.method == "INVITE");
        if invited {
            answer(200, "OK")
        } else {
            answer(481, "Call/Transaction Does Not Exist")
        }
    }

    /// Whether the tag is that of the dialog that is ringing.
    fn is_early(&self, tag: &str) -> bool {
        let known = self
            .last_report
            .as_ref()
            .and_then(|(_, early, _)| early.as_deref());
        self.state == State::Inviting && self.progress_is_open() && known == Some(tag)
    }

    /// The answer, unless the client is asked first.
    fn within_leg(
        &mut self,
        tag: &str,
        message: &Message,
        source: &Hop,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> Option<Reply<'static>> {
        let mut required: Vec<&str> = message.list("Require");
        required.retain(|extension| !extension.eq_ignore_ascii_case("timer"));
        if !required.is_empty() && message.method != "CANCEL" {
            let unsupported = Header::new("Unsupported", required.join(", "));
            return Some(with(answer(420, "Bad Extension"), unsupported));
        }
        let allow = || Header::new("Allow", ALLOW);
        let reply = match message.method.as_str() {
            "BYE" => {
                self.on_bye(tag, message, now, out);
                answer(200, "OK")
            }
            "INFO" => answer(200, "OK"),
            "OPTIONS" => {
                let accept = Header::new("Accept", SDP);
                with(with(answer(200, "OK"), allow()), accept)
            }
            "INVITE" | "UPDATE" => return self.on_session_request(tag, message, source, now, out),
            "CANCEL" => self.on_cancel(message, now, out),
            // A transfer is a new call and would have to pass the gate.
            "REFER" => answer(603, "Decline"),
            "PRACK" => answer(481, "Call/Transaction Does Not Exist"),
            "MESSAGE" | "NOTIFY" | "PUBLISH" | "REGISTER" | "SUBSCRIBE" => {
                with(answer(405, "Method Not Allowed"), allow())
            }
            _ => with(answer(501, "Not Implemented"), allow()),
        };
        Some(reply)
    }

    /// The far end takes an offer back that the client was asked about, or one that is answered already.
    fn on_cancel(&mut self, message: &Message, now: Mono, out: &mut Vec<Output>) -> Reply<'static> {
        let open = self.inbound.offered.as_ref();
        if open.is_some_and(|offered| offered.is_cancelled_by(message)) {
            self.withdraw_offered(487, "Request Terminated", now, out);
            self.note(
                None,
                "the far end took its offer of another session back",
                out,
            );
        }
        self.outside_legs(message)
    }

    /// A re-INVITE or UPDATE: a refresh is answered, about another session the client is asked.
    fn on_session_request(
        &mut self,
        tag: &str,
        message: &Message,
        source: &Hop,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> Option<Reply<'static>> {
        let up = self.state == State::Up;
        let leg = self
            .legs
            .iter()
            .find(|leg| leg.remote.tag == tag && up && !leg.ended);
        let Some(leg) = leg else {
            return Some(answer(481, "Call/Transaction Does Not Exist"));
        };
        let offered = message.sdp();
        if offered.is_none() && !message.body.is_empty() {
            let accept = Header::new("Accept", SDP);
            return Some(with(answer(415, "Unsupported Media Type"), accept));
        }
        let same = offered.is_none_or(|offered| sdp::unchanged(&leg.remote_sdp, offered));
        if let Some(least) = self.talk.timer.too_short(message) {
            return Some(with(answer(422, "Session Interval Too Small"), least));
        }
        // An UPDATE without a session touches none.
        if (offered.is_some() || message.method == "INVITE")
            && let Some(busy) = self.in_the_way()
        {
            return Some(busy);
        }
        match same {
            true => Some(self.accept(tag, message, now)),
            false => self.ask_client(tag, message, source, now, out),
        }
    }

    /// A 2xx to an INVITE or UPDATE within the call, which may move the far end (RFC 3261 section 12.2.2) and is a refresh.
    pub(super) fn accept(&mut self, tag: &str, message: &Message, now: Mono) -> Reply<'static> {
        let leg = self.legs.iter_mut().find(|leg| leg.remote.tag == tag);
        if let (Some(leg), Some(target)) = (leg, target_of(message)) {
            leg.remote.target = target;
        }
        let mut reply = with(answer(200, "OK"), self.contact());
        reply.extra.push(Header::new("Allow", ALLOW));
        reply.extra.extend(self.talk.timer.answered(message, now));
        reply
    }

    pub(super) fn reply(
        &mut self,
        message: &Message,
        source: &Hop,
        reply: Reply<'static>,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let accepted = reply.code < 300;
        // Our session has not changed since the offer. A re-INVITE without SDP asks for it just the same (section 14.2);
        // an UPDATE without SDP does not.
        let shows_session = accepted
            && match message.method.as_str() {
                "INVITE" => true,
                "UPDATE" => message.sdp().is_some(),
                _ => false,
            };
        if shows_session && message.sdp().is_none() {
            self.offer_as_wished();
        }
        let sdp = if shows_session {
            self.offer.as_slice()
        } else {
            &[]
        };
        let asked = Asked {
            headers: &message.headers,
            via: &message.via,
            source,
        };
        let (bytes, to) = respond(asked, &Reply { sdp, ..reply });
        if message.method == "INVITE" {
            let timers = self.limits.timers;
            let repeated = match accepted {
                true => Repeated::sent_end_to_end(bytes.clone(), to.clone(), timers, now),
                false => Repeated::sent(bytes.clone(), to.clone(), timers, now),
            };
            self.inbound.unacknowledged = Some((message.cseq, accepted, repeated));
        }
        if self.inbound.recent.len() == RECENT_MAX {
            self.inbound.recent.remove(0);
        }
        self.inbound.recent.push(Recent {
            branch: message.via.branch.clone(),
            method: message.method.clone(),
            cseq: message.cseq,
            answer: (bytes.clone(), to.clone()),
        });
        out.push(Output::Send(bytes, to));
    }

    /// As in the INVITE of the call.
    pub(super) fn contact(&self) -> Header {
        let transport = self.invite.locked.to().transport();
        self.id.local.contact(transport)
    }

    pub(super) fn tick_inbound(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some((_, accepted, repeated)) = &mut self.inbound.unacknowledged else {
            return;
        };
        match repeated.tick(now) {
            Tick::Nothing => {}
            Tick::Again => out.push(Output::Send(repeated.bytes.clone(), repeated.to.clone())),
            Tick::TimedOut => {
                let accepted = *accepted;
                self.inbound.unacknowledged = None;
                if accepted {
                    // Nobody acknowledged the refresh: the far end is gone (section 13.3.1.4).
                    self.end_talk("SIP;cause=408", EndedBy::Timeout, None, now, out);
                }
            }
        }
    }
}

/// A request of a far end that rings: our offer is not answered yet, so no session can be talked about.
fn early_answer(message: &Message) -> Reply<'static> {
    match message.method.as_str() {
        "UPDATE" if message.body.is_empty() => answer(200, "OK"),
        "UPDATE" => answer(488, "Not Acceptable Here"),
        "INFO" | "OPTIONS" => answer(200, "OK"),
        _ => answer(481, "Call/Transaction Does Not Exist"),
    }
}

pub(super) fn answer(code: u16, phrase: &'static str) -> Reply<'static> {
    Reply {
        code,
        phrase,
        ..Reply::default()
    }
}

pub(super) fn with(mut reply: Reply<'static>, header: Header) -> Reply<'static> {
    reply.extra.push(header);
    reply
}
