//! `dialgate policy replay`: what another pack would have said of the decisions on record. Nothing is dialed, and nothing
//! is written on the server.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{Output, Progress, plain, thousands};
use super::super::wire::word;
use super::named::{Named, named};
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    ChangedCase, EvaluateRequest, EvaluateResponse, RuleCount, StoredDecisions, evaluate_request,
};

/// Decisions asked about at once. An answer names at most so many that change, and a file wants all of them.
const PAGE: i32 = 1000;

/// Arguments of `policy replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  dialgate policy replay ./rules --filter 'decided_time > \"2026-08-01T00:00:00Z\"'\n  \
                  dialgate policy replay ./house-rules --add --csv changed.csv\n  \
                  dialgate policy replay 4f2a…(64 digits) --limit 10000 --json\n  \
                  dialgate policy replay --configured\n\n\
                  Without a pack the one in force is asked. Closed days and disabled rules lie over a folder and over \
                  --configured as they would if it was activated. Nothing is dialed or recorded.")]
pub struct ReplayArgs {
    /// A folder with a pack, or the hash of one that the server keeps; the pack in force if left out
    #[arg(value_name = "DIR|SHA256")]
    pub pack: Option<String>,
    /// The pack that the server's own configuration names
    #[arg(long, conflicts_with = "pack")]
    pub configured: bool,
    /// Add the folder to the rules built into this program, instead of sending it alone
    #[arg(long, requires = "pack")]
    pub add: bool,
    /// Only decisions that meet these conditions, as in `audit query`
    #[arg(
        long,
        value_name = "CONDITIONS",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
    /// Stop after so many decisions, the newest; all if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Show at most so many of the decisions that change
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub samples: usize,
    /// Write every decision that changes into this file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Asks page by page, adds up and tells.
pub async fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let output = args.remote.output();
    let pack: Option<evaluate_request::Pack> = match args.pack.as_deref() {
        None if args.configured => Some(Named::Configured.into()),
        None => None,
        Some(words) => match named(words, args.add, output)? {
            Ok(named) => Some(named.into()),
            Err(code) => return Ok(code),
        },
    };
    let client = args.remote.connect().await?;
    let mut file = args.csv.as_deref().map(Changes::create).transpose()?;
    let mut progress = Progress::new();
    let mut total = Total::new(args.samples);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut page_token = String::new();
    loop {
        let decisions_max = i32::try_from(left).map_or(PAGE, |left| left.min(PAGE));
        let request = EvaluateRequest {
            pack: pack.clone(),
            input: Some(evaluate_request::Input::Decisions(StoredDecisions {
                filter: args.filter.clone(),
                decisions_max,
                page_token,
            })),
            samples_max: PAGE,
        };
        let page = client.policy().evaluate(ask(request)).await;
        let page = page.map_err(Refused::question)?.into_inner();
        if let Some(file) = &mut file {
            file.add(&page.samples)?;
        }
        page_token = page.next_page_token.clone();
        left = left.saturating_sub(u64::try_from(decisions_max).unwrap_or_default());
        total.add(page);
        if page_token.is_empty() || left == 0 {
            break;
        }
        progress.tell(&format!(
            "{} decisions asked about",
            thousands(total.seen())
        ));
    }
    progress.clear();
    let written = file.map(Changes::finish).transpose()?;
    show(output, &total.finish())?;
    if let (Some(count), Some(path)) = (written, &args.csv) {
        output.remark(&format!(
            "{} in {}",
            decisions(count, "changed"),
            plain(&path.display().to_string())
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The answers of all pages as one.
struct Total {
    sum: EvaluateResponse,
    rules: BTreeMap<String, RuleCount>,
    samples: usize,
}

impl Total {
    fn new(samples: usize) -> Self {
        Self {
            sum: EvaluateResponse::default(),
            rules: BTreeMap::new(),
            samples,
        }
    }

    fn add(&mut self, page: EvaluateResponse) {
        let sum = &mut self.sum;
        sum.pack = page.pack;
        sum.evaluated += page.evaluated;
        sum.allowed += page.allowed;
        sum.denied += page.denied;
        sum.newly_allowed += page.newly_allowed;
        sum.newly_denied += page.newly_denied;
        sum.skipped += page.skipped;
        let room = self.samples.saturating_sub(sum.samples.len());
        sum.samples.extend(page.samples.into_iter().take(room));
        for count in page.rules {
            let known = self.rules.entry(count.rule.clone()).or_default();
            known.denied += count.denied;
            known.newly_denied += count.newly_denied;
            known.newly_allowed += count.newly_allowed;
        }
    }

    fn seen(&self) -> i64 {
        self.sum.evaluated + self.sum.skipped
    }

    /// Rules that deny most first.
    fn finish(self) -> EvaluateResponse {
        let named = self.rules.into_iter();
        let mut rules: Vec<RuleCount> = named
            .map(|(rule, count)| RuleCount { rule, ..count })
            .collect();
        rules.sort_by_key(|count| std::cmp::Reverse(count.denied));
        EvaluateResponse { rules, ..self.sum }
    }
}

fn show(output: Output, total: &EvaluateResponse) -> Result<()> {
    if output.is_json() {
        return output.answer(|| json::object("EvaluateResponse", total), String::new);
    }
    let changed: Vec<RuleCount> = (total.rules.iter())
        .filter(|count| count.newly_denied > 0 || count.newly_allowed > 0)
        .cloned()
        .collect();
    output.rows(
        &changed,
        |count| json::object("RuleCount", count),
        &["rule", "newly denied", "newly allowed", "denied"],
        |count| {
            vec![
                count.rule.clone(),
                thousands(count.newly_denied),
                thousands(count.newly_allowed),
                thousands(count.denied),
            ]
        },
    )?;
    output.rows(
        &total.samples,
        |sample| json::object("ChangedCase", sample),
        &[
            "id",
            "before",
            "after",
            "denied by before",
            "denied by after",
        ],
        |sample| cells(sample).into(),
    )?;
    let pack = total.pack.clone().unwrap_or_default();
    output.remark(&format!(
        "pack {} ({}) asked about {} on record: {} allowed, {} denied; {} newly denied, {} newly allowed{}",
        plain(&pack.version),
        plain(&pack.sha256),
        decisions(total.evaluated, ""),
        thousands(total.allowed),
        thousands(total.denied),
        thousands(total.newly_denied),
        thousands(total.newly_allowed),
        match total.skipped {
            0 => String::new(),
            skipped => format!("; {} more cannot be made again", thousands(skipped)),
        },
    ))
}

fn decisions(count: i64, which: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let blank = if which.is_empty() { "" } else { " " };
    format!("{}{blank}{which} decision{plural}", thousands(count))
}

fn cells(change: &ChangedCase) -> [String; 5] {
    [
        change.id.clone(),
        word!(Verdict, change.before),
        word!(Verdict, change.after),
        change.denied_by_before.join(" "),
        change.denied_by_after.join(" "),
    ]
}

/// The file of all changes.
struct Changes {
    writer: csv::Writer<File>,
    count: i64,
    place: String,
}

impl Changes {
    fn create(path: &Path) -> Result<Self> {
        let place = format!("cannot write --csv `{}`", path.display());
        let mut writer = csv::Writer::from_path(path).with_context(|| place.clone())?;
        writer
            .write_record([
                "decision_id",
                "before",
                "after",
                "denied_by_before",
                "denied_by_after",
            ])
            .with_context(|| place.clone())?;
        Ok(Self {
            writer,
            count: 0,
            place,
        })
    }

    fn add(&mut self, changes: &[ChangedCase]) -> Result<()> {
        for change in changes {
            let written = self.writer.write_record(cells(change));
            written.with_context(|| self.place.clone())?;
            self.count += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<i64> {
        self.writer.flush().with_context(|| self.place.clone())?;
        Ok(self.count)
    }
}
