//! The numbering tables in memory: parsed once, checked once, looked up often.
//!
//! A table that is damaged refuses the whole set, with every fault named: a missing row would silently open a number or
//! remove a clock. `rules/numbering/README.md` tells where the rows come from.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::sheets::{Sheets, ZoneId};
use super::zone::{OLDEST_ZONE_DATA, Zone, is_fresh, zone_data_version};
use super::{regions, rows};

/// Every numbering table, parsed and checked once.
#[derive(Debug)]
pub struct Tables {
    pub(super) zones: Vec<Zone>,
    /// For each zone the one that stands for it, of the same country and with the same clock.
    pub(super) representatives: Vec<ZoneId>,
    /// +1 area codes.
    pub(super) area_codes: HashMap<u16, AreaCode>,
    /// +1 exchanges, the second group of three digits, that are nobody's line.
    pub(super) closed_exchanges: HashSet<u16>,
    /// Zones of each ISO country.
    pub(super) countries: HashMap<String, Vec<ZoneId>>,
    /// Countries of each calling code.
    pub(super) calling_codes: HashMap<u16, Vec<String>>,
    /// Calling codes that belong to no country.
    pub(super) placeless_codes: HashSet<u16>,
    pub(super) short: ShortNumbers,
    /// Special-rate ranges by calling code and leading digits.
    pub(super) rates: HashMap<String, Rate>,
    /// US ZIP codes by five and by three digits.
    pub(super) zips: HashMap<String, Area>,
    /// Canadian postal codes by first letter.
    pub(super) postal_letters: HashMap<char, Area>,
    /// Zones of US states and Canadian provinces, informal practice included.
    pub(super) regions: HashMap<String, Vec<ZoneId>>,
    /// Every region of the world.
    pub(super) subdivisions: HashMap<String, regions::Region>,
    /// Those that are countries too, by the country.
    pub(super) territories: HashMap<String, Vec<String>>,
    digest: String,
}

/// A +1 area code.
#[derive(Debug)]
pub(super) struct AreaCode {
    pub(super) country: String,
    pub(super) regions: Vec<String>,
    /// Every candidate, informal practice included.
    pub(super) zones: Vec<ZoneId>,
    /// Rings a person's line; all others are refused.
    pub(super) is_geographic: bool,
    pub(super) is_in_service: bool,
    /// The least area code of which all of this is as true.
    pub(super) like: u16,
}

impl AreaCode {
    /// Whether the other one's row says the same.
    pub(super) fn tells_as(&self, other: &Self) -> bool {
        // Taken apart, so that nobody adds a field without deciding.
        let Self {
            country,
            regions,
            zones,
            is_geographic,
            is_in_service,
            like: _,
        } = self;
        (country, regions, zones) == (&other.country, &other.regions, &other.zones)
            && (*is_geographic, *is_in_service) == (other.is_geographic, other.is_in_service)
    }
}

/// A stretch of land that a postal code stands for.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) regions: Vec<String>,
    pub(super) zones: Vec<ZoneId>,
}

/// Emergency and short numbers.
#[derive(Debug, Default)]
pub(super) struct ShortNumbers {
    /// Those of any country.
    pub(super) anywhere: HashSet<String>,
    /// Those of the countries of one calling code.
    pub(super) by_calling_code: HashMap<u16, HashSet<String>>,
    /// Those of many countries.
    pub(super) patterns: Vec<ShortPattern>,
    /// Lengths of short codes in the countries of one calling code.
    pub(super) lengths: HashMap<u16, Vec<usize>>,
}

impl ShortNumbers {
    /// Takes these in too.
    fn extend(&mut self, more: Self) {
        self.anywhere.extend(more.anywhere);
        for (code, numbers) in more.by_calling_code {
            self.by_calling_code
                .entry(code)
                .or_default()
                .extend(numbers);
        }
        self.patterns.extend(more.patterns);
        for (code, lengths) in more.lengths {
            self.lengths.entry(code).or_default().extend(lengths);
        }
    }
}

/// A short number of many countries.
#[derive(Debug)]
pub(super) struct ShortPattern {
    /// Digits, with `x` for any one.
    pub(super) digits: String,
    /// The calling codes it holds for; `None` for all.
    pub(super) calling_codes: Option<HashSet<u16>>,
}

impl ShortPattern {
    /// Tells whether these digits are of the pattern.
    pub(super) fn matches(&self, digits: &str) -> bool {
        self.digits.len() == digits.len()
            && self
                .digits
                .bytes()
                .zip(digits.bytes())
                .all(|(want, have)| want == b'x' || want == have)
    }
}

/// A special-rate range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate {
    /// Ordinary numbers share these digits, so only the library's type can tell.
    pub(super) is_mixed: bool,
    pub(super) class: RateClass,
}

/// What a special-rate range is for; the dearest first, which wins where ranges overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RateClass {
    Premium,
    SharedCost,
    Personal,
    Pager,
    CompanyWide,
    TollFree,
}

/// One fault in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProblem {
    /// The file, such as `us_zip_zones.csv`.
    pub file: String,
    /// The line within it, where one is at fault.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl std::fmt::Display for TableProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

/// Every fault of every table, so that one run shows them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProblems(pub Vec<TableProblem>);

impl std::fmt::Display for TableProblems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the numbering tables cannot be used")?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TableProblems {}

macro_rules! embedded_files {
    ($($name:literal,)+) => {
        /// Every table's file name and its text in this program.
        pub(super) const EMBEDDED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../rules/numbering/", $name))),)+];
    };
}

embedded_files! {
    "ca_region_zones.csv",
    "country_zones.csv",
    "emergency_numbers.csv",
    "nanp_area_codes.csv",
    "nanp_special_ranges.csv",
    "never_dial_short.csv",
    "non_country_codes.csv",
    "regions.csv",
    "special_rate_prefixes.csv",
    "us_county_zone_exceptions.csv",
    "us_state_zones.csv",
    "us_zip_zones.csv",
    "zone_canonical.csv",
}

impl Tables {
    /// The tables built into the program.
    pub fn embedded() -> Result<Self, TableProblems> {
        Self::read(&|file| {
            EMBEDDED
                .iter()
                .find(|(name, _)| *name == file)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| "not built in".to_owned())
        })
    }

    /// The built-in tables, read once in the life of the process.
    pub fn shared() -> Result<Arc<Self>, TableProblems> {
        static SHARED: OnceLock<Arc<Tables>> = OnceLock::new();
        if let Some(tables) = SHARED.get() {
            return Ok(Arc::clone(tables));
        }
        let read = Arc::new(Self::embedded()?);
        Ok(Arc::clone(SHARED.get_or_init(|| read)))
    }

    /// The built-in files, name and text.
    #[must_use]
    pub fn embedded_files() -> &'static [(&'static str, &'static str)] {
        EMBEDDED
    }

    /// An operator's tables, each text by the name of its file. They may add emergency and short numbers to the built-in
    /// ones but take none away: no configuration opens those.
    pub fn of<'t>(text_of: impl Fn(&str) -> Option<&'t str>) -> Result<Arc<Self>, TableProblems> {
        let is_built_in = |(name, text): &(&str, &str)| text_of(name) == Some(text);
        if EMBEDDED.iter().all(is_built_in) {
            return Self::shared();
        }
        let mut tables = Self::read(&|file| {
            let text = text_of(file).map(str::to_owned);
            text.ok_or_else(|| "the file is missing".to_owned())
        })?;
        tables.short.extend(Self::embedded()?.short);
        Ok(Arc::new(tables))
    }

    /// Reads all tables from wherever this function finds their text.
    pub(super) fn read(
        text_of: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, TableProblems> {
        let hash = RefCell::new(Sha256::new());
        let hashed_text_of = |file: &str| {
            let text = text_of(file)?;
            let mut hash = hash.borrow_mut();
            hash.update(text.len().to_le_bytes());
            hash.update(&text);
            Ok(text)
        };
        let mut sheets = Sheets::new(&hashed_text_of);
        if !is_fresh(zone_data_version()) {
            sheets.file_problem(
                "time zones",
                format!(
                    "the built-in data is `{}`, build with `{OLDEST_ZONE_DATA}` or newer",
                    zone_data_version()
                ),
            );
        }
        let countries = rows::countries(&mut sheets);
        let (area_codes, closed_exchanges) = rows::area_codes(&mut sheets);
        let clocks = rows::regions(&mut sheets);
        let postal_letters = clocks.postal_letters;
        let subdivisions = regions::read(&mut sheets, |iso2| countries.zones.contains_key(iso2));
        let tables = Self {
            short: rows::short_numbers(&mut sheets, &countries.calling_code_of),
            placeless_codes: rows::placeless_codes(&mut sheets, &countries.by_calling_code),
            rates: rows::rates(&mut sheets),
            zips: rows::zips(&mut sheets, &clocks.zones, &countries.zones),
            // Last, so that every zone of the other tables has its number.
            representatives: rows::representatives(&mut sheets),
            area_codes,
            closed_exchanges,
            countries: countries.zones,
            calling_codes: countries.by_calling_code,
            postal_letters,
            regions: clocks.zones,
            territories: regions::territories(&subdivisions),
            subdivisions,
            zones: std::mem::take(&mut sheets.zones),
            digest: hex(&hash.borrow().clone().finalize()),
        };
        if sheets.problems.is_empty() {
            Ok(tables)
        } else {
            Err(TableProblems(sheets.problems))
        }
    }

    /// SHA-256 over the text of all tables: decisions name the data that they stand on.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The calling code at the front of these digits and what follows it. No code is the beginning of another
    /// (ITU-T E.164), so the first that is known is the one.
    pub(super) fn split_calling_code<'d>(&self, digits: &'d str) -> Option<(u16, &'d str)> {
        (1..=3).find_map(|length| {
            let (code, national) = digits.split_at_checked(length)?;
            // `+01` would parse to 1.
            let code = code.parse().ok().filter(|_| !code.starts_with('0'))?;
            let known =
                self.calling_codes.contains_key(&code) || self.placeless_codes.contains(&code);
            known.then_some((code, national))
        })
    }

    /// The calling code of a country (ISO 3166-1); none for one that has none of its own numbers.
    #[must_use]
    pub fn calling_code_of(&self, country: &str) -> Option<u16> {
        let holds = |countries: &Vec<String>| countries.iter().any(|each| each == country);
        let found = self.calling_codes.iter();
        let found = found.filter(|(_, countries)| holds(countries));
        found.map(|(code, _)| *code).min()
    }

    /// Tells whether this is the code of a country whose clocks are known.
    #[must_use]
    pub fn knows_country(&self, code: &str) -> bool {
        self.countries.contains_key(code)
    }

    /// The special-rate range that these digits, calling code first, lie in. Length does not matter: an over-long premium
    /// number is premium to a switch that stops listening.
    pub(super) fn rate(&self, digits: &str) -> Option<Rate> {
        (2..=digits.len())
            .filter_map(|length| self.rates.get(digits.get(..length)?).copied())
            .min()
    }

    /// The zones of these, each clock of a country once, in the order given.
    pub(super) fn collapse(&self, ids: impl IntoIterator<Item = ZoneId>) -> Vec<Zone> {
        let mut kept: Vec<ZoneId> = Vec::new();
        for id in ids {
            let id = self.representatives.get(id).copied().unwrap_or(id);
            if !kept.contains(&id) {
                kept.push(id);
            }
        }
        kept.into_iter()
            .filter_map(|id| self.zones.get(id).cloned())
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The embedded tables, read once for all tests.
    pub(in crate::place) fn tables() -> &'static Tables {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| Tables::embedded().unwrap_or_else(|problems| panic!("{problems}")))
    }

    /// The cells of an embedded table, read apart from the code under test.
    pub(in crate::place) fn cells<const N: usize>(file: &str) -> Vec<[String; N]> {
        let (_, text) = EMBEDDED.iter().find(|(name, _)| *name == file).unwrap();
        let rows = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        rows.into_records()
            .map(|row| {
                row.unwrap()
                    .iter()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap()
            })
            .collect()
    }

    /// The embedded text with one piece of one file replaced.
    fn damaged(file: &str, from: &str, to: &str) -> TableProblems {
        let (_, text) = EMBEDDED.iter().find(|(name, _)| *name == file).unwrap();
        assert!(text.contains(from), "{file} lacks `{from}`");
        let text = text.replacen(from, to, 1);
        let result = Tables::read(&|name| {
            let own = EMBEDDED.iter().find(|(known, _)| *known == name).unwrap().1;
            Ok(if name == file {
                text.clone()
            } else {
                own.to_owned()
            })
        });
        result.unwrap_err()
    }

    #[test]
    fn every_row_of_every_table_is_read() {
        let tables = tables();
        assert_eq!(tables.area_codes.len(), 496);
        assert_eq!(tables.countries.len(), 250);
        assert_eq!(tables.zips.len(), 6170 - 15);
        assert_eq!(tables.regions.len(), 56 + 13);
        assert_eq!(tables.postal_letters.len(), 18);
        assert_eq!(tables.placeless_codes.len(), 9);
        assert_eq!(tables.zones.len(), tables.representatives.len());
        assert!(tables.zones.len() >= 418);
        assert_eq!(tables.subdivisions.len(), 5179);
        assert_eq!(EMBEDDED.len(), 13);
    }

    fn check(file: &str, from: &str, to: &str, line: Option<u64>, say: &str) {
        let TableProblems(problems) = damaged(file, from, to);
        let hit = problems
            .iter()
            .find(|problem| problem.problem.contains(say));
        let hit = hit.unwrap_or_else(|| panic!("{file}: {say}: {problems:?}"));
        assert_eq!(hit.file, file);
        assert!(line.is_none() || hit.line == line, "{hit}");
    }

    #[test]
    fn faults_of_area_codes_are_named() {
        let file = "nanp_area_codes.csv";
        check(
            file,
            "\n201,",
            "\n20x,",
            Some(6),
            "`20x` is not an area code",
        );
        check(file, "\n202,US", "\n201,US", Some(7), "stands here twice");
        check(
            file,
            "geographic,201/551",
            "geo,201/551",
            Some(6),
            "unknown kind `geo`",
        );
        check(
            file,
            "DC,America/New_York",
            "DC,America/Newyork",
            Some(7),
            "`America/Newyork`",
        );
        check(
            file,
            "DC,America/New_York",
            "DC,",
            Some(7),
            "needs a country and a zone",
        );
        check(
            file,
            "npa,country",
            "area,country",
            None,
            "expected the columns",
        );
        check(
            "nanp_special_ranges.csv",
            "1,900,",
            "1,201,",
            None,
            "of another kind",
        );
    }

    #[test]
    fn faults_of_places_are_named() {
        let file = "us_zip_zones.csv";
        check(
            file,
            "\n005,zip3",
            "\n0055,zip3",
            Some(6),
            "should be 3 digits",
        );
        check(
            file,
            "005,zip3,US-NY",
            "005,zip3,US-QQ",
            Some(6),
            "not in `us_state_zones.csv`",
        );
        check(
            file,
            "005,zip3,US-NY,",
            "005,zip3,US-NY,,",
            Some(6),
            "not a row of this table",
        );
        check(
            file,
            "\n006,zip3",
            "\n005,zip3",
            Some(7),
            "stands here twice",
        );
        check(
            "country_zones.csv",
            "AD,Andorra",
            "Ad,Andorra",
            None,
            "`Ad` is not an ISO 3166-1",
        );
        check(
            "us_county_zone_exceptions.csv",
            "US-AK,",
            "US-AL,",
            None,
            "lacks this county's zone",
        );
        check(
            "zone_canonical.csv",
            "AD,Europe/Andorra",
            "AD,Europe/Andora",
            None,
            "`Europe/Andora`",
        );
        check(
            "ca_region_zones.csv",
            "CA-AB,region",
            "CA-AB,postal_letter",
            None,
            "one postal letter",
        );
    }

    #[test]
    fn faults_of_special_numbers_are_named() {
        check(
            "special_rate_prefixes.csv",
            "AD,376,premium",
            "AD,376,dear",
            None,
            "class `dear`",
        );
        check(
            "special_rate_prefixes.csv",
            "376,premium,1 9",
            "376,premium,1 x",
            None,
            "`x` is not a row",
        );
        check(
            "emergency_numbers.csv",
            "AC,247,",
            "AC,0,",
            Some(5),
            "`0` is not a calling code",
        );
        check(
            "never_dial_short.csv",
            "*,112",
            "ZZ,112",
            None,
            "unknown scope `ZZ`",
        );
        check(
            "never_dial_short.csv",
            "EU,116xxx",
            "EU,116yyy",
            None,
            "`116yyy` should be digits",
        );
        check(
            "non_country_codes.csv",
            "\n800,",
            "\n44,",
            None,
            "belongs to a country",
        );
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let TableProblems(problems) = Tables::of(|_| None).unwrap_err();
        assert_eq!(problems.len(), EMBEDDED.len());
        let built_in = |file: &str| {
            let (_, text) = EMBEDDED.iter().find(|(name, _)| *name == file)?;
            Some(*text)
        };
        assert!(Tables::of(built_in).is_ok());
        let damaged = |file: &str| match file {
            "us_zip_zones.csv" => Some("prefix,kind,regions,zones\n"),
            "country_zones.csv" => None,
            other => built_in(other),
        };
        let problems = Tables::of(damaged).unwrap_err().to_string();
        assert!(
            problems.contains("us_zip_zones.csv: the table has no rows"),
            "{problems}"
        );
        assert!(
            problems.contains("country_zones.csv: the file is missing"),
            "{problems}"
        );
    }

    #[test]
    fn no_folder_opens_an_emergency_number() {
        let emptied = |file: &str| match file {
            "emergency_numbers.csv" => {
                Some("iso2,calling_code,emergency,short_lengths\nAC,247,555,3\n")
            }
            "never_dial_short.csv" => Some("scope,digits,meaning\nUS,933,test\n"),
            other => {
                let (_, text) = EMBEDDED.iter().find(|(name, _)| *name == other)?;
                Some(*text)
            }
        };
        let tables = Tables::of(emptied).unwrap();
        for text in ["911", "+291124422", "+49116117", "+2470555", "0114400112"] {
            let judged = super::super::dialable(&tables, text);
            assert_eq!(
                judged,
                Err(super::super::NotDialable::EmergencyOrShortNumber),
                "{text}"
            );
        }
    }

    /// Zones that stand for one another show the same time; those that do not stay apart.
    #[test]
    fn collapsing_loses_no_clock() {
        let tables = tables();
        let id = |name: &str| {
            tables
                .zones
                .iter()
                .position(|zone| zone.name == name)
                .unwrap()
        };
        let one = |name: &str| tables.zones[tables.representatives[id(name)]].name.clone();
        assert_eq!(one("America/Detroit"), "America/New_York");
        assert_eq!(one("America/Boise"), "America/Denver");
        assert_eq!(one("America/Phoenix"), "America/Phoenix");
        // The same clock only since British Columbia stopped changing it.
        assert_eq!(one("America/Creston"), "America/Creston");
        let both = tables.collapse([
            id("America/Detroit"),
            id("America/New_York"),
            id("America/Chicago"),
        ]);
        let names: Vec<_> = both.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(names, ["America/New_York", "America/Chicago"]);
    }

    #[test]
    fn calling_codes_split_without_guessing() {
        for (digits, want) in [
            ("14045550141", Some((1, "4045550141"))),
            ("442079460301", Some((44, "2079460301"))),
            ("35312345678", Some((353, "12345678"))),
            ("8801712345678", Some((880, "1712345678"))),
            ("80012345678", Some((800, "12345678"))),
            ("999", None),
            ("0144", None),
            ("", None),
        ] {
            assert_eq!(tables().split_calling_code(digits), want, "{digits}");
        }
    }
}
