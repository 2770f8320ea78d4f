//! A list on this machine: what is announced of it, and its pieces. What comes by a pipe is kept in a temporary file first, for a
//! list is announced by its hash.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::cli::failure::Usage;
use crate::gate::{cells_of_line, lines_of_list};

/// Bytes of a message.
const PIECE_BYTES: usize = 256 * 1024;

/// Messages that are read ahead of the server.
const PIECES_AHEAD: usize = 4;

/// How a list begins.
pub struct FirstRows {
    /// The cells of its first row.
    pub cells: Vec<String>,
    /// Rows: none, one, or two of as many as there are.
    pub rows: usize,
}

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

    /// The cells of its first line that is not empty, and how many such lines there are, as far as two.
    pub fn first_rows(&self, delimiter: Option<char>) -> io::Result<FirstRows> {
        let (list, mut first, mut rows) = (self.again()?, Vec::new(), 0);
        lines_of_list(list, |_, bytes| {
            if !bytes.trim_ascii().is_empty() {
                rows += 1;
                if rows == 1 {
                    first = bytes.to_vec();
                }
            }
            rows < 2
        });
        let cells = cells_of_line(&first, delimiter);
        Ok(FirstRows { cells, rows })
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
