//! The joints between store, gate, worker and wire: real processes under load, killed, stopped and cut off, and a checker
//! that reads what is left.
//!
//! `DIALGATE_SEED` repeats a run's choices, though not the machine's own chance; `DIALGATE_KILLS`, `DIALGATE_BARRIER_FAULTS`
//! and `DIALGATE_DUPLICATES` make runs larger. Each run prints its seed and its figures.

mod barrier;
mod database;
mod history;
mod kill_loop;
mod leases;
mod ledger;
mod link;
mod load;
pub mod rng;
mod sink;
mod world;
