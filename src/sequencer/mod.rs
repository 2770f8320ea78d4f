//! Gives the audit entries their places in the transparency log (`audit`), and signs how far it is.
//!
//! Entries are committed with their effects, in any order and by any node; nobody who decides or records waits for a place.
//! The sequencer takes what is committed and has none, in batches, and in one transaction gives the places, extends the tree and
//! signs a checkpoint. One does so at a time ([`crate::store::Tx::hold_audit_log`]); every node has the task, and one that dies
//! or stands still is not missed, for its turn ends with its transaction. What it finds it does not believe: a tree that is not
//! the one of the last signed checkpoint is not signed again, and the operator is told.
//!
//! A witness, if there is one, is handed each checkpoint after its commit, so that who holds the database cannot take it back.

#![deny(missing_docs)]

mod config;
mod key;
mod task;
mod turn;
mod witness;

pub use config::AuditConfig;
pub use key::{KeyProblem, SigningPlace};
pub use task::Sequencing;
pub use turn::{BATCH_MAX, SequenceError, Sequenced, Sequencer};
pub use witness::Witness;
