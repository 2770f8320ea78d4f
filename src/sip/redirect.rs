//! Where a 3xx sends the call (RFC 3261 section 8.1.3.4), if that is the same number by another way. Another number would need a
//! decision of its own, and nobody else may say whom we call. Whether the way is one of the trunk's own, the worker knows.

use super::target::{Destination, Host, Transport};
use super::values::{Address, host_and_port, uri_param};
use super::wire::Message;

/// The contact of a response that the far end likes best among those with the user of this URI.
pub(super) fn same_number_elsewhere(called: &str, response: &Message) -> Option<Destination> {
    let number = user(called)?;
    let contacts = response.list("Contact");
    let mut best: Option<(u32, Destination)> = None;
    for address in contacts.iter().filter_map(|text| Address::parse(text).ok()) {
        if user(address.uri).as_deref() != Some(number.as_str()) {
            continue;
        }
        let Some(to) = destination(address.uri) else {
            continue;
        };
        let liked = address.params.get("q").map_or(Some(1_000), thousandths);
        let liked = liked.unwrap_or(0);
        if best.as_ref().is_none_or(|(most, _)| liked > *most) {
            best = Some((liked, to));
        }
    }
    best.map(|(_, to)| to)
}

/// A q value (RFC 3261 section 25.1), at most 1, with up to three digits behind the point.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    Some((whole.checked_mul(1_000)?.checked_add(part)?).min(1_000))
}

/// The number that stands as user: a plus sign, which may be escaped, and digits. Parameters of a telephone number, such as who it
/// was ported to, are about the way and not about who is called.
fn user(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once(':')?;
    let (user, _) = rest.rsplit_once('@')?;
    let user = user.split([';', ':']).next().unwrap_or_default();
    let user = user
        .strip_prefix("%2B")
        .or(user.strip_prefix("%2b"))
        .map_or_else(|| user.to_owned(), |digits| ["+", digits].concat());
    let digits = user.strip_prefix('+')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(user)
}

fn destination(uri: &str) -> Option<Destination> {
    let (host, port) = host_and_port(uri)?;
    let is_secure = uri
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    let transport = match uri_param(uri, "transport") {
        _ if is_secure => Some(Transport::Tls),
        Some(word) => Some(Transport::parse(word)?),
        None => None,
    };
    let host = match host.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(host.to_ascii_lowercase()),
    };
    Some(Destination {
        transport,
        host,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::parse;

    fn followed(contacts: &str) -> Option<String> {
        let text = format!(
            "SIP/2.0 302 Moved Temporarily\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{contacts}Content-Length: 0\r\n\r\n"
        );
        let message = parse(text.as_bytes()).unwrap();
        let called = "sip:+14045550141@carrier.example;user=phone";
        same_number_elsewhere(called, &message).map(|to| to.to_string())
    }

    #[test]
    fn only_the_same_number_is_followed_and_the_best_liked_way_to_it() {
        for (contacts, to) in [
            ("", None),
            ("Contact: <sip:+14045550142@192.0.2.2>\r\n", None),
            ("Contact: <sip:4045550141@192.0.2.2>\r\n", None),
            ("Contact: <sip:192.0.2.2>\r\n", None),
            ("Contact: <tel:+14045550141>\r\n", None),
            ("Contact: <mailto:+14045550141@192.0.2.2>\r\n", None),
            ("Contact: *\r\n", None),
            (
                "Contact: <sip:+14045550141@192.0.2.2>\r\n",
                Some("192.0.2.2"),
            ),
            (
                "Contact: <sip:%2B14045550141;npdi;rn=+14045550100@[2001:db8::1]:5070;transport=TCP>\r\n",
                Some("tcp:[2001:db8::1]:5070"),
            ),
            (
                "m: <sips:+14045550141@B.Carrier.example>;q=0.5, <sip:+14045550199@192.0.2.3>;q=1.0\r\n\
                 m: <sip:+14045550141@192.0.2.4>;q=0.51\r\n",
                Some("192.0.2.4"),
            ),
            (
                "Contact: <sips:+14045550141@B.Carrier.example>, <sip:+14045550141@192.0.2.4>;q=0.9\r\n",
                Some("tls:b.carrier.example"),
            ),
            (
                "Contact: <sip:+14045550141@192.0.2.4;transport=carrier-pigeon>\r\n",
                None,
            ),
        ] {
            assert_eq!(followed(contacts).as_deref(), to, "{contacts}");
        }
    }

    #[test]
    fn what_is_no_q_value_is_liked_least() {
        for (text, value) in [
            ("1", Some(1_000)),
            ("1.0", Some(1_000)),
            ("0.5", Some(500)),
            ("0.125", Some(125)),
            ("7", Some(1_000)),
            ("0.1234", None),
            ("x", None),
            ("0.x", None),
        ] {
            assert_eq!(thousandths(text), value, "{text}");
        }
    }
}
