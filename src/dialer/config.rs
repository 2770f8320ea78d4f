//! Settings of the worker and of its trunks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::sip::{Secret, Trunk};

/// Settings of the worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DialerConfig {
    /// Name of this node in logs and in the store.
    pub node: String,
    /// On a normal stop: how long calls may go on before they are ended, in seconds.
    pub drain_seconds: u64,
}

impl Default for DialerConfig {
    fn default() -> Self {
        Self {
            node: "node".to_owned(),
            drain_seconds: 30,
        }
    }
}

/// One trunk: where its calls go, how it knows us, and how fast it may be used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// Address and port of the carrier.
    pub target: SocketAddr,
    /// Host part of the URIs; absent = the target's address.
    #[serde(default)]
    pub domain: Option<String>,
    /// Digest user name.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the digest password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whether the trunk's MD5 challenges may be answered; SHA-256 always may.
    #[serde(default = "yes")]
    pub allow_md5: bool,
    /// How long a phone may ring, in seconds; at least 15.
    #[serde(default = "ring_timeout_seconds")]
    pub ring_timeout_seconds: u64,
    /// How long the trunk may stay silent after an INVITE, in milliseconds.
    #[serde(default = "first_response_timeout_ms")]
    pub first_response_timeout_ms: u64,
    /// Registered caller name, if it is to be shown.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Texts in a 603's Reason header that tell of blocking by analytics (603+); absent = those known so far.
    #[serde(default)]
    pub blocking_texts: Option<Vec<String>>,
    /// This carrier's own translation of Q.850 causes into status codes, where it differs from RFC 3398.
    #[serde(default)]
    pub cause_codes: BTreeMap<String, u16>,
    /// New calls a second.
    #[serde(default = "calls_per_second")]
    pub calls_per_second: NonZeroU32,
    /// Calls that may start at once after a pause.
    #[serde(default = "burst")]
    pub burst: NonZeroU32,
    /// Calls at a time.
    #[serde(default = "channels")]
    pub channels: NonZeroU32,
    /// Calls that may wait for the trunk; further ones are refused with the advice to come again.
    #[serde(default = "queue_max")]
    pub queue_max: NonZeroU32,
}

fn yes() -> bool {
    true
}

fn ring_timeout_seconds() -> u64 {
    45
}

fn first_response_timeout_ms() -> u64 {
    4_000
}

fn calls_per_second() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn burst() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn channels() -> NonZeroU32 {
    NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN)
}

fn queue_max() -> NonZeroU32 {
    NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MIN)
}

impl TrunkConfig {
    /// A trunk to this address with the defaults.
    #[must_use]
    pub fn towards(target: SocketAddr) -> Self {
        Self {
            target,
            domain: None,
            username: None,
            password_file: None,
            allow_md5: yes(),
            ring_timeout_seconds: ring_timeout_seconds(),
            first_response_timeout_ms: first_response_timeout_ms(),
            display_name: None,
            blocking_texts: None,
            cause_codes: BTreeMap::new(),
            calls_per_second: calls_per_second(),
            burst: burst(),
            channels: channels(),
            queue_max: queue_max(),
        }
    }

    /// The trunk as `sip` takes it; or everything that is wrong with the section, naming the key.
    pub fn trunk(&self, name: &str) -> Result<Arc<Trunk>, Vec<String>> {
        let mut problems = Vec::new();
        let password = self.password().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if self.username.is_some() != self.password_file.is_some() {
            problems.push("username and password_file: set both or neither".to_owned());
        }
        let domain = self
            .domain
            .clone()
            .unwrap_or_else(|| self.target.ip().to_string());
        let mut trunk = Trunk::new(name, self.target, &domain);
        trunk.username.clone_from(&self.username);
        trunk.password = password;
        trunk.allow_md5 = self.allow_md5;
        trunk.ring_timeout = Duration::from_secs(self.ring_timeout_seconds);
        trunk.first_response_timeout = Duration::from_millis(self.first_response_timeout_ms);
        trunk.display_name.clone_from(&self.display_name);
        if let Some(texts) = &self.blocking_texts {
            trunk.blocking_texts = texts.iter().map(|text| text.to_lowercase()).collect();
        }
        for (cause, code) in &self.cause_codes {
            match cause.parse() {
                Ok(cause) => drop(trunk.cause_codes.insert(cause, *code)),
                Err(_) => problems.push(format!("cause_codes: `{cause}` is not a Q.850 cause")),
            }
        }
        problems.extend(trunk.problems());
        if problems.is_empty() {
            Ok(Arc::new(trunk))
        } else {
            Err(problems)
        }
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("password_file: cannot read `{}`: {error}", path.display()))?;
        refuse_loose_mode(path)?;
        Ok(Some(Secret::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        )))
    }
}

#[cfg(unix)]
fn refuse_loose_mode(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| format!("password_file: cannot read `{shown}`: {error}"))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "password_file: `{shown}` may be read by others (mode {:04o}): run `chmod 600 {shown}`",
        mode & 0o7777
    ))
}

#[cfg(not(unix))]
fn refuse_loose_mode(_path: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunk.password");
        std::fs::write(&path, "correct horse").unwrap();
        let config = TrunkConfig {
            username: Some("dialgate".to_owned()),
            password_file: Some(path.clone()),
            ..TrunkConfig::towards("127.0.0.1:5060".parse().unwrap())
        };
        for (mode, usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = config.trunk("carrier").map(drop);
            assert_eq!(told.is_ok(), usable, "{mode:o}: {told:?}");
            if let Err(problems) = told {
                let command = format!("chmod 600 {}", path.display());
                assert!(problems[0].contains(&command), "{problems:?}");
            }
        }
    }
}
