//! The agent first: their phone is called before the gate is asked again, while the call is leased, so that no permit, channel or
//! token waits for a person to pick up. When they have answered, the call waits for its trunk as any other does, the agent on
//! hold, and not for long. An agent who is not to be had ends the call: nothing was sent to the person, and nothing counts
//! against anybody's caps. Who asked for the call may ask again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::domain::call::{AgentResult, Call, EventDetail, EventKind, Outcome, Retry};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Instruct, Instruction};
use crate::domain::time::{Micros, Mono};
use crate::meter;
use crate::sip::{Control, Desk, Dialog, EndedBy, Ending, HangUpCause, Happened, SipEvent};
use crate::store::{Leased, StoreError, Urgency};

use super::agents::Agent;
use super::journal::{self, Journal};
use super::lanes::drained;
use super::{Active, Phase, Shared};

/// A call whose agent has answered.
pub(super) struct Seated {
    pub(super) leased: Leased,
    pub(super) desk: AtDesk,
}

/// An agent who has answered, on hold. Dropping it hangs up.
pub(super) struct AtDesk {
    /// Call-ID of their leg.
    pub(super) sip_call_id: String,
    /// Their phone's session.
    pub(super) session: Vec<u8>,
    pub(super) events: mpsc::Receiver<Happened>,
    pub(super) control: mpsc::Sender<Control>,
    /// How it ended, once it has.
    pub(super) over: Option<Ending>,
    /// So long they wait for a trunk.
    until: Mono,
}

impl AtDesk {
    /// Whether they have hung up by now. What their phone asks for while it waits is not granted: it stays on hold.
    pub(super) fn is_gone(&mut self, call: &Call, now: Micros) -> bool {
        loop {
            match self.events.try_recv() {
                Ok(Happened { event, .. }) => self.hear(event, call, now),
                Err(mpsc::error::TryRecvError::Empty) => return self.over.is_some(),
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.over.get_or_insert_with(lost);
                    return true;
                }
            }
        }
    }

    fn hear(&mut self, event: SipEvent, call: &Call, now: Micros) {
        match event {
            SipEvent::Ended(ending) => self.over = Some(ending),
            SipEvent::MediaOffer {
                offer: Some(offer), ..
            } => {
                let declined = Instruction {
                    instruction_id: InstructionId::new(now),
                    call_id: call.call_id,
                    what: Instruct::Decline { offer },
                };
                // Where that is full it is declined by itself, a little later.
                let _ = (self.control).try_send(Control::Instruct(Box::new(declined)));
            }
            SipEvent::MediaOffer { offer: None, sdp } => self.session = sdp,
            _ => {}
        }
    }

    /// Whether they have waited long enough.
    pub(super) fn is_weary(&self, now: Mono) -> bool {
        self.until <= now
    }

    /// Tells their phone why, and ends it.
    pub(super) fn hang_up(self, cause: HangUpCause) {
        let _ = self.control.try_send(Control::HangUp { cause });
    }
}

/// How a leg ended whose endpoint is no more.
pub(super) fn lost() -> Ending {
    Ending::plain(Outcome::InterruptedUnknown, Retry::Soon, EndedBy::Us)
}

/// What came of calling an agent.
enum Came {
    Answered(Box<AtDesk>),
    /// They were not to be had.
    Not(AgentResult, Option<Ending>),
    /// The call's own time ran out while their phone rang.
    Expired,
    /// The call goes back to the queue: this worker is about to stop.
    Back,
    /// Somebody ended the call, which has its end on record.
    Over,
}

/// Calls the agent of a leased call, and hands it to the lanes if they answer.
pub(super) async fn call(shared: Arc<Shared>, leased: Leased, phase: watch::Receiver<Phase>) {
    let call_id = leased.call.call_id;
    match begin(&shared, &leased, phase.clone()).await {
        Came::Answered(desk) => {
            let desk = *desk;
            shared.agents.seat(Seated { leased, desk });
            shared.tracks.stir.notify_one();
            if *phase.borrow() >= Phase::Draining {
                // The lanes may have looked for the last time.
                send_back(&shared).await;
            }
            return;
        }
        Came::Not(result, ending) => not_there(&shared, &leased, result, ending).await,
        Came::Expired => {
            let at = shared.clock.read().wall;
            let journal = Journal::new(&shared, &leased.call, at);
            journal.expire(leased.lease_epoch).await;
        }
        Came::Back => journal::give_back(shared.gate.store(), &leased).await,
        Came::Over => {}
    }
    shared.active().remove(&call_id);
}

/// Calls whose agents have answered and that nobody begins any more go back to the queue.
pub(super) async fn send_back(shared: &Shared) {
    for Seated { leased, desk } in shared.agents.seated() {
        desk.hang_up(HangUpCause::Drain);
        journal::give_back(shared.gate.store(), &leased).await;
        shared.active().remove(&leased.call.call_id);
    }
}

async fn begin(shared: &Shared, leased: &Leased, phase: watch::Receiver<Phase>) -> Came {
    let call = &leased.call;
    let name = call.agent.as_deref().unwrap_or_default();
    match take_seat(shared, call, name).await {
        Ok(true) => {}
        Ok(false) => return Came::Back,
        Err(error) => {
            tracing::warn!(call.id = %call.call_id, %error, "it is not known whether the agent is free; the call goes back to the queue");
            return Came::Back;
        }
    }
    let Some(agent) = shared.agents.get(name) else {
        tracing::warn!(call.id = %call.call_id, agent = name, "the configuration has no such agent any more");
        return Came::Not(AgentResult::Unreachable, None);
    };
    ring(shared, leased, &agent, phase).await
}

async fn take_seat(shared: &Shared, call: &Call, agent: &str) -> Result<bool, StoreError> {
    let mut tx = shared.gate.store().write(Urgency::Ordinary).await?;
    let taken = tx.take_seat(&call.tenant, agent, call.call_id).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Where the agent's phone is, unless that is a place where numbers are dialed.
async fn reached(shared: &Shared, agent: &Agent, seed: u64) -> Option<Desk> {
    let desk = agent.found(&shared.endpoint, seed).await?;
    let is_phone = !shared.dials_numbers_at(desk.target());
    if !is_phone {
        tracing::error!(
            agent = agent.name,
            "the agent's phone is said to be where a trunk, or this node, is: it is not called, \
            for what is reached there dials numbers and asks no gate"
        );
    }
    is_phone.then_some(desk)
}

async fn ring(
    shared: &Shared,
    leased: &Leased,
    agent: &Agent,
    mut phase: watch::Receiver<Phase>,
) -> Came {
    let call = &leased.call;
    let Some(desk) = reached(shared, agent, call.call_id.lot()).await else {
        return Came::Not(AgentResult::Unreachable, None);
    };
    let sip_call_id = shared.endpoint.new_call_id();
    let Dialog {
        mut events,
        control,
        ..
    } = shared.endpoint.call_desk(desk, sip_call_id.clone());
    let at_desk = Active::Desk {
        control: control.clone(),
        ending: None,
    };
    shared.active().insert(call.call_id, at_desk);
    let left = time_left(call, shared.clock.read().wall);
    let (expired, stopping) = (tokio::time::sleep(left), drained(&mut phase));
    tokio::pin!(expired, stopping);
    let (mut is_expired, mut is_stopping, mut rang) = (false, false, false);
    loop {
        let happened = tokio::select! {
            biased;
            happened = events.recv() => happened,
            () = &mut stopping, if !is_stopping => {
                is_stopping = true;
                let _ = control.send(Control::HangUp { cause: HangUpCause::Drain }).await;
                continue;
            }
            () = &mut expired, if !is_expired => {
                is_expired = true;
                let _ = control.send(Control::HangUp { cause: HangUpCause::Client }).await;
                continue;
            }
        };
        let Some(Happened { at, event }) = happened else {
            return Came::Not(AgentResult::Unreachable, Some(lost()));
        };
        let journal = Journal::new(shared, call, at.wall);
        match event {
            SipEvent::Sent { first: true, .. } => say(&journal, EventKind::AgentCalled).await,
            SipEvent::Ringing { .. } | SipEvent::EarlyMedia { .. }
                if !std::mem::replace(&mut rang, true) =>
            {
                say(&journal, EventKind::AgentRinging).await;
            }
            SipEvent::Answered { sdp } if !is_expired && !is_stopping => {
                say(&journal, EventKind::AgentAnswered).await;
                meter::agent_called("answered");
                return Came::Answered(Box::new(AtDesk {
                    sip_call_id,
                    session: sdp,
                    events,
                    control,
                    over: None,
                    until: at.mono.plus(agent.wait),
                }));
            }
            SipEvent::Ended(_) if shared.wish(call.call_id) == Some(HangUpCause::Client) => {
                return Came::Over;
            }
            SipEvent::Ended(_) if is_stopping || shared.wish(call.call_id).is_some() => {
                return Came::Back;
            }
            SipEvent::Ended(_) if is_expired => return Came::Expired,
            SipEvent::Ended(ending) => return Came::Not(result_of(&ending), Some(ending)),
            _ => {}
        }
    }
}

/// How long the call may still be dialed.
fn time_left(call: &Call, now: Micros) -> Duration {
    let left = call.expire_time.since(now);
    Duration::from_micros(u64::try_from(left).unwrap_or(0))
}

/// What the end of a leg that was never answered, or not as we can use it, says of the agent.
fn result_of(ending: &Ending) -> AgentResult {
    match ending.outcome {
        Outcome::Busy => AgentResult::Busy,
        Outcome::Rejected | Outcome::Unwanted | Outcome::BlockedByAnalytics => {
            AgentResult::Declined
        }
        Outcome::NoAnswer => AgentResult::NoAnswer,
        Outcome::MediaIncompatible => AgentResult::MediaIncompatible,
        _ if ending.answered => AgentResult::HungUp,
        _ => AgentResult::Unreachable,
    }
}

async fn say(journal: &Journal<'_>, kind: EventKind) {
    let detail = EventDetail::default();
    journal.event(kind, detail, None, None).await;
}

/// Ends a leased call whose agent waited for a trunk and is not there any more, or has waited long enough.
pub(super) async fn left(shared: Arc<Shared>, leased: Leased, mut desk: AtDesk) {
    let call_id = leased.call.call_id;
    let over = desk.over.take();
    let was_told = shared.wish(call_id);
    match (&over, was_told) {
        // The call has its end on record.
        (_, Some(HangUpCause::Client)) => {}
        (_, Some(_)) => journal::give_back(shared.gate.store(), &leased).await,
        (Some(_), None) => not_there(&shared, &leased, AgentResult::HungUp, over).await,
        (None, None) => {
            desk.hang_up(HangUpCause::Drain);
            not_there(&shared, &leased, AgentResult::KeptWaiting, None).await;
        }
    }
    shared.active().remove(&call_id);
}

/// Ends a leased call for want of its agent. Nothing was sent to the person, so there is no attempt and no outcome of one.
async fn not_there(shared: &Shared, leased: &Leased, result: AgentResult, ending: Option<Ending>) {
    let call = &leased.call;
    let code = ending.as_ref().and_then(|ending| ending.code);
    tracing::info!(call.id = %call.call_id, agent = call.agent, %result, sip.code = code, "the agent is not there; the call ends undialed");
    if result != AgentResult::HungUp && result != AgentResult::KeptWaiting {
        meter::agent_called(result.as_str());
    }
    let detail = EventDetail {
        // One that hung up has answered with 200, which says nothing.
        sip_code: code.filter(|code| *code >= 300),
        sip_reason: ending.and_then(|ending| ending.reason),
        retry: Some(Retry::Soon),
        agent_result: Some(result),
        ..EventDetail::default()
    };
    let at = shared.clock.read().wall;
    let journal = Journal::new(shared, call, at);
    journal.end_unsent(leased.lease_epoch, detail).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_agent_is_told_by_how_their_leg_ended() {
        for (outcome, answered, result) in [
            (Outcome::Busy, false, AgentResult::Busy),
            (Outcome::Rejected, false, AgentResult::Declined),
            (Outcome::NoAnswer, false, AgentResult::NoAnswer),
            (
                Outcome::MediaIncompatible,
                false,
                AgentResult::MediaIncompatible,
            ),
            (
                Outcome::MediaIncompatible,
                true,
                AgentResult::MediaIncompatible,
            ),
            (Outcome::InvalidNumber, false, AgentResult::Unreachable),
            (Outcome::Unreachable, false, AgentResult::Unreachable),
            (Outcome::TrunkAuthFailed, false, AgentResult::Unreachable),
            (Outcome::Answered, true, AgentResult::HungUp),
        ] {
            let ending = Ending {
                answered,
                ..Ending::plain(outcome, Retry::None, EndedBy::Peer)
            };
            assert_eq!(result_of(&ending), result, "{outcome}");
        }
    }
}
