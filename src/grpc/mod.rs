//! The public contract over gRPC, and the only module that speaks protobuf.
//!
//! A request passes the guard (`auth`: who may ask what), is parsed into domain types (`convert`), handed to the gate or read
//! from the store, and answered; one file a service. A denial is an answer. Whatever could not be answered becomes a status
//! in `status` and nowhere else. No handler decides anything about the law.

mod access;
mod audit;
pub mod auth;
mod calls;
mod changes;
pub mod code;
mod config;
mod consents;
mod contacts;
mod convert;
mod counted;
mod credential;
mod deadline;
mod ending;
mod evaluate;
mod health;
mod imports;
mod instructions;
mod log;
mod paging;
mod policy;
mod registers;
mod replay;
mod scrub;
mod server;
mod status;
mod suppressions;
mod trunks;
mod watch;
mod watch_suppressions;
mod webhooks;

use std::future::Future;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::clock::Clock;
use crate::domain::access::Principal;
use crate::domain::account::{Account, AccountKey};
use crate::domain::ids::RequestId;
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::{Micros, Reading};
use crate::domain::trunk::TrunkStatus;
use crate::gate::{Ask, Gate, GateError};
use crate::policy::Pack;
use crate::store::{Tx, Urgency};

use changes::Changes;
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

/// Says what is wrong with an SDP offer for a call of this campaign, or of any within a call. `sip` knows, and `grpc` may not name it.
pub type CheckOffer = Arc<dyn Fn(Option<&str>, &[u8]) -> Result<(), String> + Send + Sync>;

/// How the trunks of this node stand. The worker knows, and `grpc` may not name it.
pub type Trunks = Arc<dyn Fn(Reading) -> Vec<TrunkStatus> + Send + Sync>;

/// What every service works with.
#[derive(Clone)]
struct Api {
    gate: Gate,
    clock: Clock,
    check_offer: CheckOffer,
    trunks: Trunks,
    /// Ends the streams when the server goes down.
    closing: CancellationToken,
    /// Calls that may be followed at once.
    watches: Arc<Semaphore>,
    /// Lists that may be checked at once.
    scrubs: Arc<Semaphore>,
    /// Lists that may be read at once.
    imports: Arc<Semaphore>,
    changes: Changes,
}

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
            .chain_update(who.mark())
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

    fn account_key(&self, who: &Principal, account: &Account) -> AccountKey {
        self.gate.store().account_hasher().key(&who.tenant, account)
    }

    async fn carry_through<T: Send + 'static>(
        &self,
        urgency: Urgency,
        change: impl Future<Output = Result<T, GateError>> + Send + 'static,
    ) -> Result<T, Status> {
        self.changes.carry_through(urgency, change).await
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
