//! The worker: leases a due call, waits for a channel and a pace token, asks the gate again, dials at once, and stores
//! what happens.
//!
//! Waiting first and asking last matters: a token may take minutes, and a calling window may close or an opt-out arrive
//! meanwhile. Files in the order of a call's life: `lanes` (lease, trunk), `board` (whose turn it is), `tracks` (the trunks with
//! their channels), `agents` and `desk` (the agent's phone, where it is called first), `pace`,
//! `anchoring` (by whose media engines), `vouching` (who signs for it), `attempt` (claim, dial, events), `pair` (agent and person connected), `targets`, `names`, `health`, `state`
//! and `registration` (where a trunk's calls may go), `failover` (the trunk's next target, the next trunk), `late` (what a
//! target says after its turn), `journal` (writing them
//! down), `watch` (what the owner must cancel), `unattended` (calls whose client went away), `sweep` (what dead workers left).

mod agents;
mod anchoring;
mod attempt;
mod board;
mod claims;
mod config;
mod desk;
mod failover;
mod health;
mod journal;
mod lanes;
mod late;
mod names;
mod pace;
mod pair;
mod registration;
mod spread;
mod state;
mod sweep;
mod targets;
mod tracks;
mod unattended;
mod vouching;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch as signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::anchor::{Anchor, Session};
use crate::clock::Clock;
use crate::domain::ids::{CallId, Incarnation, TenantId};
use crate::domain::route::Carrier;
use crate::domain::time::{Micros, Mono, Reading};
use crate::domain::trunk::TrunkStatus;
use crate::gate::Gate;
use crate::passport::Voucher;
use crate::sip::{Control, Endpoint, HangUpCause, Target, Trunk};
use crate::store::Notice;
use crate::vital::vital;

pub use agents::{Agent, AgentConfig, agent_names};
use config::FilesDigest;
pub use config::{DialerConfig, PaceConfig, TrunkConfig, TrunkRoutes};
pub use health::HealthConfig;
pub use registration::RegistrationConfig;
use targets::Targets;
use tracks::Tracks;

/// How often a worker looks by itself for what notices would tell it: opt-outs, hang-ups, queued calls (claim-12).
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// On top of what SIP may take when the worker stops: for claims that are on their way to the wire, and for the store.
const STOP_MARGIN: Duration = Duration::from_secs(4);

/// What is then still without an outcome is given one within this time, if the store takes it.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// One trunk with its limits.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The trunk.
    pub trunk: Arc<Trunk>,
    /// Its section of the configuration.
    pub config: TrunkConfig,
    /// Who vouches for the numbers that its calls show, if anybody does.
    pub voucher: Option<Arc<Voucher>>,
    /// Between whose engines the audio of its calls passes, if by any.
    pub anchor: Option<Arc<Anchor>>,
    targets: Arc<Targets>,
    files: FilesDigest,
    /// Another has taken its place, or none; what keeps its targets up to date ends.
    retired: CancellationToken,
}

impl Lane {
    /// The lane of this trunk at all of its destinations.
    #[must_use]
    pub fn new(routes: TrunkRoutes, config: TrunkConfig) -> Self {
        let trunk = Arc::clone(&routes.trunk);
        let (voucher, files) = (routes.voucher.clone(), routes.files);
        let targets = Arc::new(Targets::new(routes, &config));
        Self {
            trunk,
            config,
            voucher,
            anchor: None,
            targets,
            files,
            retired: CancellationToken::new(),
        }
    }

    /// The same with this media anchor, the one that its section names.
    #[must_use]
    pub fn anchored(self, anchor: Arc<Anchor>) -> Self {
        let anchor = Some(anchor);
        Self { anchor, ..self }
    }

    /// Whether it is the same as it was: its section, that of its anchor, and what stands in the files that it names.
    fn says_the_same(&self, other: &Self) -> bool {
        let same_anchor = match (&self.anchor, &other.anchor) {
            (Some(own), Some(other)) => own.says_the_same(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        same_anchor && self.config == other.config && self.files == other.files
    }

    /// Its name, and what it may carry.
    #[must_use]
    pub fn carrier(&self) -> (String, Carrier) {
        (self.trunk.name.clone(), self.config.carrier())
    }

    /// Whether a call may be sent by it now: nobody may know yet what its name stands for, and its targets may be down or asleep.
    fn may_be_chosen(&self, now: Mono) -> bool {
        self.targets.may_call(now)
    }
}

/// The running worker of this process.
pub struct Dialer {
    shared: Arc<Shared>,
    stop: signal::Sender<Phase>,
    lanes: TaskTracker,
    drain: Duration,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Working,
    /// No call is begun any more; those under way go on.
    Draining,
    /// Everything ends.
    Stopped,
}

/// What the worker's tasks share.
struct Shared {
    gate: Gate,
    endpoint: Endpoint,
    clock: Clock,
    node: String,
    began: Micros,
    /// Which start of which process this is: the owner's name on leases, attempts and the heartbeat.
    me: Incarnation,
    /// The trunks, and what is used of them.
    tracks: Tracks,
    /// The agents whose phones are called first.
    agents: agents::Agents,
    /// Calls that this process leased, claims or has claimed.
    active: Mutex<BTreeMap<CallId, Active>>,
    /// What goes on until the worker has stopped, whatever calls there are.
    keepers: TaskTracker,
    /// Whether other processes share the store.
    has_peers: AtomicBool,
    /// Whether calls that nobody follows any more are ended.
    ends_unattended: bool,
}

/// A call under this process's care.
enum Active {
    /// Leased; waits for its pace token.
    Waiting,
    /// Leased; its agent's phone is called, or has been answered and is on hold.
    Desk {
        control: mpsc::Sender<Control>,
        /// Why it is to end, once it was told to.
        ending: Option<HangUpCause>,
    },
    /// The gate is being asked; the attempt may be committed already.
    Claiming,
    /// Under way; steered through `control`.
    Dialing {
        tenant: TenantId,
        control: mpsc::Sender<Control>,
        /// Why it is to end, once it was told to.
        ending: Option<HangUpCause>,
        /// Its place at its trunk's media anchor.
        session: Option<Arc<Session>>,
    },
}

impl Dialer {
    /// Starts the worker's tasks.
    #[must_use]
    pub fn start(
        gate: Gate,
        endpoint: Endpoint,
        lanes: Vec<Lane>,
        config: &DialerConfig,
        clock: Clock,
    ) -> Self {
        let began = clock.read().wall;
        let me = Incarnation::new(began);
        let shared = Arc::new(Shared {
            gate,
            endpoint,
            node: config.node.clone(),
            began,
            me,
            tracks: Tracks::new(clock.clone()),
            agents: agents::Agents::default(),
            clock,
            active: Mutex::new(BTreeMap::new()),
            keepers: TaskTracker::new(),
            has_peers: AtomicBool::new(false),
            ends_unattended: config.grace().is_some(),
        });
        let (stop, phase) = signal::channel(Phase::Working);
        let dialer = Self {
            shared: Arc::clone(&shared),
            stop,
            lanes: TaskTracker::new(),
            drain: Duration::from_secs(config.drain_seconds),
        };
        shared.agents.take(&config.agents);
        for lane in shared.tracks.take(lanes, &config.paces) {
            keep(&shared, &lane, &phase);
        }
        let lanes = lanes::run(Arc::clone(&shared), phase.clone(), dialer.lanes.clone());
        dialer.lanes.spawn(vital("lanes", lanes));
        let keepers = shared.keepers.clone();
        keepers.spawn(vital(
            "watch",
            watch::run(Arc::clone(&shared), phase.clone()),
        ));
        let unattended = unattended::run(Arc::clone(&shared), config.grace(), phase.clone());
        keepers.spawn(vital("unattended", unattended));
        keepers.spawn(vital("sweep", sweep::run(shared, phase)));
        dialer
    }

    /// Tells how the trunks stand, in the order of their names.
    pub fn standing(&self) -> impl Fn(Reading) -> Vec<TrunkStatus> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |now| shared.tracks.standing(now)
    }

    /// Works with these trunks, paces and agents from now on. Calls under way keep their trunk until they end; a trunk that has not changed
    /// keeps what is known of its targets, and each of the same name its pace and what is used of its channels.
    pub fn take_trunks(&self, lanes: Vec<Lane>, config: &DialerConfig) {
        let phase = self.stop.subscribe();
        self.shared.agents.take(&config.agents);
        for lane in self.shared.tracks.take(lanes, &config.paces) {
            keep(&self.shared, &lane, &phase);
        }
    }

    /// Stops claiming at once, lets calls finish up to the drain limit, then ends them, hears the far ends out and writes the
    /// outcomes.
    pub async fn drain(self) {
        let _ = self.stop.send(Phase::Draining);
        self.lanes.close();
        if tokio::time::timeout(self.drain, self.lanes.wait())
            .await
            .is_err()
        {
            tracing::info!(
                calls = self.shared.active().len(),
                "the drain limit has passed; ending the calls under way"
            );
        }
        let silence = self.shared.tracks.longest_silence();
        let last_words = last_words(&self.shared.endpoint, silence);
        if tokio::time::timeout(last_words, self.end_all())
            .await
            .is_err()
        {
            tracing::warn!(
                calls = self.shared.active().len(),
                unsettled = self.shared.endpoint.unsettled_calls(),
                "stopping though not every call is known to be over at the far end"
            );
        }
        let _ = self.stop.send(Phase::Stopped);
        let keepers = &self.shared.keepers;
        keepers.close();
        let _ = tokio::time::timeout(LAST_ENTRIES, keepers.wait()).await;
    }

    /// Ends what is under way, and waits until it is over at the far end too: a BYE or CANCEL that got lost is sent again by
    /// this process or by nobody, and so is the CANCEL for a phone that a silent target lets ring late.
    async fn end_all(&self) {
        self.shared.hang_up_all();
        // Again and again: a call may just be on its way from its claim to the wire.
        while tokio::time::timeout(LOOK_EVERY, self.lanes.wait())
            .await
            .is_err()
        {
            self.shared.hang_up_all();
        }
        self.shared.endpoint.settled().await;
    }
}

/// Keeps what is known of a trunk's targets up to date until the worker stops or another takes its place.
fn keep(shared: &Arc<Shared>, lane: &Lane, phase: &signal::Receiver<Phase>) {
    for place in 0..lane.targets.places.len() {
        let (trunk, targets) = (lane.trunk.name.clone(), Arc::clone(&lane.targets));
        let names = names::run(Arc::clone(shared), trunk, targets, place, phase.clone());
        keeper(shared, lane, "names", names);
    }
    let health = health::run(Arc::clone(shared), Arc::clone(&lane.targets), phase.clone());
    keeper(shared, lane, "health", health);
    if let Some(anchor) = lane.anchor.clone() {
        let mut phase = phase.clone();
        keeper(shared, lane, "anchor", async move {
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase == Phase::Stopped) => {}
                () = anchor.keep() => {}
            }
        });
    }
    let (registrant, targets) = (Arc::clone(shared), Arc::clone(&lane.targets));
    let registration = registration::run(registrant, targets, lane.retired.clone(), phase.clone());
    shared.keepers.spawn(vital("registration", registration));
}

fn keeper(
    shared: &Shared,
    lane: &Lane,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let retired = lane.retired.clone();
    let work = async move { retired.run_until_cancelled(work).await.unwrap_or_default() };
    shared.keepers.spawn(vital(name, work));
}

/// How long calls may take to end: a trunk that has said nothing yet is given its time before there can be a CANCEL (RFC
/// 3261 section 9.1), and that its own.
fn last_words(endpoint: &Endpoint, silence: Duration) -> Duration {
    silence.min(endpoint.patience()) + endpoint.patience() + STOP_MARGIN
}

impl Shared {
    fn has_peers(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    /// What tells this start of this process from others, for times that are spread.
    fn seed(&self) -> (SocketAddr, i64) {
        (self.endpoint.local_addr(), self.began.0)
    }

    /// Whether a trunk's calls go there, or ours come in: nobody is called at such a place without the gate, whatever name led there.
    fn dials_numbers_at(&self, target: Target) -> bool {
        let place = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
        let (all, _) = self.tracks.all();
        let mut theirs = all.values().flat_map(|track| track.lane.targets.all());
        let own = self.endpoint.local_addr();
        let is_ours = own.port() == target.addr.port()
            && (own.ip().is_unspecified()
                || own.ip().to_canonical() == target.addr.ip().to_canonical());
        is_ours || theirs.any(|each| place(each.addr) == place(target.addr))
    }

    fn active(&self) -> MutexGuard<'_, BTreeMap<CallId, Active>> {
        // A task that panicked while it held the map left it whole: every change is one insertion or removal.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who follow this call, on every node, that its history grew; they look by themselves if this is lost.
    async fn tell(&self, call_id: CallId) {
        let _ = self
            .gate
            .store()
            .notify(&Notice::CallChanged(call_id))
            .await;
    }

    /// Tells a call under way to end; once is enough.
    fn hang_up(&self, call_id: CallId, cause: HangUpCause) {
        if let Some(
            Active::Dialing {
                control, ending, ..
            }
            | Active::Desk { control, ending },
        ) = self.active().get_mut(&call_id)
            && ending.is_none()
        {
            // Nobody listens any more: the call is over, and only its end is still being written. Who looks for calls to
            // end must not find it again and again.
            let full = matches!(
                control.try_send(Control::HangUp { cause }),
                Err(mpsc::error::TrySendError::Full(_))
            );
            *ending = (!full).then_some(cause);
        }
    }

    /// The calls whose agents are on the phone while nobody else is called.
    fn agents_called(&self) -> Vec<CallId> {
        let active = self.active();
        let called = active
            .iter()
            .filter(|(_, active)| matches!(active, Active::Desk { .. }));
        called.map(|(call_id, _)| *call_id).collect()
    }

    /// The lease of a call is no more that its agent was called for.
    fn let_agent_go(&self, call_id: CallId) {
        // It may have been claimed meanwhile.
        let is_there = matches!(self.active().get(&call_id), Some(Active::Desk { .. }));
        if is_there {
            self.hang_up(call_id, HangUpCause::Client);
        }
    }

    fn hang_up_all(&self) {
        let calls: Vec<CallId> = self.active().keys().copied().collect();
        for call_id in calls {
            self.hang_up(call_id, HangUpCause::Drain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::SipConfig;

    /// A carrier that ignores CANCEL is over after 64 T1, and the stop must not be before that.
    #[tokio::test]
    async fn p31_the_last_words_are_as_long_as_the_configured_timers() {
        for (t1_ms, first_response_ms, seconds) in
            [(500, 4_000, 40), (1_000, 10_000, 78), (10, 4_000, 5)]
        {
            let config = SipConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                t1_ms,
                ..SipConfig::default()
            };
            let endpoint = Endpoint::bind(&config, Clock::Real).await.unwrap();
            let trunk = TrunkConfig {
                first_response_timeout_ms: first_response_ms,
                ..TrunkConfig::towards(endpoint.local_addr())
            };
            let silence = trunk.trunk("carrier").unwrap().trunk.first_response_timeout;
            assert_eq!(last_words(&endpoint, silence).as_secs(), seconds);
        }
    }
}
