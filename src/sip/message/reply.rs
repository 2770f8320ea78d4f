//! Responses, and where they go.

use std::net::SocketAddr;

use super::SDP;
use crate::sip::head::{Draft, Header, Headers};
use crate::sip::peer::Hop;
use crate::sip::values::{Address, Via, split};

/// The request that a response answers.
#[derive(Debug, Clone, Copy)]
pub(in crate::sip) struct Asked<'a> {
    pub(in crate::sip) headers: &'a Headers,
    pub(in crate::sip) via: &'a Via,
    pub(in crate::sip) source: &'a Hop,
}

/// What a response says.
#[derive(Debug, Default)]
pub(in crate::sip) struct Reply<'a> {
    pub(in crate::sip) code: u16,
    pub(in crate::sip) phrase: &'a str,
    /// Put into To, where the request has no tag there.
    pub(in crate::sip) tag: &'a str,
    pub(in crate::sip) extra: Vec<Header>,
    pub(in crate::sip) sdp: &'a [u8],
}

/// A response and where it goes: by the connection or to the address that the request came from, whatever its Via says (RFC 3261 section 18.2.2
/// and RFC 3581; a Via that names a broadcast or foreign address steers nothing).
pub(in crate::sip) fn respond(asked: Asked<'_>, reply: &Reply<'_>) -> (Vec<u8>, Hop) {
    let mut draft = Draft::response(reply.code, reply.phrase);
    draw_vias(&mut draft, asked);
    for line in asked.headers.lines("From") {
        draft.line("From", &[line]);
    }
    for line in asked.headers.lines("To") {
        let has_tag = Address::parse(line).is_ok_and(|address| address.params.get("tag").is_some());
        if has_tag || reply.tag.is_empty() {
            draft.line("To", &[line]);
        } else {
            // Without brackets too: what follows is the header's then, and not the URI's (RFC 3261 section 20.10).
            draft.line("To", &[line, ";tag=", reply.tag]);
        }
    }
    for name in ["Call-ID", "CSeq"] {
        for line in asked.headers.lines(name) {
            draft.line(name, &[line]);
        }
    }
    draft.lines(&reply.extra);
    if !reply.sdp.is_empty() {
        draft.line("Content-Type", &[SDP]);
    }
    let to = match (asked.source, asked.via.rport) {
        (Hop::Udp(source), false) => {
            let port = asked.via.port.filter(|port| *port > 0).unwrap_or(5060);
            Hop::Udp(SocketAddr::new(source.ip(), port))
        }
        (source, _) => source.clone(),
    };
    (draft.end(reply.sdp), to)
}

/// All Vias in their order, the topmost completed with where the request really came from.
fn draw_vias(draft: &mut Draft, asked: Asked<'_>) {
    let kept: Vec<&str> = split(&asked.via.text, b';')
        .unwrap_or_default()
        .into_iter()
        .filter(|part| {
            let name = part.split('=').next().unwrap_or_default().trim();
            !name.eq_ignore_ascii_case("rport") && !name.eq_ignore_ascii_case("received")
        })
        .collect();
    let source = asked.source.target().addr;
    let mut top = format!("{};received={}", kept.join(";"), source.ip());
    if asked.via.rport {
        top.push_str(&format!(";rport={}", source.port()));
    }
    draft.line("Via", &[&top]);
    let others = asked.headers.lines("Via");
    for other in others
        .flat_map(|line| split(line, b',').unwrap_or_default())
        .skip(1)
    {
        draft.line("Via", &[other]);
    }
}
