//! The contract over real gRPC: a server in this process on a loopback port, over a store of its own, asked by tonic's client.
//! Time stands still at an hour at which Atlanta may be called; no worker dials.

mod access;
mod calls;
mod consent_imports;
mod effects;
mod following;
pub(crate) mod house;
mod imports;
mod input;
mod lists;
mod log;
mod people;
mod policy;
mod registers;
mod replay;
mod scopes;
mod scrub;
mod surface;
mod trunks;
mod webhooks;
