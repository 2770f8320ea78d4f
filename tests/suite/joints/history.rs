//! The checker itself: it fails on each of these bad histories, and on none of the good ones that only look bad.

use std::time::Duration;

use crate::support::history::*;

const TO: &str = "+61255500041";
const FROM: &str = "+61255500001";

fn at(millis: u64) -> At {
    Duration::from_millis(millis)
}

fn ok(millis: u64, id: &str) -> End {
    End::Ok {
        at: at(millis),
        id: id.to_owned(),
        call: None,
    }
}

fn operation(actor: &str, request_id: &str, wish: Wish, invoked: u64, end: End) -> Operation {
    Operation {
        actor: actor.to_owned(),
        request_id: request_id.to_owned(),
        wish,
        invoked: at(invoked),
        end,
    }
}

fn opt_out(request_id: &str, invoked: u64, end: End) -> Operation {
    let subject = Subject::Number(TO.to_owned());
    operation(
        "agent",
        request_id,
        Wish::OptOut {
            subject,
            seller: None,
        },
        invoked,
        end,
    )
}

fn lift(actor: &str, invoked: u64, end: End) -> Operation {
    let wish = Wish::Lift {
        suppression: "s1".to_owned(),
    };
    operation(
        actor,
        &format!("lift by {actor} at {invoked}"),
        wish,
        invoked,
        end,
    )
}

fn packet(millis: u64, what: &str) -> Packet {
    Packet {
        at: at(millis),
        sent: what.starts_with(|first: char| first.is_ascii_digit()),
        what: what.to_owned(),
        call_id: "w1".to_owned(),
        branch: "b1".to_owned(),
        cseq: 1,
        to: TO.to_owned(),
        from: FROM.to_owned(),
        node: 5060,
    }
}

fn entry(kind: &str, about: &str) -> Entry {
    Entry {
        kind: kind.to_owned(),
        about: about.to_owned(),
    }
}

fn wish() -> Wish {
    Wish::Place {
        to: TO.to_owned(),
        from: FROM.to_owned(),
    }
}

/// A call placed at 10, claimed at 20, sent at 30, busy at 40.
fn one_call() -> History {
    let decision = |id: &str, stage: &str| Decision {
        id: id.to_owned(),
        stage: stage.to_owned(),
        allow: true,
        number: TO.to_owned(),
        call: Some("c1".to_owned()),
    };
    let end = End::Ok {
        at: at(15),
        id: "d1".to_owned(),
        call: Some("c1".to_owned()),
    };
    History {
        operations: vec![operation("agent", "r1", wish(), 10, end)],
        packets: vec![packet(30, "INVITE"), packet(40, "486"), packet(45, "ACK")],
        lossless: true,
        stored: Stored {
            decisions: vec![decision("d1", "place"), decision("d2", "claim")],
            attempts: vec![attempt("a1", "d2", "busy")],
            calls: vec![Call {
                id: "c1".to_owned(),
                place_decision: "d1".to_owned(),
                number: TO.to_owned(),
                from: FROM.to_owned(),
                done: true,
                ends: 1,
            }],
            requests: vec![request("r1", "PlaceCall", "d1")],
            entries: vec![
                entry("decision", "d1"),
                entry("claim", "d2"),
                entry("outcome", "a1"),
            ],
            ..Stored::default()
        },
    }
}

fn attempt(id: &str, decision: &str, outcome: &str) -> Attempt {
    Attempt {
        id: id.to_owned(),
        call: "c1".to_owned(),
        decision: decision.to_owned(),
        sip_call_id: "w1".to_owned(),
        number: TO.to_owned(),
        party: "p1".to_owned(),
        seller: "acme".to_owned(),
        claimed: Some(at(20)),
        permit_open: false,
        outcome: Some(outcome.to_owned()),
    }
}

fn request(id: &str, method: &str, subject: &str) -> Request {
    Request {
        id: id.to_owned(),
        method: method.to_owned(),
        subject: subject.to_owned(),
    }
}

/// The same, and an opt-out that was acknowledged at 60.
fn opted_out() -> History {
    let mut history = one_call();
    history.operations.push(opt_out("r2", 50, ok(60, "s1")));
    history
        .stored
        .requests
        .push(request("r2", "CreateSuppression", "s1"));
    history.stored.suppressions.push(Suppression {
        id: "s1".to_owned(),
        lift_requested: false,
        lifted: false,
    });
    history
        .stored
        .entries
        .push(entry("suppression.created", "s1"));
    history
}

/// The same, lifted by two people, the second of whom asked at 80 and was answered at 90.
fn lifted() -> History {
    let mut history = opted_out();
    history.operations.push(lift("first", 70, ok(75, "s1")));
    history.operations.push(lift("second", 80, ok(90, "s1")));
    let row = &mut history.stored.suppressions[0];
    (row.lift_requested, row.lifted) = (true, true);
    let entries = &mut history.stored.entries;
    entries.push(entry("suppression.lift_requested", "s1"));
    entries.push(entry("suppression.lifted", "s1"));
    history
}

/// A challenge whose answer needed a second claim.
fn challenged() -> History {
    let mut history = one_call();
    history.stored.attempts = vec![
        attempt("a1", "d2", "superseded"),
        attempt("a2", "d3", "busy"),
    ];
    let again = Decision {
        id: "d3".to_owned(),
        ..history.stored.decisions[1].clone()
    };
    history.stored.decisions.push(again);
    history.stored.entries = vec![
        entry("decision", "d1"),
        entry("claim", "d2"),
        entry("claim", "d3"),
        entry("outcome", "a2"),
    ];
    let answer = Packet {
        branch: "b2".to_owned(),
        cseq: 2,
        ..packet(2_000, "INVITE")
    };
    history.packets = vec![
        packet(30, "INVITE"),
        packet(1_900, "407"),
        answer,
        packet(2_010, "486"),
    ];
    history
}

/// The first target refuses at 40; under a claim of its own the call goes on to the next, and is busy there.
fn went_on() -> History {
    let mut history = one_call();
    history.stored.attempts = vec![
        attempt("a1", "d2", "superseded"),
        Attempt {
            sip_call_id: "w2".to_owned(),
            claimed: Some(at(60)),
            ..attempt("a2", "d3", "busy")
        },
    ];
    let again = Decision {
        id: "d3".to_owned(),
        ..history.stored.decisions[1].clone()
    };
    history.stored.decisions.push(again);
    history.stored.entries = vec![
        entry("decision", "d1"),
        entry("claim", "d2"),
        entry("claim", "d3"),
        entry("outcome", "a2"),
    ];
    history.packets = vec![
        packet(30, "INVITE"),
        packet(40, "503"),
        packet(45, "ACK"),
        next(70, "INVITE"),
        next(80, "486"),
    ];
    history
}

/// At the next target.
fn next(millis: u64, what: &str) -> Packet {
    Packet {
        call_id: "w2".to_owned(),
        branch: "b9".to_owned(),
        ..packet(millis, what)
    }
}

#[track_caller]
fn passes(history: &History) {
    let told: Vec<String> = check(history).iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// The history breaks this promise and, but for those named, no other.
#[track_caller]
fn breaks(promise: &str, also: &[&str], history: &History) {
    let told = check(history);
    assert!(
        told.iter().any(|each| each.promise == promise),
        "{promise} was not seen broken: {told:?}"
    );
    for each in &told {
        assert!(
            each.promise == promise || also.contains(&each.promise),
            "{each}"
        );
    }
}

/// The same history with something changed.
fn but(mut history: History, change: impl FnOnce(&mut History)) -> History {
    change(&mut history);
    history
}

#[test]
fn good_histories_pass() {
    for history in [
        History::default(),
        one_call(),
        opted_out(),
        lifted(),
        challenged(),
        went_on(),
    ] {
        passes(&history);
    }
}

#[test]
fn good_histories_that_look_bad_pass() {
    // A retransmission that arrives while the opt-out waits.
    passes(&but(opted_out(), |it| {
        it.packets.push(packet(59, "INVITE"))
    }));
    // An INVITE after the second of two people asked for the lift, and before they were answered.
    passes(&but(lifted(), |it| it.packets.push(packet(85, "INVITE"))));
    // A lift that overlaps the opt-out: its acknowledgement proves nothing.
    passes(&but(lifted(), |it| {
        it.operations[3].invoked = at(55);
        it.operations[2].invoked = at(52);
        it.packets.push(packet(65, "INVITE"));
    }));
    // A lift of which nobody knows what became.
    passes(&but(lifted(), |it| {
        it.operations[3].end = End::Unknown;
        it.packets.push(packet(500, "INVITE"));
    }));
    // An opt-out first tried before the lift, answered after it: what it recorded was lifted meanwhile.
    passes(&but(lifted(), |it| {
        it.operations[1].end = End::Unknown;
        it.operations.push(opt_out("r2", 100, ok(110, "s1")));
        it.packets.push(packet(120, "INVITE"));
    }));
    // An opt-out for another seller, one for another person, one that was never acknowledged.
    passes(&but(opted_out(), |it| {
        let subject = Subject::Number(TO.to_owned());
        it.operations[1].wish = Wish::OptOut {
            subject,
            seller: Some("other".to_owned()),
        };
        it.packets.push(packet(100, "INVITE"));
    }));
    passes(&but(opted_out(), |it| {
        let subject = Subject::Party("p2".to_owned());
        it.operations[1].wish = Wish::OptOut {
            subject,
            seller: None,
        };
        it.packets.push(packet(100, "INVITE"));
    }));
    passes(&but(opted_out(), |it| {
        it.operations[1].end = End::Unknown;
        it.packets.push(packet(100, "INVITE"));
    }));
    // A newer consent opens the number again from when it was asked for.
    passes(&but(opted_out(), |it| {
        let consent = consent(true);
        it.operations
            .push(operation("agent", "r3", consent, 70, End::Unknown));
        it.packets.push(packet(100, "INVITE"));
    }));
    // The next target's turn after three seconds of silence, and a ring at the first one long after that.
    passes(&but(went_on(), |it| {
        it.packets = vec![
            packet(30, "INVITE"),
            packet(540, "INVITE"),
            next(3_050, "INVITE"),
            next(3_060, "180"),
            packet(4_500, "180"),
            packet(4_510, "CANCEL"),
            packet(4_520, "487"),
            next(5_000, "486"),
        ];
        it.stored.attempts[1].claimed = Some(at(3_040));
    }));
    // A ring that crosses the INVITE on its way.
    passes(&but(went_on(), |it| {
        it.packets = vec![
            packet(30, "INVITE"),
            packet(3_049, "180"),
            next(3_050, "INVITE"),
            packet(3_055, "CANCEL"),
        ];
        it.stored.attempts[1].claimed = Some(at(3_040));
    }));
    // The same answer twice, an error that says that nothing was done, and a lift that was one already.
    passes(&but(lifted(), |it| {
        it.operations.push(it.operations[0].clone());
        it.operations
            .push(operation("agent", "r9", wish(), 200, End::Refused(at(201))));
        it.operations.push(lift("third", 300, ok(310, "s1")));
    }));
}

fn consent(reopens: bool) -> Wish {
    Wish::Consent {
        number: TO.to_owned(),
        seller: "acme".to_owned(),
        reopens,
    }
}

#[test]
fn p01_an_invite_without_its_allow_is_seen() {
    // Nobody knows the Call-ID: the claim was never committed.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| it.packets[0].call_id = "w2".to_owned()),
    );
    // Another number, another caller id.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.packets[0].to = "+61255500042".to_owned()
        }),
    );
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.packets[0].from = "+61255500002".to_owned()
        }),
    );
    // Sent as it was stored, and stored as nobody asked for it.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.packets[0].from = "+61255500002".to_owned();
            it.stored.calls[0].from = "+61255500002".to_owned();
        }),
    );
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            let to = "+61255500042";
            it.packets[0].to = to.to_owned();
            it.stored.calls[0].number = to.to_owned();
            it.stored.attempts[0].number = to.to_owned();
            it.stored
                .decisions
                .iter_mut()
                .for_each(|each| each.number = to.to_owned());
        }),
    );
    // Denied; decided about another number; decided, but not at dial time; not there at all.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| it.stored.decisions[1].allow = false),
    );
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.stored.decisions[1].number = "+61255500042".to_owned()
        }),
    );
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.stored.decisions[1].stage = "check".to_owned()
        }),
    );
    breaks(
        "P-01",
        &["P-16"],
        &but(one_call(), |it| drop(it.stored.decisions.remove(1))),
    );
    // Sent first, claimed later.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| {
            it.stored.attempts[0].claimed = Some(at(35))
        }),
    );
    // Sent again when the permit was long over; a challenge answered by the permit of the first claim.
    breaks(
        "P-01",
        &[],
        &but(one_call(), |it| it.packets.push(packet(3_600, "INVITE"))),
    );
    breaks(
        "P-01",
        &["P-16"],
        &but(challenged(), |it| {
            it.stored.attempts[0].outcome = Some("busy".to_owned());
            it.stored.attempts.truncate(1);
            it.stored.entries[3] = entry("outcome", "a1");
            it.packets[2].at = at(3_600);
        }),
    );
}

#[test]
fn p02_a_lost_opt_out_is_seen() {
    breaks(
        "P-02",
        &["P-16"],
        &but(opted_out(), |it| it.stored.suppressions.clear()),
    );
    // Another row under the same number is not the one that was acknowledged.
    breaks(
        "P-02",
        &["P-16"],
        &but(opted_out(), |it| {
            it.stored.suppressions[0].id = "s2".to_owned()
        }),
    );
    // Lifted, though only one person asked.
    breaks(
        "P-02",
        &[],
        &but(lifted(), |it| drop(it.operations.remove(3))),
    );
}

#[test]
fn p03_an_invite_behind_an_opt_out_is_seen() {
    // A new one, a late retransmission, the answer to a challenge, one that nobody claimed.
    breaks(
        "P-03",
        &[],
        &but(opted_out(), |it| it.packets[0].at = at(61)),
    );
    breaks(
        "P-03",
        &[],
        &but(opted_out(), |it| it.packets.push(packet(61, "INVITE"))),
    );
    breaks(
        "P-03",
        &[],
        &but(challenged(), |it| {
            let opted = opted_out();
            it.operations.push(opted.operations[1].clone());
            it.stored.requests.push(opted.stored.requests[1].clone());
            it.stored.suppressions = opted.stored.suppressions;
            it.stored.entries.push(entry("suppression.created", "s1"));
        }),
    );
    breaks(
        "P-03",
        &["P-01"],
        &but(opted_out(), |it| {
            it.packets.push(Packet {
                call_id: "w2".to_owned(),
                ..packet(61, "INVITE")
            });
        }),
    );
    // Before the second person asked for the lift.
    breaks(
        "P-03",
        &[],
        &but(lifted(), |it| it.packets.push(packet(79, "INVITE"))),
    );
    // The same person twice is no second person.
    breaks(
        "P-03",
        &["P-02"],
        &but(lifted(), |it| {
            it.operations[3].actor = "first".to_owned();
            it.packets.push(packet(85, "INVITE"));
        }),
    );
    // A lift that was over before the opt-out began lifts nothing of it.
    breaks(
        "P-03",
        &[],
        &but(lifted(), |it| {
            it.operations.push(opt_out("r3", 100, ok(110, "s1")));
            it.stored
                .requests
                .push(request("r3", "CreateSuppression", "s1"));
            it.packets.push(packet(120, "INVITE"));
        }),
    );
    // Every seller, this seller, this person.
    for wish in [
        Wish::OptOut {
            subject: Subject::Number(TO.to_owned()),
            seller: Some("acme".to_owned()),
        },
        Wish::OptOut {
            subject: Subject::Party("p1".to_owned()),
            seller: None,
        },
    ] {
        breaks(
            "P-03",
            &[],
            &but(opted_out(), |it| {
                it.operations[1].wish = wish;
                it.packets.push(packet(61, "INVITE"));
            }),
        );
    }
    // A consent older than the opt-out reopens nothing.
    breaks(
        "P-03",
        &[],
        &but(opted_out(), |it| {
            it.operations
                .push(operation("agent", "r3", consent(false), 70, End::Unknown));
            it.packets.push(packet(100, "INVITE"));
        }),
    );
}

#[test]
fn p04_a_claim_without_its_one_outcome_is_seen() {
    breaks(
        "P-04",
        &["P-16"],
        &but(one_call(), |it| it.stored.attempts[0].outcome = None),
    );
    breaks(
        "P-04",
        &["P-16"],
        &but(one_call(), |it| {
            it.stored.entries.push(entry("outcome", "a1"))
        }),
    );
    breaks(
        "P-04",
        &["P-16"],
        &but(one_call(), |it| drop(it.stored.entries.pop())),
    );
    breaks(
        "P-04",
        &[],
        &but(one_call(), |it| it.stored.calls[0].ends = 2),
    );
    breaks(
        "P-04",
        &[],
        &but(one_call(), |it| it.stored.calls[0].ends = 0),
    );
    breaks(
        "P-04",
        &[],
        &but(one_call(), |it| it.stored.calls[0].done = false),
    );
    breaks(
        "P-04",
        &[],
        &but(one_call(), |it| it.stored.attempts[0].permit_open = true),
    );
    // Two attempts that both ended by themselves; an end of the old one that was told as well.
    breaks(
        "P-04",
        &["P-16"],
        &but(challenged(), |it| {
            it.stored.attempts[0].outcome = Some("busy".to_owned())
        }),
    );
    breaks(
        "P-04",
        &["P-16"],
        &but(challenged(), |it| {
            it.stored.entries.push(entry("outcome", "a1"))
        }),
    );
}

#[test]
fn p07_a_request_that_counts_twice_is_seen() {
    // Another answer to the same request.
    breaks(
        "P-07",
        &[],
        &but(one_call(), |it| {
            let end = End::Ok {
                at: at(100),
                id: "d1".to_owned(),
                call: Some("c2".to_owned()),
            };
            it.operations.push(Operation {
                end,
                ..it.operations[0].clone()
            });
        }),
    );
    breaks(
        "P-07",
        &[],
        &but(one_call(), |it| {
            let end = End::Ok {
                at: at(100),
                id: "d9".to_owned(),
                call: Some("c1".to_owned()),
            };
            it.operations.push(Operation {
                end,
                ..it.operations[0].clone()
            });
        }),
    );
    // A second call for the same decision; a call and a decision that no request asked for.
    breaks(
        "P-07",
        &[],
        &but(one_call(), |it| {
            it.stored.calls.push(Call {
                id: "c2".to_owned(),
                ..it.stored.calls[0].clone()
            });
        }),
    );
    breaks(
        "P-07",
        &[],
        &but(one_call(), |it| {
            it.stored.calls.push(Call {
                id: "c2".to_owned(),
                place_decision: "d9".to_owned(),
                ..it.stored.calls[0].clone()
            });
        }),
    );
    breaks(
        "P-07",
        &["P-16"],
        &but(one_call(), |it| {
            it.stored.decisions.push(Decision {
                id: "d9".to_owned(),
                ..it.stored.decisions[0].clone()
            });
        }),
    );
    // Answered, and forgotten by the store.
    breaks(
        "P-07",
        &["P-01"],
        &but(one_call(), |it| it.stored.requests.clear()),
    );
    // A repeated opt-out that names another row.
    breaks(
        "P-07",
        &["P-02"],
        &but(opted_out(), |it| {
            it.operations.push(opt_out("r2", 100, ok(110, "s2")));
        }),
    );
}

#[test]
fn p08_a_second_call_on_the_wire_is_seen() {
    // A second Call-ID for the same call.
    breaks(
        "P-08",
        &["P-04", "P-16"],
        &but(one_call(), |it| {
            let again = Attempt {
                sip_call_id: "w2".to_owned(),
                ..attempt("a2", "d2", "busy")
            };
            it.stored.attempts.push(again);
            it.packets.push(Packet {
                call_id: "w2".to_owned(),
                branch: "b9".to_owned(),
                ..packet(90, "INVITE")
            });
        }),
    );
    // A new transaction that no challenge asked for; one in answer to nothing but a busy.
    breaks(
        "P-08",
        &[],
        &but(one_call(), |it| {
            it.packets.push(Packet {
                branch: "b2".to_owned(),
                cseq: 2,
                ..packet(90, "INVITE")
            });
        }),
    );
    // The answer to a challenge with the old number; the same branch with another; the same branch from another node.
    breaks("P-08", &[], &but(challenged(), |it| it.packets[2].cseq = 1));
    breaks(
        "P-08",
        &[],
        &but(one_call(), |it| {
            it.packets.push(Packet {
                cseq: 2,
                ..packet(90, "INVITE")
            })
        }),
    );
    breaks(
        "P-08",
        &[],
        &but(one_call(), |it| {
            it.packets.push(Packet {
                node: 5062,
                ..packet(90, "INVITE")
            })
        }),
    );
    // One Call-ID for two calls.
    breaks(
        "P-08",
        &["P-04", "P-16"],
        &but(one_call(), |it| {
            it.stored.attempts.push(Attempt {
                call: "c2".to_owned(),
                ..attempt("a2", "d9", "busy")
            });
        }),
    );
}

#[test]
fn p01_a_next_target_without_a_claim_of_its_own_is_seen() {
    // Nobody claimed it.
    breaks(
        "P-01",
        &[],
        &but(went_on(), |it| {
            drop(it.stored.attempts.remove(1));
            drop(it.stored.decisions.remove(2));
            drop(it.stored.entries.remove(2));
            it.stored.entries[2] = entry("outcome", "a1");
            it.stored.attempts[0].outcome = Some("congestion".to_owned());
        }),
    );
    // It leaves before its claim.
    breaks(
        "P-01",
        &[],
        &but(went_on(), |it| it.stored.attempts[1].claimed = Some(at(75))),
    );
    // The claim was refused.
    breaks(
        "P-01",
        &[],
        &but(went_on(), |it| it.stored.decisions[2].allow = false),
    );
    // Under the Call-ID of the first claim.
    breaks(
        "P-08",
        &[],
        &but(went_on(), |it| {
            it.packets[3].call_id = "w1".to_owned();
            it.packets[4].call_id = "w1".to_owned();
        }),
    );
}

#[test]
fn p03_a_next_target_behind_an_opt_out_is_seen() {
    breaks(
        "P-03",
        &[],
        &but(went_on(), |it| {
            let opted = opted_out();
            it.operations.push(opt_out("r2", 45, ok(55, "s1")));
            it.stored.requests.push(opted.stored.requests[1].clone());
            it.stored.suppressions = opted.stored.suppressions;
            it.stored.entries.push(entry("suppression.created", "s1"));
        }),
    );
}

#[test]
fn p08_a_next_target_out_of_turn_is_seen() {
    let bad = |change: fn(&mut History)| breaks("P-08", &[], &but(went_on(), change));
    // The first target is sent to again; it had rung; the person was busy; it had not had its time; another node went on.
    bad(|it| it.packets.push(packet(90, "INVITE")));
    bad(|it| {
        it.packets[1] = packet(1_400, "503");
        it.packets[3].at = at(1_450);
        it.packets[4].at = at(1_460);
        it.packets.insert(1, packet(35, "180"));
        it.stored.attempts[1].claimed = Some(at(1_440));
    });
    bad(|it| it.packets[1].what = "486".to_owned());
    bad(|it| drop(it.packets.remove(1)));
    bad(|it| it.packets[3].node = 5062);
    // Both claims have an outcome.
    breaks(
        "P-08",
        &["P-04", "P-16"],
        &but(went_on(), |it| {
            it.stored.attempts[0].outcome = Some("congestion".to_owned());
        }),
    );
}

#[test]
fn p16_an_effect_without_its_entry_is_seen() {
    breaks(
        "P-16",
        &[],
        &but(one_call(), |it| drop(it.stored.entries.remove(0))),
    );
    breaks(
        "P-16",
        &[],
        &but(one_call(), |it| {
            it.stored.entries.push(entry("decision", "d1"))
        }),
    );
    breaks(
        "P-16",
        &[],
        &but(one_call(), |it| {
            it.stored.entries.push(entry("claim", "d9"))
        }),
    );
    breaks(
        "P-16",
        &[],
        &but(opted_out(), |it| drop(it.stored.entries.pop())),
    );
    breaks(
        "P-16",
        &[],
        &but(lifted(), |it| drop(it.stored.entries.pop())),
    );
    breaks(
        "P-16",
        &[],
        &but(one_call(), |it| it.stored.consents.push("e1".to_owned())),
    );
}

#[test]
fn a_ringing_call_that_an_opt_out_leaves_ringing_is_seen() {
    let found =
        |packets: Vec<Packet>| cancels(&but(opted_out(), |it| it.packets = packets), |_, _| false);
    let ringing = || vec![packet(30, "INVITE"), packet(35, "180")];
    let with = |more: Packet| found(ringing().into_iter().chain([more]).collect());
    // Asked for at 50, acknowledged at 60.
    let after = |acknowledged, asked| {
        Some(Cancel {
            acknowledged: at(acknowledged),
            asked: at(asked),
        })
    };
    assert_eq!(with(packet(75, "CANCEL")), [after(15, 25)]);
    assert_eq!(found(ringing()), [None]);
    assert_eq!(with(packet(5_000, "487")), [None]);
    assert_eq!(
        with(packet(55, "CANCEL")),
        [after(0, 5)],
        "while the opt-out waited"
    );
    assert_eq!(with(packet(45, "CANCEL")), [], "it was cancelled before");
    assert_eq!(with(packet(55, "486")), [], "it was over before");
    assert_eq!(found(vec![packet(30, "INVITE")]), [], "it did not ring");
}
