//! Trunks that come and go: a target that gives no sign of life, and a registration that runs out, is refused and comes back.
//! The far end is Kamailio.

use dialgate::dialer::{HealthConfig, RegistrationConfig};
use dialgate::domain::call::Outcome;
use dialgate::domain::trunk::{RegistrationState, TargetState, TrunkState, TrunkStatus};

use super::*;
use crate::sip::registrar::{Edge, Keeps};

const BOB: &str = "+14045550130";

/// A worker with one trunk.
struct Desk {
    bench: Bench,
    dialer: Dialer,
    clock: Clock,
    ticking: tokio::task::JoinHandle<()>,
    _password: tempfile::NamedTempFile,
}

impl Desk {
    async fn with(edge: &Edge, password: &str, change: impl FnOnce(&mut TrunkConfig)) -> Self {
        let bench = Bench::over(TestStore::sqlite().await).await;
        bench.callable(BOB).await;
        let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), password).unwrap();
        let mut config = TrunkConfig {
            target: edge.addr.into(),
            domain: Some("carrier.example".to_owned()),
            username: Some("dialgate".to_owned()),
            password_file: Some(file.path().to_owned()),
            ..limits(10, 10, 10)
        };
        change(&mut config);
        let lane = Lane::new(config.trunk("carrier").unwrap(), config);
        let dialer = Dialer::start(
            bench.gate.clone(),
            endpoint,
            vec![lane],
            &DialerConfig::default(),
            clock.clone(),
        );
        Self {
            bench,
            dialer,
            clock,
            ticking,
            _password: file,
        }
    }

    fn status(&self) -> TrunkStatus {
        (self.dialer.standing())(self.clock.read()).remove(0)
    }

    async fn until(&self, what: &str, edge: &Edge, holds: impl Fn() -> bool) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while !holds() {
            let late = tokio::time::Instant::now() >= give_up;
            assert!(
                !late,
                "in vain: {what}; {:#?}\n{}",
                self.status(),
                edge.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is(&self, state: TrunkState, edge: &Edge) {
        let holds = || self.status().state == state;
        self.until(state.as_str(), edge, holds).await;
    }

    async fn call(&self) -> Call {
        let request = self.bench.request(BOB);
        self.bench.gate.place(request).await.unwrap().call.unwrap()
    }

    async fn stays_queued(&self, call: &Call) {
        tokio::time::sleep(Duration::from_millis(800)).await;
        let now = self.bench.call(call.call_id).await;
        assert_eq!(now.state, CallState::Queued);
    }

    async fn stop(self) {
        self.dialer.drain().await;
        self.ticking.abort();
    }
}

fn registration(expires_seconds: u64) -> Option<RegistrationConfig> {
    Some(RegistrationConfig {
        registrar: None,
        user: "dialgate".to_owned(),
        contact_user: None,
        expires_seconds,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_a_target_that_is_gone_and_go_when_it_is_back() {
    let keeps = Keeps {
        expires: 600,
        least: 60,
    };
    let Some(mut edge) = Edge::start(keeps, None).await else {
        return;
    };
    let health = HealthConfig {
        interval_seconds: 1,
        timeout_ms: 500,
        ..HealthConfig::default()
    };
    let desk = Desk::with(&edge, "correct horse", |config| config.health = health).await;
    let first = desk.call().await;
    wait_for_all(&desk.bench, &[first]).await;
    assert_eq!(desk.status().state, TrunkState::Up);
    edge.stop();
    desk.is(TrunkState::Down, &edge).await;
    let target = desk.status().targets.remove(0);
    assert_eq!((target.state, target.transport), (TargetState::Down, "udp"));
    assert_eq!(target.last_failure.unwrap().reason, "timeout");
    let waits = desk.call().await;
    desk.stays_queued(&waits).await;
    edge.again().await;
    let over = wait_for_all(&desk.bench, &[waits]).await;
    assert_eq!(over[0].outcome, Some(Outcome::Busy));
    assert_eq!(desk.status().state, TrunkState::Up);
    assert_eq!(desk.status().calls, 0);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_kept_runs_out_with_its_registrar_and_is_taken_back() {
    let keeps = Keeps {
        expires: 4,
        least: 90,
    };
    let Some(mut edge) = Edge::start(keeps, None).await else {
        return;
    };
    let desk = Desk::with(&edge, "correct horse", |config| {
        config.registration = registration(60);
    })
    .await;
    desk.is(TrunkState::Up, &edge).await;
    // The registrar wanted more than was asked for, then a proof, and keeps it for less all the same.
    assert_eq!(edge.said("expires=60 proof="), 1, "{}", edge.log());
    let registered = desk.status().registration.unwrap();
    assert_eq!(registered.state, RegistrationState::Registered);
    let left = registered.expires_at.unwrap().0 - desk.clock.read().wall.0;
    assert!((1..=4_000_000).contains(&left), "{left}");
    let first = desk.call().await;
    wait_for_all(&desk.bench, &[first]).await;
    desk.until("a refresh", &edge, || edge.said("kept expires=90") >= 3)
        .await;
    assert_eq!(desk.status().state, TrunkState::Up);
    edge.stop();
    desk.is(TrunkState::Unregistered, &edge).await;
    // A question may still wait for its answer when what was granted is over.
    let told = || desk.status().registration.unwrap().last_failure.is_some();
    desk.until("the failure", &edge, told).await;
    let lost = desk.status().registration.unwrap();
    assert_eq!(
        (lost.state, lost.expires_at),
        (RegistrationState::Unregistered, None)
    );
    assert_eq!(lost.last_failure.unwrap().reason, "timeout");
    let waits = desk.call().await;
    desk.stays_queued(&waits).await;
    edge.again().await;
    let over = wait_for_all(&desk.bench, &[waits]).await;
    assert_eq!(over[0].outcome, Some(Outcome::Busy));
    assert_eq!(desk.status().state, TrunkState::Up);
    desk.stop().await;
    assert_eq!(edge.said("kept expires=0"), 1, "{}", edge.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_not_tried_again_and_again() {
    let keeps = Keeps {
        expires: 600,
        least: 60,
    };
    let Some(edge) = Edge::start(keeps, None).await else {
        return;
    };
    let desk = Desk::with(&edge, "wrong horse", |config| {
        config.registration = registration(600);
    })
    .await;
    let refused = || {
        let registration = desk.status().registration.unwrap();
        registration.state == RegistrationState::Refused
    };
    desk.until("the refusal", &edge, refused).await;
    assert_eq!(desk.status().state, TrunkState::Unregistered);
    let failure = desk.status().registration.unwrap().last_failure.unwrap();
    assert_eq!(failure.reason, "credentials");
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Once without a proof and once with it.
    assert_eq!(edge.said("heard REGISTER expires=600"), 2, "{}", edge.log());
    desk.stop().await;
}
