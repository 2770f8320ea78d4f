//! What the gate is asked when a call's turn has come, and what is done where it says no or nothing.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::call::{EventDetail, EventKind};
use crate::domain::decision::Decision;
use crate::domain::ids::{AttemptId, CallId};
use crate::gate::{ClaimRequest, Claimed, GateError};
use crate::passport::Vouch;
use crate::sip::{Control, Ending, HangUpCause};
use crate::store::Leased;

use super::attempt::Under;
use super::journal::Journal;
use super::watch::note;
use super::{LOOK_EVERY, Shared, journal};

/// A call that the gate could not decide on waits this long before it is leased again.
const UNDECIDED_PAUSE: Duration = Duration::from_secs(1);

/// What the history of a call says that was dialed and may not be dialed further.
const REFUSED: &str = "the gate refused a further INVITE of this call; the decision says why, and the call is cancelled";

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

impl Under<'_> {
    /// Another INVITE is due and the permit is over: the gate is asked again, in one transaction with the old attempt's
    /// end (claim-5). Anything but a new permit ends the call.
    pub(super) async fn renew(&mut self, control: &mpsc::Sender<Control>) {
        let call_id = self.leased.call.call_id;
        let again = ClaimRequest {
            attestation: self.attestation,
            ..claim(
                self.shared,
                self.leased,
                self.begun.track.name(),
                (&self.sip_call_id, Some(self.attempt_id)),
            )
        };
        match self.shared.gate.claim(again).await {
            Ok(Claimed::Permitted { permit, attempt_id }) => {
                self.attempt_id = attempt_id;
                if self.has_rung() {
                    // At an earlier target, late: an INVITE would be a second call.
                    return self.shared.hang_up(call_id, HangUpCause::Elsewhere);
                }
                let _ = control.send(Control::Renew(permit)).await;
            }
            Ok(Claimed::Denied(decision)) => {
                self.say_refused(&decision).await;
                self.shared.hang_up(call_id, HangUpCause::Denied);
            }
            Ok(Claimed::Expired | Claimed::Lost) | Err(_) => {
                self.shared.hang_up(call_id, HangUpCause::Client);
            }
        }
    }

    /// Its history says why before it says that it is over, as long as the store takes that at once.
    pub(super) async fn say_refused(&self, decision: &Decision) {
        let call = &self.leased.call;
        tracing::info!(call.id = %call.call_id, denied_by = ?decision.judgement.denied_by,
            "the gate refused a further INVITE of the call");
        let detail = EventDetail {
            decision_id: Some(decision.decision_id),
            note: Some(REFUSED.to_owned()),
            ..EventDetail::default()
        };
        let why = note(
            self.shared,
            &call.tenant,
            call.call_id,
            EventKind::Note,
            detail,
        );
        let _ = tokio::time::timeout(LOOK_EVERY, why).await;
    }
}
