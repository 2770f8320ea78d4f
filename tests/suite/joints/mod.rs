//! The joints between store, gate, worker and wire: real processes under load, killed, stopped and cut off, and a checker
//! that reads what is left.
//!
//! `DIALGATE_SEED` repeats a run's choices, though not the machine's own chance; `DIALGATE_KILLS`, `DIALGATE_BARRIER_FAULTS`,
//! `DIALGATE_DUPLICATES`, `DIALGATE_FOLLOWERS`, `DIALGATE_RINGING` and `DIALGATE_LIST_ROWS` make runs larger. Each run prints its seed, how far it has come, and its
//! figures in one line:
//!
//! ```text
//! DIALGATE_KILLS=500 cargo test --test suite joints::kill_loop::p01 -- --nocapture
//! DIALGATE_DUPLICATES=100000 cargo test --test suite joints::kill_loop::p07 -- --nocapture
//! DIALGATE_BARRIER_FAULTS=100 cargo test --test suite joints::barrier -- --nocapture
//! DIALGATE_LIST_ROWS=2000000 DIALGATE_LIST_KILLS=100 DIALGATE_LIST_REGISTER=10000000 cargo test --test suite joints::lists -- --nocapture
//! DIALGATE_RINGING=2000 cargo test --test suite joints::recovery -- --nocapture --test-threads=1
//! ```

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
mod lists;
mod load;
mod recovery;
mod renewal;
pub mod rng;
pub mod sink;
mod stall;
mod standby;
mod worker;
mod world;
