//! The law, pure: facts in, judgement out, and a permit if and only if the verdict is allow.
//!
//! No I/O, no clock, no logging. Start reading at [`evaluate`]; the kinds of rule stand in `kinds`, one file each.

#![deny(missing_docs)]

pub mod facts;
mod permit;

pub use permit::{Permit, PermitExpired};
