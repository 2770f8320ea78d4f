//! What is written of a list: a row a line, as CSV or JSON, and what the whole comes to.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::json;

use super::super::output::{Paint, table, thousands};
use super::super::wire::{from_wire, word};
use super::source::Row;
use crate::domain::phone::Phone;
use crate::grpc::pb::{CheckCallsRow, CheckCallsRows, CheckCallsSummary, Verdict};

/// Rules and errors that the summary names; the rest is in the rows.
const REASONS_SHOWN: usize = 12;

/// Where the rows go.
pub struct Rows<W: Write> {
    form: Form<W>,
    with_reasons: bool,
    has_begun: bool,
    /// The rules that the stream has named.
    rules: Vec<String>,
}

enum Form<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json(W),
}

impl<W: Write> Rows<W> {
    /// Writes nothing yet: a list that is refused has no rows, and no names of columns either.
    pub fn new(out: W, as_json: bool, with_reasons: bool) -> Self {
        let form = match as_json {
            true => Form::Json(out),
            false => Form::Csv(Box::new(csv::Writer::from_writer(out))),
        };
        Self {
            form,
            with_reasons,
            has_begun: false,
            rules: Vec::new(),
        }
    }

    /// The names of the columns, where the form has any.
    fn begin(&mut self) -> Result<()> {
        if let (Form::Csv(writer), false) = (&mut self.form, self.has_begun) {
            let heads = [
                "line",
                "given",
                "number",
                "verdict",
                "denied_by",
                "next_allowed_time",
                "error",
            ];
            let reasons = self.with_reasons.then_some("reasons");
            writer.write_record(heads.into_iter().chain(reasons))?;
        }
        self.has_begun = true;
        Ok(())
    }

    /// Writes the answers to these rows of the list.
    pub fn write(&mut self, asked: &[Row], answer: CheckCallsRows) -> Result<()> {
        anyhow::ensure!(
            asked.len() == answer.rows.len(),
            "the server answered {} numbers with {} rows",
            asked.len(),
            answer.rows.len()
        );
        self.begin()?;
        self.rules.extend(answer.new_rules);
        for (asked, row) in asked.iter().zip(&answer.rows) {
            self.row(asked, row)?;
        }
        Ok(())
    }

    fn row(&mut self, asked: &Row, row: &CheckCallsRow) -> Result<()> {
        let named = row.denied_by.iter().map(|place| {
            let rule = usize::try_from(*place)
                .ok()
                .and_then(|place| self.rules.get(place));
            rule.map(String::as_str)
                .context("the server denied by a rule that it never named")
        });
        let denied_by: Vec<&str> = named.collect::<Result<_>>()?;
        let number = match row.number.as_str() {
            "" if Phone::parse(&asked.given).is_ok() => asked.given.as_str(),
            number => number,
        };
        let verdict = match row.verdict() {
            Verdict::Unspecified => String::new(),
            _ => word!(Verdict, row.verdict),
        };
        let next = from_wire(row.next_allowed_time.as_ref());
        let next = next.map(|at| at.to_string()).unwrap_or_default();
        match &mut self.form {
            Form::Csv(writer) => {
                let line = asked.line.to_string();
                let denied_by = denied_by.join(" ");
                let cells = [
                    &line,
                    asked.given.as_str(),
                    number,
                    &verdict,
                    &denied_by,
                    &next,
                    &row.error,
                ];
                let reasons = self.with_reasons.then(|| row.reasons.join("; "));
                writer.write_record(cells.into_iter().chain(reasons.as_deref()))?;
            }
            Form::Json(out) => {
                let mut object = json!({ "line": asked.line, "given": asked.given });
                let mut set = |name: &str, value: serde_json::Value| {
                    if let Some(object) = object.as_object_mut() {
                        object.insert(name.to_owned(), value);
                    }
                };
                for (name, text) in [
                    ("number", number),
                    ("verdict", &verdict),
                    ("next_allowed_time", &next),
                    ("error", &row.error),
                ] {
                    if !text.is_empty() {
                        set(name, text.into());
                    }
                }
                if row.error.is_empty() {
                    set("denied_by", denied_by.into());
                }
                if self.with_reasons && row.error.is_empty() {
                    set("reasons", row.reasons.clone().into());
                }
                writeln!(out, "{object}")?;
            }
        }
        Ok(())
    }

    /// Lets nothing wait.
    pub fn flush(&mut self) -> Result<()> {
        self.begin()?;
        match &mut self.form {
            Form::Csv(writer) => writer.flush()?,
            Form::Json(out) => out.flush()?,
        }
        Ok(())
    }
}

/// What the list comes to, for a person.
pub fn summary(summary: &CheckCallsSummary, paint: Paint) -> String {
    let errors: i64 = summary.errors.iter().map(|each| each.count).sum();
    let share = |count: i64| match summary.asked {
        0 => String::new(),
        all => format!("{:.1} %", 100.0 * share_of(count, all)),
    };
    let counts = [
        ("allowed", summary.allowed),
        ("denied", summary.denied),
        ("no verdict", errors),
        ("rows", summary.asked),
    ];
    let counts = counts.map(|(what, count)| vec![what.to_owned(), thousands(count), share(count)]);
    let mut text = table(&["verdict", "rows", "share"], counts.into_iter());
    let reasons = summary.rules.iter().map(|each| ("denied by", each));
    let reasons = reasons.chain(summary.errors.iter().map(|each| ("no verdict", each)));
    let mut reasons: Vec<_> = reasons.collect();
    reasons.sort_by_key(|(_, each)| std::cmp::Reverse(each.count));
    let more = reasons.len().saturating_sub(REASONS_SHOWN);
    reasons.truncate(REASONS_SHOWN);
    if !reasons.is_empty() {
        let rows = reasons.into_iter().map(|(what, each)| {
            vec![
                what.to_owned(),
                each.name.clone(),
                thousands(each.count),
                share(each.count),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(&["", "why", "rows", "share"], rows));
    }
    if more > 0 {
        text.push_str(&paint.faint(&format!("\nand {more} more reasons, which the rows name")));
    }
    let packs: Vec<_> = (summary.packs.iter())
        .map(|pack| {
            format!(
                "{} ({})",
                pack.version,
                pack.sha256.chars().take(12).collect::<String>()
            )
        })
        .collect();
    text.push_str(&paint.faint(&format!(
        "\n\nrules {}; on record as audit entry {}",
        packs.join(", then "),
        summary.audit_entry_id
    )));
    text
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share is shown with one decimal"
)]
fn share_of(count: i64, all: i64) -> f64 {
    count as f64 / all as f64
}
