//! Bytes in, lines out: whatever the pieces in which they come.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::{self, Mark, Spelling};
use super::fixed::{self, Width};
use super::report::{ListReport, Reject, RejectReason};
use super::{Column, ListForm, ListOptions, ListProblem, Lists};
use crate::domain::phone::Phone;
use crate::place::Tables;

/// Longer lines are rejected without being held.
const LINE_BYTES_MAX: usize = 65_536;

/// Reads one file of a list, piece by piece, in bounded memory. Lines end with LF, CRLF or CR; the last one may have no end.
///
/// Three kinds of lines are neither numbers nor rejects: blank ones, comments, which begin with `#`, and one header line.
/// A header is the first line that is neither blank nor a comment, if it has letters and no digit; with a column by name it
/// is that line in any case.
#[derive(Debug)]
pub struct ListReader {
    lists: Lists,
    report: ListReport,
    spelling: Spelling,
    form: ListForm,
    /// Found at the first line that has columns.
    delimiter: Option<u8>,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// That line is too long and already rejected.
    is_skipping: bool,
    /// A CR was the last byte: an LF that follows belongs to it.
    is_after_return: bool,
    /// A line that is neither blank nor a comment has been seen.
    has_begun: bool,
}

impl ListReader {
    /// A reader of one file, whose numbers join those already in the lists.
    #[must_use]
    pub fn new(tables: Arc<Tables>, options: ListOptions, lists: Lists) -> Self {
        Self {
            lists,
            report: ListReport::default(),
            spelling: Spelling::new(tables, options.country),
            delimiter: match &options.form {
                ListForm::Csv { delimiter, .. } => *delimiter,
                _ => None,
            },
            form: options.form,
            begun: Vec::new(),
            is_skipping: false,
            is_after_return: false,
            has_begun: false,
        }
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn report(&self) -> &ListReport {
        &self.report
    }

    /// How the list is written: what it was said to be or, if that was left open, what its lines showed so far.
    #[must_use]
    pub fn form(&self) -> &ListForm {
        &self.form
    }

    /// Reads the next bytes; each line that is no number is handed to `rejected`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        rejected: &mut dyn FnMut(Reject),
    ) -> Result<(), ListProblem> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.is_after_return)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                rest = after;
                continue;
            }
            if self.begun.is_empty() && !self.is_skipping {
                let taken = self.take_fixed(rest);
                rest = rest.get(taken..).unwrap_or_default();
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let Some((line, after)) = end.and_then(|end| rest.split_at_checked(end)) else {
                self.hold(rest, rejected);
                break;
            };
            self.end_line(line, rejected)?;
            self.is_after_return = after.starts_with(b"\r");
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the file: its last line counts, whether or not it has an end.
    pub fn finish(
        mut self,
        rejected: &mut dyn FnMut(Reject),
    ) -> Result<(Lists, ListReport), ListProblem> {
        if !self.begun.is_empty() {
            self.end_line(b"", rejected)?;
        }
        Ok((self.lists, self.report))
    }

    /// Bytes held between two pushes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.begun.capacity()
    }

    /// Takes lines of one width in one go, once the list's form is known.
    fn take_fixed(&mut self, bytes: &[u8]) -> usize {
        let width = match self.form {
            ListForm::AreaCodeAndNumber if self.delimiter == Some(b',') => Width::Comma,
            ListForm::OneNumber if self.spelling.is_north_american() => Width::Plain,
            _ => return 0,
        };
        if !self.has_begun {
            return 0;
        }
        let taken = fixed::take(width, bytes, &mut self.lists.added);
        self.report.lines += taken.lines;
        self.report.accepted += taken.lines;
        self.report.duplicates += taken.lines - taken.new;
        taken.bytes
    }

    /// Keeps the beginning of a line, or lets it go if it is too long.
    fn hold(&mut self, piece: &[u8], rejected: &mut dyn FnMut(Reject)) {
        if self.is_skipping {
            return;
        }
        if self.begun.len() + piece.len() > LINE_BYTES_MAX {
            self.begun = Vec::new();
            self.is_skipping = true;
            self.has_begun = true;
            self.report.lines += 1;
            self.reject(RejectReason::LineTooLong, rejected);
        } else {
            self.begun.extend_from_slice(piece);
        }
    }

    /// A line has come to its end, of which this is the last piece.
    fn end_line(
        &mut self,
        piece: &[u8],
        rejected: &mut dyn FnMut(Reject),
    ) -> Result<(), ListProblem> {
        if !self.begun.is_empty() || piece.len() > LINE_BYTES_MAX {
            self.hold(piece, rejected);
        }
        if std::mem::take(&mut self.is_skipping) {
            return Ok(());
        }
        let mut begun = std::mem::take(&mut self.begun);
        self.report.lines += 1;
        let line = if begun.is_empty() { piece } else { &begun };
        match self.line(line)? {
            Ok(()) => {}
            Err(reason) => self.reject(reason, rejected),
        }
        begun.clear();
        self.begun = begun;
        Ok(())
    }

    fn reject(&mut self, reason: RejectReason, rejected: &mut dyn FnMut(Reject)) {
        let reject = Reject {
            line: self.report.lines,
            reason,
        };
        self.report.reject(reject);
        rejected(reject);
    }

    /// Takes a whole line for what it is.
    fn line(&mut self, line: &[u8]) -> Result<Result<(), RejectReason>, ListProblem> {
        let mut line = line;
        if self.report.lines == 1 {
            if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                return Ok(Err(RejectReason::Utf16));
            }
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            self.report.blank += 1;
            return Ok(Ok(()));
        }
        if line.starts_with(b"#") {
            self.report.comments += 1;
            return Ok(Ok(()));
        }
        if line.contains(&0) {
            return Ok(Err(RejectReason::Nul));
        }
        if line.starts_with(b"<") {
            return Ok(Err(RejectReason::Markup));
        }
        if !std::mem::replace(&mut self.has_begun, true) && self.is_header(line)? {
            self.report.headers += 1;
            return Ok(Ok(()));
        }
        Ok(self.row(line))
    }

    /// Tells whether the first line is a header, and finds the column in it.
    fn is_header(&mut self, line: &[u8]) -> Result<bool, ListProblem> {
        let delimiter = self.delimiter.unwrap_or_else(|| fields::delimiter_of(line));
        let names: Vec<String> = fields::columns(line, delimiter)
            .unwrap_or_default()
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_lowercase())
            .collect();
        if let ListForm::Csv { column, .. } = &mut self.form
            && let Column::Named(wanted) = &column
        {
            let wanted = wanted.trim().to_lowercase();
            let at = names.iter().position(|name| *name == wanted);
            *column = Column::At(at.ok_or(ListProblem::NoSuchColumn(wanted))? + 1);
            return Ok(true);
        }
        let text = String::from_utf8_lossy(line);
        let has_digit = text.chars().any(char::is_numeric);
        let is_header = text.chars().any(char::is_alphabetic) && !has_digit;
        if is_header && self.form == ListForm::Auto {
            self.form_by_names(&names, delimiter);
        }
        Ok(is_header)
    }

    /// Finds the column of the number by its name, unless the list has area codes apart or marks: those show themselves.
    fn form_by_names(&mut self, names: &[String], delimiter: u8) {
        const NUMBERS: [&str; 5] = ["phone", "number", "telephone", "msisdn", "tel"];
        let is_number = |name: &&String| {
            let mut words = name.split(|each: char| !each.is_alphanumeric());
            words.any(|word| NUMBERS.contains(&word) || word == "phonenumber")
        };
        let is_other_form = names
            .iter()
            .any(|name| name.contains("area") || name.contains("add"));
        let mut found = names.iter().enumerate().filter(|(_, name)| is_number(name));
        if let (Some((at, _)), None, false) = (found.next(), found.next(), is_other_form)
            && names.len() > 1
        {
            let column = Column::At(at + 1);
            self.delimiter = Some(delimiter);
            self.form = ListForm::Csv {
                column,
                delimiter: self.delimiter,
            };
        }
    }

    /// Takes a line for a number.
    fn row(&mut self, line: &[u8]) -> Result<(), RejectReason> {
        let delimiter = match self.form {
            // `;` may begin an extension.
            ListForm::OneNumber => b',',
            _ => self.delimiter.unwrap_or_else(|| fields::delimiter_of(line)),
        };
        let columns = fields::columns(line, delimiter)?;
        // Only a line that is a number shows how the list is written.
        let found = match self.form {
            ListForm::Auto => Some(form_of(&columns).ok_or(RejectReason::WrongColumns)?),
            _ => None,
        };
        let form = found.as_ref().unwrap_or(&self.form);
        let (number, mark) = read(form, &columns, &self.spelling)?;
        if let Some(form) = found {
            self.form = form;
        }
        self.delimiter = Some(delimiter);
        self.accept(number, mark);
        Ok(())
    }

    /// Puts the number where it belongs. A change list may say of one number both, and the order of its lines is not that
    /// of time: such a number stays listed, which the next full list puts right if need be.
    fn accept(&mut self, number: Phone, mark: Option<Mark>) {
        self.report.accepted += 1;
        let Lists { added, removed } = &mut self.lists;
        let is_new = match mark {
            Some(Mark::Deleted) => {
                self.report.deletions += 1;
                if added.contains(number) {
                    self.report.contradictions += 1;
                    return;
                }
                removed.insert(number)
            }
            Some(Mark::Added) => {
                self.report.contradictions += u64::from(removed.remove(number));
                added.insert(number)
            }
            None => added.insert(number),
        };
        self.report.duplicates += u64::from(!is_new);
    }
}

/// The number of a row, and in a change list its mark.
fn read(
    form: &ListForm,
    columns: &[Cow<'_, [u8]>],
    spelling: &Spelling,
) -> Result<(Phone, Option<Mark>), RejectReason> {
    match (form, columns) {
        (ListForm::OneNumber, [number, empty @ ..]) if are_empty(empty) => {
            Ok((spelling.number(number)?, None))
        }
        (ListForm::AreaCodeAndNumber, [area_code, number, empty @ ..]) if are_empty(empty) => {
            Ok((fields::area_code_and_number(area_code, number)?, None))
        }
        (ListForm::Changes, [area_code, number, rest @ ..])
            if fields::is_split(area_code, number) =>
        {
            let number = fields::area_code_and_number(area_code, number)?;
            Ok((number, Some(fields::mark_of(rest)?)))
        }
        (ListForm::Changes, [number, rest @ ..]) => {
            let mark = fields::mark_of(rest)?;
            Ok((spelling.number(number)?, Some(mark)))
        }
        (ListForm::Csv { column, .. }, columns) => {
            let at = match column {
                Column::At(at) => at.checked_sub(1),
                Column::Named(_) => None,
            };
            let number = at.and_then(|at| columns.get(at));
            let number = number.ok_or(RejectReason::WrongColumns)?;
            Ok((spelling.number(number)?, None))
        }
        _ => Err(RejectReason::WrongColumns),
    }
}

fn are_empty(columns: &[Cow<'_, [u8]>]) -> bool {
    columns.iter().all(|column| column.trim_ascii().is_empty())
}

/// The form of which this may be a line.
fn form_of(columns: &[Cow<'_, [u8]>]) -> Option<ListForm> {
    let has_mark = |rest| fields::mark_of(rest).is_ok();
    match columns {
        [area_code, number, rest @ ..] if fields::is_split(area_code, number) => {
            match are_empty(rest) {
                true => Some(ListForm::AreaCodeAndNumber),
                false => has_mark(rest).then_some(ListForm::Changes),
            }
        }
        [_, rest @ ..] if are_empty(rest) => Some(ListForm::OneNumber),
        [_, rest @ ..] => has_mark(rest).then_some(ListForm::Changes),
        [] => None,
    }
}
