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
use crate::meter;
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

impl NewDisposition {
    /// An opt-out among its effects goes before other work.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self.code.effects().opt_out {
            Some(_) => Urgency::OptOut,
            None => Urgency::Ordinary,
        }
    }
}

impl Gate {
    /// Records what the agent says of a call and does what its flags say. An opt-out among them passes the barrier
    /// before this returns.
    pub async fn record_disposition(
        &self,
        ask: &Ask,
        new: NewDisposition,
    ) -> Result<Disposition, GateError> {
        let begun = self.read().mono;
        let act = || self.record_disposition_once(ask, new.clone());
        let said = self.once(ask, new.urgency(), act).await?;
        if said.suppression_id.is_some() {
            meter::opt_out_acknowledged(self.read().mono.since(begun));
        }
        Ok(said)
    }

    async fn record_disposition_once(
        &self,
        ask: &Ask,
        new: NewDisposition,
    ) -> Result<Disposition, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, new.urgency()).await?;
        let call = tx
            .call(tenant, new.call_id)
            .await?
            .ok_or(GateError::NotFound { what: "call" })?;
        if let Some(stored) = repeated {
            let before = tx.dispositions_of(tenant, new.call_id).await?;
            return self.said_before(tx, ask, &stored, before).await;
        }
        let effects = new.code.effects();
        // Two first words at once must see each other. An opt-out goes on beside a call that somebody else holds.
        if !tx.hold_for_word(tenant, new.call_id).await? && effects.opt_out.is_none() {
            return Err(StoreError::LockTimeout.into());
        }
        let before = tx.dispositions_of(tenant, new.call_id).await?;
        let amends = what_it_amends(&call, &before, &new)?;
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
        // A correction is newer than what it corrects, whatever the clocks of two nodes say.
        let after_last = before.last().map_or(ask.at, |last| Micros(last.at.0 + 1));
        let at = ask.at.max(after_last);
        let said = Disposition {
            disposition_id: DispositionId::new(at),
            call_id: call.call_id,
            code: new.code,
            note: new.note,
            amends,
            suppression_id: suppression.as_ref().map(|made| made.suppression_id),
            actor: ask.principal.actor(),
            at,
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
        purposes: Vec::new(),
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

/// The disposition that this one corrects. A first word needs a call that was dialed; a correction names the latest word.
/// An opt-out is not refused for having come second: it corrects whatever is the latest.
fn what_it_amends(
    call: &Call,
    before: &[Disposition],
    new: &NewDisposition,
) -> Result<Option<DispositionId>, GateError> {
    if call.attempt_id.is_none() {
        return Err(GateError::invalid(
            "call_id",
            "names a call that was not dialed",
        ));
    }
    if let Some(named) = new.amends
        && !before.iter().any(|each| each.disposition_id == named)
    {
        return Err(GateError::NotFound {
            what: "disposition",
        });
    }
    let latest = before.last().map(|last| last.disposition_id);
    if latest == new.amends || new.code.effects().opt_out.is_some() {
        return Ok(latest);
    }
    Err(match new.amends {
        None => GateError::DispositionExists,
        Some(_) => GateError::DispositionNotLatest,
    })
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
