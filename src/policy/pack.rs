//! The rule pack: the law as files, read once, checked and indexed. All faults are told at once, with file and line, those
//! of its own test vectors too. The pack of the binary is embedded; an operator's folder may replace it or add to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::draft::{Draft, is_country, rank};
use super::files::{Content, HOLIDAYS, Layer, PackFiles};
use super::holidays::{Holidays, Listed};
use super::kinds::Kind;
use super::operator::ClosedDay;
use super::origin::{Faults, Origin};
use super::registers::DeclaredRegister;
use super::rule::{Rank, Rule};
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
    /// By their ids.
    pub(super) registers: BTreeMap<String, DeclaredRegister>,
    /// In order of date.
    pub(super) closed_days: Vec<ClosedDay>,
    vectors: Vec<Vector>,
    files: PackFiles,
    /// Whether more rows may be meant than could be read: of a faulty pack, while its faults are looked for.
    is_partial: bool,
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
    /// them may well change what comes out. Where a layer has a fault, its vectors are read but cannot be judged.
    pub fn of(files: PackFiles) -> Result<Self, PackProblems> {
        let (whole, mut problems) = Self::build(&files);
        let is_sound = problems.is_empty() && files.problems.is_empty();
        let mut vectors = Vec::new();
        for layer in [Layer::Base, Layer::Added] {
            let cases = vectors::read(&files, layer, whole.as_ref(), &mut problems);
            if cases.is_empty() {
                continue;
            }
            if files.has_above(layer) {
                let (below, faults) = Self::build(&files.up_to(layer));
                if faults.is_empty() {
                    vectors::run(below.as_ref(), &cases, &mut problems);
                }
                // Most faults of a lower layer are told as those of the whole.
                let new = faults.into_iter().filter(|each| !problems.contains(each));
                problems.extend(new.collect::<Vec<_>>());
            } else if is_sound {
                vectors::run(whole.as_ref(), &cases, &mut problems);
            }
            vectors.extend(cases);
        }
        problems.extend(files.problems.iter().cloned());
        problems.sort_by(|one, two| {
            (&one.file, one.line, &one.problem).cmp(&(&two.file, two.line, &two.problem))
        });
        match whole {
            Some(pack) if problems.is_empty() => Ok(Self {
                vectors,
                files,
                ..pack
            }),
            _ => Err(PackProblems(problems)),
        }
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

    /// Whether more rows may be meant than there are.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
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
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Every rule, in order of report.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The sectors that rules treat apart.
    #[must_use]
    pub fn sectors(&self) -> BTreeSet<&str> {
        let rows = self.rules.iter().map(|rule| &rule.common);
        let named = rows.flat_map(|row| row.sectors.iter().flatten().chain(&row.exempt_sectors));
        named.map(String::as_str).collect()
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

    /// What the files of rules, holidays and numbering come to, and all that is wrong with them. What is made of faulty
    /// files is there to be asked what else is wrong.
    fn build(files: &PackFiles) -> (Option<Self>, Vec<PackProblem>) {
        let mut draft = Draft::of(files);
        let mut holidays = Holidays::default();
        let mut listed = Vec::new();
        if files.text(HOLIDAYS).is_none() && !files.has_unread() {
            draft.problems.push(PackProblem {
                file: HOLIDAYS.to_owned(),
                line: None,
                problem: "the file cannot be read: there is none; a folder that only adds to the built-in rules is loaded with `--add` \
                          (in the configuration: `mode = \"add\"`)"
                    .to_owned(),
            });
        }
        for (_, file, text) in files.layered(Content::Holidays) {
            let rows = holidays.add_table(text, |line, problem| {
                draft.problems.push(PackProblem {
                    file: file.to_owned(),
                    line: Some(line),
                    problem,
                });
            });
            listed.extend(rows.into_iter().map(|row| (file, row)));
        }
        draft.check(&mut holidays);
        let mut problems = std::mem::take(&mut draft.problems);
        // Places are looked up in the built-in tables where the pack's own have a fault.
        let tables = files.tables().or_else(|faults| {
            problems.extend(faults.0.into_iter().map(|fault| PackProblem {
                file: format!("numbering/{}", fault.file),
                line: fault.line,
                problem: fault.problem,
            }));
            Tables::shared()
        });
        let Ok(tables) = tables else {
            return (None, problems);
        };
        check_places(&draft, &listed, &tables, &mut problems);
        let version = PackVersion {
            version: draft.as_of.map(|date| date.to_string()).unwrap_or_default(),
            sha256: digest(files, &tables),
            zone_data: zone_data_version().to_owned(),
        };
        let pack = Self::index(draft, version, tables, holidays, &mut problems);
        (Some(pack), problems)
    }

    /// Sorts and indexes what was read, and lays the operator's wishes over it, telling what is wrong with them.
    fn index(
        draft: Draft,
        version: PackVersion,
        tables: Arc<Tables>,
        holidays: Holidays,
        problems: &mut Vec<PackProblem>,
    ) -> Self {
        let (groups, territories) = (draft.groups_of_countries(), draft.laws_of_territories());
        let names = draft.group_names();
        let mut rules: Vec<Rule> = draft.rules.into_iter().map(|(rule, _)| rule).collect();
        // Rows for information come last; within a kind the order of the files stands.
        let order = |rule: &Rule| (!rule.decides(), rule.kind.order());
        rules.sort_by_key(order);
        let registers = draft.registers.into_iter().map(|(row, _)| {
            let (jurisdiction, name) = (row.jurisdiction, row.name);
            (row.id, DeclaredRegister { jurisdiction, name })
        });
        let registers = registers.collect();
        let mut pack = Self {
            registers,
            version,
            tables,
            by_jurisdiction: by_jurisdiction(&rules),
            rules,
            groups,
            territories,
            holidays,
            closed_days: Vec::new(),
            vectors: Vec::new(),
            files: PackFiles::default(),
            is_partial: draft.is_partial,
        };
        for (day, origin) in draft.closed_days {
            let mut faults = Faults::new(&origin, problems);
            for (key, problem) in pack.closed_day_problems(&day) {
                match key {
                    // A place that could not be read is none that has hours.
                    "date" => faults.tell(&["date", "jurisdiction"], problem),
                    "jurisdiction" if names.contains(&day.jurisdiction) => {}
                    key => faults.tell(&[key], problem),
                }
            }
            pack.closed_days.push(day);
        }
        pack.closed_days
            .sort_by(|one, two| (one.date, &one.jurisdiction).cmp(&(two.date, &two.jurisdiction)));
        for (row, origin) in draft.disabled_rules {
            let mut faults = Faults::new(&origin, problems);
            for (key, problem) in pack.disabled_rule_problems(&row) {
                match key {
                    "id" if draft.is_partial && pack.find(&row.id).is_none() => {}
                    // A new pack may have lost the rule, or be sure of it, while the old one that is in force has it.
                    "id" => faults.tell(&["id"], format!(
                        "{problem}; if it was switched off by command, `dialgate policy enable {}` takes that back",
                        row.id
                    )),
                    key => faults.tell(&[key], problem),
                }
            }
            let rule = pack.rules.iter_mut().find(|rule| rule.common.id == row.id);
            rule.into_iter()
                .for_each(|rule| rule.disabled = Some(row.clone()));
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
fn check_places(
    draft: &Draft,
    listed: &[(&str, Listed)],
    tables: &Tables,
    problems: &mut Vec<PackProblem>,
) {
    let groups = draft.group_names();
    let mut check = |place: &str, origin: &Origin| {
        let fault = match rank(place, &groups) {
            // The groups may stand in what could not be read.
            None if draft.is_partial => None,
            None => Some(format!(
                "jurisdiction `{place}` is no ISO country, ISO region, declared group or `ZZ`"
            )),
            Some(Rank::Policy | Rank::Group) => None,
            Some(Rank::Country | Rank::State) => unknown_place(place, tables),
        };
        if let Some(fault) = fault {
            Faults::new(origin, problems).tell(&["jurisdiction"], fault);
        }
    };
    for (rule, origin) in &draft.rules {
        check(&rule.common.jurisdiction, origin);
    }
    for (row, origin) in &draft.registers {
        check(&row.jurisdiction, origin);
    }
    for (row, origin) in &draft.calendars {
        check(&row.jurisdiction, origin);
    }
    let laws = draft.territories.iter().map(|(law, _)| law);
    let members = draft.groups.iter().chain(&draft.territories);
    for (code, origin) in laws.chain(members.flat_map(|(_, members)| members)) {
        if is_country(code)
            && let Some(fault) = unknown_place(code, tables)
        {
            problems.push(origin.fault("", &fault));
        }
    }
    for (file, row) in listed {
        let mut tell = |problem: String| {
            problems.push(PackProblem {
                file: (*file).to_owned(),
                line: Some(row.line),
                problem,
            });
        };
        let (country, region) = (&row.country, &row.region);
        if !tables.knows_country(country) {
            tell(format!(
                "`country`: the numbering tables know no country `{country}`; write an ISO 3166-1 code such as `US`"
            ));
        }
        let within = region
            .split_once('-')
            .is_some_and(|(of, part)| of == country && !part.is_empty());
        if !region.is_empty() && !within {
            tell(format!(
                "`region`: `{region}` is no region of `{country}`; write an ISO 3166-2 code such as `ES-CT`, or nothing"
            ));
        }
    }
}

/// Says that the tables do not know this country or region.
fn unknown_place(place: &str, tables: &Tables) -> Option<String> {
    let country = place.split_once('-').map_or(place, |(country, _)| country);
    if !tables.knows_country(country) {
        return Some(format!(
            "the numbering tables know no country `{country}`; write an ISO 3166-1 code such as `US`"
        ));
    }
    (country != place && !knows_region(tables, place)).then(|| {
        format!("no law and no table knows `{place}`; write an ISO 3166-2 code such as `US-LA`")
    })
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
