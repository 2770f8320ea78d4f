//! `dialgate optout watch`: every change of every opt-out as it happens, for who keeps a copy of them elsewhere.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::subject;
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::cli::output::{Output, plain};
use crate::cli::wire::{self, word};
use crate::grpc::client::{Client, Code, Status, json};
use crate::grpc::pb::watch_suppressions_response::Content;
use crate::grpc::pb::{SuppressionChange, WatchSuppressionsRequest};

/// How long a broken stream is left alone before it is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// So many breaks without a message between are no mere break.
const BREAKS_MAX: u32 = 30;

/// Arguments of `optout watch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate optout watch --new\n  \
                        dialgate optout watch --json --from 010000000000000002a4 >> changes.jsonl\n\n\
                        It goes on until Ctrl-C, also over restarts of the server. With --json each line has a resume_token: after the \
                        last one that was taken in, --from goes on, and nothing is missed. Without either, it begins with the first \
                        opt-out ever recorded.")]
pub struct WatchArgs {
    /// Go on after this resume_token of an earlier run
    #[arg(long, value_name = "TOKEN", value_parser = token, conflicts_with = "new")]
    pub from: Option<Token>,
    /// Only what happens from now on
    #[arg(long)]
    pub new: bool,
    #[command(flatten)]
    pub remote: Remote,
}

/// A place in the stream.
#[derive(Debug, Clone)]
pub struct Token(Vec<u8>);

fn token(text: &str) -> Result<Token, String> {
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let whole = bytes.filter(|_| text.len().is_multiple_of(2));
    whole
        .map(Token)
        .ok_or_else(|| "not a resume_token, take one that --json has printed".to_owned())
}

/// Follows until somebody ends it.
pub async fn run(args: WatchArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut place = Place {
        token: args.from.map(|token| token.0).unwrap_or_default(),
        only_new: args.new,
    };
    let mut breaks = 0;
    loop {
        let ended = tokio::select! {
            ended = follow(&client, &mut place, output, &mut breaks) => ended?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        breaks += 1;
        let is_break = matches!(
            ended.code(),
            Code::Unavailable | Code::Unknown | Code::Internal
        );
        if !is_break || breaks > BREAKS_MAX {
            return Err(Refused::question(ended).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How far it is.
struct Place {
    token: Vec<u8>,
    only_new: bool,
}

/// One stream, to its end; what ended it.
async fn follow(
    client: &Client,
    place: &mut Place,
    output: Output,
    breaks: &mut u32,
) -> Result<Status> {
    let request = WatchSuppressionsRequest {
        resume_token: place.token.clone(),
        only_new: place.only_new,
    };
    let mut suppressions = client.suppressions();
    let mut stream = match suppressions.watch_suppressions(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok(status),
    };
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Status::unavailable("the server ended the stream")),
            Err(status) => return Ok(status),
        };
        *breaks = 0;
        place.token = message.resume_token;
        // From here on the token tells where to go on.
        place.only_new = false;
        if let Some(Content::Change(change)) = message.content {
            show(output, &change, &place.token)?;
        }
    }
}

fn show(output: Output, change: &SuppressionChange, token: &[u8]) -> Result<()> {
    let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    output.answer(
        || {
            let change = json::object("SuppressionChange", change)?;
            Ok(json!({ "change": change, "resume_token": token }))
        },
        || {
            let kind = word!(SuppressionChangeKind, change.kind).replace('_', " ");
            let Some(suppression) = &change.suppression else {
                return kind;
            };
            let at = match (&suppression.lift, &suppression.lift_request) {
                (Some(lift), _) if kind == "lifted" => lift.lift_time.as_ref(),
                (_, Some(asked)) if kind == "lift requested" => asked.request_time.as_ref(),
                _ => suppression.record_time.as_ref(),
            };
            format!(
                "{}  {kind:<14}  {}  {}, {}",
                wire::seconds(at),
                plain(&suppression.suppression_id),
                subject(suppression),
                word!(SuppressionReason, suppression.reason),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_printed() {
        assert_eq!(token("01ff").unwrap().0, [1, 255]);
        for wrong in ["0", "zz", "01f", "é1"] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
    }
}
