//! An agent's leg and the leg of the person called, connected: what one describes is offered to the other (RFC 3725, flow IV in
//! spirit). Pure: what happened on either leg goes in, what is to be asked of them comes out.
//!
//! The agent's phone is on hold when the person is called; the INVITE to them bears its session. What they answer, early media
//! too, is offered to the agent's phone; if that then answers something else than was offered in its name, the person is offered
//! that. When both agree and the person has answered, they are connected. From then on either may offer another session, to
//! which the other's answer is its answer.

use std::time::Duration;

use super::api::SipEvent;
use super::sdp::{Origin, is_session, off_hold, same_but_for_origin, same_direction, stays_within};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Followed, Instruct, InstructionResult};
use crate::domain::time::{Micros, Mono, Reading};

/// Sessions that are offered before two phones that go on answering something else are taken for incompatible.
const ROUNDS_MAX: u8 = 6;
/// A leg that is busy with a refresh, or with an offer of its own, is asked again then.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Who has answered is not kept in silence for longer. Two phones that collide settle it within some four seconds (RFC 3261 section
/// 14.1).
const CONNECT_WITHIN: Duration = Duration::from_secs(6);

/// One of the two legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The agent's phone.
    Agent,
    /// The person called.
    Callee,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Agent => Self::Callee,
            Self::Callee => Self::Agent,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Ask this of that leg; it tells what became of it under the id.
    Ask(Side, InstructionId, Instruct),
    /// Both agree and the person has answered: tell so, once a call.
    Connected,
    /// The two phones have no media in common: end both.
    Misfit,
}

/// The legs of one call.
#[derive(Debug)]
pub struct Bridge {
    agent: Leg,
    callee: Leg,
    answered: bool,
    /// Until when they have to hear each other, once the person has answered.
    patience: Option<Mono>,
    connected: bool,
    rounds: u8,
    /// When to try again what found a leg busy.
    again: Option<Mono>,
    /// The agent's phone has refused early media; an answer is put to it all the same.
    refused: bool,
    /// What becomes of these nobody waits for.
    unawaited: Vec<InstructionId>,
}

#[derive(Debug)]
struct Leg {
    origin: Origin,
    /// What the phone described last; nothing before it did.
    session: Option<Vec<u8>>,
    /// The other phone's session as this one knows it.
    knows: Option<Vec<u8>>,
    asked: Option<Asked>,
}

/// What a leg was asked and has not answered.
#[derive(Debug)]
struct Asked {
    id: InstructionId,
    about: About,
}

#[derive(Debug)]
enum About {
    /// The other's session as it is.
    Session(Vec<u8>),
    /// The other's offer of this number.
    Relayed(u32, Vec<u8>),
    /// An answer to its own offer; what its session was before.
    Answer(Option<Vec<u8>>),
}

impl Leg {
    fn new(origin: Origin, session: Option<Vec<u8>>) -> Self {
        Self {
            origin,
            session,
            knows: None,
            asked: None,
        }
    }

    /// The session as it was, unless that is the same in other words.
    fn describes(&mut self, session: Vec<u8>) {
        let same = |known: &Vec<u8>| same_but_for_origin(known, &session);
        if !self.session.as_ref().is_some_and(same) {
            self.session = Some(session);
        }
    }

    fn ask(&mut self, side: Side, at: Micros, about: About, what: Instruct) -> Wish {
        let id = InstructionId::new(at);
        self.asked = Some(Asked { id, about });
        Wish::Ask(side, id, what)
    }

    fn offer(&mut self, side: Side, at: Micros, session: Vec<u8>, relays: Option<u32>) -> Wish {
        let sdp = self.origin.describe(&session, false);
        let about = match relays {
            Some(offer) => About::Relayed(offer, session),
            None => About::Session(session),
        };
        self.ask(side, at, about, Instruct::Offer { sdp })
    }
}

impl Bridge {
    /// With an agent whose phone has answered and is on hold. Where our INVITE had the offer, it could only answer that it is.
    #[must_use]
    pub fn new(origin: Origin, session: &[u8]) -> Self {
        let nobody = Leg::new(origin.clone(), None);
        Self {
            agent: Leg::new(origin, Some(off_hold(session))),
            callee: nobody,
            answered: false,
            patience: None,
            connected: false,
            rounds: 0,
            again: None,
            refused: false,
            unawaited: Vec::new(),
        }
    }

    /// What the INVITE to a person offers; that leg takes the place of the one before.
    pub fn invite(&mut self, mut origin: Origin) -> Vec<u8> {
        let session = self.agent.session.clone().unwrap_or_default();
        let sdp = origin.describe(&session, true);
        self.callee = Leg {
            knows: Some(session),
            ..Leg::new(origin, None)
        };
        self.answered = false;
        self.patience = None;
        self.refused = false;
        self.rounds = 0;
        sdp
    }

    /// Whether the two have been connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// When [`Self::tick`] is due.
    #[must_use]
    pub fn wake(&self) -> Option<Mono> {
        let patience = self.patience.filter(|_| !self.connected);
        [self.again, patience].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Reading) -> Vec<Wish> {
        let is_over = |patience: Mono| patience <= now.mono && !self.connected;
        if self.patience.is_some_and(is_over) {
            self.patience = None;
            return vec![Wish::Misfit];
        }
        match self.again.take_if(|at| *at <= now.mono) {
            Some(_) => self.agree(now.wall),
            None => Vec::new(),
        }
    }

    /// Something happened on a leg. Nothing = it is no business of the bridge.
    pub fn hear(&mut self, side: Side, event: &SipEvent, now: Reading) -> Option<Vec<Wish>> {
        Some(match event {
            // It rings, and that is all that is known.
            SipEvent::EarlyMedia { sdp, .. } if side == Side::Callee && !is_session(sdp) => {
                Vec::new()
            }
            SipEvent::EarlyMedia { sdp, .. } if side == Side::Callee => {
                // The newest of several phones that ring.
                self.callee.describes(sdp.clone());
                self.agree(now.wall)
            }
            SipEvent::Answered { sdp } if side == Side::Callee => {
                self.callee.describes(sdp.clone());
                self.answered = true;
                self.patience = Some(now.mono.plus(CONNECT_WITHIN));
                if std::mem::take(&mut self.refused) {
                    self.agent.knows = None;
                }
                self.agree(now.wall)
            }
            SipEvent::MediaOffer {
                offer: Some(offer),
                sdp,
            } => self.relay(side, *offer, sdp, now.wall),
            SipEvent::MediaOffer { offer: None, sdp } => {
                self.leg(side).describes(sdp.clone());
                self.agree(now.wall)
            }
            SipEvent::Followed { id, .. } if self.unawaited.contains(id) => {
                self.unawaited.retain(|each| each != id);
                Vec::new()
            }
            SipEvent::Followed { id, followed } => {
                let is_ours = |asked: &mut Asked| asked.id == *id;
                let asked = self.leg(side).asked.take_if(is_ours)?;
                self.followed(side, asked.about, followed, now)
            }
            _ => return None,
        })
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Agent => &mut self.agent,
            Side::Callee => &mut self.callee,
        }
    }

    /// An offer of one phone is put to the other, if that is there and nothing else is asked of it.
    fn relay(&mut self, from: Side, offer: u32, sdp: &[u8], at: Micros) -> Vec<Wish> {
        let is_quiet = self.agent.asked.is_none() && self.callee.asked.is_none();
        // What is no session is not put to the other phone, which might answer it.
        if self.answered && is_quiet && self.again.is_none() && is_session(sdp) {
            let to = self.leg(from.other());
            return vec![to.offer(from.other(), at, sdp.to_vec(), Some(offer))];
        }
        // It may ask again; the session stays.
        vec![self.decline(from, offer, at)]
    }

    fn decline(&mut self, side: Side, offer: u32, at: Micros) -> Wish {
        let id = InstructionId::new(at);
        self.unawaited.push(id);
        Wish::Ask(side, id, Instruct::Decline { offer })
    }

    fn followed(
        &mut self,
        side: Side,
        about: About,
        followed: &Followed,
        now: Reading,
    ) -> Vec<Wish> {
        let (done, at) = (followed.result == InstructionResult::Done, now.wall);
        match (about, followed.result) {
            (About::Session(session), InstructionResult::Done) => {
                let leg = self.leg(side);
                leg.knows = Some(session);
                leg.describes(followed.sdp.clone());
            }
            (About::Session(session), InstructionResult::Refused) if !self.answered => {
                // Early media that the agent's phone will not play. The answer may be another.
                self.leg(side).knows = Some(session);
                self.refused = true;
            }
            (About::Session(_), InstructionResult::Busy) => {
                self.again = Some(now.mono.plus(BUSY_PAUSE));
                return Vec::new();
            }
            // That leg is over or about to be, and tells so.
            (About::Session(_), InstructionResult::NotUp | InstructionResult::Misfit) => {
                return Vec::new();
            }
            (About::Session(_), _) => return vec![Wish::Misfit],
            (About::Relayed(offer, session), _) if done => {
                return vec![self.answer(side.other(), offer, session, followed, at)];
            }
            (About::Relayed(offer, _), _) => {
                let declined = self.decline(side.other(), offer, at);
                return [vec![declined], self.agree(at)].concat();
            }
            (About::Answer(before), _) if !done => {
                // It came too late: that phone's session is the old one, and the other is to know.
                self.leg(side).session = before;
            }
            (About::Answer(_), _) => {}
        }
        self.agree(at)
    }

    /// The one phone's answer to what the other offers is ours.
    fn answer(
        &mut self,
        to: Side,
        offer: u32,
        session: Vec<u8>,
        followed: &Followed,
        at: Micros,
    ) -> Wish {
        let by = self.leg(to.other());
        by.knows = Some(session.clone());
        by.session = Some(followed.sdp.clone());
        let leg = self.leg(to);
        let before = leg.session.replace(session);
        leg.knows = Some(followed.sdp.clone());
        let sdp = leg.origin.describe(&followed.sdp, false);
        leg.ask(
            to,
            at,
            About::Answer(before),
            Instruct::Answer { offer, sdp },
        )
    }

    /// Offers each what it does not know of the other, one at a time, until both agree.
    fn agree(&mut self, at: Micros) -> Vec<Wish> {
        let (agent, callee) = (&self.agent, &self.callee);
        if agent.asked.is_some() || callee.asked.is_some() {
            return Vec::new();
        }
        let Some(theirs) = callee.session.clone() else {
            return Vec::new();
        };
        let ours = agent.session.clone().unwrap_or_default();
        let agent_knows = (agent.knows.as_ref()).is_some_and(|known| {
            let mutual = || stays_within(known, &theirs) && stays_within(&theirs, known);
            same_but_for_origin(known, &theirs) || mutual() && same_direction(known, &theirs)
        });
        let callee_knows = callee.knows.as_ref().is_some_and(|known| {
            // A phone may well take less than was offered in its name. What it was offered then was no hold of its own.
            stays_within(known, &ours) && (!self.connected || same_direction(known, &ours))
        });
        let wish = match (agent_knows, callee_knows) {
            (true, true) if !self.answered => {
                self.rounds = 0;
                return Vec::new();
            }
            // An INVITE that is not answered can offer nothing else.
            (true, false) if !self.answered => return Vec::new(),
            (true, true) => {
                self.rounds = 0;
                // From now on what it took is what is known of it.
                self.callee.knows = Some(ours);
                let first = !std::mem::replace(&mut self.connected, true);
                return first.then_some(Wish::Connected).into_iter().collect();
            }
            _ if self.rounds == ROUNDS_MAX => return vec![Wish::Misfit],
            (false, _) => self.agent.offer(Side::Agent, at, theirs, None),
            (true, false) => self.callee.offer(Side::Callee, at, ours, None),
        };
        self.rounds += 1;
        vec![wish]
    }
}

#[cfg(test)]
mod tests;
