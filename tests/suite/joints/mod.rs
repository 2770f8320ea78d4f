//! The joints between store, gate, worker and wire: real processes under load, killed, stopped and cut off, and a checker
//! that reads what is left.

mod history;
