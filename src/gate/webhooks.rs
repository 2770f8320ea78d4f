//! How the webhooks stand, and how one that was given up comes back. Delivering is not the gate's business.

use serde_json::json;

use crate::domain::ids::TenantId;
use crate::domain::time::Micros;
use crate::domain::webhook::{WebhookLag, WebhookProgress};
use crate::store::{Tx, Urgency};

use super::error::GateError;
use super::{Ask, Gate};

/// A webhook and what it has still to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookStatus {
    /// How far it is.
    pub progress: WebhookProgress,
    /// Whether this node's configuration has it.
    pub configured: bool,
    /// What is not delivered.
    pub lag: WebhookLag,
}

impl Gate {
    /// Every webhook there ever was, by name.
    pub async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<WebhookStatus>, GateError> {
        let mut tx = self.store().read().await?;
        let mut found = Vec::new();
        for row in tx.webhooks(tenant).await? {
            found.push(self.webhook_status(&mut tx, tenant, row.progress).await?);
        }
        Ok(found)
    }

    /// Delivers again, from where it stood or from the first change on.
    pub async fn resume_webhook(
        &self,
        ask: &Ask,
        name: &str,
        from_start: bool,
    ) -> Result<WebhookStatus, GateError> {
        let act = || self.resume_webhook_once(ask, name, from_start);
        self.once(ask, Urgency::Ordinary, act).await
    }

    async fn resume_webhook_once(
        &self,
        ask: &Ask,
        name: &str,
        from_start: bool,
    ) -> Result<WebhookStatus, GateError> {
        const MISSING: GateError = GateError::NotFound { what: "webhook" };
        let tenant = &ask.principal.tenant;
        let (mut tx, repeated) = self.begin(ask, Urgency::Ordinary).await?;
        let before = tx.webhook(tenant, name).await?.ok_or(MISSING)?.progress;
        if repeated.is_some() {
            return self.webhook_status(&mut tx, tenant, before).await;
        }
        tx.resume_webhook(tenant, name, from_start).await?;
        let payload = json!({
            "webhook": name, "state": before.state, "delivered": before.delivered, "problem": before.last_problem,
            "from_start": from_start, "request_id": ask.request_id,
        });
        let entry = ask.entry("webhook.resumed", None, payload);
        tx.insert_audit(tenant, &[entry]).await?;
        tx.insert_requests(tenant, &[ask.stored(name.to_owned(), true)])
            .await?;
        let after = tx.webhook(tenant, name).await?.ok_or(MISSING)?.progress;
        let after = self.webhook_status(&mut tx, tenant, after).await?;
        tx.commit().await?;
        Ok(after)
    }

    async fn webhook_status(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        progress: WebhookProgress,
    ) -> Result<WebhookStatus, GateError> {
        Ok(WebhookStatus {
            configured: self.core.config.webhooks.contains(&progress.name),
            lag: tx.webhook_lag(tenant, progress.delivered).await?,
            progress,
        })
    }
}

impl WebhookStatus {
    /// Whether something has been waiting for too long.
    #[must_use]
    pub fn is_overdue(&self, now: Micros) -> bool {
        self.lag.is_overdue(now)
    }
}
