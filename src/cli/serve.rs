//! `dialgate serve`: runs a node until SIGTERM or Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::node::Node;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry;

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate serve --config /etc/dialgate/dialgate.toml\n\n\
                  On SIGTERM or Ctrl-C no call is begun any more; those under way have [dialer] drain_seconds to end.\n\
                  What is ended then is waited for until the far end has answered, with the defaults for 40 s at most."
)]
pub struct ServeArgs {
    /// The configuration file; deploy/dialgate.example.toml lists every setting
    #[arg(long, env = "DIALGATE_CONFIG", default_value = "dialgate.toml")]
    pub config: PathBuf,
}

/// Serves.
pub async fn run(args: ServeArgs) -> Result<ExitCode> {
    let config = Config::load(&args.config)?;
    // What sqlx tells at `info` is PostgreSQL's notices about migrations.
    telemetry::start(&config.log, "info,sqlx=warn");
    for problem in config.certificate_problems(Clock::Real.read().wall) {
        tracing::warn!("{problem}: until it is renewed no call of this trunk is sent");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let node = Node::start(config, Clock::Real).await?;
    tracing::info!(grpc = %node.grpc_addr(), sip = %node.sip_addr(), version = env!("CARGO_PKG_VERSION"), "serving");
    if let Some(console) = node.console_addr() {
        tracing::info!(%console, "health, metrics and forms are served over HTTP");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no call is begun any more");
    node.stop().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
