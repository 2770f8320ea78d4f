//! The one way to ask "may we call?", and the one place where an answer takes effect.
//!
//! Questions go through [`batch`]: one transaction decides all that is waiting. Opt-outs go their own way, at once
//! ([`suppress`]); what else people tell us about a person is in [`records`]; whole lists are judged in [`scrub`]; who is asked
//! elsewhere before a question is put is in [`providers`]. The gate never sees the clock: it is given
//! a way to read it, and reads it once, before the transaction begins (claim-1).

mod batch;
mod caller_ids;
mod campaigns;
mod case;
mod claim;
mod config;
mod contacts;
mod cores;
mod counted;
mod dispositions;
mod effects;
mod error;
mod facts;
mod imports;
mod instructions;
mod job;
mod judge;
mod law;
mod lifts;
mod policy;
mod presence;
mod providers;
mod records;
mod registers;
mod replay;
mod room;
mod scrub;
mod stops;
mod suppress;
mod together;
mod webhooks;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::domain::access::Principal;
use crate::domain::call::{Call, CallRequest};
use crate::domain::decision::Decision;
use crate::domain::ids::{RequestId, TenantId};
use crate::domain::route::Carriers;
use crate::domain::time::{Micros, Reading};
use crate::policy::Pack;
use crate::store::Store;
use crate::vital::vital;
use together::Together;

pub use batch::BATCH_MAX;
pub use campaigns::Campaigns;
pub use claim::{ClaimRequest, Claimed};
pub use config::{CampaignConfig, GateConfig};
pub use contacts::ContactDraft;
pub use dispositions::NewDisposition;
pub use error::GateError;
pub use imports::{
    ConsentColumns, ConsentDefaults, ConsentRows, ImportNews, ImportPiece, ImportProgress,
    ListEncoding, ListForm, ListRows, ListSettings, NewImport, Packing, SuppressionColumns,
    SuppressionDefaults, SuppressionRows, cells_of_line, lines_of_list,
};
pub use lifts::{LiftStep, NewLift};
pub use policy::{Activated, PackSource};
pub use presence::{Attendance, Presence, PresenceChanges};
pub use providers::provider_problems;
pub use records::NewConsent;
pub use registers::{
    NewRegister, RegisterContent, RegisterDiff, RegisterImport, RegisterLines, RegisterRefusal,
    RegisterReject, RegisterStatus, RegistryConfig,
};
pub use replay::{ReplayOutcome, ReplayProblem, Replayed, Said};
pub use scrub::{RowProblem, SCRUB_BATCH_MAX, Scrub, ScrubRow, ScrubTally, ScrubTerms, Scrubbed};
pub use stops::NewRegionStop;
pub use suppress::{BARRIER_WAIT, NewSuppression};
pub use webhooks::WebhookStatus;

/// Reads both clocks together.
pub type ReadClocks = Arc<dyn Fn() -> Reading + Send + Sync>;

/// What a request to place a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The decision, with every rule.
    pub decision: Decision,
    /// The call as it was queued, if the verdict is allow.
    pub call: Option<Call>,
}

/// Who asks for a change, under which name, and when.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The accepted credential.
    pub principal: Principal,
    /// The caller's name for the request.
    pub request_id: RequestId,
    /// Which method, so that one id cannot mean two things.
    pub method: &'static str,
    /// Hash of everything that was asked.
    pub digest: [u8; 32],
    /// When it arrived.
    pub at: Micros,
}

/// The gate. Cheap to clone; all clones share one queue.
#[derive(Clone)]
pub struct Gate {
    core: Arc<Core>,
    queue: mpsc::Sender<job::Job>,
}

/// What the tasks of the gate share.
struct Core {
    store: Store,
    law: law::Law,
    campaigns: Campaigns,
    /// What each trunk may carry; taken anew when the trunks are.
    carriers: RwLock<Arc<Carriers>>,
    /// The names of the agents whose phones can be called; taken anew with the trunks.
    agents: RwLock<BTreeSet<String>>,
    config: GateConfig,
    read: ReadClocks,
    rooms: room::Rooms,
    shelf: registers::Shelf,
    providers: providers::Providers,
    scrubs: scrub::Places,
    presence: Arc<presence::Presence>,
    /// Opt-outs to be recorded, and those whose wait is over.
    recording: Together<suppress::Wish, Result<suppress::Recorded, GateError>>,
    passing: Together<suppress::Wish, Result<(), GateError>>,
    /// No call is queued any more: the node is about to stop.
    closing: AtomicBool,
}

impl Core {
    fn carriers(&self) -> Arc<Carriers> {
        // Whole after a panic: it is only ever put in another's place.
        let all = self.carriers.read();
        Arc::clone(&all.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gate {
    /// Starts the task that decides. It ends when the last clone of the gate is dropped. The pack is what the configuration
    /// brings; which one decides is in the store.
    #[must_use]
    pub fn start(
        store: Store,
        pack: Arc<Pack>,
        campaigns: Campaigns,
        config: GateConfig,
        read: ReadClocks,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(config.queue_max.max(1));
        let core = Arc::new(Core {
            law: law::Law::new(pack, config.emergency_regions.clone()),
            shelf: registers::Shelf::new(config.registry.clone()),
            providers: providers::Providers::new(config.providers.clone()),
            store,
            campaigns,
            carriers: RwLock::new(Arc::new(config.trunks.clone())),
            agents: RwLock::new(config.agents.clone()),
            config,
            read,
            rooms: room::Rooms::default(),
            scrubs: scrub::Places::default(),
            presence: Arc::default(),
            recording: Together::default(),
            passing: Together::default(),
            closing: AtomicBool::new(false),
        });
        tokio::spawn(vital("gate", batch::run(Arc::clone(&core), jobs)));
        Self { core, queue }
    }

    /// The store behind the gate, for reading.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The rule pack by which this node judged last: for reading numbers and places, never for a verdict.
    #[must_use]
    pub fn pack(&self) -> Arc<Pack> {
        self.core.law.latest()
    }

    /// Settles what this node's configuration brings, and loads the pack in force; a node that cannot does not start.
    pub async fn settle(&self) -> Result<(), GateError> {
        self.policy_now(&TenantId::default()).await.map(drop)
    }

    async fn settled(&self, tenant: &TenantId) -> Result<(), GateError> {
        let at = self.read().wall;
        let law = &self.core.law;
        if law.is_settled(tenant) {
            return Ok(());
        }
        law.prepare(self.store(), tenant, law::Look::Unsettled, at)
            .await
    }

    /// The campaigns that calls are placed under.
    #[must_use]
    pub fn campaigns(&self) -> &Campaigns {
        &self.core.campaigns
    }

    /// What each trunk may carry at present.
    #[must_use]
    pub fn carriers(&self) -> Arc<Carriers> {
        self.core.carriers()
    }

    /// Takes calls for these agents from now on.
    pub fn take_agents(&self, agents: BTreeSet<String>) {
        let all = self.core.agents.write();
        *all.unwrap_or_else(PoisonError::into_inner) = agents;
    }

    /// Whether there is an agent of this name, whose phone can be called first.
    #[must_use]
    pub fn knows_agent(&self, name: &str) -> bool {
        let all = self.core.agents.read();
        all.unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Judges by these trunks from now on.
    pub fn take_carriers(&self, carriers: Carriers) {
        let all = self.core.carriers.write();
        *all.unwrap_or_else(PoisonError::into_inner) = Arc::new(carriers);
    }

    /// Reads the clocks that the gate was given.
    #[must_use]
    pub fn read(&self) -> Reading {
        (self.core.read)()
    }

    /// Queues no call any more; what else is asked is still answered. The node is about to stop.
    pub fn close(&self) {
        self.core.closing.store(true, Ordering::Relaxed);
    }

    /// Whether calls are still queued here.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.core.closing.load(Ordering::Relaxed)
    }

    /// The question without the wish: decides and records, reserves nothing. What providers have to say is asked first.
    pub async fn check(&self, request: CallRequest) -> Result<Decision, GateError> {
        self.consult(&request).await;
        self.ask(|reply| job::Job::Check { request, reply }).await
    }

    /// Decides and, if allowed, queues the call. Its permit is dropped: the worker asks again. What providers have to say is
    /// asked first.
    pub async fn place(&self, request: CallRequest) -> Result<Placed, GateError> {
        let request_id = request.request_id.ok_or_else(|| {
            GateError::invalid("request_id", "is missing; send a UUID of your own making")
        })?;
        if self.is_closing() {
            return Err(GateError::Closing);
        }
        self.consult(&request).await;
        self.ask(|reply| job::Job::Place {
            request,
            request_id,
            reply,
        })
        .await
    }

    /// Asks again at dial time. The only way by which a permit leaves the gate, its attempt row being committed.
    pub async fn claim(&self, claim: ClaimRequest) -> Result<Claimed, GateError> {
        self.ask(|reply| job::Job::Claim {
            claim: Box::new(claim),
            reply,
        })
        .await
    }

    async fn ask<T>(&self, job: impl FnOnce(job::Reply<T>) -> job::Job) -> Result<T, GateError> {
        const RETRY_AFTER: Duration = Duration::from_millis(500);
        let (reply, answer) = oneshot::channel();
        let place = self.queue.try_reserve().map_err(|_| GateError::Busy {
            retry_after: RETRY_AFTER,
        })?;
        place.send(job(reply));
        // INVARIANT: every job is answered; the task ends with the last gate, or takes the process with it.
        answer.await.unwrap_or(Err(GateError::Busy {
            retry_after: RETRY_AFTER,
        }))
    }
}
