//! One call's place at a media engine, and what its two ends have told each other by way of it.
//!
//! An engine believes every description that it is shown, also one that the far end then refuses. So the session keeps the two that
//! are in force, as each end wrote them, and shows the engine those again when an offer comes to nothing (RFC 3261 section 14.1:
//! the session stays as it was).

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::ng::{self, Description, End, Kind, Manner, Reply};
use super::{Anchor, Unanchored};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Followed, Instruct, Instruction, InstructionResult};

/// A call's session. The engine forgets it when it is dropped.
pub struct Session {
    anchor: Arc<Anchor>,
    place: usize,
    /// Of our own making: the engine writes it into its log.
    call_id: String,
    client: Manner,
    /// Held over each question, for their order is part of what they say.
    talk: Mutex<Talk>,
    tasks: TaskTracker,
}

/// What was said.
#[derive(Default)]
struct Talk {
    /// The client's description in force.
    client: Vec<u8>,
    /// The carrier's.
    carrier: Option<Vec<u8>>,
    /// The client's offer that the carrier has not answered.
    ours: Option<Ours>,
    /// The carrier's offer that the client has not answered.
    theirs: Option<Theirs>,
}

struct Ours {
    id: InstructionId,
    sdp: Vec<u8>,
    /// The engine has seen the carrier's own offer since.
    crossed: bool,
}

struct Theirs {
    number: u32,
    sdp: Vec<u8>,
    /// What the client has said to it, on its way.
    answer: Option<(InstructionId, Vec<u8>)>,
}

/// Why what a client asks does not reach the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmoved {
    /// Another offer is open.
    Busy,
    /// The offer that it answers is not open any more.
    OfferOver,
    /// The engine did not pass it.
    Unanchored(Unanchored),
}

impl Session {
    pub(super) fn new(
        anchor: Arc<Anchor>,
        place: usize,
        client: Manner,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            anchor,
            place,
            call_id: Uuid::new_v4().to_string(),
            client,
            talk: Mutex::default(),
            tasks,
        }
    }

    pub(super) async fn open(&self, offer: &[u8]) -> Result<Vec<u8>, Unanchored> {
        let mut talk = self.talk.lock().await;
        let first = true;
        let offered = self.ask(Kind::Offer, End::Client, offer, first).await?;
        offer.clone_into(&mut talk.client);
        Ok(offered)
    }

    /// Whether it is at an engine of this anchor.
    #[must_use]
    pub fn is_of(&self, anchor: &Arc<Anchor>) -> bool {
        Arc::ptr_eq(&self.anchor, anchor)
    }

    /// The carrier's answer to the offer of the call, as the client is to see it. There may be several: one with media before
    /// the call is answered, those of other forks, and one that a carrier changes its mind by.
    pub async fn carrier_answers(&self, answer: &[u8]) -> Result<Vec<u8>, Unanchored> {
        let mut talk = self.talk.lock().await;
        let shown = self.pass(Kind::Answer, End::Carrier, answer).await?;
        talk.carrier = Some(answer.to_vec());
        Ok(shown)
    }

    /// The carrier's offer of another session, as the client is to see it.
    pub async fn carrier_offers(&self, number: u32, offer: &[u8]) -> Result<Vec<u8>, Unanchored> {
        let mut talk = self.talk.lock().await;
        if let Some(ours) = &mut talk.ours {
            ours.crossed = true;
        }
        let shown = self.pass(Kind::Offer, End::Carrier, offer).await;
        if shown.is_ok() {
            talk.theirs = Some(Theirs {
                number,
                sdp: offer.to_vec(),
                answer: None,
            });
        }
        shown
    }

    /// The carrier's offer came to nothing.
    pub async fn offer_over(&self) {
        let mut talk = self.talk.lock().await;
        if talk.theirs.take().is_some() {
            self.restore(&talk).await;
        }
    }

    /// What the client asks, with its description as the carrier is to see it.
    pub async fn client_asks(&self, asked: Instruction) -> Result<Instruction, Unmoved> {
        let mut talk = self.talk.lock().await;
        let id = asked.instruction_id;
        let passed = |shown: Result<Vec<u8>, Unanchored>| shown.map_err(Unmoved::Unanchored);
        let what = match asked.what {
            Instruct::Offer { .. } if talk.ours.is_some() || talk.theirs.is_some() => {
                return Err(Unmoved::Busy);
            }
            Instruct::Offer { sdp } => {
                let shown = passed(self.pass(Kind::Offer, End::Client, &sdp).await)?;
                let crossed = false;
                talk.ours = Some(Ours { id, sdp, crossed });
                Instruct::Offer { sdp: shown }
            }
            Instruct::Answer { offer, sdp } => {
                let open = talk.theirs.as_mut().filter(|open| open.number == offer);
                let theirs = open.ok_or(Unmoved::OfferOver)?;
                let shown = passed(self.pass(Kind::Answer, End::Client, &sdp).await)?;
                theirs.answer = Some((id, sdp));
                Instruct::Answer { offer, sdp: shown }
            }
            other @ (Instruct::Decline { .. } | Instruct::Dtmf { .. }) => other,
        };
        Ok(Instruction { what, ..asked })
    }

    /// What became of what the client asked, with the carrier's description as the client is to see it.
    pub async fn followed(&self, id: InstructionId, followed: Followed) -> Followed {
        let mut talk = self.talk.lock().await;
        let done = followed.result == InstructionResult::Done;
        if let Some(ours) = talk.ours.take_if(|ours| ours.id == id) {
            return match done {
                true => self.offer_taken(&mut talk, ours, followed).await,
                false => {
                    self.restore(&talk).await;
                    followed
                }
            };
        }
        let answers = |theirs: &mut Theirs| theirs.answer.as_ref().is_some_and(|(of, _)| *of == id);
        let over = matches!(
            followed.result,
            InstructionResult::Done | InstructionResult::OfferOver
        );
        // A misfit leaves the offer open: the client may think better of it.
        if over && let Some(theirs) = talk.theirs.take_if(answers) {
            match (done, theirs.answer) {
                (true, Some((_, answer))) => {
                    talk.client = answer;
                    talk.carrier = Some(theirs.sdp);
                }
                _ => self.restore(&talk).await,
            }
        }
        followed
    }

    async fn offer_taken(&self, talk: &mut Talk, ours: Ours, followed: Followed) -> Followed {
        if ours.crossed {
            // The engine took what came in between for the client's last word.
            let _ = self.pass(Kind::Offer, End::Client, &ours.sdp).await;
        }
        let shown = self.pass(Kind::Answer, End::Carrier, &followed.sdp).await;
        talk.client = ours.sdp;
        match shown {
            Ok(sdp) => {
                talk.carrier = Some(followed.sdp);
                Followed { sdp, ..followed }
            }
            // The carrier has moved, and the client cannot be told where to: it hears that its own offer was not taken.
            Err(_) => Followed::plain(InstructionResult::Refused),
        }
    }

    /// Shows the engine what is in force once more; one that is silent has forgotten more than that.
    async fn restore(&self, talk: &Talk) {
        let Some(carrier) = &talk.carrier else { return };
        if self
            .pass(Kind::Offer, End::Client, &talk.client)
            .await
            .is_ok()
        {
            let _ = self.pass(Kind::Answer, End::Carrier, carrier).await;
        }
    }

    async fn pass(&self, kind: Kind, from: End, sdp: &[u8]) -> Result<Vec<u8>, Unanchored> {
        self.ask(kind, from, sdp, false).await
    }

    async fn ask(
        &self,
        kind: Kind,
        from: End,
        sdp: &[u8],
        first: bool,
    ) -> Result<Vec<u8>, Unanchored> {
        let description = Description {
            kind,
            from,
            sdp,
            first,
            client: self.client,
            interfaces: self.anchor.config.interfaces(),
        };
        let command = match kind {
            Kind::Offer => "offer",
            Kind::Answer => "answer",
        };
        let body = ng::rewrite(&self.call_id, &description);
        match self.anchor.ask(self.place, command, &body).await? {
            Reply::Done(Some(sdp)) if !sdp.is_empty() => Ok(sdp),
            _ => Err(Unanchored::Refused("no description came back".to_owned())),
        }
    }
}

/// Without what was said, which names addresses.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} at {})", self.call_id, self.anchor.name)
    }
}

impl Drop for Session {
    /// Whatever becomes of the call, and whoever gave it up. Outside of a runtime nobody is left to ask, and the engine forgets by
    /// itself what carries no audio.
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (anchor, place) = (Arc::clone(&self.anchor), self.place);
        let body = ng::delete(&self.call_id);
        let forget = async move {
            let _ = anchor.ask(place, "delete", &body).await;
        };
        self.tasks.spawn_on(forget, &runtime);
    }
}

#[cfg(test)]
mod tests;
