//! What is different on a stream: nothing is repeated, the way of each message, and what becomes of a connection that
//! breaks or takes nothing.

use std::io::ErrorKind;

use super::*;
use crate::sip::target::{Target, Transport};

fn over(transport: Transport) -> Trunk {
    Trunk {
        target: Target {
            transport,
            addr: carrier(),
        },
        ..trunk()
    }
}

impl Line {
    /// Where the last message went.
    fn way(&self) -> String {
        self.hops.last().unwrap().target().to_string()
    }

    fn via(&self) -> &str {
        self.last().first("Via").unwrap()
    }
}

#[test]
fn nothing_is_repeated_on_a_stream() {
    let mut line = Line::on(over(Transport::Tcp));
    assert!(line.via().starts_with("SIP/2.0/TCP 127.0.0.1:5070;"));
    let contact = line.last().first("Contact").unwrap();
    assert_eq!(contact, "<sip:127.0.0.1:5070;transport=tcp>");
    line.wait(1_400);
    line.invited(180, "a");
    line.hang_up(HangUpCause::Client);
    line.wait(10_000);
    assert!(line.via().starts_with("SIP/2.0/TCP "), "as the INVITE went");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         1400 < 180 INVITE
         1400 ! ringing 180
         1400 > CANCEL 1 Q.850;cause=16;text=\"Normal call clearing\"",
    );
}

/// RFC 3261 section 13.3.1.4: a proxy behind the stream may have lost the answer.
#[test]
fn our_answer_to_a_refresh_is_repeated_all_the_same() {
    let mut line = Line::on(over(Transport::Tcp));
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 200 INVITE
         0 > ACK 1
         0 ! answered",
    );
    line.ask("INVITE", 1, "a", "", ANSWER);
    line.wait(1_600);
    line.check(
        "0 < INVITE
         0 > 200 INVITE
         500 > 200 INVITE
         1500 > 200 INVITE",
    );
}

#[test]
fn what_a_broken_connection_took_along_is_sent_again_once() {
    let mut line = Line::on(over(Transport::Tcp));
    line.answered("a");
    line.hang_up(HangUpCause::Client);
    line.transcript.clear();
    let lost = line.hops.last().unwrap().clone();
    line.input(Input::Lost(&lost));
    line.wait(1_000);
    line.check("0 > BYE 2 Q.850;cause=16;text=\"Normal call clearing\"");
    line.answer("BYE", 200, "a", "", "");
    line.transcript.clear();
    line.input(Input::Lost(&lost));
    line.check("");
}

#[test]
fn a_stream_that_takes_nothing_is_a_target_that_says_nothing() {
    let mut line = Line::idle(over(Transport::Tls));
    line.blocked = true;
    line.input(Input::Start);
    assert!(line.call.writes_to().is_some());
    line.wait(2_000);
    assert!(
        line.call.writes_to().is_none(),
        "half of it must not be followed by the rest"
    );
    line.check(
        "1500 - withdrawn
         1500 ! ended unreachable trunk by Timeout code None",
    );
}

/// Whoever hears that the permit is gone may acknowledge an opt-out at once: nothing may leave by itself from before then.
#[test]
fn p03_an_unheard_invite_is_withdrawn_before_it_is_told_that_its_permit_is_gone() {
    let sent = || {
        let mut line = Line::on(over(Transport::Tcp));
        line.transcript.clear();
        line
    };
    let mut line = sent();
    line.hang_up(HangUpCause::OptOut);
    let at = |line: &Line, word: &str| {
        let mut lines = line.transcript.iter();
        lines.position(|said| said.contains(word))
    };
    assert_eq!(at(&line, "withdrawn"), Some(0));
    assert!(at(&line, "spent").is_some(), "{:?}", line.transcript);
    let mut line = sent();
    line.wait(1_500);
    assert_eq!(at(&line, "withdrawn"), Some(0));
    assert!(at(&line, "spent").is_some(), "{:?}", line.transcript);
    // What was answered has arrived; and a datagram is sent once.
    for answer in [100, 180, 200, 486] {
        let mut line = sent();
        line.answer("INVITE", answer, "a", "", ANSWER);
        line.hang_up(HangUpCause::OptOut);
        assert_eq!(at(&line, "withdrawn"), None, "{answer}");
    }
    let mut line = Line::new();
    line.hang_up(HangUpCause::OptOut);
    assert_eq!(at(&line, "withdrawn"), None);
}

/// RFC 3261 section 8.1.3.1: another target need not wait until this one has said nothing for long enough.
#[test]
fn an_invite_whose_connection_breaks_before_anything_was_heard_of_it_is_over() {
    let mut line = Line::on(over(Transport::Tcp));
    let lost = line.call.invite.locked.to().clone();
    line.transcript.clear();
    line.wait(200);
    line.input(Input::Lost(&lost));
    line.check(
        "200 - withdrawn
         200 ! ended unreachable trunk by Timeout code None",
    );
    // It rings: whoever is there may come back by another connection.
    let mut line = Line::on(over(Transport::Tcp));
    line.invited(180, "a");
    let lost = line.call.invite.locked.to().clone();
    line.transcript.clear();
    line.input(Input::Lost(&lost));
    line.check("");
}

#[test]
fn a_long_invite_falls_back_to_a_datagram_only_if_the_stream_is_refused() {
    let long = || {
        let mut line = Line::idle(Trunk {
            large_over_tcp: true,
            display_name: Some("x".repeat(1_400)),
            ..trunk()
        });
        line.refusal = None;
        line
    };
    let mut line = long();
    line.input(Input::Start);
    assert_eq!(line.way(), "tcp:127.0.0.1:5060");
    line.invited(486, "a");
    assert_eq!(
        line.way(),
        "tcp:127.0.0.1:5060",
        "the ACK goes as the INVITE went"
    );
    assert!(line.via().starts_with("SIP/2.0/TCP "));
    let mut line = long();
    line.refusal = Some(ErrorKind::ConnectionRefused);
    line.input(Input::Start);
    assert_eq!(line.way(), "udp:127.0.0.1:5060");
    assert!(line.via().starts_with("SIP/2.0/UDP "));
    line.wait(600);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         500 > INVITE 1
         500 ! sent",
    );
    let mut line = long();
    line.refusal = Some(ErrorKind::TimedOut);
    line.input(Input::Start);
    line.check(
        "0 - withdrawn
         0 ! ended unreachable trunk by Timeout code None",
    );
}

/// Nothing of a trunk with TLS goes in the clear, whatever a route or a contact says.
#[test]
fn the_way_of_requests_within_the_call() {
    for (transport, contact, way) in [
        (Transport::Udp, "sip:c@127.0.0.1:5062", "udp:127.0.0.1:5062"),
        (
            Transport::Udp,
            "sip:c@127.0.0.1;transport=TCP",
            "tcp:127.0.0.1:5060",
        ),
        (Transport::Udp, "sips:c@127.0.0.1", "udp:127.0.0.1:5060"),
        (Transport::Tcp, "sip:c@127.0.0.1:5062", "tcp:127.0.0.1:5062"),
        (
            Transport::Tcp,
            "sip:c@127.0.0.1:5062;transport=udp",
            "udp:127.0.0.1:5062",
        ),
        (
            Transport::Tcp,
            "sip:c@127.0.0.1:5062;transport=sctp",
            "tcp:127.0.0.1:5060",
        ),
        (
            Transport::Tcp,
            "sip:c@callee.example;transport=tcp",
            "tcp:127.0.0.1:5060",
        ),
        (Transport::Tls, "sip:c@127.0.0.1:5062", "tls:127.0.0.1:5062"),
        (Transport::Tls, "sips:c@[::1]", "tls:[::1]:5061"),
        (
            Transport::Tls,
            "sip:c@127.0.0.1:5062;transport=tls",
            "tls:127.0.0.1:5062",
        ),
        (
            Transport::Tls,
            "sip:c@127.0.0.1:5062;transport=udp",
            "tls:127.0.0.1:5060",
        ),
        (
            Transport::Tls,
            "sip:c@127.0.0.1:5062;transport=tcp",
            "tls:127.0.0.1:5060",
        ),
    ] {
        let mut line = Line::on(over(transport));
        let headers = format!("Contact: <{contact}>\r\n");
        line.answer("INVITE", 200, "a", &headers, ANSWER);
        assert_eq!(line.last().method, "ACK");
        assert_eq!(line.way(), way, "{transport:?} {contact}");
        let by = line.hops.last().unwrap().transport().in_via();
        assert!(
            line.via().starts_with(&format!("SIP/2.0/{by} ")),
            "{contact}"
        );
    }
}

/// Nobody knows whether it arrived: it is sent again by the next connection, under the same branch.
#[test]
fn an_offer_of_ours_is_sent_again_when_its_connection_breaks() {
    let mut line = Line::on(over(Transport::Tcp));
    line.answered("a");
    let sdp = OFFER.replace("4000", "4002").replace("1 1", "1 2");
    line.instruct(Instruct::Offer {
        sdp: sdp.into_bytes(),
    });
    let (branch, hop) = (line.last().via.branch.clone(), line.hops.last().cloned());
    line.transcript.clear();
    line.input(Input::Lost(&hop.unwrap()));
    line.check("0 > INVITE 2 within");
    assert_eq!(line.last().via.branch, branch);
    line.answer("INVITE", 200, "a", "", ANSWER);
    line.check(
        "0 < 200 INVITE
         0 > ACK 2
         0 ! followed done 200",
    );
}

/// Once, and under the same permit; what it is called by the stream stands, and so does what it was called before if there is none.
#[test]
fn an_invite_that_is_called_too_large_goes_once_by_a_stream() {
    let by_tcp = || Trunk {
        large_over_tcp: true,
        ..trunk()
    };
    for code in [413, 414, 513] {
        let mut line = Line::on(by_tcp());
        assert_eq!(line.way(), "udp:127.0.0.1:5060");
        line.invited(code, "a");
        assert_eq!(line.way(), "tcp:127.0.0.1:5060");
        assert!(line.via().starts_with("SIP/2.0/TCP "));
        line.invited(code, "b");
        line.check(&format!(
            "0 > INVITE 1
             0 ! sent first
             0 < {code} INVITE
             0 > ACK 1
             0 > INVITE 2
             0 ! sent
             0 < {code} INVITE
             0 > ACK 2
             0 ! ended too_large fix by Peer code Some({code})"
        ));
        line.check_gone();
        // A trunk that has none, or is spoken to by one already.
        for trunk in [trunk(), over(Transport::Tcp)] {
            let mut line = Line::on(trunk);
            line.invited(code, "a");
            let last = line.transcript.last().unwrap();
            assert!(last.contains("ended too_large fix"), "{last}");
            assert_eq!(line.wire.len(), 2);
        }
    }
    let mut line = Line::on(by_tcp());
    line.refusal = Some(ErrorKind::ConnectionRefused);
    line.invited(513, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 513 INVITE
         0 > ACK 1
         0 - withdrawn
         0 ! ended too_large fix by Peer code Some(513)",
    );
}

/// The permit is looked at as for any other INVITE: when it is over, the gate is asked anew.
#[test]
fn p03_an_invite_that_is_called_too_large_late_waits_for_a_new_claim() {
    let mut line = Line::on(Trunk {
        large_over_tcp: true,
        ..trunk()
    });
    line.invited(100, "");
    line.wait(1_500);
    line.invited(513, "a");
    let last = line.transcript.last().unwrap().clone();
    assert_eq!(last, "1500 ! permit needed");
    assert!(line.last().is_request("ACK"));
    line.input(Input::Control(Control::Renew(permit_at(1_500))));
    assert_eq!(line.way(), "tcp:127.0.0.1:5060");
    assert!(line.last().is_request("INVITE"));
}
