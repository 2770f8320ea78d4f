//! `dialgate policy activate` and `history`: which pack decides, since when, and who said so.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::super::arguments::{Change, Paging};
use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{Output, plain};
use super::super::wire::{self, word};
use super::named::{Named, named};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    ActivatePackRequest, ActivatePackResponse, Activation, Became, ListActivationsRequest,
    RowChange,
};

/// Arguments of `policy activate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  dialgate policy activate ./rules --reason \"Florida closes earlier\" --dry-run\n  \
                  dialgate policy activate ./house-rules --add --reason \"our own caps\"\n  \
                  dialgate policy activate 4f2a…(64 digits) --reason \"back to the law of May\"\n  \
                  dialgate policy activate --configured --reason \"follow the release again\"\n\n\
                  What was activated by hand stays when a node starts with a newer release; --configured ends that.\n\
                  Closed days and disabled rules stay in force over every pack.")]
pub struct ActivateArgs {
    /// A folder with a pack, or the hash of one that the server keeps
    #[arg(value_name = "DIR|SHA256", required_unless_present = "configured")]
    pub pack: Option<String>,
    /// The pack that the server's own configuration names
    #[arg(long, conflicts_with = "pack")]
    pub configured: bool,
    /// Add the folder to the rules built into this program, instead of sending it alone
    #[arg(long, requires = "pack")]
    pub add: bool,
    /// Why; stands in the history for ever
    #[arg(long)]
    pub reason: String,
    /// Check everything and tell what would change, without changing it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy history`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy history\n  dialgate policy history --filter 'NOT actor = \"system\"' --all"
)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

/// Activates a pack.
pub async fn activate(args: ActivateArgs) -> Result<ExitCode> {
    let output = args.remote.output();
    let request_id = args.change.name();
    let pack = match args.pack.as_deref() {
        None => Named::Configured,
        Some(words) => match named(words, args.add, output)? {
            Ok(named) => named,
            Err(code) => return Ok(code),
        },
    };
    let client = args.remote.connect().await?;
    let request = ActivatePackRequest {
        request_id: request_id.clone(),
        reason: args.reason,
        validate_only: args.dry_run,
        pack: Some(pack.into()),
    };
    let answer = client.policy().activate_pack(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    show(output, &answer, args.dry_run)?;
    Ok(ExitCode::SUCCESS)
}

/// Lists activations.
pub async fn history(args: HistoryArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListActivationsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
    };
    let mut count = 0;
    loop {
        let page = client.policy().list_activations(ask(request.clone())).await;
        let page = page.map_err(Refused::question)?.into_inner();
        count += page.activations.len();
        rows(output, &page.activations)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "activation", !request.page_token.is_empty())
}

fn show(output: Output, answer: &ActivatePackResponse, dry_run: bool) -> Result<()> {
    let activation = answer
        .activation
        .as_ref()
        .context("the server answered without the activation")?;
    if output.is_json() {
        return output.answer(|| json::object("ActivatePackResponse", answer), String::new);
    }
    if let Some(diff) = &answer.diff {
        for row in &diff.rows {
            row_lines(output, row)?;
        }
        for file in &diff.files {
            let became = word!(Became, file.became);
            output.remark(&format!("{became} {}", plain(&file.file)))?;
        }
    }
    let (version, hash) = (plain(&activation.version), plain(&activation.sha256));
    output.remark(&match (dry_run, answer.unchanged) {
        (true, _) => format!("nothing is wrong with pack {version} ({hash}); nothing was changed"),
        (false, true) => format!("pack {version} ({hash}) was in force already"),
        (false, false) => format!("pack {version} ({hash}) decides on every node"),
    })
}

fn row_lines(output: Output, row: &RowChange) -> Result<()> {
    let became = Became::try_from(row.became).unwrap_or_default();
    let word = word!(Became, row.became);
    output.remark(&format!("{word} {} {}", plain(&row.table), plain(&row.id)))?;
    if became == Became::Changed {
        for key in &row.keys {
            let side = |text: &str| {
                if text.is_empty() {
                    "(none)".to_owned()
                } else {
                    plain(text).into_owned()
                }
            };
            let (before, after) = (side(&key.before), side(&key.after));
            output.remark(&format!("    {}: {before} -> {after}", plain(&key.key)))?;
        }
    }
    Ok(())
}

fn rows(output: Output, activations: &[Activation]) -> Result<()> {
    output.rows(
        activations,
        |activation| json::object("Activation", activation),
        &["since", "epoch", "version", "pack", "origin", "who", "why"],
        |activation| {
            vec![
                wire::seconds(activation.activate_time.as_ref()),
                activation.epoch.to_string(),
                activation.version.clone(),
                activation.sha256.clone(),
                word!(PackOrigin, activation.origin),
                activation.actor.clone(),
                activation.reason.clone(),
            ]
        },
    )
}
