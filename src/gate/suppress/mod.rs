//! Opt-outs: recorded at once, acknowledged only when no claim made before them can still send an INVITE.
//!
//! The protocol is `docs/ARCHITECTURE.md`, "The barrier"; its steps bear the labels of `docs/models/README.md`. Waiting alone makes it
//! safe: a permit lives 1.5 s from a reading before its transaction, so 2 s after our COMMIT returned no permit that did
//! not see the suppression is alive. The lock only makes the early answer right. Those that come at once share their transactions,
//! and wait each for itself. What is waited for is in `barrier`.

mod barrier;
mod round;
mod strangers;

use serde_json::json;

use crate::domain::account::Account;
use crate::domain::call::{CallKind, Purpose};
use crate::domain::ids::{AuditEntryId, PartyId, SuppressionId, TenantId};
use crate::domain::phone::Phone;
use crate::domain::suppression::{
    Suppression, SuppressionReason, SuppressionSource, SuppressionSubject,
};
use crate::domain::time::Micros;
use crate::meter;
use crate::store::{AuditEntry, StoreError, StoredRequest, Tx, Urgency};

use super::error::GateError;
use super::{Ask, Gate};
pub use barrier::BARRIER_WAIT;
use barrier::Pending;
use round::Round;
pub(super) use strangers::{Strangers, Wishes};

/// An opt-out as somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSuppression {
    /// The number; or
    pub number: Option<Phone>,
    /// the person; or
    pub party_id: Option<PartyId>,
    /// the account.
    pub account: Option<Account>,
    /// The seller it binds; absent = every seller.
    pub seller: Option<String>,
    /// The kinds of call it is about; empty = all. A person's wish covers all of them, whatever stands here.
    pub channels: Vec<CallKind>,
    /// The purposes it is about; empty = all. What they mean, [`Suppression::covers_purpose`] says.
    pub purposes: Vec<Purpose>,
    /// Why it exists.
    pub reason: SuppressionReason,
    /// How it reached us.
    pub source: SuppressionSource,
    /// When the person expressed it; absent = now.
    pub received_at: Option<Micros>,
    /// When it ends, where it may end at all.
    pub expires_at: Option<Micros>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// Free text.
    pub note: Option<String>,
}

/// An opt-out that is about to be recorded.
#[derive(Clone)]
pub(super) struct Wish {
    ask: Ask,
    suppression: Suppression,
}

/// An opt-out that is on record.
pub(super) struct Recorded {
    suppression: Suppression,
    /// What is to be waited for; nothing if that was done when the same was asked before.
    pending: Option<Pending>,
}

impl Gate {
    /// Records an opt-out and returns when no INVITE can follow it. Never behind other work than opt-outs.
    pub async fn suppress(&self, ask: &Ask, new: NewSuppression) -> Result<Suppression, GateError> {
        let begun = self.read().mono;
        let suppression = self.draft(ask, new)?;
        let recorded = self.once(ask, Urgency::OptOut, || {
            self.suppress_once(ask, suppression.clone())
        });
        let recorded = recorded.await?;
        meter::opt_out_acknowledged(self.read().mono.since(begun));
        Ok(recorded)
    }

    /// What would be recorded, or is on record already, and how many people on record it would cover; nothing is recorded.
    pub async fn try_suppress(
        &self,
        ask: &Ask,
        new: NewSuppression,
    ) -> Result<(Suppression, i64), GateError> {
        let suppression = self.draft(ask, new)?;
        let tenant = &ask.principal.tenant;
        let mut tx = self.store().read().await?;
        self.known(&mut tx, tenant, &suppression).await?;
        let people = tx.people_covered(tenant, &suppression).await?;
        Ok((suppression, people))
    }

    async fn suppress_once(
        &self,
        ask: &Ask,
        suppression: Suppression,
    ) -> Result<Suppression, GateError> {
        let wish = Wish {
            ask: ask.clone(),
            suppression,
        };
        let gate = self.clone();
        let record = move |wishes| gate.clone().record_each(wishes);
        let recorded = match self.core.recording.ask(wish.clone(), record).await {
            Some(recorded) => recorded?,
            // Who did it for several did not come to the end of it.
            None => self.record_alone(&wish).await?,
        };
        if let Some(pending) = recorded.pending {
            self.wait(&pending.raised, pending.committed).await;
            self.pass(ask, &recorded.suppression).await?;
        }
        Ok(recorded.suppression)
    }

    /// Steps opt-out-1 to opt-out-4 for all who came meanwhile, in one transaction; each alone where it cannot be had for all, so
    /// that everybody hears what becomes of their own.
    async fn record_each(self, wishes: Vec<Wish>) -> Vec<Result<Recorded, GateError>> {
        if wishes.len() > 1
            && let Ok(recorded) = self.record_all(&wishes).await
        {
            return recorded;
        }
        let mut recorded = Vec::with_capacity(wishes.len());
        for wish in &wishes {
            recorded.push(self.record_alone(wish).await);
        }
        recorded
    }

    async fn record_alone(&self, wish: &Wish) -> Result<Recorded, GateError> {
        let mut recorded = self.record_all(std::slice::from_ref(wish)).await?;
        // INVARIANT: there is an answer to each wish.
        recorded
            .pop()
            .unwrap_or(Err(StoreError::Damaged { what: "opt-out" }.into()))
    }

    /// What fails here fails for all of them; what one of them is refused for, that one is told.
    async fn record_all(
        &self,
        wishes: &[Wish],
    ) -> Result<Vec<Result<Recorded, GateError>>, GateError> {
        let mut tx = self.store().write(Urgency::OptOut).await?;
        let mut round = Round::begin(&mut tx, wishes).await?;
        let mut answers = Vec::with_capacity(wishes.len());
        for wish in wishes {
            answers.push(match self.record_in(&mut tx, &mut round, wish).await {
                Err(GateError::Store(error)) => return Err(GateError::Store(error)),
                answer => answer,
            });
        }
        round.write(&mut tx).await?;
        let waits = answers.iter().zip(wishes);
        let waits = waits.filter_map(|(answer, wish)| match answer {
            Ok((recorded, false)) => Some((&wish.ask.principal.tenant, recorded)),
            _ => None,
        });
        let waits: Vec<(&TenantId, &Suppression)> = waits.collect();
        let pending = self.commit_raised(tx, &waits, round.strangers).await?;
        self.grew(waits.len());
        let mut pending = pending.into_iter();
        let recorded = answers.into_iter().map(|answer| {
            answer.map(|(suppression, passed)| Recorded {
                suppression,
                pending: if passed { None } else { pending.next() },
            })
        });
        Ok(recorded.collect())
    }

    /// Nobody's answer waits for it.
    fn grew(&self, opt_outs: usize) {
        let store = self.store().clone();
        tokio::spawn(async move {
            if let Err(error) = store.grew(opt_outs).await {
                tracing::debug!(%error, "the planner does not count; the server does, in its time");
            }
        });
    }

    /// opt-out-1 for one of them: what is on record, and whether it has been acknowledged already.
    async fn record_in(
        &self,
        tx: &mut Tx,
        round: &mut Round,
        wish: &Wish,
    ) -> Result<(Suppression, bool), GateError> {
        let tenant = &wish.ask.principal.tenant;
        // opt-out-6: already there, or asked again before it had passed: the wait is the same.
        if let Some(stored) = round.asked_before(&wish.ask)? {
            return Ok((self.recorded(tx, tenant, stored).await?, stored.passed));
        }
        self.known(tx, tenant, &wish.suppression).await?;
        Ok((round.record(tx, wish).await?, false))
    }

    fn draft(&self, ask: &Ask, new: NewSuppression) -> Result<Suppression, GateError> {
        let tenant = &ask.principal.tenant;
        let subject = match (new.number, new.party_id, new.account) {
            (Some(number), None, None) => {
                SuppressionSubject::Number(self.store().hasher().key(tenant, number))
            }
            (None, Some(party_id), None) => SuppressionSubject::Party(party_id),
            (None, None, Some(account)) => {
                SuppressionSubject::Account(self.store().account_hasher().key(tenant, &account))
            }
            (_, _, _) => {
                return Err(GateError::invalid(
                    "number",
                    "name a number, a party_id or an account, and only one of them",
                ));
            }
        };
        if let Some(seller) = &new.seller {
            self.campaigns().knows_seller(seller)?;
        }
        let may_expire = matches!(
            new.reason,
            SuppressionReason::Internal | SuppressionReason::Litigator
        );
        if new.expires_at.is_some() && !may_expire {
            return Err(GateError::invalid(
                "expire_time",
                "a person's own wish never expires; leave it out",
            ));
        }
        if new.received_at.is_some_and(|at| at > ask.at) {
            return Err(GateError::invalid(
                "received_time",
                "lies in the future; say when the wish was expressed",
            ));
        }
        let draft = Suppression {
            suppression_id: SuppressionId::new(ask.at),
            subject,
            seller: new.seller,
            channels: new.channels,
            purposes: new.purposes,
            reason: new.reason,
            source: new.source,
            received_at: new.received_at.unwrap_or(ask.at),
            recorded_at: ask.at,
            expires_at: new.expires_at,
            evidence_ref: new.evidence_ref,
            note: new.note,
            actor: ask.principal.actor(),
            lift_request: None,
            lift: None,
        };
        // On record is what it does, for nobody is to take a wish for narrower than it is.
        Ok(draft.in_full())
    }

    /// A wish about a person whom nobody knows would be acknowledged and stop nothing: a mistyped id must be told.
    async fn known(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        suppression: &Suppression,
    ) -> Result<(), GateError> {
        match suppression.subject {
            SuppressionSubject::Number(_) => Ok(()),
            // It binds whoever joins the account later, too; how many belong to it now, a trial tells beforehand.
            SuppressionSubject::Account(_) => Ok(()),
            // Looked at, not held: nobody who holds the person's row may hold up their opt-out.
            SuppressionSubject::Party(id) => match tx.knows_party(tenant, id).await? {
                true => Ok(()),
                false => Err(GateError::NotFound { what: "party" }),
            },
        }
    }

    async fn recorded(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        stored: &StoredRequest,
    ) -> Result<Suppression, GateError> {
        let id = stored
            .subject
            .parse()
            .map_err(|_| StoreError::Damaged { what: "request" })?;
        Ok(tx
            .suppression(tenant, id)
            .await?
            .ok_or(StoreError::Damaged { what: "request" })?)
    }
}

/// opt-out-1: the suppression and its audit entry; or the one that is there already.
pub(super) async fn record(
    tx: &mut Tx,
    ask: &Ask,
    new: Suppression,
) -> Result<Suppression, StoreError> {
    let said_at = new.received_at;
    let (kind, recorded) = match insert_or_find(tx, &ask.principal.tenant, new, said_at).await? {
        (true, recorded) => ("suppression.created", recorded),
        (false, found) => ("suppression.repeated", found),
    };
    tx.insert_audit(&ask.principal.tenant, &[entry(ask, kind, &recorded)])
        .await?;
    Ok(recorded)
}

/// The suppression, recorded now (true); or the one that is there already and says all that this one would, whose wish was
/// said at this time or before. Whom it follows is written down.
pub(super) async fn insert_or_find(
    tx: &mut Tx,
    tenant: &TenantId,
    mut new: Suppression,
    said_at: Micros,
) -> Result<(bool, Suppression), StoreError> {
    let spoken_after = new.spoken_by_holder_after();
    let (created, recorded) = match standing(tx, tenant, &mut new, said_at).await? {
        Some(found) => (false, found),
        None => {
            tx.insert_suppression(tenant, &new).await?;
            (true, new)
        }
    };
    tx.bind_holders(tenant, &recorded, spoken_after).await?;
    Ok((created, recorded))
}

/// What is there already and says all that this one would, whose wish was said at this time or before. That binds from the moment
/// that is settled here.
pub(super) async fn standing(
    tx: &mut Tx,
    tenant: &TenantId,
    new: &mut Suppression,
    said_at: Micros,
) -> Result<Option<Suppression>, StoreError> {
    // It comes after every consent on file that is not certain to be newer than the wish: the clock of the node that recorded
    // one may have been ahead of ours. At the same instant the opt-out wins.
    let last = tx
        .last_consent_given(tenant, new.subject, new.received_at, new.recorded_at)
        .await?;
    let after = |at: Micros| last.map_or(at, |last| last.max(at));
    let said_at = after(said_at);
    new.received_at = after(new.received_at);
    match new.expires_at {
        None => Ok(tx.same_suppression(tenant, new, said_at).await?),
        Some(_) => Ok(None),
    }
}

pub(super) fn entry(ask: &Ask, kind: &str, suppression: &Suppression) -> AuditEntry {
    let (mut subject_key, mut party_id, mut account_key) = (None, None, None);
    match suppression.subject {
        SuppressionSubject::Number(key) => subject_key = Some(key.0),
        SuppressionSubject::Party(party) => party_id = Some(party),
        SuppressionSubject::Account(key) => account_key = Some(key.hex()),
    }
    AuditEntry {
        entry_id: AuditEntryId::new(ask.at),
        kind: kind.to_owned(),
        actor: ask.principal.actor(),
        subject_key,
        payload: json!({
            "suppression_id": suppression.suppression_id,
            "party_id": party_id,
            "account_key": account_key,
            "seller": suppression.seller,
            "channels": suppression.channels,
            "purposes": suppression.purposes,
            "reason": suppression.reason,
            "source": suppression.source,
            "request_id": ask.request_id,
        }),
        at: ask.at,
    }
}
