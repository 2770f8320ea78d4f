//! The file of what an import rejected: line, reason, and the line as it stands in the list, which whoever imports it has
//! anyway. The server tells none of it but the line's number.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::file::ListFile;
use super::{Kind, Reject};
use crate::cli::failure::Refused;
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

/// Writes the file, readable by its owner alone, page by page: a list of nothing but rejects takes no memory.
pub async fn write<K: Kind>(
    client: &Client,
    import_id: &str,
    list: &ListFile,
    path: &Path,
) -> Result<()> {
    let place = || format!("cannot write the rejects to `{}`", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = csv::Writer::from_writer(options.open(path).with_context(place)?);
    file.write_record(["line", "reason", "problem", "original"])
        .with_context(place)?;
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
            file.write_record(cells).with_context(place)?;
        }
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    file.flush().with_context(place)
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
