//! Questions before something large.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

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

/// Asks on the terminal; anything but yes is no.
pub fn ask(question: &str) -> Result<bool> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
