//! The SIP endpoint over real loopback UDP: against the simulated carrier here, against SIPp in `sipp`.
//!
//! Permits come from the gatekeeper itself: a worked example of the rules, judged at its own hour. The clock is one that is
//! moved by hand, in step with the machine's, so that the hour is lawful whenever the tests run.

mod flows;
mod names;
mod over_grpc;
pub mod registrar;
pub mod sipp;
mod streams;
pub mod tls;
mod torture;
mod weather;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::domain::call::{Outcome, Retry};
use dialgate::domain::phone::Phone;
use dialgate::passport::Vouch;
use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, Permit, evaluate};
use dialgate::sip::{
    Behaviour, Control, Dialog, EndedBy, Ending, Endpoint, HangUpCause, Invite, Secret,
    SimulatedCarrier, SipConfig, SipEvent, Trunk,
};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const CALLER: &str = "+14045550190";
const PASSWORD: &str = "correct horse";
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// An endpoint and its clock.
struct Place {
    endpoint: Endpoint,
    clock: Arc<ManualClock>,
    ticking: tokio::task::JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

impl Place {
    async fn with(config: SipConfig) -> Self {
        // A Tuesday noon in Atlanta.
        let clock = ManualClock::at(
            "2026-04-21T16:00:00Z"
                .parse::<jiff::Timestamp>()
                .unwrap()
                .into(),
        );
        let ticking = tokio::spawn(tick(Arc::clone(&clock)));
        let listen = match config.listen.is_ipv6() {
            true => config.listen,
            false => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let config = SipConfig { listen, ..config };
        let endpoint = Endpoint::bind(&config, Clock::Manual(Arc::clone(&clock)))
            .await
            .unwrap();
        Self {
            endpoint,
            clock,
            ticking,
        }
    }

    async fn new() -> Self {
        Self::with(SipConfig::default()).await
    }

    /// The law's own permit to call this number now.
    fn permit(&self, to: &str) -> Permit {
        static PACK: LazyLock<Pack> =
            LazyLock::new(|| Pack::embedded().unwrap_or_else(|faults| panic!("{faults}")));
        let line = include_str!("../fixtures/examples.jsonl")
            .lines()
            .next()
            .unwrap();
        let mut case: Case = serde_json::from_str(line).unwrap();
        let read = Clock::Manual(Arc::clone(&self.clock)).read();
        case.call.at = read.wall;
        case.call.to = to.to_owned();
        case.call.from = Some(Phone::parse(CALLER).unwrap());
        let (judgement, permit) = evaluate(&PACK, &case, read);
        permit.unwrap_or_else(|| panic!("denied by {:?}", judgement.denied_by))
    }

    fn dial(&self, to: &str, trunk: Trunk) -> Call {
        self.dial_over(to, &Arc::new(trunk))
    }

    fn dial_over(&self, to: &str, trunk: &Arc<Trunk>) -> Call {
        let invite = Invite {
            vouch: Vouch::Nobody,
            sip_call_id: self.endpoint.new_call_id(),
            trunk: Arc::clone(trunk),
            sdp_offer: OFFER.as_bytes().to_vec(),
        };
        Call {
            dialog: self.endpoint.dial(self.permit(to), invite),
            seen: Vec::new(),
        }
    }
}

/// Moves the clock with the machine's, but never by much: a test machine that stalls must not eat up a permit's life.
async fn tick(clock: Arc<ManualClock>) {
    let mut last = tokio::time::Instant::now();
    loop {
        sleep(Duration::from_millis(2)).await;
        let now = tokio::time::Instant::now();
        clock.advance((now - last).min(Duration::from_millis(20)));
        last = now;
    }
}

/// A call under way and the words for what its owner was told.
struct Call {
    dialog: Dialog,
    seen: Vec<String>,
}

impl Call {
    async fn next(&mut self) -> Option<SipEvent> {
        let event = timeout(PATIENCE, self.dialog.events.recv())
            .await
            .expect("an event in time")?
            .event;
        self.seen.push(match &event {
            SipEvent::Sent { late, .. } => if *late { "late" } else { "sent" }.to_owned(),
            SipEvent::Progress { code, .. }
            | SipEvent::Ringing { code, .. }
            | SipEvent::EarlyMedia { code, .. } => code.to_string(),
            SipEvent::PermitSpent => "spent".to_owned(),
            SipEvent::PermitNeeded => "needed".to_owned(),
            SipEvent::Answered { .. } => "answered".to_owned(),
            SipEvent::MediaOffer { .. } => "media offer".to_owned(),
            SipEvent::OfferOver => "offer over".to_owned(),
            SipEvent::Followed { followed, .. } => format!("followed {}", followed.result),
            SipEvent::Note { text, .. } => text.clone(),
            SipEvent::Ended(_) => "ended".to_owned(),
        });
        Some(event)
    }

    /// Reads on until this was told.
    async fn until(&mut self, word: &str) {
        while self.seen.last().map(String::as_str) != Some(word) {
            let event = self.next().await;
            assert!(event.is_some(), "`{word}` never came: {:?}", self.seen);
        }
    }

    async fn hang_up(&self, cause: HangUpCause) {
        self.dialog
            .control
            .send(Control::HangUp { cause })
            .await
            .unwrap();
    }

    /// Reads to the end, which is the last and only.
    async fn ending(&mut self) -> Ending {
        loop {
            match self.next().await {
                Some(SipEvent::Ended(ending)) => {
                    assert!(self.next().await.is_none(), "nothing follows the ending");
                    return ending;
                }
                Some(_) => {}
                None => panic!("no ending: {:?}", self.seen),
            }
        }
    }
}

fn towards(target: SocketAddr) -> Trunk {
    Trunk {
        username: Some("dialgate".to_owned()),
        password: Some(Secret::new(PASSWORD.to_owned())),
        ..Trunk::new("carrier", target, "carrier.example")
    }
}

/// Number 0 answers and hangs up, 1 answers and waits, 2 is busy, 3 declines, 4 rings on, others are silent.
async fn carrier() -> SimulatedCarrier {
    SimulatedCarrier::start(|number| match number.chars().last() {
        Some('0') => Behaviour::Answer {
            after: Duration::from_millis(50),
            hang_up_after: Some(Duration::from_millis(100)),
        },
        Some('1') => Behaviour::Answer {
            after: Duration::from_millis(50),
            hang_up_after: None,
        },
        Some('2') => Behaviour::busy(),
        Some('3') => Behaviour::declined(),
        Some('4') => Behaviour::RingForever,
        _ => Behaviour::Silent,
    })
    .await
    .unwrap()
}

/// Waits for something that another task brings about.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come about");
}

#[tokio::test]
async fn an_answered_call_ends_by_either_side() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let mut theirs = place.dial("+14045550140", towards(carrier.addr()));
    let ending = theirs.ending().await;
    assert_eq!(theirs.seen, ["sent", "100", "180", "answered", "ended"]);
    assert_eq!(
        (ending.outcome, ending.by),
        (Outcome::Answered, EndedBy::Peer)
    );
    assert!(ending.answered);

    let mut ours = place.dial("+14045550141", towards(carrier.addr()));
    ours.until("answered").await;
    assert_eq!(place.endpoint.active_calls(), 1);
    ours.hang_up(HangUpCause::Client).await;
    let ending = ours.ending().await;
    assert_eq!(
        (ending.outcome, ending.by),
        (Outcome::Answered, EndedBy::Us)
    );
    eventually("the BYE", || carrier.received("+14045550141").byes == 1).await;
    assert_eq!(carrier.received("+14045550141").invites, 1);
    assert_eq!(place.endpoint.active_calls(), 0);
}

#[tokio::test]
async fn refusals_end_with_their_outcome() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let ending = place
        .dial("+14045550142", towards(carrier.addr()))
        .ending()
        .await;
    assert_eq!(
        (ending.outcome, ending.retry, ending.code),
        (Outcome::Busy, Retry::Soon, Some(486))
    );
    assert_eq!(ending.reason.as_deref(), Some("Busy Here"));
    let ending = place
        .dial("+14045550143", towards(carrier.addr()))
        .ending()
        .await;
    assert_eq!(
        (ending.outcome, ending.code),
        (Outcome::Rejected, Some(603))
    );
    eventually("the ACK", || carrier.received("+14045550143").acks == 1).await;
}

#[tokio::test]
async fn an_opt_out_or_a_client_that_goes_away_cancels_what_rings() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let mut call = place.dial("+14045550144", towards(carrier.addr()));
    call.until("180").await;
    call.hang_up(HangUpCause::OptOut).await;
    let ending = call.ending().await;
    assert_eq!(
        (ending.outcome, ending.retry, ending.code),
        (Outcome::Canceled, Retry::Never, Some(487))
    );

    let mut call = place.dial("+14045550154", towards(carrier.addr()));
    call.until("180").await;
    let Dialog {
        mut events,
        control,
        ..
    } = call.dialog;
    drop(control);
    let last = timeout(PATIENCE, events.recv()).await.unwrap();
    let Some(SipEvent::Ended(ending)) = last.map(|last| last.event) else {
        panic!("the ending comes next");
    };
    assert_eq!(ending.outcome, Outcome::Canceled);
    assert_eq!(carrier.received("+14045550154").cancels, 1);
}

#[tokio::test]
async fn into_silence_only_as_long_as_the_permit_lives() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let trunk = Trunk {
        first_response_timeout: Duration::from_millis(2_500),
        ..towards(carrier.addr())
    };
    let mut call = place.dial("+14045550149", trunk);
    let ending = call.ending().await;
    assert_eq!(call.seen, ["sent", "sent", "spent", "ended"]);
    assert_eq!(
        (ending.outcome, ending.retry),
        (Outcome::Unreachable, Retry::Trunk)
    );
    assert_eq!(carrier.received("+14045550149").invites, 2);
}

#[tokio::test]
async fn under_a_spent_permit_nothing_leaves() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let permit = place.permit("+14045550140");
    place.clock.advance(Duration::from_millis(1_500));
    let invite = Invite {
        vouch: Vouch::Nobody,
        sip_call_id: place.endpoint.new_call_id(),
        trunk: Arc::new(towards(carrier.addr())),
        sdp_offer: OFFER.as_bytes().to_vec(),
    };
    let mut call = Call {
        dialog: place.endpoint.dial(permit, invite),
        seen: Vec::new(),
    };
    assert_eq!(call.ending().await.outcome, Outcome::PermitExpired);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(carrier.received("+14045550140").invites, 0);
    assert_eq!(place.endpoint.lingering_calls(), 0);
}

#[tokio::test]
async fn above_the_limit_calls_are_refused_before_an_invite_is_built() {
    let config = SipConfig {
        calls_max: 1,
        ..SipConfig::default()
    };
    let (place, carrier) = (Place::with(config).await, carrier().await);
    let mut first = place.dial("+14045550141", towards(carrier.addr()));
    first.until("answered").await;
    let ending = place
        .dial("+14045550151", towards(carrier.addr()))
        .ending()
        .await;
    assert_eq!(
        (ending.outcome, ending.retry),
        (Outcome::Congestion, Retry::Soon)
    );
    assert_eq!(carrier.received("+14045550151").invites, 0);
    first.hang_up(HangUpCause::Client).await;
    first.ending().await;
    let mut third = place.dial("+14045550161", towards(carrier.addr()));
    third.until("answered").await;
}

#[tokio::test]
async fn two_hundred_calls_at_once_all_end_and_leave_nothing() {
    let config = SipConfig {
        t1_ms: 100,
        t4_ms: 100,
        ..SipConfig::default()
    };
    let (place, carrier) = (Place::with(config).await, carrier().await);
    let mut calls = Vec::new();
    for index in 0..200 {
        calls.push(place.dial(
            &format!("+140455501{}0", index % 10),
            towards(carrier.addr()),
        ));
    }
    for call in &mut calls {
        let ending = call.ending().await;
        assert_eq!(ending.outcome, Outcome::Answered, "{:?}", call.seen);
    }
    assert_eq!(place.endpoint.active_calls(), 0);
    let endpoint = place.endpoint.clone();
    let gone = async {
        while endpoint.lingering_calls() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("64 T1 after its end a call is forgotten");
}

#[tokio::test]
async fn strangers_are_answered_and_never_taken_up() {
    let place = Place::new().await;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut buffer = vec![0; 4096];
    for (method, expected) in [
        ("OPTIONS", "SIP/2.0 200 "),
        ("INVITE", "SIP/2.0 403 "),
        ("REGISTER", "SIP/2.0 405 "),
        ("BYE", "SIP/2.0 481 "),
        ("FROBNICATE", "SIP/2.0 501 "),
    ] {
        let request = format!(
            "{method} sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK{method};rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        stranger
            .send_to(request.as_bytes(), place.endpoint.local_addr())
            .await
            .unwrap();
        let received = timeout(PATIENCE, stranger.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        let answer = String::from_utf8_lossy(&buffer[..received]).into_owned();
        assert!(answer.starts_with(expected), "{answer}");
    }
    assert_eq!(place.endpoint.refused_calls(), 1);
    for noise in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        &[0xff; 900],
    ] {
        stranger
            .send_to(noise, place.endpoint.local_addr())
            .await
            .unwrap();
    }
    let silence = timeout(Duration::from_millis(200), stranger.recv(&mut buffer)).await;
    assert!(silence.is_err(), "noise is not answered");
}

#[tokio::test]
async fn an_address_that_nobody_could_answer_to_is_refused_at_the_start() {
    let config = SipConfig {
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        ..SipConfig::default()
    };
    let error = Endpoint::bind(&config, Clock::Real).await.unwrap_err();
    assert!(
        error.to_string().contains("[sip] advertised_host"),
        "{error}"
    );
}

/// One datagram in so many is dropped on the way, in both directions: the first of each kind.
async fn lossy(target: SocketAddr) -> SocketAddr {
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = relay.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut lost, mut client, mut buffer) = (Vec::new(), None, vec![0; 65_536]);
        loop {
            let Ok((length, source)) = relay.recv_from(&mut buffer).await else {
                continue;
            };
            let start = String::from_utf8_lossy(&buffer[..length.min(11)]).into_owned();
            let to = if source == target {
                client
            } else {
                Some(target)
            };
            if source != target {
                client = Some(source);
            }
            if lost.contains(&start) {
                relay.send_to(&buffer[..length], to.unwrap()).await.unwrap();
            } else {
                lost.push(start);
            }
        }
    });
    addr
}

#[tokio::test]
async fn lost_datagrams_are_sent_again() {
    let (place, carrier) = (Place::new().await, carrier().await);
    let relay = lossy(carrier.addr()).await;
    let mut call = place.dial("+14045550141", towards(relay));
    call.until("answered").await;
    call.hang_up(HangUpCause::Client).await;
    let ending = call.ending().await;
    assert_eq!(ending.outcome, Outcome::Answered, "{:?}", call.seen);
    assert_eq!(call.seen.iter().filter(|word| *word == "sent").count(), 2);
    assert_eq!(carrier.received("+14045550141").invites, 1);
    eventually("the second ACK", || {
        carrier.received("+14045550141").acks >= 1
    })
    .await;
    eventually("the second BYE", || {
        carrier.received("+14045550141").byes >= 1
    })
    .await;
}

/// Everything that the crate logs, at the finest level.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// No number, credential, address of media or message in any log line (P-21).
#[tokio::test]
async fn logs_tell_nothing_of_the_people_called() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is on");
    let (place, carrier) = (Place::new().await, carrier().await);
    for number in ["+14045550140", "+14045550142"] {
        let mut call = place.dial(number, towards(carrier.addr()));
        call.ending().await;
    }
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let broken = b"INVITE  sip:+14045550177@x SIP/2.0\r\nTo: <sip:+14045550177@x>\r\n\r\n";
    stranger
        .send_to(broken, place.endpoint.local_addr())
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the log is on") && text.contains("refused a message"));
    for secret in [
        "4045550", PASSWORD, "RTP/AVP", "IN IP4", "INVITE", "SIP/2.0",
    ] {
        assert!(!text.contains(secret), "`{secret}` is in the log:\n{text}");
    }
}

#[test]
fn a_password_does_not_show_itself() {
    let trunk = towards(SocketAddr::from((Ipv4Addr::LOCALHOST, 5060)));
    assert!(!format!("{trunk:?}").contains(PASSWORD));
}
