//! Which columns of a list are read. Named by an option or, where the list has a header line, by the list itself: a column whose name
//! is one that we know is taken for it. What is read, and what is not, is told before anything is sent; and a name that is nearly one
//! of ours is refused, for a slip of one letter must not turn what a column says into what holds for the whole list.

use anyhow::{Context, Result, bail};

use super::Written;
use super::file::ListFile;
use crate::cli::failure::Usage;
use crate::cli::output::plain;

/// A part of a row that a column may hold.
pub struct Part<'a> {
    /// Its name, which is that of its column in a list that names its columns as we do.
    pub name: &'static str,
    /// The option that names its column.
    pub option: &'static str,
    /// What the option says: a name in the header line, or a place from 1.
    pub column: &'a Option<String>,
    /// A row is about what stands here.
    pub is_subject: bool,
}

/// Part, option, what it says.
pub fn part<'a>(name: &'static str, option: &'static str, column: &'a Option<String>) -> Part<'a> {
    Part {
        name,
        option,
        column,
        is_subject: false,
    }
}

/// The same, of what a row is about.
pub fn subject<'a>(
    name: &'static str,
    option: &'static str,
    column: &'a Option<String>,
) -> Part<'a> {
    Part {
        is_subject: true,
        ..part(name, option, column)
    }
}

/// The columns of a list that are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Columns {
    read: Vec<(&'static str, String)>,
    unread: Vec<String>,
}

impl Columns {
    /// Finds them.
    pub fn of(list: &ListFile, written: &Written, parts: &[Part<'_>]) -> Result<Self> {
        let first = list
            .first_rows(written.delimiter().chars().next())
            .context("cannot read the list again")?;
        if !written.header {
            return Ok(Self::named(parts));
        }
        if first.rows == 1 {
            bail!(Usage(format!(
                "the list `{}` has a header line and no row",
                list.name.display()
            )));
        }
        Self::of_header(&first.cells, written, parts)
    }

    /// Those that options name.
    fn named(parts: &[Part<'_>]) -> Self {
        let read = parts
            .iter()
            .filter_map(|part| Some((part.name, part.column.clone()?)));
        Self {
            read: read.collect(),
            unread: Vec::new(),
        }
    }

    fn of_header(cells: &[String], written: &Written, parts: &[Part<'_>]) -> Result<Self> {
        if let Some(place) = cells.iter().position(|cell| is_number(cell)) {
            bail!(Usage(format!(
                "--header passes over the first line, and its column {} holds a number: leave --header out if it is a row",
                place + 1
            )));
        }
        let mut columns = Self::default();
        let mut taken = vec![false; cells.len()];
        for part in parts {
            let name = part.column.as_deref().unwrap_or(part.name);
            let places: Vec<usize> = (0..cells.len())
                .filter(|place| cells.get(*place).is_some_and(|cell| is_same(cell, name)))
                .collect();
            let place = match (places.as_slice(), part.column) {
                ([place], _) => Some(*place),
                ([first, second, ..], _) => bail!(Usage(format!(
                    "the header names two columns `{}`, the {}. and the {}.: say which is meant by its place, such as {} {}",
                    plain(name),
                    first + 1,
                    second + 1,
                    part.option,
                    first + 1
                ))),
                ([], None) => continue,
                // By its place; one that is beyond the last is for the server to refuse, as in a list without a header.
                ([], Some(named)) => match named.trim().parse::<usize>() {
                    Ok(at) => at.checked_sub(1),
                    Err(_) => bail!(Usage(format!(
                        "the header names no column `{}`; it names {}",
                        plain(named),
                        listed(cells)
                    ))),
                },
            };
            if let Some(taken) = place.and_then(|place| taken.get_mut(place)) {
                *taken = true;
            }
            columns.read.push((part.name, name.to_owned()));
        }
        for (cell, _) in cells
            .iter()
            .zip(taken)
            .filter(|(cell, taken)| !taken && !cell.is_empty())
        {
            columns.must_be_meant_unread(cell, written, parts)?;
            columns.unread.push(cell.clone());
        }
        // One column is a number a line, whatever its name.
        let has_subject = parts
            .iter()
            .any(|part| part.is_subject && columns.reads(part.name));
        if !has_subject && (cells.len() > 1 || !columns.read.is_empty()) {
            let subjects: Vec<&str> = (parts.iter().filter(|part| part.is_subject))
                .map(|part| part.option)
                .collect();
            bail!(Usage(format!(
                "no column is known to say whom a row is about: the header names {}; name the one by {}",
                listed(cells),
                subjects.join(" or ")
            )));
        }
        Ok(columns)
    }

    /// A column that is passed over must not be one of ours that was misspelt.
    fn must_be_meant_unread(
        &self,
        cell: &str,
        written: &Written,
        parts: &[Part<'_>],
    ) -> Result<()> {
        let is_ignored = |ignored: &String| is_same(cell, ignored);
        if written.ignore_columns.iter().any(is_ignored) {
            return Ok(());
        }
        let meant = parts
            .iter()
            .find(|part| !self.reads(part.name) && is_nearly(cell, part.name));
        match meant {
            None => Ok(()),
            Some(part) => bail!(Usage(format!(
                "the column `{0}` is not one that is read; is `{1}` meant? Rename it, say {2} \"{0}\", or --ignore-column \"{0}\" \
                 if it is to be passed over",
                plain(cell),
                part.name,
                part.option
            ))),
        }
    }

    fn reads(&self, part: &str) -> bool {
        self.read.iter().any(|(name, _)| *name == part)
    }

    /// Where a part stands, for the wire; empty if nowhere.
    #[must_use]
    pub fn at(&self, part: &str) -> String {
        let found = self.read.iter().find(|(name, _)| *name == part);
        found.map(|(_, column)| column.clone()).unwrap_or_default()
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_named(&self) -> bool {
        !self.read.is_empty()
    }

    /// What is read, and what is not, in words.
    #[must_use]
    pub fn read_in_words(&self) -> String {
        if self.read.is_empty() {
            return "a number a line".to_owned();
        }
        let read = self
            .read
            .iter()
            .map(|(name, column)| match is_same(column, name) {
                true => (*name).to_owned(),
                false => format!("{name} ({})", plain(column)),
            });
        format!(
            "columns that are read: {}",
            read.collect::<Vec<_>>().join(", ")
        )
    }

    /// What is not read, in words; nothing if all are.
    #[must_use]
    pub fn unread_in_words(&self) -> Option<String> {
        let unread = || format!("columns that are not read: {}", listed(&self.unread));
        (!self.unread.is_empty()).then(unread)
    }
}

fn listed(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| plain(cell)).collect();
    cells.join(", ")
}

/// As the server compares them.
fn is_same(cell: &str, name: &str) -> bool {
    cell.trim().eq_ignore_ascii_case(name.trim())
}

/// Whether a name is a telephone number, which no column is called.
fn is_number(cell: &str) -> bool {
    let digits = cell.chars().filter(char::is_ascii_digit).count();
    let is_of_number =
        |each: char| each.is_ascii_digit() || each.is_whitespace() || "+-.()/".contains(each);
    digits >= 7 && cell.chars().all(is_of_number)
}

/// Whether somebody who wrote this may have meant that: one slip in a short name, two in a long one, blanks and lines apart.
fn is_nearly(cell: &str, name: &str) -> bool {
    const LONG: usize = 8;
    let letters = |text: &str| -> Vec<char> {
        let letters = text.chars().filter(|each| each.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let (cell, name) = (letters(cell), letters(name));
    slips(&cell, &name) <= if name.len() < LONG { 1 } else { 2 }
}

/// Letters to be put in, left out, changed, or changed with their neighbour, until the one is the other.
fn slips(from: &[char], to: &[char]) -> usize {
    let width = to.len() + 1;
    // The last two rows of the table, and the one in the making.
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..width).collect();
    let mut before = None;
    for (row, one) in from.iter().enumerate() {
        let mut new = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&old, column) + usize::from(one != other);
            let mut least = changed
                .min(at(&old, column + 1) + 1)
                .min(at(&new, column) + 1);
            let are_swapped =
                column > 0 && before == Some(other) && to.get(column - 1) == Some(one);
            if are_swapped {
                least = least.min(at(&older, column - 1) + 1);
            }
            new.push(least);
        }
        older = std::mem::replace(&mut old, new);
        before = Some(one);
    }
    old.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Written {
        Written {
            country: String::new(),
            header: true,
            delimiter: String::new(),
            encoding: None,
            ignore_columns: vec!["Notes".to_owned()],
        }
    }

    fn found(cells: &[&str], number: Option<&str>) -> Result<Columns, String> {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        let (number, none) = (number.map(str::to_owned), None);
        let parts = [
            subject("number", "--number-column", &number),
            subject("party_id", "--party-column", &none),
            part("channels", "--channels-column", &none),
            part("note", "--note-column", &none),
            part("event_time", "--time-column", &none),
        ];
        Columns::of_header(&cells, &written(), &parts).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_found_by_their_names_and_the_others_told() {
        let columns = found(&["Number", "channels", "Remark", "", "Name"], None).unwrap();
        assert_eq!(columns.at("number"), "number");
        assert_eq!(columns.at("note"), "");
        assert_eq!(
            columns.read_in_words(),
            "columns that are read: number, channels"
        );
        assert_eq!(
            columns.unread_in_words().as_deref(),
            Some("columns that are not read: Remark, Name")
        );
        let columns = found(&["Phone", "number of calls"], Some("phone")).unwrap();
        assert_eq!(
            columns.read_in_words(),
            "columns that are read: number (phone)"
        );
        let columns = found(&["Phone", "Name"], Some("1")).unwrap();
        assert_eq!(
            columns.unread_in_words().as_deref(),
            Some("columns that are not read: Name")
        );
        let columns = found(&["Phone"], None).unwrap();
        assert_eq!(
            (columns.are_named(), columns.read_in_words().as_str()),
            (false, "a number a line")
        );
    }

    #[test]
    fn what_may_be_meant_otherwise_is_refused() {
        for (cells, number, said) in [
            (
                &["number", "channel"][..],
                None,
                "is `channels` meant? Rename it, say --channels-column \"channel\"",
            ),
            (&["number", "Event Time"], None, "is `event_time` meant?"),
            (&["number", "party-id"], None, "is `party_id` meant?"),
            (
                &["number", "NUMBER", "x"],
                None,
                "two columns `number`, the 1. and the 2.: say which is meant by its place",
            ),
            (&["Phone", "phone"], Some("phone"), "two columns `phone`"),
            (&["404 555 0141", "x"], None, "its column 1 holds a number"),
            (
                &["Phone", "Name"],
                None,
                "the header names Phone, Name; name the one by --number-column or --party-column",
            ),
        ] {
            let told = found(cells, number).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
        assert!(
            found(&["number", "Notes"], None).is_ok(),
            "it is said to be passed over"
        );
        assert!(
            found(&["number", "x", "x"], None).is_ok(),
            "nobody asks for it"
        );
    }

    #[test]
    fn slips_are_counted() {
        let count = |from: &str, to: &str| {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            slips(&letters(from), &letters(to))
        };
        for (from, to, slips) in [
            ("form", "form", 0),
            ("from", "form", 1),
            ("channel", "channels", 1),
            ("seler", "seller", 1),
            ("", "note", 4),
            ("name", "note", 2),
            ("amount", "account", 2),
        ] {
            assert_eq!(count(from, to), slips, "{from} {to}");
        }
    }
}
