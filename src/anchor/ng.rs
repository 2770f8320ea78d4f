//! The messages of the NG protocol as this node speaks it: a cookie, a space and a dictionary in bencode; rtpengine's
//! `docs/ng_control_protocol.md`. Pure: what a request says, and what a datagram answers.

use super::bencode::Value;

/// The longest datagram that is taken for a reply: a session description and what rtpengine adds to it.
pub(super) const REPLY_BYTES_MAX: usize = 32_768;

/// The longest session description that is taken from an engine.
const SDP_BYTES_MAX: usize = 16_384;

/// What is kept of the reason of a refusal.
const REASON_CHARS_MAX: usize = 80;

/// The end of a session that speaks: who sent the description, or whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client, who brought the offer of the call.
    Client,
    /// The trunk's side.
    Carrier,
}

impl End {
    /// Its tag in the session. It is not the one of the SIP dialog: an answer by another fork of the call moves the carrier's
    /// end to where that fork is, while the client, who may have finished its DTLS handshake, keeps the ports and the
    /// fingerprint that it was told.
    fn tag(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Carrier => "carrier",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Carrier,
            Self::Carrier => Self::Client,
        }
    }
}

/// Whether a description offers or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Answer,
}

/// How the client's media is carried, as its offer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// The protocol of its audio, as SDP writes it.
    pub protocol: &'static str,
    /// Whether it looks for a way by ICE.
    pub ice: bool,
}

/// A description on its way through an engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Description<'a> {
    pub(super) kind: Kind,
    /// Who sent it.
    pub(super) from: End,
    pub(super) sdp: &'a [u8],
    /// The very first of its session: the other end is not known yet.
    pub(super) first: bool,
    pub(super) client: Manner,
    /// The engine's interfaces towards client and carrier, if they are named.
    pub(super) interfaces: Option<(&'a str, &'a str)>,
}

/// Is it there?
pub(super) fn ping() -> Vec<u8> {
    encoded(vec![entry("command", "ping")])
}

/// Forgets a session, and frees its ports at once: what still arrives for it is nobody's.
pub(super) fn delete(call_id: &str) -> Vec<u8> {
    encoded(vec![
        entry("command", "delete"),
        entry("call-id", call_id),
        entry("from-tag", End::Client.tag()),
        ("delete delay", Value::Integer(0)),
    ])
}

/// Has a description rewritten for the other end.
pub(super) fn rewrite(call_id: &str, description: &Description<'_>) -> Vec<u8> {
    let Description {
        kind,
        from,
        sdp,
        first,
        client,
        interfaces,
    } = *description;
    // Whoever offered is `from` in the offer and in its answer (RFC 3264 by way of the SIP tags).
    let (offerer, is_offer) = match kind {
        Kind::Offer => (from, true),
        Kind::Answer => (from.other(), false),
    };
    let mut entries = vec![
        entry("command", if is_offer { "offer" } else { "answer" }),
        entry("call-id", call_id),
        entry("from-tag", offerer.tag()),
        ("sdp", Value::Text(sdp)),
        ("replace", words(&["origin", "session connection"])),
    ];
    if !first {
        entries.push(entry("to-tag", offerer.other().tag()));
    }
    if is_offer {
        // Or a full engine answers like one that does not like the offer.
        entries.push(("supports", words(&["load limit"])));
    }
    if let (true, Some((client, carrier))) = (first, interfaces) {
        entries.push(("direction", words(&[client, carrier])));
    }
    // Whoever was told of a port may send there as long as the call lasts: when another fork answers, the client is not told to
    // move, and after an offer that came to nothing nobody is.
    let mut flags = vec!["port latching"];
    entries.extend(match from.other() {
        End::Carrier => towards_carrier(is_offer, client),
        End::Client => {
            if client.ice {
                flags.push("generate mid");
            }
            towards_client(is_offer, client)
        }
    });
    entries.push(("flags", words(&flags)));
    encoded(entries)
}

/// A trunk speaks plain RTP: no ICE, no keys, RTCP at a port of its own.
fn towards_carrier(is_offer: bool, client: Manner) -> Vec<(&'static str, Value<'static>)> {
    let mut entries = vec![entry("ICE", "remove")];
    if is_offer {
        entries.extend([
            entry("transport protocol", "RTP/AVP"),
            entry("DTLS", "off"),
            ("SDES", words(&["off"])),
            ("rtcp-mux", words(&["demux"])),
        ]);
    }
    if is_offer && client.ice {
        // Or it begins a handshake as soon as ICE has found a way, long before the client hears in an answer who begins.
        entries.push(entry("DTLS-reverse", "passive"));
    }
    entries
}

/// As its own offer was. To an ICE agent the engine is the server of the DTLS handshake, which waits for packets by the way that
/// ICE found in place of sending some by one that may not be open.
fn towards_client(is_offer: bool, client: Manner) -> Vec<(&'static str, Value<'static>)> {
    let mut entries = vec![entry("ICE", if client.ice { "force" } else { "remove" })];
    if client.ice {
        entries.push(entry("DTLS", "passive"));
    }
    if is_offer {
        entries.push(entry("transport protocol", client.protocol));
        if client.ice {
            entries.push(("rtcp-mux", words(&["require"])));
        }
        if client.protocol.starts_with("UDP/TLS/") {
            entries.push(("SDES", words(&["off"])));
        }
    }
    entries
}

fn entry<'a>(key: &'static str, text: &'a str) -> (&'static str, Value<'a>) {
    (key, Value::from(text))
}

fn words<'a>(words: &[&'a str]) -> Value<'a> {
    Value::List(words.iter().copied().map(Value::from).collect())
}

fn encoded(entries: Vec<(&'static str, Value<'_>)>) -> Vec<u8> {
    let entries = entries.into_iter();
    let dictionary = Value::Dictionary(
        entries
            .map(|(key, value)| (key.as_bytes(), value))
            .collect(),
    );
    let mut out = Vec::new();
    dictionary.encode(&mut out);
    out
}

/// A request with the cookie that its reply bears.
pub(super) fn request(cookie: &str, body: &[u8]) -> Vec<u8> {
    [cookie.as_bytes(), b" ", body].concat()
}

/// What an engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It is there.
    Pong,
    /// It has done it; with the description that it wrote.
    Done(Option<Vec<u8>>),
    /// It has as many sessions as it may have.
    Full,
    /// It will not, for a reason in words.
    Refused(String),
}

/// The reply that a datagram is to the request with this cookie; nothing if it is none, or cannot be read: who waits goes on
/// waiting, for anybody may send a datagram.
pub(super) fn reply(datagram: &[u8], cookie: &str) -> Option<Reply> {
    let body = datagram
        .strip_prefix(cookie.as_bytes())?
        .strip_prefix(b" ")?;
    let value = Value::decode(body).ok()?;
    match value.get("result")?.text()? {
        b"pong" => Some(Reply::Pong),
        b"ok" => {
            let sdp = value.get("sdp").and_then(Value::text);
            let fits = sdp.is_none_or(|sdp| sdp.len() <= SDP_BYTES_MAX);
            fits.then(|| Reply::Done(sdp.map(<[u8]>::to_vec)))
        }
        b"load limit" => Some(Reply::Full),
        b"error" => {
            let reason = value.get("error-reason").and_then(Value::text);
            Some(Reply::Refused(in_words(reason.unwrap_or_default())))
        }
        _ => None,
    }
}

/// A reason without anything that might be a number or an address: it goes into the log and into the call's history.
fn in_words(reason: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphabetic() || b" -'".contains(byte);
    let text: String = reason
        .iter()
        .filter(|byte| plain(byte))
        .take(REASON_CHARS_MAX)
        .map(|byte| char::from(*byte))
        .collect();
    match text.trim() {
        "" => "no reason given".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BROWSER: Manner = Manner {
        protocol: "UDP/TLS/RTP/SAVPF",
        ice: true,
    };
    const PLAIN: Manner = Manner {
        protocol: "RTP/AVP",
        ice: false,
    };

    fn said(kind: Kind, from: End, first: bool, client: Manner) -> String {
        let description = Description {
            kind,
            from,
            sdp: b"v=0",
            first,
            client,
            interfaces: Some(("public", "private")),
        };
        String::from_utf8(rewrite("c", &description)).unwrap()
    }

    #[test]
    fn requests_are_written_as_the_protocol_has_them() {
        assert_eq!(request("7_1", &ping()), b"7_1 d7:command4:pinge");
        assert_eq!(
            String::from_utf8(delete("c")).unwrap(),
            "d7:command6:delete7:call-id1:c8:from-tag6:client12:delete delayi0ee"
        );
        assert_eq!(
            said(Kind::Offer, End::Client, true, BROWSER),
            "d7:command5:offer7:call-id1:c8:from-tag6:client3:sdp3:v=07:replacel6:origin18:session connectione\
             8:supportsl10:load limite9:directionl6:public7:privatee3:ICE6:remove18:transport protocol7:RTP/AVP\
             4:DTLS3:off4:SDESl3:offe8:rtcp-muxl5:demuxe12:DTLS-reverse7:passive5:flagsl13:port latchingee"
        );
        assert_eq!(
            said(Kind::Answer, End::Carrier, false, BROWSER),
            "d7:command6:answer7:call-id1:c8:from-tag6:client3:sdp3:v=07:replacel6:origin18:session connectione\
             6:to-tag7:carrier3:ICE5:force4:DTLS7:passive5:flagsl13:port latching12:generate midee"
        );
    }

    #[test]
    fn each_end_hears_of_what_it_speaks() {
        // Offerer and answerer keep their places, whoever asks for another session.
        let theirs = said(Kind::Offer, End::Carrier, false, BROWSER);
        assert!(theirs.contains("8:from-tag7:carrier") && theirs.contains("6:to-tag6:client"));
        assert!(theirs.contains("17:UDP/TLS/RTP/SAVPF") && theirs.contains("3:ICE5:force"));
        let ours = said(Kind::Answer, End::Client, false, BROWSER);
        assert!(ours.contains("8:from-tag7:carrier") && ours.contains("6:to-tag6:client"));
        assert!(ours.contains("3:ICE6:remove") && !ours.contains("passive"));
        // The directions are told once.
        assert!(!theirs.contains("direction") && !ours.contains("direction"));
        for kind in [Kind::Offer, Kind::Answer] {
            let plain = said(kind, End::Carrier, false, PLAIN);
            assert!(plain.contains("3:ICE6:remove"), "{plain}");
            for word in ["force", "passive", "SAVPF", "rtcp-mux", "SDES"] {
                assert!(!plain.contains(word), "{plain}");
            }
        }
    }

    #[test]
    fn replies_are_read_and_whatever_is_none_is_passed_over() {
        let read = |text: &str| reply(text.as_bytes(), "7_1");
        assert_eq!(read("7_1 d6:result4:ponge"), Some(Reply::Pong));
        assert_eq!(read("7_1 d6:result2:oke"), Some(Reply::Done(None)));
        assert_eq!(
            read("7_1 d3:sdp3:v=06:result2:oke"),
            Some(Reply::Done(Some(b"v=0".to_vec())))
        );
        assert_eq!(read("7_1 d6:result10:load limite"), Some(Reply::Full));
        let refused = |text: &str| Some(Reply::Refused(text.to_owned()));
        assert_eq!(
            read("7_1 d6:result5:error12:error-reason19:Failed to parse SDPe"),
            refused("Failed to parse SDP")
        );
        assert_eq!(
            read("7_1 d6:result5:error12:error-reason16:no 192.0.2.1\r\n:xe"),
            refused("no x")
        );
        assert_eq!(read("7_1 d6:result5:errore"), refused("no reason given"));
        let long = format!(
            "7_1 d6:result5:error12:error-reason500:{}e",
            "a".repeat(500)
        );
        assert_eq!(read(&long), refused(&"a".repeat(REASON_CHARS_MAX)));
        for none in [
            "",
            "7_1",
            "7_1 ",
            "7_2 d6:result4:ponge",
            "7_11 d6:result4:ponge",
            "7_1d6:result4:ponge",
            "7_1 d6:result4:ponge ",
            "7_1 d6:result4:pong",
            "7_1 d6:resulti1ee",
            "7_1 d6:result3:yese",
            "7_1 de",
            "7_1 l4:ponge",
            "7_1 4:pong",
            "hello",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        let sdp = "v".repeat(SDP_BYTES_MAX + 1);
        let huge = format!("7_1 d3:sdp{}:{sdp}6:result2:oke", sdp.len());
        assert_eq!(read(&huge), None);
    }

    proptest! {
        #[test]
        fn no_datagram_does_harm(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(&datagram, "7_1");
            let told = reply(&[b"7_1 ", datagram.as_slice()].concat(), "7_1");
            if let Some(Reply::Refused(reason)) = told {
                prop_assert!(reason.bytes().all(|byte| byte.is_ascii_alphabetic() || b" -'".contains(&byte)));
            }
        }
    }
}
