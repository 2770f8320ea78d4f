//! A list on its way: what is sent, how far it is, and what a break leaves.

use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_stream::wrappers::ReceiverStream;

use super::file::ListFile;
use super::{Import, Kind, Progress, Reject, Told};
use crate::cli::failure::{Advised, Refused};
use crate::cli::output::{counted, plain, thousands};
use crate::grpc::client::{Client, Code, Status};

/// What to do after a break.
const GO_ON: &str = "what was sent is recorded and stays; the same command goes on from there";

/// Tries the list: what would become of it, and the first rejects.
pub async fn tried<K: Kind>(
    client: &Client,
    list: &ListFile,
    header: K::Header,
) -> Result<(Import, Vec<Reject>)> {
    let mut rejected = Vec::new();
    let tried = send::<K>(client, list, header, true, |reject| rejected.push(reject)).await?;
    Ok((tried, rejected))
}

/// Sends the list, and tells how far it is until it has ended.
pub async fn send<K: Kind>(
    client: &Client,
    list: &ListFile,
    header: K::Header,
    is_trial: bool,
    mut rejected: impl FnMut(Reject),
) -> Result<Import> {
    let bar = bar(list.bytes);
    let messages = list
        .messages(K::first(header, is_trial), K::piece)
        .context("cannot read the list again")?;
    let broken = |status| broken_off(status, is_trial);
    let sending = async {
        let mut answers = K::send(client, ReceiverStream::new(messages))
            .await
            .map_err(Refused::question)?;
        while let Some(answer) = answers.message().await.map_err(broken)? {
            match K::told(answer)? {
                Some(Told::Started(import)) if import.rows.read > 0 && !import.has_ended => {
                    bar.println(format!(
                        "going on: {} of this list recorded before",
                        counted(import.rows.read - import.rows.rejected, "row")
                    ));
                }
                Some(Told::Progress(progress)) => show::<K>(&bar, &progress),
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

fn show<K: Kind>(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(u64::try_from(progress.bytes).unwrap_or(0));
    let seconds = bar.elapsed().as_secs().max(1);
    let rate = progress.rows.read / i64::try_from(seconds).unwrap_or(i64::MAX);
    let rejected = match progress.rows.rejected {
        0 => String::new(),
        count => format!(", {} rejected", thousands(count)),
    };
    bar.set_message(format!(
        "; {} rows, {}/s, {} {}{rejected}",
        thousands(progress.rows.read),
        thousands(rate),
        thousands(progress.done - progress.rows.rejected.min(progress.done)),
        K::UNDER_WAY,
    ));
}
