//! Tells others of changes of opt-outs: signed, in their order, at least once each, until they say that they have it.
//!
//! A change is an outgoing message by its position (`store/changes.rs`), so that nobody who records an opt-out waits for one or
//! writes one. Of each webhook the store keeps one row: how far it is, and whose turn it is ([`crate::store::WebhookRow`]). What
//! comes next is a pure step (`step`); the task around it (`task`) asks the store, delivers with no transaction open, and writes
//! down what came of it. Nothing here decides anything about a call, and when all of it fails the gate does not notice.

mod config;
mod letter;
mod signature;
mod step;
mod task;

use std::time::Duration;

use crate::http_client::Courier;

pub use config::WebhookConfig;
pub use signature::SigningKeys;
pub use step::BATCH_MAX;
pub use task::{Post, Turn, Webhooks};

/// A webhook as the configuration describes it.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name, under which the store keeps how far it is.
    pub name: String,
    /// Who carries it, and where to.
    pub courier: Courier,
    /// What it is signed with.
    pub keys: SigningKeys,
    /// How long a delivery may take.
    pub timeout: Duration,
    /// For how long it is tried in vain before it is parked.
    pub retry_for: Duration,
}
