//! The rule pack: `rules/*.toml` and its neighbours, read once and checked (signatures).

use std::path::Path;

use crate::domain::decision::PackVersion;
use crate::place::Tables;

/// The law as data: rules, groups of countries, holidays and the numbering tables, checked and indexed.
#[derive(Debug)]
pub struct Pack {
    version: PackVersion,
    tables: Tables,
}

/// One fault of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblem {
    /// The file at fault, as seen from the pack's folder.
    pub file: String,
    /// The line within it, where one is at fault.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Every fault of a pack, so that one run shows them all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rule pack cannot be used")]
pub struct PackProblems(pub Vec<PackProblem>);

impl Pack {
    /// The pack built into the program.
    pub fn embedded() -> Result<Self, PackProblems> {
        todo!()
    }

    /// An operator's pack: `folder/*.toml`, `folder/holidays.csv` and `folder/numbering/*.csv`.
    pub fn load(folder: &Path) -> Result<Self, PackProblems> {
        let _ = folder;
        todo!()
    }

    /// Which law this is: every decision names it.
    #[must_use]
    pub fn version(&self) -> &PackVersion {
        &self.version
    }

    /// The numbering tables that belong to it.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}
