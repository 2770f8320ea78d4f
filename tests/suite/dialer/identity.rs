//! Signed calls, from the claim to the wire: what the attempt says, what the INVITE carries, and that nothing is sent where
//! nobody signs.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{Attestation, Call, CallState, Outcome, Retry};
use dialgate::domain::campaign::{CallerId, Campaign};
use dialgate::domain::ids::TenantId;
use dialgate::domain::time::Micros;
use dialgate::passport::{IdentityConfig, Vouch};
use dialgate::sip::{Endpoint, SipConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{PATIENCE, limits, tick};
use crate::gate::bench::{Bench, campaign, phone};
use crate::support::builders::TestStore;

const ANNA: &str = "+14045550141";
const OURS: &str = "+12125550100";
const THEIRS: &str = "+12125550101";
const ORIGID: &str = "4437c7eb-8f7a-4f0e-a863-f53a0e60251a";

/// What the signing service does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Signs,
    SignsOtherNumbers,
    SignsEarlier(i64),
    Refuses(u16),
    Hangs,
}

/// A call that was placed and is over, and what the carrier got of it.
struct Over {
    call: Call,
    retry: Option<Retry>,
    note: Option<String>,
    invites: Vec<String>,
}

fn key_in(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("shaken.key");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&path, pair.serialize_pem()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn section(rest: &str) -> IdentityConfig {
    toml::from_str(&format!("attest = \"A\"\norigid = \"{ORIGID}\"\n{rest}")).unwrap()
}

fn by_key(folder: &Path) -> IdentityConfig {
    let path = key_in(folder);
    section(&format!(
        "key_file = \"{}\"\ncertificate_url = \"https://cert.example/shaken.pem\"",
        path.display()
    ))
}

/// A signing service in the words of ATIS-1000082, with a key of its own.
async fn service(folder: &Path, manner: Manner) -> (IdentityConfig, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stir/v1/signing", listener.local_addr().unwrap());
    let signer = Arc::new(by_key(folder));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (signer, seen) = (Arc::clone(&signer), Arc::clone(&seen));
            tokio::spawn(async move { answer(socket, &signer, manner, &seen).await });
        }
    });
    let config = section(&format!("service_url = \"{url}\"\ntimeout_ms = 400"));
    (config, asked)
}

async fn answer(
    mut socket: TcpStream,
    signer: &IdentityConfig,
    manner: Manner,
    seen: &Mutex<Vec<String>>,
) {
    let mut bytes = Vec::new();
    let body = loop {
        let mut piece = [0; 4096];
        let read = socket.read(&mut piece).await.unwrap_or(0);
        assert!(read > 0, "a whole request");
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let body = text.split("\r\n\r\n").nth(1).map(str::to_owned);
        if let Some(body) = body.filter(|body| body.ends_with("}}")) {
            break body;
        }
    };
    seen.lock().unwrap().push(body.clone());
    let asked: serde_json::Value = serde_json::from_str(&body).unwrap();
    let asked = &asked["signingRequest"];
    let number = |value: &serde_json::Value| phone(&format!("+{}", value.as_str().unwrap()));
    let (orig, mut dest) = (
        number(&asked["orig"]["tn"]),
        number(&asked["dest"]["tn"][0]),
    );
    let mut at = Micros(asked["iat"].as_i64().unwrap() * 1_000_000);
    let mut status = 200;
    match manner {
        Manner::Signs => {}
        Manner::SignsOtherNumbers => dest = phone("+14045550149"),
        Manner::SignsEarlier(seconds) => at = Micros(at.0 - seconds * 1_000_000),
        Manner::Refuses(code) => status = code,
        Manner::Hangs => std::future::pending().await,
    }
    let vouch = signer.voucher().unwrap().vouch(orig, dest, true, at).await;
    let passport = vouch.unwrap().passport(orig, dest, at).unwrap().unwrap();
    let body = serde_json::json!({ "signingResponse": { "identity": passport.value() } });
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all([head, body].concat().as_bytes()).await;
}

/// A carrier that refuses every INVITE with this code, and keeps what it got.
async fn carrier(code: u16) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (addr, got) = (socket.local_addr().unwrap(), Arc::default());
    let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&got);
    tokio::spawn(async move {
        let mut bytes = [0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if !text.starts_with("INVITE") {
                continue;
            }
            let echoed = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
                let mut lines = text.lines();
                let line = lines.find(|line| line.starts_with(name)).unwrap();
                match name {
                    "To" => format!("{line};tag=c\r\n"),
                    _ => format!("{line}\r\n"),
                }
            });
            let answer = format!(
                "SIP/2.0 {code} No\r\n{}Content-Length: 0\r\n\r\n",
                echoed.concat()
            );
            socket.send_to(answer.as_bytes(), from).await.unwrap();
            kept.lock().unwrap().push(text);
        }
    });
    (addr, got)
}

/// One call from this number over a trunk with this section.
async fn call(identity: Option<IdentityConfig>, from: &str, code: u16) -> Over {
    let shown = |number: &str, owned: bool| CallerId {
        number: phone(number),
        owned,
        callable: true,
        in_directory: false,
    };
    let campaigns = vec![Campaign {
        caller_ids: vec![shown(OURS, true), shown(THEIRS, false)],
        ..campaign("us", "US", "seller")
    }];
    let bench = Bench::with(TestStore::sqlite().await, campaigns).await;
    bench.callable(ANNA).await;
    let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
    let clock = Clock::Manual(Arc::clone(&bench.clock));
    let sip = SipConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..SipConfig::default()
    };
    let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
    let (addr, got) = carrier(code).await;
    let config = TrunkConfig {
        target: addr.into(),
        identity,
        ..limits(50, 10, 10)
    };
    let lane = Lane::new(config.trunk("carrier").unwrap(), config);
    let (gate, config) = (bench.gate.clone(), DialerConfig::default());
    let dialer = Dialer::start(gate, endpoint, vec![lane], &config, clock);
    let mut request = bench.request(ANNA);
    request.caller_id = Some(phone(from));
    let placed = bench.gate.place(request).await.unwrap().call.unwrap();
    let give_up = tokio::time::Instant::now() + PATIENCE;
    let call = loop {
        let now = bench.call(placed.call_id).await;
        if now.state.is_final() {
            break now;
        }
        assert!(
            tokio::time::Instant::now() < give_up,
            "the call does not end"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let (mut tx, tenant) = (bench.store.read().await, TenantId::default());
    let events = tx.events_after(&tenant, call.call_id, 0, 99).await;
    let last = events.unwrap().pop().unwrap();
    drop(tx);
    dialer.drain().await;
    ticking.abort();
    let invites = got.lock().unwrap().clone();
    Over {
        call,
        retry: last.detail.retry,
        note: last.detail.note,
        invites,
    }
}

fn identity_of(invite: &str) -> &str {
    let mut lines = invite.lines();
    lines.find(|line| line.starts_with("Identity: ")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_call_says_how_strongly_on_the_wire_and_on_record() {
    let folder = tempfile::tempdir().unwrap();
    for (from, attestation) in [(OURS, Attestation::A), (THEIRS, Attestation::B)] {
        let over = call(Some(by_key(folder.path())), from, 486).await;
        assert_eq!(over.call.attestation, Some(attestation));
        assert_eq!(over.call.outcome, Some(Outcome::Busy));
        let invite = &over.invites[0];
        assert!(
            identity_of(invite).ends_with(";alg=ES256;ppt=shaken"),
            "{invite}"
        );
        assert!(
            invite
                .lines()
                .any(|line| line.starts_with("Date: Wed, 18 Nov 2026 15:00:"))
        );
    }
    let plain = call(None, OURS, 486).await;
    assert_eq!(plain.call.attestation, None);
    assert!(!plain.invites[0].contains("\r\nIdentity:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_signed_is_carried() {
    let folder = tempfile::tempdir().unwrap();
    let (config, asked) = service(folder.path(), Manner::Signs).await;
    let over = call(Some(config), THEIRS, 486).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "once a call");
    assert!(
        asked[0].contains(r#""attest":"B""#) && asked[0].contains(ORIGID),
        "{asked:?}"
    );
    // The service signs what it likes to: what it said is what was sent, and what is on record.
    assert_eq!(over.call.attestation, Some(Attestation::A));
    identity_of(&over.invites[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_signs_nothing_is_sent_and_nothing_counted() {
    let folder = tempfile::tempdir().unwrap();
    for (manner, retry, why) in [
        (Manner::SignsOtherNumbers, Retry::Fix, "other numbers"),
        (Manner::SignsEarlier(61), Retry::Soon, "not of this minute"),
        (Manner::SignsEarlier(-90), Retry::Soon, "not of this minute"),
        (Manner::Refuses(403), Retry::Fix, "status 403"),
        (Manner::Refuses(503), Retry::Soon, "status 503"),
        (Manner::Hangs, Retry::Soon, "in time"),
    ] {
        let (config, _) = service(folder.path(), manner).await;
        let over = call(Some(config), OURS, 486).await;
        assert_eq!(over.invites, Vec::<String>::new(), "{manner:?}");
        let end = (over.call.state, over.call.outcome, over.retry);
        let wanted = Some(Outcome::IdentityRejected);
        assert_eq!(end, (CallState::Failed, wanted, Some(retry)), "{manner:?}");
        assert_eq!((over.call.attempt_id, over.call.attestation), (None, None));
        assert!(over.note.unwrap().contains(why), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_far_end_that_refuses_the_signature_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for code in [428, 436, 437, 438] {
        let over = call(Some(by_key(folder.path())), OURS, code).await;
        assert_eq!(over.call.outcome, Some(Outcome::IdentityRejected), "{code}");
        assert_eq!(
            (over.retry, over.call.sip_code),
            (Some(Retry::Fix), Some(code))
        );
        assert_eq!(over.call.attestation, Some(Attestation::A));
    }
    let blocked = call(Some(by_key(folder.path())), OURS, 608).await;
    assert_eq!(blocked.call.outcome, Some(Outcome::BlockedByAnalytics));
    assert_eq!(blocked.retry, Some(Retry::Never));
}

/// A word for one call is for no other.
#[tokio::test]
async fn a_carried_passport_fits_one_call() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = service(folder.path(), Manner::Signs).await;
    let (orig, dest) = (phone(OURS), phone(ANNA));
    let at = Micros(1_795_014_000_000_000);
    let vouch = config
        .voucher()
        .unwrap()
        .vouch(orig, dest, true, at)
        .await
        .unwrap();
    assert!(matches!(vouch, Vouch::Carried(_)));
    assert!(vouch.passport(orig, dest, at).unwrap().is_some());
    assert!(vouch.passport(dest, orig, at).is_err());
    assert!(
        vouch
            .passport(orig, dest, at.plus(Duration::from_secs(61)))
            .is_err()
    );
}
