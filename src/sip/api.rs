//! What the module takes and gives: an invitation, a dialog's two channels, its events and its ending.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::config::Trunk;
use super::outcome::judge_hang_up;
use super::target::Destination;
use crate::domain::call::{Outcome, Retry};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Followed, Instruction};
use crate::domain::time::Reading;
use crate::passport::{Unsigned, Vouch};
use crate::policy::Permit;

/// What is needed for a call beside its permit, which alone says whom to call and which number to show.
#[derive(Debug)]
pub struct Invite {
    /// Made by [`super::Endpoint::new_call_id`] and stored with the attempt before anything is sent.
    pub sip_call_id: String,
    /// The trunk that carries the call.
    pub trunk: Arc<Trunk>,
    /// Who vouches for the number shown; as the claim was told.
    pub vouch: Vouch,
    /// The softphone's SDP, passed on byte for byte.
    pub sdp_offer: Vec<u8>,
}

/// A call under way: what happens to it, and the way to steer it.
#[derive(Debug)]
pub struct Dialog {
    /// What happened, in order; [`SipEvent::Ended`] is always the last.
    pub events: mpsc::Receiver<Happened>,
    /// Dropping it hangs up.
    pub control: mpsc::Sender<Control>,
    /// What was heard of the far end, also after the ending.
    pub rang: Rang,
}

/// How far a call has come at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Heard {
    /// Neither rang nor answered.
    #[default]
    Nothing,
    /// It rang.
    Rang,
    /// It was answered.
    Answered,
}

/// Whether the far end has rung or answered, were it after the ending was told: nobody may be called by another way then.
#[derive(Debug, Clone)]
pub struct Rang(watch::Receiver<Heard>);

impl Rang {
    /// Whoever hears it, and whoever wants to know.
    pub(super) fn unheard() -> (watch::Sender<Heard>, Self) {
        let (hears, knows) = watch::channel(Heard::Nothing);
        (hears, Self(knows))
    }

    /// What was heard by now.
    #[must_use]
    pub fn yet(&self) -> Heard {
        *self.0.borrow()
    }

    /// Waits until it is answered, or until nothing can be heard of it any more; tells which.
    pub async fn answered(&mut self) -> bool {
        let answered = |heard: &Heard| *heard == Heard::Answered;
        self.0.wait_for(answered).await.is_ok()
    }
}

/// What may be asked of a call under way.
#[derive(Debug)]
pub enum Control {
    /// End it, whatever its state.
    HangUp {
        /// Why.
        cause: HangUpCause,
    },
    /// Go on under a new claim; the answer to [`SipEvent::PermitNeeded`].
    Renew(Permit),
    /// Do what the client asks of a call that is up; [`SipEvent::Followed`] tells what became of it.
    Instruct(Box<Instruction>),
    /// Decline the far end's offer of this number, which cannot be shown to the client.
    Decline {
        /// Number of the offer.
        offer: u32,
    },
}

/// Why we end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUpCause {
    /// The client asked for it or went away.
    Client,
    /// The person opted out.
    OptOut,
    /// The gate refused a further INVITE of the call.
    Denied,
    /// A sweeper took this worker for dead and ended the call on record.
    TakenForDead,
    /// An INVITE left later than the barrier allows.
    LateSend,
    /// It rang or was answered by way of another target.
    Elsewhere,
    /// The agent who was to talk is not there any more.
    AgentGone,
    /// The agent's phone and the far end have no media in common.
    Misfit,
    /// It was answered, and the answer does not reach the client.
    NoMedia,
    /// The worker is shutting down.
    Drain,
}

/// Something that happened, and when: its reader may be busy storing what came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The clocks when it did.
    pub at: Reading,
    /// What it was.
    pub event: SipEvent,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipEvent {
    /// INVITE bytes were given to the system.
    Sent {
        /// The clocks after the system call.
        at: Reading,
        /// The permit was older than the barrier's wait by then; the call is being cancelled without anybody's asking.
        late: bool,
        /// The first INVITE of the call, no retransmission and no answer to a challenge.
        first: bool,
    },
    /// A provisional response without ringing. It leaves the permit open.
    Progress {
        /// Status code.
        code: u16,
        /// Reason phrase as received.
        reason: String,
    },
    /// An 18x response without media. The permit has been given up.
    Ringing {
        /// Status code.
        code: u16,
        /// Reason phrase as received.
        reason: String,
    },
    /// An 18x response with media. The permit has been given up.
    EarlyMedia {
        /// Status code.
        code: u16,
        /// Reason phrase as received.
        reason: String,
        /// The far end's SDP.
        sdp: Vec<u8>,
    },
    /// The permit ran out before any 18x or final response, or the call is being cancelled: no INVITE follows under it, and
    /// we go on listening.
    PermitSpent,
    /// An INVITE must be sent again and the permit is over: the call waits for [`Control::Renew`] for a bounded time.
    PermitNeeded,
    /// Answered.
    Answered {
        /// The far end's SDP.
        sdp: Vec<u8>,
    },
    /// The far end's session is another, or is to be.
    MediaOffer {
        /// Number of the offer, to be answered within [`super::ANSWER_WAIT`]; nothing if it answered an offer of ours and is
        /// in force already.
        offer: Option<u32>,
        /// Its SDP.
        sdp: Vec<u8>,
    },
    /// The far end's offer that was told last is not open any more, and nobody took it: the session is as it was.
    OfferOver,
    /// What became of an instruction.
    Followed {
        /// Which.
        id: InstructionId,
        /// What.
        followed: Followed,
    },
    /// Something worth a line in the call's history.
    Note {
        /// Status code, if a response brought it.
        code: Option<u16>,
        /// A sentence; never a number.
        text: String,
    },
    /// The call is over; comes last and exactly once, and the permit is gone before it.
    Ended(Ending),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Outcome by the table in `outcome.rs`.
    pub outcome: Outcome,
    /// What may be done next.
    pub retry: Retry,
    /// Final status code, if one came.
    pub code: Option<u16>,
    /// Its reason phrase, as received.
    pub reason: Option<String>,
    /// Q.850 cause, if one came.
    pub q850_cause: Option<u16>,
    /// How long the far end asked us to stay away.
    pub retry_after: Option<Duration>,
    /// Who ended it.
    pub by: EndedBy,
    /// Whether it was answered.
    pub answered: bool,
    /// Where a 3xx says that this very number is to be called.
    pub redirect: Option<Box<Destination>>,
}

impl Ending {
    /// An ending without a response behind it.
    #[must_use]
    pub fn plain(outcome: Outcome, retry: Retry, by: EndedBy) -> Self {
        Self {
            outcome,
            retry,
            code: None,
            reason: None,
            q850_cause: None,
            retry_after: None,
            by,
            answered: false,
            redirect: None,
        }
    }

    /// The end of a call that may not be sent, for nobody vouches for its number as its trunk asks.
    #[must_use]
    pub fn unsigned(why: Unsigned) -> Self {
        let retry = match why.may_pass() {
            true => Retry::Soon,
            false => Retry::Fix,
        };
        Self {
            reason: Some(why.to_string()),
            ..Self::plain(Outcome::IdentityRejected, retry, EndedBy::Us)
        }
    }

    /// The end of a call that we gave up while no INVITE of it awaited an answer.
    #[must_use]
    pub fn hung_up(cause: HangUpCause) -> Self {
        let (outcome, retry) = judge_hang_up(cause);
        Self::plain(outcome, retry, EndedBy::Us)
    }
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// We did.
    Us,
    /// The far end or the network did.
    Peer,
    /// Nobody did; time ran out.
    Timeout,
}
