//! The server: its socket, its layers and services, and how it goes down.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Identity as Certificate, ServerTlsConfig};
use tower::layer::util::{Identity, Stack};

use crate::clock::Clock;
use crate::gate::Gate;

use super::auth::GuardLayer;
use super::changes::Changes;
use super::config::{GrpcConfig, TlsConfig};
use super::imports::IMPORTS_MAX;
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::call_service_server::CallServiceServer;
use super::pb::consent_service_server::ConsentServiceServer;
use super::pb::contact_service_server::ContactServiceServer;
use super::pb::policy_service_server::PolicyServiceServer;
use super::pb::register_service_server::RegisterServiceServer;
use super::pb::suppression_service_server::SuppressionServiceServer;
use super::pb::trunk_service_server::TrunkServiceServer;
use super::pb::webhook_service_server::WebhookServiceServer;
use super::scrub::SCRUBS_MAX;
use super::{Api, CheckOffer, Trunks, health, pb};

/// How long open requests may take after the word to go down. An opt-out's barrier takes two seconds.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The section of the configuration cannot be used.
    #[error("[grpc] {0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("[grpc] listen: cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A file of the certificate cannot be read.
    #[error("[grpc.tls] cannot read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Certificate, key or the transport itself.
    #[error("gRPC server: {}", chain(.0))]
    Transport(#[from] tonic::transport::Error),
    /// The contract cannot be offered by reflection.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// A running server; dropped, it goes down without waiting.
pub struct Server {
    address: SocketAddr,
    closing: DropGuard,
    task: JoinHandle<()>,
}

/// Takes the socket, reads the certificate and starts to serve.
pub async fn serve(
    config: &GrpcConfig,
    gate: Gate,
    (check_offer, trunks): (CheckOffer, Trunks),
    clock: Clock,
) -> Result<Server, ServeError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(ServeError::Config(problems.join("; ")));
    }
    let identity = match &config.tls {
        Some(tls) => Some(identity(tls).await?),
        None => None,
    };
    let refused = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let closing = CancellationToken::new();
    let api = Api {
        gate,
        clock,
        check_offer,
        trunks,
        closing: closing.clone(),
        changes: Changes::new(),
        scrubs: Arc::new(Semaphore::new(SCRUBS_MAX)),
        watches: Arc::new(Semaphore::new(
            config.watches_max.min(Semaphore::MAX_PERMITS),
        )),
        imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
    };
    let router = router(config, identity, api).await?;
    let task = tokio::spawn(run(router, listener, closing.clone()));
    Ok(Server {
        address,
        closing: closing.drop_guard(),
        task,
    })
}

impl Server {
    /// The address that was taken, with its port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends the streams, lets open requests finish for some seconds, and closes the door.
    pub async fn stop(self) {
        drop(self.closing);
        if self.task.await.is_err() {
            tracing::error!("the gRPC server ended early");
        }
    }
}

async fn run(router: Guarded, listener: TcpListener, closing: CancellationToken) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, closing.cancelled());
    let drained = async {
        closing.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(error = chain(&error), "the gRPC server failed");
            }
        }
        () = drained => tracing::info!("closed gRPC connections that were still open"),
    }
}

type Guarded = Router<Stack<GuardLayer, Identity>>;

async fn router(
    config: &GrpcConfig,
    identity: Option<Certificate>,
    api: Api,
) -> Result<Guarded, ServeError> {
    let seconds = Duration::from_secs;
    let mut server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(seconds(config.keepalive_interval_seconds)))
        .http2_keepalive_timeout(Some(seconds(config.keepalive_timeout_seconds)))
        .max_concurrent_streams(Some(config.requests_per_connection_max))
        .layer(GuardLayer::new(api.gate.store().clone(), api.clock.clone()));
    if let Some(identity) = identity {
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let (v1, v1alpha) = if config.reflection {
        (
            Some(reflection().build_v1()?),
            Some(reflection().build_v1alpha()?),
        )
    } else {
        (None, None)
    };
    let health = health::service(api.gate.clone(), api.closing.clone()).await;
    let bytes = config.max_message_bytes;
    Ok(server
        .add_service(health)
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(CallServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(ConsentServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(SuppressionServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(ContactServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(PolicyServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(RegisterServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(TrunkServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(WebhookServiceServer::new(api.clone()).max_decoding_message_size(bytes))
        .add_service(AuditServiceServer::new(api).max_decoding_message_size(bytes)))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn identity(tls: &TlsConfig) -> Result<Certificate, ServeError> {
    let cert = read(&tls.cert_file).await?;
    let key = zeroize::Zeroizing::new(read(&tls.key_file).await?);
    Ok(Certificate::from_pem(cert, key.as_slice()))
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| ServeError::File {
            path: path.to_owned(),
            source,
        })
}
