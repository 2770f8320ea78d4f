//! The rule pack: the law as files, read once, checked and indexed. All faults are told at once, with file and line, those
//! of its own test vectors too. The pack of the binary is embedded; an operator's folder may replace it or add to it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::draft::{Draft, Origin};
use super::files::{Content, HOLIDAYS, Layer, PackFiles};
use super::holidays::Holidays;
use super::kinds::Kind;
use super::operator::ClosedDay;
use super::rule::Rule;
use super::vectors::{self, Vector};
use crate::domain::Text;
use crate::domain::decision::PackVersion;
use crate::place::{Tables, knows_region, zone_data_version};

/// The law as data: rules, groups of countries, holidays and the numbering tables, checked and indexed.
#[derive(Debug)]
pub struct Pack {
    version: PackVersion,
    tables: Arc<Tables>,
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
    /// In order of date.
    pub(super) closed_days: Vec<ClosedDay>,
    vectors: Vec<Vector>,
    files: PackFiles,
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

impl Pack {
    /// The jurisdiction of the product's own policy.
    pub(super) const POLICY: &'static str = "ZZ";

    /// The pack built into the program.
    pub fn embedded() -> Result<Self, PackProblems> {
        Self::of(PackFiles::embedded())
    }

    /// An operator's pack: `folder/*.toml`, `folder/holidays.csv`, `folder/tests/*.jsonl` and `folder/numbering/*.csv`.
    pub fn load(folder: &Path) -> Result<Self, PackProblems> {
        Self::of(PackFiles::read(folder)?)
    }

    /// The pack that these files are. The vectors of a layer hold for that layer and those below it: what is added above
    /// them may well change what comes out.
    pub fn of(files: PackFiles) -> Result<Self, PackProblems> {
        let mut problems = files.problems.clone();
        let mut vectors = vectors::read(&files, Layer::Base, &mut problems);
        let added = vectors::read(&files, Layer::Added, &mut problems);
        let mut pack = Self::build(&files, problems)?;
        let mut problems = Vec::new();
        for (layer, cases) in [(Layer::Base, &vectors), (Layer::Added, &added)] {
            if cases.is_empty() {
            } else if files.has_above(layer) {
                let below = Self::build(&files.up_to(layer), Vec::new())?;
                vectors::run(&below, cases, &mut problems);
            } else {
                vectors::run(&pack, cases, &mut problems);
            }
        }
        if !problems.is_empty() {
            return Err(PackProblems(problems));
        }
        vectors.extend(added);
        pack.vectors = vectors;
        pack.files = files;
        Ok(pack)
    }

    /// The hash of the same pack without the operator's layer.
    #[must_use]
    pub fn base_sha256(&self) -> String {
        digest(&self.files.up_to(Layer::Added), &self.tables)
    }

    /// The files it was made of.
    #[must_use]
    pub fn files(&self) -> &PackFiles {
        &self.files
    }

    /// The worked cases that it carries and that it was tried with.
    #[must_use]
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// The kinds of rule, in order of report.
    #[must_use]
    pub fn kinds() -> &'static [&'static str] {
        Kind::NAMES
    }

    /// Whether the rule may be in play for calls into this place: it is the place's own, its country's, its group's or the
    /// product's.
    #[must_use]
    pub fn may_hold_in(&self, rule: &Rule, place: &str) -> bool {
        let country = place.split_once('-').map_or(place, |(country, _)| country);
        let law = self.law_of(country);
        let own = rule.common.jurisdiction.as_str();
        own == place
            || own == country
            || own == law
            || own == Self::POLICY
            || own == format!("{law}-{country}")
            || self.groups_of(law).any(|group| group == own)
    }

    /// The rule of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.common.id == id)
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

    /// Whether this is the name of a group of countries.
    pub(super) fn is_group(&self, name: &str) -> bool {
        self.groups.values().flatten().any(|group| group == name)
    }

    /// The countries of a group, in order.
    pub(super) fn members_of(&self, group: &str) -> Vec<&str> {
        let groups = self.groups.iter();
        let inside = groups.filter(|(_, of)| of.iter().any(|name| name == group));
        let mut members: Vec<&str> = inside.map(|(country, _)| country.as_str()).collect();
        members.sort_unstable();
        members
    }

    fn build(files: &PackFiles, problems: Vec<PackProblem>) -> Result<Self, PackProblems> {
        let mut draft = Draft {
            problems,
            ..Draft::default()
        };
        let mut holidays = Holidays::default();
        if files.text(HOLIDAYS).is_none() {
            draft.problems.push(PackProblem {
                file: HOLIDAYS.to_owned(),
                line: None,
                problem: "the file cannot be read: there is none; a folder that only adds to the built-in rules is loaded with `--add` \
                          (in the configuration: `mode = \"add\"`)"
                    .to_owned(),
            });
        }
        for (_, file, text) in files.layered(Content::Holidays) {
            holidays.add_table(text, |line, problem| {
                draft.problems.push(PackProblem {
                    file: file.to_owned(),
                    line,
                    problem,
                });
            });
        }
        for (_, file, text) in files.layered(Content::Rules) {
            draft.read(file, text);
        }
        draft.check(&mut holidays);
        let tables = files
            .tables()
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
        let mut problems = std::mem::take(&mut draft.problems);
        if let Some(tables) = tables {
            check_places(&draft, &tables, &mut problems);
            if let (Some(as_of), true) = (as_of, problems.is_empty()) {
                let version = PackVersion {
                    version: as_of,
                    sha256: digest(files, &tables),
                    zone_data: zone_data_version().to_owned(),
                };
                let pack = Self::index(draft, version, tables, holidays, &mut problems);
                if problems.is_empty() {
                    return Ok(pack);
                }
            }
        }
        problems.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
        Err(PackProblems(problems))
    }

    /// Sorts and indexes what was read and found good, and lays the operator's wishes over it, which may be at fault yet.
    fn index(
        draft: Draft,
        version: PackVersion,
        tables: Arc<Tables>,
        holidays: Holidays,
        problems: &mut Vec<PackProblem>,
    ) -> Self {
        let mut rules: Vec<Rule> = draft.rules.into_iter().map(|(rule, _)| rule).collect();
        // Rows for information come last; within a kind the order of the files stands.
        let order = |rule: &Rule| (!rule.decides(), rule.kind.order());
        rules.sort_by_key(order);
        let registers = draft.registers.into_iter().map(|(row, _)| row.id);
        let mut registers: Vec<String> = registers.collect();
        registers.sort_unstable();
        let mut pack = Self {
            registers,
            version,
            tables,
            by_jurisdiction: by_jurisdiction(&rules),
            rules,
            groups: draft.groups,
            territories: draft.territories,
            holidays,
            closed_days: Vec::new(),
            vectors: Vec::new(),
            files: PackFiles::default(),
        };
        for (day, origin) in draft.closed_days {
            match pack.closed_day_problem(&day) {
                Some(problem) => problems.push(origin.fault(format!("closed day: {problem}"))),
                None => pack.closed_days.push(day),
            }
        }
        pack.closed_days
            .sort_by(|one, two| (one.date, &one.jurisdiction).cmp(&(two.date, &two.jurisdiction)));
        for (row, origin) in draft.disabled_rules {
            match pack.disabled_rule_problem(&row) {
                // A new pack may have lost the rule, or be sure of it, while the old one that is in force has it.
                Some(problem) => problems.push(origin.fault(format!(
                    "disabled rule: {problem}; if it was switched off by command, `dialgate policy enable {}` takes that back",
                    row.id
                ))),
                None => {
                    let rule = pack.rules.iter_mut().find(|rule| rule.common.id == row.id);
                    rule.into_iter()
                        .for_each(|rule| rule.disabled = Some(row.clone()));
                }
            }
        }
        // What was switched off informs only, and goes to the end.
        pack.rules.sort_by_key(order);
        pack.by_jurisdiction = by_jurisdiction(&pack.rules);
        pack
    }
}

fn by_jurisdiction(rules: &[Rule]) -> HashMap<Text, Vec<usize>> {
    let mut indexes: HashMap<Text, Vec<usize>> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let jurisdiction = rule.common.jurisdiction.clone();
        indexes.entry(jurisdiction).or_default().push(index);
    }
    indexes
}

/// A misspelt country or region is no fault of shape, and its rules would never be asked.
fn check_places(draft: &Draft, tables: &Tables, problems: &mut Vec<PackProblem>) {
    let mut check = |what: &str, place: &str, origin: &Origin| {
        let country = place.split_once('-').map_or(place, |(country, _)| country);
        let is_code = country.len() == 2 && country != Pack::POLICY;
        if is_code && !tables.knows_country(country) {
            problems.push(origin.fault(format!(
                "{what}: the numbering tables know no country `{country}`; write an ISO 3166-1 code such as `US`"
            )));
        } else if is_code && country != place && !knows_region(tables, place) {
            problems.push(origin.fault(format!(
                "{what}: no law and no table knows `{place}`; write an ISO 3166-2 code such as `US-LA`"
            )));
        }
    };
    for (rule, origin) in &draft.rules {
        check(
            &format!("rule `{}`", rule.common.id),
            &rule.common.jurisdiction,
            origin,
        );
    }
    for (row, origin) in &draft.registers {
        check(&format!("register `{}`", row.id), &row.jurisdiction, origin);
    }
    for (row, origin) in &draft.calendars {
        check(&format!("calendar `{}`", row.id), &row.jurisdiction, origin);
    }
}

/// SHA-256 over names and contents, each with its length so that no two packs share one text, and the numbering tables.
fn digest(files: &PackFiles, tables: &Tables) -> String {
    let mut hash = Sha256::new();
    let own = [Content::Holidays, Content::Rules, Content::Vectors];
    for (_, name, text) in own.into_iter().flat_map(|content| files.layered(content)) {
        for part in [name, text] {
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.update(tables.digest());
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
