//! What the tests share.

pub mod builders;
pub mod postgres;
