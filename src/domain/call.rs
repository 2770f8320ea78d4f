//! A call from request to outcome: what was asked, the states it moves through, the events it leaves, how it ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, CallId, DecisionId, EventId, PartyId, RequestId, TenantId};
use super::phone::{NumberKey, Phone};
use super::text::words;
use super::time::{Micros, Mono};

words! {
    /// Who dials and who speaks: the distinction that the TCPA and its neighbours turn on.
    CallKind, "call kind" {
        /// One human starts one call.
        LiveManual = "live_manual",
        /// A system selects and dials, a human talks.
        Autodialed = "autodialed",
        /// A recorded, synthetic or AI voice talks.
        Prerecorded = "prerecorded",
    }
}

words! {
    /// Why the person is called.
    Purpose, "purpose" {
        /// To sell.
        Sales = "sales",
        /// To inform.
        Informational = "informational",
        /// To serve an existing customer.
        Service = "service",
    }
}

words! {
    /// On whose behalf, in the eyes of exemptions.
    SellerType, "seller type" {
        /// A business.
        ForProfit = "for_profit",
        /// A tax-exempt nonprofit organisation.
        Nonprofit = "nonprofit",
    }
}

words! {
    /// Where a call stands, as its clients see it.
    CallState, "call state" {
        /// Allowed and waiting for a channel and its turn.
        Queued = "queued",
        /// Allowed again at dial time; the attempt is on record.
        Claimed = "claimed",
        /// The INVITE left.
        Inviting = "inviting",
        /// The far end rings.
        Ringing = "ringing",
        /// Media flows before an answer: announcements, ring-back tones.
        EarlyMedia = "early_media",
        /// Answered.
        Answered = "answered",
        /// It was answered and is over.
        Ended = "ended",
        /// The gate refused it.
        Denied = "denied",
        /// Its time ran out before it could be dialed.
        Expired = "expired",
        /// Cancelled by us or by the client before an answer.
        Canceled = "canceled",
        /// It ended without an answer.
        Failed = "failed",
    }
}

impl CallState {
    /// Whether nothing more will happen to the call.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Ended | Self::Denied | Self::Expired | Self::Canceled | Self::Failed
        )
    }
}

words! {
    /// How a call introduces itself.
    Introduction, "introduction" {
        /// By a person, who asks whether a recording may follow.
        Live = "live",
        /// By a recording.
        Recorded = "recorded",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// What voice talks.
    Voice, "voice" {
        /// A person's.
        Human = "human",
        /// A recording.
        Recorded = "recorded",
        /// A synthetic one.
        AiGenerated = "ai_generated",
    }
}

words! {
    /// Where a call stands in the claim protocol; the fence compares this and nothing else.
    QueueState, "queue state" {
        /// Free to be leased.
        Queued = "queued",
        /// Leased by one worker, under an epoch.
        Leased = "leased",
        /// Claimed by an attempt; nobody may lease it again, for it may have been sent.
        Claimed = "claimed",
        /// Over.
        Done = "done",
    }
}

words! {
    /// How an attempt ended at the telephony layer. What the agent says of it is a disposition.
    Outcome, "outcome" {
        /// The far end answered.
        Answered = "answered",
        /// We had cancelled, and the answer came all the same; it was acknowledged and ended.
        AnsweredAfterCancel = "answered_after_cancel",
        /// The line was in use.
        Busy = "busy",
        /// It rang, and nobody answered.
        NoAnswer = "no_answer",
        /// Nothing there answered at all.
        Unreachable = "unreachable",
        /// A person or their device refused.
        Rejected = "rejected",
        /// Refused as unwanted (607); raised to the opt-out reviewers.
        Unwanted = "unwanted",
        /// An analytics service blocked it (608, 603+).
        BlockedByAnalytics = "blocked_by_analytics",
        /// No such number.
        InvalidNumber = "invalid_number",
        /// The number was given up for another.
        NumberChanged = "number_changed",
        /// The network has no way there.
        NoRoute = "no_route",
        /// No circuit was free.
        Congestion = "congestion",
        /// The carrier failed.
        CarrierError = "carrier_error",
        /// The far end pointed elsewhere; we don't follow without a decision for that number.
        Redirected = "redirected",
        /// Cancelled before an answer.
        Canceled = "canceled",
        /// The trunk did not accept our credentials.
        TrunkAuthFailed = "trunk_auth_failed",
        /// The trunk does not carry this call for us.
        TrunkRefused = "trunk_refused",
        /// The caller's identity was not accepted.
        IdentityRejected = "identity_rejected",
        /// No common media, or no media anchor that makes some.
        MediaIncompatible = "media_incompatible",
        /// A feature we need is missing there.
        FeatureRefused = "feature_refused",
        /// The request was too large for the path.
        TooLarge = "too_large",
        /// The claim's permit ran out before the INVITE could leave; nothing was sent.
        PermitExpired = "permit_expired",
        /// The worker died or lost its store; whether the far end was reached is not known.
        InterruptedUnknown = "interrupted_unknown",
    }
}

words! {
    /// How strongly the number shown is vouched for in a call's PASSporT (ATIS-1000074 section 5.2.3).
    Attestation, "attestation" {
        /// Fully: the caller is known, and may use the number.
        A = "A",
        /// In part: the caller is known, their right to the number is not.
        B = "B",
        /// It came in here; nothing is said of the caller.
        C = "C",
    }
}

words! {
    /// What may be done after an outcome. Every retry passes the gate anew.
    Retry, "retry class" {
        /// Not until a person clears it.
        Never = "never",
        /// A configuration alarm; no retry.
        Fix = "fix",
        /// With the normal spacing and caps.
        Later = "later",
        /// After some minutes.
        Soon = "soon",
        /// The same attempt at the next target, only before any ringing.
        Trunk = "trunk",
        /// Nothing to retry.
        None = "none",
    }
}

words! {
    /// One kind of entry in a call's history.
    EventKind, "event kind" {
        /// The call was accepted into the queue.
        Queued = "queued",
        /// The gate allowed it again and the attempt was recorded.
        Claimed = "claimed",
        /// The first INVITE to a target of the trunk left: once more for each further target that is tried.
        Inviting = "inviting",
        /// The far end works on it (100 or another provisional without ringing).
        Progress = "progress",
        /// The far end rings.
        Ringing = "ringing",
        /// Media before an answer; carries the SDP.
        EarlyMedia = "early_media",
        /// Answered; carries the SDP.
        Answered = "answered",
        /// The far end offers other media within the call; the client answers.
        MediaOffer = "media_offer",
        /// Somebody asked to end it.
        HangUpRequested = "hang_up_requested",
        /// An opt-out arrived and the call is being cancelled.
        OptOut = "opt_out",
        /// An INVITE left later than the barrier allows; the call is being cancelled.
        LateSend = "late_send",
        /// What changes no state, its note says what: a terminal event after the outcome was fixed, that the trunk's next
        /// target is tried and why, or why the call is being cancelled when nobody asked for it (with the decision, if the
        /// gate refused a further INVITE).
        Note = "note",
        /// The claim was refused.
        Denied = "denied",
        /// The call's time ran out in the queue.
        Expired = "expired",
        /// The call is over; carries the outcome.
        Ended = "ended",
        /// The agent's phone is being called; nobody else is yet.
        AgentCalled = "agent_called",
        /// The agent's phone rings.
        AgentRinging = "agent_ringing",
        /// The agent has answered, and waits on hold.
        AgentAnswered = "agent_answered",
        /// The agent's phone is not there any more, or was not to be had; says how that came about.
        AgentGone = "agent_gone",
        /// The agent and the person called hear each other.
        Connected = "connected",
    }
}

words! {
    /// Why an agent who was called first was not there for the call. Nothing was sent to the person.
    AgentResult, "agent result" {
        /// Their line was in use.
        Busy = "busy",
        /// They declined.
        Declined = "declined",
        /// It rang, and they did not answer.
        NoAnswer = "no_answer",
        /// Their phone was not reached, or did not take the call.
        Unreachable = "unreachable",
        /// Their phone has no media that a trunk takes.
        MediaIncompatible = "media_incompatible",
        /// They had answered and hung up before the person was called.
        HungUp = "hung_up",
        /// They had answered and waited in vain for a trunk with a free channel.
        KeptWaiting = "kept_waiting",
    }
}

/// What a softphone asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// Whose call.
    pub tenant: TenantId,
    /// The caller's name for the request; absent for a check, which changes nothing.
    pub request_id: Option<RequestId>,
    /// Hash of everything that was asked, to tell a repetition from a reuse.
    pub request_digest: [u8; 32],
    /// Number to call.
    pub to: Phone,
    /// Person to call, where several share the number.
    pub party_id: Option<PartyId>,
    /// Campaign it belongs to.
    pub campaign_id: String,
    /// Who dials and who speaks.
    pub call_kind: CallKind,
    /// Number to show; absent = the campaign's first.
    pub caller_id: Option<Phone>,
    /// The softphone's SDP offer; empty where an agent's phone is called first.
    pub sdp_offer: Vec<u8>,
    /// The agent whose phone is called first.
    pub agent: Option<String>,
    /// After this instant the call is not dialed.
    pub expire_time: Option<Micros>,
    /// Until then whoever asks waits for the answer; a call decided later is not dialed, for nobody follows it.
    pub answer_by: Option<Mono>,
    /// Who asks.
    pub actor: String,
}

/// A call as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Identifier.
    pub call_id: CallId,
    /// Whose call.
    pub tenant: TenantId,
    /// Person called.
    pub party_id: PartyId,
    /// Key of the number called.
    pub number_key: NumberKey,
    /// Number called; absent once the person was erased.
    pub to: Option<Phone>,
    /// Number shown.
    pub from: Option<Phone>,
    /// Campaign.
    pub campaign_id: String,
    /// Seller.
    pub seller: String,
    /// Who dials and who speaks.
    pub call_kind: CallKind,
    /// Trunk that carries it.
    pub trunk: String,
    /// Where it stands.
    pub state: CallState,
    /// The decision that let it into the queue.
    pub place_decision_id: DecisionId,
    /// The decision of its latest claim.
    pub claim_decision_id: Option<DecisionId>,
    /// Its latest attempt.
    pub attempt_id: Option<AttemptId>,
    /// How strongly the INVITE of that attempt vouches for the number shown; absent = it does not.
    pub attestation: Option<Attestation>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Final SIP status code, if one came.
    pub sip_code: Option<u16>,
    /// Q.850 cause, if one came.
    pub q850_cause: Option<u16>,
    /// Who asked for it.
    pub actor: String,
    /// When it was accepted.
    pub create_time: Micros,
    /// After this instant it is not dialed.
    pub expire_time: Micros,
    /// When the first INVITE left.
    pub invite_time: Option<Micros>,
    /// When it first rang.
    pub ring_time: Option<Micros>,
    /// When it was answered.
    pub answer_time: Option<Micros>,
    /// When it was over.
    pub end_time: Option<Micros>,
    /// The agent whose phone is called first; absent = the client's softphone talks.
    pub agent: Option<String>,
    /// Why that agent was not there, if they were not.
    pub agent_result: Option<AgentResult>,
    /// When it was found to be abandoned: answered, and nobody there to talk.
    pub abandon_time: Option<Micros>,
}

/// The time within which somebody has to be there once a person has answered, or the call is abandoned: 47 CFR 64.1200(a)(7),
/// 16 CFR 310.4(b)(1)(iv). They count from the end of the greeting, which nobody here hears; the answer is never later.
pub const AGENT_WITHIN: Duration = Duration::from_secs(2);

impl Call {
    /// The call as it was when it was accepted: what a repeated request is answered with.
    #[must_use]
    pub fn as_queued(self) -> Self {
        Self {
            state: CallState::Queued,
            claim_decision_id: None,
            attempt_id: None,
            attestation: None,
            outcome: None,
            sip_code: None,
            q850_cause: None,
            invite_time: None,
            ring_time: None,
            answer_time: None,
            end_time: None,
            agent_result: None,
            abandon_time: None,
            ..self
        }
    }
}

/// What an event carries beside its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventDetail {
    /// SIP status code.
    pub sip_code: Option<u16>,
    /// SIP reason phrase.
    pub sip_reason: Option<String>,
    /// Q.850 cause.
    pub q850_cause: Option<u16>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What may be done next.
    pub retry: Option<Retry>,
    /// Decision behind the event.
    pub decision_id: Option<DecisionId>,
    /// SDP; stored sealed, for it names the person's addresses.
    #[serde(skip)]
    pub sdp: Option<Vec<u8>>,
    /// Number of the far end's offer in the call, which its client is to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<u32>,
    /// Why the agent was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_result: Option<AgentResult>,
    /// It was answered, and nobody was there to talk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandoned: bool,
    /// A sentence for people; never a number.
    pub note: Option<String>,
}

/// One entry in the history of a call; sequences have no gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// Identifier.
    pub event_id: EventId,
    /// The call.
    pub call_id: CallId,
    /// 1 for the first.
    pub sequence: i64,
    /// When it happened.
    pub at: Micros,
    /// What happened.
    pub kind: EventKind,
    /// More about it.
    pub detail: EventDetail,
}
