//! What became of the lines of a list.

use std::collections::BTreeMap;

/// Why a line is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum RejectReason {
    /// Longer than any row of any list.
    #[error("the line is longer than 65536 bytes: check where its end of line is")]
    LineTooLong,
    /// UTF-16 is not read.
    #[error("the list is UTF-16: convert it to UTF-8, such as with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    /// No text, or UTF-16 without its mark.
    #[error("the line holds a NUL byte: send text in UTF-8")]
    Nul,
    /// Another encoding.
    #[error("the number is not text in UTF-8: convert the list to UTF-8")]
    NotUtf8,
    /// Some owners ship it beside the text.
    #[error("the line is XML: take the flat text file of the same list")]
    Markup,
    /// A quotation mark without its twin.
    #[error("the line opens a quotation mark and does not close it")]
    OpenQuote,
    /// Not the columns of this form.
    #[error(
        "the line does not have the columns of the list's form: check the form, or name the column of the number"
    )]
    WrongColumns,
    /// The column is empty.
    #[error("the line has no number")]
    NoNumber,
    /// Neither added nor deleted.
    #[error("the line has no mark for added or deleted, such as `A` or `D`")]
    NoMark,
    /// Letters where digits should be.
    #[error("the number holds letters")]
    Letters,
    /// An extension behind the number.
    #[error("the number has an extension: a register lists lines, not extensions")]
    Extension,
    /// Fewer digits than a number has.
    #[error("the number has too few digits")]
    TooShort,
    /// More digits than a number has.
    #[error("the number has too many digits")]
    TooLong,
    /// No country given.
    #[error("the number is written without its country: give a default country")]
    CountryMissing,
    /// Something else, or of a length or shape that its country does not have.
    #[error("not a possible number of its country")]
    NotPossible,
}

impl RejectReason {
    /// The code, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::LineTooLong => "LINE_TOO_LONG",
            Self::Utf16 => "UTF_16",
            Self::Nul => "NUL",
            Self::NotUtf8 => "NOT_UTF_8",
            Self::Markup => "MARKUP",
            Self::OpenQuote => "OPEN_QUOTE",
            Self::WrongColumns => "WRONG_COLUMNS",
            Self::NoNumber => "NO_NUMBER",
            Self::NoMark => "NO_MARK",
            Self::Letters => "LETTERS",
            Self::Extension => "EXTENSION",
            Self::TooShort => "TOO_SHORT",
            Self::TooLong => "TOO_LONG",
            Self::CountryMissing => "COUNTRY_MISSING",
            Self::NotPossible => "NOT_POSSIBLE",
        }
    }
}

/// A line that is no number. What stands in it is personal and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// The line, the first being 1.
    pub line: u64,
    /// Why; its words say what to do.
    pub reason: RejectReason,
}

/// The count of one list. Each line is one of `accepted`, `blank`, `comments`, `headers` and `rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReport {
    /// Lines, the last one too if it has no end.
    pub lines: u64,
    /// Lines that are a number.
    pub accepted: u64,
    /// Of those, the ones that said what an earlier line said, of this list or another one read into the same [`Lists`].
    ///
    /// [`Lists`]: super::Lists
    pub duplicates: u64,
    /// Of those, the ones of a change list that delete.
    pub deletions: u64,
    /// Of those, the ones of a change list that say the contrary of an earlier line.
    pub contradictions: u64,
    /// Lines of nothing but blanks.
    pub blank: u64,
    /// Lines that begin with `#`.
    pub comments: u64,
    /// Header lines: 0 or 1.
    pub headers: u64,
    /// Lines that are no number.
    pub rejected: u64,
    /// The same by reason.
    pub reasons: BTreeMap<RejectReason, u64>,
    /// The first of them.
    pub first_rejects: Vec<Reject>,
}

/// How many rejects a report keeps.
const FIRST_REJECTS: usize = 20;

impl ListReport {
    /// Adds what another file of the same list came to.
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.deletions += other.deletions;
        self.contradictions += other.contradictions;
        self.blank += other.blank;
        self.comments += other.comments;
        self.headers += other.headers;
        self.rejected += other.rejected;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        let room = FIRST_REJECTS.saturating_sub(self.first_rejects.len());
        self.first_rejects
            .extend(other.first_rejects.into_iter().take(room));
    }

    pub(super) fn reject(&mut self, reject: Reject) {
        self.rejected += 1;
        *self.reasons.entry(reject.reason).or_default() += 1;
        if self.first_rejects.len() < FIRST_REJECTS {
            self.first_rejects.push(reject);
        }
    }
}
