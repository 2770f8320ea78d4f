//! `dialgate check`: may this number be called now? Shows the decision; dials nothing and uses up no cap. A whole list
//! ([`list`]) goes through in one stream.

mod list;
mod rows;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::arguments::{instant, words};
use super::card::{Detail, card};
use super::client::Remote;
use super::failure::{Refused, exit};
use super::wire::value;
use crate::domain::call::CallKind;
use crate::domain::phone::Phone;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{CheckCallRequest, Verdict};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: before an agent picks up the phone, and before a list is dialed\n  \
                        dialgate check +14045550141 --campaign spring\n  \
                        dialgate check --file leads.csv.gz --column phone --country US --campaign spring --output checked.csv\n  \
                        dialgate check --file - --campaign spring --at 2026-11-20T09:00:00-05:00 --json < numbers.txt\n\n\
                        A number: ends with 0 when the call is allowed and with 3 when it is denied.\n\
                        A list: each line of it has one row in the answer, also one that is no number, and the command ends \
                        with 0 when all of it was read, whatever the verdicts. Columns: line, given, number, verdict, \
                        denied_by, next_allowed_time, error. A list is on record as one entry and not as decisions; asking \
                        again before each call is the server's business."
)]
pub struct CheckArgs {
    /// Number to call, E.164: +, country calling code, national number
    #[arg(value_parser = Phone::parse, required_unless_present = "file", conflicts_with = "file")]
    pub number: Option<Phone>,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub ask: Asked,
    #[command(flatten)]
    pub remote: Remote,
}

/// What only a list has.
#[derive(Debug, Args)]
#[command(next_help_heading = "A whole list")]
pub struct ListArgs {
    /// Check every number of this list (- = standard input): one a line, or CSV; may be compressed (gzip, zstd)
    #[arg(long, value_name = "LIST", conflicts_with = "party")]
    pub file: Option<PathBuf>,
    /// Column that holds the numbers: its name in the first line, or its place, counted from 1
    #[arg(long, value_name = "NAME|N", conflicts_with = "number")]
    pub column: Option<String>,
    /// Country of numbers that have no calling code, such as US or DE
    #[arg(long, value_name = "COUNTRY", conflicts_with = "number")]
    pub country: Option<String>,
    /// Judge for this instant instead of now, by what is known now
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "number")]
    pub at: Option<Timestamp>,
    /// Also say for each rule that denies why it does; slower
    #[arg(long, conflicts_with = "number")]
    pub reasons: bool,
    /// Write the rows into this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "number")]
    pub output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// What `check` and `call` ask alike.
#[derive(Debug, Args)]
pub struct Asked {
    /// Campaign the call belongs to: a [campaign.NAME] of the server's configuration
    #[arg(long, value_name = "NAME")]
    pub campaign: String,
    /// Who dials and who speaks
    #[arg(long, value_name = "KIND", default_value = "live_manual", value_parser = words!(CallKind))]
    pub kind: CallKind,
    /// Number to show, one of the campaign's; its first if left out
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub caller_id: Option<Phone>,
    /// Person to call, where several share the number
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
}

/// Asks about the number, or about the list.
pub async fn run(args: CheckArgs) -> Result<ExitCode> {
    match args.number {
        Some(number) => check(number, args.ask, args.remote).await,
        None => list::run(args.list, args.ask, args.remote).await,
    }
}

/// Asks and prints the card.
async fn check(number: Phone, asked: Asked, remote: Remote) -> Result<ExitCode> {
    let client = remote.connect().await?;
    let output = remote.output();
    let answer = client
        .calls()
        .check_call(ask(CheckCallRequest {
            to: number.reveal(),
            campaign: asked.campaign,
            call_kind: value!(CallKind, asked.kind),
            caller_id: asked.caller_id.map(Phone::reveal).unwrap_or_default(),
            party_id: asked.party.map(|id| id.to_string()).unwrap_or_default(),
        }))
        .await
        .map_err(Refused::question)?
        .into_inner();
    let decision = answer
        .decision
        .context("the server answered without a decision")?;
    output.answer(
        || json::object("Decision", &decision),
        || card(&decision, Detail::Brief, output.paint()),
    )?;
    Ok(match decision.verdict() {
        Verdict::Allow => ExitCode::SUCCESS,
        Verdict::Deny | Verdict::Unspecified => exit::denied(),
    })
}
