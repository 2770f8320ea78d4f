//! `dialgate locate`: where a called person may be and what time it is there, without asking a server. One number for
//! people; for programs a stream of questions, one JSON object a line.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lines::{self, LINE_BYTES_MAX, Line};

use super::output::{Output, bare_table, pad, plain, width};
use crate::clock::Clock;
use crate::domain::object::objects_only;
use crate::domain::party::{LineType, Location};
use crate::domain::time::Micros;
use crate::place::{Dialable, NotDialable, Place, dialable, locate, zone_data_version};
use crate::policy::{Pack, jurisdictions};

/// Show the countries, regions and clocks that count for a call.
///
/// Without a number, questions are read from standard input, one JSON object a line: `{"to", "location"?: {"country"?,
/// "region"?, "postal_code"?, "timezone"?}}`. Each gets one line, in the same order: `{"to", "zones", "jurisdictions",
/// "reason"?}`, where `reason` says why the number is never dialed. A line that is no question is answered with `{"line",
/// "error"}`, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate locate +17015550145 --zip 58102\n  \
                        echo '{\"to\":\"+17015550145\"}' | dialgate locate")]
pub struct LocateArgs {
    /// Number to call, such as +14045550141; questions on standard input when absent.
    number: Option<String>,
    /// Country where the person is, two letters, such as US.
    #[arg(long, value_name = "CC", requires = "number")]
    country: Option<String>,
    /// State or province where the person is, such as US-FL.
    #[arg(long, value_name = "REGION", requires = "number")]
    region: Option<String>,
    /// ZIP or postal code where the person is.
    #[arg(long, value_name = "CODE", requires = "number")]
    zip: Option<String>,
    /// Time zone that the person stated, such as America/Chicago.
    #[arg(long, value_name = "TZ", requires = "number")]
    timezone: Option<String>,
    /// Print one line of JSON.
    #[arg(long, requires = "number")]
    json: bool,
}

/// Prints what is known of the place; ends with 1 when the number may never be dialed.
pub fn run(args: LocateArgs) -> anyhow::Result<ExitCode> {
    let pack = Pack::embedded()?;
    let Some(number) = args.number else {
        let input = BufReader::with_capacity(1024 * 1024, io::stdin());
        let no_questions = stream(&pack, input, &mut BufWriter::new(io::stdout().lock()))?;
        return Ok(if no_questions == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    };
    let tables = pack.tables();
    let now = Clock::Real.read().wall;
    let location = Location {
        country: args.country,
        region: args.region,
        postal_code: args.zip,
        timezone: args.timezone,
    };
    let output = Output::new(args.json);
    match dialable(tables, &number) {
        Ok(number) => {
            let place = locate(tables, &number, Some(&location));
            output.answer(
                || Ok(found_object(&number, &place, now)),
                || found_table(&number, &place, now, usize::from(width())),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            output.answer(
                || Ok(refused_object(why)),
                || format!("never dialed: {why} ({})", why.code()),
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

objects_only!(read Question);

/// One line of the stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Question {
    to: String,
    #[serde(default)]
    location: Option<Location>,
}

/// Its answer.
#[derive(Serialize)]
struct Answer<'a> {
    to: &'a str,
    zones: Vec<&'a str>,
    jurisdictions: Vec<String>,
    /// What was stated and names no place.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Answers line by line; tells how many lines were no question.
fn stream(
    pack: &Pack,
    input: impl BufRead + Send,
    output: &mut impl Write,
) -> anyhow::Result<usize> {
    let mut no_questions = 0;
    let answer_line = |line: Line<'_>, out: &mut Vec<u8>| {
        let read = read_question(line);
        let written = match &read {
            Ok(question) => answer(pack, question, out),
            Err(error) => {
                let object = json!({ "line": line.number, "error": error });
                serde_json::to_writer(&mut *out, &object)
            }
        };
        // INVARIANT: plain data with text for keys always becomes JSON, and memory takes every write.
        debug_assert!(written.is_ok(), "{written:?}");
        out.push(b'\n');
        read.is_err()
    };
    lines::answer(input, output, answer_line, |failed| {
        no_questions += usize::from(failed);
    })?;
    Ok(no_questions)
}

fn read_question(line: Line<'_>) -> Result<Question, String> {
    if line.is_cut {
        return Err(format!(
            "longer than {LINE_BYTES_MAX} bytes, which no question is"
        ));
    }
    if line.bytes.trim_ascii().is_empty() {
        return Err("the line is empty: write {\"to\": \"+14045550141\"}".to_owned());
    }
    // What serde quotes may be a number; its place within the line is enough to find it.
    serde_json::from_slice(line.bytes).map_err(|error| {
        let column = error.column();
        format!(
            "not a question, see column {column}: write {{\"to\": NUMBER, \"location\": {{\"country\", \"region\", \
             \"postal_code\", \"timezone\"}}}}, where the location and each of its keys may be left out"
        )
    })
}

fn answer(pack: &Pack, question: &Question, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let to = question.to.as_str();
    let location = question.location.as_ref();
    match dialable(pack.tables(), to) {
        Ok(number) => {
            let place = locate(pack.tables(), &number, location);
            let answer = Answer {
                to,
                zones: place.zones.iter().map(|zone| zone.name.as_str()).collect(),
                jurisdictions: jurisdictions(pack, &number, location, &place),
                warnings: &place.warnings,
                reason: None,
            };
            serde_json::to_writer(out, &answer)
        }
        Err(why) => {
            let answer = Answer {
                to,
                zones: Vec::new(),
                jurisdictions: Vec::new(),
                warnings: &[],
                reason: Some(why.code()),
            };
            serde_json::to_writer(out, &answer)
        }
    }
}

fn found_object(number: &Dialable, place: &Place, now: Micros) -> Value {
    let zones: Vec<_> = place
        .zones
        .iter()
        .map(|zone| json!({ "zone": zone.name, "local_time": zone.local(now).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string() }))
        .collect();
    json!({
        "dialable": true,
        "country": place.country,
        "number_country": number.country,
        "line_type": number.line.unwrap_or(LineType::Unknown),
        "known_regions": place.known_regions,
        "number_regions": place.number_regions,
        "zones": zones,
        "evidence": place.evidence,
        "warnings": number.warnings.iter().chain(&place.warnings).collect::<Vec<_>>(),
        "zone_data": zone_data_version(),
    })
}

fn refused_object(why: NotDialable) -> Value {
    json!({ "dialable": false, "reason": why.code(), "message": why.to_string() })
}

fn found_table(number: &Dialable, place: &Place, now: Micros, width: usize) -> String {
    let listed = |items: &[String]| match items {
        [] => "-".to_owned(),
        items => items.join(", "),
    };
    let zones: Vec<String> = place
        .zones
        .iter()
        .map(|zone| format!("{}  {}", zone.local(now).strftime("%a %H:%M"), zone.name))
        .collect();
    let zones = match zones.as_slice() {
        [] => "none known: a call would be denied".to_owned(),
        zones => zones.join("\n"),
    };
    let mut table = bare_table(&[], width);
    let country = place.country.as_deref().unwrap_or("-");
    let line = number.line.unwrap_or(LineType::Unknown).as_str();
    table.add_row(["country", &plain(country)]);
    table.add_row(["line", line]);
    table.add_row(["known regions", &listed(&place.known_regions)]);
    table.add_row(["number's regions", &listed(&place.number_regions)]);
    table.add_row(["local time", &zones]);
    table.add_row(["evidence", &place.evidence.join("\n")]);
    if !number.warnings.is_empty() {
        table.add_row(["warnings", &number.warnings.join("\n")]);
    }
    table.add_row(["zone data", zone_data_version()]);
    pad(&mut table);
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Tables;

    #[test]
    fn programs_ask_line_by_line() {
        let questions = r#"{"to":"+17015550145"}
{"to":"+17015550145","location":{"postal_code":"58102"}}
{"to":"911"}
{"too":"+17015550145"}

{"to":"+12395550147","location":{"region":"US-GA"}}
["+17015550145",null]
{"to":"+17015550145","location":[]}"#;
        let mut output = Vec::new();
        let pack = Pack::embedded().unwrap();
        let failed = stream(&pack, questions.as_bytes(), &mut output).unwrap();
        assert_eq!(failed, 4);
        let output = String::from_utf8(output).unwrap();
        let lines: Vec<serde_json::Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            json!({"to": "+17015550145", "zones": ["America/Chicago", "America/Denver"], "jurisdictions": ["US", "US-ND"]})
        );
        assert_eq!(lines[1]["zones"], json!(["America/Chicago"]));
        assert_eq!(
            lines[2],
            json!({"to": "911", "zones": [], "jurisdictions": [], "reason": "EMERGENCY_OR_SHORT_NUMBER"})
        );
        for (at, line) in [(3, 4), (4, 5), (6, 7), (7, 8)] {
            assert_eq!(lines[at]["line"], line);
            let error = lines[at]["error"].as_str().unwrap();
            assert!(
                error.contains("to") && !error.contains("5550145"),
                "{error}"
            );
        }
        assert_eq!(lines[5]["jurisdictions"], json!(["US", "US-GA", "US-FL"]));
    }

    fn shown(number: &str, zip: Option<&str>) -> (String, serde_json::Value) {
        let tables = Tables::embedded().unwrap();
        let number = dialable(&tables, number).unwrap();
        let location = Location {
            postal_code: zip.map(str::to_owned),
            ..Location::default()
        };
        let place = locate(&tables, &number, Some(&location));
        let now = "2026-11-21T18:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .into();
        let object = found_object(&number, &place, now);
        (found_table(&number, &place, now, 110), object)
    }

    #[test]
    fn people_see_a_table_and_programs_a_line() {
        let (table, json) = shown("+17015550145", None);
        for part in [
            "US-ND",
            "Sat 12:00  America/Chicago",
            "Sat 11:00  America/Denver",
            "area_code=701",
            "2026e",
        ] {
            assert!(table.contains(part), "{part}\n{table}");
        }
        assert!(!table.contains("5550145"), "{table}");
        assert_eq!(json["zones"][0]["local_time"], "2026-11-21T12:00:00-06:00");
        assert_eq!(json["zones"].as_array().unwrap().len(), 2);
        let (_, json) = shown("+17015550145", Some("58102"));
        assert_eq!(json["zones"].as_array().unwrap().len(), 1);
        assert_eq!(json["known_regions"][0], "US-ND");
    }

    #[test]
    fn a_refusal_names_its_code() {
        let json = refused_object(NotDialable::EmergencyOrShortNumber);
        assert_eq!(json["dialable"], false);
        assert_eq!(json["reason"], "EMERGENCY_OR_SHORT_NUMBER");
    }
}
