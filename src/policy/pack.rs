//! The rule pack: `rules/*.toml` and its neighbours, read once, checked and indexed. All faults are told at once, with
//! file and line. The pack of the binary is embedded; an operator's folder of the same shape may take its place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use jiff::civil::Date;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::holidays::{CalendarRow, Holidays};
use super::kinds::Names;
use super::kinds::restriction::missing_occasions;
use super::read::Reader;
use super::rule::{Rank, Rule};
use crate::domain::decision::PackVersion;
use crate::domain::party::LineType;
use crate::place::{Tables, zone_data_version};

/// The version of the schema that this program reads.
const SCHEMA: i64 = 2;

/// The law as data: rules, groups of countries, holidays and the numbering tables, checked and indexed.
#[derive(Debug)]
pub struct Pack {
    version: PackVersion,
    tables: Tables,
    /// In order of report.
    rules: Vec<Rule>,
    by_jurisdiction: HashMap<String, Vec<usize>>,
    /// Countries and the groups they belong to.
    groups: HashMap<String, Vec<String>>,
    /// Territories and the country whose law they are under.
    territories: HashMap<String, String>,
    holidays: Holidays,
}

/// One fault of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblem {
    /// The file at fault, as seen from the pack's folder.
    pub file: String,
    /// The line within it, where one is at fault.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl std::fmt::Display for PackProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

/// Every fault of a pack, so that one run shows them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblems(pub Vec<PackProblem>);

impl std::fmt::Display for PackProblems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the rule pack cannot be used")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for PackProblems {}

/// One file of a pack.
struct Source {
    name: String,
    text: String,
}

/// What all files say, before it is checked as a whole.
#[derive(Default)]
struct Draft {
    as_of: Option<Date>,
    rules: Vec<(Rule, Origin)>,
    calendars: Vec<(CalendarRow, Origin)>,
    registers: Vec<(RegisterRow, Origin)>,
    groups: HashMap<String, Vec<String>>,
    territories: HashMap<String, String>,
    problems: Vec<PackProblem>,
}

/// Where a row stands.
#[derive(Clone)]
struct Origin {
    file: String,
    line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterRow {
    id: String,
    #[serde(rename = "jurisdiction")]
    _jurisdiction: String,
    #[serde(rename = "name")]
    _name: String,
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
    _certainty: super::rule::Certainty,
    #[serde(default, rename = "note")]
    _note: String,
}

impl Pack {
    /// The jurisdiction of the product's own policy.
    pub(super) const POLICY: &'static str = "ZZ";

    /// The pack built into the program.
    pub fn embedded() -> Result<Self, PackProblems> {
        let file = |name: &str, text: &str| Source {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let sources = vec![
            file("holidays.csv", include_str!("../../rules/holidays.csv")),
            file("us.toml", include_str!("../../rules/us.toml")),
            file("world.toml", include_str!("../../rules/world.toml")),
        ];
        Self::build(&sources, Vec::new(), Tables::embedded())
    }

    /// An operator's pack: `folder/*.toml`, `folder/holidays.csv` and `folder/numbering/*.csv`.
    pub fn load(folder: &Path) -> Result<Self, PackProblems> {
        let mut problems = Vec::new();
        let sources = read_folder(folder, &mut problems);
        Self::build(&sources, problems, Tables::load(folder))
    }

    /// Which law this is: every decision names it.
    #[must_use]
    pub fn version(&self) -> &PackVersion {
        &self.version
    }

    /// The numbering tables that belong to it.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Every rule, in order of report.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule at this place of the order of report.
    pub(super) fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The places of a jurisdiction's rules in the order of report.
    pub(super) fn indexes_of(&self, jurisdiction: &str) -> &[usize] {
        (self.by_jurisdiction.get(jurisdiction)).map_or(&[], Vec::as_slice)
    }

    /// The rules of a jurisdiction.
    pub(super) fn rules_of(&self, jurisdiction: &str) -> impl Iterator<Item = &Rule> {
        let indexes = self.indexes_of(jurisdiction).iter();
        indexes.filter_map(|index| self.rule(*index))
    }

    /// Whether any rule names the country or a group that it belongs to.
    pub(super) fn has_rules_for(&self, country: &str) -> bool {
        self.by_jurisdiction.contains_key(country)
            || (self.groups_of(country)).any(|group| self.by_jurisdiction.contains_key(group))
    }

    /// The groups that a country belongs to.
    pub(super) fn groups_of(&self, country: &str) -> impl Iterator<Item = &str> {
        let groups = self.groups.get(country).into_iter().flatten();
        groups.map(String::as_str)
    }

    /// The country whose law holds in this country or territory.
    pub(super) fn law_of<'a>(&'a self, country: &'a str) -> &'a str {
        (self.territories.get(country)).map_or(country, String::as_str)
    }

    /// The calendars of holidays.
    pub(super) fn holidays(&self) -> &Holidays {
        &self.holidays
    }

    fn build(
        sources: &[Source],
        problems: Vec<PackProblem>,
        tables: Result<Tables, crate::place::TableProblems>,
    ) -> Result<Self, PackProblems> {
        let mut draft = Draft {
            problems,
            ..Draft::default()
        };
        let mut holidays = Holidays::default();
        for source in sources {
            if source.name == HOLIDAYS {
                holidays.add_table(&source.text, |line, problem| {
                    draft.problems.push(PackProblem {
                        file: HOLIDAYS.to_owned(),
                        line,
                        problem,
                    });
                });
            } else {
                draft.read(source);
            }
        }
        draft.check(&mut holidays);
        let tables = tables
            .map_err(|faults| {
                let faults = faults.0.into_iter().map(|fault| PackProblem {
                    file: format!("numbering/{}", fault.file),
                    line: fault.line,
                    problem: fault.problem,
                });
                draft.problems.extend(faults);
            })
            .ok();
        let as_of = draft.as_of.map(|date| date.to_string());
        match (tables, as_of) {
            (Some(tables), Some(as_of)) if draft.problems.is_empty() => {
                let version = PackVersion {
                    version: as_of,
                    sha256: digest(sources),
                    zone_data: zone_data_version().to_owned(),
                };
                Ok(draft.finish(version, tables, holidays))
            }
            _ => {
                let mut problems = draft.problems;
                problems.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
                Err(PackProblems(problems))
            }
        }
    }
}

/// The table of observed holidays.
const HOLIDAYS: &str = "holidays.csv";

/// Reads the rule files of a folder, in the order of their names.
fn read_folder(folder: &Path, problems: &mut Vec<PackProblem>) -> Vec<Source> {
    let mut fault = |file: String, problem: String| {
        problems.push(PackProblem {
            file,
            line: None,
            problem,
        });
    };
    let mut names: Vec<String> = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".toml"))
            .collect(),
        Err(error) => {
            fault(
                folder.display().to_string(),
                format!("the folder cannot be read: {error}"),
            );
            return Vec::new();
        }
    };
    if names.is_empty() {
        fault(
            "*.toml".to_owned(),
            "the folder holds no rule file".to_owned(),
        );
    }
    names.push(HOLIDAYS.to_owned());
    names.sort_unstable();
    let mut sources = Vec::new();
    for name in names {
        match std::fs::read_to_string(folder.join(&name)) {
            Ok(text) => sources.push(Source { name, text }),
            Err(error) => fault(name, format!("the file cannot be read: {error}")),
        }
    }
    sources
}

/// SHA-256 over names and contents, each with its length, so that no two packs share one text.
fn digest(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    for part in sources.iter().flat_map(|s| [&s.name, &s.text]) {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Draft {
    /// Reads one rule file.
    fn read(&mut self, source: &Source) {
        let mut reader = Reader::new(&source.name, &source.text);
        let mut conventions = Conventions::default();
        let mut schema = None;
        let mut as_of: Option<Date> = None;
        let first_rule = self.rules.len();
        for (key, value) in reader.document() {
            let at = value.span().start;
            match key.as_str() {
                "schema" => schema = reader.value::<i64>(value),
                "as_of" => as_of = reader.value(value),
                "conventions" => conventions = reader.value(value).unwrap_or_default(),
                "territories" => {
                    let table: BTreeMap<String, Vec<String>> =
                        reader.value(value).unwrap_or_default();
                    for (law, countries) in table {
                        let pairs = countries.into_iter().map(|c| (c, law.clone()));
                        self.territories.extend(pairs);
                    }
                }
                "groups" => {
                    let table: BTreeMap<String, Vec<String>> =
                        reader.value(value).unwrap_or_default();
                    for (group, countries) in table {
                        for country in countries {
                            self.groups.entry(country).or_default().push(group.clone());
                        }
                    }
                }
                "register" | "rule" | "holiday_calendar" | "split_area_code" => {
                    for row in reader.tables(&key, value) {
                        self.read_row(&key, row, &source.name, &mut reader);
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
        if as_of.is_none() {
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
        row: toml::Spanned<toml::de::DeValue<'a>>,
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
            "split_area_code" => {
                let _: Option<SplitAreaCode> = reader.value(row);
            }
            _ => {
                let rule = reader.rule(row).map(|(common, kind)| Rule {
                    common,
                    kind,
                    rank: Rank::Country,
                    consumer_lines: Vec::new(),
                });
                self.rules.extend(rule.map(|rule| (rule, origin)));
            }
        }
    }

    /// Checks what takes a look at more than one row.
    fn check(&mut self, holidays: &mut Holidays) {
        let mut problems = std::mem::take(&mut self.problems);
        let mut fault = |origin: &Origin, problem: String| {
            problems.push(PackProblem {
                file: origin.file.clone(),
                line: Some(origin.line),
                problem,
            });
        };
        let mut names = Names::default();
        for (row, origin) in &self.registers {
            if !names.registers.insert(row.id.clone()) {
                fault(origin, format!("register `{}` is declared twice", row.id));
            }
        }
        names
            .calendars
            .extend(holidays.calendars().map(str::to_owned));
        for (row, origin) in &self.calendars {
            let mut faults = Vec::new();
            row.check(&mut faults);
            if !names.calendars.insert(row.id.clone()) {
                faults.push("the id is taken".to_owned());
            }
            for text in faults {
                fault(origin, format!("calendar `{}`: {text}", row.id));
            }
            holidays.add_calendar(row);
        }
        let groups: HashSet<&String> = self.groups.values().flatten().collect();
        let mut ids: HashMap<String, Origin> = HashMap::new();
        for (rule, origin) in &mut self.rules {
            let common = &rule.common;
            let mut faults = Vec::new();
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
            if common.call_kinds.is_empty() {
                faults.push("`call_kinds` must name a kind of call".to_owned());
            }
            if !common.liftable && !common.lifted_by.is_empty() {
                faults.push("`lifted_by` on a row with `liftable = false`".to_owned());
            }
            if (common.effective_from.zip(common.effective_to)).is_some_and(|(from, to)| to < from)
            {
                faults.push("`effective_to` lies before `effective_from`".to_owned());
            }
            rule.kind.check(common, &names, &mut faults);
            for text in faults {
                fault(origin, format!("rule `{}`: {text}", common.id));
            }
        }
        for missing in missing_occasions(self.rules.iter().map(|(rule, _)| rule)) {
            problems.push(PackProblem {
                file: "*.toml".to_owned(),
                line: None,
                problem: format!(
                    "no enforced restriction of jurisdiction `ZZ` says `when = \"{missing}\"` for every call; \
                     without it a call could be allowed because nothing is known"
                ),
            });
        }
        self.problems = problems;
    }

    fn finish(self, version: PackVersion, tables: Tables, holidays: Holidays) -> Pack {
        let mut rules: Vec<Rule> = self.rules.into_iter().map(|(rule, _)| rule).collect();
        // Rows for information come last; within a kind the order of the files stands.
        rules.sort_by_key(|rule| (!rule.decides(), rule.kind.order()));
        let mut by_jurisdiction: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let jurisdiction = rule.common.jurisdiction.clone();
            by_jurisdiction.entry(jurisdiction).or_default().push(index);
        }
        Pack {
            version,
            tables,
            rules,
            by_jurisdiction,
            groups: self.groups,
            territories: self.territories,
            holidays,
        }
    }
}

fn rank(jurisdiction: &str, groups: &HashSet<&String>) -> Option<Rank> {
    let upper = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
    if jurisdiction == Pack::POLICY {
        return Some(Rank::Policy);
    }
    if groups.iter().any(|group| group.as_str() == jurisdiction) {
        return Some(Rank::Group);
    }
    match jurisdiction.split_once('-') {
        None => (jurisdiction.len() == 2 && upper(jurisdiction)).then_some(Rank::Country),
        Some((country, region)) => {
            let region = (1..=3).contains(&region.len())
                && region.bytes().all(|byte| byte.is_ascii_alphanumeric());
            (country.len() == 2 && upper(country) && region).then_some(Rank::State)
        }
    }
}
