//! Settings of the worker and of its trunks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::secret;
use crate::sip::{Secret, Trunk};

/// Each may stay silent for the whole of `first_response_timeout_ms`, while the agent waits.
const FALLBACK_TARGETS_MAX: usize = 7;

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
    /// Further targets, tried in this order when one fails before anything rang.
    #[serde(default)]
    pub fallback_targets: Vec<SocketAddr>,
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

/// Ten times what a node dials; far above it the time between two calls would be lost in rounding.
const CALLS_PER_SECOND_MAX: u32 = 10_000;

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
            fallback_targets: Vec::new(),
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
        for (key, per_second) in [
            ("calls_per_second", self.calls_per_second),
            ("burst", self.burst),
        ] {
            if per_second.get() > CALLS_PER_SECOND_MAX {
                problems.push(format!(
                    "{key}: is {per_second}, set 1 to {CALLS_PER_SECOND_MAX}; several nodes together reach more"
                ));
            }
        }
        problems.extend(self.target_problems());
        let mut trunk = Trunk::new(name, self.target, &self.domain_at(self.target));
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

    /// The trunk at each of its targets, in the order in which they are tried.
    pub(super) fn targets(&self, trunk: &Arc<Trunk>) -> Vec<Arc<Trunk>> {
        let at = |target: &SocketAddr| {
            Arc::new(Trunk {
                target: *target,
                domain: self.domain_at(*target),
                ..Trunk::clone(trunk)
            })
        };
        let further = self.fallback_targets.iter().map(at);
        std::iter::once(Arc::clone(trunk)).chain(further).collect()
    }

    fn domain_at(&self, target: SocketAddr) -> String {
        let domain = self.domain.clone();
        domain.unwrap_or_else(|| target.ip().to_string())
    }

    /// What is wrong with the section on a node that listens for SIP there, naming the key.
    #[must_use]
    pub fn problems_at(&self, listen: SocketAddr) -> Vec<String> {
        let ours = self.named_targets().filter(|(_, to)| *to == listen);
        ours.map(|(key, to)| format!("{key}: `{to}` is our own, see `[sip] listen`"))
            .collect()
    }

    fn named_targets(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let further = self.fallback_targets.iter();
        std::iter::once(("target", self.target))
            .chain(further.map(|target| ("fallback_targets", *target)))
    }

    fn target_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (key, target) in self.named_targets() {
            if !Trunk::may_be_sent_to(target) {
                problems.push(format!(
                    "{key}: nothing can be sent to `{target}`, write the address of one host and a port"
                ));
            } else if !seen.insert(target) {
                problems.push(format!(
                    "{key}: `{target}` is named twice, each target is tried once"
                ));
            } else if target.is_ipv4() != self.target.is_ipv4() {
                problems.push(format!(
                    "{key}: `{target}` is not of the family of `target`, and one socket sends to both"
                ));
            }
        }
        if self.fallback_targets.len() > FALLBACK_TARGETS_MAX {
            problems.push(format!(
                "fallback_targets: name at most {FALLBACK_TARGETS_MAX}"
            ));
        }
        problems
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = secret::read("password_file", path)?;
        Ok(Some(Secret::new(text.to_string())))
    }
}

#[cfg(test)]
mod target_tests {
    use super::*;

    fn trunk(target: &str, fallbacks: &[&str]) -> TrunkConfig {
        TrunkConfig {
            fallback_targets: fallbacks.iter().map(|each| each.parse().unwrap()).collect(),
            ..TrunkConfig::towards(target.parse().unwrap())
        }
    }

    #[test]
    fn targets_that_cannot_work_are_named() {
        let good = trunk("192.0.2.1:5060", &["192.0.2.2:5060", "192.0.2.1:5070"]);
        assert!(good.trunk("t").is_ok());
        for (config, key) in [
            (trunk("192.0.2.1:0", &[]), "target: "),
            (trunk("0.0.0.0:5060", &[]), "target: "),
            (trunk("224.0.0.1:5060", &[]), "target: "),
            (trunk("255.255.255.255:5060", &[]), "target: "),
            (trunk("[ff02::1]:5060", &[]), "target: "),
            (
                trunk("192.0.2.1:5060", &["224.0.0.1:5060"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.2:0"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.1:5060"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["[2001:db8::1]:5060"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.2:5060", "192.0.2.2:5060"]),
                "fallback_targets: ",
            ),
        ] {
            let problems = config.trunk("t").unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(key), "{problems:?}");
        }
    }

    #[test]
    fn a_further_target_has_its_own_address_and_all_else_of_the_trunk() {
        let mut config = trunk("192.0.2.1:5060", &["192.0.2.2:5070"]);
        let at = |config: &TrunkConfig| {
            let targets = config.targets(&config.trunk("t").unwrap());
            let named = targets
                .iter()
                .map(|trunk| (trunk.target.to_string(), trunk.domain.clone()));
            named.collect::<Vec<_>>()
        };
        let told = [
            ("192.0.2.1:5060", "192.0.2.1"),
            ("192.0.2.2:5070", "192.0.2.2"),
        ];
        assert_eq!(at(&config), told.map(|(a, b)| (a.to_owned(), b.to_owned())));
        config.domain = Some("carrier.example".to_owned());
        assert!(
            at(&config)
                .iter()
                .all(|(_, domain)| domain == "carrier.example")
        );
    }
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
