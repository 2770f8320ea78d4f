//! What the far end asks within our dialogs: BYE, session refreshes, and all that we decline in good form.

use super::dialog::target_of;
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
        self.unacknowledged
            .as_ref()
            .map(|(_, _, repeated)| repeated.wake())
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
            if ours
                && let Some((cseq, _, _)) = &self.inbound.unacknowledged
                && *cseq == message.cseq
            {
                self.inbound.unacknowledged = None;
            }
            return;
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
            None if early => early_answer(message),
            None => self.outside_legs(message),
            // A request older than the last: RFC 3261 section 12.2.2.
            Some(leg) if leg.remote_cseq.is_some_and(|last| message.cseq < last) => {
                answer(500, "Server Internal Error")
            }
            Some(leg) => {
                leg.remote_cseq = Some(message.cseq);
                self.within_leg(&tag, message, now.mono, out)
            }
        };
        self.reply(message, source, reply, now.mono, out);
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

    fn within_leg(
        &mut self,
        tag: &str,
        message: &Message,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> Reply<'static> {
        let required: Vec<&str> = message.list("Require");
        if !required.is_empty() && message.method != "CANCEL" {
            let unsupported = Header::new("Unsupported", required.join(", "));
            return with(answer(420, "Bad Extension"), unsupported);
        }
        let allow = || Header::new("Allow", ALLOW);
        match message.method.as_str() {
            "BYE" => {
                self.on_bye(tag, message, now, out);
                answer(200, "OK")
            }
            "INFO" => answer(200, "OK"),
            "OPTIONS" => {
                let accept = Header::new("Accept", SDP);
                with(with(answer(200, "OK"), allow()), accept)
            }
            "INVITE" | "UPDATE" => self.on_session_request(tag, message, out),
            "CANCEL" => self.outside_legs(message),
            // A transfer is a new call and would have to pass the gate.
            "REFER" => answer(603, "Decline"),
            "PRACK" => answer(481, "Call/Transaction Does Not Exist"),
            "MESSAGE" | "NOTIFY" | "PUBLISH" | "REGISTER" | "SUBSCRIBE" => {
                with(answer(405, "Method Not Allowed"), allow())
            }
            _ => with(answer(501, "Not Implemented"), allow()),
        }
    }

    /// A re-INVITE or UPDATE: a refresh is answered, another session is declined and shown to the client.
    fn on_session_request(
        &mut self,
        tag: &str,
        message: &Message,
        out: &mut Vec<Output>,
    ) -> Reply<'static> {
        let up = self.state == State::Up;
        let Some(leg) = self
            .legs
            .iter_mut()
            .find(|leg| leg.remote.tag == tag && up && !leg.ended)
        else {
            return answer(481, "Call/Transaction Does Not Exist");
        };
        let has_body = !message.body.is_empty();
        let Some(offered) = message.sdp() else {
            if has_body {
                let accept = Header::new("Accept", SDP);
                return with(answer(415, "Unsupported Media Type"), accept);
            }
            if let Some(target) = target_of(message) {
                leg.remote.target = target;
            }
            return with(answer(200, "OK"), self.contact());
        };
        if sdp::unchanged(&leg.remote_sdp, offered) {
            // Target refresh: RFC 3261 section 12.2.2.
            if let Some(target) = target_of(message) {
                leg.remote.target = target;
            }
            return with(answer(200, "OK"), self.contact());
        }
        let sdp = offered.to_vec();
        self.report(SipEvent::MediaOffer { sdp }, out);
        answer(488, "Not Acceptable Here")
    }

    fn reply(
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
    fn contact(&self) -> Header {
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

fn answer(code: u16, phrase: &'static str) -> Reply<'static> {
    Reply {
        code,
        phrase,
        ..Reply::default()
    }
}

fn with(mut reply: Reply<'static>, header: Header) -> Reply<'static> {
    reply.extra.push(header);
    reply
}
