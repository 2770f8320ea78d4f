//! Two legs and what is asked of them, move by move.

use super::*;

const AGENT: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=sendrecv\r\n";
const CALLEE: &str = "v=0\r\no=c 7 7 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\na=sendrecv\r\n";

struct Pair {
    bridge: Bridge,
    ms: u64,
    /// What the bridge asked and nobody answered.
    open: Vec<(Side, InstructionId, Instruct)>,
}

impl Pair {
    fn new() -> Self {
        let mut bridge = Bridge::new(Origin::new("agent", "192.0.2.9"), AGENT.as_bytes());
        let offer = bridge.invite(Origin::new("callee", "192.0.2.9"));
        assert!(same_but_for_origin(&offer, AGENT.as_bytes()));
        assert!(text(&offer).contains(" 1 IN IP4 192.0.2.9"), "version 1");
        Self {
            bridge,
            ms: 0,
            open: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        assert_eq!(pair.answered(CALLEE), "agent offer 5000");
        assert_eq!(pair.done(&AGENT.replace("0 8", "0")), "connected");
        pair
    }

    fn now(&self) -> Reading {
        Reading {
            wall: Micros(1_000_000),
            mono: Mono(Duration::from_millis(self.ms)),
        }
    }

    fn hear(&mut self, side: Side, event: &SipEvent) -> String {
        let wishes = self.bridge.hear(side, event, self.now()).unwrap();
        self.note(wishes)
    }

    fn note(&mut self, wishes: Vec<Wish>) -> String {
        let told = wishes.into_iter().map(|wish| match wish {
            Wish::Ask(side, id, what) => {
                let side_is = match side {
                    Side::Agent => "agent",
                    Side::Callee => "callee",
                };
                let what_is = match &what {
                    Instruct::Offer { sdp } => format!("offer {}", port(sdp)),
                    Instruct::Answer { offer, sdp } => format!("answer {offer} {}", port(sdp)),
                    Instruct::Decline { offer } => format!("decline {offer}"),
                    Instruct::Dtmf { .. } => "tones".to_owned(),
                };
                self.open.push((side, id, what));
                format!("{side_is} {what_is}")
            }
            Wish::Connected => "connected".to_owned(),
            Wish::Misfit => "misfit".to_owned(),
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn answered(&mut self, sdp: &str) -> String {
        let sdp = sdp.as_bytes().to_vec();
        self.hear(Side::Callee, &SipEvent::Answered { sdp })
    }

    fn early(&mut self, sdp: &str) -> String {
        let event = SipEvent::EarlyMedia {
            code: 183,
            reason: String::new(),
            sdp: sdp.as_bytes().to_vec(),
        };
        self.hear(Side::Callee, &event)
    }

    fn offers(&mut self, side: Side, offer: u32, sdp: &str) -> String {
        let event = SipEvent::MediaOffer {
            offer: Some(offer),
            sdp: sdp.as_bytes().to_vec(),
        };
        self.hear(side, &event)
    }

    /// What was asked last is answered so.
    fn follow(&mut self, followed: Followed) -> String {
        let (side, id, _) = self.open.pop().unwrap();
        self.hear(side, &SipEvent::Followed { id, followed })
    }

    fn done(&mut self, sdp: &str) -> String {
        self.follow(Followed {
            sdp: sdp.as_bytes().to_vec(),
            ..Followed::with_code(200)
        })
    }
}

fn text(sdp: &[u8]) -> String {
    String::from_utf8(sdp.to_vec()).unwrap()
}

/// The port and, where it is not both, the way of the stream.
fn port(sdp: &[u8]) -> String {
    let text = text(sdp);
    let port = text.split("m=audio ").nth(1).unwrap();
    let port = port.split(' ').next().unwrap().to_owned();
    let ways = ["sendonly", "recvonly", "inactive"];
    match ways.into_iter().find(|way| text.contains(way)) {
        Some(way) => format!("{port} {way}"),
        None => port,
    }
}

#[test]
fn they_are_connected_when_both_agree_and_the_person_has_answered() {
    let mut pair = Pair::new();
    assert!(!pair.bridge.is_connected());
    assert_eq!(pair.answered(CALLEE), "agent offer 5000");
    assert_eq!(pair.done(AGENT), "connected");
    assert!(pair.bridge.is_connected());
}

#[test]
fn early_media_is_heard_by_the_agent_and_the_answer_changes_nothing() {
    let mut pair = Pair::new();
    assert_eq!(pair.early(CALLEE), "agent offer 5000");
    assert_eq!(pair.done(AGENT), "");
    assert_eq!(pair.answered(&CALLEE.replace("7 7", "7 8")), "connected");
}

#[test]
fn the_newest_of_several_phones_that_ring_is_heard() {
    let mut pair = Pair::new();
    assert_eq!(pair.early(CALLEE), "agent offer 5000");
    assert_eq!(pair.early(&CALLEE.replace("5000", "5002")), "");
    assert_eq!(pair.early(&CALLEE.replace("5000", "5004")), "");
    assert_eq!(pair.done(AGENT), "agent offer 5004");
    assert_eq!(pair.answered(&CALLEE.replace("5000", "5002")), "");
    assert_eq!(pair.done(AGENT), "agent offer 5002");
    assert_eq!(pair.done(AGENT), "connected");
}

#[test]
fn the_agents_leg_hears_one_origin_with_a_rising_version() {
    let mut pair = Pair::new();
    pair.early(CALLEE);
    let version = |pair: &Pair| match &pair.open.last().unwrap().2 {
        Instruct::Offer { sdp } => {
            let line = text(sdp).lines().nth(1).unwrap().to_owned();
            line.split(' ').nth(2).unwrap().parse::<u32>().unwrap()
        }
        _ => panic!("no offer"),
    };
    assert_eq!(version(&pair), 2, "the first said that it is on hold");
    pair.done(AGENT);
    pair.answered(&CALLEE.replace("5000", "5002"));
    assert_eq!(version(&pair), 3);
}

#[test]
fn a_phone_that_answers_something_else_has_the_person_asked_again() {
    let mut pair = Pair::new();
    assert_eq!(pair.answered(CALLEE), "agent offer 5000");
    let moved = AGENT.replace("4000", "4010");
    assert_eq!(pair.done(&moved), "callee offer 4010");
    assert_eq!(pair.done(CALLEE), "connected");
    // And where that moves too, the agent's phone is told; two that never agree are told apart.
    let mut pair = Pair::new();
    pair.answered(CALLEE);
    let mut asked = Vec::new();
    for round in 0..10 {
        let (agent, callee) = (4_010 + 2 * round, 5_010 + 2 * round);
        let told = pair.done(&AGENT.replace("4000", &agent.to_string()));
        asked.push(told.clone());
        if told == "misfit" {
            break;
        }
        let told = pair.done(&CALLEE.replace("5000", &callee.to_string()));
        asked.push(told.clone());
        if told == "misfit" {
            break;
        }
    }
    assert_eq!(asked.last().unwrap(), "misfit", "{asked:?}");
    assert!(asked.len() <= usize::from(ROUNDS_MAX), "{asked:?}");
}

#[test]
fn early_media_that_is_refused_is_put_to_the_phone_again_with_the_answer() {
    let mut pair = Pair::new();
    assert_eq!(pair.early(CALLEE), "agent offer 5000");
    assert_eq!(pair.follow(Followed::with_code(488)), "");
    assert_eq!(pair.answered(CALLEE), "agent offer 5000");
    assert_eq!(pair.follow(Followed::with_code(488)), "misfit");
}

#[test]
fn a_busy_leg_is_asked_again_after_a_while() {
    let mut pair = Pair::new();
    assert_eq!(pair.answered(CALLEE), "agent offer 5000");
    let busy = Followed::plain(InstructionResult::Busy);
    assert_eq!(pair.follow(busy), "");
    pair.ms = 500;
    assert_eq!(pair.bridge.wake(), Some(pair.now().mono));
    let wishes = pair.bridge.tick(pair.now());
    assert_eq!(pair.note(wishes), "agent offer 5000");
    assert_eq!(pair.done(AGENT), "connected");
    assert_eq!(pair.bridge.wake(), None);
}

#[test]
fn hold_and_resume_go_from_either_phone_to_the_other() {
    let mut pair = Pair::connected();
    let held = CALLEE.replace("sendrecv", "sendonly");
    assert_eq!(
        pair.offers(Side::Callee, 1, &held),
        "agent offer 5000 sendonly"
    );
    let heeds = AGENT.replace("0 8", "0").replace("sendrecv", "recvonly");
    assert_eq!(pair.done(&heeds), "callee answer 1 4000 recvonly");
    assert_eq!(pair.follow(Followed::plain(InstructionResult::Done)), "");
    assert_eq!(pair.offers(Side::Callee, 2, CALLEE), "agent offer 5000");
    assert_eq!(pair.done(AGENT), "callee answer 2 4000");
    assert_eq!(pair.follow(Followed::plain(InstructionResult::Done)), "");
    let held = AGENT.replace("sendrecv", "inactive");
    assert_eq!(
        pair.offers(Side::Agent, 1, &held),
        "callee offer 4000 inactive"
    );
    let heeds = CALLEE.replace("sendrecv", "inactive");
    assert_eq!(pair.done(&heeds), "agent answer 1 5000 inactive");
    assert_eq!(pair.follow(Followed::plain(InstructionResult::Done)), "");
}

#[test]
fn what_the_other_phone_refuses_is_declined_and_all_stays() {
    let mut pair = Pair::connected();
    let moved = CALLEE.replace("5000", "5002");
    assert_eq!(pair.offers(Side::Callee, 1, &moved), "agent offer 5002");
    assert_eq!(pair.follow(Followed::with_code(488)), "callee decline 1");
    assert_eq!(pair.follow(Followed::plain(InstructionResult::Done)), "");
}

#[test]
fn an_answer_that_comes_too_late_is_taken_back_from_the_other_phone() {
    let mut pair = Pair::connected();
    let moved = CALLEE.replace("5000", "5002");
    pair.offers(Side::Callee, 1, &moved);
    assert_eq!(pair.done(AGENT), "callee answer 1 4000");
    let over = Followed::plain(InstructionResult::OfferOver);
    assert_eq!(pair.follow(over), "agent offer 5000");
    assert_eq!(pair.done(AGENT), "");
}

#[test]
fn one_offer_at_a_time_and_none_before_the_person_has_answered() {
    let mut pair = Pair::new();
    let held = AGENT.replace("sendrecv", "sendonly");
    assert_eq!(pair.offers(Side::Agent, 1, &held), "agent decline 1");
    let mut pair = Pair::connected();
    let moved = CALLEE.replace("5000", "5002");
    assert_eq!(pair.offers(Side::Callee, 1, &moved), "agent offer 5002");
    assert_eq!(pair.offers(Side::Agent, 1, &held), "agent decline 1");
    // What becomes of that is no business of anybody's.
    assert_eq!(pair.follow(Followed::plain(InstructionResult::Done)), "");
}

#[test]
fn a_session_that_changed_by_itself_is_told_to_the_other() {
    let mut pair = Pair::connected();
    let event = SipEvent::MediaOffer {
        offer: None,
        sdp: CALLEE.replace("5000", "5006").into_bytes(),
    };
    assert_eq!(pair.hear(Side::Callee, &event), "agent offer 5006");
    assert_eq!(pair.done(&AGENT.replace("0 8", "0")), "");
}

#[test]
fn the_next_target_begins_anew() {
    let mut pair = Pair::new();
    pair.early(CALLEE);
    pair.done(AGENT);
    let offer = pair.bridge.invite(Origin::new("next", "192.0.2.9"));
    assert!(same_but_for_origin(&offer, AGENT.as_bytes()));
    let other = CALLEE.replace("5000", "5008");
    assert_eq!(pair.answered(&other), "agent offer 5008");
    assert_eq!(pair.done(AGENT), "connected");
}

#[test]
fn what_is_no_business_of_the_bridge_is_left_to_others() {
    let mut pair = Pair::connected();
    let now = pair.now();
    let tones = SipEvent::Followed {
        id: InstructionId::new(Micros(1)),
        followed: Followed::with_code(200),
    };
    assert_eq!(pair.bridge.hear(Side::Callee, &tones, now), None);
    assert_eq!(
        pair.bridge.hear(Side::Callee, &SipEvent::PermitSpent, now),
        None
    );
}

#[test]
fn who_has_answered_is_not_kept_in_silence() {
    let mut pair = Pair::new();
    assert_eq!(pair.answered(CALLEE), "agent offer 5000");
    assert_eq!(pair.bridge.wake(), Some(Mono(Duration::from_secs(6))));
    pair.ms = 5_999;
    let (early, now) = (pair.now(), {
        pair.ms = 6_000;
        pair.now()
    });
    assert_eq!(pair.bridge.tick(early), []);
    assert_eq!(pair.bridge.tick(now), [Wish::Misfit]);
    // Who hears each other may go on.
    let mut pair = Pair::connected();
    assert_eq!(pair.bridge.wake(), None);
    pair.ms = 60_000;
    let now = pair.now();
    assert_eq!(pair.bridge.tick(now), []);
}

#[test]
fn what_is_no_session_is_put_to_nobody() {
    let mut pair = Pair::new();
    assert_eq!(pair.early("garbage"), "");
    let mut pair = Pair::connected();
    for side in [Side::Agent, Side::Callee] {
        let told = pair.offers(side, 3, "garbage");
        assert!(told.ends_with("decline 3"), "{told}");
    }
}
