//! `dialgate registry diff`: what came and went between two snapshots.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use uuid::Uuid;

use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{counted, plain, table, thousands};
use super::super::wire;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::DiffRegisterRequest;

/// Arguments of `registry diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  dialgate registry diff us-dnc\n  \
                  dialgate registry diff us-dnc --from 0190d5a5-0000-7000-8000-000000000001\n\n\
                  The files of the latest two snapshots of a register are kept, and those of the last day.")]
pub struct DiffArgs {
    /// The register, as rules name it
    pub register: String,
    /// The older snapshot, as `registry list --history` shows it; the one before the one in force if left out
    #[arg(long, value_name = "ID")]
    pub from: Option<Uuid>,
    /// The newer snapshot; the one in force if left out
    #[arg(long, value_name = "ID")]
    pub to: Option<Uuid>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Shows it.
pub async fn run(args: DiffArgs) -> Result<ExitCode> {
    let client = args.remote.connect().await?;
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let request = DiffRegisterRequest {
        register: args.register,
        before_snapshot_id: id(args.from),
        after_snapshot_id: id(args.to),
    };
    let answer = client.registers().diff_register(ask(request)).await;
    let diff = answer.map_err(Refused::question)?.into_inner();
    let date = |snapshot: Option<&crate::grpc::pb::RegisterSnapshot>| {
        let snapshot = snapshot.context("the server answered without the snapshots")?;
        Ok::<_, anyhow::Error>(wire::date_text(snapshot.as_of_date.as_ref()))
    };
    let (before, after) = (date(diff.before.as_ref())?, date(diff.after.as_ref())?);
    args.remote.output().answer(
        || json::object("DiffRegisterResponse", &diff),
        || {
            let rows = diff.prefixes.iter().map(|each| {
                let (added, removed) = (thousands(each.added), thousands(each.removed));
                vec![format!("+{}", plain(&each.prefix)), added, removed]
            });
            let all = format!(
                "from {before} to {after}: {} came, {} went",
                counted(diff.added, "number"),
                thousands(diff.removed)
            );
            if diff.prefixes.is_empty() {
                return format!("{all}; both have the same numbers");
            }
            format!("{}\n{all}", table(&["numbers", "came", "went"], rows))
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
