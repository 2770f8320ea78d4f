//! The files of a pack, by name: those of the binary, of an operator's folder, or as the store keeps them. Names tell the
//! layers: a base, what an operator's folder adds to it (`added/`), and what was closed or switched off by command
//! (`operator.toml`). Nothing is read into them here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::pack::{PackProblem, PackProblems};
use super::read::Reader;
use crate::place::Tables;

/// The layer that the server keeps: closed days, disabled rules, rows for stopped regions.
pub const OPERATOR_FILE: &str = "operator.toml";

/// What an operator's folder adds stands under this name.
const ADDED: &str = "added/";
const NUMBERING: &str = "numbering/";
const TESTS: &str = "tests/";
/// The table of observed holidays.
pub(super) const HOLIDAYS: &str = "holidays.csv";

/// A pack with all its tables has some 700 kB.
const BYTES_MAX: usize = 16 << 20;
const FILES_MAX: usize = 500;

/// The files of one pack, in order of name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackFiles {
    files: BTreeMap<String, Cow<'static, str>>,
    /// What could not be read; told with all else that is wrong.
    pub(super) problems: Vec<PackProblem>,
    /// Whether a file is there that could not be read.
    has_unread: bool,
}

/// Which layer of a pack a file belongs to, in order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Base,
    Added,
    Operator,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Rules,
    Holidays,
    Numbering,
    Vectors,
}

impl PackFiles {
    /// The files built into the program.
    #[must_use]
    pub fn embedded() -> Self {
        let mut files = Self::default();
        let mut add = |name: String, text: &'static str| {
            files.files.insert(name, Cow::Borrowed(text));
        };
        for (name, text) in BUILT_IN {
            add((*name).to_owned(), text);
        }
        for (name, text) in Tables::embedded_files() {
            add(format!("{NUMBERING}{name}"), text);
        }
        files
    }

    /// One rule file alone, to compare it with another.
    #[must_use]
    pub fn one(text: String) -> Self {
        Self {
            files: BTreeMap::from([("rules.toml".to_owned(), Cow::Owned(text))]),
            ..Self::default()
        }
    }

    /// Files as somebody sends or keeps them. Numbering tables may be left out: the built-in ones are taken.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files = Self::default();
        let mut bytes = 0_usize;
        for (name, text) in parts {
            bytes = bytes.saturating_add(text.len());
            if content(&name).is_none() {
                files.problem(&name, "no file of a pack has this name; a pack holds *.toml, holidays.csv, tests/*.jsonl and numbering/*.csv");
            } else if files.files.insert(name.clone(), Cow::Owned(text)).is_some() {
                files.problem(&name, "the file is there twice");
            }
        }
        if bytes > BYTES_MAX || files.files.len() > FILES_MAX {
            files.problem(
                "*",
                &format!("more than {FILES_MAX} files or {BYTES_MAX} bytes; no pack is that large"),
            );
        }
        files.complete();
        files
    }

    /// The files of an operator's folder: `*.toml`, `holidays.csv`, `tests/*.jsonl`, `numbering/*.csv`.
    pub fn read(folder: &Path) -> Result<Self, PackProblems> {
        let mut files = Self::default();
        files.read_folder(folder, "", &[".toml", HOLIDAYS])?;
        for (inner, ending) in [(TESTS, ".jsonl"), (NUMBERING, ".csv")] {
            if folder.join(inner).is_dir() {
                files.read_folder(&folder.join(inner), inner, &[ending])?;
            }
        }
        files.complete();
        Ok(files)
    }

    /// These files with those of another folder added to them. Rules, registers, calendars and holidays are added; the
    /// numbering tables are one set and can only be replaced.
    #[must_use]
    pub fn with_added(mut self, added: Self) -> Self {
        self.has_unread |= added.has_unread;
        for problem in added.problems {
            self.problems.push(PackProblem {
                file: format!("{ADDED}{}", problem.file),
                ..problem
            });
        }
        for (name, text) in added.files {
            match content(&name) {
                // `complete` filled the built-in ones in.
                Some(Content::Numbering) if self.files.get(&name) == Some(&text) => {}
                Some(Content::Numbering) => self.problem(
                    &format!("{ADDED}{name}"),
                    "numbering tables cannot be added to; replace the whole pack with `mode = \"replace\"`",
                ),
                _ => {
                    self.files.insert(format!("{ADDED}{name}"), text);
                }
            }
        }
        self
    }

    /// The same pack with this operator's layer; an empty one is none.
    #[must_use]
    pub fn with_operator(mut self, layer: Option<String>) -> Self {
        match layer {
            Some(text) => drop(
                self.files
                    .insert(OPERATOR_FILE.to_owned(), Cow::Owned(text)),
            ),
            None => drop(self.files.remove(OPERATOR_FILE)),
        }
        self
    }

    /// The operator's layer.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        self.text(OPERATOR_FILE)
    }

    /// One file's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(|text| &**text)
    }

    /// Every file, name and text, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(name, text)| (name.as_str(), &**text))
    }

    /// The files of one content, layer by layer.
    pub(super) fn layered(&self, wanted: Content) -> Vec<(Layer, &str, &str)> {
        let mut found: Vec<_> = (self.iter())
            .filter(|(name, _)| content(name) == Some(wanted))
            .map(|(name, text)| (layer(name), name, text))
            .collect();
        found.sort_by_key(|(layer, ..)| *layer);
        found
    }

    /// Every file, and every line of a rule file, that cannot be read, whatever it would say.
    #[must_use]
    pub fn unreadable(&self) -> Vec<PackProblem> {
        let mut problems = self.problems.clone();
        for (_, file, text) in self.layered(Content::Rules) {
            let mut reader = Reader::new(file, text);
            drop(reader.document());
            problems.append(&mut reader.problems);
        }
        problems.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
        problems
    }

    /// Whether more is there than could be read.
    pub(super) fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Whether anything lies over the layer.
    pub(super) fn has_above(&self, below: Layer) -> bool {
        self.files.keys().any(|name| layer(name) > below)
    }

    /// The files of this layer and those below it.
    pub(super) fn up_to(&self, top: Layer) -> Self {
        let files = self.files.iter().filter(|(name, _)| layer(name) <= top);
        Self {
            files: files.map(|(n, t)| (n.clone(), t.clone())).collect(),
            has_unread: self.has_unread,
            ..Self::default()
        }
    }

    /// The numbering tables of the pack, each by its name in the folder.
    pub(super) fn tables(&self) -> Result<std::sync::Arc<Tables>, crate::place::TableProblems> {
        Tables::of(|file| self.text(&format!("{NUMBERING}{file}")))
    }

    fn read_folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        endings: &[&str],
    ) -> Result<(), PackProblems> {
        let entries = std::fs::read_dir(folder).map_err(|error| {
            PackProblems(vec![PackProblem {
                file: folder.display().to_string(),
                line: None,
                problem: format!("the folder cannot be read: {error}"),
            }])
        })?;
        let mut names = Vec::new();
        for entry in entries {
            match entry.map(|entry| entry.file_name().into_string()) {
                Ok(Ok(name)) => names.push(name),
                Ok(Err(name)) => self.unread(
                    &format!("{prefix}{}", name.to_string_lossy()),
                    "the name is no UTF-8; give the file another",
                ),
                Err(error) => self.unread(prefix, &format!("the folder cannot be read: {error}")),
            }
        }
        names.retain(|name| endings.iter().any(|ending| name.ends_with(ending)));
        names.sort_unstable();
        for name in names {
            let full = format!("{prefix}{name}");
            match std::fs::read(folder.join(&name)) {
                Ok(bytes) => self.add_bytes(full, bytes),
                Err(error) => self.unread(&full, &format!("the file cannot be read: {error}")),
            }
        }
        Ok(())
    }

    /// Takes a file; what is no text in it is told, and the rest read all the same.
    fn add_bytes(&mut self, name: String, bytes: Vec<u8>) {
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let bytes = error.as_bytes();
            for (line, text) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
                if std::str::from_utf8(text).is_err() {
                    self.problems.push(PackProblem {
                        file: name.clone(),
                        line: Some(line),
                        problem: "the line is no UTF-8; save the file as UTF-8".to_owned(),
                    });
                }
            }
            String::from_utf8_lossy(bytes).into_owned()
        });
        self.files.insert(name, Cow::Owned(text));
    }

    fn unread(&mut self, file: &str, problem: &str) {
        self.problem(file, problem);
        self.has_unread = true;
    }

    /// A pack without numbering tables stands on the built-in ones, and holds them, so that it means the same for ever.
    fn complete(&mut self) {
        if !self.files.keys().any(|name| name.starts_with(NUMBERING)) {
            for (name, text) in Tables::embedded_files() {
                let name = format!("{NUMBERING}{name}");
                self.files.insert(name, Cow::Borrowed(text));
            }
        }
    }

    fn problem(&mut self, file: &str, problem: &str) {
        self.problems.push(PackProblem {
            file: file.to_owned(),
            line: None,
            problem: problem.to_owned(),
        });
    }
}

/// What a file of this name holds; none if no pack has such a file.
fn content(name: &str) -> Option<Content> {
    let name = name.strip_prefix(ADDED).unwrap_or(name);
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && name.len() <= 100;
    if let Some(table) = name.strip_prefix(NUMBERING) {
        return (plain(table) && table.ends_with(".csv")).then_some(Content::Numbering);
    }
    if let Some(vectors) = name.strip_prefix(TESTS) {
        return (plain(vectors) && vectors.ends_with(".jsonl")).then_some(Content::Vectors);
    }
    match name {
        HOLIDAYS => Some(Content::Holidays),
        _ if plain(name) && name.ends_with(".toml") => Some(Content::Rules),
        _ => None,
    }
}

fn layer(name: &str) -> Layer {
    match name {
        OPERATOR_FILE => Layer::Operator,
        _ if name.starts_with(ADDED) => Layer::Added,
        _ => Layer::Base,
    }
}

macro_rules! built_in {
    ($($name:literal,)+) => {
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../rules/", $name))),)+];
    };
}

built_in! {
    "holidays.csv",
    "tests/us.jsonl",
    "tests/world.jsonl",
    "us.toml",
    "world.toml",
}
