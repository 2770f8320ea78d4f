//! The thread that reads a list: rows in portions, each with the lines that are done by it, from where an earlier sending
//! stopped. A quoted cell may run over lines, but only if the row is good as a whole: else a stray quote would take the rows
//! behind it with it.

use std::collections::VecDeque;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::ImportPiece;
use super::cells::Cells;
use super::content::{Fault, Line, Lines, Packing};
use super::kind::Kind;
use super::size::PortionSize;
use super::written::{LINE_TOO_LONG, Layout, OPEN_QUOTE, Refusal, RowReader};
use crate::domain::import::ImportReject;

/// Most lines of one row: each of them may have to be looked at again as a row of its own.
const LINES_A_ROW: usize = 16;
/// Most bytes of one row.
const ROW_BYTES_MAX: usize = super::content::LINE_BYTES_MAX;

/// Nobody can tell which of the two was meant, and no row may be passed over that was never recorded.
const ANOTHER_LIST: &str = "an earlier sending announced this list and sent another one; what was recorded stays, send this one once more";

/// The list as it was announced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announced {
    pub sha256: [u8; 32],
    pub bytes: u64,
}

/// How far earlier sendings of the list came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier {
    /// Lines that nothing is left to be done for.
    pub acknowledged: i64,
    /// Lines that are recorded.
    pub recorded: i64,
    /// SHA-256 of these.
    pub sha256: [u8; 32],
}

/// Some rows that stand together in the list.
pub(super) struct Portion<K: Kind> {
    /// Rows that mean something.
    pub rows: Vec<K::Row>,
    /// Rows that do not.
    pub rejects: Vec<ImportReject>,
    /// Lines that were done before it.
    pub from_line: i64,
    /// Lines that are done with it.
    pub to_line: i64,
    /// SHA-256 of all of them.
    pub lines_sha256: [u8; 32],
    /// An earlier sending recorded it, and did not see it acknowledged.
    pub again: bool,
    /// Bytes of the list, as sent, that had arrived when it was made.
    pub bytes: u64,
}

/// How a list ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// As it was announced.
    Whole,
    /// It cannot be what was announced, or be read to its end.
    Failed(String),
    /// Its sender went away.
    BrokenOff,
}

/// Reads a list to its end, or until nobody wants its rows any more.
pub(super) fn read<K: Kind>(
    reader: RowReader<K>,
    pieces: mpsc::Receiver<ImportPiece>,
    announced: Announced,
    earlier: Earlier,
    size: PortionSize,
    out: mpsc::Sender<Portion<K>>,
) -> End {
    let packing: Packing = reader.settings.packing;
    let reading = Lines::of(pieces, packing, announced.bytes).and_then(|lines| {
        let list = Reading {
            lines,
            ahead: VecDeque::new(),
            hash: Sha256::new(),
            done: 0,
            earlier,
            announced,
            reader,
            size,
            out,
            portion: None,
            handed: earlier.acknowledged,
        };
        list.run()
    });
    match reading {
        Ok(end) => end,
        Err(Fault::BrokenOff) => End::BrokenOff,
        Err(Fault::Unreadable(why)) => End::Failed(why),
    }
}

struct Reading<K: Kind> {
    lines: Lines,
    /// Lines that were read and are not done.
    ahead: VecDeque<Line>,
    /// Over the lines that are done.
    hash: Sha256,
    done: i64,
    earlier: Earlier,
    announced: Announced,
    reader: RowReader<K>,
    size: PortionSize,
    out: mpsc::Sender<Portion<K>>,
    portion: Option<Portion<K>>,
    /// Lines that are handed on, or were done before.
    handed: i64,
}

impl<K: Kind> Reading<K> {
    fn run(mut self) -> Result<End, Fault> {
        let layout = match self.first_line()? {
            None => RowReader::<K>::number_alone(),
            Some(first) => match self.reader.layout(&first.bytes) {
                Ok(layout) => layout,
                Err(why) => return Ok(End::Failed(why)),
            },
        };
        let mut is_header = self.reader.settings.has_header;
        loop {
            let more = self.look(1)?;
            if self.too_long() {
                return Ok(End::Failed(
                    "more bytes came than were announced".to_owned(),
                ));
            }
            if !more {
                break;
            }
            let Some(first) = self.ahead.front().cloned() else {
                break;
            };
            let is_blank = first.bytes.trim_ascii().is_empty() && !first.is_cut;
            let is_done = first.number <= self.earlier.acknowledged;
            if is_blank || std::mem::take(&mut is_header) || is_done {
                self.take(1);
            } else {
                let (lines, outcome) = self.row(&layout, &first)?;
                self.add(lines, first.number, outcome);
            }
            if self.done == self.earlier.recorded && !self.is_as_before() {
                return Ok(End::Failed(ANOTHER_LIST.to_owned()));
            }
            if (self.is_full() || self.done == self.earlier.recorded) && !self.flush() {
                return Ok(End::BrokenOff);
            }
        }
        if !self.flush() {
            return Ok(End::BrokenOff);
        }
        let is_shorter = self.done < self.earlier.recorded;
        Ok(match self.end()? {
            End::Whole if is_shorter => End::Failed(ANOTHER_LIST.to_owned()),
            end => end,
        })
    }

    /// Whether the list is what it was announced to be.
    fn end(self) -> Result<End, Fault> {
        let announced = self.announced;
        let arrived = self.lines.finish()?;
        let is_meant = arrived.bytes() == announced.bytes && arrived.sha256() == announced.sha256;
        Ok(if is_meant {
            End::Whole
        } else {
            End::Failed(
                "the content is not the one that was announced: its SHA-256 is another; what was recorded stays"
                    .to_owned(),
            )
        })
    }

    fn too_long(&self) -> bool {
        self.lines.arrived().bytes() > self.announced.bytes
    }

    fn is_as_before(&self) -> bool {
        self.done == 0 || self.sha256() == self.earlier.sha256
    }

    fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The first line that is not empty; it stays ahead.
    fn first_line(&mut self) -> Result<Option<Line>, Fault> {
        let mut index = 0;
        // Empty lines before it are kept; a list of nothing else is looked at no further.
        while index < LINES_A_ROW * LINES_A_ROW && self.look(index + 1)? {
            match self.ahead.get(index) {
                Some(line) if !line.bytes.trim_ascii().is_empty() => return Ok(Some(line.clone())),
                _ => index += 1,
            }
        }
        Ok(None)
    }

    /// Whether there are so many lines ahead.
    fn look(&mut self, count: usize) -> Result<bool, Fault> {
        while self.ahead.len() < count {
            match self.lines.next()? {
                Some(line) => self.ahead.push_back(line),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next lines are done.
    fn take(&mut self, count: usize) {
        for line in self.ahead.drain(..count.min(self.ahead.len())) {
            self.hash.update(&line.bytes);
            self.hash.update(if line.is_cut { b"\r" } else { b"\n" });
            self.done = line.number;
        }
    }

    /// The row that begins with the next line, and of how many lines it is.
    fn row(
        &mut self,
        layout: &Layout<K::Places>,
        first: &Line,
    ) -> Result<(usize, Outcome<K>), Fault> {
        if first.is_cut {
            return Ok((1, Err(LINE_TOO_LONG)));
        }
        let mut text = match self.reader.text(&first.bytes) {
            Ok(text) => text,
            Err(refusal) => return Ok((1, Err(refusal))),
        };
        if let Cells::Whole(cells) = self.reader.cells(layout, &text) {
            return Ok((1, self.reader.row(layout, first.number, &cells)));
        }
        for count in 2..=LINES_A_ROW {
            if !self.look(count)? {
                break;
            }
            let Some(next) = self.ahead.get(count - 1) else {
                break;
            };
            // What an earlier sending recorded was whole rows.
            let is_beyond =
                first.number <= self.earlier.recorded && next.number > self.earlier.recorded;
            let Ok(more) = self.reader.text(&next.bytes) else {
                break;
            };
            if next.is_cut || is_beyond || text.len() + more.len() > ROW_BYTES_MAX {
                break;
            }
            text.push('\n');
            text.push_str(&more);
            if let Cells::Whole(cells) = self.reader.cells(layout, &text) {
                let outcome = self.reader.row(layout, first.number, &cells);
                return Ok(if outcome.is_ok() {
                    (count, outcome)
                } else {
                    (1, Err(OPEN_QUOTE))
                });
            }
        }
        Ok((1, Err(OPEN_QUOTE)))
    }

    fn add(&mut self, lines: usize, line: i64, outcome: Outcome<K>) {
        let again = self.done < self.earlier.recorded;
        let from_line = if again {
            self.handed
        } else {
            self.handed.max(self.earlier.recorded)
        };
        let portion = self.portion.get_or_insert_with(|| Portion {
            rows: Vec::new(),
            rejects: Vec::new(),
            from_line,
            to_line: from_line,
            lines_sha256: [0; 32],
            again,
            bytes: 0,
        });
        match outcome {
            Ok(row) => portion.rows.extend(row),
            Err(refusal) => portion.rejects.push(refusal.at(line)),
        }
        self.take(lines);
    }

    fn is_full(&self) -> bool {
        self.portion
            .as_ref()
            .is_some_and(|portion| portion.rows.len() + portion.rejects.len() >= self.size.rows())
    }

    /// Hands the portion on; false if nobody wants it.
    fn flush(&mut self) -> bool {
        let Some(mut portion) = self.portion.take() else {
            return true;
        };
        portion.to_line = self.done;
        self.handed = self.done;
        portion.lines_sha256 = self.sha256();
        portion.bytes = self.lines.arrived().bytes();
        self.out.blocking_send(portion).is_ok()
    }
}

type Outcome<K> = Result<Option<<K as Kind>::Row>, Refusal>;
