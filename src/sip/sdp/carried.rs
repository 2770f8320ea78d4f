//! Sessions that go from one leg of a call to the other. Nothing in them is touched but the `o=` line: within each leg that has to
//! be the same from description to description, with a version that rises when anything else changes (RFC 3264 section 8), and
//! they come from two phones that know nothing of each other.

use sdp_types::{Attribute, Connection, Media, Session};

/// By whom the sessions of one leg are described there, and in which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    id: u64,
    address: String,
    version: u64,
    /// What was last described, as it came from the other leg.
    last: Vec<u8>,
}

impl Origin {
    /// Of the leg with this Call-ID, described by this host of ours.
    #[must_use]
    pub(in crate::sip) fn new(call_id: &str, host: &str) -> Self {
        // FNV-1a: any number does that two calls hardly share.
        let id = call_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |id: u64, byte| {
                (id ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let address = match host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            Some(v6) => format!("IN IP6 {v6}"),
            None => format!("IN IP4 {host}"),
        };
        Self {
            // Some phones read it as a number with a sign.
            id: id >> 1,
            address,
            version: 1,
            last: Vec::new(),
        }
    }

    /// The line of the first description.
    pub(super) fn first_line(&self) -> String {
        self.line(1)
    }

    /// An address that nothing can be sent to, of our family.
    pub(super) fn black_hole(&self) -> &'static str {
        match self.address.starts_with("IN IP6") {
            true => "IN IP6 ::",
            false => "IN IP4 0.0.0.0",
        }
    }

    fn line(&self, version: u64) -> String {
        let Self { id, address, .. } = self;
        format!("o=dialgate {id} {version} {address}")
    }

    /// A session of the other leg as it is described in this one. The first one is version 1 where `first`, for then none of
    /// ours was described before it.
    pub(in crate::sip) fn describe(&mut self, session: &[u8], first: bool) -> Vec<u8> {
        if !first && !same_but_for_origin(&self.last, session) {
            self.version += 1;
        }
        self.last = session.to_vec();
        let line = self.line(self.version);
        let mut described = Vec::with_capacity(session.len() + line.len());
        let mut is_replaced = false;
        for each in session.split_inclusive(|byte| *byte == b'\n') {
            if each.starts_with(b"o=") && !std::mem::replace(&mut is_replaced, true) {
                described.extend(line.as_bytes());
                let end = each.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                described.extend(end.and_then(|end| each.get(end..)).unwrap_or_default());
            } else {
                described.extend(each);
            }
        }
        described
    }
}

/// Whether this describes streams at all, and by whom.
pub(in crate::sip) fn is_session(text: &[u8]) -> bool {
    Session::parse(text).is_ok_and(|session| !session.medias.is_empty())
}

/// A session without its word that it is on hold: a phone that was offered one so could answer nothing else.
pub(in crate::sip) fn off_hold(session: &[u8]) -> Vec<u8> {
    let lines = session.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !line.starts_with(b"a=inactive"));
    kept.flatten().copied().collect()
}

/// Whether two descriptions differ in nothing but who says it, and in which version.
pub(in crate::sip) fn same_but_for_origin(one: &[u8], other: &[u8]) -> bool {
    fn lines(session: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = session.split(|byte| *byte == b'\n');
        lines
            .map(<[u8]>::trim_ascii_end)
            .filter(|line| !line.starts_with(b"o=") && !line.is_empty())
    }
    lines(one).eq(lines(other))
}

/// Whether a session keeps to what was offered in its name before: the same addresses and ports, and no format that was not
/// offered there or stood for something else. Else the far end would send where nobody listens, or what nobody understands.
pub(in crate::sip) fn stays_within(offered: &[u8], session: &[u8]) -> bool {
    let (Ok(offered), Ok(session)) = (Session::parse(offered), Session::parse(session)) else {
        return false;
    };
    let pairs = || offered.medias.iter().zip(&session.medias);
    offered.medias.len() == session.medias.len()
        && pairs().all(|(then, now)| {
            now.media == then.media
                && now.proto == then.proto
                && now.port == then.port
                && (now.port == 0 || address(&session, now) == address(&offered, then))
                && (now.port == 0 || formats_stay_within(then, now))
        })
}

/// Whether the streams flow the same ways in both.
pub(in crate::sip) fn same_direction(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (Session::parse(one), Session::parse(other)) else {
        return false;
    };
    fn ways(session: &Session) -> Vec<&str> {
        let whole = direction(&session.attributes);
        let medias = session.medias.iter();
        let of = medias.map(|media| direction(&media.attributes).or(whole));
        of.map(|way| way.unwrap_or("sendrecv")).collect()
    }
    ways(&one) == ways(&other)
}

/// RFC 8866 section 6.7.
fn direction(attributes: &[Attribute]) -> Option<&str> {
    let ways = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut names = attributes.iter().map(|each| each.attribute.as_str());
    names.find(|name| ways.contains(name))
}

fn address<'a>(session: &'a Session, media: &'a Media) -> Option<&'a str> {
    let own = media.connections.first();
    let connection: Option<&Connection> = own.or(session.connection.as_ref());
    connection.map(|connection| connection.connection_address.as_str())
}

fn formats_stay_within(then: &Media, now: &Media) -> bool {
    let mut formats = now.fmt.split(' ').filter(|format| !format.is_empty());
    formats.all(|format| {
        let was_offered = then.fmt.split(' ').any(|each| each == format);
        // One of the fixed numbers stands for the same with or without a word of it (RFC 3551 section 6).
        let mapped = (mapping(then, format), mapping(now, format));
        let stands_for_the_same = match mapped {
            (Some(then), Some(now)) => then.eq_ignore_ascii_case(now),
            _ => true,
        };
        was_offered && stands_for_the_same
    })
}

fn mapping<'a>(media: &'a Media, format: &str) -> Option<&'a str> {
    let maps = media
        .attributes
        .iter()
        .filter(|each| each.attribute == "rtpmap");
    maps.filter_map(|each| each.value.as_deref()?.split_once(' '))
        .find(|(number, _)| *number == format)
        // One channel is what is meant where none is said.
        .map(|(_, codec)| codec.trim().trim_end_matches("/1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=bare 77 9 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

    #[test]
    fn a_leg_hears_one_origin_whose_version_rises_with_every_change() {
        let mut origin = Origin::new("call", "192.0.2.9");
        let id = origin.first_line().split(' ').nth(1).unwrap().to_owned();
        let said = |origin: &mut Origin, session: &str, first| {
            let described = String::from_utf8(origin.describe(session.as_bytes(), first)).unwrap();
            let line = described.lines().nth(1).unwrap().to_owned();
            assert_eq!(
                described.replace(&line, "o"),
                session.replace(session.lines().nth(1).unwrap(), "o"),
                "nothing else is touched"
            );
            line
        };
        let line = |version: u32| format!("o=dialgate {id} {version} IN IP4 192.0.2.9");
        assert_eq!(said(&mut origin, PHONE, true), line(1));
        assert_eq!(said(&mut origin, PHONE, false), line(1));
        let again = PHONE.replace("77 9", "77 10");
        assert_eq!(
            said(&mut origin, &again, false),
            line(1),
            "the same session"
        );
        let moved = again.replace("4000", "4002");
        assert_eq!(said(&mut origin, &moved, false), line(2));
        let bare = moved.replace("\r\n", "\n");
        assert_eq!(said(&mut origin, &bare, false), line(2));
        // Where a session on hold was described before, even the first is another.
        let mut held = Origin::new("call", "[::1]");
        assert_eq!(
            said(&mut held, PHONE, false),
            format!("o=dialgate {id} 2 IN IP6 ::1")
        );
    }

    #[test]
    fn what_was_offered_in_a_name_holds() {
        let within = |now: &str| stays_within(PHONE.as_bytes(), now.as_bytes());
        for good in [
            PHONE.to_owned(),
            PHONE.replace("8 0 101", "0"),
            PHONE.replace("8 0 101", "0 101"),
            PHONE.replace("77 9", "1 1"),
            PHONE.replace("sendrecv", "inactive"),
            PHONE.replace("telephone-event/8000", "TELEPHONE-EVENT/8000/1"),
            PHONE.replace("a=sendrecv", "a=rtpmap:0 PCMU/8000"),
        ] {
            assert!(within(&good), "{good}");
        }
        for bad in [
            PHONE.replace("4000", "4002"),
            PHONE.replace("4000", "0"),
            PHONE.replace("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.3"),
            PHONE.replace("8 0 101", "8 18"),
            PHONE.replace("telephone-event", "speex"),
            PHONE.replace("RTP/AVP", "RTP/SAVP"),
            format!("{PHONE}m=video 0 RTP/AVP 31\r\n"),
            "nonsense".to_owned(),
        ] {
            assert!(!within(&bad), "{bad}");
        }
    }

    #[test]
    fn hold_is_another_direction() {
        let same = |one: &str, other: &str| same_direction(one.as_bytes(), other.as_bytes());
        let unsaid = PHONE.replace("a=sendrecv\r\n", "");
        let whole = PHONE
            .replace("a=sendrecv\r\n", "")
            .replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n");
        assert!(same(PHONE, &unsaid));
        assert!(!same(PHONE, &whole));
        assert!(same(&PHONE.replace("sendrecv", "inactive"), &whole));
        assert!(!same(PHONE, &PHONE.replace("sendrecv", "sendonly")));
    }

    #[test]
    fn a_session_is_taken_off_hold() {
        let held = PHONE.replace("sendrecv", "inactive");
        let free = String::from_utf8(off_hold(held.as_bytes())).unwrap();
        assert_eq!(free, PHONE.replace("a=sendrecv\r\n", ""));
        assert_eq!(off_hold(PHONE.as_bytes()), PHONE.as_bytes());
    }
}
