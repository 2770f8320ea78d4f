//! The carriers and the phones behind them: scripted by the seed, one script a call, none of them kind. They share nothing
//! with `dialgate::sip`, answer over the same bad network, and repeat what is not acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::world::{CARRIERS, DESKS, NEXT};
use crate::joints::rng::Rng;
use crate::joints::sink::Message;

/// For how long a registration holds.
const GRANTED_SECONDS: u64 = 6;

/// The first carrier's own target gives no sign of life now and then, and the second's registrar hears nobody for longer than
/// it believes.
fn is_silent(now: Duration, home: SocketAddr) -> bool {
    let [first, second] = CARRIERS.map(|carrier| carrier.parse::<SocketAddr>().unwrap());
    match home {
        home if home == first => (5..10).contains(&(now.as_secs() % 16)),
        home if home == second => (3..11).contains(&(now.as_secs() % 20)),
        _ => false,
    }
}

/// A datagram on its way out.
pub struct Outgoing {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub text: String,
    /// What it answers and with which code, if it answers an INVITE.
    pub answers: Option<(Message, u16)>,
}

/// What becomes of one call.
#[derive(Debug, Clone)]
struct Script {
    /// Asks for credentials after so long.
    challenge: Option<Duration>,
    trying: bool,
    ring: Option<Duration>,
    early_media: bool,
    end: End,
    end_after: Duration,
    on_cancel: OnCancel,
    /// The callee hangs up after so long.
    talk: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answer,
    Refuse(u16, &'static str),
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnCancel {
    Terminate,
    /// The answer crosses the CANCEL.
    AnswerAllTheSame,
    /// Takes note of it, and nothing follows.
    OnlySayYes,
    Ignore,
}

struct Leg {
    script: Script,
    /// The INVITE under way.
    invite: Message,
    /// Which INVITE of the call it is; what was planned for another one is void.
    round: u32,
    node: SocketAddr,
    home: SocketAddr,
    tag: String,
    said: Option<(u16, &'static str)>,
    acknowledged: bool,
    over: bool,
    byes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Challenge,
    Trying,
    Ring,
    End,
    /// Says a final answer again, with the interval to the time after.
    Again(Duration),
    HangUp,
}

pub struct Carrier {
    rng: Rng,
    /// How the target fails that is not its trunk's last.
    failing: Rng,
    /// What agents do.
    desks: Rng,
    calls: BTreeMap<String, Leg>,
    due: BTreeMap<(Duration, u64), (String, u32, Next)>,
    made: u64,
    out: Vec<Outgoing>,
}

impl Carrier {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed, 2),
            failing: Rng::new(seed, 6),
            desks: Rng::new(seed, 7),
            calls: BTreeMap::new(),
            due: BTreeMap::new(),
            made: 0,
            out: Vec::new(),
        }
    }

    pub fn hear(
        &mut self,
        now: Duration,
        home: SocketAddr,
        node: SocketAddr,
        bytes: &[u8],
    ) -> Vec<Outgoing> {
        let message = Message::parse(&String::from_utf8_lossy(bytes));
        let Some(message) = message else {
            return Vec::new();
        };
        match message.what.as_str() {
            "INVITE" => self.invited(now, home, node, message),
            "OPTIONS" if is_silent(now, home) => {}
            "REGISTER" => self.registered(now, home, node, &message),
            "ACK" => self.acknowledged(now, &message),
            "CANCEL" => self.cancelled(now, home, node, &message),
            "BYE" => {
                let tag = self.calls.get_mut(message.get("call-id")).map(|leg| {
                    leg.over = true;
                    leg.tag.clone()
                });
                let code = if tag.is_some() {
                    (200, "OK")
                } else {
                    (481, "Call/Transaction Does Not Exist")
                };
                self.say(home, node, &message, code, &tag.unwrap_or_default());
            }
            "200" | "481" if message.get("cseq").ends_with("BYE") => {
                if let Some(leg) = self.calls.get_mut(message.get("call-id")) {
                    leg.over = true;
                }
            }
            method if method.chars().all(|char| char.is_ascii_digit()) => {}
            _ => self.say(home, node, &message, (200, "OK"), "other"),
        }
        std::mem::take(&mut self.out)
    }

    /// Does what is due.
    pub fn act(&mut self, now: Duration) -> Vec<Outgoing> {
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (call_id, round, next) = entry.remove();
            self.next(now, &call_id, round, next);
        }
        std::mem::take(&mut self.out)
    }

    fn script(&mut self) -> Script {
        let rng = &mut self.rng;
        let short = |rng: &mut Rng| rng.millis(0, 60);
        let challenge = match rng.below(100) {
            0..12 => Some(short(rng)),
            12..18 => Some(rng.millis(1_000, 2_400)),
            _ => None,
        };
        let end = match rng.below(100) {
            0..52 => End::Answer,
            52..62 => End::Refuse(486, "Busy Here"),
            62..67 => End::Refuse(503, "Service Unavailable"),
            67..70 => End::Refuse(603, "Decline"),
            70..72 => End::Refuse(607, "Unwanted"),
            72..74 => End::Refuse(404, "Not Found"),
            74..76 => End::Refuse(480, "Temporarily Unavailable"),
            _ => End::Never,
        };
        let ring = match rng.below(100) {
            0..75 => Some(rng.millis(0, 300)),
            75..82 => Some(rng.millis(300, 2_500)),
            _ => None,
        };
        let on_cancel = match rng.below(100) {
            0..60 => OnCancel::Terminate,
            60..85 => OnCancel::AnswerAllTheSame,
            85..93 => OnCancel::OnlySayYes,
            _ => OnCancel::Ignore,
        };
        Script {
            challenge,
            trying: rng.percent(70),
            ring,
            early_media: rng.percent(20),
            end,
            end_after: if rng.percent(85) {
                rng.millis(20, 1_500)
            } else {
                rng.millis(1_500, 9_000)
            },
            on_cancel,
            talk: rng.percent(85).then(|| rng.millis(50, 4_000)),
        }
    }

    /// A call at the target that fails now and then: it refuses, or says nothing, or nothing until it is given up.
    fn script_at(&mut self, now: Duration, home: SocketAddr) -> Script {
        if home == DESKS.parse().unwrap() {
            return self.script_at_desk();
        }
        let script = self.script();
        let (failing, next) = (CARRIERS[0].parse().unwrap(), NEXT.parse().unwrap());
        let rng = &mut self.failing;
        if home == next && rng.percent(20) {
            // Then it is the turn of the other trunk.
            return Script {
                challenge: None,
                ring: None,
                end: End::Refuse(503, "Service Unavailable"),
                end_after: rng.millis(0, 1_000),
                ..script
            };
        }
        if home != failing {
            return script;
        }
        let silent = Script {
            challenge: None,
            trying: false,
            ring: None,
            end: End::Never,
            ..script.clone()
        };
        if is_silent(now, home) {
            return silent;
        }
        match rng.below(100) {
            0..12 => Script {
                end: End::Refuse(503, "Service Unavailable"),
                end_after: rng.millis(0, 2_400),
                ..silent
            },
            12..18 => Script {
                trying: true,
                end: End::Refuse(500, "Server Internal Error"),
                end_after: rng.millis(1_000, 4_000),
                ..silent
            },
            18..22 => silent,
            22..26 => Script {
                ring: Some(rng.millis(2_300, 4_000)),
                end: script.end,
                ..silent
            },
            _ => script,
        }
    }

    /// Most agents pick up and stay; some leave while they wait, while it rings, or in the middle of a sentence.
    fn script_at_desk(&mut self) -> Script {
        let rng = &mut self.desks;
        let end = match rng.below(100) {
            0..80 => End::Answer,
            80..86 => End::Refuse(486, "Busy Here"),
            86..90 => End::Refuse(603, "Decline"),
            _ => End::Never,
        };
        Script {
            challenge: rng.percent(20).then(|| rng.millis(0, 2_400)),
            trying: rng.percent(70),
            ring: Some(rng.millis(0, 200)),
            early_media: false,
            end,
            end_after: rng.millis(10, 1_500),
            on_cancel: match rng.percent(80) {
                true => OnCancel::Terminate,
                false => OnCancel::AnswerAllTheSame,
            },
            talk: rng.percent(60).then(|| rng.millis(20, 5_000)),
        }
    }

    /// The second carrier wants to know who calls, believes it for seconds, and has hours at which it hears nobody.
    fn registered(&mut self, now: Duration, home: SocketAddr, node: SocketAddr, message: &Message) {
        if is_silent(now, home) {
            return;
        }
        let code = match message.get("proxy-authorization").is_empty() {
            true => (407, "Proxy Authentication Required"),
            false => (200, "OK"),
        };
        self.made += 1;
        self.say(home, node, message, code, "registrar");
    }

    fn invited(&mut self, now: Duration, home: SocketAddr, node: SocketAddr, invite: Message) {
        let call_id = invite.get("call-id").to_owned();
        if invite.get("to").contains(";tag=") {
            // Another session within the call: taken, as long as there is one.
            let is_up = self.calls.get(&call_id).is_some_and(|leg| !leg.over);
            let code = match is_up {
                true => (200, "OK"),
                false => (481, "Call/Transaction Does Not Exist"),
            };
            return self.say(home, node, &invite, code, "");
        }
        if let Some(leg) = self.calls.get(&call_id)
            && leg.invite.branch() == invite.branch()
        {
            if let Some((code, phrase)) = leg.said {
                self.respond(&call_id, code, phrase);
            }
            return;
        }
        let round = self.calls.get(&call_id).map_or(0, |leg| leg.round + 1);
        let script = match self.calls.get(&call_id) {
            Some(leg) => leg.script.clone(),
            None => self.script_at(now, home),
        };
        self.made += 1;
        let trusted = !invite.get("proxy-authorization").is_empty();
        let tag = format!("callee{}", self.made);
        let leg = Leg {
            script: script.clone(),
            invite,
            round,
            node,
            home,
            tag,
            said: None,
            acknowledged: false,
            over: false,
            byes: 0,
        };
        self.calls.insert(call_id.clone(), leg);
        if script.trying {
            self.later(now, Duration::from_millis(1), &call_id, Next::Trying);
        }
        match script.challenge.filter(|_| !trusted) {
            Some(after) => self.later(now, after, &call_id, Next::Challenge),
            None => {
                if let Some(after) = script.ring {
                    self.later(now, after, &call_id, Next::Ring);
                }
                if script.end != End::Never {
                    let after = script.ring.unwrap_or_default() + script.end_after;
                    self.later(now, after, &call_id, Next::End);
                }
            }
        }
    }

    fn acknowledged(&mut self, now: Duration, message: &Message) {
        let call_id = message.get("call-id").to_owned();
        let Some(leg) = self.calls.get_mut(&call_id) else {
            return;
        };
        // The ACK of a failure bears the branch of its INVITE, that of a 2xx one of its own.
        let of_success = message.branch() != leg.invite.branch();
        let Some((code, _)) = leg.said else { return };
        if leg.acknowledged
            || (code == 200) != of_success
            || code < 200
            || message.cseq() != leg.invite.cseq()
        {
            return;
        }
        leg.acknowledged = true;
        if code == 200
            && let Some(talk) = leg.script.talk
        {
            self.later(now, talk, &call_id, Next::HangUp);
        }
    }

    fn cancelled(&mut self, now: Duration, home: SocketAddr, node: SocketAddr, message: &Message) {
        let call_id = message.get("call-id").to_owned();
        let known = self
            .calls
            .get(&call_id)
            .filter(|leg| leg.invite.branch() == message.branch());
        let Some(leg) = known else {
            return self.say(
                home,
                node,
                message,
                (481, "Call/Transaction Does Not Exist"),
                "none",
            );
        };
        let (on_cancel, tag) = (leg.script.on_cancel, leg.tag.clone());
        let open = leg.said.is_none_or(|(code, _)| code < 200);
        if on_cancel == OnCancel::Ignore {
            return;
        }
        if open && on_cancel == OnCancel::AnswerAllTheSame {
            self.finish(now, &call_id, 200, "OK");
        }
        self.say(home, node, message, (200, "OK"), &tag);
        if open && on_cancel == OnCancel::Terminate {
            self.finish(now, &call_id, 487, "Request Terminated");
        }
    }

    fn next(&mut self, now: Duration, call_id: &str, round: u32, next: Next) {
        let Some(leg) = self
            .calls
            .get_mut(call_id)
            .filter(|leg| leg.round == round && !leg.over)
        else {
            return;
        };
        let open = leg.said.is_none_or(|(code, _)| code < 200);
        let script = leg.script.clone();
        match next {
            Next::Trying if leg.said.is_none() => self.respond(call_id, 100, "Trying"),
            Next::Ring if open && script.early_media => {
                self.respond(call_id, 183, "Session Progress")
            }
            Next::Ring if open => self.respond(call_id, 180, "Ringing"),
            Next::Challenge if open => {
                self.finish(now, call_id, 407, "Proxy Authentication Required")
            }
            Next::End if open => match script.end {
                End::Answer => self.finish(now, call_id, 200, "OK"),
                End::Refuse(code, phrase) => self.finish(now, call_id, code, phrase),
                End::Never => {}
            },
            Next::Again(interval) if !leg.acknowledged && interval < Duration::from_secs(20) => {
                if let Some((code, phrase)) = leg.said {
                    self.respond(call_id, code, phrase);
                    self.later(now, interval, call_id, Next::Again(interval * 2));
                }
            }
            Next::HangUp if leg.byes < 6 => {
                leg.byes += 1;
                self.hang_up(call_id);
                self.later(now, Duration::from_millis(700), call_id, Next::HangUp);
            }
            _ => {}
        }
    }

    fn finish(&mut self, now: Duration, call_id: &str, code: u16, phrase: &'static str) {
        const T1: Duration = Duration::from_millis(500);
        self.respond(call_id, code, phrase);
        self.later(now, T1, call_id, Next::Again(T1 * 2));
    }

    fn later(&mut self, now: Duration, after: Duration, call_id: &str, next: Next) {
        self.made += 1;
        let round = self.calls.get(call_id).map_or(0, |leg| leg.round);
        self.due
            .insert((now + after, self.made), (call_id.to_owned(), round, next));
    }

    fn respond(&mut self, call_id: &str, code: u16, phrase: &'static str) {
        let Some(leg) = self.calls.get_mut(call_id) else {
            return;
        };
        leg.said = Some((code, phrase));
        let (invite, home, node, tag) = (leg.invite.clone(), leg.home, leg.node, leg.tag.clone());
        self.say(home, node, &invite, (code, phrase), &tag);
    }

    fn say(
        &mut self,
        home: SocketAddr,
        node: SocketAddr,
        about: &Message,
        (code, phrase): (u16, &str),
        tag: &str,
    ) {
        const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
        let mut text = format!("SIP/2.0 {code} {phrase}\r\n");
        for (_, via) in about.headers.iter().filter(|(name, _)| name == "via") {
            text += &format!("Via: {via}\r\n");
        }
        let tag = match code == 100 || about.get("to").contains(";tag=") {
            true => String::new(),
            false => format!(";tag={tag}"),
        };
        let (from, to, call_id, cseq) = (
            about.get("from"),
            about.get("to"),
            about.get("call-id"),
            about.get("cseq"),
        );
        text += &format!("From: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n");
        if code == 407 {
            let nonce = self.made;
            text += &format!(
                "Proxy-Authenticate: Digest realm=\"callee\", nonce=\"n{nonce}\", algorithm=SHA-256, qop=\"auth\"\r\n"
            );
        }
        if about.what == "REGISTER" {
            text += &format!("Expires: {GRANTED_SECONDS}\r\n");
        }
        let with_sdp = about.what == "INVITE" && matches!(code, 183 | 200);
        if with_sdp {
            text += &format!("Contact: <sip:{home}>\r\nContent-Type: application/sdp\r\n");
        }
        let body = if with_sdp { SDP } else { "" };
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let answers = (about.what == "INVITE").then(|| (about.clone(), code));
        self.out.push(Outgoing {
            from: home,
            to: node,
            text,
            answers,
        });
    }

    fn hang_up(&mut self, call_id: &str) {
        let leg = &self.calls[call_id];
        let (invite, home, tag, round) = (&leg.invite, leg.home, &leg.tag, leg.round);
        let contact = invite.get("contact").trim_matches(['<', '>']);
        let (from, to) = (invite.get("to"), invite.get("from"));
        let text = format!(
            "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {home};branch=z9hG4bKbye{round}{tag};rport\r\nMax-Forwards: 70\r\n\
             From: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        );
        self.out.push(Outgoing {
            from: home,
            to: leg.node,
            text,
            answers: None,
        });
    }
}
