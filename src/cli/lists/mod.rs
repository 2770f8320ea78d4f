//! Lists that are sent to be recorded: `optout import`, `consent import`. A list is tried first and somebody asked, unless that is
//! answered beforehand, then recorded as it is sent; the same command goes on after a break, for the server knows the list by its hash. What differs
//! from one kind of list to another is [`Kind`].

mod columns;
mod file;
pub mod rejects;
mod sending;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::Remote;
use super::confirm;
use super::failure::exit;
use super::output::{counted, plain};
use crate::grpc::client::json::JsonProblem;
use crate::grpc::client::{Client, Status, Streaming};
use crate::grpc::pb::{ListEncoding, ListForm};

pub use columns::{Columns, part, subject};
pub use file::ListFile;

/// Rejects that are asked for at once.
pub const REJECTS_A_PAGE: i32 = 1000;

/// A kind of list: its messages, and the words that are told of it.
pub trait Kind: 'static {
    /// What a message of the list is.
    type Sent: Send + 'static;
    /// What is answered.
    type Answer: Send + 'static;
    /// How a list is announced.
    type Header: Clone;

    /// The command that its lists are imported by.
    const COMMAND: &'static str;
    /// What a row is that made a record.
    const NEW: &'static str;
    /// Where the others are already.
    const THERE: &'static str;
    /// What rows are, as they are recorded, that no call will overtake.
    const UNDER_WAY: &'static str;
    /// What is true when a list has been recorded.
    const DONE: &'static str;
    /// What is true of what a list that failed recorded.
    const KEPT: &'static str;

    /// The first message: the header, or a trial of it.
    fn first(header: Self::Header, is_trial: bool) -> Self::Sent;

    /// A further message.
    fn piece(bytes: Vec<u8>) -> Self::Sent;

    /// Sends the messages.
    fn send(
        client: &Client,
        messages: impl tokio_stream::Stream<Item = Self::Sent> + Send + 'static,
    ) -> impl Future<Output = Result<Streaming<Self::Answer>, Status>>;

    /// What an answer tells; nothing if only a newer server knows.
    fn told(answer: Self::Answer) -> Result<Option<Told>, JsonProblem>;

    /// A page of what an import rejected, and the token of the next.
    fn rejects(
        client: &Client,
        import_id: String,
        page_token: String,
    ) -> impl Future<Output = Result<(Vec<Reject>, String), Status>>;
}

/// What is told while a list is sent.
pub enum Told {
    /// How it stands at first.
    Started(Import),
    /// How far it is.
    Progress(Progress),
    /// A row was not recorded.
    Reject(Reject),
    /// How it ended.
    Ended(Import),
}

/// An import.
pub struct Import {
    /// Its id; empty of a trial.
    pub import_id: String,
    /// Every row is recorded or rejected.
    pub is_finished: bool,
    /// It goes on no more.
    pub has_ended: bool,
    /// Its rows.
    pub rows: Rows,
    /// Why it failed.
    pub problem: String,
    /// All of it, as the server told it.
    pub object: Value,
}

/// How many rows came to what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows {
    /// Were read.
    pub read: i64,
    /// Made a record.
    pub created: i64,
    /// Were on record.
    pub repeated: i64,
    /// Were rejected.
    pub rejected: i64,
}

/// How far an import is.
pub struct Progress {
    /// Its rows.
    pub rows: Rows,
    /// Rows that are done for good, or rejected.
    pub done: i64,
    /// Bytes that had come in.
    pub bytes: i64,
}

/// A row that was not recorded.
pub struct Reject {
    /// Where it begins.
    pub line: i64,
    /// Why: a value of `ImportRejectReason`.
    pub reason: i32,
    /// The same in words.
    pub problem: String,
}

/// Which list, and what is to be done with it.
#[derive(Debug, Args)]
pub struct Importing {
    /// The list; `-` = standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only tell what would become of the list; nothing is recorded
    #[arg(long)]
    pub dry_run: bool,
    /// Do not try the list first and do not ask; needed where nobody is at a terminal, as in a pipe
    #[arg(long, short)]
    pub yes: bool,
    /// End with exit code 1 if any row was rejected
    #[arg(long)]
    pub strict: bool,
    /// File for the rows that were rejected, made only if there are any; one of an earlier import is replaced, or removed [default: FILE.rejects.csv]
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

/// How a list is written, whatever its rows mean.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the list is written")]
pub struct Written {
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
    /// Character between columns; as the first line says if left out
    #[arg(
        long,
        value_name = "CHARACTER",
        default_value = "",
        hide_default_value = true
    )]
    pub delimiter: String,
    /// Column of the header line that is meant to be passed over though its name is nearly one that is read; may be repeated
    #[arg(long = "ignore-column", value_name = "NAME")]
    pub ignore_columns: Vec<String>,
    /// Encoding; UTF-8 or UTF-16 as it says itself, and lines that are neither as Latin-1, if left out
    #[arg(long, value_enum)]
    pub encoding: Option<Encoding>,
}

impl Written {
    /// The encoding, for the wire.
    #[must_use]
    pub fn encoding(&self) -> i32 {
        match self.encoding {
            None => ListEncoding::Unspecified.into(),
            Some(Encoding::Utf8) => ListEncoding::Utf8.into(),
            Some(Encoding::Latin1) => ListEncoding::Latin1.into(),
        }
    }

    /// Whether it has columns, one of them being named or what stands between them.
    #[must_use]
    pub fn has_columns(&self, are_named: bool) -> bool {
        are_named || !self.delimiter.is_empty()
    }

    /// What stands between columns, for the wire.
    #[must_use]
    pub fn delimiter(&self) -> String {
        self.delimiter.replace("\\t", "\t")
    }
}

/// The form of a list, for the wire.
#[must_use]
pub fn form(has_columns: bool) -> i32 {
    if has_columns {
        ListForm::Columns.into()
    } else {
        ListForm::Lines.into()
    }
}

/// Runs an import. `header` announces the list.
pub async fn import<K: Kind>(
    args: Importing,
    header: impl FnOnce(&ListFile) -> Result<K::Header>,
) -> Result<ExitCode> {
    let output = args.remote.output();
    let rejects_path = args
        .rejects
        .unwrap_or_else(|| rejects::beside::<K>(&args.file));
    // What needs no server goes first, and nothing is sent of a list whose rejects could not be told.
    if !args.dry_run {
        let question = format!("Import the list `{}`?", plain(&args.file.to_string_lossy()));
        confirm::must_be_answerable(&question, args.yes)?;
        rejects::check(
            &rejects_path,
            std::slice::from_ref(&args.file),
            rejects::HEADER,
        )?;
    }
    let name = args.file.clone();
    let list = tokio::task::spawn_blocking(move || ListFile::open(&name)).await??;
    let header = header(&list)?;
    let client = args.remote.connect().await?;
    if args.dry_run || !args.yes {
        let (tried, rejected) = sending::tried::<K>(&client, &list, header.clone()).await?;
        if args.dry_run {
            told::trial::<K>(output, &tried, &rejected)?;
            return Ok(after(&tried, args.strict));
        }
        eprint!("{}", told::outlook::<K>(&tried, &rejected));
        let question = format!("import {}?", counted(tried.rows.read, "row"));
        if !confirm::ask_or_stop(question).await? {
            eprintln!("nothing was recorded");
            return Ok(exit::FAILED);
        }
    }
    let ended = sending::send::<K>(&client, &list, header, false, |_| {}).await?;
    let written = match ended.rows.rejected {
        0 => rejects::clear(&rejects_path, rejects::HEADER).map(|()| None),
        _ => rejects::write::<K>(&client, &ended.import_id, &list, &rejects_path)
            .await
            .map(|()| Some(&rejects_path)),
    };
    // What became of the list is told though the file of its rejects could not be written.
    told::end::<K>(output, &ended, written.as_ref().ok().copied().flatten())?;
    written?;
    Ok(after(&ended, args.strict))
}

fn after(ended: &Import, strict: bool) -> ExitCode {
    let rows = &ended.rows;
    let is_for_nothing = rows.rejected > 0 && rows.created == 0 && rows.repeated == 0;
    if ended.is_finished && !is_for_nothing && (rows.rejected == 0 || !strict) {
        ExitCode::SUCCESS
    } else {
        exit::FAILED
    }
}
