//! What people tell us: consents, contacts, dispositions and hang-ups. Each is one transaction with its audit entry and
//! the memory of its request.

use serde_json::{Value, json};

use crate::domain::call::{Call, CallKind};
use crate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm, InitiatedBy};
use crate::domain::disposition::{Disposition, DispositionCode, OptOutScope};
use crate::domain::ids::{AuditEntryId, CallId, ConsentEventId, DispositionId, PartyId, SuppressionId, TenantId};
use crate::domain::party::{Party, PartyNumber, Profile};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::suppression::{Suppression, SuppressionSource, SuppressionSubject};
use crate::domain::time::Micros;
use crate::store::{AuditEntry, Notice, PartyDraft, StoreError, StoredRequest, Tx, Urgency};

use super::error::GateError;
use super::{Ask, Gate, suppress};

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

/// A person as somebody tells of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactDraft {
    /// Who; absent = whoever holds one of the numbers, or somebody new.
    pub party_id: Option<PartyId>,
    /// Facts about the person.
    pub profile: Profile,
    /// Their numbers.
    pub numbers: Vec<PartyNumber>,
    /// The version that was read; absent = whatever is there.
    pub etag: Option<String>,
    /// Fields to write, by name; those not set are cleared. Absent = every field that is set.
    pub mask: Option<Vec<String>>,
}

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

    fn entry(&self, kind: &str, subject_key: Option<NumberKey>, payload: Value) -> AuditEntry {
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

impl Gate {
    /// A transaction, and the memory of this very request if it was asked before.
    pub(super) async fn begin(&self, ask: &Ask, urgency: Urgency) -> Result<(Tx, Option<StoredRequest>), GateError> {
        let mut tx = self.store().write(urgency).await?;
        let stored = tx.requests(&ask.principal.tenant, &[ask.request_id]).await?.pop();
        match stored {
            Some(stored) if stored.digest != ask.digest || stored.method != ask.method => Err(GateError::RequestIdReused),
            stored => Ok((tx, stored)),
        }
    }

    /// Records that consent was given or withdrawn. A withdrawal binds every claim that begins after it.
    pub async fn record_consent(&self, ask: &Ask, new: NewConsent) -> Result<ConsentEvent, GateError> {
        if new.at.is_some_and(|at| at > ask.at) {
            return Err(GateError::invalid("event_time", "lies in the future; say when the person acted"));
        }
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        if let Some(stored) = repeated {
            let id: ConsentEventId = made(&stored)?;
            return Ok(tx.consent(tenant, id).await?.ok_or(GateError::NotFound { what: "consent" })?);
        }
        let party_id = self.holder(&mut tx, tenant, new.number, new.party_id, ask.at).await?;
        let event = ConsentEvent {
            consent_event_id: ConsentEventId::new(ask.at),
            party_id,
            number: new.number,
            seller: new.seller,
            action: new.action,
            at: new.at.unwrap_or(ask.at),
            recorded_at: ask.at,
            channels: new.channels,
            form: new.form,
            explicit: new.explicit,
            documented: new.documented,
            out_of_hours: new.out_of_hours,
            period: new.period,
            initiated_by: new.initiated_by,
            source: new.source,
            evidence_ref: new.evidence_ref,
            wording_ref: new.wording_ref,
            actor: ask.principal.actor(),
        };
        tx.insert_consent(tenant, &event).await?;
        let key = self.store().hasher().key(tenant, event.number);
        let payload = json!({
            "consent_event_id": event.consent_event_id,
            "party_id": party_id,
            "seller": event.seller,
            "event_time": event.at,
            "form": event.form,
            "channels": event.channels,
            "request_id": ask.request_id,
        });
        let kind = format!("consent.{}", event.action);
        tx.insert_audit(tenant, &[ask.entry(&kind, Some(key), payload)]).await?;
        tx.insert_requests(tenant, &[ask.stored(event.consent_event_id.to_string(), true)]).await?;
        tx.commit().await?;
        Ok(event)
    }

    /// Records a person, or changes what is recorded.
    pub async fn upsert_contact(&self, ask: &Ask, new: ContactDraft) -> Result<Party, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        if let Some(stored) = repeated {
            return Ok(tx.party(tenant, made(&stored)?).await?.ok_or(GateError::NotFound { what: "party" })?);
        }
        let known = self.known_contact(&mut tx, tenant, &new).await?;
        if let (Some(etag), Some(found)) = (&new.etag, &known)
            && *etag != found.etag
        {
            return Err(GateError::EtagMismatch);
        }
        if new.etag.is_some() && known.is_none() {
            return Err(GateError::NotFound { what: "party" });
        }
        let draft = merged(known, new, ask.at)?;
        if draft.numbers.is_empty() {
            return Err(GateError::invalid("contact.numbers", "a person needs at least one number"));
        }
        let party = tx.upsert_party(tenant, &draft, ask.at).await?;
        let payload = json!({ "party_id": party.party_id, "etag": party.etag, "request_id": ask.request_id });
        tx.insert_audit(tenant, &[ask.entry("contact.upserted", None, payload)]).await?;
        tx.insert_requests(tenant, &[ask.stored(party.party_id.to_string(), true)]).await?;
        tx.commit().await?;
        Ok(party)
    }

    /// Records what the agent says of a call and does what its flags say. An opt-out among them passes the barrier
    /// before this returns.
    pub async fn record_disposition(&self, ask: &Ask, new: NewDisposition) -> Result<Disposition, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::OptOut).await?;
        let call = tx.call(tenant, new.call_id).await?.ok_or(GateError::NotFound { what: "call" })?;
        let before = tx.dispositions_of(tenant, new.call_id).await?;
        if let Some(stored) = repeated {
            let id: DispositionId = made(&stored)?;
            let said = before.into_iter().find(|each| each.disposition_id == id);
            let said = said.ok_or(GateError::NotFound { what: "disposition" })?;
            if let (false, Some(made)) = (stored.passed, said.suppression_id) {
                let suppression = tx.suppression(tenant, made).await?.ok_or(StoreError::Damaged { what: "disposition" })?;
                self.raise_and_wait(tx, ask, &suppression).await?;
            }
            return Ok(said);
        }
        may_say(&call, &before, &new)?;
        let effects = new.code.effects();
        let suppression = match effects.opt_out {
            None => None,
            Some((scope, reason)) => {
                let suppression = Suppression {
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
                };
                Some(suppress::record(&mut tx, ask, suppression).await?)
            }
        };
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
        if let Some(result) = effects.counts_as {
            tx.set_attempt_result(tenant, call.call_id, result).await?;
        }
        if effects.number_bad {
            unlink(&mut tx, tenant, &call, ask.at).await?;
        }
        tx.insert_disposition(tenant, &said).await?;
        let kind = if said.amends.is_some() { "disposition.amended" } else { "disposition.recorded" };
        let payload = json!({
            "disposition_id": said.disposition_id,
            "call_id": said.call_id,
            "code": said.code,
            "amends": said.amends,
            "suppression_id": said.suppression_id,
            "request_id": ask.request_id,
        });
        tx.insert_audit(tenant, &[ask.entry(kind, Some(call.number_key), payload)]).await?;
        tx.insert_requests(tenant, &[ask.stored(said.disposition_id.to_string(), suppression.is_none())]).await?;
        match suppression {
            Some(suppression) => self.raise_and_wait(tx, ask, &suppression).await?,
            None => tx.commit().await?,
        }
        Ok(said)
    }

    /// Records the wish to end a call. A call in the queue ends right there; the worker that has it ends any other.
    pub async fn hang_up(&self, ask: &Ask, call_id: CallId) -> Result<Call, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let call = tx.call(tenant, call_id).await?.ok_or(GateError::NotFound { what: "call" })?;
        if repeated.is_some() || call.state.is_final() {
            return Ok(call);
        }
        tx.request_hang_up(tenant, call_id, ask.at).await?;
        let payload = json!({ "call_id": call_id, "request_id": ask.request_id });
        tx.insert_audit(tenant, &[ask.entry("call.hang_up", Some(call.number_key), payload)]).await?;
        tx.insert_requests(tenant, &[ask.stored(call_id.to_string(), true)]).await?;
        let call = tx.call(tenant, call_id).await?.ok_or(GateError::NotFound { what: "call" })?;
        tx.commit().await?;
        if let Err(error) = self.store().notify(&Notice::CallChanged(call_id)).await {
            tracing::debug!(call.id = %call_id, %error, "the worker was not told; it looks by itself");
        }
        self.changed(call_id);
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
        let holders: Vec<PartyId> = tx.parties_by_number(tenant, &[key]).await?.into_iter().map(|(_, id)| id).collect();
        match (named, holders.as_slice()) {
            (Some(named), holders) if holders.contains(&named) => Ok(named),
            (Some(_), _) => Err(GateError::invalid("party_id", "names nobody who holds this number")),
            (None, [only]) => Ok(*only),
            (None, []) => {
                let party_id = PartyId::new(at);
                tx.ensure_parties(tenant, &[(party_id, number)], at).await?;
                Ok(party_id)
            }
            (None, _) => Err(GateError::PartyAmbiguous),
        }
    }

    /// The person that the draft is about, if they are recorded. Locks the numbers, so that no other draft makes a
    /// second person of them meanwhile.
    async fn known_contact(&self, tx: &mut Tx, tenant: &TenantId, new: &ContactDraft) -> Result<Option<Party>, GateError> {
        let mut keys: Vec<NumberKey> =
            new.numbers.iter().map(|each| self.store().hasher().key(tenant, each.number)).collect();
        keys.sort_unstable();
        keys.dedup();
        tx.lock_numbers(tenant, &keys.iter().map(|key| key.0).collect::<Vec<_>>()).await?;
        let party_id = match new.party_id {
            Some(named) => named,
            None => {
                let mut holders: Vec<PartyId> =
                    tx.parties_by_number(tenant, &keys).await?.into_iter().map(|(_, id)| id).collect();
                holders.sort_unstable();
                holders.dedup();
                match holders.as_slice() {
                    [] => return Ok(None),
                    [only] => *only,
                    _ => return Err(GateError::PartyAmbiguous),
                }
            }
        };
        match tx.party(tenant, party_id).await? {
            Some(party) => Ok(Some(party)),
            None => Err(GateError::NotFound { what: "party" }),
        }
    }
}

/// The identifier of what a request made.
fn made<T: std::str::FromStr>(stored: &StoredRequest) -> Result<T, StoreError> {
    stored.subject.parse().map_err(|_| StoreError::Damaged { what: "request" })
}

/// A first word needs a call that was dialed; a correction names the latest word.
fn may_say(call: &Call, before: &[Disposition], new: &NewDisposition) -> Result<(), GateError> {
    if call.attempt_id.is_none() {
        return Err(GateError::invalid("call_id", "names a call that was not dialed"));
    }
    match (before.last(), new.amends) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(GateError::invalid("call_id", "has a disposition already; amend that one")),
        (Some(last), Some(named)) if last.disposition_id == named => Ok(()),
        (_, Some(_)) => Err(GateError::invalid("disposition_id", "is not the latest disposition of this call")),
    }
}

/// The number is not this person's: it leaves their record, and whoever holds it is a stranger again.
async fn unlink(tx: &mut Tx, tenant: &TenantId, call: &Call, at: Micros) -> Result<(), StoreError> {
    let Some(party) = tx.party(tenant, call.party_id).await? else { return Ok(()) };
    let numbers = party.numbers.into_iter().filter(|each| Some(each.number) != call.to).collect();
    let draft = PartyDraft { party_id: party.party_id, profile: party.profile, numbers };
    tx.upsert_party(tenant, &draft, at).await.map(drop)
}

/// What is recorded with the draft laid over it.
fn merged(known: Option<Party>, new: ContactDraft, at: Micros) -> Result<PartyDraft, GateError> {
    let (party_id, profile, numbers) = match known {
        Some(party) => (party.party_id, party.profile, party.numbers),
        None => (PartyId::new(at), Profile::default(), Vec::new()),
    };
    match new.mask {
        None => Ok(PartyDraft {
            party_id,
            profile: overlay(profile, new.profile),
            numbers: join(numbers, new.numbers),
        }),
        Some(mask) => masked(PartyDraft { party_id, profile, numbers }, new.profile, new.numbers, &mask),
    }
}

/// Every fact that is set replaces the recorded one.
fn overlay(known: Profile, new: Profile) -> Profile {
    Profile {
        display_name: new.display_name.or(known.display_name),
        language_tag: new.language_tag.or(known.language_tag),
        audience: new.audience.or(known.audience),
        location: new.location.or(known.location),
        relationship: new.relationship.or(known.relationship),
        legitimate_interest: new.legitimate_interest.or(known.legitimate_interest),
        presumed_consent: new.presumed_consent.or(known.presumed_consent),
        notice: new.notice.or(known.notice),
        restriction: new.restriction.or(known.restriction),
        callback: new.callback.or(known.callback),
        directory: new.directory.or(known.directory),
        minor: new.minor.or(known.minor),
        personal_relationship: new.personal_relationship.or(known.personal_relationship),
    }
}

/// New numbers join the known ones; a known one is replaced by what is now told of it.
fn join(known: Vec<PartyNumber>, new: Vec<PartyNumber>) -> Vec<PartyNumber> {
    let kept = known.into_iter().filter(|old| new.iter().all(|each| each.number != old.number));
    kept.chain(new.iter().cloned()).collect()
}

/// Every fact named takes the draft's value, set or not.
fn masked(known: PartyDraft, new: Profile, numbers: Vec<PartyNumber>, mask: &[String]) -> Result<PartyDraft, GateError> {
    let PartyDraft { party_id, mut profile, numbers: mut kept } = known;
    let mut numbers = Some(numbers);
    for field in mask {
        match field.as_str() {
            "display_name" => profile.display_name.clone_from(&new.display_name),
            "language_tag" => profile.language_tag.clone_from(&new.language_tag),
            "audience" => profile.audience = new.audience,
            "location" => profile.location.clone_from(&new.location),
            "relationship" => profile.relationship.clone_from(&new.relationship),
            "legitimate_interest" => profile.legitimate_interest.clone_from(&new.legitimate_interest),
            "presumed_consent" => profile.presumed_consent.clone_from(&new.presumed_consent),
            "notice" => profile.notice.clone_from(&new.notice),
            "restriction" => profile.restriction.clone_from(&new.restriction),
            "callback" => profile.callback.clone_from(&new.callback),
            "directory" => profile.directory = new.directory,
            "minor" => profile.minor = new.minor,
            "personal_relationship" => profile.personal_relationship = new.personal_relationship,
            "numbers" => kept = numbers.take().unwrap_or(kept),
            unknown => {
                return Err(GateError::invalid("update_mask", format!("names `{unknown}`, which a contact does not have")));
            }
        }
    }
    Ok(PartyDraft { party_id, profile, numbers: kept })
}
