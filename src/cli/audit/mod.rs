//! `dialgate audit`: the decisions on record, who asked, and what each rule said; whether they come out so again; and the log that
//! nobody can change unseen.

mod checkpoint;
mod entries;
mod entry;
mod export;
mod replay;
mod verify;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use uuid::Uuid;

use self::replay::{ReplayArgs, replay};
use super::arguments::Paging;
use super::card::{Detail, card};
use super::client::Remote;
use super::failure::Refused;
use super::output::Output;
use super::wire::{self, word};
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, ask, json};
use crate::grpc::pb::{Decision, DecisionView, GetDecisionRequest, ListDecisionsRequest};

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List decisions, newest first, or show one with everything it rests on
    Query(QueryArgs),
    /// Make every decision again by the rules and facts it was made by, and compare byte for byte
    Replay(ReplayArgs),
    /// List the entries of the log: every effect, who did it, and its place
    Entries(entries::EntriesArgs),
    /// Show one entry and prove that it is in the log
    Entry(entry::EntryArgs),
    /// Print the latest signed checkpoint, to be kept elsewhere; or prove that the log still contains the one that was kept
    Checkpoint(checkpoint::CheckpointArgs),
    /// Write the whole log into a file that can be verified without this server
    Export(export::ExportArgs),
    /// Verify a file of `audit export`, alone: no server, no database, no network
    Verify(verify::VerifyArgs),
}

/// Arguments of `audit query`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit query --filter 'verdict = \"deny\" AND decided_time > \"2026-11-01T00:00:00Z\"'\n  \
                        dialgate audit query --number +14045550141\n  \
                        dialgate audit query --decision 0190d5a5-0000-7000-8000-000000000001 --full\n  \
                        dialgate audit query --all --full --json > decisions.jsonl")]
pub struct QueryArgs {
    /// Show this one decision as a card
    #[arg(long, value_name = "UUID", conflicts_with_all = ["number", "filter", "page_size", "all"])]
    pub decision: Option<Uuid>,
    /// Only decisions about this number, E.164
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Cards instead of rows, with all evidence and the input of each decision
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

impl AuditCommand {
    /// How this command reaches the server, if it needs one.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Query(args) => Some(&args.remote),
            Self::Replay(args) => Some(&args.remote),
            Self::Entries(args) => Some(&args.remote),
            Self::Entry(args) => Some(&args.remote),
            Self::Checkpoint(args) => Some(&args.remote),
            Self::Export(args) => Some(&args.remote),
            Self::Verify(_) => None,
        }
    }

    /// Whether a command without a server answers in JSON.
    #[must_use]
    pub fn prints_json(&self) -> bool {
        match self {
            Self::Verify(args) => args.json,
            _ => self.remote().is_some_and(|remote| remote.json),
        }
    }
}

/// Runs one of them.
pub async fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Query(args) => query(args).await.map(|()| ExitCode::SUCCESS),
        AuditCommand::Replay(args) => replay(args).await,
        AuditCommand::Entries(args) => entries::run(args).await.map(|()| ExitCode::SUCCESS),
        AuditCommand::Entry(args) => entry::run(args).await,
        AuditCommand::Checkpoint(args) => checkpoint::run(args).await,
        AuditCommand::Export(args) => export::run(args).await.map(|()| ExitCode::SUCCESS),
        AuditCommand::Verify(args) => verify::run(&args),
    }
}

/// Reads one decision.
pub async fn get(client: &Client, id: &str, view: DecisionView) -> Result<Decision> {
    client
        .audit()
        .get_decision(ask(GetDecisionRequest {
            decision_id: id.to_owned(),
            view: view.into(),
        }))
        .await
        .map_err(Refused::question)?
        .into_inner()
        .decision
        .context("the server answered without the decision")
}

async fn query(args: QueryArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let view = if args.full {
        DecisionView::Full
    } else {
        DecisionView::Basic
    };
    if let Some(id) = args.decision {
        let decision = get(&client, &id.to_string(), view).await?;
        return show(output, &decision);
    }
    let mut request = ListDecisionsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
        view: view.into(),
        number: args.number.map(Phone::reveal).unwrap_or_default(),
    };
    let mut count = 0;
    loop {
        let page = client
            .audit()
            .list_decisions(ask(request.clone()))
            .await
            .map_err(Refused::question)?
            .into_inner();
        count += page.decisions.len();
        if args.full {
            page.decisions
                .iter()
                .try_for_each(|decision| show(output, decision))?;
        } else {
            rows(output, &page.decisions)?;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "decision", !request.page_token.is_empty())
}

fn show(output: Output, decision: &Decision) -> Result<()> {
    output.answer(
        || json::object("Decision", decision),
        || card(decision, Detail::Full, output.paint()),
    )
}

fn rows(output: Output, decisions: &[Decision]) -> Result<()> {
    output.rows(
        decisions,
        |decision| json::object("Decision", decision),
        &["decided", "verdict", "stage", "campaign", "denied by", "id"],
        |decision| {
            vec![
                wire::seconds(decision.decided_time.as_ref()),
                word!(Verdict, decision.verdict),
                word!(DecisionStage, decision.stage),
                decision.campaign.clone(),
                decision.denied_by.join(", "),
                decision.decision_id.clone(),
            ]
        },
    )
}
