//! Connections of the simulated network. What is sent by one arrives, in order and once, or the connection breaks: more often than
//! datagrams are lost. A stream may take half a message and let the node wait for the rest.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dialgate::sip::{ByteStream, Connecting, Streams};

use super::vessel::{NodeSocket, Vessel};
use super::world::{NEXT, World, node_addr};
use crate::joints::rng::Rng;

/// Whether this carrier is reached by connections.
pub fn is_streamed(addr: SocketAddr) -> bool {
    addr == NEXT.parse().unwrap()
}

/// All connections there ever were.
pub struct Net {
    rng: Rng,
    all: BTreeMap<u64, Wire>,
}

struct Wire {
    vessel: (usize, u64),
    carrier: SocketAddr,
    open: bool,
    /// Taken from the node, and no whole message yet.
    rest: Vec<u8>,
    /// The node has to wait until then before it can write on.
    full_until: Duration,
    arrived: VecDeque<Vec<u8>>,
    /// When the last message that is under way to each side arrives.
    last: BTreeMap<SocketAddr, Duration>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed, 7),
            all: BTreeMap::new(),
        }
    }

    /// The connection by which a carrier reaches a node, if there is one.
    pub fn between(&self, node: SocketAddr, carrier: SocketAddr) -> Option<u64> {
        let open = self.all.iter().rev().find(|(_, wire)| {
            wire.open && wire.carrier == carrier && node_addr(wire.vessel.0) == node
        });
        open.map(|(id, _)| *id)
    }

    /// Now and then one breaks in the best of weathers.
    pub fn breaks(&mut self) -> bool {
        self.rng.below(1_000) < 20
    }

    pub fn is_open(&self, id: u64) -> bool {
        self.all.get(&id).is_some_and(|wire| wire.open)
    }

    /// Nothing overtakes what was sent before.
    pub fn in_order(&mut self, id: u64, to: SocketAddr, at: Duration) -> Duration {
        let Some(wire) = self.all.get_mut(&id) else {
            return at;
        };
        let last = wire.last.entry(to).or_default();
        *last = at.max(*last + Duration::from_nanos(1));
        *last
    }

    pub fn deliver(&mut self, id: u64, bytes: &[u8]) {
        if let Some(wire) = self.all.get_mut(&id) {
            // The stream is cut somewhere, as streams are.
            let cut = self.rng.below(bytes.len());
            let (one, other) = bytes.split_at(cut);
            let parts = [one, other].into_iter().filter(|part| !part.is_empty());
            wire.arrived.extend(parts.map(<[u8]>::to_vec));
            wire.wake();
        }
    }

    pub fn close(&mut self, id: u64) {
        if let Some(wire) = self.all.get_mut(&id) {
            wire.open = false;
            wire.wake();
        }
    }

    /// Those that had no room have some again.
    pub fn pass(&mut self, now: Duration) {
        for wire in self.all.values_mut() {
            if wire.full_until <= now
                && let Some(writer) = wire.writer.take()
            {
                writer.wake();
            }
        }
    }
}

/// The connections of one life of a node.
#[derive(Debug)]
pub struct NodeStreams(pub Arc<Vessel>);

impl Streams for NodeStreams {
    fn connect(&self, to: SocketAddr) -> Connecting {
        let vessel = Arc::clone(&self.0);
        Box::pin(async move {
            let mut world = vessel.world();
            let lost = world.weather.lost;
            let World { net, cut, now, .. } = &mut *world;
            if cut[vessel.index] > *now || !is_streamed(to) || net.rng.below(1_000) < lost {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            let id = net.all.len() as u64;
            net.all.insert(
                id,
                Wire {
                    vessel: (vessel.index, vessel.life),
                    carrier: to,
                    open: true,
                    rest: Vec::new(),
                    full_until: Duration::ZERO,
                    arrived: VecDeque::new(),
                    last: BTreeMap::new(),
                    reader: None,
                    writer: None,
                },
            );
            world.note(format_args!(
                "node {} is connected to {to}: connection {id}",
                vessel.index
            ));
            drop(world);
            let stream: Box<dyn ByteStream> = Box::new(NodeStream { vessel, id });
            Ok(stream)
        })
    }

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<Result<(Box<dyn ByteStream>, SocketAddr)>> {
        Poll::Pending
    }
}

#[derive(Debug)]
struct NodeStream {
    vessel: Arc<Vessel>,
    id: u64,
}

impl NodeStream {
    fn wire<T>(&self, with: impl FnOnce(&mut Wire, Duration) -> T) -> T {
        let mut world = self.vessel.world();
        let now = world.now;
        with(world.net.all.get_mut(&self.id).unwrap(), now)
    }
}

impl Drop for NodeStream {
    fn drop(&mut self) {
        self.wire(|wire, _| wire.open = false);
    }
}

impl ByteStream for NodeStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.wire(|wire, _| {
            if !wire.open || !wire.arrived.is_empty() {
                return Poll::Ready(Ok(()));
            }
            wire.reader = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.wire(|wire, now| {
            if !wire.open || wire.full_until <= now {
                return Poll::Ready(Ok(()));
            }
            wire.writer = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.wire(|wire, _| match wire.arrived.pop_front() {
            Some(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            None if !wire.open => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        })
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        let taken = {
            let mut world = self.vessel.world();
            let World { net, now, .. } = &mut *world;
            let Net { rng, all } = net;
            let wire = all.get_mut(&self.id).unwrap();
            if !wire.open {
                return Err(ErrorKind::ConnectionReset.into());
            }
            if wire.full_until > *now {
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = match rng.percent(10) {
                true => 1 + rng.below(bytes.len()),
                false => bytes.len(),
            };
            if taken < bytes.len() {
                // Sometimes for longer than a permit lives.
                let longest = if rng.percent(80) { 60 } else { 2_500 };
                wire.full_until = *now + rng.millis(1, longest);
            }
            wire.rest.extend_from_slice(&bytes[..taken]);
            taken
        };
        while let Some(whole) = self.wire(|wire, _| next_message(&mut wire.rest)) {
            let to = self.wire(|wire, _| wire.carrier);
            // Whole by now: this is where an INVITE counts as sent, and where a node may die or stand still.
            NodeSocket(Arc::clone(&self.vessel)).leave_by(&whole, to, Some(self.id));
        }
        Ok(taken)
    }

    fn all_left(&self) -> Result<()> {
        self.wire(|wire, now| match wire.full_until <= now {
            true => Ok(()),
            false => Err(Error::from(ErrorKind::WouldBlock)),
        })
    }

    /// What has left arrives in this network, or the connection breaks.
    fn unacknowledged(&self) -> Result<u64> {
        Ok(0)
    }

    fn reset_when_dropped(&self, _: bool) -> Result<()> {
        Ok(())
    }

    fn reset(self: Box<Self>) {
        self.wire(|wire, _| wire.open = false);
    }
}

/// The first message, if all of it is there; pings are swallowed, for a carrier that answers none.
fn next_message(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    while bytes.starts_with(b"\r\n") {
        bytes.drain(..2);
    }
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.unwrap().parse().unwrap();
    if bytes.len() < head + length {
        return None;
    }
    let rest = bytes.split_off(head + length);
    Some(std::mem::replace(bytes, rest))
}
