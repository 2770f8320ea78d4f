//! Imports: lists of opt-outs and of consents that are recorded row by row, and what became of each.

use super::ids::ImportId;
use super::text::words;
use super::time::Micros;

words! {
    /// What the rows of a list are.
    ImportKind, "kind of list" {
        /// Opt-outs.
        Suppressions = "suppressions",
        /// Acts of consent.
        Consents = "consents",
    }
}

words! {
    /// How far an import is.
    ImportState, "import state" {
        /// Under way, or broken off: the same list sent again goes on with it.
        Open = "open",
        /// Every row is recorded or rejected, and nothing that was recorded can be overtaken by a call any more.
        Finished = "finished",
        /// The list was not what was announced, or could not be read to its end. What was recorded stays.
        Failed = "failed",
    }
}

words! {
    /// Why a row was not recorded.
    RejectReason, "reject reason" {
        /// The line holds too many bytes.
        LineTooLong = "line_too_long",
        /// The line is no text in the encoding.
        Encoding = "encoding",
        /// The line holds a NUL character.
        Nul = "nul",
        /// The row has another count of columns than the first.
        ColumnCount = "column_count",
        /// The row opens quotes and does not close them.
        OpenQuote = "open_quote",
        /// The row says neither a number nor a person nor an account.
        NumberMissing = "number_missing",
        /// The number is no telephone number.
        Number = "number",
        /// The number is written without its country, and no default country was given.
        CountryMissing = "country_missing",
        /// The row names two of a number, a person and an account.
        TwoSubjects = "two_subjects",
        /// The person's id is none, or nobody of that id is known.
        Party = "party",
        /// No campaign calls for the seller.
        Seller = "seller",
        /// A kind of call that does not exist.
        Channel = "channel",
        /// A reason that does not exist.
        Reason = "reason",
        /// The time is none.
        Time = "time",
        /// The time has not come yet.
        TimeInFuture = "time_in_future",
        /// A text is too long or holds control characters.
        Text = "text",
        /// Several people share the number, and the row names none of them.
        PartyAmbiguous = "party_ambiguous",
        /// Nobody can be consented to: neither the row nor the list names a seller.
        SellerMissing = "seller_missing",
        /// The number may not be dialed, so consent to be called there means nothing.
        NotDialable = "not_dialable",
        /// Neither given nor withdrawn.
        Action = "action",
        /// When consent was given is not said.
        TimeMissing = "time_missing",
        /// So soon after an opt-out or a withdrawal that nobody can tell which came first.
        TimeInDoubt = "time_in_doubt",
        /// How consent was given is not said, or in no known word.
        Form = "form",
        /// Neither yes nor no.
        Flag = "flag",
        /// Not how long a consent holds.
        Period = "period",
        /// Neither the person nor the seller.
        InitiatedBy = "initiated_by",
        /// The name of the account is none.
        Account = "account",
        /// A purpose that does not exist.
        Purpose = "purpose",
        /// The wish of an opt-out that two people lifted since, said no later than it.
        Lifted = "lifted",
    }
}

/// A row that was not recorded. What stands in it is told to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReject {
    /// The line of the list at which the row begins, the first being 1.
    pub line: i64,
    /// Why.
    pub reason: RejectReason,
    /// The same in words.
    pub problem: String,
}

/// What an import came to so far, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportCounts {
    /// Rows that were read.
    pub read: i64,
    /// Rows that made a new record.
    pub created: i64,
    /// Rows that were on record already: a wish by an opt-out as wide that binds from no earlier, a consent by the same act.
    pub repeated: i64,
    /// Rows that were not recorded.
    pub rejected: i64,
}

impl ImportCounts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            read: self.read.saturating_add(other.read),
            created: self.created.saturating_add(other.created),
            repeated: self.repeated.saturating_add(other.repeated),
            rejected: self.rejected.saturating_add(other.rejected),
        }
    }
}

/// An import as it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Identifier.
    pub import_id: ImportId,
    /// What its rows are.
    pub kind: ImportKind,
    /// How far it is.
    pub state: ImportState,
    /// SHA-256 of the whole list as it was announced.
    pub content_sha256: [u8; 32],
    /// Its length in bytes as it was announced.
    pub size_bytes: i64,
    /// SHA-256 of how it is to be read.
    pub settings_sha256: [u8; 32],
    /// Its rows so far.
    pub counts: ImportCounts,
    /// Lines of the list that are recorded or rejected.
    pub lines: i64,
    /// SHA-256 of those lines.
    pub lines_sha256: [u8; 32],
    /// Lines among them that are done for good: what is an opt-out among them, no call can overtake any more.
    pub acknowledged_lines: i64,
    /// Rows among them.
    pub acknowledged_rows: i64,
    /// Why it failed.
    pub problem: Option<String>,
    /// Who began it.
    pub actor: String,
    /// When it began.
    pub began_at: Micros,
    /// When it ended.
    pub ended_at: Option<Micros>,
}
