//! The endpoint: one task owns the socket and the timers, routes by Call-ID and does what the calls ask for.
//!
//! Every queue has a bound. The permit is not looked at here: INVITE bytes cannot be had without it (`locked.rs`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::api::{Control, Dialog, EndedBy, Ending, HangUpCause, Invite, SipEvent};
use super::call::{Call, Input, Limits, Output, Write};
use super::config::SipConfig;
use super::message::{Identity, Local};
use super::token::{Tokens, random};
use super::transaction::Timers;
use super::wire::Message;
use super::{stray, wire};
use crate::clock::Clock;
use crate::domain::call::{Outcome, Retry};
use crate::domain::time::Mono;
use crate::policy::Permit;

/// Dial requests and controls on their way to the task.
const COMMANDS_MAX: usize = 1_024;
/// Events of one call that its owner has not read; the ending has a place of its own.
const EVENTS_MAX: usize = 64;
/// Controls of one call on their way.
const CONTROLS_MAX: usize = 4;
/// Datagrams that wait for a full socket; those beyond are lost, as the network may lose them.
const BACKLOG_MAX: usize = 1_024;
/// Datagrams that are read before timers and commands get their turn.
const BURST_MAX: usize = 64;
/// Ended calls that still answer stragglers, beside the active ones.
const LINGERING_MAX: usize = 50_000;
/// How often a clock that is moved by hand is looked at.
const MANUAL_CLOCK_POLL: Duration = Duration::from_millis(5);

/// The node's one SIP endpoint; a handle to its task, which ends with its last handle and last call.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
struct Shared {
    local_addr: SocketAddr,
    local: Arc<Local>,
    limits: Limits,
    calls_max: usize,
    active: AtomicUsize,
    lingering: AtomicUsize,
    refused_calls: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Dial(Box<NewCall>),
    Control(u64, Control),
}

#[derive(Debug)]
struct NewCall {
    id: Identity,
    offer: Vec<u8>,
    permit: Permit,
    events: mpsc::Sender<SipEvent>,
    last: mpsc::OwnedPermit<SipEvent>,
    control: mpsc::Receiver<Control>,
    back: mpsc::Sender<Command>,
}

impl Endpoint {
    /// Binds the socket and starts the task.
    pub async fn bind(config: &SipConfig, clock: Clock) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(config.listen).await?;
        let local_addr = socket.local_addr()?;
        let local = Arc::new(local(config, local_addr)?);
        // The first non-blocking write needs to know that the socket takes one.
        socket.writable().await?;
        let shared = Arc::new(Shared {
            local_addr,
            local,
            limits: Limits {
                timers: Timers::of(config),
                talk_max: Duration::from_secs(config.call_seconds_max),
            },
            calls_max: config.calls_max,
            active: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
            refused_calls: AtomicU64::new(0),
        });
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let task = Task {
            socket,
            clock,
            shared: Arc::clone(&shared),
            secret: random(),
            slots: HashMap::new(),
            by_call_id: HashMap::new(),
            timers: BTreeSet::new(),
            next_key: 0,
            backlog: VecDeque::new(),
            blocked: BTreeSet::new(),
        };
        tokio::spawn(task.run(inbox));
        Ok(Self { shared, commands })
    }

    /// The address of the socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// A fresh Call-ID: 128 random bits, no host name in it. Made before the claim and stored with the attempt.
    #[must_use]
    pub fn new_call_id(&self) -> String {
        random()
    }

    /// Starts a call. The number to call and the number to show come from the permit and from nowhere else.
    #[must_use]
    pub fn dial(&self, permit: Permit, invite: Invite) -> Dialog {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (control, controls) = mpsc::channel(CONTROLS_MAX);
        let dialog = Dialog {
            events: inbox,
            control,
        };
        // The channel is new and empty: there is a place.
        let Ok(last) = events.clone().try_reserve_owned() else {
            return dialog;
        };
        let Some(from) = permit.from() else {
            // Calls without a caller's number are not placed: sip.md section 5.
            last.send(refused(
                Outcome::IdentityRejected,
                Retry::Fix,
                "no number to show",
            ));
            return dialog;
        };
        if !self.admit() {
            last.send(refused(
                Outcome::Congestion,
                Retry::Soon,
                "the endpoint is full",
            ));
            return dialog;
        }
        let call = NewCall {
            id: Identity {
                call_id: invite.sip_call_id,
                from_tag: random(),
                to: permit.to(),
                from,
                trunk: invite.trunk,
                local: Arc::clone(&self.shared.local),
            },
            offer: invite.sdp_offer,
            permit,
            events,
            last,
            control: controls,
            back: self.commands.clone(),
        };
        if let Err(error) = self.commands.try_send(Command::Dial(Box::new(call))) {
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            if let Command::Dial(call) = error.into_inner() {
                call.last.send(refused(
                    Outcome::Congestion,
                    Retry::Soon,
                    "the endpoint is full",
                ));
            }
        }
        dialog
    }

    /// Calls that have not ended yet.
    #[must_use]
    pub fn active_calls(&self) -> usize {
        self.shared.active.load(Ordering::Relaxed)
    }

    /// Ended calls that still answer stragglers.
    #[must_use]
    pub fn lingering_calls(&self) -> usize {
        self.shared.lingering.load(Ordering::Relaxed)
    }

    /// Inbound calls that were refused since the start; none is ever taken.
    #[must_use]
    pub fn refused_calls(&self) -> u64 {
        self.shared.refused_calls.load(Ordering::Relaxed)
    }

    fn admit(&self) -> bool {
        let shared = &self.shared;
        let room = |active| (active < shared.calls_max).then_some(active + 1);
        shared.lingering.load(Ordering::Relaxed) < LINGERING_MAX
            && shared
                .active
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
                .is_ok()
    }
}

fn refused(outcome: Outcome, retry: Retry, reason: &str) -> SipEvent {
    SipEvent::Ended(Ending {
        outcome,
        retry,
        code: None,
        reason: Some(reason.to_owned()),
        q850_cause: None,
        retry_after: None,
        by: EndedBy::Us,
        answered: false,
    })
}

/// What stands in Via and Contact.
fn local(config: &SipConfig, bound: SocketAddr) -> std::io::Result<Local> {
    let host = match &config.advertised_host {
        Some(host) => match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ => host.clone(),
        },
        None if bound.ip().is_unspecified() => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "`sip.listen` names no single address: set `sip.advertised_host` to the one that trunks reach",
            ));
        }
        None => match bound.ip() {
            IpAddr::V6(v6) => format!("[{v6}]"),
            IpAddr::V4(v4) => v4.to_string(),
        },
    };
    Ok(Local {
        host,
        port: bound.port(),
    })
}

struct Slot {
    call: Call,
    call_id: String,
    /// Gone, like the next, once the ending is told.
    events: Option<mpsc::Sender<SipEvent>>,
    /// The place of the ending.
    last: Option<mpsc::OwnedPermit<SipEvent>>,
    wake: Option<Mono>,
    forwarder: AbortHandle,
}

struct Task {
    socket: UdpSocket,
    clock: Clock,
    shared: Arc<Shared>,
    /// For the tags of stateless answers.
    secret: String,
    slots: HashMap<u64, Slot>,
    by_call_id: HashMap<String, u64>,
    timers: BTreeSet<(Mono, u64)>,
    next_key: u64,
    backlog: VecDeque<(Vec<u8>, SocketAddr)>,
    /// Calls whose INVITE waits for the socket; each asks its permit anew.
    blocked: BTreeSet<u64>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut open = true;
        let mut buffer = vec![0; 65_536];
        while open || !self.slots.is_empty() {
            let wait = self.run_timers();
            let full = !self.backlog.is_empty() || !self.blocked.is_empty();
            tokio::select! {
                command = inbox.recv(), if open => match command {
                    Some(command) => self.on_command(command),
                    None => open = false,
                },
                ready = self.socket.readable() => if ready.is_ok() {
                    self.receive(&mut buffer);
                },
                ready = self.socket.writable(), if full => if ready.is_ok() {
                    self.flush();
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// Runs what is due and tells how long nothing else will be.
    fn run_timers(&mut self) -> Option<Duration> {
        loop {
            let now = self.clock.read().mono;
            let (at, key) = self.timers.first().copied()?;
            if at > now {
                let wait = at.since(now);
                return Some(match self.clock {
                    Clock::Real => wait,
                    Clock::Manual(_) => wait.min(MANUAL_CLOCK_POLL),
                });
            }
            self.timers.remove(&(at, key));
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.wake = None;
            }
            self.step(key, Input::Tick);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial(call) => self.dial(*call),
            Command::Control(key, control) => self.step(key, Input::Control(control)),
        }
    }

    fn dial(&mut self, new: NewCall) {
        if self.by_call_id.contains_key(&new.id.call_id) {
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            new.last.send(refused(
                Outcome::CarrierError,
                Retry::None,
                "the Call-ID is in use",
            ));
            return;
        }
        let key = self.next_key;
        self.next_key += 1;
        let forwarder = tokio::spawn(forward(key, new.control, new.back)).abort_handle();
        let call_id = new.id.call_id.clone();
        self.by_call_id.insert(call_id.clone(), key);
        let slot = Slot {
            call: Call::new(
                new.id,
                new.offer,
                new.permit,
                self.shared.limits,
                Tokens::System,
            ),
            call_id,
            events: Some(new.events),
            last: Some(new.last),
            wake: None,
            forwarder,
        };
        self.slots.insert(key, slot);
        self.step(key, Input::Start);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BURST_MAX {
            match self.socket.try_recv_from(buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.on_datagram(datagram, source);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // A report that an earlier datagram found nobody; its transaction's timer decides.
                Err(_) => {}
            }
        }
    }

    fn on_datagram(&mut self, datagram: &[u8], source: SocketAddr) {
        let answer = match wire::parse(datagram) {
            Ok(message) => match self.by_call_id.get(&message.call_id) {
                Some(key) => return self.step(*key, Input::Message(&message, source)),
                None => self.on_stray(&message, source),
            },
            Err(refusal) => {
                tracing::debug!(why = refusal.why, "refused a datagram");
                stray::answer_refusal(&refusal, source, &self.secret)
            }
        };
        if let Some((bytes, to)) = answer {
            self.send(bytes, to);
        }
    }

    fn on_stray(&self, message: &Message, source: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
        if message.is_request("INVITE") && message.to_tag.is_none() {
            self.shared.refused_calls.fetch_add(1, Ordering::Relaxed);
        }
        stray::answer(message, source, &self.secret)
    }

    fn step(&mut self, key: u64, input: Input<'_>) {
        let now = self.clock.read();
        if let Some(slot) = self.slots.get_mut(&key) {
            let mut outputs = Vec::new();
            slot.call.step(input, now, &mut outputs);
            self.carry_out(key, outputs);
        }
    }

    fn carry_out(&mut self, key: u64, outputs: Vec<Output>) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            match output {
                Output::Send(bytes, to) => self.send(bytes, to),
                Output::Event(event) => self.tell(key, event),
                Output::WriteInvite => queue.extend(self.write_invite(key)),
            }
        }
        self.settle(key);
    }

    /// The write of an INVITE: the permit is asked inside, right before the system call.
    fn write_invite(&mut self, key: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        let Some(slot) = self.slots.get_mut(&key) else {
            return outputs;
        };
        let (clock, socket) = (&self.clock, &self.socket);
        let write = slot.call.write(
            || clock.read(),
            |bytes, to| socket.try_send_to(bytes, to),
            &mut outputs,
        );
        if write == Write::Blocked {
            self.blocked.insert(key);
        }
        outputs
    }

    fn send(&mut self, bytes: Vec<u8>, to: SocketAddr) {
        match self.socket.try_send_to(&bytes, to) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if self.backlog.len() < BACKLOG_MAX {
                    self.backlog.push_back((bytes, to));
                }
            }
            Err(error) => tracing::debug!(kind = %error.kind(), "could not send a datagram"),
            Ok(_) => {}
        }
    }

    /// The socket takes datagrams again.
    fn flush(&mut self) {
        while let Some((bytes, to)) = self.backlog.pop_front() {
            match self.socket.try_send_to(&bytes, to) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.backlog.push_front((bytes, to));
                    return;
                }
                Ok(_) | Err(_) => {}
            }
        }
        for key in std::mem::take(&mut self.blocked) {
            let outputs = self.write_invite(key);
            self.carry_out(key, outputs);
        }
    }

    fn tell(&mut self, key: u64, event: SipEvent) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if !matches!(event, SipEvent::Ended(_)) {
            let told = slot.events.as_ref().map(|events| events.try_send(event));
            if !matches!(told, Some(Ok(()))) {
                tracing::debug!(
                    sip.call_id = slot.call_id,
                    "left an event out: its reader is slow or gone"
                );
            }
        } else if let Some(last) = slot.last.take() {
            last.send(event);
            slot.events = None;
            slot.forwarder.abort();
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            self.shared.lingering.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets the call's timer anew, or forgets the call.
    fn settle(&mut self, key: u64) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if let Some(at) = slot.wake.take() {
            self.timers.remove(&(at, key));
        }
        if slot.call.is_done() {
            if let Some(slot) = self.slots.remove(&key) {
                self.by_call_id.remove(&slot.call_id);
            }
            self.blocked.remove(&key);
            self.shared.lingering.fetch_sub(1, Ordering::Relaxed);
        } else if let Some(at) = slot.call.wake() {
            slot.wake = Some(at);
            self.timers.insert((at, key));
        }
    }
}

/// Brings what a call's owner asks for to the task; an owner who goes away hangs up.
async fn forward(key: u64, mut control: mpsc::Receiver<Control>, back: mpsc::Sender<Command>) {
    while let Some(control) = control.recv().await {
        if back.send(Command::Control(key, control)).await.is_err() {
            return;
        }
    }
    let gone = Control::HangUp {
        cause: HangUpCause::Client,
    };
    // Fails only if the endpoint is gone too.
    let _ = back.send(Command::Control(key, gone)).await;
}
