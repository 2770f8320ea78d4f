//! `dialgate optout add`: one opt-out, in force on every node when it answers.

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::one;
use crate::cli::arguments::{Change, instant, words};
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::cli::wire::{self, value};
use crate::domain::call::CallKind;
use crate::domain::phone::Phone;
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::grpc::client::ask;
use crate::grpc::pb::{CreateSuppressionRequest, create_suppression_request};

/// Arguments of `optout add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate optout add +14045550141 --source agent --note \"asked during a call\"\n  \
                        dialgate optout add --party 0190d5a5-0000-7000-8000-000000000001 --reason objection\n\n\
                        Without --seller it binds every seller. What is about the person (every --reason but registry, internal and\n\
                        litigator) covers every kind of call; what is about the number alone covers those of --channel, or all.")]
pub struct AddArgs {
    #[command(flatten)]
    pub about: About,
    /// Seller it binds; every seller if left out
    #[arg(long)]
    pub seller: Option<String>,
    /// Kind of call it covers, may be repeated, with --reason registry, internal or litigator; every kind if left out. A person's
    /// wish covers every kind, whatever is named
    #[arg(long = "channel", value_name = "KIND", value_parser = words!(CallKind))]
    pub channels: Vec<CallKind>,
    /// Why
    #[arg(long, default_value = "party_request", value_parser = words!(SuppressionReason))]
    pub reason: SuppressionReason,
    /// How the wish arrived
    #[arg(long, default_value = "api", value_parser = words!(SuppressionSource))]
    pub source: SuppressionSource,
    /// When the person said so; now if left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// When it ends by itself; only with --reason internal or litigator
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub expires: Option<Timestamp>,
    /// What proves it: a ticket, a recording
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub evidence: String,
    /// Free text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub note: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// What an opt-out is about: one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct About {
    /// Number that is not to be called, E.164; any well-formed number is taken
    #[arg(value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Person who is not to be called, whatever the number
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
}

/// Runs it.
pub async fn run(args: AddArgs) -> Result<()> {
    use create_suppression_request::Subject;
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let subject = match (args.about.number, args.about.party) {
        (Some(number), _) => Some(Subject::Number(number.reveal())),
        (None, party) => party.map(|id| Subject::PartyId(id.to_string())),
    };
    let request = CreateSuppressionRequest {
        request_id: request_id.clone(),
        subject,
        seller: args.seller.unwrap_or_default(),
        channels: args
            .channels
            .iter()
            .map(|kind| value!(CallKind, kind))
            .collect(),
        reason: value!(SuppressionReason, args.reason),
        source: value!(SuppressionSource, args.source),
        received_time: args.at.map(wire::to_wire),
        expire_time: args.expires.map(wire::to_wire),
        evidence_ref: args.evidence,
        note: args.note,
    };
    let answer = client
        .suppressions()
        .create_suppression(ask(request))
        .await
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let suppression = answer
        .suppression
        .context("the server answered without the opt-out")?;
    one(args.remote.output(), &suppression, "in force on every node")
}
