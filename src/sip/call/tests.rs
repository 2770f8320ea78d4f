//! Calls as transcripts: `ms > what we sent`, `ms < what came`, `ms ! what the owner was told`. Time is moved by hand.

mod any_order;
mod challenges;
mod desk;
mod ends;
mod offers;
mod setup;
mod streams;
mod timer;
mod tones;
mod within;

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::domain::ids::{CallId, InstructionId};
use crate::domain::instruction::{Instruct, Instruction};
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::sip::config::{Secret, SipConfig, Trunk};
use crate::sip::message::{Local, Numbers};
use crate::sip::wire::parse;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const ANSWER: &str = "v=0\r\no=c 7 7 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
const CALLEE: &str = "+14045550141";
const CALLER: &str = "+14045550142";
/// The wall clock at the start, in microseconds.
const WALL: i64 = 1_000_000_000;

/// A call, its far end and its clock.
struct Line {
    call: Call,
    ms: u64,
    wall_ms: i64,
    transcript: Vec<String>,
    /// Everything that was sent, in full.
    wire: Vec<Message>,
    blocked: bool,
    /// How the system refuses the next write.
    refusal: Option<std::io::ErrorKind>,
    /// Where each message went.
    hops: Vec<Hop>,
    /// How long the system call takes.
    freeze_ms: u64,
}

fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

fn trunk() -> Trunk {
    Trunk {
        username: Some("user".to_owned()),
        password: Some(Secret::new("secret".to_owned())),
        ring_timeout: Duration::from_secs(20),
        ..Trunk::new("t", carrier(), "carrier.example")
    }
}

fn carrier() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5060))
}

impl Line {
    fn on(trunk: Trunk) -> Self {
        let mut line = Self::idle(trunk);
        line.input(Input::Start);
        line
    }

    /// A call that was not started yet.
    fn idle(trunk: Trunk) -> Self {
        let whom = Whom::Number(Numbers {
            to: phone(CALLEE),
            from: phone(CALLER),
            vouched: Default::default(),
        });
        let warrant = Warrant::Permit(permit_at(0));
        Self::of(whom, Arc::new(trunk), OFFER.as_bytes().to_vec(), warrant)
    }

    fn of(whom: Whom, trunk: Arc<Trunk>, offer: Vec<u8>, warrant: Warrant) -> Self {
        Self {
            call: Call::new(
                Identity {
                    call_id: "call".to_owned(),
                    from_tag: "ours".to_owned(),
                    whom,
                    trunk,
                    local: Arc::new(Local::new("127.0.0.1", 5070)),
                },
                offer,
                warrant,
                Limits {
                    timers: Timers::of(&SipConfig::default()),
                    talk_max: Duration::from_secs(3600),
                },
                Tokens::Counted(0),
            ),
            ms: 0,
            wall_ms: 0,
            transcript: Vec::new(),
            wire: Vec::new(),
            blocked: false,
            refusal: None,
            hops: Vec::new(),
            freeze_ms: 0,
        }
    }

    fn new() -> Self {
        Self::on(trunk())
    }

    fn now(&self) -> Reading {
        Reading {
            wall: Micros(WALL + self.wall_ms * 1000),
            mono: Mono(Duration::from_millis(self.ms)),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut outputs = Vec::new();
        self.call.step(input, self.now(), &mut outputs);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(bytes, hop) => {
                    self.log_sent(&bytes);
                    self.hops.push(hop);
                }
                Output::Event(event) => self.log('!', &describe(&event)),
                Output::Withdraw => self.log('-', "withdrawn"),
                Output::WriteInvite => self.write(),
            }
        }
    }

    /// What the endpoint does for [`Output::WriteInvite`].
    fn write(&mut self) {
        let (before, mut later) = (self.now(), self.now());
        later.mono = later.mono.plus(Duration::from_millis(self.freeze_ms));
        later.wall = later.wall.plus(Duration::from_millis(self.freeze_ms));
        let reads = std::cell::Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            if reads.get() == 1 { before } else { later }
        };
        let (blocked, mut sent, mut outputs) = (self.blocked, None, Vec::new());
        let refusal = self.refusal.take();
        let send = |bytes: &[u8], hop: &Hop| {
            if blocked {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            if let Some(refusal) = refusal {
                return Err(refusal.into());
            }
            sent = Some((bytes.to_vec(), hop.clone()));
            Ok(bytes.len())
        };
        let write = self.call.write(read, send, &mut outputs);
        assert_eq!(write == Write::Blocked, blocked && self.call.invite.pending);
        if let Some((bytes, hop)) = sent {
            self.log_sent(&bytes);
            self.hops.push(hop);
        }
        self.carry_out(outputs);
    }

    /// Lets time pass, running what falls due on the way.
    fn wait(&mut self, ms: u64) {
        let until = self.ms + ms;
        while let Some(at) = self
            .call
            .wake()
            .map(|at| u64::try_from(at.0.as_millis()).unwrap())
            .filter(|at| *at <= until)
        {
            self.wall_ms += i64::try_from(at - self.ms).unwrap();
            self.ms = at;
            self.input(Input::Tick);
        }
        self.wall_ms += i64::try_from(until - self.ms).unwrap();
        self.ms = until;
    }

    fn log(&mut self, sign: char, what: &str) {
        self.transcript.push(format!("{} {sign} {what}", self.ms));
    }

    fn log_sent(&mut self, bytes: &[u8]) {
        let message = parse(bytes).expect("we send what we would take");
        let what = match &message.start {
            Start::Request { .. } => {
                // An INVITE within the call is another thing than the one that begins it.
                let within = message.method == "INVITE" && message.to_tag.is_some();
                let within = if within { "within" } else { "" };
                let reason = message.first("Reason").unwrap_or(within);
                format!("{} {} {reason}", message.method, message.cseq)
            }
            Start::Response { code, .. } => format!("{code} {}", message.method),
        };
        self.wire.push(message);
        self.log('>', what.trim_end());
    }

    fn receive(&mut self, text: &str) {
        let message = parse(text.as_bytes()).unwrap();
        let what = match &message.start {
            Start::Request { .. } => message.method.clone(),
            Start::Response { code, .. } => format!("{code} {}", message.method),
        };
        self.log('<', &what);
        self.input(Input::Message(&message, &Hop::Udp(carrier())));
    }

    /// A response to the newest request of this method that we sent.
    fn answer(&mut self, method: &str, code: u16, tag: &str, headers: &str, body: &str) {
        let request = self
            .wire
            .iter()
            .rev()
            .find(|sent| sent.is_request(method))
            .expect("it was sent");
        let (via, cseq) = (request.via.text.clone(), request.cseq);
        self.answer_to(&via, cseq, method, code, tag, headers, body);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are parts of one message"
    )]
    fn answer_to(
        &mut self,
        via: &str,
        cseq: u32,
        method: &str,
        code: u16,
        tag: &str,
        headers: &str,
        body: &str,
    ) {
        let tag = if tag.is_empty() {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let phrase = if code == 486 { "Busy Here" } else { "Phrase" };
        self.receive(&format!(
            "SIP/2.0 {code} {phrase}\r\nVia: {via}\r\nFrom: <sip:{CALLER}@carrier.example>;tag=ours\r\nTo: <sip:{CALLEE}@carrier.example>{tag}\r\nCall-ID: call\r\nCSeq: {cseq} {method}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    fn invited(&mut self, code: u16, tag: &str) {
        self.answer(
            "INVITE",
            code,
            tag,
            "Contact: <sip:callee@127.0.0.1:5062>\r\n",
            "",
        );
    }

    fn answered(&mut self, tag: &str) {
        self.answer(
            "INVITE",
            200,
            tag,
            "Contact: <sip:callee@127.0.0.1:5062>\r\n",
            ANSWER,
        );
    }

    /// A request of the far end within the dialog.
    fn ask(&mut self, method: &str, cseq: u32, tag: &str, headers: &str, body: &str) {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        self.receive(&format!(
            "{method} sip:127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK{method}{cseq}\r\nFrom: <sip:{CALLEE}@carrier.example>;tag={tag}\r\nTo: <sip:{CALLER}@carrier.example>;tag=ours\r\nCall-ID: call\r\nCSeq: {cseq} {method}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    fn instruct(&mut self, what: Instruct) {
        let asked = Instruction {
            instruction_id: InstructionId::new(Micros(WALL)),
            call_id: CallId::new(Micros(WALL)),
            what,
        };
        self.input(Input::Control(Control::Instruct(Box::new(asked))));
    }

    fn hang_up(&mut self, cause: HangUpCause) {
        self.input(Input::Control(Control::HangUp { cause }));
    }

    fn last(&self) -> &Message {
        self.wire.last().unwrap()
    }

    /// The transcript so far, which starts anew after this.
    #[track_caller]
    fn check(&mut self, expected: &str) {
        let expected: Vec<&str> = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(
            self.transcript,
            expected,
            "\n{}",
            self.transcript.join("\n")
        );
        self.transcript.clear();
    }

    /// After the stragglers' time nothing is left, and no permit outlives the end.
    #[track_caller]
    fn check_gone(&mut self) {
        assert!(self.call.warrant.is_none());
        self.wait(70_000);
        assert!(self.call.is_done(), "next wake {:?}", self.call.wake());
        assert!(self.call.wake().is_none());
    }
}

fn permit_at(ms: u64) -> Permit {
    let read = Reading {
        wall: Micros(WALL + i64::try_from(ms).unwrap() * 1000),
        mono: Mono(Duration::from_millis(ms)),
    };
    Permit::for_test(phone(CALLEE), Some(phone(CALLER)), read)
}

fn describe(event: &SipEvent) -> String {
    match event {
        SipEvent::Sent { late, first, .. } => {
            format!(
                "sent{}{}",
                if *first { " first" } else { "" },
                if *late { " late" } else { "" }
            )
        }
        SipEvent::Progress { code, .. } => format!("progress {code}"),
        SipEvent::Ringing { code, .. } => format!("ringing {code}"),
        SipEvent::EarlyMedia { code, .. } => format!("early media {code}"),
        SipEvent::PermitSpent => "permit spent".to_owned(),
        SipEvent::PermitNeeded => "permit needed".to_owned(),
        SipEvent::Answered { .. } => "answered".to_owned(),
        SipEvent::MediaOffer { offer, .. } => match offer {
            Some(number) => format!("media offer {number}"),
            None => "media changed".to_owned(),
        },
        SipEvent::OfferOver => "offer over".to_owned(),
        SipEvent::Followed { followed, .. } => {
            let code = followed.code.map(|code| format!(" {code}"));
            format!("followed {}{}", followed.result, code.unwrap_or_default())
        }
        SipEvent::Note { text, .. } => format!("note: {text}"),
        SipEvent::Ended(ending) => format!(
            "ended {} {} by {:?} code {:?}{}",
            ending.outcome,
            ending.retry,
            ending.by,
            ending.code,
            if ending.answered { " answered" } else { "" }
        ),
    }
}

/// An answered call at time 0.
fn up() -> Line {
    let mut line = Line::new();
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 200 INVITE
         0 > ACK 1
         0 ! answered",
    );
    assert!(line.call.warrant.is_none());
    line
}
