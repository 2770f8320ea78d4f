//! `dialgate audit checkpoint`: how far the log is, signed; and whether it still contains what was signed before.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::audit::{Checkpoint, Hash, VerifierKey, is_consistent};
use crate::cli::client::Remote;
use crate::cli::failure::{Refused, Usage, exit};
use crate::cli::output::thousands;
use crate::grpc::client::{Client, ask, json as wire_json};
use crate::grpc::pb::{GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest};

/// A file of checkpoints is read up to here: some ten thousand of them.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Arguments of `audit checkpoint`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit checkpoint > kept.checkpoint\n  \
                        dialgate audit checkpoint --since kept.checkpoint --key log.key\n\n\
                        Keep a checkpoint where nobody who can write to the database can: it proves for ever what the log was. \
                        Keep the log's public key too; without --key the one that the server tells is believed. Ends with 1 if the \
                        log is not the one of the kept checkpoint any more.")]
pub struct CheckpointArgs {
    /// A file with a checkpoint that was kept: prove that the log of now contains the log of then
    #[arg(long, value_name = "FILE")]
    pub since: Option<PathBuf>,
    /// The log's public key, `name+hash+key`, or a file with it
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Prints it, or proves.
pub async fn run(args: CheckpointArgs) -> Result<ExitCode> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let key = args.key.as_deref().map(key).transpose()?;
    let (latest, key) = latest(&client, key).await?;
    let now = Checkpoint::open(&latest.checkpoint, &key);
    let now = now.map_err(|error| anyhow::anyhow!("the checkpoint of the server {error}"))?;
    let Some(path) = &args.since else {
        output.answer(
            || wire_json::object("GetCheckpointResponse", &latest),
            || latest.checkpoint.trim_end().to_owned(),
        )?;
        output.remark(&format!("public key of the log: {key}"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut faults = Vec::new();
    let kept = kept(path, &key)?;
    for before in &kept {
        let head = before.head;
        if head.size > now.head.size {
            faults.push(format!(
                "the log has {} entries, a kept checkpoint covers {}: entries were removed",
                now.head.size, head.size
            ));
            continue;
        }
        let request = GetConsistencyProofRequest {
            old_size: i64::try_from(head.size)?,
            new_size: i64::try_from(now.head.size)?,
        };
        let answer = client.audit().get_consistency_proof(ask(request)).await;
        let answer = answer.map_err(Refused::question)?.into_inner();
        if !is_consistent(&head, &now.head, &hashes(&answer.hashes)) {
            faults.push(format!(
                "the log is not the one that a kept checkpoint over {} entries was signed for",
                head.size
            ));
        }
    }
    let is_whole = faults.is_empty();
    output.answer(
        || Ok(json!({ "whole": is_whole, "tree_size": now.head.size, "kept": kept.len(), "faults": faults })),
        || match is_whole {
            true => format!(
                "the log of {} entries contains what was signed then",
                thousands(i64::try_from(now.head.size).unwrap_or(i64::MAX))
            ),
            false => faults.join("\n"),
        },
    )?;
    Ok(match is_whole {
        true => ExitCode::SUCCESS,
        false => exit::FAILED,
    })
}

/// The latest checkpoint as the server tells it, and the key to look at it with: the one given, or the server's own.
pub(super) async fn latest(
    client: &Client,
    key: Option<VerifierKey>,
) -> Result<(GetCheckpointResponse, VerifierKey)> {
    let latest = client
        .audit()
        .get_checkpoint(ask(GetCheckpointRequest {}))
        .await
        .map_err(Refused::question)?
        .into_inner();
    let key = match key {
        Some(key) => key,
        None => VerifierKey::parse(&latest.verifier_key)
            .map_err(|error| anyhow::anyhow!("the key that the server tells {error}"))?,
    };
    Ok((latest, key))
}

/// A key that was given as it is, or in a file.
pub(super) fn key(text: &str) -> Result<VerifierKey> {
    let read = match VerifierKey::parse(text) {
        Ok(key) => return Ok(key),
        Err(_) if Path::new(text).is_file() => read(Path::new(text))?,
        Err(error) => bail!(Usage(format!("--key: `{text}` {error}, and no such file"))),
    };
    VerifierKey::parse(&read).map_err(|error| Usage(format!("--key: `{text}` {error}")).into())
}

/// The checkpoints of a file, each looked at with the key.
pub(super) fn kept(path: &Path, key: &VerifierKey) -> Result<Vec<Checkpoint>> {
    let text = read(path)?;
    let notes = notes(&text);
    if notes.is_empty() {
        bail!(Usage(format!("`{}` holds no checkpoint", path.display())));
    }
    let open = |note: &String| {
        Checkpoint::open(note, key)
            .with_context(|| format!("a checkpoint of `{}` cannot be used", path.display()))
    };
    notes.iter().map(open).collect()
}

/// One note or more of them, with empty lines between, as a witness file has them: a note ends with its last signature.
fn notes(text: &str) -> Vec<String> {
    let (mut notes, mut note) = (Vec::new(), String::new());
    let mut is_signed = false;
    for line in text.lines() {
        let is_signature = line.starts_with('\u{2014}');
        if is_signed && !is_signature {
            notes.push(std::mem::take(&mut note));
            is_signed = false;
        }
        if note.is_empty() && line.is_empty() {
            continue;
        }
        is_signed |= is_signature;
        note.push_str(line);
        note.push('\n');
    }
    notes.extend((!note.trim().is_empty()).then_some(note));
    notes
}

pub(super) fn hashes(bytes: &[Vec<u8>]) -> Vec<Hash> {
    // One of another length is no hash, and so the proof none.
    let hash = |bytes: &Vec<u8>| {
        bytes
            .as_slice()
            .try_into()
            .map(Hash)
            .unwrap_or(Hash([0; 32]))
    };
    bytes.iter().map(hash).collect()
}

fn read(path: &Path) -> Result<String> {
    let place = || format!("cannot read `{}`", path.display());
    if std::fs::metadata(path).with_context(place)?.len() > FILE_BYTES_MAX {
        bail!(Usage(format!(
            "`{}` is too large for a key or checkpoints",
            path.display()
        )));
    }
    std::fs::read_to_string(path).with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_told_apart() {
        let one = "log\n1\nroot\n\n\u{2014} log AAA\n";
        let two = "log\n2\nroot\n\n\u{2014} log AAA\n\u{2014} witness BBB\n";
        assert_eq!(notes(one), [one]);
        assert_eq!(notes(one.trim_end()), [one]);
        assert_eq!(notes(&format!("{one}\n{two}\n\n{one}")), [one, two, one]);
        assert_eq!(notes(&format!("{one}{two}")), [one, two]);
        assert!(notes("\n \n").is_empty());
        assert_eq!(notes("nonsense"), ["nonsense\n"]);
    }
}
