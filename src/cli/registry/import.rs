//! `dialgate registry import`: makes a snapshot of a list as its owner ships it, has the server check it against the one in
//! force, asks, and puts it in force.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use jiff::civil::Date;
use sha2::{Digest as _, Sha256};

use super::super::arguments::{Change, date};
use super::super::client::Remote;
use super::super::confirm::{confirm, must_be_answerable};
use super::super::failure::{Advised, Refused, Usage};
use super::super::lists::rejects::{self, RejectFile};
use super::super::output::{Output, counted, plain, thousands};
use super::super::progress;
use super::super::wire;
use crate::grpc::client::{Client, ask, json, pieces};
use crate::grpc::pb::{
    ImportRegisterHeader, ImportRegisterRequest, ImportRegisterResponse, ListRegistersRequest,
    Register, RegisterForm, import_register_request::Content,
};
use crate::place::Tables;
use crate::registry::{self, Covers, Label, ListForm, ListOptions, ListReport, Lists, Reject};

/// Bytes sent in one message.
const PIECE_BYTES: usize = 512 * 1024;
/// Rejected lines that are shown.
const REJECTS_SHOWN: usize = 10;

/// Arguments of `registry import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  dialgate registry import us-dnc --as-of 2026-11-20 212.txt 646.txt\n  \
                  dialgate registry import us-dnc --as-of 2026-11-21 --changes changes.txt.gz\n  \
                  dialgate registry import gb-tps --as-of 2026-11-20 tps.csv --column Number\n\n\
                  Lists are read as their owners ship them: `area code,number` or one number a line, or CSV; plain, gzip or zstd.\n\n\
                  Changes (--changes) have a mark, A for added or D for deleted, behind the number: `404,5550199,A`, `4045550199,D`, \
                  also with a time before or behind it. If none of the lines can be read, the import fails, and the list in force \
                  keeps its date.\n\n\
                  A number that the list does not cover stays unknown, and the rules deny it. A list of `area code,number` lines \
                  covers the area codes that it has; any other the country of the register, or what --covers says.\n\n\
                  Lines that are no number are told and left out; --rejects writes all of them down. They are no failure, but \
                  a list without any number is refused, whatever else is said: it would clear everybody.")]
pub struct ImportArgs {
    /// The register, as rules name it; `registry list` shows them
    pub register: String,
    /// The list; several files make one list
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Date of the list's version, as its owner says
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub as_of: Date,
    /// The files say what was added (A) and deleted (D) since the list in force
    #[arg(long)]
    pub changes: bool,
    /// Beginnings of the numbers that the list is complete for, such as 1 or 1212,1646
    #[arg(long, value_name = "DIGITS")]
    pub covers: Option<Covers>,
    /// Country of numbers that do not say theirs; that of the register if left out
    #[arg(long, value_name = "COUNTRY")]
    pub country: Option<String>,
    /// Column of a CSV list that holds the number, by name or by place from 1
    #[arg(long, value_name = "NAME|N")]
    pub column: Option<String>,
    /// File for the lines that are rejected, with their place and what is wrong with each, made only if there are any
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Check everything and tell what would change, without changing it
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before the list is put in force
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Take a list that has lost more numbers than the server allows
    #[arg(long)]
    pub yes_it_shrank: bool,
    /// Take a list though more of its lines are no number than the server allows; who stands on them counts as not listed
    #[arg(long)]
    pub yes_leave_them_out: bool,
    /// Take a list that is older than the one in force
    #[arg(long)]
    pub yes_it_is_older: bool,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Imports.
pub async fn run(args: ImportArgs) -> Result<ExitCode> {
    let output = args.remote.output();
    let question = format!("Put this list of {} in force?", args.register);
    if !args.dry_run {
        must_be_answerable(&question, args.yes)?;
    }
    if let Some(path) = &args.rejects {
        rejects::check(path, &args.files, REJECTS_HEADER)?;
    }
    let client = args.remote.connect().await?;
    let register = known(&client, &args.register).await?;
    let prepared = prepare(&args, &register, output)?;
    let request_id = args.change.name();
    let header = args.header(&prepared);
    // Everything is checked before anybody is asked.
    let mut trial = header.clone();
    trial.validate_only = true;
    let would = send(&client, (&request_id, trial), &prepared, "checking").await?;
    tell_change(output, &would)?;
    if args.dry_run {
        return shown(output, &would, "sound; nothing was changed");
    }
    if !confirm(&question, args.yes)? {
        output.remark("nothing was changed")?;
        return Ok(ExitCode::FAILURE);
    }
    let done = send(&client, (&request_id, header), &prepared, "sending").await?;
    shown(output, &done, "in force")
}

/// What is sent, and what came out when it was read here.
struct Prepared {
    form: RegisterForm,
    content: File,
    bytes: u64,
    sha256: [u8; 32],
    /// Of a list that was made into a snapshot here; changes are, by the server, which has what they change.
    report: Option<ListReport>,
}

/// The register as the server's rules know it.
pub(super) async fn known(client: &Client, id: &str) -> Result<Register> {
    let answer = client
        .registers()
        .list_registers(ask(ListRegistersRequest {}))
        .await
        .map_err(Refused::question)?;
    let registers = answer.into_inner().registers;
    let names: Vec<&str> = registers
        .iter()
        .map(|each| each.register.as_str())
        .collect();
    let names = names.join(", ");
    registers
        .into_iter()
        .find(|each| each.register == id)
        .ok_or_else(|| {
            Usage(format!(
                "no rule asks a register `{id}`; there are: {names}"
            ))
            .into()
        })
}

fn prepare(args: &ImportArgs, register: &Register, output: Output) -> Result<Prepared> {
    let (form, mut content, report) = if args.changes {
        let [file] = args.files.as_slice() else {
            bail!(Usage(
                "--changes takes one file at a time: each changes what the one before made"
                    .to_owned()
            ));
        };
        args.read(register, output)?;
        (RegisterForm::Changes, open(file)?, None)
    } else {
        let (content, report) = args.snapshot(args.read(register, output)?)?;
        (RegisterForm::Snapshot, content, Some(report))
    };
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut content, &mut HashWriter(&mut hash))?;
    content.rewind()?;
    Ok(Prepared {
        form,
        content,
        bytes,
        sha256: hash.finalize().into(),
        report,
    })
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read `{}`", path.display()))
}

struct HashWriter<'h>(&'h mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ImportArgs {
    /// Reads the files, as the server reads them, and tells what it came to.
    fn read(&self, register: &Register, output: Output) -> Result<Files> {
        let tables = Tables::shared().map_err(|problems| anyhow!("{problems}"))?;
        let country = register.jurisdiction.split('-').next().unwrap_or_default();
        let country = self.country.clone().unwrap_or_else(|| country.to_owned());
        let form = match (&self.column, self.changes) {
            (Some(column), _) => ListForm::of_column(column),
            (None, true) => ListForm::Changes,
            (None, false) => ListForm::Auto,
        };
        let mut rejects = (self.rejects.as_deref())
            .map(|path| RejectFile::begin(path, REJECTS_HEADER))
            .transpose()?;
        let mut files = Files::default();
        for path in &self.files {
            let options = ListOptions {
                form: form.clone(),
                country: Some(country.clone()),
            };
            let file = open(path)?;
            let bar = progress::bytes("reading", file.metadata()?.len());
            let mut unwritten = Ok(());
            let read = registry::read_list(
                &tables,
                options,
                files.lists,
                BufReader::with_capacity(PIECE_BYTES, bar.wrap_read(file)),
                &mut |reject| {
                    if let (Some(file), Ok(())) = (&mut rejects, &unwritten) {
                        unwritten = write(file, path, reject);
                    }
                },
            );
            bar.finish_and_clear();
            unwritten?;
            let read = read.with_context(|| format!("`{}`", path.display()))?;
            tell(output, path, &read.report)?;
            files.covers = read.covers(&tables);
            files.report.add(read.report);
            files.lists = read.lists;
        }
        match (rejects, &self.rejects) {
            (Some(file), _) if files.report.rejected > 0 => file.end()?,
            (_, Some(path)) => rejects::clear(path, REJECTS_HEADER)?,
            (_, None) => {}
        }
        Ok(files)
    }

    /// Writes the list as a snapshot into a file without a name.
    fn snapshot(&self, files: Files) -> Result<(File, ListReport)> {
        let Files {
            lists,
            report,
            covers,
        } = files;
        if !lists.removed.is_empty() {
            bail!(Usage(
                "the list says what was added and deleted; add --changes".to_owned()
            ));
        }
        if lists.added.is_empty() {
            bail!(Advised {
                problem: "there is no number in the list".to_owned(),
                advice: "in force it would clear everybody; check which file it is, and how it is written (--column, --country)",
                source: None,
            });
        }
        let covers = self.covers.clone().or(covers).ok_or_else(|| {
            Usage(
                "for which numbers is the list complete? Say it with --covers, such as --covers 44"
                    .to_owned(),
            )
        })?;
        let label = Label {
            register: self.register.clone(),
            as_of: self.as_of,
            covers,
            origin: names(&self.files),
        };
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let path = folder.path().join("snapshot");
        lists.added.finish(&label, &path)?;
        Ok((open(&path)?, report))
    }

    fn header(&self, prepared: &Prepared) -> ImportRegisterHeader {
        let count = |count: Option<u64>| i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX);
        let report = prepared.report.as_ref();
        ImportRegisterHeader {
            register: self.register.clone(),
            as_of_date: Some(wire::date_to_wire(self.as_of)),
            form: prepared.form.into(),
            content_sha256: prepared.sha256.to_vec(),
            covers: match (prepared.form, &self.covers) {
                (RegisterForm::Changes, Some(covers)) => covers.to_string(),
                _ => String::new(),
            },
            default_country: self.country.clone().unwrap_or_default(),
            column: self.column.clone().unwrap_or_default(),
            accept_shrunk: self.yes_it_shrank,
            accept_rejected: self.yes_leave_them_out,
            accept_older: self.yes_it_is_older,
            validate_only: false,
            rows_read: count(report.map(|report| report.lines)),
            rows_rejected: count(report.map(|report| report.rejected)),
        }
    }
}

/// The names of the files, without their folders.
fn names(files: &[PathBuf]) -> String {
    let names = files.iter().filter_map(|path| path.file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.join(", ").chars().take(1000).collect()
}

/// Columns of the file of what was rejected.
const REJECTS_HEADER: &str = "file,line,code,problem";

/// What the files came to.
#[derive(Default)]
struct Files {
    lists: Lists,
    report: ListReport,
    covers: Option<Covers>,
}

fn write(file: &mut RejectFile, list: &Path, reject: Reject) -> Result<()> {
    let (list, line) = (list.display().to_string(), reject.line.to_string());
    let problem = reject.reason.to_string();
    let cells = [&list, &line, reject.reason.code(), &problem];
    file.write(cells.map(str::as_bytes))
}

/// Sends the content behind its header.
async fn send(
    client: &Client,
    (request_id, header): (&str, ImportRegisterHeader),
    prepared: &Prepared,
    doing: &'static str,
) -> Result<ImportRegisterResponse> {
    let bar = progress::bytes(doing, prepared.bytes);
    let mut content = bar.wrap_read(prepared.content.try_clone()?);
    let message = |content| ImportRegisterRequest {
        request_id: String::new(),
        content: Some(content),
    };
    let first = ImportRegisterRequest {
        request_id: request_id.to_owned(),
        content: Some(Content::Header(header)),
    };
    let next = move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut content)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece);
        read.map(|count| (count > 0).then(|| message(Content::Piece(piece))))
    };
    let (stream, sent) = pieces(first, next);
    let answer = client.registers().import_register(stream).await;
    bar.finish_and_clear();
    sent.await??;
    let answer =
        answer.map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?;
    (&prepared.content).rewind()?;
    Ok(answer.into_inner())
}

fn tell(output: Output, list: &Path, report: &ListReport) -> Result<()> {
    let name = list.file_name().unwrap_or_default().to_string_lossy();
    let name = plain(&name);
    let lines = counted(signed(report.lines), "line");
    let rejected = match report.rejected {
        0 => "none is rejected".to_owned(),
        1 => "1 is rejected".to_owned(),
        count => format!("{} are rejected", thousands(signed(count))),
    };
    output.remark(&format!("{name}: {lines}; {rejected}"))?;
    if report.headers > 0 {
        output.remark("  its first line was taken for a header, and not for a number")?;
    }
    for reject in report.first_rejects.iter().take(REJECTS_SHOWN) {
        output.remark(&format!("  line {}: {}", reject.line, reject.reason))?;
    }
    let more = report.rejected.saturating_sub(REJECTS_SHOWN as u64);
    if more > 0 {
        output.remark(&format!("  and {} more", thousands(signed(more))))?;
    }
    Ok(())
}

fn tell_change(output: Output, import: &ImportRegisterResponse) -> Result<()> {
    let snapshot = import
        .snapshot
        .as_ref()
        .context("the server answered without the snapshot")?;
    let numbers = thousands(snapshot.numbers);
    let covers = plain(&snapshot.covers).into_owned();
    output.remark(&format!(
        "{numbers} numbers; the list is complete for those that begin with {covers}"
    ))?;
    let Some(before) = &import.before else {
        return output.remark("it is the first list of this register");
    };
    let date = wire::date_text(before.as_of_date.as_ref());
    let had = thousands(before.numbers);
    output.remark(&match (import.added, import.removed) {
        (Some(added), Some(removed)) => format!(
            "the one in force, of {date}, has {had}: {} came, {} went",
            thousands(added),
            thousands(removed)
        ),
        _ => format!("the one in force, of {date}, has {had}"),
    })
}

fn shown(output: Output, import: &ImportRegisterResponse, state: &str) -> Result<ExitCode> {
    let snapshot = import
        .snapshot
        .as_ref()
        .context("the server answered without the snapshot")?;
    output.answer(
        || json::object("ImportRegisterResponse", import),
        || {
            let date = wire::date_text(snapshot.as_of_date.as_ref());
            let (register, hash) = (plain(&snapshot.register), plain(&snapshot.sha256));
            format!("the list of {register} of {date} ({hash}) is {state}")
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
