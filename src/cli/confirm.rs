//! Questions before something large.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Result, bail};

use super::failure::Usage;

/// Asks on the terminal, unless it was answered beforehand. Nobody at a terminal is no answer: a script has to say yes.
pub fn confirm(question: &str, yes: bool) -> Result<bool> {
    must_be_answerable(question, yes)?;
    if yes { Ok(true) } else { ask(question) }
}

/// Whether somebody could answer, or has answered beforehand; for what takes long before it comes to the question.
pub fn must_be_answerable(question: &str, yes: bool) -> Result<()> {
    if !yes && !std::io::stdin().is_terminal() {
        bail!(Usage(format!(
            "{question} Nobody is there to answer; add --yes if so"
        )));
    }
    Ok(())
}

/// Asks while Ctrl-C is waited for; after it, and for anything but yes, the answer is no.
pub async fn ask_or_stop(question: String) -> Result<bool> {
    let (tell, answer) = tokio::sync::oneshot::channel();
    // A thread of nobody's: whoever stops waits for no line to be typed.
    std::thread::spawn(move || tell.send(ask(&question)));
    tokio::select! {
        answer = answer => answer.unwrap_or(Ok(false)),
        _ = tokio::signal::ctrl_c() => {
            eprintln!();
            Ok(false)
        }
    }
}

/// Asks on the terminal; anything but yes is no.
pub fn ask(question: &str) -> Result<bool> {
    // Let go before the answer is waited for: others have to be able to say that nobody waits any more.
    let mut err = std::io::stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Ends what would write over a file that is there, unless somebody said that it may.
pub fn must_not_write_over(path: &Path, force: bool) -> Result<()> {
    let is_there = path.symlink_metadata().is_ok_and(|there| there.is_file());
    if is_there && !force {
        bail!(Usage(format!(
            "`{}` is there already; name another file, or add --force to write over it",
            path.display()
        )));
    }
    Ok(())
}
