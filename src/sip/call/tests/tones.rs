//! DTMF by INFO.

use super::*;

fn dial(line: &mut Line, tones: &str) {
    let tones = tones.to_owned();
    line.instruct(Instruct::Dtmf { tones, millis: 160 });
}

#[test]
fn tones_follow_each_other() {
    let mut line = up();
    dial(&mut line, "4#");
    let sent = line.last();
    assert_eq!(sent.first("Content-Type"), Some("application/dtmf-relay"));
    assert_eq!(sent.body, b"Signal=4\r\nDuration=160\r\n");
    dial(&mut line, "1");
    line.wait(100);
    line.answer("INFO", 200, "a", "", "");
    line.wait(110);
    assert_eq!(line.last().body, b"Signal=#\r\nDuration=160\r\n");
    line.wait(300);
    line.answer("INFO", 200, "a", "", "");
    line.check(
        "0 > INFO 2
         0 ! followed busy
         100 < 200 INFO
         210 > INFO 3
         510 < 200 INFO
         510 ! followed done 200",
    );
    line.wait(60_000);
    line.check("");
}

#[test]
fn a_far_end_without_tones_talks_on() {
    let mut line = up();
    dial(&mut line, "12");
    line.answer("INFO", 415, "a", "", "");
    dial(&mut line, "1");
    line.wait(32_000);
    assert_eq!(
        line.transcript.last().unwrap(),
        "32000 ! followed refused 408"
    );
    assert_eq!(line.transcript[2], "0 ! followed refused 415");
    assert_eq!(line.call.state, State::Up);
}

#[test]
fn a_far_end_that_knows_no_such_call_ends_it() {
    let mut line = up();
    dial(&mut line, "1");
    line.answer("INFO", 481, "a", "", "");
    line.check(
        "0 > INFO 2
         0 < 481 INFO
         0 ! followed refused 481
         0 > BYE 3 SIP;cause=481;text=\"Dialog unknown there\"
         0 ! ended answered none by Peer code Some(200) answered",
    );
}

#[test]
fn tones_end_with_the_call_and_a_challenge_is_answered() {
    let mut line = up();
    dial(&mut line, "1");
    line.answer("INFO", 407, "a", super::challenges::CHALLENGE, "");
    assert!(line.last().first("Proxy-Authorization").is_some());
    line.ask("BYE", 1, "a", "", "");
    line.check(
        "0 > INFO 2
         0 < 407 INFO
         0 > INFO 3
         0 < BYE
         0 ! followed not_up
         0 ! ended answered none by Peer code Some(200) answered
         0 > 200 BYE",
    );
    line.check_gone();
}
