//! `dialgate serve`: runs a node until SIGTERM or Ctrl-C; reads its trunks anew on SIGHUP.

use std::path::{Path, PathBuf};
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
                  What is ended then is waited for until the far end has answered, with the defaults for 40 s at most.\n\
                  On SIGHUP the [trunk] and [anchor] sections and the [[pace]] rows are read anew; no call is dropped."
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
    warn_of_certificates(&config);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let node = Node::start(config, Clock::Real).await?;
    tracing::info!(grpc = %node.grpc_addr(), sip = %node.sip_addr(), version = env!("CARGO_PKG_VERSION"), "serving");
    if let Some(console) = node.console_addr() {
        tracing::info!(%console, "health, metrics and forms are served over HTTP");
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&node, &args.config),
        }
    }
    tracing::info!("stopping: no call is begun any more");
    node.stop().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Whoever reads the log at a start or a reload can renew them in time.
fn warn_of_certificates(config: &Config) {
    let now = Clock::Real.read().wall;
    for problem in config.certificate_problems(now) {
        tracing::warn!("{problem}: until it is renewed calls of this trunk fail");
    }
    for problem in config.certificates_ending(now) {
        tracing::warn!("{problem}: renew it in time, after that calls of this trunk fail");
    }
}

/// Reads the trunks anew. A file that cannot be used changes nothing.
fn reload(node: &Node, path: &Path) {
    let taken = Config::load(path)
        .map_err(anyhow::Error::from)
        .and_then(|config| {
            warn_of_certificates(&config);
            node.take_trunks(config)
        });
    match taken {
        Ok(()) => {
            tracing::info!(
                "the trunks, paces and agents of the configuration are in force; its other sections wait for a restart"
            );
        }
        Err(error) => tracing::error!("the trunks stay as they were: {error:#}"),
    }
}
