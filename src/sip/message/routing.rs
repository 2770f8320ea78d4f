//! Where requests go: within a dialog as the far end said, outside of one as the trunk does.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::Remote;
use crate::sip::config::Trunk;
use crate::sip::peer::Hop;
use crate::sip::target::{Target, Transport};
use crate::sip::values::{Address, host_and_port, uri_param};

impl Remote {
    /// Request-URI and routes; a strict router of RFC 2543 (no `lr`) becomes the Request-URI itself and the target the last
    /// route (RFC 3261 section 12.2.1.1).
    pub(super) fn request_uri(&self) -> (&str, Cow<'_, [String]>) {
        if let Some((first, rest)) = self.routes.split_first()
            && let Ok(first) = Address::parse(first)
            && !is_loose(first.uri)
        {
            let target = format!("<{}>", self.target);
            let routes = rest.iter().cloned().chain([target]).collect();
            return (first.uri, routes);
        }
        (&self.target, Cow::Borrowed(&self.routes))
    }

    /// Where requests go: the first route, else the far end's contact. Names are not resolved here, and an address that
    /// is nobody's own never steers a message; the trunk's own target is used then.
    pub(super) fn next_hop(&self) -> Option<Next> {
        let uri = match self.routes.first() {
            Some(route) => Address::parse(route).ok()?.uri,
            None => &self.target,
        };
        let (host, port) = host_and_port(uri)?;
        let secure = uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
        let transport = match uri_param(uri, "transport") {
            _ if secure => Some(Transport::Tls),
            Some(word) => Some(Transport::parse(word)?),
            None => None,
        };
        let ip = host.parse().ok()?;
        Some(Next {
            transport,
            ip,
            port,
        })
    }
}

/// Where a URI with a numeric host points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    transport: Option<Transport>,
    ip: IpAddr,
    port: Option<u16>,
}

impl Trunk {
    /// The URI of a user of its domain, or of the domain itself.
    pub(in crate::sip) fn uri_of(&self, user: &str) -> String {
        let at = if user.is_empty() { "" } else { "@" };
        let (before, after) = match self.domain.parse::<Ipv6Addr>() {
            Ok(_) => ("[", "]"),
            Err(_) => ("", ""),
        };
        ["sip:", user, at, before, &self.domain, after].concat()
    }

    /// Where its requests go.
    pub(in crate::sip) fn hop(&self) -> Hop {
        self.hop_at(self.target)
    }

    /// Where they go that are too long for a datagram.
    pub(in crate::sip) fn hop_of_large(&self) -> Option<Hop> {
        let transport = Transport::Tcp;
        let addr = self.target.addr;
        let has_one = self.target.transport == Transport::Udp && self.large_over_tcp;
        has_one.then(|| self.hop_at(Target { transport, addr }))
    }

    pub(super) fn hop_at(&self, target: Target) -> Hop {
        match target.transport {
            Transport::Udp => Hop::Udp(target.addr),
            Transport::Tcp | Transport::Tls => Hop::Stream(target, Arc::clone(&self.peer)),
        }
    }

    /// A way that a far end names. One that names no transport goes on as the trunk does, and nothing of a trunk with TLS ever
    /// goes in the clear.
    pub(super) fn hop_to(&self, next: Next) -> Option<Hop> {
        let transport = next.transport.unwrap_or(self.target.transport);
        let target = Target {
            transport,
            addr: SocketAddr::new(next.ip, next.port.unwrap_or(transport.default_port())),
        };
        let kept = match self.target.transport {
            Transport::Tls => transport == Transport::Tls,
            Transport::Udp | Transport::Tcp => transport != Transport::Tls,
        };
        (kept && Self::may_be_sent_to(target.addr)).then(|| self.hop_at(target))
    }
}

fn is_loose(uri: &str) -> bool {
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    host.split(';')
        .skip(1)
        .any(|param| param.split('=').next() == Some("lr"))
}
