//! The places where bytes of others come in, each with what must hold whatever they are: nothing panics, the work is bounded,
//! what was read and is written again reads the same, and what we would answer can be read too.
//!
//! Built for tests and for the fuzz targets in `fuzz/` alone, which both call just these five.

use super::auth::Auth;
use super::config::{Secret, Trunk};
use super::framing::{Frame, Framer, MESSAGE_BYTES_MAX};
use super::head::Draft;
use super::message::quoted;
use super::peer::Hop;
use super::target::Destination;
use super::token::Tokens;
use super::values::{Address, Via, host_and_port, is_token, is_uri, split, unquote, uri_param};
use super::wire::{Message, Start, parse};
use super::{sdp, stray};

/// Where a message of the tests comes from.
fn source() -> Hop {
    Hop::Udp(([192, 0, 2, 9], 4_444).into())
}

/// Bytes of a stream, in pieces that the first byte chooses: however they are cut, the same messages come out.
pub fn framing(bytes: &[u8]) {
    let (first, stream) = bytes.split_first().unwrap_or((&0, &[]));
    let whole = frames(std::iter::once(stream));
    let mut step = usize::from(*first) + 1;
    let pieces = std::iter::successors(Some((&[][..], stream)), |(_, rest)| {
        // Some small and some large ones.
        step = (step * 31 + 7) % 1_021;
        (!rest.is_empty()).then(|| rest.split_at(rest.len().min(1 + step % 97)))
    });
    assert_eq!(whole, frames(pieces.map(|(piece, _)| piece)));
    for bytes in whole.0 {
        message(&bytes);
    }
}

/// The messages that come out, and how it ended: broken, within a message or between two.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<bool>) {
    let (mut framer, mut messages) = (Framer::default(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    assert!(bytes.len() <= MESSAGE_BYTES_MAX);
                    messages.push(bytes);
                }
                // How many pings it takes for one depends on the cut.
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(_) => return (messages, None),
            }
        }
    }
    (messages, Some(framer.is_within()))
}

/// One message.
pub fn message(bytes: &[u8]) {
    let source = source();
    let (answer, readable) = match parse(bytes) {
        Ok(message) => {
            reads_the_same(&message);
            for name in ["Contact", "Record-Route", "Require", "Via"] {
                let _ = message.list(name);
            }
            let _ = message.sdp();
            (stray::answer(&message, &source, "secret"), true)
        }
        Err(refusal) => (stray::answer_refusal(&refusal, &source, "secret"), false),
    };
    if let Some((answer, to)) = answer {
        assert_eq!(to.target().addr.ip(), source.target().addr.ip());
        assert!(answer.len() <= 4 * bytes.len() + 1_024);
        let text = String::from_utf8_lossy(&answer);
        // What could not be read is repeated as it came; it must not become another message by that.
        let ends = text.matches("\r\n\r\n").count();
        assert!(text.starts_with("SIP/2.0 ") && ends == 1, "{text}");
        let read = parse(&answer);
        assert!(read.is_ok() || !readable, "{:?}: {text}", read.err());
    }
}

fn reads_the_same(message: &Message) {
    let mut draft = match &message.start {
        Start::Request { uri } => Draft::request(&message.method, uri),
        Start::Response { code, reason } => Draft::response(*code, reason),
    };
    let lines = |message: &Message| -> Vec<(String, String)> {
        let lines = message.headers.all();
        lines
            .filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    for (name, value) in lines(message) {
        draft.line(&name, &[&value]);
    }
    let bytes = draft.end(&message.body);
    let again = parse(&bytes).map_err(|refusal| refusal.why);
    let parts = |message: &Message| {
        (
            message.start.clone(),
            message.method.clone(),
            message.cseq,
            message.call_id.clone(),
            (message.from_tag.clone(), message.to_tag.clone()),
            message.via.clone(),
            message.body.clone(),
            lines(message),
        )
    };
    assert_eq!(again.as_ref().map(parts), Ok(parts(message)));
}

/// A URI, an address, a Via, a destination of the configuration, a list.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for separator in [b',', b';'] {
        let _ = split(text, separator);
    }
    assert_eq!(unquote(&format!("\"{}\"", escaped(text))), text);
    assert!(!quoted(text).contains(char::is_control));
    let _ = uri_param(text, "transport");
    if let Ok(address) = Address::parse(text) {
        assert!(is_uri(address.uri));
        let bracketed = format!("<{}>", address.uri);
        assert_eq!(
            Address::parse(&bracketed).map(|again| again.uri.to_owned()),
            Ok(address.uri.to_owned())
        );
        if let Ok(Some(tag)) = address.params.token("tag") {
            assert!(is_token(tag));
        }
    }
    if let Ok(via) = Via::parse(text) {
        assert_eq!(Via::parse(&via.text), Ok(via));
    }
    if let Some((host, port)) = host_and_port(text) {
        let host_text = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        let again = host_and_port(&format!("sip:{host_text}{port_text}"));
        assert_eq!(again, Some((host, port)));
    }
    if let Ok(destination) = text.parse::<Destination>() {
        assert_eq!(destination.to_string().parse(), Ok(destination));
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// An offer, and behind a NUL the answer to it.
pub fn session(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let offer = parts.next().unwrap_or_default();
    let answer = parts.next().unwrap_or(offer);
    let sound = sdp::check_offer(offer).is_ok();
    assert!(!sound || sdp::fits(offer, offer));
    let _ = sdp::fits(offer, answer);
    assert!(sdp::unchanged(offer, offer));
    assert_eq!(sdp::unchanged(offer, answer), sdp::unchanged(answer, offer));
}

/// The value of a challenge; what we send back has to be a header that says what was meant.
pub fn challenge(bytes: &[u8]) {
    let value = String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ");
    let head = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n";
    let text = format!("SIP/2.0 401 Unauthorized\r\n{head}WWW-Authenticate: {value}\r\n\r\n");
    let Ok(message) = parse(text.as_bytes()) else {
        return;
    };
    let addr = source().target().addr;
    let trunk = Trunk {
        username: Some("user".to_owned()),
        password: Some(Secret::new("secret".to_owned())),
        ..Trunk::new("t", addr, "carrier.example")
    };
    let mut auth = Auth::default();
    if auth.challenged(&message, false, &trunk).is_err() {
        return;
    }
    let mut tokens = Tokens::System;
    let headers = auth.headers("INVITE", "sip:a@b", &trunk, &mut tokens);
    let mut draft = Draft::request("INVITE", "sip:a@b");
    for line in head.split_terminator("\r\n") {
        if let Some((name, value)) = line.split_once(": ") {
            draft.line(name, &[value]);
        }
    }
    draft.lines(&headers);
    let sent = parse(&draft.end(&[])).map_err(|refusal| refusal.why);
    let read = sent.map(|sent| sent.first("Authorization").map(str::to_owned));
    let written = headers.first().map(|header| header.value.to_string());
    assert_eq!(read, Ok(written.clone()));
    let parts = written.as_deref().map(|value| split(value, b','));
    assert!(matches!(parts, Some(Ok(parts)) if parts.len() >= 5));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that look like something more often than chance would have it: words of the grammar, and noise between them.
    fn like(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
        let noise = prop::collection::vec(any::<u8>(), 1..4);
        let pieces = prop::collection::vec(prop_oneof![12 => word, 1 => noise], 0..40);
        pieces.prop_map(|pieces| pieces.concat())
    }

    const LINES: &[&str] = &[
        "INVITE sip:a@b SIP/2.0\r\n",
        "SIP/2.0 200 OK\r\n",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n",
        "v: SIP / 2.0 / TCP h ; branch = x , SIP/2.0/UDP i\r\n",
        "From: \"A, \\\"B\" <sip:a@b;x=y>;tag=1\r\n",
        "f: sip:a@b\r\n",
        "To: <sip:a@b>\r\n",
        "t: a <sip:a@b> ; tag = 2\r\n",
        "Call-ID: 1@x\r\n",
        "CSeq: 1 INVITE\r\n",
        "CSeq: 2 BYE\r\n",
        "Require: a, b\r\n",
        "Contact: <sip:a@b>;q=1, *\r\n",
        "Content-Length: 4\r\n",
        "l: 0\r\n",
        " folded\r\n",
        "\r\n",
        "body",
        "\r",
        "\n",
    ];
    /// Whole messages, for those that chance does not put together.
    const WHOLE: &[&str] = &[
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: sip:a@b;x=\"y\"\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n",
        "SIP/2.0 180 Ring, ring\r\nv: SIP/2.0/TCP h:1;received=x;branch=z9hG4bK1\r\nf: \"q\" <sip:a@b>;tag=1\r\nt: <sip:a@b>;tag=2\r\ni: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 3\r\n\r\nabc",
        "FOO sip:a@b SIP/7.0\r\nVia: SIP/2.0/UDP h;rport;branch=\"a;b\"\r\nFrom: a<sip:a@b>\r\nTo: b<sip:a@b>;tag=9\r\nCall-ID: 1\r\nCSeq: 1 FOO\r\nContent-Length: 0\r\n\r\n",
        "BYE tel:+1 SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n , SIP/2.0/UDP i\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
    ];

    fn edited() -> impl Strategy<Value = Vec<u8>> {
        let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
        let edits = prop::collection::vec(edit, 0..8);
        (prop::sample::select(WHOLE), edits).prop_map(|(text, edits)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte, kind) in edits {
                let at = at.index(bytes.len());
                let marks = b"\r\n:;,<>\"\\ \t";
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes[at] = marks[usize::from(byte) % marks.len()],
                    2 => bytes.insert(at, marks[usize::from(byte) % marks.len()]),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        })
    }

    const URIS: &[&str] = &[
        "sip:",
        "sips:",
        "tel:",
        "tcp:",
        "tls:",
        "a",
        "@",
        "b.example",
        "[::1]",
        "192.0.2.1",
        ":",
        "5060",
        "99999",
        ";",
        "transport=tcp",
        "lr",
        "?",
        "h=v",
        "<",
        ">",
        "\"",
        "\\",
        ",",
        " ",
        "tag=",
        "x",
        "SIP/2.0/UDP ",
        "/",
        "branch=z9hG4bK1",
        "rport",
        "=",
        "\t",
        "[",
        "]",
        ".",
        "é",
        "\u{2028}",
    ];
    const SESSIONS: &[&str] = &[
        "v=0\r\n",
        "o=- 1 1 IN IP4 192.0.2.1\r\n",
        "s=-\r\n",
        "c=IN IP4 192.0.2.1\r\n",
        "t=0 0\r\n",
        "m=audio 4000 RTP/AVP 0 8\r\n",
        "m=video 0 RTP/AVP 31\r\n",
        "a=sendrecv\r\n",
        "a=crypto:1\r\n",
        "m=audio 99999999999999999999 RTP/AVP 0\r\n",
        "\0",
        "\n",
        "\r",
        "m=",
        "b=AS:1\r\n",
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n",
    ];
    const CHALLENGES: &[&str] = &[
        "Digest ",
        "digest\t",
        "Basic ",
        "realm=\"a\"",
        "realm=a",
        "nonce=\"b\"",
        ",",
        ", ",
        "algorithm=MD5",
        "algorithm=\"SHA-256-sess\"",
        "qop=\"auth,auth-int\"",
        "qop=auth",
        "stale=TRUE",
        "opaque=\"\\\"c\\\\\"",
        "realm=\"a\\\"b\u{1}é\"",
        "nonce=\"\\\"",
        "=",
        "\"",
    ];

    proptest! {
        #[test]
        fn any_stream(first in any::<u8>(), bytes in prop_oneof![like(LINES), like(WHOLE), edited()]) {
            framing(&[&[first], bytes.as_slice()].concat());
        }

        #[test]
        fn any_message(bytes in prop_oneof![like(LINES), edited()]) {
            message(&bytes);
        }

        #[test]
        fn any_uri(bytes in like(URIS)) {
            uri(&bytes);
        }

        #[test]
        fn any_session(bytes in like(SESSIONS)) {
            session(&bytes);
        }

        #[test]
        fn any_challenge(bytes in like(CHALLENGES)) {
            challenge(&bytes);
        }

        #[test]
        fn bytes_without_any_sense(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for entry in [framing, message, uri, session, challenge] {
                entry(&bytes);
            }
        }
    }

    /// What a far end can make us do grows with what it sends, and not with its square.
    #[test]
    fn long_values_cost_little_more_than_their_length() {
        for piece in [
            "<",
            "\"",
            ",",
            ";a",
            "\\",
            "a\r\n ",
            "v: x\r\n",
            "=",
            "[",
            "Via: SIP/2.0/UDP h,",
        ] {
            let text = piece.repeat(60_000 / piece.len());
            for entry in [framing, message, uri, session, challenge] {
                entry(text.as_bytes());
            }
            let whole = WHOLE[0].replace("Call-ID", &format!("X: {text}\r\nCall-ID"));
            message(whole.as_bytes());
        }
    }
}
