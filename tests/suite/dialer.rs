//! The worker against a carrier that speaks real SIP: the pace and the channels of a trunk, measured where they count.

mod agents;
mod exchange;
mod failover;
mod identity;
mod names;
mod redirect;
mod registrar;
mod stop;
mod trunks;
mod unattended;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{Call, CallState};
use dialgate::gate::GateError;
use dialgate::sip::{Behaviour, Endpoint, SimulatedCarrier, SipConfig};

use crate::gate::bench::Bench;
use crate::support::builders::TestStore;

/// Patience with a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Moves the clock with the machine's, but never by much: a machine that stalls must not eat up a permit's life.
pub async fn tick(clock: Arc<ManualClock>) {
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = tokio::time::Instant::now();
        clock.advance((now - last).min(Duration::from_millis(20)));
        last = now;
    }
}

/// Places so many calls over a trunk of these limits; answers when each arrived at the carrier, and the calls once over.
async fn run(
    calls: usize,
    limits: TrunkConfig,
    behaviour: Behaviour,
) -> (Vec<Duration>, Vec<Call>) {
    let bench = Bench::over(TestStore::sqlite().await).await;
    let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
    let arrived: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (started, seen) = (tokio::time::Instant::now(), Arc::clone(&arrived));
    let behave = move |_: &str| {
        seen.lock().unwrap().push(started.elapsed());
        behaviour.clone()
    };
    let carrier = SimulatedCarrier::start(behave).await.unwrap();
    let clock = Clock::Manual(Arc::clone(&bench.clock));
    let sip = SipConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..SipConfig::default()
    };
    let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
    let config = TrunkConfig {
        target: carrier.addr().into(),
        ..limits
    };
    let lane = Lane::new(config.trunk("carrier").unwrap(), config);
    let dialer = Dialer::start(
        bench.gate.clone(),
        endpoint,
        vec![lane],
        &DialerConfig::default(),
        clock,
    );
    let placed = place(&bench, calls).await;
    let over = wait_for_all(&bench, &placed).await;
    dialer.drain().await;
    ticking.abort();
    let arrived = arrived.lock().unwrap().clone();
    (arrived, over)
}

/// A full queue says when to come again, and whoever does is served.
async fn place(bench: &Bench, calls: usize) -> Vec<Call> {
    let mut placed = Vec::new();
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while placed.len() < calls {
        assert!(
            tokio::time::Instant::now() < give_up,
            "the queue stays full"
        );
        let number = format!("+140455501{:02}", 10 + placed.len());
        bench.callable(&number).await;
        match bench.gate.place(bench.request(&number)).await {
            Ok(answer) => placed.extend(answer.call),
            Err(GateError::TrunkSaturated { .. }) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    placed
}

async fn wait_for_all(bench: &Bench, placed: &[Call]) -> Vec<Call> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    let mut over = Vec::new();
    for call in placed {
        loop {
            assert!(tokio::time::Instant::now() < give_up, "a call does not end");
            let now = bench.call(call.call_id).await;
            if now.state.is_final() {
                over.push(now);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    over
}

fn limits(per_second: u32, burst: u32, channels: u32) -> TrunkConfig {
    let nobody: std::net::SocketAddr = "127.0.0.1:9".parse().unwrap();
    TrunkConfig {
        calls_per_second: per_second.try_into().unwrap(),
        burst: burst.try_into().unwrap(),
        channels: channels.try_into().unwrap(),
        ..TrunkConfig::towards(nobody)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_no_second_sees_more_calls_than_the_pace_and_the_burst() {
    let (per_second, burst) = (5, 2);
    let (arrived, over) = run(14, limits(per_second, burst, 50), Behaviour::busy()).await;
    assert_eq!(over.len(), 14);
    assert_eq!(arrived.len(), 14, "each once");
    for (index, first) in arrived.iter().enumerate() {
        let within = arrived[index..]
            .iter()
            .filter(|at| **at < *first + Duration::from_secs(1));
        // What was sent in time may arrive a little late on a busy machine: one call of slack.
        let most = (per_second + burst + 1) as usize;
        assert!(within.count() <= most, "{arrived:?}");
    }
    // And it is a pace, not a standstill: the last left as soon as the tokens allowed, give or take the machine.
    assert!(
        *arrived.last().unwrap() < Duration::from_secs(15),
        "{arrived:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_never_carries_more_calls_than_it_has_channels() {
    let talk = Behaviour::Answer {
        after: Duration::from_millis(50),
        hang_up_after: Some(Duration::from_millis(400)),
    };
    let (_, over) = run(9, limits(100, 20, 3), talk).await;
    let ends: Vec<_> = over.iter().map(|call| (call.state, call.outcome)).collect();
    assert!(
        ends.iter().all(|(state, _)| *state == CallState::Ended),
        "{ends:?}"
    );
    for call in &over {
        let begun = call.invite_time.unwrap();
        let at_a_time = over
            .iter()
            .filter(|other| other.invite_time.unwrap() <= begun && begun < other.end_time.unwrap());
        assert!(at_a_time.count() <= 3, "{over:?}");
    }
}
