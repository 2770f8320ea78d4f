//! `dialgate optout export`: opt-outs as a file. Only the keys of numbers are kept by the server, so the file holds no number.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::{channels, purposes};
use crate::cli::client::Remote;
use crate::cli::confirm::must_not_write_over;
use crate::cli::failure::Refused;
use crate::cli::new_file::{NewFile, Sink};
use crate::cli::output::{Progress, counted, plain};
use crate::cli::wire::{self, word};
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, json};
use crate::grpc::pb::{ExportSuppressionsRequest, Suppression, suppression};

/// The columns of an export.
const COLUMNS: [&str; 23] = [
    "suppression_id",
    "number_key",
    "party_id",
    "seller",
    "channels",
    "reason",
    "source",
    "received_time",
    "record_time",
    "expire_time",
    "evidence_ref",
    "note",
    "actor",
    "lift_request_time",
    "lift_requested_by",
    "lift_time",
    "lift_approved_by",
    "lift_reason",
    "lift_evidence_ref",
    "lift_evidence_time",
    "state",
    "account_key",
    "purposes",
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated, with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Arguments of `optout export`.
#[derive(Debug, Args)]
#[command(
    after_help = "The server keeps no readable number with an opt-out, only its key: the file has `number_key`, which \
                        `optout list` and decisions show too, and no number. So an export cannot be imported elsewhere.\n\n\
                        The file is readable by its owner alone, packed if its name ends with .gz or .zst, and appears only \
                        when it is whole. One that is there is not written over without --force.\n\n\
                        Examples:\n  \
                        dialgate optout export optouts.csv.gz\n  \
                        dialgate optout export standing.jsonl --filter 'reason = \"objection\" AND NOT lift_time > \"1970-01-01T00:00:00Z\"'"
)]
pub struct ExportArgs {
    /// The file; `-` = standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only those that meet these conditions, as of `optout list`
    #[arg(
        long,
        value_name = "CONDITIONS",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
    /// Only those about this number
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Only those about this person
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    /// Only those about this account
    #[arg(long)]
    pub account: Option<String>,
    /// How it is written; as the file's name ends, .jsonl or .json before .gz and .zst, and else csv, if left out
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub remote: Remote,
}

impl ExportArgs {
    fn format(&self) -> Format {
        self.format.unwrap_or_else(|| Format::of(&self.file))
    }
}

impl Format {
    /// As the name of the file says.
    fn of(name: &Path) -> Self {
        let name = name.to_string_lossy().to_ascii_lowercase();
        let plain = (name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst")))
        .unwrap_or(&name);
        match [".jsonl", ".json", ".ndjson"]
            .iter()
            .any(|end| plain.ends_with(end))
        {
            true => Self::Jsonl,
            false => Self::Csv,
        }
    }
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
    if args.file.as_os_str() != "-" {
        must_not_write_over(&args.file, args.force)?;
    }
    let output = args.remote.output();
    let client = args.remote.connect().await?;
    if args.file.as_os_str() == "-" {
        let out = BufWriter::new(io::stdout());
        let (_, mut out) = write_all(&client, &args, Box::new(out)).await?;
        out.flush()?;
        return Ok(());
    }
    let (file, out) = NewFile::begin(&args.file)?;
    let (rows, out) = write_all(&client, &args, out).await?;
    file.end(out)?;
    output.answer(
        || Ok(serde_json::json!({ "rows": rows, "file": args.file.display().to_string() })),
        || {
            format!(
                "{} {} in {}",
                counted(rows, "opt-out"),
                if rows == 1 { "is" } else { "are" },
                plain(&args.file.display().to_string())
            )
        },
    )
}

async fn write_all(
    client: &Client,
    args: &ExportArgs,
    out: Box<dyn Sink>,
) -> Result<(i64, Box<dyn Sink>)> {
    let request = ExportSuppressionsRequest {
        filter: args.filter.clone(),
        number: args.number.map(Phone::reveal).unwrap_or_default(),
        party_id: args.party.map(|id| id.to_string()).unwrap_or_default(),
        account: args.account.clone().unwrap_or_default(),
    };
    let mut suppressions = client.suppressions();
    let answers = suppressions.export_suppressions(request).await;
    let mut answers = answers.map_err(Refused::question)?.into_inner();
    let mut rows = Rows::begin(args.format(), out)?;
    let mut progress = Progress::new();
    while let Some(answer) = answers.message().await.map_err(Refused::question)? {
        for each in &answer.suppressions {
            rows.write(each)?;
        }
        progress.tell(&counted(rows.count, "opt-out"));
    }
    progress.clear();
    Ok((rows.count, rows.end()?))
}

/// Rows on their way into a file.
struct Rows {
    lines: Lines,
    count: i64,
}

enum Lines {
    Csv(Box<csv::Writer<Box<dyn Sink>>>),
    Json(Box<dyn Sink>),
}

impl Rows {
    fn begin(format: Format, out: Box<dyn Sink>) -> Result<Self> {
        let lines = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS)?;
                Lines::Csv(Box::new(csv))
            }
            Format::Jsonl => Lines::Json(out),
        };
        Ok(Self { lines, count: 0 })
    }

    fn write(&mut self, suppression: &Suppression) -> Result<()> {
        self.count += 1;
        match &mut self.lines {
            Lines::Csv(csv) => csv.write_record(cells(suppression))?,
            Lines::Json(out) => writeln!(out, "{}", json::object("Suppression", suppression)?)?,
        }
        Ok(())
    }

    fn end(self) -> Result<Box<dyn Sink>> {
        match self.lines {
            Lines::Csv(csv) => csv.into_inner().map_err(|error| error.into_error().into()),
            Lines::Json(out) => Ok(out),
        }
    }
}

fn cells(each: &Suppression) -> Vec<String> {
    let (mut number_key, mut party_id, mut account_key) = Default::default();
    match &each.subject {
        Some(suppression::Subject::NumberKey(key)) => number_key = key.clone(),
        Some(suppression::Subject::PartyId(id)) => party_id = id.clone(),
        Some(suppression::Subject::AccountKey(key)) => account_key = key.clone(),
        None => {}
    }
    let asked = each.lift_request.clone().unwrap_or_default();
    let lift = each.lift.clone().unwrap_or_default();
    let time = |at: Option<&_>| wire::from_wire(at).map_or_else(String::new, |at| at.to_string());
    vec![
        each.suppression_id.clone(),
        number_key,
        party_id,
        each.seller.clone(),
        channels(&each.channels).replace(", ", " "),
        word!(SuppressionReason, each.reason),
        word!(SuppressionSource, each.source),
        time(each.received_time.as_ref()),
        time(each.record_time.as_ref()),
        time(each.expire_time.as_ref()),
        each.evidence_ref.clone(),
        each.note.clone(),
        each.actor.clone(),
        time(asked.request_time.as_ref()),
        asked.requested_by,
        time(lift.lift_time.as_ref()),
        lift.approved_by,
        asked.reason,
        asked.evidence_ref,
        time(asked.evidence_time.as_ref()),
        if each.lift.is_some() {
            "lifted"
        } else {
            "in force"
        }
        .to_owned(),
        account_key,
        purposes(&each.purposes).replace(", ", " "),
    ]
}
