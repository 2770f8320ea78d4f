//! Building requests and responses. An INVITE leaves this file only locked (`locked.rs`).

mod reply;
mod routing;

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use super::config::Trunk;
use super::desk::Desk;
use super::head::{Draft, Header};
use super::locked::LockedInvite;
use super::peer::Hop;
use super::sdp::Origin;
use super::target::Transport;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::passport::{Unsigned, Vouch};
pub(super) use reply::{Asked, Reply, respond};

/// What we answer to within a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";
/// A longer INVITE might not arrive as one datagram: RFC 3261 section 18.1.1.
const DATAGRAM_BYTES_MAX: usize = 1_300;
/// The one kind of body that we send and take.
pub(super) const SDP: &str = "application/sdp";

/// How we are reached: what stands in Via and Contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    /// Host, an IPv6 address in its brackets, and port.
    sent_by: String,
}

impl Local {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let sent_by = format!("{host}:{port}");
        Self { sent_by }
    }

    pub(super) fn contact(&self, transport: Transport) -> Header {
        let [before, by, after] = self.contact_parts(transport);
        Header::new("Contact", [before, by, after].concat())
    }

    /// By whom the sessions of the call with this Call-ID are described.
    pub(super) fn origin(&self, call_id: &str) -> Origin {
        let host = self.sent_by.rsplit_once(':').map_or("", |(host, _)| host);
        Origin::new(call_id, host)
    }

    /// Who we are where no number is to be named.
    pub(super) fn uri(&self) -> String {
        ["sip:", &self.sent_by].concat()
    }

    /// Where a user of ours is reached.
    pub(super) fn contact_of(&self, user: &str, transport: Transport) -> String {
        let [_, by, after] = self.contact_parts(transport);
        ["sip:", user, "@", by, after.trim_end_matches('>')].concat()
    }

    /// A request outside any call.
    pub(super) fn outside(
        &self,
        ask: &Outside<'_>,
        (transport, branch): (Transport, &str),
        extra: &[Header],
    ) -> Vec<u8> {
        let (by, transport) = (&self.sent_by, transport.in_via());
        let mut draft = Draft::request(ask.method, ask.uri);
        draft.line(
            "Via",
            &["SIP/2.0/", transport, " ", by, ";branch=", branch, ";rport"],
        );
        draft.line("Max-Forwards", &["70"]);
        draft.line("From", &["<", ask.from, ">;tag=", ask.tag]);
        draft.line("To", &["<", ask.to, ">"]);
        draft.line("Call-ID", &[ask.call_id]);
        draft.line("CSeq", &[&ask.cseq.to_string(), " ", ask.method]);
        draft.lines(extra);
        draft.line("User-Agent", &["dialgate"]);
        draft.end(&[])
    }

    /// UDP is what nobody need name: RFC 3263 section 4.1.
    fn contact_parts(&self, transport: Transport) -> [&str; 3] {
        let after = match transport {
            Transport::Udp => ">",
            Transport::Tcp => ";transport=tcp>",
            Transport::Tls => ";transport=tls>",
        };
        ["<sip:", &self.sent_by, after]
    }
}

/// What stays the same in all requests of a call.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) call_id: String,
    pub(super) from_tag: String,
    pub(super) whom: Whom,
    pub(super) trunk: Arc<Trunk>,
    pub(super) local: Arc<Local>,
}

/// Whom a call is for, and with that what its INVITE says of both ends.
#[derive(Debug)]
pub(super) enum Whom {
    /// A person called.
    Number(Numbers),
    /// One of our own agents. Of the person called nothing is said there.
    Desk(Arc<Desk>),
}

/// The numbers of a call, copied from its permit.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) to: Phone,
    pub(super) from: Phone,
    pub(super) vouched: Vouched,
}

/// Who vouches for the caller, and the lines of the INVITE that say so.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    by: Vouch,
    lines: Vec<Header>,
}

impl Vouched {
    pub(super) fn by(by: Vouch) -> Self {
        let lines = Vec::new();
        Self { by, lines }
    }
}

/// A request outside any call: whom it asks, and for whom.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    pub(super) method: &'static str,
    pub(super) uri: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) tag: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: u32,
}

/// How an INVITE goes where its trunk has a stream beside datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the stream if it is too long for a datagram.
    ByLength,
    /// The stream was refused.
    Datagram,
    /// The far end called it too large, with this code.
    Stream(u16),
}

impl Way {
    fn is_stream(self, bytes: usize) -> bool {
        match self {
            Self::ByLength => bytes > DATAGRAM_BYTES_MAX,
            Self::Datagram => false,
            Self::Stream(_) => true,
        }
    }
}

/// The far end of a dialog (RFC 3261 section 12.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) tag: String,
    pub(super) target: String,
    pub(super) routes: Vec<String>,
}

impl Identity {
    /// The URI of the number called, on the trunk, or of the agent's phone.
    pub(super) fn request_uri(&self) -> String {
        match &self.whom {
            Whom::Number(numbers) => self.uri(numbers.to),
            Whom::Desk(desk) => desk.uri.to_string(),
        }
    }

    /// Whether the far end is to offer first: no INVITE of the call has a session description.
    pub(super) fn is_offerless(&self) -> bool {
        matches!(&self.whom, Whom::Desk(desk) if desk.offerless)
    }

    /// By whom its sessions are described, where we describe one ourselves.
    pub(super) fn origin(&self) -> Origin {
        self.local.origin(&self.call_id)
    }

    /// How long a phone may ring. The law's least is about people called, not about agents.
    pub(super) fn ring_timeout(&self) -> Duration {
        match &self.whom {
            Whom::Number(_) => self.trunk.ring_timeout.max(Trunk::RING_TIMEOUT_MIN),
            Whom::Desk(_) => self.trunk.ring_timeout,
        }
    }

    fn uri(&self, number: Phone) -> String {
        let domain = self.trunk.domain.as_str();
        let number = number.reveal();
        if domain.parse::<Ipv6Addr>().is_ok() {
            ["sip:", &number, "@[", domain, "];user=phone"].concat()
        } else {
            ["sip:", &number, "@", domain, ";user=phone"].concat()
        }
    }

    /// Always the number the call is placed for, never anonymous: who is called for sales must be told by whom (47 CFR
    /// 64.1601(e)). To an agent we are who we are.
    fn caller(&self) -> String {
        let tag = &self.from_tag;
        let numbers = match &self.whom {
            Whom::Number(numbers) => numbers,
            Whom::Desk(_) => return ["\"dialgate\" <", &self.local.uri(), ">;tag=", tag].concat(),
        };
        let uri = self.uri(numbers.from);
        match &self.trunk.display_name {
            Some(name) => {
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                ["\"", &name, "\" <", &uri, ">;tag=", tag].concat()
            }
            None => ["<", &uri, ">;tag=", tag].concat(),
        }
    }

    fn callee(&self, tag: &str) -> String {
        let uri = self.request_uri();
        // A far end of RFC 2543 has no tag.
        match tag {
            "" => ["<", &uri, ">"].concat(),
            tag => ["<", &uri, ">;tag=", tag].concat(),
        }
    }

    /// The lines that every request has.
    fn request(
        &self,
        method: &str,
        uri: &str,
        to: &str,
        cseq: u32,
        (transport, branch): (Transport, &str),
    ) -> Draft {
        let (by, transport) = (&self.local.sent_by, transport.in_via());
        let mut draft = Draft::request(method, uri);
        draft.line(
            "Via",
            &["SIP/2.0/", transport, " ", by, ";branch=", branch, ";rport"],
        );
        draft.line("Max-Forwards", &["70"]);
        draft.line("From", &[&self.caller()]);
        draft.line("To", &[to]);
        draft.line("Call-ID", &[&self.call_id]);
        draft.line("CSeq", &[&cseq.to_string(), " ", method]);
        draft
    }

    /// Has the INVITEs of a permit of this moment vouched for; tells whether their lines are new.
    pub(super) fn vouch(&mut self, at: Micros) -> Result<bool, Unsigned> {
        let Whom::Number(numbers) = &mut self.whom else {
            return Ok(false);
        };
        let passport = (numbers.vouched.by).passport(numbers.from, numbers.to, at)?;
        let signed = passport.is_some();
        numbers.vouched.lines = passport.map_or_else(Vec::new, |passport| {
            let date = passport.issued().timestamp();
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            vec![
                Header::new("Date", date),
                Header::new("Identity", passport.value().to_owned()),
            ]
        });
        Ok(signed)
    }

    /// An INVITE, locked until its warrant opens it, with credentials and the terms of the session timer. One that a datagram might
    /// lose a part of goes by a stream, where the trunk has one and it was not refused before (RFC 3261 section 18.1.1), and so does one
    /// that the far end calls too large.
    pub(super) fn invite(
        &self,
        cseq: u32,
        branch: &str,
        extra: (&[Header], &[Header]),
        offer: &[u8],
        way: Way,
    ) -> LockedInvite {
        let to = self.trunk.hop();
        let bytes = self.invite_bytes(to.transport(), cseq, branch, extra, offer);
        match self.trunk.hop_of_large() {
            Some(stream) if way.is_stream(bytes.len()) => {
                let bytes = self.invite_bytes(stream.transport(), cseq, branch, extra, offer);
                self.lock(bytes, stream)
            }
            _ => self.lock(bytes, to),
        }
    }

    fn lock(&self, bytes: Vec<u8>, to: Hop) -> LockedInvite {
        match &self.whom {
            Whom::Number(_) => LockedInvite::new(bytes, to),
            Whom::Desk(desk) => LockedInvite::for_desk(bytes, to, Arc::clone(desk)),
        }
    }

    fn invite_bytes(
        &self,
        transport: Transport,
        cseq: u32,
        branch: &str,
        (auth, terms): (&[Header], &[Header]),
        offer: &[u8],
    ) -> Vec<u8> {
        let (uri, to) = (self.request_uri(), self.callee(""));
        let mut draft = self.request("INVITE", &uri, &to, cseq, (transport, branch));
        draft.line("Contact", &self.local.contact_parts(transport));
        if let Whom::Number(numbers) = &self.whom {
            if self.trunk.trusted {
                let asserted = self.uri(self.trunk.asserted_number.unwrap_or(numbers.from));
                draft.line("P-Asserted-Identity", &["<", &asserted, ">"]);
            }
            draft.lines(&numbers.vouched.lines);
        }
        draft.lines(auth);
        draft.lines(terms);
        draft.line("Allow", &[ALLOW]);
        draft.line("User-Agent", &["dialgate"]);
        if !offer.is_empty() {
            draft.line("Content-Type", &[SDP]);
        }
        draft.end(offer)
    }

    /// The CANCEL of an INVITE: its branch, its number, its way (RFC 3261 section 9.1).
    pub(super) fn cancel(&self, cseq: u32, sent: (Transport, &str), reason: &str) -> Vec<u8> {
        let (uri, to) = (self.request_uri(), self.callee(""));
        let mut draft = self.request("CANCEL", &uri, &to, cseq, sent);
        draft.line("Reason", &[reason]);
        draft.end(&[])
    }

    /// The ACK of a final response that is no 2xx: part of the INVITE's transaction (RFC 3261 section 17.1.1.3). It has the
    /// response's To, unless something stands there that is not to be repeated; then what counts of it.
    pub(super) fn ack_failure(
        &self,
        cseq: u32,
        sent: (Transport, &str),
        to: &str,
        tag: &str,
    ) -> Vec<u8> {
        let ours = to.contains(char::is_control).then(|| self.callee(tag));
        let to = ours.as_deref().unwrap_or(to);
        let draft = self.request("ACK", &self.request_uri(), to, cseq, sent);
        draft.end(&[])
    }

    /// A request within a dialog, and where it goes.
    pub(super) fn within(
        &self,
        method: InDialog,
        remote: &Remote,
        cseq: u32,
        branch: &str,
        extra: &[Header],
        body: &[u8],
    ) -> (Vec<u8>, Hop) {
        let (uri, routes) = remote.request_uri();
        let hop = match self.whom {
            Whom::Number(_) => remote.next_hop().and_then(|next| self.trunk.hop_to(next)),
            // An agent's phone may say what it likes of where it is: nothing of its leg leaves by another way than the
            // configuration's, or it might be a carrier's, with a number of the phone's choice in the first line.
            Whom::Desk(_) => None,
        };
        let hop = hop.unwrap_or_else(|| self.trunk.hop());
        let sent = (hop.transport(), branch);
        let mut draft = self.request(method.as_str(), uri, &self.callee(&remote.tag), cseq, sent);
        for route in routes.iter() {
            draft.line("Route", &[route]);
        }
        draft.lines(extra);
        (draft.end(body), hop)
    }
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

/// The requests that we send within a dialog. An INVITE among them bears the tag of a far end that has answered: it begins no
/// call, reaches nobody new, and so needs no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InDialog {
    Ack,
    Bye,
    Info,
    Invite,
    Prack,
    Update,
}

impl InDialog {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Info => "INFO",
            Self::Invite => "INVITE",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
        }
    }
}

#[cfg(test)]
mod tests;
