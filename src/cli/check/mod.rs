//! `dialgate check`: may this number be called now? Shows the decision; dials nothing and uses up no cap.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use uuid::Uuid;

use super::arguments::words;
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
#[command(after_help = "Example: before an agent picks up the phone\n  \
                        dialgate check +14045550141 --campaign spring\n\n\
                        Ends with 0 when the call is allowed and with 3 when it is denied.")]
pub struct CheckArgs {
    /// Number to call, E.164: +, country calling code, national number
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    #[command(flatten)]
    pub ask: Asked,
    #[command(flatten)]
    pub remote: Remote,
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

/// Asks and prints the card.
pub async fn run(args: CheckArgs) -> Result<ExitCode> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let answer = client
        .calls()
        .check_call(ask(CheckCallRequest {
            to: args.number.reveal(),
            campaign: args.ask.campaign,
            call_kind: value!(CallKind, args.ask.kind),
            caller_id: args.ask.caller_id.map(Phone::reveal).unwrap_or_default(),
            party_id: args.ask.party.map(|id| id.to_string()).unwrap_or_default(),
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
