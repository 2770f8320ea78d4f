//! A trunk whose target is a name: its calls go where the name points now, and where it pointed last while nobody knows.

use super::*;
use crate::support::dns::{NameServer, Record};

fn at(carrier: &SimulatedCarrier) -> Vec<Record> {
    vec![Record::Server(0, 0, carrier.addr().port(), "host.test")]
}

async fn carrier() -> SimulatedCarrier {
    SimulatedCarrier::start(|_| Behaviour::busy())
        .await
        .unwrap()
}

#[tokio::test]
async fn calls_wait_for_a_name_follow_it_and_outlast_its_server() {
    const NAME: &str = "_sip._udp.carrier.test";
    let bench = Bench::over(TestStore::sqlite().await).await;
    let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
    let (server, first, second) = (NameServer::start().await, carrier().await, carrier().await);
    server.set("host.test", 1, vec![Record::Address([127, 0, 0, 1].into())]);
    let clock = Clock::Manual(Arc::clone(&bench.clock));
    let sip = SipConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        dns_servers: vec![server.addr],
        ..SipConfig::default()
    };
    let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
    let config = TrunkConfig {
        target: "udp:carrier.test".parse().unwrap(),
        ..limits(100, 100, 10)
    };
    let lane = Lane::new(config.trunk("carrier").unwrap(), config);
    // Nobody knows the name yet: what is placed waits, and no attempt is made.
    server.be_silent(true);
    let dialer = Dialer::start(
        bench.gate.clone(),
        endpoint,
        vec![lane],
        &DialerConfig::default(),
        clock,
    );
    let numbers = ["+14045550110", "+14045550111", "+14045550112"];
    for number in numbers {
        bench.callable(number).await;
    }
    let placed = bench
        .gate
        .place(bench.request(numbers[0]))
        .await
        .unwrap()
        .call
        .unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(bench.call(placed.call_id).await.state, CallState::Queued);
    server.set(NAME, 1, at(&first));
    server.be_silent(false);
    wait_for_all(&bench, &[placed]).await;
    assert_eq!(first.received(numbers[0]).invites, 1);
    // The name server is gone for longer than the records live, and than anything is taken for true.
    server.be_silent(true);
    tokio::time::sleep(Duration::from_millis(7_500)).await;
    let placed = bench
        .gate
        .place(bench.request(numbers[1]))
        .await
        .unwrap()
        .call
        .unwrap();
    wait_for_all(&bench, &[placed]).await;
    assert_eq!(first.received(numbers[1]).invites, 1);
    // It is back, and the name points elsewhere.
    server.set(NAME, 1, at(&second));
    server.be_silent(false);
    let asked = server.asked().len();
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while server.asked().len() < asked + 3 {
        assert!(
            tokio::time::Instant::now() < give_up,
            "the name is not asked for again"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let placed = bench
        .gate
        .place(bench.request(numbers[2]))
        .await
        .unwrap()
        .call
        .unwrap();
    wait_for_all(&bench, &[placed]).await;
    assert_eq!(second.received(numbers[2]).invites, 1);
    dialer.drain().await;
    ticking.abort();
}
