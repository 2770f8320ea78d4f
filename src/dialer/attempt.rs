//! One call from claim to outcome. What `sip` reports is written down before the next report is read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::domain::call::{CallState, EventDetail, EventKind, Outcome, Retry};
use crate::domain::ids::{AttemptId, DecisionId};
use crate::gate::{ClaimRequest, Claimed, GateError};
use crate::policy::Permit;
use crate::sip::{Control, Dialog, EndedBy, Ending, HangUpCause, Happened, Invite, SipEvent};
use crate::store::Leased;

use super::journal::{self, Journal};
use super::pace::Token;
use super::watch::note;
use super::{Active, LOOK_EVERY, Lane, Shared};

/// A call that the gate could not decide on waits this long before it is leased again.
const UNDECIDED_PAUSE: Duration = Duration::from_secs(1);

/// What the history of a call says that was dialed and may not be dialed further.
const REFUSED: &str = "the gate refused a further INVITE of this call; the decision says why, and the call is cancelled";

/// Claims the call and, if allowed, dials it and follows it to its end. The channel is held throughout.
pub(super) async fn run(
    shared: Arc<Shared>,
    lane: Lane,
    leased: Leased,
    channel: OwnedSemaphorePermit,
    token: Token,
) {
    let call_id = leased.call.call_id;
    let sip_call_id = shared.endpoint.new_call_id();
    shared.active().insert(call_id, Active::Claiming);
    let _known = Known {
        shared: &shared,
        leased: &leased,
    };
    match shared
        .gate
        .claim(claim(&shared, &leased, &sip_call_id, None))
        .await
    {
        Ok(Claimed::Permitted { permit, attempt_id }) => {
            let call = Under {
                shared: &shared,
                lane: &lane,
                leased: &leased,
                sip_call_id,
                attempt_id,
                progressed: false,
            };
            call.dial(permit, token).await;
        }
        Ok(Claimed::Denied(decision)) => {
            tracing::info!(call.id = %call_id, decision.id = %decision.decision_id, denied_by = ?decision.judgement.denied_by,
                "the gate refused the call at dial time");
            shared.tell(call_id).await;
        }
        Ok(Claimed::Expired) => {
            tracing::info!(call.id = %call_id, "the call's time ran out in the queue");
            shared.tell(call_id).await;
        }
        Ok(Claimed::Lost) => tracing::info!(call.id = %call_id, "another worker has the call"),
        Err(error) => {
            drop(token);
            undecided(&shared, &leased, &error).await;
        }
    }
    drop(channel);
}

/// The call is known to this process until its task ends, however it ends.
struct Known<'a> {
    shared: &'a Shared,
    leased: &'a Leased,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.shared.active().remove(&self.leased.call.call_id);
    }
}

/// Nothing was sent. If the claim was not committed the call goes back to the queue; if it was, nobody can lease it again
/// and `watch` ends the attempt (claim-7, lease-2).
async fn undecided(shared: &Shared, leased: &Leased, error: &GateError) {
    tracing::warn!(call.id = %leased.call.call_id, %error, "the gate could not decide; the call goes back to the queue");
    tokio::time::sleep(UNDECIDED_PAUSE).await;
    journal::give_back(shared.gate.store(), leased).await;
}

fn claim(
    shared: &Shared,
    leased: &Leased,
    sip_call_id: &str,
    again: Option<AttemptId>,
) -> ClaimRequest {
    ClaimRequest {
        call: leased.call.clone(),
        subject: leased.subject.clone(),
        lease_epoch: leased.lease_epoch,
        owner: shared.me,
        sip_call_id: sip_call_id.to_owned(),
        again,
    }
}

/// A claimed call under way.
struct Under<'a> {
    shared: &'a Shared,
    lane: &'a Lane,
    leased: &'a Leased,
    sip_call_id: String,
    attempt_id: AttemptId,
    /// A provisional without ringing was noted; further ones tell nothing new.
    progressed: bool,
}

impl Under<'_> {
    async fn dial(mut self, permit: Permit, token: Token) {
        let mut token = Some(token);
        let invite = Invite {
            sip_call_id: self.sip_call_id.clone(),
            trunk: Arc::clone(&self.lane.trunk),
            sdp_offer: self.leased.sdp_offer.clone(),
        };
        // At once: between the claim's commit and here lies no await.
        let Dialog {
            mut events,
            control,
        } = self.shared.endpoint.dial(permit, invite);
        let call_id = self.leased.call.call_id;
        self.shared.active().insert(
            call_id,
            Active::Dialing {
                tenant: self.leased.call.tenant.clone(),
                control: control.clone(),
                ending: false,
            },
        );
        while let Some(Happened { at, event }) = events.recv().await {
            let journal = Journal::new(self.shared, &self.leased.call, at.wall);
            // The first tells that the INVITE has left, or never will.
            drop(token.take());
            match event {
                SipEvent::Sent { late, first, .. } => self.sent(&journal, first, late).await,
                SipEvent::PermitSpent => journal.close_permit(self.attempt_id).await,
                SipEvent::PermitNeeded => self.renew(&control).await,
                SipEvent::Ended(ending) => {
                    self.ended(&journal, ending).await;
                    return;
                }
                heard => self.hear(&journal, heard).await,
            }
        }
        // The endpoint is gone, and with it the permit: what came of the call is not known, and it may have rung.
        tracing::error!(call.id = %call_id, "the SIP endpoint ended before the call did");
        let unknown = Ending {
            outcome: Outcome::InterruptedUnknown,
            retry: Retry::Never,
            code: None,
            reason: None,
            q850_cause: None,
            retry_after: None,
            by: EndedBy::Us,
            answered: false,
        };
        let now = self.shared.clock.read().wall;
        let journal = Journal::new(self.shared, &self.leased.call, now);
        self.ended(&journal, unknown).await;
    }

    /// One line of history. What rings or is answered gave its permit up before it was reported.
    async fn hear(&mut self, journal: &Journal<'_>, event: SipEvent) {
        let (kind, detail, state) = match event {
            SipEvent::Progress { .. } if std::mem::replace(&mut self.progressed, true) => return,
            SipEvent::Progress { code, reason } => {
                (EventKind::Progress, said(code, reason, None), None)
            }
            SipEvent::Ringing { code, reason } => (
                EventKind::Ringing,
                said(code, reason, None),
                Some(CallState::Ringing),
            ),
            SipEvent::EarlyMedia { code, reason, sdp } => (
                EventKind::EarlyMedia,
                said(code, reason, Some(sdp)),
                Some(CallState::EarlyMedia),
            ),
            SipEvent::Answered { sdp } => {
                let ok = said(200, "OK".to_owned(), Some(sdp));
                (EventKind::Answered, ok, Some(CallState::Answered))
            }
            SipEvent::MediaOffer { sdp } => {
                let detail = EventDetail {
                    sdp: Some(sdp),
                    ..EventDetail::default()
                };
                (EventKind::MediaOffer, detail, None)
            }
            SipEvent::Note { code, text } => {
                let detail = EventDetail {
                    sip_code: code,
                    note: Some(text),
                    ..EventDetail::default()
                };
                (EventKind::Note, detail, None)
            }
            SipEvent::Sent { .. }
            | SipEvent::PermitSpent
            | SipEvent::PermitNeeded
            | SipEvent::Ended(_) => return,
        };
        let close_permit = state.map(|_| self.attempt_id);
        journal.event(kind, detail, state, close_permit).await;
    }

    async fn sent(&self, journal: &Journal<'_>, first: bool, late: bool) {
        if late {
            // claim-9: frozen between the comparison and the system call for longer than the margin.
            tracing::error!(call.id = %self.leased.call.call_id, "an INVITE left later than the barrier allows; cancelling the call");
            self.shared
                .hang_up(self.leased.call.call_id, HangUpCause::LateSend);
            journal.late_send(self.attempt_id).await;
        }
        if first {
            journal
                .event(
                    EventKind::Inviting,
                    EventDetail::default(),
                    Some(CallState::Inviting),
                    None,
                )
                .await;
        }
    }

    /// Another INVITE is due and the permit is over: the gate is asked again, in one transaction with the old attempt's
    /// end (claim-5). Anything but a new permit ends the call.
    async fn renew(&mut self, control: &tokio::sync::mpsc::Sender<Control>) {
        let again = claim(
            self.shared,
            self.leased,
            &self.sip_call_id,
            Some(self.attempt_id),
        );
        match self.shared.gate.claim(again).await {
            Ok(Claimed::Permitted { permit, attempt_id }) => {
                self.attempt_id = attempt_id;
                let _ = control.send(Control::Renew(permit)).await;
            }
            Ok(Claimed::Denied(decision)) => {
                tracing::info!(call.id = %self.leased.call.call_id, denied_by = ?decision.judgement.denied_by,
                    "the gate refused a further INVITE of the call");
                self.refused(decision.decision_id).await;
            }
            Ok(Claimed::Expired | Claimed::Lost) | Err(_) => {
                self.shared
                    .hang_up(self.leased.call.call_id, HangUpCause::Client);
            }
        }
    }

    /// Its history says why before it says that it is over, as long as the store takes that at once.
    async fn refused(&self, decision: DecisionId) {
        let call = &self.leased.call;
        let detail = EventDetail {
            decision_id: Some(decision),
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
        self.shared.hang_up(call.call_id, HangUpCause::Denied);
    }

    async fn ended(&self, journal: &Journal<'_>, ending: Ending) {
        tracing::info!(call.id = %self.leased.call.call_id, attempt.id = %self.attempt_id, outcome = %ending.outcome,
            sip.code = ending.code, q850.cause = ending.q850_cause, "the call is over");
        journal.end(self.attempt_id, &ending).await;
    }
}

fn said(code: u16, reason: String, sdp: Option<Vec<u8>>) -> EventDetail {
    EventDetail {
        sip_code: Some(code),
        sip_reason: Some(reason),
        sdp,
        ..EventDetail::default()
    }
}
