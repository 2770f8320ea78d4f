//! From evidence to sets: the zones of the best evidence that resolves, and the regions of all of it.
//!
//! Best first: a time zone that the person stated, the postal code, the region, the number. What is lower never narrows
//! what is higher: a Miami number does not prove that a Floridian lives on Eastern time. Laws are a union: a ZIP code takes
//! a clock away but not the law of the state whose area code is called. Where two pieces contradict each other, the clocks
//! are a union too.

use super::floor::NANP;
use super::sheets::{ZoneId, is_digits, is_iso2};
use super::tables::{Area, AreaCode};
use super::{Dialable, Tables, Zone};
use crate::domain::party::Location;

/// Names in the zone database that are no place. A stated one is a machine's default, not a person's clock.
const PLACELESS_ZONES: [&str; 21] = [
    "CET",
    "CST6CDT",
    "EET",
    "EST",
    "EST5EDT",
    "Factory",
    "GMT",
    "GMT+0",
    "GMT-0",
    "GMT0",
    "Greenwich",
    "HST",
    "MET",
    "MST",
    "MST7MDT",
    "PST8PDT",
    "UCT",
    "UTC",
    "Universal",
    "WET",
    "Zulu",
];

/// Where the person may be, as sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 country that is called.
    pub country: Option<String>,
    /// ISO 3166-2 regions known from the person's own location.
    pub known_regions: Vec<String>,
    /// Countries known in the same way: a ZIP code of Palau has one for its region.
    pub known_countries: Vec<String>,
    /// ISO 3166-2 regions of the number's area code.
    pub number_regions: Vec<String>,
    /// Every clock that may hang on the person's wall; empty when nothing resolved.
    pub zones: Vec<Zone>,
    /// Which rows of which tables said so.
    pub evidence: Vec<String>,
    /// What was stated and names no place: `TIMEZONE_UNRESOLVED`, `REGION_UNRESOLVED`, `COUNTRY_UNRESOLVED`.
    pub warnings: Vec<String>,
}

/// What one piece of evidence resolves to.
#[derive(Debug, Default)]
struct Found {
    regions: Vec<String>,
    zones: Vec<ZoneId>,
}

/// Turns what is known of a person into sets of places and clocks.
#[must_use]
pub fn locate(tables: &Tables, number: &Dialable, location: Option<&Location>) -> Place {
    let stated = Stated::of(location);
    let mut evidence = Vec::new();
    let timezone = stated_zone(stated.timezone, &mut evidence);
    let postal = by_postal_code(tables, &stated, number, &mut evidence);
    let region = by_region(tables, stated.region.as_deref(), &mut evidence);
    let issued = by_number(tables, number, &mut evidence);
    let unresolved = [
        (stated.timezone.is_some() && timezone.is_none()).then_some("TIMEZONE_UNRESOLVED"),
        (stated.region.is_some() && region.is_none()).then_some("REGION_UNRESOLVED"),
        (stated.country.as_deref())
            .is_some_and(|country| !tables.knows_country(country))
            .then_some("COUNTRY_UNRESOLVED"),
    ];
    let warnings = unresolved
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();

    let mut known_regions: Vec<String> = Vec::new();
    for found in [&postal, &region].into_iter().flatten() {
        add_new(&mut known_regions, &found.regions);
    }
    let country = called_country(tables, &stated, known_regions.first(), number);
    let (known_regions, known_countries) =
        (known_regions.into_iter()).partition(|region: &String| region.contains('-'));
    let zones = match timezone {
        Some(zone) => vec![zone],
        None => {
            let ids = candidate_zones(
                tables,
                &stated,
                postal,
                region,
                &issued,
                number,
                &mut evidence,
            );
            tables.collapse(ids)
        }
    };
    Place {
        country,
        known_regions,
        known_countries,
        number_regions: issued.regions,
        zones,
        evidence,
        warnings,
    }
}

/// The zone of this IANA name, if it is the clock of a place; `UTC` and `EST` are nobody's wall.
#[must_use]
pub fn zone_of_place(name: &str) -> Option<Zone> {
    Zone::parse(name).filter(|zone| {
        !zone.name.starts_with("Etc/") && !PLACELESS_ZONES.contains(&zone.name.as_str())
    })
}

/// Tells whether the tables know where this ISO 3166-2 region is.
#[must_use]
pub fn knows_region(tables: &Tables, region: &str) -> bool {
    by_region(tables, Some(region), &mut Vec::new()).is_some()
}

/// The location as the tables spell it.
#[derive(Default)]
struct Stated<'l> {
    timezone: Option<&'l str>,
    postal_code: Option<String>,
    region: Option<String>,
    country: Option<String>,
}

impl<'l> Stated<'l> {
    fn of(location: Option<&'l Location>) -> Self {
        let Some(location) = location else {
            return Self::default();
        };
        let upper = |text: &Option<String>| {
            let text = text
                .as_deref()
                .unwrap_or_default()
                .trim()
                .to_ascii_uppercase();
            (!text.is_empty()).then_some(text)
        };
        Self {
            timezone: location
                .timezone
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty()),
            postal_code: upper(&location.postal_code),
            region: upper(&location.region),
            country: upper(&location.country),
        }
    }
}

fn stated_zone(name: Option<&str>, evidence: &mut Vec<String>) -> Option<Zone> {
    let zone = zone_of_place(name?);
    evidence.push(match &zone {
        Some(zone) => format!("timezone={} stated", zone.name),
        None => "timezone unresolved: not a place of the zone database".to_owned(),
    });
    zone
}

fn by_postal_code(
    tables: &Tables,
    stated: &Stated<'_>,
    number: &Dialable,
    evidence: &mut Vec<String>,
) -> Option<Found> {
    let code = stated.postal_code.as_deref()?;
    // The country is the stated one, or that of the stated region; failing both, the code's own shape tells the two
    // countries of the plan apart.
    let country = stated
        .country
        .clone()
        .or_else(|| stated.region.as_deref().and_then(country_of));
    let may_be = |iso2: &str| match country.as_deref() {
        Some(country) => is_of(tables, country, iso2),
        None => is_of(tables, &number.country, "US") || number.country == "CA",
    };
    let compact: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let hit = if is_digits(&compact) && matches!(compact.len(), 5 | 9) && may_be("US") {
        // Five digits, then three; a row for three is the union of all codes that begin with them.
        [5, 3].into_iter().find_map(|length| {
            let (prefix, area) = tables.zips.get_key_value(compact.get(..length)?)?;
            Some((prefix.clone(), "us_zip_zones", area))
        })
    } else if is_canadian(&compact) && may_be("CA") {
        let letter = compact.chars().next()?;
        let area = tables.postal_letters.get(&letter);
        area.map(|area| (letter.to_string(), "ca_region_zones", area))
    } else {
        None
    };
    let Some((row, table, Area { regions, zones })) = hit else {
        evidence.push("postal_code unresolved: military, malformed or in no table".to_owned());
        return None;
    };
    evidence.push(format!("postal_code={compact} row={row} table={table}"));
    Some(Found {
        regions: regions.clone(),
        zones: zones.clone(),
    })
}

/// `A1A 1A1`, or its first half.
fn is_canadian(code: &str) -> bool {
    let shape = code.bytes().enumerate().all(|(at, byte)| match at % 2 {
        0 => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_digit(),
    });
    shape && matches!(code.len(), 3 | 6)
}

fn by_region(tables: &Tables, region: Option<&str>, evidence: &mut Vec<String>) -> Option<Found> {
    let region = region?;
    let country = country_of(region).unwrap_or_default();
    let (table, zones) = match country.as_str() {
        "US" if tables.regions.contains_key(region) => {
            ("us_state_zones", tables.regions.get(region))
        }
        "CA" => ("ca_region_zones", tables.regions.get(region)),
        // Elsewhere no table knows the clocks of regions: one that is a country of ISO 3166-1 too has that one's, any other
        // may have each clock of its country.
        _ if tables.is_subdivision(region) => {
            let country = tables.territory(region).unwrap_or(&country);
            ("country_zones", tables.countries.get(country))
        }
        _ => ("regions", None),
    };
    let Some(zones) = zones else {
        evidence.push("region unresolved: not an ISO 3166-2 region of any table".to_owned());
        return None;
    };
    evidence.push(format!("region={region} table={table}"));
    Some(Found {
        regions: vec![region.to_owned()],
        zones: zones.clone(),
    })
}

fn by_number(tables: &Tables, number: &Dialable, evidence: &mut Vec<String>) -> Found {
    if let Some((npa, area_code)) = area_code(tables, number) {
        evidence.push(format!("area_code={npa} table=nanp_area_codes"));
        return Found {
            regions: area_code.regions.clone(),
            zones: area_code.zones.clone(),
        };
    }
    let mut found = Found::default();
    for country in &number.candidates {
        evidence.push(format!("number_country={country} table=country_zones"));
        found
            .zones
            .extend(tables.countries.get(country).into_iter().flatten());
    }
    found
}

pub(super) fn area_code<'t>(tables: &'t Tables, number: &Dialable) -> Option<(u16, &'t AreaCode)> {
    let digits = number.phone.digits();
    let (code, national) = tables.split_calling_code(&digits)?;
    let npa = national.get(..3)?.parse().ok().filter(|_| code == NANP)?;
    Some((npa, tables.area_codes.get(&npa)?))
}

/// The zones of the best evidence, widened where something known contradicts it.
fn candidate_zones(
    tables: &Tables,
    stated: &Stated<'_>,
    postal: Option<Found>,
    region: Option<Found>,
    issued: &Found,
    number: &Dialable,
    evidence: &mut Vec<String>,
) -> Vec<ZoneId> {
    let own_country = stated.country.as_deref();
    let elsewhere = |regions: &[String]| {
        own_country
            .is_some_and(|country| !regions.iter().any(|region| is_in(tables, region, country)))
    };
    let (mut zones, contradicted) = match (postal, region) {
        (Some(mut postal), Some(region)) if !overlap(&postal, &region) => {
            evidence.push("region contradicts postal_code: both count".to_owned());
            postal.zones.extend(region.zones);
            postal.regions.extend(region.regions);
            (postal.zones, elsewhere(&postal.regions))
        }
        (Some(found), _) | (None, Some(found)) => (found.zones, elsewhere(&found.regions)),
        (None, None) => {
            let elsewhere = own_country.is_some_and(|country| {
                !number
                    .candidates
                    .iter()
                    .any(|candidate| candidate == country)
                    && !issued
                        .regions
                        .iter()
                        .any(|region| is_in(tables, region, country))
            });
            (issued.zones.clone(), elsewhere)
        }
    };
    if let Some(country) = own_country.filter(|_| contradicted) {
        match tables.countries.get(country) {
            Some(own) => {
                evidence.push(format!(
                    "country={country} contradicts: its zones count too, table=country_zones"
                ));
                zones.extend(own);
            }
            None => evidence.push("country unresolved: not an ISO 3166-1 country".to_owned()),
        }
    }
    zones
}

fn overlap(one: &Found, other: &Found) -> bool {
    one.regions
        .iter()
        .any(|region| other.regions.contains(region))
}

/// Tells whether the region lies in the country; one that is a country too lies in both.
fn is_in(tables: &Tables, region: &str, country: &str) -> bool {
    let of = region.split_once('-').map_or(region, |(of, _)| of);
    of == country || tables.territory(region) == Some(country)
}

/// Tells whether the country is this one, or a region of it. Delaware is no part of Germany.
fn is_of(tables: &Tables, country: &str, iso2: &str) -> bool {
    country == iso2 || tables.territory(&format!("{iso2}-{country}")) == Some(country)
}

/// The country that the best evidence names. Who states France and its region Réunion is in `RE`, which has a clock and
/// perhaps a law of its own.
fn called_country(
    tables: &Tables,
    stated: &Stated<'_>,
    known: Option<&String>,
    number: &Dialable,
) -> Option<String> {
    let of_region = known.and_then(|region| {
        let territory = tables.territory(region).map(str::to_owned);
        territory.or_else(|| country_of(region))
    });
    let narrows = |country: &str| known.is_some_and(|region| is_in(tables, region, country));
    match (&stated.country, of_region) {
        (Some(country), Some(narrower)) if narrows(country) => Some(narrower),
        (Some(country), _) => Some(country.clone()),
        (None, Some(country)) => Some(country),
        (None, None) => Some(number.country.clone()),
    }
}

/// The country of an ISO 3166-2 region; a country stands for itself.
fn country_of(region: &str) -> Option<String> {
    let (country, part) = region.split_once('-').unwrap_or((region, "-"));
    let well_formed =
        part == "-" || (part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    (is_iso2(country) && well_formed && !part.is_empty()).then(|| country.to_owned())
}

fn add_new(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::tables;
    use super::super::{dialable, zone};
    use super::*;

    /// A location written `country region postal_code timezone`, `-` for what is not known.
    fn location(text: &str) -> Location {
        let mut parts = text
            .split_whitespace()
            .map(|part| (part != "-").then(|| part.to_owned()));
        let mut next = || parts.next().flatten();
        Location {
            country: next(),
            region: next(),
            postal_code: next(),
            timezone: next(),
        }
    }

    fn place(number: &str, known: &str) -> Place {
        let number = dialable(tables(), number).unwrap();
        locate(tables(), &number, Some(&location(known)))
    }

    /// Zones without their continent, sorted; known regions; number's regions.
    fn check(number: &str, known: &str, zones: &str, regions: &str, number_regions: &str) {
        let place = place(number, known);
        let mut names: Vec<_> = place
            .zones
            .iter()
            .map(|zone| zone.name.rsplit('/').next().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(
            names.join(" "),
            zones,
            "{number} {known}: {:?}",
            place.evidence
        );
        assert_eq!(place.known_regions.join(" "), regions, "{number} {known}");
        assert_eq!(
            place.number_regions.join(" "),
            number_regions,
            "{number} {known}"
        );
        assert!(!place.evidence.is_empty());
    }

    #[test]
    fn area_codes_of_several_zones() {
        for (npa, zones, region) in [
            (270, "Chicago New_York", "US-KY"),
            (364, "Chicago New_York", "US-KY"),
            (701, "Chicago Denver", "US-ND"),
            (850, "Chicago New_York", "US-FL"),
            (448, "Chicago New_York", "US-FL"),
            (219, "Chicago New_York", "US-IN"),
            (812, "Chicago New_York", "US-IN"),
            (930, "Chicago New_York", "US-IN"),
            (208, "Denver Los_Angeles", "US-ID"),
            (986, "Denver Los_Angeles", "US-ID"),
            (775, "Denver Los_Angeles", "US-NV"),
            (928, "Denver Phoenix", "US-AZ"),
            (404, "New_York", "US-GA"),
            (602, "Phoenix", "US-AZ"),
            (787, "Puerto_Rico", "US-PR"),
            (604, "Vancouver", "CA-BC"),
            (807, "Atikokan Toronto Winnipeg", "CA-ON"),
            // Informal practice counts: Phenix City, Kenton, Hyder.
            (334, "Chicago New_York", "US-AL"),
            (483, "Chicago New_York", "US-AL"),
            (580, "Chicago Denver", "US-OK"),
            (907, "Adak Anchorage Vancouver", "US-AK"),
            (242, "Nassau", ""),
        ] {
            check(&format!("+1{npa}5550144"), "", zones, "", region);
        }
    }

    /// Area codes of one overlay serve the same land, so none has fewer zones than its partners, informal practice included.
    /// (604 alone has partners that reach farther than itself.)
    #[test]
    fn overlays_share_their_zones() {
        let rows = super::super::tables::tests::cells::<9>("nanp_area_codes.csv");
        let mut seen = 0;
        for row in rows.iter().filter(|row| !row[6].is_empty()) {
            let [npa, _, _, zones, edge_zones, _, overlay, _, _] = row;
            for [partner, _, _, other, other_edge, _, theirs, _, _] in &rows {
                if overlay == theirs && npa != partner {
                    assert_eq!((zones, edge_zones), (other, other_edge), "{npa} {partner}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 300, "{seen}");
    }

    #[test]
    fn the_best_evidence_that_resolves_gives_the_clocks() {
        // ZIP beats number; the number's state keeps its law.
        check("+17015550145", "US - 58102", "Chicago", "US-ND", "US-ND");
        check("+13055550145", "US - 58102", "Chicago", "US-ND", "US-FL");
        check(
            "+13055550145",
            "- - 58102-1234",
            "Chicago",
            "US-ND",
            "US-FL",
        );
        check("+442079460301", "US - 58102", "Chicago", "US-ND", "");
        // Nothing narrows a ZIP of two zones but a zone that a human set.
        check(
            "+13345550145",
            "US US-AL 36867",
            "Chicago New_York",
            "US-AL",
            "US-AL",
        );
        check(
            "+13345550145",
            "US US-AL 36867 America/Chicago",
            "Chicago",
            "US-AL",
            "US-AL",
        );
        check(
            "+13345550145",
            "- - - America/Denver",
            "Denver",
            "",
            "US-AL",
        );
        // Every zone of the region: a Miami number does not prove Eastern time.
        check(
            "+13055550145",
            "US US-FL",
            "Chicago New_York",
            "US-FL",
            "US-FL",
        );
        check("+14045550145", "- - 96940", "Palau", "", "US-GA");
        check("+14045550145", "US us-ga", "New_York", "US-GA", "US-GA");
        check(
            "+14045550145",
            "CA CA-SK",
            "Edmonton Regina Winnipeg",
            "CA-SK",
            "US-GA",
        );
        check(
            "+14045550145",
            "- CA-BC",
            "Creston Edmonton Vancouver",
            "CA-BC",
            "US-GA",
        );
        check("+493023125201", "DE DE-BY", "Berlin", "DE-BY", "");
        // Postal codes of Canada, whole and half.
        check("+14165550145", "CA - K1A0B1", "Toronto", "CA-ON", "CA-ON");
        check(
            "+14165550145",
            "CA - S0P",
            "Edmonton Regina Winnipeg",
            "CA-SK",
            "CA-ON",
        );
        check(
            "+12125550145",
            "- - V6B-1A1",
            "Creston Edmonton Vancouver",
            "CA-BC",
            "US-NY",
        );
    }

    #[test]
    fn what_does_not_resolve_is_passed_over() {
        // Military, in no row, malformed, of another country, not a zone, no place.
        for known in [
            "US - 09012",
            "US - 34012",
            "US - 00000",
            "US - 5810",
            "US - 581020",
            "US - 5810A",
            "CA - 58102",
            "US - D1A1A1",
            "- - - Mars/Olympus",
            "- - - UTC",
            "- - - Etc/GMT+5",
            "- - - EST",
            "- US-ZZ",
            "- Bavaria",
            "- DE-TOOLONG",
            "- DE-",
            "- ZZ-AB",
            "- ES-ZZZ",
        ] {
            let place = place("+14045550145", known);
            let has = |name: &str| place.zones.iter().any(|zone| zone.name == name);
            assert!(has("America/New_York"), "{known}");
            assert!(place.known_regions.is_empty(), "{known}");
        }
        let both = place("+14045550145", "US - 09012 UTC");
        assert_eq!(both.evidence.len(), 3, "{:?}", both.evidence);
        for (known, warnings) in [
            ("US US-GA 30303 America/New_York", &[][..]),
            ("- - - Mars/Olympus", &["TIMEZONE_UNRESOLVED"]),
            ("- US-ZZ", &["REGION_UNRESOLVED"]),
            ("ES ES-ZZZ", &["REGION_UNRESOLVED"]),
            ("QQ", &["COUNTRY_UNRESOLVED"]),
            (
                "- US-ZZ - UTC",
                &["TIMEZONE_UNRESOLVED", "REGION_UNRESOLVED"],
            ),
        ] {
            assert_eq!(place("+14045550145", known).warnings, warnings, "{known}");
        }
    }

    #[test]
    fn contradictions_widen() {
        // ZIP of Fargo, said to live in Florida: both places count.
        check(
            "+17015550145",
            "US US-FL 58102",
            "Chicago New_York",
            "US-ND US-FL",
            "US-ND",
        );
        // Only a country known, and not the number's.
        check("+12125550145", "GB", "London New_York", "", "US-NY");
        check("+17875550145", "US", "Puerto_Rico", "", "US-PR");
        check("+17875550145", "PR", "Puerto_Rico", "", "US-PR");
        // Three places: more contradiction never narrows.
        check(
            "+14045550145",
            "GU US-FL 58102",
            "Chicago Guam New_York",
            "US-ND US-FL",
            "US-GA",
        );
        // A ZIP code of Palau, written as the United States do: both laws.
        let palau = place("+14045550145", "US - 96940");
        assert_eq!(palau.known_countries, ["PW"]);
        assert_eq!(palau.country.as_deref(), Some("US"));
        assert_eq!(place("+14045550145", "UM US-UM").warnings, [""; 0]);
        // A region of France that is a country of ISO 3166-1 too: its clock and not that of Paris, under each of its names.
        for known in ["FR FR-974", "- FR-974", "FR FR-RE", "RE", "RE FR-974"] {
            let place = place("+33612345678", known);
            assert_eq!(place.country.as_deref(), Some("RE"), "{known}");
            let paris = place.zones.iter().any(|zone| zone.name == "Europe/Paris");
            assert_eq!(
                paris,
                known == "RE",
                "{known}: the number contradicts a bare country only"
            );
        }
        check("+31612345678", "NL NL-AW", "Aruba", "NL-AW", "");
        check(
            "+12125550145",
            "DE US-NY",
            "Berlin New_York",
            "US-NY",
            "US-NY",
        );
        // Delaware is no part of Germany, nor California of Canada.
        check(
            "+13025550145",
            "DE US-DE",
            "Berlin New_York",
            "US-DE",
            "US-DE",
        );
        check("+13025550145", "US US-DE", "New_York", "US-DE", "US-DE");
        check(
            "+14155550145",
            "US - 94103",
            "Los_Angeles",
            "US-CA",
            "US-CA",
        );
    }

    #[test]
    fn the_called_country() {
        for (number, known, country) in [
            ("+14045550145", "", "US"),
            ("+14045550145", "- CA-BC", "CA"),
            ("+14045550145", "- - V6B1A1", "CA"),
            ("+14045550145", "fr", "FR"),
            ("+14045550145", "- - 96940", "PW"),
            ("+14045550145", "- - - Europe/Paris", "US"),
            ("+17875550145", "", "PR"),
            ("+447400123456", "", "GB"),
            ("+12425550145", "", "BS"),
        ] {
            assert_eq!(
                place(number, known).country.as_deref(),
                Some(country),
                "{number} {known}"
            );
        }
    }

    /// The metadata cannot tell which of the countries of +61 an unknown number is in: the clocks of all count.
    #[test]
    fn an_unknown_number_of_a_shared_code_has_the_clocks_of_all() {
        let number = dialable(tables(), "+61512345678").unwrap();
        assert!(number.candidates.len() > 1, "{number:?}");
        let place = locate(tables(), &number, None);
        for zone in [
            "Australia/Sydney",
            "Australia/Perth",
            "Indian/Christmas",
            "Indian/Cocos",
        ] {
            assert!(place.zones.iter().any(|known| known.name == zone), "{zone}");
        }
    }

    #[test]
    fn evidence_names_rows_and_tables() {
        let place = place("+17015550145", "US - 58102");
        assert_eq!(
            place.evidence,
            [
                "postal_code=58102 row=581 table=us_zip_zones",
                "area_code=701 table=nanp_area_codes"
            ]
        );
        assert_eq!(zone::zone_data_version(), "2026e");
    }
}
