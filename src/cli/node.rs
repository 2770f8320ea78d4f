//! One node, put together: store, gate, worker and servers. `serve` runs it until it is told to stop, `demo` for half a
//! minute.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow};

use crate::clock::Clock;
use crate::config::Config;
use crate::console::{self, Console};
use crate::dialer::{Dialer, agent_names};
use crate::gate::{Campaigns, Gate};
use crate::grpc::{self, CheckOffer, Server, Trunks};
use crate::meter::NodeStanding;
use crate::sequencer::{Sequencer, Sequencing};
use crate::sip::{self, Endpoint};
use crate::store::Store;
use crate::webhook::Webhooks;

/// A running node.
pub struct Node {
    store: Store,
    server: Server,
    console: Option<Console>,
    gate: Gate,
    dialer: Dialer,
    webhooks: Webhooks,
    sequencing: Sequencing,
    sip_addr: SocketAddr,
}

impl Node {
    /// Starts everything; what cannot be started in full is not started at all.
    pub async fn start(config: Config, clock: Clock) -> Result<Self> {
        let store = Store::open(&config.store)
            .await
            .context("the store cannot be opened")?;
        let place = config.audit.signing_place(&config.store.key_file);
        let sequencer = Sequencer::open(store.clone(), &place, clock.clone())
            .await
            .context("the audit log cannot be signed")?;
        let witness = config.audit.witness();
        let witness = witness.map_err(|problems| anyhow!("[audit] {}", problems.join("; ")))?;
        let endpoint = Endpoint::bind(&config.sip, clock.clone())
            .await
            .with_context(|| format!("[sip] listen: cannot bind `{}`", config.sip.listen))?;
        let sip_addr = endpoint.local_addr();
        let campaigns = Campaigns::new(config.campaigns);
        let reader = clock.clone();
        let gate = Gate::start(
            store.clone(),
            config.pack,
            campaigns,
            config.gate,
            Arc::new(move || reader.read()),
        );
        gate.settle()
            .await
            .context("the rule pack in force cannot be used")?;
        gate.look_at_registers()
            .await
            .context("the registers in force cannot be read")?;
        gate.follow_registers();
        // Before anybody is served, or a new webhook would miss what is acknowledged until it begins.
        let webhooks = Webhooks::start(&store, config.webhooks, &clock)
            .await
            .context("the webhooks cannot be begun")?;
        // The worker begins when the doors are open: who asks before it does hears of no trunk.
        let standing = Arc::new(OnceLock::new());
        let known = Arc::clone(&standing);
        let trunks: Trunks = Arc::new(move |now| {
            let standing: Option<&Trunks> = known.get();
            standing.map_or_else(Vec::new, |standing| standing(now))
        });
        let (known, tables) = (Arc::clone(&trunks), endpoint.standing());
        let about_us: console::Node = Arc::new(move |now| NodeStanding {
            trunks: known(now),
            sip: tables(),
        });
        let asked = (offer_check(&gate), trunks);
        let server = grpc::serve(&config.grpc, gate.clone(), asked, clock.clone()).await?;
        let console = match &config.console {
            Some(console) => {
                Some(console::serve(console, gate.clone(), about_us, clock.clone()).await?)
            }
            None => None,
        };
        let dialer = Dialer::start(gate.clone(), endpoint, config.lanes, &config.dialer, clock);
        let sequencing = Sequencing::start(&sequencer, witness);
        let _ = standing.set(Arc::new(dialer.standing()) as Trunks);
        Ok(Self {
            store,
            server,
            console,
            gate,
            dialer,
            webhooks,
            sequencing,
            sip_addr,
        })
    }

    /// The store of this node.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where clients are served.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where the console listens, if it does.
    #[must_use]
    pub fn console_addr(&self) -> Option<SocketAddr> {
        self.console.as_ref().map(Console::local_addr)
    }

    /// Where SIP is spoken.
    #[must_use]
    pub fn sip_addr(&self) -> SocketAddr {
        self.sip_addr
    }

    /// Works with the trunks, paces and agents of this configuration from now on, and drops no call; or tells why not, and changes nothing.
    pub fn take_trunks(&self, config: Config) -> Result<()> {
        let carriers = config.carriers();
        for campaign in self.gate.campaigns().all() {
            let mut routes = campaign.dialing.routes.iter();
            if let Some(route) = routes.find(|route| !carriers.contains_key(&route.trunk)) {
                anyhow::bail!(
                    "the campaign `{}` goes by the trunk `{}`, for which there is no section any more; keep it until the server is \
                     started with another campaign",
                    campaign.campaign_id,
                    route.trunk
                );
            }
        }
        self.gate.take_carriers(carriers);
        self.gate.take_agents(agent_names(&config.dialer.agents));
        self.dialer.take_trunks(config.lanes, &config.dialer);
        Ok(())
    }

    /// Stops in order: no call is taken or begun any more, those under way end, their followers see it, then the doors close.
    pub async fn stop(self) {
        self.gate.close();
        self.dialer.drain().await;
        let console = async {
            if let Some(console) = self.console {
                console.stop().await;
            }
        };
        tokio::join!(self.server.stop(), console);
        self.webhooks.stop().await;
        self.sequencing.stop().await;
    }
}

/// What an offer has to be: plain RTP, or whatever the media anchors of all trunks of the campaign take. Within a call it is its
/// owner who knows the trunk, and has the last word.
fn offer_check(gate: &Gate) -> CheckOffer {
    let gate = gate.clone();
    Arc::new(move |campaign: Option<&str>, offer: &[u8]| {
        let carriers = gate.carriers();
        let is_anchored = match campaign {
            Some(name) => {
                let campaign = gate.campaigns().get(name);
                campaign.is_some_and(|campaign| campaign.dialing.is_anchored(&carriers))
            }
            None => carriers.values().any(|carrier| carrier.anchored),
        };
        let checked = match is_anchored {
            true => sip::check_anchored_offer(offer),
            false => sip::check_offer(offer),
        };
        checked.map_err(|problem| problem.to_string())
    })
}
