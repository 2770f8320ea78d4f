//! Typed identifiers. UUIDs are version 7, so they sort by the time of their making; those that one process makes at one
//! instant sort in the order in which it made them (RFC 9562 section 6.2).

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::time::Micros;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier that sorts by `at`, and among those of one instant by the order of making; the rest of it
            /// is random.
            #[must_use]
            pub fn new(at: Micros) -> Self {
                Self(new_v7(at))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

impl CallId {
    /// What the lots of this call follow from: which of its trunks and servers come first.
    #[must_use]
    pub fn lot(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        high ^ low
    }
}

ids! {
    /// A call: what the softphone asked for, and everything that came of it.
    CallId,
    /// One claimed try to reach one number: the durable row behind a permit.
    AttemptId,
    /// A stored verdict with every rule, its evidence and its citation.
    DecisionId,
    /// One entry in the history of a call.
    EventId,
    /// One thing that a client asks of a call that is up.
    InstructionId,
    /// One act of giving or withdrawing consent.
    ConsentEventId,
    /// A record that blocks calls.
    SuppressionId,
    /// One import of opt-outs.
    ImportId,
    /// A human we may call.
    PartyId,
    /// What an agent said of a call; each correction is a new one.
    DispositionId,
    /// One row of the audit log.
    AuditEntryId,
    /// One start of one process; a restarted node has a new one.
    Incarnation,
    /// An API key (the public half).
    ApiKeyId,
    /// One activation of a rule pack.
    ActivationId,
    /// One stop of a region.
    RegionStopId,
    /// One snapshot of a register.
    SnapshotId,
    /// One question to a provider, answered.
    ScrubResultId,
    /// The caller's name for one mutating request; repeating it repeats the answer.
    RequestId,
}

/// After the milliseconds come the microseconds within them (method 3), a counter of this process (method 1), and 30
/// random bits, which tell apart what two processes make at one instant.
fn new_v7(at: Micros) -> Uuid {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let micros = u64::try_from(at.0).unwrap_or(0);
    // Of these 80 bits the builder hides four behind the version and, 16 further on, two behind the variant.
    let fraction = u128::from(micros % 1_000) << 64;
    let count = u128::from(MADE.fetch_add(1, Ordering::Relaxed)) << 30;
    let random = Uuid::new_v4().as_u128() & ((1 << 30) - 1);
    let bytes = (fraction | count | random).to_be_bytes();
    let mut rest = [0; 10];
    rest.copy_from_slice(bytes.get(6..).unwrap_or(&[0; 10]));
    uuid::Builder::from_unix_timestamp_millis(micros / 1_000, &rest).into_uuid()
}

/// Whose data this is. Every row carries it; there is one, `default`, at first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub String);

impl Default for TenantId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_instant_and_then_by_the_order_of_making() {
        let noon = Micros(1_795_262_400_000_999);
        let mut ids: Vec<CallId> = (0..1_000).map(|_| CallId::new(noon)).collect();
        ids.push(CallId::new(Micros(noon.0 + 1)));
        ids.insert(0, CallId::new(Micros(noon.0 - 1)));
        assert!(ids.is_sorted());
        ids.dedup();
        assert_eq!(ids.len(), 1_002);
    }

    #[test]
    fn ids_are_uuids_of_version_7() {
        let id = CallId::new(Micros(1_795_262_400_123_456)).0;
        assert_eq!(id.get_version(), Some(uuid::Version::SortRand));
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_795_262_400, 123_000_000));
    }
}
