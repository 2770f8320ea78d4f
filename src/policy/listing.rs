//! The pack as a table for people: `docs/RULES.md`.

use std::fmt::Write as _;

use super::pack::Pack;

/// The text of `docs/RULES.md`: one row a rule, in the order in which they are reported. A test holds the file to it.
#[must_use]
pub fn rules_markdown(pack: &Pack) -> String {
    let mut text = format!(
        "# Rules\n\n\
         Every rule of the built-in pack (`rules/*.toml`, version {}), in the order in which a decision reports them. \
         Not legal advice.\nWritten by `DIALGATE_BLESS=1 cargo test --test suite policy`; do not edit.\n\n\
         | rule | jurisdiction | kind | decides | in force | citation | certainty |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        pack.version().version
    );
    for rule in pack.rules() {
        let row = &rule.common;
        let date =
            |date: Option<jiff::civil::Date>| date.map(|d| d.to_string()).unwrap_or_default();
        let force = match (row.effective_from, row.effective_to) {
            (None, None) => String::new(),
            (from, to) => format!("{} … {}", date(from), date(to)),
        };
        let doubt = if row.uncertain { ", uncertain" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {force} | {} | {}{doubt} |",
            row.id,
            row.jurisdiction,
            row.kind,
            if rule.decides() { "yes" } else { "no" },
            row.citation.replace('|', "\\|"),
            row.certainty.as_str(),
        );
    }
    text
}
