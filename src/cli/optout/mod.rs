//! `dialgate optout`: records that block calls, one file a subcommand. Adding one answers only once no node can send another
//! INVITE within its scope, so it may take some two seconds; lifting one takes two people.

mod add;
mod export;
mod import;
mod lift;
mod list;
mod show;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::client::Remote;
use super::output::{Output, plain};
use super::wire::{self, word};
use crate::grpc::client::json;
use crate::grpc::pb::{Suppression, suppression};

/// The subcommands of `optout`.
#[derive(Debug, Subcommand)]
pub enum OptoutCommand {
    /// Record an opt-out; once it answers, nobody dials the number again
    Add(add::AddArgs),
    /// Ask for the lift of an opt-out, with newer permission; another person has to approve it
    Lift(lift::LiftArgs),
    /// Approve a lift that was asked for, with a key of the role approver
    Approve(lift::ApproveArgs),
    /// List opt-outs, newest first: all, or those of a number, person, account or filter
    #[command(visible_alias = "search")]
    List(list::ListArgs),
    /// Tell everything about one number: its opt-outs, consents and the calls that were refused
    Show(show::ShowArgs),
    /// Record a whole list of opt-outs; the same command goes on after a break
    Import(Box<import::ImportArgs>),
    /// Write opt-outs to a file, by the keys of their numbers
    Export(export::ExportArgs),
    /// Follow what happens to opt-outs, for a copy kept elsewhere
    Watch(watch::WatchArgs),
}

impl OptoutCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Add(args) => &args.remote,
            Self::Lift(args) => &args.remote,
            Self::Approve(args) => &args.remote,
            Self::List(args) => &args.remote,
            Self::Show(args) => &args.remote,
            Self::Import(args) => &args.importing.remote,
            Self::Export(args) => &args.remote,
            Self::Watch(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: OptoutCommand) -> Result<ExitCode> {
    match command {
        OptoutCommand::Add(args) => add::run(args).await,
        OptoutCommand::Lift(args) => lift::run(args).await,
        OptoutCommand::Approve(args) => lift::approve(args).await,
        OptoutCommand::List(args) => list::run(args).await,
        OptoutCommand::Show(args) => show::run(args).await,
        OptoutCommand::Import(args) => return import::run(*args).await,
        OptoutCommand::Export(args) => export::run(args).await,
        OptoutCommand::Watch(args) => watch::run(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

fn one(output: Output, suppression: &Suppression, state: &str) -> Result<()> {
    output.answer(
        || json::object("Suppression", suppression),
        || {
            format!(
                "opt-out {} is {state}: {}, {}",
                plain(&suppression.suppression_id),
                subject(suppression),
                scope(suppression),
            )
        },
    )
}

fn rows(output: Output, suppressions: &[Suppression]) -> Result<()> {
    output.rows(
        suppressions,
        |suppression| json::object("Suppression", suppression),
        &[
            "id", "about", "seller", "channels", "purposes", "reason", "source", "received",
            "state",
        ],
        |suppression| {
            vec![
                suppression.suppression_id.clone(),
                subject(suppression),
                either(&suppression.seller, "all", ""),
                either(&channels(&suppression.channels), "all", ""),
                either(&purposes(&suppression.purposes), "all", ""),
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
        Some(suppression::Subject::NumberKey(key)) => format!("number key {}", beginning(key)),
        Some(suppression::Subject::AccountKey(key)) => format!("account key {}", beginning(key)),
        Some(suppression::Subject::PartyId(id)) => format!("person {}", plain(id)),
        None => String::new(),
    }
}

/// Enough of a key to tell it from others.
fn beginning(key: &str) -> String {
    format!("{}…", plain(key).chars().take(12).collect::<String>())
}

/// What it covers, in words.
fn scope(suppression: &Suppression) -> String {
    format!(
        "{}, {}, {}",
        either(&suppression.seller, "every seller", "seller "),
        either(&channels(&suppression.channels), "every kind of call", ""),
        either(&purposes(&suppression.purposes), "every purpose", "for "),
    )
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

/// The purposes of a record, as one text; empty = all.
#[must_use]
pub fn purposes(purposes: &[i32]) -> String {
    let words = purposes.iter().map(|&purpose| word!(Purpose, purpose));
    words.collect::<Vec<String>>().join(", ")
}

/// A text with its lead, or what its absence means.
fn either(text: &str, absent: &str, lead: &str) -> String {
    if text.is_empty() {
        absent.to_owned()
    } else {
        format!("{lead}{}", plain(text))
    }
}
