//! How a trunk stands on one node: whether it takes calls, and what is known of each of its targets.

use super::text::words;
use super::time::Micros;

words! {
    /// Whether a trunk takes calls.
    TrunkState, "state of a trunk" {
        /// It does.
        Up = "up",
        /// None of its targets is known, or none gives a sign of life.
        Down = "down",
        /// Each target that lives asked to be left alone for a while.
        Asleep = "asleep",
        /// It has to be registered, and is not.
        Unregistered = "unregistered",
    }
}

words! {
    /// Whether a target is sent calls.
    TargetState, "state of a target" {
        /// It is.
        Up = "up",
        /// It gives no sign of life.
        Down = "down",
        /// It asked to be left alone for a while.
        Asleep = "asleep",
    }
}

words! {
    /// Whether a trunk is registered.
    RegistrationState, "state of a registration" {
        /// The registrar keeps our address.
        Registered = "registered",
        /// It does not yet, or not any more: it was not asked, or did not answer.
        Unregistered = "unregistered",
        /// It refused, and is asked again after a long pause.
        Refused = "refused",
    }
}

/// The last time that something went wrong, and what: `timeout`, `lost`, or `sip_` and the code that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Micros,
    /// What, in one word.
    pub reason: String,
}

/// How a target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// Address and port.
    pub address: String,
    /// Whether it is sent calls.
    pub state: TargetState,
    /// Since when.
    pub since: Micros,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// How a registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationStatus {
    /// Whether there is one.
    pub state: RegistrationState,
    /// Since when.
    pub since: Micros,
    /// Until when the registrar keeps it, if it is not refreshed.
    pub expires_at: Option<Micros>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// How a trunk stands on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it takes calls.
    pub state: TrunkState,
    /// Since when.
    pub since: Micros,
    /// What is known of its targets, in the order in which they are tried.
    pub targets: Vec<TargetStatus>,
    /// Calls of this node that are under way.
    pub calls: u32,
    /// Calls at a time that it takes from this node.
    pub channels: u32,
    /// New calls a second that it is sent now, in thousandths: less than configured while a target is asleep.
    pub calls_per_second_milli: u32,
    /// Whether it is registered, where it has to be.
    pub registration: Option<RegistrationStatus>,
}
