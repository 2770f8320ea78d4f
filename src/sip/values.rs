//! Scanning of header values: lists, addresses, parameters, Via.

use std::borrow::Cow;

/// A value that does not follow RFC 3261 section 25.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Splits at `separator`, but not within quotes or angle brackets (RFC 3261 section 7.3.1).
pub(super) fn split(text: &str, separator: u8) -> Result<Vec<&str>, Malformed> {
    // All that counts is ASCII, and no byte of another character looks like it.
    let counts = |byte: &u8| *byte == separator || matches!(byte, b'"' | b'\\' | b'<' | b'>');
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    let (mut quoted, mut bracketed) = (false, false);
    let mut rest = text.as_bytes();
    while let Some(skipped) = rest.iter().position(counts)
        && let Some((byte, after)) = rest.get(skipped..).and_then(<[u8]>::split_first)
    {
        (rest, at) = (after, at + skipped + 1);
        match byte {
            // The next byte is only itself.
            b'\\' if quoted => (rest, at) = (rest.get(1..).unwrap_or_default(), at + 1),
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            b'<' if bracketed => return Err(Malformed),
            b'<' => bracketed = true,
            b'>' if !bracketed => return Err(Malformed),
            b'>' => bracketed = false,
            _ if *byte == separator && !bracketed => {
                parts.push(text.get(from..at - 1).ok_or(Malformed)?.trim_ascii());
                from = at;
            }
            _ => {}
        }
    }
    if quoted || bracketed {
        return Err(Malformed);
    }
    parts.push(text.get(from..).ok_or(Malformed)?.trim_ascii());
    Ok(parts)
}

/// Parameters after a value: `;name=value;flag`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Params<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Params<'a> {
    fn parse(parts: &[&'a str]) -> Result<Self, Malformed> {
        let mut params = Vec::with_capacity(parts.len());
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_ascii(), unquote(value.trim_ascii())),
                None => (*part, Cow::Borrowed("")),
            };
            let is_foreign = |byte| matches!(byte, b' ' | b'\t' | b'"');
            if name.is_empty() || name.bytes().any(is_foreign) {
                return Err(Malformed);
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// The value of a parameter; `Some("")` for a flag.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter();
        let found = named.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_ref())
    }

    /// The value of a parameter that has to be a token, unquoted.
    pub(super) fn token(&self, name: &str) -> Result<Option<&str>, Malformed> {
        let mut named = self.0.iter();
        match named.find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            None => Ok(None),
            Some((_, Cow::Borrowed(value))) if is_token(value) => Ok(Some(value)),
            // Owned is what had quotes.
            Some(_) => Err(Malformed),
        }
    }
}

/// Takes the quotes and their escapes off a quoted string; other text stays as it is.
pub(super) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    let (mut plain, mut escaped) = (String::with_capacity(inner.len()), false);
    for character in inner.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            plain.push(character);
        }
    }
    Cow::Owned(plain)
}

/// A value followed by parameters, as in Reason: `Q.850;cause=16`.
pub(super) fn with_params(text: &str) -> Result<(&str, Params<'_>), Malformed> {
    let parts = split(text, b';')?;
    let (value, rest) = parts.split_first().ok_or(Malformed)?;
    Ok((value, Params::parse(rest)?))
}

/// One address of From, To, Contact, Route or Record-Route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// The URI without its brackets, byte for byte.
    pub(super) uri: &'a str,
    /// Parameters of the header, not of the URI.
    pub(super) params: Params<'a>,
}

impl<'a> Address<'a> {
    /// Reads `"name" <uri>;params`, `name <uri>;params` or `uri;params`.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (spec, params) = with_params(text)?;
        let uri = match bracket(spec) {
            Some(open) => {
                let uri = spec.get(open + 1..).and_then(|rest| rest.strip_suffix('>'));
                uri.ok_or(Malformed)?
            }
            // Without brackets these belong to nobody: RFC 3261 section 20.10.
            None if spec.contains(['?', ',', '"']) => return Err(Malformed),
            None => spec,
        };
        if is_uri(uri) {
            Ok(Self { uri, params })
        } else {
            Err(Malformed)
        }
    }
}

/// Where the opening bracket stands, outside a quoted display name.
fn bracket(spec: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in spec.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Scheme, colon, and no blanks, control characters or brackets anywhere.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_is_word = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let fits = |byte| byte > b' ' && !matches!(byte, b'<' | b'>' | b'"' | 0x7f);
    scheme_is_word && !rest.is_empty() && rest.bytes().all(fits)
}

/// Host and port of a `sip:` URI; the host of an IPv6 reference comes without its brackets.
pub(super) fn host_and_port(uri: &str) -> Option<(String, Option<u16>)> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return None;
    }
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let end = rest.find([';', '?']).unwrap_or(rest.len());
    host_port(rest.get(..end)?)
}

/// A parameter of a `sip:` URI; `Some("")` for a flag.
pub(super) fn uri_param<'a>(uri: &'a str, name: &str) -> Option<&'a str> {
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    let params = host
        .split('?')
        .next()
        .unwrap_or_default()
        .split(';')
        .skip(1);
    let mut pairs = params.map(|param| param.split_once('=').unwrap_or((param, "")));
    let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, after.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host = host.trim();
    if host.is_empty() || host.contains([' ', '\t']) {
        return None;
    }
    let port = match port {
        Some(port) => Some(port.trim().parse().ok()?),
        None => None,
    };
    Some((host.to_owned(), port))
}

/// One Via.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Via {
    /// Port of sent-by, if given.
    pub(super) port: Option<u16>,
    /// The branch, or nothing from a peer of RFC 2543.
    pub(super) branch: String,
    /// Whether the peer asks for a symmetric answer (RFC 3581).
    pub(super) rport: bool,
    /// The value itself.
    pub(super) text: String,
}

impl Via {
    /// Reads `SIP/2.0/UDP host:port;params`, blanks around the slashes allowed.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let (sent, params) = with_params(text)?;
        let mut protocol = sent.splitn(3, '/');
        let name = protocol.next().ok_or(Malformed)?.trim();
        let version = protocol.next().ok_or(Malformed)?.trim();
        let mut rest = protocol.next().ok_or(Malformed)?.split_whitespace();
        let (Some(transport), Some(by), None) = (rest.next(), rest.next(), rest.next()) else {
            return Err(Malformed);
        };
        if !name.eq_ignore_ascii_case("SIP") || version.is_empty() || !is_token(transport) {
            return Err(Malformed);
        }
        let (_, port) = host_port(by).ok_or(Malformed)?;
        Ok(Self {
            port,
            branch: params.get("branch").unwrap_or_default().to_owned(),
            rport: params.get("rport").is_some(),
            text: text.to_owned(),
        })
    }
}

/// RFC 3261 section 25.1 `token`.
pub(super) fn is_token(text: &str) -> bool {
    let marks = |byte| {
        matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
    };
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || marks(byte))
}

/// Digits of a number, as people write them, that a phrase may hold at most.
const PHRASE_DIGITS_MAX: usize = 6;

/// What a far end says in words, without the numbers in it: carriers repeat the one that was called, and nobody keeps that
/// readable.
pub(super) fn discreet(phrase: &str) -> String {
    let mut told = String::with_capacity(phrase.len());
    let mut rest = phrase;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        let (before, number) = rest.split_at(start);
        told.push_str(before);
        let written = |c: char| c.is_ascii_digit() || " +-.()/".contains(c);
        let end = number.find(|c| !written(c)).unwrap_or(number.len());
        let number_only = number.get(..end).unwrap_or_default().trim_end();
        let digits = number_only.bytes().filter(u8::is_ascii_digit).count();
        match digits > PHRASE_DIGITS_MAX {
            true => told.push('…'),
            false => told.push_str(number_only),
        }
        rest = number.get(number_only.len()..).unwrap_or_default();
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_within_quotes_and_brackets_separate_nothing() {
        assert_eq!(
            split(r#""a, \"b" <sip:x,y@h>, <sip:z>;p=1"#, b',').unwrap(),
            [r#""a, \"b" <sip:x,y@h>"#, "<sip:z>;p=1"]
        );
        assert_eq!(split(r#""open, <sip:x@h>"#, b','), Err(Malformed));
        assert_eq!(split("<sip:x@h", b','), Err(Malformed));
    }

    #[test]
    fn addresses_are_read_in_all_three_forms() {
        let quoted = Address::parse(r#""Bell, A. <x>" <sip:a.g.bell@h:5070;lr>;tag=4"#).unwrap();
        assert_eq!(quoted.uri, "sip:a.g.bell@h:5070;lr");
        assert_eq!(quoted.params.get("tag"), Some("4"));
        assert_eq!(
            Address::parse("caller<sip:c@h>;tag=3").unwrap().uri,
            "sip:c@h"
        );
        let bare = Address::parse("sip:c@h ;  tag  = 98").unwrap();
        assert_eq!((bare.uri, bare.params.get("tag")), ("sip:c@h", Some("98")));
        for bad in [
            "",
            "nothing",
            "sip:u@h?Route=x",
            "< sip:u@h >",
            "<sip:u@h> x",
            "<sip:u@h>;;",
        ] {
            assert_eq!(Address::parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn hosts_and_ports_of_uris() {
        let cases = [
            ("sip:h", Some(("h", None))),
            (
                "sip:a.b;x=1@10.0.0.1:5070;lr?h=v",
                Some(("10.0.0.1", Some(5070))),
            ),
            (
                "sips:u@[2001:db8::1]:5061",
                Some(("2001:db8::1", Some(5061))),
            ),
            ("tel:+1", None),
            ("sip:h:99999", None),
        ];
        for (uri, expected) in cases {
            let found = host_and_port(uri);
            assert_eq!(
                found.as_ref().map(|(host, port)| (host.as_str(), *port)),
                expected,
                "{uri}"
            );
        }
    }

    #[test]
    fn a_via_with_blanks_around_its_slashes_is_read() {
        let via = Via::parse(
            "SIP  / 2.0  / TCP     spindle.example.com:5070   ;  branch  =   z9hG4bK9ikj8 ; rport",
        )
        .unwrap();
        assert_eq!(
            (via.port, via.branch.as_str(), via.rport),
            (Some(5070), "z9hG4bK9ikj8", true)
        );
        assert!(Via::parse("SIP/2.0/UDP 192.0.2.15;;").is_err());
        assert!(Via::parse("SIP/2.0 192.0.2.15").is_err());
    }

    #[test]
    fn numbers_are_left_out_of_phrases() {
        for (said, told) in [
            ("Busy Here", "Busy Here"),
            ("Busy +14045550140 here", "Busy … here"),
            ("(404) 555-0140 is busy", "(… is busy"),
            ("404-555-0140", "…"),
            (
                "Timeout after 32 s, code 1234",
                "Timeout after 32 s, code 1234",
            ),
            ("sip:4045550140@x 12", "sip:…@x 12"),
            ("+", "+"),
            ("", ""),
        ] {
            assert_eq!(discreet(said), told);
        }
    }
}
