//! One function a table: from rows of text to checked values.

use std::collections::{HashMap, HashSet};

use super::sheets::{Sheets, ZoneId, is_digits, is_iso2};
use super::tables::{Area, AreaCode, Rate, RateClass, ShortNumbers, ShortPattern};

/// Where numbers beginning with 116 are set aside for services of social value (Commission Decision 2007/116/EC), and the
/// neighbours who joined in.
const HARMONISED_116: [&str; 32] = [
    "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU",
    "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// What `country_zones.csv` says.
pub(super) struct Countries {
    pub(super) zones: HashMap<String, Vec<ZoneId>>,
    pub(super) by_calling_code: HashMap<u16, Vec<String>>,
    pub(super) calling_code_of: HashMap<String, u16>,
}

/// What `us_state_zones.csv` and `ca_region_zones.csv` say.
pub(super) struct Regions {
    pub(super) zones: HashMap<String, Vec<ZoneId>>,
    pub(super) postal_letters: HashMap<char, Area>,
}

pub(super) fn countries(sheets: &mut Sheets<'_>) -> Countries {
    let columns = [
        "iso2",
        "name",
        "calling_code",
        "leading_digits",
        "shared_code",
        "n_zones",
        "zones",
        "zones_all",
    ];
    let mut found = Countries {
        zones: HashMap::new(),
        by_calling_code: HashMap::new(),
        calling_code_of: HashMap::new(),
    };
    for (spot, [iso2, _, code, _, _, _, zones, zones_all]) in
        sheets.rows("country_zones.csv", columns)
    {
        sheets.expect(is_iso2(&iso2), spot, || {
            format!("`{iso2}` is not an ISO 3166-1 country, write two capital letters")
        });
        sheets.zone_list(spot, &zones_all);
        let zones = sheets.zone_list(spot, &zones);
        sheets.expect(!zones.is_empty(), spot, || {
            "a country needs a zone".to_owned()
        });
        // Antarctica and a few islands have no calling code of their own.
        if !code.is_empty()
            && let Some(code) = sheets.calling_code(spot, &code)
        {
            found.calling_code_of.insert(iso2.clone(), code);
            found
                .by_calling_code
                .entry(code)
                .or_default()
                .push(iso2.clone());
        }
        let twice = found.zones.insert(iso2.clone(), zones).is_some();
        sheets.expect(!twice, spot, || format!("`{iso2}` stands here twice"));
    }
    found
}

pub(super) fn area_codes(sheets: &mut Sheets<'_>) -> (HashMap<u16, AreaCode>, HashSet<u16>) {
    let columns = [
        "npa",
        "country",
        "regions",
        "zones",
        "edge_zones",
        "kind",
        "overlay_complex",
        "in_service_2026_01",
        "note",
    ];
    let mut found = HashMap::new();
    for (
        spot,
        [
            npa,
            country,
            regions,
            zones,
            edge_zones,
            kind,
            _,
            in_service,
            _,
        ],
    ) in sheets.rows("nanp_area_codes.csv", columns)
    {
        let code = group_of_three(&npa);
        sheets.expect(code.is_some(), spot, || {
            format!("`{npa}` is not an area code, write 3 digits")
        });
        let is_geographic = match kind.as_str() {
            "geographic" | "geographic_foreign" => true,
            "toll_free" | "premium" | "personal" | "carrier_service" | "government"
            | "ca_nongeo" | "n11" => false,
            _ => {
                sheets.problem(spot, format!("unknown kind `{kind}` of area code"));
                false
            }
        };
        // Foreign rows name their country once more where a region would stand.
        let regions = if regions == country {
            Vec::new()
        } else {
            sheets.region_list(spot, &regions)
        };
        let mut zones = sheets.zone_list(spot, &zones);
        sheets.expect(
            !is_geographic || (is_iso2(&country) && !zones.is_empty()),
            spot,
            || "a geographic area code needs a country and a zone".to_owned(),
        );
        zones.extend(sheets.zone_list(spot, &edge_zones));
        let row = AreaCode {
            country,
            regions,
            zones,
            is_geographic,
            is_in_service: in_service == "yes",
            like: code.unwrap_or_default(),
        };
        let twice = code.is_some_and(|code| found.insert(code, row).is_some());
        sheets.expect(!twice, spot, || format!("`{npa}` stands here twice"));
    }
    let closed = special_ranges(sheets, &found);
    join_alike(&mut found);
    (found, closed)
}

/// Lets the least of the area codes that tell the same stand for all of them.
fn join_alike(area_codes: &mut HashMap<u16, AreaCode>) {
    let mut numbers: Vec<u16> = area_codes.keys().copied().collect();
    numbers.sort_unstable();
    for npa in &numbers {
        let own = area_codes.get(npa);
        let same = |other: &&u16| {
            own.zip(area_codes.get(other))
                .is_some_and(|(a, b)| a.tells_as(b))
        };
        let like = numbers.iter().find(same).copied();
        if let Some((own, like)) = area_codes.get_mut(npa).zip(like) {
            own.like = like;
        }
    }
}

/// The exchanges to refuse. Rows on whole area codes say again what `nanp_area_codes.csv` says, and must agree with it.
fn special_ranges(sheets: &mut Sheets<'_>, area_codes: &HashMap<u16, AreaCode>) -> HashSet<u16> {
    let columns = ["calling_code", "codes", "meaning", "action", "confidence"];
    let mut exchanges = HashSet::new();
    for (spot, [_, codes, meaning, action, _]) in sheets.rows("nanp_special_ranges.csv", columns) {
        for code in codes.split_whitespace() {
            let Some(number) = group_of_three(code) else {
                sheets.problem(spot, format!("`{code}` is not a code, write 3 digits"));
                continue;
            };
            if meaning.starts_with("as EXCHANGE") {
                exchanges.insert(number);
                continue;
            }
            let refused = action == "refuse";
            let agrees = area_codes
                .get(&number)
                .is_some_and(|row| row.is_geographic != refused);
            sheets.expect(agrees, spot, || {
                format!("`{code}` is of another kind in `nanp_area_codes.csv`")
            });
        }
    }
    exchanges
}

pub(super) fn regions(sheets: &mut Sheets<'_>) -> Regions {
    let mut found = Regions {
        zones: HashMap::new(),
        postal_letters: HashMap::new(),
    };
    let columns = [
        "region",
        "name",
        "n_zones",
        "zones",
        "zones_all",
        "edge_zones",
        "note",
    ];
    let mut lawful: HashMap<String, Vec<ZoneId>> = HashMap::new();
    for (spot, [region, _, _, zones, zones_all, edge_zones, _]) in
        sheets.rows("us_state_zones.csv", columns)
    {
        sheets.region_list(spot, &region);
        sheets.zone_list(spot, &zones_all);
        let zones = sheets.zone_list(spot, &zones);
        sheets.expect(!zones.is_empty(), spot, || {
            "a region needs a zone".to_owned()
        });
        lawful.insert(region.clone(), zones.clone());
        let edge_zones = sheets.zone_list(spot, &edge_zones);
        let zones = [zones, edge_zones].concat();
        let twice = found.zones.insert(region, zones).is_some();
        sheets.expect(!twice, spot, || "this region stands here twice".to_owned());
    }
    for (spot, [key, kind, regions, zones]) in
        sheets.rows("ca_region_zones.csv", ["key", "kind", "regions", "zones"])
    {
        let regions = sheets.region_list(spot, &regions);
        let zones = sheets.zone_list(spot, &zones);
        sheets.expect(!zones.is_empty(), spot, || {
            "a region needs a zone".to_owned()
        });
        let mut letters = key.chars();
        match (kind.as_str(), letters.next(), letters.next()) {
            ("region", ..) => {
                found.zones.insert(key, zones);
            }
            ("postal_letter", Some(letter), None) => {
                found.postal_letters.insert(letter, Area { regions, zones });
            }
            _ => sheets.problem(spot, "expected a region or one postal letter"),
        }
    }
    county_exceptions(sheets, &lawful);
    found
}

/// Counties are not evidence that anybody records yet; their clocks prove that no state lacks one.
fn county_exceptions(sheets: &mut Sheets<'_>, states: &HashMap<String, Vec<ZoneId>>) {
    let columns = ["county_fips", "region", "county", "zones", "extent"];
    for (spot, [_, region, _, zones, _]) in sheets.rows("us_county_zone_exceptions.csv", columns) {
        let zones = sheets.zone_list(spot, &zones);
        let covered = states
            .get(&region)
            .is_some_and(|state| zones.iter().all(|zone| state.contains(zone)));
        sheets.expect(covered, spot, || {
            format!("`{region}` lacks this county's zone in `us_state_zones.csv`")
        });
    }
}

pub(super) fn zips(
    sheets: &mut Sheets<'_>,
    states: &HashMap<String, Vec<ZoneId>>,
    countries: &HashMap<String, Vec<ZoneId>>,
) -> HashMap<String, Area> {
    let mut found = HashMap::new();
    for (spot, [prefix, kind, regions, zones]) in
        sheets.rows("us_zip_zones.csv", ["prefix", "kind", "regions", "zones"])
    {
        let length = match kind.as_str() {
            "zip3" | "military" => 3,
            "zip5" => 5,
            _ => {
                sheets.problem(spot, format!("unknown kind `{kind}` of ZIP row"));
                continue;
            }
        };
        sheets.expect(is_digits(&prefix) && prefix.len() == length, spot, || {
            format!("`{prefix}` should be {length} digits")
        });
        // A soldier's post office says nothing of where the soldier is, so it resolves to nothing.
        if kind == "military" {
            continue;
        }
        let regions = sheets.region_list(spot, &regions);
        let zones = sheets.zone_list(spot, &zones);
        sheets.expect(!zones.is_empty() && !regions.is_empty(), spot, || {
            "a ZIP code needs a region and a zone".to_owned()
        });
        for region in &regions {
            // The freely associated states of the Pacific have US ZIP codes.
            let known = states.contains_key(region) || countries.contains_key(region);
            sheets.expect(known, spot, || {
                format!("`{region}` is not in `us_state_zones.csv`")
            });
        }
        let twice = found.insert(prefix, Area { regions, zones }).is_some();
        sheets.expect(!twice, spot, || {
            "this ZIP code stands here twice".to_owned()
        });
    }
    found
}

pub(super) fn placeless_codes(
    sheets: &mut Sheets<'_>,
    countries: &HashMap<u16, Vec<String>>,
) -> HashSet<u16> {
    let mut found = HashSet::new();
    for (spot, [code, _, _]) in sheets.rows(
        "non_country_codes.csv",
        ["calling_code", "meaning", "action"],
    ) {
        if let Some(code) = sheets.calling_code(spot, &code) {
            sheets.expect(!countries.contains_key(&code), spot, || {
                format!("`{code}` belongs to a country in `country_zones.csv`")
            });
            found.insert(code);
        }
    }
    found
}

pub(super) fn short_numbers(
    sheets: &mut Sheets<'_>,
    calling_code_of: &HashMap<String, u16>,
) -> ShortNumbers {
    let mut found = ShortNumbers::default();
    let columns = ["iso2", "calling_code", "emergency", "short_lengths"];
    for (spot, [_, code, emergency, lengths]) in sheets.rows("emergency_numbers.csv", columns) {
        let code = sheets.calling_code(spot, &code);
        let (emergency, lengths) = (
            sheets.digit_list(spot, &emergency),
            sheets.digit_list(spot, &lengths),
        );
        let Some(code) = code else { continue };
        for number in emergency {
            found.anywhere.insert(number.to_owned());
            found
                .by_calling_code
                .entry(code)
                .or_default()
                .insert(number.to_owned());
        }
        let lengths = lengths
            .into_iter()
            .filter_map(|text| text.parse::<usize>().ok());
        found.lengths.entry(code).or_default().extend(lengths);
    }
    for (spot, [scope, digits, _]) in
        sheets.rows("never_dial_short.csv", ["scope", "digits", "meaning"])
    {
        let well_formed = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'x');
        sheets.expect(well_formed && !digits.is_empty(), spot, || {
            format!("`{digits}` should be digits, with `x` for any digit")
        });
        let many = |calling_codes| ShortPattern {
            digits: digits.clone(),
            calling_codes,
        };
        match (scope.as_str(), calling_code_of.get(&scope)) {
            ("*", _) => found.patterns.push(many(None)),
            ("EU", _) => {
                let codes = HARMONISED_116
                    .iter()
                    .filter_map(|iso2| calling_code_of.get(*iso2));
                found.patterns.push(many(Some(codes.copied().collect())));
            }
            (_, Some(code)) => {
                found.anywhere.insert(digits.clone());
                found
                    .by_calling_code
                    .entry(*code)
                    .or_default()
                    .insert(digits);
            }
            (_, None) => sheets.problem(spot, format!("unknown scope `{scope}`")),
        }
    }
    found
}

pub(super) fn rates(sheets: &mut Sheets<'_>) -> HashMap<String, Rate> {
    let columns = [
        "iso2",
        "calling_code",
        "class",
        "prefixes",
        "mixed_prefixes",
        "lengths",
    ];
    let mut found: HashMap<String, Rate> = HashMap::new();
    for (spot, [_, code, class, prefixes, mixed_prefixes, _]) in
        sheets.rows("special_rate_prefixes.csv", columns)
    {
        let class = match class.as_str() {
            "premium" => Some(RateClass::Premium),
            "shared_cost" => Some(RateClass::SharedCost),
            "personal" => Some(RateClass::Personal),
            "pager" => Some(RateClass::Pager),
            "uan" => Some(RateClass::CompanyWide),
            "toll_free" => Some(RateClass::TollFree),
            _ => {
                sheets.problem(spot, format!("unknown class `{class}` of range"));
                None
            }
        };
        let code = sheets.calling_code(spot, &code);
        for (is_mixed, cell) in [(false, &prefixes), (true, &mixed_prefixes)] {
            let prefixes = sheets.digit_list(spot, cell);
            let (Some(code), Some(class)) = (code, class) else {
                continue;
            };
            for prefix in prefixes {
                let rate = Rate { is_mixed, class };
                // Countries that share a calling code may differ; the stricter reading stands.
                found
                    .entry(format!("{code}{prefix}"))
                    .and_modify(|known| *known = rate.min(*known))
                    .or_insert(rate);
            }
        }
    }
    found
}

/// For each zone so far the one that stands for it.
pub(super) fn representatives(sheets: &mut Sheets<'_>) -> Vec<ZoneId> {
    // The table compares clocks from November 2026 on; old calls are judged again too, and holiday data begins in 2024.
    let from = jiff::Timestamp::constant(1_704_067_200, 0);
    let to = jiff::Timestamp::constant(1_861_920_000, 0);
    let columns = ["country", "zone", "canonical", "tz_comment"];
    let mut pairs = Vec::new();
    for (spot, [_, zone, canonical, _]) in sheets.rows("zone_canonical.csv", columns) {
        if let (Some(zone), Some(canonical)) =
            (sheets.zone(spot, &zone), sheets.zone(spot, &canonical))
        {
            pairs.push((zone, canonical));
        }
    }
    let same = |one: ZoneId, other: ZoneId| match (sheets.zones.get(one), sheets.zones.get(other)) {
        (Some(one), Some(other)) => one.agrees_with(other, from, to),
        _ => false,
    };
    let mut found: Vec<ZoneId> = (0..sheets.zones.len()).collect();
    // The zones kept so far of each group of one canonical zone. What agrees with none of them stays apart, which is
    // never wrong.
    let mut kept: HashMap<ZoneId, Vec<ZoneId>> = HashMap::new();
    for (zone, canonical) in pairs {
        let group = kept.entry(canonical).or_insert_with(|| vec![canonical]);
        match group.iter().find(|member| same(zone, **member)) {
            Some(member) => {
                if let Some(slot) = found.get_mut(zone) {
                    *slot = *member;
                }
            }
            None => group.push(zone),
        }
    }
    found
}

fn group_of_three(text: &str) -> Option<u16> {
    (text.len() == 3 && is_digits(text)).then(|| text.parse().ok())?
}
