//! How the command line names a pack for the server: a folder that is sent along, the hash of one that the server keeps,
//! or the one of the server's configuration.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::super::failure::Usage;
use super::super::output::Output;
use super::local;
use crate::grpc::pb::{PackFile, PackUpload, activate_pack_request, evaluate_request};
use crate::policy::{Pack, PackFiles};

/// A pack, as the server is told of it.
pub enum Named {
    /// One that it keeps.
    Sha256(String),
    /// One that is sent along.
    Upload(PackUpload),
    /// The one that its configuration brings.
    Configured,
}

/// The pack of these words; or the exit code, if it is a folder with faults, which have been told. A folder is tried here
/// first: all faults of a large pack do not fit into an answer.
pub fn named(words: &str, add: bool, output: Output) -> Result<Result<Named, ExitCode>> {
    let folder = Path::new(words);
    if folder.is_dir() {
        let loaded = PackFiles::read(folder).and_then(|files| {
            Pack::of(if add {
                PackFiles::embedded().with_added(files)
            } else {
                files
            })
        });
        return match loaded {
            Ok(pack) => Ok(Ok(Named::Upload(upload(pack.files())))),
            Err(problems) => local::refused(output, &problems).map(Err),
        };
    }
    if words.len() == 64 && !add {
        return Ok(Ok(Named::Sha256(words.to_owned())));
    }
    Err(Usage(format!(
        "`{words}` is neither a folder nor the hash of a pack (64 digits, as `policy history --json` shows it)"
    ))
    .into())
}

fn upload(files: &PackFiles) -> PackUpload {
    let file = |(name, text): (&str, &str)| PackFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    PackUpload {
        files: files.iter().map(file).collect(),
    }
}

impl From<Named> for activate_pack_request::Pack {
    fn from(named: Named) -> Self {
        match named {
            Named::Sha256(hash) => Self::Sha256(hash),
            Named::Upload(upload) => Self::Upload(upload),
            Named::Configured => Self::Configured(true),
        }
    }
}

impl From<Named> for evaluate_request::Pack {
    fn from(named: Named) -> Self {
        match named {
            Named::Sha256(hash) => Self::Sha256(hash),
            Named::Upload(upload) => Self::Upload(upload),
            Named::Configured => Self::Configured(true),
        }
    }
}
