//! What is told and asked over plain HTTP: health, metrics, and consents that web forms send. The only module that speaks
//! HTTP to whoever connects.
//!
//! A form passes its signature (`signature`), is read into the words of the house (`form`) and goes through the same function
//! of the gate as `RecordConsent`; what counts is decided by the rules and nowhere here. Whatever could not be done becomes
//! an answer in `refusal`. Nothing here decides anything about the law, and nothing here speaks TLS: the listener is for this
//! machine, and a proxy with TLS stands before what others may reach.

mod bounds;
pub mod config;
mod consents;
mod figures;
mod form;
mod health;
mod listener;
mod refusal;
mod server;
mod signature;

pub use config::{ConsentSource, ConsentSourceConfig, ConsoleConfig};
pub use server::{Console, ConsoleError, Node, serve};
