//! The agents of the configuration, whose phones are called first, and those of them who have answered and wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::config::TrunkConfig;
use super::desk::Seated;
use crate::sip::{Desk, DeskUri, Destination, Endpoint, Transport, Trunk, ordered};

/// An agent who is to wait for longer than this is better called later.
const WAIT_SECONDS_MAX: u64 = 300;
/// Nobody's phone rings for longer.
const RING_SECONDS_MAX: u64 = 300;
/// A name server that takes longer is as good as none while somebody waits.
const FIND_WITHIN: Duration = Duration::from_secs(5);

/// One agent: where their phone is, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Address of the phone: `sip:user@host[:port][;transport=tcp]`. No telephone number.
    pub uri: String,
    /// The proxy that knows where the phone is: `[udp:|tcp:|tls:]host[:port]`; absent = the host of `uri`.
    #[serde(default)]
    pub target: Option<Destination>,
    /// Whether the phone takes an INVITE without a session and offers its own; else it is offered one on hold.
    #[serde(default = "yes")]
    pub offerless: bool,
    /// How long it may ring, in seconds.
    #[serde(default = "ring_timeout_seconds")]
    pub ring_timeout_seconds: u64,
    /// How long it may stay silent after an INVITE, in milliseconds.
    #[serde(default = "first_response_timeout_ms")]
    pub first_response_timeout_ms: u64,
    /// How long an agent who has answered waits for a trunk with a free channel and its turn, in seconds.
    #[serde(default = "wait_seconds")]
    pub wait_seconds: u64,
    /// Digest user name.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the digest password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whether MD5 challenges may be answered; SHA-256 always may.
    #[serde(default = "yes")]
    pub allow_md5: bool,
    /// TLS: file with the certificates that vouch for the proxy's; absent = those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// TLS: our own certificate, if the proxy asks for one.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// TLS: its private key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn ring_timeout_seconds() -> u64 {
    20
}

fn first_response_timeout_ms() -> u64 {
    4_000
}

fn wait_seconds() -> u64 {
    30
}

/// An agent whose phone can be called.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Name in the configuration, and in `PlaceCall`.
    pub name: String,
    desk: Desk,
    destination: Destination,
    /// How long they wait once they have answered.
    pub(super) wait: Duration,
    /// The host of the phone's address, as it stands there.
    home: Destination,
}

impl AgentConfig {
    /// An agent at this address with the defaults.
    #[must_use]
    pub fn at(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            target: None,
            offerless: yes(),
            ring_timeout_seconds: ring_timeout_seconds(),
            first_response_timeout_ms: first_response_timeout_ms(),
            wait_seconds: wait_seconds(),
            username: None,
            password_file: None,
            allow_md5: yes(),
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }

    /// The agent; or everything that is wrong with the section, naming the key.
    pub fn agent(&self, name: &str) -> Result<Agent, Vec<String>> {
        let mut problems = Vec::new();
        for (key, value, most) in [
            (
                "ring_timeout_seconds",
                self.ring_timeout_seconds,
                RING_SECONDS_MAX,
            ),
            ("wait_seconds", self.wait_seconds, WAIT_SECONDS_MAX),
        ] {
            if !(1..=most).contains(&value) {
                problems.push(format!("{key}: set 1 to {most}"));
            }
        }
        let uri = self.uri.parse::<DeskUri>();
        let uri = uri.map_err(|problem| problems.push(format!("uri: {problem}")));
        let Ok(uri) = uri else {
            return Err(problems);
        };
        let target = self.target.clone().unwrap_or_else(|| uri.host().clone());
        // A phone is reached as a carrier is: the same checks, and the same words for what is wrong.
        let way = TrunkConfig {
            domain: Some(target.host.to_string()),
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            allow_md5: self.allow_md5,
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            first_response_timeout_ms: self.first_response_timeout_ms,
            ..TrunkConfig::towards(target.clone())
        };
        let trunk = way.trunk(name).map(|routes| routes.trunk);
        let trunk = trunk.map_err(|more| problems.extend(more));
        match trunk {
            Ok(trunk) if problems.is_empty() => {
                let trunk = Trunk {
                    ring_timeout: Duration::from_secs(self.ring_timeout_seconds),
                    ..Trunk::clone(&trunk)
                };
                Ok(Agent {
                    name: name.to_owned(),
                    home: uri.host().clone(),
                    desk: Desk::new(uri, Arc::new(trunk), self.offerless),
                    destination: target,
                    wait: Duration::from_secs(self.wait_seconds),
                })
            }
            _ => Err(problems),
        }
    }
}

impl Agent {
    /// The account, or the extension, by which their phone is known.
    #[must_use]
    pub fn user(&self) -> &str {
        self.desk.user()
    }

    /// Why the way to this agent might be one around the gate, by this trunk: what it reaches dials numbers.
    #[must_use]
    pub fn problem_by(&self, trunk: &str, config: &TrunkConfig) -> Option<String> {
        let ways = [("uri", &self.home), ("target", &self.destination)];
        let (key, way) = ways.into_iter().find(|(_, way)| config.leads_to(way))?;
        Some(format!(
            "{key}: `{way}` is where the trunk `{trunk}` leads to: who is called there is not asked about at the gate, so agents have \
             to be reached by another port or host"
        ))
    }

    /// What is wrong with the agent on a node that listens for SIP there.
    #[must_use]
    pub fn problem_at(&self, listen: SocketAddr) -> Option<String> {
        let target = self.destination.numeric()?;
        let is_ours = target.addr.port() == listen.port()
            && target.addr.ip().to_canonical() == listen.ip().to_canonical()
            && target.transport != Transport::Tls;
        let way = &self.destination;
        is_ours.then(|| format!("target: `{way}` is our own, see `[sip] listen`"))
    }

    /// Where their phone is now; none where nobody knows.
    pub(super) async fn found(&self, endpoint: &Endpoint, seed: u64) -> Option<Desk> {
        if self.destination.numeric().is_some() {
            return Some(self.desk.clone());
        }
        let finding = endpoint.find(&self.destination, self.desk.has_tls());
        let found = tokio::time::timeout(FIND_WITHIN, finding).await;
        let answers = found.ok()?.ok()?.answers;
        let target = ordered(&answers, seed).first().copied()?;
        Some(self.desk.at(target))
    }
}

/// The agents of this process.
#[derive(Default)]
pub(super) struct Agents {
    all: Mutex<BTreeMap<String, Arc<Agent>>>,
    /// Those who have answered, with their calls, on their way to the lanes.
    seated: Mutex<Vec<Seated>>,
}

impl Agents {
    /// Calls these from now on; who is on the phone stays there.
    pub(super) fn take(&self, agents: &[Agent]) {
        let named = |agent: &Agent| (agent.name.clone(), Arc::new(agent.clone()));
        *whole(&self.all) = agents.iter().map(named).collect();
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Agent>> {
        whole(&self.all).get(name).cloned()
    }

    pub(super) fn seat(&self, seated: Seated) {
        whole(&self.seated).push(seated);
    }

    /// Those who have answered since this was last asked. There are no more than agents.
    pub(super) fn seated(&self) -> Vec<Seated> {
        std::mem::take(&mut *whole(&self.seated))
    }
}

/// Whole after a panic: each change is one replacement or addition.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Their names, for the gate.
#[must_use]
pub fn agent_names(agents: &[Agent]) -> BTreeSet<String> {
    agents.iter().map(|agent| agent.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &AgentConfig) -> Vec<String> {
        let problems = config.agent("anna").err().unwrap_or_default();
        let key = |problem: &String| problem.split(':').next().unwrap().to_owned();
        problems.iter().map(key).collect()
    }

    #[test]
    fn agents_that_cannot_be_called_are_named() {
        let good = AgentConfig::at("sip:anna@192.0.2.20:5062");
        assert_eq!(keys(&good), [""; 0]);
        let uri = |uri: &str| AgentConfig {
            uri: uri.to_owned(),
            ..good.clone()
        };
        assert_eq!(keys(&uri("sip:+14045550141@192.0.2.20")), ["uri"]);
        assert_eq!(keys(&uri("sip:anna@224.0.0.1")), ["target"]);
        let wrong = AgentConfig {
            ring_timeout_seconds: 0,
            wait_seconds: 301,
            first_response_timeout_ms: 1,
            username: Some("anna".to_owned()),
            ..good
        };
        assert_eq!(
            keys(&wrong),
            [
                "ring_timeout_seconds",
                "wait_seconds",
                "username and password_file",
                "first_response_timeout_ms"
            ]
        );
    }

    #[test]
    fn the_way_to_an_agent_is_none_around_the_gate() {
        let trunk = TrunkConfig {
            fallback_targets: vec!["tcp:sip.carrier.example".parse().unwrap()],
            domain: Some("numbers.example".to_owned()),
            ..TrunkConfig::towards("192.0.2.1:5070".parse::<Destination>().unwrap())
        };
        let agent = |uri: &str, target: Option<&str>| {
            let config = AgentConfig {
                target: target.map(|target| target.parse().unwrap()),
                ..AgentConfig::at(uri)
            };
            config.agent("anna").unwrap().problem_by("carrier", &trunk)
        };
        for (uri, target, key) in [
            ("sip:anna@192.0.2.1:5070", None, "uri"),
            ("sip:anna@pbx.example", Some("tls:192.0.2.1:5070"), "target"),
            ("sip:anna@pbx.example", Some("192.0.2.1"), ""),
            (
                "sip:anna@pbx.example",
                Some("SIP.carrier.example:5090"),
                "target",
            ),
            ("sip:anna@192.0.2.1:5070", Some("192.0.2.2"), "uri"),
            ("sip:anna@numbers.example", Some("192.0.2.2"), "uri"),
            ("sip:anna@192.0.2.1:5071", None, ""),
            ("sip:anna@pbx.example", Some("192.0.2.2"), ""),
        ] {
            let problem = agent(uri, target).unwrap_or_default();
            assert!(
                problem.starts_with(key) && problem.is_empty() == key.is_empty(),
                "{uri} {target:?}: {problem}"
            );
        }
    }
}
