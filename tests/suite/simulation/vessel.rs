//! What one life of a node touches of the world: its clock, its socket and its door to the database. Through it the driver
//! learns when the node has nothing left to do, and lets one transaction in at a time.
//!
//! SQLite answers from threads of its own, in its own time. So that this cannot decide what happens first, a transaction
//! enters only when the node has nothing else to do, and nothing else becomes due while it is under way: what the thread
//! does meanwhile is waited for in real time, and takes no virtual time. Delays and faults stand at the door.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::domain::time::Mono;
use dialgate::sip::Datagrams;
use dialgate::store::{Door, Passage, Result, Store, StoreError, Waiting};

use super::driver::lock;
use super::world::{Shared, World, node_addr};

/// How long SQLite waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// A moment of virtual time that takes so much real time will not end.
const STUCK: Duration = Duration::from_secs(120);

/// What strikes this life at the next occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doom {
    DieBeforeCommit,
    DieAfterCommit,
    DieBeforeInvite,
    DieAfterInvite,
    /// Between the comparison and the system call.
    FreezeAtInvite(Duration),
}

struct Ticket {
    ready: Duration,
    since: Duration,
    wants_lock: bool,
    waker: Waker,
    granted: Option<Result<()>>,
}

#[derive(Default)]
pub struct Body {
    pub dying: bool,
    pub doom: Option<Doom>,
    pub frozen_until: Duration,
    /// How far the node's own clock has run ahead of the world, which has to catch up.
    pub ahead: Duration,
    /// A socket that takes nothing.
    pub clogged_until: Duration,
    armed: bool,
    armed_at: Mono,
    idle: bool,
    main: Option<Waker>,
    pub store: Option<Store>,
    /// Everything may pass: the node is being put together.
    pub open: bool,
    tickets: BTreeMap<u64, Ticket>,
    last_ticket: u64,
    /// Who may use the database now.
    token: Option<u64>,
    /// Transactions that hold a connection.
    connected: usize,
    inbox: VecDeque<(Vec<u8>, SocketAddr)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

pub struct Vessel {
    pub index: usize,
    pub life: u64,
    pub clock: Arc<ManualClock>,
    pub world: Shared,
    body: Mutex<Body>,
}

impl std::fmt::Debug for Vessel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} life {}", self.index, self.life)
    }
}

impl Vessel {
    pub fn new(index: usize, life: u64, clock: Arc<ManualClock>, world: Shared) -> Arc<Self> {
        let body = Body {
            open: true,
            ..Body::default()
        };
        Arc::new(Self {
            index,
            life,
            clock,
            world,
            body: Mutex::new(body),
        })
    }

    /// INVARIANT: whoever holds it does not lock the world; whoever holds the world may lock it.
    pub fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The runtime has nothing to do: is there nothing to come from the database either?
    pub fn parked(&self) {
        let mut body = self.body();
        let away = body.store.as_ref().map_or(0, Store::connections_in_use);
        let waited = Clock::Real.read().mono.since(body.armed_at);
        assert!(
            !body.armed || waited < STUCK,
            "node {} waits for what never comes",
            self.index
        );
        if body.armed && body.token.is_none() && away == body.connected {
            body.idle = true;
            let main = body.main.take();
            drop(body);
            if let Some(main) = main {
                main.wake();
            }
        }
    }

    /// Until the node has nothing left to do at this moment.
    pub fn idle(&self) -> impl Future<Output = ()> + '_ {
        std::future::poll_fn(|context| {
            let mut body = self.body();
            if std::mem::take(&mut body.idle) {
                body.armed = false;
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut body.armed, true) {
                body.armed_at = Clock::Real.read().mono;
            }
            body.main = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// Lets one transaction go on, if any may; the node is to run again then.
    pub fn grant(&self, world: &mut World) -> bool {
        let mut body = self.body();
        if body.dying || body.token.is_some() || body.frozen_until > world.now {
            return false;
        }
        let now = world.now;
        let locked = world.writer.is_some();
        let due = |ticket: &Ticket| ticket.ready <= now && ticket.granted.is_none();
        let may = |ticket: &Ticket| due(ticket) && !(ticket.wants_lock && locked);
        let late = |ticket: &Ticket| {
            due(ticket) && ticket.wants_lock && locked && now - ticket.since >= BUSY
        };
        if let Some(ticket) = body.tickets.values_mut().find(|ticket| late(ticket)) {
            ticket.granted = Some(Err(StoreError::LockTimeout));
            ticket.waker.wake_by_ref();
            world.note(format_args!(
                "node {} waited in vain for the write lock",
                self.index
            ));
            return true;
        }
        let free: Vec<u64> = body
            .tickets
            .iter()
            .filter(|(_, ticket)| may(ticket))
            .map(|(id, _)| *id)
            .collect();
        if free.is_empty() {
            return false;
        }
        let id = *world.chance.pick(&free);
        let Some(ticket) = body.tickets.get_mut(&id) else {
            return false;
        };
        ticket.granted = Some(Ok(()));
        if ticket.wants_lock {
            world.writer = Some((self.index, self.life));
        }
        ticket.waker.wake_by_ref();
        let kind = if ticket.wants_lock {
            "writes"
        } else {
            "goes on"
        };
        body.token = Some(id);
        world.note(format_args!("node {} {kind}: ticket {id}", self.index));
        true
    }

    /// Something has arrived for the socket.
    pub fn deliver(&self, bytes: Vec<u8>, from: SocketAddr) {
        let mut body = self.body();
        body.inbox.push_back((bytes, from));
        if let Some(reader) = body.reader.take() {
            reader.wake();
        }
    }

    /// The socket takes datagrams again.
    pub fn unclog(&self) {
        if let Some(writer) = self.body().writer.take() {
            writer.wake();
        }
    }

    fn doomed(&self, fate: Doom) -> bool {
        self.body().doom.take_if(|doom| *doom == fate).is_some()
    }

    async fn die(&self, how: &str) {
        self.body().dying = true;
        self.world().note(format_args!("node {} {how}", self.index));
        pending().await
    }

    fn free_lock(&self) {
        self.world()
            .writer
            .take_if(|holder| *holder == (self.index, self.life));
    }
}

/// Waits for the driver's leave.
struct Leave {
    vessel: Arc<Vessel>,
    after: Duration,
    wants_lock: bool,
    ticket: Option<u64>,
}

impl Future for Leave {
    type Output = Result<u64>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let now = self.vessel.world().now;
        let vessel = Arc::clone(&self.vessel);
        let mut body = vessel.body();
        let id = match self.ticket {
            Some(id) => id,
            None => {
                body.last_ticket += 1;
                let id = body.last_ticket;
                let ticket = Ticket {
                    ready: (now + self.after).max(body.frozen_until),
                    since: now,
                    wants_lock: self.wants_lock,
                    waker: context.waker().clone(),
                    granted: body.open.then_some(Ok(())),
                };
                body.tickets.insert(id, ticket);
                self.ticket = Some(id);
                if body.open {
                    body.token = Some(id);
                }
                id
            }
        };
        let Some(ticket) = body.tickets.get_mut(&id) else {
            return Poll::Pending;
        };
        ticket.waker.clone_from(context.waker());
        match ticket.granted.take() {
            None => Poll::Pending,
            Some(result) => {
                body.tickets.remove(&id);
                self.ticket = None;
                Poll::Ready(result.map(|()| id))
            }
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let Some(id) = self.ticket else { return };
        let mut body = self.vessel.body();
        body.tickets.remove(&id);
        let held = body.token.take_if(|token| *token == id).is_some();
        drop(body);
        if held && self.wants_lock {
            self.vessel.free_lock();
        }
    }
}

/// What one transaction will meet.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    before: Duration,
    refused: bool,
    fails_at: Option<u32>,
    holds: Duration,
    undone: bool,
    answers_after: Duration,
    unheard: bool,
}

impl Fate {
    fn draw(world: &mut World, writes: bool) -> Self {
        let weather = world.weather;
        let chance = &mut world.chance;
        let wait = |chance: &mut crate::joints::rng::Rng| match chance.below(1_000) < weather.slow {
            true => chance.millis(0, weather.store_ms + 1),
            false => Duration::ZERO,
        };
        let mut thousandth = |share: usize| chance.below(1_000) < share;
        let mut fate = Self {
            refused: thousandth(weather.refused),
            ..Self::default()
        };
        let fails = thousandth(weather.failing);
        if writes {
            fate.undone = thousandth(weather.undone);
            fate.unheard = thousandth(weather.unheard);
            fate.holds = wait(chance);
            fate.answers_after = wait(chance);
        }
        fate.before = wait(chance);
        fate.fails_at = fails.then(|| 1 + u32::try_from(chance.below(12)).unwrap());
        fate
    }
}

/// The door of one life of a node.
pub struct NodeDoor(pub Arc<Vessel>);

impl Door for NodeDoor {
    fn enter(&self, writes: bool) -> Waiting<'_, Result<Box<dyn Passage>>> {
        let vessel = Arc::clone(&self.0);
        Box::pin(async move {
            // A start that fails is one more restart, and nothing to see.
            let open = vessel.body().open;
            let fate = match open {
                true => Fate::default(),
                false => Fate::draw(&mut vessel.world(), writes),
            };
            let leave = Leave {
                vessel: Arc::clone(&vessel),
                after: fate.before,
                wants_lock: writes,
                ticket: None,
            };
            let token = leave.await?;
            let mut way = Way {
                vessel,
                writes,
                fate,
                statements: 0,
                token: Some(token),
                connected: false,
            };
            if fate.refused {
                way.vessel.world().note(format_args!(
                    "node {} is refused by the database",
                    way.vessel.index
                ));
                return Err(away("cannot be reached"));
            }
            way.connected = true;
            way.vessel.body().connected += 1;
            Ok(Box::new(way) as Box<dyn Passage>)
        })
    }
}

fn away(why: &str) -> StoreError {
    StoreError::Unavailable(format!("simulated: {why}"))
}

/// One transaction under way.
struct Way {
    vessel: Arc<Vessel>,
    writes: bool,
    fate: Fate,
    statements: u32,
    token: Option<u64>,
    connected: bool,
}

impl Way {
    /// Lets others of this node use the database until it is our turn again.
    async fn pause(&mut self, after: Duration) -> Result<()> {
        self.give_up_token();
        let leave = Leave {
            vessel: Arc::clone(&self.vessel),
            after,
            wants_lock: false,
            ticket: None,
        };
        self.token = Some(leave.await?);
        Ok(())
    }

    fn give_up_token(&mut self) {
        if let Some(id) = self.token.take() {
            self.vessel.body().token.take_if(|token| *token == id);
        }
    }

    fn disconnect(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.vessel.body().connected -= 1;
        }
        if self.writes {
            self.vessel.free_lock();
        }
    }
}

impl Passage for Way {
    fn statement(&mut self) -> Result<()> {
        self.statements += 1;
        match self.fate.fails_at == Some(self.statements) {
            true => {
                self.vessel.world().note(format_args!(
                    "node {} fails at statement {}",
                    self.vessel.index, self.statements
                ));
                Err(away("the statement failed"))
            }
            false => Ok(()),
        }
    }

    fn commit(&mut self) -> Waiting<'_, Result<()>> {
        Box::pin(async move {
            let now = self.vessel.world().now;
            let frozen = self.vessel.body().frozen_until > now;
            if !self.fate.holds.is_zero() || frozen {
                self.pause(self.fate.holds).await?;
            }
            if self.writes && self.vessel.doomed(Doom::DieBeforeCommit) {
                self.give_up_token();
                self.vessel.die("dies before a commit").await;
            }
            if self.fate.undone {
                self.vessel
                    .world()
                    .note(format_args!("node {} cannot commit", self.vessel.index));
                return Err(away("not committed"));
            }
            Ok(())
        })
    }

    fn committed(&mut self) -> Waiting<'_, Result<()>> {
        Box::pin(async move {
            self.disconnect();
            if self.writes && self.vessel.doomed(Doom::DieAfterCommit) {
                self.give_up_token();
                self.vessel.die("dies after a commit").await;
            }
            if !self.fate.answers_after.is_zero() {
                self.pause(self.fate.answers_after).await?;
            }
            if self.fate.unheard {
                self.vessel.world().note(format_args!(
                    "node {} does not hear of its commit",
                    self.vessel.index
                ));
                return Err(away("the answer was lost"));
            }
            Ok(())
        })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.disconnect();
        self.give_up_token();
    }
}

/// The socket of one life of a node.
#[derive(Debug)]
pub struct NodeSocket(pub Arc<Vessel>);

impl Datagrams for NodeSocket {
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(node_addr(self.0.index))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut body = self.0.body();
        if !body.inbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        body.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let now = self.0.world().now;
        let mut body = self.0.body();
        if body.clogged_until <= now {
            return Poll::Ready(Ok(()));
        }
        body.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        let taken = self.0.body().inbox.pop_front();
        let (bytes, from) = taken.ok_or(Error::from(ErrorKind::WouldBlock))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok((bytes.len(), from))
    }

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> std::io::Result<usize> {
        let now = self.0.world().now;
        if self.0.body().clogged_until > now {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        self.leave_by(bytes, to, None);
        Ok(bytes.len())
    }
}

impl NodeSocket {
    /// A message leaves, by a connection or as a datagram; an INVITE may be the last thing the node does.
    pub fn leave_by(&self, bytes: &[u8], to: SocketAddr, wire: Option<u64>) {
        let now = self.0.world().now;
        let is_invite = bytes.starts_with(b"INVITE ");
        let mut body = self.0.body();
        if body.dying {
            return;
        }
        let (mut dies_after, mut stood) = (false, Duration::ZERO);
        match body.doom.filter(|_| is_invite) {
            Some(Doom::DieBeforeInvite) => {
                body.dying = true;
                return;
            }
            Some(Doom::DieAfterInvite) => dies_after = true,
            Some(Doom::FreezeAtInvite(span)) => {
                // The process stands still here: its clocks say so when it goes on.
                body.doom = None;
                stood = span;
                body.frozen_until = body.frozen_until.max(now + body.ahead + span);
                self.0.clock.advance(span);
            }
            _ => {}
        }
        let ahead = body.ahead;
        body.ahead += stood;
        drop(body);
        let vessel = (self.0.index, self.0.life);
        self.0
            .world()
            .leave(vessel, (ahead, stood), bytes, to, wire);
        if dies_after {
            self.0.body().dying = true;
        }
    }
}
