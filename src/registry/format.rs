//! The fixed parts of a snapshot's file; the whole layout stands at the head of the module.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Covers;

/// The first bytes of every snapshot.
pub(super) const MAGIC: [u8; 8] = *b"dgregist";

/// The format that this release writes and reads.
pub(super) const VERSION: u32 = 1;

/// Where the hash stands, and where that begins which it is taken of.
pub(super) const HASH_AT: usize = 12;
pub(super) const HASHED_FROM: usize = HASH_AT + 32;

/// Where the header line begins: after its length.
pub(super) const HEADER_AT: usize = HASHED_FROM + 4;

/// The table begins at a multiple of this, so that no slot lies in two lines of the processor's cache.
pub(super) const ALIGNMENT: usize = 64;

/// Bytes of a slot: page number, then offset and count.
pub(super) const SLOT_BYTES: usize = 16;

/// A header line is not longer; what claims to be is damaged.
pub(super) const HEADER_BYTES_MAX: usize = 1 << 20;

/// Offsets have 48 bits.
pub(super) const PAGES_BYTES_MAX: u64 = (1 << 48) - 1;

/// What the importer says of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Id of the register's `[[register]]` row, such as `us-dnc`.
    pub register: String,
    /// The day on which the list was obtained from its owner, as the law counts its age.
    pub as_of: Date,
    /// What the list speaks of.
    pub covers: Covers,
    /// What the snapshot was made from, in the operator's words: file names, account. May be empty; holds no numbers.
    pub origin: String,
}

/// What a snapshot says of itself, as verified when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Id of the register's `[[register]]` row.
    pub register: String,
    /// The day on which the list was obtained.
    pub as_of: Date,
    /// What the list speaks of.
    pub covers: Covers,
    /// How many numbers it lists.
    pub numbers: u64,
    /// What it was made from.
    pub origin: String,
    /// SHA-256 of the file from its 45th byte on, header and pages, in lower-case hexadecimal, as decisions and people name
    /// the snapshot: two with one hash are the same.
    pub sha256: String,
}

/// A hash in lower-case hexadecimal.
pub(super) fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    pub register: String,
    pub as_of: Date,
    pub covers: Covers,
    pub numbers: u64,
    pub origin: String,
    /// Pages that hold a number.
    pub pages: u64,
    /// Slots of the table: a power of two, at least twice as many as pages.
    pub slots: u64,
}

/// The slot at which the search for a page begins, of 2^`bits` slots: the top bits of the page number times 2^64 over the
/// golden ratio, which spreads neighbours.
pub(super) fn first_slot(page: u64, bits: u32) -> usize {
    let spread = page.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(spread >> (64 - bits)).unwrap_or_default()
}
