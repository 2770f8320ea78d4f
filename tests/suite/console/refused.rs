//! What the console does not take, and says so.

use std::time::Duration;

use dialgate::console::ConsoleConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::house::*;
use crate::support::builders::TestStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_knows_the_secret_is_heard() {
    let front = Front::open().await;
    let body = given("s-1", ATLANTA);
    let now = front.seconds();
    let good = signed_by_web(now, &body);
    let json = "application/json";
    let invalid = (401, "SIGNATURE_INVALID".to_owned());
    let missing = (401, "SIGNATURE_MISSING".to_owned());
    let stale = (401, "SIGNATURE_STALE".to_owned());
    for (source, signature, body, expected) in [
        (
            "web",
            signed_by_another(now, &body),
            body.as_str(),
            &invalid,
        ),
        ("nobody", good.clone(), &body, &invalid),
        ("fair", good.clone(), &body, &invalid),
        (
            "web",
            good.clone(),
            &body.replace("true", "false"),
            &invalid,
        ),
        ("web", good.replace("t=", "t=0"), &body, &invalid),
        (
            "web",
            format!("t={},{}", now - 1, good.split_once(',').unwrap().1),
            &body,
            &invalid,
        ),
        ("web", String::new(), &body, &missing),
        ("web", format!("t={now}"), &body, &missing),
        ("web", signed_by_web(now - 301, &body), &body, &stale),
        ("web", signed_by_web(now + 301, &body), &body, &stale),
    ] {
        let answer = front.post(source, &signature, json, body).await;
        assert_eq!(&answer.reason(), expected, "{source} {signature}");
    }
    let unsigned = "Content-Type: application/json\r\nDialgate-Source: web\r\n";
    let answer = front.ask("POST", "/v1/consents", unsigned, &body).await;
    assert_eq!(answer.reason(), missing);
    assert!(front.on_record(ATLANTA).await.is_empty());

    // Two signatures, as while a secret is changed: one that fits is enough.
    let both = format!(
        "{},{}",
        signed_by_another(now, &body),
        good.split_once(',').unwrap().1
    );
    assert_eq!(front.post("web", &both, json, &body).await.status, 200);
    let old = signed_by_web(now - 300, &body);
    assert_eq!(front.post("web", &old, json, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_fields_are_named_all_at_once() {
    let front = Front::open().await;
    let body = r#"{"action": "given", "number": "+1404555014", "event_time": "2027-01-01T00:00:00Z", "channels": ["fax"], "pariod": "x"}"#;
    let answer = front.send(body).await;
    assert_eq!(answer.reason(), (400, "INVALID_FIELDS".to_owned()));
    let named = [
        "channels[0]",
        "event_time",
        "number",
        "pariod",
        "submission_id",
    ];
    assert_eq!(answer.fields(), named);
    assert!(!answer.body.contains("1404555014"), "{answer:?}");
    for body in ["", "{", "[]", "\u{feff}{}"] {
        let answer = front.send(body).await;
        assert_eq!(answer.reason(), (400, "BODY_NOT_JSON".to_owned()), "{body}");
    }
    let premium = given("s-1", "+19005550141");
    assert_eq!(front.send(&premium).await.fields(), ["number"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_methods_kinds_and_sizes_are_bounded() {
    let front = Front::open().await;
    let body = given("s-1", ATLANTA);
    let good = signed_by_web(front.seconds(), &body);
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/jsonx",
    ] {
        let answer = front.post("web", &good, kind, &body).await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    let charset = "Application/JSON; charset=utf-8";
    assert_eq!(front.post("web", &good, charset, &body).await.status, 200);

    let large = " ".repeat(64 * 1024 + 1);
    let answer = front.send(&large).await;
    assert_eq!(answer.reason(), (413, "BODY_TOO_LARGE".to_owned()));
    let fits = format!("{body}{}", " ".repeat(64 * 1024 - body.len()));
    assert_eq!(front.send(&fits).await.status, 200);
    let chunked = "POST /v1/consents HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{chunked}10001\r\n{large}\r\n0\r\n\r\n");
    let refused = exchange(front.console.local_addr(), chunk.as_bytes()).await;
    assert_eq!(refused.status, 413, "{refused:?}");

    for (method, path, status, allow) in [
        ("GET", "/", 404, None),
        ("GET", "/v1/consents/7", 404, None),
        ("GET", "/../etc/passwd", 404, None),
        ("POST", "/metrics", 405, Some("allow: get")),
        ("GET", "/v1/consents", 405, Some("allow: post")),
        ("DELETE", "/v1/consents", 405, Some("allow: post")),
    ] {
        let answer = front.ask(method, path, "", "").await;
        assert_eq!(answer.reason().0, status, "{method} {path}");
        if let Some(allow) = allow {
            assert!(answer.head.contains(allow), "{answer:?}");
        }
    }
}

/// Requests that never end take their places for a while, and not the node's health with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_refused_and_blind_nobody() {
    let config = ConsoleConfig {
        requests_max: 1,
        request_timeout_seconds: 4,
        ..ConsoleConfig::default()
    };
    let front = Front::with(TestStore::sqlite().await, config).await;
    let head = "POST /v1/consents HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{";
    let mut slow = TcpStream::connect(front.console.local_addr())
        .await
        .unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    // The slow one has the only place once it is read; asked for until that is so.
    let body = given("s-1", ATLANTA);
    let refused = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let answer = front.send(&body).await;
            if answer.status != 200 {
                break answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused.reason(), (429, "CONSOLE_BUSY".to_owned()));
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(front.get(path).await.status, 200, "{path}");
    }
    let ended = read(&mut slow).await;
    assert_eq!(ended.reason(), (503, "TIMED_OUT".to_owned()));
    assert_eq!(front.send(&body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_stops_though_somebody_stays() {
    let front = Front::open().await;
    let address = front.console.local_addr();
    let idle = TcpStream::connect(address).await.unwrap();
    front.console.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}
