//! The one integration test binary: one module an area.

mod cli;
mod gate;
mod grpc;
mod policy;
mod sip;
mod store;
mod support;
