//! What the files of a pack say, before it is known to be good: reading them table by table, and the checks that take a
//! look at more than one row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use super::files::OPERATOR_FILE;
use super::holidays::{CalendarRow, Holidays};
use super::kinds::Names;
use super::kinds::restriction::missing_occasions;
use super::operator::{ClosedDay, DisabledRule};
use super::pack::{Pack, PackProblem};
use super::read::Reader;
use super::rule::{Certainty, Rank, Rule};
use crate::domain::Text;
use crate::domain::party::LineType;
use crate::domain::time::IsoDate;

/// The version of the schema that this program reads.
const SCHEMA: i64 = 2;

/// What all files say, before it is checked as a whole.
#[derive(Default)]
pub(super) struct Draft {
    pub as_of: Option<Date>,
    pub rules: Vec<(Rule, Origin)>,
    pub calendars: Vec<(CalendarRow, Origin)>,
    pub registers: Vec<(RegisterRow, Origin)>,
    pub groups: HashMap<String, Vec<String>>,
    pub territories: HashMap<String, String>,
    pub closed_days: Vec<(ClosedDay, Origin)>,
    pub disabled_rules: Vec<(DisabledRule, Origin)>,
    pub problems: Vec<PackProblem>,
}

/// Where a row stands.
#[derive(Clone)]
pub(super) struct Origin {
    file: String,
    line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterRow {
    pub id: String,
    pub jurisdiction: String,
    pub name: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conventions {
    #[serde(default)]
    consumer_line_types: Vec<LineType>,
    /// For readers: what is in play is the same for all files.
    #[serde(default, rename = "jurisdictions")]
    _jurisdictions: Vec<String>,
}

/// A cross-check of the area codes, whose table wins: read so that its shape is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitAreaCode {
    #[serde(rename = "npa")]
    _npa: String,
    #[serde(rename = "jurisdiction")]
    _jurisdiction: String,
    #[serde(rename = "zones")]
    _zones: Vec<String>,
    #[serde(rename = "certainty")]
    _certainty: Certainty,
    #[serde(default, rename = "note")]
    _note: String,
}

impl Draft {
    /// Reads one rule file.
    pub fn read(&mut self, file: &str, text: &str) {
        let mut reader = Reader::new(file, text);
        let mut conventions = Conventions::default();
        let mut schema = None;
        let mut as_of: Option<Date> = None;
        let first_rule = self.rules.len();
        for (key, value) in reader.document() {
            let at = value.span().start;
            match key.as_str() {
                "schema" => schema = reader.value::<i64>(value),
                "as_of" => as_of = reader.value(value).map(|IsoDate(date)| date),
                "conventions" => conventions = reader.value(value).unwrap_or_default(),
                "territories" => {
                    for (country, law) in members(reader.value(value)) {
                        let taken = self.territories.insert(country.clone(), law.clone());
                        if let Some(taken) = taken.filter(|taken| *taken != law) {
                            reader.problem(at, format!("territory `{country}` is under `{law}` here and under `{taken}` elsewhere"));
                        }
                    }
                }
                "groups" => {
                    for (country, group) in members(reader.value(value)) {
                        self.groups.entry(country).or_default().push(group);
                    }
                }
                "register" | "rule" | "holiday_calendar" | "split_area_code" | "closed_day"
                | "disabled_rule" => {
                    for row in reader.tables(&key, value) {
                        self.read_row(&key, row, file, &mut reader);
                    }
                }
                _ => reader.problem(at, format!("unknown table `{key}`")),
            }
        }
        if schema != Some(SCHEMA) {
            reader.problem(
                0,
                format!("`schema = {SCHEMA}` is missing; this program reads no other"),
            );
        }
        // The layer that the server writes has no date: it is as old as its last row.
        if as_of.is_none() && file != OPERATOR_FILE {
            reader.problem(
                0,
                "`as_of` is missing; write the date of the file".to_owned(),
            );
        }
        self.as_of = self.as_of.max(as_of);
        for (rule, _) in self.rules.iter_mut().skip(first_rule) {
            rule.consumer_lines
                .clone_from(&conventions.consumer_line_types);
        }
        self.problems.append(&mut reader.problems);
    }

    fn read_row<'a>(
        &mut self,
        table: &str,
        row: Spanned<DeValue<'a>>,
        file: &str,
        reader: &mut Reader<'a>,
    ) {
        let origin = Origin {
            file: file.to_owned(),
            line: reader.line(row.span().start),
        };
        match table {
            "register" => self
                .registers
                .extend(reader.value(row).map(|row| (row, origin))),
            "holiday_calendar" => {
                self.calendars
                    .extend(reader.value(row).map(|row| (row, origin)));
            }
            "closed_day" => {
                self.closed_days
                    .extend(reader.value(row).map(|row| (row, origin)));
            }
            "disabled_rule" => {
                self.disabled_rules
                    .extend(reader.value(row).map(|row| (row, origin)));
            }
            "split_area_code" => {
                let _: Option<SplitAreaCode> = reader.value(row);
            }
            _ => {
                let rule = reader.rule(row).map(|(common, kind)| Rule {
                    common,
                    kind,
                    rank: Rank::Country,
                    disabled: None,
                    consumer_lines: Vec::new(),
                    always: OnceLock::new(),
                });
                self.rules.extend(rule.map(|rule| (rule, origin)));
            }
        }
    }

    /// Checks what takes a look at more than one row, and lays out the calendars.
    pub fn check(&mut self, holidays: &mut Holidays) {
        let mut problems = std::mem::take(&mut self.problems);
        let names = self.check_names(holidays, &mut problems);
        self.check_countries(&mut problems);
        self.check_rules(&names, &mut problems);
        self.check_operator(&mut problems);
        for missing in missing_occasions(self.rules.iter().map(|(rule, _)| rule)) {
            problems.push(everywhere(format!(
                "no enforced restriction of jurisdiction `ZZ` says `when = \"{missing}\"` for every call; \
                 without it a call could be allowed because nothing is known"
            )));
        }
        self.problems = problems;
    }

    /// Two rows that say the same are one that somebody will forget to take back.
    fn check_operator(&self, problems: &mut Vec<PackProblem>) {
        let mut days = HashMap::new();
        for (day, origin) in &self.closed_days {
            let twice = days.insert((&day.jurisdiction, day.date), origin);
            if let Some(Origin { file, line }) = twice {
                problems.push(origin.fault(format!(
                    "closed day: {} is closed in `{}` by {file}:{line} already",
                    day.date, day.jurisdiction
                )));
            }
        }
        let mut rules = HashMap::new();
        for (row, origin) in &self.disabled_rules {
            if let Some(Origin { file, line }) = rules.insert(&row.id, origin) {
                problems.push(origin.fault(format!(
                    "disabled rule: `{}` is switched off by {file}:{line} already",
                    row.id
                )));
            }
        }
    }

    /// Gathers what rows may refer to.
    fn check_names(&self, holidays: &mut Holidays, problems: &mut Vec<PackProblem>) -> Names {
        let mut names = Names::default();
        let mut declared: HashMap<&str, &Origin> = HashMap::new();
        for (row, origin) in &self.registers {
            names.registers.insert(row.id.clone());
            if let Some(Origin { file, line }) = declared.insert(&row.id, origin) {
                problems.push(origin.fault(format!(
                    "register `{}`: the id is taken by {file}:{line}",
                    row.id
                )));
            }
            if row.id.trim().is_empty() || row.name.trim().is_empty() {
                problems
                    .push(origin.fault("register: `id` and `name` must not be empty".to_owned()));
            }
        }
        let ready = holidays.calendars().map(str::to_owned);
        names.calendars.extend(ready);
        for (row, origin) in &self.calendars {
            let mut faults = Vec::new();
            row.check(&mut faults);
            if !names.calendars.insert(row.id.clone()) {
                faults.push("the id is taken".to_owned());
            }
            let faults = faults.into_iter();
            problems
                .extend(faults.map(|text| origin.fault(format!("calendar `{}`: {text}", row.id))));
            holidays.add_calendar(row);
        }
        names
    }

    /// A country that is misspelt in a group would silently lose the group's rules.
    fn check_countries(&self, problems: &mut Vec<PackProblem>) {
        let mapped = self
            .territories
            .iter()
            .flat_map(|(country, law)| [country, law]);
        for code in self.groups.keys().chain(mapped) {
            if !is_country(code) {
                problems.push(everywhere(format!(
                    "`{code}` in [groups] or [territories] is no ISO country; write two capital letters"
                )));
            }
        }
        for group in self.groups.values().flatten().collect::<HashSet<_>>() {
            if is_country(group) || group.contains('-') {
                problems.push(everywhere(format!(
                    "group `{group}` could be taken for a country or region"
                )));
            }
        }
    }

    fn check_rules(&mut self, names: &Names, problems: &mut Vec<PackProblem>) {
        let groups: HashSet<String> = self.groups.values().flatten().cloned().collect();
        let mut ids: HashMap<Text, Origin> = HashMap::new();
        for (rule, origin) in &mut self.rules {
            let common = &rule.common;
            let mut faults = Vec::new();
            common.check(&mut faults);
            if let Some(Origin { file, line }) = ids.insert(common.id.clone(), origin.clone()) {
                faults.push(format!("the id is taken by {file}:{line}"));
            }
            match rank(&common.jurisdiction, &groups) {
                Some(rank) => rule.rank = rank,
                None => faults.push(format!(
                    "jurisdiction `{}` is no ISO country, ISO region, declared group or `ZZ`",
                    common.jurisdiction
                )),
            }
            rule.kind.check(common, names, &mut faults);
            let faults = faults.into_iter();
            problems
                .extend(faults.map(|text| origin.fault(format!("rule `{}`: {text}", common.id))));
        }
    }
}

/// A table of lists, turned around: each member with its list's name.
fn members(table: Option<BTreeMap<String, Vec<String>>>) -> impl Iterator<Item = (String, String)> {
    let lists = table.unwrap_or_default().into_iter();
    lists.flat_map(|(name, members)| {
        members
            .into_iter()
            .map(move |member| (member, name.clone()))
    })
}

impl Origin {
    /// A fault of this row.
    pub(super) fn fault(&self, problem: String) -> PackProblem {
        PackProblem {
            file: self.file.clone(),
            line: Some(self.line),
            problem,
        }
    }
}

/// A fault of the pack as a whole.
fn everywhere(problem: String) -> PackProblem {
    PackProblem {
        file: "*.toml".to_owned(),
        line: None,
        problem,
    }
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn rank(jurisdiction: &str, groups: &HashSet<String>) -> Option<Rank> {
    if jurisdiction == Pack::POLICY {
        return Some(Rank::Policy);
    }
    if groups.contains(jurisdiction) {
        return Some(Rank::Group);
    }
    match jurisdiction.split_once('-') {
        None => is_country(jurisdiction).then_some(Rank::Country),
        Some((country, region)) => {
            let region = (1..=3).contains(&region.len())
                && (region.bytes()).all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            (is_country(country) && region).then_some(Rank::State)
        }
    }
}
