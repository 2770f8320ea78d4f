//! `dialgate trunk`: which trunks the node has, whether they take calls, and if not, why.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::Remote;
use super::failure::Refused;
use super::output::table;
use super::wire::{self, word};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{ListTrunksRequest, Trunk, TrunkFailure, TrunkTarget};

/// The subcommands of `trunk`.
#[derive(Debug, Subcommand)]
pub enum TrunkCommand {
    /// List the trunks with whether each takes calls, and how its targets stand
    List(ListArgs),
}

/// Arguments of `trunk list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate trunk list\n  dialgate trunk list --json\n\n\
                  Each node finds out by itself how its trunks stand: ask each. A trunk that is down, asleep (its carrier asked \
                  to be left alone for a while) or unregistered takes no calls; they wait until it does."
)]
pub struct ListArgs {
    #[command(flatten)]
    pub remote: Remote,
}

impl TrunkCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::List(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: TrunkCommand) -> Result<ExitCode> {
    let TrunkCommand::List(args) = command;
    list(args).await?;
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let answer = client
        .trunks()
        .list_trunks(ask(ListTrunksRequest {}))
        .await
        .map_err(Refused::question)?;
    let trunks = answer.into_inner().trunks;
    let output = args.remote.output();
    output.rows(
        &trunks,
        |trunk| json::object("Trunk", trunk),
        &[
            "trunk",
            "state",
            "since",
            "calls",
            "per second",
            "registration",
        ],
        |trunk| {
            vec![
                trunk.name.clone(),
                word!(TrunkState, trunk.state).to_owned(),
                wire::seconds(trunk.since_time.as_ref()),
                format!("{} of {}", trunk.calls, trunk.channels),
                trunk.calls_per_second.to_string(),
                registration(trunk),
            ]
        },
    )?;
    let targets = trunks
        .iter()
        .flat_map(|trunk| trunk.targets.iter().map(|target| cells(trunk, target)));
    let heads = ["trunk", "target", "state", "since", "last failure"];
    if !trunks.is_empty() {
        output.remark(&format!("\n{}", table(&heads, targets)))?;
    }
    output.end_of_list(trunks.len(), "trunk", false)
}

fn cells(trunk: &Trunk, target: &TrunkTarget) -> Vec<String> {
    vec![
        trunk.name.clone(),
        format!("{}:{}", target.transport, target.address),
        word!(TrunkTargetState, target.state).to_owned(),
        wire::seconds(target.since_time.as_ref()),
        failure(target.last_failure.as_ref()),
    ]
}

/// What an operator has to know of it: until when it holds, or why there is none.
fn registration(trunk: &Trunk) -> String {
    let Some(registration) = &trunk.registration else {
        return String::new();
    };
    let state = word!(RegistrationState, registration.state);
    match &registration.expire_time {
        Some(until) => format!("{state} until {}", wire::seconds(Some(until))),
        None => format!("{state} {}", failure(registration.last_failure.as_ref()))
            .trim_end()
            .to_owned(),
    }
}

fn failure(failure: Option<&TrunkFailure>) -> String {
    failure.map_or_else(String::new, |failure| {
        let at = wire::seconds(failure.time.as_ref());
        format!("{} at {at}", failure.reason)
    })
}
