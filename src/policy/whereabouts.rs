//! Where the called person may be, as jurisdictions: which laws are in play, and whether a place that an operator closed or
//! stopped is one of them.

use super::moment::Scene;
use super::pack::Pack;
use crate::domain::party::Location;
use crate::place::{Dialable, Place};

/// A union: the place that the best evidence names, the countries the number may belong to unless the person's stated
/// country settles which, and the countries of all regions, as states and as the territories that they are.
pub(super) fn called_countries<'p>(
    pack: &'p Pack,
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
    all.extend(place.known_countries.iter().map(String::as_str));
    for region in known {
        all.extend(region.split_once('-').map(|(country, _)| country));
        all.extend(pack.tables().territory(region));
    }
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
    let called = called_countries(pack, number, location, place);
    let mut all = laws_of(pack, &called);
    for region in regions(pack, place, &called) {
        if !all.contains(&region) {
            all.push(region);
        }
    }
    all
}

/// Known regions and those of the area code, with what they lie within: all their laws apply. A territory is a region of
/// the law it is under.
pub(super) fn regions(pack: &Pack, place: &Place, called: &[&str]) -> Vec<String> {
    let mut regions: Vec<String> = Vec::new();
    for region in place.known_regions.iter().chain(&place.number_regions) {
        regions.extend(pack.tables().larger(region).map(str::to_owned));
    }
    for country in called {
        // By whichever of its names a row was written.
        let as_region = format!("{}-{country}", pack.law_of(country));
        let names = pack.tables().regions_of(country).map(str::to_owned);
        let ruled = |name: &String| !pack.indexes_of(name).is_empty();
        regions.extend(names.chain([as_region]).filter(ruled));
    }
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

    /// Whether a holiday of this region closes for the person: one of a region that they are or may be in, and of each
    /// that it lies within. An area code's region closes its own days too, but proves nothing: under `strict` only a known
    /// region spares the others', and not those of the smaller ones in it.
    pub fn keeps_days_of(&self, country: &str, region: &str, strict: bool) -> bool {
        let tables = self.pack.tables();
        let own = |known: &&String| known.split_once('-').is_some_and(|(of, _)| of == country);
        let mut known = self.place.known_regions.iter().filter(own).peekable();
        let territory = tables.territory(region);
        self.regions().any(|here| tables.is_within(here, region))
            || self.called.iter().any(|called| territory == Some(called))
            || strict
                && (known.peek().is_none() || known.any(|here| tables.is_within(region, here)))
    }

    /// A country holds its territories, and a territory is a place of its own. Where its country's tables know regions, it
    /// is one of them.
    fn may_be_in_country(&self, country: &str) -> bool {
        let law = self.pack.law_of(country);
        let is_called = |called: &String| {
            let of = self.pack.law_of(called);
            called == country || of == country || self.pack.groups_of(of).any(|g| g == country)
        };
        let tables = self.pack.tables();
        // Whose state is known and whose region is not may be in each territory of it.
        let state_is_all_that_is_known = |part: &str| {
            let of = part.split_once('-').map_or(part, |(of, _)| of);
            self.called.iter().any(|called| called == of) && !self.knows_region_of(of)
        };
        let mut regions = self.regions();
        self.called.iter().any(is_called)
            || law != country
                && regions.any(|region| region.split_once('-') == Some((law, country)))
            || tables.regions_of(country).any(state_is_all_that_is_known)
    }

    fn knows_region_of(&self, country: &str) -> bool {
        let mut regions = self.regions();
        regions.any(|known| known.split_once('-').is_some_and(|(of, _)| of == country))
    }

    /// A larger region holds the smaller ones, and whose larger one is known may be in any of the smaller. One that is a
    /// country of ISO 3166-1 too is stopped under each of its names.
    fn may_be_in_region(&self, region: &str, country: &str, part: &str) -> bool {
        let tables = self.pack.tables();
        let is_unknown = || !self.knows_region_of(country);
        let is_territory = part != country && self.pack.law_of(part) == country;
        let territory = tables.territory(region).or(is_territory.then_some(part));
        let overlaps = |known| tables.is_within(known, region) || tables.is_within(region, known);
        self.regions().any(overlaps)
            || (self.called.iter())
                .any(|called| territory == Some(called) || called == country && is_unknown())
    }
}
