//! The INVITE until its final answer: ringing, silence, cancelling, reliable provisional responses.

use super::*;

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
    assert!(line.call.warrant.is_none(), "nothing is sent any more");
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
