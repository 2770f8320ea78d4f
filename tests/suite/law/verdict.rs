//! The second evaluator: every row, in every zone, with plain loops and no regard to speed. It knows the README of the
//! regulation data and that of the numbering data, and nothing of how the engine reads them.

use std::collections::BTreeSet;

use dialgate::place::Tables;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::book::{Book, Row};
use super::fact::Fact;
use super::kinds::outcome;
use super::place::Spot;

/// What a row says, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Info,
    Lifted,
    Pass,
    Void,
    Fail,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Lifted => "lifted",
            Self::Pass => "pass",
            Self::Void => "void",
            Self::Fail => "fail",
        }
    }
}

/// The second opinion on a case.
#[derive(Debug, PartialEq, Eq)]
pub struct Opinion {
    pub denied_by: Vec<String>,
    /// In order of report; rows for information by their id, behind the others.
    pub rules: Vec<(String, &'static str)>,
    pub jurisdictions: BTreeSet<String>,
    pub zones: BTreeSet<String>,
}

impl Opinion {
    /// Zones aside: a name may stand for several.
    pub fn same_rules(&self, other: &Self) -> bool {
        self.denied_by == other.denied_by
            && self.rules == other.rules
            && self.jurisdictions == other.jurisdictions
    }
}

/// A case seen from one zone.
pub struct View<'a> {
    pub book: &'a Book,
    pub case: &'a Value,
    pub spot: &'a Spot,
    pub now: Timestamp,
    pub zone: TimeZone,
    pub date: Date,
    pub time: Time,
    /// The rows that match here, fallbacks that are displaced left out.
    pub rows: Vec<&'a Row>,
}

impl View<'_> {
    pub fn date_of(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }
}

const ORDER: [&str; 11] = [
    "opt_out",
    "restriction",
    "ground_validity",
    "lawful_basis",
    "register",
    "calling_window",
    "prohibited_day",
    "frequency_cap",
    "caller_id",
    "registration",
    "disclosure",
];

/// Judges the case at its own instant.
pub fn judge(book: &Book, tables: &Tables, case: &Value) -> Opinion {
    let at = case["call"].instant("at").unwrap();
    match book.places.find(tables, case) {
        Ok(spot) => judge_at(book, case, &spot, at),
        Err(_) => Opinion {
            denied_by: vec!["POLICY-not-dialable".to_owned()],
            rules: vec![("POLICY-not-dialable".to_owned(), "fail")],
            jurisdictions: BTreeSet::new(),
            zones: BTreeSet::new(),
        },
    }
}

/// Judges the case as if it were that instant.
pub fn judge_at(book: &Book, case: &Value, spot: &Spot, now: Timestamp) -> Opinion {
    let controller = case["call"]
        .word("controller_country")
        .map(|country| book.law_of(country));
    let mut jurisdictions = BTreeSet::from(["ZZ".to_owned()]);
    let mut called_groups = Vec::new();
    for country in &spot.countries {
        // A territory is a region of the law that it is under.
        let mut names = book.places.regions_that_are(country);
        names.push(format!("{}-{country}", book.law_of(country)));
        names.retain(|name| book.rows.iter().any(|row| row.jurisdiction == *name));
        jurisdictions.extend(names);
        let country = book.law_of(country);
        jurisdictions.insert(country.to_owned());
        called_groups.extend(book.groups_with(country));
    }
    for region in spot.known_regions.iter().chain(&spot.number_regions) {
        jurisdictions.extend(book.places.larger(region));
    }
    let controller_groups = controller.map_or(Vec::new(), |country| book.groups_with(country));
    let in_play: Vec<&Row> = (book.rows.iter())
        .filter(|row| {
            let reach = row.text("reach").unwrap_or("called");
            let own = row.jurisdiction.as_str();
            jurisdictions.contains(own)
                || (called_groups.contains(&own) && reach != "controller")
                || (controller_groups.contains(&own) && reach != "called")
        })
        .filter(|row| speaks_of(book, row, case))
        .collect();
    jurisdictions.extend(called_groups.iter().map(|group| (*group).to_owned()));
    jurisdictions.extend(controller_groups.iter().map(|group| (*group).to_owned()));

    let mut worst: Vec<Option<Outcome>> = vec![None; in_play.len()];
    for name in &spot.zones {
        let zone = TimeZone::get(name).unwrap();
        let local = now.to_zoned(zone.clone());
        let view = View {
            book,
            case,
            spot,
            now,
            zone,
            date: local.date(),
            time: local.time(),
            rows: matching(book, &in_play, local.date()),
        };
        for (row, worst) in in_play.iter().zip(&mut worst) {
            if view.rows.iter().any(|other| other.id == row.id) {
                *worst = (*worst).max(Some(outcome(&view, row)));
            }
        }
    }
    let mut found: Vec<(&Row, Outcome)> = Vec::new();
    for (row, worst) in in_play.iter().zip(worst) {
        found.extend(worst.map(|worst| (*row, worst)));
    }
    let mut rules = Vec::new();
    let mut denied_by = Vec::new();
    for kind in ORDER {
        for (row, outcome) in &found {
            if row.kind == kind && *outcome != Outcome::Info {
                rules.push((row.id.clone(), outcome.word()));
            }
            if row.kind == kind && *outcome == Outcome::Fail {
                denied_by.push(row.id.clone());
            }
        }
    }
    let mut shown: Vec<_> = found
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Info)
        .map(|(row, outcome)| (row.id.clone(), outcome.word()))
        .collect();
    shown.sort();
    rules.extend(shown);
    Opinion {
        denied_by,
        rules,
        jurisdictions,
        zones: spot.zones.clone(),
    }
}

/// Whether the row is about calls such as this one, dates aside.
fn speaks_of(book: &Book, row: &Row, case: &Value) -> bool {
    let (call, facts) = (&case["call"], &case["facts"]);
    let line = facts.word("line_type").unwrap_or("unknown");
    // Of the rows of a country, and not of the product's own or a group's.
    let is_of_nobody = row.jurisdiction == "ZZ" || book.groups.contains_key(&row.jurisdiction);
    let presumed = book.consumer_lines.get(&row.jurisdiction[..2]);
    let presumed = presumed.filter(|_| !is_of_nobody);
    let audience = match facts.word("audience") {
        Some("business") if !presumed.is_some_and(|all| all.contains(&line.to_owned())) => {
            "business"
        }
        _ => "consumer",
    };
    let wanted = row.text("audience").unwrap();
    if wanted != "both" && wanted != audience {
        return false;
    }
    let kinds = row.list("call_kinds").unwrap();
    if !kinds.contains(&call.word("call_kind").unwrap()) {
        return false;
    }
    if row
        .list("line_types")
        .is_some_and(|all| !all.contains(&line))
    {
        return false;
    }
    let sector = call.word("sector");
    if let Some(sectors) = row.list("sectors")
        && !sector.is_some_and(|own| sectors.contains(&own))
    {
        return false;
    }
    if let Some(exempt) = row.list("exempt_sectors")
        && sector.is_some_and(|own| exempt.contains(&own))
    {
        return false;
    }
    let purpose = call.word("purpose").unwrap_or("sales");
    if row
        .list("purposes")
        .is_some_and(|all| !all.contains(&purpose))
    {
        return false;
    }
    let flags = row.list("applies_if").unwrap_or_default();
    flags.iter().all(|flag| call.yes(flag))
}

/// How special a jurisdiction is.
pub fn rank(book: &Book, jurisdiction: &str) -> u8 {
    if jurisdiction == "ZZ" {
        0
    } else if book.groups.contains_key(jurisdiction) {
        1
    } else if jurisdiction.contains('-') {
        3
    } else {
        2
    }
}

/// The rows in force on this local date, without the fallbacks that a more special row makes needless.
fn matching<'a>(book: &Book, in_play: &[&'a Row], date: Date) -> Vec<&'a Row> {
    let in_force: Vec<&Row> = in_play
        .iter()
        .copied()
        .filter(|row| row.is_in_force(date))
        .collect();
    // A duty that only is told does not displace one that is a gate.
    let gate = |row: &Row| row.kind != "disclosure" || row.is("requires_notice");
    let displaced = |fallback: &Row| {
        in_force.iter().any(|row| {
            row.kind == fallback.kind
                && !row.is("fallback")
                && !row.is("no_own_hours")
                && !row.is_not("enforced")
                && (row.kind != "restriction" || row.text("when") == fallback.text("when"))
                && (gate(row) || !gate(fallback))
                && rank(book, &row.jurisdiction) > rank(book, &fallback.jurisdiction)
        })
    };
    (in_force.iter().copied())
        .filter(|row| !(row.is("fallback") && displaced(row)))
        .collect()
}
