//! `dialgate webhook list`: how far each webhook is, and what went wrong last.

use anyhow::Result;
use clap::Args;

use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::thousands;
use super::super::wire;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{ListWebhooksRequest, Webhook, WebhookState};

/// Arguments of `webhook list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate webhook list\n  dialgate webhook list --json\n\n\
                  A webhook is overdue when its receiver has not taken a change within 60 seconds. One that was taken out of \
                  the configuration keeps its place, and is told nothing."
)]
pub struct ListArgs {
    #[command(flatten)]
    pub remote: Remote,
}

/// Lists.
pub async fn run(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let answer = client
        .webhooks()
        .list_webhooks(ask(ListWebhooksRequest {}))
        .await
        .map_err(Refused::question)?;
    let webhooks = answer.into_inner().webhooks;
    let output = args.remote.output();
    output.rows(
        &webhooks,
        |webhook| json::object("Webhook", webhook),
        &[
            "webhook",
            "state",
            "delivered",
            "pending",
            "oldest",
            "failed",
            "problem",
            "next try",
        ],
        |webhook| {
            vec![
                webhook.name.clone(),
                state(webhook).to_owned(),
                format!("#{}", webhook.delivered_position),
                thousands(webhook.pending_changes),
                wire::seconds(webhook.oldest_pending_time.as_ref()),
                thousands(webhook.failed_tries),
                webhook.last_problem.clone(),
                wire::seconds(webhook.next_try_time.as_ref()),
            ]
        },
    )?;
    output.end_of_list(webhooks.len(), "webhook", false)
}

/// What an operator has to know first.
pub(super) fn state(webhook: &Webhook) -> &'static str {
    match (webhook.state(), webhook.configured, webhook.overdue) {
        (_, false, _) => "not configured",
        (WebhookState::Parked, true, _) => "parked",
        (_, true, true) => "overdue",
        (_, true, false) => "delivering",
    }
}
