//! The one integration test binary: one module an area.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and is read from top to bottom"
)]

mod anchor;
mod cli;
mod console;
mod dialer;
mod gate;
mod grpc;
mod joints;
mod law;
mod policy;
mod sequencer;
mod simulation;
mod sip;
mod store;
mod support;
mod webhook;
