//! Who vouches for the number that a call shows: asked before the claim, so that no permit waits for a signing service. A call
//! for which nobody does is not sent, and not claimed: it counts for no cap, for nothing was tried.

use crate::domain::call::Call;
use crate::passport::{Unsigned, Vouch};
use crate::sip::Ending;
use crate::store::Leased;

use super::{Lane, Shared};

impl Shared {
    /// What a call has to show at this trunk. A signing service is given its time, and no more.
    pub(super) async fn vouch(&self, lane: &Lane, call: &Call) -> Result<Vouch, Unsigned> {
        // Without its numbers it is refused by the claim.
        let (Some(voucher), Some(from), Some(to)) = (&lane.voucher, call.from, call.to) else {
            return Ok(Vouch::Nobody);
        };
        let campaign = self.gate.campaigns().get(&call.campaign_id);
        let mut shown = campaign.iter().flat_map(|campaign| &campaign.caller_ids);
        let is_owned = shown.any(|each| each.number == from && each.owned);
        let at = self.clock.read().wall;
        voucher.vouch(from, to, is_owned, at).await
    }

    /// Ends a leased call that nobody vouches for.
    pub(super) async fn end_unsigned(&self, leased: &Leased, why: Unsigned) {
        let call = &leased.call;
        tracing::warn!(call.id = %call.call_id, trunk = call.trunk, %why, "the call is not sent, for nobody vouches for the number shown");
        self.end_unsent(leased, Ending::unsigned(why)).await;
    }
}
