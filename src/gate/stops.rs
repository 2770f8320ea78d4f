//! Stops of regions: set until an instant, over by themselves or lifted. They are facts of each case, read in the
//! transaction that judges it.

use serde_json::json;

use crate::domain::ids::RegionStopId;
use crate::domain::policy::{RegionStop, RegionStopLift};
use crate::domain::time::Micros;
use crate::policy::Pack;
use crate::store::{StoreError, Urgency};

use super::error::GateError;
use super::law::ATTEMPTS;
use super::policy::{Said, busy};
use super::{Ask, Gate};

/// How far ahead a region may be stopped.
const STOP_DAYS_MAX: u64 = 366;

/// A stop as an administrator asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegionStop {
    /// Where.
    pub region: String,
    /// Why.
    pub reason: String,
    /// From when; absent = now.
    pub starts_at: Option<Micros>,
    /// Until when.
    pub expires_at: Micros,
}

impl Gate {
    /// Stops a region: once this answers, no call into it is begun, whatever pack is in force.
    pub async fn stop_region(
        &self,
        ask: &Ask,
        new: NewRegionStop,
    ) -> Result<RegionStop, GateError> {
        let tenant = &ask.principal.tenant;
        for _ in 0..ATTEMPTS {
            if let Some(stop) = self.repeated_stop(ask).await? {
                return Ok(stop);
            }
            let now = self.current(tenant).await?;
            if let Some(error) = stop_problem(&now.pack, &new, ask.at) {
                return Err(error);
            }
            let stop = RegionStop {
                stop_id: RegionStopId::new(ask.at),
                region: new.region.clone(),
                reason: new.reason.clone(),
                starts_at: new.starts_at,
                expires_at: new.expires_at,
                actor: ask.principal.actor(),
                recorded_at: ask.at,
                lift: None,
            };
            let said = Said {
                kind: "policy.region_stopped",
                reason: format!("stopped {}: {}", stop.region, stop.reason),
                payload: json!({
                    "stop_id": stop.stop_id, "region": stop.region, "reason": stop.reason,
                    "start_time": stop.starts_at, "expire_time": stop.expires_at,
                }),
            };
            if self
                .take_effect(ask, &now, None, said, Some(&stop))
                .await?
                .is_some()
            {
                return Ok(stop);
            }
        }
        Err(busy())
    }

    /// Ends a stop before its time.
    pub async fn lift_region_stop(
        &self,
        ask: &Ask,
        id: RegionStopId,
        reason: String,
    ) -> Result<RegionStop, GateError> {
        let act = || self.lift_region_stop_once(ask, id, reason.clone());
        self.once(ask, Urgency::Ordinary, act).await
    }

    async fn lift_region_stop_once(
        &self,
        ask: &Ask,
        id: RegionStopId,
        reason: String,
    ) -> Result<RegionStop, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        tx.own_policy(tenant).await?;
        let missing = || GateError::NotFound {
            what: "region stop",
        };
        let found = tx.region_stop(tenant, id).await?.ok_or_else(missing)?;
        if repeated.is_some() || found.lift.is_some() {
            return Ok(found);
        }
        let lift = RegionStopLift {
            at: ask.at,
            reason,
            actor: ask.principal.actor(),
        };
        tx.lift_region_stop(tenant, id, &lift).await?;
        let payload = json!({
            "stop_id": id, "region": found.region, "reason": lift.reason, "request_id": ask.request_id,
        });
        let entry = ask.entry("policy.region_stop_lifted", None, payload);
        tx.insert_audit(tenant, &[entry]).await?;
        tx.insert_requests(tenant, &[ask.stored(id.to_string(), true)])
            .await?;
        tx.commit().await?;
        Ok(RegionStop {
            lift: Some(lift),
            ..found
        })
    }

    async fn repeated_stop(&self, ask: &Ask) -> Result<Option<RegionStop>, GateError> {
        let Some((mut tx, stored)) = self.asked_before(ask).await? else {
            return Ok(None);
        };
        let id: RegionStopId = super::records::made(&stored)?;
        let stop = tx.region_stop(&ask.principal.tenant, id).await?;
        drop(tx);
        if !stored.passed {
            self.wait_out_permits(ask).await?;
        }
        Ok(Some(stop.ok_or(StoreError::Damaged { what: "request" })?))
    }
}

fn stop_problem(pack: &Pack, new: &NewRegionStop, now: Micros) -> Option<GateError> {
    let invalid = |field: &str, problem: &str| Some(GateError::invalid(field, problem));
    let days_max = std::time::Duration::from_secs(STOP_DAYS_MAX * 24 * 3600);
    if !pack.knows_jurisdiction(&new.region) {
        return invalid(
            "region",
            "is no place that laws or tables know; write an ISO country, an ISO region such as `US-LA`, a group of the pack, or `ZZ` for every place",
        );
    }
    if new.expires_at <= now || new.starts_at.is_some_and(|start| start >= new.expires_at) {
        return invalid(
            "expire_time",
            "has passed, or lies before the start; name a later instant",
        );
    }
    if new.expires_at > now.plus(days_max) {
        return invalid(
            "expire_time",
            "lies more than 366 days ahead; stop it for less, and again when that is over",
        );
    }
    None
}
