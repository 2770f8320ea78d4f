//! Opt-outs and what else blocks. A suppression keeps only the key of its number, so it outlives the erasure of a person.

use std::collections::HashSet;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::accounts::account_key;
use super::consents::{join_channels, join_purposes, split_channels, split_purposes};
use super::holders::links;
use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{number_key, word};
use super::sql::Text as _;
use super::vault::Label;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::{CallKind, Purpose};
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
    field("lift_request_time", FieldKind::Time),
    field("lift_time", FieldKind::Time),
    field("suppression_id", FieldKind::Uuid),
    field("number_key", FieldKind::Key),
    field("party_id", FieldKind::Uuid),
    field("account_key", FieldKind::Key),
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
    field(
        "channels",
        FieldKind::Scope(|word| word.parse::<CallKind>().err()),
    ),
    field(
        "purposes",
        FieldKind::Scope(|word| word.parse::<Purpose>().err()),
    ),
];

row!(SuppressionRow {
    suppression_id: Uuid,
    number_key: Option<Vec<u8>>,
    party_id: Option<Uuid>,
    account_key: Option<Vec<u8>>,
    seller: Option<String>,
    channels: String,
    purposes: String,
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
            .map(|new| {
                // Purposes as what they do: statements that ask for one look at nothing else.
                let words = (join_channels(&new.channels), join_purposes(&new.purposes()));
                Ok((new, sealed(new)?, words))
            })
            .collect::<Result<Vec<_>>>()?;
        insert_rows!(self, "suppressions", &rows, |row| {
            suppression_id: "uuid" = row.0.suppression_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            number_key: "bytea" = number_of(row.0),
            party_id: "uuid" = party_of(row.0),
            account_key: "bytea" = account_of(row.0),
            seller: "text" = row.0.seller.as_deref(),
            channels: "text" = row.2.0.as_str(),
            purposes: "text" = row.2.1.as_str(),
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

    pub(super) fn read_suppression(&self, row: SuppressionRow) -> Result<Suppression> {
        let subject = match (row.number_key, row.party_id, row.account_key) {
            (Some(key), None, None) => SuppressionSubject::Number(number_key(&key)?),
            (None, Some(party), None) => SuppressionSubject::Party(PartyId(party)),
            (None, None, Some(key)) => SuppressionSubject::Account(account_key(&key)?),
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
            purposes: split_purposes(&row.purposes)?,
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
        SuppressionSubject::Party(_) | SuppressionSubject::Account(_) => None,
    }
}

fn party_of(suppression: &Suppression) -> Option<Uuid> {
    match suppression.subject {
        SuppressionSubject::Party(party) => Some(party.0),
        SuppressionSubject::Number(_) | SuppressionSubject::Account(_) => None,
    }
}

fn account_of(suppression: &Suppression) -> Option<Vec<u8>> {
    match suppression.subject {
        SuppressionSubject::Account(key) => Some(key.0.to_vec()),
        SuppressionSubject::Number(_) | SuppressionSubject::Party(_) => None,
    }
}
