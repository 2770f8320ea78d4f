//! Lifts: how a suppression ends. They take two people; the row names both.

use crate::domain::ids::SuppressionId;
use crate::domain::suppression::{Lift, LiftRequest, Suppression, SuppressionReason};
use crate::domain::time::Micros;
use crate::store::{StoreError, Tx, Urgency};

use super::error::GateError;
use super::suppress::entry;
use super::{Ask, Gate};

/// A lift as an administrator asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLift {
    /// Why.
    pub reason: String,
    /// The permission that is newer than the opt-out.
    pub evidence_ref: String,
    /// When the person gave it.
    pub evidence_at: Micros,
}

/// The two steps of a lift, each of another role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiftStep {
    /// An administrator asks.
    Ask(NewLift),
    /// An approver agrees with what was asked.
    Approve,
}

impl Gate {
    /// An administrator asks for the lift, an approver makes it (opt-out-8).
    pub async fn lift(
        &self,
        ask: &Ask,
        id: SuppressionId,
        step: LiftStep,
    ) -> Result<Suppression, GateError> {
        self.once(ask, Urgency::Ordinary, || self.lift_once(ask, id, &step))
            .await
    }

    async fn lift_once(
        &self,
        ask: &Ask,
        id: SuppressionId,
        step: &LiftStep,
    ) -> Result<Suppression, GateError> {
        // Whoever comes second here sees what came first: asked for, then lifted. There is no third.
        for _ in 0..3 {
            if let Some(after) = self.lift_as_found(ask, id, step).await? {
                return Ok(after);
            }
        }
        Err(StoreError::Damaged {
            what: "suppression",
        }
        .into())
    }

    /// The step that is due as the row was found; nothing, and nothing done, if somebody else made it meanwhile.
    async fn lift_as_found(
        &self,
        ask: &Ask,
        id: SuppressionId,
        step: &LiftStep,
    ) -> Result<Option<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let found = tx
            .suppression(tenant, id)
            .await?
            .ok_or(GateError::NotFound {
                what: "suppression",
            })?;
        if repeated.is_some() || found.lift.is_some() {
            return Ok(Some(found));
        }
        if found.reason == SuppressionReason::Registry {
            return Err(GateError::invalid(
                "suppression_id",
                "comes from a register, which only a newer version of the register can change",
            ));
        }
        let (kind, made) = make_step(&mut tx, ask, &found, step).await?;
        if !made {
            return Ok(None);
        }
        let after = tx
            .suppression(tenant, id)
            .await?
            .ok_or(GateError::NotFound {
                what: "suppression",
            })?;
        tx.insert_audit(tenant, &[entry(ask, kind, &after)]).await?;
        tx.insert_requests(tenant, &[ask.stored(id.to_string(), true)])
            .await?;
        tx.commit().await?;
        Ok(Some(after))
    }
}

/// The wish, or another person's approval of it; false if the row was changed since it was read.
async fn make_step(
    tx: &mut Tx,
    ask: &Ask,
    found: &Suppression,
    step: &LiftStep,
) -> Result<(&'static str, bool), GateError> {
    let (tenant, id, actor) = (
        &ask.principal.tenant,
        found.suppression_id,
        ask.principal.actor(),
    );
    match (step, &found.lift_request) {
        (LiftStep::Ask(new), None) => {
            is_newer(new.evidence_at, found)?;
            let request = LiftRequest {
                at: ask.at,
                requested_by: actor,
                reason: new.reason.clone(),
                evidence_ref: new.evidence_ref.clone(),
                evidence_at: Some(new.evidence_at),
            };
            let made = tx.request_lift(tenant, id, &request).await?;
            Ok(("suppression.lift_requested", made))
        }
        (LiftStep::Ask(_), Some(_)) => Err(GateError::SecondApproverRequired),
        (LiftStep::Approve, None) => Err(GateError::LiftNotRequested),
        (LiftStep::Approve, Some(request)) => {
            let lift = Lift {
                at: ask.at,
                requested_by: request.requested_by.clone(),
                approved_by: actor,
                reason: request.reason.clone(),
                evidence_ref: request.evidence_ref.clone(),
                evidence_at: request.evidence_at,
            };
            let made = tx.lift_suppression(tenant, id, &lift).await?;
            Ok(("suppression.lifted", made))
        }
    }
}

/// What a person allowed before they said no opens nothing.
fn is_newer(permission: Micros, found: &Suppression) -> Result<(), GateError> {
    if permission > found.told_by() {
        return Ok(());
    }
    Err(GateError::invalid(
        "evidence_time",
        "must be later than the opt-out: a permission from before it opens nothing",
    ))
}
