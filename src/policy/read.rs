//! Reading rule files so that every fault is found in one go, each with its line.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::kinds::{Kind, ReadKeys};
use super::pack::PackProblem;
use super::rule::Common;

/// One file being read, and the faults found so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    pub problems: Vec<PackProblem>,
}

impl<'a> Reader<'a> {
    /// A reader of this file.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            problems: Vec::new(),
        }
    }

    /// The file's top-level tables.
    pub fn document(&mut self) -> Vec<(String, Spanned<DeValue<'a>>)> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.problem(at, format!("not TOML: {}", one_line(error.message())));
        }
        let entries = document.into_inner().into_iter();
        entries
            .map(|(key, value)| (key.into_inner().into_owned(), value))
            .collect()
    }

    /// Keeps a fault found at this offset of the text.
    pub fn problem(&mut self, offset: usize, problem: String) {
        let line = self.line(offset);
        self.problems.push(PackProblem {
            file: self.file.to_owned(),
            line: Some(line),
            problem,
        });
    }

    /// The line of this offset, counted from 1.
    pub fn line(&self, offset: usize) -> u64 {
        let before = self.text.bytes().take(offset);
        let newlines = before.filter(|byte| *byte == b'\n').count();
        u64::try_from(newlines)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Reads a value. Serde stops at a table's first fault, so the faulty key is set aside and the rest read again.
    pub fn value<T: DeserializeOwned>(&mut self, mut value: Spanned<DeValue<'a>>) -> Option<T> {
        let mut set_aside: HashSet<String> = HashSet::new();
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return set_aside.is_empty().then_some(read),
                Err(error) => error,
            };
            let message = one_line(error.message());
            let at = error.span().map_or(value.span().start, |span| span.start);
            let missing = message
                .strip_prefix("missing field `")
                .and_then(|rest| rest.strip_suffix('`'));
            if missing.is_none_or(|key| !set_aside.contains(key)) {
                self.problem(at, message.clone());
            }
            let DeValue::Table(table) = value.get_mut() else {
                return None;
            };
            let faulty = table.iter().find_map(|(key, value)| {
                let inside = key.span().contains(&at) || value.span().contains(&at);
                inside.then(|| key.get_ref().clone().into_owned())
            });
            let key = faulty?;
            table.remove(key.as_str());
            set_aside.insert(key);
        }
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

    /// Reads a rule: the common keys as such, every other key as its kind's.
    pub fn rule(&mut self, row: Spanned<DeValue<'a>>) -> Option<(Common, Kind)> {
        let span = row.span();
        let DeValue::Table(table) = row.into_inner() else {
            self.problem(span.start, "write each rule as [[rule]]".to_owned());
            return None;
        };
        let kind = match table.get("kind").map(|kind| (kind.span(), kind.get_ref())) {
            Some((_, DeValue::String(kind))) => Some(kind.clone().into_owned()),
            _ => None,
        };
        let kind_at = table
            .get("kind")
            .map_or(span.start, |kind| kind.span().start);
        let (mut common, mut own) = (DeTable::new(), DeTable::new());
        for (key, value) in table {
            let table = if Common::KEYS.contains(&key.get_ref().as_ref()) {
                &mut common
            } else {
                &mut own
            };
            table.insert(key, value);
        }
        let common = self.value(Spanned::new(span.clone(), DeValue::Table(common)));
        let mut keys = Keys {
            reader: self,
            keys: Some(Spanned::new(span, DeValue::Table(own))),
        };
        let kind = kind.map(|name| (Kind::read(&name, &mut keys), name));
        match kind {
            Some((Some(kind), _)) => Some((common?, kind?)),
            Some((None, name)) => {
                let known = Kind::NAMES.join(", ");
                let problem = format!("unknown kind `{name}`, expected one of {known}");
                self.problem(kind_at, problem);
                None
            }
            // The common keys have told that the kind is missing.
            None => None,
        }
    }
}

/// The keys of a row that belong to its kind.
struct Keys<'r, 'a> {
    reader: &'r mut Reader<'a>,
    keys: Option<Spanned<DeValue<'a>>>,
}

impl ReadKeys for Keys<'_, '_> {
    fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        let keys = self.keys.take()?;
        self.reader.value(keys)
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
