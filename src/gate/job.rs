//! What waits for the gate: one question and the way back, and the answer in the question's own kind.

use tokio::sync::oneshot;

use crate::domain::call::CallRequest;
use crate::domain::decision::Decision;
use crate::domain::ids::{RequestId, TenantId};

use super::Placed;
use super::claim::{ClaimRequest, Claimed};
use super::error::GateError;

pub(super) type Reply<T> = oneshot::Sender<Result<T, GateError>>;

/// One question and the way back.
pub(super) enum Job {
    Check {
        request: CallRequest,
        reply: Reply<Decision>,
    },
    Place {
        request: CallRequest,
        request_id: RequestId,
        reply: Reply<Placed>,
    },
    Claim {
        claim: Box<ClaimRequest>,
        reply: Reply<Claimed>,
    },
}

/// The answer to one job; of the job's own kind, or an error.
pub(super) enum Answer {
    Checked(Box<Decision>),
    Placed(Box<Placed>),
    Claimed(Claimed),
    Refused(GateError),
}

impl Job {
    pub(super) fn tenant(&self) -> &TenantId {
        match self {
            Self::Check { request, .. } | Self::Place { request, .. } => &request.tenant,
            Self::Claim { claim, .. } => &claim.call.tenant,
        }
    }

    /// Hands the answer back. Whoever asked may be gone: a decision stands all the same, and a permit is dropped.
    pub(super) fn reply(self, answer: Answer) {
        match (self, answer) {
            (Self::Check { reply, .. }, Answer::Checked(decision)) => {
                drop(reply.send(Ok(*decision)))
            }
            (Self::Place { reply, .. }, Answer::Placed(placed)) => drop(reply.send(Ok(*placed))),
            (Self::Claim { reply, .. }, Answer::Claimed(claimed)) => drop(reply.send(Ok(claimed))),
            (Self::Check { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            (Self::Place { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            (Self::Claim { reply, .. }, Answer::Refused(error)) => drop(reply.send(Err(error))),
            // INVARIANT: `effects::record` answers each job in its own kind; a dropped reply is an error to who waits.
            (_, _) => debug_assert!(false, "an answer of another kind than its question"),
        }
    }
}
