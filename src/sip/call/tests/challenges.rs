//! Challenges and the claims under which they are answered.

use super::*;

pub(super) const CHALLENGE: &str =
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";

pub(super) const STALE: &str =
    "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true\r\n";

#[test]
fn a_challenge_is_answered_under_the_same_permit() {
    let mut line = Line::new();
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    let invite = line.last();
    assert_eq!((invite.cseq, invite.call_id.as_str()), (2, "call"));
    assert_ne!(invite.via.branch, line.wire[0].via.branch);
    assert!(
        invite
            .first("Proxy-Authorization")
            .unwrap()
            .contains("algorithm=SHA-256")
    );
    line.answer("INVITE", 407, "x", STALE, "");
    line.answered("a");
    assert!(
        line.last().first("Proxy-Authorization").is_some(),
        "the ACK carries them too"
    );
    line.hang_up(HangUpCause::Client);
    assert!(
        line.last()
            .first("Proxy-Authorization")
            .unwrap()
            .contains("nc=00000002")
    );
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 407 INVITE
         0 > ACK 1
         0 > INVITE 2
         0 ! sent
         0 < 407 INVITE
         0 > ACK 2
         0 > INVITE 3
         0 ! sent
         0 < 200 INVITE
         0 > ACK 3
         0 ! answered
         0 > BYE 4 Q.850;cause=16;text=\"Normal call clearing\"
         0 ! ended answered none by Us code Some(200) answered",
    );
}

#[test]
fn a_second_challenge_without_stale_is_a_refusal() {
    let mut line = Line::new();
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    let ended = line.transcript.last().unwrap();
    assert_eq!(
        ended,
        "0 ! ended trunk_auth_failed fix by Peer code Some(407)"
    );
}

#[test]
fn a_repeated_challenge_is_acknowledged_and_answered_once() {
    let mut line = Line::new();
    let (via, cseq) = (line.wire[0].via.text.clone(), 1);
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.transcript.clear();
    line.answer_to(&via, cseq, "INVITE", 407, "x", CHALLENGE, "");
    line.check("0 < 407 INVITE\n0 > ACK 1");
}

#[test]
fn a_late_challenge_waits_for_a_new_claim() {
    let mut line = Line::new();
    line.invited(100, "");
    line.wait(1600);
    line.answer("INVITE", 407, "x", CHALLENGE, "");
    line.wait(200);
    line.input(Input::Control(Control::Renew(permit_at(1700))));
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 100 INVITE
         0 ! progress 100
         1500 ! permit spent
         1600 < 407 INVITE
         1600 > ACK 1
         1600 ! permit needed
         1800 > INVITE 2
         1800 ! sent
         1800 < 200 INVITE
         1800 > ACK 2
         1800 ! answered",
    );
}

#[test]
fn without_a_new_claim_a_challenged_call_ends() {
    let late = || {
        let mut line = Line::new();
        line.invited(100, "");
        line.wait(1600);
        line.answer("INVITE", 407, "x", CHALLENGE, "");
        line.transcript.clear();
        line
    };
    let mut line = late();
    line.wait(10_000);
    line.check("11600 ! ended permit_expired none by Timeout code None");
    line.check_gone();
    let mut line = late();
    line.hang_up(HangUpCause::OptOut);
    line.check("1600 ! ended canceled never by Us code None");
    let mut line = late();
    let other = Permit::for_test(phone("+14045550199"), Some(phone(CALLER)), line.now());
    line.input(Input::Control(Control::Renew(other)));
    line.check(
        "1600 ! note: the new permit is for another call
         1600 ! ended permit_expired none by Timeout code None",
    );
}

#[test]
fn a_permit_nobody_asked_for_is_dropped() {
    let mut line = up();
    line.input(Input::Control(Control::Renew(permit_at(0))));
    assert!(line.call.warrant.is_none());
    line.check("");
}

#[test]
fn a_challenged_bye_is_sent_once_more() {
    let mut line = up();
    line.hang_up(HangUpCause::Client);
    line.answer("BYE", 407, "a", CHALLENGE, "");
    assert!(line.last().first("Proxy-Authorization").is_some());
    line.answer("BYE", 407, "a", CHALLENGE, "");
    let byes = line
        .wire
        .iter()
        .filter(|sent| sent.is_request("BYE"))
        .count();
    assert_eq!(byes, 2);
}
