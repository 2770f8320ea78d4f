//! What a stop waits for: that what it ends is over at the far end too, though datagrams get lost and targets are late; and
//! for how long.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{Call, CallState, Outcome};
use dialgate::sip::{Endpoint, SipConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{PATIENCE, limits, tick};
use crate::gate::bench::Bench;
use crate::joints::sink::Message;
use crate::support::builders::TestStore;

const ANNA: &str = "+14045550141";

/// So that 64 T1 are some seconds.
const T1_MS: u64 = 50;

/// What a far end says to an INVITE, after so long each time.
type Says = &'static [(u64, &'static str)];

/// A far end that does not hear the first CANCEL and BYE datagrams, as many as it is told.
struct FarEnd {
    addr: SocketAddr,
    deaf: usize,
    cancels: AtomicUsize,
    byes: AtomicUsize,
    /// The INVITE, once there is one.
    invite: Mutex<Option<(Message, SocketAddr)>>,
}

impl FarEnd {
    async fn start(says: Says, deaf: usize) -> Arc<Self> {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let far = Arc::new(Self {
            addr: socket.local_addr().unwrap(),
            deaf,
            cancels: AtomicUsize::new(0),
            byes: AtomicUsize::new(0),
            invite: Mutex::default(),
        });
        let listening = Arc::clone(&far);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, node) = socket.recv_from(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                listening
                    .hear(&Message::parse(&text).unwrap(), node, says, &socket)
                    .await;
            }
        });
        far
    }

    async fn hear(&self, message: &Message, node: SocketAddr, says: Says, socket: &Arc<UdpSocket>) {
        let counter = match message.what.as_str() {
            "INVITE" => return self.invited(message, node, says, socket),
            "CANCEL" => &self.cancels,
            "BYE" => &self.byes,
            _ => return,
        };
        if counter.fetch_add(1, Ordering::SeqCst) < self.deaf {
            return;
        }
        self.say(message, node, "200 OK", socket).await;
        let invite = self.invite.lock().unwrap().clone();
        if let ("CANCEL", Some((invite, node))) = (message.what.as_str(), invite) {
            self.say(&invite, node, "487 Request Terminated", socket)
                .await;
        }
    }

    fn invited(&self, invite: &Message, node: SocketAddr, says: Says, socket: &Arc<UdpSocket>) {
        let again = self.invite.lock().unwrap().replace((invite.clone(), node));
        if again.is_some() {
            return;
        }
        let (invite, socket, addr) = (invite.clone(), Arc::clone(socket), self.addr);
        tokio::spawn(async move {
            for (after_ms, response) in says {
                tokio::time::sleep(Duration::from_millis(*after_ms)).await;
                let said = said(&invite, response, addr);
                socket.send_to(said.as_bytes(), node).await.unwrap();
            }
        });
    }

    async fn say(&self, to: &Message, node: SocketAddr, response: &str, socket: &UdpSocket) {
        let said = said(to, response, self.addr);
        socket.send_to(said.as_bytes(), node).await.unwrap();
    }

    fn heard(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.cancels), count(&self.byes))
    }
}

fn said(to: &Message, response: &str, addr: SocketAddr) -> String {
    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 0\r\n";
    let of = |name: &str| to.get(name).to_owned();
    let answers = response.starts_with("200") && to.what == "INVITE";
    let body = if answers { ANSWER } else { "" };
    let tag = if to.get("to").contains(";tag=") {
        ""
    } else {
        ";tag=callee"
    };
    let kind = if answers {
        "Content-Type: application/sdp\r\n"
    } else {
        ""
    };
    format!(
        "SIP/2.0 {response}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:{addr}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        of("via"),
        of("from"),
        of("to"),
        of("call-id"),
        of("cseq"),
        body.len(),
    )
}

/// A worker that is told to end its calls at once when it stops.
struct Stage {
    bench: Bench,
    dialer: Dialer,
    ticking: JoinHandle<()>,
    call: Call,
}

impl Stage {
    async fn begin(targets: &[&FarEnd]) -> Self {
        let bench = Bench::over(TestStore::sqlite().await).await;
        bench.callable(ANNA).await;
        let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            t1_ms: T1_MS,
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let config = TrunkConfig {
            target: targets[0].addr.into(),
            fallback_targets: targets[1..]
                .iter()
                .map(|target| target.addr.into())
                .collect(),
            first_response_timeout_ms: 500,
            ..limits(50, 10, 10)
        };
        let lane = Lane::new(config.trunk("carrier").unwrap(), config);
        let at_once = DialerConfig {
            drain_seconds: 0,
            ..DialerConfig::default()
        };
        let dialer = Dialer::start(bench.gate.clone(), endpoint, vec![lane], &at_once, clock);
        let placed = bench.gate.place(bench.request(ANNA)).await.unwrap();
        Self {
            bench,
            dialer,
            ticking,
            call: placed.call.unwrap(),
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Call) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let call = self.bench.call(self.call.call_id).await;
            if holds(&call) {
                return;
            }
            assert!(Instant::now() < give_up, "in vain: {what}, {call:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How long the stop took, and the call.
    async fn stop(self) -> (Duration, Call) {
        let begun = Instant::now();
        self.dialer.drain().await;
        let took = begun.elapsed();
        let call = self.bench.call(self.call.call_id).await;
        self.ticking.abort();
        (took, call)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_a_bye_that_gets_lost_is_sent_again_before_the_stop_is_over() {
    let far = FarEnd::start(&[(0, "180 Ringing"), (50, "200 OK")], 2).await;
    let stage = Stage::begin(&[&far]).await;
    stage
        .until("an answer", |call| call.state == CallState::Answered)
        .await;
    let (took, call) = stage.stop().await;
    assert_eq!(far.heard(), (0, 3));
    assert_eq!(call.outcome, Some(Outcome::Answered));
    assert!(took < Duration::from_secs(3), "answered, and yet {took:?}");
}

/// It stays silent until the call is over at the next target, and rings when the worker has nothing left to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_a_silent_target_that_rings_late_is_cancelled_before_the_stop_is_over() {
    let silent = FarEnd::start(&[(2_500, "180 Ringing")], 1).await;
    let next = FarEnd::start(&[(0, "486 Busy Here")], 0).await;
    let stage = Stage::begin(&[&silent, &next]).await;
    stage
        .until("the end", |call| call.outcome == Some(Outcome::Busy))
        .await;
    let (took, _) = stage.stop().await;
    assert_eq!((silent.heard(), next.heard()), ((2, 0), (0, 0)));
    assert!(took < Duration::from_secs(5), "cancelled, and yet {took:?}");
}

/// SIP's time stands still, as if it were stuck: the stop waits no longer than it may, and leaves no attempt open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_what_does_not_end_has_its_outcome_all_the_same() {
    let far = FarEnd::start(&[(0, "180 Ringing")], usize::MAX).await;
    let stage = Stage::begin(&[&far]).await;
    stage
        .until("a ring", |call| call.state == CallState::Ringing)
        .await;
    stage.ticking.abort();
    let (took, call) = stage.stop().await;
    assert_eq!(far.heard(), (1, 0));
    assert_eq!(call.outcome, Some(Outcome::InterruptedUnknown));
    // 64 T1, the trunk's patience and the margin.
    let bound = Duration::from_millis(64 * T1_MS + 500 + 4_000);
    assert!(took >= bound, "{took:?}");
    assert!(took < bound + Duration::from_secs(5), "{took:?}");
}

/// The same with SIP's time going on: a carrier that ignores CANCEL has its outcome from `sip`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_a_carrier_that_ignores_cancel_is_waited_for() {
    let far = FarEnd::start(&[(0, "180 Ringing")], usize::MAX).await;
    let stage = Stage::begin(&[&far]).await;
    stage
        .until("a ring", |call| call.state == CallState::Ringing)
        .await;
    let (took, call) = stage.stop().await;
    assert!(far.heard().0 > 3, "{:?}", far.heard());
    assert_eq!(call.outcome, Some(Outcome::Canceled));
    assert!(took >= Duration::from_millis(64 * T1_MS), "{took:?}");
}
