//! Whether the process lives, and whether the node serves. The first asks nobody, so that a supervisor does not end a process
//! for a database that is away; the second asks the store, so that a balancer sends elsewhere what cannot be done here.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;

use super::refusal::Refusal;
use super::server::Desk;

/// A store that takes longer is as good as none.
const LIMIT: Duration = Duration::from_secs(2);

/// The process lives.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The store answers, and calls are taken.
pub(super) async fn ready(State(desk): State<Arc<Desk>>) -> Result<&'static str, Refusal> {
    if desk.gate.is_closing() {
        return Err(Refusal::not_ready("the node is stopping"));
    }
    match tokio::time::timeout(LIMIT, desk.gate.store().ping()).await {
        Ok(Ok(())) => Ok("ok\n"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store does not answer");
            Err(Refusal::not_ready("the store does not answer"))
        }
        Err(_) => {
            tracing::warn!("not ready: the store does not answer in time");
            Err(Refusal::not_ready("the store does not answer in time"))
        }
    }
}
