//! The campaigns of the configuration, and what they let a request ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::Text;
use crate::domain::call::{CallKind, CallRequest};
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::decision::{Judgement, RuleOutcome, RuleResult, Verdict};
use crate::domain::phone::Phone;
use crate::domain::route::{Carriers, Unroutable};

use super::claim::ClaimRequest;
use super::error::GateError;

/// Every campaign, by name.
#[derive(Debug, Clone, Default)]
pub struct Campaigns(Arc<BTreeMap<String, Campaign>>);

/// What a request may have.
pub(super) struct Admission<'a> {
    pub campaign: &'a Campaign,
    /// The number to show; none = one of the pool, chosen when the law is known.
    pub caller_id: Option<CallerId>,
    /// The numbers of the campaign that some trunk may show there.
    pub pool: Vec<CallerId>,
}

impl Campaigns {
    /// The campaigns of the configuration.
    #[must_use]
    pub fn new(campaigns: Vec<Campaign>) -> Self {
        Self(Arc::new(
            campaigns
                .into_iter()
                .map(|each| (each.campaign_id.clone(), each))
                .collect(),
        ))
    }

    /// One campaign.
    #[must_use]
    pub fn get(&self, campaign_id: &str) -> Option<&Campaign> {
        self.0.get(campaign_id)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Campaign> {
        self.0.values()
    }

    /// A seller that no campaign calls for is a slip of the pen: an opt-out or a withdrawal under it would bind nobody.
    pub(super) fn knows_seller(&self, seller: &str) -> Result<(), GateError> {
        if self.calls_for(seller) {
            return Ok(());
        }
        Err(GateError::invalid(
            "seller",
            "no campaign of the configuration calls for this seller",
        ))
    }

    /// Whether any campaign calls on behalf of this seller.
    pub(super) fn calls_for(&self, seller: &str) -> bool {
        self.0.values().any(|campaign| campaign.seller == seller)
    }

    /// The campaign and what may be shown, if the request may have them.
    pub(super) fn admit(
        &self,
        carriers: &Carriers,
        request: &CallRequest,
        country: &str,
    ) -> Result<Admission<'_>, GateError> {
        let (campaign, caller_id) =
            self.open(&request.campaign_id, request.call_kind, request.caller_id)?;
        if !reaches(campaign, country) {
            return Err(GateError::DestinationNotAllowed {
                country: country.to_owned(),
            });
        }
        let pool = match caller_id {
            Some(caller_id) => vec![caller_id],
            None => campaign.caller_ids.clone(),
        };
        let pool = routable(campaign, carriers, request.to, &pool)
            .map_err(|why| GateError::invalid(field(why), why.as_str()))?;
        Ok(Admission {
            campaign,
            caller_id,
            pool,
        })
    }

    /// The campaign and the number to show, whomever the call goes to.
    pub(super) fn open(
        &self,
        campaign_id: &str,
        call_kind: CallKind,
        wanted: Option<Phone>,
    ) -> Result<(&Campaign, Option<CallerId>), GateError> {
        let campaign = self.get(campaign_id).ok_or(GateError::CampaignUnknown)?;
        if !campaign.active {
            return Err(GateError::CampaignInactive);
        }
        if !campaign.call_kinds.contains(&call_kind) {
            return Err(GateError::CallKindNotAllowed);
        }
        let shown = match (wanted, campaign.caller_ids.as_slice()) {
            (None, [_, _, ..]) => None,
            (None, pool) => pool.first().copied(),
            (Some(number), _) => {
                Some(caller_id(campaign, number).ok_or(GateError::CallerIdNotAllowed)?)
            }
        };
        Ok((campaign, shown))
    }

    /// The same questions at dial time: the configuration may have changed while the call was waiting.
    pub(super) fn admits_still(
        &self,
        carriers: &Carriers,
        (claim, to): (&ClaimRequest, Phone),
        country: &str,
    ) -> Result<(&Campaign, Option<CallerId>), &'static str> {
        let call = &claim.call;
        let campaign = self
            .get(&call.campaign_id)
            .ok_or("the campaign is no longer in the configuration")?;
        if !campaign.active {
            return Err("the campaign is no longer active");
        }
        if !campaign.call_kinds.contains(&call.call_kind) {
            return Err("the campaign no longer makes calls of this kind");
        }
        if !reaches(campaign, country) {
            return Err("the campaign may no longer dial this country");
        }
        let shown = call.from.and_then(|number| caller_id(campaign, number));
        let shown = shown.ok_or("the campaign may no longer show this number")?;
        let ways = campaign.dialing.trunks(carriers, to, Some(shown.number), 0);
        let ways = ways.map_err(Unroutable::as_str)?;
        if !ways.contains(&claim.trunk.as_str()) {
            return Err("the trunk may no longer carry this call");
        }
        Ok((campaign, Some(shown)))
    }
}

/// The numbers of these that some trunk may show to this one, at least one.
pub(super) fn routable(
    campaign: &Campaign,
    carriers: &Carriers,
    to: Phone,
    pool: &[CallerId],
) -> Result<Vec<CallerId>, Unroutable> {
    let (mut some, mut why) = (Vec::new(), Unroutable::CallerId);
    for each in pool {
        match campaign.dialing.trunks(carriers, to, Some(each.number), 0) {
            Ok(_) => some.push(*each),
            Err(problem) => why = problem,
        }
    }
    match some.is_empty() {
        false => Ok(some),
        true => Err(why),
    }
}

/// The field of a request that no trunk can do.
fn field(why: Unroutable) -> &'static str {
    match why {
        Unroutable::Destination => "to",
        Unroutable::CallerId => "caller_id",
    }
}

/// The rule that a campaign refuses by.
pub(super) const REFUSAL: &str = "POLICY-campaign";

/// Denies by the campaign, in the words of a rule, so that the answer still names its reason.
pub(super) fn refuse(judgement: &mut Judgement, problem: Text) {
    let rule = Text::from(REFUSAL);
    judgement.verdict = Verdict::Deny;
    judgement.next_allowed_time = None;
    judgement.denied_by.insert(0, rule.clone());
    judgement.rules.insert(
        0,
        RuleResult {
            rule,
            outcome: RuleOutcome::Fail,
            reason: problem,
            citation: "operator's configuration, section `campaign`".into(),
            evidence: Vec::new(),
        },
    );
}

/// Whether the campaign may dial this country.
pub(super) fn reaches(campaign: &Campaign, country: &str) -> bool {
    campaign.destinations.iter().any(|each| each == country)
}

/// The number, if it is one of the campaign's.
pub(super) fn caller_id(campaign: &Campaign, number: Phone) -> Option<CallerId> {
    let mut pool = campaign.caller_ids.iter();
    pool.find(|each| each.number == number).copied()
}
