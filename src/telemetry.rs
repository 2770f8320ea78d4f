//! The tracing subscriber. Log lines go to standard error: standard output belongs to the answers of commands.
//!
//! `DIALGATE_LOG` chooses what is logged, in the words of tracing's filter (`debug`, `dialgate::sip=debug,info`). What
//! must never be in a log line, whatever its level: numbers, names, secrets, raw SIP messages.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. A service tells what it does; a single command speaks up only when something is wrong.
pub fn init(is_service: bool) {
    let default = if is_service { "info" } else { "warn" };
    let filter =
        EnvFilter::try_from_env("DIALGATE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    // Somebody else started one in this process, as tests do; theirs is as good.
    drop(started);
}
