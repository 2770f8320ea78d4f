//! `dialgate policy`: the rules that decide. Judging cases, and trying and comparing packs, works on this machine alone;
//! what is in force is asked of, and changed at, a running server.

pub mod activate;
mod case;
pub mod eval;
pub mod explain;
pub mod local;
mod named;
pub mod replay;
pub mod rules;
pub mod stops;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::client::Remote;
use crate::policy::Pack;

/// What to do with the rules
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Judge cases on this machine, one JSON object a line, and print a decision for each
    Eval(eval::EvalArgs),
    /// Judge one case on this machine and show what every rule says and why
    Explain(explain::ExplainArgs),
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
    /// Tell what a pack would have said of the decisions on record: newly denied, newly allowed, by rule
    Replay(replay::ReplayArgs),
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
            Self::Eval(_) | Self::Explain(_) | Self::Test(_) | Self::Diff(_) => None,
            Self::List(args) => Some(&args.remote),
            Self::Show(args) => Some(&args.remote),
            Self::Activate(args) => Some(&args.remote),
            Self::Replay(args) => Some(&args.remote),
            Self::History(args) => Some(&args.remote),
            Self::Stop(command) => Some(command.remote()),
            Self::ClosedDay(command) => Some(command.remote()),
            Self::Disable(args) | Self::Enable(args) => Some(&args.remote),
        }
    }
}

/// Runs one of them; what is judged here has been answered line by line by then.
pub async fn run(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Eval(args) => return eval::run(&args),
        PolicyCommand::Explain(args) => return explain::run(&args),
        PolicyCommand::Test(args) => return local::test(&args),
        PolicyCommand::Diff(args) => return local::diff(&args),
        PolicyCommand::List(args) => rules::list(args).await,
        PolicyCommand::Show(args) => rules::show(args).await,
        PolicyCommand::Activate(args) => return activate::activate(args).await,
        PolicyCommand::Replay(args) => return replay::replay(args).await,
        PolicyCommand::History(args) => activate::history(args).await,
        PolicyCommand::Stop(command) => stops::stop(command).await,
        PolicyCommand::ClosedDay(command) => stops::closed_day(command).await,
        PolicyCommand::Disable(args) => rules::disable(args).await,
        PolicyCommand::Enable(args) => rules::enable(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Which rules judge.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// Folder with rules to use instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
}

impl RulesArgs {
    /// The pack; `None` when it has faults, which have been printed.
    fn load(&self) -> Option<Pack> {
        let pack = match &self.rules {
            Some(folder) => Pack::load(folder),
            None => Pack::embedded(),
        };
        // One line a fault, as a compiler would.
        pack.map_err(|problems| eprintln!("error: {problems}")).ok()
    }
}

/// A file of cases, or standard input where none is named or `-` is.
fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path)
                .with_context(|| format!("cannot open the cases `{}`", path.display()))?;
            Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
        }
        _ => Ok(Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            io::stdin(),
        ))),
    }
}

/// Enough lines at a time to keep all cores busy.
const BUFFER_BYTES: usize = 1024 * 1024;
