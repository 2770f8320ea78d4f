//! What a pack says of the registers that its rules ask, and how old a list may be.

use jiff::civil::Date;

use super::kinds::Kind;
use super::kinds::register::Register;
use super::pack::Pack;

/// A register as its `[[register]]` row names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRegister {
    /// Whose it is: ISO country or region.
    pub jurisdiction: String,
    /// Its name.
    pub name: String,
}

impl Pack {
    /// The ids of the registers that rules may ask, in order.
    pub fn registers(&self) -> impl Iterator<Item = &str> {
        self.registers.keys().map(String::as_str)
    }

    /// One of them.
    #[must_use]
    pub fn register(&self, id: &str) -> Option<&DeclaredRegister> {
        self.registers.get(id)
    }

    /// The age in days that a list may have for every rule that asks this register; `None` where no rule sets one.
    #[must_use]
    pub fn register_age_max(&self, id: &str) -> Option<i64> {
        self.asking(id).filter_map(Register::age_max).min()
    }

    /// Why some rule denies by a list of this date on this day; `None` when all take it.
    #[must_use]
    pub fn register_staleness(&self, id: &str, as_of: Date, today: Date) -> Option<&'static str> {
        self.asking(id).find_map(|row| row.staleness(as_of, today))
    }

    /// The rules that ask it and decide.
    fn asking(&self, id: &str) -> impl Iterator<Item = &Register> {
        let deciding = self.rules().iter().filter(|rule| rule.decides());
        deciding.filter_map(move |rule| match &rule.kind {
            Kind::Register(row) if row.register == id => Some(row),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::pack;

    #[test]
    fn the_strictest_rule_tells_how_old_a_list_may_be() {
        let pack = pack();
        assert!(pack.registers().any(|id| id == "us-dnc"));
        let declared = pack.register("us-dnc").unwrap();
        assert_eq!(declared.jurisdiction, "US");
        assert_eq!(pack.register_age_max("us-dnc"), Some(31));
        assert_eq!(pack.register_age_max("nobody"), None);
        let stale = |id: &str, as_of: &str, today: &str| {
            pack.register_staleness(id, as_of.parse().unwrap(), today.parse().unwrap())
        };
        assert_eq!(stale("us-dnc", "2026-10-30", "2026-11-30"), None);
        assert!(stale("us-dnc", "2026-10-29", "2026-11-30").is_some());
        assert!(stale("no-reservasjon", "2026-10-31", "2026-11-01").is_some());
    }
}
