//! Who keeps checkpoints elsewhere: a file on another disk, an address on another machine. What they have cannot be taken back by
//! whoever changes the database later. Neither waits for the other: one that fails or is slow takes nothing from the other one.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::http_client::{Bounds, Courier};

/// A delivery that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing of an answer is of use but its head.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where checkpoints go.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    /// Every checkpoint is added to this file.
    pub(super) file: Option<WitnessFile>,
    /// The latest one is posted there.
    pub(super) address: Option<WitnessAddress>,
}

impl Witness {
    /// One that keeps them here and there.
    #[must_use]
    pub fn new(file: Option<PathBuf>, courier: Option<Courier>) -> Self {
        Self {
            file: file.map(WitnessFile),
            address: courier.map(WitnessAddress),
        }
    }
}

/// Who takes a checkpoint; or says why not.
pub(super) trait Takes {
    async fn take(&self, note: &str) -> Result<(), String>;
}

/// A file.
#[derive(Debug, Clone)]
pub(super) struct WitnessFile(PathBuf);

impl Takes for WitnessFile {
    async fn take(&self, note: &str) -> Result<(), String> {
        let (path, text) = (self.0.clone(), format!("{note}\n"));
        let written = tokio::task::spawn_blocking(move || add(&path, &text)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| format!("the witness file cannot be written: {error}"))
    }
}

/// An address.
#[derive(Debug, Clone)]
pub(super) struct WitnessAddress(Courier);

impl Takes for WitnessAddress {
    async fn take(&self, note: &str) -> Result<(), String> {
        let body = json!({ "checkpoint": note }).to_string().into_bytes();
        let bounds = Bounds {
            timeout: TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let receipt = self.0.deliver(&[], body, bounds).await;
        let receipt = receipt.map_err(|error| format!("the witness was not reached: {error}"))?;
        match receipt.status {
            200..300 => Ok(()),
            status => Err(format!("the witness answered {status}")),
        }
    }
}

/// Adds a note and an empty line, and sees it onto the disk. One that the file ends with already is not added again: after a
/// restart, or when only the last step failed.
fn add(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    if !ends_with(path, text).unwrap_or(false)
        && let Err(error) = file.write_all(text.as_bytes())
    {
        // Half a note would spoil the next one. A file that can only grow keeps it.
        let _ = file.set_len(before);
        return Err(error);
    }
    file.sync_data()
}

fn ends_with(path: &Path, text: &str) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let Some(begin) = file.metadata()?.len().checked_sub(length) else {
        return Ok(false);
    };
    file.seek(SeekFrom::Start(begin))?;
    let mut end = Vec::new();
    file.take(length).read_to_end(&mut end)?;
    Ok(end == text.as_bytes())
}
