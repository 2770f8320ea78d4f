//! From bytes to a checked message: framing, the body cut by Content-Length and kept as bytes, the reason phrase as it
//! came. What this refuses, nothing deeper sees.

use std::borrow::Cow;

use super::head::{Headers, whole};
use super::values::{Address, Via, is_token, is_uri, split};

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// A request to this URI; its method stands in [`Message::method`].
    Request {
        /// Request-URI, byte for byte.
        uri: String,
    },
    /// A response.
    Response {
        /// 100 to 699.
        code: u16,
        /// Reason phrase as it came.
        reason: String,
    },
}

/// A message whose mandatory headers are there, once each, and readable.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) start: Start,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
    pub(super) via: Via,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) method: String,
    pub(super) from_tag: Option<String>,
    pub(super) to_tag: Option<String>,
}

/// Why a datagram was not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: &'static str,
    /// Status code and headers for an answer, where the request can be answered at all.
    pub(super) answer: Option<Box<(u16, Headers, Via)>>,
}

/// Reads one datagram.
pub(super) fn parse(datagram: &[u8]) -> Result<Message, Refusal> {
    let silent = |why| Refusal { why, answer: None };
    let (head, rest) = cut(datagram).map_err(silent)?;
    let head = text(head);
    let raw = Raw::read(&head, rest).map_err(silent)?;
    match raw.check() {
        Ok((start, fields, body)) => Ok(Message {
            start,
            headers: raw.headers,
            body: body.to_vec(),
            via: fields.via,
            call_id: fields.call_id,
            cseq: fields.cseq,
            method: fields.method,
            from_tag: fields.from_tag,
            to_tag: fields.to_tag,
        }),
        Err((status, why)) => Err(raw.refuse(status, why)),
    }
}

impl Message {
    /// Values of a header, one a line; the name in its canonical spelling.
    pub(super) fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.lines(name)
    }

    /// The first value of a header.
    pub(super) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers.lines(name).next()
    }

    /// All values of a list header, in order, from all its lines; unreadable lines are left out.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.lines(name)
            .filter_map(|line| split(line, b',').ok())
            .flatten()
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Whether a list of tokens (Require, Supported) names this one.
    pub(super) fn names(&self, header: &str, token: &str) -> bool {
        self.list(header)
            .iter()
            .any(|value| value.eq_ignore_ascii_case(token))
    }

    /// The body, if it is SDP.
    pub(super) fn sdp(&self) -> Option<&[u8]> {
        let kind = self.first("Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        (kind.eq_ignore_ascii_case("application/sdp") && !self.body.is_empty())
            .then_some(self.body.as_slice())
    }

    /// Whether it is a request of this method.
    pub(super) fn is_request(&self, method: &str) -> bool {
        matches!(self.start, Start::Request { .. }) && self.method == method
    }
}

/// The head up to and with the end of its last line, and what follows the empty line after it.
fn cut(datagram: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    // Empty lines before the start line are to be ignored: RFC 3261 section 7.5.
    let mut bytes = datagram;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            let (head, rest) = bytes.split_at(end);
            return Ok((head, rest.get(2..).unwrap_or_default()));
        }
        end += line.len();
    }
    Err("the head has no end")
}

/// Almost every head is plain text, and looking whether it is costs far less than mending it.
fn text(head: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(head) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(head),
    }
}

/// A datagram cut into its parts, nothing of it checked yet.
struct Raw<'a> {
    start: &'a str,
    headers: Headers,
    rest: &'a [u8],
}

impl<'a> Raw<'a> {
    fn read(head: &'a str, rest: &'a [u8]) -> Result<Self, &'static str> {
        let (start, lines) = head.split_once('\n').unwrap_or_default();
        let (start, headers) = (whole(start)?, Headers::read(lines)?);
        Ok(Self {
            start,
            headers,
            rest,
        })
    }

    /// The parts of a message; or the status code of its refusal, and why.
    fn check(&self) -> Result<(Start, Fields, &'a [u8]), (u16, &'static str)> {
        let (start, method) = start_line(self.start)?;
        let bad = |why| (400, why);
        let fields = self.fields(method).map_err(bad)?;
        let length = self.body_length().map_err(bad)?;
        let body = self.rest.get(..length).unwrap_or(self.rest);
        Ok((start, fields, body))
    }

    fn fields(&self, method: Option<&str>) -> Result<Fields, &'static str> {
        let via = self.top_via()?;
        let (cseq, cseq_method) = cseq(self.one("CSeq")?)?;
        if method.is_some_and(|method| method != cseq_method) {
            return Err("CSeq names another method");
        }
        let address = |name, why| Address::parse(self.one(name)?).map_err(|_| why);
        let from = address("From", "From is malformed")?;
        let to = address("To", "To is malformed")?;
        let call_id = self.one("Call-ID")?;
        if call_id.is_empty() || call_id.contains([' ', '\t']) {
            return Err("Call-ID is malformed");
        }
        self.at_most_one("Max-Forwards")?;
        self.at_most_one("Content-Type")?;
        if let Some(hops) = self.headers.lines("Max-Forwards").next() {
            hops.parse::<u8>()
                .map_err(|_| "Max-Forwards is no number up to 255")?;
        }
        for line in self.headers.lines("Contact") {
            let contacts = split(line, b',').map_err(|_| "Contact is malformed")?;
            for contact in contacts {
                if contact != "*" && Address::parse(contact).is_err() {
                    return Err("Contact is malformed");
                }
            }
        }
        Ok(Fields {
            via,
            call_id: call_id.to_owned(),
            cseq,
            method: cseq_method.to_owned(),
            from_tag: tag(&from, "the tag in From is no token")?,
            to_tag: tag(&to, "the tag in To is no token")?,
        })
    }

    fn top_via(&self) -> Result<Via, &'static str> {
        let line = self.headers.lines("Via").next().ok_or("Via is missing")?;
        let values = split(line, b',').map_err(|_| "Via is malformed")?;
        let top = values.first().ok_or("Via is missing")?;
        Via::parse(top).map_err(|_| "Via is malformed")
    }

    /// Content-Length, or all there is: RFC 3261 section 18.3.
    fn body_length(&self) -> Result<usize, &'static str> {
        self.at_most_one("Content-Length")?;
        let Some(stated) = self.headers.lines("Content-Length").next() else {
            return Ok(self.rest.len());
        };
        match stated.parse::<usize>() {
            Ok(length) if length <= self.rest.len() => Ok(length),
            Ok(_) => Err("the body is shorter than Content-Length says"),
            Err(_) => Err("Content-Length is no number"),
        }
    }

    fn one<'b>(&'b self, name: &'b str) -> Result<&'b str, &'static str> {
        let mut values = self.headers.lines(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err("a mandatory header is missing"),
            (Some(_), Some(_)) => Err("a header that may stand once stands twice"),
        }
    }

    fn at_most_one(&self, name: &str) -> Result<(), &'static str> {
        match self.headers.lines(name).nth(1) {
            Some(_) => Err("a header that may stand once stands twice"),
            None => Ok(()),
        }
    }

    /// A refusal, with what an answer needs if this is a request that can be answered.
    fn refuse(self, status: u16, why: &'static str) -> Refusal {
        let answerable = !self.start.starts_with("SIP/")
            && !self.start.starts_with("ACK ")
            && ["From", "To", "Call-ID", "CSeq"]
                .iter()
                .all(|name| self.one(name).is_ok());
        let answer = match self.top_via() {
            Ok(via) if answerable => Some(Box::new((status, self.headers, via))),
            _ => None,
        };
        Refusal { why, answer }
    }
}

/// Our own requests repeat it: anything but a token (RFC 3261 section 25.1) would say something else there.
fn tag(address: &Address<'_>, why: &'static str) -> Result<Option<String>, &'static str> {
    let tag = address.params.token("tag").map_err(|_| why)?;
    Ok(tag.map(str::to_owned))
}

struct Fields {
    via: Via,
    call_id: String,
    cseq: u32,
    method: String,
    from_tag: Option<String>,
    to_tag: Option<String>,
}

/// What the line says, and a request's method.
fn start_line(line: &str) -> Result<(Start, Option<&str>), (u16, &'static str)> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let start = status_line(rest).map_err(|why| (400, why))?;
        return Ok((start, None));
    }
    let mut parts = line.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err((400, "the start line is malformed"));
    };
    if !is_token(method) {
        return Err((400, "the method is no token"));
    }
    if version != "SIP/2.0" {
        return Err((505, "the SIP version is not 2.0"));
    }
    // Header fields in a Request-URI are not allowed: RFC 3261 section 19.1.1, table 1.
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    if !is_uri(uri) || host.contains('?') {
        return Err((400, "the Request-URI is malformed"));
    }
    let start = Start::Request {
        uri: uri.to_owned(),
    };
    Ok((start, Some(method)))
}

fn status_line(rest: &str) -> Result<Start, &'static str> {
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    match code.parse::<u16>() {
        Ok(number @ 100..=699) if code.len() == 3 => Ok(Start::Response {
            code: number,
            reason: reason.to_owned(),
        }),
        _ => Err("the status code is not one of 100 to 699"),
    }
}

fn cseq(text: &str) -> Result<(u32, &str), &'static str> {
    let mut words = text.split_whitespace();
    let (Some(number), Some(method), None) = (words.next(), words.next(), words.next()) else {
        return Err("CSeq is malformed");
    };
    // Less than 2**31: RFC 3261 section 8.1.1.5.
    match number.parse::<u32>() {
        Ok(number) if number < 1 << 31 && is_token(method) => Ok((number, method)),
        _ => Err("CSeq is malformed"),
    }
}

#[cfg(test)]
mod tests;
