//! `dialgate webhook resume`: brings back a webhook that was given up.

use anyhow::{Context, Result};
use clap::Args;

use super::super::arguments::Change;
use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{plain, thousands};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::ResumeWebhookRequest;

/// Arguments of `webhook resume`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate webhook resume crm\n  dialgate webhook resume crm --from-start\n\n\
                  Nothing is passed over: the message that was not taken is sent again, then what came since."
)]
pub struct ResumeArgs {
    /// The webhook, as `webhook list` shows it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Begin with the first change ever, for a receiver that has lost its copy
    #[arg(long)]
    pub from_start: bool,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Resumes.
pub async fn run(args: ResumeArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = ResumeWebhookRequest {
        request_id: request_id.clone(),
        name: args.name,
        from_start: args.from_start,
    };
    let answer = client.webhooks().resume_webhook(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let webhook = answer
        .webhook
        .context("the server answered without the webhook")?;
    args.remote.output().answer(
        || json::object("Webhook", &webhook),
        || {
            let name = plain(&webhook.name);
            let pending = thousands(webhook.pending_changes);
            if webhook.configured {
                format!(
                    "webhook {name} goes on after change #{}; {pending} to deliver",
                    webhook.delivered_position
                )
            } else {
                format!(
                    "webhook {name} will go on after change #{}; this server's configuration does not have it",
                    webhook.delivered_position
                )
            }
        },
    )
}
