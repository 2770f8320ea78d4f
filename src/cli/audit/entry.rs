//! `dialgate audit entry`: one entry, and the proof that it is in the log, looked at here and not believed.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::checkpoint::{hashes, key, latest};
use crate::audit::{Checkpoint, VerifierKey, is_included, leaf_hash};
use crate::cli::client::Remote;
use crate::cli::failure::{Refused, Usage, exit};
use crate::cli::output::plain;
use crate::grpc::client::ask;
use crate::grpc::pb::get_entry_request::Entry;
use crate::grpc::pb::{GetEntryRequest, GetEntryResponse};

/// Arguments of `audit entry`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit entry 0190d5a5-0000-7000-8000-000000000001\n  \
                        dialgate audit entry 17 --key log.key\n\n\
                        The proof is looked at on this machine. Ends with 1 if it does not hold, or the entry has no place yet.")]
pub struct EntryArgs {
    /// The entry's id, or its place in the log
    #[arg(value_name = "UUID|PLACE")]
    pub entry: String,
    /// The log's public key, `name+hash+key`, or a file with it
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Shows it.
pub async fn run(args: EntryArgs) -> Result<ExitCode> {
    let wanted = match (args.entry.parse::<Uuid>(), args.entry.parse::<i64>()) {
        (Ok(id), _) => Entry::EntryId(id.to_string()),
        (_, Ok(place)) if place >= 0 => Entry::LogIndex(place),
        _ => bail!(Usage(format!("`{}` is no id and no place", args.entry))),
    };
    let client = args.remote.connect().await?;
    let known = args.key.as_deref().map(key).transpose()?;
    let (_, key) = latest(&client, known).await?;
    let request = GetEntryRequest {
        entry: Some(wanted),
        tree_size: 0,
    };
    let answer = client.audit().get_entry(ask(request)).await;
    let answer = answer.map_err(Refused::question)?.into_inner();
    let shown: Value = serde_json::from_str(&answer.leaf).context("the entry is no JSON")?;
    let proved = proved(&answer, &key);
    let (is_proved, sentence) = match &proved {
        Ok(sentence) => (true, sentence),
        Err(problem) => (false, problem),
    };
    args.remote.output().answer(
        || Ok(json!({ "entry": shown, "proved": is_proved, "proof": sentence })),
        || {
            let pretty = serde_json::to_string_pretty(&shown).unwrap_or_default();
            let lines = pretty.lines().map(plain).collect::<Vec<_>>();
            format!("{}\n{sentence}", lines.join("\n"))
        },
    )?;
    Ok(match is_proved {
        true => ExitCode::SUCCESS,
        false => exit::FAILED,
    })
}

/// What the proof shows; or why it shows nothing.
fn proved(answer: &GetEntryResponse, key: &VerifierKey) -> Result<String, String> {
    let Some(proof) = &answer.proof else {
        return Err("no place yet: ask again in a second".to_owned());
    };
    let checkpoint = Checkpoint::open(&proof.checkpoint, key)
        .map_err(|error| format!("not proved: the checkpoint {error}"))?;
    let head = checkpoint.head;
    let leaf = leaf_hash(answer.leaf.as_bytes());
    let index = u64::try_from(proof.log_index).unwrap_or(u64::MAX);
    if !is_included(&leaf, index, head.size, &hashes(&proof.hashes), &head.root) {
        return Err(format!(
            "not proved: this is not entry {index} of the signed log of {} entries",
            head.size
        ));
    }
    Ok(format!(
        "proved: entry {index} of the signed log `{}` of {} entries",
        checkpoint.origin, head.size
    ))
}
