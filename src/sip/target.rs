//! Where a trunk's requests go: the destination as it is written (`tls:sip.carrier.example`), and one target that it stands
//! for: transport, address and port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// How SIP messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// As in `;transport=` and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// As in Via.
    pub(super) fn in_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The word of `;transport=`, in any case.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let named = |known: &Self| word.eq_ignore_ascii_case(known.as_str());
        Self::ALL.into_iter().find(named)
    }

    /// Whether what is sent arrives, in order, or the connection breaks.
    #[must_use]
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// Where nobody names a port: RFC 3261 section 19.1.2.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// One server: what a call is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        let transport = Transport::Udp;
        Self { transport, addr }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.addr)
    }
}

/// The host of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address: nothing is looked up.
    Ip(IpAddr),
    /// A name: RFC 3263 says what it stands for.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A destination as the configuration names it: `[udp:|tcp:|tls:]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Destination {
    /// How, if it is said; else the host's records say it, and UDP if they don't.
    pub transport: Option<Transport>,
    /// Whom.
    pub host: Host,
    /// Which port, if it is said.
    pub port: Option<u16>,
}

impl Destination {
    /// The one target of a numeric host, which needs no look-up.
    #[must_use]
    pub fn numeric(&self) -> Option<Target> {
        let Host::Ip(ip) = self.host else {
            return None;
        };
        let transport = self.transport.unwrap_or(Transport::Udp);
        let port = self.port.unwrap_or(transport.default_port());
        let addr = SocketAddr::new(ip, port);
        Some(Target { transport, addr })
    }
}

impl From<SocketAddr> for Destination {
    fn from(addr: SocketAddr) -> Self {
        Self {
            transport: None,
            host: Host::Ip(addr.ip()),
            port: Some(addr.port()),
        }
    }
}

impl From<Target> for Destination {
    fn from(target: Target) -> Self {
        Self {
            transport: Some(target.transport),
            ..target.addr.into()
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no destination, write `host`, `host:port` or `[v6]:port`, with `udp:`, `tcp:` or `tls:` before it if need be"
            )
        };
        let (transport, rest) = match text.split_once(':') {
            Some((word, rest)) if Transport::parse(word).is_some() => {
                (Transport::parse(word), rest)
            }
            _ => (None, text),
        };
        let (host, port) = split_port(rest).ok_or_else(wrong)?;
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if is_name(host) => Host::Name(host.to_ascii_lowercase()),
            Err(_) => return Err(wrong()),
        };
        Ok(Self {
            transport,
            host,
            port,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{}:", transport.as_str())?;
        }
        match (&self.host, self.port) {
            (Host::Ip(IpAddr::V6(ip)), Some(port)) => write!(f, "[{ip}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
            (host, None) => write!(f, "{host}"),
        }
    }
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    Some((host, port))
}

/// A host name of RFC 1123. One whose last part is a number is a mistyped address.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_written_alike() {
        for (text, transport, host, port) in [
            ("192.0.2.1:5070", None, "192.0.2.1", Some(5070)),
            ("192.0.2.1", None, "192.0.2.1", None),
            (
                "tcp:192.0.2.1:5070",
                Some(Transport::Tcp),
                "192.0.2.1",
                Some(5070),
            ),
            (
                "tls:sip.carrier.example",
                Some(Transport::Tls),
                "sip.carrier.example",
                None,
            ),
            (
                "udp:[2001:db8::1]:5062",
                Some(Transport::Udp),
                "2001:db8::1",
                Some(5062),
            ),
            ("2001:db8::1", None, "2001:db8::1", None),
            ("carrier.example:5060", None, "carrier.example", Some(5060)),
        ] {
            let read: Destination = text.parse().unwrap();
            assert_eq!((read.transport, read.port), (transport, port), "{text}");
            assert_eq!(read.host.to_string(), host, "{text}");
            assert_eq!(read.to_string(), text);
        }
        for bad in [
            "",
            "tls:",
            "a b",
            "host:",
            "host:99999",
            "[::1",
            "[x]:1",
            "1.2.3",
            "-a.example",
            "sip:host",
            "sctp:host:1",
            "192.0.2.1:5060:1",
            "host/path",
            "a..b",
        ] {
            let told = bad.parse::<Destination>().unwrap_err();
            assert!(told.contains("is no destination"), "{bad}: {told}");
        }
    }

    #[test]
    fn an_address_stands_for_itself() {
        let target = |text: &str| text.parse::<Destination>().unwrap().numeric();
        let named = |text: &str| target(text).unwrap().to_string();
        assert_eq!(named("192.0.2.1"), "udp:192.0.2.1:5060");
        assert_eq!(named("tls:192.0.2.1"), "tls:192.0.2.1:5061");
        assert_eq!(named("tcp:[::1]:7"), "tcp:[::1]:7");
        assert_eq!(target("carrier.example"), None);
    }
}
