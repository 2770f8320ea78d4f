//! A small carrier for the demo and the tests: real SIP over loopback UDP, behaviour by called number.
//!
//! It answers what a carrier's edge would: 100, 180, final responses repeated until the ACK, CANCEL, BYE in both
//! directions. It plays no audio.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::config::SipConfig;
use super::head::Header;
use super::message::{Asked, Reply, respond};
use super::peer::Hop;
use super::token::random;
use super::transaction::{Repeated, Tick, Timers};
use super::wire::{self, Message, Start};
use crate::clock::Clock;
use crate::domain::time::Mono;

/// Calls at a time; further INVITEs get 503.
const CALLS_MAX: usize = 1_000;

/// What the simulated carrier does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings, answers after a while, and hangs up after a while or waits for our BYE.
    Answer {
        /// Ringing time.
        after: Duration,
        /// Talking time; `None` waits for the caller to hang up.
        hang_up_after: Option<Duration>,
    },
    /// Rings until cancelled.
    RingForever,
    /// Refuses with this code and phrase, after 100 Trying.
    Reject {
        /// Status code, 300 to 699.
        code: u16,
        /// Reason phrase.
        reason: String,
    },
    /// Says nothing at all.
    Silent,
}

impl Behaviour {
    /// 486 Busy Here.
    #[must_use]
    pub fn busy() -> Self {
        Self::Reject {
            code: 486,
            reason: "Busy Here".to_owned(),
        }
    }

    /// 603 Decline.
    #[must_use]
    pub fn declined() -> Self {
        Self::Reject {
            code: 603,
            reason: "Decline".to_owned(),
        }
    }
}

/// How many datagrams of each kind arrived for one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// INVITE datagrams, retransmissions included.
    pub invites: u32,
    /// CANCEL datagrams.
    pub cancels: u32,
    /// BYE datagrams.
    pub byes: u32,
    /// ACK datagrams.
    pub acks: u32,
}

/// The simulated carrier; it stops when dropped.
#[derive(Debug)]
pub struct SimulatedCarrier {
    addr: SocketAddr,
    received: Counts,
    task: AbortHandle,
}

type Counts = Arc<Mutex<HashMap<String, Received>>>;

impl SimulatedCarrier {
    /// Binds a loopback socket and answers calls; `behave` gets the called number as digits with a plus sign.
    pub async fn start<F>(behave: F) -> std::io::Result<Self>
    where
        F: Fn(&str) -> Behaviour + Send + Sync + 'static,
    {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = socket.local_addr()?;
        let received = Counts::default();
        let carrier = Carrier {
            socket,
            addr,
            behave: Box::new(behave),
            received: Arc::clone(&received),
            calls: HashMap::new(),
            timers: Timers::of(&SipConfig::default()),
            clock: Clock::Real,
        };
        let task = tokio::spawn(carrier.run()).abort_handle();
        Ok(Self {
            addr,
            received,
            task,
        })
    }

    /// Where a trunk must point.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What arrived for this number (digits with a plus sign) so far.
    #[must_use]
    pub fn received(&self, number: &str) -> Received {
        let counts = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(number).copied().unwrap_or_default()
    }
}

impl Drop for SimulatedCarrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where one call stands.
enum Stage {
    /// Ringing; answers at this point, if ever.
    Ringing(Option<Mono>),
    /// A final response was sent and awaits its ACK.
    Final,
    /// Up; hangs up at this point, if ever.
    Up(Option<Mono>),
    /// Over but for repetitions.
    Over,
}

struct Callee {
    invite: Message,
    source: SocketAddr,
    number: String,
    tag: String,
    behaviour: Behaviour,
    stage: Stage,
    /// The latest response to the INVITE, for its repetitions.
    latest: (Vec<u8>, Hop),
    /// A final response until its ACK, or a BYE until its answer.
    repeated: Option<Repeated>,
    forget: Mono,
}

struct Carrier {
    socket: UdpSocket,
    addr: SocketAddr,
    behave: Box<dyn Fn(&str) -> Behaviour + Send + Sync>,
    received: Counts,
    calls: HashMap<String, Callee>,
    timers: Timers,
    clock: Clock,
}

impl Carrier {
    async fn run(mut self) {
        let mut buffer = vec![0; 65_536];
        loop {
            let wait = self.run_timers().await;
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((length, source)) = received
                        && let Ok(message) = wire::parse(buffer.get(..length).unwrap_or_default())
                    {
                        self.on_message(message, source).await;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn on_message(&mut self, message: Message, source: SocketAddr) {
        let Start::Request { uri } = &message.start else {
            return self.on_response(&message);
        };
        let number = called_number(uri);
        let known = self
            .calls
            .get(&message.call_id)
            .map(|call| call.number.clone());
        self.count(known.as_deref().unwrap_or(&number), &message.method);
        match (message.method.as_str(), known.is_some()) {
            ("INVITE", false) => self.on_invite(message, source, number).await,
            ("INVITE", true) => self.on_invite_again(message, source).await,
            ("ACK", _) => self.on_ack(&message),
            ("CANCEL", true) => self.on_cancel(&message, source).await,
            ("BYE", true) => {
                if let Some(call) = self.calls.get_mut(&message.call_id) {
                    call.stage = Stage::Over;
                    call.repeated = None;
                }
                self.answer(&message, source, 200, "OK").await;
            }
            ("OPTIONS", _) => self.answer(&message, source, 200, "OK").await,
            _ => {
                self.answer(&message, source, 481, "Call/Transaction Does Not Exist")
                    .await
            }
        }
    }

    fn count(&self, number: &str, method: &str) {
        let mut counts = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(number.to_owned()).or_default();
        match method {
            "INVITE" => count.invites += 1,
            "CANCEL" => count.cancels += 1,
            "BYE" => count.byes += 1,
            "ACK" => count.acks += 1,
            _ => {}
        }
    }

    async fn on_invite(&mut self, invite: Message, source: SocketAddr, number: String) {
        if self.calls.len() >= CALLS_MAX {
            return self
                .answer(&invite, source, 503, "Service Unavailable")
                .await;
        }
        let behaviour = (self.behave)(&number);
        let now = self.clock.read().mono;
        let mut call = Callee {
            latest: response(&invite, source, "", 100, "Trying", self.addr, &[]),
            invite,
            source,
            number,
            tag: random(),
            behaviour,
            stage: Stage::Ringing(None),
            repeated: None,
            forget: now.plus(Duration::from_secs(600)),
        };
        if call.behaviour != Behaviour::Silent {
            self.send(&call.latest).await;
        }
        match call.behaviour.clone() {
            Behaviour::Silent => {}
            Behaviour::RingForever => self.ring(&mut call).await,
            Behaviour::Answer { after, .. } => {
                self.ring(&mut call).await;
                call.stage = Stage::Ringing(Some(now.plus(after)));
            }
            Behaviour::Reject { code, reason } => {
                self.finish(&mut call, code, &reason, &[], now).await
            }
        }
        self.calls.insert(call.invite.call_id.clone(), call);
    }

    /// A repetition gets the latest response again; an INVITE within the dialog is not taken.
    async fn on_invite_again(&self, message: Message, source: SocketAddr) {
        let Some(call) = self.calls.get(&message.call_id) else {
            return;
        };
        if call.invite.via.branch != message.via.branch {
            self.answer(&message, source, 488, "Not Acceptable Here")
                .await;
        } else if call.behaviour != Behaviour::Silent {
            self.send(&call.latest).await;
        }
    }

    async fn ring(&self, call: &mut Callee) {
        call.latest = response(
            &call.invite,
            call.source,
            &call.tag,
            180,
            "Ringing",
            self.addr,
            &[],
        );
        self.send(&call.latest).await;
    }

    async fn finish(&self, call: &mut Callee, code: u16, reason: &str, sdp: &[u8], now: Mono) {
        call.latest = response(
            &call.invite,
            call.source,
            &call.tag,
            code,
            reason,
            self.addr,
            sdp,
        );
        call.stage = Stage::Final;
        call.repeated = Some(Repeated::sent(
            call.latest.0.clone(),
            call.latest.1.clone(),
            self.timers,
            now,
        ));
        self.send(&call.latest).await;
    }

    fn on_ack(&mut self, message: &Message) {
        let now = self.clock.read().mono;
        let Some(call) = self.calls.get_mut(&message.call_id) else {
            return;
        };
        if !matches!(call.stage, Stage::Final) {
            return;
        }
        call.repeated = None;
        call.stage = match &call.behaviour {
            Behaviour::Answer { hang_up_after, .. }
                if message.via.branch != call.invite.via.branch =>
            {
                Stage::Up(hang_up_after.map(|span| now.plus(span)))
            }
            _ => Stage::Over,
        };
    }

    async fn on_cancel(&mut self, message: &Message, source: SocketAddr) {
        self.answer(message, source, 200, "OK").await;
        let now = self.clock.read().mono;
        let Some(mut call) = self.calls.remove(&message.call_id) else {
            return;
        };
        if matches!(call.stage, Stage::Ringing(_)) {
            self.finish(&mut call, 487, "Request Terminated", &[], now)
                .await;
        }
        self.calls.insert(message.call_id.clone(), call);
    }

    fn on_response(&mut self, message: &Message) {
        if let Some(call) = self.calls.get_mut(&message.call_id)
            && message.method == "BYE"
        {
            call.repeated = None;
        }
    }

    /// Does what is due, and tells how long nothing else will be.
    async fn run_timers(&mut self) -> Duration {
        let now = self.clock.read().mono;
        self.calls.retain(|_, call| call.forget > now);
        let due: Vec<String> = self
            .calls
            .iter()
            .filter(|(_, call)| call.wake().is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            if let Some(mut call) = self.calls.remove(&id) {
                self.tick(&mut call, now).await;
                self.calls.insert(id, call);
            }
        }
        let wakes: BTreeSet<Mono> = self.calls.values().filter_map(Callee::wake).collect();
        wakes
            .first()
            .map_or(Duration::from_secs(1), |at| at.since(now))
    }

    async fn tick(&self, call: &mut Callee, now: Mono) {
        match call.stage {
            Stage::Ringing(Some(at)) if at <= now => {
                let sdp = sdp_answer(&call.invite.body);
                self.finish(call, 200, "OK", &sdp, now).await;
            }
            Stage::Up(Some(at)) if at <= now => {
                let bye = bye(call, self.addr);
                self.send(&bye).await;
                call.repeated = Some(Repeated::sent(bye.0, bye.1, self.timers, now));
                call.stage = Stage::Over;
            }
            _ => {}
        }
        if let Some(repeated) = &mut call.repeated {
            match repeated.tick(now) {
                Tick::Nothing => {}
                Tick::Again => {
                    let again = (repeated.bytes.clone(), repeated.to.clone());
                    self.send(&again).await;
                }
                Tick::TimedOut => call.repeated = None,
            }
        }
    }

    async fn answer(&self, message: &Message, source: SocketAddr, code: u16, phrase: &str) {
        let tag = random();
        let answer = response(message, source, &tag, code, phrase, self.addr, &[]);
        self.send(&answer).await;
    }

    async fn send(&self, message: &(Vec<u8>, Hop)) {
        // Lost if the socket refuses it, like any datagram.
        let _ = self
            .socket
            .send_to(&message.0, message.1.target().addr)
            .await;
    }
}

impl Callee {
    fn wake(&self) -> Option<Mono> {
        let stage = match self.stage {
            Stage::Ringing(at) | Stage::Up(at) => at,
            Stage::Final | Stage::Over => None,
        };
        let repeated = self.repeated.as_ref().map(Repeated::wake);
        [stage, repeated].into_iter().flatten().min()
    }
}

fn response(
    message: &Message,
    source: SocketAddr,
    tag: &str,
    code: u16,
    phrase: &str,
    addr: SocketAddr,
    sdp: &[u8],
) -> (Vec<u8>, Hop) {
    let asked = Asked {
        headers: &message.headers,
        via: &message.via,
        source: &Hop::Udp(source),
    };
    let extra = if message.method == "INVITE" && code < 300 {
        vec![Header::new("Contact", format!("<sip:{addr}>"))]
    } else {
        Vec::new()
    };
    let reply = Reply {
        code,
        phrase,
        tag,
        extra,
        sdp,
    };
    respond(asked, &reply)
}

fn bye(call: &Callee, addr: SocketAddr) -> (Vec<u8>, Hop) {
    let target =
        super::call::target_of(&call.invite).unwrap_or_else(|| format!("sip:{}", call.source));
    let line = |name| call.invite.first(name).unwrap_or_default().to_owned();
    let (caller, callee, call_id) = (line("From"), line("To"), &call.invite.call_id);
    let (branch, tag) = (random(), &call.tag);
    let bytes = format!(
        "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\nFrom: {callee};tag={tag}\r\nTo: {caller}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nReason: Q.850;cause=16;text=\"Normal call clearing\"\r\nContent-Length: 0\r\n\r\n"
    );
    (bytes.into_bytes(), Hop::Udp(call.source))
}

/// The called number: the user part of the Request-URI.
fn called_number(uri: &str) -> String {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let user = rest.split_once('@').map_or(rest, |(user, _)| user);
    user.split(';').next().unwrap_or_default().to_owned()
}

/// Takes the first audio stream of the offer with its own formats and refuses the others.
fn sdp_answer(offer: &[u8]) -> Vec<u8> {
    let mut answer =
        "v=0\r\no=carrier 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            .to_owned();
    let mut taken = false;
    for line in String::from_utf8_lossy(offer).lines() {
        let Some(media) = line.strip_prefix("m=") else {
            continue;
        };
        let mut words = media.split(' ');
        let kind = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.skip(1).collect();
        let port = if kind == "audio" && !taken { 40_000 } else { 0 };
        taken |= port > 0;
        answer.push_str(&format!("m={kind} {port} {}\r\n", rest.join(" ")));
    }
    answer.into_bytes()
}
