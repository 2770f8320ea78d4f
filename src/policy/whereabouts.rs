//! Where the called person may be, as jurisdictions: which laws are in play, and whether a place that an operator closed or
//! stopped is one of them.

use super::moment::Scene;
use super::pack::Pack;
use crate::domain::party::Location;
use crate::place::{Dialable, Place};

/// A union: the place that the best evidence names, the countries the number may belong to unless the person's stated
/// country settles which, and the countries of all regions.
pub(super) fn called_countries<'p>(
    number: &'p Dialable,
    location: Option<&Location>,
    place: &'p Place,
) -> Vec<&'p str> {
    let stated = location
        .and_then(|location| location.country.as_deref())
        .is_some_and(|stated| {
            let named = number.candidates.iter().chain([&number.country]);
            named.into_iter().any(|c| c.eq_ignore_ascii_case(stated))
        });
    let mut all: Vec<&str> = place.country.as_deref().into_iter().collect();
    if !stated {
        all.extend(number.candidates.iter().map(String::as_str));
    }
    let known = place.known_regions.iter().chain(&place.number_regions);
    all.extend(known.filter_map(|region| region.split_once('-').map(|(country, _)| country)));
    all
}

/// The countries whose law holds in these, each once.
pub(super) fn laws_of(pack: &Pack, called: &[&str]) -> Vec<String> {
    let mut countries: Vec<String> = Vec::new();
    for country in called {
        let law = pack.law_of(country);
        if !countries.iter().any(|known| known == law) {
            countries.push(law.to_owned());
        }
    }
    countries
}

/// The countries and regions whose law may hold where the person is, most general first; groups of countries and the
/// product's own policy are no places.
#[must_use]
pub fn jurisdictions(
    pack: &Pack,
    number: &Dialable,
    location: Option<&Location>,
    place: &Place,
) -> Vec<String> {
    let called = called_countries(number, location, place);
    let mut all = laws_of(pack, &called);
    for region in regions(pack, place, &called) {
        if !all.contains(&region) {
            all.push(region);
        }
    }
    all
}

/// Known regions and those of the area code: both laws apply. A territory is a region of the law it is under.
pub(super) fn regions(pack: &Pack, place: &Place, called: &[&str]) -> Vec<String> {
    let mut regions: Vec<String> = Vec::new();
    regions.extend(place.known_regions.iter().cloned());
    regions.extend(place.number_regions.iter().cloned());
    for country in called {
        let as_region = format!("{}-{country}", pack.law_of(country));
        if !pack.indexes_of(&as_region).is_empty() {
            regions.push(as_region);
        }
    }
    regions.retain(|region| region.contains('-'));
    regions
}

impl Scene<'_> {
    /// Whether the person is, or may be, in this country, territory, region or group of countries. Unknown is not
    /// elsewhere: whose country is known and whose region is not may be in any region of it.
    pub fn may_be_in(&self, place: &str) -> bool {
        if place == Pack::POLICY {
            return true;
        }
        match place.split_once('-') {
            None => self.may_be_in_country(place),
            Some((country, part)) => self.may_be_in_region(place, country, part),
        }
    }

    /// A country holds its territories, and a territory is a place of its own. Where its country's tables know regions, it
    /// is one of them.
    fn may_be_in_country(&self, country: &str) -> bool {
        let law = self.pack.law_of(country);
        let is_called = |called: &String| {
            let of = self.pack.law_of(called);
            called == country || of == country || self.pack.groups_of(of).any(|g| g == country)
        };
        let mut regions = self.regions();
        self.called.iter().any(is_called)
            || law != country
                && regions.any(|region| region.split_once('-') == Some((law, country)))
    }

    fn may_be_in_region(&self, region: &str, country: &str, part: &str) -> bool {
        let of_country = |known: &str| known.split_once('-').is_some_and(|(of, _)| of == country);
        let is_territory = part != country && self.pack.law_of(part) == country;
        let is_unknown = || !self.regions().any(of_country);
        self.regions().any(|known| known == region)
            || (self.called.iter())
                .any(|called| is_territory && called == part || called == country && is_unknown())
    }
}
