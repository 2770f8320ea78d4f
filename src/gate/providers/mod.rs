//! Providers that are asked of a number online, before the gate decides about it.
//!
//! Asking and deciding are apart. Before a question goes into the gate's batch, and outside of any transaction, what the
//! providers have not said yet is asked ([`ask`]) and kept. The batch, the claim and a whole list read what is kept and counts
//! ([`answers`]), and ask nobody. What an answer means for the call is the law's business: a missing one denies by the rule
//! that needs it.

mod answers;
mod ask;
mod desk;
mod needs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::domain::phone::NumberKey;
use crate::policy::Pack;
use crate::provider::{ProviderConfig, Service};

use desk::Desk;

/// The providers of this node.
pub(super) struct Providers {
    /// In the order of their names: a case is the same on every node.
    desks: Vec<Arc<Desk>>,
    under_way: Mutex<BTreeMap<Flight, watch::Receiver<()>>>,
}

/// A question that is under way: by whose data, to whom, about which number, and since when. Nobody asks it a second time
/// meanwhile.
type Flight = (String, String, NumberKey, Option<jiff::civil::Date>);

impl Providers {
    pub fn new(mut services: Vec<Service>) -> Self {
        services.sort_by(|one, other| one.name.cmp(&other.name));
        let desks = services
            .into_iter()
            .map(|service| Arc::new(Desk::new(service)));
        Self {
            desks: desks.collect(),
            under_way: Mutex::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.desks.is_empty()
    }

    /// Those that know numbers of this country.
    fn serving(&self, country: &str) -> impl Iterator<Item = &Arc<Desk>> {
        let serves = move |desk: &&Arc<Desk>| {
            let countries = &desk.service.countries;
            countries.iter().any(|served| served == country)
        };
        self.desks.iter().filter(serves)
    }
}

/// Everything that is wrong with rows `[[provider]]` under this law and beside each other, each problem with its row's number
/// and key. An answer that no rule asks for would be paid for and decide nothing.
#[must_use]
pub fn provider_problems(pack: &Pack, rows: &[(usize, ProviderConfig)]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    for (place, (number, row)) in rows.iter().enumerate() {
        let mut tell = |problem: String| problems.push((*number, problem));
        for country in &row.countries {
            if country.len() != 2 || !pack.knows_jurisdiction(country) {
                tell(format!(
                    "countries: `{country}` is no country that laws or tables know; write ISO codes such as `US`"
                ));
            }
        }
        if let Some(register) = &row.register
            && pack.register_age_max(register).is_none()
        {
            tell(format!(
                "register: no rule that decides asks a register `{register}`; add one to the rules (docs/PROVIDERS.md)"
            ));
        }
        let before = rows.iter().take(place).map(|(_, other)| other);
        for other in before {
            if other.name == row.name {
                tell(format!("name: `{}` stands twice", row.name));
            }
            let is_twin = other.kind == row.kind && other.register() == row.register();
            let shared = row
                .countries
                .iter()
                .find(|each| other.countries.contains(each));
            if let (true, Some(country)) = (is_twin, shared) {
                tell(format!(
                    "countries: `{}` is asked the same about numbers of `{country}`; name one provider for it",
                    other.name
                ));
            }
        }
    }
    problems
}
