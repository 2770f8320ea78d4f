//! Calls to one of our own agents: no permit, no number, and a phone that is on hold when it has answered.

use super::*;
use crate::sip::desk::Desk;
use crate::sip::sdp::held_offer;

fn desk(offerless: bool) -> Line {
    let way = Arc::new(Trunk {
        ring_timeout: Duration::from_secs(8),
        trusted: true,
        display_name: Some("Shown to people".to_owned()),
        ..trunk()
    });
    let uri = "sip:anna@pbx.example:5080".parse().unwrap();
    let desk = Arc::new(Desk::new(uri, Arc::clone(&way), offerless));
    let offer = match offerless {
        true => Vec::new(),
        false => held_offer(&Local::new("127.0.0.1", 5070).origin("call")),
    };
    let whom = Whom::Desk(Arc::clone(&desk));
    let mut line = Line::of(whom, way, offer, Warrant::Desk(desk));
    line.input(Input::Start);
    line
}

/// No number stands anywhere in what an agent's phone is sent, and nothing else that is for those called.
fn check_discreet(line: &Line) {
    // The far end here writes a number into its To, as it does for all; what answers it repeats that.
    let is_ours = |message: &&Message| {
        let request = matches!(message.start, Start::Request { .. });
        request && message.method != "ACK"
    };
    for message in line.wire.iter().filter(is_ours) {
        for name in ["From", "To", "Contact", "P-Asserted-Identity", "Identity"] {
            for value in message.lines(name) {
                let numbers = [&CALLEE[1..], &CALLER[1..], "Shown"];
                assert!(numbers.iter().all(|each| !value.contains(each)), "{value}");
            }
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn a_phone_that_offers_first_is_put_on_hold_by_the_ack() {
    let mut line = desk(true);
    let invite = line.last();
    assert_eq!(
        invite.first("From"),
        Some("\"dialgate\" <sip:127.0.0.1:5070>;tag=ours")
    );
    assert_eq!(invite.first("To"), Some("<sip:anna@pbx.example:5080>"));
    assert!(invite.body.is_empty() && invite.first("Content-Type").is_none());
    assert!(invite.first("P-Asserted-Identity").is_none());
    // It lives longer than any permit.
    line.invited(100, "");
    line.wait(5_000);
    line.invited(180, "a");
    line.wait(2_000);
    line.answered("a");
    let ack = line.last();
    assert_eq!(ack.first("Content-Type"), Some("application/sdp"));
    let held = text(&ack.body);
    assert!(held.contains("m=audio 9 RTP/AVP 0\r\na=inactive"), "{held}");
    // The 2xx again, the ACK again, with the same answer.
    line.answered("a");
    assert_eq!(text(&line.last().body), held);
    check_discreet(&line);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 100 INVITE
         0 ! progress 100
         5000 < 180 INVITE
         5000 ! ringing 180
         7000 < 200 INVITE
         7000 > ACK 1
         7000 ! answered
         7000 < 200 INVITE
         7000 > ACK 1",
    );
    // That is our session: a phone that asks for it gets it.
    line.ask("INVITE", 1, "a", "", "");
    assert_eq!(text(&line.last().body), held);
    line.ask("ACK", 1, "a", "", "");
    line.instruct(Instruct::Offer {
        sdp: OFFER.as_bytes().to_vec(),
    });
    line.answer("INVITE", 200, "a", "", ANSWER);
    line.hang_up(HangUpCause::Client);
    line.answer("BYE", 200, "a", "", "");
    check_discreet(&line);
    line.check(
        "7000 < INVITE
         7000 > 200 INVITE
         7000 < ACK
         7000 > INVITE 2 within
         7000 < 200 INVITE
         7000 > ACK 2
         7000 ! followed done 200
         7000 > BYE 3 Q.850;cause=16;text=\"Normal call clearing\"
         7000 ! ended answered none by Us code Some(200) answered
         7000 < 200 BYE",
    );
    line.check_gone();
}

#[test]
fn a_phone_that_wants_an_offer_gets_one_on_hold() {
    let mut line = desk(false);
    let offer = text(&line.last().body);
    assert!(offer.contains("a=inactive"), "{offer}");
    line.answered("a");
    assert!(line.last().body.is_empty(), "the ACK answers nothing");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 200 INVITE
         0 > ACK 1
         0 ! answered",
    );
}

#[test]
fn a_phone_that_offers_nothing_we_can_carry_is_hung_up() {
    for body in [
        "",
        "v=0\r\n",
        &ANSWER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
    ] {
        let mut line = desk(true);
        line.answer("INVITE", 200, "a", "", body);
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
fn an_agent_may_be_rung_for_less_than_the_law_wants_for_others() {
    let mut line = desk(true);
    line.invited(180, "a");
    line.wait(8_000);
    line.answer("CANCEL", 200, "", "", "");
    line.invited(487, "a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 180 INVITE
         0 ! ringing 180
         8000 > CANCEL 1 Q.850;cause=19;text=\"No answer from user\"
         8000 < 200 CANCEL
         8000 < 487 INVITE
         8000 > ACK 1
         8000 ! ended no_answer later by Timeout code Some(487)",
    );
    line.check_gone();
}

#[test]
fn a_registrar_that_challenges_is_answered_however_long_it_took() {
    let mut line = desk(true);
    line.invited(100, "");
    line.wait(3_000);
    line.answer(
        "INVITE",
        407,
        "p",
        "Proxy-Authenticate: Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n",
        "",
    );
    let again = line.last();
    assert!(again.first("Proxy-Authorization").is_some());
    assert!(again.body.is_empty());
    line.answered("a");
    assert!(line.last().first("Proxy-Authorization").is_some());
    check_discreet(&line);
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 100 INVITE
         0 ! progress 100
         3000 < 407 INVITE
         3000 > ACK 1
         3000 > INVITE 2
         3000 ! sent
         3000 < 200 INVITE
         3000 > ACK 2
         3000 ! answered",
    );
}

/// A permit is for a number, and opens nothing here.
#[test]
fn no_permit_is_taken_for_an_agent() {
    let mut line = desk(true);
    line.input(Input::Control(Control::Renew(permit_at(0))));
    line.wait(400);
    line.check(
        "0 > INVITE 1
         0 ! sent first",
    );
}

#[test]
fn the_person_hears_why_when_the_agent_is_gone() {
    let mut line = Line::new();
    line.invited(180, "a");
    line.hang_up(HangUpCause::AgentGone);
    line.answered("a");
    line.check(
        "0 > INVITE 1
         0 ! sent first
         0 < 180 INVITE
         0 ! ringing 180
         0 > CANCEL 1 SIP;cause=480;text=\"Temporarily Unavailable\"
         0 < 200 INVITE
         0 > ACK 1
         0 > BYE 2 SIP;cause=480;text=\"Temporarily Unavailable\"
         0 ! ended answered_after_cancel none by Us code Some(200) answered",
    );
    let mut line = up();
    line.hang_up(HangUpCause::AgentGone);
    line.check(
        "0 > BYE 2 SIP;cause=480;text=\"Temporarily Unavailable\"
         0 ! ended answered none by Us code Some(200) answered",
    );
    let mut line = up();
    line.hang_up(HangUpCause::Misfit);
    line.check(
        "0 > BYE 2 SIP;cause=488;text=\"Not Acceptable Here\"
         0 ! ended answered none by Us code Some(200) answered",
    );
}

/// A phone that says it is where a carrier is, under a number, does not have us say so there.
#[test]
fn what_a_phone_says_of_where_it_is_leads_nowhere_else() {
    for headers in [
        "Contact: <sip:+14045550199@127.0.0.9:5070;user=phone>\r\n",
        "Contact: <sip:anna@127.0.0.1:5062>\r\nRecord-Route: <sip:127.0.0.9:5070;lr>\r\n",
    ] {
        let mut line = desk(true);
        line.answer("INVITE", 200, "a", headers, ANSWER);
        let hang_up = Control::HangUp {
            cause: HangUpCause::Client,
        };
        line.input(Input::Control(hang_up));
        assert_eq!(line.last().method, "BYE");
        assert!(line.hops.len() >= 3);
        assert!(
            line.hops.iter().all(|hop| *hop == line.hops[0]),
            "{headers}"
        );
    }
}
