//! Writing a call's history down. A store that does not answer delays the entry, it does not lose it: the worker keeps
//! trying as long as it lives, and what dies with it is closed by a sweeper.

use std::time::Duration;

use serde_json::json;

use crate::domain::call::{Call, CallKind, CallState, EventDetail, EventKind, Outcome, Retry};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{AttemptId, AuditEntryId, InstructionId};
use crate::domain::instruction::Followed;
use crate::domain::time::Micros;
use crate::meter;
use crate::sip::{EndedBy, Ending};
use crate::store::{
    AttemptEnd, AuditEntry, Leased, NewEvent, Store, StoreError, UnsentEnd, Urgency,
};

use super::Shared;

/// Between two tries to write an entry.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// The audit entry of an answer that came when the outcome was recorded.
const LATE_ANSWER: &str = "late_answer";

/// What the history of a call says whose outcome said otherwise.
const ANSWERED_LATE: &str = "a target that had been given up answered after the outcome was recorded; that call was ended, for nobody was there";

/// What happened to one call at one instant, about to be written down.
pub(super) struct Journal<'a> {
    shared: &'a Shared,
    call: &'a Call,
    at: Micros,
}

impl<'a> Journal<'a> {
    pub(super) fn new(shared: &'a Shared, call: &'a Call, at: Micros) -> Self {
        Self { shared, call, at }
    }

    /// One event; with it the state that clients see, and the end of a permit that was dropped before.
    pub(super) async fn event(
        &self,
        kind: EventKind,
        detail: EventDetail,
        state: Option<CallState>,
        close_permit: Option<AttemptId>,
    ) {
        let event = NewEvent {
            call_id: self.call.call_id,
            at: self.at,
            kind,
            detail,
            state,
            close_permit,
        };
        let store = self.shared.gate.store();
        self.persist("an event", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            tx.record_event(&self.call.tenant, &event).await?;
            tx.commit().await
        })
        .await;
        self.tell().await;
    }

    /// The permit was given up in memory: nothing is sent under it any more (claim-10).
    pub(super) async fn close_permit(&self, attempt_id: AttemptId) {
        let store = self.shared.gate.store();
        self.persist("the end of a permit", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            tx.close_permits(&[attempt_id]).await?;
            tx.commit().await
        })
        .await;
    }

    pub(super) async fn late_send(&self, attempt_id: AttemptId) {
        let told = (EventKind::LateSend, EventDetail::default());
        self.event_and_entry(attempt_id, told, "late_send").await;
    }

    /// Answered when the outcome stood already, which stays: somebody picked up and was hung up on, and it counts so.
    pub(super) async fn late_answer(&self, attempt_id: AttemptId) {
        let detail = EventDetail {
            note: Some(ANSWERED_LATE.to_owned()),
            ..EventDetail::default()
        };
        let told = (EventKind::Note, detail);
        self.event_and_entry(attempt_id, told, LATE_ANSWER).await;
    }

    /// What became of what the client asked of the call.
    pub(super) async fn followed(&self, id: InstructionId, followed: &Followed) {
        let store = self.shared.gate.store();
        self.persist("what became of an instruction", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            tx.end_instruction(&self.call.tenant, id, followed, self.at)
                .await?;
            tx.commit().await
        })
        .await;
        self.tell().await;
    }

    async fn event_and_entry(
        &self,
        attempt_id: AttemptId,
        (kind, detail): (EventKind, EventDetail),
        audited_as: &str,
    ) {
        let at = self.at;
        let answered = audited_as == LATE_ANSWER;
        let entry = entry(self.call, attempt_id, audited_as, &json!({}), at);
        let event = NewEvent {
            call_id: self.call.call_id,
            at,
            kind,
            detail,
            state: None,
            close_permit: None,
        };
        let store = self.shared.gate.store();
        self.persist("an event and its audit entry", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            tx.record_event(&self.call.tenant, &event).await?;
            tx.insert_audit(&self.call.tenant, std::slice::from_ref(&entry))
                .await?;
            if answered {
                let tenant = &self.call.tenant;
                tx.count_late_answer(tenant, attempt_id).await?;
                tx.mark_abandoned(tenant, attempt_id, at).await?;
            }
            tx.commit().await
        })
        .await;
        self.tell().await;
    }

    /// The outcome, once: the first writer wins, a later one leaves a note (claim-11).
    pub(super) async fn end(&self, attempt_id: AttemptId, ending: &Ending, abandoned: bool) {
        let end = AttemptEnd {
            attempt_id,
            call_id: self.call.call_id,
            outcome: ending.outcome,
            counts_as: counts_as(self.call.call_kind, ending),
            detail: EventDetail {
                sip_code: ending.code,
                sip_reason: ending.reason.clone(),
                q850_cause: ending.q850_cause,
                outcome: Some(ending.outcome),
                retry: Some(retry_left(ending)),
                abandoned,
                ..EventDetail::default()
            },
            at: self.at,
            permit_gone: true,
        };
        let store = self.shared.gate.store();
        self.persist("an outcome", || end_attempt(store, self.call, &end))
            .await;
        self.tell().await;
    }

    /// The end of a leased call that is not sent. Somebody who ended it before goes first.
    pub(super) async fn end_unsent(&self, lease_epoch: i64, detail: EventDetail) {
        let (call, at) = (self.call, self.at);
        let end = UnsentEnd {
            call_id: call.call_id,
            lease_epoch,
            detail,
            at,
        };
        let payload = json!({
            "call_id": call.call_id, "outcome": end.detail.outcome, "agent_result": end.detail.agent_result,
            "why": end.detail.note,
        });
        let entry = AuditEntry {
            entry_id: AuditEntryId::new(at),
            kind: "call.unsent".to_owned(),
            actor: call.actor.clone(),
            subject_key: Some(call.number_key.0),
            payload,
            at,
        };
        let store = self.shared.gate.store();
        self.persist("the end of a call that is not sent", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            if tx.end_unsent(&call.tenant, &end).await? {
                tx.insert_audit(&call.tenant, std::slice::from_ref(&entry))
                    .await?;
            }
            tx.commit().await
        })
        .await;
        self.tell().await;
    }

    /// The end of a leased call whose own time is over while its agent's phone rang. Without a question to the gate: a clock that
    /// was set meanwhile might have it allow the call, and nobody is there who would talk.
    pub(super) async fn expire(&self, lease_epoch: i64) {
        let (call, at) = (self.call, self.at);
        let store = self.shared.gate.store();
        self.persist("the end of a call whose time ran out", || async {
            let mut tx = store.write(Urgency::Ordinary).await?;
            if let Some(expired) = tx.expire_call(call.call_id, lease_epoch, at).await? {
                let entry = AuditEntry::call_expired(&expired, at);
                tx.insert_audit(&call.tenant, &[entry]).await?;
            }
            tx.commit().await
        })
        .await;
        self.tell().await;
    }

    /// Tries until it is written.
    async fn persist<W, F>(&self, what: &str, write: W)
    where
        W: Fn() -> F,
        F: Future<Output = Result<(), StoreError>>,
    {
        while let Err(error) = write().await {
            tracing::warn!(call.id = %self.call.call_id, %error, "{what} could not be stored; trying again");
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn tell(&self) {
        self.shared.tell(self.call.call_id).await;
    }
}

/// Who ends a recording before we do has hung up on it: where the law asks for that (Nevada: no recorded message to that
/// number again, NRS 597.814(2)(b)) nobody else will ever say so, for no agent hears it. Where people talk one of the two
/// ends every call; how it went is the agent's to say, and until then it counts as what it was, answered.
fn counts_as(kind: CallKind, ending: &Ending) -> Option<AttemptResult> {
    let by_them = ending.outcome == Outcome::Answered && ending.by == EndedBy::Peer;
    match kind {
        CallKind::Prerecorded if by_them => Some(AttemptResult::HungUp),
        CallKind::Prerecorded | CallKind::LiveManual | CallKind::Autodialed => None,
    }
}

/// What asks for the next target is left with what comes after it: there was none, or none that might be tried.
fn retry_left(ending: &Ending) -> Retry {
    match (ending.retry, ending.outcome) {
        (Retry::Trunk, Outcome::NoRoute) => Retry::Fix,
        (Retry::Trunk, _) => Retry::Soon,
        (retry, _) => retry,
    }
}

/// Outcome, event and audit entry in one transaction; if the attempt has its outcome already, a note.
pub(super) async fn end_attempt(
    store: &Store,
    call: &Call,
    end: &AttemptEnd,
) -> Result<(), StoreError> {
    let mut tx = store.write(Urgency::Ordinary).await?;
    let is_first = tx.end_attempt(&call.tenant, end).await?;
    if is_first {
        let outcome = json!({
            "outcome": end.outcome,
            "sip_code": end.detail.sip_code,
            "q850_cause": end.detail.q850_cause,
            "counts_as": end.counts_as,
            "abandoned": end.detail.abandoned,
        });
        let mut entries = vec![entry(call, end.attempt_id, "outcome", &outcome, end.at)];
        if end.outcome == Outcome::Unwanted {
            // RFC 8197: a complaint signal for the opt-out reviewers, by itself no recorded opt-out.
            entries.push(entry(
                call,
                end.attempt_id,
                "review.unwanted",
                &json!({}),
                end.at,
            ));
        }
        tx.insert_audit(&call.tenant, &entries).await?;
    } else {
        let note = NewEvent {
            call_id: end.call_id,
            at: end.at,
            kind: EventKind::Note,
            detail: EventDetail {
                note: Some(format!(
                    "the attempt had its outcome when `{}` was reported",
                    end.outcome
                )),
                ..end.detail.clone()
            },
            state: None,
            close_permit: end.permit_gone.then_some(end.attempt_id),
        };
        tx.record_event(&call.tenant, &note).await?;
    }
    tx.commit().await?;
    if is_first {
        meter::call_ended(end.outcome);
    }
    if is_first && end.detail.abandoned {
        meter::call_abandoned();
    }
    Ok(())
}

/// Puts a leased call that was not claimed back into the queue, and tries until it is there: nobody takes a lease from a
/// process that lives.
pub(super) async fn give_back(store: &Store, leased: &Leased) {
    while let Err(error) = release(store, leased).await {
        tracing::warn!(call.id = %leased.call.call_id, %error, "a leased call could not be given back; trying again");
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

/// Tries it once (lease-2).
pub(super) async fn release(store: &Store, leased: &Leased) -> Result<(), StoreError> {
    let mut tx = store.write(Urgency::Ordinary).await?;
    tx.release_lease(leased.call.call_id, leased.lease_epoch)
        .await?;
    tx.commit().await
}

fn entry(
    call: &Call,
    attempt_id: AttemptId,
    kind: &str,
    more: &serde_json::Value,
    at: Micros,
) -> AuditEntry {
    AuditEntry {
        entry_id: AuditEntryId::new(at),
        kind: kind.to_owned(),
        actor: call.actor.clone(),
        subject_key: Some(call.number_key.0),
        payload: json!({ "call_id": call.call_id, "attempt_id": attempt_id, "detail": more }),
        at,
    }
}
