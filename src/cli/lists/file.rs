//! A list on this machine: what is announced of it, and its pieces. What comes by a pipe is kept in a temporary file first, for a
//! list is announced by its hash.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::cli::failure::Usage;
use crate::gate::lines_of_list;

/// Bytes of a message.
const PIECE_BYTES: usize = 256 * 1024;

/// Messages that are read ahead of the server.
const PIECES_AHEAD: usize = 4;

/// A list, opened and hashed.
pub struct ListFile {
    file: File,
    /// As it was named; `-` for standard input.
    pub name: PathBuf,
    /// SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// Its length.
    pub bytes: u64,
}

impl ListFile {
    /// Opens and hashes it.
    pub fn open(name: &Path) -> Result<Self> {
        let place = || format!("cannot read the list `{}`", name.display());
        let mut file = if name.as_os_str() == "-" {
            let mut kept =
                tempfile::tempfile().context("cannot keep standard input in a temporary file")?;
            io::copy(&mut io::stdin().lock(), &mut kept).with_context(place)?;
            kept
        } else {
            File::open(name).with_context(place)?
        };
        let mut hash = Hashing {
            hash: Sha256::new(),
            bytes: 0,
        };
        file.seek(SeekFrom::Start(0)).with_context(place)?;
        io::copy(&mut file, &mut hash).with_context(place)?;
        if hash.bytes == 0 {
            bail!(Usage(format!("the list `{}` is empty", name.display())));
        }
        Ok(Self {
            file,
            name: name.to_owned(),
            sha256: hash.hash.finalize().into(),
            bytes: hash.bytes,
        })
    }

    /// The list from its beginning.
    pub fn again(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// The cells of its first line, as far as they are told apart by what usually stands between columns.
    pub fn first_cells(&self) -> io::Result<Vec<String>> {
        let (line, mut first) = (self.again()?, Vec::new());
        lines_of_list(line, |_, bytes| {
            first = bytes.to_vec();
            first.trim_ascii().is_empty()
        });
        let is_between = |each: char| matches!(each, ',' | ';' | '\t' | '|');
        let bare = |cell: &str| cell.trim().trim_matches('"').trim().to_ascii_lowercase();
        let first = String::from_utf8_lossy(&first);
        Ok(first.split(is_between).map(bare).collect())
    }

    /// The messages of one sending: `first`, then the list, each as `piece` makes it. They are read on a thread of their own, and
    /// no further than the server takes them; a list that cannot be read on ends early, and the server says so.
    pub fn messages<M: Send + 'static>(
        &self,
        first: M,
        piece: fn(Vec<u8>) -> M,
    ) -> io::Result<mpsc::Receiver<M>> {
        let mut file = self.again()?;
        let (out, messages) = mpsc::channel(PIECES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut next = Some(first);
            while let Some(message) = next {
                if out.blocking_send(message).is_err() {
                    return;
                }
                let mut bytes = Vec::with_capacity(PIECE_BYTES);
                let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut bytes);
                next = (read.is_ok() && !bytes.is_empty()).then(|| piece(bytes));
            }
        });
        Ok(messages)
    }
}

struct Hashing {
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
