//! One call as a step function: what came in and the time go in, messages and events come out. No socket, no clock, no
//! await: the endpoint's task and a test drive the same code.
//!
//! `setup` holds the INVITE and its answers, `dialog` what follows a 2xx, `inbound` the far end's own requests, `offered` its
//! offers of another session, `reinvite` ours, `wishes` what the client wants it to be, `refresh` the session timer, `tones` DTMF. The call
//! owns the permit, or, where one of our own agents is called, what stands in its place; whatever ends its use (18x, final response,
//! cancel, deadline) drops it in memory before the event that
//! tells of it is put out (claim-10).

mod dialog;
mod ending;
mod inbound;
mod offered;
mod refresh;
mod reinvite;
mod setup;
#[cfg(test)]
mod tests;
mod tones;
mod wishes;

use std::time::Duration;

use super::api::{Control, EndedBy, Ending, HangUpCause, Heard, SipEvent};
use super::auth::Auth;
use super::head::Header;
use super::locked::{LockedInvite, Warrant};
use super::message::{Identity, Way, Whom};
use super::outcome::{Evidence, Own, Reasons, Signal, judge};
use super::peer::Hop;
use super::token::Tokens;
use super::transaction::Timers;
use super::wire::{Message, Start};
use crate::domain::call::{Outcome, Retry};
use crate::domain::time::{Mono, Reading};
use crate::policy::Permit;
pub(super) use dialog::target_of;
use dialog::{ClientRequest, Early, Leg};
use ending::reason_of;
use inbound::Inbound;
pub use offered::ANSWER_WAIT;
use refresh::SessionTimer;
use reinvite::Reinvite;
use tones::Tones;
use wishes::Wishes;

/// An INVITE that leaves with a permit this old is late: the barrier's wait (claim-9).
const LATE_AFTER: Duration = Duration::from_secs(2);
/// How long a call waits for a new claim.
const RENEW_WAIT: Duration = Duration::from_secs(10);
/// Progress and the like that one call may report; a far end must not fill the channel.
const REPORTS_MAX: u8 = 40;

/// What happens to a call.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// The endpoint took the call.
    Start,
    /// A message for it.
    Message(&'a Message, &'a Hop),
    /// The connection of this hop broke: what was sent that way and is not answered may not have arrived.
    Lost(&'a Hop),
    /// Its owner asks for something.
    Control(Control),
    /// Time has passed.
    Tick,
}

/// What a call wants done.
#[derive(Debug)]
pub(super) enum Output {
    /// A message other than an INVITE.
    Send(Vec<u8>, Hop),
    /// [`Call::write`] is to be called.
    WriteInvite,
    /// Nothing was heard of the INVITE and the permit for it is gone: nothing of it may leave by itself from now on. Comes before
    /// anybody is told that the permit is gone.
    Withdraw,
    /// Something for the owner.
    Event(SipEvent),
}

/// What became of the write of an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// Nothing more to do.
    Settled,
    /// The socket is full: call again when it is writable.
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until a final answer.
    Inviting,
    /// An INVITE has to be sent again and the permit is over.
    AwaitingPermit,
    /// Answered.
    Up,
    /// Ended; only stragglers are answered.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not given to the system yet.
    Unwritten,
    /// Sent, no response yet.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A final response came.
    Finished,
}

/// The INVITE in use; a challenge makes the next.
#[derive(Debug)]
struct Invitation {
    locked: LockedInvite,
    branch: String,
    cseq: u32,
    /// Credentials, which the ACK of a 2xx repeats (RFC 3261 section 22.1).
    auth: Vec<Header>,
    progress: Progress,
    /// A write is wanted.
    pending: bool,
    /// It could not be written at once: a stream had no room, or was not there yet.
    blocked: bool,
    /// Timer A.
    interval: Duration,
    repeat: Option<Mono>,
}

/// An INVITE that has its final answer; a repeated answer gets the ACK again (timer D).
#[derive(Debug)]
struct Settled {
    branch: String,
    cseq: u32,
    ack: (Vec<u8>, Hop),
    /// The ACK of a refusal, where that may still come: it bears the INVITE's own branch, that of a 2xx does not (RFC 3261
    /// sections 13.2.2.4 and 17.1.1.3).
    refused: Option<Box<(Vec<u8>, Hop)>>,
}

impl Settled {
    /// The ACK of such an answer.
    fn ack_of(&self, code: u16) -> (Vec<u8>, Hop) {
        match &self.refused {
            Some(refused) if code >= 300 => (**refused).clone(),
            _ => self.ack.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct Deadlines {
    permit: Option<Mono>,
    /// Timer B, or the trunk's own shorter patience while it has said nothing.
    response: Option<Mono>,
    ring: Option<Mono>,
    cancel: Option<Mono>,
    renew: Option<Mono>,
    talk: Option<Mono>,
    linger: Option<Mono>,
}

/// What goes on in a call that is up.
#[derive(Debug)]
struct Talk {
    timer: SessionTimer,
    reinvite: Option<Box<Reinvite>>,
    /// INVITEs of ours within the call that have their final answer.
    reinvited: Vec<Settled>,
    tones: Option<Box<Tones>>,
    wishes: Wishes,
}

/// Limits that come from the endpoint's configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timers: Timers,
    pub(super) talk_max: Duration,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    id: Identity,
    limits: Limits,
    tokens: Tokens,
    auth: Auth,
    /// Our session description; let go at the end.
    offer: Vec<u8>,
    warrant: Option<Warrant>,
    invite: Invitation,
    state: State,
    /// What we did to end it before an answer.
    own: Option<Own>,
    sent: bool,
    rang: bool,
    cancelled: bool,
    last_report: Option<(u16, Option<String>, Vec<u8>)>,
    reports_left: u8,
    early: Vec<Early>,
    legs: Vec<Leg>,
    requests: Vec<ClientRequest>,
    settled: Vec<Settled>,
    way: Way,
    inbound: Inbound,
    talk: Talk,
    deadlines: Deadlines,
}

impl Call {
    /// A call under this warrant, nothing sent yet.
    pub(super) fn new(
        id: Identity,
        offer: Vec<u8>,
        warrant: Warrant,
        limits: Limits,
        mut tokens: Tokens,
    ) -> Self {
        let branch = tokens.branch();
        let timer = SessionTimer::of(&id.trunk);
        let locked = id.invite(1, &branch, (&[], &timer.proposal()), &offer, Way::ByLength);
        let deadline = match &warrant {
            Warrant::Permit(permit) => Some(permit.read().mono.plus(Permit::LIFE)),
            Warrant::Desk(_) => None,
        };
        Self {
            invite: Invitation {
                locked,
                branch,
                cseq: 1,
                auth: Vec::new(),
                progress: Progress::Unwritten,
                pending: false,
                blocked: false,
                interval: limits.timers.t1,
                repeat: None,
            },
            id,
            limits,
            tokens,
            auth: Auth::default(),
            offer,
            warrant: Some(warrant),
            state: State::Inviting,
            own: None,
            sent: false,
            rang: false,
            cancelled: false,
            last_report: None,
            reports_left: REPORTS_MAX,
            early: Vec::new(),
            legs: Vec::new(),
            requests: Vec::new(),
            settled: Vec::new(),
            way: Way::ByLength,
            inbound: Inbound::default(),
            talk: Talk {
                timer,
                reinvite: None,
                reinvited: Vec::new(),
                tones: None,
                wishes: Wishes::default(),
            },
            deadlines: Deadlines {
                permit: deadline,
                ..Deadlines::default()
            },
        }
    }

    /// The one step.
    pub(super) fn step(&mut self, input: Input<'_>, now: Reading, out: &mut Vec<Output>) {
        match input {
            Input::Start => self.want_write(out),
            Input::Message(message, source) => match &message.start {
                Start::Request { .. } => self.on_request(message, source, now, out),
                Start::Response { code, reason } => {
                    self.on_response(message, *code, reason, now, out)
                }
            },
            Input::Lost(hop) => {
                self.send_again(hop, out);
                self.on_lost(hop, now.mono, out);
            }
            Input::Control(Control::HangUp { cause }) => self.hang_up(cause, now, out),
            Input::Control(Control::Renew(permit)) => self.renew(permit, now, out),
            Input::Control(Control::Instruct(asked)) => self.instruct(*asked, now.mono, out),
            Input::Control(Control::Decline { offer }) => {
                self.decline_offered(offer, now.mono, out);
            }
            Input::Tick => self.tick(now.mono, out),
        }
    }

    /// Writes the INVITE, if one is wanted and the permit allows it at this very moment (claim-8). `read` reads the
    /// clocks, `send` is the non-blocking system call.
    pub(super) fn write(
        &mut self,
        read: impl Fn() -> Reading,
        send: impl FnOnce(&[u8], &Hop) -> std::io::Result<usize>,
        out: &mut Vec<Output>,
    ) -> Write {
        let Some(warrant) = self.warrant.as_ref().filter(|_| self.invite.pending) else {
            return Write::Settled;
        };
        let before = read();
        let written = self.invite.locked.write(warrant, before, send);
        let after = read();
        match written {
            Ok(Ok(_)) => {
                let counted_from = warrant.counted_from(before);
                self.on_written(counted_from, after, out);
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.invite.blocked = true;
                return Write::Blocked;
            }
            Ok(Err(error)) => self.on_write_failed(error.kind(), after.mono, out),
            Err(_closed) => self.on_permit_over(after.mono, out),
        }
        Write::Settled
    }

    /// Where the INVITE that is to be written goes; nothing if none is.
    pub(super) fn writes_to(&self) -> Option<&Hop> {
        let wanted = self.invite.pending && self.warrant.is_some();
        wanted.then(|| self.invite.locked.to())
    }

    /// Whether its INVITE was sent and nothing was heard of it.
    pub(super) fn is_unheard(&self) -> bool {
        self.invite.progress == Progress::Calling
    }

    /// Whether the far end may have to say something by this way.
    pub(super) fn is_reached_by(&self, hop: &Hop) -> bool {
        self.state != State::Over && self.invite.locked.to() == hop
    }

    /// When [`Input::Tick`] is next due.
    pub(super) fn wake(&self) -> Option<Mono> {
        let deadlines = &self.deadlines;
        [
            deadlines.permit,
            deadlines.response,
            deadlines.ring,
            deadlines.cancel,
            deadlines.renew,
            deadlines.talk,
            deadlines.linger,
            self.invite.repeat,
            self.inbound.wake(),
            self.talk.timer.wake(),
            self.talk.reinvite.as_ref().map(|sent| sent.wake()),
            self.talk.tones.as_ref().and_then(|tones| tones.wake()),
        ]
        .into_iter()
        .flatten()
        .chain(self.requests.iter().map(ClientRequest::wake))
        .min()
    }

    fn progress_is_open(&self) -> bool {
        self.invite.progress == Progress::Proceeding
    }

    /// How far it has come at the far end, at any time.
    pub(super) fn heard(&self) -> Heard {
        match (self.legs.is_empty(), self.rang) {
            (false, _) => Heard::Answered,
            (true, true) => Heard::Rang,
            (true, false) => Heard::Nothing,
        }
    }

    /// Whether nothing more can come of it and it may be forgotten.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Over && self.deadlines.linger.is_none()
    }

    /// Whether it is over here and may not be at the far end: a BYE is not answered yet, or an INVITE has not had its final
    /// response, cancelled or not, and a phone may still ring or be picked up.
    pub(super) fn is_unsettled(&self) -> bool {
        let awaited = matches!(
            self.invite.progress,
            Progress::Calling | Progress::Proceeding
        );
        let over = self.state == State::Over && !self.is_done();
        over && (awaited || self.requests.iter().any(ClientRequest::is_bye))
    }

    fn tick(&mut self, now: Mono, out: &mut Vec<Output>) {
        let due = |deadline: &mut Option<Mono>| deadline.take_if(|at| *at <= now).is_some();
        let repeat = due(&mut self.invite.repeat);
        let deadlines = &mut self.deadlines;
        let (permit, response) = (due(&mut deadlines.permit), due(&mut deadlines.response));
        let (ring, cancel) = (due(&mut deadlines.ring), due(&mut deadlines.cancel));
        let (renew, talk) = (due(&mut deadlines.renew), due(&mut deadlines.talk));
        due(&mut deadlines.linger);
        if permit {
            self.on_permit_over(now, out);
        }
        if repeat {
            self.want_write(out);
        }
        if response || cancel {
            self.end_unanswered(Signal::Silence, None, EndedBy::Timeout, now, out);
        }
        if ring {
            self.cancel(Own::RingTimer, now, out);
        }
        if renew {
            self.end_without_permit(now, out);
        }
        if talk {
            self.end_talk(
                "Q.850;cause=102;text=\"Maximum duration\"",
                EndedBy::Timeout,
                None,
                now,
                out,
            );
        }
        self.tick_requests(now, out);
        self.tick_inbound(now, out);
        self.tick_offered(now, out);
        self.tick_reinvite(now, out);
        self.tick_timer(now, out);
        self.tick_tones(now, out);
    }
}
