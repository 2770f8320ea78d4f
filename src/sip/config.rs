//! Settings of the endpoint and of one trunk.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

/// Settings of the node's one SIP endpoint, section `[sip]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipConfig {
    /// Address and port of the UDP socket.
    pub listen: SocketAddr,
    /// Host put into Via and Contact, where it differs from `listen`; needed when `listen` is `0.0.0.0` or `[::]`.
    pub advertised_host: Option<String>,
    /// RFC 3261 timer T1 in milliseconds: the estimate of a round trip.
    pub t1_ms: u64,
    /// RFC 3261 timer T2 in milliseconds: the longest interval between retransmissions.
    pub t2_ms: u64,
    /// RFC 3261 timer T4 in milliseconds: how long a message may stay in the network.
    pub t4_ms: u64,
    /// Calls at a time; further ones are refused before an INVITE is built.
    pub calls_max: usize,
    /// A call up for longer is ended.
    pub call_seconds_max: u64,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5060)),
            advertised_host: None,
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            calls_max: 2_000,
            call_seconds_max: 4 * 60 * 60,
        }
    }
}

/// A text that neither prints nor stays in memory after use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the digest alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// One trunk: where calls go and how we show ourselves there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Name in the configuration.
    pub name: String,
    /// Where requests outside a dialog go.
    pub target: SocketAddr,
    /// Host part of the URIs.
    pub domain: String,
    /// Digest user name.
    pub username: Option<String>,
    /// Digest password.
    pub password: Option<Secret>,
    /// Whether MD5 challenges may be answered.
    pub allow_md5: bool,
    /// How long a phone may ring; at least [`Trunk::RING_TIMEOUT_MIN`].
    pub ring_timeout: Duration,
    /// How long the trunk may stay silent after the first INVITE.
    pub first_response_timeout: Duration,
    /// Registered caller name, if it is to be shown.
    pub display_name: Option<String>,
    /// Texts in a 603's Reason header that tell of blocking by analytics (603+, ATIS-1000099), in lower case.
    pub blocking_texts: Vec<String>,
    /// This carrier's own translation of Q.850 causes into status codes, where it differs from RFC 3398.
    pub cause_codes: BTreeMap<u16, u16>,
}

impl Trunk {
    /// The least a phone must ring before we give up, 15 seconds or four rings: 47 CFR 64.1200(a)(6), 16 CFR 310.4(b)(4)(ii).
    pub const RING_TIMEOUT_MIN: Duration = Duration::from_secs(15);

    /// A trunk with the defaults.
    #[must_use]
    pub fn new(name: &str, target: SocketAddr, domain: &str) -> Self {
        Self {
            name: name.to_owned(),
            target,
            domain: domain.to_owned(),
            username: None,
            password: None,
            allow_md5: true,
            ring_timeout: Duration::from_secs(45),
            first_response_timeout: Duration::from_secs(4),
            display_name: None,
            blocking_texts: ["v=analytics", "url=", "tel=", "tel:", "email=", "mailto:"]
                .map(str::to_owned)
                .to_vec(),
            cause_codes: BTreeMap::new(),
        }
    }
}
