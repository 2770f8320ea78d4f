//! Settings of the worker and of its trunks.

mod built;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::agents::Agent;
use super::health::HealthConfig;
use super::registration::{Registrar, RegistrationConfig};
use crate::domain::phone::Phone;
use crate::domain::route::{Carrier, Prefix, Rate};
use crate::passport::{IdentityConfig, Voucher};
use crate::sip::{Credentials, Destination, Target, Transport, Trunk};

/// Each may stay silent for the whole of `first_response_timeout_ms`, while the agent waits.
const FALLBACK_TARGETS_MAX: usize = 7;

/// Who is away for longer does not come back to the same talk.
const UNWATCHED_SECONDS_MAX: u64 = 600;

/// What a name stands for until it is known: nothing.
const UNRESOLVED: Target = Target {
    transport: Transport::Udp,
    addr: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
};

/// Settings of the worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DialerConfig {
    /// Name of this node in logs and in the store.
    pub node: String,
    /// On a normal stop: how long calls may go on before they are ended, in seconds.
    pub drain_seconds: u64,
    /// A call is ended when whoever placed it has followed it and has not for so long, in seconds; 0 = it goes on.
    pub unwatched_seconds: u64,
    /// The rows `[[pace]]`.
    #[serde(skip)]
    pub paces: Vec<PaceConfig>,
    /// The sections `[agent.NAME]`.
    #[serde(skip)]
    pub agents: Vec<Agent>,
}

impl Default for DialerConfig {
    fn default() -> Self {
        Self {
            node: "node".to_owned(),
            drain_seconds: 30,
            unwatched_seconds: 5,
            paces: Vec::new(),
            agents: Vec::new(),
        }
    }
}

impl DialerConfig {
    /// What is wrong with the section, each line naming its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.unwatched_seconds > UNWATCHED_SECONDS_MAX {
            problems.push(format!(
                "unwatched_seconds: `{}` is more than {UNWATCHED_SECONDS_MAX}; set less, or 0 for calls to go on",
                self.unwatched_seconds
            ));
        }
        problems
    }

    /// How long a call may be followed by nobody.
    pub(super) fn grace(&self) -> Option<Duration> {
        (self.unwatched_seconds > 0).then(|| Duration::from_secs(self.unwatched_seconds))
    }
}

/// A trunk as `sip` takes it, at each of its destinations.
#[derive(Debug, Clone)]
pub struct TrunkRoutes {
    /// At the first.
    pub trunk: Arc<Trunk>,
    /// Who vouches for the numbers that its calls show, if anybody does.
    pub voucher: Option<Arc<Voucher>>,
    /// In the order in which they are tried.
    pub(super) routes: Vec<Route>,
    /// Where it is registered, if it has to be.
    pub(super) registrar: Option<Arc<Registrar>>,
    /// What the files said that its section names, right before they were read.
    pub(super) files: FilesDigest,
}

/// What files said, as a hash: two of them tell whether anything has changed, and nothing of what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FilesDigest([u8; 32]);

/// A trunk at one of its destinations; its target stands for nothing if that is a name.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) trunk: Arc<Trunk>,
    pub(super) destination: Destination,
}

/// One trunk: where its calls go, how it knows us, and how fast it may be used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// The carrier: `[udp:|tcp:|tls:]host[:port]`. A name stands for what RFC 3263 says.
    pub target: Destination,
    /// Further targets, tried in this order when one fails before anything rang.
    #[serde(default)]
    pub fallback_targets: Vec<Destination>,
    /// Whether an INVITE longer than 1,300 bytes goes by TCP to a target that is otherwise sent datagrams.
    #[serde(default)]
    pub large_over_tcp: bool,
    /// How often a connection is asked for a sign of life, in seconds; 0 = never.
    #[serde(default = "keep_alive_seconds")]
    pub keep_alive_seconds: u64,
    /// TLS: file with the certificates that vouch for the carrier's; absent = those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// TLS: our own certificate, if the carrier asks for one.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// TLS: its private key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Host part of the URIs; absent = the target's host.
    #[serde(default)]
    pub domain: Option<String>,
    /// Whether its targets are asked for a sign of life.
    #[serde(default)]
    pub health: HealthConfig,
    /// How it is registered, where its carrier wants that.
    #[serde(default)]
    pub registration: Option<RegistrationConfig>,
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
    /// How long a session may last without a refresh (RFC 4028), in seconds; 0 = proposed to nobody.
    #[serde(default = "session_expires_seconds")]
    pub session_expires_seconds: u64,
    /// The shortest such time that is taken from the carrier, in seconds; at least 90.
    #[serde(default = "session_min_seconds")]
    pub session_min_seconds: u64,
    /// Registered caller name, if it is to be shown.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Whether the carrier is told in P-Asserted-Identity who calls.
    #[serde(default)]
    pub trusted: bool,
    /// The number that it is told there, where that is not the one shown.
    #[serde(default)]
    pub asserted_number: Option<Phone>,
    /// Who signs for its calls; absent = we do not (the carrier may).
    #[serde(default)]
    pub identity: Option<IdentityConfig>,
    /// The media anchor between its calls and the clients, the name of a section `[anchor.NAME]`; absent = none, and descriptions of
    /// sessions pass byte for byte.
    #[serde(default)]
    pub anchor: Option<String>,
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
    /// Numbers that it may be sent to begin with one of these; none = all may.
    #[serde(default)]
    pub destinations: Vec<Prefix>,
    /// Numbers that it lets us show; none = all.
    #[serde(default)]
    pub caller_ids: Vec<Phone>,
}

/// A pace for the numbers that begin alike, whatever trunk or campaign calls them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaceConfig {
    /// How the numbers begin.
    pub prefix: Prefix,
    /// New calls a second.
    pub calls_per_second: NonZeroU32,
    /// Calls that may start at once after a pause.
    #[serde(default = "burst")]
    pub burst: NonZeroU32,
}

impl PaceConfig {
    /// The pace.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate {
            calls_per_second: self.calls_per_second,
            burst: self.burst,
        }
    }
}

fn yes() -> bool {
    true
}

/// Well under the time after which routers forget a connection.
fn keep_alive_seconds() -> u64 {
    30
}

/// More would let such a router forget the connection before.
const KEEP_ALIVE_SECONDS_MAX: u64 = 3_600;

fn ring_timeout_seconds() -> u64 {
    45
}

fn first_response_timeout_ms() -> u64 {
    4_000
}

/// RFC 4028 section 4 recommends it.
fn session_expires_seconds() -> u64 {
    1_800
}

fn session_min_seconds() -> u64 {
    Trunk::SESSION_MIN.as_secs()
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
    pub fn towards(target: impl Into<Destination>) -> Self {
        Self {
            target: target.into(),
            fallback_targets: Vec::new(),
            large_over_tcp: false,
            keep_alive_seconds: keep_alive_seconds(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            domain: None,
            health: HealthConfig::default(),
            registration: None,
            username: None,
            password_file: None,
            allow_md5: yes(),
            ring_timeout_seconds: ring_timeout_seconds(),
            first_response_timeout_ms: first_response_timeout_ms(),
            session_expires_seconds: session_expires_seconds(),
            session_min_seconds: session_min_seconds(),
            display_name: None,
            trusted: false,
            asserted_number: None,
            identity: None,
            anchor: None,
            blocking_texts: None,
            cause_codes: BTreeMap::new(),
            calls_per_second: calls_per_second(),
            burst: burst(),
            channels: channels(),
            queue_max: queue_max(),
            destinations: Vec::new(),
            caller_ids: Vec::new(),
        }
    }

    /// What the files say that the section names; it may change though their names do not.
    pub(super) fn files_digest(&self) -> FilesDigest {
        let own = [
            &self.password_file,
            &self.ca_file,
            &self.cert_file,
            &self.key_file,
        ];
        let signing = self.identity.iter().flat_map(|identity| {
            [
                &identity.key_file,
                &identity.certificate_file,
                &identity.credential_file,
            ]
        });
        let mut digest = Sha256::new();
        for file in own.into_iter().chain(signing) {
            // What cannot be read is told of by whoever needs it.
            let said = file.as_ref().and_then(|path| std::fs::read(path).ok());
            let said = said.map(Zeroizing::new);
            let length = said.as_ref().map_or(u64::MAX, |said| said.len() as u64);
            digest.update(length.to_be_bytes());
            digest.update(said.as_ref().map_or(&[][..], |said| said.as_slice()));
        }
        FilesDigest(digest.finalize().into())
    }

    /// Its pace.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate {
            calls_per_second: self.calls_per_second,
            burst: self.burst,
        }
    }

    /// What it may carry.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        Carrier {
            destinations: self.destinations.clone(),
            caller_ids: self.caller_ids.iter().copied().collect(),
            queue_max: i64::from(self.queue_max.get()),
            anchored: self.anchor.is_some(),
        }
    }
}
