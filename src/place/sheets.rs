//! Reading the CSV files: rows with their place in the file, zones looked up once, and every fault collected.

use std::collections::HashMap;

use super::tables::TableProblem;
use super::zone::Zone;

/// Which of the zones of the tables.
pub(super) type ZoneId = usize;

/// A row's place, for the message when something is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    file: &'static str,
    line: u64,
}

/// The files being read, and what was found in them so far.
pub(super) struct Sheets<'a> {
    text_of: &'a dyn Fn(&str) -> Result<String, String>,
    zone_ids: HashMap<String, ZoneId>,
    pub(super) zones: Vec<Zone>,
    pub(super) problems: Vec<TableProblem>,
}

impl<'a> Sheets<'a> {
    /// Sheets whose text this function gives.
    pub(super) fn new(text_of: &'a dyn Fn(&str) -> Result<String, String>) -> Self {
        Self {
            text_of,
            zone_ids: HashMap::new(),
            zones: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The rows of a file that has exactly these columns.
    pub(super) fn rows<const N: usize>(
        &mut self,
        file: &'static str,
        columns: [&str; N],
    ) -> Vec<(Spot, [String; N])> {
        let text = match (self.text_of)(file) {
            Ok(text) => text,
            Err(problem) => {
                self.file_problem(file, problem);
                return Vec::new();
            }
        };
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        // One message for wrong columns rather than one for each row.
        match reader.headers() {
            Ok(found) if *found == columns[..] => {}
            _ => {
                self.file_problem(
                    file,
                    format!("expected the columns `{}`", columns.join(",")),
                );
                return Vec::new();
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            match record {
                Ok(record) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    let cells: Vec<String> = record.iter().map(str::to_owned).collect();
                    if let Ok(cells) = cells.try_into() {
                        rows.push((Spot { file, line }, cells));
                    }
                }
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.problem(
                        Spot { file, line },
                        format!("not a row of this table: {error}"),
                    );
                }
            }
        }
        if rows.is_empty() {
            // An empty table would open what it is there to close.
            self.file_problem(file, "the table has no rows".to_owned());
        }
        rows
    }

    /// Notes a fault of one row.
    pub(super) fn problem(&mut self, spot: Spot, problem: impl Into<String>) {
        self.problems.push(TableProblem {
            file: spot.file.to_owned(),
            line: Some(spot.line),
            problem: problem.into(),
        });
    }

    /// Notes a fault of a whole file.
    pub(super) fn file_problem(&mut self, file: &str, problem: String) {
        self.problems.push(TableProblem {
            file: file.to_owned(),
            line: None,
            problem,
        });
    }

    /// Notes a fault of a row unless this holds.
    pub(super) fn expect(&mut self, holds: bool, spot: Spot, problem: impl FnOnce() -> String) {
        if !holds {
            self.problem(spot, problem());
        }
    }

    /// The zones named in a cell.
    pub(super) fn zone_list(&mut self, spot: Spot, cell: &str) -> Vec<ZoneId> {
        cell.split_whitespace()
            .filter_map(|name| self.zone(spot, name))
            .collect()
    }

    /// The zone of this name, looked up in the bundled database once.
    pub(super) fn zone(&mut self, spot: Spot, name: &str) -> Option<ZoneId> {
        if let Some(id) = self.zone_ids.get(name) {
            return Some(*id);
        }
        let Some(zone) = Zone::parse(name).filter(|zone| zone.name == name) else {
            self.problem(
                spot,
                format!("`{name}` is not a zone of the bundled database, write its IANA name"),
            );
            return None;
        };
        let id = self.zones.len();
        self.zones.push(zone);
        self.zone_ids.insert(name.to_owned(), id);
        Some(id)
    }

    /// The ISO 3166-2 regions named in a cell; a country may stand for a region of the postal or telephone system that is
    /// a state of its own.
    pub(super) fn region_list(&mut self, spot: Spot, cell: &str) -> Vec<String> {
        let regions: Vec<String> = cell.split_whitespace().map(str::to_owned).collect();
        for region in &regions {
            let well_formed = region
                .split_once('-')
                .is_some_and(|(country, part)| is_iso2(country) && !part.is_empty())
                || is_iso2(region);
            self.expect(well_formed, spot, || {
                format!("`{region}` is no ISO 3166-2 region such as `US-FL`, nor a country")
            });
        }
        regions
    }

    /// A calling code: one to three digits, the first of them not 0.
    pub(super) fn calling_code(&mut self, spot: Spot, cell: &str) -> Option<u16> {
        let code = cell.parse().ok().filter(|code| (1..=999).contains(code));
        self.expect(code.is_some(), spot, || {
            format!("`{cell}` is not a calling code, write 1 to 3 digits")
        });
        code
    }

    /// Lists of digits.
    pub(super) fn digit_list<'c>(&mut self, spot: Spot, cell: &'c str) -> Vec<&'c str> {
        let list: Vec<&str> = cell.split_whitespace().collect();
        for digits in &list {
            self.expect(is_digits(digits), spot, || {
                format!("`{digits}` is not a row of digits")
            });
        }
        list
    }
}

/// Two capital letters.
pub(super) fn is_iso2(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Digits and nothing else, at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
