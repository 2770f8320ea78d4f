//! People and their numbers. A person's data key is made with the row; all that is readable of them is sealed under it.

use std::collections::HashSet;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::sql::Text as _;
use super::vault::{DataKey, Label};
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::party::{Party, PartyNumber, Profile};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;

/// A person as somebody wants them recorded: all of it, replacing what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyDraft {
    /// Identifier, new or known.
    pub party_id: PartyId,
    /// What is known of the person.
    pub profile: Profile,
    /// Their numbers.
    pub numbers: Vec<PartyNumber>,
}

row!(HolderRow { number_key: Vec<u8>, party_id: Uuid });

row!(PartyRow {
    sealed_profile: Option<Vec<u8>>,
    version: i64,
    create_time: i64,
    update_time: i64,
});

row!(NumberRow {
    sealed_number: Option<Vec<u8>>,
    line_type: String,
    registers: String,
    reassigned_check: Option<String>,
});

row!(KeyRow { party_id: Uuid, wrapped_key: Option<Vec<u8>> });

impl Tx {
    /// Who holds these numbers; one number may have several holders or none.
    pub async fn parties_by_number(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<Vec<(NumberKey, PartyId)>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let rows: Vec<HolderRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT number_key, party_id FROM party_numbers WHERE end_time IS NULL AND tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&keys)
                .text(" ORDER BY number_key, party_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|row| Ok((number_key(&row.number_key)?, PartyId(row.party_id))))
            .collect()
    }

    /// Records an empty person for each number that nobody holds yet. Locks those numbers: of two nodes that meet a
    /// number for the first time, one records it and the other sees it.
    pub async fn ensure_parties(
        &mut self,
        tenant: &TenantId,
        wanted: &[(PartyId, Phone)],
        at: Micros,
    ) -> Result<()> {
        let hasher = self.vault.hasher().clone();
        let keyed: Vec<_> = wanted
            .iter()
            .map(|(party, phone)| (*party, *phone, hasher.key(tenant, *phone)))
            .collect();
        let keys: Vec<_> = keyed.iter().map(|(_, _, key)| *key).collect();
        let held: HashSet<NumberKey> = self
            .parties_by_number(tenant, &keys)
            .await?
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let new: Vec<NumberKey> = keys.into_iter().filter(|key| !held.contains(key)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.lock_numbers(tenant, &new.iter().map(|key| key.0).collect::<Vec<_>>())
            .await?;
        let mut held: HashSet<NumberKey> = self
            .parties_by_number(tenant, &new)
            .await?
            .into_iter()
            .map(|(key, _)| key)
            .chain(held)
            .collect();
        let mut parties = Vec::new();
        let mut numbers = Vec::new();
        for (party, phone, key) in keyed {
            // Twice in one batch is one person.
            if !held.insert(key) {
                continue;
            }
            let data_key = DataKey::generate()?;
            let profile = data_key.seal(Label::Profile, &to_json(&Profile::default())?)?;
            let number = data_key.seal(Label::Number, phone.reveal().as_bytes())?;
            parties.push((party, self.vault.wrap(party, &data_key)?, profile));
            numbers.push((party, key, number));
            self.keys.insert(party, Some(data_key));
        }
        insert_rows!(self, "parties", &parties, |row| {
            party_id: "uuid" = row.0.0,
            tenant_id: "text" = tenant.0.as_str(),
            wrapped_key: "bytea" = row.1.clone(),
            sealed_profile: "bytea" = row.2.clone(),
            version: "bigint" = 1_i64,
            create_time: "bigint" = at.0,
            update_time: "bigint" = at.0,
        })?;
        insert_rows!(self, "party_numbers", &numbers, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            party_id: "uuid" = row.0.0,
            number_key: "bytea" = row.1.0.to_vec(),
            sealed_number: "bytea" = row.2.clone(),
            line_type: "text" = "unknown",
            registers: "text" = "[]",
            position: "bigint" = 0_i64,
            create_time: "bigint" = at.0,
        })?;
        Ok(())
    }

    /// Records a person whole; the answer carries the new etag. A number that is left out is no longer theirs. What registers
    /// said is not forgotten: of each the latest version that was told stands, whatever was told last.
    pub async fn upsert_party(
        &mut self,
        tenant: &TenantId,
        draft: &PartyDraft,
        at: Micros,
    ) -> Result<Party> {
        // The tenant in the condition: an identifier of another tenant's person is taken, not rewritten.
        const PARTY: &str = "INSERT INTO parties
                (party_id, tenant_id, wrapped_key, sealed_profile, version, create_time, update_time)
            VALUES ($1, $2, $3, $4, 1, $5, $5)
            ON CONFLICT (party_id) DO UPDATE SET wrapped_key = excluded.wrapped_key,
                sealed_profile = excluded.sealed_profile, version = parties.version + 1,
                update_time = excluded.update_time
            WHERE parties.tenant_id = excluded.tenant_id
            RETURNING sealed_profile, version, create_time, update_time";
        // Never before an opt-out that is on record: it was theirs when that was told, whatever this node's clock says. An
        // opt-out that is not committed yet is not seen here; it sees the link ([`Tx::bind_holders`]).
        const END: &str = "UPDATE party_numbers SET end_time = (SELECT MAX(ends.at) FROM (SELECT $3 AS at
                UNION ALL SELECT CASE WHEN s.received_time < s.create_time THEN s.received_time ELSE s.create_time END + 1
                    FROM suppressions AS s
                    WHERE s.tenant_id = $1 AND s.number_key = party_numbers.number_key) AS ends)
            WHERE tenant_id = $1 AND party_id = $2 AND end_time IS NULL";
        let party = draft.party_id;
        // A person who was erased and is recorded again starts with a new key.
        let known = match self.load_keys(tenant, &[party]).await {
            Ok(()) => self.key_of(party),
            Err(StoreError::Other(_)) => None,
            Err(error) => return Err(error),
        };
        let key = match known {
            Some(key) => key,
            None => DataKey::generate()?,
        };
        let wrapped = self.vault.wrap(party, &key)?;
        let profile = key.seal(Label::Profile, &to_json(&draft.profile)?)?;
        let stored: Option<PartyRow> = on!(self, |conn| sqlx::query_as(PARTY)
            .bind(party.0)
            .bind(&tenant.0)
            .bind(wrapped)
            .bind(profile)
            .bind(at.0)
            .fetch_optional(conn)
            .await)?;
        let stored = stored.ok_or_else(|| StoreError::Duplicate {
            what: "parties".to_owned(),
        })?;
        let new = self.numbers_given(tenant, draft).await?;
        let numbers = self.with_what_was_told(tenant, draft).await?;
        on!(self, |conn| sqlx::query(END)
            .bind(&tenant.0)
            .bind(party.0)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|_| ()))?;
        self.insert_numbers(tenant, party, &numbers, &key, at)
            .await?;
        self.tell_account(tenant, party, draft.profile.account.as_ref(), &key, at)
            .await?;
        self.raise_for_holder(tenant, party, &new).await?;
        self.keys.insert(party, Some(key));
        Ok(Party {
            party_id: party,
            profile: draft.profile.clone(),
            numbers,
            etag: stored.version.to_string(),
            create_time: Micros(stored.create_time),
            update_time: Micros(stored.update_time),
        })
    }

    /// Those of a person's numbers that are not theirs yet, locked: an opt-out of one of them is seen from now on, or looks
    /// for who was given the number.
    async fn numbers_given(
        &mut self,
        tenant: &TenantId,
        draft: &PartyDraft,
    ) -> Result<HashSet<NumberKey>> {
        let hasher = self.vault.hasher().clone();
        let keys = draft
            .numbers
            .iter()
            .map(|each| hasher.key(tenant, each.number));
        let mut new: HashSet<NumberKey> = keys.collect();
        if new.is_empty() {
            return Ok(new);
        }
        let keys: Vec<NumberKey> = new.iter().copied().collect();
        for (key, party) in self.parties_by_number(tenant, &keys).await? {
            if party == draft.party_id {
                new.remove(&key);
            }
        }
        if !new.is_empty() {
            let keys: Vec<_> = new.iter().map(|key| key.0).collect();
            self.lock_numbers(tenant, &keys).await?;
        }
        Ok(new)
    }

    /// Whether there is such a person, erased or not. Waits for nobody who is changing them.
    pub async fn knows_party(&mut self, tenant: &TenantId, id: PartyId) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM parties WHERE tenant_id = $1 AND party_id = $2";
        let found: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .fetch_one(conn)
            .await)?;
        Ok(found > 0)
    }

    /// A person; none once erased. A writing transaction holds the row from then on, so that an etag compared with this
    /// answer still stands when the new one is written.
    pub async fn party(&mut self, tenant: &TenantId, id: PartyId) -> Result<Option<Party>> {
        const PARTY: &str = "SELECT sealed_profile, version, create_time, update_time FROM parties
            WHERE tenant_id = $1 AND party_id = $2";
        const NUMBERS: &str = "SELECT sealed_number, line_type, registers, reassigned_check FROM party_numbers
            WHERE tenant_id = $1 AND party_id = $2 AND end_time IS NULL ORDER BY position, number_key";
        const HOLD: &str = "SELECT sealed_profile, version, create_time, update_time FROM parties
            WHERE tenant_id = $1 AND party_id = $2 FOR NO KEY UPDATE";
        let hold = if self.writing { HOLD } else { PARTY };
        let stored: Option<PartyRow> = on!(
            self,
            postgres
                | conn
                | sqlx::query_as(hold)
                    .bind(&tenant.0)
                    .bind(id.0)
                    .fetch_optional(conn)
                    .await,
            sqlite
                | conn
                | sqlx::query_as(PARTY)
                    .bind(&tenant.0)
                    .bind(id.0)
                    .fetch_optional(conn)
                    .await
        )?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        self.load_keys(tenant, &[id]).await?;
        let Some(key) = self.key_of(id) else {
            return Ok(None);
        };
        let numbers: Vec<NumberRow> = on!(self, |conn| sqlx::query_as(NUMBERS)
            .bind(&tenant.0)
            .bind(id.0)
            .fetch_all(conn)
            .await)?;
        let account = self.account_at_present(id, &key).await?;
        let profile = open_profile(&key, stored.sealed_profile.as_deref())?;
        Ok(Some(Party {
            party_id: id,
            profile: Profile { account, ..profile },
            numbers: numbers
                .iter()
                .map(|row| open_number_row(&key, row))
                .collect::<Result<_>>()?,
            etag: stored.version.to_string(),
            create_time: Micros(stored.create_time),
            update_time: Micros(stored.update_time),
        }))
    }

    async fn insert_numbers(
        &mut self,
        tenant: &TenantId,
        party: PartyId,
        numbers: &[PartyNumber],
        key: &DataKey,
        at: Micros,
    ) -> Result<()> {
        let hasher = self.vault.hasher().clone();
        let mut rows = Vec::with_capacity(numbers.len());
        for (position, number) in (0_i64..).zip(numbers) {
            rows.push((
                hasher.key(tenant, number.number),
                key.seal(Label::Number, number.number.reveal().as_bytes())?,
                number.line_type.as_str(),
                to_text(&number.registers)?,
                number.reassigned_check.as_ref().map(to_text).transpose()?,
                position,
            ));
        }
        insert_rows!(self, "party_numbers", &rows, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            party_id: "uuid" = party.0,
            number_key: "bytea" = row.0.0.to_vec(),
            sealed_number: "bytea" = row.1.clone(),
            line_type: "text" = row.2,
            registers: "text" = row.3.clone(),
            reassigned_check: "text" = row.4.clone(),
            position: "bigint" = row.5,
            create_time: "bigint" = at.0,
        }, " ON CONFLICT (tenant_id, number_key, party_id) DO UPDATE SET sealed_number = excluded.sealed_number,
            line_type = excluded.line_type, registers = excluded.registers,
            reassigned_check = excluded.reassigned_check, position = excluded.position, end_time = NULL")?;
        Ok(())
    }

    /// Brings the data keys of these people into [`Tx::key_of`]. A person nobody recorded is an error.
    pub(super) async fn load_keys(&mut self, tenant: &TenantId, ids: &[PartyId]) -> Result<()> {
        match self.load_sound_keys(tenant, ids).await?.pop() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    /// The same for those whose keys can be unwrapped; answers the others, and why.
    pub(super) async fn load_sound_keys(
        &mut self,
        tenant: &TenantId,
        ids: &[PartyId],
    ) -> Result<Vec<(PartyId, StoreError)>> {
        let mut damaged = Vec::new();
        let mut wanted: Vec<Uuid> = ids
            .iter()
            .filter(|id| !self.keys.contains_key(id))
            .map(|id| id.0)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(damaged);
        }
        let rows: Vec<KeyRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT party_id, wrapped_key FROM parties WHERE tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&wanted);
            query.build_query_as().fetch_all(conn).await
        })?;
        if rows.len() < wanted.len() {
            return Err(StoreError::Other(
                "a person that is named is not recorded".to_owned(),
            ));
        }
        for row in rows {
            let party = PartyId(row.party_id);
            let key = row
                .wrapped_key
                .map(|wrapped| self.vault.unwrap(party, &wrapped))
                .transpose();
            match key {
                Ok(key) => drop(self.keys.insert(party, key)),
                Err(error) => damaged.push((party, error)),
            }
        }
        Ok(damaged)
    }

    /// A key that was loaded; none for an erased person.
    pub(super) fn key_of(&self, party: PartyId) -> Option<DataKey> {
        self.keys.get(&party).cloned().flatten()
    }

    /// Seals for a person whose key was loaded; none for an erased person, of whom nothing more is kept.
    pub(super) fn seal_for(
        &self,
        party: PartyId,
        label: Label,
        plain: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>> {
        match (self.key_of(party), plain) {
            (Some(key), Some(plain)) => key.seal(label, plain).map(Some),
            _ => Ok(None),
        }
    }

    /// Opens what was sealed for a person whose key was loaded; none for an erased person.
    pub(super) fn open_for(
        &self,
        party: PartyId,
        label: Label,
        sealed: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>> {
        match (self.key_of(party), sealed) {
            (Some(key), Some(sealed)) => key.open(label, sealed).map(Some),
            _ => Ok(None),
        }
    }
}

pub(super) fn open_profile(key: &DataKey, sealed: Option<&[u8]>) -> Result<Profile> {
    let sealed = sealed.ok_or(StoreError::Damaged { what: "profile" })?;
    Profile::from_json(&key.open(Label::Profile, sealed)?)
        .map_err(|_| StoreError::Damaged { what: "profile" })
}

pub(super) fn parse_phone(plain: &[u8]) -> Result<Phone> {
    std::str::from_utf8(plain)
        .ok()
        .and_then(|text| Phone::parse(text).ok())
        .ok_or(StoreError::Damaged { what: "number" })
}

pub(super) fn number_key(bytes: &[u8]) -> Result<NumberKey> {
    bytes
        .try_into()
        .map(NumberKey)
        .map_err(|_| StoreError::Damaged { what: "number key" })
}

/// One word of a closed set, as the database keeps it.
pub(super) fn word<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T> {
    text.parse().map_err(|_| StoreError::Damaged { what })
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    text: &[u8],
    what: &'static str,
) -> Result<T> {
    serde_json::from_slice(text).map_err(|_| StoreError::Damaged { what })
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    to_text(value).map(String::into_bytes)
}

pub(super) fn to_text<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Other(format!("a value has no JSON form: {error}")))
}

fn open_number_row(key: &DataKey, row: &NumberRow) -> Result<PartyNumber> {
    let sealed = row
        .sealed_number
        .as_deref()
        .ok_or(StoreError::Damaged { what: "number" })?;
    Ok(PartyNumber {
        number: parse_phone(&key.open(Label::Number, sealed)?)?,
        line_type: word(&row.line_type, "line type")?,
        registers: from_json(row.registers.as_bytes(), "registers")?,
        reassigned_check: match &row.reassigned_check {
            Some(text) => Some(from_json(text.as_bytes(), "reassigned check")?),
            None => None,
        },
    })
}
