//! National do-not-call lists. A list is read as its owner ships it ([`ListReader`]), gathered in memory ([`Builder`]),
//! written as one file and opened as a [`Snapshot`], which answers for each number: listed, not listed, or not known. A
//! snapshot is never edited: a newer one is written beside it and takes its place in [`Registers`] in one step.
//!
//! Nothing here knows the law, the store or the network, and nothing logs a number. What a list does not cover is not
//! known, and never clear; a file that is damaged anywhere does not open.
//!
//! # The file
//!
//! Little-endian throughout.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `dgregist` |
//! | 8–11 | format, 1 |
//! | 12–43 | SHA-256 of everything from byte 44 on |
//! | 44–47 | length of the header line in bytes, its end of line included |
//! | 48– | header line: JSON, filled up with spaces, `\n`; ends at a multiple of 64 bytes |
//! | then | table: `slots` times 16 bytes |
//! | then | pages, without gaps, by rising page number, to the end of the file |
//!
//! A page is the numbers that differ only in their last four digits: page 1212555 holds +1 212 555 0000 to 9999. The digits
//! of a number without `+` are one integer; divided by 10,000 it gives page and place. A page of at most 128 numbers is
//! their places as 16-bit integers, rising. A larger one is 1,250 bytes of bits: the place *n* is bit *n* mod 8, counted
//! from the lowest, of byte *n* / 8.
//!
//! A slot is the page number in 8 bytes (0: empty, for no number begins with 0), where the page begins in 6 bytes, counted
//! from the end of the table, and how many numbers it holds in 2. The search for a page begins at slot
//! (page × 0x9e3779b97f4a7c15 mod 2^64) / (2^64 / `slots`) and goes on slot by slot, from the last to the first, until
//! page or an empty slot is found. At most half of the slots are taken.
//!
//! The header's fields: `register`, `as_of` (a date), `covers` (leading digits, with commas), `numbers`, `origin`, `pages`,
//! `slots`.

#![deny(missing_docs)]

mod builder;
mod covers;
mod diff;
mod error;
mod format;
mod list;
mod page;
mod registers;
mod snapshot;

pub use builder::Builder;
pub use covers::{Covers, NotAPrefix};
pub use diff::{Change, Diff};
pub use error::RegistryError;
pub use format::{Label, SnapshotHeader};
pub use list::{
    Column, ListForm, ListOptions, ListProblem, ListReader, ListReport, Lists, ReadList,
    ReadProblem, Reject, RejectReason, read_list, unpacked,
};
pub use registers::{Loaded, Registers};
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
