//! Evidence (signatures).
use super::{Dialable, Tables, Zone};
use crate::domain::party::Location;

/// Where the person may be, as sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 country that is called.
    pub country: Option<String>,
    /// ISO 3166-2 regions known from the person's own location.
    pub known_regions: Vec<String>,
    /// ISO 3166-2 regions of the number's area code.
    pub number_regions: Vec<String>,
    /// Every clock that may hang on the person's wall; empty when nothing resolved.
    pub zones: Vec<Zone>,
    /// Which rows of which tables said so.
    pub evidence: Vec<String>,
}

/// Turns what is known into sets of places and clocks.
#[must_use]
pub fn locate(tables: &Tables, number: &Dialable, location: Option<&Location>) -> Place {
    let _ = (tables, number, location);
    todo!()
}
