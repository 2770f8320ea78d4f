//! People and what is known of them, as administrators and CRMs tell it.

use std::collections::BTreeMap;

use jiff::Span;
use serde_json::json;

use crate::domain::ids::{PartyId, TenantId};
use crate::domain::party::{Dealings, Party, PartyNumber, Profile, RegisterCheck, SELLERS_MAX};
use crate::domain::phone::NumberKey;
use crate::domain::time::Micros;
use crate::store::{PartyDraft, Tx, Urgency};

use super::error::GateError;
use super::records::made;
use super::{Ask, Gate};

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

impl ContactDraft {
    fn writes(&self, field: &str) -> bool {
        let named = |mask: &Vec<String>| mask.iter().any(|each| each == field);
        self.mask.as_ref().is_none_or(named)
    }
}

impl Gate {
    /// Records a person, or changes what is recorded.
    pub async fn upsert_contact(&self, ask: &Ask, new: ContactDraft) -> Result<Party, GateError> {
        let act = || self.upsert_contact_once(ask, new.clone());
        self.once(ask, Urgency::Ordinary, act).await
    }

    async fn upsert_contact_once(&self, ask: &Ask, new: ContactDraft) -> Result<Party, GateError> {
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        if let Some(stored) = repeated {
            let party = tx.party(tenant, made(&stored)?).await?;
            let party = party.ok_or(GateError::NotFound { what: "party" })?;
            drop(tx);
            if !stored.passed {
                self.joined(ask, &party).await?;
            }
            return Ok(party);
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
        self.knows_sellers(known.as_ref(), &new)?;
        no_list_of_the_future(known.as_ref(), &new, ask.at)?;
        let account = known
            .as_ref()
            .and_then(|party| party.profile.account.clone());
        let draft = merged(known, new, ask.at)?;
        let joins = draft.profile.account.is_some() && draft.profile.account != account;
        if draft.numbers.is_empty() {
            return Err(GateError::invalid(
                "contact.numbers",
                "a person needs at least one number",
            ));
        }
        if draft.profile.dealings.len() > SELLERS_MAX {
            return Err(GateError::invalid(
                "contact.dealings",
                format!("would be with more than {SELLERS_MAX} sellers, those on record counted"),
            ));
        }
        let party = tx.upsert_party(tenant, &draft, ask.at).await?;
        let payload =
            json!({ "party_id": party.party_id, "etag": party.etag, "request_id": ask.request_id });
        tx.insert_audit(tenant, &[ask.entry("contact.upserted", None, payload)])
            .await?;
        tx.insert_requests(tenant, &[ask.stored(party.party_id.to_string(), !joins)])
            .await?;
        tx.commit().await?;
        if joins {
            self.joined(ask, &party).await?;
        }
        Ok(party)
    }

    /// Somebody has joined an account, and nobody is told so before no call can overtake an opt-out of it.
    async fn joined(&self, ask: &Ask, party: &Party) -> Result<(), GateError> {
        let committed = self.read().mono;
        let tenant = &ask.principal.tenant;
        if let Some(account) = &party.profile.account {
            self.wait_for_member(tenant, account, committed).await?;
        }
        let mut tx = self.store().write(Urgency::Ordinary).await?;
        tx.pass_requests(tenant, &[ask.request_id]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Every seller that the draft writes dealings with is one whom a campaign calls for. What is on record may be said
    /// again when its campaign is gone, or nobody could change the rest of a list that was read.
    fn knows_sellers(&self, known: Option<&Party>, new: &ContactDraft) -> Result<(), GateError> {
        if !new.writes("dealings") {
            return Ok(());
        }
        for (seller, told) in &new.profile.dealings {
            let recorded = known.and_then(|party| party.profile.dealings.get(seller));
            if recorded != Some(told) && !self.campaigns().calls_for(seller) {
                return Err(GateError::SellerUnknown {
                    seller: seller.clone(),
                });
            }
        }
        Ok(())
    }

    /// The person that the draft is about, if they are recorded. Locks the numbers, so that no other draft makes a
    /// second person of them meanwhile.
    async fn known_contact(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        new: &ContactDraft,
    ) -> Result<Option<Party>, GateError> {
        let mut keys: Vec<NumberKey> = new
            .numbers
            .iter()
            .map(|each| self.store().hasher().key(tenant, each.number))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        tx.lock_numbers(tenant, &keys.iter().map(|key| key.0).collect::<Vec<_>>())
            .await?;
        let party_id = match new.party_id {
            Some(named) => named,
            None => {
                let mut holders: Vec<PartyId> = tx
                    .parties_by_number(tenant, &keys)
                    .await?
                    .into_iter()
                    .map(|(_, id)| id)
                    .collect();
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

/// Of each register the latest version stands, so a date that is mistyped as one ahead could not be put right before its
/// day. Tomorrow is today in a zone further east. What is on record may be said again with the rest of the person.
fn no_list_of_the_future(
    known: Option<&Party>,
    new: &ContactDraft,
    at: Micros,
) -> Result<(), GateError> {
    let last = at.utc_date().saturating_add(Span::new().days(1));
    for told in new.numbers.iter().filter(|_| new.writes("numbers")) {
        let mut recorded = known.iter().flat_map(|party| &party.numbers);
        let recorded = recorded.find(|each| each.number == told.number);
        let is_new = |check: &&RegisterCheck| {
            recorded.is_none_or(|recorded| !recorded.registers.contains(check))
        };
        let mut ahead = told.registers.iter().filter(|check| check.as_of > last);
        if let Some(check) = ahead.find(is_new) {
            return Err(GateError::invalid(
                "contact.numbers.registers.as_of_date",
                format!(
                    "of `{}` lies in the future; give the date of the list's version",
                    check.register
                ),
            ));
        }
        let check = told.reassigned_check;
        if check.is_some_and(|check| check.queried_on > last)
            && recorded.is_none_or(|recorded| recorded.reassigned_check != check)
        {
            return Err(GateError::invalid(
                "contact.numbers.reassigned_check.query_date",
                "lies in the future; give the day of the query",
            ));
        }
    }
    Ok(())
}

/// What is recorded with the draft laid over it.
fn merged(known: Option<Party>, new: ContactDraft, at: Micros) -> Result<PartyDraft, GateError> {
    let (party_id, profile, numbers) = match known {
        Some(party) => (party.party_id, party.profile, party.numbers),
        None => (PartyId::new(at), Profile::default(), Vec::new()),
    };
    let mut draft = match new.mask {
        None => PartyDraft {
            party_id,
            profile: overlay(profile, new.profile),
            numbers: join(numbers, &new.numbers),
        },
        Some(mask) => masked(
            PartyDraft {
                party_id,
                profile,
                numbers,
            },
            &new.profile,
            new.numbers,
            &mask,
        )?,
    };
    draft.profile.dealings.retain(|_, told| !told.is_empty());
    Ok(draft)
}

/// Every fact that is set replaces the recorded one.
fn overlay(known: Profile, new: Profile) -> Profile {
    Profile {
        account: new.account.or(known.account),
        display_name: new.display_name.or(known.display_name),
        language_tag: new.language_tag.or(known.language_tag),
        audience: new.audience.or(known.audience),
        location: new.location.or(known.location),
        restriction: new.restriction.or(known.restriction),
        directory: new.directory.or(known.directory),
        minor: new.minor.or(known.minor),
        dealings: beside(known.dealings, new.dealings),
    }
}

/// What is told of a seller replaces all that was recorded with that one, and leaves the others.
fn beside(
    mut known: BTreeMap<String, Dealings>,
    new: BTreeMap<String, Dealings>,
) -> BTreeMap<String, Dealings> {
    known.extend(new);
    known
}

/// New numbers join the known ones; a known one is replaced by what is now told of it.
fn join(known: Vec<PartyNumber>, new: &[PartyNumber]) -> Vec<PartyNumber> {
    let kept = known
        .into_iter()
        .filter(|old| new.iter().all(|each| each.number != old.number));
    kept.chain(new.iter().cloned()).collect()
}

/// Every fact named takes the draft's value, set or not.
fn masked(
    known: PartyDraft,
    new: &Profile,
    numbers: Vec<PartyNumber>,
    mask: &[String],
) -> Result<PartyDraft, GateError> {
    let PartyDraft {
        party_id,
        mut profile,
        numbers: mut kept,
    } = known;
    let mut numbers = Some(numbers);
    for field in mask {
        match field.as_str() {
            "account" => profile.account.clone_from(&new.account),
            "display_name" => profile.display_name.clone_from(&new.display_name),
            "language_tag" => profile.language_tag.clone_from(&new.language_tag),
            "audience" => profile.audience = new.audience,
            "location" => profile.location.clone_from(&new.location),
            "restriction" => profile.restriction.clone_from(&new.restriction),
            "directory" => profile.directory = new.directory,
            "minor" => profile.minor = new.minor,
            "dealings" => profile.dealings.clone_from(&new.dealings),
            "numbers" => kept = numbers.take().unwrap_or(kept),
            unknown => {
                return Err(GateError::invalid(
                    "update_mask",
                    format!("names `{unknown}`, which a contact does not have"),
                ));
            }
        }
    }
    Ok(PartyDraft {
        party_id,
        profile,
        numbers: kept,
    })
}
