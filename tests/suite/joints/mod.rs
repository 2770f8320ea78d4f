//! The joints between store, gate, worker and wire: real processes under load, killed, stopped and cut off, and a checker
//! that reads what is left.
//!
//! `DIALGATE_SEED` repeats a run's choices, though not the machine's own chance; `DIALGATE_KILLS`, `DIALGATE_BARRIER_FAULTS`
//! and `DIALGATE_DUPLICATES` make runs larger. Each run prints its seed and its figures.

mod barrier;
mod database;
mod endings;
mod followers;
mod history;
mod kill_loop;
mod late;
mod leases;
mod ledger;
mod link;
mod load;
mod rng;
mod sink;
mod stall;
mod worker;
mod world;
