//! Changes under way: each is carried through though its client goes away, and there is a bound to how many there are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::status;
use crate::gate::GateError;
use crate::store::Urgency;

/// Ordinary changes under way at once: clients that give up and come again must not pile up.
const CHANGES_MAX: usize = 2048;

/// Wishes to be left alone that are under way at once: no more than the store's connections for them have done before one
/// is given up, though each may wait two seconds for the barrier. How many wait for a place is bounded by the streams of
/// the client's connections.
const WISHES_MAX: usize = 256;

/// When to come again if so many are.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Places for changes.
#[derive(Clone)]
pub(super) struct Changes {
    ordinary: Arc<Semaphore>,
    wishes: Arc<Semaphore>,
}

impl Changes {
    pub fn new() -> Self {
        Self::with_places(CHANGES_MAX, WISHES_MAX)
    }

    fn with_places(ordinary: usize, wishes: usize) -> Self {
        Self {
            ordinary: Arc::new(Semaphore::new(ordinary)),
            wishes: Arc::new(Semaphore::new(wishes)),
        }
    }

    /// Carries a change through even if the client goes away meanwhile: an opt-out must not stop between its commit and
    /// the word to the workers. A wish to be left alone is never refused for want of room, and no other change takes its.
    pub async fn carry_through<T: Send + 'static>(
        &self,
        urgency: Urgency,
        change: impl Future<Output = Result<T, GateError>> + Send + 'static,
    ) -> Result<T, Status> {
        let place = self.place(urgency).await?;
        let carried = tokio::spawn(async move {
            let outcome = change.await;
            drop(place);
            outcome
        });
        match carried.await {
            Ok(outcome) => outcome.map_err(|error| status::from_gate(&error)),
            Err(_) => Err(status::internal("the task of a request ended early")),
        }
    }

    async fn place(&self, urgency: Urgency) -> Result<OwnedSemaphorePermit, Status> {
        let place = match urgency {
            Urgency::OptOut => Arc::clone(&self.wishes).acquire_owned().await.ok(),
            Urgency::Ordinary => Arc::clone(&self.ordinary).try_acquire_owned().ok(),
        };
        place.ok_or_else(|| {
            status::busy(
                RETRY_AFTER,
                "as many changes as may be are under way; try again later with the same request id",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_bounded_and_outlive_their_clients() {
        let changes = Changes::with_places(1, 1);
        let carry = |urgency| changes.carry_through(urgency, async { Ok(()) });
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, seen) = tokio::sync::oneshot::channel::<()>();
        let slow = async move {
            let _ = wait.await;
            let _ = done.send(());
            Ok(())
        };
        let slow = changes.carry_through(Urgency::Ordinary, slow);
        let gone = tokio::time::timeout(Duration::from_millis(10), slow);
        assert!(gone.await.is_err(), "the client goes away");
        let refused = carry(Urgency::Ordinary).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        carry(Urgency::OptOut).await.unwrap();
        go.send(()).unwrap();
        seen.await.unwrap();
        while changes.ordinary.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        carry(Urgency::Ordinary).await.unwrap();
    }

    #[tokio::test]
    async fn a_wish_waits_for_its_place() {
        let changes = Changes::with_places(1, 1);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let first = changes.carry_through(Urgency::OptOut, async move {
            let _ = wait.await;
            Ok(1)
        });
        let second = changes.carry_through(Urgency::OptOut, async { Ok(2) });
        let release = async {
            tokio::task::yield_now().await;
            go.send(()).unwrap();
        };
        let (first, second, ()) = tokio::join!(first, second, release);
        assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
    }
}
