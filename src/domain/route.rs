//! Which trunks may carry a call, and in which order they are tried: a campaign's routes, what each trunk may carry, and
//! the lots between trunks that are alike.
//!
//! Pure: the number that the lots follow from comes in as an argument. Whether a trunk is free at the moment is the worker's
//! knowledge and stands nowhere here.

use std::collections::{BTreeMap, BTreeSet};

use super::phone::Phone;

/// Every trunk of the configuration with what it may carry, by name.
pub type Carriers = BTreeMap<String, Carrier>;

/// What a trunk may carry, and how much of it may wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carrier {
    /// Numbers that may be called by it begin so; none = all may.
    pub destinations: Vec<Prefix>,
    /// Numbers that it may show; none = all.
    pub caller_ids: BTreeSet<Phone>,
    /// Calls that may wait for it.
    pub queue_max: i64,
    /// A media anchor stands between its audio and the clients'.
    pub anchored: bool,
}

impl Carrier {
    /// A trunk for every number, for which so many calls may wait.
    #[must_use]
    pub fn of_all(queue_max: i64) -> Self {
        Self {
            queue_max,
            ..Self::default()
        }
    }

    fn reaches(&self, to: Phone) -> bool {
        self.destinations.is_empty() || self.destinations.iter().any(|each| each.covers(to))
    }

    fn shows(&self, from: Option<Phone>) -> bool {
        self.caller_ids.is_empty() || from.is_some_and(|from| self.caller_ids.contains(&from))
    }
}

/// The first digits of numbers, as `+` and digits; `+` alone begins every number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Prefix(String);

/// Text that is no beginning of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the beginning of a number: write `+`, the country calling code and what follows of it, at most 15 digits"
)]
pub struct NotPrefix;

impl Prefix {
    /// Takes `+` and up to 15 digits, the first of them not 0.
    pub fn parse(text: &str) -> Result<Self, NotPrefix> {
        let digits = text.strip_prefix('+').ok_or(NotPrefix)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        match plain && digits.len() <= 15 {
            true => Ok(Self(digits.to_owned())),
            false => Err(NotPrefix),
        }
    }

    /// Whether the number begins so.
    #[must_use]
    pub fn covers(&self, number: Phone) -> bool {
        number.digits().starts_with(&self.0)
    }

    /// Whether some number may begin both ways.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One way for a campaign's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The trunk.
    pub trunk: String,
    /// Only for numbers that begin so; of several that do, those of the longest prefix are taken.
    pub prefix: Prefix,
    /// Lower ones first.
    pub priority: u16,
    /// Its share of the calls among those of its priority; with 0 it is taken when the others are not to be had.
    pub weight: u16,
}

impl Route {
    /// The way for every number.
    #[must_use]
    pub fn by(trunk: impl Into<String>) -> Self {
        Self {
            trunk: trunk.into(),
            prefix: Prefix::default(),
            priority: 0,
            weight: 1,
        }
    }
}

/// How fast calls may begin, besides what each trunk allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second, in the long run.
    pub calls_per_second: std::num::NonZeroU32,
    /// At once after a pause.
    pub burst: std::num::NonZeroU32,
}

/// Ten times what a node dials; far above it the time between two calls would be lost in rounding.
const CALLS_PER_SECOND_MAX: u32 = 10_000;

impl Rate {
    /// What is wrong with it, naming the key.
    #[must_use]
    pub fn problems(self) -> Vec<String> {
        let keys = [
            ("calls_per_second", self.calls_per_second),
            ("burst", self.burst),
        ];
        let high = keys
            .into_iter()
            .filter(|(_, value)| value.get() > CALLS_PER_SECOND_MAX);
        high.map(|(key, value)| {
            format!(
                "{key}: is {value}, set 1 to {CALLS_PER_SECOND_MAX}; several nodes together reach more"
            )
        })
        .collect()
    }
}

/// How the calls of a campaign are dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialing {
    /// Their ways.
    pub routes: Vec<Route>,
    /// Their pace; absent = that of the trunks.
    pub rate: Option<Rate>,
    /// Their share of a trunk that several campaigns wait for, against the shares of the others.
    pub share: std::num::NonZeroU32,
}

impl Dialing {
    /// Everything by this one trunk.
    #[must_use]
    pub fn by(trunk: impl Into<String>) -> Self {
        Self {
            routes: vec![Route::by(trunk)],
            rate: None,
            share: std::num::NonZeroU32::MIN,
        }
    }

    /// Whether every trunk of the campaign has a media anchor, so that a client may offer what carriers do not speak.
    #[must_use]
    pub fn is_anchored(&self, carriers: &Carriers) -> bool {
        let anchored = |route: &Route| {
            let carrier = carriers.get(&route.trunk);
            carrier.is_some_and(|carrier| carrier.anchored)
        };
        !self.routes.is_empty() && self.routes.iter().all(anchored)
    }

    /// The trunks that may carry a call to this number that shows that one, in the order in which they are tried. The lots
    /// follow from the seed.
    pub fn trunks(
        &self,
        carriers: &Carriers,
        to: Phone,
        from: Option<Phone>,
        seed: u64,
    ) -> Result<Vec<&str>, Unroutable> {
        let covering = || self.routes.iter().filter(|route| route.prefix.covers(to));
        let longest = covering().max_by_key(|route| route.prefix.0.len());
        let longest = longest.ok_or(Unroutable::Destination)?;
        let alike = covering().filter(|route| route.prefix == longest.prefix);
        // A trunk of which nothing is said carries everything.
        let of = |route: &Route| carriers.get(&route.trunk);
        let mut reach: Vec<&Route> = alike
            .filter(|route| of(route).is_none_or(|carrier| carrier.reaches(to)))
            .collect();
        if reach.is_empty() {
            return Err(Unroutable::Destination);
        }
        reach.retain(|route| of(route).is_none_or(|carrier| carrier.shows(from)));
        if reach.is_empty() {
            return Err(Unroutable::CallerId);
        }
        Ok(by_lot(reach, seed))
    }
}

/// Why no trunk of a campaign may carry a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unroutable {
    /// None may call this number.
    Destination,
    /// None of those may show the caller's.
    CallerId,
}

impl Unroutable {
    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "no trunk of the campaign carries calls to this number",
            Self::CallerId => {
                "no trunk of the campaign that carries calls to this number may show the campaign's"
            }
        }
    }
}

/// By priority, and by weighted lot among the like: every trunk has its place, so that there is a next one.
fn by_lot(mut routes: Vec<&Route>, seed: u64) -> Vec<&str> {
    routes.sort_by_key(|route| route.priority);
    let mut lots = Lots(seed);
    let mut trunks: Vec<&str> = Vec::new();
    for like in routes.chunk_by(|one, other| one.priority == other.priority) {
        let mut left = like.to_vec();
        while !left.is_empty() {
            let sum = left.iter().map(|route| u64::from(route.weight)).sum();
            let lot = lots.below(sum);
            let mut running = 0;
            let drawn = left.iter().position(|route| {
                running += u64::from(route.weight);
                running > lot
            });
            let route = left.remove(drawn.unwrap_or_default());
            if !trunks.contains(&route.trunk.as_str()) {
                trunks.push(&route.trunk);
            }
        }
    }
    trunks
}

/// Lots that follow from a seed (splitmix64).
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(text: &str) -> Phone {
        Phone::parse(text).unwrap()
    }

    fn route(trunk: &str, prefix: &str, priority: u16, weight: u16) -> Route {
        Route {
            trunk: trunk.to_owned(),
            prefix: Prefix::parse(prefix).unwrap(),
            priority,
            weight,
        }
    }

    fn dialing(routes: &[Route]) -> Dialing {
        Dialing {
            routes: routes.to_vec(),
            ..Dialing::by("")
        }
    }

    const BERLIN: &str = "+493023125901";

    #[test]
    fn the_longest_prefix_wins_and_then_the_lower_priority() {
        let dialing = dialing(&[
            route("world", "+", 0, 1),
            route("spare", "+49", 2, 1),
            route("german", "+49", 1, 1),
            route("berlin", "+4930", 9, 1),
        ]);
        for (to, trunks) in [
            (BERLIN, &["berlin"][..]),
            ("+498912345678", &["german", "spare"]),
            ("+14045550141", &["world"]),
        ] {
            for seed in 0..50 {
                let told = dialing.trunks(&Carriers::new(), phone(to), None, seed);
                assert_eq!(told.unwrap(), trunks, "{to}");
            }
        }
    }

    #[test]
    fn trunks_of_one_priority_are_drawn_by_weight() {
        let dialing = dialing(&[
            route("three", "+", 0, 3),
            route("one", "+", 0, 1),
            route("none", "+", 0, 0),
        ]);
        let mut first = BTreeMap::new();
        for seed in 0..10_000 {
            let told = dialing.trunks(&Carriers::new(), phone(BERLIN), None, seed);
            let told = told.unwrap();
            assert_eq!(told.len(), 3, "each has its place");
            *first.entry(told[0]).or_insert(0) += 1;
        }
        assert!((7_300..7_700).contains(&first["three"]), "{first:?}");
        assert_eq!(first["three"] + first["one"], 10_000, "{first:?}");
    }

    #[test]
    fn a_campaign_is_anchored_if_each_of_its_trunks_is() {
        let carrier = |name: &str, anchored| {
            let carrier = Carrier {
                anchored,
                ..Carrier::of_all(1)
            };
            (name.to_owned(), carrier)
        };
        let carriers = Carriers::from([
            carrier("one", true),
            carrier("two", true),
            carrier("plain", false),
        ]);
        for (trunks, told) in [
            (&["one"][..], true),
            (&["one", "two"], true),
            (&["one", "plain"], false),
            (&["one", "unknown"], false),
            (&["plain"], false),
            (&[], false),
        ] {
            let routes: Vec<Route> = trunks.iter().map(|name| Route::by(*name)).collect();
            assert_eq!(dialing(&routes).is_anchored(&carriers), told, "{trunks:?}");
        }
    }

    #[test]
    fn a_trunk_carries_what_its_section_says_and_nothing_else() {
        let dialing = dialing(&[route("german", "+", 0, 1), route("shy", "+", 1, 1)]);
        let shown = phone("+493023125900");
        let carriers = Carriers::from([
            (
                "german".to_owned(),
                Carrier {
                    destinations: vec![Prefix::parse("+49").unwrap()],
                    ..Carrier::of_all(1)
                },
            ),
            (
                "shy".to_owned(),
                Carrier {
                    destinations: vec![
                        Prefix::parse("+44").unwrap(),
                        Prefix::parse("+4930").unwrap(),
                    ],
                    caller_ids: [shown].into(),
                    ..Carrier::of_all(1)
                },
            ),
        ]);
        let trunks = |to, from| dialing.trunks(&carriers, phone(to), from, 7);
        assert_eq!(trunks(BERLIN, Some(shown)), Ok(vec!["german", "shy"]));
        assert_eq!(trunks(BERLIN, None), Ok(vec!["german"]));
        assert_eq!(trunks("+442071838750", Some(shown)), Ok(vec!["shy"]));
        let other = Some(phone("+493023125999"));
        assert_eq!(trunks("+442071838750", other), Err(Unroutable::CallerId));
        assert_eq!(
            trunks("+14045550141", Some(shown)),
            Err(Unroutable::Destination)
        );
    }

    #[test]
    fn what_no_number_begins_with_is_no_prefix() {
        for good in ["+", "+4", "+4930", "+123456789012345"] {
            assert_eq!(Prefix::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "49", "+0", "+49 30", "+1234567890123456", "++4", "+4a"] {
            assert_eq!(Prefix::parse(bad), Err(NotPrefix), "{bad}");
        }
        let meets = |one: &str, other: &str| {
            Prefix::parse(one)
                .unwrap()
                .meets(&Prefix::parse(other).unwrap())
        };
        assert!(meets("+49", "+4930") && meets("+4930", "+49") && meets("+", "+1"));
        assert!(!meets("+49", "+48") && !meets("+4930", "+4931"));
    }
}
