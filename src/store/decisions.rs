//! Decisions; the case object, which holds the number, is sealed under the person's key.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::paging::{CREATE_TIME, field, push_list};
use super::parties::{from_json, number_key, to_text, word};
use super::sql::Text as _;
use super::vault::Label;
use super::{ListQuery, Page, Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::decision::{Decision, PackVersion, Stage, Verdict};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{CallId, DecisionId, PartyId, TenantId};
use crate::domain::time::Micros;

/// What decisions can be filtered by.
pub const DECISION_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("decision_id", FieldKind::Uuid),
    field(
        "stage",
        FieldKind::Words(|word| word.parse::<Stage>().err()),
    ),
    field(
        "verdict",
        FieldKind::Words(|word| word.parse::<Verdict>().err()),
    ),
    field("denied_by", FieldKind::Set),
    field("call_id", FieldKind::Uuid),
    field("party_id", FieldKind::Uuid),
    field("number_key", FieldKind::Key),
    field("campaign_id", FieldKind::Text),
    field("actor", FieldKind::Text),
    field("pack_version", FieldKind::Text),
];

row!(DecisionRow {
    decision_id: Uuid,
    stage: String,
    call_id: Option<Uuid>,
    party_id: Uuid,
    number_key: Vec<u8>,
    campaign_id: String,
    create_time: i64,
    judgement: String,
    pack_version: String,
    pack_sha256: String,
    zone_data: String,
    sealed_case: Option<Vec<u8>>,
    actor: String,
});

row!(RecordedRow {
    decision_id: Uuid,
    stage: String,
    party_id: Uuid,
    create_time: i64,
    verdict: String,
    denied_by: String,
    judgement: String,
    pack_version: String,
    pack_sha256: String,
    zone_data: String,
    sealed_case: Option<Vec<u8>>,
});

/// A decision with its judgement as the very text that was stored, for who makes it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDecision {
    /// Identifier.
    pub decision_id: DecisionId,
    /// When in the call's life.
    pub stage: Stage,
    /// When it was made.
    pub decided_at: Micros,
    /// Verdict by which lists are filtered.
    pub verdict: Verdict,
    /// Rules by which lists are filtered.
    pub denied_by: Vec<String>,
    /// The judgement, byte for byte.
    pub judgement: String,
    /// Which law decided.
    pub pack: PackVersion,
    /// What was judged.
    pub case: RecordedCase,
    /// Whether the person's key is destroyed.
    pub is_erased: bool,
}

/// What is left of the case of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedCase {
    /// None is stored.
    None,
    /// As it was stored.
    Readable(String),
    /// One is stored that cannot be opened: damaged, or sealed under a key that is gone.
    Unreadable,
}

impl Tx {
    /// Records decisions. The people they are about must be recorded.
    pub async fn insert_decisions(&mut self, tenant: &TenantId, rows: &[Decision]) -> Result<()> {
        let parties: Vec<PartyId> = rows.iter().map(|row| row.party_id).collect();
        self.load_keys(tenant, &parties).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        for row in rows {
            let case = self.seal_for(
                row.party_id,
                Label::Case,
                row.case_json.as_deref().map(str::as_bytes),
            )?;
            // A blank around each, so that a filter can look for a whole word.
            let denied_by: String = row
                .judgement
                .denied_by
                .iter()
                .map(|rule| format!(" {rule} "))
                .collect();
            sealed.push((row, case, denied_by, to_text(&row.judgement)?));
        }
        insert_rows!(self, "decisions", &sealed, |row| {
            decision_id: "uuid" = row.0.decision_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            stage: "text" = row.0.stage.as_str(),
            call_id: "uuid" = row.0.call_id.map(|id| id.0),
            party_id: "uuid" = row.0.party_id.0,
            number_key: "bytea" = row.0.number_key.0.as_slice(),
            campaign_id: "text" = row.0.campaign_id.as_str(),
            create_time: "bigint" = row.0.decided_at.0,
            verdict: "text" = row.0.judgement.verdict.as_str(),
            denied_by: "text" = row.2.as_str(),
            judgement: "text" = row.3.as_str(),
            pack_version: "text" = row.0.pack.version.as_str(),
            pack_sha256: "text" = row.0.pack.sha256.as_str(),
            zone_data: "text" = row.0.pack.zone_data.as_str(),
            sealed_case: "bytea" = row.1.as_deref(),
            actor: "text" = row.0.actor.as_str(),
        })?;
        Ok(())
    }

    /// One decision; `full` with its case.
    pub async fn decision(
        &mut self,
        tenant: &TenantId,
        id: DecisionId,
        full: bool,
    ) -> Result<Option<Decision>> {
        let row: Option<DecisionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(DecisionRow::COLUMNS)
                .text(" FROM decisions WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND decision_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        let Some(row) = row else { return Ok(None) };
        if full {
            self.load_keys(tenant, &[PartyId(row.party_id)]).await?;
        }
        self.read_decision(row, full).map(Some)
    }

    /// Decisions, newest first; `full` with their cases.
    pub async fn list_decisions(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
        full: bool,
    ) -> Result<Page<Decision>> {
        let rows: Vec<DecisionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(DecisionRow::COLUMNS)
                .text(" FROM decisions WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "decision_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let page = q.page(rows, |row| (row.create_time, row.decision_id));
        if full {
            let parties: Vec<PartyId> = page.rows.iter().map(|row| PartyId(row.party_id)).collect();
            self.load_keys(tenant, &parties).await?;
        }
        page.try_map(|row| self.read_decision(row, full))
    }

    /// Decisions, newest first, as they were recorded. A row that was damaged holds up no other.
    pub async fn recorded_decisions(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<RecordedDecision>> {
        let rows: Vec<RecordedRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(RecordedRow::COLUMNS)
                .text(" FROM decisions WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "decision_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let page = q.page(rows, |row| (row.create_time, row.decision_id));
        let parties: Vec<PartyId> = page.rows.iter().map(|row| PartyId(row.party_id)).collect();
        // A key that cannot be unwrapped is as good as a case that cannot be opened.
        self.load_sound_keys(tenant, &parties).await?;
        page.try_map(|row| self.read_recorded(row))
    }

    fn read_recorded(&self, row: RecordedRow) -> Result<RecordedDecision> {
        let key = self.keys.get(&PartyId(row.party_id));
        let case = match (row.sealed_case, key) {
            (None, _) => RecordedCase::None,
            (Some(sealed), Some(Some(key))) => key
                .open(Label::Case, &sealed)
                .ok()
                .and_then(|plain| String::from_utf8(plain).ok())
                .map_or(RecordedCase::Unreadable, RecordedCase::Readable),
            (Some(_), _) => RecordedCase::Unreadable,
        };
        Ok(RecordedDecision {
            decision_id: DecisionId(row.decision_id),
            stage: word(&row.stage, "stage")?,
            decided_at: Micros(row.create_time),
            verdict: word(&row.verdict, "verdict")?,
            denied_by: row
                .denied_by
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            judgement: row.judgement,
            pack: PackVersion {
                version: row.pack_version,
                sha256: row.pack_sha256,
                zone_data: row.zone_data,
            },
            case,
            is_erased: matches!(key, Some(None)),
        })
    }

    fn read_decision(&self, row: DecisionRow, full: bool) -> Result<Decision> {
        let party_id = PartyId(row.party_id);
        let case = match full {
            true => self.open_for(party_id, Label::Case, row.sealed_case.as_deref())?,
            false => None,
        };
        Ok(Decision {
            decision_id: DecisionId(row.decision_id),
            stage: word(&row.stage, "stage")?,
            call_id: row.call_id.map(CallId),
            party_id,
            number_key: number_key(&row.number_key)?,
            campaign_id: row.campaign_id,
            decided_at: Micros(row.create_time),
            pack: PackVersion {
                version: row.pack_version,
                sha256: row.pack_sha256,
                zone_data: row.zone_data,
            },
            judgement: from_json(row.judgement.as_bytes(), "judgement")?,
            case_json: case
                .map(String::from_utf8)
                .transpose()
                .map_err(|_| StoreError::Damaged { what: "case" })?,
            actor: row.actor,
        })
    }
}
