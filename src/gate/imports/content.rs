//! A list as its bytes come in: hashed, unpacked, decoded and cut into lines, with bounded memory whatever it holds. Blocking:
//! it runs on a thread of its own and waits there for the next piece.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

/// Most bytes of a line; of a longer one only the beginning is kept, and it is rejected.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes read at once; what is unpacked of a packed list is never more ahead than this.
const BUFFER_BYTES: usize = 64 * 1024;

/// Largest window of zstd that is unpacked (32 MiB), as a power of two: what a packed list may make this node hold.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// A piece of a list.
#[derive(Debug)]
pub enum ImportPiece {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// There are no more. A list that ends without is broken off.
    End,
}

/// How a list is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As its first bytes say.
    #[default]
    Detected,
    /// Not at all.
    Plain,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Why there is no next line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The sender went away; the same list sent again goes on.
    BrokenOff,
    /// The list cannot be read any further.
    Unreadable(String),
}

/// What came in so far, seen from outside of the readers that lie over it.
#[derive(Clone, Default)]
pub(super) struct Arrived(Arc<Mutex<Raw>>);

#[derive(Default)]
struct Raw {
    hash: Sha256,
    bytes: u64,
    is_broken_off: bool,
}

impl Arrived {
    fn with<T>(&self, act: impl FnOnce(&mut Raw) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes as they were sent.
    pub fn bytes(&self) -> u64 {
        self.with(|raw| raw.bytes)
    }

    /// SHA-256 of all of them.
    pub fn sha256(&self) -> [u8; 32] {
        self.with(|raw| raw.hash.clone().finalize().into())
    }

    fn is_broken_off(&self) -> bool {
        self.with(|raw| raw.is_broken_off)
    }
}

/// The lines of a list that lies at hand, counted and cut as an import counts and cuts them, until `each` wants no more or the
/// list cannot be read on.
pub fn lines_of_list(list: impl Read + 'static, mut each: impl FnMut(i64, &[u8]) -> bool) {
    let Ok(mut lines) = Lines::over(list, Packing::Detected, Arrived::default()) else {
        return;
    };
    while let Ok(Some(line)) = lines.next() {
        if !each(line.number, &line.bytes) {
            return;
        }
    }
}

/// The pieces as one stream of bytes.
struct Pieces {
    pieces: mpsc::Receiver<ImportPiece>,
    piece: Cursor<Vec<u8>>,
    ended: bool,
    /// How many bytes are to come.
    announced: u64,
    arrived: Arrived,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(into)?;
            if count > 0 || into.is_empty() || self.ended {
                return Ok(count);
            }
            match self.pieces.blocking_recv() {
                Some(ImportPiece::Bytes(bytes)) => {
                    self.arrived.with(|raw| {
                        raw.hash.update(&bytes);
                        raw.bytes += bytes.len() as u64;
                    });
                    self.piece = Cursor::new(bytes);
                }
                // One that ends early is broken off: its last line may be half of one.
                Some(ImportPiece::End) if self.arrived.bytes() >= self.announced => {
                    self.ended = true;
                }
                Some(ImportPiece::End) | None => {
                    self.arrived.with(|raw| raw.is_broken_off = true);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub number: i64,
    /// Its bytes without the end of line.
    pub bytes: Vec<u8>,
    /// It was longer than [`LINE_BYTES_MAX`].
    pub is_cut: bool,
}

/// The lines of a list. They end with LF, CR LF or CR.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read>>,
    number: i64,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    packing: Packing,
    arrived: Arrived,
}

impl Lines {
    /// Waits for the first bytes, which may tell how the list is packed and encoded.
    pub fn of(
        pieces: mpsc::Receiver<ImportPiece>,
        packing: Packing,
        announced: u64,
    ) -> Result<Self, Fault> {
        let arrived = Arrived::default();
        let raw = Pieces {
            pieces,
            piece: Cursor::default(),
            ended: false,
            announced,
            arrived: arrived.clone(),
        };
        Self::over(raw, packing, arrived)
    }

    fn over(raw: impl Read + 'static, packing: Packing, arrived: Arrived) -> Result<Self, Fault> {
        let mut lines = Self {
            input: BufReader::new(Box::new(io::empty())),
            number: 0,
            after_cr: false,
            packing,
            arrived,
        };
        let opened = lines.unpacked(raw).and_then(decoded);
        lines.input =
            BufReader::with_capacity(BUFFER_BYTES, opened.map_err(|error| lines.fault(&error))?);
        Ok(lines)
    }

    /// What came in so far.
    pub fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    fn unpacked(&mut self, raw: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        let (head, raw) = begin(raw, 4)?;
        if self.packing == Packing::Detected {
            self.packing = match head.as_slice() {
                [0x1f, 0x8b, ..] => Packing::Gzip,
                [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
                _ => Packing::Plain,
            };
        }
        Ok(match self.packing {
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            Packing::Zstd => {
                let mut unpacked = zstd::stream::read::Decoder::new(raw)?;
                unpacked.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(unpacked)
            }
            Packing::Plain | Packing::Detected => Box::new(raw),
        })
    }

    /// The next line; none at the end. The rest of a list that cannot be read on is not taken for a line: half a number is
    /// another number.
    pub fn next(&mut self) -> Result<Option<Line>, Fault> {
        let mut line = Line {
            number: self.number.saturating_add(1),
            bytes: Vec::new(),
            is_cut: false,
        };
        loop {
            let arrived = match self.input.fill_buf() {
                Ok(arrived) => arrived,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.fault(&error)),
            };
            if std::mem::take(&mut self.after_cr) && arrived.first() == Some(&b'\n') {
                self.input.consume(1);
                continue;
            }
            if arrived.is_empty() {
                let is_line = !line.bytes.is_empty();
                self.number = self.number.saturating_add(i64::from(is_line));
                return Ok(is_line.then_some(line));
            }
            let end = arrived
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = arrived
                .get(..end.unwrap_or(arrived.len()))
                .unwrap_or_default();
            let room = LINE_BYTES_MAX.saturating_sub(line.bytes.len());
            line.is_cut |= text.len() > room;
            line.bytes.extend(text.iter().take(room));
            let taken = text.len() + usize::from(end.is_some());
            self.after_cr = end.is_some_and(|at| arrived.get(at) == Some(&b'\r'));
            self.input.consume(taken);
            if end.is_some() {
                self.number = line.number;
                return Ok(Some(line));
            }
        }
    }

    /// Reads what may follow the list's own end, so that all that was sent is hashed.
    pub fn finish(mut self) -> Result<Arrived, Fault> {
        let rest = io::copy(&mut self.input, &mut io::sink());
        rest.map_err(|error| self.fault(&error))?;
        Ok(self.arrived)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        if self.arrived.is_broken_off() {
            return Fault::BrokenOff;
        }
        let what = match self.packing {
            Packing::Gzip => "the gzip content is damaged or cut off",
            Packing::Zstd => {
                "the zstd content is damaged, cut off, or packed with a window of more than 32 MiB"
            }
            Packing::Plain | Packing::Detected => "the content cannot be read",
        };
        tracing::debug!(%error, "a list could not be read on");
        Fault::Unreadable(format!(
            "{what}; every whole line before is recorded or rejected"
        ))
    }
}

/// The first bytes, as many as there are, and the whole.
fn begin<R: Read>(mut input: R, count: u64) -> io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut head = Vec::new();
    input.by_ref().take(count).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

/// UTF-16 as UTF-8, and no byte order mark. Without a mark, UTF-16 is known by a first character that is ASCII.
fn decoded(input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    // An error among the first bytes is met again where the lines are read, if it is one of the list.
    let (head, mut input) = begin(input, 3)?;
    let (mark, big_endian) = match head.as_slice() {
        [0xef, 0xbb, 0xbf] => (3, None),
        [0xff, 0xfe, ..] => (2, Some(false)),
        [0xfe, 0xff, ..] => (2, Some(true)),
        [first, 0, ..] if *first != 0 => (0, Some(false)),
        [0, second, ..] if *second != 0 => (0, Some(true)),
        _ => (0, None),
    };
    io::copy(&mut input.by_ref().take(mark), &mut io::sink())?;
    Ok(match big_endian {
        None => Box::new(input),
        Some(is_big_endian) => Box::new(Utf16 {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            is_big_endian,
            high: None,
            text: Cursor::default(),
        }),
    })
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    input: BufReader<R>,
    is_big_endian: bool,
    /// The first half of a pair.
    high: Option<u16>,
    text: Cursor<Vec<u8>>,
}

/// Units decoded at once.
const UNITS: usize = 4096;

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.text.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let mut bytes = Vec::with_capacity(2 * UNITS);
            self.input
                .by_ref()
                .take(2 * UNITS as u64)
                .read_to_end(&mut bytes)?;
            if bytes.is_empty() && self.high.is_none() {
                return Ok(0);
            }
            let is_end = bytes.len() < 2 * UNITS;
            let unit = |pair: &[u8]| {
                let pair = [
                    pair.first().copied().unwrap_or(0),
                    pair.get(1).copied().unwrap_or(0),
                ];
                if self.is_big_endian {
                    u16::from_be_bytes(pair)
                } else {
                    u16::from_le_bytes(pair)
                }
            };
            let mut units: Vec<u16> = self.high.take().into_iter().collect();
            units.extend(bytes.chunks(2).map(unit));
            if !is_end
                && units
                    .last()
                    .is_some_and(|last| (0xd800..0xdc00).contains(last))
            {
                self.high = units.pop();
            }
            let text: String = char::decode_utf16(units)
                .map(|each| each.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            self.text = Cursor::new(text.into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// The lines of a list that comes in pieces of this size, and how it ended.
    fn lines(content: &[u8], size: usize, is_whole: bool) -> (Vec<String>, Option<Fault>) {
        let (sender, pieces) = mpsc::channel(1);
        let announced = content.len() as u64;
        let content = content.to_vec();
        let feeding = std::thread::spawn(move || {
            for piece in content.chunks(size) {
                let _ = sender.blocking_send(ImportPiece::Bytes(piece.to_vec()));
            }
            if is_whole {
                let _ = sender.blocking_send(ImportPiece::End);
            }
        });
        let mut read = Vec::new();
        let fault = Lines::of(pieces, Packing::Detected, announced)
            .and_then(|mut lines| {
                while let Some(line) = lines.next()? {
                    assert_eq!(line.number, read.len() as i64 + 1);
                    read.push(String::from_utf8_lossy(&line.bytes).into_owned());
                }
                lines.finish().map(drop)
            })
            .err();
        feeding.join().unwrap();
        (read, fault)
    }

    #[test]
    fn lines_end_in_every_way_and_at_any_piece() {
        for size in [1, 2, 3, 7, 1000] {
            let content = b"\xef\xbb\xbfone\r\ntwo\rthree\n\n\r\r\nlast";
            let (read, fault) = lines(content, size, true);
            assert_eq!(read, ["one", "two", "three", "", "", "", "last"], "{size}");
            assert_eq!(fault, None);
        }
        assert_eq!(lines(b"", 1, true), (Vec::new(), None));
        assert_eq!(lines(b"\n", 1, true).0, [""]);
    }

    #[test]
    fn utf_16_is_read_with_and_without_its_mark() {
        let text = "née +1404\u{1f600}\n２\n";
        for (mark, big) in [(true, true), (true, false), (false, true), (false, false)] {
            let units = mark
                .then_some(0xfeff)
                .into_iter()
                .chain(text.encode_utf16());
            let bytes: Vec<u8> = units
                .flat_map(|unit: u16| {
                    if big {
                        unit.to_be_bytes()
                    } else {
                        unit.to_le_bytes()
                    }
                })
                .collect();
            for size in [1, 3, 1000] {
                assert_eq!(lines(&bytes, size, true).0, ["née +1404\u{1f600}", "２"]);
            }
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(content).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_packed_list_is_unpacked() {
        let members = [gzip(b"one\ntw"), gzip(b"o\n")].concat();
        assert_eq!(
            lines(&members, 5, true),
            (vec!["one".into(), "two".into()], None)
        );
        let packed = zstd::encode_all(&b"one\ntwo\n"[..], 3).unwrap();
        assert_eq!(lines(&packed, 5, true).0, ["one", "two"]);
    }

    #[test]
    fn of_a_list_that_is_cut_off_only_whole_lines_are_taken() {
        let content: String = (0..20_000)
            .map(|n| format!("+1404{:07}\n", n * 7919 % 9_999_991))
            .collect();
        let packed = gzip(content.as_bytes());
        let (read, fault) = lines(&packed[..packed.len() / 2], 4096, true);
        assert!(!read.is_empty() && read.iter().all(|line| line.len() == 12));
        assert!(matches!(fault, Some(Fault::Unreadable(why)) if why.contains("cut off")));
        let (read, fault) = lines(b"+14045550141\n+14045", 4, false);
        assert_eq!((read.len(), fault), (1, Some(Fault::BrokenOff)));
        let (_, fault) = lines(&packed[..packed.len() / 2], 4096, false);
        assert_eq!(fault, Some(Fault::BrokenOff));
    }

    /// A hundred megabytes of one line, packed into a hundred kilobytes.
    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_is_read() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let block = vec![b'7'; 1 << 20];
        for _ in 0..100 {
            packed.write_all(&block).unwrap();
        }
        packed.write_all(b"\nnext\n").unwrap();
        let (read, fault) = lines(&packed.finish().unwrap(), 1000, true);
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].len(), read[1].as_str(), fault),
            (LINE_BYTES_MAX, "next", None)
        );
    }
}
