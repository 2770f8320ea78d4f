//! Health and metrics.

use std::collections::BTreeMap;

use dialgate::domain::trunk::{TargetState, TargetStatus, TrunkState, TrunkStatus};
use dialgate::grpc::pb;
use dialgate::grpc::pb::create_suppression_request::Subject;
use dialgate::meter::{NodeStanding, SipStanding};
use sha2::{Digest as _, Sha256};

use super::house::*;
use crate::grpc::house::request_id;

/// Name and labels to value. Everything is counted for the whole process, in which other tests run.
fn figures(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

async fn page(front: &Front) -> BTreeMap<String, f64> {
    let answer = front.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{answer:?}"
    );
    assert!(!answer.body.contains("404555"), "no number: {answer:?}");
    figures(&answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted() {
    let front = Front::open().await;
    let before = page(&front).await;
    let agent = front.house.agent().await;
    front.house.callable(ATLANTA).await;
    let placed = agent.calls().place_call(front.house.place(ATLANTA)).await;
    assert!(placed.unwrap().into_inner().call.is_some());
    let unknown = front.house.place("+14045550199");
    agent.calls().place_call(unknown).await.unwrap();
    agent
        .calls()
        .get_call(pb::GetCallRequest::default())
        .await
        .unwrap_err();
    let wish = pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::Number(ATLANTA.to_owned())),
        reason: pb::SuppressionReason::Objection.into(),
        source: pb::SuppressionSource::Agent.into(),
        ..pb::CreateSuppressionRequest::default()
    };
    agent.suppressions().create_suppression(wish).await.unwrap();
    assert_eq!(front.send(&given("s-1", ATLANTA)).await.status, 200);
    let after = page(&front).await;
    let grown = |name: &str| {
        let of = |page: &BTreeMap<String, f64>| page.get(name).copied().unwrap_or(0.0);
        of(&after) - of(&before)
    };
    for name in [
        r#"dialgate_decisions_total{stage="place",verdict="allow"}"#,
        r#"dialgate_decisions_total{stage="place",verdict="deny"}"#,
        r#"dialgate_requests_total{rpc="CallService/GetCall",code="INVALID_ARGUMENT"}"#,
        r#"dialgate_form_requests_total{code="200"}"#,
        "dialgate_opt_out_wait_seconds_count",
        r#"dialgate_opt_out_wait_seconds_bucket{le="2.5"}"#,
    ] {
        assert!(grown(name) >= 1.0, "{name} in {after:#?}");
    }
    let placed = r#"dialgate_requests_total{rpc="CallService/PlaceCall",code="OK"}"#;
    assert!(grown(placed) >= 2.0, "{after:#?}");
    // How things stand is this house's alone.
    assert_eq!(after["dialgate_store_up"], 1.0);
    assert_eq!(after["dialgate_calls_queued"], 1.0);
    assert_eq!(after["dialgate_attempts_open"], 0.0);
}

/// What the node says of itself is on the page, and what it says no more is not: a trunk that left the configuration.
#[tokio::test]
async fn the_node_and_its_trunks_are_told_as_they_are_now() {
    let front = Front::open().await;
    let at = front.house.now();
    let target = |state| TargetStatus {
        transport: "udp",
        address: "192.0.2.1:5060".to_owned(),
        state,
        since: at,
        last_failure: None,
    };
    let trunk = TrunkStatus {
        name: "old".to_owned(),
        state: TrunkState::Up,
        since: at,
        targets: vec![target(TargetState::Up), target(TargetState::Asleep)],
        calls: 3,
        channels: 10,
        calls_per_second_milli: 500,
        registration: None,
    };
    let sip = SipStanding {
        active: 3,
        lingering: 2,
        ..SipStanding::default()
    };
    *front.standing.lock().unwrap() = NodeStanding {
        trunks: vec![trunk],
        sip,
    };
    let told = page(&front).await;
    for (name, value) in [
        (r#"dialgate_trunk_up{trunk="old"}"#, 1.0),
        (r#"dialgate_trunk_targets_up{trunk="old"}"#, 1.0),
        (r#"dialgate_trunk_calls{trunk="old"}"#, 3.0),
        (r#"dialgate_sip_entries{table="active"}"#, 3.0),
        (r#"dialgate_sip_entries{table="lingering"}"#, 2.0),
        (r#"dialgate_sip_entries{table="timers"}"#, 0.0),
    ] {
        assert_eq!(told.get(name), Some(&value), "{name} in {told:#?}");
    }
    let registered = r#"dialgate_trunk_registered{trunk="old"}"#;
    assert!(!told.contains_key(registered), "nobody registers it");
    front.standing.lock().unwrap().trunks.clear();
    let told = page(&front).await;
    let left: Vec<_> = told
        .keys()
        .filter(|name| name.contains(r#""old""#))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whoever watches looks a figure up in docs/METRICS.md, and finds there what is on the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_figure_is_documented() {
    let front = Front::open().await;
    let answer = front.get("/metrics").await;
    let documented = include_str!("../../../docs/METRICS.md");
    let described = answer.body.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some(name)
    });
    let mut count = 0;
    for name in described {
        assert!(documented.contains(&format!("| `{name}")), "{name}");
        count += 1;
    }
    assert!(count >= 3, "{answer:?}");
}

/// The age of a list is what the register's own listing tells; a register without a list has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_each_list_is_told() {
    const LIST: &[u8] = b"404,5550141\n404,5550199\n";
    let front = Front::open().await;
    let age = r#"dialgate_register_age_days{register="us-dnc"}"#;
    assert!(!page(&front).await.contains_key(age));
    let header = pb::ImportRegisterHeader {
        register: "us-dnc".to_owned(),
        as_of_date: Some(pb::Date {
            year: 2026,
            month: 4,
            day: 1,
        }),
        content_sha256: Sha256::digest(LIST).to_vec(),
        ..pb::ImportRegisterHeader::default()
    };
    let contents = [
        pb::import_register_request::Content::Header(header),
        pb::import_register_request::Content::Piece(LIST.to_vec()),
    ];
    let ids = [request_id(), String::new()];
    let messages: Vec<_> = contents
        .into_iter()
        .zip(ids)
        .map(|(content, request_id)| pb::ImportRegisterRequest {
            request_id,
            content: Some(content),
        })
        .collect();
    let admin = front.house.administrator().await;
    let stream = tokio_stream::iter(messages);
    admin.registers().import_register(stream).await.unwrap();
    let told = page(&front).await;
    assert_eq!(told[age], 20.0);
    let of = |name: &str| told[&format!("dialgate_register_{name}{{register=\"us-dnc\"}}")];
    assert_eq!(of("age_max_days"), 31.0);
    assert_eq!((of("stale"), of("loaded")), (0.0, 1.0));
    front
        .house
        .clock
        .advance(std::time::Duration::from_secs(12 * 86_400));
    let told = page(&front).await;
    assert_eq!(told[age], 32.0);
    assert_eq!(told[r#"dialgate_register_stale{register="us-dnc"}"#], 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_lives_and_is_not_ready() {
    let front = Front::open().await;
    for path in ["/healthz", "/readyz"] {
        let answer = front.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
        assert!(
            answer.head.contains("cache-control: no-store"),
            "{answer:?}"
        );
    }
    front.house.gate.close();
    assert_eq!(front.get("/healthz").await.status, 200);
    assert_eq!(
        front.get("/readyz").await.reason(),
        (503, "NOT_READY".to_owned())
    );
}
