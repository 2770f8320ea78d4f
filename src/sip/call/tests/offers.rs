//! Offers of another session, from either end, and those that cross.

use super::*;

/// The far end on another port.
fn moved() -> String {
    ANSWER.replace("5000", "5002").replace("7 7", "7 8")
}

/// Our client on another port.
fn ours() -> Vec<u8> {
    OFFER
        .replace("4000", "4002")
        .replace("1 1", "1 2")
        .into_bytes()
}

#[test]
fn the_client_answers_another_session() {
    let mut line = up();
    line.ask(
        "INVITE",
        1,
        "a",
        "Contact: <sip:callee@127.0.0.1:5064>\r\n",
        &moved(),
    );
    line.wait(400);
    line.ask("INVITE", 1, "a", "", &moved());
    line.wait(1600);
    line.instruct(Instruct::Answer {
        offer: 1,
        sdp: ours(),
    });
    assert_eq!(line.last().body, ours(), "byte for byte");
    line.ask("ACK", 1, "a", "", "");
    line.check(
        "0 < INVITE
         0 > 100 INVITE
         0 ! media offer 1
         400 < INVITE
         400 > 100 INVITE
         2000 > 200 INVITE
         2000 ! followed done
         2000 < ACK",
    );
    // That is the session from now on.
    line.ask("UPDATE", 2, "a", "", &moved());
    assert_eq!(line.last().body, ours());
    line.hang_up(HangUpCause::Client);
    let Start::Request { uri } = &line.last().start else {
        panic!("a request");
    };
    assert_eq!(uri, "sip:callee@127.0.0.1:5064", "the far end has moved");
}

#[test]
fn an_offer_that_nobody_answers_in_time_is_declined_and_the_session_stays() {
    let mut line = up();
    line.ask("UPDATE", 1, "a", "", &moved());
    line.wait(2_999);
    line.check("0 < UPDATE\n0 ! media offer 1");
    line.wait(1);
    line.instruct(Instruct::Answer {
        offer: 1,
        sdp: ours(),
    });
    line.ask("UPDATE", 2, "a", "", ANSWER);
    assert_eq!(line.last().body, OFFER.as_bytes());
    line.check(
        "3000 > 488 UPDATE
         3000 ! offer over
         3000 ! note: nobody answered the far end's offer of another session in time; the session stays as it was
         3000 ! followed offer_over
         3000 < UPDATE
         3000 > 200 UPDATE",
    );
}

#[test]
fn a_client_may_decline_or_think_better_of_it() {
    let mut line = up();
    line.ask("INVITE", 1, "a", "", &moved());
    line.instruct(Instruct::Answer {
        offer: 2,
        sdp: ours(),
    });
    line.instruct(Instruct::Answer {
        offer: 1,
        sdp: b"v=0".to_vec(),
    });
    line.instruct(Instruct::Decline { offer: 1 });
    line.instruct(Instruct::Decline { offer: 1 });
    line.ask("ACK", 1, "a", "", "");
    line.check(
        "0 < INVITE
         0 > 100 INVITE
         0 ! media offer 1
         0 ! followed offer_over
         0 ! followed misfit
         0 > 488 INVITE
         0 ! offer over
         0 ! followed done
         0 ! followed offer_over
         0 < ACK",
    );
}

/// Whoever stands between the far end and the client may not be able to show it.
#[test]
fn an_offer_is_declined_before_anybody_saw_it() {
    let mut line = up();
    line.ask("UPDATE", 1, "a", "", &moved());
    line.input(Input::Control(Control::Decline { offer: 2 }));
    line.input(Input::Control(Control::Decline { offer: 1 }));
    line.input(Input::Control(Control::Decline { offer: 1 }));
    line.check(
        "0 < UPDATE
         0 ! media offer 1
         0 > 488 UPDATE
         0 ! offer over",
    );
}

#[test]
fn an_offer_is_taken_back_or_ends_with_the_call() {
    let mut line = up();
    line.ask("INVITE", 1, "a", "", &moved());
    line.transcript.clear();
    let cancel = format!(
        "CANCEL sip:127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKINVITE1\r\nFrom: <sip:{CALLEE}@carrier.example>;tag=a\r\nTo: <sip:{CALLER}@carrier.example>;tag=ours\r\nCall-ID: call\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n"
    );
    line.receive(&cancel);
    line.check(
        "0 < CANCEL
         0 > 487 INVITE
         0 ! offer over
         0 ! note: the far end took its offer of another session back
         0 > 200 CANCEL",
    );
    line.ask("ACK", 1, "a", "", "");
    line.ask("INVITE", 2, "a", "", &moved());
    line.ask("UPDATE", 3, "a", "", ANSWER);
    assert!(line.last().first("Retry-After").is_some(), "one at a time");
    line.ask("BYE", 4, "a", "", "");
    line.check(
        "0 < ACK
         0 < INVITE
         0 > 100 INVITE
         0 ! media offer 2
         0 < UPDATE
         0 > 500 UPDATE
         0 < BYE
         0 > 487 INVITE
         0 ! ended answered none by Peer code Some(200) answered
         0 > 200 BYE",
    );
    line.check_gone();
}

#[test]
fn the_clients_offer_brings_the_far_ends_answer() {
    let mut line = up();
    line.wait(1000);
    line.instruct(Instruct::Offer { sdp: ours() });
    let sent = line.last();
    assert_eq!(
        (sent.body.as_slice(), sent.to_tag.as_deref()),
        (ours().as_slice(), Some("a"))
    );
    assert!(sent.first("Contact").is_some(), "a target refresh");
    line.instruct(Instruct::Offer { sdp: ours() });
    line.wait(500);
    line.answer("INVITE", 100, "", "", "");
    line.wait(5000);
    line.answer(
        "INVITE",
        200,
        "a",
        "Contact: <sip:callee@127.0.0.1:5066>\r\n",
        &moved(),
    );
    let Start::Request { uri } = &line.last().start else {
        panic!("a request");
    };
    assert_eq!(uri, "sip:callee@127.0.0.1:5066");
    line.answer("INVITE", 200, "a", "", &moved());
    line.ask("UPDATE", 1, "a", "", &moved());
    assert_eq!(line.last().body, ours(), "our session from now on");
    line.check(
        "1000 > INVITE 2 within
         1000 ! followed busy
         1500 > INVITE 2 within
         1500 < 100 INVITE
         6500 < 200 INVITE
         6500 > ACK 2
         6500 ! followed done 200
         6500 < 200 INVITE
         6500 > ACK 2
         6500 < UPDATE
         6500 > 200 UPDATE",
    );
    line.hang_up(HangUpCause::Client);
    line.check_gone();
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_was() {
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.answer("INVITE", 488, "a", "", "");
    let (ack, invite) = (line.last(), &line.wire[line.wire.len() - 2]);
    assert_eq!(ack.via.branch, invite.via.branch, "part of its transaction");
    line.answer("INVITE", 488, "a", "", "");
    line.ask("UPDATE", 1, "a", "", ANSWER);
    assert_eq!(line.last().body, OFFER.as_bytes());
    line.check(
        "0 > INVITE 2 within
         0 < 488 INVITE
         0 > ACK 2
         0 ! followed refused 488
         0 < 488 INVITE
         0 > ACK 2
         0 < UPDATE
         0 > 200 UPDATE",
    );
}

#[test]
fn an_offer_that_finds_nobody_ends_the_call() {
    for (code, by) in [(408, "Timeout"), (481, "Peer")] {
        let mut line = up();
        line.instruct(Instruct::Offer { sdp: ours() });
        line.answer("INVITE", code, "a", "", "");
        assert!(line.last().is_request("BYE"));
        let ended = format!("0 ! ended answered none by {by} code Some(200) answered");
        let tail = line.transcript.split_off(line.transcript.len() - 3);
        assert_eq!(tail[0], format!("0 ! followed refused {code}"));
        assert_eq!(tail[2], ended);
        line.check_gone();
    }
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.wait(32_000);
    let times: Vec<_> = line.transcript.iter().map(String::as_str).collect();
    assert_eq!(
        times,
        [
            "0 > INVITE 2 within",
            "500 > INVITE 2 within",
            "1500 > INVITE 2 within",
            "3500 > INVITE 2 within",
            "7500 > INVITE 2 within",
            "15500 > INVITE 2 within",
            "31500 > INVITE 2 within",
            "32000 > BYE 3 SIP;cause=408;text=\"Request timeout\"",
            "32000 ! followed not_up",
            "32000 ! ended answered none by Timeout code Some(200) answered",
        ]
    );
    // It was there after all, late: the ACK goes out all the same.
    line.answer("INVITE", 200, "a", "", &moved());
    assert!(line.last().is_request("ACK"));
    line.check_gone();
}

#[test]
fn an_answer_that_does_not_fit_ends_the_call() {
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.answer("INVITE", 200, "a", "", "");
    line.check(
        "0 > INVITE 2 within
         0 < 200 INVITE
         0 > ACK 2
         0 ! followed misfit
         0 > BYE 3 SIP;cause=488;text=\"Not Acceptable Here\"
         0 ! ended answered none by Us code Some(200) answered",
    );
}

#[test]
fn offers_that_cross_are_put_off_by_the_owner_of_the_call_id() {
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.ask("INVITE", 1, "a", "", &moved());
    line.ask("ACK", 1, "a", "", "");
    line.answer("INVITE", 491, "a", "", "");
    line.wait(1000);
    // The far end, which waits for less, comes in between.
    line.ask("INVITE", 2, "a", "", &moved());
    line.wait(2000);
    line.instruct(Instruct::Answer {
        offer: 1,
        sdp: OFFER.as_bytes().to_vec(),
    });
    line.ask("ACK", 2, "a", "", "");
    line.wait(400);
    let sent = line.transcript.last().unwrap().clone();
    line.transcript.pop();
    line.check(
        "0 > INVITE 2 within
         0 < INVITE
         0 > 491 INVITE
         0 < ACK
         0 < 491 INVITE
         0 > ACK 2
         1000 < INVITE
         1000 > 100 INVITE
         1000 ! media offer 1
         3000 > 200 INVITE
         3000 ! followed done
         3000 < ACK",
    );
    assert!(sent.ends_with("> INVITE 3 within"), "{sent}");
}

#[test]
fn who_owns_the_call_id_waits_for_two_to_four_seconds_in_steps_of_ten_milliseconds() {
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let mut line = up();
        line.call.tokens = Tokens::System;
        line.instruct(Instruct::Offer { sdp: ours() });
        line.answer("INVITE", 491, "a", "", "");
        line.transcript.clear();
        line.wait(4_000);
        let at: u64 = line.transcript[0]
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            (2_100..=4_000).contains(&at) && at.is_multiple_of(10),
            "{at}"
        );
        waits.insert(at);
    }
    assert!(waits.len() > 10, "{waits:?}");
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    for _ in 0..4 {
        line.answer("INVITE", 491, "a", "", "");
        line.wait(4_000);
    }
    assert!(
        line.transcript
            .last()
            .unwrap()
            .ends_with("followed refused 491")
    );
}

#[test]
fn a_challenged_offer_is_sent_once_more() {
    let mut line = up();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.answer("INVITE", 407, "a", super::challenges::CHALLENGE, "");
    assert!(line.last().first("Proxy-Authorization").is_some());
    line.answer("INVITE", 407, "a", super::challenges::CHALLENGE, "");
    assert!(
        line.transcript
            .last()
            .unwrap()
            .ends_with("followed refused 407")
    );
}

#[test]
fn nothing_is_done_for_a_call_that_is_not_up() {
    let mut line = Line::new();
    line.invited(180, "a");
    line.transcript.clear();
    line.instruct(Instruct::Offer { sdp: ours() });
    line.check("0 ! followed not_up");
}

/// The ACK of a refusal belongs to the INVITE's own transaction, also when we have hung up meanwhile (RFC 3261 section 17.1.1.3).
#[test]
fn an_offer_that_is_answered_after_the_end_is_acknowledged_as_its_answer_asks() {
    for (code, same) in [(488, true), (491, true), (200, false)] {
        let mut line = up();
        line.instruct(Instruct::Offer { sdp: ours() });
        let branch = line.last().via.branch.clone();
        line.hang_up(HangUpCause::Client);
        line.answer("INVITE", code, "a", "", "");
        let ack = line.last();
        assert!(ack.is_request("ACK"), "{code}");
        assert_eq!(ack.cseq, 2);
        assert_eq!(ack.via.branch == branch, same, "{code}");
        let sent = ack.via.branch.clone();
        line.answer("INVITE", code, "a", "", "");
        assert_eq!(line.last().via.branch, sent, "the same again");
        line.check_gone();
    }
}

/// A far end that held the call asks for an offer when it wants the call back. What it held us with is not what we want.
#[test]
fn who_asks_for_an_offer_after_a_hold_is_not_offered_the_hold() {
    let directed = |session: &str, direction: &str| format!("{session}a={direction}\r\n");
    let answered = |version: &str, direction: &str| {
        directed(
            &OFFER.replace("o=- 1 1", &format!("o=- 1 {version}")),
            direction,
        )
    };
    let answer = |line: &mut Line, offer, sdp: &str| {
        let sdp = sdp.as_bytes().to_vec();
        line.instruct(Instruct::Answer { offer, sdp });
    };
    let mut line = up();
    line.ask("INVITE", 1, "a", "", &directed(&moved(), "sendonly"));
    answer(&mut line, 1, &answered("2", "recvonly"));
    line.ask("ACK", 1, "a", "", "");
    line.ask("INVITE", 2, "a", "", "");
    let offered = String::from_utf8(line.last().body.clone()).unwrap();
    assert_eq!(offered, answered("3", "sendrecv"));
    line.ask("ACK", 2, "a", "", &moved());
    // What the client says next is later than what it does not know of.
    line.instruct(Instruct::Offer {
        sdp: answered("3", "sendonly").into_bytes(),
    });
    let held = String::from_utf8(line.last().body.clone()).unwrap();
    assert_eq!(held, answered("4", "sendonly"));
    line.answer("INVITE", 200, "a", "", &directed(&moved(), "recvonly"));
    // Our own hold is what the client wants.
    line.ask("INVITE", 3, "a", "", "");
    let offered = String::from_utf8(line.last().body.clone()).unwrap();
    assert_eq!(offered, held);
    line.ask("ACK", 3, "a", "", &directed(&moved(), "recvonly"));
    // Held from both sides, and taken back from theirs.
    line.ask(
        "INVITE",
        4,
        "a",
        "",
        &directed(&moved().replace("5002", "5006"), "inactive"),
    );
    answer(&mut line, 2, &answered("4", "inactive"));
    line.ask("ACK", 4, "a", "", "");
    line.ask("INVITE", 5, "a", "", "");
    let offered = String::from_utf8(line.last().body.clone()).unwrap();
    assert_eq!(offered, answered("6", "sendonly"));
}
