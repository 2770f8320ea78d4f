//! Who keeps checkpoints elsewhere: a file on another disk, an address on another machine. What they have cannot be taken back by
//! whoever changes the database later. One at a time and the latest one only: a checkpoint covers all before it.

use std::io::Write as _;
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
    file: Option<PathBuf>,
    courier: Option<Courier>,
}

impl Witness {
    /// One that keeps them here and there.
    #[must_use]
    pub fn new(file: Option<PathBuf>, courier: Option<Courier>) -> Self {
        Self { file, courier }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.file.is_some() || self.courier.is_some()
    }

    /// Hands a checkpoint over; or says who did not take it, and why.
    pub async fn hand(&self, note: &str) -> Result<(), String> {
        if let Some(path) = self.file.clone() {
            let text = format!("{note}\n");
            let written = tokio::task::spawn_blocking(move || add(&path, &text)).await;
            let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            written.map_err(|error| format!("the witness file cannot be written: {error}"))?;
        }
        if let Some(courier) = &self.courier {
            let body = json!({ "checkpoint": note }).to_string().into_bytes();
            let bounds = Bounds {
                timeout: TIMEOUT,
                answer_bytes_max: ANSWER_BYTES_MAX,
            };
            let receipt = courier.deliver(&[], body, bounds).await;
            let receipt =
                receipt.map_err(|error| format!("the witness was not reached: {error}"))?;
            if !(200..300).contains(&receipt.status) {
                return Err(format!("the witness answered {}", receipt.status));
            }
        }
        Ok(())
    }
}

/// Adds a note and an empty line, and sees it onto the disk.
fn add(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}
