//! The closed sets of words, on the wire and in the domain. The compiler holds the two together: a word that one side lacks
//! does not compile.

use crate::domain::call::{
    AgentResult, Attestation, CallKind, CallState, EventKind, Outcome, Purpose, Retry,
};
use crate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy};
use crate::domain::decision::{RuleOutcome, Stage, Verdict};
use crate::domain::disposition::DispositionCode;
use crate::domain::import::{ImportState, RejectReason};
use crate::domain::party::{Audience, LineType, ReassignedAnswer};
use crate::domain::policy::PackOrigin;
use crate::domain::suppression::{SuppressionChangeKind, SuppressionReason, SuppressionSource};
use crate::domain::trunk::{RegistrationState, TargetState, TrunkState};
use crate::domain::webhook::WebhookState;
use crate::grpc::pb;

/// A word of the domain with its twin on the wire.
pub(in crate::grpc) trait Mirror: Copy {
    /// The names on the wire, without UNSPECIFIED.
    fn names() -> Vec<&'static str>;
    /// As the wire carries it.
    fn wire(self) -> i32;
    /// As the domain has it: `Some(None)` for UNSPECIFIED, none for what is no value of the set.
    fn read(value: i32) -> Option<Option<Self>>;
}

macro_rules! mirror {
    ($($domain:ident = $wire:ident { $($word:ident)+ })+) => {$(
        impl Mirror for $domain {
            fn names() -> Vec<&'static str> {
                vec![$(pb::$wire::$word.as_str_name(),)+]
            }

            fn wire(self) -> i32 {
                match self {
                    $($domain::$word => pb::$wire::$word.into(),)+
                }
            }

            fn read(value: i32) -> Option<Option<Self>> {
                match pb::$wire::try_from(value).ok()? {
                    pb::$wire::Unspecified => Some(None),
                    $(pb::$wire::$word => Some(Some($domain::$word)),)+
                }
            }
        }
    )+};
}

mirror! {
    CallKind = CallKind { LiveManual Autodialed Prerecorded }
    CallState = CallState {
        Queued Claimed Inviting Ringing EarlyMedia Answered Ended Denied Expired Canceled Failed
    }
    Outcome = Outcome {
        Answered AnsweredAfterCancel Busy NoAnswer Unreachable Rejected Unwanted BlockedByAnalytics InvalidNumber
        NumberChanged NoRoute Congestion CarrierError Redirected Canceled TrunkAuthFailed TrunkRefused IdentityRejected
        MediaIncompatible FeatureRefused TooLarge PermitExpired InterruptedUnknown
    }
    Attestation = Attestation { A B C }
    Purpose = Purpose { Sales Informational Service }
    Retry = RetryClass { Never Fix Later Soon Trunk None }
    EventKind = CallEventKind {
        Queued Claimed Inviting Progress Ringing EarlyMedia Answered MediaOffer HangUpRequested OptOut LateSend Note
        Denied Expired Ended AgentCalled AgentRinging AgentAnswered AgentGone Connected
    }
    AgentResult = AgentResult {
        Busy Declined NoAnswer Unreachable MediaIncompatible HungUp KeptWaiting
    }
    DispositionCode = DispositionCode {
        ConnectedInterested ConnectedNotInterested MeetingBooked CallbackRequested Gatekeeper LeftLiveMessage
        LeftVoicemail WrongPerson WrongNumber OptOutThisSeller OptOutAll ObjectionGdpr LanguageBarrier Deceased Minor
        Complaint TechnicalFailure
    }
    Verdict = Verdict { Allow Deny }
    PackOrigin = PackOrigin { Configured Uploaded }
    RuleOutcome = RuleOutcome { Pass Fail Lifted Void Info }
    Stage = DecisionStage { Check Place Claim }
    ConsentAction = ConsentAction { Given Withdrawn }
    ConsentForm = ConsentForm {
        Written WebForm RecordedVoice ThirdPartyVerified Oral Implied Preticked TermsAcceptance Bundled
    }
    InitiatedBy = InitiatedBy { Person Seller }
    SuppressionReason = SuppressionReason {
        PartyRequest Objection Registry Court Minor Deceased Complaint Internal Litigator
    }
    SuppressionChangeKind = SuppressionChangeKind { Recorded LiftRequested Lifted }
    SuppressionSource = SuppressionSource { Agent Ivr Web Email Crm Import Regulator Api }
    ImportState = SuppressionImportState { Open Finished Failed }
    RejectReason = ImportRejectReason {
        LineTooLong Encoding Nul ColumnCount OpenQuote NumberMissing Number CountryMissing TwoSubjects Party Seller Channel
        Reason Time TimeInFuture Text PartyAmbiguous SellerMissing NotDialable Action TimeMissing TimeInDoubt Form Flag Period
        InitiatedBy Account Purpose Lifted
    }
    Audience = Audience { Consumer Business Unknown }
    LineType = LineType { Landline Mobile Voip Unknown }
    ReassignedAnswer = ReassignedAnswer { Yes No NoData }
    WebhookState = WebhookState { Delivering Parked }
    TrunkState = TrunkState { Up Down Asleep Unregistered }
    TargetState = TrunkTargetState { Up Down Asleep }
    RegistrationState = RegistrationState { Registered Unregistered Refused }
}

/// A word as the wire carries it.
pub(in crate::grpc) fn wire<D: Mirror>(word: D) -> i32 {
    word.wire()
}

/// A word that may be missing; UNSPECIFIED is 0 in every set.
pub(in crate::grpc) fn wire_option<D: Mirror>(word: Option<D>) -> i32 {
    word.map_or(0, Mirror::wire)
}

/// Words as the wire carries them.
pub(in crate::grpc) fn wire_all<D: Mirror>(words: &[D]) -> Vec<i32> {
    words.iter().map(|word| word.wire()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways<D: Mirror + PartialEq + std::fmt::Debug + std::fmt::Display>(
        all: &[D],
        zero: &str,
    ) {
        assert_eq!(all.len(), D::names().len());
        assert_eq!(D::read(0), Some(None));
        assert_eq!(D::read(10_000), None);
        let prefix = zero.strip_suffix("UNSPECIFIED").unwrap();
        for (word, name) in all.iter().zip(D::names()) {
            assert_eq!(D::read(word.wire()), Some(Some(*word)));
            // Filters and the command line use the domain's text; so the two must differ by prefix and case alone.
            assert_eq!(name, format!("{prefix}{}", word.to_string().to_uppercase()));
        }
    }

    macro_rules! check {
        ($($domain:ident $wire:ident)+) => {$(
            both_ways($domain::ALL, pb::$wire::Unspecified.as_str_name());
        )+};
    }

    #[test]
    fn every_word_goes_both_ways_under_the_same_name() {
        check! {
            CallKind CallKind CallState CallState Outcome Outcome Purpose Purpose Retry RetryClass EventKind CallEventKind
            AgentResult AgentResult DispositionCode DispositionCode PackOrigin PackOrigin Verdict Verdict RuleOutcome RuleOutcome Stage DecisionStage
            ConsentAction ConsentAction ConsentForm ConsentForm InitiatedBy InitiatedBy
            SuppressionReason SuppressionReason SuppressionSource SuppressionSource
            ImportState SuppressionImportState RejectReason ImportRejectReason
            Audience Audience LineType LineType ReassignedAnswer ReassignedAnswer WebhookState WebhookState
        }
    }
}
