//! Settings of the endpoint and of one trunk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::peer::Peer;
use super::target::Target;
use crate::domain::phone::Phone;

/// Settings of the node's one SIP endpoint, section `[sip]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipConfig {
    /// Address and port of the UDP socket, and of the one that takes TCP connections.
    pub listen: SocketAddr,
    /// Host put into Via and Contact, where it differs from `listen`; needed when `listen` is `0.0.0.0` or `[::]`.
    pub advertised_host: Option<String>,
    /// Name servers to ask; none = those of the system.
    pub dns_servers: Vec<SocketAddr>,
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
            dns_servers: Vec::new(),
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            calls_max: 2_000,
            call_seconds_max: 4 * 60 * 60,
        }
    }
}

impl SipConfig {
    /// What is wrong with the section, each line naming its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, value, least, most) in [
            ("t1_ms", self.t1_ms, 10, 5_000),
            ("t2_ms", self.t2_ms, self.t1_ms, 60_000),
            ("t4_ms", self.t4_ms, 10, 60_000),
            ("call_seconds_max", self.call_seconds_max, 60, 86_400),
        ] {
            if !(least..=most).contains(&value) {
                problems.push(format!(
                    "{key}: `{value}` is not between {least} and {most}"
                ));
            }
        }
        if self.calls_max == 0 {
            problems.push("calls_max: `0` lets no call through, set at least 1".to_owned());
        }
        match &self.advertised_host {
            Some(host) if !is_host(host) => problems.push(format!(
                "advertised_host: `{host}` is neither a host name nor an address"
            )),
            None if self.listen.ip().is_unspecified() => problems.push(
                "advertised_host: `listen` names no single address, set the one that trunks reach"
                    .to_owned(),
            ),
            _ => {}
        }
        problems
    }
}

/// Letters, digits, dots and hyphens, or an IPv6 address.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.bytes().all(plain))
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
    pub target: Target,
    /// How to be connected there.
    pub peer: Arc<Peer>,
    /// Whether an INVITE too long for a datagram goes by TCP: the carrier has that too, at the same port.
    pub large_over_tcp: bool,
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
    /// How long a session may last without a refresh, as the INVITE proposes it (RFC 4028); nothing = not proposed.
    pub session_expires: Option<Duration>,
    /// The shortest such time that we take; at least [`Trunk::SESSION_MIN`].
    pub session_min: Duration,
    /// Registered caller name, if it is to be shown.
    pub display_name: Option<String>,
    /// Whether it is told in P-Asserted-Identity who calls: it belongs to the same trust domain (RFC 3325).
    pub trusted: bool,
    /// The number that it is told there, where that is not the one shown.
    pub asserted_number: Option<Phone>,
    /// Texts in a 603's Reason header that tell of blocking by analytics (603+, ATIS-1000099), in lower case.
    pub blocking_texts: Vec<String>,
    /// This carrier's own translation of Q.850 causes into status codes, where it differs from RFC 3398.
    pub cause_codes: BTreeMap<u16, u16>,
}

impl Trunk {
    /// The least a phone must ring before we give up, 15 seconds or four rings: 47 CFR 64.1200(a)(6), 16 CFR 310.4(b)(4)(ii).
    pub const RING_TIMEOUT_MIN: Duration = Duration::from_secs(15);

    /// The shortest session interval that there may be: RFC 4028 section 5.
    pub const SESSION_MIN: Duration = Duration::from_secs(90);
    /// A longer one would outlive any call.
    pub const SESSION_MAX: Duration = Duration::from_secs(86_400);

    /// A trunk with the defaults.
    #[must_use]
    pub fn new(name: &str, target: impl Into<Target>, domain: &str) -> Self {
        Self {
            name: name.to_owned(),
            target: target.into(),
            peer: Arc::default(),
            large_over_tcp: false,
            domain: domain.to_owned(),
            username: None,
            password: None,
            allow_md5: true,
            ring_timeout: Duration::from_secs(45),
            first_response_timeout: Duration::from_secs(4),
            session_expires: Some(Duration::from_secs(1_800)),
            session_min: Self::SESSION_MIN,
            display_name: None,
            trusted: false,
            asserted_number: None,
            blocking_texts: ["v=analytics", "url=", "tel=", "tel:", "email=", "mailto:"]
                .map(str::to_owned)
                .to_vec(),
            cause_codes: BTreeMap::new(),
        }
    }

    /// Whether an address is somebody's own: one host's, and with a port.
    #[must_use]
    pub fn may_be_sent_to(address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let everybodys = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        address.port() != 0 && !ip.is_unspecified() && !everybodys
    }

    /// What is wrong with the trunk, each line naming its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_domain(&self.domain) {
            problems.push(format!(
                "domain: `{}` cannot stand in a SIP URI, write a host name or an address, with a port if need be",
                self.domain
            ));
        }
        let printable =
            |text: &Option<String>| !text.iter().any(|text| text.contains(char::is_control));
        if !printable(&self.display_name) {
            problems.push("display_name: leave control characters out".to_owned());
        }
        if !printable(&self.username) {
            problems.push("username: leave control characters out".to_owned());
        }
        if self.asserted_number.is_some() && !self.trusted {
            problems.push(
                "asserted_number: only a trunk that is `trusted` is told a number so".to_owned(),
            );
        }
        if self.ring_timeout < Self::RING_TIMEOUT_MIN {
            problems.push(format!(
                "ring_timeout_seconds: the law lets a phone ring for at least {} seconds (47 CFR 64.1200(a)(6))",
                Self::RING_TIMEOUT_MIN.as_secs()
            ));
        }
        if self.first_response_timeout < Self::FIRST_RESPONSE_TIMEOUT_MIN {
            problems.push("first_response_timeout_ms: set at least 500".to_owned());
        }
        if !(Self::SESSION_MIN..=Self::SESSION_MAX).contains(&self.session_min) {
            problems.push(format!(
                "session_min_seconds: set {} to {}",
                Self::SESSION_MIN.as_secs(),
                Self::SESSION_MAX.as_secs()
            ));
        }
        let interval = self.session_expires.unwrap_or(self.session_min);
        if !(self.session_min..=Self::SESSION_MAX).contains(&interval) {
            problems.push(format!(
                "session_expires_seconds: set `session_min_seconds` to {}, or 0 to propose none",
                Self::SESSION_MAX.as_secs()
            ));
        }
        problems
    }

    /// Less would give up before the first retransmission could help.
    const FIRST_RESPONSE_TIMEOUT_MIN: Duration = Duration::from_millis(500);
}

/// A host, or a host and a port.
fn is_domain(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match v6 {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    is_host(text) || is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(SipConfig::default().problems().is_empty());
        let config = SipConfig {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)),
            t1_ms: 0,
            calls_max: 0,
            ..SipConfig::default()
        };
        let keys: Vec<_> = config
            .problems()
            .iter()
            .map(|problem| problem.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(keys, ["t1_ms", "calls_max", "advertised_host"]);
        let host = |host: &str| SipConfig {
            advertised_host: Some(host.to_owned()),
            ..SipConfig::default()
        };
        for good in ["sip.example.com", "192.0.2.1", "2001:db8::1"] {
            assert!(host(good).problems().is_empty(), "{good}");
        }
        assert_eq!(host("a b\r\n").problems().len(), 1);
    }

    #[test]
    fn trunks_that_cannot_work_are_named() {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
        for good in [
            "carrier.example",
            "192.0.2.1:5070",
            "[2001:db8::1]:5070",
            "[::1]",
        ] {
            assert!(
                Trunk::new("t", target, good).problems().is_empty(),
                "{good}"
            );
        }
        for bad in ["", "a;b", "a@b", "x\r\nVia: y", "h:port"] {
            assert_eq!(Trunk::new("t", target, bad).problems().len(), 1, "{bad}");
        }
        let trunk = Trunk {
            display_name: Some("A\r\nB".to_owned()),
            ring_timeout: Duration::from_secs(14),
            first_response_timeout: Duration::ZERO,
            asserted_number: Some(Phone::parse("+14045550100").unwrap()),
            session_expires: Some(Duration::from_secs(100)),
            session_min: Duration::from_secs(89),
            ..Trunk::new("t", target, "carrier.example")
        };
        assert_eq!(trunk.problems().len(), 5);
        let trusted = Trunk {
            trusted: true,
            asserted_number: trunk.asserted_number,
            ..Trunk::new("t", target, "carrier.example")
        };
        assert!(trusted.problems().is_empty());
        let trunk = Trunk {
            session_expires: Some(Duration::from_secs(100)),
            session_min: Duration::from_secs(101),
            ..Trunk::new("t", target, "carrier.example")
        };
        assert_eq!(trunk.problems().len(), 1);
    }
}
