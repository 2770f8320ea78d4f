//! Which law is in force, since when and by whom; and the regions that an operator has stopped.

use super::ids::{ActivationId, RegionStopId};
use super::text::words;
use super::time::Micros;

words! {
    /// Where the law of an activation comes from: what happens when a node starts with another pack depends on it.
    PackOrigin, "pack origin" {
        /// The binary, or the folder that the configuration names. A node that brings a newer one activates it.
        Configured = "configured",
        /// Somebody activated it by name; it stays until somebody activates another.
        Uploaded = "uploaded",
    }
}

/// One entry of the history: from this one on, every decision stands on this pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Identifier.
    pub activation_id: ActivationId,
    /// Counts up by one.
    pub epoch: i64,
    /// Hash of the pack, as decisions name it.
    pub sha256: String,
    /// Hash of the same pack without the operator's layer: closed days, disabled rules.
    pub base_sha256: String,
    /// Version of the pack.
    pub version: String,
    /// Where its law comes from.
    pub origin: PackOrigin,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Micros,
}

impl Activation {
    /// The time of the next entry: later than this one's, whatever the clocks of two nodes say, so that the history sorts.
    #[must_use]
    pub fn followed_by(&self, at: Micros) -> Micros {
        at.max(self.at.plus(std::time::Duration::from_micros(1)))
    }
}

/// A region in which nobody is called while it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionStop {
    /// Identifier.
    pub stop_id: RegionStopId,
    /// ISO country, ISO region, name of a group, or `ZZ` for every place.
    pub region: String,
    /// Why.
    pub reason: String,
    /// When it begins; absent = when it was recorded, whatever the clocks of two nodes say.
    pub starts_at: Option<Micros>,
    /// When it ends by itself.
    pub expires_at: Micros,
    /// Who set it.
    pub actor: String,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// Present once it was lifted before its time.
    pub lift: Option<RegionStopLift>,
}

/// The end of a stop before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionStopLift {
    /// When.
    pub at: Micros,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}
