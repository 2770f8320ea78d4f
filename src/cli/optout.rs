//! `dialgate optout`: records that block calls. Adding one answers only once no node can send another INVITE within its
//! scope, so it may take some two seconds; lifting one takes two people.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use uuid::Uuid;

use super::arguments::{Change, Paging, instant, words};
use super::client::Remote;
use super::failure::Refused;
use super::output::{Output, plain};
use super::wire::{self, value, word};
use crate::domain::call::CallKind;
use crate::domain::phone::Phone;
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    CreateSuppressionRequest, LiftSuppressionRequest, ListSuppressionsRequest, Suppression,
    create_suppression_request, suppression,
};

/// The subcommands of `optout`.
#[derive(Debug, Subcommand)]
pub enum OptoutCommand {
    /// Record an opt-out; once it answers, nobody dials the number again
    Add(AddArgs),
    /// Lift an opt-out: two people, each with their own key, and newer permission
    Lift(LiftArgs),
    /// List opt-outs, newest first
    List(ListArgs),
}

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

/// Arguments of `optout lift`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: the first person asks, and it binds on until the second one repeats this with another key\n  \
                        dialgate optout lift 0190d5a5-0000-7000-8000-000000000001 \\\n    \
                        --reason \"asked to be called again\" --evidence form-4711"
)]
pub struct LiftArgs {
    /// The opt-out, as `optout list` shows it
    #[arg(value_name = "ID")]
    pub id: Uuid,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// The permission that is newer than the opt-out; what the first person names is kept
    #[arg(long, value_name = "REF")]
    pub evidence: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `optout list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate optout list --number +14045550141\n  \
                        dialgate optout list --filter 'reason = \"objection\" AND received_time > \"2026-01-01T00:00:00Z\"' --all")]
pub struct ListArgs {
    /// Only those about this number
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Only those about this person
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

impl OptoutCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Add(args) => &args.remote,
            Self::Lift(args) => &args.remote,
            Self::List(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: OptoutCommand) -> Result<ExitCode> {
    match command {
        OptoutCommand::Add(args) => add(args).await,
        OptoutCommand::Lift(args) => lift(args).await,
        OptoutCommand::List(args) => list(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn add(args: AddArgs) -> Result<()> {
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

async fn lift(args: LiftArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = LiftSuppressionRequest {
        request_id: request_id.clone(),
        suppression_id: args.id.to_string(),
        reason: args.reason,
        evidence_ref: args.evidence,
    };
    let answer = client
        .suppressions()
        .lift_suppression(ask(request))
        .await
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let suppression = answer
        .suppression
        .context("the server answered without the opt-out")?;
    let state = if suppression.lift.is_some() {
        "lifted"
    } else {
        "in force until a second person repeats this with their own key"
    };
    one(args.remote.output(), &suppression, state)
}

async fn list(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListSuppressionsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
        number: args.number.map(Phone::reveal).unwrap_or_default(),
        party_id: args.party.map(|id| id.to_string()).unwrap_or_default(),
    };
    let mut count = 0;
    loop {
        let page = client
            .suppressions()
            .list_suppressions(ask(request.clone()))
            .await
            .map_err(Refused::question)?
            .into_inner();
        count += page.suppressions.len();
        rows(output, &page.suppressions)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "opt-out", !request.page_token.is_empty())
}

fn one(output: Output, suppression: &Suppression, state: &str) -> Result<()> {
    output.answer(
        || json::object("Suppression", suppression),
        || {
            format!(
                "opt-out {} is {state}: {}, {}, {}",
                plain(&suppression.suppression_id),
                subject(suppression),
                either(&suppression.seller, "every seller", "seller "),
                either(&channels(&suppression.channels), "every kind of call", ""),
            )
        },
    )
}

fn rows(output: Output, suppressions: &[Suppression]) -> Result<()> {
    output.rows(
        suppressions,
        |suppression| json::object("Suppression", suppression),
        &[
            "id", "about", "seller", "channels", "reason", "source", "received", "state",
        ],
        |suppression| {
            vec![
                suppression.suppression_id.clone(),
                subject(suppression),
                either(&suppression.seller, "all", ""),
                either(&channels(&suppression.channels), "all", ""),
                word!(SuppressionReason, suppression.reason),
                word!(SuppressionSource, suppression.source),
                wire::seconds(suppression.received_time.as_ref()),
                state(suppression),
            ]
        },
    )
}

fn subject(suppression: &Suppression) -> String {
    match &suppression.subject {
        Some(suppression::Subject::NumberKey(key)) => {
            format!(
                "number key {}…",
                plain(key).chars().take(12).collect::<String>()
            )
        }
        Some(suppression::Subject::PartyId(id)) => format!("person {}", plain(id)),
        None => String::new(),
    }
}

fn state(suppression: &Suppression) -> String {
    if let Some(lift) = &suppression.lift {
        return format!("lifted {}", wire::seconds(lift.lift_time.as_ref()));
    }
    if suppression.lift_request.is_some() {
        return "in force, lift asked for".to_owned();
    }
    match wire::seconds(suppression.expire_time.as_ref()) {
        never if never.is_empty() => "in force".to_owned(),
        time => format!("ends {time}"),
    }
}

/// The kinds of call of a record, as one text; empty = all.
#[must_use]
pub fn channels(kinds: &[i32]) -> String {
    let words: Vec<String> = kinds.iter().map(|&kind| word!(CallKind, kind)).collect();
    words.join(", ")
}

/// A text with its lead, or what its absence means.
fn either(text: &str, absent: &str, lead: &str) -> String {
    if text.is_empty() {
        absent.to_owned()
    } else {
        format!("{lead}{}", plain(text))
    }
}
