//! `dialgate audit verify`: looks at an export with nothing else at hand. It reads no configuration and opens no connection.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::checkpoint::{kept, key};
use crate::audit::{Checkpoint, ExportLine, Fault, Verdict, Verifier, VerifierKey};
use crate::cli::failure::{Usage, exit};
use crate::cli::output::{Output, thousands};
use crate::cli::progress;
use crate::domain::hex::hex;

/// No line of an export is longer: an entry with the largest payload has some tens of kilobytes.
const LINE_BYTES_MAX: usize = 8 << 20;
/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate audit verify log.jsonl.zst --key log.key\n  \
                        dialgate audit verify log.jsonl --key log.key --checkpoint kept.checkpoint --checkpoint witness.txt\n\n\
                        Finds entries that were changed, removed, inserted or moved, a file that was cut off, and, with a checkpoint \
                        that was kept elsewhere, a log that was written anew, and names the entries. Ends with 1 if anything is wrong. \
                        Without --key the file's own word is taken for whose log it is.")]
pub struct VerifyArgs {
    /// The file, as `audit export` wrote it; .gz and .zst are unpacked
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A file with checkpoints that were kept, one or more
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// The log's public key, `name+hash+key`, or a file with it
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Print one JSON object a line instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Verifies.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let place = || format!("`{}` cannot be read", args.file.display());
    let known = args.key.as_deref().map(key).transpose()?;
    let kept = kept_checkpoints(args, known.as_ref())?;
    let file = File::open(&args.file).with_context(place)?;
    let bar = progress::bytes("verifying", file.metadata().with_context(place)?.len());
    let mut lines = unpacked(&args.file, bar.wrap_read(file)).with_context(place)?;
    let mut verifier = Verifier::new(known.clone(), kept);
    let is_ended = read_all(&mut lines, &mut verifier).with_context(place)?;
    bar.finish_and_clear();
    let verdict = verifier.finish(is_ended);
    if !verdict.is_export && !args.json {
        bail!("{}", no_export(&args.file));
    }
    tell(args, &verdict, known.is_some())?;
    Ok(match verdict.is_whole() {
        true => ExitCode::SUCCESS,
        false => exit::FAILED,
    })
}

/// Checkpoints that were kept are looked at with the key that was given, or with the one that the file names.
fn kept_checkpoints(args: &VerifyArgs, known: Option<&VerifierKey>) -> Result<Vec<Checkpoint>> {
    if args.checkpoints.is_empty() {
        return Ok(Vec::new());
    }
    let key = match known {
        Some(key) => key.clone(),
        None => named_key(&args.file)?,
    };
    let read = |path: &PathBuf| kept(path, &key);
    let all: Result<Vec<Vec<Checkpoint>>> = args.checkpoints.iter().map(read).collect();
    Ok(all?.into_iter().flatten().collect())
}

fn no_export(path: &Path) -> String {
    format!(
        "`{}` cannot be read: it does not begin as a file of `dialgate audit export` does",
        path.display()
    )
}

/// The key that the file names in its first line.
fn named_key(path: &Path) -> Result<VerifierKey> {
    let place = || format!("`{}` cannot be read", path.display());
    let file = File::open(path).with_context(place)?;
    let mut lines = unpacked(path, file).with_context(place)?;
    let mut line = Vec::new();
    next_line(&mut lines, &mut line).with_context(place)?;
    let text = String::from_utf8_lossy(&line);
    match ExportLine::parse(text.trim_end_matches('\n')) {
        Some(ExportLine::Header(header)) => VerifierKey::parse(&header.key)
            .map_err(|error| Usage(format!("the key of the file {error}")).into()),
        _ => bail!("{}", no_export(path)),
    }
}

fn unpacked(name: &Path, file: impl Read + 'static) -> std::io::Result<Box<dyn BufRead>> {
    let ending = name.extension().and_then(|ending| ending.to_str());
    let read: Box<dyn Read> = match ending {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER, read)))
}

/// Gives every line to the verifier; whether the last one had an end.
fn read_all(lines: &mut dyn BufRead, verifier: &mut Verifier) -> std::io::Result<bool> {
    let mut line = Vec::new();
    let mut is_ended = true;
    while next_line(lines, &mut line)? > 0 {
        is_ended = line.last() == Some(&b'\n');
        verifier.line(line.strip_suffix(b"\n").unwrap_or(&line));
    }
    Ok(is_ended)
}

/// Reads a line with its end; one that is too long comes in pieces, none of which is a line of an export.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    line.clear();
    let bound = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    lines.take(bound).read_until(b'\n', line)
}

fn tell(args: &VerifyArgs, verdict: &Verdict, is_key_given: bool) -> Result<()> {
    let output = Output::new(args.json);
    for fault in &verdict.faults {
        output.answer(
            || Ok(fault_object(fault)),
            || format!("line {}: {}", fault.line, fault.text),
        )?;
    }
    output.answer(|| Ok(summary(verdict)), || sentence(verdict))?;
    if let (false, Some(key)) = (is_key_given, &verdict.key) {
        output.remark(&format!(
            "whose log this is, only the file says: compare its key with the one you know, or name that one with --key: {key}"
        ))?;
    }
    Ok(())
}

fn fault_object(fault: &Fault) -> Value {
    json!({
        "found": fault.found.as_str(),
        "line": fault.line,
        "first": fault.entries.as_ref().map(|range| range.start),
        "end": fault.entries.as_ref().map(|range| range.end),
        "text": fault.text,
    })
}

fn summary(verdict: &Verdict) -> Value {
    json!({
        "whole": verdict.is_whole(),
        "origin": verdict.origin,
        "entries": verdict.entries,
        "checkpoints": verdict.checkpoints,
        "kept": verdict.kept,
        "tree_size": verdict.head.map(|(size, _)| size),
        "root": verdict.head.map(|(_, root)| hex(&root.0)),
        "faults": u64::try_from(verdict.faults.len()).unwrap_or(u64::MAX).saturating_add(verdict.more_faults),
    })
}

fn sentence(verdict: &Verdict) -> String {
    let count = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
    if !verdict.is_whole() {
        let faults = u64::try_from(verdict.faults.len()).unwrap_or(u64::MAX);
        let faults = faults.saturating_add(verdict.more_faults);
        return format!(
            "NOT WHOLE: {} in {} entries",
            faults_of(faults),
            count(verdict.entries)
        );
    }
    let kept = match verdict.kept {
        0 => "no checkpoint kept elsewhere was compared".to_owned(),
        1 => "1 checkpoint kept elsewhere agrees".to_owned(),
        many => format!("{} checkpoints kept elsewhere agree", count(many)),
    };
    format!(
        "whole: {} entries of the log `{}` under {} signed checkpoints; {kept}",
        count(verdict.entries),
        verdict.origin,
        count(verdict.checkpoints),
    )
}

fn faults_of(count: u64) -> String {
    match count {
        1 => "1 fault".to_owned(),
        many => format!(
            "{} faults",
            thousands(i64::try_from(many).unwrap_or(i64::MAX))
        ),
    }
}
