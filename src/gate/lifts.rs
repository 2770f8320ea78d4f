//! Lifts: how a suppression ends. They take two people; the row names both.

use crate::domain::ids::SuppressionId;
use crate::domain::suppression::{Lift, LiftRequest, Suppression, SuppressionReason};
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
}

impl Gate {
    /// The first call asks for the lift, the second, by another person, makes it (opt-out-8).
    pub async fn lift(
        &self,
        ask: &Ask,
        id: SuppressionId,
        lift: NewLift,
    ) -> Result<Suppression, GateError> {
        self.once(ask, Urgency::Ordinary, || self.lift_once(ask, id, &lift))
            .await
    }

    async fn lift_once(
        &self,
        ask: &Ask,
        id: SuppressionId,
        lift: &NewLift,
    ) -> Result<Suppression, GateError> {
        // Whoever comes second here sees what came first: asked for, then lifted. There is no third.
        for _ in 0..3 {
            if let Some(after) = self.lift_as_found(ask, id, lift).await? {
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
        lift: &NewLift,
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
        let (kind, made) = step_of_lift(&mut tx, ask, &found, lift).await?;
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
async fn step_of_lift(
    tx: &mut Tx,
    ask: &Ask,
    found: &Suppression,
    lift: &NewLift,
) -> Result<(&'static str, bool), GateError> {
    let (tenant, id, actor) = (
        &ask.principal.tenant,
        found.suppression_id,
        ask.principal.actor(),
    );
    match &found.lift_request {
        None => {
            let request = LiftRequest {
                at: ask.at,
                requested_by: actor,
                reason: lift.reason.clone(),
                evidence_ref: lift.evidence_ref.clone(),
            };
            let made = tx.request_lift(tenant, id, &request).await?;
            Ok(("suppression.lift_requested", made))
        }
        Some(request) if request.requested_by == actor => Err(GateError::SecondApproverRequired),
        Some(request) => {
            let lift = Lift {
                at: ask.at,
                requested_by: request.requested_by.clone(),
                approved_by: actor,
                reason: request.reason.clone(),
                evidence_ref: request.evidence_ref.clone(),
            };
            let made = tx.lift_suppression(tenant, id, &lift).await?;
            Ok(("suppression.lifted", made))
        }
    }
}
