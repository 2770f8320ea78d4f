//! Sessions against an engine that writes down what it hears and shows a description in angle brackets.

use std::net::SocketAddr;
use std::sync::{Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::super::AnchorConfig;
use super::super::bencode::Value;
use super::*;
use crate::domain::ids::CallId;
use crate::domain::time::Micros;

const PLAIN: Manner = Manner {
    protocol: "RTP/AVP",
    ice: false,
};

/// What an engine does with whatever it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Works,
    Silent,
    Full,
    Refuses,
}

struct Engine {
    addr: SocketAddr,
    heard: Arc<Lock<Vec<String>>>,
    mood: Arc<Lock<Mood>>,
}

fn locked<T>(lock: &Lock<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    async fn new(mood: Mood) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let heard: Arc<Lock<Vec<String>>> = Arc::default();
        let mood = Arc::new(Lock::new(mood));
        let (kept, now) = (Arc::clone(&heard), Arc::clone(&mood));
        tokio::spawn(async move {
            let mut bytes = vec![0; 65_535];
            let mut last = Vec::new();
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let again = last == bytes[..length];
                last = bytes[..length].to_vec();
                let space = last.iter().position(|byte| *byte == b' ').unwrap();
                let (cookie, body) = last.split_at(space);
                let asked = Value::decode(&body[1..]).unwrap();
                let word = |key| {
                    let text = asked.get(key).and_then(Value::text);
                    String::from_utf8(text.unwrap_or_default().to_vec()).unwrap()
                };
                let sdp = word("sdp");
                if !again {
                    let told = [
                        word("command"),
                        word("from-tag"),
                        word("to-tag"),
                        sdp.clone(),
                    ];
                    let told = told.into_iter().filter(|each| !each.is_empty());
                    locked(&kept).push(told.collect::<Vec<_>>().join(" "));
                }
                let shown = format!("<{sdp}>");
                let reply = match *locked(&now) {
                    Mood::Silent => continue,
                    Mood::Full => "d6:result10:load limite".to_owned(),
                    Mood::Refuses => "d6:result5:error12:error-reason4:nonee".to_owned(),
                    Mood::Works => {
                        format!("d6:result2:ok3:sdp{}:{shown}e", shown.len())
                    }
                };
                let reply = [cookie, b" ", reply.as_bytes()].concat();
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        Self { addr, heard, mood }
    }

    fn becomes(&self, mood: Mood) {
        *locked(&self.mood) = mood;
    }

    /// What it has heard since it was last looked at.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let heard = std::mem::take(&mut *locked(&self.heard));
        assert_eq!(heard, expected);
    }
}

fn anchor(engines: &[&Engine]) -> Arc<Anchor> {
    let config = AnchorConfig {
        timeout_ms: 250,
        ..AnchorConfig::of(engines.iter().map(|engine| engine.addr))
    };
    Anchor::new("main", config)
}

/// A session whose call is up.
async fn up() -> (Engine, Session, TaskTracker) {
    let (engine, tasks) = (Engine::new(Mood::Works).await, TaskTracker::new());
    let opened = anchor(&[&engine]).open(b"us1", PLAIN, &tasks).await;
    let (session, offer) = opened.unwrap();
    assert_eq!(offer, b"<us1>");
    assert_eq!(session.carrier_answers(b"them1").await.unwrap(), b"<them1>");
    engine.check(&["offer client us1", "answer client carrier them1"]);
    (engine, session, tasks)
}

fn asks(what: Instruct) -> Instruction {
    Instruction {
        instruction_id: InstructionId::new(Micros(1)),
        call_id: CallId::new(Micros(1)),
        what,
    }
}

fn offer(sdp: &str) -> Instruction {
    asks(Instruct::Offer {
        sdp: sdp.as_bytes().to_vec(),
    })
}

fn answer(offer: u32, sdp: &str) -> Instruction {
    asks(Instruct::Answer {
        offer,
        sdp: sdp.as_bytes().to_vec(),
    })
}

fn done(sdp: &str) -> Followed {
    Followed {
        sdp: sdp.as_bytes().to_vec(),
        ..Followed::with_code(200)
    }
}

#[tokio::test]
async fn a_session_is_forgotten_when_it_is_dropped() {
    let (engine, session, tasks) = up().await;
    drop(session);
    tasks.close();
    tasks.wait().await;
    engine.check(&["delete client"]);
}

#[tokio::test]
async fn every_answer_to_the_offer_of_the_call_is_passed() {
    let (engine, session, _tasks) = up().await;
    assert_eq!(session.carrier_answers(b"fork").await.unwrap(), b"<fork>");
    engine.check(&["answer client carrier fork"]);
    engine.becomes(Mood::Refuses);
    let refused = session.carrier_answers(b"x").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the media engine refused the session: none"
    );
    assert!(!refused.may_pass());
    engine.becomes(Mood::Silent);
    let silent = session.carrier_answers(b"x").await.unwrap_err();
    assert!(silent == Unanchored::Silent && silent.may_pass());
}

#[tokio::test]
async fn the_clients_offer_is_passed_and_taken_back_if_it_is_refused() {
    let (engine, session, _tasks) = up().await;
    for (answered, heard) in [
        (
            Followed::with_code(488),
            &["offer client carrier us1", "answer client carrier them1"][..],
        ),
        (
            Followed::plain(InstructionResult::NotUp),
            &["offer client carrier us1", "answer client carrier them1"],
        ),
        (done("them2"), &["answer client carrier them2"]),
    ] {
        let asked = offer("us2");
        let id = asked.instruction_id;
        let shown = session.client_asks(asked).await.unwrap();
        assert_eq!(shown.instruction_id, id);
        assert!(shown.what == offer("<us2>").what);
        engine.check(&["offer client carrier us2"]);
        let told = session.followed(id, answered.clone()).await;
        let sdp = if answered.sdp.is_empty() {
            vec![]
        } else {
            b"<them2>".to_vec()
        };
        assert_eq!(told, Followed { sdp, ..answered });
        engine.check(heard);
    }
    // That is the session from now on.
    session.carrier_offers(1, b"them3").await.unwrap();
    session.offer_over().await;
    session.offer_over().await;
    engine.check(&[
        "offer carrier client them3",
        "offer client carrier us2",
        "answer client carrier them2",
    ]);
}

#[tokio::test]
async fn the_carriers_offer_is_shown_and_answered_once() {
    let (engine, session, _tasks) = up().await;
    assert_eq!(
        session.carrier_offers(1, b"them2").await.unwrap(),
        b"<them2>"
    );
    // Another number, and an offer of ours at the same time.
    let over = session.client_asks(answer(2, "us2")).await.unwrap_err();
    assert_eq!(over, Unmoved::OfferOver);
    let busy = session.client_asks(offer("us2")).await.unwrap_err();
    assert_eq!(busy, Unmoved::Busy);
    engine.check(&["offer carrier client them2"]);
    // An answer that does not fit leaves it open.
    for (sdp, result) in [
        ("bad", InstructionResult::Misfit),
        ("us2", InstructionResult::Done),
    ] {
        let asked = answer(1, sdp);
        let id = asked.instruction_id;
        let shown = session.client_asks(asked).await.unwrap();
        assert!(shown.what == answer(1, &format!("<{sdp}>")).what);
        let followed = Followed::plain(result);
        assert_eq!(session.followed(id, followed.clone()).await, followed);
    }
    engine.check(&["answer carrier client bad", "answer carrier client us2"]);
    let over = session.client_asks(answer(1, "us3")).await.unwrap_err();
    assert_eq!(over, Unmoved::OfferOver);
    // What is in force now is what comes back.
    session.carrier_offers(2, b"them3").await.unwrap();
    let late = answer(2, "us3");
    let id = late.instruction_id;
    session.client_asks(late).await.unwrap();
    session
        .followed(id, Followed::plain(InstructionResult::OfferOver))
        .await;
    engine.check(&[
        "offer carrier client them3",
        "answer carrier client us3",
        "offer client carrier us2",
        "answer client carrier them2",
    ]);
}

#[tokio::test]
async fn offers_that_cross_end_as_the_far_ends_saw_them() {
    let (engine, session, _tasks) = up().await;
    let asked = offer("us2");
    let ours = asked.instruction_id;
    session.client_asks(asked).await.unwrap();
    session.carrier_offers(1, b"them2").await.unwrap();
    let asked = answer(1, "us3");
    let theirs = asked.instruction_id;
    session.client_asks(asked).await.unwrap();
    session.followed(theirs, Followed::with_code(200)).await;
    session.followed(ours, done("them3")).await;
    engine.check(&[
        "offer client carrier us2",
        "offer carrier client them2",
        "answer carrier client us3",
        "offer client carrier us2",
        "answer client carrier them3",
    ]);
}

#[tokio::test]
async fn tones_and_refusals_need_no_engine() {
    let (engine, session, _tasks) = up().await;
    engine.becomes(Mood::Silent);
    let tones = asks(Instruct::Dtmf {
        tones: "1".to_owned(),
        millis: 100,
    });
    for asked in [tones, asks(Instruct::Decline { offer: 1 })] {
        assert_eq!(session.client_asks(asked.clone()).await.unwrap(), asked);
    }
    let silent = session.client_asks(offer("us2")).await.unwrap_err();
    assert_eq!(silent, Unmoved::Unanchored(Unanchored::Silent));
    // It was not taken, so another may be tried.
    engine.becomes(Mood::Works);
    session.client_asks(offer("us3")).await.unwrap();
}

#[tokio::test]
async fn the_first_engine_with_room_takes_a_call() {
    for (first, asked) in [
        (Mood::Silent, &["offer client us", "delete client"][..]),
        (Mood::Full, &["offer client us", "delete client"]),
        (Mood::Refuses, &["offer client us", "delete client"]),
    ] {
        let (bad, good) = (Engine::new(first).await, Engine::new(Mood::Works).await);
        let tasks = TaskTracker::new();
        let anchor = anchor(&[&bad, &good]);
        let (session, _) = anchor.open(b"us", PLAIN, &tasks).await.unwrap();
        good.check(&["offer client us"]);
        // It may have heard the offer, and only its answer got lost.
        tasks.close();
        tasks.wait().await;
        bad.check(asked);
        session.carrier_answers(b"them").await.unwrap();
        good.check(&["answer client carrier them"]);
        // Who did not answer is asked last, until it is heard again.
        bad.becomes(Mood::Works);
        let again = anchor.open(b"us", PLAIN, &tasks).await.unwrap();
        let by = if first == Mood::Silent { &good } else { &bad };
        by.check(&["offer client us"]);
        drop((session, again));
    }
}

#[tokio::test]
async fn an_anchor_without_an_engine_that_takes_the_call_says_why() {
    let tasks = TaskTracker::new();
    for (moods, why) in [
        ([Mood::Silent, Mood::Silent], "no media engine answered"),
        ([Mood::Full, Mood::Silent], "the media engines are full"),
        (
            [Mood::Silent, Mood::Refuses],
            "the media engine refused the session: none",
        ),
    ] {
        let (one, other) = (Engine::new(moods[0]).await, Engine::new(moods[1]).await);
        let opened = anchor(&[&one, &other]).open(b"us", PLAIN, &tasks).await;
        assert_eq!(opened.unwrap_err().to_string(), why);
    }
}

#[tokio::test]
async fn an_engine_that_comes_back_is_found_by_its_ping() {
    let engine = Engine::new(Mood::Silent).await;
    let config = AnchorConfig {
        timeout_ms: 200,
        ping_seconds: 1,
        ..AnchorConfig::of([engine.addr])
    };
    let anchor = Anchor::new("main", config);
    let kept = Arc::clone(&anchor);
    let keeping = tokio::spawn(async move { kept.keep().await });
    for (mood, is_up) in [
        (Mood::Silent, false),
        (Mood::Works, true),
        (Mood::Silent, false),
    ] {
        engine.becomes(mood);
        let mut tries = 0;
        while anchor.engines[0].is_up() != is_up {
            tries += 1;
            assert!(tries < 500, "{mood:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    keeping.abort();
}
