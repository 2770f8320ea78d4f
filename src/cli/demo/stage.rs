//! The stage of the demo: a simulated carrier that speaks real SIP, a real node on an embedded store in a temporary
//! folder, and three credentials, all on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::cast::{CALLER_ID, DESTINATIONS, Part, SELLER};
use crate::cli::admin;
use crate::cli::client::Remote;
use crate::cli::node::Node;
use crate::clock::Clock;
use crate::config::{Config, RulesConfig};
use crate::dialer::{DialerConfig, Lane, TrunkConfig};
use crate::domain::access::Role;
use crate::domain::call::{CallKind, Purpose, SellerType};
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::phone::Phone;
use crate::domain::route::{Carrier, Dialing};
use crate::gate::GateConfig;
use crate::grpc::GrpcConfig;
use crate::grpc::client::Client;
use crate::sequencer::AuditConfig;
use crate::sip::{Behaviour, SimulatedCarrier, SipConfig, Trunk};
use crate::store::StoreConfig;
use crate::telemetry::LogConfig;

/// Everything that runs for the demo. Dropping it leaves nothing behind.
pub(super) struct Stage {
    /// The far end.
    pub carrier: SimulatedCarrier,
    /// The server under demonstration.
    pub node: Node,
    /// A softphone.
    pub agent: Client,
    /// The administrator of opt-outs.
    pub administrator: Client,
    _folder: TempDir,
}

impl Stage {
    pub async fn set() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let carrier = SimulatedCarrier::start(behaviour)
            .await
            .context("the simulated carrier cannot be started")?;
        let config = config(&folder, carrier.addr())?;
        let node = Node::start(config, Clock::Real).await?;
        let agent = login(&node, &folder, Role::Agent).await?;
        let administrator = login(&node, &folder, Role::Administrator).await?;
        Ok(Self {
            carrier,
            node,
            agent,
            administrator,
            _folder: folder,
        })
    }
}

/// What the far end does, by the last two digits of the number.
fn behaviour(number: &str) -> Behaviour {
    let part: Option<u8> = number
        .get(number.len().saturating_sub(2)..)
        .and_then(|digits| digits.parse().ok());
    match part {
        Some(part) if part == Part::Answers as u8 => Behaviour::Answer {
            after: Duration::from_millis(800),
            hang_up_after: Some(Duration::from_millis(1500)),
        },
        Some(part) if part == Part::Busy as u8 => Behaviour::busy(),
        Some(part) if part == Part::Declines as u8 => Behaviour::declined(),
        _ => Behaviour::RingForever,
    }
}

fn config(folder: &TempDir, carrier: SocketAddr) -> Result<Config> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let trunk_config = TrunkConfig {
        calls_per_second: NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN),
        burst: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
        ring_timeout_seconds: Trunk::RING_TIMEOUT_MIN.as_secs(),
        ..TrunkConfig::towards(carrier)
    };
    let trunk = trunk_config
        .trunk("demo")
        .map_err(|problems| anyhow::anyhow!(problems.join("; ")))?;
    let campaign = Campaign {
        campaign_id: "demo".to_owned(),
        active: true,
        seller: SELLER.to_owned(),
        seller_type: SellerType::ForProfit,
        purpose: Purpose::Sales,
        subject: None,
        sector: None,
        controller_country: None,
        call_kinds: vec![CallKind::LiveManual],
        caller_ids: vec![CallerId {
            number: Phone::parse(CALLER_ID)?,
            owned: true,
            callable: true,
            in_directory: false,
        }],
        destinations: DESTINATIONS
            .iter()
            .map(|country| (*country).to_owned())
            .collect(),
        dialing: Dialing::by("demo"),
        registrations: Vec::new(),
        special_category: false,
        atds: false,
        new_product: false,
        introduction: None,
        voice: None,
    };
    Ok(Config {
        store: StoreConfig {
            url: format!("sqlite:{}", folder.path().join("demo.db").display()),
            key_file: folder.path().join("demo.key"),
            max_connections: 4,
        },
        grpc: GrpcConfig {
            listen: any_port,
            ..GrpcConfig::default()
        },
        console: None,
        sip: SipConfig {
            listen: any_port,
            ..SipConfig::default()
        },
        dialer: DialerConfig {
            node: "demo".to_owned(),
            drain_seconds: 1,
            ..DialerConfig::default()
        },
        gate: GateConfig {
            trunks: [("demo".to_owned(), Carrier::of_all(100))].into(),
            ..GateConfig::default()
        },
        pack: Arc::new(RulesConfig::default().load()?),
        log: LogConfig::default(),
        lanes: vec![Lane::new(trunk, trunk_config)],
        campaigns: vec![campaign],
        webhooks: Vec::new(),
        audit: AuditConfig::default(),
    })
}

/// Makes a key of this role and connects with it, as a client on another machine would.
async fn login(node: &Node, folder: &TempDir, role: Role) -> Result<Client> {
    let key_file = folder.path().join(format!("{role}.key"));
    let credential = admin::make_key(node.store(), role.as_str(), role).await?;
    std::fs::write(&key_file, credential.text().as_bytes())?;
    let remote = Remote {
        server: format!("http://{}", node.grpc_addr()),
        key_file: Some(key_file),
        ca: None,
        json: false,
    };
    remote.connect().await
}
