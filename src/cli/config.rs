//! `dialgate config check`: everything that is wrong with a configuration, at once, without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::clock::Clock;
use crate::config::{Config, ConfigProblems};

/// What to do with a configuration
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Tell everything that is wrong with a configuration file
    Check(CheckArgs),
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dialgate config check /etc/dialgate/dialgate.toml")]
pub struct CheckArgs {
    /// The configuration file
    #[arg(env = "DIALGATE_CONFIG", default_value = "dialgate.toml")]
    pub file: PathBuf,
}

/// Checks the file with everything that it names; `serve` begins with the same.
pub fn run(command: ConfigCommand) -> Result<ExitCode> {
    let ConfigCommand::Check(CheckArgs { file }) = command;
    let config = Config::load(&file)?;
    let over = config.certificate_problems(Clock::Real.read().wall);
    if !over.is_empty() {
        return Err(ConfigProblems(over).into());
    }
    println!(
        "{}: {} campaigns on {} trunks; nothing is wrong with it",
        file.display(),
        config.campaigns.len(),
        config.lanes.len()
    );
    Ok(ExitCode::SUCCESS)
}
