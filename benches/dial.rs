//! From the gate's decision to the INVITE on the wire, at 100 calls a second through a whole node.
//!
//! The carrier is a socket here that writes down when each INVITE arrived, by the machine's wall clock, and is busy. The
//! decision's instant is the one that it bears in the store: a reading of the same clock before its transaction began, so
//! that the transaction is in the figure.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::grpc::client::{Bearer, Server};
use dialgate::grpc::pb;

use crate::support::figures::{Goal, Sample, Table, percentile};
use crate::support::home::{Engine, Home, on};
use crate::support::pace::open_loop;
use crate::support::{Size, block_on, node, now, scene};

/// Calls a second.
const RATE: u32 = 100;
const GOAL: Goal = Goal::AtMost(10.0);

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store", "from", "to", "p50 ms", "p99 ms", "goal", "verdict", "most ms",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print(&format!("From decision to INVITE at {RATE} calls a second"));
    });
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let home = Home::new(engine).await;
    scene::introduce(&home.store, size.people).await;
    let carrier = Carrier::start();
    let (process, key) = node::serve(&home, carrier.addr);
    let server = Server::parse(&format!("http://127.0.0.1:{}", process.port), None).unwrap();
    let client = loop {
        match server.connect(Bearer::new(&key).unwrap()).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut sides = [const { Side(Vec::new(), Vec::new(), Vec::new()) }; 3];
    let mut first = 0;
    for _ in 0..size.rounds {
        let since = scene::wall();
        let ask = {
            let client = client.clone();
            move |index| {
                let client = client.clone();
                let wish = wish(first + index);
                async move {
                    let placed = client.calls().place_call(wish).await;
                    let placed = placed.unwrap().into_inner();
                    assert!(placed.call.is_some(), "{:?}", placed.decision);
                }
            }
        };
        let placed = open_loop(RATE, size.span, ask).await.len();
        first += placed as u32;
        carrier.wait_for(first as usize).await;
        let journeys = journeys(&home, since.0, placed).await;
        for (side, from_to) in sides.iter_mut().zip([
            |journey: &Journey, _: i64| (journey.claimed, journey.sent),
            |journey: &Journey, arrived| (journey.claimed, arrived),
            |journey: &Journey, arrived| (journey.placed, arrived),
        ]) {
            let took = journeys.iter().map(|journey| {
                let (from, to) = from_to(journey, carrier.arrived(&journey.sip_call_id));
                Duration::from_micros(u64::try_from(to - from).unwrap_or_default())
            });
            side.add(took.collect());
        }
    }
    let words = [
        ("claim's decision", "INVITE given to the system", Goal::None),
        ("claim's decision", "INVITE at the carrier", GOAL),
        ("PlaceCall's decision", "INVITE at the carrier", Goal::None),
    ];
    for (side, (from, to, goal)) in sides.iter().zip(words) {
        side.tell(engine.name(), from, to, goal, table);
    }
}

pub fn wish(index: u32) -> pb::PlaceCallRequest {
    pb::PlaceCallRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        to: scene::number(index),
        campaign: scene::CAMPAIGN.to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        caller_id: String::new(),
        party_id: String::new(),
        sdp_offer: scene::OFFER.as_bytes().to_vec(),
        expire_time: Some(prost_types::Timestamp {
            seconds: scene::wall().0 / 1_000_000 + 60,
            nanos: 0,
        }),
        ..pb::PlaceCallRequest::default()
    }
}

/// What the store knows of one call's way, in microseconds of the wall clock.
pub struct Journey {
    sip_call_id: String,
    placed: i64,
    pub claimed: i64,
    pub sent: i64,
}

/// The calls placed since then, once all of them have left.
pub async fn journeys(home: &Home, since: i64, count: usize) -> Vec<Journey> {
    const SQL: &str = "SELECT a.sip_call_id, place.create_time, claim.create_time, e.event_time
        FROM attempts AS a
        JOIN calls AS c ON c.call_id = a.call_id
        JOIN decisions AS place ON place.decision_id = c.place_decision_id
        JOIN decisions AS claim ON claim.decision_id = a.decision_id
        JOIN call_events AS e ON e.call_id = a.call_id AND e.kind = 'inviting'
        WHERE c.create_time >= $1";
    let bare = home.bare().await;
    let patience = now() + Duration::from_secs(30);
    loop {
        let rows: Vec<(String, i64, i64, i64)> = on!(&bare, |pool| sqlx::query_as(SQL)
            .bind(since)
            .fetch_all(pool)
            .await)
        .unwrap();
        if rows.len() == count {
            let journeys = rows.into_iter();
            return journeys
                .map(|(sip_call_id, placed, claimed, sent)| Journey {
                    sip_call_id,
                    placed,
                    claimed,
                    sent,
                })
                .collect();
        }
        assert!(
            now() < patience,
            "{} of {count} calls have left",
            rows.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The far end: busy, and writes down what comes when.
struct Carrier {
    addr: SocketAddr,
    arrivals: Arc<Mutex<HashMap<String, i64>>>,
    stop: Arc<AtomicBool>,
}

impl Carrier {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).unwrap();
        let addr = socket.local_addr().unwrap();
        let (arrivals, stop) = (
            Arc::<Mutex<HashMap<_, _>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (seen, stopped) = (Arc::clone(&arrivals), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let at = scene::wall().0;
                let text = std::str::from_utf8(&buffer[..length]).unwrap();
                if text.starts_with("INVITE ") {
                    seen.lock()
                        .unwrap()
                        .entry(header(text, "Call-ID"))
                        .or_insert(at);
                    socket.send_to(busy(text).as_bytes(), from).unwrap();
                }
            }
        });
        Self {
            addr,
            arrivals,
            stop,
        }
    }

    fn arrived(&self, call_id: &str) -> i64 {
        self.arrivals.lock().unwrap()[call_id]
    }

    async fn wait_for(&self, calls: usize) {
        let patience = now() + Duration::from_secs(30);
        while self.arrivals.lock().unwrap().len() < calls {
            assert!(now() < patience, "not every call has arrived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn header(message: &str, name: &str) -> String {
    let mut lines = message.split("\r\n");
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().trim().to_owned()
}

fn busy(invite: &str) -> String {
    let [via, from, to, call_id, cseq] =
        ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(invite, name));
    format!(
        "SIP/2.0 486 Busy Here\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag=busy\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// p50, p99 and the most of each round.
struct Side(Vec<f64>, Vec<f64>, Vec<f64>);

impl Side {
    fn add(&mut self, mut took: Vec<Duration>) {
        self.0.push(percentile(&mut took, 0.5));
        self.1.push(percentile(&mut took, 0.99));
        self.2.push(percentile(&mut took, 1.0));
    }

    fn tell(&self, store: &str, from: &str, to: &str, goal: Goal, table: &mut Table) {
        let [p50, p99, most] = [&self.0, &self.1, &self.2].map(|values| Sample(values.clone()));
        table.row(vec![
            store.to_owned(),
            from.to_owned(),
            to.to_owned(),
            p50.show(2),
            p99.show(2),
            goal.show(),
            goal.verdict(p99.median()),
            most.show(2),
        ]);
    }
}
