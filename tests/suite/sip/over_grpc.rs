//! Calls as a client sees them over gRPC, with the whole way in between: the gate, the worker, and SIPp as the carrier. Each
//! row of the table of outcomes, and what may be asked of a call that is up.

use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::grpc::pb;
use dialgate::grpc::pb::watch_call_response::Content;
use tonic::{Code, Streaming};

use super::sipp::Sipp;
use super::*;
use crate::grpc::house::{ATLANTA, Client, House, OFFER as OURS, assert_refused, request_id};

/// A house whose worker calls by way of this carrier.
pub struct Line {
    house: House,
    agent: Client,
    dialer: Dialer,
    ticking: tokio::task::JoinHandle<()>,
}

impl Line {
    async fn to(carrier: SocketAddr) -> Self {
        Self::by(TrunkConfig::towards(carrier)).await
    }

    /// The same by the targets of such a trunk.
    pub async fn by(config: TrunkConfig) -> Self {
        let house = House::open().await;
        let ticking = tokio::spawn(tick(Arc::clone(&house.clock)));
        let clock = Clock::Manual(Arc::clone(&house.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let config = TrunkConfig {
            calls_per_second: 500_u32.try_into().unwrap(),
            burst: 100_u32.try_into().unwrap(),
            channels: 50_u32.try_into().unwrap(),
            ..config
        };
        let lane = Lane::new(config.trunk("carrier").unwrap(), config);
        let (gate, settings) = (house.gate.clone(), DialerConfig::default());
        let dialer = Dialer::start(gate, endpoint, vec![lane], &settings, clock);
        let agent = house.agent().await;
        Self {
            house,
            agent,
            dialer,
            ticking,
        }
    }

    pub async fn call(&self, number: &str) -> Followed {
        self.house.callable(number).await;
        let wanted = self.house.place(number);
        let placed = self.agent.calls().place_call(wanted).await.unwrap();
        let call_id = placed.into_inner().call.unwrap().call_id;
        let request = pb::WatchCallRequest {
            call_id: call_id.clone(),
            resume_token: Vec::new(),
            ..pb::WatchCallRequest::default()
        };
        let events = self.agent.calls().watch_call(request).await.unwrap();
        Followed {
            call_id,
            events: events.into_inner(),
        }
    }

    async fn hang_up(&self, call: &Followed) {
        let wish = pb::HangUpCallRequest {
            request_id: request_id(),
            call_id: call.call_id.clone(),
        };
        self.agent.calls().hang_up_call(wish).await.unwrap();
    }

    pub async fn stop(self) {
        self.dialer.drain().await;
        self.ticking.abort();
    }
}

/// A call and its events.
pub struct Followed {
    call_id: String,
    events: Streaming<pb::WatchCallResponse>,
}

impl Followed {
    pub async fn until(&mut self, kind: pb::CallEventKind) -> pb::CallEvent {
        loop {
            let message = timeout(PATIENCE, self.events.message()).await;
            let message = message.expect("an event in time").unwrap();
            let Some(Content::Event(event)) = message.expect("more events").content else {
                continue;
            };
            if event.kind() == kind {
                return event;
            }
        }
    }
}

/// Status, Q.850 cause (0 = none), text of the Reason header, and what must come of it.
type Row = (&'static str, u16, &'static str, pb::Outcome, pb::RetryClass);

/// The table of outcomes before anything rang. What asks for the next trunk has none here, and says so in the end.
fn unrung() -> Vec<Row> {
    use pb::Outcome::*;
    use pb::RetryClass::*;
    let mut rows = vec![
        ("401 Unauthorized", 21, "", TrunkAuthFailed, Fix),
        ("402 Payment Required", 21, "", TrunkRefused, Fix),
        ("404 Not Found", 1, "", InvalidNumber, Never),
        ("404 Not Found", 0, "", InvalidNumber, Never),
        ("408 Request Timeout", 0, "", Unreachable, Soon),
        ("410 Gone", 22, "", NumberChanged, Never),
        ("422 Session Interval Too Small", 0, "", FeatureRefused, Fix),
        ("433 Anonymity Disallowed", 0, "", Rejected, Fix),
        ("480 Temporarily Unavailable", 18, "", NoAnswer, Later),
        ("480 Temporarily Unavailable", 19, "", NoAnswer, Later),
        ("480 Temporarily Unavailable", 20, "", Unreachable, Later),
        ("480 Temporarily Unavailable", 21, "", Rejected, Later),
        ("480 Temporarily Unavailable", 31, "", Unreachable, Later),
        ("480 Temporarily Unavailable", 0, "", Unreachable, Later),
        ("484 Address Incomplete", 28, "", InvalidNumber, Never),
        ("485 Ambiguous", 1, "", InvalidNumber, Never),
        ("486 Busy Here", 17, "", Busy, Soon),
        ("487 Request Terminated", 0, "", Canceled, Later),
        ("400 Bad Request", 127, "", CarrierError, Fix),
        ("600 Busy Everywhere", 17, "", Busy, Soon),
        ("603 Decline", 21, "", Rejected, Later),
        ("603 Network Blocked", 0, "", BlockedByAnalytics, Never),
        (
            "603 Decline",
            21,
            "v=analytics1 url=https://example.com",
            BlockedByAnalytics,
            Never,
        ),
        ("604 Does Not Exist Anywhere", 1, "", InvalidNumber, Never),
        ("607 Unwanted", 21, "", Unwanted, Never),
        ("608 Rejected", 21, "", BlockedByAnalytics, Never),
    ];
    rows.extend([300, 301, 302, 305, 380].map(|code| (phrase(code), 23, "", Redirected, Never)));
    rows.extend([481, 482, 483, 505].map(|code| (phrase(code), 111, "", CarrierError, Soon)));
    rows.extend([0, 21, 55, 57, 87].map(|cause| (phrase(403), cause, "", TrunkRefused, Fix)));
    rows.extend([2, 3, 26].map(|cause| (phrase(404), cause, "", NoRoute, Fix)));
    rows.extend([405, 416, 420, 421].map(|code| (phrase(code), 79, "", FeatureRefused, Fix)));
    rows.extend([406, 415, 488, 606].map(|code| (phrase(code), 65, "", MediaIncompatible, Fix)));
    rows.extend([413, 414, 513].map(|code| (phrase(code), 0, "", TooLarge, Fix)));
    rows.extend([428, 436, 437, 438].map(|code| (phrase(code), 0, "", IdentityRejected, Fix)));
    rows.extend([500, 501, 502, 504, 580].map(|code| (phrase(code), 41, "", CarrierError, Soon)));
    rows.extend([0, 34, 42, 44, 47].map(|cause| (phrase(503), cause, "", Congestion, Soon)));
    // Codes without a row are as the first of their class.
    rows.extend(
        [
            (499, CarrierError, Fix),
            (599, CarrierError, Soon),
            (699, Busy, Soon),
        ]
        .map(|(code, outcome, retry)| (phrase(code), 0, "", outcome, retry)),
    );
    rows
}

/// Those of the table that ring first, and are something else for it: a person heard one ring.
fn rung() -> Vec<Row> {
    use pb::Outcome::*;
    use pb::RetryClass::*;
    vec![
        ("404 Not Found", 3, "", NoRoute, Fix),
        ("408 Request Timeout", 18, "", NoAnswer, Later),
        ("480 Temporarily Unavailable", 0, "", NoAnswer, Later),
        ("480 Temporarily Unavailable", 20, "", Unreachable, Later),
        ("480 Temporarily Unavailable", 21, "", Rejected, Later),
        ("483 Too Many Hops", 25, "", CarrierError, Soon),
        ("486 Busy Here", 17, "", Busy, Soon),
        ("500 Server Internal Error", 41, "", CarrierError, Soon),
        ("503 Service Unavailable", 34, "", Congestion, Soon),
        ("603 Decline", 21, "", Rejected, Later),
    ]
}

/// A status line of this code; what a phrase says counts only for 603.
fn phrase(code: u16) -> &'static str {
    format!("{code} Phrase").leak()
}

/// SIPp's part: the last two digits of the number called tell which row it plays.
fn scenario(rows: &[(bool, Row)]) -> String {
    let mut choices = String::new();
    let mut answers = String::new();
    let end = rows.len() + 1;
    for (row, (rang, (status, cause, text, ..))) in rows.iter().enumerate() {
        let label = row + 1;
        let reason = match *cause {
            0 => "Supported: replaces".to_owned(),
            cause => format!("Reason: Q.850;cause={cause};text=\"{text}\""),
        };
        choices.push_str(&format!(
            r#"<nop next="{label}" test="is{row}"><action><test assign_to="is{row}" variable="row" compare="equal" value="{row}" /></action></nop>"#,
        ));
        answers.push_str(&format!(r#"<label id="{label}" />"#));
        if *rang {
            answers.push_str(&said("", "180 Ringing", "Supported: replaces"));
        }
        answers.push_str(&said(r#" retrans="500""#, status, &reason));
        answers.push_str(&format!(r#"<recv request="ACK" next="{end}" />"#));
    }
    include_str!("../../fixtures/sip/rows.xml")
        .replace("@CHOICES@", &choices)
        .replace("@ANSWERS@", &answers)
        .replace("@END@", &end.to_string())
}

fn said(retrans: &str, status: &str, header: &str) -> String {
    format!(
        "<send{retrans}><![CDATA[\n  SIP/2.0 {status}\n  [last_Via:]\n  [last_From:]\n  To:[$to];tag=[pid]callee[call_number]\n  [last_Call-ID:]\n  CSeq: [$cseq] INVITE\n  {header}\n  Content-Length: 0\n\n]]></send>\n"
    )
}

/// All rows over one SIPp, one call after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_of_the_table_of_outcomes() {
    let unrung = unrung().into_iter().map(|row| (false, row));
    let rows: Vec<_> = unrung
        .chain(rung().into_iter().map(|row| (true, row)))
        .collect();
    assert!(rows.len() < 100, "two digits tell them apart");
    let Some(mut sipp) = Sipp::play_text(&scenario(&rows), rows.len()) else {
        return;
    };
    let line = Line::to(sipp.addr).await;
    for (place, (rang, (status, cause, _, outcome, retry))) in rows.iter().enumerate() {
        let number = format!("+140455501{place:02}");
        let mut call = line.call(&number).await;
        if *rang {
            call.until(pb::CallEventKind::Ringing).await;
        }
        let end = call.until(pb::CallEventKind::Ended).await;
        let code: i32 = status.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(
            (end.outcome(), end.retry_class(), end.sip_code),
            (*outcome, *retry, Some(code)),
            "{status}, cause {cause}, rang {rang}"
        );
        let told = end.q850_cause.unwrap_or_default();
        assert_eq!(told, i32::from(*cause), "{status}");
    }
    sipp.is_content().await;
    line.stop().await;
}

/// The same softphone on another port.
fn moved(version: &str) -> Vec<u8> {
    let text = String::from_utf8(OURS.to_vec()).unwrap();
    text.replace("40000", "40002")
        .replace("o=- 1 1", &format!("o=- 1 {version}"))
        .into_bytes()
}

/// SIPp holds, is answered by the client, takes the client's own offer and its tones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_changed_from_both_ends_and_tones_sent() {
    let Some(mut sipp) = Sipp::play("sip/media.xml", "", "Supported: replaces") else {
        return;
    };
    let line = Line::to(sipp.addr).await;
    let mut call = line.call(ATLANTA).await;
    let dtmf = |tones: &str| pb::SendDtmfRequest {
        request_id: request_id(),
        call_id: call.call_id.clone(),
        tones: tones.to_owned(),
        tone_milliseconds: 40,
    };
    let (first, wrong) = (dtmf("5#"), dtmf("5x"));
    call.until(pb::CallEventKind::Answered).await;
    let offered = call.until(pb::CallEventKind::MediaOffer).await;
    assert_eq!(offered.offer_id, 1);
    assert!(String::from_utf8_lossy(&offered.sdp).contains("a=sendonly"));
    let mut answer = pb::AnswerMediaOfferRequest {
        request_id: request_id(),
        call_id: call.call_id.clone(),
        offer_id: 1,
        sdp_answer: moved("2"),
    };
    let mut calls = line.agent.calls();
    calls.answer_media_offer(answer.clone()).await.unwrap();
    // Once more is the same; another answer comes too late.
    calls.answer_media_offer(answer.clone()).await.unwrap();
    answer.request_id = request_id();
    let late = calls.answer_media_offer(answer).await;
    assert_refused(
        late,
        Code::FailedPrecondition,
        "OFFER_NOT_OPEN",
        &["offer_id"],
    );
    let offer = pb::OfferMediaRequest {
        request_id: request_id(),
        call_id: call.call_id.clone(),
        sdp_offer: moved("3"),
    };
    let taken = calls.offer_media(offer.clone()).await.unwrap().into_inner();
    assert_eq!(taken.sip_code, 200);
    assert!(String::from_utf8_lossy(&taken.sdp_answer).contains("6004"));
    let again = calls.offer_media(offer).await.unwrap().into_inner();
    assert_eq!(again, taken, "asked once, answered alike");
    let refused = calls.send_dtmf(wrong).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS", &["tones"]);
    let sent = calls.send_dtmf(first.clone()).await.unwrap().into_inner();
    assert_eq!(sent.sip_code, 200);
    line.hang_up(&call).await;
    let end = call.until(pb::CallEventKind::Ended).await;
    assert_eq!(end.outcome(), pb::Outcome::Answered);
    let over = pb::SendDtmfRequest {
        request_id: request_id(),
        ..first
    };
    let over = calls.send_dtmf(over).await;
    assert_refused(over, Code::FailedPrecondition, "CALL_NOT_UP", &["call_id"]);
    sipp.is_content().await;
    line.stop().await;
}
