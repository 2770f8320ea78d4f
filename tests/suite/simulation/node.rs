//! A node and its lives. Each life is a runtime of its own in which the real gate, worker and SIP layer run over the real
//! store; to kill it is to drop the runtime, with all that is under way.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::dialer::{
    Agent, AgentConfig, Dialer, DialerConfig, HealthConfig, Lane, RegistrationConfig, TrunkConfig,
};
use dialgate::domain::call::{CallKind, Purpose, SellerType};
use dialgate::domain::campaign::{CallerId, Campaign};
use dialgate::domain::phone::Phone;
use dialgate::domain::route::{Carrier, Dialing, Route};
use dialgate::domain::time::Micros;
use dialgate::gate::{Campaigns, Gate, GateConfig};
use dialgate::policy::Pack;
use dialgate::sip::{Destination, Endpoint, SipConfig};
use dialgate::store::{Store, StoreConfig};
use tokio::runtime::Runtime;

use super::driver::lock;
use super::streams::NodeStreams;
use super::vessel::{NodeDoor, NodeSocket, Vessel};
use super::world::{AGENTS, CARRIERS, DESKS, NEXT, Shared, node_addr};

/// 2026-11-18, 11:00 in Sydney.
pub const BEGINNING: Micros = Micros(1_794_960_000_000_000);
pub const SELLER: &str = "acme";
pub const CAMPAIGNS: [&str; 2] = ["east", "west"];
pub const CALLER_IDS: [&str; 2] = ["+61255509901", "+61255509902"];
/// Pace of a trunk on a node.
pub const PER_SECOND: u32 = 15;
pub const BURST: u32 = 4;

/// So many transactions at one moment of virtual time are a loop that waits for nothing.
const RESTLESS: usize = 2_000;

pub struct Node {
    pub index: usize,
    /// What the wall clock shows beside the truth. The few microseconds in it keep two nodes from ever reading the same.
    pub offset: i64,
    lives: u64,
    life: Option<Life>,
    /// Dead until then.
    pub down_until: Duration,
}

pub struct Life {
    runtime: Option<Runtime>,
    /// Its end lets the task go that keeps the runtime's clock from moving by itself.
    _still: mpsc::Sender<()>,
    pub vessel: Arc<Vessel>,
    pub gate: Gate,
    dialer: Option<Dialer>,
    /// Where the runtime's clock stands.
    clock_at: Duration,
}

impl Node {
    pub fn new(index: usize) -> Self {
        Self {
            index,
            offset: 1 + 137 * i64::try_from(index).unwrap(),
            lives: 0,
            life: None,
            down_until: Duration::ZERO,
        }
    }

    pub fn life(&self) -> Option<&Life> {
        self.life.as_ref()
    }

    /// Starts the process.
    pub fn start(&mut self, world: &Shared, store: &StoreConfig) {
        self.lives += 1;
        let now = lock(world).now;
        let wall = BEGINNING.plus(now).0 + self.offset;
        let clock = ManualClock::beside_runtime(Micros(wall));
        let vessel = Vessel::new(
            self.index,
            self.lives,
            Arc::clone(&clock),
            Arc::clone(world),
        );
        let parked = Arc::clone(&vessel);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            // What another thread wakes waits until there is nothing else to do.
            .global_queue_interval(u32::MAX)
            .event_interval(u32::MAX)
            .on_thread_park(move || parked.parked())
            .build()
            .unwrap();
        let (still, until) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || until.recv().is_err());
        let (gate, dialer) = runtime.block_on(assemble(&vessel, store));
        vessel.body().open = false;
        self.life = Some(Life {
            runtime: Some(runtime),
            _still: still,
            vessel,
            gate,
            dialer: Some(dialer),
            clock_at: now,
        });
        lock(world).note(format_args!(
            "node {} begins life {}",
            self.index, self.lives
        ));
    }

    /// The end of the process, at once.
    pub fn kill(&mut self) {
        if let Some(mut life) = self.life.take() {
            life.vessel.body().dying = true;
            let runtime = life.runtime.take();
            let Life {
                _still,
                vessel,
                gate,
                dialer,
                ..
            } = life;
            drop(_still);
            drop(runtime);
            drop((gate, dialer));
            vessel.body().store = None;
            lock(&vessel.world)
                .writer
                .take_if(|holder| *holder == (vessel.index, vessel.life));
        }
    }

    /// Runs until nothing is left to do at this moment; not if the process stands still.
    pub fn run(&mut self, world: &Shared) {
        let Some(life) = &mut self.life else { return };
        let now = lock(world).now;
        let vessel = Arc::clone(&life.vessel);
        let (thawed, unclogged, ahead) = {
            let mut body = vessel.body();
            if body.frozen_until > now {
                return;
            }
            (
                body.dying,
                body.clogged_until <= now,
                std::mem::take(&mut body.ahead),
            )
        };
        if thawed {
            return;
        }
        let runtime = life.runtime.as_ref().unwrap();
        let elapsed = now - life.clock_at;
        life.clock_at = now;
        if unclogged {
            vessel.unclog();
        }
        runtime.block_on(async {
            vessel.clock.advance(elapsed.saturating_sub(ahead));
            if !elapsed.is_zero() {
                tokio::time::advance(elapsed).await;
            }
            vessel.idle().await;
        });
        let mut granted = 0;
        while vessel.grant(&mut lock(world)) {
            runtime.block_on(vessel.idle());
            granted += 1;
            if granted > RESTLESS {
                let fault = format!("node {} does not come to rest at one moment", self.index);
                lock(world).checks.wrong.push(fault);
                return;
            }
        }
    }

    /// Gives the process something to do.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.life.as_ref().and_then(|life| life.runtime.as_ref()) {
            runtime.spawn(task);
        }
    }

    /// Asks the process to stop in order, as SIGTERM does; false if it was asked before.
    pub fn stop(&mut self) -> bool {
        let Some(life) = &mut self.life else {
            return false;
        };
        let Some(dialer) = life.dialer.take() else {
            return false;
        };
        let (gate, vessel) = (life.gate.clone(), Arc::clone(&life.vessel));
        self.spawn(async move {
            gate.close();
            dialer.drain().await;
            vessel.body().dying = true;
        });
        true
    }

    /// Somebody sets the wall clock.
    pub fn step_wall(&mut self, offset: i64) {
        if let Some(life) = &self.life {
            life.vessel.clock.step_wall(offset - self.offset);
        }
        self.offset = offset;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn assemble(vessel: &Arc<Vessel>, store: &StoreConfig) -> (Gate, Dialer) {
    static PACK: std::sync::LazyLock<Arc<Pack>> =
        std::sync::LazyLock::new(|| Arc::new(Pack::embedded().unwrap()));
    let door = Arc::new(NodeDoor(Arc::clone(vessel)));
    let store = Store::open(store).await.unwrap().behind(door);
    vessel.body().store = Some(store.clone());
    let clock = Clock::Manual(Arc::clone(&vessel.clock));
    let reader = clock.clone();
    let config = GateConfig {
        trunks: CAMPAIGNS
            .map(|name| (name.to_owned(), Carrier::of_all(60)))
            .into(),
        ..GateConfig::default()
    };
    let campaigns = Campaigns::new(CAMPAIGNS.map(campaign).to_vec());
    let gate = Gate::start(
        store,
        Arc::clone(&PACK),
        campaigns,
        config,
        Arc::new(move || reader.read()),
    );
    gate.settle().await.unwrap();
    let sip = SipConfig {
        listen: node_addr(vessel.index),
        ..SipConfig::default()
    };
    let socket = Box::new(NodeSocket(Arc::clone(vessel)));
    let streams = Box::new(NodeStreams(Arc::clone(vessel)));
    let endpoint = Endpoint::over(socket, streams, &sip, clock.clone()).unwrap();
    let config = DialerConfig {
        node: format!("node{}", vessel.index),
        drain_seconds: 4,
        agents: agents(),
        ..DialerConfig::default()
    };
    let dialer = Dialer::start(gate.clone(), endpoint, lanes(), &config, clock);
    (gate, dialer)
}

/// A trunk to each carrier, named like the campaign that uses it; the first has a second target and is asked for signs of
/// life, the second wants to be registered at.
fn lanes() -> Vec<Lane> {
    let lane = |(name, target): (&str, &str)| {
        let some = |count| NonZeroU32::new(count).unwrap();
        let config = TrunkConfig {
            fallback_targets: match target == CARRIERS[0] {
                true => vec![format!("tcp:{NEXT}").parse().unwrap()],
                false => Vec::new(),
            },
            health: HealthConfig {
                interval_seconds: if target == CARRIERS[0] { 1 } else { 0 },
                timeout_ms: 1_000,
                ..HealthConfig::default()
            },
            registration: (target == CARRIERS[1]).then(|| RegistrationConfig {
                registrar: None,
                user: "dialgate".to_owned(),
                contact_user: None,
                expires_seconds: 60,
            }),
            username: Some("dialgate".to_owned()),
            password_file: Some(password_file()),
            ring_timeout_seconds: 15,
            first_response_timeout_ms: 2_500,
            calls_per_second: some(PER_SECOND),
            burst: some(BURST),
            channels: some(60),
            ..TrunkConfig::towards(target.parse::<Destination>().unwrap())
        };
        Lane::new(config.trunk(name).unwrap(), config)
    };
    CAMPAIGNS.into_iter().zip(CARRIERS).map(lane).collect()
}

/// Agents whose phones are called first for some calls.
fn agents() -> Vec<Agent> {
    let agent = |name: &str| {
        let config = AgentConfig {
            username: Some("dialgate".to_owned()),
            password_file: Some(password_file()),
            ring_timeout_seconds: 3,
            first_response_timeout_ms: 2_500,
            wait_seconds: 4,
            ..AgentConfig::at(&format!("sip:{name}@{DESKS}"))
        };
        config.agent(name).unwrap()
    };
    AGENTS.into_iter().map(agent).collect()
}

fn password_file() -> PathBuf {
    static FILE: std::sync::LazyLock<tempfile::NamedTempFile> = std::sync::LazyLock::new(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "correct horse").unwrap();
        file
    });
    FILE.path().to_owned()
}

/// By the trunk of its name; the calls of the first campaign by the other's too, when all targets of their own have failed.
fn dialing(name: &str) -> Dialing {
    let mut dialing = Dialing::by(name);
    if name == CAMPAIGNS[0] {
        dialing.routes.push(Route {
            priority: 1,
            ..Route::by(CAMPAIGNS[1])
        });
    }
    dialing
}

pub fn campaign(name: &str) -> Campaign {
    let caller_id = |number: &str| CallerId {
        number: Phone::parse(number).unwrap(),
        owned: true,
        callable: true,
        in_directory: false,
    };
    Campaign {
        campaign_id: name.to_owned(),
        active: true,
        seller: SELLER.to_owned(),
        seller_type: SellerType::ForProfit,
        purpose: Purpose::Sales,
        subject: None,
        sector: None,
        controller_country: None,
        call_kinds: vec![CallKind::LiveManual],
        caller_ids: CALLER_IDS.map(caller_id).to_vec(),
        destinations: vec!["AU".to_owned()],
        dialing: dialing(name),
        registrations: Vec::new(),
        special_category: false,
        atds: false,
        new_product: false,
        introduction: None,
        voice: None,
    }
}
