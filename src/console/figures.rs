//! The figures of `meter` as Prometheus reads them. What is counted as it happens is the process's; how things stand is read
//! from the node and its store when somebody looks, into a page of its own, so that a trunk or a register that is gone is gone
//! from the next one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::server::Desk;
use crate::domain::ids::TenantId;
use crate::domain::time::Micros;
use crate::domain::webhook::WebhookState;
use crate::gate::GateError;
use crate::meter::{self, AuditStanding, RegisterStanding, Standing, WebhookStanding};

/// A store that takes longer counts as away: whoever scrapes does not wait for ever.
const LIMIT: Duration = Duration::from_secs(2);

/// How often what was measured is put together, whether or not somebody looks: until then each measurement takes memory.
const EVERY: Duration = Duration::from_secs(5);

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A process counts once, however many servers it has.
static COUNTED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count, and goes on putting together until the console goes down.
pub(super) fn begin(closing: CancellationToken) {
    let Some(counted) = COUNTED.get_or_init(recorder) else {
        return;
    };
    tokio::spawn(closing.run_until_cancelled_owned(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            counted.run_upkeep();
        }
    }));
}

fn recorder() -> Option<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in meter::HISTOGRAMS {
        builder = builder
            .set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
            .inspect_err(|error| tracing::error!(%error, "a histogram has no bounds"))
            .ok()?;
    }
    let handle = builder
        .install_recorder()
        .inspect_err(|error| tracing::error!(%error, "nothing is counted"))
        .ok()?;
    meter::describe();
    Some(handle)
}

/// The page.
pub(super) async fn page(State(desk): State<Arc<Desk>>) -> impl IntoResponse {
    let standing = match tokio::time::timeout(LIMIT, standing(&desk)).await {
        Ok(Ok(standing)) => Some(standing),
        Ok(Err(error)) => {
            tracing::warn!(%error, "metrics: how things stand could not be read");
            None
        }
        Err(_) => {
            tracing::warn!("metrics: how things stand could not be read in time");
            None
        }
    };
    let now = PrometheusBuilder::new().build_recorder();
    let node = (desk.node)(desk.clock.read());
    meter::show(&now, &node, standing.as_ref());
    let mut page = now.handle().render();
    if let Some(Some(counted)) = COUNTED.get() {
        page.push_str(&counted.render());
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page)
}

async fn standing(desk: &Desk) -> Result<Standing, GateError> {
    let now = desk.clock.read().wall;
    let registers = desk.gate.registers(&TenantId::default(), now).await?;
    let at_hand = desk.gate.store().read().await?.calls_at_hand().await?;
    let registers = registers.into_iter().filter_map(|each| {
        Some(RegisterStanding {
            age_days: each.age_days?,
            register: each.register,
            max_age_days: each.max_age_days,
            stale: each.stale,
            loaded: each.loaded,
        })
    });
    let tenant = TenantId::default();
    let mut tx = desk.gate.store().read().await?;
    let log = tx.audit_log(&tenant).await?;
    let lag = tx.log_lag(&tenant).await?;
    drop(tx);
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let waiting = |at: Micros| Duration::from_micros(u64::try_from(now.since(at)).unwrap_or(0));
    let webhooks = desk.gate.webhooks(&TenantId::default()).await?;
    let webhooks = webhooks.into_iter().filter(|each| each.configured);
    Ok(Standing {
        queued: at_hand.queued,
        attempts: at_hand.attempts,
        registers: registers.collect(),
        audit: AuditStanding {
            size: log.map_or(0, |log| count(log.size)),
            unplaced: count(lag.entries),
            oldest: lag.oldest_at.map_or(Duration::ZERO, waiting),
        },
        webhooks: webhooks
            .map(|each| WebhookStanding {
                oldest: each.lag.age(now),
                pending: each.lag.changes,
                parked: each.progress.state == WebhookState::Parked,
                name: each.progress.name,
            })
            .collect(),
    })
}
