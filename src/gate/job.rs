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
    /// What was placed before, under the same request id.
    Repeated(Box<Placed>),
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

    /// Hands the answer back; tells whether somebody was still there to take it. A decision stands all the same, and a permit
    /// is dropped.
    pub(super) fn reply(self, answer: Answer) -> bool {
        match (self, answer) {
            (Self::Check { reply, .. }, Answer::Checked(decision)) => {
                reply.send(Ok(*decision)).is_ok()
            }
            (Self::Place { reply, .. }, Answer::Placed(placed) | Answer::Repeated(placed)) => {
                reply.send(Ok(*placed)).is_ok()
            }
            (Self::Claim { reply, .. }, Answer::Claimed(claimed)) => {
                reply.send(Ok(claimed)).is_ok()
            }
            (Self::Check { reply, .. }, Answer::Refused(error)) => reply.send(Err(error)).is_ok(),
            (Self::Place { reply, .. }, Answer::Refused(error)) => reply.send(Err(error)).is_ok(),
            (Self::Claim { reply, .. }, Answer::Refused(error)) => reply.send(Err(error)).is_ok(),
            // INVARIANT: `effects::record` answers each job in its own kind; a dropped reply is an error to who waits.
            (_, _) => {
                debug_assert!(false, "an answer of another kind than its question");
                false
            }
        }
    }
}
