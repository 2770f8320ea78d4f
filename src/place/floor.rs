//! The floor (signatures).
use super::Tables;
use crate::domain::party::LineType;
use crate::domain::phone::Phone;

/// A number that may be dialed as far as numbering goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialable {
    /// The number.
    pub phone: Phone,
    /// ISO 3166-1 country of the number.
    pub country: String,
    /// Every country the number may belong to: more than one where the calling code is shared and the metadata cannot tell.
    pub candidates: Vec<String>,
    /// What the numbering plan says of the line, where it says anything.
    pub line: Option<LineType>,
    /// Oddities that do not refuse the number, each a code.
    pub warnings: Vec<String>,
}

/// Why a number is never dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotDialable {
    /// Not `+` and 7 to 15 digits.
    NotE164,
    /// An emergency or short number, or one that becomes it on the way.
    EmergencyOrShortNumber,
    /// A calling code without a country.
    NoPlaceNumber,
    /// An area code that nobody has assigned.
    UnknownAreaCode,
    /// A kind of number that is not a person's line.
    ForbiddenNumberKind,
    /// Premium rate or shared cost.
    PremiumRate,
    /// Of no length that the country's plan knows, or with a trunk prefix left in.
    NotPossible,
}

impl NotDialable {
    /// The code that decisions and error details carry.
    #[must_use]
    pub fn code(self) -> &'static str {
        todo!()
    }
}

/// Judges whether this text is a number that may be dialed at all.
pub fn dialable(tables: &Tables, text: &str) -> Result<Dialable, NotDialable> {
    let _ = (tables, text);
    todo!()
}
