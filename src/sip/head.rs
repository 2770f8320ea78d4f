//! The head of a message, read and written: one text and the places of the lines in it, so that a message costs a few
//! allocations and not some for each line. What a line means is none of its business.

use std::borrow::Cow;

use super::values::is_token;

/// The most header lines that are read.
const LINES_MAX: usize = 256;
/// What most of our messages fit into.
const USUAL_BYTES: usize = 512;

/// Header lines as they were read, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    text: String,
    lines: Vec<Line>,
}

/// Where a line's name stands in the text, and right behind it its value.
#[derive(Debug, Clone, Copy)]
struct Line {
    key: Key,
    from: usize,
    middle: usize,
    to: usize,
}

impl Headers {
    /// Reads lines that end in CR LF: folding is undone, compact names are written out.
    pub(super) fn read(lines: &str) -> Result<Self, &'static str> {
        let mut unfolded: Vec<Cow<'_, str>> = Vec::with_capacity(16);
        for line in lines.split_terminator('\n') {
            let line = whole(line)?;
            if let Some(more) = line.strip_prefix([' ', '\t']) {
                // Folding is worth one blank: RFC 3261 section 7.3.1.
                let last = unfolded
                    .last_mut()
                    .ok_or("the first header line is a continuation")?
                    .to_mut();
                last.push(' ');
                last.push_str(more.trim_start());
            } else if unfolded.len() == LINES_MAX {
                return Err("too many headers");
            } else {
                unfolded.push(Cow::Borrowed(line));
            }
        }
        let mut headers = Self {
            text: String::with_capacity(lines.len()),
            lines: Vec::with_capacity(unfolded.len()),
        };
        for line in unfolded {
            let (name, value) = line.split_once(':').ok_or("a header line has no colon")?;
            let name = name.trim_end();
            if !is_token(name) {
                return Err("a header name is no token");
            }
            headers.push(full_name(name), value.trim_ascii());
        }
        Ok(headers)
    }

    fn push(&mut self, name: &str, value: &str) {
        let from = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        let to = self.text.len();
        self.lines.push(Line {
            key: key(name),
            from,
            middle,
            to,
        });
    }

    /// Values of a header, one a line.
    pub(super) fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let key = key(name);
        let alike = self.lines.iter().filter(move |line| line.key == key);
        let named = alike.filter(move |line| {
            let found = self.text.get(line.from..line.middle);
            found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        });
        named.filter_map(|line| self.text.get(line.middle..line.to))
    }

    /// All lines, name and value.
    #[cfg(any(test, fuzzing))]
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let part = |from, to| self.text.get(from..to).unwrap_or_default();
        let lines = self.lines.iter();
        lines.map(move |line| (part(line.from, line.middle), part(line.middle, line.to)))
    }
}

/// Length, first and last letter of a name: a message is asked for some twenty names, and this tells nearly all apart.
type Key = (usize, Option<u8>, Option<u8>);

fn key(name: &str) -> Key {
    let small = |byte: &u8| byte.to_ascii_lowercase();
    let bytes = name.as_bytes();
    (
        bytes.len(),
        bytes.first().map(small),
        bytes.last().map(small),
    )
}

/// A line without its line end, which has to be a whole one.
pub(super) fn whole(line: &str) -> Result<&str, &'static str> {
    match line.strip_suffix('\r') {
        Some(line) if !line.contains('\r') => Ok(line),
        _ => Err("a line ends in half a line end"),
    }
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

/// A line of ours beside those that every message has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: &'static str,
    pub(super) value: Cow<'static, str>,
}

impl Header {
    pub(super) fn new(name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        Self { name, value }
    }
}

/// A message of ours as it is written, from the first line to the body.
#[derive(Debug)]
pub(super) struct Draft(String);

impl Draft {
    pub(super) fn request(method: &str, uri: &str) -> Self {
        Self::start([method, " ", uri, " SIP/2.0\r\n"])
    }

    pub(super) fn response(code: u16, phrase: &str) -> Self {
        Self::start(["SIP/2.0 ", &code.to_string(), " ", phrase, "\r\n"])
    }

    fn start<const N: usize>(line: [&str; N]) -> Self {
        let mut text = String::with_capacity(USUAL_BYTES);
        text.extend(line);
        Self(text)
    }

    /// One line; its value comes in pieces, for joining them first would cost more than writing them.
    pub(super) fn line(&mut self, name: &str, value: &[&str]) {
        self.0.push_str(name);
        self.0.push_str(": ");
        for piece in value {
            self.0.push_str(piece);
        }
        self.0.push_str("\r\n");
    }

    pub(super) fn lines(&mut self, headers: &[Header]) {
        for header in headers {
            self.line(header.name, &[&header.value]);
        }
    }

    /// The body never passes through text.
    pub(super) fn end(mut self, body: &[u8]) -> Vec<u8> {
        self.line("Content-Length", &[&body.len().to_string()]);
        self.0.push_str("\r\n");
        let mut bytes = self.0.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}
