//! Lists as their owners ship them. Text, one number a line, in one of a few forms; nothing else is the same from owner to
//! owner, so each line is taken for what it is or rejected by its number and a reason, and the reading goes on.

mod fields;
mod fixed;
mod packed;
mod read;
mod reader;
mod report;
#[cfg(test)]
mod tests;

pub use packed::unpacked;
pub use read::{ReadList, ReadProblem, read_list};
pub use reader::ListReader;
pub use report::{ListReport, Reject, RejectReason};

use super::Builder;

/// How a list is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListForm {
    /// As its header and its first lines show: any of the others, and columns by their names.
    #[default]
    Auto,
    /// `212,5550101`: area code and number of the North American plan, the full list of the United States.
    AreaCodeAndNumber,
    /// `212,5550101,2026-11-01 07:30:00,A`: the same with a mark, added or deleted, and the time of it, in either order.
    /// Area code and number may be one column.
    Changes,
    /// A number a line.
    OneNumber,
    /// Rows of columns, one of which holds the number.
    Csv {
        /// Which.
        column: Column,
        /// What stands between columns; absent = as the first line shows.
        delimiter: Option<u8>,
    },
}

/// A column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// Counted from 1.
    At(usize),
    /// By its name in the header line, whatever its case.
    Named(String),
}

impl ListForm {
    /// Rows of columns, of which this one holds the number: its name, or its place from 1.
    #[must_use]
    pub fn of_column(named: &str) -> Self {
        let column = match named.parse() {
            Ok(place) if place > 0 => Column::At(place),
            _ => Column::Named(named.to_owned()),
        };
        Self::Csv {
            column,
            delimiter: None,
        }
    }
}

/// How to read a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// How it is written.
    pub form: ListForm,
    /// ISO 3166-1 country of numbers that are written without one.
    pub country: Option<String>,
}

/// What was read, of one file or several.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// The numbers of full lists, and those that change lists add.
    pub added: Builder,
    /// Those that change lists delete. None of them is added too.
    pub removed: Builder,
}

/// A list that cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListProblem {
    /// The header line lacks the column.
    #[error(
        "the first line names no column `{0}`: give a name as the first line has it, or the column's place, counted from 1"
    )]
    NoSuchColumn(String),
}
