//! Engines that are gone, silent, full of nonsense or lost in the middle of a call: nothing is sent without media, nobody talks
//! into silence for long, and no engine keeps what is over.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.local_addr().unwrap()
}

/// An engine that answers everything with this, `@` for the cookie; with nothing if that is empty.
async fn engine(answer: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let answer = answer.replace('@', text.split(' ').next().unwrap());
            if !answer.is_empty() {
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
        }
    });
    addr
}

/// The way to an engine, which holds back what comes until it is opened; and whether anything has come.
async fn gated(engine: SocketAddr) -> (SocketAddr, watch::Sender<bool>, watch::Receiver<bool>) {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let addr = socket.local_addr().unwrap();
    let (open, is_open) = watch::channel(false);
    let (came, has_come) = watch::channel(false);
    let (hold, mut held) = tokio::sync::mpsc::unbounded_channel();
    let back = Arc::clone(&socket);
    tokio::spawn(async move {
        let mut bytes = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let request = bytes[..length].to_vec();
            // A ping is no call.
            if !request.windows(6).any(|word| word == b"4:ping") {
                came.send_replace(true);
            }
            hold.send((request, from)).unwrap();
        }
    });
    tokio::spawn(async move {
        let mut is_open = is_open;
        let mut answer = vec![0; 65_535];
        // In the order in which they came.
        while let Some((request, from)) = held.recv().await {
            let _ = is_open.wait_for(|open| *open).await;
            let way = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            way.send_to(&request, engine).await.unwrap();
            if let Ok(Ok(length)) = timeout(PATIENCE, way.recv(&mut answer)).await {
                let _ = back.send_to(&answer[..length], from).await;
            }
        }
    });
    (addr, open, has_come)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_nothing_is_sent_and_nothing_counted() {
    let (silent, nonsense) = (engine("").await, engine("nonsense").await);
    let other = engine("other d3:sdp3:v=06:result2:oke").await;
    let broken = engine("@ d3:sdp9:v=06:result2:oke").await;
    let empty = engine("@ d6:result2:oke").await;
    let no_sdp = engine("@ d3:sdp3:v=06:result2:oke").await;
    let full = engine("@ d6:result10:load limite").await;
    let refuses = engine("@ d6:result5:error12:error-reason4:nonee").await;
    let gone = nobody().await;
    for (engines, retry, why) in [
        (vec![gone], Retry::Soon, "no media engine answered"),
        (vec![silent], Retry::Soon, "no media engine answered"),
        (
            vec![nonsense, other],
            Retry::Soon,
            "no media engine answered",
        ),
        (vec![broken], Retry::Soon, "no media engine answered"),
        (vec![gone, full], Retry::Soon, "the media engines are full"),
        (vec![refuses], Retry::Fix, "refused the session: none"),
        (vec![empty], Retry::Fix, "no description came back"),
        (vec![no_sdp], Retry::Fix, "no plain RTP"),
    ] {
        let carrier = Carrier::new().await;
        let line = Line::by(&carrier, &engines).await;
        let call_id = line.call(&Audio::new().await.sdp(1)).await;
        let (call, told, note) = line.over_with(call_id).await;
        assert_eq!(call.outcome, Some(Outcome::MediaIncompatible), "{why}");
        assert_eq!((told, call.attempt_id), (Some(retry), None), "{why}");
        let note = note.unwrap();
        assert!(note.contains(why), "{note}");
        carrier.is_not_called();
        line.stop().await;
    }
}

/// A trunk whose engines are gone is passed over for the next of the campaign, as one that is down is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_trunk_takes_what_the_first_has_no_engine_for() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (first, mut second) = (Carrier::new().await, Carrier::new().await);
    let client = Audio::new().await;
    let gone = nobody().await;
    let line = Line::over(vec![
        ("one", TrunkConfig::towards(first.addr()), Some(&[gone][..])),
        (
            "two",
            TrunkConfig::towards(second.addr()),
            Some(&[engine.addr][..]),
        ),
    ])
    .await;
    let call_id = line.call(&client.sdp(1)).await;
    let offered = second.invited().await;
    assert_ne!(audio_at(&offered).port(), client.port());
    second.answer("486 Busy Here", "a", &[]).await;
    let (call, ..) = line.over_with(call_id).await;
    assert_eq!(
        (call.outcome, call.trunk.as_str()),
        (Some(Outcome::Busy), "two")
    );
    first.is_not_called();
    engine.is_empty().await;
    line.stop().await;
}

/// The configuration is read anew: the trunk is the same, and its anchor another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anchor_that_is_another_takes_the_next_call() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (mut carrier, client) = (Carrier::new().await, Audio::new().await);
    let line = Line::by(&carrier, &[nobody().await]).await;
    let call_id = line.call(&client.sdp(1)).await;
    let (call, ..) = line.over_with(call_id).await;
    assert_eq!(call.attempt_id, None);
    let config = TrunkConfig::towards(carrier.addr());
    let lanes = vec![lane(("carrier", config, Some(&[engine.addr][..])))];
    line.dialer.take_trunks(lanes, &DialerConfig::default());
    let call_id = line.call(&client.sdp(1)).await;
    let offered = carrier.invited().await;
    assert_ne!(audio_at(&offered).port(), client.port());
    carrier.answer("486 Busy Here", "a", &[]).await;
    line.over_with(call_id).await;
    engine.is_empty().await;
    line.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_without_an_anchor_is_offered_no_browser() {
    let carrier = Carrier::new().await;
    let config = TrunkConfig::towards(carrier.addr());
    let line = Line::over(vec![("carrier", config, None)]).await;
    let call_id = line.call(BROWSER.as_bytes()).await;
    let (call, retry, note) = line.over_with(call_id).await;
    assert_eq!(call.outcome, Some(Outcome::MediaIncompatible));
    assert_eq!((retry, call.attempt_id), (Some(Retry::Fix), None));
    assert!(note.unwrap().contains("no media anchor"));
    carrier.is_not_called();
    line.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_engine_takes_what_the_first_does_not() {
    let Some(good) = Engine::start().await else {
        return;
    };
    for first in [
        nobody().await,
        engine("").await,
        engine("nonsense").await,
        engine("@ d6:result10:load limite").await,
    ] {
        let (mut carrier, client, callee) =
            (Carrier::new().await, Audio::new().await, Audio::new().await);
        let line = Line::by(&carrier, &[first, good.addr]).await;
        let call_id = line.call(&client.sdp(1)).await;
        let callee_sends = audio_at(&carrier.invited().await);
        carrier.takes(&callee.sdp(1)).await;
        line.event(call_id, EventKind::Answered, 1).await;
        callee.is_heard_by(&client, callee_sends, 1).await;
        line.hang_up(call_id).await;
        carrier.is_left().await;
        line.over_with(call_id).await;
        good.is_empty().await;
        line.stop().await;
    }
}

/// A person who picks up is not left in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_no_engine_passes_ends_the_call() {
    let Some(mut engine) = Engine::start().await else {
        return;
    };
    let (mut carrier, client, callee) =
        (Carrier::new().await, Audio::new().await, Audio::new().await);
    let line = Line::by(&carrier, &[engine.addr]).await;
    let call_id = line.call(&client.sdp(1)).await;
    carrier.invited().await;
    engine.kill();
    // Media before the answer is told as ringing.
    carrier
        .answer("183 Session Progress", "a", &callee.sdp(1))
        .await;
    let rings = line.event(call_id, EventKind::Ringing, 1).await;
    assert_eq!((rings.detail.sip_code, rings.detail.sdp), (Some(183), None));
    carrier.takes(&callee.sdp(1)).await;
    let reason = carrier.is_left().await;
    assert!(reason.starts_with("SIP;cause=488"), "{reason}");
    let (call, retry, _) = line.over_with(call_id).await;
    assert_eq!(call.outcome, Some(Outcome::MediaIncompatible));
    assert_eq!((retry, call.sip_code), (Some(Retry::Later), Some(200)));
    let events = line.events(call_id).await;
    assert!(events.iter().all(|event| event.kind != EventKind::Answered));
    let mut notes = events
        .iter()
        .filter_map(|event| event.detail.note.as_deref());
    assert!(notes.any(|note| note.contains("does not reach the client: no media engine answered")));
    line.stop().await;
}

/// What is up stays up, deaf as it is, until somebody ends it; what asks for another session is told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_in_the_middle_of_a_call() {
    let Some(mut talk) = Talk::begin().await else {
        return;
    };
    talk.both_are_heard(1).await;
    talk.engine.kill();
    let moved = Audio::new().await;
    talk.carrier.offers(&moved.sdp(2)).await;
    talk.carrier.answered("488").await;
    let sdp = moved.sdp(2);
    let id = talk.line.asks(talk.call_id, Instruct::Offer { sdp }).await;
    let followed = talk.line.followed(talk.call_id, id).await;
    assert_eq!(
        (followed.result, followed.code),
        (InstructionResult::Refused, Some(500))
    );
    talk.line.hang_up(talk.call_id).await;
    talk.carrier.is_left().await;
    let (call, ..) = talk.line.over_with(talk.call_id).await;
    assert_eq!(call.outcome, Some(Outcome::Answered));
    talk.line.stop().await;
}

/// The offer waits for the engine, not the permit: an opt-out meanwhile is seen by the claim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opt_out_while_the_engine_thinks_stops_the_call() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (way, open, mut has_come) = gated(engine.addr).await;
    let carrier = Carrier::new().await;
    let line = Line::by(&carrier, &[way]).await;
    let call_id = line.call(&Audio::new().await.sdp(1)).await;
    has_come.wait_for(|come| *come).await.unwrap();
    let (ask, wish) = (line.bench.ask("anna"), line.bench.opt_out(ANNA));
    line.bench.gate.suppress(&ask, wish).await.unwrap();
    open.send_replace(true);
    let (call, ..) = line.over_with(call_id).await;
    assert_eq!(call.state, dialgate::domain::call::CallState::Denied);
    carrier.is_not_called();
    engine.is_empty().await;
    line.stop().await;
}

/// An answer that comes when its time is over is nobody's, and the engine forgets the session all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_answers_late_keeps_nothing() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (way, open, _) = gated(engine.addr).await;
    let carrier = Carrier::new().await;
    let line = Line::by(&carrier, &[way]).await;
    let call_id = line.call(&Audio::new().await.sdp(1)).await;
    let (call, retry, _) = line.over_with(call_id).await;
    assert_eq!((call.attempt_id, retry), (None, Some(Retry::Soon)));
    open.send_replace(true);
    engine.is_empty().await;
    carrier.is_not_called();
    line.stop().await;
    engine.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_leaves_no_session_behind() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let (mut carrier, client, callee) =
        (Carrier::new().await, Audio::new().await, Audio::new().await);
    let line = Line::by(&carrier, &[engine.addr]).await;
    let call_id = line.call(&client.sdp(1)).await;
    carrier.invited().await;
    carrier.takes(&callee.sdp(1)).await;
    line.event(call_id, EventKind::Answered, 1).await;
    line.hang_up(call_id).await;
    let (_, ()) = tokio::join!(carrier.is_left(), line.stop());
    assert_eq!(engine.sessions().await, 0, "when it has stopped, not later");
}
