//! `dialgate policy test` and `diff`: packs tried and compared on this machine, before anybody activates them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use super::super::output::{Output, plain};
use crate::policy::{Became, Pack, PackDiff, PackFiles, PackProblems, judge};

/// What stands for the pack of this program.
const BUILT_IN: &str = "built-in";

/// Arguments of `policy test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy test\n  dialgate policy test /etc/dialgate/rules\n  \
                  dialgate policy test --add ./house-rules\n\n\
                  A test vector is a line of tests/*.jsonl: a case as `policy eval` reads it, with what must come out in `expect`."
)]
pub struct TestArgs {
    /// Folder with the pack; the built-in one if left out
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Add the folder to the built-in rules, as `mode = "add"` does, instead of replacing them
    #[arg(long, requires = "folder")]
    pub add: bool,
    /// Print one JSON object instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `policy diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy diff built-in /etc/dialgate/rules\n  dialgate policy diff old/us.toml new/us.toml\n  \
                  dialgate policy diff --add built-in ./house-rules"
)]
pub struct DiffArgs {
    /// A folder with a pack, a rule file, or `built-in`
    #[arg(value_name = "A")]
    pub before: String,
    /// The same, of what is to come
    #[arg(value_name = "B")]
    pub after: String,
    /// Add each folder to the built-in rules before comparing, as `policy test --add` does
    #[arg(long)]
    pub add: bool,
    /// Print one JSON object a row instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Loads the pack, which tries its vectors, and tells how many there are and which places they cover.
pub fn test(args: &TestArgs) -> Result<ExitCode> {
    let loaded = match &args.folder {
        None => Pack::embedded(),
        Some(folder) if args.add => PackFiles::read(folder)
            .and_then(|added| Pack::of(PackFiles::embedded().with_added(added))),
        Some(folder) => Pack::load(folder),
    };
    let output = Output::new(args.json);
    let pack = match loaded {
        Ok(pack) => pack,
        Err(problems) => return refused(output, &problems),
    };
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    let mut met: BTreeSet<String> = BTreeSet::new();
    for vector in pack.vectors() {
        *files.entry(&vector.file).or_default() += 1;
        met.extend(
            judge(&pack, &vector.case)
                .rules
                .into_iter()
                .map(|said| said.rule.into()),
        );
    }
    let places = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
        let rules = pack.rules().iter().filter(|rule| wanted(&rule.common.id));
        rules
            .map(|rule| rule.common.jurisdiction.as_str())
            .collect()
    };
    let covered = places(&|id| met.contains(id));
    let bare: Vec<&str> = places(&|_| true).difference(&covered).copied().collect();
    output.answer(
        || {
            Ok(json!({
                "ok": true, "version": pack.version().version, "sha256": pack.version().sha256,
                "rules": pack.rules().len(), "vectors": files, "jurisdictions_without_vector": bare,
            }))
        },
        || {
            let mut text = format!(
                "pack {} ({}…): {} rules, nothing is wrong with them\n",
                pack.version().version,
                pack.version().sha256.get(..12).unwrap_or_default(),
                pack.rules().len(),
            );
            for (file, count) in &files {
                text.push_str(&format!("{file}: {count} vectors come out as written\n"));
            }
            match bare.as_slice() {
                [] => text.push_str("every jurisdiction has a vector"),
                bare => text.push_str(&format!("without a vector: {}", bare.join(", "))),
            }
            text
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Tells all faults of a pack, one line each, as a compiler would.
pub fn refused(output: Output, problems: &PackProblems) -> Result<ExitCode> {
    if output.is_json() {
        let all = problems
            .0
            .iter()
            .map(|each| json!({ "file": each.file, "line": each.line, "problem": each.problem }));
        let all: Vec<_> = all.collect();
        output.answer(|| Ok(json!({ "ok": false, "problems": all })), String::new)?;
    } else {
        eprintln!("error: {problems}");
    }
    Ok(ExitCode::FAILURE)
}

/// Compares two packs.
pub fn diff(args: &DiffArgs) -> Result<ExitCode> {
    let output = Output::new(args.json);
    let mut sides = Vec::new();
    for side in [&args.before, &args.after] {
        match files(side)? {
            Ok(files) if args.add && side != BUILT_IN => {
                sides.push(PackFiles::embedded().with_added(files));
            }
            Ok(files) => sides.push(files),
            Err(problems) => return refused(output, &problems),
        }
    }
    if let [before, after] = sides.as_slice() {
        show(output, &before.diff(after))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of one side. Whether they can be used is the business of `policy test`; here they need only be readable, for
/// what cannot be read would seem to be left out.
fn files(side: &str) -> Result<Result<PackFiles, PackProblems>> {
    if side == BUILT_IN {
        return Ok(Ok(PackFiles::embedded()));
    }
    let path = Path::new(side);
    let files = if path.is_dir() {
        match PackFiles::read(path) {
            Ok(files) => files,
            Err(problems) => return Ok(Err(problems)),
        }
    } else {
        PackFiles::one(std::fs::read_to_string(path).with_context(|| {
            format!("cannot read `{side}`; name a folder, a rule file, or `{BUILT_IN}`")
        })?)
    };
    Ok(match files.unreadable() {
        problems if problems.is_empty() => Ok(files),
        problems => Err(PackProblems(problems)),
    })
}

/// Prints what differs.
pub fn show(output: Output, diff: &PackDiff) -> Result<()> {
    if output.is_json() {
        for row in &diff.rows {
            output.answer(|| Ok(json!({ "row": row })), String::new)?;
        }
        for file in &diff.files {
            output.answer(|| Ok(json!({ "file": file })), String::new)?;
        }
        return Ok(());
    }
    if diff.is_empty() {
        return output.remark("nothing differs");
    }
    for row in &diff.rows {
        let head = format!("{} {} {}", mark(row.became), row.table, plain(&row.id));
        output.remark(&paint(output, row.became, &head))?;
        for key in &row.keys {
            let line = match (&key.before, &key.after) {
                (Some(before), Some(after)) => format!("{} -> {}", plain(before), plain(after)),
                (Some(before), None) => format!("{} -> (none)", plain(before)),
                (None, Some(after)) => plain(after).into_owned(),
                (None, None) => continue,
            };
            if row.became != Became::Removed {
                output.remark(&format!("    {}: {line}", key.key))?;
            }
        }
    }
    for file in &diff.files {
        let (added, removed) = (file.lines_added, file.lines_removed);
        let head = format!(
            "{} {}: {added} lines more, {removed} lines less",
            mark(file.became),
            plain(&file.file)
        );
        output.remark(&paint(output, file.became, &head))?;
    }
    let count = |became| diff.rows.iter().filter(|row| row.became == became).count();
    output.remark(&format!(
        "{} rows added, {} removed, {} changed; {} tables differ",
        count(Became::Added),
        count(Became::Removed),
        count(Became::Changed),
        diff.files.len(),
    ))
}

fn mark(became: Became) -> char {
    match became {
        Became::Added => '+',
        Became::Removed => '-',
        Became::Changed => '~',
    }
}

fn paint(output: Output, became: Became, text: &str) -> String {
    match became {
        Became::Added => output.paint().good(text),
        Became::Removed => output.paint().bad(text),
        Became::Changed => output.paint().strong(text),
    }
}
