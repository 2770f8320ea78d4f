//! What the gate is asked when a call's turn has come, and what is done where it says no or nothing.

use std::time::Duration;

use crate::domain::call::EventDetail;
use crate::domain::ids::{AttemptId, CallId};
use crate::gate::{ClaimRequest, Claimed, GateError};
use crate::passport::Vouch;
use crate::sip::Ending;
use crate::store::Leased;

use super::journal::Journal;
use super::{Shared, journal};

/// A call that the gate could not decide on waits this long before it is leased again.
const UNDECIDED_PAUSE: Duration = Duration::from_secs(1);

/// Says why a call is not dialed.
pub(super) async fn not_dialed(shared: &Shared, call_id: CallId, claimed: &Claimed) {
    match claimed {
        Claimed::Denied(decision) => {
            tracing::info!(call.id = %call_id, decision.id = %decision.decision_id, denied_by = ?decision.judgement.denied_by,
                "the gate refused the call at dial time");
            shared.tell(call_id).await;
        }
        Claimed::Expired => {
            tracing::info!(call.id = %call_id, "the call's time ran out in the queue");
            shared.tell(call_id).await;
        }
        Claimed::Lost => tracing::info!(call.id = %call_id, "another worker has the call"),
        Claimed::Permitted { .. } => {}
    }
}

/// Nothing was sent. If the claim was not committed the call goes back to the queue; if it was, nobody can lease it again
/// and `watch` ends the attempt (claim-7, lease-2).
pub(super) async fn undecided(shared: &Shared, leased: &Leased, error: &GateError) {
    tracing::warn!(call.id = %leased.call.call_id, %error, "the gate could not decide; the call goes back to the queue");
    tokio::time::sleep(UNDECIDED_PAUSE).await;
    journal::give_back(shared.gate.store(), leased).await;
}

impl Shared {
    /// Ends a leased call that is not sent, with what stands in the way.
    pub(super) async fn end_unsent(&self, leased: &Leased, ending: Ending) {
        let detail = EventDetail {
            outcome: Some(ending.outcome),
            retry: Some(ending.retry),
            note: ending.reason,
            ..EventDetail::default()
        };
        let journal = Journal::new(self, &leased.call, self.clock.read().wall);
        journal.end_unsent(leased.lease_epoch, detail).await;
    }
}

/// The question at dial time; a further claim names the attempt that it ends.
pub(super) fn claim(
    shared: &Shared,
    leased: &Leased,
    trunk: &str,
    (sip_call_id, again): (&str, Option<AttemptId>),
) -> ClaimRequest {
    ClaimRequest {
        call: leased.call.clone(),
        subject: leased.subject.clone(),
        lease_epoch: leased.lease_epoch,
        trunk: trunk.to_owned(),
        owner: shared.me,
        sip_call_id: sip_call_id.to_owned(),
        again,
        attestation: None,
    }
}

impl ClaimRequest {
    /// The same, with how its number will be vouched for.
    pub(super) fn vouched(self, vouch: &Vouch) -> Self {
        let attestation = vouch.attestation();
        Self {
            attestation,
            ..self
        }
    }
}
