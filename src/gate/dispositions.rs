//! What agents say of calls. Effects come from the flags of a code, never from its name; a correction runs them anew and
//! may add an opt-out, never remove one.

use serde_json::json;

use crate::domain::call::Call;
use crate::domain::disposition::{Disposition, DispositionCode, OptOutScope};
use crate::domain::ids::{CallId, DispositionId, SuppressionId, TenantId};
use crate::domain::suppression::{
    Suppression, SuppressionReason, SuppressionSource, SuppressionSubject,
};
use crate::domain::time::Micros;
use crate::store::{AuditEntry, PartyDraft, StoreError, StoredRequest, Tx, Urgency};

use super::error::GateError;
use super::records::made;
use super::{Ask, Gate, suppress};

/// What an agent says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDisposition {
    /// The call.
    pub call_id: CallId,
    /// The code.
    pub code: DispositionCode,
    /// Free text.
    pub note: Option<String>,
    /// The disposition that this one corrects.
    pub amends: Option<DispositionId>,
}

impl Gate {
    /// Records what the agent says of a call and does what its flags say. An opt-out among them passes the barrier
    /// before this returns.
    pub async fn record_disposition(
        &self,
        ask: &Ask,
        new: NewDisposition,
    ) -> Result<Disposition, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::OptOut).await?;
        let call = tx
            .call(tenant, new.call_id)
            .await?
            .ok_or(GateError::NotFound { what: "call" })?;
        let before = tx.dispositions_of(tenant, new.call_id).await?;
        if let Some(stored) = repeated {
            return self.said_before(tx, ask, &stored, before).await;
        }
        may_say(&call, &before, &new)?;
        let effects = new.code.effects();
        let suppression = match effects.opt_out {
            None => None,
            Some((scope, reason)) => {
                Some(suppress::record(&mut tx, ask, opt_out(ask, &call, scope, reason)).await?)
            }
        };
        if let Some(result) = effects.counts_as
            && !tx.set_attempt_result(tenant, call.call_id, result).await?
            && suppression.is_none()
        {
            // An opt-out is not given up for a count that it outweighs; anything else is told again.
            return Err(StoreError::LockTimeout.into());
        }
        if effects.number_bad {
            unlink(&mut tx, tenant, &call, ask.at).await?;
        }
        let said = Disposition {
            disposition_id: DispositionId::new(ask.at),
            call_id: call.call_id,
            code: new.code,
            note: new.note,
            amends: new.amends,
            suppression_id: suppression.as_ref().map(|made| made.suppression_id),
            actor: ask.principal.actor(),
            at: ask.at,
        };
        tx.insert_disposition(tenant, &said).await?;
        tx.insert_audit(tenant, &[entry(ask, &call, &said)]).await?;
        let passed = suppression.is_none();
        let request = ask.stored(said.disposition_id.to_string(), passed);
        tx.insert_requests(tenant, &[request]).await?;
        match suppression {
            Some(suppression) => self.raise_and_wait(tx, ask, &suppression).await?,
            None => tx.commit().await?,
        }
        Ok(said)
    }

    /// The same words again, after the wait for the opt-out among them if that has not passed.
    async fn said_before(
        &self,
        mut tx: Tx,
        ask: &Ask,
        stored: &StoredRequest,
        before: Vec<Disposition>,
    ) -> Result<Disposition, GateError> {
        let id: DispositionId = made(stored)?;
        let said = before.into_iter().find(|each| each.disposition_id == id);
        let said = said.ok_or(StoreError::Damaged { what: "request" })?;
        if let (false, Some(made)) = (stored.passed, said.suppression_id) {
            let suppression = tx.suppression(&ask.principal.tenant, made).await?;
            let suppression = suppression.ok_or(StoreError::Damaged {
                what: "disposition",
            })?;
            self.raise_and_wait(tx, ask, &suppression).await?;
        }
        Ok(said)
    }
}

fn opt_out(ask: &Ask, call: &Call, scope: OptOutScope, reason: SuppressionReason) -> Suppression {
    Suppression {
        suppression_id: SuppressionId::new(ask.at),
        subject: SuppressionSubject::Number(call.number_key),
        seller: (scope == OptOutScope::ThisSeller).then(|| call.seller.clone()),
        channels: Vec::new(),
        reason,
        source: SuppressionSource::Agent,
        received_at: ask.at,
        recorded_at: ask.at,
        expires_at: None,
        evidence_ref: Some(format!("call {}", call.call_id)),
        note: None,
        actor: ask.principal.actor(),
        lift_request: None,
        lift: None,
    }
}

fn entry(ask: &Ask, call: &Call, said: &Disposition) -> AuditEntry {
    let kind = match said.amends {
        Some(_) => "disposition.amended",
        None => "disposition.recorded",
    };
    let payload = json!({
        "disposition_id": said.disposition_id,
        "call_id": said.call_id,
        "code": said.code,
        "amends": said.amends,
        "suppression_id": said.suppression_id,
        "request_id": ask.request_id,
    });
    ask.entry(kind, Some(call.number_key), payload)
}

/// A first word needs a call that was dialed; a correction names the latest word.
fn may_say(call: &Call, before: &[Disposition], new: &NewDisposition) -> Result<(), GateError> {
    if call.attempt_id.is_none() {
        return Err(GateError::invalid(
            "call_id",
            "names a call that was not dialed",
        ));
    }
    match (before.last(), new.amends) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(GateError::invalid(
            "call_id",
            "has a disposition already; amend that one",
        )),
        (Some(last), Some(named)) if last.disposition_id == named => Ok(()),
        (_, Some(_)) => Err(GateError::invalid(
            "disposition_id",
            "is not the latest disposition of this call",
        )),
    }
}

/// The number is not this person's: it leaves their record, and whoever holds it is a stranger again.
async fn unlink(tx: &mut Tx, tenant: &TenantId, call: &Call, at: Micros) -> Result<(), StoreError> {
    let Some(party) = tx.party(tenant, call.party_id).await? else {
        return Ok(());
    };
    let numbers = party
        .numbers
        .into_iter()
        .filter(|each| Some(each.number) != call.to)
        .collect();
    let draft = PartyDraft {
        party_id: party.party_id,
        profile: party.profile,
        numbers,
    };
    tx.upsert_party(tenant, &draft, at).await.map(drop)
}
