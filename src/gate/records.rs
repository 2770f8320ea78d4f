//! What people tell us: consents and hang-ups here, contacts and dispositions beside. Each is one transaction with its
//! audit entry and the memory of its request.

use serde_json::{Value, json};

use crate::domain::call::{Call, CallKind};
use crate::domain::consent::{
    ConsentAction, ConsentEvent, ConsentForm, InitiatedBy, OVER_BEFORE_IT_BEGAN, is_over_by,
};

use crate::domain::ids::{AuditEntryId, CallId, ConsentEventId, PartyId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::suppression::SuppressionSubject;
use crate::domain::time::Micros;
use crate::store::{AuditEntry, Notice, StoreError, StoredRequest, Tx, Urgency};

use super::error::GateError;
use super::{Ask, Gate};

/// An act of consent as somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConsent {
    /// For which number.
    pub number: Phone,
    /// Whose, where several share the number.
    pub party_id: Option<PartyId>,
    /// Towards which seller.
    pub seller: String,
    /// Given or withdrawn.
    pub action: ConsentAction,
    /// When the person acted; absent = now.
    pub at: Option<Micros>,
    /// Kinds of call it covers; empty = all.
    pub channels: Vec<CallKind>,
    /// How it was expressed.
    pub form: Option<ConsentForm>,
    /// Expressly given.
    pub explicit: Option<bool>,
    /// A record of the act exists.
    pub documented: Option<bool>,
    /// Names calls outside the legal hours.
    pub out_of_hours: Option<bool>,
    /// `indefinite`, `unspecified`, or an end date.
    pub period: Option<String>,
    /// Who started the exchange.
    pub initiated_by: Option<InitiatedBy>,
    /// Where it came from.
    pub source: Option<String>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// The wording shown.
    pub wording_ref: Option<String>,
}

impl Ask {
    /// The memory of this request.
    pub(super) fn stored(&self, subject: String, passed: bool) -> StoredRequest {
        StoredRequest {
            request_id: self.request_id,
            method: self.method.to_owned(),
            digest: self.digest,
            subject,
            passed,
            at: self.at,
        }
    }

    pub(super) fn entry(
        &self,
        kind: &str,
        subject_key: Option<NumberKey>,
        payload: Value,
    ) -> AuditEntry {
        AuditEntry {
            entry_id: AuditEntryId::new(self.at),
            kind: kind.to_owned(),
            actor: self.principal.actor(),
            subject_key: subject_key.map(|key| key.0),
            payload,
            at: self.at,
        }
    }
}

impl NewConsent {
    /// A withdrawal goes before other work, as an opt-out does.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self.action {
            ConsentAction::Given => Urgency::Ordinary,
            ConsentAction::Withdrawn => Urgency::OptOut,
        }
    }

    /// The act as this person's; what states no time is told as it happens.
    pub(super) fn by(self, party_id: PartyId, ask: &Ask) -> ConsentEvent {
        ConsentEvent {
            consent_event_id: ConsentEventId::new(ask.at),
            party_id,
            number: self.number,
            seller: self.seller,
            action: self.action,
            at: self.at.unwrap_or(ask.at),
            recorded_at: ask.at,
            channels: self.channels,
            form: self.form,
            explicit: self.explicit,
            documented: self.documented,
            out_of_hours: self.out_of_hours,
            period: self.period,
            initiated_by: self.initiated_by,
            source: self.source,
            evidence_ref: self.evidence_ref,
            wording_ref: self.wording_ref,
            actor: ask.principal.actor(),
        }
    }
}

/// The memory of this very request if it was asked before.
pub(super) async fn asked_before(
    tx: &mut Tx,
    ask: &Ask,
) -> Result<Option<StoredRequest>, GateError> {
    let mut stored = tx
        .requests(&ask.principal.tenant, &[ask.request_id])
        .await?;
    let stored = stored.pop();
    if let Some(stored) = &stored {
        the_same(stored, ask)?;
    }
    Ok(stored)
}

/// The memory of a request under this name, if it is of this very one.
pub(super) fn the_same<'a>(
    stored: &'a StoredRequest,
    ask: &Ask,
) -> Result<&'a StoredRequest, GateError> {
    match stored.digest == ask.digest && stored.method == ask.method {
        true => Ok(stored),
        false => Err(GateError::RequestIdReused),
    }
}

impl Gate {
    /// A transaction, and the memory of this very request if it was asked before.
    pub(super) async fn begin(
        &self,
        ask: &Ask,
        urgency: Urgency,
    ) -> Result<(Tx, Option<StoredRequest>), GateError> {
        let mut tx = self.store().write(urgency).await?;
        let stored = asked_before(&mut tx, ask).await?;
        Ok((tx, stored))
    }

    /// Does what is asked, and once more if the same request, sent twice at once, was done by the other meanwhile: this time
    /// it is found, and the answer is the first one.
    pub(super) async fn once<T, F>(
        &self,
        ask: &Ask,
        urgency: Urgency,
        act: impl Fn() -> F,
    ) -> Result<T, GateError>
    where
        F: Future<Output = Result<T, GateError>>,
    {
        match act().await {
            Err(error) if self.was_done_meanwhile(ask, urgency, &error).await => act().await,
            answer => answer,
        }
    }

    /// Whether this is what a request meets in whose midst its twin has committed: the twin's rows, or their effects.
    async fn was_done_meanwhile(&self, ask: &Ask, urgency: Urgency, error: &GateError) -> bool {
        let of_a_twin = match error {
            GateError::Store(error) => matches!(
                **error,
                StoreError::Duplicate { .. } | StoreError::LockTimeout
            ),
            GateError::DispositionExists
            | GateError::DispositionNotLatest
            | GateError::EtagMismatch
            | GateError::SecondApproverRequired
            | GateError::LiftNotRequested => true,
            _ => false,
        };
        of_a_twin
            && match self.begin(ask, urgency).await {
                Ok((_, stored)) => stored.is_some(),
                // Of another content: that is the answer.
                Err(error) => matches!(error, GateError::RequestIdReused),
            }
    }

    /// Records that consent was given or withdrawn. A withdrawal binds every claim that begins after it.
    pub async fn record_consent(
        &self,
        ask: &Ask,
        new: NewConsent,
    ) -> Result<ConsentEvent, GateError> {
        if new.at.is_some_and(|at| at > ask.at) {
            return Err(GateError::invalid(
                "event_time",
                "lies in the future; say when the person acted",
            ));
        }
        if let (ConsentAction::Given, Some(period)) = (new.action, &new.period)
            && is_over_by(period, new.at.unwrap_or(ask.at))
        {
            return Err(GateError::invalid("period", OVER_BEFORE_IT_BEGAN));
        }
        self.campaigns().knows_seller(&new.seller)?;
        let act = || self.record_consent_once(ask, new.clone());
        self.once(ask, new.urgency(), act).await
    }

    async fn record_consent_once(
        &self,
        ask: &Ask,
        new: NewConsent,
    ) -> Result<ConsentEvent, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, new.urgency()).await?;
        if let Some(stored) = repeated {
            let id: ConsentEventId = made(&stored)?;
            let event = tx.consent(tenant, id).await?;
            return event.ok_or(GateError::NotFound { what: "consent" });
        }
        let party_id = self
            .holder(&mut tx, tenant, new.number, new.party_id, ask.at)
            .await?;
        let stated = new.at.is_some();
        let mut event = new.by(party_id, ask);
        let whose = SuppressionSubject::Party(party_id);
        event.at = acted_at(&mut tx, tenant, &event, whose, stated)
            .await?
            .ok_or_else(|| {
                GateError::invalid(
                    "event_time",
                    format!("{IN_DOUBT}; leave it out if the person consents now"),
                )
            })?;
        tx.insert_consent(tenant, &event).await?;
        let key = self.store().hasher().key(tenant, event.number);
        tx.insert_audit(tenant, &[act_entry(ask, key, &event)])
            .await?;
        tx.insert_requests(
            tenant,
            &[ask.stored(event.consent_event_id.to_string(), true)],
        )
        .await?;
        tx.commit().await?;
        Ok(event)
    }

    /// Records the wish to end a call. A call in the queue ends right there; the worker that has it ends any other.
    pub async fn hang_up(&self, ask: &Ask, call_id: CallId) -> Result<Call, GateError> {
        let act = || self.hang_up_once(ask, call_id);
        self.once(ask, Urgency::Ordinary, act).await
    }

    async fn hang_up_once(&self, ask: &Ask, call_id: CallId) -> Result<Call, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let call = tx
            .call(tenant, call_id)
            .await?
            .ok_or(GateError::NotFound { what: "call" })?;
        if repeated.is_some() || call.state.is_final() {
            return Ok(call);
        }
        tx.request_hang_up(tenant, call_id, ask.at).await?;
        let payload = json!({ "call_id": call_id, "request_id": ask.request_id });
        tx.insert_audit(
            tenant,
            &[ask.entry("call.hang_up", Some(call.number_key), payload)],
        )
        .await?;
        tx.insert_requests(tenant, &[ask.stored(call_id.to_string(), true)])
            .await?;
        let call = tx
            .call(tenant, call_id)
            .await?
            .ok_or(GateError::NotFound { what: "call" })?;
        tx.commit().await?;
        if let Err(error) = self.store().notify(&Notice::CallChanged(call_id)).await {
            tracing::debug!(call.id = %call_id, %error, "the worker was not told; it looks by itself");
        }
        Ok(call)
    }

    /// Whoever holds the number; a number that nobody holds gets a person of its own.
    async fn holder(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        number: Phone,
        named: Option<PartyId>,
        at: Micros,
    ) -> Result<PartyId, GateError> {
        let key = self.store().hasher().key(tenant, number);
        tx.lock_numbers(tenant, &[key.0]).await?;
        let holders: Vec<PartyId> = tx
            .parties_by_number(tenant, &[key])
            .await?
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        match the_holder(named, &holders) {
            Ok(Some(holder)) => Ok(holder),
            Ok(None) => {
                let party_id = PartyId::new(at);
                tx.ensure_parties(tenant, &[(party_id, number)], at).await?;
                Ok(party_id)
            }
            Err(NotTheOne::Stranger) => Err(GateError::invalid("party_id", NOT_THE_HOLDER)),
            Err(NotTheOne::Ambiguous) => Err(GateError::PartyAmbiguous),
        }
    }
}

/// Why nobody is taken for the one who acted.
pub(super) enum NotTheOne {
    /// Who is named does not hold the number.
    Stranger,
    /// Several hold it, and none is named.
    Ambiguous,
}

/// What is wrong with a `party_id` that is a stranger's.
pub(super) const NOT_THE_HOLDER: &str = "names nobody who holds this number";

/// Who of a number's holders acted; nobody if nobody holds it.
pub(super) fn the_holder(
    named: Option<PartyId>,
    holders: &[PartyId],
) -> Result<Option<PartyId>, NotTheOne> {
    match (named, holders) {
        (Some(named), holders) if holders.contains(&named) => Ok(Some(named)),
        (Some(_), _) => Err(NotTheOne::Stranger),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(*only)),
        (None, _) => Err(NotTheOne::Ambiguous),
    }
}

/// The identifier of what a request made.
pub(super) fn made<T: std::str::FromStr>(stored: &StoredRequest) -> Result<T, StoreError> {
    stored
        .subject
        .parse()
        .map_err(|_| StoreError::Damaged { what: "request" })
}

/// The entry of an act.
pub(super) fn act_entry(ask: &Ask, key: NumberKey, act: &ConsentEvent) -> AuditEntry {
    let payload = json!({
        "consent_event_id": act.consent_event_id,
        "party_id": act.party_id,
        "seller": act.seller,
        "event_time": act.at,
        "form": act.form,
        "channels": act.channels,
        "request_id": ask.request_id,
    });
    ask.entry(&format!("consent.{}", act.action), Some(key), payload)
}

/// Why a consent is refused whose time is in doubt.
pub(super) const IN_DOUBT: &str = "lies within ten minutes after an opt-out or a withdrawal on record, so nobody can tell which came first";

/// When the person acted; nothing if nobody can tell that they consented after they had said stop. What is taken back comes
/// after every consent on file that is not certain to be newer, though the clock that recorded one was ahead of ours (as an
/// opt-out does, in `suppress`). And what was given at a stated time does not come after an opt-out or a withdrawal on file
/// whose recorder's clock may have been behind; nor does it if that time is now by our clock, which may be behind itself.
/// Only what states no time is told as it happens. `whose` is who acts, or their number while they are not on record.
pub(super) async fn acted_at(
    tx: &mut Tx,
    tenant: &TenantId,
    act: &ConsentEvent,
    whose: SuppressionSubject,
    stated: bool,
) -> Result<Option<Micros>, StoreError> {
    let at = act.at;
    match act.action {
        ConsentAction::Withdrawn => {
            let of_whom = SuppressionSubject::Party(act.party_id);
            let last = tx
                .last_consent_given(tenant, of_whom, at, act.recorded_at)
                .await?;
            Ok(Some(last.map_or(at, |last| last.max(at))))
        }
        ConsentAction::Given if !stated => Ok(Some(at)),
        ConsentAction::Given => {
            let in_doubt = tx.opted_out_about(tenant, whose, at).await?
                || tx.withdrawn_about(tenant, act).await?;
            Ok((!in_doubt).then_some(at))
        }
    }
}
