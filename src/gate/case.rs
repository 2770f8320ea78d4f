//! From what was asked and what is known to the case object that the law judges.

use crate::domain::call::CallKind;
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::ids::DecisionId;
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;
use crate::place::Dialable;
use crate::policy::Pack;
use crate::policy::facts::{CallFacts, Case, Facts, RegistrationFact};

use super::caller_ids;

/// What a case is made of beside the stored facts.
pub(super) struct Question<'a> {
    pub decision_id: DecisionId,
    pub at: Micros,
    pub to: Phone,
    pub call_kind: CallKind,
    pub campaign: &'a Campaign,
    /// The number to show; none = one of the campaign's is chosen.
    pub caller_id: Option<CallerId>,
    /// The numbers among which it is chosen then.
    pub pool: &'a [CallerId],
    /// By what it is chosen, where it matters which it is and not only whether there is any.
    pub key: Option<NumberKey>,
    /// What numbering says of the number called, where it stands for others; none = it is read.
    pub number: Option<&'a Dialable>,
    /// Regions in which nobody is called now.
    pub stops: &'a [String],
}

/// The case object of one decision.
pub(super) fn build(pack: &Pack, question: &Question<'_>, stored: Facts) -> Case {
    let campaign = question.campaign;
    let call = CallFacts {
        at: question.at,
        to: question.to.reveal(),
        from: question.caller_id.map(|shown| shown.number),
        call_kind: question.call_kind,
        purpose: Some(campaign.purpose),
        subject: campaign.subject.clone(),
        seller: Some(campaign.seller.clone()),
        sector: campaign.sector.clone(),
        controller_country: campaign.controller_country.clone(),
        seller_type: Some(campaign.seller_type),
        caller_id_withheld: None,
        atds: Some(campaign.atds),
        special_category: Some(campaign.special_category),
        new_product: Some(campaign.new_product),
        introduction: campaign.introduction,
        voice: campaign.voice,
    };
    let facts = Facts {
        caller_id: question.caller_id.map(Into::into),
        registrations: campaign
            .registrations
            .iter()
            .map(|each| RegistrationFact {
                id: each.id.clone(),
                number: each.number.clone(),
                valid_to: each.valid_to,
            })
            .collect(),
        emergency_regions: question.stops.to_vec(),
        stopped_regions: question.stops.to_vec(),
        ..stored
    };
    let mut case = Case {
        id: question.decision_id.to_string(),
        call,
        facts,
        expect: None,
        why: None,
        tags: Vec::new(),
    };
    if question.caller_id.is_none() {
        caller_ids::settle(pack, &mut case, question);
    }
    case
}
