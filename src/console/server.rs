//! The console's server: its socket, its paths, and how it goes down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bounds::{self, Places};
use super::config::{ConsentSource, ConsoleConfig};
use super::listener::Bounded;
use super::refusal::Refusal;
use super::{consents, figures, health};
use crate::clock::Clock;
use crate::domain::time::Reading;
use crate::gate::Gate;
use crate::meter::NodeStanding;

/// Whether the process lives.
pub(super) const ALIVE: &str = "/healthz";
/// Whether the node serves.
const READY: &str = "/readyz";
/// What is counted.
const METRICS: &str = "/metrics";
/// Consents from forms.
pub(super) const CONSENTS: &str = "/v1/consents";

/// How long open requests may take after the word to go down.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_secs(20);

/// Why the console cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The section of the configuration cannot be used.
    #[error("[console] {0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("[console] listen: cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// What every request works with.
pub(super) struct Desk {
    pub gate: Gate,
    pub node: Node,
    pub clock: Clock,
    pub sources: Vec<ConsentSource>,
    pub places: Places,
    pub request_timeout: Duration,
    pub body_bytes_max: usize,
}

/// A running console; dropped, it goes down without waiting.
pub struct Console {
    address: SocketAddr,
    closing: DropGuard,
    task: JoinHandle<()>,
}

/// Tells what the node knows of itself.
pub type Node = Arc<dyn Fn(Reading) -> NodeStanding + Send + Sync>;

/// Takes the socket and starts to serve.
pub async fn serve(
    config: &ConsoleConfig,
    gate: Gate,
    node: Node,
    clock: Clock,
) -> Result<Console, ConsoleError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(ConsoleError::Config(problems.join("; ")));
    }
    let refused = |source| ConsoleError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let request_timeout = Duration::from_secs(config.request_timeout_seconds);
    let desk = Arc::new(Desk {
        gate,
        node,
        clock,
        sources: config.sources.clone(),
        places: Places::new(config.requests_max),
        request_timeout,
        body_bytes_max: config.body_bytes_max,
    });
    let listener = Bounded::new(listener, config.connections_max, request_timeout + IDLE);
    let closing = CancellationToken::new();
    figures::begin(closing.clone());
    let task = tokio::spawn(run(listener, router(desk), closing.clone()));
    Ok(Console {
        address,
        closing: closing.drop_guard(),
        task,
    })
}

impl Console {
    /// The address that was taken, with its port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Lets open requests finish for some seconds, and closes the door.
    pub async fn stop(self) {
        drop(self.closing);
        if self.task.await.is_err() {
            tracing::error!("the console ended early");
        }
    }
}

async fn run(listener: Bounded, router: Router, closing: CancellationToken) {
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(closing.clone().cancelled_owned());
    let drained = async {
        closing.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(%error, "the console failed");
            }
        }
        () = drained => tracing::info!("closed connections of the console that were still open"),
    }
}

fn router(desk: Arc<Desk>) -> Router {
    let only_get = || async { Refusal::unknown_method("GET") };
    let only_post = || async { Refusal::unknown_method("POST") };
    Router::new()
        .route(ALIVE, get(health::alive).fallback(only_get))
        .route(READY, get(health::ready).fallback(only_get))
        .route(METRICS, get(figures::page).fallback(only_get))
        .route(CONSENTS, post(consents::take).fallback(only_post))
        .fallback(|| async { Refusal::unknown_path() })
        .layer(DefaultBodyLimit::max(desk.body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(&desk), bounds::bounded))
        .with_state(desk)
}
