//! What can go wrong with the file of a snapshot, each case with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::format::VERSION;

/// A snapshot that cannot be written, or that must not answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file system refused.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// What was tried: `open`, `write`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Some other file.
    #[error(
        "`{path}` is not a snapshot of a register: make one with `dialgate registry import` from the list as its owner ships it"
    )]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// Written by another release.
    #[error(
        "`{path}` is a snapshot in format {found}, and this release reads format {VERSION}: import the list again with this release"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The format it claims.
        found: u32,
    },
    /// Cut short, changed or put together wrongly. It never answers: a missing page would look like numbers not listed.
    #[error(
        "`{path}` is damaged ({what}): copy it again from another node, or import the list again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first fault found.
        what: &'static str,
    },
    /// More numbers or words than the format can hold.
    #[error("cannot write `{path}`: {what}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: &'static str,
    },
}

impl RegistryError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}
