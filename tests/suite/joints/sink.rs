//! The callee of the runs: a UDP socket of its own that writes every datagram down, in the order of its queue and with one
//! monotonic time, and plays a part that the last digit of the called number names. It shares nothing with `dialgate::sip`.
//!
//! It is reached at two addresses, the trunk's target and the next one, and has one queue for both, so that nothing is ever
//! written down in another order than it was sent. At the first it may fail, as the digit before the last says: [`Failing`].
//!
//! An acknowledgement gets its time from here too: [`Sink::mark`] puts a datagram into the same queue. What stands behind
//! it there was sent later; what the machine's scheduler does to the reader does not matter.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::clock::Clock;
use tokio::sync::oneshot;

use crate::support::history::{At, Packet};

/// What the callee does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rings, answers, hangs up soon.
    Answers,
    /// 486.
    Busy,
    /// Rings until it is cancelled.
    Rings,
    /// Says nothing.
    Silent,
    /// Asks for credentials, then rings and answers.
    Challenges,
    /// The same when the first permit is over: what answers it needs a claim of its own.
    ChallengesLate,
    /// Rings, and answers just as it is cancelled.
    AnswersCancelled,
    /// Misses the first datagram of each call.
    HardOfHearing,
    /// Only says that it tries, until it is cancelled.
    Tries,
    /// Asks for credentials, and is busy.
    ChallengesBusy,
}

impl Part {
    pub fn of(number: &str) -> Self {
        match number.as_bytes().last().copied().unwrap_or_default() {
            b'0' => Self::Answers,
            b'1' => Self::Busy,
            b'2' => Self::Rings,
            b'3' => Self::Silent,
            b'4' => Self::Challenges,
            b'5' => Self::ChallengesLate,
            b'6' => Self::AnswersCancelled,
            b'7' => Self::HardOfHearing,
            b'8' => Self::Tries,
            _ => Self::ChallengesBusy,
        }
    }
}

/// What becomes of an INVITE at the trunk's first target; at the second the part is always played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The part is played.
    Never,
    /// 503.
    Refuses,
    /// Nothing, until long after the caller has gone on: then it rings, and is to be cancelled.
    Silent,
    /// 503 when the permit is over.
    RefusesLate,
    /// It rings, and then 503: nobody may go on from there.
    RingsAndRefuses,
}

impl Failing {
    pub fn of(number: &str) -> Self {
        let rings_on = matches!(Part::of(number), Part::Rings | Part::AnswersCancelled);
        match number.as_bytes().iter().rev().nth(1) {
            Some(b'1') => Self::Refuses,
            Some(b'2') => Self::Silent,
            Some(b'3') => Self::RefusesLate,
            // Those who ring until they are cancelled are there to be cancelled.
            Some(b'4') if !rings_on => Self::RingsAndRefuses,
            _ => Self::Never,
        }
    }
}

/// Where the socket is reached as the trunk's next target.
const NEXT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The machine's monotonic clock: the one clock of a run.
pub fn now() -> At {
    Clock::Real.read().mono.0
}

type Marks = Mutex<HashMap<u64, oneshot::Sender<At>>>;
/// How often a number rang.
type Rings = Mutex<HashMap<String, usize>>;

pub struct Sink {
    pub addr: SocketAddr,
    /// The same socket as the trunk's next target.
    pub next: SocketAddr,
    marker: tokio::net::UdpSocket,
    packets: Arc<Mutex<Vec<Packet>>>,
    rings: Arc<Rings>,
    marks: Arc<Marks>,
    next_mark: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Sink {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let sink = Self {
            addr,
            next: SocketAddr::from((NEXT, port)),
            marker: tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            packets: Arc::default(),
            rings: Arc::default(),
            marks: Arc::default(),
            next_mark: AtomicU64::new(0),
            stop: Arc::default(),
        };
        let callee = Callee {
            socket,
            addr,
            packets: Arc::clone(&sink.packets),
            rings: Arc::clone(&sink.rings),
            marks: Arc::clone(&sink.marks),
            calls: HashMap::new(),
            due: BTreeMap::new(),
            tags: 0,
        };
        let stop = Arc::clone(&sink.stop);
        std::thread::spawn(move || callee.run(&stop));
        sink
    }

    /// The time at which the queue has passed this point.
    pub async fn mark(&self) -> At {
        for _ in 0..20 {
            let id = self.next_mark.fetch_add(1, Ordering::SeqCst);
            let (told, passed) = oneshot::channel();
            self.marks.lock().unwrap().insert(id, told);
            let mark = format!("MARK {id}");
            self.marker
                .send_to(mark.as_bytes(), self.addr)
                .await
                .unwrap();
            // A full queue drops it, as it would any datagram.
            if let Ok(Ok(at)) = tokio::time::timeout(Duration::from_secs(1), passed).await {
                return at;
            }
        }
        panic!("the callee does not read its queue");
    }

    pub fn packets(&self) -> Vec<Packet> {
        self.packets.lock().unwrap().clone()
    }

    /// What was written down, for good: a large run's is not copied.
    pub fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut self.packets.lock().unwrap())
    }

    /// How often this number has begun to ring.
    pub fn rings(&self, number: &str) -> usize {
        let rings = self.rings.lock().unwrap();
        rings.get(number).copied().unwrap_or(0)
    }
}

/// A request or response, as far as the callee reads it.
#[derive(Debug, Clone)]
pub struct Message {
    pub what: String,
    /// Of a request: whom it is for, with the host of the target it went to.
    pub uri: String,
    pub headers: Vec<(String, String)>,
}

impl Message {
    pub fn parse(text: &str) -> Option<Self> {
        let head = text.split("\r\n\r\n").next()?;
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (what, uri) = match first.next()? {
            "SIP/2.0" => (first.next()?, ""),
            method => (method, first.next()?),
        };
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        Some(Self {
            what: what.to_owned(),
            uri: uri.to_owned(),
            headers,
        })
    }

    pub fn get(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub fn branch(&self) -> String {
        let branch = self
            .get("via")
            .split(';')
            .find_map(|part| part.trim().strip_prefix("branch="));
        branch.unwrap_or_default().to_owned()
    }

    pub fn cseq(&self) -> u32 {
        self.get("cseq")
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    }

    pub fn number(&self, header: &str) -> String {
        let user = self
            .get(header)
            .split("sip:")
            .nth(1)
            .and_then(|rest| rest.split('@').next());
        user.unwrap_or_default().to_owned()
    }
}

struct Leg {
    part: Part,
    failing: Failing,
    /// The INVITE under way.
    invite: Message,
    node: SocketAddr,
    tag: String,
    heard: u32,
    /// The latest response to the INVITE; said again when the INVITE is.
    said: Option<(u16, &'static str)>,
    over: bool,
}

/// What happens to a call by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Answer,
    HangUp,
    Challenge,
    Refuse,
    /// Though nothing was said so far.
    RingLate,
}

struct Callee {
    socket: UdpSocket,
    addr: SocketAddr,
    packets: Arc<Mutex<Vec<Packet>>>,
    rings: Arc<Rings>,
    marks: Arc<Marks>,
    calls: HashMap<String, Leg>,
    due: BTreeMap<(At, u64), (String, Next)>,
    tags: u64,
}

impl Callee {
    fn run(mut self, stop: &AtomicBool) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::SeqCst) {
            let wait = self.act().map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY));
            // Zero would mean for ever.
            self.socket
                .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
                .unwrap();
            let Ok((length, source)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.hear(&text, source, now());
        }
    }

    fn hear(&mut self, text: &str, source: SocketAddr, at: At) {
        if let Some(id) = text.strip_prefix("MARK ") {
            let told = self.marks.lock().unwrap().remove(&id.parse().unwrap());
            // Whoever asked may have asked again.
            told.map(|told| told.send(at));
            return;
        }
        let Some(message) = Message::parse(text) else {
            return;
        };
        self.write_down(&message, &message.what, source, at, false);
        match message.what.as_str() {
            "INVITE" => self.invited(&message, source, at),
            "ACK" => self.acknowledged(&message, at),
            "CANCEL" => self.cancelled(&message, source),
            "BYE" => {
                if let Some(leg) = self.calls.get_mut(message.get("call-id")) {
                    leg.over = true;
                }
                self.say(&message, source, 200, "OK", "bye");
            }
            // A response to our BYE.
            _ => {}
        }
    }

    fn write_down(&self, message: &Message, what: &str, node: SocketAddr, at: At, sent: bool) {
        self.packets.lock().unwrap().push(Packet {
            at,
            sent,
            what: what.to_owned(),
            call_id: message.get("call-id").to_owned(),
            branch: message.branch(),
            cseq: message.cseq(),
            to: message.number("to"),
            from: message.number("from"),
            node: node.port(),
        });
    }

    fn invited(&mut self, invite: &Message, node: SocketAddr, at: At) {
        let call_id = invite.get("call-id").to_owned();
        self.tags += 1;
        let number = invite.number("to");
        let is_next = invite.uri.contains(&format!("@{NEXT}"));
        let fresh = Leg {
            part: Part::of(&number),
            failing: match is_next {
                true => Failing::Never,
                false => Failing::of(&number),
            },
            invite: invite.clone(),
            node,
            tag: format!("callee{}", self.tags),
            heard: 0,
            said: None,
            over: false,
        };
        let leg = self.calls.entry(call_id.clone()).or_insert(fresh);
        leg.heard += 1;
        if leg.invite.branch() == invite.branch() {
            let plays = leg.failing == Failing::Never;
            if leg.heard > 1 && !(plays && leg.part == Part::HardOfHearing) {
                return self.repeat(&call_id);
            }
        } else {
            leg.invite = invite.clone();
            leg.said = None;
        }
        let trusted = !invite.get("proxy-authorization").is_empty();
        let (heard, part) = (leg.heard, leg.part);
        match leg.failing {
            Failing::Never => self.play(part, trusted, heard, &call_id, at),
            Failing::Refuses => self.respond(&call_id, 503, "Service Unavailable"),
            Failing::Silent => self.later(at, 4_500, &call_id, Next::RingLate),
            Failing::RefusesLate => {
                self.respond(&call_id, 100, "Trying");
                self.later(at, 1_700, &call_id, Next::Refuse);
            }
            Failing::RingsAndRefuses => {
                self.ring(&call_id);
                self.later(at, 1_300, &call_id, Next::Refuse);
            }
        }
    }

    fn play(&mut self, part: Part, trusted: bool, heard: u32, call_id: &str, at: At) {
        match (part, trusted) {
            (Part::Silent, _) => {}
            (Part::HardOfHearing, _) if heard == 1 => {}
            (Part::HardOfHearing, _) if heard > 2 => self.repeat(call_id),
            (Part::Busy, _) | (Part::ChallengesBusy, true) => {
                self.respond(call_id, 486, "Busy Here")
            }
            (Part::Tries, _) => self.respond(call_id, 100, "Trying"),
            (Part::Challenges | Part::ChallengesBusy, false) => {
                self.respond(call_id, 407, "Proxy Authentication Required");
            }
            (Part::ChallengesLate, false) => {
                self.respond(call_id, 100, "Trying");
                self.later(at, 1_700, call_id, Next::Challenge);
            }
            (Part::Rings | Part::AnswersCancelled, _) => self.ring(call_id),
            (Part::Answers | Part::HardOfHearing | Part::Challenges | Part::ChallengesLate, _) => {
                self.ring(call_id);
                self.later(at, 120, call_id, Next::Answer);
            }
        }
    }

    fn ring(&mut self, call_id: &str) {
        self.respond(call_id, 100, "Trying");
        self.respond(call_id, 180, "Ringing");
        let number = self.calls[call_id].invite.number("to");
        *self.rings.lock().unwrap().entry(number).or_default() += 1;
    }

    fn acknowledged(&mut self, message: &Message, at: At) {
        let call_id = message.get("call-id").to_owned();
        let Some(leg) = self.calls.get(&call_id) else {
            return;
        };
        // Only the ACK of a 2xx has a transaction of its own.
        if leg.said.is_some_and(|(code, _)| code == 200) && message.branch() != leg.invite.branch()
        {
            self.later(at, 80, &call_id, Next::HangUp);
        }
    }

    fn cancelled(&mut self, message: &Message, node: SocketAddr) {
        let call_id = message.get("call-id").to_owned();
        let Some(leg) = self.calls.get(&call_id) else {
            return self.say(
                message,
                node,
                481,
                "Call/Transaction Does Not Exist",
                "none",
            );
        };
        let (part, tag) = (leg.part, leg.tag.clone());
        let open = leg.said.is_some_and(|(code, _)| code < 200);
        if open && part == Part::AnswersCancelled {
            // The answer crosses the CANCEL on its way.
            self.respond(&call_id, 200, "OK");
        }
        self.say(message, node, 200, "OK", &tag);
        if open && part != Part::AnswersCancelled {
            self.respond(&call_id, 487, "Request Terminated");
        }
    }

    fn later(&mut self, at: At, millis: u64, call_id: &str, next: Next) {
        self.tags += 1;
        let key = (at + Duration::from_millis(millis), self.tags);
        self.due.insert(key, (call_id.to_owned(), next));
    }

    /// Does what is due, and tells how long nothing else is.
    fn act(&mut self) -> Option<Duration> {
        loop {
            let entry = self.due.first_entry()?;
            let (at, now) = (entry.key().0, now());
            if at > now {
                return Some(at - now);
            }
            let (call_id, next) = entry.remove();
            let Some(leg) = self.calls.get_mut(&call_id) else {
                continue;
            };
            let waiting = leg.said.is_some_and(|(code, _)| code < 200) && !leg.over;
            let silent = leg.said.is_none();
            match next {
                Next::Refuse if waiting => self.respond(&call_id, 503, "Service Unavailable"),
                Next::RingLate if silent => self.respond(&call_id, 180, "Ringing"),
                Next::Answer if waiting => self.respond(&call_id, 200, "OK"),
                Next::Challenge if waiting => {
                    self.respond(&call_id, 407, "Proxy Authentication Required")
                }
                Next::HangUp if !leg.over => {
                    leg.over = true;
                    self.hang_up(&call_id);
                }
                _ => {}
            }
        }
    }

    fn repeat(&mut self, call_id: &str) {
        if let Some((code, phrase)) = self.calls[call_id].said {
            self.respond(call_id, code, phrase);
        }
    }

    fn respond(&mut self, call_id: &str, code: u16, phrase: &'static str) {
        let Some(leg) = self.calls.get_mut(call_id) else {
            return;
        };
        leg.said = Some((code, phrase));
        let (invite, node, tag) = (leg.invite.clone(), leg.node, leg.tag.clone());
        self.say(&invite, node, code, phrase, &tag);
    }

    fn say(&self, about: &Message, node: SocketAddr, code: u16, phrase: &str, tag: &str) {
        let mut text = format!("SIP/2.0 {code} {phrase}\r\n");
        for (_, via) in about.headers.iter().filter(|(name, _)| name == "via") {
            text += &format!("Via: {via}\r\n");
        }
        let tag = if code == 100 || about.get("to").contains(";tag=") {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        text += &format!(
            "From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
            about.get("from"),
            about.get("to"),
            about.get("call-id"),
            about.get("cseq"),
        );
        let mut body = String::new();
        if code == 407 {
            let nonce = self.tags;
            text += &format!(
                "Proxy-Authenticate: Digest realm=\"callee\", nonce=\"n{nonce}\", algorithm=SHA-256, qop=\"auth\"\r\n"
            );
        }
        if code == 200 && about.what == "INVITE" {
            text += &format!(
                "Contact: <sip:{}>\r\nContent-Type: application/sdp\r\n",
                self.addr
            );
            body += "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        // Written down first: nothing that comes back can be older than what it answers.
        self.write_down(about, &code.to_string(), node, now(), true);
        // Lost if nobody is there, like any datagram.
        let _ = self.socket.send_to(text.as_bytes(), node);
    }

    fn hang_up(&mut self, call_id: &str) {
        let leg = &self.calls[call_id];
        let (invite, addr, tag, branch) = (&leg.invite, self.addr, &leg.tag, self.tags);
        let contact = invite.get("contact").trim_matches(['<', '>']);
        let text = format!(
            "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bKcallee{branch};rport\r\nMax-Forwards: 70\r\n\
             From: {};tag={tag}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            invite.get("to"),
            invite.get("from"),
        );
        let _ = self.socket.send_to(text.as_bytes(), leg.node);
    }
}
