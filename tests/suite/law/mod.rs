//! The law held against a second reading of it: a deliberately naive evaluator of its own, and what must be true of every
//! case whatever the rules say.

mod agreement;
mod book;
mod cases;
mod clocks;
mod compare;
mod days;
mod disguises;
mod fact;
mod grounds;
mod kinds;
mod next;
mod once;
mod packs;
mod place;
mod properties;
mod replay;
pub mod samples;
mod verdict;
