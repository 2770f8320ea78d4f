//! `dialgate registry`: the lists of national and state registers. A list is made into a snapshot here, on the machine of who
//! loads it, and checked by the server before it decides; see the module `registry` for what a snapshot is.

mod diff;
mod import;
mod list;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::client::Remote;

/// The subcommands of `registry`.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Load a register's list as its owner ships it; it decides once everything about it was checked
    Import(import::ImportArgs),
    /// List the registers that rules ask, with what is loaded of each and how old it is
    List(list::ListArgs),
    /// Show what came and went between two snapshots of a register
    Diff(diff::DiffArgs),
}

impl RegistryCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Import(args) => &args.remote,
            Self::List(args) => &args.remote,
            Self::Diff(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: RegistryCommand) -> Result<ExitCode> {
    match command {
        RegistryCommand::Import(args) => import::run(args).await,
        RegistryCommand::List(args) => list::run(args).await,
        RegistryCommand::Diff(args) => diff::run(args).await,
    }
}
