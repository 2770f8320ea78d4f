//! `dialgate audit checkpoint`: how far the log is, signed; and whether it still contains what was signed before.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
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

/// A file of checkpoints is read up to here: some millions of them.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// No checkpoint is longer, and no key.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// Arguments of `audit checkpoint`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit checkpoint > kept.checkpoint\n  \
                        dialgate audit checkpoint --since kept.checkpoint --key log.key\n\n\
                        Keep a checkpoint where nobody who can write to the database can: it proves for ever what the log was. \
                        Keep the log's public key too, which is told on standard error; without --key the one that the server tells is believed. Ends with 1 if the \
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
    let open = |answer: &GetCheckpointResponse| {
        Checkpoint::open(&answer.checkpoint, &key)
            .map_err(|error| anyhow::anyhow!("the checkpoint of the server {error}"))
    };
    open(&latest)?;
    let Some(path) = &args.since else {
        output.answer(
            || wire_json::object("GetCheckpointResponse", &latest),
            || latest.checkpoint.trim_end().to_owned(),
        )?;
        output.aside(&format!("public key of the log: {key}"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut faults = Vec::new();
    let kept = kept(path, &key)?;
    // Asked again, for a witness file goes on while it is read.
    let now = open(&self::latest(&client, Some(key.clone())).await?.0)?;
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
    let place = || format!("cannot read `{}`", path.display());
    let file = File::open(path).with_context(place)?;
    if file.metadata().with_context(place)?.len() > FILE_BYTES_MAX {
        bail!(Usage(format!(
            "`{}` is larger than 1 GiB: give the checkpoints that matter in a file of their own, the last one at least \
             (`tail -n 6`), for one covers all before it",
            path.display()
        )));
    }
    let mut kept = Vec::new();
    let each = |note: &str| {
        let opened = Checkpoint::open(note, key);
        let opened =
            opened.with_context(|| format!("a checkpoint of `{}` cannot be used", path.display()));
        kept.push(opened?);
        Ok(())
    };
    notes(BufReader::new(file.take(FILE_BYTES_MAX)), each).with_context(place)?;
    if kept.is_empty() {
        bail!(Usage(format!("`{}` holds no checkpoint", path.display())));
    }
    Ok(kept)
}

/// One note or more of them, with empty lines between, as a witness file has them: a note ends with its last signature. No more
/// than one is held at a time.
fn notes(mut lines: impl BufRead, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut note = String::new();
    let mut is_signed = false;
    loop {
        let mut line = String::new();
        let left = NOTE_BYTES_MAX.saturating_sub(note.len());
        let mut bounded = lines.by_ref().take(u64::try_from(left).unwrap_or(0));
        if bounded.read_line(&mut line)? == 0 {
            anyhow::ensure!(
                left > 0,
                "it holds something that is too long for a checkpoint"
            );
            break;
        }
        let line = line.trim_end_matches(['\n', '\r']);
        let is_signature = line.starts_with('\u{2014}');
        if is_signed && !is_signature {
            each(&note)?;
            note.clear();
            is_signed = false;
        }
        if note.is_empty() && line.is_empty() {
            continue;
        }
        is_signed |= is_signature;
        note.push_str(line);
        note.push('\n');
    }
    if note.trim().is_empty() {
        return Ok(());
    }
    each(&note)
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
    let bound = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = File::open(path).with_context(place)?;
    if file
        .take(bound)
        .read_to_string(&mut text)
        .with_context(place)?
        == NOTE_BYTES_MAX
    {
        bail!(Usage(format!(
            "`{}` is too large for a key",
            path.display()
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{SigningKey, TreeHead, empty_root};

    fn told_apart(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        let each = |note: &str| {
            all.push(note.to_owned());
            Ok(())
        };
        notes(text.as_bytes(), each).unwrap();
        all
    }

    #[test]
    fn notes_are_told_apart() {
        let one = "log\n1\nroot\n\n\u{2014} log AAA\n";
        let two = "log\n2\nroot\n\n\u{2014} log AAA\n\u{2014} witness BBB\n";
        assert_eq!(told_apart(one), [one]);
        assert_eq!(told_apart(one.trim_end()), [one]);
        assert_eq!(told_apart(&one.replace('\n', "\r\n")), [one]);
        assert_eq!(
            told_apart(&format!("{one}\n{two}\n\n{one}")),
            [one, two, one]
        );
        assert_eq!(told_apart(&format!("{one}{two}")), [one, two]);
        assert!(told_apart("\n \n").is_empty());
        assert_eq!(told_apart("nonsense"), ["nonsense\n"]);
        let endless = notes("x".repeat(NOTE_BYTES_MAX + 1).as_bytes(), |_| Ok(()));
        assert!(endless.unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn a_witness_file_of_years_is_read_and_one_that_is_too_large_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness");
        let key = SigningKey::generate("example.com/calls").unwrap();
        let head = TreeHead {
            size: 0,
            root: empty_root(),
        };
        let note = Checkpoint::sign(&head, &key);
        // As large as ten years of them, and one at the end.
        let empty = format!("{}\n", "\r".repeat(8191)).repeat(17 << 7);
        std::fs::write(&path, format!("{note}{empty}{note}\n")).unwrap();
        assert_eq!(kept(&path, key.verifier()).unwrap().len(), 2);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let refused = kept(&path, key.verifier()).unwrap_err().to_string();
        assert!(refused.contains("tail -n 6"), "{refused}");
    }
}
