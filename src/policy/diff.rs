//! What differs between two packs, row by row and key by key, for a person who is about to activate one of them. It compares
//! what is written, not how it is formatted; the long tables (numbering, holidays, vectors) line by line.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::Value;

use super::files::{Content, PackFiles};
use super::pack::Pack;

/// Everything that differs; nothing = the packs say the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PackDiff {
    /// Rows of the rule files.
    pub rows: Vec<RowChange>,
    /// Tables and vectors.
    pub files: Vec<FileChange>,
}

/// What became of a row or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// Only the second pack has it.
    Added,
    /// Only the first pack has it.
    Removed,
    /// Both have it, and it says something else.
    Changed,
}

/// One row of a rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowChange {
    /// The table: `rule`, `register`, `holiday_calendar`, `group` …
    pub table: String,
    /// Which row.
    pub id: String,
    /// What became of it.
    pub became: Became,
    /// The keys that differ.
    pub keys: Vec<KeyChange>,
}

/// One key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// What the first pack says, as TOML; absent if it has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What the second pack says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One table or file of vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its name.
    pub file: String,
    /// What became of it.
    pub became: Became,
    /// Lines that only the second pack has.
    pub lines_added: usize,
    /// Lines that only the first pack has.
    pub lines_removed: usize,
}

impl PackDiff {
    /// Whether the packs say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.files.is_empty()
    }
}

/// A row as it is written: where, and each key with its value as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRow {
    /// The file.
    pub file: String,
    /// Key and value, in order of key.
    pub keys: Vec<(String, String)>,
}

impl Pack {
    /// The rule of this id as its file writes it.
    #[must_use]
    pub fn written(&self, id: &str) -> Option<WrittenRow> {
        (self.files().layered(Content::Rules).into_iter()).find_map(|(_, file, text)| {
            let table: toml::Table = text.parse().ok()?;
            let rows = table.get("rule")?.as_array()?;
            let row = (rows.iter()).find(|row| text_of(row, "id").as_deref() == Some(id))?;
            let keys = row.as_table()?.iter();
            Some(WrittenRow {
                file: file.to_owned(),
                keys: keys
                    .map(|(key, value)| (key.clone(), value.to_string()))
                    .collect(),
            })
        })
    }

    /// What another pack says otherwise.
    #[must_use]
    pub fn diff(&self, after: &Self) -> PackDiff {
        self.files().diff(after.files())
    }
}

impl PackFiles {
    /// What other files say otherwise. Rule files that are no TOML say nothing.
    #[must_use]
    pub fn diff(&self, after: &Self) -> PackDiff {
        let (old, new) = (rows(self), rows(after));
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let mut diff = PackDiff::default();
        for name in names {
            let (before, after) = (old.get(name), new.get(name));
            let keys = keys_changed(before, after);
            let Some(became) = became(before.is_some(), after.is_some(), keys.is_empty()) else {
                continue;
            };
            diff.rows.push(RowChange {
                table: name.0.clone(),
                id: name.1.clone(),
                became,
                keys,
            });
        }
        let order = ["rule", "disabled_rule", "closed_day"];
        let place = |row: &RowChange| {
            let known = order.iter().position(|table| *table == row.table);
            known.unwrap_or(order.len())
        };
        diff.rows.sort_by_key(place);
        diff.files = files_changed(self, after);
        diff
    }
}

type Row = BTreeMap<String, String>;

/// Every row of the rule files by table and id.
fn rows(files: &PackFiles) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::new();
    for (_, file, text) in files.layered(Content::Rules) {
        let Ok(table) = text.parse::<toml::Table>() else {
            continue;
        };
        for (name, value) in &table {
            match value {
                Value::Array(list) => {
                    for (index, row) in list.iter().enumerate() {
                        let id =
                            name_of(name, row).unwrap_or_else(|| format!("{file} {}", index + 1));
                        let keys = row.as_table().into_iter().flatten();
                        let keys = keys.map(|(key, value)| (key.clone(), value.to_string()));
                        rows.insert((name.clone(), id), keys.collect());
                    }
                }
                Value::Table(table) => {
                    let keys = table
                        .iter()
                        .map(|(key, value)| (key.clone(), value.to_string()));
                    rows.insert((name.clone(), file.to_owned()), keys.collect());
                }
                other => {
                    let entry: &mut Row = rows
                        .entry(("file".to_owned(), file.to_owned()))
                        .or_default();
                    entry.insert(name.clone(), other.to_string());
                }
            }
        }
    }
    rows
}

fn name_of(table: &str, row: &Value) -> Option<String> {
    match table {
        "closed_day" => {
            let (place, date) = (text_of(row, "jurisdiction")?, text_of(row, "date")?);
            Some(format!("{place} {date}"))
        }
        "split_area_code" => text_of(row, "npa"),
        _ => text_of(row, "id"),
    }
}

fn text_of(row: &Value, key: &str) -> Option<String> {
    row.get(key)?.as_str().map(str::to_owned)
}

fn became(before: bool, after: bool, same: bool) -> Option<Became> {
    match (before, after) {
        (true, false) => Some(Became::Removed),
        (false, true) => Some(Became::Added),
        _ => (!same).then_some(Became::Changed),
    }
}

fn keys_changed(before: Option<&Row>, after: Option<&Row>) -> Vec<KeyChange> {
    let keys: BTreeSet<_> = before
        .into_iter()
        .chain(after)
        .flat_map(BTreeMap::keys)
        .collect();
    let changes = keys.into_iter().map(|key| KeyChange {
        key: key.clone(),
        before: before.and_then(|row| row.get(key)).cloned(),
        after: after.and_then(|row| row.get(key)).cloned(),
    });
    changes
        .filter(|change| change.before != change.after)
        .collect()
}

fn files_changed(old: &PackFiles, new: &PackFiles) -> Vec<FileChange> {
    let tables = |files: &PackFiles| -> BTreeMap<String, String> {
        let wanted = [Content::Holidays, Content::Numbering, Content::Vectors];
        let found = wanted
            .into_iter()
            .flat_map(|content| files.layered(content));
        found
            .map(|(_, file, text)| (file.to_owned(), text.to_owned()))
            .collect()
    };
    let (old, new) = (tables(old), tables(new));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for file in names {
        let (before, after) = (old.get(file), new.get(file));
        if let Some(became) = became(before.is_some(), after.is_some(), before == after) {
            changes.push(FileChange {
                file: file.clone(),
                became,
                lines_added: lines_beyond(after, before),
                lines_removed: lines_beyond(before, after),
            });
        }
    }
    changes
}

/// How many lines of the one the other does not have.
fn lines_beyond(one: Option<&String>, other: Option<&String>) -> usize {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in other.into_iter().flat_map(|text| text.lines()) {
        *left.entry(line).or_default() += 1;
    }
    let lines = one.into_iter().flat_map(|text| text.lines());
    let beyond = lines.filter(|line| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    beyond.count()
}

#[cfg(test)]
mod tests {
    use super::super::testing::pack;
    use super::*;

    #[test]
    fn a_changed_a_new_and_a_missing_row_are_told_key_by_key() {
        let change = |name: &str, text: &str| match name {
            "us.toml" => text
                .replacen("max_age_days = 31", "max_age_days = 30", 1)
                .replacen("id = \"US-WY-window\"", "id = \"US-WY-hours\"", 1),
            "tests/us.jsonl" => String::new(),
            "holidays.csv" => format!("{text}US,,Another day,0,2026-12-26\n"),
            _ => text.to_owned(),
        };
        let parts = pack()
            .files()
            .iter()
            .map(|(name, text)| (name.to_owned(), change(name, text)));
        let other = Pack::of(PackFiles::of(parts.collect::<Vec<_>>())).unwrap();
        let diff = pack().diff(&other);
        let row = |id: &str| diff.rows.iter().find(|row| row.id == id).unwrap();
        assert_eq!(row("US-WY-window").became, Became::Removed);
        assert_eq!(row("US-WY-hours").became, Became::Added);
        let changed: Vec<_> = (diff.rows.iter())
            .filter(|row| row.became == Became::Changed)
            .collect();
        assert_eq!(changed.len(), 1, "{changed:?}");
        let key = KeyChange {
            key: "max_age_days".to_owned(),
            before: Some("31".to_owned()),
            after: Some("30".to_owned()),
        };
        assert_eq!(changed[0].keys, [key]);
        let holidays = diff
            .files
            .iter()
            .find(|file| file.file == "holidays.csv")
            .unwrap();
        assert_eq!((holidays.lines_added, holidays.lines_removed), (1, 0));
        assert!(pack().diff(pack()).is_empty());
        let written = pack().written("US-window").unwrap();
        assert_eq!(written.file, "us.toml");
        assert!(
            written
                .keys
                .iter()
                .any(|(key, value)| key == "kind" && value == "\"calling_window\"")
        );
    }
}
