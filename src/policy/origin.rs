//! Where a row stands, part by part, and which of its parts could not be read: so that each fault is told at its line, and
//! none that only follows from another.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use super::heal::Healed;
use super::pack::PackProblem;

/// Where a row and its parts stand.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub file: String,
    pub line: u64,
    /// Where in the text the row begins.
    pub at: usize,
    /// What the row is, for messages: "rule `US-window`".
    what: String,
    /// Each part of the row as read: how its writer counts it, and its line.
    parts: HashMap<String, (String, u64)>,
    unread: BTreeSet<String>,
}

/// The faults of a row beyond its shape.
pub(super) struct Faults<'r> {
    origin: &'r Origin,
    problems: &'r mut Vec<PackProblem>,
}

impl Origin {
    /// The place of a row of which nothing is read yet.
    pub fn new(file: &str, line: u64, what: String) -> Self {
        Self {
            file: file.to_owned(),
            line,
            at: 0,
            what,
            parts: HashMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// Takes over where the parts stand, and which could not be read, nor any in a broken line.
    pub fn learn<T>(
        &mut self,
        healed: &mut Healed<T>,
        line: impl Fn(usize) -> u64,
        is_broken: impl Fn(u64) -> bool,
    ) {
        self.unread.append(&mut healed.unread);
        for (path, (written, at)) in std::mem::take(&mut healed.parts) {
            let line = line(at);
            if !path.is_empty() && is_broken(line) {
                self.unread.insert(written.clone());
            }
            self.parts.insert(path, (written, line));
        }
    }

    /// Whether this part of the row is as its writer wrote it.
    pub fn has_read(&self, part: &str) -> bool {
        let (part, _) = self.part(part);
        !self.unread.iter().any(|unread| {
            part.strip_prefix(unread.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether the whole row is as its writer wrote it.
    pub fn has_read_all(&self) -> bool {
        self.unread.is_empty()
    }

    /// A fault of the row at one of its parts.
    pub fn fault(&self, part: &str, problem: &str) -> PackProblem {
        let (_, line) = self.part(part);
        PackProblem {
            file: self.file.clone(),
            line: Some(line),
            problem: format!("{}: {problem}", self.what),
        }
    }

    /// Where the row stands, for messages about another.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// How the writer counts a part, and its line: of a part that is not there, that of what it would belong to.
    fn part(&self, part: &str) -> (String, u64) {
        let mut known = part;
        loop {
            if let Some((written, line)) = self.parts.get(known).filter(|_| !known.is_empty()) {
                let rest = part.strip_prefix(known).unwrap_or_default();
                return (format!("{written}{rest}"), *line);
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = known.get(..end).unwrap_or_default(),
                None => return (part.to_owned(), self.line),
            }
        }
    }
}

impl<'r> Faults<'r> {
    /// The faults of this row.
    pub fn new(origin: &'r Origin, problems: &'r mut Vec<PackProblem>) -> Self {
        Self { origin, problems }
    }

    /// Tells a fault that follows from what these parts say, at the first of them; not if one of them could not be read.
    pub fn tell(&mut self, parts: &[&str], problem: impl AsRef<str>) {
        if parts.iter().all(|part| self.origin.has_read(part)) {
            let first = parts.first().copied().unwrap_or_default();
            self.tell_of(first, problem);
        }
    }

    /// Tells of a number of days, hours or months that means nothing, or more than is known.
    pub fn within(&mut self, key: &str, number: Option<i64>, allowed: RangeInclusive<i64>) {
        if number.is_some_and(|number| !allowed.contains(&number)) {
            let (least, most) = (allowed.start(), allowed.end());
            let problem = match *most {
                i64::MAX => format!("`{key}` must be {least} or more"),
                _ => format!("`{key}` must lie between {least} and {most}"),
            };
            self.tell(&[key], problem);
        }
    }

    /// How the writer of the row counts this part.
    pub fn written(&self, part: &str) -> String {
        self.origin.part(part).0
    }

    /// Whether the row has this part, read or not.
    pub fn has(&self, part: &str) -> bool {
        self.origin.parts.contains_key(part)
    }

    /// Tells a fault that follows from this part being there, whatever it says.
    pub fn tell_of(&mut self, part: &str, problem: impl AsRef<str>) {
        self.problems
            .push(self.origin.fault(part, problem.as_ref()));
    }
}
