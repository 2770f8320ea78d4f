//! `dialgate locate NUMBER`: where a called person may be and what time it is there, without asking a server.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::output::{Output, bare_table, pad, plain, width};
use crate::clock::Clock;
use crate::domain::party::{LineType, Location};
use crate::domain::time::Micros;
use crate::place::{Dialable, NotDialable, Place, Tables, dialable, locate, zone_data_version};

/// Show the countries, regions and clocks that count for a call.
#[derive(Debug, Args)]
#[command(after_help = "Example: dialgate locate +17015550145 --zip 58102")]
pub struct LocateArgs {
    /// Number to call, such as +14045550141.
    number: String,
    /// Country where the person is, two letters, such as US.
    #[arg(long, value_name = "CC")]
    country: Option<String>,
    /// State or province where the person is, such as US-FL.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// ZIP or postal code where the person is.
    #[arg(long, value_name = "CODE")]
    zip: Option<String>,
    /// Time zone that the person stated, such as America/Chicago.
    #[arg(long, value_name = "TZ")]
    timezone: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what is known of the place; ends with 1 when the number may never be dialed.
pub fn run(args: LocateArgs) -> anyhow::Result<ExitCode> {
    let tables = Tables::embedded()?;
    let now = Clock::Real.read().wall;
    let location = Location {
        country: args.country,
        region: args.region,
        postal_code: args.zip,
        timezone: args.timezone,
    };
    let output = Output::new(args.json);
    match dialable(&tables, &args.number) {
        Ok(number) => {
            let place = locate(&tables, &number, Some(&location));
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
