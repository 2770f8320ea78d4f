//! What a client asks of a call that is up, and what became of it in words of the contract.

use tonic::{Code, Status};

use crate::domain::ids::CallId;
use crate::domain::instruction::{Followed, Instruct, InstructionResult};
use crate::gate::Ask;
use crate::store::Urgency;

use super::status::Refusal;
use super::{Api, status};

impl Api {
    /// Asks it, and waits for what became of it: done, refused by the far end, or not fitting; anything else is an error.
    pub(super) async fn instruct(
        &self,
        ask: Ask,
        call_id: CallId,
        what: Instruct,
    ) -> Result<Followed, Status> {
        let (gate, tenant) = (self.gate.clone(), ask.principal.tenant.clone());
        let asked = async move { gate.instruct(&ask, call_id, what).await };
        let id = self.carry_through(Urgency::Ordinary, asked).await?;
        let Some(id) = id else {
            return Err(not_up());
        };
        let followed = self.gate.followed(&tenant, call_id, id).await;
        let followed = followed.map_err(|error| status::from_gate(&error))?;
        let Some(followed) = followed else {
            let told = "the far end has not answered yet; ask again with the same request id";
            return Err(Refusal::new(Code::DeadlineExceeded, "NOT_FOLLOWED_YET", told).status());
        };
        match followed.result {
            InstructionResult::Done | InstructionResult::Refused | InstructionResult::Misfit => {
                Ok(followed)
            }
            InstructionResult::NotUp => Err(not_up()),
            InstructionResult::OfferOver => Err(Refusal::precondition(
                "OFFER_NOT_OPEN",
                "offer_id",
                "is not open: it was answered, declined or withdrawn, or its three seconds have passed",
            )
            .status()),
            InstructionResult::Busy => Err(Refusal::precondition(
                "CALL_BUSY",
                "call_id",
                "another request of this kind is under way; ask again when it has its answer",
            )
            .status()),
        }
    }
}

fn not_up() -> Status {
    let problem = "is not up: it is not answered yet, or over";
    Refusal::precondition("CALL_NOT_UP", "call_id", problem).status()
}
