//! A look into SDP, whose bytes are otherwise passed on untouched; `held` describes sessions of our own, on hold, and `carried`
//! is for those that go from one leg of a call to the other.

mod carried;
mod held;

use sdp_types::Session;

pub use carried::Origin;
pub(super) use carried::{off_hold, same_but_for_origin, same_direction, stays_within};
pub(super) use held::{held_answer, held_offer};

/// The largest offer that is taken: with the head of the INVITE it stays far below what UDP carries.
pub const OFFER_BYTES_MAX: usize = 4_096;

/// Attributes of ICE, DTLS and SDES, which plain RTP trunks don't speak.
const NOT_PLAIN: [&str; 5] = ["ice-ufrag", "ice-pwd", "candidate", "fingerprint", "crypto"];

/// Why an SDP offer cannot be used on a trunk of plain RTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferProblem {
    /// Nothing there.
    #[error("the SDP offer is empty: send the softphone's session description")]
    Empty,
    /// Larger than a datagram should carry.
    #[error("the SDP offer has {size} bytes: send at most {OFFER_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        size: usize,
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
    #[error("the SDP offer asks for `{0}`: this trunk speaks plain RTP, offer `RTP/AVP`")]
    Transport(String),
    /// ICE, DTLS or SDES, which plain RTP trunks don't speak.
    #[error(
        "the SDP offer has `a={0}`: this trunk speaks plain RTP, switch ICE, DTLS and SRTP off in the softphone"
    )]
    Attribute(&'static str),
}

/// Whether an SDP offer can be used on a trunk of plain RTP; asked before a call is accepted, instead of a 488 later.
pub fn check_offer(offer: &[u8]) -> Result<(), OfferProblem> {
    if offer.is_empty() {
        return Err(OfferProblem::Empty);
    }
    if offer.len() > OFFER_BYTES_MAX {
        return Err(OfferProblem::TooLarge { size: offer.len() });
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
    for media in session.medias.iter().filter(|media| media.port > 0) {
        if media.proto != "RTP/AVP" {
            return Err(OfferProblem::Transport(media.proto.clone()));
        }
        if session.connection.is_none() && media.connections.is_empty() {
            return Err(OfferProblem::Missing("c="));
        }
    }
    let attributes = session
        .medias
        .iter()
        .flat_map(|media| &media.attributes)
        .chain(&session.attributes);
    for attribute in attributes {
        if let Some(name) = NOT_PLAIN
            .into_iter()
            .find(|name| attribute.attribute.eq_ignore_ascii_case(name))
        {
            return Err(OfferProblem::Attribute(name));
        }
    }
    if has_audio(&session) {
        Ok(())
    } else {
        Err(OfferProblem::NoAudio)
    }
}

/// Whether an answer can belong to the offer: the same streams in the same order, audio not refused (RFC 3264 section 6).
pub(super) fn fits(offer: &[u8], answer: &[u8]) -> bool {
    let Ok(answer) = Session::parse(answer) else {
        return false;
    };
    // The offer is known to be sound ([`check_offer`]); its first words of streams are all that counts.
    let offered = offer
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"m="))
        .map(|media| media.split(|byte| *byte == b' ').next().unwrap_or_default());
    let answered = answer.medias.iter().map(|media| media.media.as_bytes());
    offered.eq(answered) && has_audio(&answer)
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
    session
        .medias
        .iter()
        .any(|media| media.media == "audio" && media.port > 0)
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

    const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n";

    #[test]
    fn offers_that_a_plain_trunk_would_refuse_are_refused_first() {
        assert_eq!(check_offer(PLAIN.as_bytes()), Ok(()));
        let cases = [
            (String::new(), OfferProblem::Empty),
            (
                format!("{PLAIN}a={}\r\n", "x".repeat(OFFER_BYTES_MAX)),
                OfferProblem::TooLarge {
                    size: PLAIN.len() + OFFER_BYTES_MAX + 4,
                },
            ),
            (
                PLAIN.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
                OfferProblem::Transport("UDP/TLS/RTP/SAVPF".to_owned()),
            ),
            (
                format!("{PLAIN}a=ice-ufrag:x\r\n"),
                OfferProblem::Attribute("ice-ufrag"),
            ),
            (
                format!("{PLAIN}a=fingerprint:sha-256 00\r\n"),
                OfferProblem::Attribute("fingerprint"),
            ),
            (PLAIN.replace("audio", "video"), OfferProblem::NoAudio),
            (
                PLAIN.replace("audio 4000", "audio 0"),
                OfferProblem::NoAudio,
            ),
            (
                PLAIN.replace("c=IN IP4 192.0.2.1\r\n", ""),
                OfferProblem::Missing("c="),
            ),
            (
                PLAIN.replace("o=- 1 1 IN IP4 192.0.2.1\r\n", ""),
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

    #[test]
    fn an_answer_fits_with_the_same_streams_and_audio_taken() {
        let offer = PLAIN.as_bytes();
        let two = format!("{PLAIN}m=video 4002 RTP/AVP 31\r\n");
        assert!(fits(offer, PLAIN.replace("4000", "6000").as_bytes()));
        assert!(!fits(offer, PLAIN.replace("4000", "0").as_bytes()));
        assert!(!fits(offer, two.as_bytes()));
        assert!(!fits(two.as_bytes(), offer));
        assert!(!fits(offer, b"nonsense"));
    }

    #[test]
    fn a_session_is_unchanged_while_nothing_in_it_differs() {
        assert!(unchanged(PLAIN.as_bytes(), PLAIN.as_bytes()));
        assert!(unchanged(
            PLAIN.as_bytes(),
            PLAIN.replace("\r\n", "\n").as_bytes()
        ));
        assert!(!unchanged(
            PLAIN.as_bytes(),
            PLAIN.replace("o=- 1 1", "o=- 1 2").as_bytes()
        ));
        assert!(!unchanged(
            PLAIN.as_bytes(),
            PLAIN.replace("4000", "4002").as_bytes()
        ));
    }
}
