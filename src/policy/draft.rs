//! What the files of a pack say, before it is known to be good: reading them table by table, and the checks that take a
//! look at more than one row.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use super::files::{Content, OPERATOR_FILE, PackFiles};
use super::heal::Readable;
use super::holidays::{CalendarRow, Holidays, OpenDay};
use super::kinds::restriction::check_occasions;
use super::kinds::{Kind, Names};
use super::operator::{ClosedDay, DisabledRule};
use super::origin::{Faults, Origin};
use super::pack::{Pack, PackProblem};
use super::read::{Member, Reader};
use super::rule::{Certainty, Rank, Reach, Rule};
use crate::domain::party::LineType;
use crate::domain::time::IsoDate;

/// The version of the schema that this program reads.
const SCHEMA: i64 = 2;

/// What all files say, before it is checked as a whole. Rows with a fault stand among the others, with what stands in for
/// the parts that could not be read.
#[derive(Default)]
pub(super) struct Draft {
    pub as_of: Option<Date>,
    pub rules: Vec<(Rule, Origin)>,
    pub calendars: Vec<(CalendarRow, Origin)>,
    pub registers: Vec<(RegisterRow, Origin)>,
    /// Names of groups with their countries.
    pub groups: Vec<(Member, Vec<Member>)>,
    /// Countries with the territories under their law.
    pub territories: Vec<(Member, Vec<Member>)>,
    pub closed_days: Vec<(ClosedDay, Origin)>,
    pub disabled_rules: Vec<(DisabledRule, Origin)>,
    open_days: Vec<(OpenDay, Origin)>,
    /// The lines that count as a consumer's in a country, whichever file has the row.
    consumer_lines: HashMap<String, HashSet<LineType>>,
    /// Whether more may be meant to stand here than could be read, so that nothing can be said to be missing.
    pub is_partial: bool,
    pub problems: Vec<PackProblem>,
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

impl Readable for RegisterRow {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("id", "\"?\""),
        ("jurisdiction", "\"?\""),
        ("name", "\"?\""),
    ];
}

impl Readable for Conventions {}

impl Readable for SplitAreaCode {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("npa", "\"?\""),
        ("jurisdiction", "\"?\""),
        ("zones", "[]"),
        ("certainty", "\"recall\""),
    ];
}

/// What the top of a rule file says.
#[derive(Default)]
struct Head {
    schema: Option<Option<i64>>,
    as_of: Option<Option<Date>>,
    conventions: Conventions,
}

impl Draft {
    /// Reads all rule files.
    pub fn of(files: &PackFiles) -> Self {
        let mut draft = Self {
            is_partial: files.has_unread(),
            ..Self::default()
        };
        for (_, file, text) in files.layered(Content::Rules) {
            draft.read(file, text);
        }
        draft
    }

    /// Reads one rule file.
    fn read(&mut self, file: &str, text: &str) {
        let mut reader = Reader::new(file, text);
        let mut head = Head::default();
        let first_rule = self.rules.len();
        for (key, value) in reader.document() {
            let at = value.span().start;
            match key.as_str() {
                "schema" => {
                    let schema = reader.scalar::<i64>(&key, value);
                    if schema.is_some_and(|schema| schema != SCHEMA) {
                        reader.problem(
                            at,
                            format!(
                                "`schema`: this program reads `schema = {SCHEMA}` and no other"
                            ),
                        );
                    }
                    head.schema = Some(schema);
                }
                "as_of" => {
                    let date = reader.scalar(&key, value);
                    head.as_of = Some(date.map(|IsoDate(date)| date));
                }
                "conventions" => {
                    let row = reader.row(&key, value);
                    head.conventions = row.map(|(row, _)| row).unwrap_or_default();
                }
                "territories" => self.territories.extend(reader.lists(&key, value)),
                "groups" => self.groups.extend(reader.lists(&key, value)),
                "register" | "rule" | "holiday_calendar" | "split_area_code" | "closed_day"
                | "disabled_rule" | "open_day" => {
                    for row in reader.tables(&key, value) {
                        self.read_row(&key, row, &mut reader);
                    }
                }
                _ => reader.problem(
                    at,
                    format!("unknown table `{key}`; the README of the rules lists those that are"),
                ),
            }
        }
        if head.schema.is_none() && reader.has_whole_head() {
            reader.problem(
                0,
                format!("`schema = {SCHEMA}` is missing; this program reads no other"),
            );
        }
        // The layer that the server writes has no date: it is as old as its last row.
        if head.as_of.is_none() && file != OPERATOR_FILE && reader.has_whole_head() {
            reader.problem(
                0,
                "`as_of` is missing; write the date of the file".to_owned(),
            );
        }
        self.as_of = self.as_of.max(head.as_of.flatten());
        let lines = head.conventions.consumer_line_types;
        for (rule, _) in self.rules.iter().skip(first_rule) {
            let country = rule.common.country().to_owned();
            let known = self.consumer_lines.entry(country).or_default();
            // A union: no file takes away what another protects.
            known.extend(&lines);
        }
        self.is_partial |= reader.is_partial;
        self.problems.append(&mut reader.problems);
    }

    fn read_row<'a>(&mut self, table: &str, row: Spanned<DeValue<'a>>, reader: &mut Reader<'a>) {
        match table {
            "register" => self.registers.extend(reader.row(table, row)),
            "holiday_calendar" => self.calendars.extend(reader.row(table, row)),
            "closed_day" => self.closed_days.extend(reader.row(table, row)),
            "disabled_rule" => self.disabled_rules.extend(reader.row(table, row)),
            "open_day" => self.open_days.extend(reader.row(table, row)),
            "split_area_code" => drop(reader.row::<SplitAreaCode>(table, row)),
            _ => {
                let read = reader.rule(row).and_then(|(common, kind, origin)| {
                    let rule = Rule {
                        common,
                        kind: kind.or_else(Kind::stand_in)?,
                        rank: Rank::Country,
                        disabled: None,
                        consumer_lines: Vec::new(),
                        always: OnceLock::new(),
                    };
                    Some((rule, origin))
                });
                self.rules.extend(read);
            }
        }
    }

    /// Checks what takes a look at more than one row, and lays out the calendars.
    pub fn check(&mut self, holidays: &mut Holidays) {
        let mut problems = std::mem::take(&mut self.problems);
        let names = self.check_names(holidays, &mut problems);
        self.check_lists(&mut problems);
        self.check_rules(&names, &mut problems);
        self.check_operator(&mut problems);
        if !self.is_partial {
            check_occasions(&self.rules, &mut problems);
        }
        self.problems = problems;
    }

    /// Two rows that say the same are one that somebody will forget to take back.
    fn check_operator(&self, problems: &mut Vec<PackProblem>) {
        let mut days = HashMap::new();
        for (day, origin) in &self.closed_days {
            if !origin.has_read("jurisdiction") || !origin.has_read("date") {
                continue;
            }
            if let Some(first) = days.insert((&day.jurisdiction, day.date), origin) {
                let problem = format!(
                    "{} is closed in `{}` by {} already; write one row with both reasons",
                    day.date,
                    day.jurisdiction,
                    first.place()
                );
                problems.push(origin.fault("date", &problem));
            }
        }
        let rules = self.disabled_rules.iter();
        taken(
            rules.map(|(row, origin)| (&*row.id, origin)),
            problems,
            |first| format!("the rule is switched off by {first} already; leave one out"),
        );
    }

    /// Gathers what rows may refer to.
    fn check_names(&self, holidays: &mut Holidays, problems: &mut Vec<PackProblem>) -> Names {
        let mut names = Names {
            is_partial: self.is_partial,
            ..Names::default()
        };
        let registers = self.registers.iter();
        taken(
            registers.map(|(row, origin)| (&*row.id, origin)),
            problems,
            id_taken,
        );
        for (row, origin) in &self.registers {
            if origin.has_read("id") {
                names.registers.insert(row.id.clone());
            }
            for (key, text) in [("id", &row.id), ("name", &row.name)] {
                if text.trim().is_empty() {
                    Faults::new(origin, problems).tell(&[key], format!("`{key}` is empty"));
                }
            }
        }
        let ready = holidays.calendars().map(str::to_owned);
        names.calendars.extend(ready);
        let open: Vec<&OpenDay> = self.open_days.iter().map(|(day, _)| day).collect();
        let calendars = self.calendars.iter();
        taken(
            calendars.map(|(row, origin)| (&*row.id, origin)),
            problems,
            id_taken,
        );
        for (row, origin) in &self.calendars {
            let mut faults = Faults::new(origin, problems);
            row.check(&mut faults);
            if [Holidays::PUBLIC, Holidays::PUBLIC_STRICT].contains(&&*row.id) {
                faults.tell(
                    &["id"],
                    "the id belongs to the table `holidays.csv`; give the calendar another",
                );
            }
            if origin.has_read("id") {
                names.calendars.insert(row.id.clone());
            }
            holidays.add_calendar(row, &open);
        }
        for (day, origin) in &self.open_days {
            let rows = self.calendars.iter().map(|(row, _)| row);
            day.check(rows, &mut Faults::new(origin, problems));
        }
        names
    }

    /// A country that is misspelt in a group would silently lose the group's rules.
    fn check_lists(&self, problems: &mut Vec<PackProblem>) {
        let laws = self.territories.iter().map(|(law, _)| law);
        let members = self.groups.iter().chain(&self.territories);
        for (code, origin) in laws.chain(members.flat_map(|(_, members)| members)) {
            if !is_country(code) {
                let problem = format!("`{code}` is no ISO country; write two capital letters");
                problems.push(origin.fault("", &problem));
            }
        }
        for ((group, origin), _) in &self.groups {
            if is_country(group) || group.contains('-') {
                let problem =
                    "the name could be taken for a country or region; give the group another";
                problems.push(origin.fault("", problem));
            }
        }
        for (_, members) in &self.groups {
            let mut seen = HashSet::new();
            for (country, origin) in members {
                if !seen.insert(country) {
                    let problem = format!("`{country}` is named twice; leave one out");
                    problems.push(origin.fault("", &problem));
                }
            }
        }
        let mut laws: HashMap<&str, (&str, &Origin)> = HashMap::new();
        for ((law, _), members) in &self.territories {
            for (country, origin) in members {
                if let Some((other, first)) = laws.insert(country, (law, origin)) {
                    let problem = format!(
                        "`{country}` is under the law of `{other}` at {} already; leave one out",
                        first.place()
                    );
                    problems.push(origin.fault("", &problem));
                }
            }
        }
    }

    fn check_rules(&mut self, names: &Names, problems: &mut Vec<PackProblem>) {
        let rules = self.rules.iter();
        let ids = rules.map(|(rule, origin)| (&*rule.common.id, origin));
        taken(ids, problems, id_taken);
        let groups = self.group_names();
        let of_territories = self.territories.iter().flat_map(|((law, _), members)| {
            let members = members.iter().map(|(territory, _)| territory.clone());
            members.map(|territory| (territory, law.clone()))
        });
        let law_of: HashMap<String, String> = of_territories.collect();
        for (rule, origin) in &mut self.rules {
            if let Some(rank) = rank(&rule.common.jurisdiction, &groups) {
                rule.rank = rank;
            }
            let lines = self.consumer_lines.get(rule.common.country());
            if let (Some(lines), Rank::Country | Rank::State) = (lines, rule.rank) {
                rule.consumer_lines = lines.iter().copied().collect();
            }
            let mut faults = Faults::new(origin, problems);
            if let Some(law) = law_of.get(rule.common.jurisdiction.as_str()) {
                let own = &rule.common.jurisdiction;
                faults.tell(
                    &["jurisdiction"],
                    format!("`jurisdiction`: `{own}` is under the law of `{law}`, and its rows are a region's; write `{law}-{own}`"),
                );
            }
            rule.common.check(&mut faults);
            if rule.common.reach != Reach::Called && rule.rank != Rank::Group {
                faults.tell(
                    &["reach", "jurisdiction"],
                    "`reach` belongs to rows of a group; any other follows the called country",
                );
            }
            if origin.has_read("kind") {
                rule.kind.check(&rule.common, names, &mut faults);
            }
        }
    }

    /// The names of all groups.
    pub fn group_names(&self) -> HashSet<String> {
        let names = self.groups.iter().map(|((name, _), _)| name.clone());
        names.collect()
    }

    /// The groups of each country.
    pub fn groups_of_countries(&self) -> HashMap<String, Vec<String>> {
        let mut of: HashMap<String, Vec<String>> = HashMap::new();
        for ((group, _), members) in &self.groups {
            for (country, _) in members {
                let groups = of.entry(country.clone()).or_default();
                if !groups.contains(group) {
                    groups.push(group.clone());
                }
            }
        }
        of
    }

    /// Each territory with the country whose law it is under.
    pub fn laws_of_territories(&self) -> HashMap<String, String> {
        let lists = self.territories.iter();
        let pairs =
            lists.flat_map(|((law, _), members)| members.iter().map(move |(one, _)| (one, law)));
        pairs
            .map(|(country, law)| (country.clone(), law.clone()))
            .collect()
    }
}

/// Tells each row whose id a row before it has.
fn taken<'r>(
    rows: impl Iterator<Item = (&'r str, &'r Origin)>,
    problems: &mut Vec<PackProblem>,
    says: impl Fn(&str) -> String,
) {
    let mut first: HashMap<&str, &Origin> = HashMap::new();
    for (id, origin) in rows {
        if !origin.has_read("id") {
            continue;
        }
        match first.get(id) {
            Some(first) => problems.push(origin.fault("id", &says(&first.place()))),
            None => drop(first.insert(id, origin)),
        }
    }
}

fn id_taken(first: &str) -> String {
    format!("the id is taken by {first}; give the row another")
}

pub(super) fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// How special a jurisdiction is; none if the name has not the form of one.
pub(super) fn rank(jurisdiction: &str, groups: &HashSet<String>) -> Option<Rank> {
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
