//! What providers said of numbers, and how often they were asked on a day.

use std::time::Duration;

use jiff::civil::Date;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::parties::{number_key, word};
use super::sql::Text as _;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::ids::{ScrubResultId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::provider::ScrubResult;
use crate::domain::time::Micros;

/// How far back results are told that count no more: somebody may want to know why there is no answer.
const TOLD_AFTER: Duration = Duration::from_mins(10);

row!(ResultRow {
    scrub_result_id: Uuid,
    number_key: Vec<u8>,
    provider: String,
    kind: String,
    result: String,
    raw_code: String,
    line_type: Option<String>,
    for_date: Option<String>,
    asked_time: i64,
    answered_time: i64,
    valid_until: i64,
});

impl Tx {
    /// Keeps what a provider said.
    pub async fn insert_scrub_results(
        &mut self,
        tenant: &TenantId,
        rows: &[ScrubResult],
    ) -> Result<()> {
        insert_rows!(self, "scrub_results", rows, |row| {
            scrub_result_id: "uuid" = row.scrub_result_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            number_key: "bytea" = row.number_key.0.to_vec(),
            provider: "text" = row.provider.as_str(),
            kind: "text" = row.kind.as_str(),
            result: "text" = row.result.as_str(),
            raw_code: "text" = row.raw_code.as_str(),
            line_type: "text" = row.line_type.map(|line| line.as_str()),
            for_date: "text" = row.for_date.map(|date| date.to_string()),
            asked_time: "bigint" = row.asked_at.0,
            answered_time: "bigint" = row.answered_at.0,
            valid_until: "bigint" = row.valid_until.0,
        })?;
        Ok(())
    }

    /// What was said of these numbers and counts at this instant, oldest first; and what was said in the minutes before it,
    /// though it counts no more.
    pub async fn scrub_results(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
        at: Micros,
    ) -> Result<Vec<ScrubResult>> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let rows: Vec<ResultRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ResultRow::COLUMNS)
                .text(" FROM scrub_results WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query
                .text(" AND number_key")
                .among_keys(&keys)
                .text(" AND (valid_until > ")
                .bind_number(at.0)
                .text(" OR answered_time > ")
                .bind_number(at.minus(TOLD_AFTER).0);
            query.text(") ORDER BY answered_time, scrub_result_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(ScrubResult::try_from).collect()
    }

    /// Counts one more question to a provider on this day, unless there were so many already; whether it may be put.
    pub async fn spend_on_provider(
        &mut self,
        tenant: &TenantId,
        provider: &str,
        day: Date,
        max_per_day: i64,
    ) -> Result<bool> {
        const SQL: &str =
            "INSERT INTO provider_days (tenant_id, provider, day, asked) VALUES ($1, $2, $3, 1)
            ON CONFLICT (tenant_id, provider, day) DO UPDATE SET asked = provider_days.asked + 1
            WHERE provider_days.asked < $4";
        if max_per_day < 1 {
            return Ok(false);
        }
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(provider)
            .bind(day.to_string())
            .bind(max_per_day)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }
}

impl TryFrom<ResultRow> for ScrubResult {
    type Error = StoreError;

    fn try_from(row: ResultRow) -> Result<Self> {
        let for_date = row.for_date.map(|date| date.parse()).transpose();
        Ok(Self {
            scrub_result_id: ScrubResultId(row.scrub_result_id),
            number_key: number_key(&row.number_key)?,
            provider: row.provider,
            kind: word(&row.kind, "kind of provider")?,
            result: word(&row.result, "result of a provider")?,
            raw_code: row.raw_code,
            line_type: row
                .line_type
                .map(|line| word(&line, "line type"))
                .transpose()?,
            for_date: for_date.map_err(|_| StoreError::Damaged {
                what: "date of a provider's result",
            })?,
            asked_at: Micros(row.asked_time),
            answered_at: Micros(row.answered_time),
            valid_until: Micros(row.valid_until),
        })
    }
}
