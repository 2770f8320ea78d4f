//! Where the called person may be, read from the tables once more. Only the phone library's part, whether a number can be
//! dialed at all and which countries share its calling code, is taken from the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use dialgate::place::{Tables, dialable};
use serde_json::Value;

use super::book::Row;
use super::fact::Fact;

/// One line of a table, by the names of its columns.
pub type Line = BTreeMap<String, String>;

/// The lines of a table.
pub fn sheet(path: &Path) -> Vec<Line> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(path)
        .unwrap();
    reader.deserialize().map(|line| line.unwrap()).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A stretch of land: what it is part of, and its clocks.
#[derive(Clone, Default)]
struct Land {
    regions: Vec<String>,
    zones: Vec<String>,
}

/// The tables.
pub struct Places {
    area_codes: BTreeMap<String, (String, Land)>,
    states: BTreeMap<String, Vec<String>>,
    provinces: BTreeMap<String, Vec<String>>,
    zips: BTreeMap<String, Land>,
    letters: BTreeMap<String, Land>,
    countries: BTreeMap<String, Vec<String>>,
    /// What a region lies within, and the country that it is too.
    parts: BTreeMap<String, (String, String)>,
    people: Vec<String>,
}

/// What is known of a place.
pub struct Spot {
    /// A union: the stated one, those of the regions, and the number's. Better evidence takes a clock away, never a law.
    pub countries: BTreeSet<String>,
    pub known_regions: Vec<String>,
    pub number_regions: Vec<String>,
    pub zones: BTreeSet<String>,
}

impl Places {
    /// The tables that are shipped, read once.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Places> = LazyLock::new(|| {
            Places::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/numbering"))
        });
        &SHIPPED
    }

    fn read(folder: &Path) -> Self {
        let lines = |name: &str| sheet(&folder.join(name));
        let mut places = Self {
            area_codes: BTreeMap::new(),
            states: BTreeMap::new(),
            provinces: BTreeMap::new(),
            zips: BTreeMap::new(),
            letters: BTreeMap::new(),
            countries: BTreeMap::new(),
            parts: BTreeMap::new(),
            people: Vec::new(),
        };
        for line in lines("nanp_area_codes.csv") {
            let mut regions = words(&line["regions"]);
            regions.retain(|region| *region != line["country"]);
            let mut zones = words(&line["zones"]);
            zones.extend(words(&line["edge_zones"]));
            let land = Land { regions, zones };
            if line["kind"].starts_with("geographic") {
                places.people.push(line["npa"].clone());
            }
            places
                .area_codes
                .insert(line["npa"].clone(), (line["country"].clone(), land));
        }
        for line in lines("us_state_zones.csv") {
            let mut zones = words(&line["zones"]);
            zones.extend(words(&line["edge_zones"]));
            places.states.insert(line["region"].clone(), zones);
        }
        for line in lines("ca_region_zones.csv") {
            let land = Land {
                regions: words(&line["regions"]),
                zones: words(&line["zones"]),
            };
            if line["kind"] == "postal_letter" {
                places.letters.insert(line["key"].clone(), land);
            } else {
                places.provinces.insert(line["key"].clone(), land.zones);
            }
        }
        for line in lines("us_zip_zones.csv") {
            let land = Land {
                regions: words(&line["regions"]),
                zones: words(&line["zones"]),
            };
            if line["kind"] != "military" && !land.zones.is_empty() {
                places.zips.insert(line["prefix"].clone(), land);
            }
        }
        for line in lines("country_zones.csv") {
            places
                .countries
                .insert(line["iso2"].clone(), words(&line["zones"]));
        }
        for line in lines("regions.csv") {
            let says = (line["within"].clone(), line["territory"].clone());
            places.parts.insert(line["region"].clone(), says);
        }
        places
    }

    /// The region and every larger one that it is part of.
    pub fn larger(&self, region: &str) -> Vec<String> {
        let mut found = vec![region.to_owned()];
        while let Some((within, _)) = self.parts.get(&found[found.len() - 1])
            && !within.is_empty()
        {
            found.push(within.clone());
        }
        found
    }

    /// The regions that are this country too.
    pub fn regions_that_are(&self, country: &str) -> Vec<String> {
        let all = self.parts.iter().filter(|(_, (_, own))| own == country);
        all.map(|(region, _)| region.clone()).collect()
    }

    /// The country that the region, or a larger one around it, is too.
    pub fn territory(&self, region: &str) -> Option<String> {
        let mut all = self.larger(region).into_iter();
        all.find_map(|one| Some(self.parts.get(&one)?.1.clone()).filter(|own| !own.is_empty()))
    }

    /// The area codes that ring people in a place that rows name.
    pub fn people(&self, rows: &[Row]) -> Vec<String> {
        let named = |place: &String| rows.iter().any(|row| row.jurisdiction == *place);
        let mut found = self.people.clone();
        found.retain(|code| {
            let (country, land) = &self.area_codes[code];
            land.regions.iter().any(named) || (country != "US" && named(country))
        });
        found
    }

    /// The place of a call; what refuses the number otherwise.
    pub fn find(&self, tables: &Tables, case: &Value) -> Result<Spot, &'static str> {
        let to = case["call"]["to"].as_str().unwrap();
        let number = dialable(tables, to).map_err(|why| why.code())?;
        let location = &case["facts"]["location"];
        let stated_country = location.word("country");
        let issued = self.by_number(to, &number.candidates);
        let postal = self.by_postal_code(location, &number.country);
        let region = location
            .word("region")
            .and_then(|region| self.by_region(region));
        let mut known_regions = Vec::new();
        for land in [&postal, &region].into_iter().flatten() {
            for region in &land.regions {
                if !known_regions.contains(region) {
                    known_regions.push(region.clone());
                }
            }
        }
        // The person's own country tells which of those that share a calling code is meant; else any of them may be.
        let mut countries = BTreeSet::new();
        countries.extend(stated_country.map(str::to_owned));
        let mut shared = number.candidates.clone();
        shared.push(number.country.clone());
        if !stated_country.is_some_and(|stated| shared.iter().any(|one| one == stated)) {
            countries.extend(shared);
        }
        let regions = known_regions.iter().chain(&issued.regions);
        for region in regions {
            countries.insert(country_of(region));
            countries.extend(self.territory(region));
        }
        known_regions.retain(|region| region.contains('-'));
        let zones = match location.word("timezone").filter(|name| is_a_place(name)) {
            Some(name) => BTreeSet::from([name.to_owned()]),
            None => self.clocks(
                stated_country,
                postal,
                region,
                &issued,
                (&number.country, &number.candidates),
            ),
        };
        Ok(Spot {
            countries,
            known_regions,
            number_regions: issued.regions,
            zones,
        })
    }

    /// The clocks of the best evidence that resolves. What contradicts it adds its own.
    fn clocks(
        &self,
        stated_country: Option<&str>,
        postal: Option<Land>,
        region: Option<Land>,
        issued: &Land,
        number: (&str, &[String]),
    ) -> BTreeSet<String> {
        let mut clocks: Vec<String> = Vec::new();
        let within: Vec<String>;
        if let (Some(postal), Some(region)) = (&postal, &region)
            && !postal
                .regions
                .iter()
                .any(|one| region.regions.contains(one))
        {
            clocks.extend(postal.zones.iter().chain(&region.zones).cloned());
            within = [postal.regions.clone(), region.regions.clone()].concat();
        } else if let Some(best) = postal.or(region) {
            clocks.extend(best.zones);
            within = best.regions;
        } else {
            clocks.extend(issued.zones.iter().cloned());
            within = issued
                .regions
                .iter()
                .chain(number.1)
                .cloned()
                .chain([number.0.to_owned()])
                .collect();
        }
        if let Some(country) = stated_country
            && !within.iter().any(|place| self.lies_in(place, country))
        {
            clocks.extend(self.countries.get(country).into_iter().flatten().cloned());
        }
        clocks.into_iter().collect()
    }

    fn by_number(&self, to: &str, candidates: &[String]) -> Land {
        if let Some(national) = to.strip_prefix("+1") {
            return self.area_codes[&national[..3]].1.clone();
        }
        let zones = candidates
            .iter()
            .flat_map(|country| self.countries.get(country).into_iter().flatten());
        Land {
            regions: Vec::new(),
            zones: zones.cloned().collect(),
        }
    }

    fn by_postal_code(&self, location: &Value, number_country: &str) -> Option<Land> {
        let code: String = location
            .word("postal_code")?
            .chars()
            .filter(|c| !" -".contains(*c))
            .collect();
        let country = location
            .word("country")
            .map(str::to_owned)
            .or_else(|| location.word("region").map(country_of))
            .unwrap_or_else(|| number_country.to_owned());
        let american = ["US", "PR", "VI", "GU", "MP", "AS", "UM"].contains(&country.as_str());
        let unknown = location.word("country").is_none() && location.word("region").is_none();
        let digits = code.chars().all(|c| c.is_ascii_digit());
        if digits && (code.len() == 5 || code.len() == 9) {
            let may_be = american || (unknown && number_country == "CA");
            if !may_be {
                return None;
            }
            let five = self.zips.get(&code[..5]);
            return five.or_else(|| self.zips.get(&code[..3])).cloned();
        }
        if !digits && (country == "CA" || (unknown && american)) {
            return self.letters.get(&code[..1]).cloned();
        }
        None
    }

    fn by_region(&self, region: &str) -> Option<Land> {
        let zones = match country_of(region).as_str() {
            "US" if self.states.contains_key(region) => &self.states[region],
            "CA" => self.provinces.get(region)?,
            country => {
                self.parts.get(region)?;
                let own = self.territory(region);
                self.countries.get(own.as_deref().unwrap_or(country))?
            }
        };
        Some(Land {
            regions: vec![region.to_owned()],
            zones: zones.clone(),
        })
    }

    /// A region in a country, or a country in itself; Puerto Rico is both, but Delaware is not Germany.
    fn lies_in(&self, place: &str, country: &str) -> bool {
        country_of(place) == country || self.territory(place).as_deref() == Some(country)
    }
}

fn country_of(region: &str) -> String {
    region.split('-').next().unwrap().to_owned()
}

/// A clock on a wall: not the name of an offset, and known to the zone database.
fn is_a_place(name: &str) -> bool {
    name.contains('/') && !name.starts_with("Etc/") && jiff::tz::TimeZone::get(name).is_ok()
}
