//! The tasks that deliver, one a webhook and node. Of all nodes one has the turn: it takes it for one message, in a transaction of
//! its own, delivers with none open, and writes down what came of it. A node that dies in between leaves the turn; another takes
//! it once it stood still for as long as a delivery may take, on its own clock, and sends the same message again.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::step::{self, Answer};
use super::{Webhook, letter};
use crate::clock::Clock;
use crate::domain::ids::{AuditEntryId, Incarnation, TenantId};
use crate::domain::suppression::SuppressionChange;
use crate::domain::time::{Micros, Mono};
use crate::domain::webhook::{WebhookProgress, WebhookState};
use crate::http_client::{Bounds, DeliveryError, Receipt};
use crate::meter;
use crate::store::{AuditEntry, Notice, Store, StoreError, Urgency, WebhookRow, WebhookTurn};

/// Looks that often by itself: a notice may be lost, and lifts send none.
const LOOK: Duration = Duration::from_secs(1);
/// Suppressions whose changes are given their places in one transaction: a few milliseconds of the one writer of SQLite.
const PLACED_AT_ONCE: i64 = 256;
/// A turn may take so much longer than its delivery: for what is written before and after it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// Nothing of an answer is of use but its head.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A task that failed is begun again after this time.
const AGAIN: Duration = Duration::from_secs(10);
/// Who gives a webhook up, in the audit log.
const SYSTEM: &str = "system";

/// The running tasks; dropped, they end where they are.
pub struct Webhooks {
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

impl Webhooks {
    /// Starts a task for each webhook, one that is new begun: what is acknowledged after this it is told. They are not vital:
    /// when one fails it is begun again, and nobody else notices.
    pub async fn start(
        store: &Store,
        webhooks: Vec<Webhook>,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        let closing = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for webhook in webhooks {
            Post::new(store.clone(), webhook.clone(), clock.clone())
                .row()
                .await?;
            let (store, clock, closing) = (store.clone(), clock.clone(), closing.clone());
            tasks.spawn(keep_running(store, webhook, clock, closing));
        }
        Ok(Self { tasks, closing })
    }

    /// Ends them: what is being delivered is broken off, and will be sent again.
    pub async fn stop(self) {
        /// A store that does not answer is not waited for.
        const LIMIT: Duration = Duration::from_secs(3);
        let Self { mut tasks, closing } = self;
        closing.cancel();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LIMIT, ended).await.is_err() {
            tracing::warn!("webhooks did not end in time; what they were sending is sent again");
        }
    }
}

async fn keep_running(store: Store, webhook: Webhook, clock: Clock, closing: CancellationToken) {
    while !closing.is_cancelled() {
        let post = Post::new(store.clone(), webhook.clone(), clock.clone());
        let mut running = JoinSet::new();
        running.spawn(run(post, closing.clone()));
        if let Some(Ok(())) = running.join_next().await {
            return;
        }
        tracing::error!(webhook = %webhook.name, "the task of a webhook failed; it is begun again");
        let pause = tokio::time::sleep(AGAIN);
        closing.run_until_cancelled(pause).await;
    }
}

async fn run(mut post: Post, closing: CancellationToken) {
    let mut notices = post.store.notices();
    let mut is_broken = false;
    while !closing.is_cancelled() {
        match post.turn(&closing).await {
            Ok(Turn::Delivered) => {
                is_broken = false;
                continue;
            }
            Ok(_) => is_broken = false,
            Err(error) if is_broken => {
                tracing::debug!(%error, "a webhook still waits for the store")
            }
            Err(error) => {
                is_broken = true;
                let webhook = post.webhook.name.as_str();
                tracing::warn!(webhook, %error, "a webhook waits for the store");
            }
        }
        tokio::select! {
            () = closing.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = told(&mut notices) => {}
        }
    }
}

/// Until an opt-out is told of, or notices were lost.
async fn told(notices: &mut broadcast::Receiver<Notice>) {
    loop {
        match notices.recv().await {
            Ok(Notice::OptOut(_) | Notice::OptOutWide) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The store is gone; the timer goes on.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// What one look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is nothing to deliver, or it is not yet time, or not any more.
    Nothing,
    /// Another node delivers just now.
    Another,
    /// A message was taken by its receiver.
    Delivered,
    /// It was not.
    Failed,
    /// The node goes down.
    BrokenOff,
}

/// One webhook on one node.
pub struct Post {
    store: Store,
    tenant: TenantId,
    webhook: Webhook,
    clock: Clock,
    me: Incarnation,
    /// The turn of another node and since when it stands still.
    watched: Option<(i64, Mono)>,
    is_overdue: bool,
}

impl Post {
    /// A webhook that nobody has looked at yet.
    #[must_use]
    pub fn new(store: Store, webhook: Webhook, clock: Clock) -> Self {
        Self {
            me: Incarnation::new(clock.read().wall),
            store,
            tenant: TenantId::default(),
            webhook,
            clock,
            watched: None,
            is_overdue: false,
        }
    }

    /// Looks once, and delivers one message if it is time.
    pub async fn turn(&mut self, closing: &CancellationToken) -> Result<Turn, StoreError> {
        let row = self.row().await?;
        self.store
            .place_untold_suppressions(&self.tenant, PLACED_AT_ONCE)
            .await?;
        self.tell_if_overdue(&row.progress).await?;
        let now = self.clock.read();
        if !self.is_free(&row, now.mono) {
            return Ok(Turn::Another);
        }
        if !step::is_due(&row.progress, now.wall) {
            return Ok(Turn::Nothing);
        }
        let changes = self.changes(&row.progress).await?;
        let Some(last) = changes.last().map(|change| change.position) else {
            return Ok(Turn::Nothing);
        };
        if !self.take(&row, last).await? {
            return Ok(Turn::Another);
        }
        let Some(outcome) = closing.run_until_cancelled(self.send(&row, &changes)).await else {
            let mut tx = self.store.write(Urgency::Ordinary).await?;
            tx.release_webhook(&self.tenant, &row).await?;
            tx.commit().await?;
            return Ok(Turn::BrokenOff);
        };
        self.settle(&row, last, changes.len(), &outcome).await
    }

    /// How far it is. One that is new begins with what happens from now on.
    async fn row(&mut self) -> Result<WebhookRow, StoreError> {
        let name = &self.webhook.name;
        let mut tx = self.store.read().await?;
        if let Some(row) = tx.webhook(&self.tenant, name).await? {
            return Ok(row);
        }
        drop(tx);
        let (store, tenant) = (&self.store, &self.tenant);
        while store
            .place_untold_suppressions(tenant, PLACED_AT_ONCE)
            .await?
            > 0
        {}
        let mut tx = store.write(Urgency::Ordinary).await?;
        let latest = tx.latest_suppression_change(tenant).await?;
        let new = WebhookProgress::new(name.clone(), latest);
        let is_new = tx
            .begin_webhook(tenant, &new, self.clock.read().wall)
            .await?;
        let row = tx.webhook(tenant, name).await?;
        tx.commit().await?;
        if is_new {
            tracing::info!(
                webhook = %name, webhook.position = latest,
                "a webhook begins: it is told what happens to opt-outs from now on"
            );
        }
        row.ok_or(StoreError::Damaged { what: "webhook" })
    }

    /// Whether the turn can be taken: nobody has it, or whoever has it stood still for too long.
    fn is_free(&mut self, row: &WebhookRow, now: Mono) -> bool {
        // Whatever this node took, it is not delivering now.
        if row.owner.is_none_or(|owner| owner == self.me) {
            self.watched = None;
            return true;
        }
        let since = match self.watched {
            Some((epoch, since)) if epoch == row.epoch => since,
            _ => now,
        };
        self.watched = Some((row.epoch, since));
        now.since(since) >= row.lease
    }

    async fn changes(
        &self,
        progress: &WebhookProgress,
    ) -> Result<Vec<SuppressionChange>, StoreError> {
        let mut tx = self.store.read().await?;
        let size = step::batch_size(progress);
        tx.suppression_changes_after(&self.tenant, progress.delivered, size)
            .await
    }

    async fn take(&self, row: &WebhookRow, last: i64) -> Result<bool, StoreError> {
        let turn = WebhookTurn {
            owner: self.me,
            lease: self.webhook.timeout.saturating_add(LEASE_MARGIN),
            batch_end: last,
        };
        let mut tx = self.store.write(Urgency::Ordinary).await?;
        let taken = tx.take_webhook(&self.tenant, row, &turn).await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn send(
        &self,
        row: &WebhookRow,
        changes: &[SuppressionChange],
    ) -> Result<Receipt, DeliveryError> {
        let name = &self.webhook.name;
        let position = |change: Option<&SuppressionChange>| change.map_or(0, |each| each.position);
        let (first, last) = (position(changes.first()), position(changes.last()));
        let id = letter::id(name, row.progress.round, first, last);
        let Some(body) = letter::body(name, changes) else {
            return Err(DeliveryError::Broken);
        };
        let seconds = self.clock.read().wall.0.div_euclid(1_000_000);
        let headers = [
            (
                "webhook-signature",
                self.webhook.keys.sign(&id, seconds, &body),
            ),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-id", id),
        ];
        let bounds = Bounds {
            timeout: self.webhook.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        self.webhook.courier.deliver(&headers, body, bounds).await
    }

    /// Writes down what came of it, and tells the operator.
    async fn settle(
        &self,
        row: &WebhookRow,
        last: i64,
        count: usize,
        outcome: &Result<Receipt, DeliveryError>,
    ) -> Result<Turn, StoreError> {
        let now = self.clock.read().wall;
        let answer = step::read(outcome, now);
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let retry_for = self.webhook.retry_for;
        let after = step::after(&row.progress, last, &answer, retry_for, (now, chance));
        let is_parked = after.state == WebhookState::Parked;
        let mut tx = self.store.write(Urgency::Ordinary).await?;
        let recorded = tx.record_webhook(&self.tenant, row, &after).await?;
        if !recorded {
            // Sent back to the beginning meanwhile, or given to another.
            tx.release_webhook(&self.tenant, row).await?;
        }
        if recorded && is_parked {
            let entry = parked(&after, now);
            tx.insert_audit(&self.tenant, &[entry]).await?;
        }
        tx.commit().await?;
        let name = self.webhook.name.as_str();
        let is_taken = answer == Answer::Taken;
        meter::webhook_tried(name, is_taken, if is_taken { count } else { 0 });
        if recorded {
            tell(row, &after);
        }
        Ok(if is_taken {
            Turn::Delivered
        } else {
            Turn::Failed
        })
    }

    /// Warns once when something waits for too long, and tells when nothing does any more.
    async fn tell_if_overdue(&mut self, progress: &WebhookProgress) -> Result<(), StoreError> {
        let mut tx = self.store.read().await?;
        let lag = tx.webhook_lag(&self.tenant, progress.delivered).await?;
        drop(tx);
        let now = self.clock.read().wall;
        let is_overdue = lag.is_overdue(now);
        if is_overdue != self.is_overdue {
            let (webhook, age) = (self.webhook.name.as_str(), lag.age(now).as_secs());
            let changes = lag.changes;
            if is_overdue {
                tracing::warn!(
                    webhook,
                    webhook.changes = changes,
                    webhook.oldest_seconds = age,
                    "changes of opt-outs are overdue at a webhook's receiver"
                );
            } else {
                tracing::info!(
                    webhook,
                    "a webhook's receiver has every change in time again"
                );
            }
        }
        self.is_overdue = is_overdue;
        Ok(())
    }
}

fn tell(before: &WebhookRow, after: &WebhookProgress) {
    let webhook = after.name.as_str();
    let problem = after.last_problem.as_deref().unwrap_or_default();
    if after.state == WebhookState::Parked {
        tracing::error!(
            webhook,
            webhook.problem = problem,
            webhook.tries = after.tries,
            "a webhook is parked: its receiver is told nothing until `dialgate webhook resume {webhook}`"
        );
    } else if after.tries == 1 {
        tracing::warn!(
            webhook,
            webhook.problem = problem,
            "a webhook's receiver did not take a message; it is sent again"
        );
    } else if before.progress.tries > 0 && after.tries == 0 {
        tracing::info!(webhook, "a webhook's receiver takes messages again");
    }
}

fn parked(after: &WebhookProgress, now: Micros) -> AuditEntry {
    AuditEntry {
        entry_id: AuditEntryId::new(now),
        kind: "webhook.parked".to_owned(),
        actor: SYSTEM.to_owned(),
        subject_key: None,
        payload: serde_json::json!({
            "webhook": after.name, "delivered": after.delivered, "problem": after.last_problem, "tries": after.tries,
            "failing_since": after.failing_since,
        }),
        at: now,
    }
}
