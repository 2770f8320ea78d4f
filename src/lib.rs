//! dialgate: a compliance-gated outbound dialer backend for warm calling.
//!
//! A softphone asks over gRPC for a call; the gate decides on consent, opt-outs, registers, calling hours, caps and
//! legal basis, and stores the decision with every rule, its evidence and its citation; only then does a SIP worker
//! send the INVITE; the outcome goes into a log that an auditor can verify.
//!
//! Modules and their one-way order (held by `tests/tidy.rs`; the map for readers is `docs/ARCHITECTURE.md`):
//!
//! ```text
//! domain <- place <- policy <- store <- gate <- grpc, console \
//!             ^        ^                  ^                    > cli <- main
//!          registry    sip  <-----------  dialer              /
//!          provider (uses http_client; used by gate)      webhook (uses store, http_client; used by cli)
//!          passport (uses http_client; used by sip, dialer)
//!          anchor (uses domain; used by dialer)
//!          audit (uses domain; used by store)             sequencer (uses audit, store, http_client; used by cli)
//! ```

pub mod anchor;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod dialer;
pub mod domain;
pub mod gate;
pub mod grpc;
pub mod http_client;
pub mod meter;
pub mod passport;
pub mod place;
pub mod policy;
pub mod provider;
pub mod registry;
pub mod secret;
pub mod sequencer;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod vital;
pub mod webhook;

/// A judgement is some hundred short texts that are made on one thread and let go on another: with the system's allocator
/// that was a fifth of its time (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
