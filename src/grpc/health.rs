//! The standard health service: serving while the store answers and calls are taken, not serving while not. Beside each
//! answer stands, as metadata, what this node judges by: an operator who asks a hundred nodes sees the one that lags.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::gate::Gate;

use super::Api;
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::call_service_server::CallServiceServer;
use super::pb::consent_service_server::ConsentServiceServer;
use super::pb::contact_service_server::ContactServiceServer;
use super::pb::policy_service_server::PolicyServiceServer;
use super::pb::register_service_server::RegisterServiceServer;
use super::pb::suppression_service_server::SuppressionServiceServer;
use super::pb::trunk_service_server::TrunkServiceServer;
use super::pb::webhook_service_server::WebhookServiceServer;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);
/// A store that takes longer is as good as none: a softphone would not wait for it.
const LIMIT: Duration = Duration::from_secs(2);

/// What health is told for: the server as a whole, and each service by its name.
const NAMES: [&str; 10] = [
    "",
    <CallServiceServer<Api> as NamedService>::NAME,
    <ConsentServiceServer<Api> as NamedService>::NAME,
    <SuppressionServiceServer<Api> as NamedService>::NAME,
    <ContactServiceServer<Api> as NamedService>::NAME,
    <AuditServiceServer<Api> as NamedService>::NAME,
    <PolicyServiceServer<Api> as NamedService>::NAME,
    <RegisterServiceServer<Api> as NamedService>::NAME,
    <TrunkServiceServer<Api> as NamedService>::NAME,
    <WebhookServiceServer<Api> as NamedService>::NAME,
];

/// The standard service, which also tells what the node judges by.
pub(super) struct Told {
    standard: HealthService,
    gate: Gate,
}

impl Told {
    fn tell<T>(&self, mut answer: Response<T>) -> Response<T> {
        let pack = self.gate.pack();
        let judges_by = [
            ("dialgate-version", env!("CARGO_PKG_VERSION")),
            ("dialgate-pack", &pack.version().sha256),
            ("dialgate-zone-data", &pack.version().zone_data),
        ];
        for (name, value) in judges_by {
            // All of them are plain ASCII.
            if let Ok(value) = MetadataValue::<Ascii>::try_from(value) {
                answer.metadata_mut().insert(name, value);
            }
        }
        answer
    }
}

#[tonic::async_trait]
impl Health for Told {
    type WatchStream = <HealthService as Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(self.tell(self.standard.check(request).await?))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(self.tell(self.standard.watch(request).await?))
    }
}

/// The service, after a first look at the store, and a task behind it that looks on until the server goes down.
pub(super) async fn service(gate: Gate, closing: CancellationToken) -> HealthServer<Told> {
    let reporter = HealthReporter::new();
    let service = HealthServer::new(Told {
        standard: HealthService::from_health_reporter(reporter.clone()),
        gate: gate.clone(),
    });
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
