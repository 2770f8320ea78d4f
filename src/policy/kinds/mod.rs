//! The kinds of rule, one file each. A new kind is its file and its line in the table below; the order of the table is
//! the order of judging and of report (README 1.11), kinds that never decide last.

mod abandonment;
mod caller_id;
pub(super) mod calling_window;
mod disclosure;
mod frequency_cap;
pub(super) mod ground_validity;
mod lawful_basis;
mod opt_out;
mod prohibited_day;
pub(super) mod register;
mod registration;
pub(super) mod relationship;
pub(super) mod restriction;
mod retention;

use std::collections::HashSet;

use super::heal::{Readable, keys_of};
use super::moment::{Finding, Moment};
use super::origin::Faults;
use super::rule::{Common, Rule};
pub(super) use caller_id::CallerId;

/// What a kind of rule can do. Its fields are the row's keys; keys that it does not know are an error of the pack.
pub(super) trait RuleKind: Readable {
    /// Says what is wrong with a row beyond its shape.
    fn check(&self, common: &Common, names: &Names, faults: &mut Faults<'_>) {
        let _ = (common, names, faults);
    }

    /// Whether such a row can deny a call.
    fn decides(&self) -> bool {
        true
    }

    /// What the row says at this moment.
    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding;

    /// Whether the row informs, and says the same of every call at every time.
    fn is_constant(&self) -> bool {
        false
    }

    /// Whether a row that fails may be met later with the same facts, by nothing but the passing of time.
    fn heals(&self) -> bool {
        false
    }
}

/// What a row may refer to by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Ids of registers.
    pub registers: HashSet<String>,
    /// Ids of holiday calendars.
    pub calendars: HashSet<String>,
    /// Whether there may be more than these: a file could not be read to its end.
    pub is_partial: bool,
}

macro_rules! kinds {
    ($($module:ident: $Variant:ident,)+) => {
        /// The keys of a row's kind.
        #[derive(Debug)]
        pub(super) enum Kind {
            $($Variant($module::$Variant),)+
        }

        impl Kind {
            /// The names of all kinds, in order of report.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($module),)+];

            /// Reads the keys of a kind through `read`; `None` when there is no such kind.
            pub fn read<R: ReadKeys>(name: &str, reader: &mut R) -> Option<Option<Self>> {
                match name {
                    $(stringify!($module) => Some(reader.read().map(Self::$Variant)),)+
                    _ => None,
                }
            }

            /// Whether rows of some kind have this key.
            pub fn is_key(name: &str) -> bool {
                [$(keys_of::<$module::$Variant>(),)+].iter().any(|keys| keys.contains(&name))
            }

            /// The kind's name, as the files write it.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Variant(_) => stringify!($module),)+ }
            }

            /// Says what is wrong with the row beyond its shape.
            pub fn check(&self, common: &Common, names: &Names, faults: &mut Faults<'_>) {
                match self { $(Self::$Variant(row) => row.check(common, names, faults),)+ }
            }

            /// Whether the row can deny a call.
            pub fn decides(&self) -> bool {
                match self { $(Self::$Variant(row) => row.decides(),)+ }
            }

            /// What the row says at this moment.
            pub fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
                match self { $(Self::$Variant(row) => row.judge(rule, moment),)+ }
            }

            /// Whether the row says the same of every call.
            pub fn is_constant(&self) -> bool {
                match self { $(Self::$Variant(row) => row.is_constant(),)+ }
            }

            /// Whether time alone may heal the row's failing.
            pub fn heals(&self) -> bool {
                match self { $(Self::$Variant(row) => row.heals(),)+ }
            }
        }
    };
}

kinds! {
    opt_out: OptOut,
    restriction: Restriction,
    ground_validity: GroundValidity,
    lawful_basis: LawfulBasis,
    register: Register,
    calling_window: CallingWindow,
    prohibited_day: ProhibitedDay,
    frequency_cap: FrequencyCap,
    caller_id: CallerId,
    registration: Registration,
    disclosure: Disclosure,
    relationship: Relationship,
    abandonment: Abandonment,
    retention: Retention,
}

/// Reads the keys that belong to a kind; `None` after a problem, which the reader keeps.
pub(super) trait ReadKeys {
    /// Reads the keys as this kind's fields.
    fn read<T: Readable>(&mut self) -> Option<T>;
}

impl Kind {
    /// What stands in for a kind that cannot be read: it is not judged, and hours are what nothing is said to lack of.
    pub fn stand_in() -> Option<Self> {
        let window = toml::from_str("windows = { mon-sun = [] }");
        window.map(Self::CallingWindow).ok()
    }

    /// Where the kind stands in the order of report.
    pub fn order(&self) -> usize {
        let place = Self::NAMES.iter().position(|name| *name == self.name());
        place.unwrap_or(Self::NAMES.len())
    }
}

/// For keys whose absence means true.
fn yes() -> bool {
    true
}
