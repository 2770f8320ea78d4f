//! Log lines. The audit log is not here: it is data, in the store.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of the log, section `[log]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is shown, such as `info` or `dialgate::gate=debug,info`; the environment's `DIALGATE_LOG` wins.
    pub filter: Option<String>,
}

impl LogConfig {
    /// Everything that is wrong with the section, each problem with its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let wrong = |filter: &String| {
            let error = EnvFilter::builder().parse(filter).err()?;
            Some(format!(
                "filter: `{filter}` cannot be used ({error}); write it like `info,dialgate::gate=debug`"
            ))
        };
        self.filter.iter().filter_map(wrong).collect()
    }
}

/// Starts the log on standard error. A second start is ignored: the first one stands.
pub fn start(config: &LogConfig, default_filter: &str) {
    let wanted = std::env::var("DIALGATE_LOG")
        .ok()
        .or_else(|| config.filter.clone());
    let filter = EnvFilter::builder().parse_lossy(wanted.as_deref().unwrap_or(default_filter));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people who look at a terminal, not for files.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
