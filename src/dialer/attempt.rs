//! One call from claim to outcome. What `sip` reports is written down before the next report is read.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::domain::call::{Attestation, CallState, EventDetail, EventKind, Outcome, Retry};
use crate::domain::ids::AttemptId;
use crate::domain::time::Micros;
use crate::gate::Claimed;
use crate::meter;
use crate::passport::Vouch;
use crate::policy::Permit;
use crate::sip::{
    Control, Dialog, EndedBy, Ending, HangUpCause, Happened, Heard, Invite, Rang, SipEvent, Target,
    Trunk,
};
use crate::store::Leased;

use super::anchoring::{self, Media};
use super::claims::{claim, not_dialed, undecided};
use super::desk::AtDesk;
use super::failover::Over;
use super::journal::Journal;
use super::late;
use super::pace::Token;
use super::pair::{self, Pair};
use super::tracks::{Channel, Paces, Track};
use super::{Active, Phase, Shared};

/// What a call has in hand when it begins.
pub(super) struct Begun {
    pub(super) track: Arc<Track>,
    /// Held until the call is over, or goes on to another trunk.
    pub(super) channel: Channel,
    /// The agent who waits for it.
    pub(super) desk: Option<AtDesk>,
    /// The other trunks that may carry it, in their order.
    pub(super) ways: Vec<String>,
    /// The paces that it is under besides its trunk's.
    pub(super) paces: Paces,
    pub(super) phase: watch::Receiver<Phase>,
}

/// Claims the call and, if allowed, dials it and follows it to its end.
pub(super) async fn run(shared: Arc<Shared>, mut begun: Begun, leased: Leased, token: Token) {
    let pair = begun
        .desk
        .take()
        .map(|desk| Pair::new(desk, &shared.endpoint));
    let call_id = leased.call.call_id;
    let sip_call_id = shared.endpoint.new_call_id();
    shared.active().insert(call_id, Active::Claiming);
    let _known = Known {
        shared: &shared,
        leased: &leased,
    };
    // First, for what a signature says of its minute is to be fresh when the claim is made.
    let (begun, token, media) = match anchoring::begin(&shared, &leased, begun, token).await {
        Ok(begun) => begun,
        Err(why) => return shared.end_unfit(&leased, &why).await,
    };
    let vouch = match shared.vouch(&begun.track.lane, &leased.call).await {
        Ok(vouch) => vouch,
        Err(why) => {
            drop((token, begun));
            return shared.end_unsigned(&leased, why).await;
        }
    };
    let first = claim(&shared, &leased, begun.track.name(), (&sip_call_id, None));
    match shared.gate.claim(first.vouched(&vouch)).await {
        Ok(Claimed::Permitted { permit, attempt_id }) => {
            let attestation = vouch.attestation();
            let call = Under::new(&shared, &leased, (begun, media), (sip_call_id, attempt_id));
            let call = Under {
                attestation,
                pair,
                ..call
            };
            call.follow(permit, token, vouch).await;
        }
        Ok(claimed) => not_dialed(&shared, call_id, &claimed).await,
        Err(error) => {
            drop((token, begun));
            undecided(&shared, &leased, &error).await;
        }
    }
}

/// Has the gate end a call that no trunk may carry, or whose time is over: the reason is on record, and nothing is sent.
pub(super) async fn settle(shared: Arc<Shared>, leased: Leased) {
    let call = &leased.call;
    let sip_call_id = shared.endpoint.new_call_id();
    shared.active().insert(call.call_id, Active::Claiming);
    let _known = Known {
        shared: &shared,
        leased: &leased,
    };
    let first = claim(&shared, &leased, &call.trunk, (&sip_call_id, None));
    match shared.gate.claim(first).await {
        // The trunks became others in between. The permit goes unused.
        Ok(Claimed::Permitted { attempt_id, .. }) => {
            let at = shared.clock.read().wall;
            let ending = Ending::plain(Outcome::NoRoute, Retry::Soon, EndedBy::Us);
            Journal::new(&shared, call, at)
                .end(attempt_id, &ending, false)
                .await;
        }
        Ok(claimed) => not_dialed(&shared, call.call_id, &claimed).await,
        Err(error) => undecided(&shared, &leased, &error).await,
    }
}

/// The call is known to this process until its task ends, however it ends.
struct Known<'a> {
    shared: &'a Shared,
    leased: &'a Leased,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.shared.active().remove(&self.leased.call.call_id);
    }
}

/// A claimed call under way.
pub(super) struct Under<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) leased: &'a Leased,
    /// The trunk that carries it, and the rest of what it needs to go on.
    pub(super) begun: Begun,
    /// What it offers, and its place at the trunk's media anchor.
    pub(super) media: Media,
    pub(super) sip_call_id: String,
    pub(super) attempt_id: AttemptId,
    /// How its INVITE vouches for the number shown.
    pub(super) attestation: Option<Attestation>,
    /// The agent who has answered and waits for it, where one was called first.
    pub(super) pair: Option<Pair>,
    /// The targets of the present trunk that had their turn.
    pub(super) tried: Vec<Target>,
    /// How the target before the present one ended.
    pub(super) before: Option<Ending>,
    /// Whether each of them was heard to ring, late as it may be.
    pub(super) rang: Vec<Rang>,
    /// One of them ended without a final response: it may still be answered.
    pub(super) unsettled: bool,
    /// A trunk has said that there is no such number; another is to agree.
    pub(super) unknown: bool,
    /// A target has sent the call to another one of its trunk.
    pub(super) redirected: bool,
    /// A provisional without ringing was noted; further ones tell nothing new.
    progressed: bool,
}

/// One target's turn: the right to send, and the place in the pace.
pub(super) struct Leg {
    pub(super) trunk: Arc<Trunk>,
    pub(super) permit: Permit,
    pub(super) token: Token,
    pub(super) vouch: Vouch,
}

impl<'a> Under<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        leased: &'a Leased,
        (begun, media): (Begun, Media),
        (sip_call_id, attempt_id): (String, AttemptId),
    ) -> Self {
        Self {
            shared,
            leased,
            begun,
            media,
            sip_call_id,
            attempt_id,
            attestation: None,
            pair: None,
            tried: Vec::new(),
            before: None,
            rang: Vec::new(),
            unsettled: false,
            unknown: false,
            redirected: false,
            progressed: false,
        }
    }
}

impl Under<'_> {
    /// One target after another, as far as may be, and the outcome of the last.
    async fn follow(mut self, permit: Permit, token: Token, vouch: Vouch) {
        let now = self.shared.clock.read().mono;
        let targets = &self.begun.track.lane.targets;
        let Some(trunk) = targets.pick(self.seed(), &[], now) else {
            // Its names stand for nothing since the call was leased. The permit goes unused.
            drop((permit, token));
            let at = self.shared.clock.read().wall;
            let ending = Ending::plain(Outcome::Unreachable, Retry::Soon, EndedBy::Us);
            return self.ended(at, ending).await;
        };
        let mut leg = Leg {
            trunk,
            permit,
            token,
            vouch,
        };
        loop {
            let stopped = *self.begun.phase.borrow() == Phase::Stopped;
            let now = self.shared.clock.read().wall;
            let call = &self.leased.call;
            let alone = self
                .pair
                .as_mut()
                .is_some_and(|pair| pair.is_gone(call, now));
            let over = match (stopped, alone) {
                (false, false) => self.dial(leg).await,
                // The stop waits for nobody any more, and what has no outcome is being given one.
                (true, _) => self.undialed(),
                // Whoever were called now would answer to nobody. The permit goes unused.
                (false, true) => self.hung_up(HangUpCause::AgentGone),
            };
            match self.go_on(over).await {
                Ok(next) => leg = next,
                Err(Over { at, ending }) => return self.ended(at, ending).await,
            }
        }
    }

    fn undialed(&self) -> Over {
        Over {
            at: self.shared.clock.read().wall,
            ending: Ending::plain(Outcome::PermitExpired, Retry::None, EndedBy::Us),
        }
    }

    /// The turn of one target, cut short if it is answered by way of an earlier one.
    async fn dial(&mut self, leg: Leg) -> Over {
        let Leg {
            trunk,
            permit,
            token,
            vouch,
        } = leg;
        self.progressed = false;
        self.tried.push(trunk.target);
        let sdp_offer = match &mut self.pair {
            Some(pair) => pair.invite(&self.shared.endpoint, &self.sip_call_id),
            None => self.media.offer.clone(),
        };
        let invite = Invite {
            sip_call_id: self.sip_call_id.clone(),
            trunk,
            vouch,
            sdp_offer,
        };
        // At once: between the claim's commit and here lies no await.
        let Dialog {
            events,
            control,
            rang,
        } = self.shared.endpoint.dial(permit, invite);
        meter::invited();
        let elsewhere = late::elsewhere(self.rang.clone(), rang.clone());
        self.rang.push(rang);
        let call_id = self.leased.call.call_id;
        self.shared.active().insert(
            call_id,
            Active::Dialing {
                tenant: self.leased.call.tenant.clone(),
                control: control.clone(),
                ending: None,
                session: self.media.session.clone(),
            },
        );
        let shared = self.shared;
        let watching = async {
            elsewhere.await;
            tracing::info!(call.id = %call_id, "answered by way of an earlier target; cancelling at this one");
            shared.hang_up(call_id, HangUpCause::Elsewhere);
            std::future::pending().await
        };
        let over = tokio::select! {
            biased;
            over = self.heed(events, control, token) => over,
            over = watching => over,
        };
        self.unsettled |= over.ending.code.is_none() && !over.ending.answered;
        over
    }

    async fn heed(
        &mut self,
        mut events: mpsc::Receiver<Happened>,
        control: mpsc::Sender<Control>,
        token: Token,
    ) -> Over {
        let mut token = Some(token);
        loop {
            let happened = tokio::select! {
                biased;
                news = pair::news(&mut self.pair, &self.shared.clock) => {
                    self.agent_news(news, &control).await;
                    self.say_connected().await;
                    continue;
                }
                happened = events.recv() => happened,
            };
            let Some(Happened { at, event }) = happened else {
                break;
            };
            if self.connects(&event, at, &control).await {
                self.say_connected().await;
                continue;
            }
            let journal = Journal::new(self.shared, &self.leased.call, at.wall);
            // The first tells that the INVITE has left, or never will.
            drop(token.take());
            match event {
                SipEvent::Sent { late, first, .. } => self.sent(&journal, first, late).await,
                SipEvent::PermitSpent => journal.close_permit(self.attempt_id).await,
                SipEvent::PermitNeeded => self.renew(&control).await,
                SipEvent::Ended(ending) => {
                    return Over {
                        at: at.wall,
                        ending,
                    };
                }
                heard => {
                    if let Some(heard) = self.to_client(&journal, heard, &control).await {
                        self.hear(&journal, heard).await;
                    }
                    self.say_connected().await;
                }
            }
        }
        // The endpoint is gone, and with it the permit: what came of the call is not known, and it may have rung.
        tracing::error!(call.id = %self.leased.call.call_id, "the SIP endpoint ended before the call did");
        Over {
            at: self.shared.clock.read().wall,
            ending: Ending::plain(Outcome::InterruptedUnknown, Retry::Never, EndedBy::Us),
        }
    }

    /// One line of history. What rings or is answered gave its permit up before it was reported.
    async fn hear(&mut self, journal: &Journal<'_>, event: SipEvent) {
        let (kind, detail, state) = match event {
            SipEvent::Progress { .. } if std::mem::replace(&mut self.progressed, true) => return,
            SipEvent::Progress { code, reason } => {
                (EventKind::Progress, said(code, reason, None), None)
            }
            SipEvent::Ringing { code, reason } => (
                EventKind::Ringing,
                said(code, reason, None),
                Some(CallState::Ringing),
            ),
            SipEvent::EarlyMedia { code, reason, sdp } => (
                EventKind::EarlyMedia,
                said(code, reason, Some(sdp)),
                Some(CallState::EarlyMedia),
            ),
            SipEvent::Answered { sdp } => {
                let ok = said(200, "OK".to_owned(), Some(sdp));
                (EventKind::Answered, ok, Some(CallState::Answered))
            }
            SipEvent::MediaOffer { offer, sdp } => {
                let detail = EventDetail {
                    offer,
                    sdp: Some(sdp),
                    ..EventDetail::default()
                };
                (EventKind::MediaOffer, detail, None)
            }
            SipEvent::Note { code, text } => {
                let detail = EventDetail {
                    sip_code: code,
                    note: Some(text),
                    ..EventDetail::default()
                };
                (EventKind::Note, detail, None)
            }
            SipEvent::Followed { id, followed } => return journal.followed(id, &followed).await,
            SipEvent::Sent { .. }
            | SipEvent::PermitSpent
            | SipEvent::PermitNeeded
            | SipEvent::OfferOver
            | SipEvent::Ended(_) => return,
        };
        let close_permit = state.map(|_| self.attempt_id);
        journal.event(kind, detail, state, close_permit).await;
    }

    async fn sent(&self, journal: &Journal<'_>, first: bool, late: bool) {
        if late {
            // claim-9: frozen between the comparison and the system call for longer than the margin. `sip` has cancelled the
            // call by itself, and this may be read much later. Said here too, so that nobody gives it another reason.
            self.shared
                .hang_up(self.leased.call.call_id, HangUpCause::LateSend);
            journal.late_send(self.attempt_id).await;
        }
        if first {
            journal
                .event(
                    EventKind::Inviting,
                    EventDetail::default(),
                    Some(CallState::Inviting),
                    None,
                )
                .await;
        }
    }

    async fn ended(&mut self, at: Micros, last: Ending) {
        let journal = Journal::new(self.shared, &self.leased.call, at);
        // In this order, so that an answer in between is either in the outcome or listened for.
        let silent = late::unanswered(&self.rang);
        let heard = late::heard(&self.rang, &last);
        let mut ending = match late::outweighs(&last, heard) {
            Some(ending) => {
                let detail = late::note(&last, heard);
                journal.event(EventKind::Note, detail, None, None).await;
                ending
            }
            None => last,
        };
        let abandoned = self.part(&mut ending, at).await;
        tracing::info!(call.id = %self.leased.call.call_id, attempt.id = %self.attempt_id, outcome = %ending.outcome,
            sip.code = ending.code, q850.cause = ending.q850_cause, abandoned, "the call is over");
        journal.end(self.attempt_id, &ending, abandoned).await;
        if self.unsettled && heard != Heard::Answered {
            self.listen_on(silent);
        }
    }
}

fn said(code: u16, reason: String, sdp: Option<Vec<u8>>) -> EventDetail {
    EventDetail {
        sip_code: Some(code),
        sip_reason: Some(reason),
        sdp,
        ..EventDetail::default()
    }
}
