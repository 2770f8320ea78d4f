//! The public contract over gRPC, and the only module that speaks protobuf.
//!
//! A request passes the guard (`auth`: who may ask what), is parsed into domain types (`convert`), handed to the gate or read
//! from the store, and answered; one file a service. A denial is an answer. Whatever could not be answered becomes a status
//! in `status` and nowhere else. No handler decides anything about the law.

mod audit;
pub mod auth;
mod calls;
pub mod config;
mod consents;
mod contacts;
mod convert;
mod credential;
mod deadline;
mod evaluate;
mod health;
mod hex;
mod paging;
mod policy;
mod replay;
mod server;
mod status;
mod suppressions;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::clock::Clock;
use crate::domain::access::Principal;
use crate::domain::ids::RequestId;
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;
use crate::gate::{Ask, Gate, GateError};
use crate::policy::Pack;
use crate::store::Tx;

pub use config::{GrpcConfig, TlsConfig};
pub use credential::{Credential, NoRandomness};
pub use server::{ServeError, Server, serve};

pub mod client;

/// The messages, clients and servers made from `proto/dialgate/v1`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code is not held to the house's rules"
)]
pub mod pb {
    tonic::include_proto!("dialgate.v1");

    /// The compiled contract, for reflection and for tests that walk over every method.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        tonic::include_file_descriptor_set!("dialgate_descriptor");
}

/// Says what is wrong with an SDP offer. `sip` knows, and `grpc` may not name it.
pub type CheckOffer = Arc<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// What every service works with.
#[derive(Clone)]
struct Api {
    gate: Gate,
    clock: Clock,
    check_offer: CheckOffer,
    /// Ends the streams when the server goes down.
    closing: CancellationToken,
    /// Calls that may be followed at once.
    watches: Arc<Semaphore>,
    /// Changes that may be under way at once, their clients still there or not.
    changes: Arc<Semaphore>,
}

/// Changes under way at once. An opt-out may wait two seconds, so clients that give up and come again must not pile up.
const CHANGES_MAX: usize = 2048;

/// When to come again if so many are.
const CHANGES_RETRY_AFTER: Duration = Duration::from_millis(500);

/// A request that passed the guard.
struct Asked<M> {
    who: Principal,
    message: M,
    /// Hash over the credential and the whole message, to tell a repetition from a reuse of its id.
    digest: [u8; 32],
    at: Micros,
}

impl Api {
    fn open<M: prost::Message>(&self, request: Request<M>) -> Result<Asked<M>, Status> {
        let who = auth::principal(&request)?;
        let message = request.into_inner();
        // With the credential: whoever guesses or reads another's request id is not shown what it made.
        let digest = Sha256::new()
            .chain_update(who.api_key_id.0.as_bytes())
            .chain_update(message.encode_to_vec());
        Ok(Asked {
            who,
            digest: digest.finalize().into(),
            message,
            at: self.clock.read().wall,
        })
    }

    /// The rule pack by which this node judged last; the floor of its tables is looked at again where it decides.
    fn pack(&self) -> Arc<Pack> {
        self.gate.pack()
    }

    async fn read(&self) -> Result<Tx, Status> {
        let tx = self.gate.store().read().await;
        tx.map_err(|error| status::from_store(&error))
    }

    fn key(&self, who: &Principal, number: Phone) -> NumberKey {
        self.gate.store().hasher().key(&who.tenant, number)
    }

    async fn carry_through<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, GateError>> + Send + 'static,
    ) -> Result<T, Status> {
        carry_through(&self.changes, change).await
    }
}

/// Who asks for a change, for the gate.
fn ask(
    who: Principal,
    request_id: RequestId,
    method: &'static str,
    digest: [u8; 32],
    at: Micros,
) -> Ask {
    Ask {
        principal: who,
        request_id,
        method,
        digest,
        at,
    }
}

/// Carries a change through even if the client goes away meanwhile: an opt-out must not stop between its commit and the
/// word to the workers.
async fn carry_through<T: Send + 'static>(
    changes: &Arc<Semaphore>,
    change: impl Future<Output = Result<T, GateError>> + Send + 'static,
) -> Result<T, Status> {
    let Ok(place) = Arc::clone(changes).try_acquire_owned() else {
        return Err(status::busy(
            CHANGES_RETRY_AFTER,
            "as many changes as may be are under way; try again later with the same request id",
        ));
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_bounded_and_outlive_their_clients() {
        let changes = Arc::new(Semaphore::new(1));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, seen) = tokio::sync::oneshot::channel::<()>();
        let slow = async move {
            let _ = wait.await;
            let _ = done.send(());
            Ok(())
        };
        let gone = tokio::time::timeout(Duration::from_millis(10), carry_through(&changes, slow));
        assert!(gone.await.is_err(), "the client goes away");
        let refused = carry_through(&changes, async { Ok(()) }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        go.send(()).unwrap();
        seen.await.unwrap();
        while changes.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        carry_through(&changes, async { Ok(()) }).await.unwrap();
    }
}
