//! What the owner of attempts looks for: opt-outs that cover an unanswered call, wishes to hang up, calls that are over on
//! record, and attempts and leases of its own that it does not know (claim-12, claim-7). On a notice at once, every 250 ms without.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::domain::call::{EventDetail, EventKind, Outcome};
use crate::domain::ids::{AttemptId, CallId, InstructionId, TenantId};
use crate::domain::instruction::{Followed, Instruction, InstructionResult};
use crate::domain::time::Mono;
use crate::sip::{Control, HangUpCause, carried};
use crate::store::{
    AttemptEnd, CancelCause, NewEvent, Notice, OpenInstruction, StoreError, Urgency,
};

use super::journal::end_attempt;
use super::{Active, LOOK_EVERY, Phase, Shared, anchoring};

/// How long an attempt or a lease of ours may be on record without being known here before it is ended as never sent, or
/// given back: longer than any answer to COMMIT takes.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// What the history of a call says whose owner lives after all.
const TAKEN_FOR_DEAD: &str = "another node took the worker of this call for dead and recorded its end; the worker lives and ends the call";

/// Looks until the worker has stopped.
pub(super) async fn run(shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let mut notices = shared.gate.store().notices();
    let (mut unknown, mut unheard) = (HashMap::new(), HashMap::new());
    let mut given = HashSet::new();
    loop {
        if let Err(error) = heed(&shared, &mut given).await {
            tracing::warn!(%error, "cannot look for opt-outs, hang-ups and what else clients ask; trying again");
        }
        if let Err(error) = end_unsent(&shared, &mut unknown).await {
            tracing::debug!(%error, "cannot look for unsent attempts; trying again");
        }
        if let Err(error) = free_unheard(&shared, &mut unheard).await {
            tracing::debug!(%error, "cannot look for unheard leases; trying again");
        }
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => return,
            _ = tokio::time::timeout(LOOK_EVERY, concerns_us(&mut notices)) => {}
        }
    }
}

async fn concerns_us(notices: &mut broadcast::Receiver<Notice>) {
    use broadcast::error::RecvError;
    loop {
        match notices.recv().await {
            Ok(Notice::CallQueued | Notice::RegisterChanged) => {}
            Ok(Notice::OptOut(_) | Notice::OptOutWide | Notice::CallChanged(_))
            | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look for all that others ask of our calls.
async fn heed(shared: &Arc<Shared>, given: &mut HashSet<InstructionId>) -> Result<(), StoreError> {
    if shared.active().is_empty() {
        given.clear();
        return Ok(());
    }
    let at = shared.clock.read().wall;
    let mut tx = shared.gate.store().read().await?;
    let covered = tx.cancels_for(shared.me, at).await?;
    drop(tx);
    // First who wants no call, then what those who talk want.
    cancel(shared, covered).await;
    let mut tx = shared.gate.store().read().await?;
    let asked = tx.instructions_for(shared.me, given.len()).await;
    drop(tx);
    instruct(shared, given, asked?).await
}

async fn cancel(shared: &Arc<Shared>, found: Vec<(AttemptId, CallId, CancelCause)>) {
    let mut endings = JoinSet::new();
    for (_, call_id, cause) in found {
        let tenant = match shared.active().get(&call_id) {
            Some(Active::Dialing {
                tenant,
                ending: None,
                ..
            }) => tenant.clone(),
            _ => continue,
        };
        tracing::info!(call.id = %call_id, cause = ?cause, "ending the call");
        let (hang_up, kind, text) = match cause {
            // Its history has the wish already.
            CancelCause::HangUp => {
                shared.hang_up(call_id, HangUpCause::Client);
                continue;
            }
            CancelCause::OptOut => (HangUpCause::OptOut, EventKind::OptOut, None),
            CancelCause::TakenForDead => (
                HangUpCause::TakenForDead,
                EventKind::Note,
                Some(TAKEN_FOR_DEAD.to_owned()),
            ),
        };
        let detail = EventDetail {
            note: text,
            ..EventDetail::default()
        };
        let shared = Arc::clone(shared);
        endings.spawn(async move {
            // Its history says why before it says that it is over; a store that is slow to take the line delays the
            // CANCEL by no more than a look of its own.
            let why = note(&shared, &tenant, call_id, kind, detail);
            let _ = tokio::time::timeout(LOOK_EVERY, why).await;
            shared.hang_up(call_id, hang_up);
            let _ = tokio::time::timeout(LOOK_EVERY, shared.tell(call_id)).await;
        });
    }
    // All at once: many calls under one wide opt-out wait no longer than one.
    endings.join_all().await;
}

/// Hands what clients ask of calls to those, once each; a call that is full of it is asked again at the next look.
async fn instruct(
    shared: &Arc<Shared>,
    given: &mut HashSet<InstructionId>,
    asked: Vec<OpenInstruction>,
) -> Result<(), StoreError> {
    given.retain(|id| asked.iter().any(|(_, open, _, _)| open == id));
    for (tenant, id, call_id, instruction) in asked {
        if given.contains(&id) {
            continue;
        }
        tracing::debug!(call.id = %call_id, "a client asks something of the call");
        match hand_over(shared, (&tenant, call_id), instruction) {
            Handed::Over => drop(given.insert(id)),
            Handed::Later => {}
            Handed::ToNobody(result) => {
                let followed = Followed::plain(result);
                anchoring::end(shared, &tenant, (id, call_id), &followed).await?;
            }
        }
    }
    Ok(())
}

enum Handed {
    Over,
    Later,
    ToNobody(InstructionResult),
}

fn hand_over(
    shared: &Arc<Shared>,
    (tenant, call_id): (&TenantId, CallId),
    instruction: Option<Instruction>,
) -> Handed {
    use tokio::sync::mpsc::error::TrySendError;
    const GONE: Handed = Handed::ToNobody(InstructionResult::NotUp);
    let Some(instruction) = instruction else {
        return GONE;
    };
    match shared.active().get(&call_id) {
        Some(Active::Dialing {
            control, session, ..
        }) => {
            let described = anchoring::describes_session(&instruction.what);
            match (described, session) {
                (Some(_), Some(session)) => {
                    let by = (Arc::clone(session), control.clone());
                    anchoring::instruct(shared, tenant, by, instruction);
                    return Handed::Over;
                }
                // It was let through for the sake of other trunks, which have an anchor.
                (Some(sdp), None) if carried(sdp).is_some_and(|it| !it.is_plain) => {
                    return Handed::ToNobody(InstructionResult::Misfit);
                }
                _ => {}
            }
            match control.try_send(Control::Instruct(Box::new(instruction))) {
                Ok(()) => Handed::Over,
                Err(TrySendError::Full(_)) => Handed::Later,
                Err(TrySendError::Closed(_)) => GONE,
            }
        }
        _ => GONE,
    }
}

/// Writes one line of history, if the store takes it at once.
pub(super) async fn note(
    shared: &Shared,
    tenant: &TenantId,
    call_id: CallId,
    kind: EventKind,
    detail: EventDetail,
) {
    let event = NewEvent {
        call_id,
        at: shared.clock.read().wall,
        kind,
        detail,
        state: None,
        close_permit: None,
    };
    let written = async {
        let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
        tx.record_event(tenant, &event).await?;
        tx.commit().await
    };
    if let Err(error) = written.await {
        tracing::warn!(call.id = %call_id, %error, "the reason for ending the call was not stored");
    }
}

/// An attempt of ours that is on record and not known here was committed without our hearing of it: nothing was sent
/// under it (claim-7). It ends like one whose owner is gone (sweep-1).
async fn end_unsent(
    shared: &Shared,
    seen: &mut HashMap<AttemptId, Mono>,
) -> Result<(), StoreError> {
    let on_record = shared.gate.store().read().await?.orphans(shared.me).await?;
    // After the look, so that a slow store does not make anything seem unknown for longer than it was.
    let now = shared.clock.read();
    let unknown: Vec<_> = on_record
        .into_iter()
        .filter(|(_, call_id, _)| !shared.active().contains_key(call_id))
        .collect();
    seen.retain(|attempt_id, _| unknown.iter().any(|(id, _, _)| id == attempt_id));
    for (attempt_id, call_id, tenant) in unknown {
        let since = *seen.entry(attempt_id).or_insert(now.mono);
        if now.mono.since(since) < UNKNOWN_FOR {
            continue;
        }
        let store = shared.gate.store();
        let Some(call) = store.read().await?.call_to_end(&tenant, call_id).await? else {
            continue;
        };
        let outcome = match call.invite_time {
            None => Outcome::PermitExpired,
            // Not under this claim, but under one before it: to an earlier target, or before a challenge.
            Some(_) => Outcome::InterruptedUnknown,
        };
        let detail = EventDetail {
            outcome: Some(outcome),
            ..EventDetail::default()
        };
        end_attempt(
            store,
            &call,
            &AttemptEnd {
                attempt_id,
                call_id,
                outcome,
                counts_as: None,
                detail,
                at: now.wall,
                permit_gone: true,
            },
        )
        .await?;
        shared.tell(call_id).await;
    }
    Ok(())
}

/// A lease of ours that is on record and not known here was taken without our hearing of it: others may have the call.
async fn free_unheard(
    shared: &Shared,
    seen: &mut HashMap<(CallId, i64), Mono>,
) -> Result<(), StoreError> {
    // Before the look: what is leased later is not missed in it.
    let agents_called = shared.agents_called();
    let on_record = shared
        .gate
        .store()
        .read()
        .await?
        .leases_of(shared.me)
        .await?;
    let now = shared.clock.read().mono;
    for call_id in agents_called {
        if !on_record.iter().any(|(leased, _)| *leased == call_id) {
            // Somebody ended it while its agent was called or waited; no attempt is there that would say so.
            shared.let_agent_go(call_id);
        }
    }
    let unknown: Vec<_> = on_record
        .into_iter()
        .filter(|(call_id, _)| !shared.active().contains_key(call_id))
        .collect();
    seen.retain(|lease, _| unknown.contains(lease));
    for (call_id, epoch) in unknown {
        let since = *seen.entry((call_id, epoch)).or_insert(now);
        if now.since(since) >= UNKNOWN_FOR {
            let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
            tx.release_lease(call_id, epoch).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}
