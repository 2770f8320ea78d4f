//! An agent on the line while a person is called for them, and while the two talk: what `sip::Bridge` wants is asked of the legs,
//! and one leg's end is the other's.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::call::{AGENT_WITHIN, Call, EventDetail, EventKind, Outcome, Retry};
use crate::domain::instruction::Instruction;
use crate::domain::time::{Micros, Reading};
use crate::sip::{
    Bridge, Control, EndedBy, Ending, Endpoint, HangUpCause, Happened, Side, SipEvent, Wish,
};

use super::attempt::Under;
use super::desk::{AtDesk, lost};
use super::journal::Journal;

/// The agent's leg, and how it is connected.
pub(super) struct Pair {
    at: AtDesk,
    bridge: Bridge,
    answered: Option<Micros>,
    connected: Option<Micros>,
    /// Their phones have no media in common.
    misfit: bool,
    /// The history has it that the agent is gone.
    told_gone: bool,
    /// And that they hear each other.
    told_connected: bool,
}

/// What comes of waiting for the agent's leg.
pub(super) enum AgentNews {
    Happened(Happened),
    Tick,
}

impl Pair {
    pub(super) fn new(at: AtDesk, endpoint: &Endpoint) -> Self {
        let bridge = Bridge::new(endpoint.origin(&at.sip_call_id), &at.session);
        Self {
            at,
            bridge,
            answered: None,
            connected: None,
            misfit: false,
            told_gone: false,
            told_connected: false,
        }
    }

    /// What the next INVITE offers.
    pub(super) fn invite(&mut self, endpoint: &Endpoint, sip_call_id: &str) -> Vec<u8> {
        self.bridge.invite(endpoint.origin(sip_call_id))
    }

    /// Whether the agent hung up while nobody was being called.
    pub(super) fn is_gone(&mut self, call: &Call, now: Micros) -> bool {
        self.at.is_gone(call, now)
    }

    /// Ends the agent's leg too.
    pub(super) fn hang_up(self, cause: HangUpCause) {
        self.at.hang_up(cause);
    }

    /// Whether the person answered and nobody was there to talk in time.
    fn was_left_alone(&self, ending: &Ending, over: Micros) -> bool {
        let within = i64::try_from(AGENT_WITHIN.as_micros()).unwrap_or(i64::MAX);
        match (self.answered, self.connected) {
            (None, _) => false,
            (Some(answered), Some(connected)) => connected.since(answered) > within,
            // They may have hung up before anybody could have been expected.
            (Some(answered), None) => ending.by != EndedBy::Peer || over.since(answered) > within,
        }
    }
}

/// Waits for something to happen on the agent's leg; for ever where there is none.
pub(super) async fn news(pair: &mut Option<Pair>, clock: &Clock) -> AgentNews {
    let Some(pair) = pair.as_mut().filter(|pair| pair.at.over.is_none()) else {
        return std::future::pending().await;
    };
    let now = clock.read();
    let wait = pair.bridge.wake().map(|at| at.since(now.mono));
    let tick = async {
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        happened = pair.at.events.recv() => AgentNews::Happened(happened.unwrap_or_else(|| Happened {
            at: now,
            event: SipEvent::Ended(lost()),
        })),
        () = tick => AgentNews::Tick,
    }
}

/// Waits until the agent has hung up; for ever where there is none, or they have long.
pub(super) async fn gone(pair: &mut Option<Pair>, call: &Call, clock: &Clock) {
    const LOOK: Duration = Duration::from_millis(250);
    let Some(pair) = pair else {
        return std::future::pending().await;
    };
    while !pair.is_gone(call, clock.read().wall) {
        tokio::time::sleep(LOOK).await;
    }
}

impl Under<'_> {
    /// Something came of the agent's leg.
    pub(super) async fn agent_news(&mut self, news: AgentNews, control: &mpsc::Sender<Control>) {
        let now = self.shared.clock.read();
        let Some(pair) = &mut self.pair else { return };
        let wishes = match news {
            AgentNews::Tick => pair.bridge.tick(now),
            AgentNews::Happened(Happened { at, event }) => {
                if let SipEvent::Ended(ending) = event {
                    pair.at.over = Some(ending);
                    return self.agent_left(at, control).await;
                }
                let heard = pair.bridge.hear(Side::Agent, &event, at);
                heard.unwrap_or_default()
            }
        };
        self.carry_out(wishes, now, control).await;
    }

    /// The agent has hung up, or their phone is gone: so is the call.
    async fn agent_left(&mut self, at: Reading, control: &mpsc::Sender<Control>) {
        let talked = self
            .pair
            .as_ref()
            .is_some_and(|pair| pair.bridge.is_connected());
        let cause = match talked {
            true => HangUpCause::Client,
            false => HangUpCause::AgentGone,
        };
        // First the call; its history can wait.
        self.shared.hang_up(self.leased.call.call_id, cause);
        let _ = control.send(Control::HangUp { cause }).await;
        self.say_gone(at.wall).await;
    }

    /// The history says so once.
    async fn say_gone(&mut self, at: Micros) {
        let Some(pair) = &mut self.pair else { return };
        let Some(over) = pair.at.over.as_ref() else {
            return;
        };
        if std::mem::replace(&mut pair.told_gone, true) {
            return;
        }
        let detail = EventDetail {
            sip_code: over.code.filter(|code| *code >= 300),
            q850_cause: over.q850_cause,
            ..EventDetail::default()
        };
        let journal = Journal::new(self.shared, &self.leased.call, at);
        let kind = EventKind::AgentGone;
        journal.event(kind, detail, None, None).await;
    }

    /// Something happened on the leg of the person called. Whether that is all there is to do about it.
    pub(super) async fn connects(
        &mut self,
        event: &SipEvent,
        at: Reading,
        control: &mpsc::Sender<Control>,
    ) -> bool {
        let Some(pair) = &mut self.pair else {
            return false;
        };
        let Some(wishes) = pair.bridge.hear(Side::Callee, event, at) else {
            return false;
        };
        if matches!(event, SipEvent::Answered { .. }) {
            pair.answered = Some(at.wall);
        }
        // Before the answer is written down: somebody listens.
        self.carry_out(wishes, at, control).await;
        // Offers and what becomes of them are between the two phones.
        matches!(
            event,
            SipEvent::MediaOffer { .. } | SipEvent::Followed { .. }
        )
    }

    async fn carry_out(&mut self, wishes: Vec<Wish>, at: Reading, control: &mpsc::Sender<Control>) {
        let call_id = self.leased.call.call_id;
        for wish in wishes {
            let Some(pair) = &mut self.pair else { return };
            match wish {
                Wish::Ask(side, instruction_id, what) => {
                    let asked = Control::Instruct(Box::new(Instruction {
                        instruction_id,
                        call_id,
                        what,
                    }));
                    let to = match side {
                        Side::Agent => &pair.at.control,
                        Side::Callee => control,
                    };
                    // A leg that is over tells so by itself.
                    let _ = to.send(asked).await;
                }
                Wish::Connected => pair.connected = Some(at.wall),
                Wish::Misfit => {
                    pair.misfit = true;
                    let cause = HangUpCause::Misfit;
                    self.shared.hang_up(call_id, cause);
                    let _ = control.send(Control::HangUp { cause }).await;
                }
            }
        }
    }

    /// The history says that they hear each other, once what led to it stands there.
    pub(super) async fn say_connected(&mut self) {
        let Some(pair) = &mut self.pair else { return };
        let Some(at) = pair.connected.filter(|_| !pair.told_connected) else {
            return;
        };
        pair.told_connected = true;
        let journal = Journal::new(self.shared, &self.leased.call, at);
        let detail = EventDetail::default();
        journal
            .event(EventKind::Connected, detail, None, None)
            .await;
    }

    /// The call is over: the agent's leg is ended, and what the bridge knows goes into the ending. Whether the call was
    /// abandoned.
    pub(super) async fn part(&mut self, ending: &mut Ending, over: Micros) -> bool {
        self.say_gone(over).await;
        let Some(pair) = self.pair.take() else {
            return is_abandoned(ending);
        };
        if pair.misfit && pair.connected.is_none() && ending.outcome == Outcome::Answered {
            (ending.outcome, ending.retry) = (Outcome::MediaIncompatible, Retry::Fix);
        }
        let abandoned =
            is_abandoned(ending) || ending.answered && pair.was_left_alone(ending, over);
        let cause = self.shared.wish(self.leased.call.call_id);
        let cause = cause.filter(|cause| *cause == HangUpCause::Drain);
        pair.hang_up(cause.unwrap_or(HangUpCause::Client));
        abandoned
    }
}

/// Whether somebody answered to nobody, whoever was to talk.
fn is_abandoned(ending: &Ending) -> bool {
    let to_nobody = matches!(
        ending.outcome,
        Outcome::AnsweredAfterCancel | Outcome::MediaIncompatible
    );
    ending.answered && to_nobody
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_to_nobody_is_abandoned() {
        for (outcome, answered, abandoned) in [
            (Outcome::AnsweredAfterCancel, true, true),
            (Outcome::MediaIncompatible, true, true),
            (Outcome::MediaIncompatible, false, false),
            (Outcome::Answered, true, false),
            (Outcome::Canceled, false, false),
        ] {
            let ending = Ending {
                answered,
                ..Ending::plain(outcome, Retry::None, EndedBy::Us)
            };
            assert_eq!(is_abandoned(&ending), abandoned, "{outcome}");
        }
    }
}
