//! Calls as transcripts: `ms > what we sent`, `ms < what came`, `ms ! what the owner was told`. Time is moved by hand.

mod streams;

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::sip::config::{Secret, SipConfig, Trunk};
use crate::sip::message::Local;
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
        Self {
            call: Call::new(
                Identity {
                    call_id: "call".to_owned(),
                    from_tag: "ours".to_owned(),
                    to: phone(CALLEE),
                    from: phone(CALLER),
                    trunk: Arc::new(trunk),
                    local: Arc::new(Local::new("127.0.0.1", 5070)),
                    vouched: Default::default(),
                },
                OFFER.as_bytes().to_vec(),
                permit_at(0),
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
                let reason = message.first("Reason").unwrap_or_default();
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
        assert!(self.call.permit.is_none());
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
        SipEvent::MediaOffer { .. } => "media offer".to_owned(),
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
    assert!(line.call.permit.is_none());
    line
}

#[test]
fn answered_and_hung_up_by_us() {
    let mut line = Line::new();
    line.invited(100, "");
    line.wait(300);
    line.invited(180, "a");
    assert!(line.call.permit.is_none(), "18x gives the permit up");
    line.invited(180, "a");
    line.wait(2000);
    line.answered("a");
    line.wait(5000);
    line.hang_up(HangUpCause::Client);
    line.answer("BYE", 200, "a", "", "");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 100 INVITE
         0 ! progress 100
         300 < 180 INVITE
         300 ! ringing 180
         300 < 180 INVITE
         2300 < 200 INVITE
         2300 > ACK 1
         2300 ! answered
         7300 > BYE 2 Q.850;cause=16;text=\"Normal call clearing\"
         7300 ! ended answered none by Us code Some(200) answered
         7300 < 200 BYE",
    );
    line.check_gone();
    line.check("");
}

#[test]
fn hung_up_by_the_far_end() {
    let mut line = up();
    line.wait(1000);
    line.ask("BYE", 1, "a", "Reason: Q.850;cause=31\r\n", "");
    line.ask("BYE", 1, "a", "", "");
    line.check(
        "1000 < BYE
         1000 ! ended answered none by Peer code Some(200) answered
         1000 > 200 BYE
         1000 < BYE
         1000 > 200 BYE",
    );
    line.check_gone();
}

#[test]
fn the_invite_names_the_numbers_of_the_permit_and_no_host_of_ours() {
    let line = Line::new();
    let invite = line.last();
    let Start::Request { uri } = &invite.start else {
        panic!()
    };
    assert_eq!(uri, "sip:+14045550141@carrier.example;user=phone");
    assert_eq!(
        invite.first("From").unwrap(),
        "<sip:+14045550142@carrier.example;user=phone>;tag=ours"
    );
    assert_eq!(invite.body, OFFER.as_bytes(), "byte for byte");
    assert!(invite.via.rport);
}

#[test]
fn busy() {
    let mut line = Line::new();
    line.invited(486, "a");
    line.invited(486, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 486 INVITE
         0 > ACK 1
         0 ! ended busy soon by Peer code Some(486)
         0 < 486 INVITE
         0 > ACK 1",
    );
    assert_eq!(
        line.last().via.branch,
        line.wire[0].via.branch,
        "the ACK of a refusal is the INVITE's"
    );
    assert_eq!(line.last().to_tag.as_deref(), Some("a"));
    line.check_gone();
}

#[test]
fn nobody_answers() {
    let mut line = Line::new();
    line.wait(1000);
    line.invited(180, "a");
    line.wait(20_000);
    line.answer("CANCEL", 200, "a", "", "");
    line.invited(487, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         500 > INVITE 1
         500 ! sent
         1000 < 180 INVITE
         1000 ! ringing 180
         21000 > CANCEL 1 Q.850;cause=19;text=\"No answer from user\"
         21000 < 200 CANCEL
         21000 < 487 INVITE
         21000 > ACK 1
         21000 ! ended no_answer later by Timeout code Some(487)",
    );
    line.check_gone();
}

#[test]
fn a_phone_rings_at_least_as_long_as_the_law_says() {
    let mut line = Line::on(Trunk {
        ring_timeout: Duration::from_secs(1),
        ..trunk()
    });
    line.invited(180, "a");
    line.transcript.clear();
    line.wait(14_999);
    line.check("");
    line.wait(1);
    assert!(line.last().is_request("CANCEL"));
}

#[test]
fn a_cancel_waits_for_the_first_provisional() {
    let mut line = Line::new();
    line.hang_up(HangUpCause::OptOut);
    assert!(line.call.permit.is_none(), "nothing is sent any more");
    line.wait(700);
    line.invited(100, "");
    line.answer("CANCEL", 200, "", "", "");
    line.invited(487, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 ! permit spent
         0 ! note: cancelling as soon as the far end has said anything
         700 < 100 INVITE
         700 > CANCEL 1 Q.850;cause=16;text=\"Normal call clearing\"
         700 < 200 CANCEL
         700 < 487 INVITE
         700 > ACK 1
         700 ! ended canceled never by Us code Some(487)",
    );
    let cancel = line
        .wire
        .iter()
        .find(|sent| sent.is_request("CANCEL"))
        .unwrap();
    assert_eq!(cancel.via.branch, line.wire[0].via.branch);
    line.check_gone();
}

#[test]
fn a_cancel_that_gets_no_provisional_ends_with_the_trunks_patience() {
    let mut line = Line::new();
    line.wait(100);
    line.hang_up(HangUpCause::Client);
    line.wait(5000);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         100 ! permit spent
         100 ! note: cancelling as soon as the far end has said anything
         4000 ! ended canceled none by Us code None",
    );
    // The phone rings all the same, late: it must stop.
    line.invited(180, "a");
    line.answered("a");
    line.check(
        "5100 < 180 INVITE
         5100 > CANCEL 1 Q.850;cause=16;text=\"Normal call clearing\"
         5100 < 200 INVITE
         5100 > ACK 1
         5100 > BYE 2 SIP;cause=487;text=\"Call is over\"",
    );
    line.check_gone();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut line = Line::new();
    line.invited(180, "a");
    line.hang_up(HangUpCause::Client);
    line.answered("a");
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 180 INVITE
         0 ! ringing 180
         0 > CANCEL 1 Q.850;cause=16;text=\"Normal call clearing\"
         0 < 200 INVITE
         0 > ACK 1
         0 > BYE 2 Q.850;cause=16;text=\"Normal call clearing\"
         0 ! ended answered_after_cancel none by Us code Some(200) answered
         0 < 200 INVITE
         0 > ACK 1",
    );
    line.answer("BYE", 481, "a", "", "");
    line.check("0 < 481 BYE");
    line.check_gone();
}

#[test]
fn a_cancel_without_its_487_ends_after_64_t1() {
    let mut line = Line::new();
    line.invited(180, "a");
    line.hang_up(HangUpCause::Client);
    line.answer("CANCEL", 200, "a", "", "");
    line.transcript.clear();
    line.wait(31_999);
    line.check("");
    line.wait(1);
    line.check("32000 ! ended canceled none by Us code None");
}

#[test]
fn every_other_branch_that_answers_is_acknowledged_and_ended() {
    let mut line = up();
    line.answered("b");
    line.answered("a");
    line.answered("b");
    line.check(
        "0 < 200 INVITE
         0 > ACK 1
         0 > BYE 2 SIP;cause=487;text=\"Answered elsewhere\"
         0 < 200 INVITE
         0 > ACK 1
         0 < 200 INVITE
         0 > ACK 1",
    );
    line.answer("BYE", 200, "b", "", "");
    line.ask("BYE", 1, "a", "", "");
    line.check(
        "0 < 200 BYE
         0 < BYE
         0 ! ended answered none by Peer code Some(200) answered
         0 > 200 BYE",
    );
}

#[test]
fn a_repeated_2xx_gets_the_same_ack() {
    let mut line = up();
    let first = line
        .wire
        .iter()
        .position(|sent| sent.is_request("ACK"))
        .unwrap();
    line.answered("a");
    assert_eq!(line.last().via.branch, line.wire[first].via.branch);
    assert_ne!(
        line.last().via.branch,
        line.wire[0].via.branch,
        "an ACK of its own: RFC 3261 section 13.2.2.4"
    );
}

#[test]
fn silence_is_retransmitted_into_until_the_permit_ends() {
    let mut line = Line::new();
    line.wait(40_000);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         500 > INVITE 1
         500 ! sent
         1500 ! permit spent
         4000 ! ended unreachable trunk by Timeout code None",
    );
    line.check_gone();
}

#[test]
fn a_wall_clock_that_was_set_ends_the_permit_too() {
    let mut line = Line::new();
    line.wall_ms -= 501;
    line.wait(600);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         500 ! permit spent",
    );
}

#[test]
fn after_the_permit_the_call_goes_on_listening() {
    let mut line = Line::new();
    line.wait(3000);
    line.invited(180, "a");
    line.answered("a");
    line.transcript.drain(..5);
    line.check(
        "3000 < 180 INVITE
         3000 ! ringing 180
         3000 < 200 INVITE
         3000 > ACK 1
         3000 ! answered",
    );
}

#[test]
fn a_full_socket_asks_the_permit_again() {
    let mut line = Line::new();
    line.blocked = true;
    line.wait(500);
    line.blocked = false;
    line.write();
    line.check(
        "0 > INVITE 1
         0 ! sent first
         500 > INVITE 1
         500 ! sent",
    );
    line.blocked = true;
    line.wait(1000);
    line.blocked = false;
    line.write();
    line.check("1500 ! permit spent");
}

#[test]
fn nothing_sent_in_time_means_nothing_sent() {
    let mut line = Line::idle(trunk());
    (line.ms, line.wall_ms) = (1500, 1500);
    line.input(Input::Start);
    line.check("1500 ! ended permit_expired none by Timeout code None");
    assert!(line.call.is_done(), "nobody can answer what was not sent");
}

#[test]
fn a_late_send_is_noticed() {
    let mut line = Line::new();
    line.transcript.clear();
    line.freeze_ms = 1600;
    line.wait(500);
    line.check("500 > INVITE 1\n500 ! sent late");
}

const CHALLENGE: &str =
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";
const STALE: &str =
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true\r\n";

#[test]
fn a_challenge_is_answered_under_the_same_permit() {
    let mut line = Line::new();
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    let invite = line.last();
    assert_eq!((invite.cseq, invite.call_id.as_str()), (2, "call"));
    assert_ne!(invite.via.branch, line.wire[0].via.branch);
    assert!(
        invite
            .first("Proxy-Authorization")
            .unwrap()
            .contains("algorithm=SHA-256")
    );
    line.answer("INVITE", 407, "x", STALE, "");
    line.answered("a");
    assert!(
        line.last().first("Proxy-Authorization").is_some(),
        "the ACK carries them too"
    );
    line.hang_up(HangUpCause::Client);
    assert!(
        line.last()
            .first("Proxy-Authorization")
            .unwrap()
            .contains("nc=00000002")
    );
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 407 INVITE
         0 > ACK 1
         0 > INVITE 2
         0 ! sent
         0 < 407 INVITE
         0 > ACK 2
         0 > INVITE 3
         0 ! sent
         0 < 200 INVITE
         0 > ACK 3
         0 ! answered
         0 > BYE 4 Q.850;cause=16;text=\"Normal call clearing\"
         0 ! ended answered none by Us code Some(200) answered",
    );
}

#[test]
fn a_second_challenge_without_stale_is_a_refusal() {
    let mut line = Line::new();
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    let ended = line.transcript.last().unwrap();
    assert_eq!(
        ended,
        "0 ! ended trunk_auth_failed fix by Peer code Some(407)"
    );
}

#[test]
fn a_repeated_challenge_is_acknowledged_and_answered_once() {
    let mut line = Line::new();
    let (via, cseq) = (line.wire[0].via.text.clone(), 1);
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.transcript.clear();
    line.answer_to(&via, cseq, "INVITE", 407, "x", CHALLENGE, "");
    line.check("0 < 407 INVITE\n0 > ACK 1");
}

#[test]
fn a_late_challenge_waits_for_a_new_claim() {
    let mut line = Line::new();
    line.invited(100, "");
    line.wait(1600);
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.wait(200);
    line.input(Input::Control(Control::Renew(permit_at(1700))));
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 100 INVITE
         0 ! progress 100
         1500 ! permit spent
         1600 < 407 INVITE
         1600 > ACK 1
         1600 ! permit needed
         1800 > INVITE 2
         1800 ! sent
         1800 < 200 INVITE
         1800 > ACK 2
         1800 ! answered",
    );
}

#[test]
fn without_a_new_claim_a_challenged_call_ends() {
    let late = || {
        let mut line = Line::new();
        line.invited(100, "");
        line.wait(1600);
        line.answer("INVITE", 407, "x", CHALLENGE, "");
        line.transcript.clear();
        line
    };
    let mut line = late();
    line.wait(10_000);
    line.check("11600 ! ended permit_expired none by Timeout code None");
    line.check_gone();
    let mut line = late();
    line.hang_up(HangUpCause::OptOut);
    line.check("1600 ! ended canceled never by Us code None");
    let mut line = late();
    let other = Permit::for_test(phone("+14045550199"), Some(phone(CALLER)), line.now());
    line.input(Input::Control(Control::Renew(other)));
    line.check(
        "1600 ! note: the new permit is for another call
         1600 ! ended permit_expired none by Timeout code None",
    );
}

#[test]
fn a_permit_nobody_asked_for_is_dropped() {
    let mut line = up();
    line.input(Input::Control(Control::Renew(permit_at(0))));
    assert!(line.call.permit.is_none());
    line.check("");
}

#[test]
fn an_answer_without_fitting_media_is_ended() {
    for body in ["", &ANSWER.replace("audio 5000", "audio 0")] {
        let mut line = Line::new();
        line.answer(
            "INVITE",
            200,
            "a",
            "Contact: <sip:callee@127.0.0.1:5062>\r\n",
            body,
        );
        line.check(
            "0 > INVITE 1
             0 ! sent first
             0 < 200 INVITE
             0 > ACK 1
             0 > BYE 2 SIP;cause=488;text=\"Not Acceptable Here\"
             0 ! ended media_incompatible fix by Us code Some(200) answered",
        );
    }
}

#[test]
fn media_of_the_same_early_dialog_counts_as_the_answer() {
    let mut line = Line::new();
    line.answer("INVITE", 183, "a", "", ANSWER);
    line.invited(200, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 183 INVITE
         0 ! early media 183
         0 < 200 INVITE
         0 > ACK 1
         0 ! answered",
    );
    let mut line = Line::new();
    line.answer("INVITE", 183, "a", "", ANSWER);
    line.invited(200, "b");
    assert!(
        line.transcript
            .last()
            .unwrap()
            .contains("media_incompatible"),
        "another dialog's does not"
    );
}

#[test]
fn requests_follow_the_route_set_and_the_contact() {
    let mut line = Line::new();
    let headers = "Contact: <sip:j.doe@callee.example;x=1>\r\nRecord-Route: <sip:127.0.0.9:5099;lr>, <sip:p2.example;lr>\r\nRecord-Route: <sip:p3.example;lr>\r\n";
    line.answer("INVITE", 200, "a", headers, ANSWER);
    let ack = line.last();
    let Start::Request { uri } = &ack.start else {
        panic!()
    };
    assert_eq!(uri, "sip:j.doe@callee.example;x=1");
    assert_eq!(
        ack.lines("Route").collect::<Vec<_>>(),
        [
            "<sip:p3.example;lr>",
            "<sip:p2.example;lr>",
            "<sip:127.0.0.9:5099;lr>"
        ]
    );
}

#[test]
fn a_reliable_provisional_gets_its_prack_once() {
    let mut line = Line::new();
    let headers = "Require: 100rel\r\nRSeq: 9\r\nContact: <sip:callee@127.0.0.1:5062>\r\n";
    line.answer("INVITE", 183, "a", headers, ANSWER);
    assert_eq!(line.last().first("RAck"), Some("9 1 INVITE"));
    line.answer("INVITE", 183, "a", headers, ANSWER);
    line.answer("PRACK", 200, "a", "", "");
    line.answered("a");
    line.hang_up(HangUpCause::Client);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 183 INVITE
         0 > PRACK 2
         0 ! early media 183
         0 < 183 INVITE
         0 < 200 PRACK
         0 < 200 INVITE
         0 > ACK 1
         0 ! answered
         0 > BYE 3 Q.850;cause=16;text=\"Normal call clearing\"
         0 ! ended answered none by Us code Some(200) answered",
    );
}

#[test]
fn a_refresh_is_answered_and_another_session_declined() {
    let mut line = up();
    line.ask("INVITE", 1, "a", "", ANSWER);
    assert_eq!(
        line.last().body,
        OFFER.as_bytes(),
        "our session as it stands"
    );
    line.wait(500);
    line.ask("ACK", 1, "a", "", "");
    line.wait(5000);
    line.ask("INVITE", 2, "a", "", &ANSWER.replace("5000", "5002"));
    line.ask("ACK", 2, "a", "", "");
    line.ask("INVITE", 3, "a", "", "");
    assert_eq!(line.last().body, OFFER.as_bytes(), "asked for an offer");
    line.ask("ACK", 3, "a", "", "");
    line.ask("UPDATE", 4, "a", "", "");
    assert!(line.last().body.is_empty());
    line.check(
        "0 < INVITE
         0 > 200 INVITE
         500 > 200 INVITE
         500 < ACK
         5500 < INVITE
         5500 ! media offer
         5500 > 488 INVITE
         5500 < ACK
         5500 < INVITE
         5500 > 200 INVITE
         5500 < ACK
         5500 < UPDATE
         5500 > 200 UPDATE",
    );
    line.wait(60_000);
    line.check("");
}

#[test]
fn a_refresh_that_is_never_acknowledged_ends_the_call() {
    let mut line = up();
    line.ask("INVITE", 1, "a", "", ANSWER);
    line.wait(32_000);
    let tail = line.transcript.split_off(line.transcript.len() - 2);
    assert_eq!(
        tail,
        [
            "32000 > BYE 2 SIP;cause=408",
            "32000 ! ended answered none by Timeout code Some(200) answered"
        ]
    );
}

#[test]
fn other_requests_within_the_call_get_their_due() {
    let mut line = up();
    for (cseq, (method, headers, expected)) in [
        ("OPTIONS", "", 200),
        ("INFO", "", 200),
        ("REFER", "Refer-To: <sip:x@y>\r\n", 603),
        ("SUBSCRIBE", "", 405),
        ("FROBNICATE", "", 501),
        ("INFO", "Require: foo\r\n", 420),
        ("PRACK", "", 481),
    ]
    .into_iter()
    .enumerate()
    {
        line.ask(method, u32::try_from(cseq).unwrap() + 10, "a", headers, "");
        let Start::Response { code, .. } = line.last().start else {
            panic!()
        };
        assert_eq!(code, expected, "{method}");
    }
    line.ask("INFO", 3, "a", "", "");
    assert!(
        line.transcript.last().unwrap().contains("500 INFO"),
        "older than the last"
    );
    line.ask("INFO", 90, "stranger", "", "");
    assert!(line.transcript.last().unwrap().contains("481 INFO"));
}

#[test]
fn byes_that_cross_end_the_call_once() {
    let mut line = up();
    line.hang_up(HangUpCause::Drain);
    line.ask("BYE", 1, "a", "", "");
    line.answer("BYE", 481, "a", "", "");
    line.check(
        "0 > BYE 2 SIP;cause=503;text=\"Service shutting down\"
         0 ! ended answered none by Us code Some(200) answered
         0 < BYE
         0 > 200 BYE
         0 < 481 BYE",
    );
    line.check_gone();
    line.check("");
}

#[test]
fn a_bye_is_repeated_until_it_is_answered() {
    let mut line = up();
    line.hang_up(HangUpCause::Client);
    line.transcript.clear();
    line.wait(60_000);
    let times: Vec<_> = line
        .transcript
        .iter()
        .map(|entry| entry.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        times,
        [
            "500", "1500", "3500", "7500", "11500", "15500", "19500", "23500", "27500", "31500"
        ]
    );
    assert!(line.call.is_done());
}

#[test]
fn a_challenged_bye_is_sent_once_more() {
    let mut line = up();
    line.hang_up(HangUpCause::Client);
    line.answer("BYE", 407, "a", CHALLENGE, "");
    assert!(line.last().first("Proxy-Authorization").is_some());
    line.answer("BYE", 407, "a", CHALLENGE, "");
    let byes = line
        .wire
        .iter()
        .filter(|sent| sent.is_request("BYE"))
        .count();
    assert_eq!(byes, 2);
}

#[test]
fn a_call_that_lasts_too_long_is_ended() {
    let mut line = up();
    line.wait(3_600_000);
    line.check(
        "3600000 > BYE 2 Q.850;cause=102;text=\"Maximum duration\"
         3600000 ! ended answered none by Timeout code Some(200) answered",
    );
}

#[test]
fn a_far_end_cannot_fill_the_owners_channel() {
    let mut line = Line::new();
    for round in 0..500 {
        line.answer("INVITE", 180 + round % 4, "a", "", "");
    }
    let told = line
        .transcript
        .iter()
        .filter(|entry| entry.contains(" ! "))
        .count();
    assert!(told <= usize::from(REPORTS_MAX) + 2, "{told}");
    line.answered("a");
    assert!(line.transcript.last().unwrap().ends_with("answered"));
}

#[test]
fn a_response_for_another_call_changes_nothing() {
    let mut line = Line::new();
    line.transcript.clear();
    let via = "SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKother;rport";
    line.answer_to(via, 1, "INVITE", 200, "a", "", ANSWER);
    line.check("0 < 200 INVITE");
}

mod any_order {
    //! Whatever comes in whatever order: one ending, told last; nothing sent under a spent permit; all gone in the end.

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Answer(u16, bool, u8),
        Ask(u8),
        HangUp,
        Renew,
        Block(bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let codes = prop::sample::select(vec![
            100, 180, 183, 199, 200, 302, 401, 407, 480, 486, 487, 503, 603,
        ]);
        let step = prop_oneof![
            (0..4_000_u64).prop_map(Step::Wait),
            (codes, any::<bool>(), 0..3_u8)
                .prop_map(|(code, sdp, tag)| Step::Answer(code, sdp, tag)),
            (0..6_u8).prop_map(Step::Ask),
            Just(Step::HangUp),
            Just(Step::Renew),
            any::<bool>().prop_map(Step::Block),
        ];
        prop::collection::vec(step, 0..25)
    }

    proptest! {
        #[test]
        fn a_call_ends_once_and_leaves_nothing(steps in steps()) {
            let mut line = Line::new();
            let mut counted_from = 0;
            for (index, step) in steps.into_iter().enumerate() {
                let before = line.transcript.len();
                match step {
                    Step::Wait(ms) => line.wait(ms),
                    Step::Answer(code, sdp, tag) => {
                        let headers = format!("Contact: <sip:c@127.0.0.1:5062>\r\n{}", match code {
                            401 => CHALLENGE.replace("Proxy", "WWW"),
                            407 => STALE.to_owned(),
                            _ => String::new(),
                        });
                        line.answer("INVITE", code, ["a", "b", ""][usize::from(tag)], &headers, if sdp { ANSWER } else { "" });
                    }
                    Step::Ask(kind) => {
                        let method = ["BYE", "INVITE", "ACK", "UPDATE", "INFO", "CANCEL"][usize::from(kind)];
                        line.ask(method, u32::try_from(index).unwrap() + 1, "a", "", if kind == 1 { ANSWER } else { "" });
                    }
                    Step::HangUp => line.hang_up(HangUpCause::Client),
                    Step::Renew => {
                        if line.call.state == State::AwaitingPermit {
                            counted_from = line.ms;
                        }
                        line.input(Input::Control(Control::Renew(permit_at(line.ms))));
                    }
                    Step::Block(blocked) => {
                        line.blocked = blocked;
                        if !blocked && line.call.invite.pending {
                            line.write();
                        }
                    }
                }
                for entry in &line.transcript[before..] {
                    let at: u64 = entry.split(' ').next().unwrap().parse().unwrap();
                    if entry.contains("> INVITE") {
                        prop_assert!(at - counted_from < 1500, "{entry} under a permit of {counted_from}");
                    }
                }
                if line.call.permit.is_none() {
                    prop_assert!(!line.call.invite.pending);
                }
            }
            line.blocked = false;
            line.hang_up(HangUpCause::Client);
            line.wait(200_000);
            let endings = line.transcript.iter().filter(|entry| entry.contains("! ended")).count();
            prop_assert_eq!(endings, 1, "{:#?}", line.transcript);
            let told: Vec<_> = line.transcript.iter().filter(|entry| entry.contains(" ! ")).collect();
            prop_assert!(told.last().unwrap().contains("! ended"), "{:#?}", told);
            prop_assert!(line.call.is_done());
            prop_assert!(line.call.permit.is_none());
        }
    }
}

#[test]
fn a_strict_router_becomes_the_request_uri() {
    let mut line = Line::new();
    let headers = "Contact: <sip:callee@192.0.2.5>\r\nRecord-Route: <sip:127.0.0.9:5099>\r\n";
    line.answer("INVITE", 200, "a", headers, ANSWER);
    let ack = line.last();
    let Start::Request { uri } = &ack.start else {
        panic!("a request");
    };
    assert_eq!(uri, "sip:127.0.0.9:5099");
    assert_eq!(ack.first("Route"), Some("<sip:callee@192.0.2.5>"));
}

#[test]
fn what_is_no_uri_in_a_route_is_not_repeated() {
    let mut line = Line::new();
    let headers = "Contact: <sip:callee@192.0.2.5>\r\nRecord-Route: <sip:p1.example;lr>;x=\"\u{1}\", <sip:p\0.example;lr>\r\n\
                   Record-Route: <sip:p\t3.example;lr>, <sip:p4.example;lr\u{7f}>, \"P\t5\" <sip:p5.example;lr>\r\n";
    line.answer("INVITE", 200, "a", headers, ANSWER);
    let ack = line.last();
    assert_eq!(
        ack.lines("Route").collect::<Vec<_>>(),
        ["<sip:p5.example;lr>", "<sip:p1.example;lr>"]
    );
}
