//! The pack as tables for people: `docs/RULES.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;

use super::pack::Pack;
use super::rule::Rule;

/// The text of `docs/RULES.md`: a table for each jurisdiction, its rules in the order in which they are reported. A test
/// holds the file to it.
#[must_use]
pub fn rules_markdown(pack: &Pack) -> String {
    let mut places: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in pack.rules() {
        let of = places.entry(&rule.common.jurisdiction).or_default();
        of.push(rule);
    }
    let mut text = format!(
        "# Rules\n\n\
         Every rule of the built-in pack (`rules/*.toml`, version {}): {} rules of {} jurisdictions, a table for each, in the \
         order in which\na decision reports them. Not legal advice. [rules/README.md](../rules/README.md) tells how to read a \
         rule.\nWritten by `DIALGATE_BLESS=1 cargo test --test suite policy`; do not edit.\n\n\
         - **decides**: a rule that says no is for information and never denies a call.\n\
         - **certainty**: `primary` = the law itself was read, `secondary` = a good summary of it, `recall` = known but not \
         found again;\n  uncertain = sources disagree and the stricter reading stands.\n\n\
         ## Contents\n",
        pack.version().version,
        pack.rules().len(),
        places.len(),
    );
    contents(pack, &places, &mut text);
    for (place, rules) in &places {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {}\n\n", heading(pack, place));
        if pack.is_group(place) {
            let _ = writeln!(text, "Countries: {}.\n", pack.members_of(place).join(", "));
        }
        text.push_str(
            "| rule | kind | decides | in force | citation | certainty |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        rules.iter().for_each(|rule| row(rule, &mut text));
    }
    text
}

/// A line for each country, group and the product, with its regions behind it.
fn contents(pack: &Pack, places: &BTreeMap<&str, Vec<&Rule>>, text: &mut String) {
    let mut regions = false;
    for place in places.keys() {
        let heading = heading(pack, place);
        let anchor = anchor(&heading);
        if place.contains('-') {
            let before = if regions { "," } else { ":" };
            let _ = write!(text, "{before} [{place}](#{anchor})");
            regions = true;
        } else {
            let _ = write!(text, "\n- [{heading}](#{anchor})");
            regions = false;
        }
    }
    text.push('\n');
}

fn row(rule: &Rule, text: &mut String) {
    let row = &rule.common;
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} | {}{} |",
        row.id,
        row.kind,
        if rule.decides() { "yes" } else { "no" },
        in_force(row.effective_from, row.effective_to),
        row.citation.replace('|', "\\|"),
        row.certainty.as_str(),
        if row.uncertain { ", uncertain" } else { "" },
    );
}

fn in_force(from: Option<Date>, to: Option<Date>) -> String {
    match (from, to) {
        (None, None) => String::new(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("until {to}"),
        (Some(from), Some(to)) => format!("{from} to {to}"),
    }
}

/// The code, and the name where the numbering tables have one.
fn heading(pack: &Pack, place: &str) -> String {
    if place == Pack::POLICY {
        return format!("{place} product policy");
    }
    if pack.is_group(place) {
        return format!("{place} group of countries");
    }
    match name(pack, place) {
        Some(name) => format!("{place} {name}"),
        None => place.to_owned(),
    }
}

fn name<'p>(pack: &'p Pack, place: &str) -> Option<&'p str> {
    let table = match place.split_once('-') {
        None => "numbering/country_zones.csv",
        Some(("US", _)) => "numbering/us_state_zones.csv",
        Some(_) => return None,
    };
    let mut lines = pack.files().text(table)?.lines();
    let rest = lines.find_map(|line| line.strip_prefix(place)?.strip_prefix(','))?;
    let end = |text: &'p str, mark: char| text.split(mark).next();
    match rest.strip_prefix('"') {
        Some(quoted) => end(quoted, '"'),
        None => end(rest, ','),
    }
}

/// How a page of Markdown names the place of a heading: small letters, hyphens for spaces, no other marks.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ => c.is_alphanumeric().then_some(c),
    });
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::pack;
    use super::*;

    #[test]
    fn each_jurisdiction_has_a_table_with_all_its_rules() {
        let text = rules_markdown(pack());
        let mut sections = 0;
        for section in text.split("\n## ").skip(2) {
            let (title, body) = section.split_once('\n').unwrap();
            let code = title.split(' ').next().unwrap();
            let rules = pack().rules().iter();
            let wanted: Vec<&str> = rules
                .filter(|rule| rule.common.jurisdiction == *code)
                .map(|rule| rule.common.id.as_str())
                .collect();
            let rows = body.lines().filter(|line| line.starts_with("| "));
            let found: Vec<&str> = (rows.skip(2))
                .map(|row| row.split(" | ").next().unwrap().trim_start_matches("| "))
                .collect();
            assert_eq!(found, wanted, "{title}");
            assert!(text.contains(&format!("(#{})", anchor(title))), "{title}");
            sections += 1;
        }
        let mut places: Vec<&str> = (pack().rules().iter())
            .map(|rule| rule.common.jurisdiction.as_str())
            .collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(sections, places.len());
        assert!(text.contains("\n## US-FL Florida\n"));
        assert!(text.contains("\n## FR France\n"));
    }
}
