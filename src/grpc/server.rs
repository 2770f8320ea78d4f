//! The server: its socket, its layers and services, and how it goes down.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Identity, ServerTlsConfig};

use crate::gate::Gate;

use super::auth::GuardLayer;
use super::config::{GrpcConfig, TlsConfig};
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::call_service_server::CallServiceServer;
use super::pb::consent_service_server::ConsentServiceServer;
use super::pb::contact_service_server::ContactServiceServer;
use super::pb::suppression_service_server::SuppressionServiceServer;
use super::{Api, health, pb};

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

/// A server that has its socket and serves nobody yet.
pub struct Server {
    config: GrpcConfig,
    listener: TcpListener,
    address: SocketAddr,
    identity: Option<Identity>,
}

impl Server {
    /// Takes the socket and reads the certificate, so that what is wrong with them is known before anything starts.
    pub async fn bind(config: GrpcConfig) -> Result<Self, ServeError> {
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
        Ok(Self {
            config,
            listener,
            address,
            identity,
        })
    }

    /// The address that was taken, with its port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to go down, then ends the streams and lets open requests finish for some seconds.
    pub async fn serve(self, gate: Gate, shutdown: CancellationToken) -> Result<(), ServeError> {
        let router = self.router(gate, shutdown.clone())?;
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        tracing::info!(
            grpc.address = %self.address,
            grpc.tls = self.config.tls.is_some(),
            "serving gRPC on {}",
            self.address
        );
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let serving = router.serve_with_incoming_shutdown(incoming, shutdown.cancelled());
        tokio::select! {
            result = serving => result?,
            () = drained => tracing::warn!("gRPC connections were still open after the time to finish; closed them"),
        }
        Ok(())
    }

    fn router(
        &self,
        gate: Gate,
        closing: CancellationToken,
    ) -> Result<
        Router<tower::layer::util::Stack<GuardLayer, tower::layer::util::Identity>>,
        ServeError,
    > {
        let config = &self.config;
        let seconds = Duration::from_secs;
        let mut server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(seconds(config.keepalive_interval_seconds)))
            .http2_keepalive_timeout(Some(seconds(config.keepalive_timeout_seconds)))
            .max_concurrent_streams(Some(config.requests_per_connection_max))
            .layer(GuardLayer::new(gate.clone()));
        if let Some(identity) = &self.identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity.clone()))?;
        }
        let (v1, v1alpha) = if config.reflection {
            (
                Some(reflection().build_v1()?),
                Some(reflection().build_v1alpha()?),
            )
        } else {
            (None, None)
        };
        let bytes = config.max_message_bytes;
        let api = Api {
            gate: gate.clone(),
            closing: closing.clone(),
            watches: Arc::new(Semaphore::new(
                config.watches_max.min(Semaphore::MAX_PERMITS),
            )),
        };
        Ok(server
            .add_service(health::service(gate, closing))
            .add_optional_service(v1)
            .add_optional_service(v1alpha)
            .add_service(CallServiceServer::new(api.clone()).max_decoding_message_size(bytes))
            .add_service(ConsentServiceServer::new(api.clone()).max_decoding_message_size(bytes))
            .add_service(
                SuppressionServiceServer::new(api.clone()).max_decoding_message_size(bytes),
            )
            .add_service(ContactServiceServer::new(api.clone()).max_decoding_message_size(bytes))
            .add_service(AuditServiceServer::new(api).max_decoding_message_size(bytes)))
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn identity(tls: &TlsConfig) -> Result<Identity, ServeError> {
    let cert = read(&tls.cert_file).await?;
    let key = zeroize::Zeroizing::new(read(&tls.key_file).await?);
    Ok(Identity::from_pem(cert, key.as_slice()))
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| ServeError::File {
            path: path.to_owned(),
            source,
        })
}
