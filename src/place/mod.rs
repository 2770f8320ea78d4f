//! Where a called person may be, and whether a number may be dialed at all. Pure: evidence in, sets of places and clocks out.
//!
//! [`dialable`] is the floor under every call: emergency, short, premium and placeless numbers are refused here, and no
//! configuration opens it. [`locate`] turns what is known of a person into sets, because calling-hours law is judged where
//! the called person is and the number only says where it was once issued: a call must be lawful in every member.
//!
//! The tables are `rules/numbering/*.csv`; the phone library's own zone map is never used, nor are the machine's zone
//! files: clocks come from the database bundled with jiff, whose version decisions name.
//!
//! Read `tables` for the data, `floor` for the refusals, `evidence` for the order of evidence, `regions` for what lies within what.

#![deny(missing_docs)]

mod evidence;
mod floor;
mod kinds;
mod regions;
mod rows;
mod sheets;
mod spelling;
mod stand_in;
mod tables;
mod written;
mod zone;

pub use evidence::{Place, knows_region, locate, zone_of_place};
pub use floor::{Dialable, NotDialable, dialable, is_emergency};
pub use spelling::{Unreadable, spelled};
pub use stand_in::stand_in;
pub use tables::{TableProblem, TableProblems, Tables};
pub use written::{HomeCountry, NotANumber, read_number};
pub use zone::{Zone, zone_data_version};
