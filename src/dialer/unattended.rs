//! Calls whose client went away: other nodes are told who follows a call here, and one that nobody has followed for the grace
//! period is ended (`gate/presence.rs`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::ids::{CallId, Incarnation};
use crate::gate::{GateError, PresenceChanges};
use crate::store::{StoreError, Urgency};

use super::{LOOK_EVERY, Phase, Shared};

/// Calls of a dead process that one look sees to.
const LEFT_MAX: i64 = 256;

/// Looks until the worker has stopped. Without a grace period no call is ended for this.
pub(super) async fn run(
    shared: Arc<Shared>,
    grace: Option<Duration>,
    mut phase: watch::Receiver<Phase>,
) {
    loop {
        if let Err(error) = look(&shared, grace).await {
            tracing::warn!(%error, "cannot see to calls that nobody follows; trying again");
        }
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(shared: &Shared, grace: Option<Duration>) -> Result<(), GateError> {
    let presence = shared.gate.presence();
    let changes = presence.changes(shared.has_peers());
    if !changes.is_empty() {
        tell(shared, &changes).await?;
        presence.told(&changes);
    }
    let now = shared.clock.read().mono;
    for (tenant, call_id) in presence.alone(grace.unwrap_or_default(), now) {
        if grace.is_some() {
            shared
                .gate
                .end_unattended(&tenant, call_id, shared.me)
                .await?;
        }
        presence.forget(call_id);
    }
    Ok(())
}

async fn tell(shared: &Shared, changes: &PresenceChanges) -> Result<(), StoreError> {
    let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
    tx.leave(shared.me, &changes.gone).await?;
    tx.attend(shared.me, &changes.come).await?;
    tx.commit().await
}

/// Ends the calls that were followed by way of a dead process and are by way of no other, for who came back has had more time
/// for it than the grace period. True = there are more.
pub(super) async fn bury(shared: &Shared, dead: Incarnation) -> Result<bool, GateError> {
    let store = shared.gate.store();
    let left = store.read().await?.attended_by(dead, LEFT_MAX).await?;
    if left.is_empty() {
        return Ok(false);
    }
    for (tenant, call_id) in &left {
        if !shared.gate.presence().is_followed(*call_id) && shared.ends_unattended {
            let gate = &shared.gate;
            gate.end_unattended(tenant, *call_id, dead).await?;
        }
    }
    let calls: Vec<CallId> = left.iter().map(|(_, call_id)| *call_id).collect();
    let mut tx = store.write(Urgency::Ordinary).await?;
    tx.leave(dead, &calls).await?;
    tx.commit().await?;
    Ok(i64::try_from(left.len()).is_ok_and(|left| left == LEFT_MAX))
}
