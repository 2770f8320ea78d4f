//! `relationship`: what counts as an established business relationship. Decides nothing by itself; the grounds of that
//! name ask it.

use jiff::civil::Date;
use serde::Deserialize;

use super::super::ground;
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Kind, Names, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "keys for readers are read so that they are checked"
)]
pub struct Relationship {
    transaction_months: Option<i32>,
    transaction_days: Option<i64>,
    inquiry_months: Option<i32>,
    inquiry_days: Option<i64>,
    contract_ended_months: Option<i32>,
    #[serde(default = "super::yes")]
    inquiry_counts: bool,
    #[serde(default = "super::yes")]
    recognised: bool,
    ended_within_months: Option<i32>,
    ended_by: Option<Vec<String>>,
}

/// By what a relationship was made; all rows must hold by the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Limb {
    Transaction,
    Inquiry,
}

impl Readable for Relationship {}

impl RuleKind for Relationship {
    fn check(&self, _: &Common, _: &Names, faults: &mut Faults<'_>) {
        for (key, span) in [
            ("transaction_months", self.transaction_months.map(i64::from)),
            ("transaction_days", self.transaction_days),
            ("inquiry_months", self.inquiry_months.map(i64::from)),
            ("inquiry_days", self.inquiry_days),
            (
                "contract_ended_months",
                self.contract_ended_months.map(i64::from),
            ),
            (
                "ended_within_months",
                self.ended_within_months.map(i64::from),
            ),
        ] {
            faults.within(key, span, 1..=i64::MAX);
        }
    }

    fn decides(&self) -> bool {
        false
    }

    fn judge(&self, _: &Rule, moment: &Moment<'_>) -> Finding {
        let holds = self.holds(Limb::Transaction, moment) || self.holds(Limb::Inquiry, moment);
        let dealings = moment.scene.case.facts.relationship.as_ref();
        let is = if holds { "is" } else { "is not" };
        moment
            .info(format_args!(
                "by this rule there {is} an established business relationship"
            ))
            .with_some(
                "last_transaction",
                dealings.and_then(|d| d.last_transaction),
            )
            .with_some("last_inquiry", dealings.and_then(|d| d.last_inquiry))
    }
}

/// Whether every row of the rule's jurisdiction and of its country holds by this limb. The rows define a word of the
/// law there, so they are asked whatever the audience of the call. Without any: a contract in force, or any transaction.
pub(in super::super) fn stands(rule: &Rule, moment: &Moment<'_>, limb: Limb) -> bool {
    let pack = moment.scene.pack;
    let (own, country) = (rule.common.jurisdiction.as_str(), rule.common.country());
    let mut rows = pack
        .rules_of(own)
        .chain(
            (own != country)
                .then(|| pack.rules_of(country))
                .into_iter()
                .flatten(),
        )
        .filter(|row| row.has_effect() && row.holds_on(moment.date()))
        .filter_map(|row| match &row.kind {
            Kind::Relationship(row) => Some(row),
            _ => None,
        })
        .peekable();
    if rows.peek().is_some() {
        return rows.all(|row| row.holds(limb, moment));
    }
    let dealings = moment.scene.case.facts.relationship.as_ref();
    let bought = dealings.and_then(|known| known.last_transaction);
    limb == Limb::Transaction
        && (ground::contract(None, moment)
            || bought.is_some_and(|date| moment.is_standing_dealing(date)))
}

impl Relationship {
    fn holds(&self, limb: Limb, moment: &Moment<'_>) -> bool {
        let Some(known) = &moment.scene.case.facts.relationship else {
            return false;
        };
        // A row that names no span of either limb leaves the span to the other rows.
        let names_transaction = self.transaction_months.is_some()
            || self.transaction_days.is_some()
            || self.contract_ended_months.is_some();
        let names_inquiry = self.inquiry_months.is_some() || self.inquiry_days.is_some();
        let names_none = !names_transaction && !names_inquiry;
        let (date, months, days, named) = match limb {
            Limb::Transaction => (
                known.last_transaction,
                self.transaction_months,
                self.transaction_days,
                names_transaction,
            ),
            Limb::Inquiry => (
                known.last_inquiry,
                self.inquiry_months,
                self.inquiry_days,
                names_inquiry && self.inquiry_counts,
            ),
        };
        let counts = named || (names_none && (limb == Limb::Transaction || self.inquiry_counts));
        let in_span = |date: Date| {
            moment.is_standing_dealing(date)
                && months.is_none_or(|months| moment.is_within_months(date, months))
                && days.is_none_or(|days| moment.is_within_days(date, days))
        };
        let by_contract = limb == Limb::Transaction && self.contract_counts(moment);
        self.recognised && counts && (by_contract || date.is_some_and(in_span))
    }

    /// Where the row names contracts: one in force, or ended within the span.
    fn contract_counts(&self, moment: &Moment<'_>) -> bool {
        let Some(months) = self.contract_ended_months else {
            return false;
        };
        let dealings = moment.scene.case.facts.relationship.as_ref();
        let ended = dealings.and_then(|known| known.contract_ended_on);
        let recently = ended.is_some_and(|date| {
            moment.is_standing_dealing(date) && moment.is_within_months(date, months)
        });
        ground::contract(None, moment) || recently
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    /// A listed number in this place, called on this date at noon in New York: only the relationship can lift the row.
    fn lifted(
        place: &str,
        date: &str,
        rule: &str,
        known: Option<crate::domain::party::Relationship>,
    ) -> bool {
        let mut case = case(place, &format!("{date}T17:00:00Z"));
        case.facts.relationship = known;
        outcome(&case, rule) == Lifted
    }

    #[test]
    fn both_federal_spans_must_run() {
        let federal = |date, known| lifted("US-GA", date, "US-national-dnc", known);
        assert!(federal("2026-05-19", bought("2026-05-19")));
        assert!(!federal("2026-05-19", bought("2026-05-20")), "a date ahead");
        // 540 days are less than 18 months.
        assert!(federal("2026-05-19", bought("2024-11-25")));
        assert!(!federal("2026-05-19", bought("2024-11-24")));
        assert!(
            federal("2026-05-19", asked("2026-02-19")),
            "89 days, three months"
        );
        assert!(
            !federal("2026-05-19", asked("2026-02-18")),
            "90 days, but over three months"
        );
        // From 30 November three months reach to the end of February, 90 days to the 28th.
        assert!(federal("2027-02-28", asked("2026-11-30")));
        assert!(!federal("2027-03-01", asked("2026-11-30")));
    }

    #[test]
    fn months_are_counted_back_and_clamped() {
        // South Carolina and Oregon have no list of their own; Utah's consent row knows 18 months and no federal spans
        // less: what is clamped shows in Canada, where 18 months before 31 August is the end of February.
        let canada = |date, known| lifted("CA", date, "CA-dncl", known);
        assert!(canada("2026-08-31", bought("2025-02-28")));
        assert!(!canada("2026-08-31", bought("2025-02-27")));
        assert!(canada("2026-08-31", asked("2026-02-28")));
        assert!(!canada("2026-08-31", asked("2026-02-27")));
    }

    #[test]
    fn all_rows_hold_by_the_same_limb() {
        let washington = |known| lifted("US-WA", "2026-05-19", "US-WA-dnc", known);
        assert!(washington(bought("2025-05-19")));
        assert!(!washington(bought("2025-05-18")), "12 months there");
        // Pennsylvania knows no inquiry; the federal rows would.
        assert!(lifted(
            "US-PA",
            "2026-05-19",
            "US-national-dnc",
            asked("2026-05-01")
        ));
        assert!(!lifted(
            "US-PA",
            "2026-05-19",
            "US-PA-dnc",
            asked("2026-05-01")
        ));
        // Texas names no span of its own, so the federal ones decide.
        assert!(lifted(
            "US-TX",
            "2026-05-19",
            "US-TX-dnc",
            bought("2025-01-19")
        ));
        assert!(lifted(
            "US-TX",
            "2026-05-19",
            "US-TX-dnc",
            asked("2026-05-01")
        ));
    }

    #[test]
    fn a_relationship_ends() {
        let mut case = case("US-GA", "2026-05-19T17:00:00Z");
        case.facts.relationship = bought("2026-04-19");
        let mut opted_out = case.clone();
        opted_out.facts.opt_outs = vec![opt_out("2026-05-01T00:00:00Z")];
        assert_eq!(outcome(&opted_out, "US-national-dnc"), Fail);
        let mut ended = case.clone();
        ended.facts.relationship.as_mut().unwrap().ended_at = Some(instant("2026-05-01T00:00:00Z"));
        assert_eq!(outcome(&ended, "US-national-dnc"), Fail);
        ended.facts.relationship.as_mut().unwrap().last_transaction =
            Some("2026-05-02".parse().unwrap());
        assert_eq!(
            outcome(&ended, "US-national-dnc"),
            Lifted,
            "a new dealing after the end"
        );
    }

    #[test]
    fn contracts_count_where_the_row_names_them() {
        let known = |json: &str| serde_json::from_str(json).unwrap();
        let canada = |json| lifted("CA", "2026-08-31", "CA-dncl", known(json));
        assert!(canada(r#"{"contract_in_force":true}"#));
        assert!(canada(r#"{"contract_ended_on":"2025-02-28"}"#));
        assert!(!canada(r#"{"contract_ended_on":"2025-02-27"}"#));
        assert!(!lifted(
            "US-GA",
            "2026-08-31",
            "US-national-dnc",
            known(r#"{"contract_in_force":true}"#)
        ));
    }
}
