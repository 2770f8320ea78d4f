//! The regions of the world as ISO 3166-2 names them: which exist, which lie within which, and which of them ISO 3166-1
//! names too, with clocks and perhaps a law of their own (`FR-974` is `RE`, `US-PR` is `PR`).

use std::collections::HashMap;

use super::Tables;
use super::sheets::{Sheets, is_iso2};

/// What `regions.csv` says of one region.
#[derive(Debug)]
pub(super) struct Region {
    /// The larger region that it is part of.
    within: Option<String>,
    /// The ISO 3166-1 country that it is too.
    territory: Option<String>,
}

/// Deepest nesting that anybody writes; a table that goes deeper runs in a ring.
const DEPTH_MAX: usize = 8;

/// Every region, checked.
pub(super) fn read(
    sheets: &mut Sheets<'_>,
    has_clocks: impl Fn(&str) -> bool,
) -> HashMap<String, Region> {
    let mut found = HashMap::new();
    let mut spots = Vec::new();
    for (spot, [region, within, territory]) in
        sheets.rows("regions.csv", ["region", "within", "territory"])
    {
        let of = region.split_once('-').map_or("", |(country, _)| country);
        sheets.expect(is_iso2(of) && has_clocks(of), spot, || {
            format!("`{region}` is no region of a country of `country_zones.csv`")
        });
        sheets.expect(territory.is_empty() || has_clocks(&territory), spot, || {
            format!("`{territory}` is no country of `country_zones.csv`")
        });
        let given = |text: String| (!text.is_empty()).then_some(text);
        let row = Region {
            within: given(within),
            territory: given(territory),
        };
        let twice = found.insert(region.clone(), row).is_some();
        sheets.expect(!twice, spot, || format!("`{region}` stands here twice"));
        spots.push((spot, region));
    }
    for (spot, region) in spots {
        let of = region.split('-').next();
        let larger: Vec<&str> = chain(&found, &region).take(DEPTH_MAX).collect();
        let is_sound = larger.len() < DEPTH_MAX
            && (larger.iter())
                .all(|name| found.contains_key(*name) && name.split('-').next() == of);
        sheets.expect(is_sound, spot, || {
            format!("`{region}` lies within no region of this table, or within itself")
        });
    }
    found
}

/// The regions that are a country of ISO 3166-1 too, by that country and in order.
pub(super) fn territories(regions: &HashMap<String, Region>) -> HashMap<String, Vec<String>> {
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for (name, region) in regions {
        if let Some(country) = &region.territory {
            found.entry(country.clone()).or_default().push(name.clone());
        }
    }
    found.values_mut().for_each(|names| names.sort_unstable());
    found
}

/// The region, what it lies within, and so on.
fn chain<'t>(
    regions: &'t HashMap<String, Region>,
    region: &'t str,
) -> impl Iterator<Item = &'t str> {
    std::iter::successors(Some(region), |name| regions.get(*name)?.within.as_deref())
}

impl Tables {
    /// Whether this is an ISO 3166-2 region, or a city that the table of holidays names.
    #[must_use]
    pub fn is_subdivision(&self, region: &str) -> bool {
        self.subdivisions.contains_key(region)
    }

    /// The region, the larger one that it lies within, and so on.
    pub fn larger<'t>(&'t self, region: &'t str) -> impl Iterator<Item = &'t str> {
        chain(&self.subdivisions, region)
    }

    /// Whether the one region is the other or lies within it.
    #[must_use]
    pub fn is_within(&self, region: &str, larger: &str) -> bool {
        self.larger(region).any(|name| name == larger)
    }

    /// Every region that is this country of ISO 3166-1 too, or an older code for it.
    pub fn regions_of<'t>(&'t self, country: &'t str) -> impl Iterator<Item = &'t str> {
        let parts = self.territories.get(country).into_iter().flatten();
        parts.map(String::as_str)
    }

    /// The ISO 3166-1 code of a region that is a country there too, or lies within one.
    #[must_use]
    pub fn territory(&self, region: &str) -> Option<&str> {
        self.larger(region)
            .find_map(|name| self.subdivisions.get(name)?.territory.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::tables;

    #[test]
    fn regions_lie_within_others() {
        let tables = tables();
        for (region, larger) in [
            ("ES-B", "ES-CT"),
            ("ES-Barcelona", "ES-CT"),
            ("FR-67", "FR-6AE"),
            ("FR-67", "FR-GES"),
            ("GB-LND", "GB-ENG"),
            ("IT-MI", "IT-25"),
            ("US-GA", "US-GA"),
        ] {
            assert!(tables.is_within(region, larger), "{region} {larger}");
            assert!(region == larger || !tables.is_within(larger, region));
        }
        assert!(!tables.is_within("ES-B", "ES-MD"));
        for unknown in ["ES-ZZZ", "FR-ZZZ", "ES", "", "-"] {
            assert!(!tables.is_subdivision(unknown), "{unknown}");
        }
    }

    #[test]
    fn some_regions_are_countries_too() {
        let tables = tables();
        for (region, country) in [
            ("FR-974", "RE"),
            ("FR-RE", "RE"),
            ("FR-988", "NC"),
            ("NL-AW", "AW"),
            ("NL-BQ2", "BQ"),
            ("US-PR", "PR"),
            ("FI-01", "AX"),
            ("NO-21", "SJ"),
            ("CN-HK", "HK"),
        ] {
            assert_eq!(tables.territory(region), Some(country), "{region}");
        }
        assert_eq!(
            tables.territory("US-DE"),
            None,
            "Delaware is no part of Germany"
        );
        assert_eq!(tables.territory("FR-75C"), None);
    }

    /// Every region that the other tables name, for no holiday and no law may hang on a name that nobody can state.
    #[test]
    fn the_tables_name_no_other_region() {
        let tables = tables();
        for region in tables.regions.keys() {
            assert!(tables.is_subdivision(region), "{region}");
        }
        let holidays = include_str!("../../rules/holidays.csv");
        let rows = holidays
            .lines()
            .filter(|line| !line.starts_with('#'))
            .skip(1);
        let named =
            rows.filter_map(|row| row.split(',').nth(1).filter(|region| !region.is_empty()));
        for region in named {
            assert!(tables.is_subdivision(region), "{region}");
        }
    }
}
