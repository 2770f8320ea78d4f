//! The rule pack: `rules/*.toml` and its neighbours, read once, checked and indexed. All faults are told at once, with
//! file and line. The pack of the binary is embedded; an operator's folder of the same shape may take its place.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::draft::Draft;
use super::holidays::Holidays;
use super::kinds::Kind;
use super::rule::Rule;
use crate::domain::Text;
use crate::domain::decision::PackVersion;
use crate::place::{Tables, zone_data_version};

/// The law as data: rules, groups of countries, holidays and the numbering tables, checked and indexed.
#[derive(Debug)]
pub struct Pack {
    version: PackVersion,
    tables: Tables,
    /// In order of report.
    rules: Vec<Rule>,
    by_jurisdiction: HashMap<Text, Vec<usize>>,
    /// Countries and the groups they belong to.
    groups: HashMap<String, Vec<String>>,
    /// Territories and the country whose law they are under.
    territories: HashMap<String, String>,
    holidays: Holidays,
    /// Ids of registers, sorted.
    registers: Vec<String>,
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
        let (sources, problems) = read_folder(folder)?;
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

    /// The ids of the registers that rules ask about, in order.
    #[must_use]
    pub fn registers(&self) -> &[String] {
        &self.registers
    }

    /// The jurisdictions that an operator's emergency stop can close, each once.
    #[must_use]
    pub fn emergency_regions(&self) -> Vec<&str> {
        let closing =
            (self.rules.iter()).filter(|rule| matches!(rule.kind, Kind::ProhibitedDay(_)));
        let mut regions: Vec<&str> = closing
            .map(|rule| rule.common.jurisdiction.as_str())
            .collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }

    /// The rule at this place of the order of report.
    pub(super) fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The places of a jurisdiction's rules in the order of report.
    pub(super) fn indexes_of(&self, jurisdiction: &str) -> &[usize] {
        (self.by_jurisdiction.get(jurisdiction)).map_or(&[], Vec::as_slice)
    }

    /// The name of a jurisdiction, shared with its rules where it has any.
    pub(super) fn name_of(&self, jurisdiction: &str) -> Text {
        let shared = self.by_jurisdiction.get_key_value(jurisdiction);
        shared.map_or_else(|| jurisdiction.to_owned().into(), |(name, _)| name.clone())
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
                draft.read(&source.name, &source.text);
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
                    sha256: digest(sources, &tables),
                    zone_data: zone_data_version().to_owned(),
                };
                Ok(Self::of(draft, version, tables, holidays))
            }
            _ => {
                let mut problems = draft.problems;
                problems.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
                Err(PackProblems(problems))
            }
        }
    }

    /// Sorts and indexes what was read and found good.
    fn of(draft: Draft, version: PackVersion, tables: Tables, holidays: Holidays) -> Self {
        let mut rules: Vec<Rule> = draft.rules.into_iter().map(|(rule, _)| rule).collect();
        // Rows for information come last; within a kind the order of the files stands.
        rules.sort_by_key(|rule| (!rule.decides(), rule.kind.order()));
        let mut by_jurisdiction: HashMap<Text, Vec<usize>> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let jurisdiction = rule.common.jurisdiction.clone();
            by_jurisdiction.entry(jurisdiction).or_default().push(index);
        }
        let registers = draft.registers.into_iter().map(|(row, _)| row.id);
        let mut registers: Vec<String> = registers.collect();
        registers.sort_unstable();
        Self {
            registers,
            version,
            tables,
            rules,
            by_jurisdiction,
            groups: draft.groups,
            territories: draft.territories,
            holidays,
        }
    }
}

/// The table of observed holidays.
const HOLIDAYS: &str = "holidays.csv";

/// Reads the rule files of a folder, in the order of their names, and tells which could not be read.
fn read_folder(folder: &Path) -> Result<(Vec<Source>, Vec<PackProblem>), PackProblems> {
    let fault = |file: String, problem: String| PackProblem {
        file,
        line: None,
        problem,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let problem = format!("the folder cannot be read: {error}");
        PackProblems(vec![fault(folder.display().to_string(), problem)])
    })?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.push(HOLIDAYS.to_owned());
    names.sort_unstable();
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match std::fs::read_to_string(folder.join(&name)) {
            Ok(text) => sources.push(Source { name, text }),
            Err(error) => problems.push(fault(name, format!("the file cannot be read: {error}"))),
        }
    }
    Ok((sources, problems))
}

/// SHA-256 over names and contents, each with its length so that no two packs share one text, and the numbering tables.
fn digest(sources: &[Source], tables: &Tables) -> String {
    let mut hash = Sha256::new();
    for part in sources.iter().flat_map(|s| [&s.name, &s.text]) {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(tables.digest());
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
