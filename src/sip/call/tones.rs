//! What a client asks of a call that is up, and DTMF among it: one INFO a tone (`application/dtmf-relay`), each after the
//! answer to the one before.

use std::collections::VecDeque;
use std::time::Duration;

use super::dialog::RequestKind;
use super::reinvite::Purpose;
use super::{Call, Mono, Output, SipEvent, State};
use crate::domain::ids::InstructionId;
use crate::domain::instruction::{Followed, Instruct, Instruction, InstructionResult};
use crate::sip::auth::Auth;
use crate::sip::head::Header;
use crate::sip::message::InDialog;
use crate::sip::wire::Message;

/// Silence between two tones, without which two of the same would be one.
const GAP: Duration = Duration::from_millis(50);

/// Tones under way.
#[derive(Debug)]
pub(super) struct Tones {
    id: InstructionId,
    left: VecDeque<char>,
    millis: u16,
    /// The tone that was sent last, for a challenge.
    last: Option<char>,
    /// When the next may be sent; nothing while an answer is awaited.
    next: Option<Mono>,
    sounds_until: Mono,
    challenged: bool,
}

impl Tones {
    pub(super) fn id(&self) -> InstructionId {
        self.id
    }

    pub(super) fn wake(&self) -> Option<Mono> {
        self.next
    }
}

impl Call {
    /// Does what the client asks, and tells what became of it now or later.
    pub(super) fn instruct(&mut self, asked: Instruction, now: Mono, out: &mut Vec<Output>) {
        if self.state == State::Over {
            // Nobody is told anything after the end, with which all that was asked has its answer.
            return;
        }
        let id = asked.instruction_id;
        let refused = match asked.what {
            _ if self.state != State::Up => Some(InstructionResult::NotUp),
            Instruct::Offer { .. } if self.talk.reinvite.is_some() => Some(InstructionResult::Busy),
            Instruct::Offer { sdp } => {
                self.reinvite(Purpose::Offer(id), sdp, now, out);
                None
            }
            Instruct::Answer { offer, sdp } => Some(self.answer_offered(offer, sdp, now, out)),
            Instruct::Decline { offer } => Some(self.decline_offered(offer, now, out)),
            Instruct::Dtmf { .. } if self.talk.tones.is_some() => Some(InstructionResult::Busy),
            Instruct::Dtmf { tones, millis } => {
                self.talk.tones = Some(Box::new(Tones {
                    id,
                    left: tones.chars().collect(),
                    millis,
                    last: None,
                    next: Some(now),
                    sounds_until: now,
                    challenged: false,
                }));
                self.tick_tones(now, out);
                None
            }
        };
        if let Some(result) = refused {
            let followed = Followed::plain(result);
            out.push(Output::Event(SipEvent::Followed { id, followed }));
        }
    }

    pub(super) fn tick_tones(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(tones) = self.talk.tones.as_deref_mut() else {
            return;
        };
        if tones.next.take_if(|at| *at <= now).is_none() {
            return;
        }
        tones.last = tones.left.pop_front();
        tones.challenged = false;
        self.send_tone(now, out);
    }

    fn send_tone(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(tones) = self.talk.tones.as_deref_mut() else {
            return;
        };
        let Some(tone) = tones.last else {
            return self.end_tones(200, out);
        };
        let millis = tones.millis;
        let sound = Duration::from_millis(u64::from(millis)) + GAP;
        tones.sounds_until = now.plus(sound);
        let body = format!("Signal={tone}\r\nDuration={millis}\r\n");
        let extra = vec![Header::new("Content-Type", "application/dtmf-relay")];
        let body = body.as_bytes();
        self.send_within(RequestKind::Info, InDialog::Info, extra, body, now, out);
    }

    pub(super) fn on_info_answered(
        &mut self,
        message: &Message,
        code: u16,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let Some(tones) = self.talk.tones.as_deref_mut() else {
            return;
        };
        match code {
            200..=299 if tones.left.is_empty() => self.end_tones(code, out),
            200..=299 => {
                tones.next = Some(tones.sounds_until.max(now));
                self.tick_tones(now, out);
            }
            401 | 407 if !tones.challenged => {
                tones.challenged = true;
                self.auth = Auth::default();
                let trunk = &self.id.trunk;
                match self.auth.challenged(message, code == 407, trunk) {
                    Ok(()) => self.send_tone(now, out),
                    Err(_) => self.end_tones(code, out),
                }
            }
            481 => {
                self.end_tones(code, out);
                self.end_silent_talk(code, now, out);
            }
            // Who cannot take tones this way may well talk on.
            _ => self.end_tones(code, out),
        }
    }

    /// Tells how the tones went: 2xx, or the far end's refusal.
    pub(super) fn end_tones(&mut self, code: u16, out: &mut Vec<Output>) {
        if let Some(tones) = self.talk.tones.take() {
            let (id, followed) = (tones.id, Followed::with_code(code));
            out.push(Output::Event(SipEvent::Followed { id, followed }));
        }
    }
}
