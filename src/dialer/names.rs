//! Keeps what the names of a trunk's destinations stand for up to date: each is asked for again when its records have run
//! out. While no name server answers, what was known last stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::sip::{Endpoint, Found};

use super::targets::Targets;
use super::{Phase, Shared};

/// The pause after a question that nobody answered.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(5);

/// Runs until the worker stops; it ends at once where the destination is an address.
pub(super) async fn run(
    shared: Arc<Shared>,
    trunk: String,
    targets: Arc<Targets>,
    place: usize,
    mut phase: watch::Receiver<Phase>,
) {
    let stopped = phase.wait_for(|phase| *phase == Phase::Stopped);
    tokio::select! {
        biased;
        _ = stopped => {}
        () = keep(&shared.endpoint, &trunk, &targets, place) => {}
    }
}

async fn keep(endpoint: &Endpoint, trunk: &str, targets: &Targets, place: usize) {
    let Some(place) = targets.places.get(place).filter(|place| place.is_named()) else {
        return;
    };
    let destination = &place.route.destination;
    let tls = place.route.trunk.peer.has_tls();
    let mut first = true;
    loop {
        let pause = match endpoint.find(destination, tls).await {
            Ok(Found {
                missed: Some(missed),
                ..
            }) if place.knows_any() => {
                tracing::warn!(trunk, %destination, %missed, "what the name stood for last stays in use");
                UNANSWERED_PAUSE
            }
            Ok(Found {
                answers,
                fresh_for,
                missed,
            }) => {
                let servers = answers.len();
                let news = place.learn(answers);
                if let Some(missed) = missed {
                    tracing::warn!(trunk, %destination, servers, %missed, "not all of what the name stands for is known");
                } else if servers == 0 && (news || first) {
                    tracing::warn!(trunk, %destination, "the name stands for no server");
                } else {
                    tracing::debug!(trunk, %destination, servers, "looked the name up");
                }
                fresh_for
            }
            Err(error) if place.knows_any() => {
                tracing::warn!(trunk, %destination, %error, "what the name stood for last stays in use");
                UNANSWERED_PAUSE
            }
            Err(error) => {
                tracing::warn!(trunk, %destination, %error, "it is not known what the name stands for: no call can go there");
                UNANSWERED_PAUSE
            }
        };
        first = false;
        tokio::time::sleep(pause).await;
    }
}
