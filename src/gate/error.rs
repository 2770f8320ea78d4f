//! Why the gate could not give an answer. A denial is an answer and never stands here.

use std::time::Duration;

use crate::place::NotDialable;
use crate::policy::PackProblems;
use crate::store::StoreError;

use super::registers::RegisterRefusal;

/// The gate could not decide, or could not do what was asked. Nothing was dialed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GateError {
    /// The floor refuses the number.
    #[error("{field}: {why}")]
    NotDialable {
        /// The field that held it.
        field: &'static str,
        /// What it is instead of a dialable destination.
        why: NotDialable,
    },
    /// A field cannot be used as it is.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Dealings were told with a seller that no campaign calls for.
    #[error("contact.dealings: no campaign of the configuration calls for the seller `{seller}`")]
    SellerUnknown {
        /// The seller.
        seller: String,
    },
    /// The configuration has no such campaign.
    #[error("campaign_id: the configuration has no campaign of this name")]
    CampaignUnknown,
    /// The campaign is switched off.
    #[error("campaign_id: the campaign is not active")]
    CampaignInactive,
    /// The number to show is not one of the campaign's.
    #[error("caller_id: the campaign may not show this number")]
    CallerIdNotAllowed,
    /// The campaign does not make calls of this kind.
    #[error("call_kind: the campaign does not make calls of this kind")]
    CallKindNotAllowed,
    /// The campaign may not dial this country.
    #[error("to: the campaign's destinations do not include the country `{country}`")]
    DestinationNotAllowed {
        /// ISO code of the country.
        country: String,
    },
    /// The request's own time ran out before it was decided.
    #[error("expire_time: has passed; ask again with a later one")]
    RequestExpired,
    /// The request id was used for something else, or by somebody else.
    #[error(
        "request_id: was used for a request with another content or by another API key; take a new one"
    )]
    RequestIdReused,
    /// Several people share the number.
    #[error("party_id: several people share this number; name the one to be called")]
    PartyAmbiguous,
    /// There is no such thing.
    #[error("{what}: not found")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The record changed since it was read.
    #[error("etag: the record has changed since it was read; read it again")]
    EtagMismatch,
    /// The person who asked for a lift cannot approve it.
    #[error("a lift takes two people: an approver must agree with what was asked")]
    SecondApproverRequired,
    /// An approver has nothing to approve.
    #[error("nobody has asked for this lift")]
    LiftNotRequested,
    /// The call has a disposition already.
    #[error("call_id: the call has a disposition already; correct that one")]
    DispositionExists,
    /// What is to be corrected was corrected before.
    #[error("disposition_id: is not the latest disposition of the call; read the call again")]
    DispositionNotLatest,
    /// The trunk's queue is full.
    #[error("the queue of the trunk is full; try again later")]
    TrunkSaturated {
        /// When to try again.
        retry_after: Duration,
    },
    /// The gate's own queue is full.
    #[error("the gate has more requests than it can take; try again later")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The node is about to stop and queues no call any more.
    #[error(
        "this node is stopping and places no calls; ask another one, or this one again in a moment"
    )]
    Closing,
    /// A rule pack is at fault; all that is wrong with it.
    #[error("{0}")]
    PackRefused(PackProblems),
    /// The rule pack in force cannot be used by this node: it does not judge by another.
    #[error(
        "this node cannot use the rule pack in force (`{sha256}`); ask another node, or start a release that can"
    )]
    PackUnusable {
        /// Its hash.
        sha256: String,
    },
    /// The rule is too certain to be switched off.
    #[error("rule: {problem}")]
    RuleNotDisablable {
        /// Why not.
        problem: String,
    },
    /// A register's list was not taken.
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
    /// Another sending of the same list goes on with the import.
    #[error(
        "another sending of the same list goes on with this import; follow it there, or send the list again"
    )]
    ImportTaken,
    /// The content of a list ended before it was whole.
    #[error("the content ended early; what came is recorded, and the same list sent again goes on")]
    ImportBrokenOff,
    /// The store could not be read or written.
    #[error("the store could not be read or written")]
    Store(#[source] std::sync::Arc<StoreError>),
}

impl GateError {
    pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl From<StoreError> for GateError {
    fn from(error: StoreError) -> Self {
        Self::Store(std::sync::Arc::new(error))
    }
}
