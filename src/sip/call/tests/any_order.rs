//! Whatever comes in whatever order: one ending, told last; nothing sent under a spent permit; all gone in the end.

use proptest::prelude::*;

use super::challenges::{CHALLENGE, STALE};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Answer(u16, bool, u8),
    Ask(u8, bool),
    Instruct(u8),
    HangUp,
    Renew,
    Block(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let codes = prop::sample::select(vec![
        100, 180, 183, 199, 200, 302, 401, 407, 408, 422, 480, 481, 486, 487, 491, 503, 603,
    ]);
    let step = prop_oneof![
        (0..4_000_u64).prop_map(Step::Wait),
        (codes, any::<bool>(), 0..3_u8).prop_map(|(code, sdp, tag)| Step::Answer(code, sdp, tag)),
        (0..6_u8, any::<bool>()).prop_map(|(kind, changed)| Step::Ask(kind, changed)),
        (0..4_u8).prop_map(Step::Instruct),
        Just(Step::HangUp),
        Just(Step::Renew),
        any::<bool>().prop_map(Step::Block),
    ];
    prop::collection::vec(step, 0..25)
}

proptest! {
    #[test]
    fn a_call_ends_once_and_leaves_nothing(steps in steps()) {
        let mut line = Line::new();
        let (mut counted_from, mut instructed) = (0, 0);
        for (index, step) in steps.into_iter().enumerate() {
            let before = line.transcript.len();
            match step {
                Step::Wait(ms) => line.wait(ms),
                Step::Answer(code, sdp, tag) => {
                    let headers = format!("Contact: <sip:c@127.0.0.1:5062>\r\n{}", match code {
                        401 => CHALLENGE.replace("Proxy", "WWW"),
                        407 => STALE.to_owned(),
                        _ => String::new(),
                    });
                    line.answer("INVITE", code, ["a", "b", ""][usize::from(tag)], &headers, if sdp { ANSWER } else { "" });
                }
                Step::Instruct(kind) => {
                    instructed += usize::from(line.call.state != State::Over);
                    let sdp = OFFER.as_bytes().to_vec();
                    line.instruct(match kind {
                        0 => Instruct::Offer { sdp },
                        1 => Instruct::Answer { offer: 1, sdp },
                        2 => Instruct::Decline { offer: 2 },
                        _ => Instruct::Dtmf { tones: "1#".to_owned(), millis: 160 },
                    });
                }
                Step::Ask(kind, changed) => {
                    let body = match (kind, changed) {
                        (1, false) => ANSWER.to_owned(),
                        (1 | 3, true) => ANSWER.replace("5000", &(5001 + index).to_string()),
                        _ => String::new(),
                    };
                    let method = ["BYE", "INVITE", "ACK", "UPDATE", "INFO", "CANCEL"][usize::from(kind)];
                    line.ask(method, u32::try_from(index).unwrap() + 1, "a", "", &body);
                }
                Step::HangUp => line.hang_up(HangUpCause::Client),
                Step::Renew => {
                    if line.call.state == State::AwaitingPermit {
                        counted_from = line.ms;
                    }
                    line.input(Input::Control(Control::Renew(permit_at(line.ms))));
                }
                Step::Block(blocked) => {
                    line.blocked = blocked;
                    if !blocked && line.call.invite.pending {
                        line.write();
                    }
                }
            }
            for entry in &line.transcript[before..] {
                let at: u64 = entry.split(' ').next().unwrap().parse().unwrap();
                if entry.contains("> INVITE") && !entry.ends_with("within") {
                    prop_assert!(at - counted_from < 1500, "{entry} under a permit of {counted_from}");
                }
            }
            if line.call.warrant.is_none() {
                prop_assert!(!line.call.invite.pending);
            }
        }
        line.blocked = false;
        line.hang_up(HangUpCause::Client);
        line.wait(200_000);
        let endings = line.transcript.iter().filter(|entry| entry.contains("! ended")).count();
        prop_assert_eq!(endings, 1, "{:#?}", line.transcript);
        let followed = line.transcript.iter().filter(|entry| entry.contains("! followed")).count();
        let over = line.transcript.iter().position(|entry| entry.contains("! ended"));
        let within = line.transcript.iter().rposition(|entry| entry.ends_with("within"));
        prop_assert!(within < over, "no INVITE leaves after the end: {:#?}", line.transcript);
        prop_assert_eq!(followed, instructed, "{:#?}", line.transcript);
        let told: Vec<_> = line.transcript.iter().filter(|entry| entry.contains(" ! ")).collect();
        prop_assert!(told.last().unwrap().contains("! ended"), "{:#?}", told);
        prop_assert!(line.call.is_done());
        prop_assert!(line.call.warrant.is_none());
    }
}
