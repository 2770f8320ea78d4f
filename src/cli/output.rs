//! How answers reach a person or a program: sentences and tables, or one JSON object a line.
//!
//! Text from elsewhere (a carrier's reason phrase, a note somebody typed) passes [`plain`] before it reaches a
//! terminal, so that nobody can move its cursor. A reader that went away (`dialgate audit query | head`) is no failure.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anyhow::Result;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::grpc::client::json::JsonProblem;

/// Width of tables and cards where no terminal tells its own.
const WIDTH: u16 = 110;
/// Wider than this, lines are hard to read.
const WIDTH_MAX: u16 = 140;

/// Where the answers of one command go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    paint: Paint,
}

impl Output {
    /// Standard output, coloured only if it is a terminal and nobody objects (no-color.org).
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self {
            json,
            paint: Paint::of(&std::io::stdout()),
        }
    }

    /// Whether a program reads.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// The colours of this output.
    #[must_use]
    pub fn paint(self) -> Paint {
        self.paint
    }

    /// One object on one line, for programs; people get `text`.
    pub fn answer(
        self,
        object: impl FnOnce() -> Result<Value, JsonProblem>,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.json {
            line(&object()?.to_string())
        } else {
            line(&text())
        }
    }

    /// A sentence that only people need.
    pub fn remark(self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { line(text) }
    }

    /// A sentence beside the answer: on standard error, so that what is kept in a file is the answer alone.
    pub fn aside(self, text: &str) -> Result<()> {
        if self.json {
            return Ok(());
        }
        Ok(writeln!(std::io::stderr().lock(), "{text}")?)
    }

    /// Rows: a table for people, a line each for programs.
    pub fn rows<T>(
        self,
        rows: &[T],
        object: impl Fn(&T) -> Result<Value, JsonProblem>,
        heads: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<()> {
        if self.json {
            return rows
                .iter()
                .try_for_each(|row| line(&object(row)?.to_string()));
        }
        if rows.is_empty() {
            return Ok(());
        }
        line(&table(heads, rows.iter().map(cells)))
    }

    /// Closes a list for people: how many, and whether there are more.
    pub fn end_of_list(self, count: usize, what: &str, more: bool) -> Result<()> {
        if count == 0 {
            return self.remark(&format!("no {what} found"));
        }
        let what = if count == 1 {
            what.to_owned()
        } else {
            plural(what)
        };
        let rest = if more {
            "; there are more: --all shows them, --filter narrows them"
        } else {
            ""
        };
        self.remark(&self.paint.faint(&format!("{count} {what}{rest}")))
    }
}

fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    // Whoever follows a call wants each event as it happens.
    Ok(out.flush()?)
}

/// A table without frame; its columns shrink to the terminal's width, but ids stay whole, for they are copied.
#[must_use]
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = bare_table(heads, usize::from(list_width()));
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell).into_owned()));
    }
    for (head, column) in heads.iter().zip(table.column_iter_mut()) {
        if *head == "id" {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    pad(&mut table);
    table.trim_fmt()
}

/// A table without rows yet.
#[must_use]
pub fn bare_table(heads: &[&str], width: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .force_no_tty()
        .set_width(u16::try_from(width).unwrap_or(WIDTH));
    if !heads.is_empty() {
        table.set_header(heads.iter().map(|head| head.to_uppercase()));
    }
    table
}

/// Sets the space between columns; to be called once the rows are in.
pub fn pad(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

/// Width to write in: the terminal's, within reason.
#[must_use]
pub fn width() -> u16 {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    Table::new().width().unwrap_or(WIDTH).clamp(60, WIDTH_MAX)
}

/// Lists in a file or a pipe keep one row a line, for `grep`.
fn list_width() -> u16 {
    if std::io::stdout().is_terminal() {
        Table::new().width().unwrap_or(WIDTH).max(60)
    } else {
        u16::MAX
    }
}

/// Breaks a text into lines of at most this width, between words.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if length == 0 {
            lines.push_str(indent);
        } else if length + 1 + word_length > width {
            lines.push('\n');
            lines.push_str(indent);
            length = 0;
        } else {
            lines.push(' ');
            length += 1;
        }
        if length == 0 {
            length = indent.chars().count();
        }
        lines.push_str(word);
        length += word_length;
    }
    lines
}

/// So many of something: `1 row`, `12,345 rows`.
#[must_use]
pub fn counted(count: i64, what: &str) -> String {
    let what = if count == 1 {
        what.to_owned()
    } else {
        plural(what)
    };
    format!("{} {what}", thousands(count))
}

/// Several of them.
fn plural(what: &str) -> String {
    match what.strip_suffix("ry") {
        Some(stem) => format!("{stem}ries"),
        None => format!("{what}s"),
    }
}

/// A count as people read it: `12,345`.
#[must_use]
pub fn thousands(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::from(if count < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How far a long work is: one line on standard error that is written anew; nothing where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    is_terminal: bool,
    shown: bool,
}

impl Progress {
    /// Nothing told yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Writes the line anew.
    pub fn tell(&mut self, text: &str) {
        if self.is_terminal {
            self.shown = true;
            self.write(text);
        }
    }

    /// Takes the line away, before something else is written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("");
        }
    }

    fn write(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        // Who cannot be told how far it is still gets the answer.
        let _ = write!(err, "\r\u{1b}[K{text}").and_then(|()| err.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// The text with its control characters replaced, so that it cannot steer a terminal.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(steers) {
        Cow::Owned(
            text.chars()
                .map(|c| if steers(c) { '\u{fffd}' } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// A terminal.
    Colours,
    /// A file, a pipe, or a person who set `NO_COLOR`.
    Plain,
}

impl Paint {
    /// Colours if this stream is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !unwanted {
            Self::Colours
        } else {
            Self::Plain
        }
    }

    /// For what went well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap("32;1", text)
    }

    /// For what was refused or failed.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    /// For what matters.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For what matters less.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Colours => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(
            plain("Busy \u{1b}[2J\u{202e}here"),
            "Busy \u{fffd}[2J\u{fffd}here"
        );
        assert_eq!(plain("Busy Here, später"), "Busy Here, später");
    }

    #[test]
    fn counts_are_grouped() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
            (-1_000, "-1,000"),
        ] {
            assert_eq!(thousands(count), text);
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 9, ""), "one two\nthree");
        assert_eq!(wrap("one two three", 9, "  "), "  one two\n  three");
        assert_eq!(wrap("", 9, "  "), "");
    }

    #[test]
    fn a_table_has_a_head_and_no_frame() {
        let text = table(
            &["id", "state"],
            [vec!["1".into(), "ended\n".into()]].into_iter(),
        );
        assert_eq!(
            text.lines().map(str::trim_end).collect::<Vec<_>>(),
            ["ID  STATE", "1   ended\u{fffd}"]
        );
    }
}
