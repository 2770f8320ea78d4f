//! `dialgate optout add`: one opt-out, in force on every node when it answers.

use std::io::Write as _;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::{one, scope};
use crate::cli::arguments::{Change, instant, words};
use crate::cli::client::Remote;
use crate::cli::confirm::confirm;
use crate::cli::failure::Refused;
use crate::cli::output::{plain, thousands};
use crate::cli::wire::{self, value};
use crate::domain::call::{CallKind, Purpose};
use crate::domain::phone::Phone;
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::grpc::client::{Client, ask};
use crate::grpc::pb::{CreateSuppressionRequest, create_suppression_request};

/// Arguments of `optout add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate optout add +14045550141 --source agent --note \"asked during a call\"\n  \
                        dialgate optout add --party 0190d5a5-0000-7000-8000-000000000001 --reason objection\n  \
                        dialgate optout add --account ACME --purpose sales --evidence \"letter of 2026-11-20\"\n\n\
                        Without --seller it binds every seller, without --purpose calls of every purpose. What is about the \
                        person (every --reason but registry, internal and litigator) covers every kind of call; what is about \
                        the number alone covers those of --channel, or all. A person's wish may be limited to purposes if they \
                        said so; sales are always covered.\n\n\
                        An account's opt-out is everybody's who belongs to it, and who joins it later. It is shown how many \
                        people that is now, and asked, unless --yes is given.")]
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
    /// Purpose of calls it covers, may be repeated, if the person limited the wish to it; every purpose if left out. Sales are
    /// covered by every wish of a person
    #[arg(long = "purpose", value_name = "PURPOSE", value_parser = words!(Purpose))]
    pub purposes: Vec<Purpose>,
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
    /// Do not ask before an account's opt-out is recorded
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// What an opt-out is about: one of the three.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct About {
    /// Number that is not to be called, E.164; any well-formed number is taken
    #[arg(value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Person who is not to be called, whatever the number
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    /// Account of which nobody is to be called, as contacts have it, whatever the number
    #[arg(long)]
    pub account: Option<String>,
}

/// Runs it.
pub async fn run(args: AddArgs) -> Result<()> {
    use create_suppression_request::Subject;
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let subject = match (
        args.about.number,
        args.about.party,
        args.about.account.clone(),
    ) {
        (Some(number), _, _) => Some(Subject::Number(number.reveal())),
        (None, Some(id), _) => Some(Subject::PartyId(id.to_string())),
        (None, None, account) => account.map(Subject::Account),
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
        purposes: args
            .purposes
            .iter()
            .map(|purpose| value!(Purpose, purpose))
            .collect(),
        reason: value!(SuppressionReason, args.reason),
        source: value!(SuppressionSource, args.source),
        received_time: args.at.map(wire::to_wire),
        expire_time: args.expires.map(wire::to_wire),
        evidence_ref: args.evidence,
        note: args.note,
        validate_only: false,
    };
    if let Some(account) = &args.about.account
        && !asked(&client, &request, account, args.yes).await?
    {
        bail!("nothing was recorded");
    }
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

/// Shows whom the opt-out of an account would cover, and asks; answered beforehand, it shows it all the same: nobody who is on
/// record may mean that the name is another.
async fn asked(
    client: &Client,
    request: &CreateSuppressionRequest,
    account: &str,
    yes: bool,
) -> Result<bool> {
    let trial = CreateSuppressionRequest {
        validate_only: true,
        ..request.clone()
    };
    let answer = client.suppressions().create_suppression(ask(trial)).await;
    let answer = answer.map_err(Refused::question)?.into_inner();
    let people = match answer.people_covered {
        0 => "nobody who is on record, only who joins it later".to_owned(),
        1 => "1 person, and who joins it later".to_owned(),
        count => format!("{} people, and who joins it later", thousands(count)),
    };
    let covered = scope(&answer.suppression.unwrap_or_default());
    let about = format!("Account `{}`: {people}; {covered}.", plain(account));
    if yes {
        // Nothing is left to be done when even standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{about}");
    }
    confirm(&format!("{about} Record the opt-out?"), yes)
}
