//! Asks what is open about a number, once whoever wants to know it at the same time, and keeps what was said.
//!
//! A question is a task of its own: a client that goes away does not call it back, for it is paid for. It holds no
//! transaction while it waits for the provider.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::domain::call::CallRequest;
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::domain::provider::ScrubResult;
use crate::gate::error::GateError;
use crate::gate::{Core, Gate};
use crate::store::{AuditEntry, Urgency};

use super::Flight;
use super::answers::results_of;
use super::needs::Open;

/// Questions under way at once, to all providers.
const UNDER_WAY_MAX: usize = 1024;

/// What is left beside the provider's own time to count a question and to keep its answer.
const KEEPING: Duration = Duration::from_millis(500);

/// What is left of a caller's time for the decision itself.
const DECIDING: Duration = Duration::from_millis(250);

/// For whom a question is asked.
struct Asker {
    tenant: TenantId,
    actor: String,
}

impl Gate {
    /// Asks what the providers have not said yet of this number, and waits for it, within bounds. Afterwards the request is
    /// decided by what is on record then, whatever came of it.
    pub(in crate::gate) async fn consult(&self, request: &CallRequest) {
        let core = &self.core;
        if core.providers.is_empty() {
            return;
        }
        let open = match core.open_questions(request).await {
            Ok(open) => open,
            Err(error) => {
                tracing::debug!(%error, "what is open about a number could not be read; no provider was asked");
                return;
            }
        };
        let Some(longest) = open.iter().map(|each| each.desk.service.timeout).max() else {
            return;
        };
        let under_way: Vec<_> = open
            .into_iter()
            .filter_map(|open| set_out(core, open, request))
            .collect();
        let patience = longest.saturating_add(KEEPING);
        let patience = request.answer_by.map_or(patience, |end| {
            let left = end.since(self.read().mono);
            patience.min(left.saturating_sub(DECIDING))
        });
        let landed = async {
            for mut question in under_way {
                // Nothing is ever sent: it ends when the question has.
                let _ = question.changed().await;
            }
        };
        if tokio::time::timeout(patience, landed).await.is_err() {
            tracing::debug!("providers were not waited for any longer");
        }
    }
}

/// Joins the question if it is under way, else sends it on its way; none if there are too many.
fn set_out(core: &Arc<Core>, open: Open, request: &CallRequest) -> Option<watch::Receiver<()>> {
    let flight: Flight = (
        request.tenant.0.clone(),
        open.desk.service.name.clone(),
        open.number_key,
        open.query.since,
    );
    let mut under_way = core.providers.under_way();
    if let Some(same) = under_way.get(&flight) {
        return Some(same.clone());
    }
    if under_way.len() >= UNDER_WAY_MAX {
        tracing::debug!(provider = %open.desk.service.name, "too many questions are under way; this one is not asked");
        return None;
    }
    let (ended, waiting) = watch::channel(());
    under_way.insert(flight.clone(), waiting.clone());
    drop(under_way);
    let landing = Landing {
        core: Arc::clone(core),
        flight,
        _ended: ended,
    };
    let asker = Asker {
        tenant: request.tenant.clone(),
        actor: request.actor.clone(),
    };
    tokio::spawn(async move {
        if let Err(error) = carry_out(&landing.core, &open, &asker).await {
            let provider = &open.desk.service.name;
            tracing::warn!(%provider, %error, "a question to a provider could not be counted or its answer not be kept");
        }
    });
    Some(waiting)
}

/// Takes the question out of those under way when it ends, however it ends; then whoever waits is told.
struct Landing {
    core: Arc<Core>,
    flight: Flight,
    _ended: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.core.providers.under_way().remove(&self.flight);
    }
}

impl super::Providers {
    fn under_way(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<Flight, watch::Receiver<()>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question from leave to record. Counted before it is sent: a node that dies meanwhile has spent it.
async fn carry_out(core: &Core, open: &Open, asker: &Asker) -> Result<(), GateError> {
    let desk = &open.desk;
    let Some(_place) = desk.place() else {
        tracing::debug!(provider = %desk.service.name, "too many questions are put to a provider; this one is not asked");
        return Ok(());
    };
    if is_answered(core, open, asker).await? {
        return Ok(());
    }
    let read = (core.read)();
    if !desk.admits(read.mono) {
        return Ok(());
    }
    let day = read.wall.utc_date();
    let service = &desk.service;
    let mut tx = core.store.write(Urgency::Ordinary).await?;
    let is_left = tx
        .spend_on_provider(&asker.tenant, &service.name, day, service.max_per_day)
        .await?;
    tx.commit().await?;
    if !is_left {
        desk.budget_is_spent(day);
        return Ok(());
    }
    let asked_at = (core.read)().wall;
    let said = desk.ask(open.query).await;
    let now = (core.read)();
    desk.heard(&said, now.mono);
    let result = desk.result(open.number_key, open.query, asked_at, (said, now));
    keep(core, asker, result).await
}

/// Whether another request, or node, was answered while this one was on its way here.
async fn is_answered(core: &Core, open: &Open, asker: &Asker) -> Result<bool, GateError> {
    let at = (core.read)().wall;
    let mut tx = core.store.read().await?;
    let results = tx
        .scrub_results(&asker.tenant, &[open.number_key], at)
        .await?;
    let theirs = results_of(&open.desk.service, &results);
    Ok(theirs.iter().any(|each| each.answers(open.query.since, at)))
}

/// Keeps the result, with its audit entry: that somebody else was told of the number is an effect, too.
async fn keep(core: &Core, asker: &Asker, result: ScrubResult) -> Result<(), GateError> {
    let entry = AuditEntry {
        entry_id: AuditEntryId::new(result.answered_at),
        kind: "number.asked".to_owned(),
        actor: asker.actor.clone(),
        subject_key: Some(result.number_key.0),
        payload: json!({
            "scrub_result_id": result.scrub_result_id, "provider": result.provider, "check": result.kind,
            "result": result.result, "raw_code": result.raw_code, "for_date": result.for_date,
            "asked_time": result.asked_at, "valid_until": result.valid_until,
        }),
        at: result.answered_at,
    };
    let mut tx = core.store.write(Urgency::Ordinary).await?;
    tx.insert_scrub_results(&asker.tenant, &[result]).await?;
    tx.insert_audit(&asker.tenant, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}
