//! One connection: being made, up, or resting after it could not be made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConnection;

use super::{CONNECT_MAX, IDLE_MAX, SOON};
use crate::domain::time::Mono;
use crate::sip::framing::{Frame, Framer};
use crate::sip::peer::Peer;
use crate::sip::session::Session;
use crate::sip::stream::Connecting;
use crate::sip::target::Target;

/// Messages that wait for a connection; those beyond are lost, as the network may lose them.
const BACKLOG_MAX: usize = 1_024;
/// Bytes of them: a far end that asks and hears no answer must not make us hold as much as it likes.
const BACKLOG_BYTES_MAX: usize = 1024 * 1024;
/// What has waited for longer is of no use to its transaction: 64 times the usual T1.
const BACKLOG_AGE_MAX: Duration = Duration::from_secs(32);
/// How long a far end may take to send the rest of a message.
const HALF_MESSAGE_MAX: Duration = Duration::from_secs(10);
/// How long a far end may take to answer a ping: RFC 5626 section 4.4.1.
const PONG_MAX: Duration = Duration::from_secs(10);
/// Reads of one connection before others get their turn.
const READS_MAX: usize = 16;

/// A new call does not wait for the end of a pause that is older than this.
const PAUSE_UNBROKEN: Duration = Duration::from_secs(1);

/// How far a connection is.
pub(super) enum State {
    /// Being made; with what its handshake will need.
    Connecting(Connecting, Option<Box<ClientConnection>>),
    /// Made; its handshake may not be over.
    Up(Session),
    /// It could not be made, and nobody has looked at that yet.
    Refused(Error),
    /// There is none.
    Resting(Rest),
}

/// A pause after a connection ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// Since when.
    pub(super) since: Mono,
    /// When it is to be asked whether a call wants it again; nothing if none did.
    pub(super) until: Option<Mono>,
    /// Why it ended.
    pub(super) why: ErrorKind,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting(..) => "Connecting",
            Self::Up(_) => "Up",
            Self::Refused(_) => "Refused",
            Self::Resting(_) => "Resting",
        })
    }
}

/// A message on its way, and since when.
#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    taken: usize,
    at: Mono,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) target: Target,
    /// Nothing for one that the far end made.
    pub(super) peer: Option<Arc<Peer>>,
    pub(super) state: State,
    /// Since when messages can pass.
    pub(super) up_since: Option<Mono>,
    /// How often in a row it could not be made.
    pub(super) failures: u32,
    /// A message came by it.
    carried: bool,
    /// When a message last passed.
    pub(super) used: Mono,
    /// Calls whose INVITE waits.
    pub(super) waiting: BTreeSet<u64>,
    backlog: VecDeque<Queued>,
    backlog_bytes: usize,
    /// The call whose INVITE is being written, and how much of it was taken.
    held: Option<(u64, usize)>,
    /// INVITEs that have left and of which nothing was heard: after how many bytes of the connection each ended.
    unheard: BTreeMap<u64, u64>,
    /// It is reset if it is dropped, or the process killed.
    reset_when_dropped: bool,
    framer: Framer,
    /// Why nothing that follows can be told apart; what came before is answered first.
    broken: Option<&'static str>,
    half_since: Option<Mono>,
    ping_at: Option<Mono>,
    pong_by: Option<Mono>,
    /// The far end has answered a ping.
    pongs: bool,
    /// It has to be up by then.
    ready_by: Option<Mono>,
}

impl Link {
    pub(super) fn new(target: Target, peer: Option<Arc<Peer>>, state: State, now: Mono) -> Self {
        let mut link = Self {
            target,
            peer,
            state,
            up_since: None,
            failures: 0,
            carried: false,
            used: now,
            waiting: BTreeSet::new(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            held: None,
            unheard: BTreeMap::new(),
            reset_when_dropped: false,
            framer: Framer::default(),
            broken: None,
            half_since: None,
            ping_at: None,
            pong_by: None,
            pongs: false,
            ready_by: None,
        };
        link.begin(now);
        link
    }

    /// A state that was just entered.
    pub(super) fn begin(&mut self, now: Mono) {
        self.ready_by = self.is_connecting().then(|| now.plus(CONNECT_MAX));
    }

    /// What belonged to the connection that is over. Messages that were not taken whole go by the next.
    pub(super) fn forget_session(&mut self) {
        (self.framer, self.broken) = (Framer::default(), None);
        (self.held, self.half_since) = (None, None);
        (self.ping_at, self.pong_by, self.pongs) = (None, None, false);
        self.unheard = BTreeMap::new();
        (self.reset_when_dropped, self.carried) = (false, false);
        for queued in &mut self.backlog {
            queued.taken = 0;
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        match &self.state {
            State::Connecting(..) | State::Refused(_) => true,
            State::Up(session) => !session.is_ready(),
            State::Resting(_) => false,
        }
    }

    /// Whether it was of use: a far end that closes it after each call is not one that cannot be reached.
    pub(super) fn was_of_use(&self, now: Mono) -> bool {
        let long = |since| now.since(since) >= SOON;
        self.carried || self.up_since.is_some_and(long)
    }

    /// Whether something waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || !self.backlog.is_empty()
    }

    /// Whether one that rests may be made anew for somebody who wants it now.
    pub(super) fn may_be_made(&self, now: Mono) -> bool {
        match self.state {
            State::Resting(rest) => {
                let over = rest.until.is_some_and(|until| until <= now);
                over || self.failures == 0 || now.since(rest.since) >= PAUSE_UNBROKEN
            }
            _ => false,
        }
    }

    /// Half an INVITE is out.
    pub(super) fn holds_half(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn is_held_by(&self, key: u64) -> bool {
        self.held.is_some_and(|(holder, _)| holder == key)
    }

    /// Ready when [`Link::work`] has something to do.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Connecting(connecting, tls) => match connecting.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(stream)) => {
                    let tls = tls.take().map(|tls| *tls);
                    self.state = State::Up(Session::new(stream, tls));
                    Poll::Ready(())
                }
                Poll::Ready(Err(error)) => {
                    self.state = State::Refused(error);
                    Poll::Ready(())
                }
            },
            State::Up(_) if self.broken.is_some() => Poll::Ready(()),
            State::Up(session) => {
                let waits = !self.backlog.is_empty() || !self.waiting.is_empty();
                session.poll(waits && session.is_ready(), context)
            }
            State::Refused(_) => Poll::Ready(()),
            State::Resting(_) => Poll::Pending,
        }
    }

    /// What is open, with its handshake over.
    fn session(&mut self) -> Result<&mut Session> {
        match &mut self.state {
            State::Up(session) if session.is_ready() => Ok(session),
            State::Up(_) | State::Connecting(..) | State::Refused(_) => {
                Err(ErrorKind::WouldBlock.into())
            }
            State::Resting(rest) => Err(rest.why.into()),
        }
    }

    /// Takes a message, to be sent in its turn.
    pub(super) fn send(&mut self, bytes: Vec<u8>, now: Mono) -> Result<()> {
        let bytes_then = self.backlog_bytes.saturating_add(bytes.len());
        if self.backlog.len() >= BACKLOG_MAX || bytes_then > BACKLOG_BYTES_MAX {
            tracing::debug!("too many messages wait for a connection; left one out");
            return Ok(());
        }
        self.used = now;
        self.backlog_bytes = bytes_then;
        let taken = 0;
        self.backlog.push_back(Queued {
            bytes,
            taken,
            at: now,
        });
        match self.state {
            // They go when it is up again.
            State::Resting(_) => Ok(()),
            _ => self.flush(now),
        }
    }

    /// Writes what waits, unless half an INVITE is out: nothing may come between its halves.
    fn flush(&mut self, now: Mono) -> Result<()> {
        if self.held.is_some() {
            return Err(ErrorKind::WouldBlock.into());
        }
        while let Some(mut queued) = self.backlog.pop_front() {
            self.backlog_bytes = self.backlog_bytes.saturating_sub(queued.bytes.len());
            if queued.taken == 0 && now.since(queued.at) > BACKLOG_AGE_MAX {
                continue;
            }
            let told = match self.session() {
                Ok(session) => write_all(session, &queued.bytes, &mut queued.taken),
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                self.backlog_bytes = self.backlog_bytes.saturating_add(queued.bytes.len());
                self.backlog.push_front(queued);
                return Err(error);
            }
        }
        self.session()?.flush()
    }

    /// Nothing older than the INVITE of this call is on this side of the network.
    pub(super) fn prepare(&mut self, key: u64, now: Mono) -> Result<()> {
        self.used = now;
        if self.is_held_by(key) {
            return Ok(());
        }
        self.flush(now)?;
        self.session()?.all_left()
    }

    /// The INVITE of the call that it was prepared for, from where the last write of it ended.
    pub(super) fn write_invite(&mut self, key: u64, bytes: &[u8]) -> Result<usize> {
        let mut taken = match self.held {
            None => 0,
            Some((holder, taken)) if holder == key => taken,
            Some(_) => return Err(ErrorKind::WouldBlock.into()),
        };
        // Before the first byte: were the process killed now, the system would deliver what it holds of it, and repeat it.
        self.reset_when_dropped(true)?;
        let session = self.session()?;
        let written = write_all(session, bytes, &mut taken).and_then(|()| session.all_left());
        let given = session.given();
        self.held = (taken > 0 && written.is_err()).then_some((key, taken));
        written.map(|()| {
            self.unheard.insert(key, given);
            bytes.len()
        })
    }

    /// Something was heard of this call's INVITE, so that it has arrived; or nothing is to be known of it any more.
    pub(super) fn forget_invite(&mut self, key: u64) {
        if self.unheard.remove(&key).is_some() && self.unheard.is_empty() && self.held.is_none() {
            // In vain if it is over, and then all the same.
            let _ = self.reset_when_dropped(false);
        }
    }

    /// Whether this call's INVITE has left and may be on its way still: what the network loses of it is sent again.
    pub(super) fn may_repeat(&self, key: u64) -> bool {
        match (&self.state, self.unheard.get(&key)) {
            (State::Up(session), Some(given)) => !session.has_arrived(*given),
            _ => false,
        }
    }

    fn reset_when_dropped(&mut self, reset: bool) -> Result<()> {
        if self.reset_when_dropped != reset {
            self.session()?.reset_when_dropped(reset)?;
            self.reset_when_dropped = reset;
        }
        Ok(())
    }

    /// Reads and writes what can be.
    pub(super) fn work(
        &mut self,
        buffer: &mut [u8],
        now: Mono,
        mut message: impl FnMut(Vec<u8>),
    ) -> Result<()> {
        if let State::Refused(why) = &mut self.state {
            return Err(std::mem::replace(why, ErrorKind::NotConnected.into()));
        }
        if let Some(why) = self.broken.take() {
            return Err(Error::new(ErrorKind::InvalidData, why));
        }
        for _ in 0..READS_MAX {
            if self.broken.is_some() {
                break;
            }
            let State::Up(session) = &mut self.state else {
                return Ok(());
            };
            let read = session.read(buffer);
            if session.is_ready() && self.up_since.is_none() {
                self.is_up(now);
            }
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.hear(bytes, now, &mut message)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.flush(now)
    }

    fn is_up(&mut self, now: Mono) {
        self.up_since = Some(now);
        self.ready_by = None;
        let keep_alive = self.peer.as_ref().and_then(|peer| peer.keep_alive);
        self.ping_at = keep_alive.map(|pause| now.plus(pause));
    }

    fn hear(&mut self, bytes: &[u8], now: Mono, message: &mut impl FnMut(Vec<u8>)) -> Result<()> {
        // Whatever it says, it lives.
        self.pong_by = None;
        self.framer.push(bytes);
        loop {
            match self.framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    self.used = now;
                    self.carried = true;
                    self.half_since = None;
                    message(bytes);
                }
                Ok(Some(Frame::Ping)) => self.send(b"\r\n".to_vec(), now).or_else(unless_broken)?,
                // Whoever answers is there, and may have calls with us that say nothing for long.
                Ok(Some(Frame::Pong)) => (self.used, self.pongs) = (now, true),
                Ok(None) => break,
                Err(why) => {
                    self.broken = Some(why);
                    break;
                }
            }
        }
        match self.framer.is_within() {
            true => drop(self.half_since.get_or_insert(now)),
            false => self.half_since = None,
        }
        Ok(())
    }

    /// When something is next due.
    pub(super) fn wake(&self) -> Mono {
        let half = self.half_since.map(|since| since.plus(HALF_MESSAGE_MAX));
        let rested = match &self.state {
            State::Resting(rest) => rest.until,
            _ => None,
        };
        [half, rested, self.ready_by, self.ping_at, self.pong_by]
            .into_iter()
            .flatten()
            .fold(self.used.plus(IDLE_MAX), Mono::min)
    }

    /// Nobody has used it for long, and nothing waits for it.
    pub(super) fn is_idle(&self, now: Mono) -> bool {
        now >= self.used.plus(IDLE_MAX)
    }

    /// Does what is due; an error ends the connection.
    pub(super) fn tick(&mut self, now: Mono) -> Result<()> {
        let is_over = |until: Option<Mono>| until.is_some_and(|until| until <= now);
        if is_over(self.ready_by) || is_over(self.pong_by) {
            return Err(ErrorKind::TimedOut.into());
        }
        if is_over(self.half_since.map(|since| since.plus(HALF_MESSAGE_MAX))) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "half a message, and no more",
            ));
        }
        if is_over(self.ping_at) {
            let keep_alive = self.peer.as_ref().and_then(|peer| peer.keep_alive);
            self.ping_at = keep_alive.map(|pause| now.plus(pause));
            // Not every far end knows of pings, and who has answered none need not answer this. Of those that do, the first that
            // was not answered counts, however often it is asked.
            if self.pongs {
                self.pong_by.get_or_insert(now.plus(PONG_MAX));
            }
            self.framer.forget_line_end();
            let used = self.used;
            let told = self.send(b"\r\n\r\n".to_vec(), now);
            // A sign of life is no use.
            self.used = used;
            return told;
        }
        Ok(())
    }

    /// Ends it so that nothing more leaves.
    pub(super) fn reset(&mut self) {
        let over = State::Refused(ErrorKind::TimedOut.into());
        if let State::Up(session) = std::mem::replace(&mut self.state, over) {
            session.reset();
        }
    }

    /// Ends it in good form.
    pub(super) fn close(self) {
        if let State::Up(session) = self.state {
            session.close();
        }
    }
}

fn write_all(session: &mut Session, bytes: &[u8], taken: &mut usize) -> Result<()> {
    while let Some(rest) = bytes.get(*taken..).filter(|rest| !rest.is_empty()) {
        *taken += session.write(rest)?;
    }
    Ok(())
}

fn unless_broken(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock => Ok(()),
        _ => Err(error),
    }
}
