//! The facts of a whole batch, one statement a table; `known` puts them together as the case object wants them. What is
//! told of a number holds for everybody who has it (`number_facts`).
//!
//! What the store does not know stays absent: the facts about the number shown, the seller's registrations and the
//! operator's stops come from the configuration, and a line type that nobody recorded may be told by the number itself.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::consents::split_channels;
use super::covering::About;
use super::known::{Known, Past};
use super::number_facts::Links;
use super::parties::{number_key, open_profile, word};
use super::sql::Text as _;
use super::{Result, Tx, on, row};
use crate::domain::account::AccountKey;
use crate::domain::call::{CallKind, Outcome, Purpose};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{CallId, PartyId, TenantId};
use crate::domain::party::Profile;
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;
use crate::policy::facts::{Attempt, Consent, Facts};

/// How far back attempts are looked at; longer than any cap's window. Refusals are looked at for ever: some national rules
/// know no end to them.
pub(super) const ATTEMPTS_LOOK_BACK: Duration = Duration::from_hours(400 * 24);

/// Most attempts of one person by one seller in a case.
pub(super) const ATTEMPTS_MAX: usize = 500;

/// Whose facts are wanted, towards whom.
#[derive(Debug, Clone)]
pub struct FactsWanted {
    /// The number judged.
    pub number: Phone,
    /// Its key.
    pub number_key: NumberKey,
    /// The person judged; none where nobody holds the number.
    pub party_id: Option<PartyId>,
    /// The seller on whose behalf.
    pub seller: String,
    /// The kind of call.
    pub call_kind: CallKind,
    /// Why the person would be called.
    pub purpose: Purpose,
    /// The call itself, if there is one yet: what it tried before is the same attempt, not an earlier one.
    pub call_id: Option<CallId>,
    /// The instant judged.
    pub at: Micros,
}

row!(PersonRow {
    party_id: Uuid,
    wrapped_key: Option<Vec<u8>>,
    sealed_profile: Option<Vec<u8>>,
    in_accounts: bool,
});

row!(ConsentRow {
    party_id: Uuid,
    number_key: Vec<u8>,
    seller: String,
    action: String,
    event_time: i64,
    channels: String,
    form: Option<String>,
    explicit: Option<bool>,
    documented: Option<bool>,
    out_of_hours: Option<bool>,
    period: Option<String>,
    initiated_by: Option<String>,
    source: Option<String>,
    evidence_ref: Option<String>,
});

row!(AttemptRow {
    call_id: Uuid,
    party_id: Uuid,
    number_key: Vec<u8>,
    seller: String,
    subject: Option<String>,
    sealed_from: Option<Vec<u8>>,
    create_time: i64,
    outcome: Option<String>,
    result: Option<String>,
});

impl Tx {
    /// The facts, in the order of the questions. A person who is not recorded, or was erased, has no profile; what blocks
    /// their number still does.
    pub async fn load_facts(
        &mut self,
        tenant: &TenantId,
        wanted: &[FactsWanted],
    ) -> Result<Vec<Facts>> {
        self.load_facts_among(tenant, wanted, &Links::default())
            .await
    }

    /// The same, where this transaction has asked already who holds the numbers.
    pub async fn load_facts_among(
        &mut self,
        tenant: &TenantId,
        wanted: &[FactsWanted],
        links: &Links,
    ) -> Result<Vec<Facts>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let parties: Vec<PartyId> = wanted.iter().filter_map(|wanted| wanted.party_id).collect();
        let keys: Vec<NumberKey> = wanted.iter().map(|wanted| wanted.number_key).collect();
        let earliest = wanted
            .iter()
            .map(|wanted| wanted.at)
            .min()
            .unwrap_or_default();
        let ids: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let (profiles, in_accounts) = self.load_profiles(tenant, &ids).await?;
        let memberships = self.memberships(tenant, &in_accounts).await?;
        let linked = keys.iter().copied().filter(|key| links.may_have(*key));
        let linked: Vec<NumberKey> = linked.collect();
        let numbers = self.load_numbers(tenant, &ids, &linked).await?;
        // A wish told of one number is the person's, and binds for all of them.
        let theirs = numbers
            .links
            .keys()
            .map(|(_, key)| *key)
            .chain(keys.iter().copied())
            .filter(|key| links.may_be_blocked(*key));
        let theirs: Vec<NumberKey> = theirs.collect::<BTreeSet<_>>().into_iter().collect();
        let accounts = memberships.iter().map(|each| each.account);
        let accounts: Vec<AccountKey> = accounts.collect::<BTreeSet<_>>().into_iter().collect();
        let about = About {
            numbers: &theirs,
            people: &parties,
            accounts: &accounts,
        };
        // What expires later than that is sorted out one by one below.
        let suppressions = self.active_suppressions(tenant, &about, earliest).await?;
        let raises = self.raises(tenant, &ids, &suppressions).await?;
        let consents = self.load_consents(tenant, &ids).await?;
        let since = earliest.minus(ATTEMPTS_LOOK_BACK);
        // Whoever was called at a number holds it or held it: of a stranger's there is no attempt to be found.
        let linked = linked.into_iter();
        let linked: Vec<NumberKey> = linked
            .filter(|key| numbers.told.contains_key(key))
            .collect();
        let attempts = self.load_attempts(tenant, &ids, &linked, since).await?;
        let known = Known::of(
            profiles,
            (numbers, memberships),
            (suppressions, raises),
            consents,
            attempts,
        );
        self.seen.extend(known.seen());
        Ok(wanted.iter().map(|wanted| known.facts(wanted)).collect())
    }

    /// The profiles, and which of these people belong to an account or did: most belong to none, and of them nothing more is
    /// asked.
    async fn load_profiles(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<(HashMap<PartyId, Profile>, Vec<PartyId>)> {
        if ids.is_empty() {
            return Ok((HashMap::new(), Vec::new()));
        }
        let rows: Vec<PersonRow> = on!(self, |conn| {
            // Not EXISTS: PostgreSQL may read all of the table for that, once.
            let mut query = QueryBuilder::<Db>::new(
                "SELECT party_id, wrapped_key, sealed_profile,
                    (SELECT 1 FROM party_accounts AS m
                        WHERE m.tenant_id = parties.tenant_id AND m.party_id = parties.party_id LIMIT 1) IS NOT NULL AS in_accounts
                 FROM parties WHERE tenant_id = ",
            );
            query.bind_text(&tenant.0);
            query.text(" AND party_id").among_uuids(ids);
            query.build_query_as().fetch_all(conn).await
        })?;
        let (mut profiles, mut in_accounts) = (HashMap::new(), Vec::new());
        for row in rows {
            let party = PartyId(row.party_id);
            if row.in_accounts {
                in_accounts.push(party);
            }
            let key = row
                .wrapped_key
                .map(|wrapped| self.vault.unwrap(party, &wrapped))
                .transpose()?;
            if let Some(key) = &key {
                profiles.insert(party, open_profile(key, row.sealed_profile.as_deref())?);
            }
            self.keys.insert(party, key);
        }
        Ok((profiles, in_accounts))
    }

    async fn load_consents(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<(PartyId, NumberKey, String, Consent)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<ConsentRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ConsentRow::COLUMNS)
                .text(" FROM consents WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query
                .text(" AND party_id")
                .among_uuids(ids)
                .text(" ORDER BY event_time, consent_event_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(read_consent).collect()
    }

    /// Attempts under which something may have been sent. One that was superseded counts as its successor.
    async fn load_attempts(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
        keys: &[NumberKey],
        since: Micros,
    ) -> Result<Vec<Past>> {
        if ids.is_empty() && keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let rows: Vec<AttemptRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query.text(AttemptRow::COLUMNS);
            query.text(" FROM (SELECT ").text(AttemptRow::COLUMNS).text(
                ", row_number() OVER (PARTITION BY party_id, seller ORDER BY create_time DESC, attempt_id DESC) AS newest
                 FROM attempts WHERE attempt_id IN (SELECT attempt_id FROM attempts WHERE tenant_id = ",
            );
            // Not with OR: SQLite would walk over all of the tenant's attempts, whatever the indexes.
            query
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(ids)
                .text(" UNION SELECT attempt_id FROM attempts WHERE tenant_id = ");
            query
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&keys)
                .text(") AND (create_time >= ")
                .bind_number(since.0);
            query.text(
                " OR result IN ('refused', 'hung_up') OR outcome IN ('rejected', 'unwanted'))
                 AND (outcome IS NULL OR outcome NOT IN ('superseded', 'permit_expired'))) AS recent
                 WHERE newest <= ",
            );
            query
                .bind_number(i64::try_from(ATTEMPTS_MAX).unwrap_or(i64::MAX))
                .text(" ORDER BY create_time DESC");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(|row| self.read_past(row)).collect()
    }

    fn read_past(&self, row: AttemptRow) -> Result<Past> {
        let outcome = row
            .outcome
            .map(|outcome| word::<Outcome>(&outcome, "outcome"))
            .transpose()?;
        let result = match row.result {
            Some(result) => word(&result, "attempt result")?,
            None => AttemptResult::of(outcome),
        };
        Ok(Past {
            call: CallId(row.call_id),
            party: PartyId(row.party_id),
            key: number_key(&row.number_key)?,
            seller: row.seller,
            attempt: Attempt {
                at: Micros(row.create_time),
                to: None,
                from: self.open_caller_id(row.sealed_from.as_deref())?,
                subject: row.subject,
                outcome: result,
            },
        })
    }
}

fn read_consent(row: ConsentRow) -> Result<(PartyId, NumberKey, String, Consent)> {
    let channels = split_channels(&row.channels)?;
    let consent = Consent {
        action: word(&row.action, "consent action")?,
        at: Micros(row.event_time),
        channels: Some(channels).filter(|channels| !channels.is_empty()),
        source: row.source,
        form: row
            .form
            .map(|form| word(&form, "consent form"))
            .transpose()?,
        explicit: row.explicit,
        documented: row.documented,
        out_of_hours: row.out_of_hours,
        period: row.period,
        initiated_by: row
            .initiated_by
            .map(|who| word(&who, "initiator"))
            .transpose()?,
        evidence_ref: row.evidence_ref,
    };
    Ok((
        PartyId(row.party_id),
        number_key(&row.number_key)?,
        row.seller,
        consent,
    ))
}
