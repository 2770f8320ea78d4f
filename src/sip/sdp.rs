//! A look into SDP, whose bytes are otherwise passed on untouched; `held` describes sessions of our own, on hold, and `carried`
//! is for those that go from one leg of a call to the other.

mod carried;
mod held;

use sdp_types::{Media, Session};

pub use carried::Origin;
pub(super) use carried::{is_session, off_hold, same_but_for_origin, same_direction, stays_within};
pub(super) use held::{held_answer, held_offer};

/// The largest offer that is taken: with the head of the INVITE it stays far below what UDP carries.
pub const OFFER_BYTES_MAX: usize = 4_096;

/// The same where a media anchor makes a shorter one of it: browsers name many codecs, addresses and header extensions.
pub const ANCHORED_OFFER_BYTES_MAX: usize = 16_384;

/// Attributes of ICE, DTLS and SDES, which plain RTP trunks don't speak.
const NOT_PLAIN: [&str; 5] = ["ice-ufrag", "ice-pwd", "candidate", "fingerprint", "crypto"];

/// What plain RTP trunks speak.
const PLAIN: &str = "RTP/AVP";

/// What a media anchor makes plain RTP of.
const ANCHORED: [&str; 6] = [
    PLAIN,
    "RTP/AVPF",
    "RTP/SAVP",
    "RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
];

/// Why an SDP offer cannot be used on a trunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferProblem {
    /// Nothing there.
    #[error("the SDP offer is empty: send the softphone's session description")]
    Empty,
    /// Larger than a datagram should carry.
    #[error("the SDP offer has {size} bytes: send at most {max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What is taken.
        max: usize,
    },
    /// Not SDP.
    #[error("the SDP offer cannot be read: {0}")]
    Unreadable(String),
    /// A line that RFC 8866 asks for is not there.
    #[error("the SDP offer has no `{0}` line")]
    Missing(&'static str),
    /// No audio stream in it.
    #[error("the SDP offer has no audio stream: add an `m=audio` line with a port")]
    NoAudio,
    /// A transport that plain RTP trunks don't speak.
    #[error(
        "the SDP offer asks for `{0}`: this trunk speaks plain RTP, offer `RTP/AVP`, or give each trunk of the campaign an `anchor`"
    )]
    Transport(String),
    /// ICE, DTLS or SDES, which plain RTP trunks don't speak.
    #[error(
        "the SDP offer has `a={0}`: this trunk speaks plain RTP, switch ICE, DTLS and SRTP off in the softphone, or give each \
         trunk of the campaign an `anchor`"
    )]
    Attribute(&'static str),
    /// A transport that a media anchor does not make plain RTP of.
    #[error(
        "the SDP offer asks for `{0}`, of which a media anchor makes no plain RTP: leave that stream out"
    )]
    NotAnchored(String),
}

/// How a client's media is carried, as its offer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The protocol of its audio, as SDP writes it.
    pub protocol: &'static str,
    /// Whether it looks for a way by ICE.
    pub ice: bool,
    /// Whether a trunk of plain RTP can do with it as it is.
    pub is_plain: bool,
}

/// Whether an SDP offer can be used on a trunk of plain RTP; asked before a call is accepted, instead of a 488 later.
pub fn check_offer(offer: &[u8]) -> Result<(), OfferProblem> {
    let session = sound(offer, OFFER_BYTES_MAX)?;
    for media in session.medias.iter().filter(|media| media.port > 0) {
        if media.proto != PLAIN {
            return Err(OfferProblem::Transport(media.proto.clone()));
        }
    }
    if let Some(name) = not_plain(&session) {
        return Err(OfferProblem::Attribute(name));
    }
    with_audio(&session)
}

/// The same for a trunk with a media anchor.
pub fn check_anchored_offer(offer: &[u8]) -> Result<(), OfferProblem> {
    let session = sound(offer, ANCHORED_OFFER_BYTES_MAX)?;
    for media in session.medias.iter().filter(|media| media.port > 0) {
        if !ANCHORED.contains(&media.proto.as_str()) {
            return Err(OfferProblem::NotAnchored(media.proto.clone()));
        }
    }
    with_audio(&session)
}

/// How the media of such an offer is carried; nothing if it is no such offer.
#[must_use]
pub fn carried(offer: &[u8]) -> Option<Carried> {
    check_anchored_offer(offer).ok()?;
    let session = Session::parse(offer).ok()?;
    let mut audio = session.medias.iter().filter(|media| is_audio(media));
    let audio = audio.next()?;
    let protocol = ANCHORED.into_iter().find(|known| *known == audio.proto)?;
    Some(Carried {
        protocol,
        ice: attributes(&session).any(|attribute| attribute.eq_ignore_ascii_case("ice-ufrag")),
        is_plain: check_offer(offer).is_ok(),
    })
}

/// The session of an offer that has what every offer must have.
fn sound(offer: &[u8], max: usize) -> Result<Session, OfferProblem> {
    if offer.is_empty() {
        return Err(OfferProblem::Empty);
    }
    let size = offer.len();
    if size > max {
        return Err(OfferProblem::TooLarge { size, max });
    }
    let session =
        Session::parse(offer).map_err(|error| OfferProblem::Unreadable(error.to_string()))?;
    // The parser fills a missing origin in.
    if !offer
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"o="))
    {
        return Err(OfferProblem::Missing("o="));
    }
    let mut medias = session.medias.iter().filter(|media| media.port > 0);
    if session.connection.is_none() && medias.any(|media| media.connections.is_empty()) {
        return Err(OfferProblem::Missing("c="));
    }
    Ok(session)
}

fn attributes(session: &Session) -> impl Iterator<Item = &str> {
    let medias = session.medias.iter().flat_map(|media| &media.attributes);
    let all = medias.chain(&session.attributes);
    all.map(|attribute| attribute.attribute.as_str())
}

fn not_plain(session: &Session) -> Option<&'static str> {
    let is = |name: &str| {
        let mut names = NOT_PLAIN.into_iter();
        names.find(|known| known.eq_ignore_ascii_case(name))
    };
    attributes(session).find_map(is)
}

fn with_audio(session: &Session) -> Result<(), OfferProblem> {
    match has_audio(session) {
        true => Ok(()),
        false => Err(OfferProblem::NoAudio),
    }
}

/// Whether an answer can belong to the offer: the same streams in the same order, none by another protocol than it was offered,
/// audio not refused, and an address to send to (RFC 3264 section 6).
pub(super) fn fits(offer: &[u8], answer: &[u8]) -> bool {
    let Ok(answer) = Session::parse(answer) else {
        return false;
    };
    // The offer is known to be sound ([`check_offer`]); its first words of streams are all that counts.
    let offered = offer
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"m="))
        .map(|media| {
            let mut words = media.split(|byte| *byte == b' ');
            (
                words.next().unwrap_or_default(),
                words.nth(1).unwrap_or_default(),
            )
        });
    let agrees = |(kind, protocol): (&[u8], &[u8]), media: &Media| {
        let is_open = media.port > 0;
        let has_address = answer.connection.is_some() || !media.connections.is_empty();
        kind == media.media.as_bytes()
            && (!is_open || has_address && protocol == media.proto.as_bytes())
    };
    offered.clone().count() == answer.medias.len()
        && offered
            .zip(&answer.medias)
            .all(|(then, now)| agrees(then, now))
        && has_audio(&answer)
}

/// Whether two descriptions of the far end are the same session in the same version (RFC 3264 section 8).
pub(super) fn unchanged(before: &[u8], now: &[u8]) -> bool {
    if before == now {
        return true;
    }
    let (Ok(before), Ok(now)) = (Session::parse(before), Session::parse(now)) else {
        return false;
    };
    before == now
}

/// Which way a stream flows (RFC 8866 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Both,
    Send,
    Receive,
    None,
}

impl Direction {
    fn of(line: &[u8]) -> Option<Self> {
        Some(match line {
            b"a=sendrecv" => Self::Both,
            b"a=sendonly" => Self::Send,
            b"a=recvonly" => Self::Receive,
            b"a=inactive" => Self::None,
            _ => return None,
        })
    }

    fn line(self) -> &'static [u8] {
        match self {
            Self::Both => b"a=sendrecv\r\n",
            Self::Send => b"a=sendonly\r\n",
            Self::Receive => b"a=recvonly\r\n",
            Self::None => b"a=inactive\r\n",
        }
    }
}

/// Lines with their ends, and without.
fn lines(session: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    session.split_inclusive(|byte| *byte == b'\n').map(|whole| {
        let bare = whole.strip_suffix(b"\n").unwrap_or(whole);
        (whole, bare.strip_suffix(b"\r").unwrap_or(bare))
    })
}

/// The direction of each stream; what is said for the whole session holds where a stream says nothing.
pub(super) fn directions(session: &[u8]) -> Vec<Direction> {
    let mut all = Direction::Both;
    let mut each: Vec<Option<Direction>> = Vec::new();
    for (_, line) in lines(session) {
        match (
            line.starts_with(b"m="),
            Direction::of(line),
            each.last_mut(),
        ) {
            (true, _, _) => each.push(None),
            (false, Some(said), Some(last)) => *last = Some(said),
            (false, Some(said), None) => all = said,
            (false, None, _) => {}
        }
    }
    each.into_iter().map(|said| said.unwrap_or(all)).collect()
}

/// The session with its streams in these directions; nothing if they are so already, or are not as many.
pub(super) fn directed(session: &[u8], wanted: &[Direction]) -> Option<Vec<u8>> {
    let now = directions(session);
    if now == wanted || now.len() != wanted.len() {
        return None;
    }
    let mut changed = Vec::with_capacity(session.len() + 16 * wanted.len());
    let mut left = wanted.iter();
    let mut current: Option<&Direction> = None;
    let close = |changed: &mut Vec<u8>, current: Option<&Direction>| {
        if let Some(direction) = current {
            if !changed.ends_with(b"\n") {
                changed.extend_from_slice(b"\r\n");
            }
            changed.extend_from_slice(direction.line());
        }
    };
    for (whole, line) in lines(session) {
        if Direction::of(line).is_some() {
            continue;
        }
        if line.starts_with(b"m=") {
            close(&mut changed, current);
            current = left.next();
        }
        changed.extend_from_slice(whole);
    }
    close(&mut changed, current);
    Some(changed)
}

/// The session with a later version: whoever changes a session says so (RFC 3264 section 8).
pub(super) fn raised(session: &[u8], by: u64) -> Vec<u8> {
    let mut raised = Vec::with_capacity(session.len() + 4);
    for (whole, line) in lines(session) {
        let end = whole.get(line.len()..).unwrap_or_default();
        match line
            .strip_prefix(b"o=")
            .and_then(|origin| later(origin, by))
        {
            Some(origin) => {
                raised.extend_from_slice(b"o=");
                raised.extend_from_slice(origin.as_bytes());
                raised.extend_from_slice(end);
            }
            None => raised.extend_from_slice(whole),
        }
    }
    raised
}

/// User, session and version, and where.
fn later(origin: &[u8], by: u64) -> Option<String> {
    let mut words: Vec<&str> = std::str::from_utf8(origin).ok()?.split(' ').collect();
    let version: u64 = words.get(2)?.parse().ok()?;
    let version = version.saturating_add(by).to_string();
    *words.get_mut(2)? = &version;
    Some(words.join(" "))
}

fn has_audio(session: &Session) -> bool {
    session.medias.iter().any(is_audio)
}

fn is_audio(media: &Media) -> bool {
    media.media == "audio" && media.port > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 7 41 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    #[test]
    fn directions_are_those_of_each_stream_or_of_the_whole() {
        use Direction::{Both, None, Receive, Send};
        for (rest, told) in [
            ("m=audio 4000 RTP/AVP 0\r\n", vec![Both]),
            ("m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n", vec![Receive]),
            (
                "a=inactive\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\nm=video 0 RTP/AVP 31\r\n",
                vec![Send, None],
            ),
        ] {
            let session = [HEAD, rest].concat();
            let session = session.as_bytes();
            assert_eq!(directions(session), told, "{rest}");
            assert_eq!(directed(session, &told), Option::None, "as it is");
            for wanted in [Both, Send, Receive, None] {
                let wanted = vec![wanted; told.len()];
                let changed = directed(session, &wanted);
                assert_eq!(changed.is_none(), wanted == told);
                if let Some(changed) = changed {
                    assert_eq!(directions(&changed), wanted);
                    assert!(Session::parse(&changed).is_ok());
                    // All else stays, in its order.
                    let other = |text: &[u8]| {
                        let kept = lines(text).filter(|(_, line)| Direction::of(line).is_none());
                        kept.map(|(whole, _)| whole.to_vec()).collect::<Vec<_>>()
                    };
                    assert_eq!(other(&changed), other(session));
                }
            }
            assert_eq!(directed(session, &[]), Option::None);
        }
        // A last line without an end.
        let short = [HEAD, "m=audio 4000 RTP/AVP 0"].concat();
        let changed = directed(short.as_bytes(), &[None]).unwrap();
        assert!(changed.ends_with(b"RTP/AVP 0\r\na=inactive\r\n"));
    }

    #[test]
    fn a_version_is_raised_and_nothing_else_changed() {
        let before = HEAD.as_bytes();
        let text = String::from_utf8(raised(before, 2)).unwrap();
        assert_eq!(text, HEAD.replace("7 41", "7 43"));
        for odd in ["o=-\n", "o=- 1 x IN IP4 h\r\n", ""] {
            assert_eq!(raised(odd.as_bytes(), 1), odd.as_bytes());
        }
        let most = format!("o=- 1 {} IN IP4 h", u64::MAX);
        assert_eq!(raised(most.as_bytes(), 1), most.as_bytes());
    }

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n";

    #[test]
    fn offers_that_a_plain_trunk_would_refuse_are_refused_first() {
        assert_eq!(check_offer(OFFER.as_bytes()), Ok(()));
        let cases = [
            (String::new(), OfferProblem::Empty),
            (
                format!("{OFFER}a={}\r\n", "x".repeat(OFFER_BYTES_MAX)),
                OfferProblem::TooLarge {
                    size: OFFER.len() + OFFER_BYTES_MAX + 4,
                    max: OFFER_BYTES_MAX,
                },
            ),
            (
                OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
                OfferProblem::Transport("UDP/TLS/RTP/SAVPF".to_owned()),
            ),
            (
                format!("{OFFER}a=ice-ufrag:x\r\n"),
                OfferProblem::Attribute("ice-ufrag"),
            ),
            (
                format!("{OFFER}a=fingerprint:sha-256 00\r\n"),
                OfferProblem::Attribute("fingerprint"),
            ),
            (OFFER.replace("audio", "video"), OfferProblem::NoAudio),
            (
                OFFER.replace("audio 4000", "audio 0"),
                OfferProblem::NoAudio,
            ),
            (
                OFFER.replace("c=IN IP4 192.0.2.1\r\n", ""),
                OfferProblem::Missing("c="),
            ),
            (
                OFFER.replace("o=- 1 1 IN IP4 192.0.2.1\r\n", ""),
                OfferProblem::Missing("o="),
            ),
        ];
        for (offer, problem) in cases {
            assert_eq!(check_offer(offer.as_bytes()), Err(problem), "{offer}");
        }
        assert!(matches!(
            check_offer(b"hello"),
            Err(OfferProblem::Unreadable(_))
        ));
    }

    /// As a browser offers, shortened.
    const BROWSER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

    #[test]
    fn a_media_anchor_makes_plain_rtp_of_more() {
        let carried_as = |protocol, ice, is_plain| {
            Some(Carried {
                protocol,
                ice,
                is_plain,
            })
        };
        for (offer, told) in [
            (OFFER.to_owned(), carried_as("RTP/AVP", false, true)),
            (
                OFFER.replace("RTP/AVP", "RTP/SAVP") + "a=crypto:1 x\r\n",
                carried_as("RTP/SAVP", false, false),
            ),
            (
                OFFER.to_owned() + "a=ice-ufrag:x\r\n",
                carried_as("RTP/AVP", true, false),
            ),
            (
                BROWSER.to_owned(),
                carried_as("UDP/TLS/RTP/SAVPF", true, false),
            ),
            (
                format!("{BROWSER}a=x:{}\r\n", "x".repeat(8_000)),
                carried_as("UDP/TLS/RTP/SAVPF", true, false),
            ),
        ] {
            assert_eq!(check_anchored_offer(offer.as_bytes()), Ok(()), "{offer}");
            assert_eq!(carried(offer.as_bytes()), told, "{offer}");
            let is_plain = told.unwrap().is_plain;
            assert_eq!(check_offer(offer.as_bytes()).is_ok(), is_plain, "{offer}");
        }
        let data = format!(
            "{BROWSER}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
        );
        for (offer, problem) in [
            (data, OfferProblem::NotAnchored("UDP/DTLS/SCTP".to_owned())),
            (BROWSER.replace("audio", "video"), OfferProblem::NoAudio),
            (
                BROWSER.replace("c=IN IP4 0.0.0.0\r\n", ""),
                OfferProblem::Missing("c="),
            ),
            (String::new(), OfferProblem::Empty),
            (
                "x".repeat(ANCHORED_OFFER_BYTES_MAX + 1),
                OfferProblem::TooLarge {
                    size: ANCHORED_OFFER_BYTES_MAX + 1,
                    max: ANCHORED_OFFER_BYTES_MAX,
                },
            ),
        ] {
            assert_eq!(check_anchored_offer(offer.as_bytes()), Err(problem));
            assert_eq!(carried(offer.as_bytes()), None);
        }
    }

    #[test]
    fn an_answer_fits_with_the_same_streams_and_audio_taken() {
        let offer = OFFER.as_bytes();
        let two = format!("{OFFER}m=video 4002 RTP/AVP 31\r\n");
        assert!(fits(offer, OFFER.replace("4000", "6000").as_bytes()));
        assert!(!fits(offer, OFFER.replace("4000", "0").as_bytes()));
        assert!(!fits(offer, two.as_bytes()));
        assert!(!fits(two.as_bytes(), offer));
        assert!(!fits(offer, b"nonsense"));
        assert!(!fits(
            offer,
            OFFER.replace("RTP/AVP", "RTP/SAVP").as_bytes()
        ));
        assert!(!fits(
            offer,
            OFFER.replace("c=IN IP4 192.0.2.1\r\n", "").as_bytes()
        ));
    }

    #[test]
    fn a_session_is_unchanged_while_nothing_in_it_differs() {
        assert!(unchanged(OFFER.as_bytes(), OFFER.as_bytes()));
        assert!(unchanged(
            OFFER.as_bytes(),
            OFFER.replace("\r\n", "\n").as_bytes()
        ));
        assert!(!unchanged(
            OFFER.as_bytes(),
            OFFER.replace("o=- 1 1", "o=- 1 2").as_bytes()
        ));
        assert!(!unchanged(
            OFFER.as_bytes(),
            OFFER.replace("4000", "4002").as_bytes()
        ));
    }
}
