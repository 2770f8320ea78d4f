//! The law, pure: facts in, judgement out, and a permit if and only if the verdict is allow.
//!
//! No I/O, no clock, no logging. Start reading at [`evaluate`]; the kinds of rule stand in `kinds`, one file each.

#![deny(missing_docs)]

pub mod facts;
mod pack;
mod permit;

pub use pack::{Pack, PackProblem, PackProblems};
pub use permit::{Permit, PermitExpired};

use crate::domain::decision::Judgement;
use crate::domain::time::Reading;
use facts::Case;

/// What every rule in play says of the case at `case.call.at`, and what follows from it.
#[must_use]
pub fn judge(pack: &Pack, case: &Case) -> Judgement {
    let _ = (pack, case);
    todo!()
}

/// Judges the case, and hands out a permit if and only if the verdict is allow and the instant judged is the one just
/// read off the clocks.
#[must_use]
pub fn evaluate(pack: &Pack, case: &Case, read: Reading) -> (Judgement, Option<Permit>) {
    let _ = (pack, case, read);
    todo!()
}
