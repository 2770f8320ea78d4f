//! Places as a case states them. A slip here would not deny: the rows of a country nobody meant are simply not asked, and
//! the number alone would go on deciding. So what is no code of a place is no case.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::facts::Case;
use super::pack::Pack;
use crate::domain::object::objects_only;
use crate::domain::party::Location;
use crate::place::{knows_region, zone_of_place};

objects_only!(read Stated);

/// A location whose codes have the form of codes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Stated {
    #[serde(default, deserialize_with = "read_country")]
    country: Option<String>,
    #[serde(default, deserialize_with = "read_region")]
    region: Option<String>,
    #[serde(default)]
    postal_code: Option<String>,
    #[serde(default, deserialize_with = "read_timezone")]
    timezone: Option<String>,
}

/// For `#[serde(deserialize_with)]`: where the person is.
pub(super) fn read_location<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Location>, D::Error> {
    let stated = Option::<Stated>::deserialize(deserializer)?;
    Ok(stated.map(|stated| Location {
        country: stated.country,
        region: stated.region,
        postal_code: stated.postal_code,
        timezone: stated.timezone,
    }))
}

/// For `#[serde(deserialize_with)]`: an ISO 3166-1 alpha-2 country, in letters of either case.
pub(super) fn read_country<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let wanted = "is not an ISO 3166-1 alpha-2 code such as `US`";
    read(deserializer, is_country, wanted)
}

fn read_region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let wanted = "is not an ISO 3166-2 code such as `US-FL`";
    read(deserializer, is_region, wanted)
}

fn read_timezone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let wanted = "is not the IANA time zone of a place, such as `America/New_York`";
    read(deserializer, |name| zone_of_place(name).is_some(), wanted)
}

fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_good: impl Fn(&str) -> bool,
    wanted: &str,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    match text {
        Some(text) if !is_good(&text) => Err(D::Error::custom(format!("`{text}` {wanted}"))),
        text => Ok(text),
    }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_region(text: &str) -> bool {
    text.split_once('-').is_some_and(|(country, part)| {
        let has_form = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_country(country) && (1..=3).contains(&part.len()) && has_form
    })
}

impl Case {
    /// What the case states of places and this pack does not know, field by field; nothing if it knows all. Whoever brings
    /// a case from outside asks before it is judged; what the gate has stored was asked when it came in.
    #[must_use]
    pub fn place_problems(&self, pack: &Pack) -> Vec<(String, String)> {
        let tables = pack.tables();
        let location = self.facts.location.as_ref();
        let mut problems = Vec::new();
        let countries = [
            ("call.controller_country", &self.call.controller_country),
            (
                "facts.location.country",
                location.map_or(&None, |at| &at.country),
            ),
        ];
        for (field, country) in countries {
            if let Some(country) = country
                && !tables.knows_country(&country.to_ascii_uppercase())
            {
                problems.push((field.to_owned(), format!(
                    "no table knows the country `{country}`; write an ISO 3166-1 alpha-2 code such as `US`"
                )));
            }
        }
        if let Some(region) = location.and_then(|at| at.region.as_ref())
            && !knows_region(tables, &region.to_ascii_uppercase())
        {
            problems.push((
                "facts.location.region".to_owned(),
                format!(
                    "no table knows the region `{region}`; write an ISO 3166-2 code such as `US-FL`"
                ),
            ));
        }
        // A region misspelt would match no row.
        let asked = [
            ("emergency_regions", &self.facts.emergency_regions),
            ("stopped_regions", &self.facts.stopped_regions),
        ];
        let named = asked.into_iter().flat_map(|(field, regions)| {
            let regions = regions.iter().enumerate();
            regions.map(move |(index, region)| (field, index, region))
        });
        for (field, index, region) in named {
            let known = pack.knows_jurisdiction(region)
                || pack.knows_jurisdiction(&region.to_ascii_uppercase());
            if !known {
                problems.push((format!("facts.{field}[{index}]"), format!(
                    "no law and no table knows the region `{region}`; write an ISO 3166-2 code such as `US-LA`"
                )));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pack;
    use super::*;

    fn case(controller: &str, location: &str) -> Result<Case, String> {
        let line = format!(
            r#"{{"id":"t","call":{{"at":"2026-05-19T15:00:00Z","to":"+14045550141","call_kind":"live_manual",
                "controller_country":{controller}}},"facts":{{"location":{location}}}}}"#
        );
        serde_json::from_str(&line).map_err(|error| error.to_string())
    }

    #[test]
    fn places_are_codes_of_places() {
        for (controller, location) in [
            ("null", "null"),
            (
                "\"DE\"",
                r#"{"country":"US","region":"US-FL","postal_code":"33101","timezone":"America/New_York"}"#,
            ),
            ("\"ie\"", r#"{"country":"us","region":"us-fl"}"#),
            ("\"FR\"", r#"{"region":"GB-SCT","timezone":null}"#),
            ("\"FR\"", r#"{"region":"FR-2A"}"#),
        ] {
            let case = case(controller, location).unwrap();
            assert_eq!(case.place_problems(pack()), [], "{location}");
        }
        for (controller, location, wrong) in [
            ("\"DEU\"", "null", "`DEU` is not an ISO 3166-1"),
            ("\"Germany\"", "null", "`Germany` is not an ISO 3166-1"),
            ("\"\"", "null", "`` is not an ISO 3166-1"),
            ("\"DE \"", "null", "`DE ` is not an ISO 3166-1"),
            ("4", "null", "invalid type"),
            ("null", r#"{"country":"USA"}"#, "`USA` is not"),
            ("null", r#"{"region":"Florida"}"#, "`Florida` is not"),
            ("null", r#"{"region":"US_FL"}"#, "`US_FL` is not"),
            ("null", r#"{"region":"US-FLOR"}"#, "`US-FLOR` is not"),
            ("null", r#"{"region":"US-"}"#, "`US-` is not"),
            ("null", r#"{"region":"FL"}"#, "`FL` is not"),
            ("null", r#"{"timezone":"Mars/Olympus"}"#, "of a place"),
            ("null", r#"{"timezone":"UTC"}"#, "of a place"),
            ("null", r#"{"timezone":""}"#, "of a place"),
            ("null", r#"{"zone":"UTC"}"#, "unknown field"),
        ] {
            let error = case(controller, location).unwrap_err();
            assert!(error.contains(wrong), "{error} should say {wrong}");
        }
    }

    #[test]
    fn codes_that_no_table_knows_are_told() {
        for (controller, location, field) in [
            ("\"XX\"", "null", "call.controller_country"),
            ("null", r#"{"country":"QQ"}"#, "facts.location.country"),
            ("null", r#"{"region":"US-XX"}"#, "facts.location.region"),
            ("null", r#"{"region":"us-flo"}"#, "facts.location.region"),
            ("null", r#"{"region":"ZZ-A"}"#, "facts.location.region"),
        ] {
            let case = case(controller, location).unwrap();
            let problems = case.place_problems(pack());
            let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!(fields, [field]);
        }
    }

    #[test]
    fn a_stop_names_a_place() {
        let mut case = case("null", "null").unwrap();
        let regions = [
            "US-LA",
            "us-la",
            "US",
            "EEA",
            "ZZ",
            "Louisiana",
            "US-LO",
            "QQ",
        ];
        case.facts.emergency_regions = regions.map(str::to_owned).to_vec();
        let problems = case.place_problems(pack());
        let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
        let wanted = [5, 6, 7].map(|index| format!("facts.emergency_regions[{index}]"));
        assert_eq!(fields, wanted);
        case.facts.stopped_regions = std::mem::take(&mut case.facts.emergency_regions);
        let problems = case.place_problems(pack());
        let fields: Vec<_> = problems.iter().map(|(field, _)| field.as_str()).collect();
        let wanted = [5, 6, 7].map(|index| format!("facts.stopped_regions[{index}]"));
        assert_eq!(fields, wanted);
    }
}
