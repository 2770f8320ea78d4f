//! What the far end asks within the call, and where our requests go.

use super::*;

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
fn a_refresh_is_answered_with_our_session_as_it_stands() {
    let mut line = up();
    line.ask("INVITE", 1, "a", "", ANSWER);
    assert_eq!(line.last().body, OFFER.as_bytes());
    line.wait(500);
    line.ask("ACK", 1, "a", "", "");
    line.wait(5000);
    line.ask("INVITE", 3, "a", "", "");
    assert_eq!(line.last().body, OFFER.as_bytes(), "asked for an offer");
    line.ask("ACK", 3, "a", "", &ANSWER.replace("5000", "5002"));
    line.ask("UPDATE", 4, "a", "", "");
    assert!(line.last().body.is_empty());
    line.check(
        "0 < INVITE
         0 > 200 INVITE
         500 > 200 INVITE
         500 < ACK
         5500 < INVITE
         5500 > 200 INVITE
         5500 < ACK
         5500 ! media changed
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

/// The client has to send its audio to where the far end is now, however often that moves.
#[test]
fn every_session_of_the_far_end_is_told() {
    let mut line = up();
    for round in 0..50_u32 {
        line.ask("INVITE", round + 1, "a", "", "");
        let port = (5_002 + 2 * round).to_string();
        line.ask("ACK", round + 1, "a", "", &ANSWER.replace("5000", &port));
    }
    let told = line
        .transcript
        .iter()
        .filter(|step| step.contains("! media changed"));
    assert_eq!(told.count(), 50, "{}", line.transcript.join("\n"));
}
