//! The world of a run: a callee, a store, nodes as processes of their own, keys, and people whom the law allows to call at
//! any hour. Everything is on loopback and in temporary folders; every process is ended by its own id.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dialgate::grpc::client::{Bearer, Client, Server};
use dialgate::grpc::pb;
use dialgate::store::{Store, StoreConfig};
use tempfile::TempDir;

use super::database::Database;
use super::rng::Rng;
use super::sink::{Sink, now};

pub const SELLER: &str = "acme";
pub const CAMPAIGN: &str = "sydney";
/// The first is what a call shows that names none.
pub const CALLER_IDS: [&str; 2] = ["+61255509901", "+61255509902"];
/// Two people are needed for a lift; the agent opts people out and places calls.
pub const AGENT: &str = "agent";
pub const FIRST: &str = "first";
pub const SECOND: &str = "second";

/// Waits for a condition, with a bound. For threads that may block.
#[track_caller]
pub fn until(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let end = now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(now() < end, "waited {seconds} s in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process that we started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// One node: its configuration, and the process while there is one.
pub struct Node {
    pub name: String,
    pub sip_port: u16,
    pub grpc_port: u16,
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl Node {
    fn new(folder: &Path, name: &str, store_url: &str, sink: &Sink) -> Self {
        let (grpc_port, sip_port) = (free_tcp_port(), free_udp_port());
        let config = folder.join(format!("{name}.toml"));
        std::fs::write(
            &config,
            configuration(folder, name, store_url, sink, grpc_port, sip_port),
        )
        .unwrap();
        Self {
            name: name.to_owned(),
            sip_port,
            grpc_port,
            config,
            log: folder.join(format!("{name}.log")),
            environment: Vec::new(),
            process: None,
        }
    }

    /// Lives by a clock that reads its offset from this file; only the wall clock is moved.
    pub fn under_clock(&mut self, library: &Path, offset: &Path) {
        let pairs = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        self.environment = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    }

    /// Overrides a value of its configuration, from its next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// Stops by itself right before it sends an INVITE, once this file is there.
    pub fn under_freeze(&mut self, library: &Path, once: &Path) {
        let pairs = [("LD_PRELOAD", library), ("FREEZE_ONCE", once)];
        self.environment = pairs
            .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()))
            .to_vec();
    }

    /// Whether a signal has stopped it.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let mut command = program();
        command
            .args(["serve", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(command.spawn().unwrap());
        let (port, log) = (self.grpc_port, self.log.clone());
        let process = self.process.as_mut().unwrap();
        until(&format!("node {} to serve", self.name), 60, || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the node ended with {status}:\n{}", tail(&log));
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// SIGTERM, and what it ended with.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        signal(process.id(), "TERM");
        let mut status = None;
        until(&format!("node {} to stop", self.name), 60, || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        assert!(
            status.unwrap().success(),
            "node {} ended with {status:?}:\n{}",
            self.name,
            tail(&self.log)
        );
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // A stopped process is killed as well as any other.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialgate"));
    for variable in [
        "DIALGATE_SERVER",
        "DIALGATE_API_KEY",
        "DIALGATE_CONFIG",
        "DIALGATE_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

fn configuration(
    folder: &Path,
    name: &str,
    store_url: &str,
    sink: &Sink,
    grpc_port: u16,
    sip_port: u16,
) -> String {
    let (folder, target, next) = (folder.display(), sink.addr, sink.next);
    let [first, second] = CALLER_IDS;
    format!(
        r#"
[store]
url = "{store_url}"
key_file = "{folder}/numbers.key"
max_connections = 8
[grpc]
listen = "127.0.0.1:{grpc_port}"
[sip]
listen = "127.0.0.1:{sip_port}"
[registry]
folder = "{folder}/{name}.registers"
[dialer]
node = "{name}"
drain_seconds = 5
[log]
format = "json"
filter = "info"
[trunk.carrier]
target = "{target}"
fallback_targets = ["{next}"]
username = "dialgate"
password_file = "{folder}/trunk.password"
ring_timeout_seconds = 15
first_response_timeout_ms = 3000
calls_per_second = 200
burst = 50
channels = 300
[campaign.{CAMPAIGN}]
seller = "{SELLER}"
destinations = ["AU"]
trunk = "carrier"
caller_ids = [
    {{ number = "{first}", owned = true, callable = true }},
    {{ number = "{second}", owned = true, callable = true }},
]
"#
    )
}

/// Where the data is.
pub enum Home {
    Sqlite,
    Postgres(Database),
}

pub struct World {
    pub folder: TempDir,
    pub sink: Arc<Sink>,
    pub home: Home,
    pub nodes: Vec<Node>,
    /// Each with its person.
    pub people: Vec<(String, String)>,
    /// Those whom only a list opts out.
    pub listed: Vec<(String, String)>,
    keys: HashMap<String, String>,
    store_url: String,
}

impl World {
    /// So many nodes, not yet running but the first; and so many people.
    pub async fn build(home: Home, nodes: usize, people: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("trunk.password");
        std::fs::write(&password, "correct horse").unwrap();
        std::fs::set_permissions(
            &password,
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let sink = Arc::new(Sink::start().await);
        let store_url = match &home {
            Home::Sqlite => format!("sqlite:{}/dialgate.db", folder.path().display()),
            Home::Postgres(database) => database.url(),
        };
        let nodes = (0..nodes)
            .map(|index| Node::new(folder.path(), &format!("node{index}"), &store_url, &sink))
            .collect();
        let mut world = Self {
            folder,
            sink,
            home,
            nodes,
            people: Vec::new(),
            listed: Vec::new(),
            keys: HashMap::new(),
            store_url,
        };
        for (name, role) in [
            (AGENT, "agent"),
            (FIRST, "administrator"),
            (SECOND, "approver"),
        ] {
            world.make_key(name, role);
        }
        world.nodes[0].start();
        let numbers: Vec<String> = (0..people)
            .map(|index| format!("+612555{index:05}"))
            .collect();
        world.introduce(&numbers).await;
        world
    }

    /// Puts these people on record, by the first node.
    pub async fn introduce(&mut self, numbers: &[String]) {
        let client = self.client(FIRST, 0).await;
        for (index, number) in numbers.iter().enumerate() {
            let party = introduce(&client, number, &mut Rng::new(7, index as u64)).await;
            self.people.push((number.clone(), party));
        }
    }

    /// Leaves so many of them to a list.
    pub fn leave_to_a_list(&mut self, count: usize) {
        self.listed = self.people.split_off(self.people.len() - count);
    }

    /// A key as it was made.
    pub fn key(&self, name: &str) -> String {
        self.keys[name].clone()
    }

    /// Gives a node that does not run another way to the store.
    pub fn reconfigure(&mut self, node: usize, store_url: &str) {
        let name = self.nodes[node].name.clone();
        self.nodes[node] = Node::new(self.folder.path(), &name, store_url, &self.sink);
    }

    fn make_key(&mut self, name: &str, role: &str) {
        let made = program()
            .args([
                "admin", "key", "create", "--name", name, "--role", role, "--config",
            ])
            .arg(&self.nodes[0].config)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        self.keys.insert(
            name.to_owned(),
            String::from_utf8(made.stdout).unwrap().trim().to_owned(),
        );
    }

    /// A client of this node; it connects anew by itself when the node comes back.
    pub async fn client(&self, key: &str, node: usize) -> Client {
        let server = Server::parse(
            &format!("http://127.0.0.1:{}", self.nodes[node].grpc_port),
            None,
        )
        .unwrap();
        server
            .connect(Bearer::new(&self.keys[key]).unwrap())
            .await
            .unwrap()
    }

    /// The store, for whoever reads what is left.
    pub async fn store(&self) -> Store {
        let config = StoreConfig {
            url: self.store_url.clone(),
            key_file: self.folder.path().join("numbers.key"),
            max_connections: 2,
        };
        Store::open(&config).await.unwrap()
    }

    /// Keeps the logs where a failure can be looked into.
    pub fn keep_logs(&self) -> PathBuf {
        let kept = tempfile::Builder::new()
            .prefix("dialgate-logs-")
            .tempdir()
            .unwrap()
            .keep();
        for node in &self.nodes {
            std::fs::write(kept.join(format!("{}.log", node.name)), node.log()).unwrap();
        }
        kept
    }
}

pub fn timestamp(before: Duration) -> prost_types::Timestamp {
    let wall = dialgate::clock::Clock::Real.read().wall.0;
    prost_types::Timestamp {
        seconds: wall / 1_000_000 - i64::try_from(before.as_secs()).unwrap(),
        nanos: i32::try_from(wall % 1_000_000).unwrap() * 1_000,
    }
}

/// Records all that a call to this person in Sydney needs at any hour, and tells who it is.
async fn introduce(client: &Client, number: &str, rng: &mut Rng) -> String {
    // Sydney is ahead of UTC: a date of yesterday is past there too.
    let washed =
        dialgate::clock::Clock::Real.read().wall.timestamp() - Duration::from_secs(24 * 3600);
    let washed = washed.to_zoned(jiff::tz::TimeZone::UTC).date();
    let contact = pb::Contact {
        audience: pb::Audience::Consumer.into(),
        location: Some(pb::Location {
            country: "AU".to_owned(),
            ..pb::Location::default()
        }),
        numbers: vec![pb::ContactNumber {
            number: number.to_owned(),
            line_type: pb::LineType::Landline.into(),
            registers: vec![pb::RegisterCheck {
                register: "au-dncr".to_owned(),
                listed: Some(false),
                as_of_date: Some(pb::Date {
                    year: washed.year().into(),
                    month: washed.month().into(),
                    day: washed.day().into(),
                }),
                listed_since_date: None,
            }],
            reassigned_check: None,
        }],
        dealings: vec![pb::Dealings {
            seller: SELLER.to_owned(),
            notice: Some(pb::Notice {
                version: "n-1".to_owned(),
            }),
            ..pb::Dealings::default()
        }],
        ..pb::Contact::default()
    };
    let request = pb::UpsertContactRequest {
        request_id: rng.uuid(),
        contact: Some(contact),
        update_mask: None,
    };
    let answer = client
        .contacts()
        .upsert_contact(request)
        .await
        .unwrap()
        .into_inner();
    client
        .consents()
        .record_consent(consent(number, rng.uuid()))
        .await
        .unwrap();
    answer.contact.unwrap().party_id
}

/// Permission to call at any hour, given ten days ago: older than any opt-out of a run, so that it reopens none.
pub fn consent(number: &str, request_id: String) -> pb::RecordConsentRequest {
    pb::RecordConsentRequest {
        request_id,
        number: number.to_owned(),
        party_id: String::new(),
        seller: SELLER.to_owned(),
        event_time: Some(timestamp(Duration::from_secs(10 * 24 * 3600))),
        channels: vec![pb::CallKind::LiveManual.into()],
        form: pb::ConsentForm::Written.into(),
        explicit: Some(true),
        documented: Some(true),
        out_of_hours: Some(true),
        period: "indefinite".to_owned(),
        initiated_by: pb::InitiatedBy::Person.into(),
        source: "paper".to_owned(),
        evidence_ref: "form-17".to_owned(),
        wording_ref: String::new(),
    }
}

/// The wish to call this number, good for so long.
pub fn place(
    number: &str,
    caller_id: &str,
    request_id: String,
    good_for: Duration,
) -> pb::PlaceCallRequest {
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
    let now = timestamp(Duration::ZERO).seconds;
    pb::PlaceCallRequest {
        request_id,
        to: number.to_owned(),
        campaign: CAMPAIGN.to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        caller_id: caller_id.to_owned(),
        party_id: String::new(),
        sdp_offer: OFFER.as_bytes().to_vec(),
        expire_time: Some(prost_types::Timestamp {
            seconds: now + i64::try_from(good_for.as_secs()).unwrap(),
            nanos: 0,
        }),
        ..pb::PlaceCallRequest::default()
    }
}
