//! `dialgate audit entries`: what is in the log.

use anyhow::Result;
use clap::Args;

use crate::cli::arguments::Paging;
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::cli::output::Output;
use crate::cli::wire;
use crate::domain::phone::Phone;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{AuditEntry, ListEntriesRequest};

/// Arguments of `audit entries`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit entries --filter 'kind = \"pack.activated\"'\n  \
                        dialgate audit entries --number +14045550141 --all\n  \
                        dialgate audit entries --filter 'actor = \"key:desk-7\" AND create_time > \"2026-11-01T00:00:00Z\"' --json")]
pub struct EntriesArgs {
    /// Only entries about this number, E.164
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

/// Lists them.
pub async fn run(args: EntriesArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListEntriesRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
        number: args.number.map(Phone::reveal).unwrap_or_default(),
    };
    let mut count = 0;
    loop {
        let page = client.audit().list_entries(ask(request.clone())).await;
        let page = page.map_err(Refused::question)?.into_inner();
        count += page.entries.len();
        rows(output, &page.entries)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "entry", !request.page_token.is_empty())
}

fn rows(output: Output, entries: &[AuditEntry]) -> Result<()> {
    output.rows(
        entries,
        |entry| json::object("AuditEntry", entry),
        &["written", "place", "kind", "who", "id"],
        |entry| {
            vec![
                wire::seconds(entry.create_time.as_ref()),
                entry.log_index.map(|at| at.to_string()).unwrap_or_default(),
                entry.kind.clone(),
                entry.actor.clone(),
                entry.entry_id.clone(),
            ]
        },
    )
}
