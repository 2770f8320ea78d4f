//! Reading rule files so that every fault is found in one go, each with its line.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::heal::{Healed, Readable, heal};
use super::kinds::{Kind, ReadKeys};
use super::origin::Origin;
use super::pack::PackProblem;
use super::rule::Common;

/// One file being read, and the faults found so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Where the file is no TOML.
    errors: Vec<usize>,
    /// Whether a row may be meant to stand here that was not found, or not its id.
    pub is_partial: bool,
    pub problems: Vec<PackProblem>,
}

/// A text of a list, and where it stands.
pub(super) type Member = (String, Origin);

/// A single value of a file.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Scalar<T>(T);

impl<T: DeserializeOwned> Readable for Scalar<T> {}

impl<'a> Reader<'a> {
    /// A reader of this file.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            file,
            text,
            lines: breaks.map(|(at, _)| at + 1).collect(),
            errors: Vec::new(),
            is_partial: false,
            problems: Vec::new(),
        }
    }

    /// The file's top-level tables.
    pub fn document(&mut self) -> Vec<(String, Spanned<DeValue<'a>>)> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().split_whitespace().collect::<Vec<_>>();
            self.problem(at, format!("not TOML: {}", message.join(" ")));
            self.errors.push(at);
            self.is_partial |= self.header_after(self.line_start(at)) == self.line_start(at);
        }
        let entries = document.into_inner().into_iter();
        entries
            .map(|(key, value)| (key.into_inner().into_owned(), value))
            .collect()
    }

    /// Keeps a fault found at this offset of the text.
    pub fn problem(&mut self, offset: usize, problem: String) {
        self.problems.push(PackProblem {
            file: self.file.to_owned(),
            line: Some(self.line(offset)),
            problem,
        });
    }

    /// Whether what stands before the first table could be read: then what is not there is missing.
    pub fn has_whole_head(&self) -> bool {
        if self.errors.is_empty() {
            return true;
        }
        let end = self.header_after(0);
        !self.errors.iter().any(|at| *at < end)
    }

    /// Whether the text from here to the next table is TOML.
    fn is_whole_table(&self, from: usize) -> bool {
        if self.errors.is_empty() {
            return true;
        }
        let end = self.header_after(from.saturating_add(1));
        !self.errors.iter().any(|at| (from..end).contains(at))
    }

    /// Whether something in this line is no TOML.
    fn is_broken(&self, line: u64) -> bool {
        self.errors.iter().any(|at| self.line(*at) == line)
    }

    /// Where the first table from here on begins.
    fn header_after(&self, from: usize) -> usize {
        let starts = std::iter::once(&0).chain(&self.lines).copied();
        let header = |start: &usize| {
            let line = self.text.get(*start..).unwrap_or_default();
            line.starts_with('[')
        };
        let mut headers = starts.filter(|start| *start >= from).filter(header);
        headers.next().unwrap_or(self.text.len().saturating_add(1))
    }

    /// Where the line of this offset begins.
    fn line_start(&self, offset: usize) -> usize {
        let before = self.lines.iter().rev().find(|start| **start <= offset);
        before.copied().unwrap_or(0)
    }

    /// The line of this offset, counted from 1.
    pub fn line(&self, offset: usize) -> u64 {
        let before = self.lines.partition_point(|start| *start <= offset);
        u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Reads the value of a key that is no table.
    pub fn scalar<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: Spanned<DeValue<'a>>,
    ) -> Option<T> {
        let healed = heal::<Scalar<T>>(value);
        for fault in healed.faults {
            self.problem(fault.at, format!("`{key}`: {}", fault.problem));
        }
        healed.value.map(|Scalar(value)| value)
    }

    /// Reads a table as a whole, what is wrong with parts of it aside.
    pub fn row<T: Readable>(
        &mut self,
        table: &str,
        value: Spanned<DeValue<'a>>,
    ) -> Option<(T, Origin)> {
        let mut origin = self.origin(table, &value);
        if !value.get_ref().is_table() {
            self.problem(value.span().start, format!("write each {table} as a table"));
            return None;
        }
        let healed = heal(value);
        Some((self.take(healed, &mut origin)?, origin))
    }

    /// The elements of an array of tables.
    pub fn tables(&mut self, name: &str, value: Spanned<DeValue<'a>>) -> Vec<Spanned<DeValue<'a>>> {
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Array(rows) => rows.into_iter().collect(),
            _ => {
                self.problem(at, format!("write each {name} as [[{name}]]"));
                Vec::new()
            }
        }
    }

    /// Reads a table of lists of texts: each list by its name, and where that stands.
    pub fn lists(&mut self, name: &str, value: Spanned<DeValue<'a>>) -> Vec<(Member, Vec<Member>)> {
        let at = value.span().start;
        let DeValue::Table(table) = value.into_inner() else {
            self.problem(at, format!("write [{name}] as a table of lists"));
            return Vec::new();
        };
        let mut lists = Vec::new();
        for (key, list) in table {
            let (key_at, key) = (key.span().start, key.into_inner().into_owned());
            let what = format!("`{key}` in [{name}]");
            let place = |reader: &Self, at| Origin::new(reader.file, reader.line(at), what.clone());
            let mut members: Vec<Member> = Vec::new();
            let list_at = list.span().start;
            if let DeValue::Array(list) = list.into_inner() {
                for member in list {
                    let origin = place(self, member.span().start);
                    match member.get_ref() {
                        DeValue::String(text) => {
                            members.push((text.clone().into_owned(), origin));
                        }
                        _ => self.problems.push(origin.fault("", LIST_OF_CODES)),
                    }
                }
            } else {
                let fault = place(self, list_at).fault("", LIST_OF_CODES);
                self.problems.push(fault);
            }
            lists.push(((key, place(self, key_at)), members));
        }
        lists
    }

    /// Reads a rule: the common keys as such, every other key as its kind's. A kind that cannot be read is none.
    pub fn rule(&mut self, row: Spanned<DeValue<'a>>) -> Option<(Common, Option<Kind>, Origin)> {
        let mut origin = self.origin("rule", &row);
        let span = row.span();
        let DeValue::Table(table) = row.into_inner() else {
            self.problem(span.start, "write each rule as [[rule]]".to_owned());
            return None;
        };
        let (mut common, mut own) = (DeTable::new(), DeTable::new());
        for (key, value) in table {
            let table = if Common::KEYS.contains(&key.get_ref().as_ref()) {
                &mut common
            } else {
                &mut own
            };
            table.insert(key, value);
        }
        let kind = common.get("kind").map(|kind| (kind.span().start, kind));
        let kind = kind.and_then(|(at, kind)| Some((at, kind.get_ref().as_str()?.to_owned())));
        let common = heal(Spanned::new(span.clone(), DeValue::Table(common)));
        let common = self.take(common, &mut origin)?;
        let own = Spanned::new(span, DeValue::Table(own));
        let Some((kind_at, name)) = kind else {
            self.belong_to_no_kind(&own, &origin);
            return Some((common, None, origin));
        };
        let mut keys = Keys {
            reader: self,
            origin: &mut origin,
            keys: Some(own.clone()),
        };
        match Kind::read(&name, &mut keys) {
            Some(kind) => Some((common, kind, origin)),
            None => {
                let known = Kind::NAMES.join(", ");
                let mut fault = origin.fault(
                    "kind",
                    &format!("unknown kind `{name}`, expected one of {known}"),
                );
                fault.line = Some(self.line(kind_at));
                self.problems.push(fault);
                self.belong_to_no_kind(&own, &origin);
                Some((common, None, origin))
            }
        }
    }

    /// Where the kind is not known, keys that no kind has can be told all the same.
    fn belong_to_no_kind(&mut self, own: &Spanned<DeValue<'a>>, origin: &Origin) {
        let DeValue::Table(table) = own.get_ref() else {
            return;
        };
        for key in table.keys() {
            let name = key.get_ref();
            if !Kind::is_key(name) {
                let mut fault = origin.fault(
                    "",
                    &format!("`{name}`: unknown key; no kind of rule has it"),
                );
                fault.line = Some(self.line(key.span().start));
                self.problems.push(fault);
            }
        }
    }

    /// Tells what was wrong with a row, and takes what could be read of it.
    fn take<T>(&mut self, mut healed: Healed<T>, origin: &mut Origin) -> Option<T> {
        let is_whole = self.is_whole_table(origin.at);
        for fault in std::mem::take(&mut healed.faults) {
            // What is missing may be what is no TOML, what stands in such a line may be read otherwise than meant, and a
            // value that stands before its row is none that anybody wrote.
            let is_meant = fault.at >= origin.at && !self.is_broken(self.line(fault.at));
            if !is_whole && (fault.is_missing || !is_meant) {
                continue;
            }
            let mut problem = match fault.path.as_str() {
                "" => origin.fault("", &fault.problem),
                path => origin.fault("", &format!("`{path}`: {}", fault.problem)),
            };
            problem.line = Some(self.line(fault.at));
            self.problems.push(problem);
        }
        origin.learn(&mut healed, |at| self.line(at), |line| self.is_broken(line));
        self.is_partial |= !is_whole && !origin.has_read("id");
        healed.value
    }

    /// Where a row stands, and what it is called.
    fn origin(&self, table: &str, row: &Spanned<DeValue<'a>>) -> Origin {
        let key = if table == "split_area_code" {
            "npa"
        } else {
            "id"
        };
        let id = row.get_ref().get(key).and_then(|id| id.get_ref().as_str());
        let word = match table {
            "holiday_calendar" => "calendar",
            "split_area_code" => "split area code",
            "disabled_rule" => "disabled rule",
            "closed_day" => "closed day",
            other => other,
        };
        let what = match id {
            Some(id) => format!("{word} `{id}`"),
            None => word.to_owned(),
        };
        let at = row.span().start;
        let mut origin = Origin::new(self.file, self.line(at), what);
        origin.at = at;
        origin
    }
}

const LIST_OF_CODES: &str = "expected a list of codes in quotes, such as `[\"DE\", \"FR\"]`";

/// The keys of a row that belong to its kind.
struct Keys<'r, 'o, 'a> {
    reader: &'r mut Reader<'a>,
    origin: &'o mut Origin,
    keys: Option<Spanned<DeValue<'a>>>,
}

impl ReadKeys for Keys<'_, '_, '_> {
    fn read<T: Readable>(&mut self) -> Option<T> {
        let healed = heal(self.keys.take()?);
        self.reader.take(healed, self.origin)
    }
}
