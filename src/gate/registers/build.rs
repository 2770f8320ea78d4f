//! Makes a snapshot's file of what is sent, piece by piece as it arrives, where that holds nobody up.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::mpsc;

use super::follow::make_folder;
use super::import::{
    InForce, NewRegister, RegisterContent, RegisterLines, RegisterRefusal, RegisterReject,
};
use super::unusable;
use crate::gate::error::GateError;
use crate::place::Tables;
use crate::registry::{
    self, Builder, Covers, Label, ListForm, ListOptions, ListReport, Lists, ReadList, Snapshot,
};
use crate::store::StoreError;

/// A snapshot that is not in force yet. Its file goes when this does, unless it is kept.
pub(super) struct Built {
    pub path: TempPath,
    pub snapshot: Arc<Snapshot>,
    pub rows_read: u64,
    pub rows_rejected: u64,
    pub rejects: Vec<RegisterReject>,
}

/// Makes it. The sender of the pieces drops its end when all were sent.
pub(super) async fn build(
    folder: PathBuf,
    new: &NewRegister,
    (country, tables): (String, Arc<Tables>),
    before: InForce,
    content: mpsc::Receiver<Vec<u8>>,
) -> Result<Built, GateError> {
    let new = new.clone();
    let built = tokio::task::spawn_blocking(move || {
        let work = Work {
            folder,
            new,
            country,
            tables,
            before,
        };
        work.build(content)
    });
    let ended = |_| StoreError::Other("the making of a register's snapshot ended early".to_owned());
    built.await.map_err(ended)?
}

struct Work {
    folder: PathBuf,
    new: NewRegister,
    /// The register's own.
    country: String,
    tables: Arc<Tables>,
    before: InForce,
}

impl Work {
    fn build(self, content: mpsc::Receiver<Vec<u8>>) -> Result<Built, GateError> {
        make_folder(&self.folder).map_err(|error| self.unwritten(&error))?;
        let file = tempfile::Builder::new()
            .prefix(".import-")
            .tempfile_in(&self.folder)
            .map_err(|error| self.unwritten(&error))?;
        let mut content = Pieces::new(content);
        match &self.new.content {
            RegisterContent::Snapshot {
                rows_read,
                rows_rejected,
            } => self.received(file, &mut content, (*rows_read, *rows_rejected)),
            RegisterContent::List(lines) => {
                let read = self.read(&mut content, lines, ListForm::Auto)?;
                let covers = lines.covers.clone().or_else(|| read.covers(&self.tables));
                self.made(file, covers, &read.lists.added, &read.report)
            }
            RegisterContent::Changes(lines) => {
                let Some((_, before)) = &self.before else {
                    return Err(RegisterRefusal::Empty.into());
                };
                let before = before.as_ref().ok_or_else(|| {
                    unreadable("the snapshot that they change cannot be read by this node")
                })?;
                let read = self.read(&mut content, lines, ListForm::Changes)?;
                says_something(&read.report)?;
                let merged = before.merge(&read.lists.added, &read.lists.removed);
                let covers = lines.covers.clone();
                let covers = covers.unwrap_or_else(|| before.header().covers.clone());
                self.made(file, Some(covers), &merged, &read.report)
            }
        }
    }

    /// A snapshot that was made elsewhere: written down as it comes, then opened, which looks at every byte of it.
    fn received(
        &self,
        mut file: NamedTempFile,
        content: &mut Pieces,
        (rows_read, rows_rejected): (u64, u64),
    ) -> Result<Built, GateError> {
        io::copy(content, &mut file).map_err(|error| self.unwritten(&error))?;
        content.must_be(self.new.content_sha256)?;
        file.as_file()
            .sync_all()
            .map_err(|error| self.unwritten(&error))?;
        let path = file.into_temp_path();
        let snapshot = open(&path)?;
        let header = snapshot.header();
        has_numbers(header.numbers, (rows_read, rows_rejected))?;
        let (register, as_of) = (&self.new.register, self.new.as_of);
        if header.register != *register || header.as_of != as_of {
            return Err(unreadable(format!(
                "the snapshot is of register {} as of {}, and not of {register} as of {as_of}",
                header.register, header.as_of
            )));
        }
        Ok(Built {
            rows_read,
            rows_rejected,
            rejects: Vec::new(),
            path,
            snapshot: Arc::new(snapshot),
        })
    }

    /// The lines of a list.
    fn read(
        &self,
        content: &mut Pieces,
        lines: &RegisterLines,
        form: ListForm,
    ) -> Result<ReadList, GateError> {
        let country = lines.default_country.clone();
        let options = ListOptions {
            form: match &lines.column {
                Some(column) => ListForm::of_column(column),
                None => form,
            },
            country: Some(country.unwrap_or_else(|| self.country.clone())),
        };
        let read = registry::read_list(
            &self.tables,
            options,
            Lists::default(),
            BufReader::new(&mut *content),
            &mut |_| {},
        );
        // What broke off reads as a list that is damaged: that it did is the better reason.
        content.must_be(self.new.content_sha256)?;
        read.map_err(|problem| unreadable(problem.to_string()))
    }

    /// The snapshot of these numbers.
    fn made(
        &self,
        file: NamedTempFile,
        covers: Option<Covers>,
        numbers: &Builder,
        report: &ListReport,
    ) -> Result<Built, GateError> {
        has_numbers(numbers.len(), (report.lines, report.rejected))?;
        let covers = covers.filter(|covers| !covers.is_empty()).ok_or_else(|| {
            GateError::invalid(
                "covers",
                "is missing; say for which beginnings of numbers the list is complete, such as `1` or `1212,1646`",
            )
        })?;
        let label = Label {
            register: self.new.register.clone(),
            as_of: self.new.as_of,
            covers,
            origin: String::new(),
        };
        let path = file.into_temp_path();
        numbers
            .finish(&label, &path)
            .map_err(|error| StoreError::Other(error.to_string()))?;
        let rejects = report.first_rejects.iter().map(|reject| RegisterReject {
            line: reject.line,
            problem: reject.reason.to_string(),
        });
        Ok(Built {
            rows_read: report.lines,
            rows_rejected: report.rejected,
            rejects: rejects.collect(),
            snapshot: Arc::new(open(&path)?),
            path,
        })
    }

    fn unwritten(&self, error: &io::Error) -> GateError {
        unusable("write in", &self.folder, error)
    }
}

/// A list of nothing would clear everybody, whatever else was said of it.
fn has_numbers(numbers: u64, (lines, rejected): (u64, u64)) -> Result<(), GateError> {
    match numbers {
        0 => Err(RegisterRefusal::NoNumbers { lines, rejected }.into()),
        _ => Ok(()),
    }
}

/// Changes may be none, on a day on which nothing happened; but not if there were lines that nobody understood.
fn says_something(report: &ListReport) -> Result<(), GateError> {
    match report.first_rejects.first() {
        Some(first) if report.accepted == 0 => Err(RegisterRefusal::NoChanges {
            lines: report.lines,
            rejected: report.rejected,
            line: first.line,
            problem: first.reason.to_string(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The content as it arrives, and its hash so far.
struct Pieces {
    content: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
    hash: Sha256,
}

impl Pieces {
    fn new(content: mpsc::Receiver<Vec<u8>>) -> Self {
        Self {
            content,
            piece: io::Cursor::default(),
            hash: Sha256::new(),
        }
    }

    /// What arrived must be what was announced; what was not read counts too.
    fn must_be(&mut self, sha256: [u8; 32]) -> Result<(), GateError> {
        while let Some(piece) = self.content.blocking_recv() {
            self.hash.update(&piece);
        }
        match self.hash.clone().finalize().as_slice() == sha256 {
            true => Ok(()),
            false => Err(RegisterRefusal::ContentMismatch.into()),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 if !into.is_empty() => {}
                read => return Ok(read),
            }
            let Some(next) = self.content.blocking_recv() else {
                return Ok(0);
            };
            self.hash.update(&next);
            self.piece = io::Cursor::new(next);
        }
    }
}

fn open(path: &Path) -> Result<Snapshot, GateError> {
    Snapshot::open(path).map_err(|error| unreadable(error.to_string()))
}

fn unreadable(why: impl Into<String>) -> GateError {
    RegisterRefusal::Unreadable(why.into()).into()
}
