//! `dialgate optout list`: those on record, newest first.

use anyhow::Result;
use clap::Args;
use uuid::Uuid;

use super::rows;
use crate::cli::arguments::Paging;
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::domain::phone::Phone;
use crate::grpc::client::ask;
use crate::grpc::pb::ListSuppressionsRequest;

/// Arguments of `optout list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate optout list --number +14045550141\n  \
                        dialgate optout list --lift-requested --json\n  \
                        dialgate optout list --filter 'purposes = \"sales\" AND NOT lift_time > \"1970-01-01T00:00:00Z\"'\n  \
                        dialgate optout list --filter 'reason = \"objection\" AND received_time > \"2026-01-01T00:00:00Z\"' --all")]
pub struct ListArgs {
    /// Only those about this number
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Only those about this person
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    /// Only those about this account
    #[arg(long)]
    pub account: Option<String>,
    /// Only those whose lift was asked for and waits for an approver
    #[arg(long)]
    pub lift_requested: bool,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

/// Those whose lift waits: asked for, and not made.
const WAITING: &str =
    "lift_request_time > \"1970-01-01T00:00:00Z\" AND NOT lift_time > \"1970-01-01T00:00:00Z\"";

fn filter(given: String, only_waiting: bool) -> String {
    match (only_waiting, given.trim().is_empty()) {
        (false, _) => given,
        (true, true) => WAITING.to_owned(),
        (true, false) => format!("{WAITING} AND ({given})"),
    }
}

/// Runs it.
pub async fn run(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListSuppressionsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: filter(args.paging.filter, args.lift_requested),
        number: args.number.map(Phone::reveal).unwrap_or_default(),
        party_id: args.party.map(|id| id.to_string()).unwrap_or_default(),
        account: args.account.unwrap_or_default(),
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
    output.end_of_list(count, "opt-out", !request.page_token.is_empty())?;
    if request.number.is_empty() {
        return Ok(());
    }
    output.remark("Only those told of the number itself; `optout show` has all that bind it, also through who holds it.")
}
