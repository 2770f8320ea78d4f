//! What a verification finds.

use std::ops::Range;

use super::note::VerifierKey;
use super::tree::Hash;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The line is none of an export, or stands where it cannot.
    Unreadable,
    /// An entry is not the one that was logged, or its hash is not the one that the tree holds.
    Changed,
    /// Entries are missing.
    Missing,
    /// An entry stands where another has to.
    OutOfPlace,
    /// Somewhere among these entries something was changed, and the hashes with it.
    RootDiffers,
    /// A checkpoint is not signed by the key, or not of this log.
    NotSigned,
    /// A tile is not the one over these entries.
    TileDiffers,
    /// The file ends before the log does.
    Truncated,
    /// The log that the file shows and the one that a kept checkpoint was signed for are two.
    Forked,
    /// A kept checkpoint cannot be compared with this file.
    NotComparable,
}

impl Found {
    /// Its word in what programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::OutOfPlace => "out_of_place",
            Self::RootDiffers => "root_differs",
            Self::NotSigned => "not_signed",
            Self::TileDiffers => "tile_differs",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::NotComparable => "not_comparable",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub found: Found,
    /// Of which entries.
    pub entries: Option<Range<u64>>,
    /// Line of the file, from 1.
    pub line: u64,
    /// The same in words.
    pub text: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the file begins as an export does. Of one that does not, nothing more is looked at.
    pub is_export: bool,
    /// Name of the log, if the file says one.
    pub origin: String,
    /// The key that signatures were looked at with, if there was one.
    pub key: Option<VerifierKey>,
    /// Entries seen.
    pub entries: u64,
    /// Checkpoints in the file that agree with the entries before them.
    pub checkpoints: u64,
    /// Kept checkpoints that agree.
    pub kept: u64,
    /// The root over all of it, if it could be made.
    pub head: Option<(u64, Hash)>,
    /// What is wrong, in the order of the file: at most 100.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more_faults: u64,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0
    }
}
