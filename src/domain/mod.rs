//! The vocabulary of the house: people, numbers, permission, calls and decisions, as plain values.
//!
//! Nothing here does I/O, reads a clock or logs. A value that exists is well formed: text from outside is parsed into
//! these types once, at the edge, and nothing deeper sees a raw string. Every other module may name this one; it names
//! none of them.

#![deny(missing_docs)]

pub mod access;
pub mod account;
pub mod call;
pub mod campaign;
pub mod consent;
pub mod decision;
pub mod disposition;
pub mod filter;
pub mod hex;
pub mod ids;
pub mod import;
pub mod instruction;
pub(crate) mod object;
pub mod party;
pub mod phone;
pub mod policy;
pub mod provider;
pub mod register;
pub mod route;
pub mod suppression;
mod text;
pub mod time;
pub mod trunk;
pub mod webhook;

pub use text::{Text, UnknownWord, not_plain};
