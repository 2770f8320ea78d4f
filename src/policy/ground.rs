//! The grounds: what may carry a call, lift a row or open a line again. One table, used by every kind of rule.

use jiff::civil::Date;
use serde::Deserialize;

use super::facts::Consent;
use super::kinds::Kind;
use super::kinds::relationship::{self, Limb};
use super::moment::Moment;
use super::rule::Rule;
use crate::domain::call::{CallKind, Introduction, SellerType};

/// A ground that a row may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// A valid consent covers this kind of call now.
    Consent,
    /// The same, and in writing.
    ConsentWritten,
    /// The same, and explicit.
    ConsentExplicit,
    /// The same, and it names calls outside the hours.
    ConsentOutOfHours,
    /// The consent is later than the listing in the row's register.
    ConsentAfterListing,
    /// A business may be presumed to agree.
    ConsentPresumed,
    /// An assessment of legitimate interest is on file.
    LegitimateInterest,
    /// A contract is in force, and the offer is related to it.
    ContractInForceRelated,
    /// A customer is offered something similar.
    CustomerSimilarProducts,
    /// An established business relationship.
    Relationship,
    /// The same, by a transaction.
    RelationshipTransaction,
    /// The same, and no recording talks.
    RelationshipLive,
    /// The agent knows the person.
    PersonalRelationship,
    /// The seller is a nonprofit organisation.
    NonprofitSeller,
    /// The same, and the person is a member.
    NonprofitToMember,
    /// A new product is offered.
    NewProduct,
    /// The person asked to be called back, about now.
    CallbackRequested,
    /// The number stands in the directory.
    DirectoryListed,
    /// The directory entry allows marketing.
    DirectoryOptIn,
    /// No register in play lists the number.
    NotListed,
    /// A person introduces the recording.
    LiveIntroduction,
    /// A recording introduces the recording.
    RecordedIntroduction,
    /// Nothing is asked for.
    NoneRequired,
}

impl Ground {
    /// The ground's name as rule files write it, and the words to follow "there is no".
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Consent => ("consent", "valid consent"),
            Self::ConsentWritten => ("consent_written", "valid written consent"),
            Self::ConsentExplicit => ("consent_explicit", "valid explicit consent"),
            Self::ConsentOutOfHours => (
                "consent_out_of_hours",
                "valid consent to calls outside the hours",
            ),
            Self::ConsentAfterListing => (
                "consent_after_listing",
                "valid consent later than the listing",
            ),
            Self::ConsentPresumed => ("consent_presumed", "evidence for presumed consent"),
            Self::LegitimateInterest => (
                "legitimate_interest",
                "assessment of legitimate interest on file",
            ),
            Self::ContractInForceRelated => (
                "contract_in_force_related",
                "contract in force that the offer is related to",
            ),
            Self::CustomerSimilarProducts => (
                "customer_similar_products",
                "recent customer of related products",
            ),
            Self::Relationship => ("relationship", "established business relationship"),
            Self::RelationshipTransaction => {
                ("relationship_transaction", "recent enough transaction")
            }
            Self::RelationshipLive => (
                "relationship_live",
                "established business relationship for a live call",
            ),
            Self::PersonalRelationship => ("personal_relationship", "personal relationship"),
            Self::NonprofitSeller => ("nonprofit_seller", "nonprofit seller"),
            Self::NonprofitToMember => ("nonprofit_to_member", "nonprofit seller calling a member"),
            Self::NewProduct => ("new_product", "new product"),
            Self::CallbackRequested => ("callback_requested", "call-back asked for about now"),
            Self::DirectoryListed => ("directory_listed", "entry in the public directory"),
            Self::DirectoryOptIn => (
                "directory_opt_in",
                "mark in the directory that allows marketing",
            ),
            Self::NotListed => ("not_listed", "clear answer of every register in play"),
            Self::LiveIntroduction => ("live_introduction", "introduction by a person"),
            Self::RecordedIntroduction => ("recorded_introduction", "introduction by a recording"),
            Self::NoneRequired => ("none_required", "need of a ground"),
        }
    }

    /// The ground's name, as rule files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().0
    }

    /// The ground in words, to follow "there is no".
    pub(super) const fn words(self) -> &'static str {
        self.names().1
    }

    /// Whether the ground is a form of consent that an act of the person gives.
    pub(super) fn is_consent(self) -> bool {
        matches!(
            self,
            Self::Consent | Self::ConsentWritten | Self::ConsentExplicit | Self::ConsentOutOfHours
        )
    }

    /// Whether the ground stands at this moment, for this row.
    pub(super) fn stands(self, rule: &Rule, moment: &Moment<'_>) -> bool {
        let (call, facts) = (&moment.scene.case.call, &moment.scene.case.facts);
        let consent = |meets: fn(&Consent) -> bool| moment.standing().valid.is_some_and(meets);
        let by = |limb| relationship::stands(rule, moment, limb);
        let established = || by(Limb::Transaction) || by(Limb::Inquiry);
        let nonprofit = call.seller_type == Some(SellerType::Nonprofit);
        match self {
            Self::Consent => consent(|_| true),
            Self::ConsentWritten => {
                use crate::domain::consent::ConsentForm::Written;
                consent(|given| given.form == Some(Written))
            }
            Self::ConsentExplicit => consent(|given| given.explicit == Some(true)),
            Self::ConsentOutOfHours => consent(|given| given.out_of_hours == Some(true)),
            Self::ConsentAfterListing => after_listing(rule, moment),
            Self::ConsentPresumed => facts
                .presumed_consent
                .as_ref()
                .is_some_and(|presumed| !presumed.evidence.trim().is_empty()),
            Self::LegitimateInterest => facts
                .legitimate_interest
                .as_ref()
                .is_some_and(|interest| interest.assessment_on_file),
            Self::ContractInForceRelated => {
                offer_related(moment) && contract(rule.common.contract_grace_days, moment)
            }
            Self::CustomerSimilarProducts => {
                offer_related(moment)
                    && (contract(None, moment) || bought(rule.common.customer_max_age_days, moment))
            }
            Self::Relationship => established(),
            Self::RelationshipTransaction => by(Limb::Transaction),
            Self::RelationshipLive => call.call_kind != CallKind::Prerecorded && established(),
            Self::PersonalRelationship => facts.personal_relationship == Some(true),
            Self::NonprofitSeller => nonprofit,
            Self::NonprofitToMember => {
                let member = facts.relationship.as_ref().and_then(|known| known.member);
                nonprofit && member == Some(true) && moment.relationship_end().is_none()
            }
            Self::NewProduct => call.new_product == Some(true),
            Self::CallbackRequested => callback(moment),
            Self::DirectoryListed => facts.directory.is_some_and(|entry| entry.listed),
            Self::DirectoryOptIn => facts.directory.is_some_and(|entry| entry.marketing_opt_in),
            Self::NotListed => not_listed(moment),
            Self::LiveIntroduction => call.introduction == Some(Introduction::Live),
            Self::RecordedIntroduction => call.introduction == Some(Introduction::Recorded),
            Self::NoneRequired => true,
        }
    }
}

impl std::fmt::Display for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first of these grounds that stands.
pub(super) fn first(grounds: &[Ground], rule: &Rule, moment: &Moment<'_>) -> Option<Ground> {
    grounds
        .iter()
        .copied()
        .find(|ground| ground.stands(rule, moment))
}

/// The list in words: "valid consent, or established business relationship".
pub(super) fn any_of_words(grounds: &[Ground]) -> String {
    let words: Vec<_> = grounds.iter().map(|ground| ground.words()).collect();
    words.join(", or ")
}

/// Same-day order is unknown, so a consent of the day of the listing does not count.
fn after_listing(rule: &Rule, moment: &Moment<'_>) -> bool {
    let Kind::Register(row) = &rule.kind else {
        return false;
    };
    let since = moment
        .register_entry(&row.register)
        .and_then(|entry| entry.listed_since);
    match (moment.standing().valid, since) {
        (Some(consent), Some(since)) => moment.date_of(consent.at) > since,
        _ => false,
    }
}

fn offer_related(moment: &Moment<'_>) -> bool {
    let dealings = moment.scene.case.facts.relationship.as_ref();
    dealings.is_some_and(|known| known.offer_related == Some(true))
}

/// A contract in force, or ended within the days of grace. An opt-out ends the relationship, and this with it.
pub(super) fn contract(grace_days: Option<i64>, moment: &Moment<'_>) -> bool {
    let Some(known) = &moment.scene.case.facts.relationship else {
        return false;
    };
    let in_grace = || match (grace_days, known.contract_ended_on) {
        (Some(days), Some(ended)) => moment.is_within_days(ended, days),
        _ => false,
    };
    moment.relationship_end().is_none() && (known.contract_in_force == Some(true) || in_grace())
}

fn bought(max_age_days: Option<i64>, moment: &Moment<'_>) -> bool {
    let known = moment.scene.case.facts.relationship.as_ref();
    known
        .and_then(|known| known.last_transaction)
        .is_some_and(|date: Date| {
            moment.is_standing_dealing(date)
                && max_age_days.is_none_or(|days| moment.is_within_days(date, days))
        })
}

/// Any opt-out on file ends the wish to be called back; only consent opens a line again.
fn callback(moment: &Moment<'_>) -> bool {
    let Some(wish) = &moment.scene.case.facts.callback else {
        return false;
    };
    moment.scene.last_opt_out.is_none()
        && wish.requested_at < moment.now
        && wish.not_before.is_none_or(|from| from <= moment.now)
        && wish.not_after.is_none_or(|to| moment.now <= to)
}

/// Unknown is not clear: each register needs an answer of "no", and there must be one to ask.
fn not_listed(moment: &Moment<'_>) -> bool {
    let mut registers = moment
        .rows()
        .filter(|rule| rule.decides())
        .filter_map(|rule| match &rule.kind {
            Kind::Register(row) => Some(row.register.as_str()),
            _ => None,
        })
        .peekable();
    registers.peek().is_some()
        && registers.all(|id| {
            moment
                .register_entry(id)
                .is_some_and(|entry| entry.listed == Some(false))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ground_is_read_by_the_name_that_it_shows() {
        for name in [
            "consent",
            "consent_out_of_hours",
            "not_listed",
            "nonprofit_to_member",
        ] {
            let text = serde_json::Value::String(name.to_owned());
            let ground: Ground = serde_json::from_value(text).unwrap();
            assert_eq!(ground.as_str(), name);
        }
    }
}
