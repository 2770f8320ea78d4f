//! Settings of the gate, and the campaigns as the configuration writes them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use serde::Deserialize;

use crate::domain::call::{CallKind, Introduction, Purpose, SellerType, Voice};
use crate::domain::campaign::{CallerId, Campaign, Registration};
use crate::domain::phone::Phone;
use crate::domain::route::{Carriers, Dialing, Prefix, Rate, Route};
use crate::place::{Tables, dialable};
use crate::policy::Pack;
use crate::provider::Service;

use super::registers::RegistryConfig;

/// Bounds of the gate, and what the operator closed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Questions that may wait at once; a further one is refused with the advice to come again.
    pub queue_max: usize,
    /// Places in which nobody is called, such as `US-LA`, whatever pack is in force.
    pub emergency_regions: Vec<String>,
    /// What each trunk may carry, and how many calls may wait for it; filled from the trunks' own sections.
    #[serde(skip)]
    pub trunks: Carriers,
    /// The names of the agents whose phones can be called first; filled from their sections.
    #[serde(skip)]
    pub agents: BTreeSet<String>,
    /// The section `[registry]`.
    #[serde(skip)]
    pub registry: RegistryConfig,
    /// The rows `[[provider]]`.
    #[serde(skip)]
    pub providers: Vec<Service>,
    /// The names of the rows `[[webhook]]`.
    #[serde(skip)]
    pub webhooks: Vec<String>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            queue_max: 4096,
            emergency_regions: Vec::new(),
            trunks: Carriers::new(),
            agents: BTreeSet::new(),
            registry: RegistryConfig::default(),
            providers: Vec::new(),
            webhooks: Vec::new(),
        }
    }
}

/// The place that every place lies in.
const EVERYWHERE: &str = "ZZ";

impl GateConfig {
    /// Everything that is wrong with the section under this law and for these campaigns, each problem with its key.
    #[must_use]
    pub fn problems(&self, pack: &Pack, campaigns: &[Campaign]) -> Vec<String> {
        // A place that nobody knows would stop nobody, or everybody.
        let regions = self.emergency_regions.iter();
        let unknown = regions.filter(|named| !pack.knows_jurisdiction(named));
        unknown
            .map(|named| {
                format!(
                    "emergency_regions: `{named}` is no place that laws or tables know; write an ISO country, an ISO \
                     region such as `US-LA`, a group of the pack, or `ZZ` for every place"
                )
            })
            .chain(self.undialed(campaigns))
            .collect()
    }

    /// Countries under a stop that no campaign dials: `LA` is Laos, and whoever means Louisiana stops nobody there.
    fn undialed(&self, campaigns: &[Campaign]) -> Vec<String> {
        let is_dialed = |country: &str| {
            let all = campaigns.iter().flat_map(|each| &each.destinations);
            all.into_iter().any(|destination| destination == country)
        };
        let countries = self.emergency_regions.iter();
        let countries = countries.filter(|named| named.len() == 2 && *named != EVERYWHERE);
        countries
            .filter(|country| !is_dialed(country))
            .map(|country| {
                format!(
                    "emergency_regions: `{country}` is a country that no campaign dials; leave it out, or write a state or region \
                     like `US-LA`"
                )
            })
            .collect()
    }
}

/// One campaign, section `[campaign.NAME]`: on whose behalf, for what, from which numbers and to where.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignConfig {
    /// Whether calls may be placed under it now.
    #[serde(default = "yes")]
    pub active: bool,
    /// Seller on whose behalf calls are made; consents, dealings and opt-outs are counted by it.
    pub seller: String,
    /// `for_profit` or `nonprofit`.
    #[serde(default = "for_profit")]
    pub seller_type: SellerType,
    /// `sales`, `informational` or `service`.
    #[serde(default = "sales")]
    pub purpose: Purpose,
    /// What the calls are about; caps may count by it.
    #[serde(default)]
    pub subject: Option<String>,
    /// Sector tag as the rules name it; absent where no rule treats the sector apart.
    #[serde(default)]
    pub sector: Option<String>,
    /// ISO country in which the controller is established; the GDPR follows it abroad.
    #[serde(default)]
    pub controller_country: Option<String>,
    /// Kinds of call that the campaign makes.
    #[serde(default = "live_manual")]
    pub call_kinds: Vec<CallKind>,
    /// Numbers that may be shown; of several the one that a person is shown follows from their number.
    pub caller_ids: Vec<CallerIdConfig>,
    /// ISO countries that may be dialed. Nothing is allowed by default.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// Name of the trunk section that carries its calls, all of them that no entry of `trunks` is for.
    #[serde(default)]
    pub trunk: Option<String>,
    /// Several trunks, with what each is for and in which order they are tried.
    #[serde(default)]
    pub trunks: Vec<RouteConfig>,
    /// New calls of the campaign a second, by whatever trunk; absent = as many as the trunks take.
    #[serde(default)]
    pub calls_per_second: Option<NonZeroU32>,
    /// Calls of the campaign that may start at once after a pause.
    #[serde(default)]
    pub burst: Option<NonZeroU32>,
    /// Its share of a trunk that several campaigns wait for, against the shares of the others.
    #[serde(default = "one")]
    pub share: NonZeroU32,
    /// Registrations and permits that the seller holds.
    #[serde(default)]
    pub registrations: Vec<RegistrationConfig>,
    /// The calls treat special categories of data (GDPR Art. 9).
    #[serde(default)]
    pub special_category: bool,
    /// An automatic telephone dialing system in the sense of the TCPA places the calls.
    #[serde(default)]
    pub atds: bool,
    /// A new product is offered.
    #[serde(default)]
    pub new_product: bool,
    /// `live`, `recorded` or `none`: how the calls introduce themselves. Absent opens no recorded message that needs one.
    #[serde(default)]
    pub introduction: Option<Introduction>,
    /// `human`, `recorded` or `ai_generated`: what voice talks.
    #[serde(default)]
    pub voice: Option<Voice>,
}

/// One trunk of several.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Name of the trunk section.
    pub trunk: String,
    /// Only for numbers that begin so; absent = for all.
    #[serde(default)]
    pub prefix: Prefix,
    /// Lower ones are tried first.
    #[serde(default)]
    pub priority: u16,
    /// Its share of the calls among those of its priority.
    #[serde(default = "weight")]
    pub weight: u16,
}

/// A number that may be shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerIdConfig {
    /// The number, E.164.
    pub number: Phone,
    /// It is the seller's own.
    #[serde(default)]
    pub owned: bool,
    /// Calling it back reaches the seller.
    #[serde(default)]
    pub callable: bool,
    /// It stands in the public directory.
    #[serde(default)]
    pub in_directory: bool,
}

/// A permit or registration that the seller holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    /// Id as the rules name it, such as `ca-dncl`.
    pub id: String,
    /// Number given by the authority.
    #[serde(default)]
    pub number: Option<String>,
    /// Last day on which it holds.
    #[serde(default)]
    pub valid_to: Option<jiff::civil::Date>,
}

/// No share of a trunk needs to be finer.
const SHARE_MAX: u32 = 1_000;

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn weight() -> u16 {
    1
}

fn yes() -> bool {
    true
}

fn for_profit() -> SellerType {
    SellerType::ForProfit
}

fn sales() -> Purpose {
    Purpose::Sales
}

fn live_manual() -> Vec<CallKind> {
    vec![CallKind::LiveManual]
}

impl CampaignConfig {
    /// The campaign; or everything that is wrong with its section, naming the key.
    pub fn campaign(&self, name: &str) -> Result<Campaign, Vec<String>> {
        let mut problems = Vec::new();
        if self.seller.trim().is_empty() {
            problems.push(
                "seller: is empty; name the seller on whose behalf calls are made".to_owned(),
            );
        }
        if self.caller_ids.is_empty() {
            problems
                .push("caller_ids: is empty; a call must show a number that is yours".to_owned());
        }
        if self.call_kinds.is_empty() {
            problems.push("call_kinds: is empty; name at least one kind".to_owned());
        }
        problems.extend(self.dialing_problems());
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Campaign {
            campaign_id: name.to_owned(),
            active: self.active,
            seller: self.seller.clone(),
            seller_type: self.seller_type,
            purpose: self.purpose,
            subject: self.subject.clone(),
            sector: self.sector.clone(),
            controller_country: self.controller_country.clone(),
            call_kinds: self.call_kinds.clone(),
            caller_ids: self
                .caller_ids
                .iter()
                .map(|each| CallerId {
                    number: each.number,
                    owned: each.owned,
                    callable: each.callable,
                    in_directory: each.in_directory,
                })
                .collect(),
            destinations: self.destinations.clone(),
            dialing: self.dialing(),
            registrations: self
                .registrations
                .iter()
                .map(|each| Registration {
                    id: each.id.clone(),
                    number: each.number.clone(),
                    valid_to: each.valid_to,
                })
                .collect(),
            special_category: self.special_category,
            atds: self.atds,
            new_product: self.new_product,
            introduction: self.introduction,
            voice: self.voice,
        })
    }

    /// The ways of its calls: the short form is the way for everything that no other is for.
    fn dialing(&self) -> Dialing {
        let short = self.trunk.iter().map(Route::by);
        let long = self.trunks.iter().map(|each| Route {
            trunk: each.trunk.clone(),
            prefix: each.prefix.clone(),
            priority: each.priority,
            weight: each.weight,
        });
        Dialing {
            routes: short.chain(long).collect(),
            rate: self.calls_per_second.map(|calls_per_second| Rate {
                calls_per_second,
                burst: self.burst.unwrap_or(NonZeroU32::MIN),
            }),
            share: self.share,
        }
    }

    fn dialing_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let routes = self.dialing().routes;
        if routes.is_empty() {
            problems.push(
                "trunk: is missing; name the section that carries the calls, or several in `trunks`"
                    .to_owned(),
            );
        }
        for (index, route) in routes.iter().enumerate() {
            let earlier = routes.iter().take(index);
            let mut same = earlier.filter(|each| each.prefix == route.prefix);
            if same.any(|each| each.trunk == route.trunk) {
                problems.push(format!(
                    "trunks: `{}` is named twice for `{}`, leave one out",
                    route.trunk, route.prefix
                ));
            }
        }
        if self.burst.is_some() && self.calls_per_second.is_none() {
            problems.push("burst: needs calls_per_second beside it".to_owned());
        }
        let rate = self.dialing().rate;
        problems.extend(rate.into_iter().flat_map(Rate::problems));
        if self.share.get() > SHARE_MAX {
            problems.push(format!("share: is {}, set 1 to {SHARE_MAX}", self.share));
        }
        problems
    }

    /// Every country, number and sector of the section that this law does not know, naming the key. A sector that is misspelt
    /// would be spared the rows of the one that is meant.
    #[must_use]
    pub fn unknown(&self, pack: &Pack) -> Vec<String> {
        let mut problems = self.places(pack.tables());
        let sectors = pack.sectors();
        if let Some(sector) = &self.sector
            && !sectors.contains(sector.as_str())
        {
            let known: Vec<&str> = sectors.into_iter().collect();
            problems.push(format!(
                "sector: no rule names `{sector}`; leave it out, or write one of: {}",
                known.join(", ")
            ));
        }
        problems
    }

    fn places(&self, tables: &Tables) -> Vec<String> {
        let destinations = self.destinations.iter().map(|each| ("destinations", each));
        let controller = (self.controller_country.iter()).map(|each| ("controller_country", each));
        let mut problems: Vec<String> = destinations
            .chain(controller)
            .filter(|(_, country)| !tables.knows_country(country))
            .map(|(key, country)| {
                format!(
                    "{key}: `{country}` is not an ISO 3166-1 alpha-2 country; write it like `US`"
                )
            })
            .collect();
        for (index, each) in self.caller_ids.iter().enumerate() {
            let mut before = self.caller_ids.iter().take(index);
            if before.any(|other| other.number == each.number) {
                problems.push(format!(
                    "caller_ids, number {}: stands there before; name each number once",
                    index + 1
                ));
            }
            if let Err(why) = dialable(tables, &each.number.reveal()) {
                problems.push(format!("caller_ids, number {}: {why}", index + 1));
            }
        }
        problems
    }
}
