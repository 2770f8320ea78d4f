//! `dialgate policy`: the law as this machine knows it, without a server.

mod case;
mod eval;
mod explain;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::policy::Pack;

/// Look into the rules and judge cases on this machine.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Judge cases, one JSON object a line, and print a decision for each
    Eval(eval::EvalArgs),
    /// Judge one case and show what every rule says and why
    Explain(explain::ExplainArgs),
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

/// Runs the command; every line of input has been answered by then.
pub fn run(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Eval(args) => eval::run(&args),
        PolicyCommand::Explain(args) => explain::run(&args),
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
