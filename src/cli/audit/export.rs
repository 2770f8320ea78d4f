//! `dialgate audit export`: the log as a file that anybody can verify alone.

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::json;

use crate::cli::client::Remote;
use crate::cli::confirm::must_not_write_over;
use crate::cli::failure::Refused;
use crate::cli::new_file::{NewFile, Sink};
use crate::cli::output::{Progress, counted, plain, thousands};
use crate::grpc::client::Client;
use crate::grpc::pb::ExportEntriesRequest;

/// Arguments of `audit export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit export log.jsonl.zst\n  \
                        dialgate audit export since-march.jsonl --from 120000\n\n\
                        JSON lines (docs/AUDIT.md): all entries up to the latest checkpoint, and every checkpoint that was signed. The \
                        file holds keys of numbers and no number. It is readable by its owner alone, packed if its name ends with \
                        .gz or .zst, and appears only when it is whole. One that is there is not written over without --force.")]
pub struct ExportArgs {
    /// The file; `-` = standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The first entry, by its place
    #[arg(long, value_name = "PLACE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub from: i64,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub remote: Remote,
}

/// Runs it. Whoever stops it finds neither half a file nor what was written of it.
pub async fn run(args: ExportArgs) -> Result<()> {
    tokio::select! {
        done = export(args) => done,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for Ctrl-C")?;
            Err(anyhow!("stopped; nothing was written"))
        }
    }
}

async fn export(args: ExportArgs) -> Result<()> {
    let is_stream = args.file.as_os_str() == "-";
    if !is_stream {
        must_not_write_over(&args.file, args.force)?;
    }
    let client = args.remote.connect().await?;
    if is_stream {
        let mut out: Box<dyn Sink> = Box::new(BufWriter::new(io::stdout()));
        write_all(&client, args.from, &mut out).await?;
        out.flush()?;
        return Ok(());
    }
    let (file, mut out) = NewFile::begin(&args.file)?;
    let count = write_all(&client, args.from, &mut out).await?;
    file.end(out)?;
    let name = args.file.display().to_string();
    args.remote.output().answer(
        || Ok(json!({ "entries": count, "file": name })),
        || {
            let verb = if count == 1 { "is" } else { "are" };
            format!("{} {verb} in {}", counted(count, "entry"), plain(&name))
        },
    )
}

async fn write_all(client: &Client, from: i64, out: &mut Box<dyn Sink>) -> Result<i64> {
    let request = ExportEntriesRequest { first_index: from };
    let answers = client.audit().export_entries(request).await;
    let mut answers = answers.map_err(Refused::question)?.into_inner();
    let mut progress = Progress::new();
    let mut sent = 0;
    while let Some(answer) = answers.message().await.map_err(Refused::question)? {
        for line in &answer.lines {
            writeln!(out, "{line}")?;
        }
        sent = answer.sent_entries;
        let all = thousands(answer.tree_size.saturating_sub(from));
        progress.tell(&format!("{} of {all} entries", thousands(sent)));
    }
    progress.clear();
    Ok(sent)
}
