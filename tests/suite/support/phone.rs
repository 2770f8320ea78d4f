//! A telephone on loopback, for either end of a call: it rings, answers, refuses, holds and hangs up as it is told, and writes down
//! what it was sent. It shares nothing with `dialgate::sip`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Rings and answers after a while.
    Answer(Duration),
    /// The same with 183 and a session instead of 180.
    AnswerEarly(Duration),
    /// Refuses.
    Refuse(u16),
    /// Rings until it is told to answer, or cancelled.
    Ring,
    /// The same, and answers when it is cancelled.
    RingAndCross,
}

/// What it is told.
#[derive(Debug)]
enum Order {
    Answer,
    HangUp,
    /// To offer its session anew, this way: `sendonly`, `sendrecv`.
    Offer(&'static str),
    /// To answer further INVITEs by this port.
    Move(u16),
}

/// A message that came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Method, or code and method of a response.
    pub what: String,
    pub text: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.split("\r\n\r\n").next()?.split("\r\n");
        lines.skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    /// Port and way of the audio in its body: `4000 sendrecv`.
    pub fn audio(&self) -> Option<String> {
        let media = self
            .body()
            .lines()
            .find(|line| line.starts_with("m=audio"))?;
        let port = media.split(' ').nth(1)?;
        let ways = ["sendonly", "recvonly", "inactive"];
        let has = |way: &&str| self.body().contains(&format!("a={way}"));
        let way = ways.into_iter().find(has).unwrap_or("sendrecv");
        Some(format!("{port} {way}"))
    }
}

pub struct Phone {
    pub addr: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Phone {
    /// One whose audio is at this port, by its own account.
    pub async fn start(port: u16, then: Then) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (orders, told) = mpsc::unbounded_channel();
        let line = Line {
            socket,
            addr,
            port,
            version: 1,
            way: "sendrecv",
            then,
            heard: Arc::clone(&heard),
            calls: HashMap::new(),
            due: Vec::new(),
            newest: None,
        };
        let task = tokio::spawn(line.run(told));
        Self {
            addr,
            heard,
            orders,
            task,
        }
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The messages of this kind, in order.
    pub fn of(&self, what: &str) -> Vec<Heard> {
        let mut heard = self.heard();
        heard.retain(|each| each.what == what);
        heard
    }

    pub fn answer(&self) {
        self.orders.send(Order::Answer).unwrap();
    }

    pub fn hang_up(&self) {
        self.orders.send(Order::HangUp).unwrap();
    }

    pub fn offer(&self, way: &'static str) {
        self.orders.send(Order::Offer(way)).unwrap();
    }

    pub fn moves_to(&self, port: u16) {
        self.orders.send(Order::Move(port)).unwrap();
    }
}

struct Talk {
    invite: Heard,
    from: SocketAddr,
    answered: bool,
    over: bool,
    cseq: u32,
}

struct Line {
    socket: UdpSocket,
    addr: SocketAddr,
    port: u16,
    version: u32,
    way: &'static str,
    then: Then,
    heard: Arc<Mutex<Vec<Heard>>>,
    calls: HashMap<String, Talk>,
    /// Calls to be answered, and when.
    due: Vec<(tokio::time::Instant, String)>,
    newest: Option<String>,
}

impl Line {
    async fn run(mut self, mut told: mpsc::UnboundedReceiver<Order>) {
        let mut buffer = vec![0; 65_536];
        loop {
            let next = self.due.iter().map(|(at, _)| *at).min();
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, from) = received.unwrap();
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    self.hear(text, from).await;
                }
                Some(order) = told.recv() => self.obey(order).await,
                () = wait => {
                    let now = tokio::time::Instant::now();
                    let (ready, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
                    self.due = later;
                    let ready: Vec<(tokio::time::Instant, String)> = ready;
                    for (_, id) in ready {
                        self.pick_up(&id).await;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, text: String, from: SocketAddr) {
        let first = text.lines().next().unwrap_or_default();
        let mut words = first.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let mut heard = Heard {
            what: method.clone(),
            text: text.clone(),
        };
        if method == "SIP/2.0" {
            let code = words.next().unwrap_or_default();
            let of = heard.header("CSeq").unwrap_or_default();
            let of = of.split(' ').nth(1).unwrap_or_default();
            heard.what = format!("{code} {of}");
        }
        let within = heard.header("To").is_some_and(|to| to.contains("tag="));
        if method == "INVITE" && within {
            heard.what = "INVITE within".to_owned();
        }
        let id = heard.header("Call-ID").unwrap_or_default().to_owned();
        let again = method == "INVITE" && !within && self.calls.contains_key(&id);
        if again {
            return;
        }
        self.heard.lock().unwrap().push(heard.clone());
        match heard.what.as_str() {
            "INVITE" => self.ring(id, heard, from).await,
            "INVITE within" => {
                let way = match heard.audio().unwrap_or_default() {
                    audio if audio.ends_with("sendonly") => "recvonly",
                    audio if audio.ends_with("inactive") => "inactive",
                    _ => "sendrecv",
                };
                let session = self.session(way);
                self.respond(&heard, from, "200 OK", "", &session).await;
            }
            "CANCEL" => {
                self.respond(&heard, from, "200 OK", "", "").await;
                if self.then == Then::RingAndCross {
                    return self.pick_up(&id).await;
                }
                if let Some(talk) = self.calls.get_mut(&id).filter(|talk| !talk.answered) {
                    talk.over = true;
                    let invite = talk.invite.clone();
                    let why = "487 Request Terminated";
                    self.respond(&invite, from, why, ";tag=phone", "").await;
                }
            }
            "BYE" => {
                if let Some(talk) = self.calls.get_mut(&id) {
                    talk.over = true;
                }
                self.respond(&heard, from, "200 OK", "", "").await;
            }
            "200 INVITE" => self.acknowledge(&id).await,
            _ => {}
        }
    }

    async fn ring(&mut self, id: String, invite: Heard, from: SocketAddr) {
        let (early, after) = match self.then {
            Then::Refuse(code) => {
                let why = format!("{code} No");
                return self.respond(&invite, from, &why, ";tag=phone", "").await;
            }
            Then::Answer(after) => (false, Some(after)),
            Then::AnswerEarly(after) => (true, Some(after)),
            Then::Ring | Then::RingAndCross => (false, None),
        };
        let (ringing, session) = match early {
            true => ("183 Session Progress", self.session("sendrecv")),
            false => ("180 Ringing", String::new()),
        };
        self.respond(&invite, from, ringing, ";tag=phone", &session)
            .await;
        let talk = Talk {
            invite,
            from,
            answered: false,
            over: false,
            cseq: 0,
        };
        self.calls.insert(id.clone(), talk);
        self.newest = Some(id.clone());
        if let Some(after) = after {
            self.due.push((tokio::time::Instant::now() + after, id));
        }
    }

    async fn pick_up(&mut self, id: &str) {
        let way = match self.calls.get(id) {
            // Who is offered a session on hold can answer no other.
            Some(talk) if talk.invite.body().contains("a=inactive") => "inactive",
            _ => "sendrecv",
        };
        let session = self.session(way);
        let Some(talk) = self.calls.get_mut(id).filter(|talk| !talk.over) else {
            return;
        };
        talk.answered = true;
        let (invite, from) = (talk.invite.clone(), talk.from);
        self.respond(&invite, from, "200 OK", ";tag=phone", &session)
            .await;
    }

    async fn obey(&mut self, order: Order) {
        let Some(id) = self.newest.clone() else {
            return;
        };
        match order {
            Order::Answer => self.pick_up(&id).await,
            Order::HangUp => {
                if let Some(talk) = self.calls.get_mut(&id) {
                    talk.over = true;
                }
                self.ask(&id, "BYE", "").await;
            }
            Order::Offer(way) => {
                self.version += 1;
                self.way = way;
                let session = self.session(way);
                self.ask(&id, "INVITE", &session).await;
            }
            Order::Move(port) => {
                self.version += 1;
                self.port = port;
            }
        }
    }

    fn session(&self, way: &str) -> String {
        let (port, version) = (self.port, self.version);
        format!(
            "v=0\r\no=phone {port} {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8\r\na={way}\r\n"
        )
    }

    async fn respond(&self, asked: &Heard, to: SocketAddr, status: &str, tag: &str, session: &str) {
        let of = |name: &str| asked.header(name).unwrap_or_default().to_owned();
        let kind = match session {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:phone@{}>\r\n{kind}Content-Length: {}\r\n\r\n{session}",
            of("Via"),
            of("From"),
            of("To"),
            of("Call-ID"),
            of("CSeq"),
            self.addr,
            session.len(),
        );
        self.socket.send_to(text.as_bytes(), to).await.unwrap();
    }

    async fn ask(&mut self, id: &str, method: &str, session: &str) {
        let addr = self.addr;
        let Some(talk) = self.calls.get_mut(id) else {
            return;
        };
        talk.cseq += 1;
        let (cseq, from) = (talk.cseq, talk.from);
        let of = |name: &str| talk.invite.header(name).unwrap_or_default();
        let target = of("Contact").trim_matches(['<', '>']).to_owned();
        let kind = match session {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bK{method}{cseq}{};rport\r\nMax-Forwards: 70\r\nFrom: {};tag=phone\r\nTo: {}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:phone@{addr}>\r\n{kind}Content-Length: {}\r\n\r\n{session}",
            self.port,
            of("To"),
            of("From"),
            session.len(),
        );
        self.socket.send_to(text.as_bytes(), from).await.unwrap();
    }

    async fn acknowledge(&mut self, id: &str) {
        let addr = self.addr;
        let Some(talk) = self.calls.get(id) else {
            return;
        };
        let of = |name: &str| talk.invite.header(name).unwrap_or_default();
        let target = of("Contact").trim_matches(['<', '>']).to_owned();
        let cseq = talk.cseq;
        let text = format!(
            "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bKACK{cseq};rport\r\nMax-Forwards: 70\r\nFrom: {};tag=phone\r\nTo: {}\r\nCall-ID: {id}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n",
            of("To"),
            of("From"),
        );
        self.socket
            .send_to(text.as_bytes(), talk.from)
            .await
            .unwrap();
    }
}
