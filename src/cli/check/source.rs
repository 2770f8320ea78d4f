//! The rows of a list as they come: one number a line or a column of CSV, plain or compressed. Memory is bounded whatever
//! the length of the list or of a line, and every line is a row, however broken.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use super::super::failure::Usage;

/// What is kept of a line; the rest of a longer one is passed over.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is kept of the number as it was given: none is longer.
const GIVEN_CHARS_MAX: usize = 64;

const BUFFER_BYTES: usize = 256 * 1024;

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of its line, counted from 1; of the first, where it has several.
    pub line: u64,
    /// What stands where the number should.
    pub given: String,
}

/// Which column holds the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    /// The line is the number.
    Whole,
    /// The column of this place, counted from 0, between these marks.
    At(usize, u8),
}

/// How far a list is read.
#[derive(Debug, Clone, Default)]
pub struct Position {
    read: Arc<AtomicU64>,
    /// Length of the file; none where it has none.
    pub total: Option<u64>,
}

impl Position {
    /// Bytes of the file that were read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// A list, opened.
pub struct Source {
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
    column: Column,
    /// Whether somebody may be typing: what has arrived is passed on.
    is_live: bool,
    /// How far it is read.
    pub position: Position,
}

impl Source {
    /// Opens a list; `-` is standard input.
    pub fn open(path: &Path, column: Option<&str>) -> Result<Self> {
        let mut position = Position::default();
        let is_live = path == Path::new("-");
        let raw: Box<dyn Read + Send> = if is_live {
            Box::new(io::stdin())
        } else {
            let file = File::open(path)
                .with_context(|| format!("cannot read --file `{}`", path.display()))?;
            position.total = file.metadata().ok().map(|about| about.len());
            Box::new(file)
        };
        let counted = Counted {
            inner: raw,
            read: Arc::clone(&position.read),
        };
        let plain = unpacked(counted)
            .with_context(|| format!("cannot read --file `{}`", path.display()))?;
        Self::of(plain, column, is_live, position)
    }

    fn of(
        plain: Box<dyn Read + Send>,
        column: Option<&str>,
        is_live: bool,
        position: Position,
    ) -> Result<Self> {
        let mut lines = Lines::new(BufReader::with_capacity(BUFFER_BYTES, plain));
        lines.refuse_utf16()?;
        let column = match column {
            None => Column::Whole,
            Some(column) => lines.find(column)?,
        };
        Ok(Self {
            lines,
            column,
            is_live,
            position,
        })
    }

    /// The next rows, at most so many; none at the end. From standard input, those that have arrived.
    pub fn next(&mut self, max: usize) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        while rows.len() < max {
            let Some(line) = self.lines.next()? else {
                break;
            };
            let given = match self.column {
                Column::Whole => unquoted(&self.lines.text),
                Column::At(place, mark) => fields(&self.lines.text, mark)
                    .nth(place)
                    .map_or_else(String::new, unquoted),
            };
            rows.push(Row { line, given });
            if self.is_live && self.lines.input.buffer().is_empty() {
                break;
            }
        }
        Ok(rows)
    }
}

/// Takes the compression off, told by the first bytes.
fn unpacked(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(raw));
    Ok(if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(zstd::Decoder::with_buffer(whole)?)
    } else {
        Box::new(whole)
    })
}

/// Counts what is read of the file itself.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let wide = u64::try_from(length).unwrap_or(u64::MAX);
        self.read.fetch_add(wide, Ordering::Relaxed);
        Ok(length)
    }
}

/// Lines, each with its number. A line ends with LF, CR or both; within a quoted field of CSV none does.
struct Lines<R> {
    input: R,
    /// The line's bytes without its end; of one that is too long, its beginning.
    text: Vec<u8>,
    number: u64,
    /// The mark between fields; none where the line is the number.
    mark: Option<u8>,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_return: bool,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            text: Vec::new(),
            number: 0,
            mark: None,
            after_return: false,
        }
    }

    /// Text of two bytes a character would come out as rows of nonsense.
    fn refuse_utf16(&mut self) -> Result<()> {
        let start = self.input.fill_buf().context("cannot read the list")?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            bail!(Usage(
                "--file: the list is in UTF-16; save it as UTF-8 (in a spreadsheet: `CSV UTF-8`)"
                    .to_owned()
            ));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            self.input.consume(3);
        }
        Ok(())
    }

    /// Finds the column of this name, whose line is then no row, or of this place.
    fn find(&mut self, column: &str) -> Result<Column> {
        let place = match column.parse::<usize>() {
            Ok(0) => bail!(Usage("--column: places are counted from 1".to_owned())),
            Ok(place) => Some(place - 1),
            Err(_) => None,
        };
        let Some(place) = place else {
            self.next().context("cannot read the list")?;
            let mark = mark_of(&self.text);
            let names: Vec<String> = fields(&self.text, mark).map(unquoted).collect();
            let is_named = |name: &String| name.trim().eq_ignore_ascii_case(column.trim());
            let Some(place) = names.iter().position(is_named) else {
                bail!(Usage(format!(
                    "--column: the first line names no column `{column}`, it has {}",
                    names
                        .iter()
                        .map(|name| name.trim())
                        .collect::<Vec<_>>()
                        .join(", ")
                )));
            };
            self.mark = Some(mark);
            return Ok(Column::At(place, mark));
        };
        let start = self.input.fill_buf().context("cannot read the list")?;
        let first = start.split(|byte| matches!(byte, b'\n' | b'\r')).next();
        let mark = mark_of(first.unwrap_or_default());
        self.mark = Some(mark);
        Ok(Column::At(place, mark))
    }

    /// The next line's number, its text being in `text`; none at the end.
    fn next(&mut self) -> io::Result<Option<u64>> {
        self.text.clear();
        let first = self.number + 1;
        let (mut is_any, mut quotes) = (false, Quotes::default());
        loop {
            let arrived = match self.input.fill_buf() {
                Ok(arrived) => arrived,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if arrived.is_empty() {
                self.number += u64::from(is_any);
                return Ok(is_any.then_some(first));
            }
            let mut used = 0;
            let mut ended = false;
            for byte in arrived {
                used += 1;
                if std::mem::take(&mut self.after_return) && *byte == b'\n' {
                    continue;
                }
                is_any = true;
                if matches!(byte, b'\n' | b'\r') {
                    self.number += 1;
                    self.after_return = *byte == b'\r';
                    // A quote that nobody closes must not swallow the rest of the list.
                    if !quotes.is_open || self.text.len() >= LINE_BYTES_MAX {
                        ended = true;
                        break;
                    }
                }
                if self.text.len() < LINE_BYTES_MAX {
                    self.text.push(*byte);
                }
                if let Some(mark) = self.mark {
                    quotes.ends_field(*byte, mark);
                }
            }
            self.input.consume(used);
            if ended {
                return Ok(Some(first));
            }
        }
    }
}

/// The mark between the fields of this line: whichever it has most of.
fn mark_of(line: &[u8]) -> u8 {
    let count = |mark: &u8| line.iter().filter(|byte| *byte == mark).count();
    let marks = *b",;\t|";
    // Of two that are alike the first.
    marks.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Where quotes stand in a line of CSV: a field that begins with one is quoted, and two of them in it are one. Elsewhere they
/// are ordinary signs.
#[derive(Default)]
struct Quotes {
    is_within_field: bool,
    is_quoted_field: bool,
    /// A mark or a line's end would be part of the field.
    is_open: bool,
}

impl Quotes {
    /// Takes the next byte; tells whether it is the mark that ends a field.
    fn ends_field(&mut self, byte: u8, mark: u8) -> bool {
        if byte == mark && !self.is_open {
            *self = Self::default();
            return true;
        }
        if byte == b'"' {
            self.is_quoted_field |= !self.is_within_field;
            self.is_open ^= self.is_quoted_field;
        }
        self.is_within_field = true;
        false
    }
}

/// The fields of a line, quotes and all.
fn fields(line: &[u8], mark: u8) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    line.split(move |byte| quotes.ends_field(*byte, mark))
}

/// A field as a person reads it, cut to what can be a number.
fn unquoted(field: &[u8]) -> String {
    let trimmed = field.trim_ascii();
    let inner = trimmed
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let text = String::from_utf8_lossy(inner.unwrap_or(field));
    match text.char_indices().nth(GIVEN_CHARS_MAX) {
        None => text.into_owned(),
        // One sign more than a number has: whoever reads it sees that it was cut.
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rows(text: &[u8], column: Option<&str>) -> Vec<(u64, String)> {
        let mut source = opened(text, column).unwrap();
        let mut all = Vec::new();
        loop {
            let rows = source.next(3).unwrap();
            if rows.is_empty() {
                return all;
            }
            all.extend(rows.into_iter().map(|row| (row.line, row.given)));
        }
    }

    fn opened(text: &[u8], column: Option<&str>) -> Result<Source> {
        let plain = unpacked(Cursor::new(text.to_vec()))?;
        Source::of(plain, column, false, Position::default())
    }

    fn numbered(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
        rows.iter()
            .map(|(line, given)| (*line, (*given).to_owned()))
            .collect()
    }

    #[test]
    fn every_line_is_a_row() {
        for (text, expected) in [
            (&b""[..], &[][..]),
            (b"\n", &[(1, "")]),
            (b"1\n2\n", &[(1, "1"), (2, "2")]),
            (b"1\r\n\r\n2", &[(1, "1"), (2, ""), (3, "2")]),
            (b"1\r2\r", &[(1, "1"), (2, "2")]),
            (b"\xef\xbb\xbf+1\n", &[(1, "+1")]),
            (b"\"+1\"\n+2, x\n", &[(1, "+1"), (2, "+2, x")]),
            (b"\"open\n+2\n", &[(1, "\"open"), (2, "+2")]),
            (b"a\xe9b\n\0\n", &[(1, "a\u{fffd}b"), (2, "\0")]),
        ] {
            assert_eq!(rows(text, None), numbered(expected), "{text:?}");
        }
    }

    #[test]
    fn a_column_is_found_by_name_or_place() {
        let text = b"id;Phone ;note\n1;+1;a\n2;\"+2\";\"b\n;c\"\n3\n4;+4;5\" pipe\n5;+5;x\n";
        let by_name = numbered(&[(2, "+1"), (3, "+2"), (5, ""), (6, "+4"), (7, "+5")]);
        assert_eq!(rows(text, Some("phone")), by_name);
        assert_eq!(rows(text, Some("2"))[1..], by_name);
        assert_eq!(
            rows(b"a,+1\nb,+2", Some("2")),
            numbered(&[(1, "+1"), (2, "+2")])
        );
        assert_eq!(rows(b"phone\n+1\n", Some("phone")), numbered(&[(2, "+1")]));
        assert_eq!(rows(b"\"a\"\"b,\",+1\n", Some("2")), numbered(&[(1, "+1")]));
        let missing = opened(b"id,tel\n", Some("phone"))
            .err()
            .unwrap()
            .to_string();
        assert!(missing.contains("it has id, tel"), "{missing}");
        assert!(opened(b"1", Some("0")).is_err());
        let wide = opened(b"\xff\xfe1\0", None).err().unwrap().to_string();
        assert!(wide.contains("UTF-16"), "{wide}");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut text = vec![b'1'; 3 * LINE_BYTES_MAX];
        text.extend(b"\n+2\n");
        let cut = format!("{}…", "1".repeat(GIVEN_CHARS_MAX));
        assert_eq!(rows(&text, None), numbered(&[(1, &cut), (2, "+2")]));
        let mut open = b"a,\"".to_vec();
        open.extend(vec![b'x'; 2 * LINE_BYTES_MAX]);
        open.extend(b"\nb,+2\n");
        assert_eq!(rows(&open, Some("2"))[1], (2, "+2".to_owned()));
    }

    #[test]
    fn compression_is_told_by_its_first_bytes() {
        let text = b"+1\n+2\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        let twice = |one: &[u8]| [one, one].concat();
        let both = numbered(&[(1, "+1"), (2, "+2")]);
        assert_eq!(rows(&gzip, None), both);
        assert_eq!(rows(&zstd, None), both);
        assert_eq!(rows(&twice(&gzip), None).len(), 4);
        assert_eq!(rows(&twice(&zstd), None).len(), 4);
        let mut cut = opened(&gzip[..gzip.len() - 6], None).unwrap();
        let read: Vec<_> = (0..5).map(|_| cut.next(1)).collect();
        assert!(
            read[0].is_ok() && read.iter().any(Result::is_err),
            "{read:?}"
        );
    }
}
