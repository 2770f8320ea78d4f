//! One row of the law: the keys that every row has, and the keys of its kind.

use std::sync::OnceLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::facts::Case;
use super::ground::Ground;
use super::heal::Readable;
use super::kinds::Kind;
use super::moment::Words;
use super::operator::DisabledRule;
use super::origin::Faults;
use crate::domain::Text;
use crate::domain::call::{CallKind, Purpose};
use crate::domain::party::{Audience, LineType};
use crate::domain::time;

/// A rule as loaded and checked.
#[derive(Debug)]
pub struct Rule {
    /// The keys that every row has.
    pub common: Common,
    /// The keys of its kind.
    pub(super) kind: Kind,
    /// How special its jurisdiction is.
    pub(super) rank: Rank,
    /// Lines that count as a consumer's here, whatever the record says.
    pub(super) consumer_lines: Vec<LineType>,
    /// Switched off by the operator: shown, without any effect.
    pub disabled: Option<DisabledRule>,
    /// The words of a row that says the same of every call.
    pub(super) always: OnceLock<Words>,
}

/// The keys that every row has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Unique, stable, never used again.
    pub id: Text,
    /// ISO country, ISO region, name of a group, or `ZZ` for the product's own policy.
    pub jurisdiction: Text,
    /// Name of its kind.
    pub kind: String,
    /// Kinds of call that it speaks of.
    pub call_kinds: Vec<CallKind>,
    /// Whom it protects.
    pub audience: RowAudience,
    /// False = shown, never decides.
    #[serde(default = "yes")]
    pub enforced: bool,
    /// False = industry code or policy.
    #[serde(default = "yes")]
    pub statutory: bool,
    /// Counts only where no row of its kind from a more special jurisdiction does.
    #[serde(default)]
    pub fallback: bool,
    /// Whether a row of a group follows the called country, the controller's, or both.
    #[serde(default)]
    pub reach: Reach,
    /// Matches these lines only.
    pub line_types: Option<Vec<LineType>>,
    /// Matches these sectors only.
    pub sectors: Option<Vec<String>>,
    /// Matches these purposes only.
    pub purposes: Option<Vec<Purpose>>,
    /// Does not match these sectors.
    #[serde(default)]
    pub exempt_sectors: Vec<String>,
    /// Matches only if these flags of the call are true.
    #[serde(default)]
    pub applies_if: Vec<Flag>,
    /// First local date on which it holds.
    #[serde(default, deserialize_with = "time::read_optional_date")]
    pub effective_from: Option<Date>,
    /// Last local date on which it holds.
    #[serde(default, deserialize_with = "time::read_optional_date")]
    pub effective_to: Option<Date>,
    /// Any one of these lifts the row.
    #[serde(default)]
    pub lifted_by: Vec<Ground>,
    /// False = nobody may add a lift here, even if a summary claims one.
    #[serde(default = "yes")]
    pub liftable: bool,
    /// Parameter of the ground `customer_similar_products`; absent = no limit.
    pub customer_max_age_days: Option<i64>,
    /// Parameter of the ground `contract_in_force_related`.
    pub contract_grace_days: Option<i64>,
    /// The law.
    pub citation: Text,
    /// How well the source is known.
    pub certainty: Certainty,
    /// Sources disagree; the row holds the stricter reading.
    #[serde(default)]
    pub uncertain: bool,
    /// For readers.
    #[serde(default)]
    pub note: String,
}

impl Readable for Common {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("id", "\"?\""),
        ("jurisdiction", "\"?\""),
        ("kind", "\"?\""),
        (
            "call_kinds",
            "[\"live_manual\", \"autodialed\", \"prerecorded\"]",
        ),
        ("call_kinds[]", "\"live_manual\""),
        ("audience", "\"both\""),
        ("line_types", "[\"mobile\"]"),
        ("line_types[]", "\"mobile\""),
        ("sectors", "[\"?\"]"),
        ("sectors[]", "\"?\""),
        ("purposes", "[\"sales\"]"),
        ("purposes[]", "\"sales\""),
        ("lifted_by", "[\"consent\"]"),
        ("lifted_by[]", "\"consent\""),
        ("citation", "\"?\""),
        ("certainty", "\"recall\""),
    ];
}

impl Common {
    /// Names of the common keys; every other key of a row belongs to its kind.
    pub(super) const KEYS: &'static [&'static str] = &[
        "id",
        "jurisdiction",
        "kind",
        "call_kinds",
        "audience",
        "enforced",
        "statutory",
        "fallback",
        "reach",
        "line_types",
        "sectors",
        "purposes",
        "exempt_sectors",
        "applies_if",
        "effective_from",
        "effective_to",
        "lifted_by",
        "liftable",
        "customer_max_age_days",
        "contract_grace_days",
        "citation",
        "certainty",
        "uncertain",
        "note",
    ];

    /// The country whose law this is: of a region, the country it lies in.
    pub(super) fn country(&self) -> &str {
        self.jurisdiction
            .split_once('-')
            .map_or(&*self.jurisdiction, |(country, _)| country)
    }

    /// Says what is wrong with the common keys beyond their shape.
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        if self.id == super::NOT_DIALABLE {
            faults.tell(
                &["id"],
                "the id belongs to the built-in rule; give the row another",
            );
        }
        for (key, text) in [("id", &self.id), ("citation", &self.citation)] {
            if text.trim().is_empty() {
                faults.tell(&[key], format!("`{key}` is empty"));
            }
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !self.id.trim().is_empty() && !self.id.bytes().all(plain) {
            faults.tell(&["id"], "`id` takes letters, digits, `-`, `_` and `.` only");
        }
        self.check_filters(faults);
        if self.call_kinds.is_empty() {
            faults.tell(&["call_kinds"], "`call_kinds` must name a kind of call");
        }
        if !self.liftable && !self.lifted_by.is_empty() {
            faults.tell(
                &["liftable"],
                "`lifted_by` on a row with `liftable = false`; leave one out",
            );
        }
        if (self.effective_from.zip(self.effective_to)).is_some_and(|(from, to)| to < from) {
            faults.tell(
                &["effective_to", "effective_from"],
                "`effective_to` lies before `effective_from`",
            );
        }
        for (key, days) in [
            ("customer_max_age_days", self.customer_max_age_days),
            ("contract_grace_days", self.contract_grace_days),
        ] {
            if days.is_some_and(|days| days < 0) {
                faults.tell(&[key], format!("`{key}` must not be negative"));
            }
        }
    }

    fn check_filters(&self, faults: &mut Faults<'_>) {
        let none = Vec::new();
        for (key, sectors) in [
            ("sectors", self.sectors.as_ref().unwrap_or(&none)),
            ("exempt_sectors", &self.exempt_sectors),
        ] {
            for (index, sector) in sectors.iter().enumerate() {
                if sector.trim().is_empty() {
                    let part = format!("{key}[{index}]");
                    let problem = format!("`{part}`: a sector has an empty name");
                    faults.tell(&[&part], problem);
                }
            }
        }
        let is_empty = [
            ("line_types", self.line_types.as_ref().map(Vec::is_empty)),
            ("sectors", self.sectors.as_ref().map(Vec::is_empty)),
            ("purposes", self.purposes.as_ref().map(Vec::is_empty)),
        ];
        for (key, is_empty) in is_empty {
            if is_empty == Some(true) {
                faults.tell(
                    &[key],
                    format!("`{key} = []` matches no call at all; leave the key out to match all"),
                );
            }
        }
    }

    /// Whether the row speaks of every call, at every time.
    pub(super) fn is_unconditional(&self) -> bool {
        CallKind::ALL
            .iter()
            .all(|kind| self.call_kinds.contains(kind))
            && self.audience == RowAudience::Both
            && self.enforced
            && self.line_types.is_none()
            && self.sectors.is_none()
            && self.purposes.is_none()
            && self.exempt_sectors.is_empty()
            && self.applies_if.is_empty()
            && self.effective_from.is_none()
            && self.effective_to.is_none()
            && self.lifted_by.is_empty()
    }
}

/// Whom a row protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowAudience {
    /// Private persons.
    Consumer,
    /// Businesses.
    Business,
    /// Everybody.
    Both,
}

/// Which country a row of a group follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The called one.
    #[default]
    Called,
    /// The controller's.
    Controller,
    /// Either.
    Both,
}

/// A flag of the call that a row may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// An automatic telephone dialing system.
    Atds,
    /// Special categories of data.
    SpecialCategory,
}

/// How well a row's source is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Statute or official text seen.
    Primary,
    /// Reputable summary.
    Secondary,
    /// Known, not found again.
    Recall,
}

impl Certainty {
    /// The word as the files write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Recall => "recall",
        }
    }
}

/// How special a jurisdiction is; a fallback gives way to what is above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Policy,
    Group,
    Country,
    State,
}

impl Rule {
    /// Whether the row can deny a call; otherwise it is there for information.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.has_effect() && self.kind.decides()
    }

    /// Whether the row is enforced and not switched off: rows that only define a word have an effect too.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        self.common.enforced && self.disabled.is_none()
    }

    /// Whether the row is one of calling hours that decide on this date.
    pub(super) fn is_window_on(&self, date: Date) -> bool {
        matches!(self.kind, Kind::CallingWindow(_)) && self.decides() && self.holds_on(date)
    }

    /// Whether the row speaks of this call, dates aside: those are the business of each zone.
    pub(super) fn speaks_of(&self, case: &Case) -> bool {
        let (row, call) = (&self.common, &case.call);
        let line = case.facts.line_type.unwrap_or(LineType::Unknown);
        let sector = call.sector.as_deref();
        let among = |list: &[String]| sector.is_some_and(|s| list.iter().any(|l| l == s));
        row.call_kinds.contains(&call.call_kind)
            && self.protects(case.facts.audience, line)
            && row.line_types.as_ref().is_none_or(|l| l.contains(&line))
            && row.sectors.as_ref().is_none_or(|list| among(list))
            && !among(&row.exempt_sectors)
            && row
                .purposes
                .as_ref()
                .is_none_or(|l| l.contains(&call.purpose.unwrap_or(Purpose::Sales)))
            && row.applies_if.iter().all(|flag| match flag {
                Flag::Atds => call.atds == Some(true),
                Flag::SpecialCategory => call.special_category == Some(true),
            })
    }

    /// Unknown counts as consumer; so do the lines that the jurisdiction presumes to be residential.
    fn protects(&self, audience: Option<Audience>, line: LineType) -> bool {
        let business = audience == Some(Audience::Business) && !self.consumer_lines.contains(&line);
        match self.common.audience {
            RowAudience::Both => true,
            RowAudience::Business => business,
            RowAudience::Consumer => !business,
        }
    }

    /// Whether the row holds on this local date.
    pub(super) fn holds_on(&self, date: Date) -> bool {
        self.common.effective_from.is_none_or(|from| from <= date)
            && self.common.effective_to.is_none_or(|to| date <= to)
    }
}

fn yes() -> bool {
    true
}
