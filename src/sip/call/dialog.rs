//! What follows a 2xx: its dialog, the ACK, BYE; and reliable provisional responses.

use super::{Call, EndedBy, Mono, Outcome, Output, Retry, SipEvent, State, reason_of};
use crate::sip::api::Ending;
use crate::sip::auth::Auth;
use crate::sip::head::Header;
use crate::sip::message::{InDialog, Remote, SDP};
use crate::sip::peer::Hop;
use crate::sip::transaction::{Repeated, Tick};
use crate::sip::values::Address;
use crate::sip::wire::Message;
use crate::sip::{outcome, sdp};

/// Dialogs that one INVITE may make by forking; further ones are not answered.
const LEGS_MAX: usize = 8;
/// BYEs of one dialog: the first, and one with credentials.
const BYES_MAX: u8 = 2;
/// Requests of ours that may be under way in one call.
const REQUESTS_MAX: usize = 16;

/// The dialog of one 2xx.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) remote: Remote,
    /// Sent again with each repetition of the 2xx.
    ack: (Vec<u8>, Hop),
    pub(super) next_cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    pub(super) remote_sdp: Vec<u8>,
    /// A BYE was sent or received.
    pub(super) ended: bool,
    byes: u8,
}

/// What is known of a dialog before its 2xx, for reliable provisional responses alone (RFC 3262).
#[derive(Debug)]
pub(super) struct Early {
    tag: String,
    last_rseq: u32,
    next_cseq: u32,
}

/// Which of our requests a response answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestKind {
    Cancel,
    /// Ends the leg with this tag, for this reason.
    Bye(String, String),
    Prack,
    /// A refresh of the session; whether it answers a challenge.
    Update {
        challenged: bool,
    },
    /// A tone.
    Info,
}

/// A request of ours under way.
#[derive(Debug)]
pub(super) struct ClientRequest {
    kind: RequestKind,
    branch: String,
    repeated: Repeated,
}

impl ClientRequest {
    pub(super) fn wake(&self) -> Mono {
        self.repeated.wake()
    }

    pub(super) fn is_bye(&self) -> bool {
        matches!(self.kind, RequestKind::Bye(..))
    }

    pub(super) fn kind(&self) -> &RequestKind {
        &self.kind
    }
}

impl Call {
    /// A 2xx: each dialog is acknowledged; the first is the call, unless we wanted out.
    pub(super) fn on_success(
        &mut self,
        message: &Message,
        code: u16,
        cseq: u32,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let tag = message.to_tag.clone().unwrap_or_default();
        if let Some(leg) = self.legs.iter().find(|leg| leg.remote.tag == tag) {
            // The ACK was lost: the same again (RFC 3261 section 13.2.2.4).
            return out.push(Output::Send(leg.ack.0.clone(), leg.ack.1.clone()));
        }
        if self.legs.len() == LEGS_MAX {
            return;
        }
        self.finish_invite(out);
        let remote = self.remote_of(message, &tag);
        let branch = self.tokens.branch();
        let held = self.held_answer(message);
        let mut extra = self.invite.auth.clone();
        if held.is_some() {
            extra.push(Header::new("Content-Type", SDP));
        }
        let body = held.as_deref().unwrap_or_default();
        let ack = self
            .id
            .within(InDialog::Ack, &remote, cseq, &branch, &extra, body);
        out.push(Output::Send(ack.0.clone(), ack.1.clone()));
        let early = self.early.iter().find(|early| early.tag == tag);
        let next_cseq = early.map_or(cseq + 1, |early| early.next_cseq);
        let answer = self.answer_in(message, &tag);
        // Most calls have one, and hold it while they linger.
        self.legs.reserve_exact(1);
        self.legs.push(Leg {
            remote,
            ack,
            next_cseq,
            remote_cseq: None,
            remote_sdp: answer.clone(),
            ended: false,
            byes: 0,
        });
        match (self.state, self.own) {
            (State::Inviting, None) => {
                self.talk.timer.agreed(message, now);
                let fits = match self.id.is_offerless() {
                    true => held.is_some(),
                    false => sdp::fits(&self.offer, &answer),
                };
                // From now on that is our session, also for refreshes.
                self.offer = held.unwrap_or_else(|| std::mem::take(&mut self.offer));
                self.on_answer(&tag, (answer, fits), code, now, out);
            }
            (State::Inviting | State::AwaitingPermit, own) => {
                let reason = own.map_or("SIP;cause=487", reason_of);
                self.bye(&tag, reason, now, out);
                let ending = Ending {
                    code: Some(code),
                    answered: true,
                    ..Ending::plain(Outcome::AnsweredAfterCancel, Retry::None, EndedBy::Us)
                };
                self.end(ending, now, out);
            }
            (State::Up, _) => self.bye(&tag, "SIP;cause=487;text=\"Answered elsewhere\"", now, out),
            (State::Over, _) => {
                self.linger(now);
                self.bye(&tag, "SIP;cause=487;text=\"Call is over\"", now, out);
            }
        }
    }

    /// What the ACK answers where the 2xx offers: the streams as they are, on hold, until it is known with whom they are to be
    /// connected (RFC 3725 section 4.4). Nothing where our INVITE had the offer, or the far end's cannot be taken.
    fn held_answer(&self, message: &Message) -> Option<Vec<u8>> {
        let offered = message.sdp().filter(|_| self.id.is_offerless())?;
        sdp::held_answer(offered, &self.id.origin())
    }

    /// The far end's session: in the 2xx, or else in the last provisional response of the same dialog, whose description
    /// counts as the answer (RFC 3261 section 13.2.1).
    fn answer_in(&self, message: &Message, tag: &str) -> Vec<u8> {
        let early = match &self.last_report {
            Some((_, Some(early), sdp)) if early == tag => sdp.as_slice(),
            _ => &[],
        };
        message.sdp().unwrap_or(early).to_vec()
    }

    fn on_answer(
        &mut self,
        tag: &str,
        (answer, fits): (Vec<u8>, bool),
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        if fits {
            self.state = State::Up;
            self.deadlines.talk = Some(now.plus(self.limits.talk_max));
            return out.push(Output::Event(SipEvent::Answered { sdp: answer }));
        }
        self.bye(tag, "SIP;cause=488;text=\"Not Acceptable Here\"", now, out);
        let ending = Ending {
            code: Some(code),
            answered: true,
            ..Ending::plain(Outcome::MediaIncompatible, Retry::Fix, EndedBy::Us)
        };
        self.end(ending, now, out);
    }

    /// Where the far end wants to be reached: Contact, and the URIs of Record-Route backwards (RFC 3261 section 12.1.2).
    /// What is no URI there is left out: refusing the whole 2xx would leave an answered call without its ACK and BYE.
    fn remote_of(&self, message: &Message, tag: &str) -> Remote {
        let mut routes: Vec<String> = message
            .list("Record-Route")
            .into_iter()
            .filter_map(|value| Address::parse(value).ok())
            .map(|address| ["<", address.uri, ">"].concat())
            .collect();
        routes.reverse();
        Remote {
            tag: tag.to_owned(),
            target: target_of(message).unwrap_or_else(|| self.id.request_uri()),
            routes,
        }
    }

    /// Ends an answered call: BYE, and the session is over as soon as it is out (RFC 3261 section 15.1.1).
    pub(super) fn end_talk(
        &mut self,
        reason: &str,
        by: EndedBy,
        q850_cause: Option<u16>,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        if self.state != State::Up {
            return;
        }
        self.bye_all(reason, now, out);
        let ending = Ending {
            code: Some(200),
            q850_cause,
            answered: true,
            ..Ending::plain(Outcome::Answered, Retry::None, by)
        };
        self.end(ending, now, out);
    }

    pub(super) fn bye_all(&mut self, reason: &str, now: Mono, out: &mut Vec<Output>) {
        let tags: Vec<String> = self
            .legs
            .iter()
            .filter(|leg| !leg.ended)
            .map(|leg| leg.remote.tag.clone())
            .collect();
        for tag in tags {
            self.bye(&tag, reason, now, out);
        }
    }

    fn bye(&mut self, tag: &str, reason: &str, now: Mono, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.remote.tag == tag) else {
            return;
        };
        leg.ended = true;
        leg.byes += 1;
        let cseq = leg.next_cseq;
        leg.next_cseq += 1;
        let mut extra = vec![Header::new("Reason", reason.to_owned())];
        extra.extend(self.auth.headers(
            "BYE",
            &leg.remote.target,
            &self.id.trunk,
            &mut self.tokens,
        ));
        let branch = self.tokens.branch();
        let (bytes, to) = self
            .id
            .within(InDialog::Bye, &leg.remote, cseq, &branch, &extra, &[]);
        let kind = RequestKind::Bye(tag.to_owned(), reason.to_owned());
        self.send_request(kind, branch, bytes, to, now, out);
    }

    /// A request within the call that is up.
    pub(super) fn send_within(
        &mut self,
        kind: RequestKind,
        method: InDialog,
        mut extra: Vec<Header>,
        body: &[u8],
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let Some(leg) = self.legs.iter_mut().find(|leg| !leg.ended) else {
            return;
        };
        let cseq = leg.next_cseq;
        leg.next_cseq += 1;
        let (target, trunk) = (&leg.remote.target, &self.id.trunk);
        let name = method.as_str();
        extra.extend(self.auth.headers(name, target, trunk, &mut self.tokens));
        let branch = self.tokens.branch();
        let (bytes, to) = self
            .id
            .within(method, &leg.remote, cseq, &branch, &extra, body);
        self.send_request(kind, branch, bytes, to, now, out);
    }

    pub(super) fn send_request(
        &mut self,
        kind: RequestKind,
        branch: String,
        bytes: Vec<u8>,
        to: Hop,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Send(bytes.clone(), to.clone()));
        // What ends a call is always sent until it is answered; of the rest no more than a far end should make us remember.
        let ends = matches!(kind, RequestKind::Bye(..) | RequestKind::Cancel);
        if ends || self.requests.len() < REQUESTS_MAX {
            self.requests.push(ClientRequest {
                kind,
                branch,
                repeated: Repeated::sent(bytes, to, self.limits.timers, now),
            });
        }
    }

    /// A response to one of our own requests beside INVITE.
    pub(super) fn on_request_answered(
        &mut self,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let branch = message.via.branch.as_str();
        let is_cancel = message.method == "CANCEL";
        let place = self.requests.iter().position(|request| {
            request.branch == branch && is_cancel == (request.kind == RequestKind::Cancel)
        });
        let Some(place) = place else { return };
        if code < 200 {
            if let Some(request) = self.requests.get_mut(place) {
                request.repeated.slow_down();
            }
            return;
        }
        let request = self.requests.swap_remove(place);
        self.requests.shrink_to_fit();
        match request.kind {
            RequestKind::Bye(tag, reason) => {
                self.on_bye_answered(&tag, &reason, message, code, now, out);
            }
            RequestKind::Update { challenged } => {
                self.on_update_answered(message, code, challenged, now, out);
            }
            RequestKind::Info => self.on_info_answered(message, code, now, out),
            RequestKind::Cancel | RequestKind::Prack => {}
        }
    }

    /// A challenged BYE is sent once more, to a nonce of its own; any other answer, 481 included, ends the leg too.
    fn on_bye_answered(
        &mut self,
        tag: &str,
        reason: &str,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let mut legs = self.legs.iter();
        let again = legs.any(|leg| leg.remote.tag == tag && leg.byes < BYES_MAX);
        if again && matches!(code, 401 | 407) {
            self.auth = Auth::default();
            let trunk = &self.id.trunk;
            if self.auth.challenged(message, code == 407, trunk).is_ok() {
                self.bye(tag, reason, now, out);
            }
        }
    }

    pub(super) fn tick_requests(&mut self, now: Mono, out: &mut Vec<Output>) {
        let (mut silent_refresh, mut silent_tone) = (false, false);
        self.requests
            .retain_mut(|request| match request.repeated.tick(now) {
                Tick::Nothing => true,
                Tick::Again => {
                    out.push(Output::Send(
                        request.repeated.bytes.clone(),
                        request.repeated.to.clone(),
                    ));
                    true
                }
                Tick::TimedOut => {
                    silent_refresh |= matches!(request.kind, RequestKind::Update { .. });
                    silent_tone |= request.kind == RequestKind::Info;
                    false
                }
            });
        if silent_tone {
            self.end_tones(408, out);
        }
        if silent_refresh {
            self.end_silent_talk(408, now, out);
        }
    }

    /// Requests that went by a connection that broke: the same again by the next, for nothing else would repeat them there, and
    /// a far end that had them takes them for what they are (RFC 3261 section 17.2.2).
    pub(super) fn send_again(&self, hop: &Hop, out: &mut Vec<Output>) {
        for request in &self.requests {
            if request.repeated.to == *hop {
                let bytes = request.repeated.bytes.clone();
                out.push(Output::Send(bytes, hop.clone()));
            }
        }
        if let Some(bytes) = self
            .talk
            .reinvite
            .as_ref()
            .and_then(|ours| ours.sent_to(hop))
        {
            out.push(Output::Send(bytes, hop.clone()));
        }
    }

    /// PRACK for a provisional response that asks for it. We don't offer `100rel`, but a peer that requires it all the
    /// same would repeat its response for 32 s and then fail the call (RFC 3262 section 3).
    pub(super) fn acknowledge_reliable(
        &mut self,
        message: &Message,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let rseq = message
            .first("RSeq")
            .and_then(|text| text.parse::<u32>().ok());
        let (Some(rseq), Some(tag)) = (rseq, message.to_tag.clone()) else {
            return;
        };
        if !message.names("Require", "100rel") {
            return;
        }
        let remote = self.remote_of(message, &tag);
        let known = self.early.iter().position(|early| early.tag == tag);
        if known.is_none() && self.early.len() < LEGS_MAX {
            self.early.push(Early {
                tag: tag.clone(),
                last_rseq: rseq.saturating_sub(1),
                next_cseq: self.invite.cseq + 1,
            });
        }
        let Some(early) = self.early.iter_mut().find(|early| early.tag == tag) else {
            return;
        };
        // Out of order or repeated: not acknowledged (section 4).
        if rseq != early.last_rseq.wrapping_add(1) {
            return;
        }
        early.last_rseq = rseq;
        let cseq = early.next_cseq;
        early.next_cseq += 1;
        let rack = format!("{rseq} {} INVITE", self.invite.cseq);
        let mut extra = vec![Header::new("RAck", rack)];
        let method = InDialog::Prack;
        extra.extend(self.auth.headers(
            method.as_str(),
            &remote.target,
            &self.id.trunk,
            &mut self.tokens,
        ));
        let branch = self.tokens.branch();
        let (bytes, to) = self.id.within(method, &remote, cseq, &branch, &extra, &[]);
        self.send_request(RequestKind::Prack, branch, bytes, to, now, out);
    }

    /// The far end hung up.
    pub(super) fn on_bye(
        &mut self,
        tag: &str,
        message: &Message,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let mut only = true;
        for leg in &mut self.legs {
            if leg.remote.tag == tag {
                leg.ended = true;
            } else if !leg.ended {
                only = false;
            }
        }
        if only {
            let cause = outcome::Reasons::of(message).q850;
            self.end_talk("", EndedBy::Peer, cause, now, out);
        }
    }
}

/// The URI of a Contact.
pub(in crate::sip) fn target_of(message: &Message) -> Option<String> {
    let contact = message.list("Contact").into_iter().next()?;
    Some(Address::parse(contact).ok()?.uri.to_owned())
}
