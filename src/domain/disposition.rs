//! What the agent says of a call. Effects come only from the flags of a definition, never from its name.

use super::call::Outcome;
use super::ids::{CallId, DispositionId, SuppressionId};
use super::suppression::SuppressionReason;
use super::text::words;
use super::time::Micros;

words! {
    /// The default set of codes; names that map cleanly onto the CRMs' own.
    DispositionCode, "disposition" {
        /// Spoke to them; interested.
        ConnectedInterested = "connected_interested",
        /// Spoke to them; not interested.
        ConnectedNotInterested = "connected_not_interested",
        /// A meeting was agreed.
        MeetingBooked = "meeting_booked",
        /// They asked to be called back.
        CallbackRequested = "callback_requested",
        /// Somebody else answered and did not put us through.
        Gatekeeper = "gatekeeper",
        /// A message was left with a person.
        LeftLiveMessage = "left_live_message",
        /// A message was left on a machine.
        LeftVoicemail = "left_voicemail",
        /// Another person answered.
        WrongPerson = "wrong_person",
        /// The number is not theirs.
        WrongNumber = "wrong_number",
        /// "Stop calling me", to this seller.
        OptOutThisSeller = "opt_out_this_seller",
        /// "Stop calling me", to all.
        OptOutAll = "opt_out_all",
        /// Objection to direct marketing (GDPR Art. 21(2)).
        ObjectionGdpr = "objection_gdpr",
        /// No common language.
        LanguageBarrier = "language_barrier",
        /// The person died.
        Deceased = "deceased",
        /// The person is a minor.
        Minor = "minor",
        /// They complained.
        Complaint = "complaint",
        /// The line failed.
        TechnicalFailure = "technical_failure",
    }
}

words! {
    /// How an attempt counts for caps that tell refusals from answers.
    AttemptResult, "attempt result" {
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// Somebody answered.
        Answered = "answered",
        /// The person refused.
        Refused = "refused",
        /// The person hung up.
        HungUp = "hung_up",
    }
}

impl AttemptResult {
    /// How an attempt counts of which nothing is recorded but how it ended; absent = it is under way. Only what is known to
    /// have been unanswered counts so: who is being called may pick up, or has, and a cap on completed calls must not let
    /// the next one through meanwhile.
    #[must_use]
    pub const fn of(outcome: Option<Outcome>) -> Self {
        let Some(outcome) = outcome else {
            return Self::Answered;
        };
        match outcome {
            Outcome::Answered | Outcome::AnsweredAfterCancel => Self::Answered,
            // The one who knew is dead or cut off: it may have been answered, and nobody will ever tell.
            Outcome::InterruptedUnknown => Self::Answered,
            // Said by who refuses our media, and by us after a 2xx with media that we cannot use: somebody had picked up.
            Outcome::MediaIncompatible => Self::Answered,
            Outcome::Rejected | Outcome::Unwanted => Self::Refused,
            // A final response other than 2xx, or none until long after the last INVITE or CANCEL: nobody picked up. An
            // answer that comes later still is recorded by itself.
            Outcome::Busy
            | Outcome::NoAnswer
            | Outcome::Unreachable
            | Outcome::BlockedByAnalytics
            | Outcome::InvalidNumber
            | Outcome::NumberChanged
            | Outcome::NoRoute
            | Outcome::Congestion
            | Outcome::CarrierError
            | Outcome::Redirected
            | Outcome::Canceled
            | Outcome::TrunkAuthFailed
            | Outcome::TrunkRefused
            | Outcome::IdentityRejected
            | Outcome::FeatureRefused
            | Outcome::TooLarge => Self::NoAnswer,
            // Nothing was sent.
            Outcome::PermitExpired => Self::NoAnswer,
        }
    }
}

/// Whom an opt-out that a disposition makes binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptOutScope {
    /// The seller of the call.
    ThisSeller,
    /// Every seller.
    AllSellers,
}

/// The effects of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effects {
    /// Makes a suppression of this scope and reason.
    pub opt_out: Option<(OptOutScope, SuppressionReason)>,
    /// The intended person spoke to us.
    pub party_reached: bool,
    /// The number is not the person's.
    pub number_bad: bool,
    /// How the attempt counts from now on; absent = as it did.
    pub counts_as: Option<AttemptResult>,
}

impl DispositionCode {
    /// The flags of the default definition.
    #[must_use]
    pub fn effects(self) -> Effects {
        use OptOutScope::{AllSellers, ThisSeller};
        let none = Effects {
            opt_out: None,
            party_reached: false,
            number_bad: false,
            counts_as: None,
        };
        let reached = Effects {
            party_reached: true,
            counts_as: Some(AttemptResult::Answered),
            ..none
        };
        let stop = |scope, reason| Effects {
            opt_out: Some((scope, reason)),
            counts_as: Some(AttemptResult::Refused),
            ..reached
        };
        match self {
            Self::ConnectedInterested
            | Self::MeetingBooked
            | Self::CallbackRequested
            | Self::LanguageBarrier => reached,
            // A plain "no" counts as a refusal for national cool-off rules; it is not by itself an opt-out.
            Self::ConnectedNotInterested => Effects {
                counts_as: Some(AttemptResult::Refused),
                ..reached
            },
            Self::Gatekeeper | Self::LeftLiveMessage => Effects {
                counts_as: Some(AttemptResult::Answered),
                ..none
            },
            Self::WrongPerson | Self::WrongNumber => Effects {
                number_bad: true,
                counts_as: Some(AttemptResult::Answered),
                ..none
            },
            Self::OptOutThisSeller => stop(ThisSeller, SuppressionReason::PartyRequest),
            Self::OptOutAll => stop(AllSellers, SuppressionReason::PartyRequest),
            Self::ObjectionGdpr => stop(AllSellers, SuppressionReason::Objection),
            Self::Complaint => stop(AllSellers, SuppressionReason::Complaint),
            Self::Deceased => Effects {
                opt_out: Some((AllSellers, SuppressionReason::Deceased)),
                ..none
            },
            Self::Minor => Effects {
                opt_out: Some((AllSellers, SuppressionReason::Minor)),
                ..none
            },
            Self::LeftVoicemail | Self::TechnicalFailure => none,
        }
    }
}

/// What an agent said of a call; a correction is a later one of the same call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// Identifier.
    pub disposition_id: DispositionId,
    /// The call.
    pub call_id: CallId,
    /// The code.
    pub code: DispositionCode,
    /// Free text of the agent; stored sealed.
    pub note: Option<String>,
    /// The one it corrects.
    pub amends: Option<DispositionId>,
    /// The opt-out it made.
    pub suppression_id: Option<SuppressionId>,
    /// Who said it.
    pub actor: String,
    /// When.
    pub at: Micros,
}
