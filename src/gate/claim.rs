//! The question at dial time: what goes in, what comes out.

use crate::domain::call::{Attestation, Call};
use crate::domain::decision::Decision;
use crate::domain::ids::{AttemptId, Incarnation};
use crate::policy::Permit;

/// A leased call that has its channel and its pace token in hand.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The call.
    pub call: Call,
    /// What it is about; caps may count by it.
    pub subject: Option<String>,
    /// Under which lease the worker holds it.
    pub lease_epoch: i64,
    /// The trunk that would carry it.
    pub trunk: String,
    /// Which process asks.
    pub owner: Incarnation,
    /// Call-ID that its INVITE will carry; stored with the attempt, so that a packet can be matched with its allow.
    pub sip_call_id: String,
    /// For a further claim (late challenge, next target): the attempt that it ends in the same transaction.
    pub again: Option<AttemptId>,
    /// How strongly its INVITE will vouch for the number shown; stored with the attempt.
    pub attestation: Option<Attestation>,
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claimed {
    /// Allowed; the attempt is committed. The INVITE must leave within the permit's life.
    Permitted {
        /// The right to send.
        permit: Permit,
        /// Its durable twin.
        attempt_id: AttemptId,
    },
    /// Refused; a call's first claim ends it with this decision.
    Denied(Box<Decision>),
    /// The call's own time ran out before it could be dialed.
    Expired,
    /// The call is no longer this worker's; nothing was changed.
    Lost,
}
