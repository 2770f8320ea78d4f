//! `dialgate locate NUMBER`: where a called person may be and what time it is there, without asking a server.

use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

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
    let (text, code) = match dialable(&tables, &args.number) {
        Ok(number) => {
            let place = locate(&tables, &number, Some(&location));
            let text = if args.json {
                found_json(&number, &place, now)
            } else {
                found_table(&number, &place, now)
            };
            (text, ExitCode::SUCCESS)
        }
        Err(why) if args.json => (refused_json(why), ExitCode::FAILURE),
        Err(why) => (
            format!("never dialed: {} ({why})", why.code()),
            ExitCode::FAILURE,
        ),
    };
    println!("{text}");
    Ok(code)
}

fn found_json(number: &Dialable, place: &Place, now: Micros) -> String {
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
        "warnings": number.warnings,
        "zone_data": zone_data_version(),
    })
    .to_string()
}

fn refused_json(why: NotDialable) -> String {
    json!({ "dialable": false, "reason": why.code(), "message": why.to_string() }).to_string()
}

fn found_table(number: &Dialable, place: &Place, now: Micros) -> String {
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
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_row(["country", place.country.as_deref().unwrap_or("-")]);
    table.add_row(["line", number.line.unwrap_or(LineType::Unknown).as_str()]);
    table.add_row(["known regions", &listed(&place.known_regions)]);
    table.add_row(["number's regions", &listed(&place.number_regions)]);
    table.add_row(["local time", &zones]);
    table.add_row(["evidence", &place.evidence.join("\n")]);
    if !number.warnings.is_empty() {
        table.add_row(["warnings", &number.warnings.join("\n")]);
    }
    table.add_row(["zone data", zone_data_version()]);
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
        let json = serde_json::from_str(&found_json(&number, &place, now)).unwrap();
        (found_table(&number, &place, now), json)
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
        let json: serde_json::Value =
            serde_json::from_str(&refused_json(NotDialable::EmergencyOrShortNumber)).unwrap();
        assert_eq!(json["dialable"], false);
        assert_eq!(json["reason"], "EMERGENCY_OR_SHORT_NUMBER");
    }
}
