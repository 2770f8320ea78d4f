//! Calls whose audio passes a media anchor: the worker, a real rtpengine, a carrier that speaks real SIP, and RTP packets that
//! are counted and compared.

mod broken;
mod ends;
mod engine;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dialgate::anchor::{Anchor, AnchorConfig};
use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{Call, CallEvent, EventKind, Outcome, Retry};
use dialgate::domain::campaign::Campaign;
use dialgate::domain::ids::{CallId, InstructionId, TenantId};
use dialgate::domain::instruction::{Followed, Instruct, InstructionResult};
use dialgate::domain::route::{Dialing, Route};
use dialgate::sip::{Endpoint, SipConfig};

use crate::dialer::tick;
use crate::gate::bench::{Bench, campaign};
use crate::support::builders::TestStore;
use ends::{Audio, Carrier, audio_at};
use engine::Engine;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const ANNA: &str = "+14045550141";

/// As a browser offers audio, with what an engine looks at.
const BROWSER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlxy\r\na=candidate:1 1 udp 2122260223 127.0.0.1 49170 typ host generation 0\r\na=ice-options:trickle\r\na=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";

/// A worker whose trunks have an anchor, or not.
struct Line {
    bench: Bench,
    dialer: Dialer,
    ticking: tokio::task::JoinHandle<()>,
    tenant: TenantId,
}

/// A trunk, its config and the engines of its anchor, if it has one.
type Trunk<'a> = (&'a str, TrunkConfig, Option<&'a [SocketAddr]>);

fn lane((name, config, engines): Trunk<'_>) -> Lane {
    let config = TrunkConfig {
        calls_per_second: 50_u32.try_into().unwrap(),
        burst: 10_u32.try_into().unwrap(),
        anchor: engines.map(|_| "main".to_owned()),
        ..config
    };
    let lane = Lane::new(config.trunk(name).unwrap(), config);
    let Some(engines) = engines else { return lane };
    let config = AnchorConfig {
        timeout_ms: 1_000,
        ..AnchorConfig::of(engines.iter().copied())
    };
    lane.anchored(Anchor::new("main", config))
}

impl Line {
    /// One trunk to this carrier by these engines.
    async fn by(carrier: &Carrier, engines: &[SocketAddr]) -> Self {
        let config = TrunkConfig::towards(carrier.addr());
        Self::over(vec![("carrier", config, Some(engines))]).await
    }

    /// These trunks, in their order.
    async fn over(trunks: Vec<Trunk<'_>>) -> Self {
        let routes = trunks.iter().zip(0..).map(|((name, ..), priority)| Route {
            priority,
            ..Route::by(*name)
        });
        let campaigns = vec![Campaign {
            dialing: Dialing {
                routes: routes.collect(),
                ..Dialing::by("")
            },
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
        let lanes: Vec<Lane> = trunks.into_iter().map(lane).collect();
        bench
            .gate
            .take_carriers(lanes.iter().map(Lane::carrier).collect());
        let (gate, config) = (bench.gate.clone(), DialerConfig::default());
        let dialer = Dialer::start(gate, endpoint, lanes, &config, clock);
        Self {
            bench,
            dialer,
            ticking,
            tenant: TenantId::default(),
        }
    }

    async fn call(&self, offer: &[u8]) -> CallId {
        let mut request = self.bench.request(ANNA);
        request.sdp_offer = offer.to_vec();
        let placed = self.bench.gate.place(request).await.unwrap();
        placed.call.unwrap().call_id
    }

    async fn events(&self, call_id: CallId) -> Vec<CallEvent> {
        let mut tx = self.bench.store.read().await;
        let events = tx.events_after(&self.tenant, call_id, 0, 99).await;
        events.unwrap()
    }

    /// The event of this kind with this place among its like, counted from one; waits for it.
    async fn event(&self, call_id: CallId, kind: EventKind, place: usize) -> CallEvent {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events = self.events(call_id).await;
            let told: Vec<_> = events.iter().map(|event| event.kind).collect();
            let mut alike = events.into_iter().filter(|event| event.kind == kind);
            if let Some(event) = alike.nth(place - 1) {
                return event;
            }
            let in_time = tokio::time::Instant::now() < give_up;
            assert!(in_time, "no {kind} number {place}: {told:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The description that the client is told with such an event.
    async fn told(&self, call_id: CallId, kind: EventKind, place: usize) -> Vec<u8> {
        let event = self.event(call_id, kind, place).await;
        event.detail.sdp.unwrap()
    }

    async fn asks(&self, call_id: CallId, what: Instruct) -> InstructionId {
        let ask = self.bench.ask("agent");
        let asked = self.bench.gate.instruct(&ask, call_id, what).await;
        asked.unwrap().expect("the call is up")
    }

    async fn followed(&self, call_id: CallId, id: InstructionId) -> Followed {
        let followed = self.bench.gate.followed(&self.tenant, call_id, id).await;
        followed.unwrap().expect("an answer in time")
    }

    async fn hang_up(&self, call_id: CallId) {
        let ask = self.bench.ask("agent");
        self.bench.gate.hang_up(&ask, call_id).await.unwrap();
    }

    /// The call once it is over, and what may be done next.
    async fn over_with(&self, call_id: CallId) -> (Call, Option<Retry>, Option<String>) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let call = self.bench.call(call_id).await;
            if call.state.is_final() {
                let last = self.events(call_id).await.pop().unwrap();
                return (call, last.detail.retry, last.detail.note);
            }
            let in_time = tokio::time::Instant::now() < give_up;
            assert!(in_time, "the call does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.dialer.drain().await;
        self.ticking.abort();
    }
}

/// A call that is up, its audio between two ends by way of an engine.
struct Talk {
    engine: Engine,
    carrier: Carrier,
    line: Line,
    call_id: CallId,
    client: Audio,
    callee: Audio,
    /// Where the callee sends its audio, and where the client does.
    callee_sends: SocketAddr,
    client_sends: SocketAddr,
}

impl Talk {
    async fn begin() -> Option<Self> {
        let engine = Engine::start().await?;
        let (mut carrier, client, callee) =
            (Carrier::new().await, Audio::new().await, Audio::new().await);
        let line = Line::by(&carrier, &[engine.addr]).await;
        let call_id = line.call(&client.sdp(1)).await;
        let offered = carrier.invited().await;
        carrier.takes(&callee.sdp(1)).await;
        let answered = line.told(call_id, EventKind::Answered, 1).await;
        Some(Self {
            callee_sends: audio_at(&offered),
            client_sends: audio_at(&answered),
            engine,
            carrier,
            line,
            call_id,
            client,
            callee,
        })
    }

    async fn both_are_heard(&self, seed: u8) {
        let (client, callee) = (&self.client, &self.callee);
        client.is_heard_by(callee, self.client_sends, seed).await;
        callee.is_heard_by(client, self.callee_sends, seed).await;
    }

    /// The client hangs up, and the engine keeps nothing of it.
    async fn end(mut self) {
        self.line.hang_up(self.call_id).await;
        let reason = self.carrier.is_left().await;
        assert!(reason.starts_with("Q.850;cause=16"), "{reason}");
        let (call, ..) = self.line.over_with(self.call_id).await;
        assert_eq!(call.outcome, Some(Outcome::Answered));
        self.engine.is_empty().await;
        self.line.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_passes_the_engine_in_both_directions_packet_for_packet() {
    let Some(talk) = Talk::begin().await else {
        return;
    };
    // Neither end knows the other's port.
    let ports = [talk.client.port(), talk.callee.port()];
    for sends in [talk.client_sends, talk.callee_sends] {
        assert!((20_000..30_000).contains(&sends.port()) && !ports.contains(&sends.port()));
    }
    assert_eq!(talk.engine.sessions().await, 1);
    talk.both_are_heard(1).await;
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_meets_a_carrier_of_plain_rtp() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (mut carrier, callee) = (Carrier::new().await, Audio::new().await);
    let line = Line::by(&carrier, &[engine.addr]).await;
    let call_id = line.call(BROWSER.as_bytes()).await;
    let offered = String::from_utf8(carrier.invited().await).unwrap();
    assert_eq!(
        dialgate::sip::check_offer(offered.as_bytes()),
        Ok(()),
        "{offered}"
    );
    assert!(
        offered.contains(" RTP/AVP ") && offered.contains("PCMU/8000"),
        "{offered}"
    );
    for word in [
        "a=ice-",
        "a=candidate",
        "fingerprint",
        "setup:",
        "crypto",
        "rtcp-mux",
        "SAVP",
    ] {
        assert!(!offered.contains(word), "{word} in {offered}");
    }
    carrier.takes(&callee.sdp(1)).await;
    let answered = line.told(call_id, EventKind::Answered, 1).await;
    let answered = String::from_utf8(answered).unwrap();
    for word in [
        " UDP/TLS/RTP/SAVPF ",
        "a=ice-ufrag:",
        "a=ice-pwd:",
        "a=candidate:",
        "a=fingerprint:sha-256 ",
        "a=setup:passive",
        "a=rtcp-mux",
        "a=mid:0",
    ] {
        assert!(answered.contains(word), "{word} in {answered}");
    }
    line.hang_up(call_id).await;
    carrier.is_left().await;
    line.over_with(call_id).await;
    engine.is_empty().await;
    line.stop().await;
}

/// An announcement by one fork, and the answer by another, at another port: the client sends to where it always did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_follows_the_dialog_that_answers() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (mut carrier, client) = (Carrier::new().await, Audio::new().await);
    let (first, second) = (Audio::new().await, Audio::new().await);
    let line = Line::by(&carrier, &[engine.addr]).await;
    let call_id = line.call(&client.sdp(1)).await;
    let callee_sends = audio_at(&carrier.invited().await);
    carrier
        .answer("183 Session Progress", "a", &first.sdp(1))
        .await;
    let early = audio_at(&line.told(call_id, EventKind::EarlyMedia, 1).await);
    first.is_heard_by(&client, callee_sends, 1).await;
    client.is_heard_by(&first, early, 2).await;
    carrier.answer("200 OK", "b", &second.sdp(1)).await;
    carrier.expect("ACK ").await;
    let answered = audio_at(&line.told(call_id, EventKind::Answered, 1).await);
    assert_eq!(answered, early);
    client.is_heard_by(&second, answered, 3).await;
    first.heard_nothing();
    second.is_heard_by(&client, callee_sends, 4).await;
    line.hang_up(call_id).await;
    carrier.is_left().await;
    line.over_with(call_id).await;
    engine.is_empty().await;
    line.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_carrier_moves_its_audio_and_the_client_answers() {
    let Some(mut talk) = Talk::begin().await else {
        return;
    };
    let moved = Audio::new().await;
    talk.carrier.offers(&moved.sdp(2)).await;
    let offer = talk
        .line
        .event(talk.call_id, EventKind::MediaOffer, 1)
        .await;
    assert_eq!(offer.detail.offer, Some(1));
    talk.client_sends = audio_at(&offer.detail.sdp.unwrap());
    assert_ne!(talk.client_sends.port(), moved.port());
    let sdp = talk.client.sdp(2);
    let answer = Instruct::Answer { offer: 1, sdp };
    let id = talk.line.asks(talk.call_id, answer).await;
    talk.callee_sends = audio_at(&talk.carrier.answered("200").await);
    assert_ne!(talk.callee_sends.port(), talk.client.port());
    let followed = talk.line.followed(talk.call_id, id).await;
    assert_eq!(followed.result, InstructionResult::Done);
    talk.callee = moved;
    talk.both_are_heard(1).await;
    talk.end().await;
}

/// Whatever the engine was told of an offer that came to nothing, the audio stays where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_that_come_to_nothing_leave_the_audio_where_it_was() {
    let Some(mut talk) = Talk::begin().await else {
        return;
    };
    let moved = Audio::new().await;
    talk.carrier.offers(&moved.sdp(2)).await;
    talk.line
        .event(talk.call_id, EventKind::MediaOffer, 1)
        .await;
    let decline = Instruct::Decline { offer: 1 };
    let id = talk.line.asks(talk.call_id, decline).await;
    talk.carrier.answered("488").await;
    let followed = talk.line.followed(talk.call_id, id).await;
    assert_eq!(followed.result, InstructionResult::Done);
    talk.both_are_heard(1).await;
    // Nobody answers it within three seconds.
    talk.carrier.offers(&moved.sdp(3)).await;
    talk.carrier.answered("488").await;
    talk.line.event(talk.call_id, EventKind::Note, 1).await;
    talk.both_are_heard(2).await;
    // The client's own, which the carrier refuses.
    let sdp = moved.sdp(4);
    let id = talk.line.asks(talk.call_id, Instruct::Offer { sdp }).await;
    talk.carrier
        .is_offered("488 Not Acceptable Here", &[])
        .await;
    let followed = talk.line.followed(talk.call_id, id).await;
    assert_eq!(
        (followed.result, followed.code),
        (InstructionResult::Refused, Some(488))
    );
    talk.both_are_heard(3).await;
    moved.heard_nothing();
    talk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_moves_its_audio_and_the_carrier_answers() {
    let Some(mut talk) = Talk::begin().await else {
        return;
    };
    let moved = Audio::new().await;
    let sdp = moved.sdp(2);
    let id = talk.line.asks(talk.call_id, Instruct::Offer { sdp }).await;
    let callee = talk.callee.sdp(2);
    let offered = talk.carrier.is_offered("200 OK", &callee).await;
    talk.callee_sends = audio_at(&offered);
    let followed = talk.line.followed(talk.call_id, id).await;
    assert_eq!(
        (followed.result, followed.code),
        (InstructionResult::Done, Some(200))
    );
    talk.client_sends = audio_at(&followed.sdp);
    talk.client = moved;
    talk.both_are_heard(1).await;
    talk.end().await;
}

/// The next target is offered the same session; the next trunk, by way of another anchor or of none, one of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_on_takes_its_media_along() {
    let (Some(engine), Some(other)) = (Engine::start().await, Engine::start().await) else {
        return;
    };
    let mut carriers = [
        Carrier::new().await,
        Carrier::new().await,
        Carrier::new().await,
        Carrier::new().await,
    ];
    let client = Audio::new().await;
    let first = TrunkConfig {
        fallback_targets: vec![carriers[1].addr().into()],
        ..TrunkConfig::towards(carriers[0].addr())
    };
    let line = Line::over(vec![
        ("one", first, Some(&[engine.addr][..])),
        (
            "two",
            TrunkConfig::towards(carriers[2].addr()),
            Some(&[other.addr][..]),
        ),
        ("three", TrunkConfig::towards(carriers[3].addr()), None),
    ])
    .await;
    let call_id = line.call(&client.sdp(1)).await;
    let mut offers = Vec::new();
    for carrier in &mut carriers {
        offers.push(carrier.invited().await);
        let kept = (engine.sessions().await, other.sessions().await);
        match offers.len() {
            1 | 2 => assert_eq!(kept, (1, 0)),
            3 => assert_eq!(kept.1, 1),
            _ => {}
        }
        carrier.answer("503 Service Unavailable", "a", &[]).await;
        carrier.expect("ACK ").await;
    }
    assert_eq!(offers[0], offers[1]);
    assert_ne!(offers[1], offers[2]);
    assert_ne!(audio_at(&offers[2]).port(), client.port());
    assert_eq!(offers[3], client.sdp(1), "byte for byte");
    let (call, ..) = line.over_with(call_id).await;
    assert_eq!(call.outcome, Some(Outcome::Congestion));
    engine.is_empty().await;
    other.is_empty().await;
    line.stop().await;
}
