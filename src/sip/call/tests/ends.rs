//! Answers, and how calls that were answered end.

use super::*;

#[test]
fn answered_and_hung_up_by_us() {
    let mut line = Line::new();
    line.invited(100, "");
    line.wait(300);
    line.invited(180, "a");
    assert!(line.call.warrant.is_none(), "18x gives the permit up");
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
fn an_answer_that_does_not_reach_the_client_is_ended() {
    let mut line = up();
    line.hang_up(HangUpCause::NoMedia);
    line.check(
        "0 > BYE 2 SIP;cause=488;text=\"Not Acceptable Here\"
         0 ! ended media_incompatible later by Us code Some(200) answered",
    );
    // Not answered after all: the same, for who asked thought it was.
    let mut line = Line::new();
    line.invited(180, "a");
    line.hang_up(HangUpCause::NoMedia);
    line.answer("CANCEL", 200, "", "", "");
    line.invited(487, "a");
    let last = line.transcript.last().unwrap();
    assert!(last.contains("media_incompatible later by Us"), "{last}");
    line.check_gone();
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
fn a_call_that_lasts_too_long_is_ended() {
    let mut line = up();
    line.wait(3_600_000);
    line.check(
        "3600000 > BYE 2 Q.850;cause=102;text=\"Maximum duration\"
         3600000 ! ended answered none by Timeout code Some(200) answered",
    );
}

/// A far end that asks for much and answers nothing cannot make us forget what ends the call.
#[test]
fn a_bye_is_repeated_whatever_else_waits_for_an_answer() {
    let mut line = Line::new();
    for rseq in 1..=20 {
        let headers =
            format!("Require: 100rel\r\nRSeq: {rseq}\r\nContact: <sip:callee@127.0.0.1:5062>\r\n");
        line.answer("INVITE", 183, "a", &headers, ANSWER);
    }
    line.answered("a");
    line.hang_up(HangUpCause::Client);
    line.transcript.clear();
    line.wait(500);
    let repeated = line.transcript.iter().filter(|step| step.contains("> BYE"));
    assert_eq!(repeated.count(), 1, "{:?}", line.transcript);
}
