//! The standard health service: serving while the store answers and calls are taken, not serving while not.

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
use super::pb::policy_service_server::PolicyServiceServer;
use super::pb::suppression_service_server::SuppressionServiceServer;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// A store that takes longer is as good as none: a softphone would not wait for it.
const LIMIT: Duration = Duration::from_secs(2);

/// What health is told for: the server as a whole, and each service by its name.
const NAMES: [&str; 7] = [
    "",
    <CallServiceServer<Api> as NamedService>::NAME,
    <ConsentServiceServer<Api> as NamedService>::NAME,
    <SuppressionServiceServer<Api> as NamedService>::NAME,
    <ContactServiceServer<Api> as NamedService>::NAME,
    <AuditServiceServer<Api> as NamedService>::NAME,
    <PolicyServiceServer<Api> as NamedService>::NAME,
];

/// The service, after a first look at the store, and a task behind it that looks on until the server goes down.
pub(super) async fn service(gate: Gate, closing: CancellationToken) -> HealthServer<impl Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    let mut shown = look(&gate).await;
    report(&reporter, shown).await;
    tokio::spawn(async move {
        let watch = async {
            loop {
                tokio::time::sleep(EVERY).await;
                let seen = look(&gate).await;
                if seen != shown {
                    shown = seen;
                    report(&reporter, seen).await;
                }
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = watch => {}
        }
        report(&reporter, ServingStatus::NotServing).await;
    });
    service
}

async fn look(gate: &Gate) -> ServingStatus {
    if gate.is_closing() {
        return ServingStatus::NotServing;
    }
    match tokio::time::timeout(LIMIT, gate.store().ping()).await {
        Ok(Ok(())) => ServingStatus::Serving,
        Ok(Err(error)) => {
            tracing::warn!(%error, "health: not serving, the store does not answer");
            ServingStatus::NotServing
        }
        Err(_) => {
            tracing::warn!("health: not serving, the store does not answer in time");
            ServingStatus::NotServing
        }
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
