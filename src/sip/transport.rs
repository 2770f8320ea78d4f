//! The endpoint's task: it owns the socket, the connections and the timers, routes by Call-ID and does what the calls ask for.
//!
//! Every queue has a bound. The permit is not looked at here: INVITE bytes cannot be had without it (`locked.rs`).

mod sending;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::api::{Control, HangUpCause, Happened, Heard, SipEvent};
use super::bells::Bells;
use super::call::{Call, Input, Output, Write};
use super::endpoint::{NewCall, Shared};
use super::links::{Came, Links};
use super::peer::{Hop, LinkId};
use super::request::{NewRequest, Requests};
use super::socket::Datagrams;
use super::token::{Tokens, random};
use super::wire::Message;
use super::{stray, wire};
use crate::clock::Clock;
use crate::domain::call::{Outcome, Retry};
use crate::domain::time::Mono;
use crate::meter;

/// Datagrams that are read before timers and owners get their turn.
const BURST_MAX: usize = 64;
/// How often a clock that is moved by hand is looked at.
const MANUAL_CLOCK_POLL: Duration = Duration::from_millis(5);
/// A timer that is overdue by so much tells that the process stood still.
const STOOD_STILL: Duration = Duration::from_millis(100);
/// Datagrams that are read then before the timers run.
const CATCH_UP_MAX: usize = 1_024;

/// A timer is long overdue.
struct StoodStill;

struct Slot {
    call: Call,
    call_id: String,
    /// Gone, like the next, once the ending is told.
    events: Option<mpsc::Sender<Happened>>,
    /// The place of the ending.
    last: Option<mpsc::OwnedPermit<Happened>>,
    rang: watch::Sender<Heard>,
    /// It is counted as [`Call::is_unsettled`].
    unsettled: bool,
    /// What the owner asks for; gone once it or the call is.
    control: Option<mpsc::Receiver<Control>>,
    /// Rings when `control` has something.
    bell: Waker,
    wake: Option<Mono>,
}

pub(super) struct Task {
    socket: Box<dyn Datagrams>,
    links: Links,
    /// When the timers were last looked at.
    looked: Mono,
    clock: Clock,
    shared: Arc<Shared>,
    /// For the tags of stateless answers.
    secret: String,
    /// Boxed, for a growing table moves what it holds.
    slots: HashMap<u64, Box<Slot>>,
    by_call_id: HashMap<String, u64>,
    bells: Bells,
    timers: BTreeSet<(Mono, u64)>,
    next_key: u64,
    backlog: VecDeque<(Vec<u8>, SocketAddr)>,
    /// Calls whose INVITE waits for the socket; each asks its permit anew.
    blocked: BTreeSet<u64>,
    /// What was asked outside of calls and not answered yet.
    requests: Requests,
}

/// What handles ask of the task.
pub(super) struct Inboxes {
    pub(super) calls: mpsc::Receiver<Box<NewCall>>,
    pub(super) requests: mpsc::Receiver<NewRequest>,
}

impl Task {
    pub(super) fn new(
        socket: Box<dyn Datagrams>,
        links: Links,
        clock: Clock,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            socket,
            links,
            looked: Mono::default(),
            clock,
            shared,
            secret: random(),
            slots: HashMap::new(),
            by_call_id: HashMap::new(),
            bells: Bells::default(),
            timers: BTreeSet::new(),
            next_key: 0,
            backlog: VecDeque::new(),
            blocked: BTreeSet::new(),
            requests: Requests::default(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: Inboxes) {
        let mut open = true;
        let mut buffer = vec![0; 65_536];
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        let mut rings_at = Mono::default();
        while open || !self.slots.is_empty() {
            self.heed_links();
            let next = match self.run_timers(STOOD_STILL) {
                Ok(next) => next,
                Err(StoodStill) => {
                    // What arrived meanwhile is heard before anything is given up for silence; the runtime has to see it first.
                    tokio::task::yield_now().await;
                    (0..CATCH_UP_MAX / BURST_MAX).all(|_| self.receive(&mut buffer));
                    (0..CATCH_UP_MAX / BURST_MAX).all(|_| self.receive_streams(&mut buffer));
                    self.run_timers(Duration::MAX).unwrap_or_default()
                }
            };
            if let Some((at, wait)) = next
                && (at < rings_at || alarm.is_elapsed())
            {
                // Moved only to ring earlier. One that rings for nothing costs a look at the timers; one moved with each message
                // would cost a system call each.
                alarm.set(tokio::time::sleep(wait));
                rings_at = at;
            }
            let full = !self.backlog.is_empty() || !self.blocked.is_empty();
            self.tell_tables();
            tokio::select! {
                // Always in this order, so that a run can be repeated and a flood of datagrams cannot keep a CANCEL from being
                // asked for: what owners ask for is as much as we make, and the timers that are due have just run.
                biased;
                rang = poll_fn(|context| self.bells.poll(context)) => for key in rang {
                    self.listen(key);
                },
                call = inbox.calls.recv(), if open => match call {
                    Some(call) => self.dial(*call),
                    None => open = false,
                },
                Some(request) = inbox.requests.recv() => self.ask(request),
                ready = poll_fn(|context| self.socket.poll_writable(context)), if full => if ready.is_ok() {
                    self.flush();
                },
                ready = poll_fn(|context| self.socket.poll_readable(context)) => if ready.is_ok() {
                    let _ = self.receive(&mut buffer);
                    // A flood of datagrams keeps no connection from being heard.
                    let _ = self.receive_streams(&mut buffer);
                },
                ready = poll_fn(|context| self.links.poll(self.looked, context)) => {
                    self.work(&ready, &mut buffer);
                }
                () = &mut alarm, if next.is_some() => {}
            }
        }
    }

    /// For whoever watches: what is left here when no call is under way was forgotten.
    fn tell_tables(&self) {
        let tables = &self.shared.tables;
        let waiting = self.backlog.len() + self.blocked.len();
        for (table, entries) in [
            (&tables.timers, self.timers.len()),
            (&tables.requests, self.requests.len()),
            (&tables.waiting, waiting),
        ] {
            table.store(entries, Ordering::Relaxed);
        }
    }

    /// Runs what is due and tells when something else will be, and how long that is from now; unless something is overdue by
    /// so much.
    fn run_timers(&mut self, overdue: Duration) -> Result<Option<(Mono, Duration)>, StoodStill> {
        loop {
            let now = self.clock.read().mono;
            self.looked = now;
            let call = self.timers.first().copied();
            let others = self.links.wake().into_iter().chain(self.requests.wake());
            let Some(at) = others.chain(call.map(|(at, _)| at)).min() else {
                return Ok(None);
            };
            if at > now {
                let wait = match self.clock.is_moved_unseen() {
                    false => at.since(now),
                    true => at.since(now).min(MANUAL_CLOCK_POLL),
                };
                return Ok(Some((now.plus(wait), wait)));
            }
            if now.since(at) >= overdue {
                return Err(StoodStill);
            }
            let Some((at, key)) = call.filter(|(due, _)| *due == at) else {
                for (bytes, to) in self.requests.tick(now) {
                    self.send(bytes, &to);
                }
                self.links.tick(now);
                self.heed_links();
                continue;
            };
            self.timers.remove(&(at, key));
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.wake = None;
            }
            self.step(key, Input::Tick);
        }
    }

    fn dial(&mut self, new: NewCall) {
        if self.by_call_id.contains_key(&new.id.call_id) {
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            let (outcome, retry) = (Outcome::CarrierError, Retry::None);
            let ending = self.shared.refused(outcome, retry, "the Call-ID is in use");
            new.last.send(ending);
            return;
        }
        let key = self.next_key;
        self.next_key += 1;
        let call_id = new.id.call_id.clone();
        self.by_call_id.insert(call_id.clone(), key);
        let slot = Slot {
            call: Call::new(
                new.id,
                new.offer,
                new.warrant,
                self.shared.limits,
                Tokens::System,
            ),
            call_id,
            events: Some(new.events),
            last: Some(new.last),
            rang: new.rang,
            unsettled: false,
            control: Some(new.control),
            bell: self.bells.of(key),
            wake: None,
        };
        self.slots.insert(key, Box::new(slot));
        self.step(key, Input::Start);
        self.listen(key);
    }

    fn ask(&mut self, new: NewRequest) {
        let now = self.clock.read().mono;
        if let Some((bytes, to)) = self.requests.begin(new, self.shared.limits.timers, now) {
            self.send(bytes, &to);
        }
    }

    /// Does what a call's owner has asked for; an owner who went away hangs up.
    fn listen(&mut self, key: u64) {
        while let Some(slot) = self.slots.get_mut(&key)
            && let Some(control) = &mut slot.control
            && let Poll::Ready(asked) = control.poll_recv(&mut Context::from_waker(&slot.bell))
        {
            if asked.is_none() {
                slot.control = None;
            }
            let cause = HangUpCause::Client;
            let control = asked.unwrap_or(Control::HangUp { cause });
            self.step(key, Input::Control(control));
        }
    }

    /// Reads what is there, and tells whether there may be more.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..BURST_MAX {
            match self.socket.try_recv_from(buffer) {
                Ok((length, source)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.on_message(datagram, &Hop::Udp(source));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                // A report that an earlier datagram found nobody; its transaction's timer decides.
                Err(_) => {}
            }
        }
        true
    }

    /// The same for the connections; whoever waits for them next is woken by them again.
    fn receive_streams(&mut self, buffer: &mut [u8]) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(ready) = self.links.poll(self.looked, &mut context) else {
            return false;
        };
        self.work(&ready, buffer);
        self.heed_links();
        true
    }

    fn work(&mut self, ready: &[LinkId], buffer: &mut [u8]) {
        let now = self.clock.read().mono;
        for id in ready {
            self.links.work(*id, buffer, now);
        }
    }

    /// What has come of the connections, until nothing more does.
    fn heed_links(&mut self) {
        while let Some(came) = self.links.came() {
            match came {
                Came::Message(bytes, source) => self.on_message(&bytes, &source),
                Came::Try(key) => {
                    let outputs = self.write_invite(key);
                    self.carry_out(key, outputs);
                }
                Came::Lost(hop) => {
                    self.requests.lost(&hop, self.looked);
                    let mut keys: Vec<u64> = self.slots.keys().copied().collect();
                    keys.sort_unstable();
                    for key in keys {
                        self.step(key, Input::Lost(&hop));
                    }
                    self.revive(&hop);
                }
                Came::Rested(hop) => self.revive(&hop),
            }
        }
    }

    /// A connection is made anew if a call may be spoken to by it.
    fn revive(&mut self, hop: &Hop) {
        let mut slots = self.slots.values();
        let wanted = slots.any(|slot| slot.call.is_reached_by(hop));
        let now = self.clock.read().mono;
        self.links.revive(hop, wanted, now);
    }

    fn on_message(&mut self, bytes: &[u8], source: &Hop) {
        let answer = match wire::parse(bytes) {
            Ok(message) => match self.by_call_id.get(&message.call_id) {
                Some(key) => return self.step(*key, Input::Message(&message, source)),
                None if self.requests.hear(&message, self.looked) => return,
                None => self.on_stray(&message, source),
            },
            Err(refusal) => {
                tracing::debug!(why = refusal.why, "refused a message");
                stray::answer_refusal(&refusal, source, &self.secret)
            }
        };
        if let Some((bytes, to)) = answer {
            self.send(bytes, &to);
        }
    }

    fn on_stray(&self, message: &Message, source: &Hop) -> Option<(Vec<u8>, Hop)> {
        if message.is_request("INVITE") && message.to_tag.is_none() {
            self.shared.refused_calls.fetch_add(1, Ordering::Relaxed);
            meter::inbound_refused();
        }
        stray::answer(message, source, &self.secret)
    }

    fn step(&mut self, key: u64, input: Input<'_>) {
        let now = self.clock.read();
        if let Some(slot) = self.slots.get_mut(&key) {
            let mut outputs = Vec::new();
            slot.call.step(input, now, &mut outputs);
            let heard = slot.call.heard();
            if heard > *slot.rang.borrow() {
                slot.rang.send_replace(heard);
            }
            let unsettled = slot.call.is_unsettled();
            if std::mem::replace(&mut slot.unsettled, unsettled) != unsettled {
                // Before the ending is told: who waits for both must not find neither.
                self.shared.count_unsettled(unsettled);
            }
            self.carry_out(key, outputs);
        }
    }

    fn carry_out(&mut self, key: u64, outputs: Vec<Output>) {
        let mut queue = VecDeque::from(outputs);
        while let Some(output) = queue.pop_front() {
            match output {
                Output::Send(bytes, to) => self.send(bytes, &to),
                Output::Event(event) => self.tell(key, event),
                Output::WriteInvite => queue.extend(self.write_invite(key)),
                Output::Withdraw => self.links.withdraw(key, self.looked),
            }
        }
        self.settle(key);
    }

    fn tell(&mut self, key: u64, event: SipEvent) {
        let at = self.clock.read();
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        let is_late = matches!(event, SipEvent::Sent { late: true, .. });
        if !matches!(event, SipEvent::Ended(_)) {
            let told = slot
                .events
                .as_ref()
                .map(|events| events.try_send(Happened { at, event }));
            if !matches!(told, Some(Ok(()))) {
                tracing::debug!(
                    sip.call_id = slot.call_id,
                    "left an event out: its reader is slow or gone"
                );
            }
            if is_late {
                // claim-9 waits for no reader: the owner may be busy storing what came before, or gone.
                tracing::error!(
                    sip.call_id = slot.call_id,
                    "an INVITE left later than the barrier allows; cancelling the call"
                );
                let cause = HangUpCause::LateSend;
                self.step(key, Input::Control(Control::HangUp { cause }));
            }
        } else if let Some(last) = slot.last.take() {
            last.send(Happened { at, event });
            slot.events = None;
            slot.control = None;
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
        if slot.call.writes_to().is_none() {
            self.links.let_go(key, self.looked);
        }
        if !slot.call.is_unheard() {
            self.links.heard(key);
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
