//! A whole list: read here, judged by the server, written as it comes back. Each part goes no faster than the next one.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::client::Remote;
use super::super::confirm::must_not_write_over;
use super::super::failure::Refused;
use super::super::output::Paint;
use super::super::wire::{to_wire, value};
use super::rows::{Rows, summary};
use super::source::{Position, Row, Source};
use super::{Asked, ListArgs};
use crate::domain::phone::Phone;
use crate::grpc::client::json;
use crate::grpc::pb::check_calls_request::Content as Question;
use crate::grpc::pb::check_calls_response::Content as Answer;
use crate::grpc::pb::{
    CheckCallsBatch, CheckCallsHeader, CheckCallsRequest, CheckCallsSummary, CheckDetail,
};

/// Numbers a message: as many as the server takes.
const BATCH: usize = 1000;

/// Batches that were sent and not answered yet, at most.
const UNDER_WAY_MAX: usize = 16;

/// Reads, asks, writes, and says what it came to.
pub async fn run(args: ListArgs, asked: Asked, remote: Remote) -> Result<ExitCode> {
    let Some(path) = &args.file else {
        bail!("there is neither a number nor a list");
    };
    let source = Source::open(path, args.column.as_deref())?;
    if let Some(path) = &args.output {
        must_not_write_over(path, args.force)?;
    }
    let out = sink(args.output.as_deref())?;
    let progress = progress(&source.position, args.output.is_some());
    let position = source.position.clone();
    let client = remote.connect().await?;

    let (to, from) = mpsc::channel(1);
    let (sent, mut under_way) = mpsc::channel(UNDER_WAY_MAX);
    let feeder = tokio::task::spawn_blocking({
        let header = header(&args, asked);
        move || feed(source, header, &to, &sent)
    });
    let mut calls = client.calls();
    let answers = calls.check_calls(ReceiverStream::new(from)).await;
    let mut answers = answers.map_err(Refused::question)?.into_inner();

    let mut rows = Rows::new(out, remote.json, args.reasons);
    let mut whole: Option<CheckCallsSummary> = None;
    while let Some(answer) = answers.message().await.map_err(Refused::question)? {
        match answer.content {
            Some(Answer::Rows(answer)) => {
                let asked: Vec<Row> = under_way
                    .recv()
                    .await
                    .context("the server answered more than it was asked")?;
                rows.write(&asked, answer)?;
                if under_way.is_empty() {
                    rows.flush()?;
                }
                progress.set_position(position.read());
            }
            Some(Answer::Summary(last)) => whole = Some(last),
            None => {}
        }
    }
    rows.flush()?;
    progress.finish_and_clear();
    let read = feeder
        .await
        .context("the reading of the list ended early")?;
    let whole = whole.context("the server ended the list without a summary")?;
    tell(&whole, remote.json)?;
    read.with_context(|| {
        format!(
            "cannot read all of --file `{}`: the rows up to there are answered",
            path.display()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn header(args: &ListArgs, asked: Asked) -> CheckCallsHeader {
    CheckCallsHeader {
        campaign: asked.campaign,
        call_kind: value!(CallKind, asked.kind),
        caller_id: asked.caller_id.map(Phone::reveal).unwrap_or_default(),
        judged_time: args.at.map(to_wire),
        default_country: args.country.clone().unwrap_or_default(),
        detail: match args.reasons {
            true => CheckDetail::Reasons.into(),
            false => CheckDetail::Rules.into(),
        },
    }
}

/// Reads the list and hands it to the server, and to who waits for the answers. Ends early when nobody listens any more.
fn feed(
    mut source: Source,
    header: CheckCallsHeader,
    to: &mpsc::Sender<CheckCallsRequest>,
    sent: &mpsc::Sender<Vec<Row>>,
) -> io::Result<()> {
    let message = |content| CheckCallsRequest {
        content: Some(content),
    };
    if to.blocking_send(message(Question::Header(header))).is_err() {
        return Ok(());
    }
    loop {
        let rows = source.next(BATCH)?;
        if rows.is_empty() {
            return Ok(());
        }
        let numbers = rows.iter().map(|row| row.given.clone()).collect();
        let batch = message(Question::Batch(CheckCallsBatch { numbers }));
        if sent.blocking_send(rows).is_err() || to.blocking_send(batch).is_err() {
            return Ok(());
        }
    }
}

fn sink(path: Option<&Path>) -> Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(BufWriter::new(io::stdout())),
        Some(path) => {
            let file = File::create(path);
            Box::new(BufWriter::new(file.with_context(|| {
                format!("cannot write --output `{}`", path.display())
            })?))
        }
    })
}

/// A bar on standard error, where that is a terminal and the rows do not go there too.
fn progress(position: &Position, has_file: bool) -> ProgressBar {
    let is_shown = io::stderr().is_terminal() && (has_file || !io::stdout().is_terminal());
    if !is_shown {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let known = "{bar:30} {bytes}/{total_bytes} ({percent} %), {bytes_per_sec}, {eta} left";
    let form = match position.total {
        Some(_) => known,
        None => "{spinner} {bytes} read, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(form);
    ProgressBar::with_draw_target(position.total, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Says what it came to on standard error: standard output has the rows.
fn tell(whole: &CheckCallsSummary, as_json: bool) -> Result<()> {
    let text = if as_json {
        json::object("CheckCallsSummary", whole)?.to_string()
    } else {
        summary(whole, Paint::of(&io::stderr()))
    };
    writeln!(io::stderr().lock(), "{text}")?;
    Ok(())
}
