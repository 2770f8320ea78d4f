//! Calls at a steady rate for long, and far more of them than a trunk takes for a moment: through a whole node, its clients
//! following each call over gRPC, the law asked twice, every event and audit entry stored, SIPp as the carrier. It rings,
//! answers, and hangs up after a moment.
//!
//! Unlike what else is measured here this can fail: a call that is lost, an event that is missing, a pace that is broken and an
//! entry that stays in a table of the SIP layer when all is over are no figures.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::grpc::client::{Bearer, Client, Server};
use dialgate::grpc::pb;
use dialgate::grpc::pb::watch_call_response::Content;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::figures::{Goal, Sample, Table, percentile};
use crate::support::home::{Engine, Home};
use crate::support::node::{Process, Settings};
use crate::support::pace::open_loop;
use crate::support::{Size, block_on, free_udp_port, machine, node, now, scene};
use crate::{dial, sip};

/// From the gate's decision to the INVITE, 99 of 100 calls, in milliseconds.
const LATENCY: Goal = Goal::AtMost(20.0);
/// Processors that the node takes, PostgreSQL apart.
const CORES: Goal = Goal::AtMost(1.0);
/// Memory after the first calls have been forgotten, and in the end.
const GROWTH: Goal = Goal::AtMost(1.1);
/// When the first calls have been forgotten, with the timers of the RFC.
const SETTLED_AFTER: Duration = Duration::from_secs(40);
/// Calls that a trunk may start at once after a pause.
const AT_ONCE: u32 = 10;

pub fn run(size: &Size) {
    if Command::new("sipp").arg("-v").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "SIPp is not installed: install sip-tester"
        );
        println!("### Soak: nothing measured, SIPp is not installed (package sip-tester)\n");
        return;
    }
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "calls",
            "lost",
            "p50 ms",
            "p99 ms",
            "goal",
            "verdict",
            "cores",
            "goal",
            "verdict",
            "cpu µs a call",
        ]);
        let mut memory = Table::new(&[
            "store",
            "settled MB",
            "in the end MB",
            "ratio",
            "goal",
            "verdict",
            "every tenth of the time MB",
        ]);
        for engine in Engine::all() {
            soak(engine, size, &mut table, &mut memory).await;
        }
        let (rate, seconds) = size.soak;
        table.print(&format!("{rate} calls a second for {seconds} s"));
        memory.print("Memory of the node meanwhile");
        let mut table = Table::new(&[
            "store", "placed", "dialed", "refused", "lost", "a second", "most", "may be",
        ]);
        // The pace is kept by the node and not by its store: the small run looks at one.
        let engines = Engine::all().into_iter();
        let most = if cfg!(debug_assertions) { 1 } else { 2 };
        for engine in engines.take(most) {
            burst(engine, size, &mut table).await;
        }
        let (rate, taken, seconds) = size.burst;
        table.print(&format!(
            "{rate} calls a second for {seconds} s, of which the trunk takes {taken}"
        ));
    });
}

/// A node with people to call, an agent there, and SIPp.
struct Line {
    home: Home,
    process: Process,
    console: SocketAddr,
    client: Client,
    carrier: Carrier,
}

impl Line {
    async fn open(engine: Engine, people: u32, pace: (u32, u32), queue_max: u32) -> Self {
        let home = Home::new(engine).await;
        scene::introduce(&home.store, people).await;
        let carrier = Carrier::start();
        // Debug builds are tried for some seconds: what is over there is forgotten sooner.
        let t1_ms = if cfg!(debug_assertions) { 100 } else { 500 };
        let settings = Settings {
            pace,
            queue_max,
            t1_ms,
            ..Settings::towards(carrier.addr)
        };
        let (process, console, key) = node::serve_with(&home, &settings);
        let server = Server::parse(&format!("http://127.0.0.1:{}", process.port), None).unwrap();
        let client = loop {
            match server.connect(Bearer::new(&key).unwrap()).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        Self {
            home,
            process,
            console: SocketAddr::from(([127, 0, 0, 1], console)),
            client,
            carrier,
        }
    }

    /// Until nothing of the calls is left in any table, as the node itself tells.
    async fn is_empty(&self) {
        let patience = now() + Duration::from_secs(60);
        loop {
            let page = metrics(self.console).await;
            let left: Vec<&str> = page
                .lines()
                .filter(|line| {
                    let held = ["dialgate_sip_entries", "dialgate_calls_queued"];
                    let held = held.iter().any(|name| line.starts_with(name));
                    let open = line.starts_with("dialgate_attempts_open");
                    let used = line.starts_with("dialgate_trunk_calls");
                    (held || open || used) && !line.ends_with(" 0")
                })
                .collect();
            assert!(page.contains("dialgate_sip_entries"), "{page}");
            if left.is_empty() {
                return;
            }
            assert!(now() < patience, "still there: {left:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn metrics(console: SocketAddr) -> String {
    let mut stream = tokio::net::TcpStream::connect(console).await.unwrap();
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// What became of calls.
#[derive(Default)]
struct Tally {
    answered: AtomicU32,
    refused: AtomicU32,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < 20 {
            wrong.push(what);
        }
    }

    fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Places one call and follows it to its end.
async fn call(client: Client, index: u32, tally: Arc<Tally>) {
    let placed = match client.calls().place_call(dial::wish(index)).await {
        Ok(placed) => placed.into_inner(),
        Err(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.as_str());
            match (status.code(), reason, details.retry_info()) {
                (Code::ResourceExhausted, Some("TRUNK_SATURATED"), Some(_)) => {
                    tally.refused.fetch_add(1, Ordering::Relaxed);
                }
                _ => tally.wrong(format!("not placed: {status}")),
            }
            return;
        }
    };
    let Some(call) = placed.call else {
        return tally.wrong(format!("denied: {:?}", placed.decision));
    };
    match follow(&client, call.call_id).await {
        Ok(pb::Outcome::Answered) => {
            tally.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(outcome) => tally.wrong(format!("ended as {outcome:?}")),
        Err(why) => tally.wrong(why),
    }
}

/// All events of a call in their order, and its outcome.
async fn follow(client: &Client, call_id: String) -> Result<pb::Outcome, String> {
    let request = pb::WatchCallRequest {
        call_id,
        resume_token: Vec::new(),
        ..pb::WatchCallRequest::default()
    };
    let events = client.calls().watch_call(request).await;
    let mut events = events
        .map_err(|status| format!("not followed: {status}"))?
        .into_inner();
    let mut last = 0;
    loop {
        let message = events.message().await;
        let message = message.map_err(|status| format!("the stream broke: {status}"))?;
        let message = message.ok_or("the stream ended before the call")?;
        let Some(Content::Event(event)) = message.content else {
            continue;
        };
        if event.sequence != last + 1 {
            return Err(format!("event {} after {last}", event.sequence));
        }
        last = event.sequence;
        if event.kind() == pb::CallEventKind::Ended {
            return Ok(event.outcome());
        }
    }
}

/// Places calls at a rate, beginning with this person, and waits until all are over.
async fn calls(line: &Line, first: u32, rate: u32, span: Duration) -> (Arc<Tally>, u32) {
    let tally = Arc::new(Tally::default());
    let (client, tell) = (line.client.clone(), Arc::clone(&tally));
    let ask = move |index| call(client.clone(), first + index, Arc::clone(&tell));
    let placed = open_loop(rate, span, ask).await.len();
    (tally, placed as u32)
}

async fn soak(engine: Engine, size: &Size, table: &mut Table, memory: &mut Table) {
    let (rate, seconds) = size.soak;
    let span = Duration::from_secs(seconds.into());
    let line = Line::open(engine, rate * seconds, (1_000, 100), 1_000).await;
    let (pid, since, begun) = (line.process.pid(), scene::wall(), now());
    let series = Series::begin(pid);
    let before = machine::threads(pid, "");
    let (tally, placed) = calls(&line, 0, rate, span).await;
    let spent = machine::threads(pid, "") - before;
    let took = now() - begun;
    let series = series.end();
    let answered = tally.answered();
    let wrong = tally.wrong.lock().unwrap().clone();
    assert_eq!(
        answered,
        placed,
        "calls were lost: {wrong:#?}\n{}",
        line.carrier.errors()
    );
    line.is_empty().await;
    let journeys = dial::journeys(&line.home, since.0, placed as usize).await;
    let mut latencies: Vec<Duration> = journeys
        .iter()
        .map(|journey| Duration::from_micros((journey.sent - journey.claimed).max(0) as u64))
        .collect();
    let p50 = percentile(&mut latencies, 0.5);
    let p99 = percentile(&mut latencies, 0.99);
    let cores = spent.as_secs_f64() / took.as_secs_f64();
    table.row(vec![
        engine.name().to_owned(),
        placed.to_string(),
        (placed - answered).to_string(),
        format!("{p50:.2}"),
        format!("{p99:.2}"),
        LATENCY.show(),
        LATENCY.verdict(p99),
        format!("{cores:.2}"),
        CORES.show(),
        CORES.verdict(cores),
        format!("{:.0}", spent.as_secs_f64() * 1e6 / f64::from(placed)),
    ]);
    // Some seconds' median each: one look may fall on a moment of tidying up.
    let settled = SETTLED_AFTER.min(span / 2).as_secs() as usize;
    let part = |from: usize| Sample(series.iter().skip(from).take(5).copied().collect()).median();
    let (early, late) = (part(settled), part(series.len().saturating_sub(5)));
    let tenths = (1..=10).map(|tenth| series[(series.len() - 1) * tenth / 10]);
    let tenths: Vec<String> = tenths.map(|bytes| format!("{bytes:.0}")).collect();
    memory.row(vec![
        engine.name().to_owned(),
        format!("{early:.1}"),
        format!("{late:.1}"),
        format!("{:.2}", late / early),
        GROWTH.show(),
        GROWTH.verdict(late / early),
        tenths.join(" "),
    ]);
}

/// All are dialed, as fast as the trunk may be, or told to come again.
async fn burst(engine: Engine, size: &Size, table: &mut Table) {
    let (rate, taken, seconds) = size.burst;
    let span = Duration::from_secs(seconds.into());
    let line = Line::open(engine, rate * seconds, (taken, AT_ONCE), taken * 5).await;
    let since = scene::wall();
    let (tally, placed) = calls(&line, 0, rate, span).await;
    let (answered, refused) = (tally.answered(), tally.refused());
    let wrong = tally.wrong.lock().unwrap().clone();
    assert_eq!(
        answered + refused,
        placed,
        "{wrong:#?}\n{}",
        line.carrier.errors()
    );
    assert!(refused > 0, "a burst that the queue takes is none");
    line.is_empty().await;
    let mut sent: Vec<i64> = dial::journeys(&line.home, since.0, answered as usize)
        .await
        .iter()
        .map(|journey| journey.sent)
        .collect();
    sent.sort_unstable();
    let most = most_in_a_second(&sent);
    let may_be = (taken + AT_ONCE) as usize;
    assert!(
        most <= may_be,
        "{most} INVITEs within a second, {may_be} may be"
    );
    let took = (sent[sent.len() - 1] - sent[0]) as f64 / 1e6;
    table.row(vec![
        engine.name().to_owned(),
        placed.to_string(),
        answered.to_string(),
        refused.to_string(),
        (placed - answered - refused).to_string(),
        format!("{:.1}", f64::from(answered) / took),
        most.to_string(),
        may_be.to_string(),
    ]);
}

/// How many of these instants lie within one second, wherever it begins.
fn most_in_a_second(sorted: &[i64]) -> usize {
    let within = |(first, at): (usize, &i64)| {
        let rest = &sorted[first..];
        rest.partition_point(|later| later - at < 1_000_000)
    };
    sorted.iter().enumerate().map(within).max().unwrap_or(0)
}

/// The memory of a process in megabytes, once a second.
struct Series {
    stop: Arc<AtomicBool>,
    task: std::thread::JoinHandle<Vec<f64>>,
}

impl Series {
    fn begin(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let task = std::thread::spawn(move || {
            let mut series = Vec::new();
            while !over.load(Ordering::Relaxed) {
                series.push(machine::memory(pid) as f64 / 1e6);
                std::thread::sleep(Duration::from_secs(1));
            }
            series
        });
        Self { stop, task }
    }

    fn end(self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.join().unwrap()
    }
}

/// SIPp as the carrier.
struct Carrier {
    child: Child,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl Carrier {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("scenario.xml");
        let text = include_str!("../tests/fixtures/sipp/answer_hangs_up.xml");
        std::fs::write(&scenario, text).unwrap();
        let port = free_udp_port();
        let mut command = sip::sipp(&["-sf", scenario.to_str().unwrap(), "-p", &port.to_string()]);
        command
            .args(["-trace_err", "-error_file", "errors.log"])
            .current_dir(folder.path());
        let child = command.spawn().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        // It has the port as soon as nobody else can have it.
        while std::net::UdpSocket::bind(addr).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            addr,
            folder,
        }
    }

    /// The beginning of what it found wrong.
    fn errors(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("errors.log"));
        text.unwrap_or_default().chars().take(4_000).collect()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
