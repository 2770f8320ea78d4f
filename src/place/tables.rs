//! The numbering tables (signatures).
/// Every numbering table, parsed and checked once.
#[derive(Debug)]
pub struct Tables;

/// One fault in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProblem {
    /// The file, such as `us_zip_zones.csv`.
    pub file: String,
    /// The line within it, where one is at fault.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Every fault of every table, so that one run shows them all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the numbering tables cannot be used")]
pub struct TableProblems(pub Vec<TableProblem>);

impl Tables {
    /// The tables built into the program.
    pub fn embedded() -> Result<Self, TableProblems> {
        todo!()
    }

    /// The tables of an operator's rules folder: `folder/numbering/*.csv`.
    pub fn load(folder: &std::path::Path) -> Result<Self, TableProblems> {
        let _ = folder;
        todo!()
    }
}
