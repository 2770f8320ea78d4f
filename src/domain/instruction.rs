//! What a client asks of a call that is up, and what became of it.

use super::ids::{CallId, InstructionId};
use super::text::words;

/// The longest that may be dialed at once: more than any card or account number has.
pub const TONES_MAX: usize = 32;

words! {
    /// What is asked.
    InstructionKind, "instruction kind" {
        /// To offer the far end another session: hold, resume, another address.
        Offer = "offer",
        /// To answer an offer of the far end.
        Answer = "answer",
        /// To decline one.
        Decline = "decline",
        /// To send tones.
        Dtmf = "dtmf",
    }
}

words! {
    /// What became of it.
    InstructionResult, "instruction result" {
        /// It was done.
        Done = "done",
        /// The far end refused; its code says how.
        Refused = "refused",
        /// The call is not up, or not any more.
        NotUp = "not_up",
        /// The offer is not open: answered, declined, withdrawn or too old.
        OfferOver = "offer_over",
        /// The answer does not fit the offer.
        Misfit = "misfit",
        /// Another one of the kind is under way.
        Busy = "busy",
    }
}

/// One thing that a client asks of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Identifier.
    pub instruction_id: InstructionId,
    /// The call.
    pub call_id: CallId,
    /// What is asked.
    pub what: Instruct,
}

/// What a client may ask of a call that is up.
#[derive(Clone, PartialEq, Eq)]
pub enum Instruct {
    /// Offer this session to the far end.
    Offer {
        /// SDP.
        sdp: Vec<u8>,
    },
    /// Answer the far end's offer of this number.
    Answer {
        /// Number of the offer in the call.
        offer: u32,
        /// SDP.
        sdp: Vec<u8>,
    },
    /// Decline the far end's offer of this number.
    Decline {
        /// Number of the offer in the call.
        offer: u32,
    },
    /// Send these tones, one after the other.
    Dtmf {
        /// Digits, `*`, `#`, `A` to `D`.
        tones: String,
        /// How long each sounds, in milliseconds.
        millis: u16,
    },
}

impl Instruct {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> InstructionKind {
        match self {
            Self::Offer { .. } => InstructionKind::Offer,
            Self::Answer { .. } => InstructionKind::Answer,
            Self::Decline { .. } => InstructionKind::Decline,
            Self::Dtmf { .. } => InstructionKind::Dtmf,
        }
    }
}

/// Without addresses and digits, which may be a card's.
impl std::fmt::Debug for Instruct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instruct({})", self.kind())
    }
}

/// What became of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// In a word.
    pub result: InstructionResult,
    /// SIP status code of the far end, if one came.
    pub code: Option<u16>,
    /// The far end's answer to an offer.
    pub sdp: Vec<u8>,
}

impl Followed {
    /// Nothing but a word.
    #[must_use]
    pub fn plain(result: InstructionResult) -> Self {
        Self {
            result,
            code: None,
            sdp: Vec::new(),
        }
    }

    /// The far end's code: done, or refused.
    #[must_use]
    pub fn with_code(code: u16) -> Self {
        let result = match code {
            200..=299 => InstructionResult::Done,
            _ => InstructionResult::Refused,
        };
        Self {
            code: Some(code),
            ..Self::plain(result)
        }
    }
}
