//! The call flows of RFC 3665 and RFC 3666 that concern who places calls, each by its section, with SIPp as all that is beyond us:
//! it checks what it hears, and is content only if all of it came in order. Not among them: what a registrar or a proxy does
//! itself (3665 section 2, 3.5), and offers within an ACK (in 3.6), for we always offer in the INVITE.
//!
//! Behind them what these flows leave out: 2xx of several phones to one INVITE, and offers that cross.

use dialgate::dialer::TrunkConfig;
use dialgate::domain::ids::{CallId, InstructionId};
use dialgate::domain::instruction::{Instruct, Instruction};
use dialgate::grpc::pb;

use super::over_grpc::Line;
use super::sipp::Sipp;
use super::*;
use crate::grpc::house::ATLANTA;

const NUMBER: &str = "+14045550148";

/// What SIPp plays, step by step.
#[derive(Clone)]
struct Flow {
    steps: String,
    variables: Vec<String>,
}

impl Flow {
    /// It has heard our INVITE.
    fn invited() -> Self {
        let variables = ["cseq", "to", "from", "target", "via"];
        let flow = Self {
            steps: String::new(),
            variables: variables.map(str::to_owned).to_vec(),
        };
        flow.hears_invite("")
    }

    fn step(mut self, text: &str) -> Self {
        self.steps.push_str(text);
        self
    }

    /// An INVITE of ours, in which this expression is found.
    fn hears_invite(mut self, expression: &str) -> Self {
        let check = self.check(expression);
        self.step(&format!(
            r#"<recv request="INVITE"><action>
<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="cseq" />
<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via" />
<ereg regexp="&lt;[^&gt;]*&gt;" search_in="hdr" header="To:" assign_to="to" />
<ereg regexp="&lt;.*" search_in="hdr" header="From:" assign_to="from" />
<ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="target" />
{check}</action></recv>
"#
        ))
    }

    fn check(&mut self, expression: &str) -> String {
        if expression.is_empty() {
            return String::new();
        }
        let name = format!("check{}", self.variables.len());
        let check = format!(
            r#"<ereg regexp="{expression}" search_in="msg" check_it="true" assign_to="{name}" />"#
        );
        self.variables.push(name);
        check
    }

    /// Another request of ours, in which this expression is found.
    fn hears(mut self, method: &str, expression: &str) -> Self {
        let check = self.check(expression);
        let action = match check.is_empty() {
            true => String::new(),
            false => format!("<action>{check}</action>"),
        };
        self.step(&format!("<recv request=\"{method}\">{action}</recv>\n"))
    }

    /// A response to our INVITE; `tag` tells phones apart.
    fn says_as(self, tag: &str, status: &str, headers: &str, sdp: &str) -> Self {
        let is_final = !status.starts_with('1');
        let retrans = if is_final { " retrans=\"500\"" } else { "" };
        let to = if status.starts_with("100") {
            "To:[$to]".to_owned()
        } else {
            format!("To:[$to];tag=[pid]{tag}[call_number]")
        };
        let body = match sdp {
            "" => "Content-Length: 0\n\n".to_owned(),
            sdp => format!("Content-Type: application/sdp\n  Content-Length: [len]\n\n{sdp}"),
        };
        let headers: String = headers.lines().map(|line| format!("  {line}\n")).collect();
        self.step(&format!(
            "<send{retrans}><![CDATA[\n  SIP/2.0 {status}\n  Via:[$via]\n  From:[$from]\n  {to}\n  [last_Call-ID:]\n  CSeq: [$cseq] INVITE\n{headers}  {body}]]></send>\n"
        ))
    }

    fn says(self, status: &str) -> Self {
        self.says_as("a", status, "", "")
    }

    /// A refusal, and its ACK.
    fn refuses(self, status: &str, headers: &str) -> Self {
        self.says_as("a", status, headers, "").hears("ACK", "")
    }

    /// A 200 or 183 with a session.
    fn with_session(self, status: &str, headers: &str) -> Self {
        let headers = format!("{CONTACT}\n{headers}");
        self.says_as("a", status, headers.trim_end(), &session(1, 6000))
    }

    /// 200 to the request that came last, which was no INVITE.
    fn agrees(self) -> Self {
        self.step(
            "<send><![CDATA[\n  SIP/2.0 200 OK\n  [last_Via:]\n  [last_From:]\n  [last_To:]\n  [last_Call-ID:]\n  [last_CSeq:]\n  Content-Length: 0\n\n]]></send>\n",
        )
    }

    /// A request of its own within the call.
    fn asks(self, method: &str, cseq: u32, sdp: &str) -> Self {
        let retrans = if method == "ACK" {
            ""
        } else {
            " retrans=\"500\""
        };
        let body = match sdp {
            "" => "Content-Length: 0\n\n".to_owned(),
            sdp => format!(
                "{CONTACT}\n  Content-Type: application/sdp\n  Content-Length: [len]\n\n{sdp}"
            ),
        };
        self.step(&format!(
            "<send{retrans}><![CDATA[\n  {method} [$target] SIP/2.0\n  Via: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-{method}{cseq};rport\n  Max-Forwards: 70\n  From:[$to];tag=[pid]a[call_number]\n  To:[$from]\n  [last_Call-ID:]\n  CSeq: {cseq} {method}\n  {body}]]></send>\n"
        ))
    }

    fn gets(self, code: u16) -> Self {
        self.step(&format!("<recv response=\"{code}\" />\n"))
    }

    fn waits(self, milliseconds: u32) -> Self {
        self.step(&format!("<pause milliseconds=\"{milliseconds}\" />\n"))
    }

    /// It hangs up.
    fn leaves(self) -> Self {
        self.waits(100).asks("BYE", 9, "").gets(200)
    }

    /// We hang up.
    fn sees_us_leave(self) -> Self {
        self.hears("BYE", "").agrees()
    }

    fn text(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<!DOCTYPE scenario SYSTEM \"sipp.dtd\">\n<scenario name=\"flow\">\n{}<timewait milliseconds=\"200\" />\n<Reference variables=\"{}\" />\n</scenario>\n",
            self.steps,
            self.variables.join(",")
        )
    }

    /// SIPp, waiting for a call; nothing if it is not installed, which in CI is a failure.
    fn play(&self) -> Option<Sipp> {
        Sipp::play_text(&self.text(), 1)
    }
}

const CONTACT: &str = "Contact: <sip:[local_ip]:[local_port]>";

fn session(version: u32, port: u16) -> String {
    format!(
        "  v=0\n  o=callee 1 {version} IN IP4 127.0.0.1\n  s=-\n  c=IN IP4 127.0.0.1\n  t=0 0\n  m=audio {port} RTP/AVP 0\n"
    )
}

/// As the proxies of the flows challenge.
fn challenge(realm: &str) -> String {
    format!(
        "Proxy-Authenticate: Digest realm=\"{realm}.example.com\", qop=\"auth\", nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5"
    )
}

const ROUTES: &str =
    "Record-Route: <sip:ss2.biloxi.example.com;lr>, <sip:ss1.atlanta.example.com;lr>";
/// The routes turned round, as requests take them (RFC 3261 section 12.1.2).
const THERE: &str = "Route: .sip:ss1.*Route: .sip:ss2";
const BUSY: &str = "Reason: Q.850;cause=17";

/// What we do in a flow.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    Nothing,
    /// Hangs up when this is told.
    HangUp(&'static str),
    /// Answers the far end's offer, and hangs up then.
    AnswerOffer,
}

/// Section, flow, what we do, and what it comes to.
type Row = (&'static str, Flow, Deed, Outcome, EndedBy);

fn successful() -> Vec<Row> {
    let rings = || Flow::invited().says("180 Ringing");
    let by_proxies = |flow: Flow| {
        flow.says("100 Trying")
            .says_as("a", "180 Ringing", &format!("{CONTACT}\n{ROUTES}"), "")
            .with_session("200 OK", ROUTES)
            .hears("ACK", THERE)
    };
    let authorized = || {
        Flow::invited()
            .refuses("407 Proxy Authorization Required", &challenge("atlanta"))
            .hears_invite("Proxy-Authorization: .*atlanta")
    };
    let (answered, nothing) = (Outcome::Answered, Deed::Nothing);
    let moved = session(2, 6002).replace("c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.2");
    vec![
        (
            "3665 3.1 session establishment",
            rings().with_session("200 OK", "").hears("ACK", "").leaves(),
            nothing,
            answered,
            EndedBy::Peer,
        ),
        (
            "3665 3.2 through two proxies",
            by_proxies(authorized()).leaves(),
            nothing,
            answered,
            EndedBy::Peer,
        ),
        (
            "3665 3.2 the same, hung up by us",
            by_proxies(authorized()).hears("BYE", THERE).agrees(),
            Deed::HangUp("answered"),
            answered,
            EndedBy::Us,
        ),
        (
            "3665 3.3 multiple proxy authentication",
            by_proxies(
                authorized()
                    .says("100 Trying")
                    .refuses("407 Proxy Authorization Required", &challenge("biloxi"))
                    .hears_invite("Proxy-Authorization: .*atlanta.*Proxy-Authorization: .*biloxi"),
            )
            .leaves(),
            nothing,
            answered,
            EndedBy::Peer,
        ),
        (
            "3665 3.7 re-INVITE, another address",
            rings()
                .with_session("200 OK", "")
                .hears("ACK", "")
                .asks("INVITE", 1, &moved)
                .gets(100)
                .gets(200)
                .asks("ACK", 1, "")
                .sees_us_leave(),
            Deed::AnswerOffer,
            answered,
            EndedBy::Us,
        ),
        (
            "3666 2.1 SIP to ISUP PSTN",
            authorized()
                .says("100 Trying")
                .with_session("183 Session Progress", "")
                .with_session("200 OK", "")
                .hears("ACK", "")
                .sees_us_leave(),
            Deed::HangUp("answered"),
            answered,
            EndedBy::Us,
        ),
        (
            "3666 2.2 SIP to ISDN PBX",
            Flow::invited()
                .says("100 Trying")
                .with_session("183 Session Progress", "")
                .says("180 Ringing")
                .with_session("200 OK", "")
                .hears("ACK", "")
                .leaves(),
            nothing,
            answered,
            EndedBy::Peer,
        ),
    ]
}

fn unsuccessful() -> Vec<Row> {
    let rings = || Flow::invited().says("100 Trying").says("180 Ringing");
    let given_up = |flow: Flow| {
        flow.hears("CANCEL", "Reason: Q.850;cause=16")
            .agrees()
            .refuses("487 Request Terminated", "")
    };
    let nothing = Deed::Nothing;
    let moved = "Contact: <sip:bob@chicago.example.com>";
    vec![
        (
            "3665 3.6 redirected, which is not followed",
            Flow::invited().refuses("302 Moved Temporarily", moved),
            nothing,
            Outcome::Redirected,
            EndedBy::Peer,
        ),
        (
            "3665 3.8 no answer",
            given_up(rings()),
            Deed::HangUp("180"),
            Outcome::Canceled,
            EndedBy::Us,
        ),
        (
            "3665 3.9 busy",
            rings().refuses("486 Busy Here", BUSY),
            nothing,
            Outcome::Busy,
            EndedBy::Peer,
        ),
        (
            "3665 3.10 no response from the user agent",
            Flow::invited()
                .says("100 Trying")
                .refuses("480 No Response", ""),
            nothing,
            Outcome::Unreachable,
            EndedBy::Peer,
        ),
        (
            "3665 3.11 temporarily unavailable",
            rings().refuses("480 Temporarily Unavailable", ""),
            nothing,
            Outcome::NoAnswer,
            EndedBy::Peer,
        ),
        (
            "3666 2.5 treatment from the PSTN: an announcement is no answer",
            given_up(
                Flow::invited()
                    .says("100 Trying")
                    .with_session("183 Session Progress", ""),
            ),
            Deed::HangUp("183"),
            Outcome::Canceled,
            EndedBy::Us,
        ),
        (
            "3666 2.6 REL with cause 1 from the PSTN",
            Flow::invited()
                .says("100 Trying")
                .refuses("404 Not Found", "Reason: Q.850;cause=1"),
            nothing,
            Outcome::InvalidNumber,
            EndedBy::Peer,
        ),
        (
            "3666 2.7 no ANM in time",
            Flow::invited()
                .says("100 Trying")
                .with_session("183 Session Progress", "")
                .refuses("480 Temporarily Unavailable", "Reason: Q.850;cause=19"),
            nothing,
            Outcome::NoAnswer,
            EndedBy::Peer,
        ),
    ]
}

async fn instruct(call: &Call, what: Instruct) {
    let now = "2026-04-21T16:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let asked = Instruction {
        instruction_id: InstructionId::new(now.into()),
        call_id: CallId::new(now.into()),
        what,
    };
    let asked = Control::Instruct(Box::new(asked));
    call.dialog.control.send(asked).await.unwrap();
}

/// Our session at another port, or in another direction.
fn ours(version: &str, rest: &str) -> Vec<u8> {
    let text = OFFER.replace("o=- 1 1", &format!("o=- 1 {version}"));
    [&text, rest].concat().into_bytes()
}

/// Plays these, one after the other.
async fn play(rows: Vec<Row>) {
    for (section, flow, deed, outcome, by) in rows {
        let Some(mut sipp) = flow.play() else {
            return;
        };
        let place = Place::new().await;
        let mut call = place.dial(NUMBER, towards(sipp.addr));
        match deed {
            Deed::Nothing => {}
            Deed::HangUp(when) => {
                call.until(when).await;
                call.hang_up(HangUpCause::Client).await;
            }
            Deed::AnswerOffer => {
                call.until("media offer").await;
                let sdp = ours("2", "");
                instruct(&call, Instruct::Answer { offer: 1, sdp }).await;
                call.until("followed done").await;
                sleep(Duration::from_millis(200)).await;
                call.hang_up(HangUpCause::Client).await;
            }
        }
        let ending = call.ending().await;
        let told = (ending.outcome, ending.by);
        assert_eq!(told, (outcome, by), "{section}: {:?}", call.seen);
        sipp.is_content().await;
    }
}

#[tokio::test]
async fn sessions_that_come_about() {
    play(successful()).await;
}

#[tokio::test]
async fn sessions_that_do_not() {
    play(unsuccessful()).await;
}

/// RFC 3665 section 3.4 and RFC 3666 section 2.3: a proxy that says nothing, or a gateway without a circuit, is followed by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_proxy_or_gateway_takes_the_call() {
    let answers = Flow::invited()
        .says("100 Trying")
        .with_session("183 Session Progress", "")
        .with_session("200 OK", "")
        .hears("ACK", "")
        .leaves();
    let full = Flow::invited()
        .says("100 Trying")
        .refuses("503 Service Unavailable", "Reason: Q.850;cause=34");
    // 3.4: it is there, and does not hear.
    let deaf = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for section in ["3665 3.4 proxy failure", "3666 2.3 overflow"] {
        let (Some(mut second), Some(mut first)) = (answers.play(), full.play()) else {
            return;
        };
        let overflows = section.starts_with("3666");
        let target = match overflows {
            true => first.addr,
            false => deaf.local_addr().unwrap(),
        };
        let line = Line::by(TrunkConfig {
            fallback_targets: vec![second.addr.into()],
            first_response_timeout_ms: 1_000,
            ..TrunkConfig::towards(target)
        })
        .await;
        let mut call = line.call(ATLANTA).await;
        let end = call.until(pb::CallEventKind::Ended).await;
        assert_eq!(end.outcome(), pb::Outcome::Answered, "{section}");
        second.is_content().await;
        if overflows {
            first.is_content().await;
        }
        line.stop().await;
    }
}

/// Two phones are picked up at once behind a proxy that forks: the first is the call, the other is acknowledged and let go (RFC
/// 3261 section 13.2.2.4).
#[tokio::test]
async fn a_second_phone_that_answers_is_acknowledged_and_let_go() {
    let flow = Flow::invited()
        .says("180 Ringing")
        .says_as("b", "180 Ringing", CONTACT, "")
        .with_session("200 OK", "")
        .hears("ACK", "To: [^;]*;[^;]*;tag=[0-9]+a")
        .says_as("b", "200 OK", CONTACT, &session(1, 6002))
        .hears("ACK", "To: [^;]*;[^;]*;tag=[0-9]+b")
        .hears("BYE", "tag=[0-9]+b.*Reason: SIP;cause=487")
        .agrees()
        .hears("BYE", "tag=[0-9]+a")
        .agrees();
    let Some(mut sipp) = flow.play() else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("answered").await;
    sleep(Duration::from_millis(500)).await;
    call.hang_up(HangUpCause::Client).await;
    let ending = call.ending().await;
    assert_eq!(ending.outcome, Outcome::Answered, "{:?}", call.seen);
    let answers = call.seen.iter().filter(|word| *word == "answered");
    assert_eq!(answers.count(), 1);
    sipp.is_content().await;
}

/// Both ends offer at once: each hears 491, the far end is free to try first, and ours comes after 2.1 s at the earliest, for the
/// Call-ID is ours (RFC 3261 section 14.1).
#[tokio::test]
async fn offers_that_cross_are_refused_by_both_ends_and_tried_again() {
    let flow = Flow::invited()
        .with_session("200 OK", "")
        .hears("ACK", "")
        .hears_invite("a=sendonly")
        .asks("INVITE", 1, &session(2, 6002))
        .gets(491)
        .asks("ACK", 1, "")
        .refuses("491 Request Pending", "")
        .waits(1_500)
        .asks("INVITE", 2, &session(2, 6002))
        .gets(100)
        .gets(200)
        .asks("ACK", 2, "")
        .hears_invite("a=sendonly")
        .with_session("200 OK", "")
        .hears("ACK", "")
        .sees_us_leave();
    let Some(mut sipp) = flow.play() else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("answered").await;
    let begun = tokio::time::Instant::now();
    let sdp = ours("2", "a=sendonly\r\n");
    instruct(&call, Instruct::Offer { sdp }).await;
    call.until("media offer").await;
    let sdp = ours("2", "");
    instruct(&call, Instruct::Answer { offer: 1, sdp }).await;
    call.until("followed done").await;
    call.next().await;
    assert_eq!(
        call.seen.last().unwrap(),
        "followed done",
        "{:?}",
        call.seen
    );
    assert!(begun.elapsed() >= Duration::from_millis(2_100));
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Answered);
    sipp.is_content().await;
}
