//! The session timer, with either end as the one who refreshes.

use super::*;

fn answered_with(headers: &str) -> Line {
    let mut line = Line::new();
    let headers = format!("Contact: <sip:callee@127.0.0.1:5062>\r\n{headers}");
    line.answer("INVITE", 200, "a", &headers, ANSWER);
    line.transcript.clear();
    line
}

#[test]
fn the_invite_proposes_an_interval() {
    let line = Line::new();
    let invite = line.last();
    assert_eq!(invite.first("Session-Expires"), Some("1800"));
    assert_eq!(invite.first("Min-SE"), Some("90"));
    assert!(invite.names("Supported", "timer"));
    let line = Line::on(Trunk {
        session_expires: None,
        ..trunk()
    });
    assert_eq!(line.last().first("Session-Expires"), None);
}

#[test]
fn an_interval_that_is_too_small_is_raised_under_the_same_permit() {
    let mut line = Line::new();
    line.answer("INVITE", 422, "x", "Min-SE: 3600\r\n", "");
    let invite = line.last();
    assert_eq!(
        (invite.first("Session-Expires"), invite.first("Min-SE")),
        (Some("3600"), Some("3600"))
    );
    line.answer("INVITE", 422, "x", "Min-SE: 3600\r\n", "");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 422 INVITE
         0 > ACK 1
         0 > INVITE 2
         0 ! sent
         0 < 422 INVITE
         0 > ACK 2
         0 ! ended feature_refused fix by Peer code Some(422)",
    );
}

#[test]
fn a_late_422_waits_for_a_new_claim() {
    let mut line = Line::new();
    line.invited(100, "");
    line.wait(1600);
    line.transcript.clear();
    line.answer("INVITE", 422, "x", "Min-SE: 2000\r\n", "");
    line.input(Input::Control(Control::Renew(permit_at(1600))));
    line.check(
        "1600 < 422 INVITE
         1600 > ACK 1
         1600 ! permit needed
         1600 > INVITE 2
         1600 ! sent",
    );
    let mut line = Line::new();
    line.invited(180, "a");
    line.transcript.clear();
    line.answer("INVITE", 422, "a", "Min-SE: 2000\r\n", "");
    assert!(
        line.transcript
            .last()
            .unwrap()
            .contains("ended feature_refused"),
        "it rang"
    );
}

#[test]
fn we_refresh_at_half_by_update_where_that_is_allowed() {
    let mut line = answered_with("Session-Expires: 200;refresher=uac\r\nAllow: INVITE, UPDATE\r\n");
    line.wait(99_999);
    line.check("");
    line.wait(1);
    let update = line.last();
    assert_eq!(update.first("Session-Expires"), Some("200;refresher=uac"));
    assert!(update.body.is_empty(), "the session is not touched");
    line.answer(
        "UPDATE",
        200,
        "a",
        "Session-Expires: 100;refresher=uac\r\n",
        "",
    );
    line.wait(50_000);
    line.answer("UPDATE", 200, "a", "", "");
    line.wait(500_000);
    line.check(
        "100000 > UPDATE 2
         100000 < 200 UPDATE
         150000 > UPDATE 3
         150000 < 200 UPDATE",
    );
    assert_eq!(
        line.call.state,
        State::Up,
        "an answer without an interval switches the timer off"
    );
}

#[test]
fn we_refresh_by_an_invite_with_our_session_as_it_stands_where_update_is_not_allowed() {
    let mut line = answered_with("Session-Expires: 200\r\nAllow: INVITE, BYE\r\n");
    line.wait(100_000);
    assert_eq!(line.last().body, OFFER.as_bytes());
    line.answer(
        "INVITE",
        200,
        "a",
        "Session-Expires: 200;refresher=uac\r\n",
        ANSWER,
    );
    line.wait(100_000);
    line.answer(
        "INVITE",
        200,
        "a",
        "Session-Expires: 200;refresher=uas\r\n",
        &ANSWER.replace("5000", "5004"),
    );
    line.check(
        "100000 > INVITE 2 within
         100000 < 200 INVITE
         100000 > ACK 2
         200000 > INVITE 3 within
         200000 < 200 INVITE
         200000 > ACK 3
         200000 ! media changed",
    );
}

/// A call whose refresh has just left, as an UPDATE.
fn refreshing() -> Line {
    let mut line = answered_with("Session-Expires: 200;refresher=uac\r\nAllow: UPDATE\r\n");
    line.wait(100_000);
    line.transcript.clear();
    line
}

#[test]
fn a_refresh_that_fails_ends_the_call_only_where_nobody_is_there() {
    for code in [408, 481] {
        let mut line = refreshing();
        line.answer("UPDATE", code, "a", "", "");
        assert!(line.last().is_request("BYE"), "{code}");
        assert!(
            line.last()
                .first("Reason")
                .unwrap()
                .contains(&format!("cause={code}"))
        );
        line.check_gone();
    }
    let mut line = refreshing();
    line.wait(32_000);
    assert!(
        line.transcript
            .last()
            .unwrap()
            .contains("ended answered none by Timeout")
    );
    line.check_gone();
    // By the other way at once.
    let mut line = refreshing();
    line.answer("UPDATE", 501, "a", "", "");
    line.check("100000 < 501 UPDATE\n100000 > INVITE 3 within");
    let mut line = refreshing();
    line.answer("UPDATE", 422, "a", "Min-SE: 600\r\n", "");
    assert_eq!(
        line.last().first("Session-Expires"),
        Some("600;refresher=uac")
    );
    let mut line = refreshing();
    line.answer(
        "UPDATE",
        401,
        "a",
        &super::challenges::CHALLENGE.replace("Proxy", "WWW"),
        "",
    );
    assert!(line.last().first("Authorization").is_some());
}

#[test]
fn a_refresh_that_is_refused_is_tried_again_well_before_the_session_is_over() {
    // It is there, and says no: the session stays, and the next refresh is tried well before that is over.
    for code in [403, 488, 491, 500, 503] {
        let mut line = refreshing();
        line.answer("UPDATE", code, "a", "", "");
        line.wait(2_099);
        line.check(&format!("100000 < {code} UPDATE"));
        line.wait(1_901);
        assert!(line.last().is_request("UPDATE"), "{code}");
        assert_eq!(line.last().cseq, 3);
        line.transcript.clear();
        // Each time after longer, and never after more than an eighth of the interval.
        let mut tries = vec![line.ms];
        while line.ms < 200_000 {
            line.answer("UPDATE", code, "a", "", "");
            let before = line.wire.len();
            while line.wire.len() == before {
                line.wait(10);
            }
            tries.push(line.ms);
        }
        let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((5..10).contains(&waits.len()), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 25_010), "{waits:?}");
        // One that is taken begins anew.
        let terms = "Session-Expires: 200;refresher=uac\r\n";
        line.answer("UPDATE", 200, "a", terms, "");
        line.transcript.clear();
        line.wait(99_999);
        line.check("");
        line.wait(1);
        assert_eq!(line.transcript.len(), 1);
    }
    // When the far end says.
    let mut line = refreshing();
    line.answer("UPDATE", 500, "a", "Retry-After: 7\r\n", "");
    line.wait(7_000);
    line.check("100000 < 500 UPDATE\n107000 > UPDATE 3");
}

#[test]
fn a_far_end_that_fails_to_refresh_is_given_up_before_the_session_expires() {
    for (interval, gives_up) in [(90, 60_000), (1800, 1_768_000)] {
        let mut line = answered_with(&format!("Session-Expires: {interval};refresher=uas\r\n"));
        line.wait(gives_up - 1);
        line.check("");
        line.wait(1);
        line.check(&format!(
            "{gives_up} > BYE 2 SIP;cause=408;text=\"Session expired\"
             {gives_up} ! ended answered none by Timeout code Some(200) answered"
        ));
        line.check_gone();
    }
}

#[test]
fn a_refresh_of_the_far_end_starts_the_interval_anew() {
    let mut line = answered_with("Session-Expires: 90;refresher=uas\r\n");
    line.wait(45_000);
    line.ask(
        "UPDATE",
        1,
        "a",
        "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n",
        "",
    );
    let answer = line.last();
    assert_eq!(answer.first("Session-Expires"), Some("90;refresher=uac"));
    assert!(answer.names("Require", "timer"));
    line.wait(45_000);
    // A far end that hands the refreshing over to us.
    line.ask(
        "INVITE",
        2,
        "a",
        "Supported: timer\r\nSession-Expires: 120;refresher=uas\r\nRequire: timer\r\n",
        ANSWER,
    );
    assert_eq!(
        line.last().first("Session-Expires"),
        Some("120;refresher=uas")
    );
    assert!(!line.last().names("Require", "timer"));
    line.ask("ACK", 2, "a", "", "");
    line.wait(60_000);
    line.check(
        "45000 < UPDATE
         45000 > 200 UPDATE
         90000 < INVITE
         90000 > 200 INVITE
         90000 < ACK
         150000 > INVITE 2 within",
    );
}

#[test]
fn an_interval_of_the_far_end_that_is_too_small_is_refused() {
    let mut line = up();
    line.ask(
        "UPDATE",
        1,
        "a",
        "Supported: timer\r\nSession-Expires: 60\r\n",
        "",
    );
    assert_eq!(line.last().first("Min-SE"), Some("90"));
    line.check("0 < UPDATE\n0 > 422 UPDATE");
    // One that knows nothing of timers cannot raise it: a proxy put it there, and we refresh.
    line.ask("UPDATE", 2, "a", "Session-Expires: 60\r\n", "");
    assert_eq!(
        line.last().first("Session-Expires"),
        Some("90;refresher=uas")
    );
}

#[test]
fn the_end_of_the_call_is_the_end_of_its_timer() {
    let mut line = answered_with("Session-Expires: 90;refresher=uas\r\n");
    line.ask("BYE", 1, "a", "", "");
    line.transcript.clear();
    line.wait(200_000);
    line.check("");
    assert!(line.call.is_done());
}

/// By an INVITE too, which an offer of the far end's may cross more often than ours is put off for.
#[test]
fn a_refresh_by_an_invite_that_is_refused_is_tried_again_before_the_session_is_over() {
    let mut line = answered_with("Session-Expires: 200;refresher=uac\r\n");
    line.wait(100_000);
    for _ in 0..4 {
        assert!(line.last().is_request("INVITE"));
        line.answer("INVITE", 491, "a", "", "");
        let before = line.wire.len();
        while line.wire.len() == before {
            line.wait(10);
        }
    }
    assert!(line.last().is_request("INVITE"));
    assert!(line.ms < 120_000, "{}", line.ms);
}
