//! Changes of the law, each one transaction with its audit entry: activations, closed days, disabled rules. Stops of regions
//! go the same way, from `stops`.
//!
//! A change of what decides makes a new pack with a hash of its own, checked before anything is locked. Its transaction
//! waits until every judging one has ended, and none begins until it has: no decision is committed by the old law after
//! it. The answer comes when no permit of the old law can be alive either (the barrier's wait).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::ids::{ActivationId, TenantId};
use crate::domain::policy::{Activation, PackOrigin, RegionStop};
use crate::domain::time::Micros;
use crate::policy::{
    ClosedDay, DisabledRule, OPERATOR_FILE, OperatorLayer, Pack, PackDiff, PackFiles, PackProblem,
    PackProblems,
};
use crate::store::{StoreError, StoredRequest, Tx, Urgency};

use super::error::GateError;
use super::law::{self, ATTEMPTS, Law};
use super::suppress::BARRIER_WAIT;
use super::{Ask, Gate};

/// Where an activated pack comes from.
#[derive(Debug, Clone)]
pub enum PackSource {
    /// These files.
    Files(Vec<(String, String)>),
    /// One that the store keeps.
    Stored(String),
    /// The one that this node's configuration names; later starts may supersede it again.
    Configured,
}

/// A pack that was activated, or would be.
#[derive(Debug, Clone)]
pub struct Activated {
    /// The entry of the history; of a dry run, as it would be.
    pub activation: Activation,
    /// What it changes.
    pub diff: PackDiff,
    /// Whether nothing was written: a dry run, or the pack was in force already.
    pub unchanged: bool,
}

/// What is in force as a change begins.
pub(super) struct Current {
    pub activation: Activation,
    pub pack: Arc<Pack>,
}

/// The law as a change wants it.
struct Wanted {
    files: PackFiles,
    layer: OperatorLayer,
    origin: PackOrigin,
}

/// What a change says of itself in the history and in the audit log.
pub(super) struct Said {
    pub kind: &'static str,
    pub reason: String,
    pub payload: Value,
}

impl Gate {
    /// What is in force: the entry of the history, and the pack.
    pub async fn policy_now(
        &self,
        tenant: &TenantId,
    ) -> Result<(Activation, Arc<Pack>), GateError> {
        let now = self.current(tenant).await?;
        Ok((now.activation, now.pack))
    }

    /// The pack of this hash.
    pub async fn pack_of(&self, tenant: &TenantId, sha256: &str) -> Result<Arc<Pack>, GateError> {
        self.core.law.pack(self.store(), tenant, sha256).await
    }

    /// The pack that this source is, with the operator's layer of the active one: for a what-if.
    pub async fn pack_from(
        &self,
        tenant: &TenantId,
        source: PackSource,
    ) -> Result<Arc<Pack>, GateError> {
        let now = self.current(tenant).await?;
        let wanted = self.wanted(tenant, &now, source).await?;
        compose(wanted).await.map(Arc::new)
    }

    /// Activates a pack; the operator's closed days and disabled rules are laid over it too. With `validate_only` all is
    /// checked and nothing written.
    pub async fn activate(
        &self,
        ask: &Ask,
        source: PackSource,
        reason: String,
        validate_only: bool,
    ) -> Result<Activated, GateError> {
        let tenant = &ask.principal.tenant;
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.repeated(ask).await? {
                return Ok(answer);
            }
            let now = self.current(tenant).await?;
            let wanted = self.wanted(tenant, &now, source.clone()).await?;
            let origin = wanted.origin;
            let pack = compose(wanted).await?;
            let diff = now.pack.diff(&pack);
            let said = Said {
                kind: "policy.activated",
                reason: reason.clone(),
                payload: json!({ "rows_changed": diff.rows.len(), "files_changed": diff.files.len() }),
            };
            if validate_only {
                return Ok(Activated {
                    activation: next(ask, &now, &pack, origin, &said, ask.at),
                    diff,
                    unchanged: true,
                });
            }
            if let Some(done) = self
                .take_effect(ask, &now, Some((pack, origin)), said, None)
                .await?
            {
                return Ok(Activated { diff, ..done });
            }
        }
        Err(busy())
    }

    /// Closes a day. One that is closed already stays as it is.
    pub async fn add_closed_day(&self, ask: &Ask, day: ClosedDay) -> Result<Activated, GateError> {
        let said = || Said {
            kind: "policy.closed_day_added",
            reason: format!(
                "closed {} in {}: {}",
                day.date, day.jurisdiction, day.reason
            ),
            payload: json!({ "jurisdiction": day.jurisdiction, "date": day.date.to_string(), "reason": day.reason }),
        };
        self.edit(ask, said, |pack, layer| {
            if let Some((field, problem)) = pack.closed_day_problems(&day).into_iter().next() {
                return Err(GateError::invalid(field, problem));
            }
            let same = |known: &&ClosedDay| {
                known.jurisdiction == day.jurisdiction && known.date == day.date
            };
            match pack.closed_days().iter().find(same) {
                None => layer.closed_days.push(day.clone()),
                // A second reason would have no place: a decision names one.
                Some(known) if known.reason != day.reason => {
                    return Err(GateError::invalid(
                        "date",
                        format!(
                            "is closed there already: `{}`; open it first, then close it with both reasons",
                            known.reason
                        ),
                    ));
                }
                Some(_) => {}
            }
            Ok(())
        })
        .await
    }

    /// Opens a day again that was closed by command.
    pub async fn remove_closed_day(
        &self,
        ask: &Ask,
        jurisdiction: &str,
        date: jiff::civil::Date,
        reason: &str,
    ) -> Result<Activated, GateError> {
        let said = || Said {
            kind: "policy.closed_day_removed",
            reason: format!("opened {date} in {jurisdiction}: {reason}"),
            payload: json!({ "jurisdiction": jurisdiction, "date": date.to_string(), "reason": reason }),
        };
        self.edit(ask, said, |_, layer| {
            let before = layer.closed_days.len();
            layer
                .closed_days
                .retain(|day| day.jurisdiction != jurisdiction || day.date != date);
            match layer.closed_days.len() < before {
                true => Ok(()),
                false => Err(GateError::NotFound { what: "closed day" }),
            }
        })
        .await
    }

    /// Switches a rule of certainty `recall` off: it is shown in decisions and has no effect.
    pub async fn disable_rule(&self, ask: &Ask, row: DisabledRule) -> Result<Activated, GateError> {
        let said = || Said {
            kind: "policy.rule_disabled",
            reason: format!("switched {} off: {}", row.id, row.reason),
            payload: json!({ "rule": row.id, "reason": row.reason }),
        };
        self.edit(ask, said, |pack, layer| {
            let rule = pack
                .find(&row.id)
                .ok_or(GateError::NotFound { what: "rule" })?;
            if let Some((_, problem)) = pack.disabled_rule_problems(&row).into_iter().next() {
                return Err(GateError::RuleNotDisablable { problem });
            }
            if rule.disabled.is_none() {
                layer.disabled_rules.push(row.clone());
            }
            Ok(())
        })
        .await
    }

    /// Switches a rule on again.
    pub async fn enable_rule(
        &self,
        ask: &Ask,
        id: &str,
        reason: &str,
    ) -> Result<Activated, GateError> {
        let said = || Said {
            kind: "policy.rule_enabled",
            reason: format!("switched {id} on: {reason}"),
            payload: json!({ "rule": id, "reason": reason }),
        };
        self.edit(ask, said, |pack, layer| {
            let rule = pack.find(id).ok_or(GateError::NotFound { what: "rule" })?;
            layer.disabled_rules.retain(|row| row.id != id);
            let kept = OperatorLayer::parse(pack.files().operator()).unwrap_or_default();
            let by_file = rule.disabled.is_some() && !kept.disabled_rules.iter().any(|row| row.id == id);
            match by_file {
                true => Err(GateError::invalid(
                    "rule",
                    "is switched off by a file of the pack itself; change the file and activate the pack",
                )),
                false => Ok(()),
            }
        })
        .await
    }

    /// A change of the operator's layer.
    async fn edit(
        &self,
        ask: &Ask,
        said: impl Fn() -> Said,
        change: impl Fn(&Pack, &mut OperatorLayer) -> Result<(), GateError>,
    ) -> Result<Activated, GateError> {
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.repeated(ask).await? {
                return Ok(answer);
            }
            let now = self.current(&ask.principal.tenant).await?;
            let mut layer = law::layer_of(now.pack.files())?;
            change(&now.pack, &mut layer)?;
            let wanted = Wanted {
                files: now.pack.files().clone(),
                layer,
                origin: now.activation.origin,
            };
            let origin = wanted.origin;
            let pack = compose(wanted).await?;
            let diff = now.pack.diff(&pack);
            let done = self.take_effect(ask, &now, Some((pack, origin)), said(), None);
            if let Some(done) = done.await? {
                return Ok(Activated { diff, ..done });
            }
        }
        Err(busy())
    }

    /// What is in force now, with its pack at hand.
    pub(super) async fn current(&self, tenant: &TenantId) -> Result<Current, GateError> {
        self.settled(tenant).await?;
        let mut tx = self.store().read().await?;
        let activation = tx.latest_activation(tenant).await?;
        let activation = activation.ok_or(StoreError::Damaged {
            what: "activations",
        })?;
        drop(tx);
        let pack = self.pack_of(tenant, &activation.sha256).await?;
        Ok(Current { activation, pack })
    }

    async fn wanted(
        &self,
        tenant: &TenantId,
        now: &Current,
        source: PackSource,
    ) -> Result<Wanted, GateError> {
        let (files, origin) = match source {
            PackSource::Configured => {
                let files = self.core.law.configured().files().clone();
                (files, PackOrigin::Configured)
            }
            PackSource::Stored(sha256) => {
                let pack = self.pack_of(tenant, &sha256).await?;
                (pack.files().clone(), PackOrigin::Uploaded)
            }
            PackSource::Files(parts) => {
                let files = PackFiles::of(parts);
                if files.operator().is_some() {
                    return Err(GateError::PackRefused(reserved()));
                }
                (files, PackOrigin::Uploaded)
            }
        };
        Ok(Wanted {
            files,
            layer: law::layer_of(now.pack.files())?,
            origin,
        })
    }

    /// Writes a change, if the law is still as it was when the change was made up; nothing, and nothing done, if not.
    pub(super) async fn take_effect(
        &self,
        ask: &Ask,
        now: &Current,
        pack: Option<(Pack, PackOrigin)>,
        said: Said,
        stop: Option<&RegionStop>,
    ) -> Result<Option<Activated>, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        if repeated.is_some() {
            // The same request, sent twice at once: the other one did it.
            return Ok(None);
        }
        match tx.own_policy(tenant).await {
            // A batch that waits for numbers held the law for long: again.
            Err(StoreError::LockTimeout) => return Ok(None),
            owned => owned?,
        }
        let latest = tx.latest_activation(tenant).await?;
        if latest.is_none_or(|latest| latest.epoch != now.activation.epoch) {
            return Ok(None);
        }
        let change = pack.filter(|(pack, origin)| {
            pack.version().sha256 != now.activation.sha256 || *origin != now.activation.origin
        });
        let activation = match &change {
            Some((pack, origin)) => {
                // Read when nobody judges any more: what was judged by the older law was read off the clock before.
                let at = self.read().wall;
                let activation = next(ask, now, pack, *origin, &said, at);
                law::keep(&mut tx, tenant, pack, &activation.actor, ask.at).await?;
                tx.insert_activation(tenant, &activation).await?;
                activation
            }
            None => now.activation.clone(),
        };
        if let Some(stop) = stop {
            tx.insert_region_stop(tenant, stop).await?;
        }
        let unchanged = change.is_none() && stop.is_none();
        if !unchanged {
            let payload = entry_payload(ask, now, &activation, said.payload);
            tx.insert_audit(tenant, &[ask.entry(said.kind, None, payload)])
                .await?;
        }
        let subject = stop.map_or(activation.activation_id.to_string(), |stop| {
            stop.stop_id.to_string()
        });
        let request = ask.stored(subject, unchanged);
        match tx.insert_requests(tenant, &[request]).await {
            // As above: it did it since this transaction looked.
            Err(StoreError::Duplicate { .. }) => return Ok(None),
            inserted => inserted?,
        }
        if let Some((pack, _)) = change {
            // Before the commit, so that no decision of this node has to load it.
            self.core.law.hold(pack);
        }
        tx.commit().await?;
        if !unchanged {
            self.wait_out_permits(ask).await?;
        }
        Ok(Some(Activated {
            activation,
            diff: PackDiff::default(),
            unchanged,
        }))
    }

    /// Waits until no permit that was made before can be alive, and remembers that this was waited for.
    pub(super) async fn wait_out_permits(&self, ask: &Ask) -> Result<(), GateError> {
        tokio::time::sleep(BARRIER_WAIT).await;
        let mut tx = self.store().write(Urgency::Ordinary).await?;
        tx.pass_requests(&ask.principal.tenant, &[ask.request_id])
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn repeated(&self, ask: &Ask) -> Result<Option<Activated>, GateError> {
        let Some((mut tx, stored)) = self.asked_before(ask).await? else {
            return Ok(None);
        };
        let id: ActivationId = super::records::made(&stored)?;
        let activation = tx.activation(&ask.principal.tenant, id).await?;
        drop(tx);
        if !stored.passed {
            self.wait_out_permits(ask).await?;
        }
        Ok(Some(Activated {
            activation: activation.ok_or(StoreError::Damaged { what: "request" })?,
            diff: PackDiff::default(),
            unchanged: false,
        }))
    }

    pub(super) async fn asked_before(
        &self,
        ask: &Ask,
    ) -> Result<Option<(Tx, StoredRequest)>, GateError> {
        let (tx, stored) = self.begin(ask, Urgency::Ordinary).await?;
        Ok(stored.map(|stored| (tx, stored)))
    }
}

async fn compose(wanted: Wanted) -> Result<Pack, GateError> {
    let Wanted { files, layer, .. } = wanted;
    let composed = Law::compose(&files, &layer).await?;
    composed.map_err(GateError::PackRefused)
}

/// The entry that a change adds to the history.
fn next(
    ask: &Ask,
    now: &Current,
    pack: &Pack,
    origin: PackOrigin,
    said: &Said,
    at: Micros,
) -> Activation {
    let at = now.activation.followed_by(at);
    Activation {
        activation_id: ActivationId::new(at),
        epoch: now.activation.epoch + 1,
        sha256: pack.version().sha256.clone(),
        base_sha256: pack.base_sha256(),
        version: pack.version().version.clone(),
        origin,
        reason: said.reason.clone(),
        actor: ask.principal.actor(),
        at,
    }
}

fn entry_payload(ask: &Ask, now: &Current, after: &Activation, said: Value) -> Value {
    let mut payload = json!({
        "request_id": ask.request_id, "activation_id": after.activation_id, "epoch": after.epoch,
        "before": now.activation.sha256, "after": after.sha256, "version": after.version, "origin": after.origin,
        "change": after.reason,
    });
    if let (Value::Object(payload), Value::Object(said)) = (&mut payload, said) {
        payload.extend(said);
    }
    payload
}

/// The name under which the server keeps its own layer cannot be sent.
fn reserved() -> PackProblems {
    PackProblems(vec![PackProblem {
        file: OPERATOR_FILE.to_owned(),
        line: None,
        problem: "this name is the server's own; close days and switch rules off by command, or write them into a file \
                  of another name"
            .to_owned(),
    }])
}

pub(super) fn busy() -> GateError {
    GateError::Busy {
        retry_after: std::time::Duration::from_millis(500),
    }
}
