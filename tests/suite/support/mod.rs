//! What the tests share.

pub mod builders;
pub mod dns;
pub mod history;
pub mod log;
pub mod phone;
pub mod postgres;
pub mod provider;
pub mod receiver;
pub mod relay;
pub mod streams;
