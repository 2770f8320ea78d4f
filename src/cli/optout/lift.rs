//! `dialgate optout lift` and `approve`: two people end one.

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::one;
use crate::cli::arguments::{Change, instant};
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::cli::wire;
use crate::grpc::client::ask;
use crate::grpc::pb::LiftSuppressionRequest;

/// Arguments of `optout lift`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: it binds on until somebody whose key has the role approver agrees with `optout approve`\n  \
                        dialgate optout lift 0190d5a5-0000-7000-8000-000000000001 \\\n    \
                        --reason \"asked to be called again\" --evidence form-4711 --evidence-time 2026-11-02T10:15:00Z"
)]
pub struct LiftArgs {
    /// The opt-out, as `optout list` shows it
    #[arg(value_name = "ID")]
    pub id: Uuid,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// The permission that is newer than the opt-out
    #[arg(long, value_name = "REF")]
    pub evidence: String,
    /// When the person gave that permission
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub evidence_time: Timestamp,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `optout approve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: `optout list --lift-requested` tells what waits, `--json` with who asked, why and with which permission\n  \
                        dialgate optout list --lift-requested --json\n  \
                        dialgate optout approve 0190d5a5-0000-7000-8000-000000000001"
)]
pub struct ApproveArgs {
    /// The opt-out whose lift was asked for, as `optout list` shows it
    #[arg(value_name = "ID")]
    pub id: Uuid,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Asks for a lift.
pub async fn run(args: LiftArgs) -> Result<()> {
    let request = LiftSuppressionRequest {
        request_id: args.change.name(),
        suppression_id: args.id.to_string(),
        reason: args.reason,
        evidence_ref: args.evidence,
        evidence_time: Some(wire::to_wire(args.evidence_time)),
    };
    step(&args.remote, request, "lifted already").await
}

/// Agrees with what was asked.
pub async fn approve(args: ApproveArgs) -> Result<()> {
    let request = LiftSuppressionRequest {
        request_id: args.change.name(),
        suppression_id: args.id.to_string(),
        ..Default::default()
    };
    step(&args.remote, request, "lifted").await
}

async fn step(remote: &Remote, request: LiftSuppressionRequest, lifted: &str) -> Result<()> {
    let request_id = request.request_id.clone();
    let client = remote.connect().await?;
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
        lifted
    } else {
        "in force until an approver agrees: `dialgate optout approve ID` with a key of that role"
    };
    one(remote.output(), &suppression, state)
}
