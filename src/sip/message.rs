//! Building requests and responses on `rsip`'s types. The body never passes through text. An INVITE leaves this file only
//! locked (`locked.rs`).

use std::net::SocketAddr;
use std::sync::Arc;

use rsip::common::uri::Host;
use rsip::common::{Method, StatusCode, Version};
use rsip::headers::{
    Allow, CSeq, CallId, Contact, ContentLength, ContentType, From as FromHeader, MaxForwards,
    Route, To as ToHeader, UserAgent, Via as ViaHeader,
};
use rsip::{Header, Headers, Request, Response, Uri};

use super::config::Trunk;
use super::locked::LockedInvite;
use super::values::{Address, Via, host_and_port, split};
use super::wire::lines;
use crate::domain::phone::Phone;

/// What we answer to within a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// How we are reached: what stands in Via and Contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    /// Host, an IPv6 address in its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Local {
    fn via(&self, branch: &str) -> Header {
        let (host, port) = (&self.host, self.port);
        Header::Via(ViaHeader::from(format!(
            "SIP/2.0/UDP {host}:{port};branch={branch};rport"
        )))
    }

    pub(super) fn contact(&self) -> Header {
        Header::Contact(Contact::from(format!("<sip:{}:{}>", self.host, self.port)))
    }
}

/// What stays the same in all requests of a call. The numbers were copied from the permit.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) call_id: String,
    pub(super) from_tag: String,
    pub(super) to: Phone,
    pub(super) from: Phone,
    pub(super) trunk: Arc<Trunk>,
    pub(super) local: Arc<Local>,
}

/// The far end of a dialog (RFC 3261 section 12.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) tag: String,
    pub(super) target: String,
    pub(super) routes: Vec<String>,
}

impl Identity {
    /// The URI of the number called, on the trunk.
    pub(super) fn request_uri(&self) -> String {
        self.uri(self.to)
    }

    fn uri(&self, number: Phone) -> String {
        let domain = &self.trunk.domain;
        let number = number.reveal();
        match domain.parse::<std::net::Ipv6Addr>() {
            Ok(v6) => format!("sip:{number}@[{v6}];user=phone"),
            Err(_) => format!("sip:{number}@{domain};user=phone"),
        }
    }

    /// Always the number the call is placed for, never anonymous: who is called for sales must be told by whom (47 CFR 64.1601(e)).
    fn caller(&self) -> Header {
        let name = match &self.trunk.display_name {
            Some(name) => format!("\"{}\" ", name.replace('\\', "\\\\").replace('"', "\\\"")),
            None => String::new(),
        };
        Header::From(FromHeader::from(format!(
            "{name}<{}>;tag={}",
            self.uri(self.from),
            self.from_tag
        )))
    }

    fn callee(&self, tag: Option<&str>) -> Header {
        // A far end of RFC 2543 has no tag.
        let tag = tag.filter(|tag| !tag.is_empty());
        let tag = tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        Header::To(ToHeader::from(format!("<{}>{tag}", self.uri(self.to))))
    }

    fn common(&self, method: Method, cseq: u32, branch: &str, to: Header) -> Vec<Header> {
        vec![
            self.local.via(branch),
            Header::MaxForwards(MaxForwards::from("70")),
            self.caller(),
            to,
            Header::CallId(CallId::from(self.call_id.as_str())),
            Header::CSeq(CSeq::from(format!("{cseq} {method}"))),
        ]
    }

    /// An INVITE, locked until a permit opens it.
    pub(super) fn invite(
        &self,
        cseq: u32,
        branch: &str,
        auth: Vec<Header>,
        offer: &[u8],
    ) -> LockedInvite {
        let mut headers = self.common(Method::Invite, cseq, branch, self.callee(None));
        headers.push(self.local.contact());
        headers.extend(auth);
        headers.push(Header::Allow(Allow::from(ALLOW)));
        headers.push(Header::UserAgent(UserAgent::from("dialgate")));
        headers.push(sdp_type());
        let bytes = render(Method::Invite, &self.request_uri(), headers, offer);
        LockedInvite::new(bytes, self.trunk.target)
    }

    /// The CANCEL of an INVITE: its branch, its number (RFC 3261 section 9.1).
    pub(super) fn cancel(&self, cseq: u32, branch: &str, reason: &str) -> Vec<u8> {
        let mut headers = self.common(Method::Cancel, cseq, branch, self.callee(None));
        headers.push(reason_header(reason));
        render(Method::Cancel, &self.request_uri(), headers, &[])
    }

    /// The ACK of a final response that is no 2xx: part of the INVITE's transaction (RFC 3261 section 17.1.1.3).
    pub(super) fn ack_failure(&self, cseq: u32, branch: &str, to: &str) -> Vec<u8> {
        let to = Header::To(ToHeader::from(to));
        let headers = self.common(Method::Ack, cseq, branch, to);
        render(Method::Ack, &self.request_uri(), headers, &[])
    }

    /// A request within a dialog, and where it goes.
    pub(super) fn within(
        &self,
        method: InDialog,
        remote: &Remote,
        cseq: u32,
        branch: &str,
        extra: Vec<Header>,
    ) -> (Vec<u8>, SocketAddr) {
        let method = method.rsip();
        let mut headers = self.common(method, cseq, branch, self.callee(Some(&remote.tag)));
        let (uri, routes) = remote.request_uri();
        for route in routes {
            headers.push(Header::Route(Route::from(route)));
        }
        headers.extend(extra);
        let to = remote.next_hop().unwrap_or(self.trunk.target);
        (render(method, &uri, headers, &[]), to)
    }
}

impl Remote {
    /// Request-URI and routes; a strict router of RFC 2543 (no `lr`) becomes the Request-URI itself and the target the last
    /// route (RFC 3261 section 12.2.1.1).
    fn request_uri(&self) -> (String, Vec<String>) {
        if let Some((first, rest)) = self.routes.split_first()
            && let Ok(first) = Address::parse(first)
            && !is_loose(&first.uri)
        {
            let target = format!("<{}>", self.target);
            let routes = rest.iter().cloned().chain([target]).collect();
            return (first.uri, routes);
        }
        (self.target.clone(), self.routes.clone())
    }

    /// Where requests go: the first route, else the far end's contact. Names are not resolved here, and an address that
    /// is nobody's own never steers a message; the trunk's own target is used then.
    fn next_hop(&self) -> Option<SocketAddr> {
        let uri = match self.routes.first() {
            Some(route) => Address::parse(route).ok()?.uri,
            None => self.target.clone(),
        };
        let (host, port) = host_and_port(&uri)?;
        let ip: std::net::IpAddr = host.parse().ok()?;
        let foreign = ip.is_multicast()
            || ip.is_unspecified()
            || matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
        match port.unwrap_or(5060) {
            0 => None,
            _ if foreign => None,
            port => Some(SocketAddr::new(ip, port)),
        }
    }
}

fn is_loose(uri: &str) -> bool {
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    host.split(';')
        .skip(1)
        .any(|param| param.split('=').next() == Some("lr"))
}

/// Escaped for a quoted string (RFC 3261 section 25.1), control characters left out.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '\\' | '"') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// The requests that we send within a dialog. INVITE is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InDialog {
    Ack,
    Bye,
    Prack,
}

impl InDialog {
    fn rsip(self) -> Method {
        match self {
            Self::Ack => Method::Ack,
            Self::Bye => Method::Bye,
            Self::Prack => Method::PRack,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Prack => "PRACK",
        }
    }
}

/// RFC 3326.
pub(super) fn reason_header(value: &str) -> Header {
    Header::Other("Reason".to_owned(), value.to_owned())
}

fn sdp_type() -> Header {
    Header::ContentType(ContentType::from("application/sdp"))
}

fn render(method: Method, uri: &str, mut headers: Vec<Header>, body: &[u8]) -> Vec<u8> {
    headers.push(length(body));
    let head = Request {
        method,
        // Carried verbatim: `rsip` would lose a URI's headers and refuse an IPv6 reference.
        uri: Uri::from(Host::Domain(uri.into())),
        version: Version::V2,
        headers: headers.into(),
        body: Vec::new(),
    };
    join(&head.to_string(), body)
}

fn length(body: &[u8]) -> Header {
    Header::ContentLength(ContentLength::from(body.len().to_string()))
}

fn join(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head.len() + body.len());
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The request that a response answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a Headers,
    pub(super) via: &'a Via,
    pub(super) source: SocketAddr,
}

/// What a response says.
#[derive(Debug, Default)]
pub(super) struct Reply<'a> {
    pub(super) code: u16,
    pub(super) phrase: &'a str,
    /// Put into To, where the request has no tag there.
    pub(super) tag: &'a str,
    pub(super) extra: Vec<Header>,
    pub(super) sdp: &'a [u8],
}

/// A response and where it goes: to the address the request came from, whatever its Via says (RFC 3261 section 18.2.2
/// and RFC 3581; a Via that names a broadcast or foreign address steers nothing).
pub(super) fn respond(asked: Asked<'_>, reply: Reply<'_>) -> (Vec<u8>, SocketAddr) {
    let mut headers = via_headers(asked);
    for line in lines(asked.headers, "From") {
        headers.push(Header::From(FromHeader::from(line)));
    }
    for line in lines(asked.headers, "To") {
        let has_tag = Address::parse(line).is_ok_and(|address| address.params.get("tag").is_some());
        let to = if has_tag || reply.tag.is_empty() {
            line.to_owned()
        } else if line.contains('<') {
            format!("{line};tag={}", reply.tag)
        } else {
            format!("<{line}>;tag={}", reply.tag)
        };
        headers.push(Header::To(ToHeader::from(to)));
    }
    for line in lines(asked.headers, "Call-ID") {
        headers.push(Header::CallId(CallId::from(line)));
    }
    for line in lines(asked.headers, "CSeq") {
        headers.push(Header::CSeq(CSeq::from(line)));
    }
    headers.extend(reply.extra);
    if !reply.sdp.is_empty() {
        headers.push(sdp_type());
    }
    headers.push(length(reply.sdp));
    let head = Response {
        status_code: StatusCode::Other(reply.code, reply.phrase.to_owned()),
        version: Version::V2,
        headers: headers.into(),
        body: Vec::new(),
    };
    let port = match (asked.via.rport, asked.via.port) {
        (true, _) => asked.source.port(),
        (false, port) => port.filter(|port| *port > 0).unwrap_or(5060),
    };
    (
        join(&head.to_string(), reply.sdp),
        SocketAddr::new(asked.source.ip(), port),
    )
}

/// All Vias in their order, the topmost completed with where the request really came from.
fn via_headers(asked: Asked<'_>) -> Vec<Header> {
    let kept: Vec<&str> = split(&asked.via.text, ';')
        .unwrap_or_default()
        .into_iter()
        .filter(|part| {
            let name = part.split('=').next().unwrap_or_default().trim();
            !name.eq_ignore_ascii_case("rport") && !name.eq_ignore_ascii_case("received")
        })
        .collect();
    let mut top = format!("{};received={}", kept.join(";"), asked.source.ip());
    if asked.via.rport {
        top.push_str(&format!(";rport={}", asked.source.port()));
    }
    let others = lines(asked.headers, "Via")
        .flat_map(|line| split(line, ',').unwrap_or_default())
        .skip(1)
        .map(str::to_owned);
    std::iter::once(top)
        .chain(others)
        .map(|value| Header::Via(ViaHeader::from(value)))
        .collect()
}
