//! Opt-outs and what else blocks. A suppression keeps only the key of its number, so it outlives the erasure of a person.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::consents::{join_channels, split_channels};
use super::holders::links;
use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{number_key, word};
use super::sql::Text as _;
use super::vault::Label;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::CallKind;
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{PartyId, SuppressionId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{
    Lift, LiftRequest, Suppression, SuppressionReason, SuppressionSource, SuppressionSubject,
};
use crate::domain::time::Micros;

/// What suppressions can be filtered by. One that stands has no `lift_time`: `NOT lift_time > "1970-01-01T00:00:00Z"`.
pub const SUPPRESSION_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("received_time", FieldKind::Time),
    field("expire_time", FieldKind::Time),
    field("lift_time", FieldKind::Time),
    field("suppression_id", FieldKind::Uuid),
    field("number_key", FieldKind::Key),
    field("party_id", FieldKind::Uuid),
    field("seller", FieldKind::Text),
    field(
        "reason",
        FieldKind::Words(|word| word.parse::<SuppressionReason>().err()),
    ),
    field(
        "source",
        FieldKind::Words(|word| word.parse::<SuppressionSource>().err()),
    ),
    field("actor", FieldKind::Text),
];

row!(SuppressionRow {
    suppression_id: Uuid,
    number_key: Option<Vec<u8>>,
    party_id: Option<Uuid>,
    seller: Option<String>,
    channels: String,
    reason: String,
    source: String,
    received_time: i64,
    create_time: i64,
    expire_time: Option<i64>,
    evidence_ref: Option<String>,
    sealed_note: Option<Vec<u8>>,
    actor: String,
    lift_time: Option<i64>,
    lift_request_time: Option<i64>,
    lift_requested_by: Option<String>,
    lift_approved_by: Option<String>,
    lift_reason: Option<String>,
    lift_evidence_ref: Option<String>,
    lift_evidence_time: Option<i64>,
});

row!(HeldRow {
    party_id: Uuid,
    number_key: Vec<u8>,
    end_time: Option<i64>,
});

impl Tx {
    /// Records a suppression.
    pub async fn insert_suppression(&mut self, tenant: &TenantId, new: &Suppression) -> Result<()> {
        self.insert_suppressions(tenant, std::slice::from_ref(new))
            .await
    }

    /// Records many.
    pub async fn insert_suppressions(
        &mut self,
        tenant: &TenantId,
        new: &[Suppression],
    ) -> Result<()> {
        let own = self.vault.own();
        let sealed = |new: &Suppression| {
            let note = new.note.as_ref();
            note.map(|note| own.seal(Label::SuppressionNote, note.as_bytes()))
                .transpose()
        };
        let rows = new
            .iter()
            .map(|new| Ok((new, sealed(new)?, join_channels(&new.channels))))
            .collect::<Result<Vec<_>>>()?;
        insert_rows!(self, "suppressions", &rows, |row| {
            suppression_id: "uuid" = row.0.suppression_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            number_key: "bytea" = number_of(row.0),
            party_id: "uuid" = party_of(row.0),
            seller: "text" = row.0.seller.as_deref(),
            channels: "text" = row.2.as_str(),
            reason: "text" = row.0.reason.as_str(),
            source: "text" = row.0.source.as_str(),
            received_time: "bigint" = row.0.received_at.0,
            create_time: "bigint" = row.0.recorded_at.0,
            expire_time: "bigint" = row.0.expires_at.map(|at| at.0),
            evidence_ref: "text" = row.0.evidence_ref.as_deref(),
            sealed_note: "bytea" = row.1.clone(),
            actor: "text" = row.0.actor.as_str(),
        })?;
        Ok(())
    }

    /// One suppression, lifted or not.
    pub async fn suppression(
        &mut self,
        tenant: &TenantId,
        id: SuppressionId,
    ) -> Result<Option<Suppression>> {
        let row: Option<SuppressionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND suppression_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(|row| self.read_suppression(row)).transpose()
    }

    /// Suppressions, newest recorded first.
    pub async fn list_suppressions(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<Suppression>> {
        let rows: Vec<SuppressionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "suppression_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        q.page(rows, |row| (row.create_time, row.suppression_id))
            .try_map(|row| self.read_suppression(row))
    }

    /// Records the wish to lift, the first of two people's; false = lifted already, asked for already, or never there.
    pub async fn request_lift(
        &mut self,
        tenant: &TenantId,
        id: SuppressionId,
        request: &LiftRequest,
    ) -> Result<bool> {
        const SQL: &str =
            "UPDATE suppressions SET lift_request_time = $3, lift_requested_by = $4, lift_reason = $5, lift_evidence_ref = $6,
            lift_evidence_time = $7
            WHERE tenant_id = $1 AND suppression_id = $2 AND lift_time IS NULL AND lift_request_time IS NULL";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .bind(request.at.0)
            .bind(&request.requested_by)
            .bind(&request.reason)
            .bind(&request.evidence_ref)
            .bind(request.evidence_at.map(|at| at.0))
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Lifts a suppression as somebody asked and another person now approves; false = lifted already, not asked for, asked
    /// for by the same person, or never there.
    pub async fn lift_suppression(
        &mut self,
        tenant: &TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE suppressions SET lift_time = $3, lift_approved_by = $5
            WHERE tenant_id = $1 AND suppression_id = $2 AND lift_time IS NULL AND lift_requested_by = $4
            AND lift_requested_by <> $5";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .bind(lift.at.0)
            .bind(&lift.requested_by)
            .bind(&lift.approved_by)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// The people whom it follows to all their numbers, because it was told of one of them; at most `limit`.
    pub async fn followed(
        &mut self,
        tenant: &TenantId,
        suppression: &Suppression,
        limit: i64,
    ) -> Result<Vec<PartyId>> {
        // `Suppression::follows_holder`, of many.
        const SQL: &str = concat!(
            "SELECT party_id FROM ",
            links!(),
            " AS n WHERE tenant_id = $1 AND number_key = $2
            AND (end_time IS NULL OR end_time > $3) ORDER BY party_id LIMIT $4"
        );
        let SuppressionSubject::Number(key) = suppression.subject else {
            return Ok(Vec::new());
        };
        if !suppression.reason.is_of_person() {
            return Ok(Vec::new());
        }
        let people: Vec<Uuid> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(key.0.to_vec())
            .bind(suppression.told_by().0)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        Ok(people.into_iter().map(PartyId).collect())
    }

    /// Unlifted, unexpired suppressions of these numbers, of the people who hold them, and of their other numbers where it
    /// follows them from there; those that bind this seller, or all.
    pub async fn covering(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
        seller: Option<&str>,
        at: Micros,
    ) -> Result<Vec<(NumberKey, Suppression)>> {
        let holders = self.parties_by_number(tenant, keys).await?;
        let mut numbers_of: BTreeMap<PartyId, Vec<NumberKey>> = BTreeMap::new();
        for (key, party) in holders {
            numbers_of.entry(party).or_default().push(key);
        }
        let parties: Vec<PartyId> = numbers_of.keys().copied().collect();
        let mut links: BTreeMap<NumberKey, Vec<(PartyId, Option<Micros>)>> =
            keys.iter().map(|key| (*key, Vec::new())).collect();
        for (party, key, held_until) in self.links_of(tenant, &parties).await? {
            links.entry(key).or_default().push((party, held_until));
        }
        let theirs: Vec<NumberKey> = links.keys().copied().collect();
        let mut found = Vec::new();
        for suppression in self
            .active_suppressions(tenant, &theirs, &parties, at)
            .await?
        {
            let binds = match (&suppression.seller, seller) {
                (Some(bound), Some(seller)) => bound == seller,
                _ => true,
            };
            match suppression.subject {
                _ if !binds => {}
                SuppressionSubject::Number(told) => {
                    let people = links.get(&told).into_iter().flatten();
                    let numbers = people
                        .filter(|(_, held_until)| suppression.follows_holder(*held_until))
                        .filter_map(|(party, _)| numbers_of.get(party))
                        .flatten()
                        .chain(keys.iter().filter(|key| **key == told));
                    // Once for each number, though several people share it.
                    let numbers: BTreeSet<NumberKey> = numbers.copied().collect();
                    found.extend(numbers.into_iter().map(|key| (key, suppression.clone())));
                }
                SuppressionSubject::Party(party) => {
                    let numbers = numbers_of.get(&party).into_iter().flatten();
                    found.extend(numbers.map(|key| (*key, suppression.clone())));
                }
            }
        }
        Ok(found)
    }

    /// Which numbers these people hold or held, and until when.
    async fn links_of(
        &mut self,
        tenant: &TenantId,
        parties: &[PartyId],
    ) -> Result<Vec<(PartyId, NumberKey, Option<Micros>)>> {
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let rows: Vec<HeldRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(HeldRow::COLUMNS)
                .text(concat!(" FROM ", links!(), " AS n WHERE tenant_id = "))
                .bind_text(&tenant.0);
            query.text(" AND party_id").among_uuids(&parties);
            query.build_query_as().fetch_all(conn).await
        })?;
        let held = |row: HeldRow| {
            let key = number_key(&row.number_key)?;
            Ok((PartyId(row.party_id), key, row.end_time.map(Micros)))
        };
        rows.into_iter().map(held).collect()
    }

    /// An unlifted, never expiring suppression of the same subject and of equal or wider scope; the one that
    /// binds from the latest time.
    pub async fn same_suppression(
        &mut self,
        tenant: &TenantId,
        subject: SuppressionSubject,
        seller: Option<&str>,
        channels: &[CallKind],
    ) -> Result<Option<Suppression>> {
        let (keys, parties) = match subject {
            SuppressionSubject::Number(key) => (vec![key], Vec::new()),
            SuppressionSubject::Party(party) => (Vec::new(), vec![party]),
        };
        // The end of time: what could expire is not as wide as what cannot.
        let active = self
            .active_suppressions(tenant, &keys, &parties, Micros(i64::MAX))
            .await?;
        Ok(active
            .into_iter()
            .filter(|old| old.is_as_wide_as(seller, channels))
            .max_by_key(Suppression::binds_from))
    }

    /// Those of these numbers of which somebody holds or held one.
    pub async fn linked_numbers(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<HashSet<NumberKey>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let rows: Vec<Vec<u8>> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT DISTINCT number_key FROM party_numbers WHERE tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&keys);
            query.build_query_scalar().fetch_all(conn).await
        })?;
        rows.iter().map(|key| number_key(key)).collect()
    }

    /// Unlifted, never expiring suppressions of these numbers, oldest first.
    pub async fn lasting_suppressions(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<Vec<Suppression>> {
        self.active_suppressions(tenant, keys, &[], Micros(i64::MAX))
            .await
    }

    /// Unlifted suppressions of these numbers and people that have not expired by then, oldest first.
    pub(super) async fn active_suppressions(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
        parties: &[PartyId],
        at: Micros,
    ) -> Result<Vec<Suppression>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let mut rows: Vec<SuppressionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            // Two halves, of which a suppression meets one: with OR, or with ORDER BY, SQLite would walk over all of the
            // tenant's, whatever the indexes, and by identifiers found beforehand PostgreSQL would, where it has no statistics.
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&keys)
                .text(" AND lift_time IS NULL AND (expire_time IS NULL OR expire_time > ")
                .bind_number(at.0)
                .text(") UNION ALL SELECT ");
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&parties)
                .text(" AND lift_time IS NULL AND (expire_time IS NULL OR expire_time > ")
                .bind_number(at.0)
                .text(")");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.sort_by_key(|row| (row.create_time, row.suppression_id));
        rows.into_iter()
            .map(|row| self.read_suppression(row))
            .collect()
    }

    pub(super) fn read_suppression(&self, row: SuppressionRow) -> Result<Suppression> {
        let subject = match (row.number_key, row.party_id) {
            (Some(key), None) => SuppressionSubject::Number(number_key(&key)?),
            (None, Some(party)) => SuppressionSubject::Party(PartyId(party)),
            _ => {
                return Err(StoreError::Damaged {
                    what: "suppression subject",
                });
            }
        };
        let asked = match (row.lift_request_time, row.lift_requested_by) {
            (Some(at), Some(requested_by)) => Some(LiftRequest {
                at: Micros(at),
                requested_by,
                reason: row.lift_reason.unwrap_or_default(),
                evidence_ref: row.lift_evidence_ref.unwrap_or_default(),
                evidence_at: row.lift_evidence_time.map(Micros),
            }),
            _ => None,
        };
        let lift = match (&asked, row.lift_time) {
            (Some(asked), Some(at)) => Some(Lift {
                at: Micros(at),
                requested_by: asked.requested_by.clone(),
                approved_by: row.lift_approved_by.unwrap_or_default(),
                reason: asked.reason.clone(),
                evidence_ref: asked.evidence_ref.clone(),
                evidence_at: asked.evidence_at,
            }),
            _ => None,
        };
        let note = row
            .sealed_note
            .map(|sealed| self.vault.own().open(Label::SuppressionNote, &sealed))
            .transpose()?;
        Ok(Suppression {
            suppression_id: SuppressionId(row.suppression_id),
            subject,
            seller: row.seller,
            channels: split_channels(&row.channels)?,
            reason: word(&row.reason, "suppression reason")?,
            source: word(&row.source, "suppression source")?,
            received_at: Micros(row.received_time),
            recorded_at: Micros(row.create_time),
            expires_at: row.expire_time.map(Micros),
            evidence_ref: row.evidence_ref,
            note: note.map(|note| String::from_utf8_lossy(&note).into_owned()),
            actor: row.actor,
            lift_request: asked,
            lift,
        })
    }
}

fn number_of(suppression: &Suppression) -> Option<Vec<u8>> {
    match suppression.subject {
        SuppressionSubject::Number(key) => Some(key.0.to_vec()),
        SuppressionSubject::Party(_) => None,
    }
}

fn party_of(suppression: &Suppression) -> Option<Uuid> {
    match suppression.subject {
        SuppressionSubject::Number(_) => None,
        SuppressionSubject::Party(party) => Some(party.0),
    }
}
