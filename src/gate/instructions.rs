//! What a client asks of a call that is up: written down by the node it asks, done by the node that has the call, which writes
//! down what became of it.

use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::domain::ids::{CallId, InstructionId, TenantId};
use crate::domain::instruction::{Followed, Instruct, Instruction};
use crate::store::{Notice, Urgency};

use super::error::GateError;
use super::records::made;
use super::{Ask, Gate};

/// A far end may take 32 s to be given up (64 T1), and offers that cross are put off.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(45);

/// Between two looks for the answer; a notice makes it quick.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Gate {
    /// Writes down what is asked and tells the owner of the call; nothing if that is not up.
    pub async fn instruct(
        &self,
        ask: &Ask,
        call_id: CallId,
        what: Instruct,
    ) -> Result<Option<InstructionId>, GateError> {
        let act = || self.instruct_once(ask, call_id, what.clone());
        self.once(ask, Urgency::Ordinary, act).await
    }

    async fn instruct_once(
        &self,
        ask: &Ask,
        call_id: CallId,
        what: Instruct,
    ) -> Result<Option<InstructionId>, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        if let Some(stored) = repeated {
            return Ok(Some(made(&stored)?));
        }
        let call = tx
            .call(tenant, call_id)
            .await?
            .ok_or(GateError::NotFound { what: "call" })?;
        let is_tones = matches!(what, Instruct::Dtmf { .. });
        if call.agent.is_some() && !is_tones {
            return Err(GateError::invalid(
                "call_id",
                "names a call that an agent's phone talks in: hold and the like are that phone's to do",
            ));
        }
        let kind = what.kind();
        let asked = Instruction {
            instruction_id: InstructionId::new(ask.at),
            call_id,
            what,
        };
        if !tx.insert_instruction(tenant, &asked, ask.at).await? {
            return Ok(None);
        }
        let id = asked.instruction_id;
        let payload = json!({
            "call_id": call_id, "instruction_id": id, "kind": kind, "request_id": ask.request_id,
        });
        let entry = ask.entry("call.instructed", Some(call.number_key), payload);
        tx.insert_audit(tenant, &[entry]).await?;
        tx.insert_requests(tenant, &[ask.stored(id.to_string(), true)])
            .await?;
        tx.commit().await?;
        if let Err(error) = self.store().notify(&Notice::CallChanged(call_id)).await {
            tracing::debug!(call.id = %call_id, %error, "the worker was not told; it looks by itself");
        }
        Ok(Some(id))
    }

    /// Waits for what became of it; nothing if that takes too long.
    pub async fn followed(
        &self,
        tenant: &TenantId,
        call_id: CallId,
        id: InstructionId,
    ) -> Result<Option<Followed>, GateError> {
        let looking = self.look_for_answer(tenant, call_id, id);
        match tokio::time::timeout(FOLLOWED_WITHIN, looking).await {
            Ok(followed) => followed.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn look_for_answer(
        &self,
        tenant: &TenantId,
        call_id: CallId,
        id: InstructionId,
    ) -> Result<Followed, GateError> {
        // Before the first look, so that nothing falls between.
        let mut notices = self.store().notices();
        loop {
            let mut tx = self.store().read().await?;
            if let Some(followed) = tx.instruction_followed(tenant, id).await? {
                return Ok(followed);
            }
            drop(tx);
            let named = async {
                loop {
                    match notices.recv().await {
                        Ok(Notice::CallChanged(changed)) if changed == call_id => return,
                        Err(RecvError::Lagged(_)) => return,
                        Err(RecvError::Closed) => std::future::pending().await,
                        Ok(_) => {}
                    }
                }
            };
            let _ = tokio::time::timeout(LOOK_EVERY, named).await;
        }
    }
}
