//! Calls whose trunk has a media anchor: their descriptions of sessions go by way of it, in both directions.
//!
//! The offer does so before the claim, for no permit waits for an engine. A call whose offer does not come back is not sent and not
//! claimed: it counts for no cap, for nothing was tried. Without an anchor nothing is touched, and every byte passes as it came.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::anchor::{Manner, Session, Unanchored, Unmoved};
use crate::domain::call::{EventDetail, EventKind, Outcome, Retry};
use crate::domain::ids::{CallId, InstructionId, TenantId};
use crate::domain::instruction::{Followed, Instruct, Instruction, InstructionResult};
use crate::sip::{Control, EndedBy, Ending, HangUpCause, SipEvent, carried, check_offer};
use crate::store::{Leased, StoreError, Urgency};

use super::attempt::{Begun, Under};
use super::failover::Over;
use super::journal::Journal;
use super::pace::{Pace, Token};
use super::tracks::Track;
use super::{Lane, Shared};

/// What becomes of an instruction is tried to be written so often, and so far apart; with the call's end it is forgotten anyway.
const WRITES_MAX: u8 = 20;
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// How long a call waits for its turn at another trunk than the one that it was begun for.
const TOKEN_WAIT: Duration = Duration::from_secs(5);

/// The SIP codes by which a client hears that its offer did not get past the anchor: 500 and 488 of a far end mean the same to it.
const SERVER_ERROR: u16 = 500;
const NOT_ACCEPTABLE: u16 = 488;

/// The media of a call.
pub(super) struct Media {
    /// What the carrier is offered.
    pub(super) offer: Vec<u8>,
    /// The call's place at the anchor, if its trunk has one.
    pub(super) session: Option<Arc<Session>>,
}

/// Why a trunk cannot carry what a client offers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It speaks plain RTP.
    #[error("the client offers ICE or SRTP, and the trunk has no media anchor")]
    NotPlain,
    /// No engine can do anything with it.
    #[error("the client's offer cannot be anchored")]
    Unknown,
    /// An engine made of it what no trunk can be sent.
    #[error("the media engine wrote an offer that is no plain RTP, or too long")]
    Written,
    /// No engine took it.
    #[error("{0}")]
    Unanchored(#[from] Unanchored),
}

impl Unfit {
    fn ending(&self) -> Ending {
        let retry = match self {
            Self::Unanchored(why) if why.may_pass() => Retry::Soon,
            _ => Retry::Fix,
        };
        Ending {
            reason: Some(self.to_string()),
            ..Ending::plain(Outcome::MediaIncompatible, retry, EndedBy::Us)
        }
    }
}

/// The trunk by which a call goes, with its media: the one at hand, or the next of its own that has a channel and, soon, a token.
pub(super) async fn begin(
    shared: &Shared,
    leased: &Leased,
    mut begun: Begun,
    mut token: Token,
) -> Result<(Begun, Token, Media), Unfit> {
    loop {
        let lane = &begun.track.lane;
        let why = match shared.media(lane, &leased.sdp_offer).await {
            Ok(media) => return Ok((begun, token, media)),
            Err(why) => why,
        };
        drop(token);
        let before = begun.track.name().to_owned();
        token = match another(shared, &mut begun).await {
            Some(token) => token,
            None => return Err(why),
        };
        tracing::warn!(call.id = %leased.call.call_id, trunk = before, next = begun.track.name(), %why,
            "the media of the call cannot be carried by its trunk; it goes by the next");
    }
}

/// Goes over to the next trunk that the call may go by.
async fn another(shared: &Shared, begun: &mut Begun) -> Option<Token> {
    loop {
        let now = shared.clock.read().mono;
        let (all, _) = shared.tracks.all();
        let open = |name: &String| {
            let track = all.get(name)?;
            let channel = track.lane.may_be_chosen(now).then(|| track.channels.take());
            Some((Arc::clone(track), channel.flatten()?))
        };
        (begun.track, begun.channel) = begun.ways.iter().find_map(open)?;
        let name = begun.track.name().to_owned();
        begun.ways.retain(|each| *each != name);
        let paces = begun.paces.with(&begun.track);
        if let Ok(token) = timeout(TOKEN_WAIT, Pace::token(&paces)).await {
            return Some(token);
        }
    }
}

impl Shared {
    /// What a call offers at this trunk.
    pub(super) async fn media(&self, lane: &Lane, offer: &[u8]) -> Result<Media, Unfit> {
        let carried = carried(offer);
        // An agent's own phone has no client's offer: it and the far end describe their sessions to each other.
        let anchor = lane.anchor.as_ref().filter(|_| !offer.is_empty());
        let Some(anchor) = anchor else {
            // It was placed when the trunk still had one.
            if carried.is_some_and(|carried| !carried.is_plain) {
                return Err(Unfit::NotPlain);
            }
            return Ok(Media {
                offer: offer.to_vec(),
                session: None,
            });
        };
        let carried = carried.ok_or(Unfit::Unknown)?;
        let client = Manner {
            protocol: carried.protocol,
            ice: carried.ice,
        };
        let (session, offer) = anchor.open(offer, client, &self.keepers).await?;
        check_offer(&offer).map_err(|_| Unfit::Written)?;
        Ok(Media {
            offer,
            session: Some(Arc::new(session)),
        })
    }

    /// Ends a leased call whose media no engine carries.
    pub(super) async fn end_unfit(&self, leased: &Leased, why: &Unfit) {
        let call = &leased.call;
        tracing::warn!(call.id = %call.call_id, trunk = call.trunk, %why, "the call is not sent, for its media cannot be carried");
        self.end_unsent(leased, why.ending()).await;
    }
}

impl Under<'_> {
    /// The media for another trunk: the same, where that has the same anchor or none either.
    pub(super) async fn media_for(&mut self, track: &Track, over: &Over) -> Result<(), Over> {
        let same = match (&self.media.session, &track.lane.anchor) {
            (Some(session), Some(anchor)) => session.is_of(anchor),
            (session, anchor) => session.is_none() && anchor.is_none(),
        };
        if same {
            return Ok(());
        }
        match self.shared.media(&track.lane, &self.leased.sdp_offer).await {
            Ok(media) => {
                self.media = media;
                Ok(())
            }
            Err(why) => {
                tracing::warn!(call.id = %self.leased.call.call_id, %why, "the media of the call cannot be carried by the next trunk");
                let journal = Journal::new(self.shared, &self.leased.call, over.at);
                let permit = Some(self.attempt_id);
                let note = noted(format!("not tried there: {why}"));
                journal.event(EventKind::Note, note, None, permit).await;
                Err(over.clone())
            }
        }
    }

    /// What happened, with descriptions as the client is to see them; nothing if it is not told.
    pub(super) async fn to_client(
        &self,
        journal: &Journal<'_>,
        event: SipEvent,
        control: &mpsc::Sender<Control>,
    ) -> Option<SipEvent> {
        let Some(session) = &self.media.session else {
            return Some(event);
        };
        let (why, instead) = match event {
            SipEvent::EarlyMedia { code, reason, sdp } => {
                match session.carrier_answers(&sdp).await {
                    Ok(sdp) => return Some(SipEvent::EarlyMedia { code, reason, sdp }),
                    // It rings all the same, and is heard of once it is answered.
                    Err(why) => (why, Some(SipEvent::Ringing { code, reason })),
                }
            }
            SipEvent::Answered { sdp } => match session.carrier_answers(&sdp).await {
                Ok(sdp) => return Some(SipEvent::Answered { sdp }),
                Err(why) => {
                    // Nobody would hear the other: no call is better than a silent one.
                    let call_id = self.leased.call.call_id;
                    self.shared.hang_up(call_id, HangUpCause::NoMedia);
                    (why, None)
                }
            },
            SipEvent::MediaOffer { offer, sdp } => {
                let shown = match offer {
                    Some(number) => session.carrier_offers(number, &sdp).await,
                    None => session.carrier_answers(&sdp).await,
                };
                match (shown, offer) {
                    (Ok(sdp), offer) => return Some(SipEvent::MediaOffer { offer, sdp }),
                    (Err(why), Some(offer)) => {
                        let _ = control.send(Control::Decline { offer }).await;
                        (why, None)
                    }
                    (Err(why), None) => (why, None),
                }
            }
            SipEvent::OfferOver => {
                session.offer_over().await;
                return None;
            }
            SipEvent::Followed { id, followed } => {
                let followed = session.followed(id, followed).await;
                return Some(SipEvent::Followed { id, followed });
            }
            other => return Some(other),
        };
        tracing::warn!(call.id = %self.leased.call.call_id, %why, "the far end's session does not reach the client");
        let note = noted(format!(
            "the far end's session does not reach the client: {why}"
        ));
        journal.event(EventKind::Note, note, None, None).await;
        instead
    }
}

fn noted(text: String) -> EventDetail {
    EventDetail {
        note: Some(text),
        ..EventDetail::default()
    }
}

/// Whether an instruction has to go by way of the anchor.
pub(super) fn describes_session(what: &Instruct) -> Option<&[u8]> {
    match what {
        Instruct::Offer { sdp } | Instruct::Answer { sdp, .. } => Some(sdp),
        Instruct::Decline { .. } | Instruct::Dtmf { .. } => None,
    }
}

/// Hands what a client asks to its call by way of the anchor. In a task of its own: whoever looks for opt-outs and hang-ups waits
/// for no engine.
pub(super) fn instruct(
    shared: &Arc<Shared>,
    tenant: &TenantId,
    (session, control): (Arc<Session>, mpsc::Sender<Control>),
    asked: Instruction,
) {
    let (own, tenant) = (Arc::clone(shared), tenant.clone());
    shared.keepers.spawn(async move {
        let (id, call_id) = (asked.instruction_id, asked.call_id);
        let followed = match session.client_asks(asked).await {
            Ok(asked) => match control.send(Control::Instruct(Box::new(asked))).await {
                Ok(()) => return,
                Err(_) => Followed::plain(InstructionResult::NotUp),
            },
            Err(why) => unmoved(call_id, &why),
        };
        for _ in 0..WRITES_MAX {
            match end(&own, &tenant, (id, call_id), &followed).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(call.id = %call_id, %error, "what became of an instruction could not be stored; trying again");
                    tokio::time::sleep(WRITE_EVERY).await;
                }
            }
        }
    });
}

/// What the client hears of an instruction that did not get past the anchor.
fn unmoved(call_id: CallId, why: &Unmoved) -> Followed {
    match why {
        Unmoved::Busy => Followed::plain(InstructionResult::Busy),
        Unmoved::OfferOver => Followed::plain(InstructionResult::OfferOver),
        Unmoved::Unanchored(why) => {
            tracing::warn!(call.id = %call_id, %why, "the client's session does not reach the far end");
            match why.may_pass() {
                true => Followed::with_code(SERVER_ERROR),
                false => Followed::with_code(NOT_ACCEPTABLE),
            }
        }
    }
}

/// Writes down what became of an instruction that its call was not asked.
pub(super) async fn end(
    shared: &Shared,
    tenant: &TenantId,
    (id, call_id): (InstructionId, CallId),
    followed: &Followed,
) -> Result<(), StoreError> {
    let at = shared.clock.read().wall;
    let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
    tx.end_instruction(tenant, id, followed, at).await?;
    tx.commit().await?;
    shared.tell(call_id).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_tried_soon_and_the_rest_is_to_be_mended() {
        for (why, retry) in [
            (Unfit::NotPlain, Retry::Fix),
            (Unfit::Unknown, Retry::Fix),
            (Unfit::Written, Retry::Fix),
            (Unfit::Unanchored(Unanchored::Silent), Retry::Soon),
            (Unfit::Unanchored(Unanchored::Full), Retry::Soon),
            (
                Unfit::Unanchored(Unanchored::Refused("none".to_owned())),
                Retry::Fix,
            ),
        ] {
            let ending = why.ending();
            assert_eq!(
                (ending.outcome, ending.retry),
                (Outcome::MediaIncompatible, retry)
            );
            assert!(ending.reason.is_some_and(|reason| !reason.is_empty()));
        }
    }
}
