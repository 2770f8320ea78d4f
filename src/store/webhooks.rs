//! How far webhooks are, and whose turn it is to deliver. A turn is taken by a conditional `UPDATE` that counts the row's
//! epoch up; what came of it is written down only under that epoch and from the place where it began.

use std::time::Duration;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::parties::word;
use super::sql::Text as _;
use super::{Result, StoreError, Tx, on, row};
use crate::domain::ids::{Incarnation, TenantId};
use crate::domain::time::Micros;
use crate::domain::webhook::{WebhookLag, WebhookProgress};

/// A webhook with the turn that was taken last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// How far it is.
    pub progress: WebhookProgress,
    /// Who delivers just now.
    pub owner: Option<Incarnation>,
    /// Counts the turns.
    pub epoch: i64,
    /// A turn that stood still for so long, on the clock of whoever watches it, is over.
    pub lease: Duration,
}

/// A turn to be taken.
#[derive(Debug, Clone, Copy)]
pub struct WebhookTurn {
    /// Who takes it.
    pub owner: Incarnation,
    /// For how long at most.
    pub lease: Duration,
    /// Position of the last change that is sent in it.
    pub batch_end: i64,
}

row!(ProgressRow {
    name: String,
    round: i64,
    delivered: i64,
    batch_end: Option<i64>,
    state: String,
    tries: i64,
    failing_since_time: Option<i64>,
    tried_time: Option<i64>,
    failing_micros: i64,
    next_try_time: Option<i64>,
    last_problem: Option<String>,
    delivered_time: Option<i64>,
    owner: Option<Uuid>,
    epoch: i64,
    lease_micros: i64,
});

impl Tx {
    /// Begins a webhook as it is here, unless it was begun before; whether it was not.
    pub async fn begin_webhook(
        &mut self,
        tenant: &TenantId,
        new: &WebhookProgress,
        at: Micros,
    ) -> Result<bool> {
        const SQL: &str = "INSERT INTO webhooks (tenant_id, name, round, delivered, state, tries, failing_micros, epoch, lease_micros, create_time)
            VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, $6) ON CONFLICT (tenant_id, name) DO NOTHING";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(&new.name)
            .bind(new.round)
            .bind(new.delivered)
            .bind(new.state.as_str())
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// One webhook.
    pub async fn webhook(&mut self, tenant: &TenantId, name: &str) -> Result<Option<WebhookRow>> {
        let row: Option<ProgressRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ProgressRow::COLUMNS)
                .text(" FROM webhooks WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND name = ").bind_text(name);
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(WebhookRow::try_from).transpose()
    }

    /// Every webhook there ever was, by name.
    pub async fn webhooks(&mut self, tenant: &TenantId) -> Result<Vec<WebhookRow>> {
        let rows: Vec<ProgressRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ProgressRow::COLUMNS)
                .text(" FROM webhooks WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" ORDER BY name");
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.into_iter().map(WebhookRow::try_from).collect()
    }

    /// Takes the turn after the one that was seen, from the place that was seen; false if anything of it changed meanwhile.
    pub async fn take_webhook(
        &mut self,
        tenant: &TenantId,
        seen: &WebhookRow,
        turn: &WebhookTurn,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE webhooks SET owner = $1, epoch = epoch + 1, lease_micros = $2, batch_end = $3
            WHERE tenant_id = $4 AND name = $5 AND epoch = $6 AND round = $7 AND delivered = $8 AND state = 'delivering'";
        on!(self, |conn| sqlx::query(SQL)
            .bind(turn.owner.0)
            .bind(micros(turn.lease))
            .bind(turn.batch_end)
            .bind(&tenant.0)
            .bind(&seen.progress.name)
            .bind(seen.epoch)
            .bind(seen.progress.round)
            .bind(seen.progress.delivered)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// Writes down what came of the turn that followed the one that was seen, and gives it back; false if it was lost, or the
    /// webhook was sent back to the beginning meanwhile.
    pub async fn record_webhook(
        &mut self,
        tenant: &TenantId,
        seen: &WebhookRow,
        after: &WebhookProgress,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE webhooks SET owner = NULL, delivered = $1, batch_end = $2, state = $3, tries = $4,
                failing_since_time = $5, tried_time = $6, failing_micros = $7, next_try_time = $8, last_problem = $9,
                delivered_time = $10
            WHERE tenant_id = $11 AND name = $12 AND epoch = $13 AND round = $14";
        on!(self, |conn| sqlx::query(SQL)
            .bind(after.delivered)
            .bind(after.batch_end)
            .bind(after.state.as_str())
            .bind(after.tries)
            .bind(after.failing_since.map(|at| at.0))
            .bind(after.tried_at.map(|at| at.0))
            .bind(micros(after.failing_for))
            .bind(after.next_try_at.map(|at| at.0))
            .bind(&after.last_problem)
            .bind(after.delivered_at.map(|at| at.0))
            .bind(&tenant.0)
            .bind(&seen.progress.name)
            .bind(seen.epoch + 1)
            .bind(seen.progress.round)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1))
    }

    /// Gives the turn back that followed the one that was seen, without a word of what came of it.
    pub async fn release_webhook(&mut self, tenant: &TenantId, seen: &WebhookRow) -> Result<()> {
        const SQL: &str =
            "UPDATE webhooks SET owner = NULL WHERE tenant_id = $1 AND name = $2 AND epoch = $3";
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(&seen.progress.name)
            .bind(seen.epoch + 1)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Delivers again, at once, from where it stood or from the first change on; false if there is no such webhook. A turn that
    /// is under way is left alone.
    pub async fn resume_webhook(
        &mut self,
        tenant: &TenantId,
        name: &str,
        from_start: bool,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE webhooks SET state = 'delivering', tries = 0, failing_since_time = NULL, tried_time = NULL,
                failing_micros = 0, next_try_time = NULL
            WHERE tenant_id = $1 AND name = $2";
        const FROM_START: &str =
            "UPDATE webhooks SET round = round + 1, delivered = 0, batch_end = NULL
            WHERE tenant_id = $1 AND name = $2";
        let texts: &[&'static str] = if from_start {
            &[FROM_START, SQL]
        } else {
            &[SQL]
        };
        let mut found = false;
        for text in texts {
            found = on!(self, |conn| sqlx::query(*text)
                .bind(&tenant.0)
                .bind(name)
                .execute(conn)
                .await
                .map(|done| done.rows_affected() == 1))?;
        }
        Ok(found)
    }

    /// What a webhook that has delivered up to here has still to deliver, of the changes that have their positions.
    pub async fn webhook_lag(&mut self, tenant: &TenantId, delivered: i64) -> Result<WebhookLag> {
        let latest = self.latest_suppression_change(tenant).await?;
        let changes = latest.saturating_sub(delivered).max(0);
        if changes == 0 {
            return Ok(WebhookLag::default());
        }
        let oldest = self.suppression_changes_after(tenant, delivered, 1).await?;
        Ok(WebhookLag {
            changes,
            oldest_at: oldest.first().map(|change| change.happened_at()),
        })
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl TryFrom<ProgressRow> for WebhookRow {
    type Error = StoreError;

    fn try_from(row: ProgressRow) -> Result<Self> {
        Ok(Self {
            progress: WebhookProgress {
                name: row.name,
                round: row.round,
                delivered: row.delivered,
                batch_end: row.batch_end,
                state: word(&row.state, "state of a webhook")?,
                tries: row.tries,
                failing_since: row.failing_since_time.map(Micros),
                tried_at: row.tried_time.map(Micros),
                failing_for: span(row.failing_micros),
                next_try_at: row.next_try_time.map(Micros),
                last_problem: row.last_problem,
                delivered_at: row.delivered_time.map(Micros),
            },
            owner: row.owner.map(Incarnation),
            epoch: row.epoch,
            lease: span(row.lease_micros),
        })
    }
}
