//! Typed identifiers. UUIDs are version 7, so they sort by the time of their making.

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
            /// A new identifier that sorts by `at`; the rest of it is random.
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

ids! {
    /// A call: what the softphone asked for, and everything that came of it.
    CallId,
    /// One claimed try to reach one number: the durable row behind a permit.
    AttemptId,
    /// A stored verdict with every rule, its evidence and its citation.
    DecisionId,
    /// One entry in the history of a call.
    EventId,
    /// One act of giving or withdrawing consent.
    ConsentEventId,
    /// A record that blocks calls.
    SuppressionId,
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
    /// The caller's name for one mutating request; repeating it repeats the answer.
    RequestId,
}

fn new_v7(at: Micros) -> Uuid {
    let micros = u64::try_from(at.0).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(
        uuid::NoContext,
        micros / 1_000_000,
        nanos,
    ))
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
