//! Acts of consent. Append-only; the number is sealed under the person's key, so an erased person's acts are gone.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{number_key, parse_phone, word};
use super::sql::Text as _;
use super::vault::Label;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::call::{CallKind, Purpose};
use crate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm, ConsentMark};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{ConsentEventId, PartyId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::SuppressionSubject;
use crate::domain::time::{CLOCKS_APART, Micros};

/// What acts of consent can be filtered by.
pub const CONSENT_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("event_time", FieldKind::Time),
    field("consent_event_id", FieldKind::Uuid),
    field("party_id", FieldKind::Uuid),
    field("number_key", FieldKind::Key),
    field("seller", FieldKind::Text),
    field(
        "action",
        FieldKind::Words(|word| word.parse::<ConsentAction>().err()),
    ),
    field(
        "form",
        FieldKind::Words(|word| word.parse::<ConsentForm>().err()),
    ),
    field("source", FieldKind::Text),
    field("actor", FieldKind::Text),
    field(
        "channels",
        FieldKind::Scope(|word| word.parse::<CallKind>().err()),
    ),
];

row!(ConsentRow {
    consent_event_id: Uuid,
    party_id: Uuid,
    sealed_number: Option<Vec<u8>>,
    seller: String,
    action: String,
    event_time: i64,
    create_time: i64,
    channels: String,
    form: Option<String>,
    explicit: Option<bool>,
    documented: Option<bool>,
    out_of_hours: Option<bool>,
    period: Option<String>,
    initiated_by: Option<String>,
    source: Option<String>,
    evidence_ref: Option<String>,
    wording_ref: Option<String>,
    actor: String,
});

row!(MarkRow {
    party_id: Uuid,
    number_key: Vec<u8>,
    seller: String,
    action: String,
    event_time: i64,
    channels: String,
    form: Option<String>,
    evidence_ref: Option<String>,
});

/// Of a consent: whether nobody can tell that it was given after a wish, though it bears a time up to some minutes later
/// (`$until`). It may have been given before, if one of the two times was read off a node's clock as it was recorded; two
/// times that were both stated later are an order of events, and are kept.
macro_rules! in_doubt {
    (until $until:literal, recorded $recorded:literal, apart $apart:literal) => {
        concat!(
            "c.event_time <= ",
            $until,
            " AND (",
            $recorded,
            " < ",
            $until,
            " OR c.create_time < c.event_time + ",
            $apart,
            ")"
        )
    };
}
pub(super) use in_doubt;

impl Tx {
    /// Records an act. Its person must be recorded.
    pub async fn insert_consent(&mut self, tenant: &TenantId, event: &ConsentEvent) -> Result<()> {
        self.insert_consents(tenant, std::slice::from_ref(event))
            .await
    }

    /// Records many acts with one statement. Their people must be recorded.
    pub async fn insert_consents(
        &mut self,
        tenant: &TenantId,
        events: &[ConsentEvent],
    ) -> Result<()> {
        let parties: Vec<PartyId> = events.iter().map(|event| event.party_id).collect();
        self.load_keys(tenant, &parties).await?;
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let number = event.number.reveal();
            let sealed = self.seal_for(event.party_id, Label::Number, Some(number.as_bytes()))?;
            let key = self.vault.hasher().key(tenant, event.number);
            rows.push((event, sealed, key, join_channels(&event.channels)));
        }
        insert_rows!(self, "consents", &rows, |row| {
            consent_event_id: "uuid" = row.0.consent_event_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            party_id: "uuid" = row.0.party_id.0,
            number_key: "bytea" = row.2.0.to_vec(),
            sealed_number: "bytea" = row.1.clone(),
            seller: "text" = row.0.seller.as_str(),
            action: "text" = row.0.action.as_str(),
            event_time: "bigint" = row.0.at.0,
            create_time: "bigint" = row.0.recorded_at.0,
            channels: "text" = row.3.as_str(),
            form: "text" = row.0.form.map(|form| form.as_str()),
            explicit: "boolean" = row.0.explicit,
            documented: "boolean" = row.0.documented,
            out_of_hours: "boolean" = row.0.out_of_hours,
            period: "text" = row.0.period.as_deref(),
            initiated_by: "text" = row.0.initiated_by.map(|who| who.as_str()),
            source: "text" = row.0.source.as_deref(),
            evidence_ref: "text" = row.0.evidence_ref.as_deref(),
            wording_ref: "text" = row.0.wording_ref.as_deref(),
            actor: "text" = row.0.actor.as_str(),
        })?;
        Ok(())
    }

    /// What makes the acts of these people the acts they are, so that one told again is known.
    pub async fn consent_marks(
        &mut self,
        tenant: &TenantId,
        parties: &[PartyId],
    ) -> Result<Vec<ConsentMark>> {
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let rows: Vec<MarkRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(MarkRow::COLUMNS)
                .text(" FROM consents WHERE party_id")
                .among_uuids(&parties)
                .text(" AND tenant_id = ")
                .bind_text(&tenant.0);
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(ConsentMark::try_from).collect()
    }

    /// One act; none once the person was erased.
    pub async fn consent(
        &mut self,
        tenant: &TenantId,
        id: ConsentEventId,
    ) -> Result<Option<ConsentEvent>> {
        let row: Option<ConsentRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ConsentRow::COLUMNS)
                .text(" FROM consents WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND consent_event_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        let Some(row) = row else { return Ok(None) };
        self.load_keys(tenant, &[PartyId(row.party_id)]).await?;
        self.read_consent(row)
    }

    /// The latest time of a consent by this person, or by anyone who ever held this number or belonged to this account, that a wish said then and
    /// recorded now takes back, being on record: one that no clock can tell to have been given after the wish.
    pub async fn last_consent_given(
        &mut self,
        tenant: &TenantId,
        subject: SuppressionSubject,
        said: Micros,
        now: Micros,
    ) -> Result<Option<Micros>> {
        // What lies in the future was written by another clock than ours.
        macro_rules! last {
            ($whose:literal) => {
                concat!(
                    "SELECT MAX(c.event_time) FROM consents AS c WHERE c.tenant_id = $1 AND c.action = 'given'
                        AND (c.event_time > $4 OR ",
                    in_doubt!(until "$3", recorded "$4", apart "$5"),
                    ") AND c.party_id ",
                    $whose
                )
            };
        }
        const OF_PARTY: &str = last!("= $2");
        const OF_ACCOUNT: &str = last!(
            "IN (SELECT party_id FROM party_accounts WHERE tenant_id = $1 AND account_key = $2)"
        );
        const OF_NUMBER: &str = last!(
            "IN (SELECT party_id FROM party_numbers WHERE tenant_id = $1 AND number_key = $2)"
        );
        let (until, apart) = (said.plus(CLOCKS_APART), Micros(0).plus(CLOCKS_APART));
        let last: Option<i64> = match subject {
            SuppressionSubject::Party(party) => on!(self, |conn| sqlx::query_scalar(OF_PARTY)
                .bind(&tenant.0)
                .bind(party.0)
                .bind(until.0)
                .bind(now.0)
                .bind(apart.0)
                .fetch_one(conn)
                .await),
            SuppressionSubject::Account(key) => on!(self, |conn| sqlx::query_scalar(OF_ACCOUNT)
                .bind(&tenant.0)
                .bind(key.0.to_vec())
                .bind(until.0)
                .bind(now.0)
                .bind(apart.0)
                .fetch_one(conn)
                .await),
            SuppressionSubject::Number(key) => on!(self, |conn| sqlx::query_scalar(OF_NUMBER)
                .bind(&tenant.0)
                .bind(key.0.to_vec())
                .bind(until.0)
                .bind(now.0)
                .bind(apart.0)
                .fetch_one(conn)
                .await),
        }?;
        Ok(last.map(Micros))
    }

    /// Whether an act of this time, by this person or by whoever holds this number, may have come before an unlifted opt-out
    /// of theirs, though that bears an earlier time: the clock that read it, a node's or that of whoever told it, may have been
    /// behind.
    pub async fn opted_out_about(
        &mut self,
        tenant: &TenantId,
        subject: SuppressionSubject,
        at: Micros,
    ) -> Result<bool> {
        // SQLite walks a CROSS JOIN in the order written; begun at the opt-outs, it would look at all of the tenant's.
        macro_rules! told {
            ($which:literal) => {
                concat!(
                    "SELECT count(*) FROM suppressions WHERE suppression_id IN (",
                    $which,
                    ") AND lift_time IS NULL AND received_time < $3 AND received_time >= $4"
                )
            };
        }
        const OF_PARTY: &str = told!(
            "SELECT suppression_id FROM suppressions WHERE tenant_id = $1 AND party_id = $2
                UNION ALL SELECT s.suppression_id FROM party_numbers AS n CROSS JOIN suppressions AS s
                    WHERE n.tenant_id = $1 AND n.party_id = $2
                    AND s.tenant_id = n.tenant_id AND s.number_key = n.number_key
                UNION ALL SELECT s.suppression_id FROM party_accounts AS m CROSS JOIN suppressions AS s
                    WHERE m.tenant_id = $1 AND m.party_id = $2 AND s.tenant_id = m.tenant_id AND s.account_key = m.account_key"
        );
        const OF_NUMBER: &str = told!(
            "SELECT suppression_id FROM suppressions WHERE tenant_id = $1 AND number_key = $2"
        );
        let found: i64 = match subject {
            SuppressionSubject::Party(party) => on!(self, |conn| sqlx::query_scalar(OF_PARTY)
                .bind(&tenant.0)
                .bind(party.0)
                .bind(at.0)
                .bind(at.minus(CLOCKS_APART).0)
                .fetch_one(conn)
                .await),
            SuppressionSubject::Number(key) => on!(self, |conn| sqlx::query_scalar(OF_NUMBER)
                .bind(&tenant.0)
                .bind(key.0.to_vec())
                .bind(at.0)
                .bind(at.minus(CLOCKS_APART).0)
                .fetch_one(conn)
                .await),
            // No act of consent is an account's.
            SuppressionSubject::Account(_) => Ok(0),
        }?;
        Ok(found > 0)
    }

    /// Whether this act may have come before a withdrawal of the same consent, or of part of it, though that bears an earlier
    /// time: the clock of the node that recorded it as it was said may have been behind.
    pub async fn withdrawn_about(&mut self, tenant: &TenantId, act: &ConsentEvent) -> Result<bool> {
        const SQL: &str = "SELECT channels FROM consents WHERE tenant_id = $1 AND party_id = $2 AND number_key = $3
            AND seller = $4 AND action = 'withdrawn' AND event_time < $5 AND event_time >= $6";
        let key = self.vault.hasher().key(tenant, act.number);
        let found: Vec<String> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(act.party_id.0)
            .bind(key.0.to_vec())
            .bind(&act.seller)
            .bind(act.at.0)
            .bind(act.at.minus(CLOCKS_APART).0)
            .fetch_all(conn)
            .await)?;
        for channels in found {
            let channels = split_channels(&channels)?;
            let all = channels.is_empty() || act.channels.is_empty();
            if all || channels.iter().any(|kind| act.channels.contains(kind)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Acts, newest recorded first, of this person and number where given. Those of erased people are left out, so a page
    /// may be short.
    pub async fn consents(
        &mut self,
        tenant: &TenantId,
        party: Option<PartyId>,
        number: Option<&NumberKey>,
        q: &ListQuery,
    ) -> Result<Page<ConsentEvent>> {
        let rows: Vec<ConsentRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ConsentRow::COLUMNS)
                .text(" FROM consents WHERE ");
            if let Some(party) = party {
                query.text("party_id = ").bind_uuid(party.0).text(" AND ");
            }
            if let Some(number) = number {
                query
                    .text("number_key = ")
                    .bind_bytes(&number.0)
                    .text(" AND ");
            }
            query.text("tenant_id = ");
            push_list(&mut query, tenant, q, "consent_event_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let page = q.page(rows, |row| (row.create_time, row.consent_event_id));
        let parties: Vec<PartyId> = page.rows.iter().map(|row| PartyId(row.party_id)).collect();
        self.load_keys(tenant, &parties).await?;
        let page = page.try_map(|row| self.read_consent(row))?;
        Ok(Page {
            rows: page.rows.into_iter().flatten().collect(),
            next: page.next,
        })
    }

    fn read_consent(&self, row: ConsentRow) -> Result<Option<ConsentEvent>> {
        let party_id = PartyId(row.party_id);
        let Some(number) = self.open_for(party_id, Label::Number, row.sealed_number.as_deref())?
        else {
            return Ok(None);
        };
        Ok(Some(ConsentEvent {
            consent_event_id: ConsentEventId(row.consent_event_id),
            party_id,
            number: parse_phone(&number)?,
            seller: row.seller,
            action: word(&row.action, "consent action")?,
            at: Micros(row.event_time),
            recorded_at: Micros(row.create_time),
            channels: split_channels(&row.channels)?,
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
            source: row.source,
            evidence_ref: row.evidence_ref,
            wording_ref: row.wording_ref,
            actor: row.actor,
        }))
    }
}

impl TryFrom<MarkRow> for ConsentMark {
    type Error = StoreError;

    fn try_from(row: MarkRow) -> Result<Self> {
        let mut channels = split_channels(&row.channels)?;
        channels.sort_unstable();
        Ok(Self {
            party_id: PartyId(row.party_id),
            number_key: number_key(&row.number_key)?,
            seller: row.seller,
            action: word(&row.action, "consent action")?,
            at: Micros(row.event_time),
            channels,
            form: row
                .form
                .map(|form| word(&form, "consent form"))
                .transpose()?,
            evidence_ref: row.evidence_ref,
        })
    }
}

/// Purposes as one text, a blank between them; nothing = all.
pub(super) fn join_purposes(purposes: &[Purpose]) -> String {
    let words: Vec<&str> = purposes.iter().map(|each| each.as_str()).collect();
    words.join(" ")
}

pub(super) fn split_purposes(text: &str) -> Result<Vec<Purpose>> {
    text.split_whitespace()
        .map(|purpose| word(purpose, "purpose"))
        .collect()
}

/// Kinds of call as one text, a blank between them; nothing = all.
pub(super) fn join_channels(channels: &[CallKind]) -> String {
    channels
        .iter()
        .map(|kind| kind.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) fn split_channels(text: &str) -> Result<Vec<CallKind>> {
    text.split_whitespace()
        .map(|kind| word(kind, "call kind"))
        .collect()
}
