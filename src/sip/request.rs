//! Requests outside any call: OPTIONS, which asks a server for a sign of life, and REGISTER. Each is a client transaction of RFC
//! 3261 section 17.1.2: pure, told the time; here is also the table of those that await their answer.
//!
//! A transaction ends with its final response. The Completed state of the RFC is not kept: it would take in repetitions of the
//! response for timer K, and a response that belongs to no transaction is dropped here anyway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::config::Trunk;
use super::head::Header;
use super::message::{Local, Outside};
use super::peer::Hop;
use super::token::{Tokens, random};
use super::transaction::{Repeated, Tick, Timers};
use super::wire::{Message, Start};
use crate::domain::time::Mono;

/// Requests that await their answer at a time: a few for each target of each trunk.
const REQUESTS_MAX: usize = 1_024;

/// Why a request outside a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// Nobody answered in time.
    TimedOut,
    /// The connection broke.
    Lost,
    /// Too many await theirs, or the endpoint is gone.
    NotSent,
}

/// What came of a request.
pub(super) type Heard = Result<Box<Message>, Unheard>;

/// What happens to a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    /// A response with its branch.
    Response(&'a Message),
    /// What was sent this way may not have arrived.
    Lost(&'a Hop),
    /// Time has passed.
    Tick,
}

/// What a transaction asks for.
#[derive(Debug)]
pub(super) enum Output {
    Nothing,
    /// The same bytes once more.
    Again,
    /// It has ended.
    Over(Heard),
}

/// One client transaction.
#[derive(Debug)]
struct Transaction {
    /// A response with our branch that answers another method is none to this (RFC 3261 section 17.1.3).
    method: &'static str,
    repeated: Repeated,
}

impl Transaction {
    fn step(&mut self, input: Input<'_>, now: Mono) -> Output {
        match input {
            Input::Response(message) if message.method == self.method => match message.start {
                Start::Response { code: 100..200, .. } => {
                    self.repeated.slow_down();
                    Output::Nothing
                }
                Start::Response { .. } => Output::Over(Ok(Box::new(message.clone()))),
                Start::Request { .. } => Output::Nothing,
            },
            Input::Lost(hop) if *hop == self.repeated.to => Output::Over(Err(Unheard::Lost)),
            Input::Response(_) | Input::Lost(_) => Output::Nothing,
            Input::Tick => match self.repeated.tick(now) {
                Tick::Nothing => Output::Nothing,
                Tick::Again => Output::Again,
                Tick::TimedOut => Output::Over(Err(Unheard::TimedOut)),
            },
        }
    }
}

/// A request on its way to the endpoint's task.
#[derive(Debug)]
pub(super) struct NewRequest {
    pub(super) method: &'static str,
    pub(super) branch: String,
    pub(super) bytes: Vec<u8>,
    pub(super) to: Hop,
    /// How long its answer is awaited, at most 64 T1 (timer F).
    pub(super) patience: Duration,
    pub(super) heard: oneshot::Sender<Heard>,
}

#[derive(Debug)]
struct Slot {
    transaction: Transaction,
    heard: oneshot::Sender<Heard>,
}

/// Those that await their answer, by branch.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<String, Slot>);

impl Requests {
    /// Takes one on; what is to be sent, if there is room.
    pub(super) fn begin(
        &mut self,
        new: NewRequest,
        timers: Timers,
        now: Mono,
    ) -> Option<(Vec<u8>, Hop)> {
        if self.0.len() >= REQUESTS_MAX {
            let _ = new.heard.send(Err(Unheard::NotSent));
            return None;
        }
        let (bytes, to) = (new.bytes.clone(), new.to.clone());
        let repeated = Repeated::sent(new.bytes, new.to, timers, now).within(new.patience, now);
        let slot = Slot {
            transaction: Transaction {
                method: new.method,
                repeated,
            },
            heard: new.heard,
        };
        self.0.insert(new.branch, slot);
        Some((bytes, to))
    }

    /// Takes a response to one of them; tells whether it was.
    pub(super) fn hear(&mut self, message: &Message, now: Mono) -> bool {
        let branch = &message.via.branch;
        let is_response = matches!(message.start, Start::Response { .. });
        let Some(slot) = self.0.get_mut(branch).filter(|_| is_response) else {
            return false;
        };
        let told = slot.transaction.step(Input::Response(message), now);
        if let Output::Over(heard) = told
            && let Some(slot) = self.0.remove(branch)
        {
            let _ = slot.heard.send(heard);
        }
        true
    }

    /// A connection broke.
    pub(super) fn lost(&mut self, hop: &Hop, now: Mono) {
        self.all(Input::Lost(hop), now);
    }

    /// How many await their answer.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When [`Requests::tick`] is next due.
    pub(super) fn wake(&self) -> Option<Mono> {
        let wakes = self.0.values();
        wakes.map(|slot| slot.transaction.repeated.wake()).min()
    }

    /// What is due to be sent again.
    pub(super) fn tick(&mut self, now: Mono) -> Vec<(Vec<u8>, Hop)> {
        self.all(Input::Tick, now)
    }

    fn all(&mut self, input: Input<'_>, now: Mono) -> Vec<(Vec<u8>, Hop)> {
        let (mut again, mut over) = (Vec::new(), Vec::new());
        for (branch, slot) in &mut self.0 {
            match slot.transaction.step(input, now) {
                Output::Nothing => {}
                Output::Again => {
                    let repeated = &slot.transaction.repeated;
                    again.push((repeated.bytes.clone(), repeated.to.clone()));
                }
                Output::Over(heard) => over.push((branch.clone(), heard)),
            }
        }
        for (branch, heard) in over {
            if let Some(slot) = self.0.remove(&branch) {
                // Whoever asked may have gone away.
                let _ = slot.heard.send(heard);
            }
        }
        again
    }
}

/// The OPTIONS that asks a trunk's target for a sign of life (RFC 3261 section 11). Its branch comes first.
pub(super) fn options(trunk: &Trunk, local: &Arc<Local>) -> (String, Vec<u8>, Hop) {
    let branch = Tokens::System.branch();
    let (uri, hop) = (trunk.uri_of(""), trunk.hop());
    let outside = Outside {
        method: "OPTIONS",
        uri: &uri,
        from: &local.uri(),
        to: &uri,
        tag: &random(),
        call_id: &random(),
        cseq: 1,
    };
    let accept = Header::new("Accept", super::message::SDP);
    let extra = [local.contact(hop.transport()), accept];
    let bytes = local.outside(&outside, (hop.transport(), &branch), &extra);
    (branch, bytes, hop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::config::SipConfig;
    use crate::sip::wire::parse;

    const UDP: [u8; 4] = [192, 0, 2, 1];

    fn seconds(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn begun(to: Hop, patience: u64) -> (Requests, oneshot::Receiver<Heard>) {
        let (mut requests, (tell, heard)) = (Requests::default(), oneshot::channel());
        let new = NewRequest {
            method: "OPTIONS",
            branch: "z9hG4bK1".to_owned(),
            bytes: vec![1],
            to,
            patience: Duration::from_secs(patience),
            heard: tell,
        };
        let timers = Timers::of(&SipConfig::default());
        assert!(requests.begin(new, timers, Mono::default()).is_some());
        (requests, heard)
    }

    fn response(code: u16, branch: &str, method: &str) -> Message {
        parse(
            format!(
                "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch}\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap()
    }

    /// When it is sent again, in milliseconds, until it is given up.
    fn schedule(requests: &mut Requests) -> Vec<u128> {
        let mut at = Vec::new();
        while let Some(wake) = requests.wake() {
            at.extend(requests.tick(wake).iter().map(|_| wake.0.as_millis()));
        }
        at
    }

    #[test]
    fn silence_is_asked_again_at_growing_intervals_and_given_up() {
        let (mut requests, mut heard) = begun(Hop::Udp((UDP, 5060).into()), 4);
        assert_eq!(schedule(&mut requests), [500, 1_500, 3_500]);
        assert_eq!(heard.try_recv().unwrap().unwrap_err(), Unheard::TimedOut);
        // However long somebody would wait: timer F.
        let (mut requests, _heard) = begun(Hop::Udp((UDP, 5060).into()), 1_000);
        assert_eq!(schedule(&mut requests).last(), Some(&31_500));
        // A stream repeats by itself.
        let target = crate::sip::Target {
            transport: crate::sip::Transport::Tcp,
            addr: (UDP, 5060).into(),
        };
        let hop = Hop::Stream(target, Arc::default());
        let (mut requests, mut heard) = begun(hop.clone(), 4);
        assert_eq!(requests.wake(), Some(seconds(4)));
        requests.lost(&Hop::Stream(target, Arc::default()), seconds(1));
        assert!(requests.wake().is_some(), "another trunk's connection");
        requests.lost(&hop, seconds(1));
        assert_eq!(heard.try_recv().unwrap().unwrap_err(), Unheard::Lost);
    }

    #[test]
    fn the_first_final_response_ends_it_and_a_provisional_one_slows_it_down() {
        let (mut requests, mut heard) = begun(Hop::Udp((UDP, 5060).into()), 40);
        let mut hear =
            |code, branch, method| requests.hear(&response(code, branch, method), seconds(0));
        assert!(!hear(200, "z9hG4bK2", "OPTIONS"), "somebody else's");
        assert!(hear(200, "z9hG4bK1", "INVITE"));
        assert!(hear(100, "z9hG4bK1", "OPTIONS"));
        assert!(heard.try_recv().is_err());
        assert!(hear(404, "z9hG4bK1", "OPTIONS"));
        let heard = heard.try_recv().unwrap().unwrap();
        assert!(matches!(heard.start, Start::Response { code: 404, .. }));
        assert!(!hear(404, "z9hG4bK1", "OPTIONS"), "a repetition");
        // Timer E in the state Proceeding: at once every T2.
        let (mut requests, _heard) = begun(Hop::Udp((UDP, 5060).into()), 10);
        requests.hear(&response(100, "z9hG4bK1", "OPTIONS"), seconds(0));
        assert_eq!(schedule(&mut requests), [500, 4_500, 8_500]);
    }

    #[test]
    fn an_options_request_tells_nothing_of_anybody() {
        let local = Arc::new(Local::new("192.0.2.9", 5062));
        let trunk = Trunk::new("t", std::net::SocketAddr::from((UDP, 5060)), "2001:db8::1");
        let (branch, bytes, hop) = options(&trunk, &local);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with("OPTIONS sip:[2001:db8::1] SIP/2.0\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nFrom: <sip:192.0.2.9:5062>;tag="),
            "{text}"
        );
        let message = parse(&bytes).unwrap();
        assert_eq!((message.via.branch, message.cseq), (branch, 1));
        assert_eq!(hop, Hop::Udp((UDP, 5060).into()));
    }
}
