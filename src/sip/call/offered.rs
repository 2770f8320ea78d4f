//! Another session that the far end offers: the client is asked, and while it thinks nothing changes.

use std::time::Duration;

use super::inbound::{answer, with};
use super::{Call, Mono, Output, SipEvent, State};
use crate::domain::instruction::InstructionResult;
use crate::sip::head::Header;
use crate::sip::message::{Asked, Reply, respond};
use crate::sip::peer::Hop;
use crate::sip::sdp;
use crate::sip::wire::Message;

/// How long a client may take to answer an offer of the far end; after that it is declined and the session stays.
pub const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// Offers that one call asks its client about.
const OFFERS_MAX: u32 = 1_000;

/// An offer of the far end that the client has not answered.
#[derive(Debug)]
pub(super) struct Offered {
    number: u32,
    tag: String,
    request: Message,
    source: Hop,
    until: Mono,
}

impl Offered {
    /// Whether this is the same request once more.
    pub(super) fn is(&self, message: &Message) -> bool {
        let (ours, theirs) = (&self.request, message);
        ours.via.branch == theirs.via.branch
            && ours.method == theirs.method
            && ours.cseq == theirs.cseq
    }

    /// Whether this CANCEL is for it.
    pub(super) fn is_cancelled_by(&self, message: &Message) -> bool {
        self.request.method == "INVITE" && self.request.via.branch == message.via.branch
    }

    pub(super) fn wake(&self) -> Mono {
        self.until
    }
}

impl Call {
    /// Asks the client; an answer to an INVITE takes longer than the far end waits for a first word.
    pub(super) fn ask_client(
        &mut self,
        tag: &str,
        message: &Message,
        source: &Hop,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> Option<Reply<'static>> {
        if self.inbound.offers == OFFERS_MAX {
            return Some(answer(488, "Not Acceptable Here"));
        }
        self.inbound.offers += 1;
        let (number, sdp) = (self.inbound.offers, message.body.clone());
        self.inbound.offered = Some(Box::new(Offered {
            number,
            tag: tag.to_owned(),
            request: message.clone(),
            source: source.clone(),
            until: now.plus(ANSWER_WAIT),
        }));
        self.say_trying(message, source, out);
        let offer = Some(number);
        out.push(Output::Event(SipEvent::MediaOffer { offer, sdp }));
        None
    }

    pub(super) fn say_trying(&self, message: &Message, source: &Hop, out: &mut Vec<Output>) {
        if message.method != "INVITE" {
            return;
        }
        let asked = Asked {
            headers: &message.headers,
            via: &message.via,
            source,
        };
        let (bytes, to) = respond(asked, &answer(100, "Trying"));
        out.push(Output::Send(bytes, to));
    }

    /// The client's answer: from now on that is our session.
    pub(super) fn answer_offered(
        &mut self,
        number: u32,
        ours: Vec<u8>,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> InstructionResult {
        let Some(offered) = self
            .inbound
            .offered
            .take_if(|offered| offered.number == number)
        else {
            return InstructionResult::OfferOver;
        };
        if !sdp::fits(&offered.request.body, &ours) {
            // It may think better of it, as long as there is time.
            self.inbound.offered = Some(offered);
            return InstructionResult::Misfit;
        }
        let Offered {
            tag,
            request,
            source,
            ..
        } = *offered;
        self.keep_wishes();
        self.offer = self.raised(ours);
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.remote.tag == tag) {
            leg.remote_sdp.clone_from(&request.body);
        }
        let reply = self.accept(&tag, &request, now);
        self.reply(&request, &source, reply, now, out);
        InstructionResult::Done
    }

    pub(super) fn decline_offered(
        &mut self,
        number: u32,
        now: Mono,
        out: &mut Vec<Output>,
    ) -> InstructionResult {
        let open = self.inbound.offered.as_ref();
        if open.is_none_or(|offered| offered.number != number) {
            return InstructionResult::OfferOver;
        }
        self.withdraw_offered(488, "Not Acceptable Here", now, out);
        InstructionResult::Done
    }

    /// Answers the open offer, if there is one, with a refusal.
    pub(super) fn withdraw_offered(
        &mut self,
        code: u16,
        phrase: &'static str,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        if let Some(offered) = self.inbound.offered.take() {
            let reply = answer(code, phrase);
            self.reply(&offered.request, &offered.source, reply, now, out);
            if self.state == State::Up {
                out.push(Output::Event(SipEvent::OfferOver));
            }
        }
    }

    pub(super) fn tick_offered(&mut self, now: Mono, out: &mut Vec<Output>) {
        let open = self.inbound.offered.as_ref();
        if open.is_some_and(|offered| offered.until <= now) {
            self.withdraw_offered(488, "Not Acceptable Here", now, out);
            let text = "nobody answered the far end's offer of another session in time; the session stays as it was";
            self.note(None, text, out);
        }
    }

    /// What stands in the way of another offer of the far end just now (RFC 3261 section 14.2, RFC 3311 section 5.2).
    pub(super) fn in_the_way(&mut self) -> Option<Reply<'static>> {
        if self.has_offered() {
            return Some(answer(491, "Request Pending"));
        }
        self.inbound.offered.as_ref()?;
        let after = self.tokens.below(11).to_string();
        let busy = answer(500, "Server Internal Error");
        Some(with(busy, Header::new("Retry-After", after)))
    }
}
