//! From bytes to a checked message, in front of `rsip`: framing, folded lines, compact names, the body cut by
//! Content-Length and kept as bytes, the reason phrase as it came. What this refuses, nothing deeper sees.
//!
//! `rsip` 0.4 alone refuses valid messages (folding, extension methods, `;` in the user part) and takes a second request
//! in a datagram for the body; it gets one clean header at a time here.

use rsip::headers::UntypedHeader;
use rsip::headers::header::Tokenizer;
use rsip::{Header, Headers};

use super::values::{Address, Via, is_token, is_uri, split};

/// The most header lines that are read.
const HEADERS_MAX: usize = 256;

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
    let raw = Raw::read(datagram).map_err(|why| Refusal { why, answer: None })?;
    let (start, method) = match start_line(&raw.start) {
        Ok(start) => start,
        Err((status, why)) => return Err(raw.refuse(status, why)),
    };
    match raw.check(start, method.as_deref()) {
        Ok(message) => Ok(message),
        Err((why, raw)) => Err(raw.refuse(400, why)),
    }
}

impl Message {
    /// Values of a header, one a line; the name in its canonical spelling.
    pub(super) fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        lines(&self.headers, name)
    }

    /// The first value of a header.
    pub(super) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        lines(&self.headers, name).next()
    }

    /// All values of a list header, in order, from all its lines; unreadable lines are left out.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.lines(name)
            .filter_map(|line| split(line, ',').ok())
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

/// Values of a header, one a line.
pub(super) fn lines<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter_map(move |header| {
        let (key, value) = parts(header);
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Name and value of the headers that are read here; all others are of no concern.
fn parts(header: &Header) -> (&str, &str) {
    match header {
        Header::Via(value) => ("Via", value.value()),
        Header::From(value) => ("From", value.value()),
        Header::To(value) => ("To", value.value()),
        Header::CallId(value) => ("Call-ID", value.value()),
        Header::CSeq(value) => ("CSeq", value.value()),
        Header::MaxForwards(value) => ("Max-Forwards", value.value()),
        Header::ContentLength(value) => ("Content-Length", value.value()),
        Header::ContentType(value) => ("Content-Type", value.value()),
        Header::Contact(value) => ("Contact", value.value()),
        Header::RecordRoute(value) => ("Record-Route", value.value()),
        Header::Route(value) => ("Route", value.value()),
        Header::Require(value) => ("Require", value.value()),
        Header::RetryAfter(value) => ("Retry-After", value.value()),
        Header::WwwAuthenticate(value) => ("WWW-Authenticate", value.value()),
        Header::ProxyAuthenticate(value) => ("Proxy-Authenticate", value.value()),
        Header::Authorization(value) => ("Authorization", value.value()),
        Header::ProxyAuthorization(value) => ("Proxy-Authorization", value.value()),
        Header::Other(name, value) => (name, value),
        _ => ("", ""),
    }
}

/// A datagram cut into its parts, nothing of it checked yet.
struct Raw {
    start: String,
    headers: Headers,
    rest: Vec<u8>,
}

impl Raw {
    fn read(datagram: &[u8]) -> Result<Self, &'static str> {
        // Empty lines before the start line are to be ignored: RFC 3261 section 7.5.
        let mut bytes = datagram;
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or("the head has no end")?;
        let (head, rest) = bytes.split_at(end);
        let rest = rest.get(4..).unwrap_or_default().to_vec();
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut unfolded: Vec<String> = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n']) {
                return Err("a line ends in half a line end");
            }
            if let Some(more) = line.strip_prefix([' ', '\t']) {
                // Folding is worth one blank: RFC 3261 section 7.3.1.
                let last = unfolded
                    .last_mut()
                    .ok_or("the first header line is a continuation")?;
                last.push(' ');
                last.push_str(more.trim_start());
            } else if unfolded.len() == HEADERS_MAX {
                return Err("too many headers");
            } else {
                unfolded.push(line.to_owned());
            }
        }
        if start.contains(['\r', '\n']) {
            return Err("the start line ends in half a line end");
        }
        let headers = unfolded
            .iter()
            .map(|line| header(line))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            start,
            headers: headers.into(),
            rest,
        })
    }

    fn check(
        self,
        start: Start,
        method: Option<&str>,
    ) -> Result<Message, (&'static str, Box<Self>)> {
        let checked = self
            .fields(method)
            .and_then(|fields| Ok((fields, self.body_length()?)));
        let (fields, length) = match checked {
            Ok(checked) => checked,
            Err(why) => return Err((why, Box::new(self))),
        };
        let mut body = self.rest;
        body.truncate(length);
        Ok(Message {
            start,
            headers: self.headers,
            body,
            via: fields.via,
            call_id: fields.call_id,
            cseq: fields.cseq,
            method: fields.method,
            from_tag: fields.from.params.get("tag").map(str::to_owned),
            to_tag: fields.to.params.get("tag").map(str::to_owned),
        })
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
        if let Some(hops) = lines(&self.headers, "Max-Forwards").next() {
            hops.parse::<u8>()
                .map_err(|_| "Max-Forwards is no number up to 255")?;
        }
        for line in lines(&self.headers, "Contact") {
            let contacts = split(line, ',').map_err(|_| "Contact is malformed")?;
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
            from,
            to,
        })
    }

    fn top_via(&self) -> Result<Via, &'static str> {
        let line = lines(&self.headers, "Via").next().ok_or("Via is missing")?;
        let values = split(line, ',').map_err(|_| "Via is malformed")?;
        let top = values.first().ok_or("Via is missing")?;
        Via::parse(top).map_err(|_| "Via is malformed")
    }

    /// Content-Length, or all there is: RFC 3261 section 18.3.
    fn body_length(&self) -> Result<usize, &'static str> {
        self.at_most_one("Content-Length")?;
        let Some(stated) = lines(&self.headers, "Content-Length").next() else {
            return Ok(self.rest.len());
        };
        match stated.parse::<usize>() {
            Ok(length) if length <= self.rest.len() => Ok(length),
            Ok(_) => Err("the body is shorter than Content-Length says"),
            Err(_) => Err("Content-Length is no number"),
        }
    }

    fn one<'a>(&'a self, name: &'a str) -> Result<&'a str, &'static str> {
        let mut values = lines(&self.headers, name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err("a mandatory header is missing"),
            (Some(_), Some(_)) => Err("a header that may stand once stands twice"),
        }
    }

    fn at_most_one(&self, name: &str) -> Result<(), &'static str> {
        match lines(&self.headers, name).nth(1) {
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

struct Fields {
    via: Via,
    call_id: String,
    cseq: u32,
    method: String,
    from: Address,
    to: Address,
}

/// One header line, its compact name written out.
fn header(line: &str) -> Result<Header, &'static str> {
    let (name, value) = line.split_once(':').ok_or("a header line has no colon")?;
    let name = name.trim_end();
    if !is_token(name) {
        return Err("a header name is no token");
    }
    Tokenizer::from((full_name(name).as_bytes(), value.trim().as_bytes()))
        .try_into()
        .map_err(|_| "a header cannot be read")
}

/// RFC 3261 section 7.3.3 and the compact names registered since.
fn full_name(name: &str) -> &str {
    match name {
        "a" | "A" => "Accept-Contact",
        "b" | "B" => "Referred-By",
        "c" | "C" => "Content-Type",
        "d" | "D" => "Request-Disposition",
        "e" | "E" => "Content-Encoding",
        "f" | "F" => "From",
        "i" | "I" => "Call-ID",
        "j" | "J" => "Reject-Contact",
        "k" | "K" => "Supported",
        "l" | "L" => "Content-Length",
        "m" | "M" => "Contact",
        "n" | "N" => "Identity-Info",
        "o" | "O" => "Event",
        "r" | "R" => "Refer-To",
        "s" | "S" => "Subject",
        "t" | "T" => "To",
        "u" | "U" => "Allow-Events",
        "v" | "V" => "Via",
        "x" | "X" => "Session-Expires",
        "y" | "Y" => "Identity",
        other => other,
    }
}

type StartLine = (Start, Option<String>);

fn start_line(line: &str) -> Result<StartLine, (u16, &'static str)> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        return status_line(rest).map_err(|why| (400, why));
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
    Ok((start, Some(method.to_owned())))
}

fn status_line(rest: &str) -> Result<StartLine, &'static str> {
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    match code.parse::<u16>() {
        Ok(number @ 100..=699) if code.len() == 3 => Ok((
            Start::Response {
                code: number,
                reason: reason.to_owned(),
            },
            None,
        )),
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
