//! Requests that belong to no call of ours: answered as RFC 3261 asks, without state, and never taken up.

use sha2::{Digest, Sha256};

use super::head::Header;
use super::message::{ALLOW, Asked, Reply, SDP, respond};
use super::peer::Hop;
use super::token::hex;
use super::wire::{Message, Refusal, Start};

/// The answer, if one is due. The tag follows from the request, so that a repetition gets the same (section 8.2.7).
pub(super) fn answer(message: &Message, source: &Hop, secret: &str) -> Option<(Vec<u8>, Hop)> {
    let Start::Request { uri } = &message.start else {
        return None;
    };
    let allow = || Header::new("Allow", ALLOW);
    let (code, phrase, extra) = match message.method.as_str() {
        "ACK" => return None,
        _ if !is_sip(uri) => (416, "Unsupported URI Scheme", Vec::new()),
        _ if message.to_tag.is_some() => (481, "Call/Transaction Does Not Exist", Vec::new()),
        // We know no extension: RFC 3261 section 8.2.2.3.
        "OPTIONS" if !message.list("Require").is_empty() => {
            let unsupported = message.list("Require").join(", ");
            let unsupported = Header::new("Unsupported", unsupported);
            (420, "Bad Extension", vec![unsupported])
        }
        "OPTIONS" => {
            let accept = Header::new("Accept", SDP);
            (200, "OK", vec![allow(), accept])
        }
        // Nobody calls us: we only place calls.
        "INVITE" => (403, "Forbidden", Vec::new()),
        "BYE" | "CANCEL" | "PRACK" | "UPDATE" | "INFO" => {
            (481, "Call/Transaction Does Not Exist", Vec::new())
        }
        "MESSAGE" | "NOTIFY" | "PUBLISH" | "REFER" | "REGISTER" | "SUBSCRIBE" => {
            (405, "Method Not Allowed", vec![allow()])
        }
        _ => (501, "Not Implemented", vec![allow()]),
    };
    let asked = Asked {
        headers: &message.headers,
        via: &message.via,
        source,
    };
    let reply = Reply {
        code,
        phrase,
        tag: &tag(secret, &message.call_id, &message.via.branch),
        extra,
        sdp: &[],
    };
    Some(respond(asked, &reply))
}

/// The answer to a request that could not be read.
pub(super) fn answer_refusal(
    refusal: &Refusal,
    source: &Hop,
    secret: &str,
) -> Option<(Vec<u8>, Hop)> {
    let (code, headers, via) = refusal.answer.as_deref()?;
    let phrase = match code {
        505 => "Version Not Supported",
        _ => "Bad Request",
    };
    let asked = Asked {
        headers,
        via,
        source,
    };
    let reply = Reply {
        code: *code,
        phrase,
        tag: &tag(secret, "", &via.branch),
        ..Reply::default()
    };
    Some(respond(asked, &reply))
}

fn is_sip(uri: &str) -> bool {
    let scheme = uri.split(':').next().unwrap_or_default();
    ["sip", "sips", "tel"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

fn tag(secret: &str, call_id: &str, branch: &str) -> String {
    let digest = Sha256::digest(format!("{secret}\0{call_id}\0{branch}").as_bytes());
    hex(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::parse;

    fn check(name: &str) -> Option<u16> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rfc4475/");
        let bytes = std::fs::read(format!("{folder}{name}.dat")).unwrap();
        let source = Hop::Udp(([192, 0, 2, 9], 4444).into());
        let (bytes, to) = match parse(&bytes) {
            Ok(message) => answer(&message, &source, "secret")?,
            Err(refusal) => answer_refusal(&refusal, &source, "secret")?,
        };
        assert_eq!(
            to.target().addr.ip(),
            source.target().addr.ip(),
            "a Via steers nothing"
        );
        let answer = parse(&bytes).unwrap();
        assert!(answer.to_tag.is_some());
        match answer.start {
            Start::Response { code, .. } => Some(code),
            Start::Request { .. } => panic!("a request"),
        }
    }

    #[test]
    fn requests_outside_calls_get_their_due() {
        for (name, expected) in [
            ("wsinv", Some(481)),
            ("inv2543", Some(403)),
            ("esc02", Some(501)),
            ("intmeth", Some(501)),
            ("lwsdisp", Some(200)),
            ("transports", Some(200)),
            ("dblreq", Some(405)),
            ("unkscm", Some(416)),
            ("badvers", Some(505)),
            ("bext01", Some(420)),
            ("mismatch01", Some(400)),
            ("lwsruri", Some(400)),
            ("bcast", None),
            ("insuf", None),
        ] {
            assert_eq!(check(name), expected, "{name}");
        }
    }
}
