//! The facts of a whole batch, one statement a table, put together as the case object wants them. What is told of a number
//! holds for everybody who has it ([`super::number_facts`]).
//!
//! What the store does not know stays absent: the facts about the number shown, the seller's registrations and the
//! operator's stops come from the configuration, and a line type that nobody recorded may be told by the number itself.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::consents::split_channels;
use super::number_facts::{Link, Numbers};
use super::parties::{number_key, open_profile, word};
use super::raises::Raises;
use super::sql::Text as _;
use super::{Result, Tx, on, row};
use crate::domain::call::{CallKind, Outcome};
use crate::domain::disposition::AttemptResult;
use crate::domain::ids::{CallId, PartyId, SuppressionId, TenantId};
use crate::domain::party::{LineType, Profile};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::suppression::{Suppression, SuppressionReason, SuppressionSubject};
use crate::domain::time::Micros;
use crate::policy::facts::{Attempt, Consent, Facts, OptOut, OptOutKind, OptOutScope};

/// How far back attempts are looked at; longer than any cap's window. Refusals are looked at for ever: some national rules
/// know no end to them.
const ATTEMPTS_LOOK_BACK: Duration = Duration::from_hours(400 * 24);

/// Most attempts of one person by one seller in a case.
const ATTEMPTS_MAX: usize = 500;

/// Whose facts are wanted, towards whom.
#[derive(Debug, Clone)]
pub struct FactsWanted {
    /// The number judged.
    pub number: Phone,
    /// Its key.
    pub number_key: NumberKey,
    /// The person judged.
    pub party_id: PartyId,
    /// The seller on whose behalf.
    pub seller: String,
    /// The kind of call.
    pub call_kind: CallKind,
    /// The call itself, if there is one yet: what it tried before is the same attempt, not an earlier one.
    pub call_id: Option<CallId>,
    /// The instant judged.
    pub at: Micros,
}

row!(PersonRow { party_id: Uuid, wrapped_key: Option<Vec<u8>>, sealed_profile: Option<Vec<u8>> });

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

/// An attempt that counts.
struct Past {
    call: CallId,
    party: PartyId,
    key: NumberKey,
    seller: String,
    attempt: Attempt,
}

/// Everything that the batch touches.
struct Known {
    profiles: HashMap<PartyId, Profile>,
    numbers: Numbers,
    suppressions: Vec<Suppression>,
    raises: Raises,
    consents: Vec<(PartyId, NumberKey, String, Consent)>,
    attempts: Vec<Past>,
}

impl Tx {
    /// The facts, in the order of the questions. A person who is not recorded, or was erased, has no profile; what blocks
    /// their number still does.
    pub async fn load_facts(
        &mut self,
        tenant: &TenantId,
        wanted: &[FactsWanted],
    ) -> Result<Vec<Facts>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let parties: Vec<PartyId> = wanted.iter().map(|wanted| wanted.party_id).collect();
        let keys: Vec<NumberKey> = wanted.iter().map(|wanted| wanted.number_key).collect();
        let earliest = wanted
            .iter()
            .map(|wanted| wanted.at)
            .min()
            .unwrap_or_default();
        let ids: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let profiles = self.load_profiles(tenant, &ids).await?;
        let numbers = self.load_numbers(tenant, &ids, &keys).await?;
        // A wish told of one number is the person's, and binds for all of them.
        let theirs = numbers
            .links
            .keys()
            .map(|(_, key)| *key)
            .chain(keys.iter().copied());
        let theirs: Vec<NumberKey> = theirs.collect::<BTreeSet<_>>().into_iter().collect();
        // What expires later than that is sorted out one by one below.
        let suppressions = self
            .active_suppressions(tenant, &theirs, &parties, earliest)
            .await?;
        let known = Known {
            profiles,
            numbers,
            raises: self.raises(tenant, &ids, &suppressions).await?,
            suppressions,
            consents: self.load_consents(tenant, &ids).await?,
            attempts: self
                .load_attempts(tenant, &ids, &keys, earliest.minus(ATTEMPTS_LOOK_BACK))
                .await?,
        };
        self.seen.extend(known.seen());
        Ok(wanted.iter().map(|wanted| known.facts(wanted)).collect())
    }

    async fn load_profiles(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<HashMap<PartyId, Profile>> {
        let rows: Vec<PersonRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(PersonRow::COLUMNS)
                .text(" FROM parties WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND party_id").among_uuids(ids);
            query.build_query_as().fetch_all(conn).await
        })?;
        let mut profiles = HashMap::new();
        for row in rows {
            let party = PartyId(row.party_id);
            let key = row
                .wrapped_key
                .map(|wrapped| self.vault.unwrap(party, &wrapped))
                .transpose()?;
            if let Some(key) = &key {
                profiles.insert(party, open_profile(key, row.sealed_profile.as_deref())?);
            }
            self.keys.insert(party, key);
        }
        Ok(profiles)
    }

    async fn load_consents(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<Vec<(PartyId, NumberKey, String, Consent)>> {
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

impl Known {
    /// Each suppression with its subject, and with each person whom it follows to their other numbers.
    fn seen(&self) -> impl Iterator<Item = (SuppressionId, SuppressionSubject)> {
        self.suppressions.iter().flat_map(|each| {
            let followed = |((_, key), link): &(&(PartyId, NumberKey), &Link)| {
                each.subject == SuppressionSubject::Number(*key)
                    && each.follows_holder(link.held_until)
            };
            let people = self
                .numbers
                .links
                .iter()
                .filter(followed)
                .map(|((party, _), _)| SuppressionSubject::Party(*party));
            std::iter::once(each.subject)
                .chain(people)
                .map(|subject| (each.suppression_id, subject))
        })
    }

    /// Whether it was told of a number of this person's, and is of the person.
    fn follows(&self, suppression: &Suppression, party: PartyId) -> bool {
        match suppression.subject {
            SuppressionSubject::Number(key) => self
                .numbers
                .links
                .get(&(party, key))
                .is_some_and(|link| suppression.follows_holder(link.held_until)),
            SuppressionSubject::Party(_) => false,
        }
    }

    fn facts(&self, wanted: &FactsWanted) -> Facts {
        let mut profile = self
            .profiles
            .get(&wanted.party_id)
            .cloned()
            .unwrap_or_default();
        // A case is one seller's: what the person did with others is no fact of it.
        let dealings = profile.dealings.remove(&wanted.seller).unwrap_or_default();
        let link = self
            .numbers
            .links
            .get(&(wanted.party_id, wanted.number_key));
        let told = self.numbers.told.get(&wanted.number_key);
        Facts {
            audience: profile.audience,
            line_type: link
                .map(|link| link.line_type)
                .filter(|line| *line != LineType::Unknown),
            location: profile.location,
            opt_outs: self.opt_outs(wanted),
            consents: self.consents(wanted),
            registers: told.map(|told| told.registers.clone()).unwrap_or_default(),
            relationship: dealings.relationship,
            attempts: self.attempts(wanted),
            legitimate_interest: dealings.legitimate_interest,
            presumed_consent: dealings.presumed_consent,
            notice: dealings.notice,
            restriction: profile.restriction,
            callback: dealings.callback,
            directory: profile.directory,
            reassigned_check: told.and_then(|told| told.reassigned_check),
            minor: profile.minor,
            personal_relationship: dealings.personal_relationship,
            ..Facts::default()
        }
    }

    fn opt_outs(&self, wanted: &FactsWanted) -> Vec<OptOut> {
        let covers = |suppression: &&Suppression| {
            let subject = match suppression.subject {
                SuppressionSubject::Number(key) => {
                    key == wanted.number_key || self.follows(suppression, wanted.party_id)
                }
                SuppressionSubject::Party(party) => party == wanted.party_id,
            };
            let seller = suppression
                .seller
                .as_ref()
                .is_none_or(|seller| *seller == wanted.seller);
            let kind = suppression.covers_kind(wanted.call_kind);
            subject && seller && kind && suppression.expires_at.is_none_or(|at| at > wanted.at)
        };
        self.suppressions
            .iter()
            .filter(covers)
            .map(|each| opt_out(each, self.raises.binds_from(each, wanted.party_id)))
            .collect()
    }

    fn consents(&self, wanted: &FactsWanted) -> Vec<Consent> {
        let about = |(party, key, seller, _): &&(PartyId, NumberKey, String, Consent)| {
            *party == wanted.party_id && *key == wanted.number_key && *seller == wanted.seller
        };
        self.consents
            .iter()
            .filter(about)
            .map(|(_, _, _, consent)| consent.clone())
            .collect()
    }

    fn attempts(&self, wanted: &FactsWanted) -> Vec<Attempt> {
        let since = wanted.at.minus(ATTEMPTS_LOOK_BACK);
        let counts = |past: &&Past| {
            let refused = matches!(
                past.attempt.outcome,
                AttemptResult::Refused | AttemptResult::HungUp
            );
            let about = past.party == wanted.party_id || past.key == wanted.number_key;
            let earlier = Some(past.call) != wanted.call_id;
            about
                && earlier
                && past.seller == wanted.seller
                && (refused || past.attempt.at >= since)
        };
        let told = |past: &Past| Attempt {
            to: if past.key == wanted.number_key {
                Some(wanted.number)
            } else {
                self.numbers
                    .links
                    .get(&(past.party, past.key))
                    .and_then(|link| link.number)
            },
            ..past.attempt.clone()
        };
        self.attempts
            .iter()
            .filter(counts)
            .take(ATTEMPTS_MAX)
            .map(told)
            .collect()
    }
}

fn opt_out(suppression: &Suppression, at: Micros) -> OptOut {
    OptOut {
        at,
        kind: match suppression.reason {
            SuppressionReason::Objection => OptOutKind::Objection,
            _ => OptOutKind::DoNotCall,
        },
        scope: Some(match suppression.seller {
            Some(_) => OptOutScope::Seller,
            None => OptOutScope::All,
        }),
        seller: suppression.seller.clone(),
        source: Some(suppression.source.as_str().to_owned()),
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
