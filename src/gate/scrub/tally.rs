//! The counts of a list, as its one audit entry and whoever asked have them.

use std::collections::BTreeMap;

use crate::domain::decision::{PackVersion, Verdict};

use super::Scrubbed;

/// What the batches of a list come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubTally {
    /// Numbers that were taken in.
    pub asked: u64,
    /// Numbers that may be called.
    pub allowed: u64,
    /// Numbers that may not.
    pub denied: u64,
    /// How many each rule denies.
    pub rules: BTreeMap<String, u64>,
    /// How many rows have no verdict, by why.
    pub problems: BTreeMap<&'static str, u64>,
    /// Every pack that decided, in their order.
    pub packs: Vec<PackVersion>,
}

impl ScrubTally {
    /// Adds a batch that was answered.
    pub fn add(&mut self, batch: &Scrubbed) {
        if !self.packs.contains(&batch.pack) {
            self.packs.push(batch.pack.clone());
        }
        for row in &batch.rows {
            match &row.said {
                Err(problem) => *self.problems.entry(problem.code()).or_default() += 1,
                Ok(said) => {
                    match said.verdict {
                        Verdict::Allow => self.allowed += 1,
                        Verdict::Deny => self.denied += 1,
                    }
                    for rule in &said.denied_by {
                        match self.rules.get_mut(rule.as_str()) {
                            Some(count) => *count += 1,
                            None => drop(self.rules.insert(rule.to_string(), 1)),
                        }
                    }
                }
            }
        }
    }
}
