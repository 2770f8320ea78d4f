//! `dialgate optout import`: a whole list. It is tried first where a person can be asked, then recorded as it is sent; the same
//! command goes on after a break, for the server knows the list by its hash.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::list_file::ListFile;
use super::rejects;
use crate::cli::arguments::{instant, words};
use crate::cli::client::Remote;
use crate::cli::confirm;
use crate::cli::failure::{Advised, Refused, exit};
use crate::cli::output::{Output, plain, thousands};
use crate::cli::wire::{self, value, word};
use crate::domain::call::{CallKind, Purpose};
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::grpc::client::{Client, Code, Status, json};
use crate::grpc::pb::import_suppressions_request::Content as Sent;
use crate::grpc::pb::import_suppressions_response::Content as Told;
use crate::grpc::pb::{
    ImportSuppressionsRequest, ListColumns, ListEncoding, ListForm, SuppressionImport,
    SuppressionImportHeader, SuppressionImportProgress, SuppressionImportReject,
    SuppressionImportState,
};

/// Rejects of a trial that are shown.
const REJECTS_SHOWN: usize = 10;

/// What to do after a break.
const GO_ON: &str = "what was sent is recorded and stays; the same command goes on from there";

/// Arguments of `optout import`.
#[derive(Debug, Args)]
#[command(
    after_help = "The list is a number a line, or CSV as soon as a column is named. Numbers may be written in any common \
                        way; --country says whose numbers are written without a country. It may be packed with gzip or zstd. \
                        Each row is recorded on its own; rows that cannot be are written to the reject file, with line and \
                        reason.\n\n\
                        Nothing is ever lifted by an import. A list that was imported already changes nothing; one that was \
                        broken off (Ctrl-C, a lost connection) goes on where it was.\n\n\
                        Exit codes: 0 the list is done, even if rows were rejected (--strict: 1 then), 1 failed or broken off, \
                        2 usage.\n\n\
                        Examples:\n  \
                        dialgate optout import numbers.txt --country US --dry-run\n  \
                        dialgate optout import crm.csv.gz --header --number-column Phone --time-column \"Opted out\" --country GB\n  \
                        zcat old.gz | dialgate optout import - --yes --reason objection --at 2026-11-01T00:00:00Z"
)]
pub struct ImportArgs {
    /// The list; `-` = standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub meaning: Meaning,
    /// Only tell what would become of the list; nothing is recorded
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not try the list first and do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// End with exit code 1 if any row was rejected
    #[arg(long)]
    pub strict: bool,
    /// File for the rows that were rejected, made only if there are any [default: FILE.rejects.csv]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    #[command(flatten)]
    pub remote: Remote,
}

/// In which encoding a list is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Encoding {
    /// UTF-8; other lines are rejected
    Utf8,
    /// Latin-1, as Windows writes it
    Latin1,
}

/// How the list is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the list is written")]
pub struct Reading {
    /// Country (ISO 3166-1, such as US) of numbers that are written without one
    #[arg(
        long,
        value_name = "COUNTRY",
        default_value = "",
        hide_default_value = true
    )]
    pub country: String,
    /// The first line is no row; in CSV it names the columns
    #[arg(long)]
    pub header: bool,
    /// Column of the number: its name in the header line, or its place from 1
    #[arg(long, value_name = "COLUMN")]
    pub number_column: Option<String>,
    /// Column of the person's id, in place of a number
    #[arg(long, value_name = "COLUMN")]
    pub party_column: Option<String>,
    /// Column of the account, in place of a number
    #[arg(long, value_name = "COLUMN")]
    pub account_column: Option<String>,
    /// Column of the seller
    #[arg(long, value_name = "COLUMN")]
    pub seller_column: Option<String>,
    /// Column of the kinds of call, such as `live_manual autodialed`
    #[arg(long, value_name = "COLUMN")]
    pub channels_column: Option<String>,
    /// Column of the purposes, such as `sales service`
    #[arg(long, value_name = "COLUMN")]
    pub purposes_column: Option<String>,
    /// Column of the reason, such as `objection`
    #[arg(long, value_name = "COLUMN")]
    pub reason_column: Option<String>,
    /// Column of the time or day at which the person said so
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Option<String>,
    /// Column of what proves it
    #[arg(long, value_name = "COLUMN")]
    pub evidence_column: Option<String>,
    /// Column of free text
    #[arg(long, value_name = "COLUMN")]
    pub note_column: Option<String>,
    /// Character between columns; as the first line says if left out
    #[arg(
        long,
        value_name = "CHARACTER",
        default_value = "",
        hide_default_value = true
    )]
    pub delimiter: String,
    /// Encoding; UTF-8 or UTF-16 as it says itself, and lines that are neither as Latin-1, if left out
    #[arg(long, value_enum)]
    pub encoding: Option<Encoding>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "What rows mean that do not say it themselves")]
pub struct Meaning {
    /// Seller they bind; every seller if left out
    #[arg(long, default_value = "", hide_default_value = true)]
    pub seller: String,
    /// Kind of call they cover, may be repeated; every kind if left out
    #[arg(long = "channel", value_name = "KIND", value_parser = words!(CallKind))]
    pub channels: Vec<CallKind>,
    /// Purpose of calls they cover, may be repeated; every purpose if left out
    #[arg(long = "purpose", value_name = "PURPOSE", value_parser = words!(Purpose))]
    pub purposes: Vec<Purpose>,
    /// Why
    #[arg(long, default_value = "party_request", value_parser = words!(SuppressionReason))]
    pub reason: SuppressionReason,
    /// How the wishes arrived
    #[arg(long, default_value = "import", value_parser = words!(SuppressionSource))]
    pub source: SuppressionSource,
    /// When the people said so; when the import begins if left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// What proves it
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
}

/// Runs it.
pub async fn run(args: ImportArgs) -> Result<ExitCode> {
    let output = args.remote.output();
    let client = args.remote.connect().await?;
    let name = args.file.clone();
    let list = tokio::task::spawn_blocking(move || ListFile::open(&name)).await??;
    let header = header(&args, &list);
    let asks = !args.yes
        && !output.is_json()
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal();
    if args.dry_run || asks {
        let (tried, rejected) = tried(&client, &list, header.clone()).await?;
        if args.dry_run {
            told_trial(output, &tried, &rejected)?;
            return Ok(after(&tried, args.strict));
        }
        eprint!("{}", trial(&tried, &rejected));
        if !confirm::ask(&format!("import {} rows?", thousands(tried.rows_read)))? {
            eprintln!("nothing was recorded");
            return Ok(exit::FAILED);
        }
    }
    let ended = send(&client, &list, header, |_| {}).await?;
    let rejects_file = match ended.rows_rejected {
        0 => None,
        _ => {
            let path = args.rejects.unwrap_or_else(|| rejects::beside(&list.name));
            rejects::write(&client, &ended.import_id, &list, &path).await?;
            Some(path)
        }
    };
    told_end(output, &ended, rejects_file.as_ref())?;
    Ok(after(&ended, args.strict))
}

fn after(ended: &SuppressionImport, strict: bool) -> ExitCode {
    let is_done = ended.state() == SuppressionImportState::Finished;
    if is_done && (ended.rows_rejected == 0 || !strict) {
        ExitCode::SUCCESS
    } else {
        exit::FAILED
    }
}

fn header(args: &ImportArgs, list: &ListFile) -> SuppressionImportHeader {
    let (reading, meaning) = (&args.reading, &args.meaning);
    let column = |column: &Option<String>| column.clone().unwrap_or_default();
    let columns = ListColumns {
        number: column(&reading.number_column),
        party_id: column(&reading.party_column),
        account: column(&reading.account_column),
        seller: column(&reading.seller_column),
        channels: column(&reading.channels_column),
        purposes: column(&reading.purposes_column),
        reason: column(&reading.reason_column),
        received_time: column(&reading.time_column),
        evidence_ref: column(&reading.evidence_column),
        note: column(&reading.note_column),
    };
    let has_columns = columns != ListColumns::default() || !reading.delimiter.is_empty();
    SuppressionImportHeader {
        content_sha256: list.sha256.to_vec(),
        size_bytes: i64::try_from(list.bytes).unwrap_or(i64::MAX),
        encoding: match reading.encoding {
            None => ListEncoding::Unspecified.into(),
            Some(Encoding::Utf8) => ListEncoding::Utf8.into(),
            Some(Encoding::Latin1) => ListEncoding::Latin1.into(),
        },
        form: if has_columns {
            ListForm::Columns.into()
        } else {
            ListForm::Lines.into()
        },
        has_header: reading.header,
        delimiter: reading.delimiter.replace("\\t", "\t"),
        columns: has_columns.then_some(columns),
        default_country: reading.country.clone(),
        seller: meaning.seller.clone(),
        channels: meaning
            .channels
            .iter()
            .map(|kind| value!(CallKind, kind))
            .collect(),
        purposes: meaning
            .purposes
            .iter()
            .map(|purpose| value!(Purpose, purpose))
            .collect(),
        reason: value!(SuppressionReason, meaning.reason),
        source: value!(SuppressionSource, meaning.source),
        received_time: meaning.at.map(wire::to_wire),
        evidence_ref: meaning.evidence.clone(),
        note: meaning.note.clone(),
        ..SuppressionImportHeader::default()
    }
}

async fn tried(
    client: &Client,
    list: &ListFile,
    header: SuppressionImportHeader,
) -> Result<(SuppressionImport, Vec<SuppressionImportReject>)> {
    let mut rejected = Vec::new();
    let header = SuppressionImportHeader {
        validate_only: true,
        ..header
    };
    let tried = send(client, list, header, |reject| rejected.push(reject)).await?;
    Ok((tried, rejected))
}

/// Sends the list, and tells how far it is until it has ended.
async fn send(
    client: &Client,
    list: &ListFile,
    header: SuppressionImportHeader,
    mut rejected: impl FnMut(SuppressionImportReject),
) -> Result<SuppressionImport> {
    let is_trial = header.validate_only;
    let bar = bar(list.bytes);
    let first = ImportSuppressionsRequest {
        request_id: Uuid::new_v4().to_string(),
        content: Some(Sent::Header(header)),
    };
    let messages = list.messages(first).context("cannot read the list again")?;
    let broken = |status| broken_off(status, is_trial);
    let sending = async {
        let mut suppressions = client.suppressions();
        let mut answers = suppressions
            .import_suppressions(ReceiverStream::new(messages))
            .await
            .map_err(Refused::question)?
            .into_inner();
        while let Some(answer) = answers.message().await.map_err(broken)? {
            match answer.content {
                Some(Told::Started(import))
                    if import.rows_read > 0 && import.end_time.is_none() =>
                {
                    bar.println(format!(
                        "going on: {} rows of this list were recorded before",
                        thousands(import.rows_read - import.rows_rejected)
                    ));
                }
                Some(Told::Progress(progress)) => show(&bar, &progress),
                Some(Told::Reject(reject)) => rejected(reject),
                Some(Told::Ended(import)) => return Ok(import),
                Some(Told::Started(_)) | None => {}
            }
        }
        Err(anyhow!(
            "the server ended the stream without saying what became of the list"
        ))
    };
    let ended = tokio::select! {
        ended = sending => ended,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for Ctrl-C")?;
            Err(if is_trial {
                anyhow!("stopped; nothing was recorded")
            } else {
                Advised { problem: "stopped".to_owned(), advice: GO_ON, source: None }.into()
            })
        }
    };
    bar.finish_and_clear();
    ended
}

/// A break says how to go on; what was refused, and a trial, leave nothing to go on with.
fn broken_off(status: Status, is_trial: bool) -> anyhow::Error {
    let is_refused = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
    );
    if is_trial || is_refused {
        return Refused::question(status).into();
    }
    Advised {
        problem: format!("the import was broken off: {}", plain(status.message())),
        advice: GO_ON,
        source: None,
    }
    .into()
}

fn bar(bytes: u64) -> ProgressBar {
    const STYLE: &str = "{bar:30} {bytes}/{total_bytes}, {eta} left{msg}";
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    // A text that this release does not understand costs the look of the bar.
    match ProgressStyle::with_template(STYLE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, progress: &SuppressionImportProgress) {
    bar.set_position(u64::try_from(progress.bytes_read).unwrap_or(0));
    let seconds = bar.elapsed().as_secs().max(1);
    let rate = progress.rows_read / i64::try_from(seconds).unwrap_or(i64::MAX);
    let rejected = match progress.rows_rejected {
        0 => String::new(),
        count => format!(", {} rejected", thousands(count)),
    };
    bar.set_message(format!(
        "; {} rows, {}/s, {} in force{rejected}",
        thousands(progress.rows_read),
        thousands(rate),
        thousands(
            progress.rows_acknowledged - progress.rows_rejected.min(progress.rows_acknowledged)
        ),
    ));
}

fn trial(tried: &SuppressionImport, rejected: &[SuppressionImportReject]) -> String {
    let mut text = format!(
        "{} rows: {} would be recorded, {} are in force already, {} would be rejected\n",
        thousands(tried.rows_read),
        thousands(tried.rows_created),
        thousands(tried.rows_already_in_force),
        thousands(tried.rows_rejected)
    );
    for reject in rejected.iter().take(REJECTS_SHOWN) {
        let reason = word!(ImportRejectReason, reject.reason);
        text.push_str(&format!(
            "  line {}: {reason}: {}\n",
            reject.line,
            plain(&reject.problem)
        ));
    }
    let more = tried
        .rows_rejected
        .saturating_sub(i64::try_from(REJECTS_SHOWN).unwrap_or(0));
    if more > 0 {
        text.push_str(&format!("  and {} more\n", thousands(more)));
    }
    if !tried.problem.is_empty() {
        text.push_str(&format!(
            "the list itself is at fault: {}\n",
            plain(&tried.problem)
        ));
    }
    text
}

fn told_trial(
    output: Output,
    tried: &SuppressionImport,
    rejected: &[SuppressionImportReject],
) -> Result<()> {
    if output.is_json() {
        output.rows(
            rejected,
            |reject| json::object("SuppressionImportReject", reject),
            &[],
            |_| Vec::new(),
        )?;
    }
    output.answer(
        || json::object("SuppressionImport", tried),
        || format!("{}nothing was recorded", trial(tried, rejected)),
    )
}

fn told_end(
    output: Output,
    ended: &SuppressionImport,
    rejects_file: Option<&PathBuf>,
) -> Result<()> {
    let file = rejects_file.map(|path| path.display().to_string());
    output.answer(
        || {
            let mut object = json::object("SuppressionImport", ended)?;
            if let (Some(fields), Some(file)) = (object.as_object_mut(), &file) {
                fields.insert("rejects_file".to_owned(), file.clone().into());
            }
            Ok(object)
        },
        || sentence(ended, file.as_deref()),
    )
}

fn sentence(ended: &SuppressionImport, file: Option<&str>) -> String {
    let rows = format!(
        "{} rows: {} new opt-outs, {} in force already, {} rejected",
        thousands(ended.rows_read),
        thousands(ended.rows_created),
        thousands(ended.rows_already_in_force),
        thousands(ended.rows_rejected)
    );
    let rows = match file {
        Some(file) => format!("{rows}, see {}", plain(file)),
        None => rows,
    };
    match ended.state() {
        SuppressionImportState::Finished => format!("the list is in force on every node; {rows}"),
        _ => format!(
            "the import failed: {}; {rows}; what was recorded is in force and stays",
            plain(&ended.problem)
        ),
    }
}
