//! The standard health service: serving while the store answers, not serving while it does not.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::gate::Gate;

use super::Api;
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::call_service_server::CallServiceServer;
use super::pb::consent_service_server::ConsentServiceServer;
use super::pb::contact_service_server::ContactServiceServer;
use super::pb::suppression_service_server::SuppressionServiceServer;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(2);
/// A store that takes longer is as good as none: a softphone would not wait for it.
const LIMIT: Duration = Duration::from_secs(2);

/// What health is told for: the server as a whole, and each service by its name.
const NAMES: [&str; 6] = [
    "",
    <CallServiceServer<Api> as NamedService>::NAME,
    <ConsentServiceServer<Api> as NamedService>::NAME,
    <SuppressionServiceServer<Api> as NamedService>::NAME,
    <ContactServiceServer<Api> as NamedService>::NAME,
    <AuditServiceServer<Api> as NamedService>::NAME,
];

/// The service, and a task behind it that looks after the store until the server goes down.
pub(super) fn service(gate: Gate, closing: CancellationToken) -> HealthServer<impl Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = look(&gate, &reporter) => {}
        }
        report(&reporter, ServingStatus::NotServing).await;
    });
    service
}

async fn look(gate: &Gate, reporter: &HealthReporter) {
    let mut before = None;
    loop {
        let answer = tokio::time::timeout(LIMIT, gate.store().ping()).await;
        let now = match answer {
            Ok(Ok(())) => ServingStatus::Serving,
            Ok(Err(_)) | Err(_) => ServingStatus::NotServing,
        };
        if before != Some(now) {
            if let Ok(Err(error)) = answer {
                tracing::warn!(%error, "health: not serving, the store does not answer");
            }
            report(reporter, now).await;
            before = Some(now);
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
