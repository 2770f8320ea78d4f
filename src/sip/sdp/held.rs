//! Sessions on hold that we describe ourselves, for an agent's phone that is not connected with anybody yet: no media is sent
//! either way. The address is the one that RFC 3725 section 7 calls a black hole, so that not even RTCP goes anywhere.

use sdp_types::{Attribute, Media, Session};

use super::carried::Origin;
use super::check_offer;

/// Nothing listens on the discard port; zero would refuse the stream (RFC 3264 section 6).
const PORT: u16 = 9;

/// Offered to phones that refuse an INVITE without a session: what every one of them speaks, and tones.
const FORMATS: &str = "0 8 101";
const MAPS: [&str; 4] = [
    "rtpmap:0 PCMU/8000",
    "rtpmap:8 PCMA/8000",
    "rtpmap:101 telephone-event/8000",
    "fmtp:101 0-15",
];

/// An answer that takes the offer's first plain audio stream with all of its formats, on hold, and refuses its other streams,
/// each in its place (RFC 3264 section 6); nothing where the offer has none or cannot be carried on to a plain trunk.
pub(in crate::sip) fn held_answer(offer: &[u8], origin: &Origin) -> Option<Vec<u8>> {
    check_offer(offer).ok()?;
    let offer = Session::parse(offer).ok()?;
    let taken = |media: &Media| media.media == "audio" && media.port > 0;
    let first = offer.medias.iter().position(taken)?;
    let mut answer = head(origin);
    for (place, media) in offer.medias.iter().enumerate() {
        let is_taken = place == first;
        let port = if is_taken { PORT } else { 0 };
        let formats = match is_taken {
            true => media.fmt.as_str(),
            // One is as good as another, and there has to be one.
            false => media.fmt.split(' ').next().unwrap_or("0"),
        };
        let (kind, proto) = (&media.media, &media.proto);
        answer.push_str(&format!("m={kind} {port} {proto} {formats}\r\n"));
        if is_taken {
            media
                .attributes
                .iter()
                .for_each(|each| map(&mut answer, each));
            answer.push_str("a=inactive\r\n");
        }
    }
    Some(answer.into_bytes())
}

/// An offer of an audio stream on hold.
pub(in crate::sip) fn held_offer(origin: &Origin) -> Vec<u8> {
    let mut offer = head(origin);
    offer.push_str(&format!("m=audio {PORT} RTP/AVP {FORMATS}\r\n"));
    for map in MAPS {
        offer.push_str(&format!("a={map}\r\n"));
    }
    offer.push_str("a=inactive\r\n");
    offer.into_bytes()
}

fn head(origin: &Origin) -> String {
    let (line, hole) = (origin.first_line(), origin.black_hole());
    format!("v=0\r\n{line}\r\ns=-\r\nc={hole}\r\nt=0 0\r\n")
}

/// What the format numbers stand for.
fn map(answer: &mut String, attribute: &Attribute) {
    let Attribute { attribute, value } = attribute;
    if let ("rtpmap" | "fmtp", Some(value)) = (attribute.as_str(), value) {
        answer.push_str(&format!("a={attribute}:{value}\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::sdp::fits;

    const HEAD: &str = "v=0\r\no=- 5 5 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn origin() -> Origin {
        Origin::new("call", "192.0.2.9")
    }

    fn answered(offer: &str) -> Option<String> {
        let answer = held_answer(offer.as_bytes(), &origin())?;
        assert!(fits(offer.as_bytes(), &answer), "{offer}");
        Some(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn a_phone_that_offers_first_is_left_on_hold() {
        let offer = format!(
            "{HEAD}m=audio 4000 RTP/AVP 9 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        let line = origin().first_line();
        let expected = format!(
            "v=0\r\n{line}\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 9 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=inactive\r\n"
        );
        assert_eq!(answered(&offer), Some(expected));
    }

    #[test]
    fn every_stream_has_its_place_and_one_is_taken() {
        let offer = format!(
            "{HEAD}m=video 4002 RTP/AVP 31 32\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4004 RTP/AVP 8\r\n"
        );
        let answer = answered(&offer).unwrap();
        let streams: Vec<&str> = answer
            .lines()
            .filter(|line| line.starts_with("m="))
            .collect();
        let expected = [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/AVP 0",
            "m=audio 9 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
        ];
        assert_eq!(streams, expected);
    }

    #[test]
    fn what_no_plain_trunk_takes_is_not_answered() {
        for offer in [
            String::new(),
            "nonsense".to_owned(),
            HEAD.to_owned(),
            format!("{HEAD}m=video 4002 RTP/AVP 31\r\n"),
            format!("{HEAD}m=audio 0 RTP/AVP 0\r\n"),
            format!("{HEAD}m=audio 4000 RTP/SAVP 0\r\n"),
            format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=ice-ufrag:x\r\n"),
        ] {
            assert_eq!(answered(&offer), None, "{offer}");
        }
    }

    #[test]
    fn our_own_offer_is_one_that_is_taken() {
        let offer = held_offer(&Origin::new("call", "[2001:db8::1]"));
        assert_eq!(check_offer(&offer), Ok(()));
        let text = String::from_utf8(offer).unwrap();
        assert!(text.contains("c=IN IP6 ::\r\n"), "{text}");
        assert!(text.ends_with("a=inactive\r\n"), "{text}");
    }
}
