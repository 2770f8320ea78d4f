//! A console beside the server of the wire's house, and a web form that knows its secret.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use dialgate::clock::Clock;
use dialgate::console::{ConsentSource, ConsentSourceConfig, Console, ConsoleConfig, serve};
use dialgate::domain::consent::{ConsentEvent, ConsentForm};
use dialgate::domain::filter::Filter;
use dialgate::domain::phone::Phone;
use dialgate::gate::Gate;
use dialgate::grpc::GrpcConfig;
use dialgate::meter::NodeStanding;
use dialgate::store::{CONSENT_FIELDS, ListQuery, Store};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use crate::grpc::house::{ATLANTA, House};
use crate::support::builders::{TestStore, tenant};

const SECRET: &str = "6f1c8a520c5e4b0e9d0a3f0f6f1f2a116f1c8a520c5e4b0e9d0a3f0f6f1f2a11";
const OTHER: &str = "00000000000000000000000000000000";

/// The house with its console.
pub struct Front {
    pub house: House,
    pub console: Console,
    /// What the node says of itself.
    pub standing: Standing,
}

type Standing = Arc<Mutex<NodeStanding>>;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn reason(&self) -> (u16, String) {
        let reason = self.json()["error"]["reason"].as_str().map(str::to_owned);
        (self.status, reason.unwrap())
    }

    /// The fields that are named, in order of name.
    pub fn fields(&self) -> Vec<String> {
        let json = self.json();
        let named = json["error"]["fields"].as_array().unwrap().iter();
        let mut named: Vec<_> = named
            .map(|each| each["field"].as_str().unwrap().to_owned())
            .collect();
        named.sort();
        named
    }
}

impl Front {
    pub async fn open() -> Self {
        Self::over(TestStore::sqlite().await).await
    }

    pub async fn over(base: TestStore) -> Self {
        Self::with(base, ConsoleConfig::default()).await
    }

    pub async fn with(base: TestStore, config: ConsoleConfig) -> Self {
        let house = House::over(base, GrpcConfig::default()).await;
        let standing = Standing::default();
        let console = console(house.gate.clone(), &house, config, &standing).await;
        Self {
            house,
            console,
            standing,
        }
    }

    /// The same store after a restart, behind another listener.
    pub async fn restarted(self) -> Self {
        let gate = self.house.again().await;
        self.console.stop().await;
        let standing = self.standing;
        let console = console(gate, &self.house, ConsoleConfig::default(), &standing).await;
        Self {
            house: self.house,
            console,
            standing,
        }
    }

    pub fn seconds(&self) -> i64 {
        self.house.now().0 / 1_000_000
    }

    /// Sends this form as the source `web` would.
    pub async fn send(&self, body: &str) -> Answer {
        let signature = signature(SECRET, self.seconds(), body);
        self.post("web", &signature, "application/json", body).await
    }

    pub async fn post(&self, source: &str, signature: &str, kind: &str, body: &str) -> Answer {
        let head = format!(
            "Content-Type: {kind}\r\nDialgate-Source: {source}\r\nDialgate-Signature: {signature}\r\n"
        );
        self.ask("POST", "/v1/consents", &head, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    pub async fn ask(&self, method: &str, path: &str, head: &str, body: &str) -> Answer {
        let request = request(method, path, head, body);
        exchange(self.console.local_addr(), request.as_bytes()).await
    }

    /// Every act on record about this number, newest first.
    pub async fn on_record(&self, number: &str) -> Vec<ConsentEvent> {
        on_record(&self.house.store, number).await
    }
}

async fn on_record(store: &Store, number: &str) -> Vec<ConsentEvent> {
    let key = store.hasher().key(&tenant(), Phone::parse(number).unwrap());
    let query = ListQuery {
        filter: Filter::parse("", CONSENT_FIELDS).unwrap(),
        after: None,
        page_size: 100,
    };
    let mut tx = store.read().await.unwrap();
    let page = tx.consents(&tenant(), None, Some(&key), &query).await;
    page.unwrap().rows
}

pub fn request(method: &str, path: &str, head: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n{body}",
        body.len()
    )
}

/// Sends these bytes and reads until the far end closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read(&mut stream).await
}

pub async fn read(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// The header as a sender makes it.
pub fn signature(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={seconds},v1={hex}")
}

pub fn signed_by_web(seconds: i64, body: &str) -> String {
    signature(SECRET, seconds, body)
}

pub fn signed_by_another(seconds: i64, body: &str) -> String {
    signature(OTHER, seconds, body)
}

async fn console(gate: Gate, house: &House, config: ConsoleConfig, standing: &Standing) -> Console {
    let folder = house.base.folder.path();
    let source = |name: &str, secret: &str| -> ConsentSource {
        let secret_file = folder.join(format!("{name}.secret"));
        std::fs::write(&secret_file, format!("{secret}\n")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&secret_file, mode).unwrap();
        let config = ConsentSourceConfig {
            secret_file,
            seller: "acme".to_owned(),
            form: ConsentForm::WebForm,
        };
        config.source(name).unwrap()
    };
    let config = ConsoleConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        sources: vec![source("web", SECRET), source("fair", OTHER)],
        ..config
    };
    let clock = Clock::Manual(Arc::clone(&house.clock));
    let standing = Arc::clone(standing);
    let node = Arc::new(move |_| standing.lock().unwrap().clone());
    serve(&config, gate, node, clock).await.unwrap()
}

/// A form that says all that can be said.
pub fn given(submission: &str, number: &str) -> String {
    serde_json::json!({
        "submission_id": submission, "action": "given", "number": number, "event_time": "2026-04-20T09:30:00-04:00",
        "channels": ["live_manual"], "explicit": true, "documented": true, "out_of_hours": false, "period": "indefinite",
        "initiated_by": "person", "evidence_ref": "certificate 7", "wording_ref": "v3",
    })
    .to_string()
}

pub fn withdrawn(submission: &str, number: &str) -> String {
    serde_json::json!({ "submission_id": submission, "action": "withdrawn", "number": number })
        .to_string()
}
