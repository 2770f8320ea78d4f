//! `dialgate webhook`: who is told of changes of opt-outs, how far each is, and bringing back one that was given up.

mod list;
mod resume;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::client::Remote;

/// The subcommands of `webhook`.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List the webhooks with how far each is, what it has still to deliver, and what went wrong last
    List(list::ListArgs),
    /// Bring back a webhook that was given up: it goes on where it stood
    Resume(resume::ResumeArgs),
}

impl WebhookCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::List(args) => &args.remote,
            Self::Resume(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: WebhookCommand) -> Result<ExitCode> {
    match command {
        WebhookCommand::List(args) => list::run(args).await?,
        WebhookCommand::Resume(args) => resume::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
