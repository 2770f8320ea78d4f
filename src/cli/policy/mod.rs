//! `dialgate policy`: the rules that decide. Trying and comparing packs works on this machine alone; what is in force is
//! asked of, and changed at, a running server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::client::Remote;

pub mod activate;
pub mod eval;
pub mod local;
pub mod rules;
pub mod stops;

/// What to do with the rules
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Judge cases on this machine, one JSON object a line, and print a decision for each
    Eval(eval::EvalArgs),
    /// Load a folder of rules on this machine, tell everything that is wrong with it, and try its test vectors
    Test(local::TestArgs),
    /// Tell on this machine what differs between two packs: rules added, removed, and changed key by key
    Diff(local::DiffArgs),
    /// List the rules in force
    List(rules::ListArgs),
    /// Show one rule with everything that its file says of it
    Show(rules::ShowArgs),
    /// Bring a pack into force on every node
    Activate(activate::ActivateArgs),
    /// List what was in force when, and who brought it into force
    History(activate::HistoryArgs),
    /// Stop a region until an instant: every call into it is denied
    #[command(subcommand)]
    Stop(stops::StopCommand),
    /// Close a day that no calendar knows: a proclamation, a local feast
    #[command(subcommand)]
    ClosedDay(stops::ClosedDayCommand),
    /// Switch a rule of certainty `recall` off; decisions go on to show it, as disabled
    Disable(rules::SwitchArgs),
    /// Switch a rule on again
    Enable(rules::SwitchArgs),
}

impl PolicyCommand {
    /// How this command reaches the server; none for those that need none.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Eval(_) | Self::Test(_) | Self::Diff(_) => None,
            Self::List(args) => Some(&args.remote),
            Self::Show(args) => Some(&args.remote),
            Self::Activate(args) => Some(&args.remote),
            Self::History(args) => Some(&args.remote),
            Self::Stop(command) => Some(command.remote()),
            Self::ClosedDay(command) => Some(command.remote()),
            Self::Disable(args) | Self::Enable(args) => Some(&args.remote),
        }
    }
}

/// Runs one of them.
pub async fn run(command: PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Eval(args) => return eval::run(&args),
        PolicyCommand::Test(args) => return local::test(&args),
        PolicyCommand::Diff(args) => return local::diff(&args),
        PolicyCommand::List(args) => rules::list(args).await,
        PolicyCommand::Show(args) => rules::show(args).await,
        PolicyCommand::Activate(args) => return activate::activate(args).await,
        PolicyCommand::History(args) => activate::history(args).await,
        PolicyCommand::Stop(command) => stops::stop(command).await,
        PolicyCommand::ClosedDay(command) => stops::closed_day(command).await,
        PolicyCommand::Disable(args) => rules::disable(args).await,
        PolicyCommand::Enable(args) => rules::enable(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}
