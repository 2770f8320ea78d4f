//! `dialgate registry list`: what is loaded, and how old it is; or every snapshot there was.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{Output, thousands};
use super::super::wire;
use super::import::known;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    ListRegisterSnapshotsRequest, ListRegistersRequest, Register, RegisterSnapshot,
};

/// Arguments of `registry list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate registry list\n  dialgate registry list --history us-dnc\n\n\
                  A register without a list, or whose list is too old, denies every number that a rule asks it about."
)]
pub struct ListArgs {
    /// Every snapshot of this register that was loaded, newest first
    #[arg(long, value_name = "REGISTER")]
    pub history: Option<String>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Lists.
pub async fn run(args: ListArgs) -> Result<ExitCode> {
    match &args.history {
        Some(register) => history(&args, register).await?,
        None => registers(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn registers(args: &ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let answer = client
        .registers()
        .list_registers(ask(ListRegistersRequest {}))
        .await
        .map_err(Refused::question)?;
    let registers = answer.into_inner().registers;
    let output = args.remote.output();
    output.rows(
        &registers,
        |register| json::object("Register", register),
        &[
            "register", "name", "list of", "age", "may be", "numbers", "state",
        ],
        |register| {
            let snapshot = register.snapshot.as_ref();
            let days =
                |days: Option<i64>| days.map_or_else(String::new, |days| format!("{days} d"));
            vec![
                register.register.clone(),
                register.name.clone(),
                wire::date_text(snapshot.and_then(|each| each.as_of_date.as_ref())),
                days(register.age_days),
                days(register.max_age_days),
                snapshot.map_or_else(String::new, |each| thousands(each.numbers)),
                state(register).to_owned(),
            ]
        },
    )?;
    output.end_of_list(registers.len(), "register", false)
}

fn state(register: &Register) -> &'static str {
    match (&register.snapshot, register.loaded, register.stale) {
        (None, _, _) => "no list: rules deny",
        (Some(_), false, _) => "not on this node: rules deny",
        (Some(_), true, true) => "too old: rules deny",
        (Some(_), true, false) => "in force",
    }
}

async fn history(args: &ListArgs, register: &str) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListRegisterSnapshotsRequest {
        filter: format!("register = \"{}\"", register.replace(['"', '\\'], "")),
        ..ListRegisterSnapshotsRequest::default()
    };
    let mut count = 0;
    loop {
        let page = client
            .registers()
            .list_register_snapshots(ask(request.clone()))
            .await
            .map_err(Refused::question)?
            .into_inner();
        count += page.snapshots.len();
        rows(output, &page.snapshots)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if count == 0 {
        // Nothing was loaded of it yet, or there is none of this name.
        known(&client, register).await?;
    }
    output.end_of_list(count, "snapshot", false)
}

fn rows(output: Output, snapshots: &[RegisterSnapshot]) -> Result<()> {
    output.rows(
        snapshots,
        |snapshot| json::object("RegisterSnapshot", snapshot),
        &[
            "id", "list of", "numbers", "rejected", "covers", "sha256", "loaded", "by",
        ],
        |snapshot| {
            vec![
                snapshot.snapshot_id.clone(),
                wire::date_text(snapshot.as_of_date.as_ref()),
                thousands(snapshot.numbers),
                thousands(snapshot.rows_rejected),
                shortened(&snapshot.covers),
                snapshot.sha256.chars().take(16).collect(),
                wire::seconds(snapshot.record_time.as_ref()),
                snapshot.actor.clone(),
            ]
        },
    )
}

/// Hundreds of area codes fill no table.
fn shortened(covers: &str) -> String {
    const SHOWN: usize = 4;
    let all: Vec<&str> = covers.split(',').collect();
    match all.get(..SHOWN) {
        Some(first) if all.len() > SHOWN => {
            format!("{},… ({})", first.join(","), all.len())
        }
        _ => covers.to_owned(),
    }
}
