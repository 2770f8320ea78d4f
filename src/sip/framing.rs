//! Cutting a stream into messages by Content-Length (RFC 3261 section 18.3), with a bound on what a far end may make us
//! hold; and the signs of life between them (RFC 5626 section 4.4.1).

/// The longest message that is taken, head and body together: as much as a datagram could hold.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_536;

/// One thing that came by a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole message.
    Message(Vec<u8>),
    /// Two line ends or more: the far end wants one in return.
    Ping,
    /// One line end.
    Pong,
}

/// What came by one stream and is not a whole message yet.
#[derive(Debug, Default)]
pub(super) struct Framer {
    bytes: Vec<u8>,
    /// Looked through before, without the end of a head.
    looked: usize,
    /// The length of the message, once its head is whole.
    length: Option<usize>,
    /// A line end was the last that came: with a second one they are a ping, however the stream was cut.
    line_end: bool,
}

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// A ping leaves: one line end after this is the answer, whatever came before.
    pub(super) fn forget_line_end(&mut self) {
        self.line_end = false;
    }

    /// The next whole thing. After an error nothing that follows can be told apart: the stream is of no use any more.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, &'static str> {
        // All at once: each for itself would move what follows each time, and be answered each time.
        let pairs = self.bytes.chunks(2).take_while(|pair| pair == b"\r\n");
        let ends = pairs.count();
        if ends > 0 {
            self.bytes.drain(..2 * ends);
            let ends = ends + usize::from(self.line_end);
            self.line_end = ends % 2 == 1;
            return Ok(Some(match ends {
                1 => Frame::Pong,
                _ => Frame::Ping,
            }));
        }
        if self.bytes.len() < 2 {
            return Ok(None);
        }
        self.line_end = false;
        let length = match self.length {
            Some(length) => length,
            None => match self.head()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.bytes.len() < length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(length);
        (self.looked, self.length) = (0, None);
        Ok(Some(Frame::Message(std::mem::replace(
            &mut self.bytes,
            rest,
        ))))
    }

    /// The length of the message whose head is whole by now.
    fn head(&mut self) -> Result<Option<usize>, &'static str> {
        const END: &[u8] = b"\r\n\r\n";
        let fresh = self.bytes.get(self.looked..).unwrap_or_default();
        let found = fresh.windows(END.len()).position(|window| window == END);
        let Some(found) = found else {
            self.looked = self.bytes.len().saturating_sub(END.len() - 1);
            return match self.bytes.len() <= MESSAGE_BYTES_MAX {
                true => Ok(None),
                false => Err("a head longer than any message may be"),
            };
        };
        let head = self.looked + found + END.len();
        let text = self.bytes.get(..head).unwrap_or_default();
        let length = head.saturating_add(content_length(text)?);
        match length <= MESSAGE_BYTES_MAX {
            true => Ok(Some(length)),
            false => Err("a message longer than any may be"),
        }
    }
}

/// What the head says of its body. On a stream it has to say it, once (RFC 3261 section 20.14).
fn content_length(head: &[u8]) -> Result<usize, &'static str> {
    let mut stated = None;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"Content-Length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let number = std::str::from_utf8(value).ok();
        let number = number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse::<usize>().ok());
        let number = number.ok_or("Content-Length is no number")?;
        if stated.is_some_and(|before| before != number) {
            return Err("Content-Length is stated twice");
        }
        stated = Some(number);
    }
    stated.ok_or("a message without Content-Length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nX: y\r\nContent-Length: 5\r\n\r\nhello";
    const TWO: &[u8] = b"SIP/2.0 200 OK\r\nl:0\r\n\r\n";

    fn all(framer: &mut Framer) -> Result<Vec<Frame>, &'static str> {
        std::iter::from_fn(|| framer.next().transpose()).collect()
    }

    fn message(bytes: &[u8]) -> Frame {
        Frame::Message(bytes.to_vec())
    }

    proptest! {
        /// However the network cuts the stream, the same comes out.
        #[test]
        fn any_cut_gives_the_same(cuts in proptest::collection::vec(1..40_usize, 0..60)) {
            let stream = [ONE, TWO, b"\r\n\r\n", TWO, b"\r\n", ONE].concat();
            let (mut framer, mut seen, mut rest) = (Framer::default(), Vec::new(), stream.as_slice());
            for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                framer.push(now);
                seen.extend(all(&mut framer).unwrap());
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            // The first half of a ping looks like an answer to ours.
            seen.retain(|frame| *frame != Frame::Pong);
            let expected = vec![message(ONE), message(TWO), Frame::Ping, message(TWO), message(ONE)];
            prop_assert_eq!(seen, expected);
            prop_assert!(!framer.is_within());
        }

        /// Nothing that arrives makes it hold more than one message and what came with it, or stop.
        #[test]
        fn any_bytes_are_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let mut framer = Framer::default();
            framer.push(&bytes);
            let _ = all(&mut framer);
        }
    }

    #[test]
    fn a_stream_that_cannot_be_cut_is_of_no_use() {
        let refused = |bytes: &[u8]| {
            let mut framer = Framer::default();
            framer.push(bytes);
            all(&mut framer).unwrap_err()
        };
        assert!(refused(b"SIP/2.0 200 OK\r\n\r\n").contains("without Content-Length"));
        assert!(refused(b"A\r\nl: -1\r\n\r\n").contains("no number"));
        assert!(refused(b"A\r\nl: +1\r\n\r\n").contains("no number"));
        assert!(refused(b"A\r\nl: 1\r\nContent-Length: 2\r\n\r\n").contains("twice"));
        assert!(refused(b"A\r\nl: 99999999999999999999999\r\n\r\n").contains("no number"));
        assert!(refused(b"A\r\nl: 65536\r\n\r\n").contains("longer"));
        assert!(refused(&vec![b'a'; 1_000_000]).contains("longer"));
    }

    /// A megabyte of head costs a look at each byte, not at each byte for each byte.
    #[test]
    fn a_head_is_looked_through_once() {
        let mut framer = Framer::default();
        let mut pushed = 0;
        while framer.next().is_ok() {
            framer.push(b"x");
            pushed += 1;
            assert!(framer.bytes.len() - framer.looked <= 4);
        }
        assert_eq!(pushed, MESSAGE_BYTES_MAX + 1);
    }
}
