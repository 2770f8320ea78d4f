//! The connections of the endpoint: one to each target, shared by all dialogs there, and those that far ends make to us. Like
//! the calls it waits for nothing and reads no clock.
//!
//! `link` is one connection; here is which there are, what has come of them, and how INVITE bytes get in: only when nothing
//! older lies unsent, asked for again and again until all of them have left, and while somebody holds a permit for them. A
//! connection with half an INVITE whose permit is over is reset, for the other half must not follow.

mod link;

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::peer::{Hop, LinkId, Peer};
use super::session::Session;
use super::stream::{ByteStream, Streams};
use super::target::{Target, Transport};
use crate::domain::time::Mono;
use link::{Link, State};

/// Connections that others made to us at a time.
const TAKEN_MAX: usize = 64;
/// Connections that are taken before those that are there get their turn.
const TAKEN_AT_ONCE_MAX: usize = 16;
/// How long making a connection may take, its handshake included.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// A connection that carried no message for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// The first pause after a connection could not be made; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A connection that broke sooner than this after it was made counts as one that could not be made.
const SOON: Duration = Duration::from_secs(5);

/// What has come of the connections.
#[derive(Debug)]
pub(super) enum Came {
    /// A message.
    Message(Vec<u8>, Hop),
    /// This call's INVITE may be written now, or it is known why not.
    Try(u64),
    /// What was sent this way and not answered yet may not have arrived.
    Lost(Hop),
}

/// All connections.
#[derive(Debug)]
pub(super) struct Links {
    streams: Box<dyn Streams>,
    links: BTreeMap<LinkId, Link>,
    next: u64,
    came: VecDeque<Came>,
}

impl Links {
    pub(super) fn new(streams: Box<dyn Streams>) -> Self {
        Self {
            streams,
            links: BTreeMap::new(),
            next: 0,
            came: VecDeque::new(),
        }
    }

    /// What has come since it was asked last.
    pub(super) fn came(&mut self) -> Option<Came> {
        self.came.pop_front()
    }

    /// Ready with those that [`Links::work`] is to be called for.
    pub(super) fn poll(&mut self, now: Mono, context: &mut Context<'_>) -> Poll<Vec<LinkId>> {
        let mut ready: Vec<LinkId> = Vec::new();
        for _ in 0..TAKEN_AT_ONCE_MAX {
            let Poll::Ready(taken) = self.streams.poll_accept(context) else {
                break;
            };
            match taken {
                Ok((stream, from)) => ready.extend(self.take(stream, from, now)),
                // The system is short of something, or who called is gone again.
                Err(error) => {
                    tracing::debug!(%error, "could not take a connection");
                    break;
                }
            }
        }
        for (id, link) in &mut self.links {
            if link.poll(context).is_ready() && !ready.contains(id) {
                ready.push(*id);
            }
        }
        match ready.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(ready),
        }
    }

    /// A connection that somebody made to us. When there are too many, the one that has been silent for longest goes.
    fn take(&mut self, stream: Box<dyn ByteStream>, from: SocketAddr, now: Mono) -> Option<LinkId> {
        let taken = self.links.iter().filter(|(_, link)| link.peer.is_none());
        if taken.clone().count() >= TAKEN_MAX {
            let (oldest, _) = taken.min_by_key(|(_, link)| link.used)?;
            let oldest = *oldest;
            self.links.remove(&oldest);
        }
        let target = Target {
            transport: Transport::Tcp,
            addr: from,
        };
        let up = State::Up(Session::new(stream, None));
        Some(self.add(Link::new(target, None, up, now)))
    }

    fn add(&mut self, link: Link) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.links.insert(id, link);
        id
    }

    /// The connection of a hop; one to a target is begun if there is none.
    fn of(&mut self, hop: &Hop, now: Mono) -> Option<LinkId> {
        let (target, peer) = match hop {
            Hop::Udp(_) => return None,
            Hop::Link(id, _) => return self.links.contains_key(id).then_some(*id),
            Hop::Stream(target, peer) => (target, peer),
        };
        let theirs = |link: &Link| {
            link.target == *target && link.peer.as_ref().is_some_and(|own| Arc::ptr_eq(own, peer))
        };
        if let Some((id, _)) = self.links.iter().find(|(_, link)| theirs(link)) {
            return Some(*id);
        }
        let state = self.connect(*target, peer, now);
        Some(self.add(Link::new(*target, Some(Arc::clone(peer)), state, now)))
    }

    fn connect(&self, target: Target, peer: &Peer, now: Mono) -> State {
        let tls = match (target.transport, peer.client()) {
            (Transport::Tls, Some(Ok(tls))) => Some(tls),
            // Never in the clear instead.
            (Transport::Tls, Some(Err(_)) | None) => {
                tracing::error!(sip.target = %target, "there is no TLS to be had for this target");
                let until = now.plus(PAUSE_MAX);
                return State::Resting(until, ErrorKind::Unsupported);
            }
            (Transport::Udp | Transport::Tcp, _) => None,
        };
        let connecting = self.streams.connect(target.addr);
        State::Connecting(connecting, tls.map(Box::new))
    }

    /// Sends a message that needs no permit; it waits for the connection if there is none yet.
    pub(super) fn send(&mut self, bytes: Vec<u8>, hop: &Hop, now: Mono) {
        let Some(id) = self.of(hop, now) else {
            return tracing::debug!(
                "the connection that a request came by is gone, and with it who awaits the answer"
            );
        };
        if let Some(link) = self.links.get_mut(&id) {
            let told = link.send(bytes, now);
            self.heed(id, told, now);
        }
    }

    /// Whether an INVITE could be written now: nothing older is in its way. The call is told when it may try, if not.
    pub(super) fn prepare(&mut self, key: u64, hop: &Hop, now: Mono) -> Result<()> {
        let id = self.of(hop, now).ok_or(ErrorKind::NotConnected)?;
        let link = self.links.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let told = link.prepare(key, now);
        self.unless_broken(id, key, told, now)
    }

    /// Writes an INVITE, right after its permit was asked. `WouldBlock` until all of it has left: the same call is to be made
    /// again when [`Came::Try`] says so, and [`Links::let_go`] if that is not to be.
    pub(super) fn write_invite(
        &mut self,
        key: u64,
        bytes: &[u8],
        hop: &Hop,
        now: Mono,
    ) -> Result<usize> {
        let id = self.of(hop, now).ok_or(ErrorKind::NotConnected)?;
        let link = self.links.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let told = link.write_invite(key, bytes);
        self.unless_broken(id, key, told, now)
    }

    /// A connection that broke just now is made anew, and the INVITE waits for that.
    fn unless_broken<T>(&mut self, id: LinkId, key: u64, told: Result<T>, now: Mono) -> Result<T> {
        let error = match told {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let up = self
            .links
            .get(&id)
            .is_some_and(|link| matches!(link.state, State::Up(_)));
        if error.kind() != ErrorKind::WouldBlock && up {
            self.fail(id, error.kind(), now);
        }
        match self.links.get_mut(&id) {
            Some(link) if !matches!(link.state, State::Resting(..)) => {
                link.waiting.insert(key);
                Err(ErrorKind::WouldBlock.into())
            }
            _ => Err(error),
        }
    }

    /// This call writes no INVITE any more. Where half of one is out, the other half must not follow.
    pub(super) fn let_go(&mut self, key: u64, now: Mono) {
        let mut half = None;
        for (id, link) in &mut self.links {
            link.waiting.remove(&key);
            if link.is_held_by(key) {
                half = Some(*id);
            }
        }
        if let Some(id) = half {
            tracing::warn!(
                "the permit was over when half an INVITE was out; resetting the connection"
            );
            if let Some(link) = self.links.get_mut(&id) {
                link.reset();
            }
            self.fail(id, ErrorKind::TimedOut, now);
        }
    }

    /// Reads and writes what can be.
    pub(super) fn work(&mut self, id: LinkId, buffer: &mut [u8], now: Mono) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let hop = Hop::Link(id, link.target);
        let told = link.work(buffer, now, |bytes| {
            self.came.push_back(Came::Message(bytes, hop.clone()));
        });
        self.heed(id, told, now);
        self.let_try(id);
    }

    /// Those whose INVITE waited may try again, once the connection can take one or will not.
    fn let_try(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.is_connecting()
        {
            let waiting = std::mem::take(&mut link.waiting);
            self.came.extend(waiting.into_iter().map(Came::Try));
        }
    }

    fn heed(&mut self, id: LinkId, told: Result<()>, now: Mono) {
        match told {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::debug!(%error, "a connection is over");
                self.fail(id, error.kind(), now);
            }
        }
    }

    /// The connection is over. One of ours is made anew: at once if it was up for a while, else after a pause.
    fn fail(&mut self, id: LinkId, why: ErrorKind, now: Mono) {
        let Some(mut link) = self.links.remove(&id) else {
            return;
        };
        // Whatever ended it: dropped, it would still deliver the other half.
        if link.holds_half() {
            link.reset();
        }
        let Some(peer) = link.peer.clone() else {
            return;
        };
        let was_up = link.up_since.take();
        if was_up.is_some_and(|since| now.since(since) >= SOON) {
            link.failures = 0;
        } else {
            link.failures = link.failures.saturating_add(1);
        }
        link.state = match link.failures {
            0 => self.connect(link.target, &peer, now),
            failures => {
                let pause = PAUSE_MIN
                    .saturating_mul(1 << (failures - 1).min(16))
                    .min(PAUSE_MAX);
                tracing::warn!(sip.target = %link.target, %why, milliseconds = pause.as_millis(),
                    "cannot be connected to the target; trying again after a pause");
                State::Resting(now.plus(pause), why)
            }
        };
        link.forget_session();
        link.begin(now);
        let hop = Hop::Stream(link.target, peer);
        self.links.insert(id, link);
        if was_up.is_some() {
            self.came.push_back(Came::Lost(hop));
        }
        self.let_try(id);
    }

    /// When [`Links::tick`] is next due.
    pub(super) fn wake(&self) -> Option<Mono> {
        self.links.values().map(Link::wake).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Mono) {
        let due: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.wake() <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            if link.is_idle(now) {
                if let Some(link) = self.links.remove(&id) {
                    link.close();
                }
            } else if let (State::Resting(..), Some(peer)) = (&link.state, link.peer.clone()) {
                let target = link.target;
                let state = self.connect(target, &peer, now);
                if let Some(link) = self.links.get_mut(&id) {
                    link.state = state;
                    link.begin(now);
                }
            } else {
                let told = link.tick(now);
                self.heed(id, told, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
