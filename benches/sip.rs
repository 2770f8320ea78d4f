//! The processor time of our SIP layer for one complete call, beside SIPp as caller, against the same SIPp as callee.
//!
//! A call is INVITE, 180, 200, ACK, BYE, 200, with nothing said in between. Both callers start the same number of calls at
//! the same fixed rate, in turn. Ours is a process of its own around `sip::Endpoint`, once on one thread, which is what
//! SIPp has, and once on as many as there are cores, as `serve` runs it. All that its threads do while it calls is counted,
//! the calls' owners too. Its permits are real ones, judged on a thread whose time is not the SIP layer's and is not
//! counted; that thread also keeps the pace, and each permit it hands over wakes ours.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::domain::phone::Phone;
use dialgate::passport::Vouch;
use dialgate::policy::{self, Pack, Permit};
use dialgate::sip::{Control, Dialog, Endpoint, HangUpCause, Invite, SipConfig, SipEvent, Trunk};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::support::figures::{Goal, Sample, Table, ratios};
use crate::support::{Size, free_udp_port, machine, now, scene, sleep_until};

const GOAL: Goal = Goal::AtMost(1.0);
/// Bytes.
const LINGERING: Goal = Goal::AtMost(4_096.0);

pub fn run(size: &Size) {
    let Some(callee) = Callee::start() else {
        println!("### SIP: nothing measured, SIPp is not installed (package sip-tester)\n");
        return;
    };
    let mut table = Table::new(&[
        "calls/s",
        "calls",
        "threads",
        "cpu µs a call",
        "SIPp's cpu µs",
        "ratio",
        "goal",
        "verdict",
    ]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (rate, calls) in size.sip.iter().copied() {
        let (mut one, mut all, mut theirs) =
            (Sample::default(), Sample::default(), Sample::default());
        for _ in 0..size.rounds {
            one.0.push(our_call(&callee, rate, calls, 1));
            theirs.0.push(sipp_call(&callee, rate, calls));
            all.0.push(our_call(&callee, rate, calls, cores));
        }
        for (threads, ours) in [(1, one), (cores, all)] {
            let ratio = ratios(&ours, &theirs);
            table.row(vec![
                rate.to_string(),
                calls.to_string(),
                threads.to_string(),
                ours.show(0),
                theirs.show(0),
                ratio.show(2),
                GOAL.show(),
                GOAL.verdict(ratio.median()),
            ]);
        }
    }
    table.print("Processor time of a SIP call");
    lingering(&callee, size);
}

/// What a call holds that is over and still answers stragglers, for 37 s.
fn lingering(callee: &Callee, size: &Size) {
    let mut table = Table::new(&["calls that linger", "bytes a call", "goal", "verdict"]);
    let mut each = Sample::default();
    let mut calls = 0;
    for _ in 0..size.rounds {
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("--play-lingerer")
            .arg(callee.addr.to_string())
            .arg(size.lingering.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(child.status.success(), "our caller failed");
        let line = String::from_utf8(child.stdout).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
        let (more, bytes): (u64, u64) = (words.next().unwrap(), words.next().unwrap());
        each.0.push(bytes as f64 / more as f64);
        calls = more;
    }
    table.row(vec![
        calls.to_string(),
        each.show(0),
        LINGERING.show(),
        LINGERING.verdict(each.median()),
    ]);
    table.print("Memory of a call that is over");
}

/// `sipp -sn uas`, for both callers.
struct Callee {
    child: Child,
    addr: SocketAddr,
}

impl Callee {
    fn start() -> Option<Self> {
        let port = free_udp_port();
        let child = sipp(&["-sn", "uas", "-p", &port.to_string()])
            .spawn()
            .ok()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        // It has the port as soon as nobody else can have it.
        while std::net::UdpSocket::bind(addr).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, addr })
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn sipp(arguments: &[&str]) -> Command {
    let mut command = Command::new("sipp");
    command
        .args(["-i", "127.0.0.1", "-nostdin", "-buff_size", "212992"])
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// SIPp's processor time for a call, in microseconds; what it needs to start for one call is taken off.
fn sipp_call(callee: &Callee, rate: u32, calls: u32) -> f64 {
    let spend = |calls: u32| {
        let (calls, rate) = (calls.to_string(), rate.to_string());
        let target = callee.addr.to_string();
        let mut command = sipp(&["-sn", "uac", "-m", &calls, "-r", &rate]);
        let mut child = command.arg(&target).spawn().unwrap();
        let (status, spent) = machine::ended(&mut child);
        // 1: a call failed, as may be when SIPp gets no processor for long; its time is spent all the same.
        assert!(
            matches!(status.code(), Some(0 | 1)),
            "SIPp as caller ended with {status}"
        );
        spent
    };
    let start = spend(1);
    spend(calls).saturating_sub(start).as_secs_f64() * 1e6 / f64::from(calls)
}

/// The same for ours, in microseconds.
fn our_call(callee: &Callee, rate: u32, calls: u32, threads: usize) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--play-caller")
        .arg(callee.addr.to_string())
        .args([calls.to_string(), rate.to_string(), threads.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success(), "our caller failed");
    let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
    let (answered, nanos): (u64, u64) = (words.next().unwrap(), words.next().unwrap());
    // On a machine that is too busy SIPp gives up a call now and then.
    assert!(
        answered * 10 >= u64::from(calls) * 9,
        "{answered} of {calls} calls were answered"
    );
    nanos as f64 / 1e3 / answered as f64
}

/// Our caller: TARGET CALLS RATE THREADS. Says how many calls were answered, and the nanoseconds of processor time they took.
pub fn play_caller(arguments: &[String]) {
    let target: SocketAddr = arguments[0].parse().unwrap();
    let calls: u32 = arguments[1].parse().unwrap();
    let rate: u32 = arguments[2].parse().unwrap();
    let pack = Pack::embedded().unwrap();
    let mut runtime = match arguments[3].parse().unwrap() {
        1 => Builder::new_current_thread(),
        threads => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime = runtime.enable_all().build().unwrap();
    let (answered, spent) = runtime.block_on(async move {
        let endpoint = endpoint().await;
        let before = machine::threads(std::process::id(), "");
        let answered = make(&endpoint, &Arc::new(pack), target, 0..calls, rate).await;
        let spent = machine::threads(std::process::id(), "") - before;
        (answered, spent)
    });
    println!("{answered} {}", spent.as_nanos());
    // Calls that still listen for stragglers are none of the measurement.
    std::process::exit(0);
}

/// Our caller: TARGET CALLS. Says how many calls linger more than after the first tenth, and how many bytes of memory more it has.
pub fn play_lingerer(arguments: &[String]) {
    /// All of them are over before the first is forgotten.
    const RATE: u32 = 1_000;
    let target: SocketAddr = arguments[0].parse().unwrap();
    let calls: u32 = arguments[1].parse().unwrap();
    let pack = Arc::new(Pack::embedded().unwrap());
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let endpoint = endpoint().await;
        let look = || {
            let lingering = endpoint.lingering_calls() as u64;
            (lingering, machine::memory(std::process::id()))
        };
        let first = calls / 10;
        make(&endpoint, &pack, target, 0..first, RATE).await;
        let (few, little) = look();
        make(&endpoint, &pack, target, first..calls, RATE).await;
        let (many, much) = look();
        println!("{} {}", many - few, much.saturating_sub(little));
    });
    std::process::exit(0);
}

async fn endpoint() -> Endpoint {
    let config = SipConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..SipConfig::default()
    };
    Endpoint::bind(&config, Clock::Real).await.unwrap()
}

/// Makes these calls at this rate; how many were answered.
async fn make(
    endpoint: &Endpoint,
    pack: &Arc<Pack>,
    target: SocketAddr,
    calls: Range<u32>,
    rate: u32,
) -> u64 {
    let trunk = Arc::new(Trunk::new("carrier", target, "127.0.0.1"));
    let (permits, wanted) = mpsc::channel(64);
    let pack = Arc::clone(pack);
    let judge = std::thread::spawn(move || {
        let begun = now();
        for (place, index) in (0..).zip(calls) {
            sleep_until(begun + Duration::from_secs(1) * place / rate);
            permits.blocking_send(permit(&pack, index)).unwrap();
        }
    });
    // A task, for that is where calls are made from in `serve`.
    let answered = tokio::spawn(call_all(endpoint.clone(), trunk, wanted)).await;
    // The judge's thread is over, and gone from the threads that are counted.
    judge.join().unwrap();
    answered.unwrap()
}

fn permit(pack: &Pack, index: u32) -> Permit {
    let read = Clock::Real.read();
    let number = Phone::parse(&scene::number(index)).unwrap();
    let case = scene::case("sip".to_owned(), number, scene::facts(), read.wall);
    let (judgement, permit) = policy::evaluate(pack, &case, read);
    permit.unwrap_or_else(|| panic!("{:?}", judgement.denied_by))
}

/// Makes a call of each permit; how many were answered.
async fn call_all(
    endpoint: Endpoint,
    trunk: Arc<Trunk>,
    mut wanted: mpsc::Receiver<Permit>,
) -> u64 {
    let answered = Arc::new(AtomicU64::new(0));
    // Lets go of a task that ends, as `serve` does.
    let under_way = TaskTracker::new();
    while let Some(permit) = wanted.recv().await {
        let invite = Invite {
            vouch: Vouch::Nobody,
            sip_call_id: endpoint.new_call_id(),
            trunk: Arc::clone(&trunk),
            sdp_offer: scene::OFFER.as_bytes().to_vec(),
        };
        let dialog = endpoint.dial(permit, invite);
        under_way.spawn(own(dialog, Arc::clone(&answered)));
    }
    under_way.close();
    under_way.wait().await;
    answered.load(Ordering::Relaxed)
}

/// Hangs up as soon as the call is answered.
async fn own(mut dialog: Dialog, answered: Arc<AtomicU64>) {
    while let Some(happened) = dialog.events.recv().await {
        match happened.event {
            SipEvent::Answered { .. } => {
                let cause = HangUpCause::Client;
                let hang_up = Control::HangUp { cause };
                dialog.control.send(hang_up).await.unwrap();
            }
            SipEvent::Ended(ending) => {
                answered.fetch_add(u64::from(ending.answered), Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
