//! The law as the second evaluator keeps it: the tables of the files as they stand there, in the order in which they
//! stand, with nothing sorted and nothing looked up in advance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::civil::Date;
use toml::Table;

use super::place::Places;

/// One `[[rule]]`.
pub struct Row {
    pub id: String,
    pub jurisdiction: String,
    pub kind: String,
    pub keys: Table,
}

impl Row {
    pub fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).and_then(toml::Value::as_str)
    }

    pub fn is(&self, key: &str) -> bool {
        self.keys.get(key).and_then(toml::Value::as_bool) == Some(true)
    }

    pub fn is_not(&self, key: &str) -> bool {
        self.keys.get(key).and_then(toml::Value::as_bool) == Some(false)
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.keys.get(key).and_then(toml::Value::as_integer)
    }

    pub fn list(&self, key: &str) -> Option<Vec<&str>> {
        let list = self.keys.get(key)?.as_array()?;
        Some(list.iter().map(|word| word.as_str().unwrap()).collect())
    }

    pub fn date(&self, key: &str) -> Option<Date> {
        self.text(key).map(|text| text.parse().unwrap())
    }

    pub fn is_in_force(&self, day: Date) -> bool {
        self.date("effective_from").is_none_or(|from| from <= day)
            && self.date("effective_to").is_none_or(|to| day <= to)
    }
}

/// Every file of a pack.
pub struct Book {
    pub rows: Vec<Row>,
    pub groups: BTreeMap<String, Vec<String>>,
    /// From a territory to the country whose law it is under.
    pub territories: BTreeMap<String, String>,
    pub calendars: BTreeMap<String, Table>,
    /// By country, the lines that are a consumer's whatever the record says: for its rows of every file.
    pub consumer_lines: BTreeMap<String, Vec<String>>,
    /// Country, then region (empty = the whole country), then days.
    pub holidays: BTreeMap<String, BTreeMap<String, BTreeSet<Date>>>,
    pub places: &'static Places,
}

impl Book {
    /// Reads the folder that the engine reads. Its numbering tables are always the shipped ones.
    pub fn read(folder: &Path) -> Self {
        let mut book = Self {
            rows: Vec::new(),
            groups: BTreeMap::new(),
            territories: BTreeMap::new(),
            calendars: BTreeMap::new(),
            consumer_lines: BTreeMap::new(),
            holidays: BTreeMap::new(),
            places: Places::shipped(),
        };
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for name in names {
            if name.extension().is_some_and(|ending| ending == "toml") {
                book.add_rules(&std::fs::read_to_string(&name).unwrap());
            }
        }
        book.add_holidays(&folder.join("holidays.csv"));
        book
    }

    /// Takes one rule file in.
    pub fn add_rules(&mut self, text: &str) {
        let file: Table = text.parse().unwrap();
        let tables = |key: &str| -> Vec<Table> {
            let all = file.get(key).and_then(toml::Value::as_array);
            all.into_iter()
                .flatten()
                .map(|table| table.as_table().unwrap().clone())
                .collect()
        };
        let words = |value: &toml::Value| -> Vec<String> {
            let all = value.as_array().unwrap().iter();
            all.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let consumer_lines = file
            .get("conventions")
            .and_then(|table| table.get("consumer_line_types"))
            .map(words)
            .unwrap_or_default();
        for keys in tables("rule") {
            let text = |key: &str| keys[key].as_str().unwrap().to_owned();
            let country = text("jurisdiction")[..2].to_owned();
            let known = self.consumer_lines.entry(country).or_default();
            known.extend(consumer_lines.iter().cloned());
            self.rows.push(Row {
                id: text("id"),
                jurisdiction: text("jurisdiction"),
                kind: text("kind"),
                keys,
            });
        }
        for calendar in tables("holiday_calendar") {
            let id = calendar["id"].as_str().unwrap().to_owned();
            self.calendars.insert(id, calendar);
        }
        for (law, members) in file
            .get("territories")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flatten()
        {
            for member in words(members) {
                self.territories.insert(member, law.clone());
            }
        }
        for (group, members) in file
            .get("groups")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flatten()
        {
            self.groups
                .entry(group.clone())
                .or_default()
                .extend(words(members));
        }
    }

    fn add_holidays(&mut self, path: &Path) {
        for row in super::place::sheet(path) {
            let days = self.holidays.entry(row["country"].clone()).or_default();
            let days = days.entry(row["region"].clone()).or_default();
            days.extend(
                row["dates"]
                    .split_whitespace()
                    .map(|day| day.parse::<Date>().unwrap()),
            );
        }
    }

    /// The country whose law holds there.
    pub fn law_of<'a>(&'a self, country: &'a str) -> &'a str {
        self.territories.get(country).map_or(country, |law| law)
    }

    /// The groups that contain the country.
    pub fn groups_with(&self, country: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for (group, members) in &self.groups {
            if members.iter().any(|member| member == country) {
                found.push(group.as_str());
            }
        }
        found
    }
}
