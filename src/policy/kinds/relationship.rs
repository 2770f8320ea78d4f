//! `relationship`: what counts as an established business relationship. Decides nothing by itself; the grounds of that
//! name ask it.

use jiff::civil::Date;
use serde::Deserialize;

use super::super::ground;
use super::super::moment::{Finding, Moment};
use super::super::rule::Rule;
use super::{Kind, RuleKind};

/// Keys of the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys for readers are read so that they are checked")]
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

impl RuleKind for Relationship {
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
            .with_some("last_transaction", dealings.and_then(|d| d.last_transaction))
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
        .chain((own != country).then(|| pack.rules_of(country)).into_iter().flatten())
        .filter(|row| row.common.enforced && row.holds_on(moment.date()))
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
