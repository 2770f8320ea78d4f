//! The endpoint as its users see it: a handle that admits calls and hands them to the task in `transport`.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use super::api::{Control, Dialog, EndedBy, Ending, Happened, Heard, Invite, Rang, SipEvent};
use super::call::Limits;
use super::config::{SipConfig, Trunk};
use super::desk::Desk;
use super::dns::{Found, Resolver, Unanswered};
use super::links::Links;
use super::locked::Warrant;
use super::message::{Identity, Local, Numbers, Vouched, Whom};
use super::outcome::retry_after;
use super::peer::Hop;
use super::request::{self, NewRequest, Unheard};
use super::sdp::{Origin, held_offer};
use super::socket::Datagrams;
use super::stream::{Streams, Tcp};
use super::target::Destination;
use super::token::random;
use super::transaction::Timers;
use super::transport::{Inboxes, Task};
use super::wire::{Message, Start};
use crate::clock::Clock;
use crate::domain::call::{Outcome, Retry};
use crate::meter::SipStanding;
use crate::policy::Permit;
use crate::vital::vital;

/// Admitted calls on their way to the task.
const NEW_CALLS_MAX: usize = 1_024;
/// Requests outside of calls on their way to the task.
const NEW_REQUESTS_MAX: usize = 64;
/// Events of one call that its owner has not read; the ending has a place of its own.
const EVENTS_MAX: usize = 64;
/// Controls of one call on their way.
const CONTROLS_MAX: usize = 4;
/// Ended calls that still answer stragglers, beside the active ones.
const LINGERING_MAX: usize = 50_000;

/// The node's one SIP endpoint; a handle to its task, which ends with its last handle and last call.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    calls: mpsc::Sender<Box<NewCall>>,
    requests: mpsc::Sender<NewRequest>,
}

/// What a server answered to a request outside of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Code of the final response.
    pub code: u16,
    /// How long it asked us to stay away.
    pub retry_after: Option<Duration>,
}

impl Answered {
    pub(super) fn of(message: &Message) -> Self {
        let code = match message.start {
            Start::Response { code, .. } => code,
            Start::Request { .. } => 0,
        };
        let retry_after = retry_after(message);
        Self { code, retry_after }
    }
}

/// What the handles and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    local_addr: SocketAddr,
    local: Arc<Local>,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    calls_max: usize,
    config: SipConfig,
    /// Made when the first name is looked up: a node without names needs no name servers.
    names: OnceLock<Resolver>,
    pub(super) active: AtomicUsize,
    pub(super) lingering: AtomicUsize,
    /// Ended calls of which the far end may not know, or that may still ring.
    unsettled: watch::Sender<usize>,
    pub(super) refused_calls: AtomicU64,
    /// Entries of the task's own tables, as it saw them last.
    pub(super) tables: Tables,
}

/// How many entries the task's tables have.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) timers: AtomicUsize,
    pub(super) requests: AtomicUsize,
    pub(super) waiting: AtomicUsize,
}

/// A call that was admitted.
#[derive(Debug)]
pub(super) struct NewCall {
    pub(super) id: Identity,
    pub(super) offer: Vec<u8>,
    pub(super) warrant: Warrant,
    pub(super) events: mpsc::Sender<Happened>,
    /// The place of the ending, so that it is never left out.
    pub(super) last: mpsc::OwnedPermit<Happened>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) rang: watch::Sender<Heard>,
}

impl Endpoint {
    /// Binds the socket and starts the task.
    pub async fn bind(config: &SipConfig, clock: Clock) -> std::io::Result<Self> {
        let problems = config.problems();
        if !problems.is_empty() {
            let text = format!("[sip] {}", problems.join("; "));
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
        }
        let (socket, streams) = sockets(config.listen).await?;
        // The first non-blocking write needs to know that the socket takes one.
        socket.writable().await?;
        Self::over(Box::new(socket), Box::new(streams), config, clock)
    }

    /// Starts the task over a network that is there already.
    pub fn over(
        socket: Box<dyn Datagrams>,
        streams: Box<dyn Streams>,
        config: &SipConfig,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let local_addr = socket.local_addr()?;
        let local = Arc::new(local(config, local_addr));
        let shared = Arc::new(Shared {
            local_addr,
            local,
            clock: clock.clone(),
            limits: Limits {
                timers: Timers::of(config),
                talk_max: Duration::from_secs(config.call_seconds_max),
            },
            calls_max: config.calls_max,
            config: config.clone(),
            names: OnceLock::new(),
            active: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
            unsettled: watch::Sender::new(0),
            refused_calls: AtomicU64::new(0),
            tables: Tables::default(),
        });
        let (calls, new_calls) = mpsc::channel(NEW_CALLS_MAX);
        let (requests, new_requests) = mpsc::channel(NEW_REQUESTS_MAX);
        let inbox = Inboxes {
            calls: new_calls,
            requests: new_requests,
        };
        let task = Task::new(socket, Links::new(streams), clock, Arc::clone(&shared));
        tokio::spawn(vital("sip", task.run(inbox)));
        Ok(Self {
            shared,
            calls,
            requests,
        })
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
        let shared = &self.shared;
        let Some(from) = permit.from() else {
            // Calls without a caller's number are not placed (47 CFR 64.1601(e)).
            let why = "no number to show";
            return over(shared.refused(Outcome::IdentityRejected, Retry::Fix, why));
        };
        let mut id = Identity {
            call_id: invite.sip_call_id,
            from_tag: random(),
            whom: Whom::Number(Numbers {
                to: permit.to(),
                from,
                vouched: Vouched::by(invite.vouch),
            }),
            trunk: invite.trunk,
            local: Arc::clone(&shared.local),
        };
        if let Err(why) = id.vouch(permit.read().wall) {
            return over(shared.over(Ending::unsigned(why)));
        }
        self.begin(id, invite.sdp_offer, Warrant::Permit(permit))
    }

    /// Calls one of our own agents, whom no permit is needed for. Their phone is left on hold when it answers, until it is
    /// offered something else ([`super::bridge`]).
    #[must_use]
    pub fn call_desk(&self, desk: Desk, sip_call_id: String) -> Dialog {
        let desk = Arc::new(desk);
        let id = Identity {
            call_id: sip_call_id,
            from_tag: random(),
            whom: Whom::Desk(Arc::clone(&desk)),
            trunk: Arc::clone(&desk.way),
            local: Arc::clone(&self.shared.local),
        };
        let offer = match desk.offerless {
            true => Vec::new(),
            false => held_offer(&id.origin()),
        };
        self.begin(id, offer, Warrant::Desk(desk))
    }

    /// By whom the sessions of the call with this Call-ID are described, where we say something ourselves.
    #[must_use]
    pub fn origin(&self, sip_call_id: &str) -> Origin {
        self.shared.local.origin(sip_call_id)
    }

    fn begin(&self, id: Identity, offer: Vec<u8>, warrant: Warrant) -> Dialog {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (control, controls) = mpsc::channel(CONTROLS_MAX);
        let (hears, rang) = Rang::unheard();
        let dialog = Dialog {
            events: inbox,
            control,
            rang,
        };
        // The channel is new and empty: there is a place.
        let Ok(last) = events.clone().try_reserve_owned() else {
            return dialog;
        };
        if !self.admit() {
            last.send(self.shared.full());
            return dialog;
        }
        let call = NewCall {
            id,
            offer,
            warrant,
            events,
            last,
            control: controls,
            rang: hears,
        };
        if let Err(error) = self.calls.try_send(Box::new(call)) {
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            error.into_inner().last.send(self.shared.full());
        }
        dialog
    }

    /// Asks the trunk's target for a sign of life, and waits so long for it, at most 64 T1.
    pub async fn options(&self, trunk: &Trunk, patience: Duration) -> Result<Answered, Unheard> {
        let (branch, bytes, to) = request::options(trunk, &self.shared.local);
        let heard = self.ask("OPTIONS", (branch, bytes, to), patience).await?;
        Ok(Answered::of(&heard))
    }

    /// Sends a request outside of calls and waits for its answer.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        (branch, bytes, to): (String, Vec<u8>, Hop),
        patience: Duration,
    ) -> Result<Box<Message>, Unheard> {
        let (tell, heard) = oneshot::channel();
        let new = NewRequest {
            method,
            branch,
            bytes,
            to,
            patience,
            heard: tell,
        };
        let sent = self.requests.send(new).await;
        sent.map_err(|_| Unheard::NotSent)?;
        heard.await.unwrap_or(Err(Unheard::NotSent))
    }

    pub(super) fn local(&self) -> &Local {
        &self.shared.local
    }

    /// What a destination stands for; `tls` tells whether that can be used.
    pub async fn find(&self, destination: &Destination, tls: bool) -> Result<Found, Unanswered> {
        let names = &self.shared.names;
        let resolver = match names.get() {
            Some(resolver) => resolver,
            None => {
                let resolver = Resolver::new(&self.shared.config)?;
                names.get_or_init(|| resolver)
            }
        };
        resolver.find(destination, tls).await
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

    /// Ended calls of which the far end may not know yet, or that may still ring there.
    #[must_use]
    pub fn unsettled_calls(&self) -> usize {
        *self.shared.unsettled.borrow()
    }

    /// Waits until there are none: each BYE is answered and each INVITE has its final response, or they have timed out.
    pub async fn settled(&self) {
        let mut unsettled = self.shared.unsettled.subscribe();
        let _ = unsettled.wait_for(|calls| *calls == 0).await;
    }

    /// How long a far end that says nothing is waited for: 64 T1 (RFC 3261 sections 9.1 and 17.1).
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.shared.limits.timers.long()
    }

    /// Inbound calls that were refused since the start; none is ever taken.
    #[must_use]
    pub fn refused_calls(&self) -> u64 {
        self.shared.refused_calls.load(Ordering::Relaxed)
    }

    /// Tells how many entries the endpoint's tables have, for as long as anybody asks.
    pub fn standing(&self) -> impl Fn() -> SipStanding + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let of = |entries: &AtomicUsize| entries.load(Ordering::Relaxed);
            SipStanding {
                active: of(&shared.active),
                lingering: of(&shared.lingering),
                unsettled: *shared.unsettled.borrow(),
                timers: of(&shared.tables.timers),
                requests: of(&shared.tables.requests),
                waiting: of(&shared.tables.waiting),
            }
        }
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

impl Shared {
    /// The ending of a call that was not taken.
    pub(super) fn refused(&self, outcome: Outcome, retry: Retry, reason: &str) -> Happened {
        let ending = Ending {
            reason: Some(reason.to_owned()),
            ..Ending::plain(outcome, retry, EndedBy::Us)
        };
        self.over(ending)
    }

    fn over(&self, ending: Ending) -> Happened {
        Happened {
            at: self.clock.read(),
            event: SipEvent::Ended(ending),
        }
    }

    /// One more, or one less.
    pub(super) fn count_unsettled(&self, more: bool) {
        self.unsettled.send_modify(|calls| {
            *calls = match more {
                true => calls.saturating_add(1),
                false => calls.saturating_sub(1),
            };
        });
    }

    fn full(&self) -> Happened {
        self.refused(Outcome::Congestion, Retry::Soon, "the endpoint is full")
    }
}

/// A call that is over before it began.
fn over(ending: Happened) -> Dialog {
    let (events, inbox) = mpsc::channel(1);
    // The channel is new and empty: there is a place.
    let _ = events.try_send(ending);
    Dialog {
        events: inbox,
        control: mpsc::channel(1).0,
        rang: Rang::unheard().1,
    }
}

/// One port for both. Where the system chooses it, it may choose one that is free for datagrams alone; so it is asked again.
async fn sockets(listen: SocketAddr) -> std::io::Result<(UdpSocket, Tcp)> {
    let mut tries_left = if listen.port() == 0 { 16 } else { 0 };
    loop {
        let socket = UdpSocket::bind(listen).await?;
        match Tcp::listen(socket.local_addr()?).await {
            Ok(streams) => return Ok((socket, streams)),
            Err(error) if tries_left == 0 => return Err(error),
            Err(_) => tries_left -= 1,
        }
    }
}

/// What stands in Via and Contact.
fn local(config: &SipConfig, bound: SocketAddr) -> Local {
    let host = match &config.advertised_host {
        Some(host) => host.clone(),
        None => bound.ip().to_string(),
    };
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => host,
    };
    Local::new(&host, bound.port())
}

#[cfg(test)]
mod tests;
