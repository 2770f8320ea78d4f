//! What an operator lays over the law: closed days and disabled rules. Part of the pack, so that a decision's hash covers
//! it. The server keeps its own in `operator.toml`, written here; a folder may hold both tables in any of its files.

use std::fmt::Write as _;

use jiff::civil::Date;
use serde::Deserialize;

use super::heal::Readable;
use super::moment::{Moment, Scene};
use super::pack::Pack;
use super::rule::{Certainty, Rule};
use crate::domain::time;
use crate::place::knows_region;

/// A day on which a place is not called, beyond the calendars: a proclamation, a local feast.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedDay {
    /// ISO country, ISO region, name of a group, or `ZZ` for every place.
    pub jurisdiction: String,
    /// The local date.
    #[serde(deserialize_with = "time::read_date")]
    pub date: Date,
    /// Why.
    pub reason: String,
    /// Who closed it.
    #[serde(default = "operator")]
    pub by: String,
}

/// A rule of little certainty that the operator has switched off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisabledRule {
    /// The rule.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Who switched it off.
    #[serde(default = "operator")]
    pub by: String,
}

impl Readable for ClosedDay {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("jurisdiction", "\"ZZ\""),
        ("date", "\"2026-01-01\""),
        ("reason", "\"?\""),
    ];
}

impl Readable for DisabledRule {
    const STAND_INS: &'static [(&'static str, &'static str)] =
        &[("id", "\"?\""), ("reason", "\"?\"")];
}

fn operator() -> String {
    "the operator's rule files".to_owned()
}

/// All of it, as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorLayer {
    /// Closed days.
    pub closed_days: Vec<ClosedDay>,
    /// Disabled rules.
    pub disabled_rules: Vec<DisabledRule>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    closed_day: Vec<ClosedDay>,
    #[serde(default)]
    disabled_rule: Vec<DisabledRule>,
}

impl OperatorLayer {
    /// Reads a layer that was written here; none = an empty one.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let written: Written = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(Self {
            closed_days: written.closed_day,
            disabled_rules: written.disabled_rule,
        })
    }

    /// The layer's file; none if there is nothing to say. The same layer always gives the same bytes.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let mut text =
            "# What was closed or switched off by command. Kept by the server; do not edit.\n\
                        schema = 2\n"
                .to_owned();
        // Writing to a string cannot fail.
        let mut days: Vec<&ClosedDay> = self.closed_days.iter().collect();
        days.sort_by_key(|day| (day.date, &day.jurisdiction));
        for ClosedDay {
            jurisdiction,
            date,
            reason,
            by,
        } in days
        {
            let (jurisdiction, reason, by) = (quoted(jurisdiction), quoted(reason), quoted(by));
            let _ = write!(
                text,
                "\n[[closed_day]]\njurisdiction = {jurisdiction}\ndate = \"{date}\"\nreason = {reason}\nby = {by}\n"
            );
        }
        let mut rules: Vec<&DisabledRule> = self.disabled_rules.iter().collect();
        rules.sort_by_key(|rule| &rule.id);
        for DisabledRule { id, reason, by } in rules {
            let (id, reason, by) = (quoted(id), quoted(reason), quoted(by));
            let _ = write!(
                text,
                "\n[[disabled_rule]]\nid = {id}\nreason = {reason}\nby = {by}\n"
            );
        }
        Some(text)
    }
}

/// A TOML basic string: JSON escapes the same characters in the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Pack {
    /// Closed days beyond the calendars, in order of date.
    #[must_use]
    pub fn closed_days(&self) -> &[ClosedDay] {
        &self.closed_days
    }

    /// Whether the place is one that laws or tables know, so that closing or stopping it means something.
    #[must_use]
    pub fn knows_jurisdiction(&self, name: &str) -> bool {
        if name == Self::POLICY || self.is_group(name) {
            return true;
        }
        let ruled = !self.indexes_of(name).is_empty();
        match name.split_once('-') {
            None => ruled || self.tables().knows_country(name),
            Some(_) => {
                let shaped = name
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-');
                shaped && (ruled || knows_region(self.tables(), name))
            }
        }
    }

    /// Says what is wrong with a closed day under this law, each fault with its key; nothing if it can be closed.
    #[must_use]
    pub fn closed_day_problems(&self, day: &ClosedDay) -> Vec<(&'static str, String)> {
        let place = &day.jurisdiction;
        let mut problems = Vec::new();
        if day.reason.trim().is_empty() {
            let problem = "`reason` is empty; say why the day is closed";
            problems.push(("reason", problem.to_owned()));
        }
        if !self.knows_jurisdiction(place) {
            problems.push(("jurisdiction", format!(
                "no law and no table knows `{place}`; write an ISO country, an ISO region such as `US-LA`, a group, or `ZZ`"
            )));
        } else if !self.has_window(day) {
            problems.push(("date", format!(
                "no calling_window is in force for `{place}` on {}, so closing the day would close nothing; stop the region instead",
                day.date
            )));
        }
        problems
    }

    /// Whether a window that decides may be in play for calls into the day's place on that date.
    fn has_window(&self, day: &ClosedDay) -> bool {
        let place = day.jurisdiction.as_str();
        let country = place.split_once('-').map_or(place, |(country, _)| country);
        let mut over: Vec<&str> = vec![place, country, self.law_of(country), Self::POLICY];
        over.extend(self.groups_of(country));
        if place == Self::POLICY || self.is_group(place) {
            return self.rules().iter().any(|rule| rule.is_window_on(day.date));
        }
        (over.into_iter()).any(|name| self.rules_of(name).any(|rule| rule.is_window_on(day.date)))
    }

    /// Says why a rule cannot be switched off, each fault with its key; nothing if it can.
    #[must_use]
    pub fn disabled_rule_problems(&self, row: &DisabledRule) -> Vec<(&'static str, String)> {
        let id = &row.id;
        let mut problems = Vec::new();
        if row.reason.trim().is_empty() {
            let problem = "`reason` is empty; say why the rule is switched off";
            problems.push(("reason", problem.to_owned()));
        }
        let rule = self.find(id).map(|rule| &rule.common);
        let problem = match rule {
            None => format!("there is no rule `{id}`; `dialgate policy list` names them"),
            // They are what stands where no law is known: without them an opt-out or an unknown clock would not deny.
            Some(rule) if rule.jurisdiction == Self::POLICY => format!(
                "rule `{id}` is the product's own; it stands where no law does and cannot be switched off"
            ),
            Some(rule) if rule.certainty != Certainty::Recall => format!(
                "rule `{id}` has certainty `{}`; only rules of certainty `recall` can be switched off",
                rule.certainty.as_str()
            ),
            Some(_) => return problems,
        };
        problems.push(("id", problem));
        problems
    }
}

impl<'a> Moment<'a> {
    /// The day closed by the operator that today is for this row of calling hours. A closed day closes the hours of its own
    /// jurisdiction; where that sets none that are in play, all hours that are. Where the region is not known, a day of
    /// any region of the country closes: unknown is not open.
    pub fn closed_day(&self, rule: &Rule) -> Option<&'a ClosedDay> {
        let scene = self.scene;
        let date = self.date();
        let all = &scene.pack.closed_days;
        let first = all.partition_point(|day| day.date < date);
        let today = (all.get(first..).into_iter().flatten()).take_while(|day| day.date == date);
        today.into_iter().find(|day| {
            let place = day.jurisdiction.as_str();
            let own = |row: &Rule| row.common.jurisdiction == place;
            let has_own = || self.rows().any(|row| own(row) && row.is_window_on(date));
            scene.is_closed_with(place) && (own(rule) || !has_own())
        })
    }
}

impl Scene<'_> {
    /// Whether a day closed in this jurisdiction is closed for this call.
    fn is_closed_with(&self, place: &str) -> bool {
        self.jurisdictions.iter().any(|name| name == place) || self.may_be_in(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_read_as_it_was_written() {
        let layer = OperatorLayer {
            closed_days: vec![ClosedDay {
                jurisdiction: "US-LA".to_owned(),
                date: "2027-02-09".parse().unwrap(),
                reason: "proclamation \"7\"\n\\ of the governor, März".to_owned(),
                by: "key:anna:0190".to_owned(),
            }],
            disabled_rules: vec![DisabledRule {
                id: "X".to_owned(),
                reason: "counsel's opinion".to_owned(),
                by: operator(),
            }],
        };
        let text = layer.file().unwrap();
        assert_eq!(OperatorLayer::parse(Some(&text)).unwrap(), layer);
        assert_eq!(
            OperatorLayer::parse(Some(&text)).unwrap().file().unwrap(),
            text
        );
        assert_eq!(OperatorLayer::default().file(), None);
        assert!(OperatorLayer::parse(Some("closed_day = 3")).is_err());
    }
}
