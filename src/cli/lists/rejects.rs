//! The file of what an import rejected: line, reason, and the line as it stands in the list, which whoever imports it has
//! anyway. The server tells none of it but the line's number. Registers' lists have such a file too, of other columns.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::file::ListFile;
use super::{Kind, Reject};
use crate::cli::failure::{Refused, Usage};
use crate::cli::wire::word;
use crate::gate::lines_of_list;
use crate::grpc::client::Client;

/// Where the rejects of a list go if nobody says.
pub fn beside<K: Kind>(list: &Path) -> PathBuf {
    if list.as_os_str() == "-" {
        return PathBuf::from(format!("{}.rejects.csv", K::COMMAND));
    }
    let mut name = list.as_os_str().to_owned();
    name.push(".rejects.csv");
    PathBuf::from(name)
}

/// The first line of the file.
pub const HEADER: &str = "line,reason,problem,original";

/// Refuses a file that is one of the lists or anything else that somebody may miss, or that cannot be written: found out when the
/// list has been recorded, it would be too late.
pub fn check(path: &Path, lists: &[PathBuf], header: &str) -> Result<()> {
    let place = || format!("cannot write the rejects to `{}`", path.display());
    if lists.iter().any(|list| is_same_file(path, list)) {
        bail!(Usage(format!(
            "--rejects `{}` is the list itself: name another file",
            path.display()
        )));
    }
    match path.metadata() {
        Ok(there) if there.is_dir() => {
            bail!(Usage(format!(
                "--rejects `{}` is a folder: name a file",
                path.display()
            )))
        }
        Ok(there) if there.is_file() => {
            if there.len() > 0 && !begins_with(path, header).with_context(place)? {
                bail!(Usage(format!(
                    "--rejects `{}` is there and holds no rejects of an import: name another file",
                    path.display()
                )));
            }
        }
        // A pipe, a terminal.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(place),
    }
    // The file takes the place of an older one in one step, so it is the folder that has to be writable.
    tempfile::NamedTempFile::new_in(folder_of(path)).with_context(place)?;
    Ok(())
}

/// Removes the rejects of an earlier import, which are none of the one that had none.
pub fn clear(path: &Path, header: &str) -> Result<()> {
    let place = || {
        format!(
            "cannot remove the rejects of an earlier import, `{}`",
            path.display()
        )
    };
    let is_file = path.metadata().is_ok_and(|there| there.is_file());
    if is_file && begins_with(path, header).with_context(place)? {
        std::fs::remove_file(path).with_context(place)?;
    }
    Ok(())
}

/// A file of rejects that is being written, readable by its owner alone; it appears when it is whole.
pub struct RejectFile {
    /// Absent where no regular file is written: to a pipe, a terminal.
    kept: Option<tempfile::NamedTempFile>,
    file: csv::Writer<File>,
    path: PathBuf,
}

impl RejectFile {
    /// Begins it.
    pub fn begin(path: &Path, header: &str) -> Result<Self> {
        let place = || format!("cannot write the rejects to `{}`", path.display());
        let is_special = path.metadata().is_ok_and(|there| !there.is_file());
        let (kept, file) = if is_special {
            let file = OpenOptions::new().write(true).open(path);
            (None, file.with_context(place)?)
        } else {
            let kept = tempfile::NamedTempFile::new_in(folder_of(path)).with_context(place)?;
            let file = kept.reopen().with_context(place)?;
            (Some(kept), file)
        };
        let mut file = csv::Writer::from_writer(file);
        file.write_record(header.split(',')).with_context(place)?;
        Ok(Self {
            kept,
            file,
            path: path.to_owned(),
        })
    }

    /// Writes a row.
    pub fn write<'c>(&mut self, cells: impl IntoIterator<Item = &'c [u8]>) -> Result<()> {
        let written = self.file.write_record(cells);
        written.with_context(|| format!("cannot write the rejects to `{}`", self.path.display()))
    }

    /// Puts it in its place.
    pub fn end(mut self) -> Result<()> {
        let place = || format!("cannot write the rejects to `{}`", self.path.display());
        self.file.flush().with_context(place)?;
        match self.kept {
            Some(kept) => kept
                .persist(&self.path)
                .map(drop)
                .map_err(|error| error.error)
                .with_context(place),
            None => Ok(()),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
            return (one.dev(), one.ino()) == (other.dev(), other.ino());
        }
    }
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn begins_with(path: &Path, header: &str) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?
        .take(header.len() as u64)
        .read_to_end(&mut first)?;
    Ok(first == header.as_bytes())
}

/// Writes the file, page by page: a list of nothing but rejects takes no memory.
pub async fn write<K: Kind>(
    client: &Client,
    import_id: &str,
    list: &ListFile,
    path: &Path,
) -> Result<()> {
    let mut file = RejectFile::begin(path, HEADER)?;
    let mut page_token = String::new();
    let mut originals = Originals::of(list)?;
    loop {
        let page = K::rejects(client, import_id.to_owned(), page_token).await;
        let (rejects, next) = page.map_err(Refused::question)?;
        let texts = originals.of_these(&rejects);
        for reject in &rejects {
            let (line, reason) = (
                reject.line.to_string(),
                word!(ImportRejectReason, reject.reason),
            );
            let original = texts
                .get(&reject.line)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let cells = [
                line.as_bytes(),
                reason.as_bytes(),
                reject.problem.as_bytes(),
                original,
            ];
            file.write(cells)?;
        }
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    file.end()
}

/// The first lines of a list's rows, asked for in the order of the list.
struct Originals {
    lines: std::sync::mpsc::Receiver<(i64, Vec<u8>)>,
}

impl Originals {
    fn of(list: &ListFile) -> Result<Self> {
        // Some lines ahead of who asks.
        let (out, lines) = std::sync::mpsc::sync_channel(256);
        let list = list.again().context("cannot read the list again")?;
        std::thread::spawn(move || {
            lines_of_list(list, |number, bytes| {
                out.send((number, bytes.to_vec())).is_ok()
            })
        });
        Ok(Self { lines })
    }

    fn of_these(&mut self, rejects: &[Reject]) -> BTreeMap<i64, Vec<u8>> {
        let mut texts = BTreeMap::new();
        for reject in rejects {
            while let Ok((number, bytes)) = self.lines.recv() {
                if number >= reject.line {
                    texts.insert(number, bytes);
                    break;
                }
            }
        }
        texts
    }
}
