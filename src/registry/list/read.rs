//! One file from its first byte to its last: unpacked, read line by line, and what it is complete for.

use std::io::{self, BufRead};
use std::sync::Arc;

use super::{ListForm, ListOptions, ListProblem, ListReader, ListReport, Lists, Reject, unpacked};
use crate::place::Tables;
use crate::registry::Covers;

/// Bytes that are handed on at once: few enough to be in the cache still when they are read.
const BUFFER_BYTES: usize = 256 << 10;

/// What one file came to.
#[derive(Debug)]
pub struct ReadList {
    /// Its numbers, with those of the files before.
    pub lists: Lists,
    /// What became of its lines.
    pub report: ListReport,
    /// How it is written.
    pub form: ListForm,
    country: Option<String>,
}

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadProblem {
    /// It is not a list of this form.
    #[error(transparent)]
    Problem(#[from] ListProblem),
    /// It cannot be read, or not be unpacked.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads one file of a list, plain or packed, into what the files before came to.
pub fn read_list(
    tables: &Arc<Tables>,
    options: ListOptions,
    lists: Lists,
    packed: impl BufRead,
    rejected: &mut dyn FnMut(Reject),
) -> Result<ReadList, ReadProblem> {
    let country = options.country.clone();
    let mut reader = ListReader::new(Arc::clone(tables), options, lists);
    let mut plain = unpacked(packed)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = plain.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        reader.push(buffer.get(..count).unwrap_or_default(), rejected)?;
    }
    let form = reader.form().clone();
    let (lists, report) = reader.finish(rejected)?;
    Ok(ReadList {
        lists,
        report,
        form,
        country,
    })
}

impl ReadList {
    /// What the list is complete for where nobody says otherwise. Lists by area code are bought by area code: one that is not
    /// among the files is not clear. Any other list is of its whole country.
    #[must_use]
    pub fn covers(&self, tables: &Tables) -> Option<Covers> {
        match self.form {
            ListForm::AreaCodeAndNumber => Some(self.lists.added.covers_area_codes()),
            _ => {
                let code = tables.calling_code_of(self.country.as_deref()?)?;
                Covers::of([code.to_string()]).ok()
            }
        }
    }
}
