//! The small filter language of every list (AIP-160): `field op literal`, AND, OR, NOT, parentheses.
//!
//! Parsing is against a closed set of fields, so that a filter that exists can be answered; nothing of it ever becomes
//! part of a statement's text but the names of those fields.

use uuid::Uuid;

use super::text::UnknownWord;
use super::time::Micros;

/// A field that a list can be filtered by.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name, in filters and in the table.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a field holds, and so which literals and operators it takes.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// Any text; `=` and `!=` only.
    Text,
    /// An instant, RFC 3339.
    Time,
    /// An identifier; `=` and `!=` only.
    Uuid,
    /// A number.
    Number,
    /// A key of 32 bytes in hexadecimal; `=` and `!=` only.
    Key,
    /// One word of a closed set; `=` and `!=` only.
    Words(fn(&str) -> Option<UnknownWord>),
    /// A set of words; `=` asks whether the word is in it.
    Set,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A literal, of its field's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Text, or a word.
    Text(String),
    /// A number.
    Number(i64),
    /// An instant.
    Time(Micros),
    /// An identifier.
    Uuid(Uuid),
    /// A key of 32 bytes.
    Key([u8; 32]),
    /// A member of a set.
    Member(String),
}

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Everything.
    #[default]
    Everything,
    /// One comparison.
    Compare {
        /// The field.
        field: &'static str,
        /// How.
        operator: Operator,
        /// With what.
        literal: Literal,
    },
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {position} of the filter)")]
pub struct FilterError {
    /// Which character, the first being 1.
    pub position: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Filter {
    /// Reads a filter against these fields. Empty text asks for everything.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, FilterError> {
        todo!()
    }
}
