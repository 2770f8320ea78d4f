//! `dialgate completions` and `dialgate man`: what a shell and `man` want to know of the commands, made from the same
//! description as the help.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate completions bash > /etc/bash_completion.d/dialgate\n  \
                  dialgate completions zsh > ~/.zfunc/_dialgate"
)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate man /usr/local/share/man/man1 && man dialgate-optout-add"
)]
pub struct ManArgs {
    /// Folder for the pages, one for each command; made if it is not there
    pub folder: PathBuf,
}

/// Prints the completions.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dialgate", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages.
pub fn man(args: &ManArgs) -> Result<ExitCode> {
    let write = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write(&args.folder).with_context(|| format!("cannot write `{}`", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
