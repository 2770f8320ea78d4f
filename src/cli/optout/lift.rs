//! `dialgate optout lift`: two people end one.

use anyhow::{Context, Result};
use clap::Args;
use uuid::Uuid;

use super::one;
use crate::cli::arguments::Change;
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::grpc::client::ask;
use crate::grpc::pb::LiftSuppressionRequest;

/// Arguments of `optout lift`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: the first person asks, and it binds on until the second one repeats this with another key\n  \
                        dialgate optout lift 0190d5a5-0000-7000-8000-000000000001 \\\n    \
                        --reason \"asked to be called again\" --evidence form-4711"
)]
pub struct LiftArgs {
    /// The opt-out, as `optout list` shows it
    #[arg(value_name = "ID")]
    pub id: Uuid,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// The permission that is newer than the opt-out; what the first person names is kept
    #[arg(long, value_name = "REF")]
    pub evidence: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs it.
pub async fn run(args: LiftArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = LiftSuppressionRequest {
        request_id: request_id.clone(),
        suppression_id: args.id.to_string(),
        reason: args.reason,
        evidence_ref: args.evidence,
    };
    let answer = client
        .suppressions()
        .lift_suppression(ask(request))
        .await
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let suppression = answer
        .suppression
        .context("the server answered without the opt-out")?;
    let state = if suppression.lift.is_some() {
        "lifted"
    } else {
        "in force until a second person repeats this with their own key"
    };
    one(args.remote.output(), &suppression, state)
}
