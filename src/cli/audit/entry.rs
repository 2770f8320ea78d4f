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
        entry: Some(wanted.clone()),
        tree_size: 0,
    };
    let answer = client.audit().get_entry(ask(request)).await;
    let answer = answer.map_err(Refused::question)?.into_inner();
    let shown: Value = serde_json::from_str(&answer.leaf).context("the entry is no JSON")?;
    let proved = asked_for(&wanted, &shown, &answer).and_then(|()| proved(&answer, &key));
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

/// Whether the answer is the entry that was asked for: a proof of another one proves nothing of this one.
fn asked_for(wanted: &Entry, shown: &Value, answer: &GetEntryResponse) -> Result<(), String> {
    let other = |other: String| {
        Err(format!(
            "not proved: the server answered with another entry than the one asked for: {other}"
        ))
    };
    match wanted {
        Entry::EntryId(id) => match shown.get("entry_id").and_then(Value::as_str) {
            Some(told) if told == id => Ok(()),
            told => other(plain(told.unwrap_or("one without an id")).into_owned()),
        },
        Entry::LogIndex(index) => match &answer.proof {
            Some(proof) if proof.log_index == *index => Ok(()),
            Some(proof) => other(proof.log_index.to_string()),
            None => other("one without a place".to_owned()),
        },
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Frontier, SigningKey, TreeHead};
    use crate::grpc::pb::InclusionProof;

    const IDS: [&str; 2] = [
        "0190d5a5-0000-7000-8000-000000000001",
        "0190d5a5-0000-7000-8000-000000000002",
    ];

    /// What an honest server answers of this entry of a log of two.
    fn answer(key: &SigningKey, index: usize) -> GetEntryResponse {
        let leaves = IDS.map(|id| json!({ "entry_id": id }).to_string());
        let hashes = leaves.each_ref().map(|leaf| leaf_hash(leaf.as_bytes()));
        let mut frontier = Frontier::default();
        hashes.iter().for_each(|hash| frontier.push(*hash));
        let head = TreeHead {
            size: 2,
            root: frontier.root(),
        };
        GetEntryResponse {
            leaf: leaves[index].clone(),
            proof: Some(InclusionProof {
                log_index: i64::try_from(index).unwrap(),
                hashes: vec![hashes[1 - index].0.to_vec()],
                checkpoint: Checkpoint::sign(&head, key),
                ..InclusionProof::default()
            }),
            ..GetEntryResponse::default()
        }
    }

    #[test]
    fn another_entry_than_the_one_asked_for_proves_nothing() {
        let key = SigningKey::generate("example.com/calls").unwrap();
        let look = |wanted: Entry, answer: &GetEntryResponse| {
            let shown: Value = serde_json::from_str(&answer.leaf).unwrap();
            asked_for(&wanted, &shown, answer).and_then(|()| proved(answer, key.verifier()))
        };
        for asked in [0, 1] {
            for answered in [0, 1] {
                let answer = answer(&key, answered);
                let by_place = look(Entry::LogIndex(i64::try_from(asked).unwrap()), &answer);
                let by_id = look(Entry::EntryId(IDS[asked].to_owned()), &answer);
                for told in [by_place, by_id] {
                    assert_eq!(
                        told.is_ok(),
                        asked == answered,
                        "{asked} {answered}: {told:?}"
                    );
                    if let Err(problem) = told {
                        assert!(problem.contains("another entry"), "{problem}");
                    }
                }
            }
        }
        // Its place is told of an entry that is asked for by its place, always.
        let unplaced = GetEntryResponse {
            proof: None,
            ..answer(&key, 0)
        };
        let by_place = look(Entry::LogIndex(0), &unplaced).unwrap_err();
        assert!(by_place.contains("another entry"), "{by_place}");
        let by_id = look(Entry::EntryId(IDS[0].to_owned()), &unplaced).unwrap_err();
        assert!(by_id.contains("no place yet"), "{by_id}");
    }
}
