//! The connections of the endpoint: one to each target, shared by all dialogs there, and those that far ends make to us. Like
//! the calls it waits for nothing and reads no clock.
//!
//! `link` is one connection; here is which there are, what has come of them, and how INVITE bytes get in: only when nothing
//! older lies unsent, asked for again and again until all of them have left, and while somebody holds a permit for them. A
//! connection with half an INVITE whose permit is over is reset, for the other half must not follow; and so is one with a whole INVITE
//! that has not arrived by then, for the system would send it again.
//!
//! A connection that ended is made anew only for a call that wants it.

mod link;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::peer::{Hop, LinkId, Peer};
use super::session::Session;
use super::stream::{ByteStream, Streams};
use super::target::{Target, Transport};
use crate::domain::time::Mono;
use link::{Link, Rest, State};

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
/// A connection that broke sooner than this after it was made, and had brought no message, counts as one that could not be made.
const SOON: Duration = Duration::from_secs(5);
/// How long no connection of others is taken after one could not be.
const TAKE_AGAIN: Duration = Duration::from_millis(200);

/// What has come of the connections.
#[derive(Debug)]
pub(super) enum Came {
    /// A message.
    Message(Vec<u8>, Hop),
    /// This call's INVITE may be written now, or it is known why not.
    Try(u64),
    /// What was sent this way and not answered yet may not have arrived. [`Links::revive`] is to be called.
    Lost(Hop),
    /// There could be a connection again. [`Links::revive`] is to be called.
    Rested(Hop),
}

/// All connections.
#[derive(Debug)]
pub(super) struct Links {
    streams: Box<dyn Streams>,
    links: BTreeMap<LinkId, Link>,
    next: u64,
    came: VecDeque<Came>,
    /// No connection of others is taken before this.
    takes_from: Option<Mono>,
}

impl Links {
    pub(super) fn new(streams: Box<dyn Streams>) -> Self {
        Self {
            streams,
            links: BTreeMap::new(),
            next: 0,
            came: VecDeque::new(),
            takes_from: None,
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
            if self.takes_from.is_some() {
                break;
            }
            let Poll::Ready(taken) = self.streams.poll_accept(context) else {
                break;
            };
            match taken {
                Ok((stream, from)) => ready.extend(self.take(stream, from, now)),
                // The system is short of something, or who called is gone again. Nobody tells when that is over.
                Err(error) => {
                    tracing::debug!(%error, "could not take a connection");
                    self.takes_from = Some(now.plus(TAKE_AGAIN));
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
        if let Some((id, link)) = self.links.iter().find(|(_, link)| theirs(link)) {
            let id = *id;
            if link.may_be_made(now) {
                self.make(id, now);
            }
            return Some(id);
        }
        let state = self.connect(*target, peer, now);
        Some(self.add(Link::new(*target, Some(Arc::clone(peer)), state, now)))
    }

    /// Begins the connection of a link that rests.
    fn make(&mut self, id: LinkId, now: Mono) {
        if let Some(mut link) = self.links.remove(&id) {
            if let (State::Resting(_), Some(peer)) = (&link.state, &link.peer) {
                link.state = self.connect(link.target, peer, now);
                link.begin(now);
            }
            self.links.insert(id, link);
        }
    }

    /// What is to become of a connection that ended or rested, for there are calls that want it, or none.
    pub(super) fn revive(&mut self, hop: &Hop, wanted: bool, now: Mono) {
        let theirs = self
            .links
            .iter_mut()
            .find(|(_, link)| match (hop, &link.peer) {
                (Hop::Stream(target, peer), Some(own)) => {
                    link.target == *target && Arc::ptr_eq(own, peer)
                }
                _ => false,
            });
        let Some((id, link)) = theirs else { return };
        let id = *id;
        let State::Resting(rest) = &mut link.state else {
            return;
        };
        if rest.until.is_some_and(|until| until > now) {
            return;
        }
        match wanted {
            true => self.make(id, now),
            // The next call makes it.
            false => rest.until = None,
        }
    }

    fn connect(&self, target: Target, peer: &Peer, now: Mono) -> State {
        let tls = match (target.transport, peer.client()) {
            (Transport::Tls, Some(Ok(tls))) => Some(tls),
            // Never in the clear instead.
            (Transport::Tls, Some(Err(_)) | None) => {
                tracing::error!(sip.target = %target, "there is no TLS to be had for this target");
                return State::Resting(Rest {
                    since: now,
                    until: Some(now.plus(PAUSE_MAX)),
                    why: ErrorKind::Unsupported,
                });
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
            self.fail(id, &error, now);
            if self.links.get(&id).is_some_and(|link| link.failures == 0) {
                self.make(id, now);
            }
        }
        match self.links.get_mut(&id) {
            Some(link) if !matches!(link.state, State::Resting(_)) => {
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
            self.reset(id, "the permit was over when half an INVITE was out", now);
        }
    }

    /// The permit of this call is over and nothing was heard of its INVITE: nothing of it may leave from now on, not even again.
    pub(super) fn withdraw(&mut self, key: u64, now: Mono) {
        self.let_go(key, now);
        let late = self.links.iter().find(|(_, link)| link.may_repeat(key));
        if let Some((id, _)) = late {
            let why = "the permit was over when an INVITE had not arrived yet";
            self.reset(*id, why, now);
        }
        self.heard(key);
    }

    /// Something was heard of this call's INVITE.
    pub(super) fn heard(&mut self, key: u64) {
        for link in self.links.values_mut() {
            link.forget_invite(key);
        }
    }

    fn reset(&mut self, id: LinkId, why: &'static str, now: Mono) {
        if let Some(link) = self.links.get_mut(&id) {
            link.reset();
        }
        self.fail(id, &Error::new(ErrorKind::TimedOut, why), now);
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
                self.fail(id, &error, now);
            }
        }
    }

    /// The connection is over. One of ours is made anew for those who want it: at once if it was of use, else after a pause.
    fn fail(&mut self, id: LinkId, error: &Error, now: Mono) {
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
        let pause = match link.was_of_use(now) {
            true => {
                link.failures = 0;
                Duration::ZERO
            }
            false => {
                link.failures = link.failures.saturating_add(1);
                PAUSE_MIN
                    .saturating_mul(1 << (link.failures - 1).min(16))
                    .min(PAUSE_MAX)
            }
        };
        // An end in good form, and a far end that says what nobody could take, is told as what it is.
        if link.failures > 0
            || error.kind() == ErrorKind::InvalidData
            || error.kind() == ErrorKind::TimedOut
        {
            tracing::warn!(sip.target = %link.target, %error, milliseconds = pause.as_millis(),
                "a connection to the target is over or could not be made; the next comes after this pause, if a call wants it");
        }
        link.state = State::Resting(Rest {
            since: now,
            until: (pause > Duration::ZERO).then(|| now.plus(pause)),
            why: error.kind(),
        });
        let was_up = link.up_since.take().is_some();
        link.forget_session();
        link.begin(now);
        let hop = Hop::Stream(link.target, peer);
        let waits = link.is_wanted() && link.failures == 0;
        self.links.insert(id, link);
        if waits {
            self.make(id, now);
        }
        if was_up {
            self.came.push_back(Came::Lost(hop));
        }
        self.let_try(id);
    }

    /// When [`Links::tick`] is next due.
    pub(super) fn wake(&self) -> Option<Mono> {
        let links = self.links.values().map(Link::wake);
        links.chain(self.takes_from).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Mono) {
        self.takes_from.take_if(|from| *from <= now);
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
            } else if let (State::Resting(rest), Some(peer)) = (&mut link.state, &link.peer) {
                // Asked once, were the answer late.
                rest.until = None;
                let hop = Hop::Stream(link.target, Arc::clone(peer));
                match link.is_wanted() {
                    true => self.make(id, now),
                    false => self.came.push_back(Came::Rested(hop)),
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
