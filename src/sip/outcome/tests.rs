//! One case a row of the table, and the order of the input.

use std::net::SocketAddr;

use super::*;

fn trunk() -> Trunk {
    Trunk::new("t", SocketAddr::from(([127, 0, 0, 1], 5060)), "example.com")
}

fn response(code: u16, headers: &str) -> Message {
    let text = format!(
        "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    crate::sip::wire::parse(text.as_bytes()).unwrap()
}

fn check_with(
    trunk: &Trunk,
    own: Option<Own>,
    signal: Signal,
    phrase: &str,
    reason: &str,
    rang: bool,
) -> (Outcome, Retry) {
    let header = if reason.is_empty() {
        String::new()
    } else {
        format!("Reason: {reason}\r\n")
    };
    judge(&Evidence {
        own,
        signal,
        phrase,
        reasons: &Reasons::of(&response(400, &header)),
        rang,
        trunk,
    })
}

/// Code, Q.850 cause (0 = none), whether it rang, and what must come of it.
fn check(code: u16, cause: u16, rang: bool, outcome: Outcome, retry: Retry) {
    let reason = if cause == 0 {
        String::new()
    } else {
        format!("Q.850;cause={cause}")
    };
    assert_eq!(
        check_with(&trunk(), None, Signal::Code(code), "X", &reason, rang),
        (outcome, retry),
        "code {code}, cause {cause}, rang {rang}"
    );
}

#[test]
fn each_row_of_the_table() {
    for code in [300, 301, 302, 303, 304, 305, 380] {
        check(code, 23, false, Outcome::Redirected, Retry::Never);
    }
    for code in [481, 482, 483, 505] {
        check(code, 25, false, Outcome::CarrierError, Retry::Trunk);
        check(code, 111, true, Outcome::CarrierError, Retry::Soon);
    }
    check(400, 127, false, Outcome::CarrierError, Retry::Fix);
    check(401, 21, false, Outcome::TrunkAuthFailed, Retry::Fix);
    check(407, 21, false, Outcome::TrunkAuthFailed, Retry::Fix);
    check(402, 21, false, Outcome::TrunkRefused, Retry::Fix);
    for cause in [0, 21, 55, 57, 87] {
        check(403, cause, false, Outcome::TrunkRefused, Retry::Fix);
    }
    for cause in [0, 1] {
        check(404, cause, false, Outcome::InvalidNumber, Retry::Never);
    }
    for cause in [2, 3, 26] {
        check(404, cause, false, Outcome::NoRoute, Retry::Trunk);
        check(404, cause, true, Outcome::NoRoute, Retry::Fix);
    }
    check(408, 18, true, Outcome::NoAnswer, Retry::Later);
    check(408, 0, false, Outcome::Unreachable, Retry::Trunk);
    check(410, 22, false, Outcome::NumberChanged, Retry::Never);
    for code in [406, 415, 488, 606] {
        check(code, 65, false, Outcome::MediaIncompatible, Retry::Fix);
    }
    for code in [405, 416, 420, 421] {
        check(code, 79, false, Outcome::FeatureRefused, Retry::Fix);
    }
    for code in [413, 414, 513] {
        check(code, 0, false, Outcome::TooLarge, Retry::Fix);
    }
    check(422, 0, false, Outcome::FeatureRefused, Retry::Fix);
    for code in [428, 436, 437, 438] {
        check(code, 0, false, Outcome::IdentityRejected, Retry::Fix);
    }
    check(433, 0, false, Outcome::Rejected, Retry::Fix);
    for cause in [18, 19] {
        check(480, cause, false, Outcome::NoAnswer, Retry::Later);
    }
    check(480, 0, true, Outcome::NoAnswer, Retry::Later);
    check(480, 20, false, Outcome::Unreachable, Retry::Later);
    check(480, 20, true, Outcome::Unreachable, Retry::Later);
    check(480, 21, true, Outcome::Rejected, Retry::Later);
    check(480, 0, false, Outcome::Unreachable, Retry::Later);
    check(480, 31, false, Outcome::Unreachable, Retry::Later);
    check(484, 28, false, Outcome::InvalidNumber, Retry::Never);
    check(485, 1, false, Outcome::InvalidNumber, Retry::Never);
    check(486, 17, true, Outcome::Busy, Retry::Soon);
    check(600, 17, false, Outcome::Busy, Retry::Soon);
    check(487, 0, true, Outcome::Canceled, Retry::Later);
    for code in [500, 501, 502, 504, 580] {
        check(code, 41, false, Outcome::CarrierError, Retry::Trunk);
        check(code, 0, true, Outcome::CarrierError, Retry::Soon);
    }
    for cause in [0, 34, 42, 44, 47] {
        check(503, cause, false, Outcome::Congestion, Retry::Trunk);
    }
    check(503, 34, true, Outcome::Congestion, Retry::Soon);
    check(603, 21, true, Outcome::Rejected, Retry::Later);
    check(604, 1, false, Outcome::InvalidNumber, Retry::Never);
    check(607, 21, true, Outcome::Unwanted, Retry::Never);
    check(608, 21, false, Outcome::BlockedByAnalytics, Retry::Never);
}

#[test]
fn codes_without_a_row_count_as_the_first_of_their_class() {
    check(399, 0, false, Outcome::Redirected, Retry::Never);
    check(491, 0, false, Outcome::CarrierError, Retry::Fix);
    check(599, 0, false, Outcome::CarrierError, Retry::Trunk);
    check(699, 0, false, Outcome::Busy, Retry::Soon);
}

#[test]
fn every_row_can_be_reached() {
    for (index, row) in ROWS.iter().enumerate() {
        let cause = match row.causes {
            Causes::Any => None,
            Causes::OneOf(causes) => causes.first().copied(),
        };
        let evidence = Evidence {
            own: None,
            signal: Signal::Code(row.codes[0]),
            phrase: "",
            reasons: &Reasons {
                q850: cause,
                ..Reasons::default()
            },
            rang: row.when == When::Rang,
            trunk: &trunk(),
        };
        let found = find(row.codes[0], &evidence).unwrap();
        assert!(std::ptr::eq(found, row), "row {index} is hidden by another");
    }
}

#[test]
fn our_own_action_comes_first() {
    let own = |own| check_with(&trunk(), Some(own), Signal::Code(487), "X", "", true);
    assert_eq!(own(Own::RingTimer), (Outcome::NoAnswer, Retry::Later));
    for (cause, retry) in [
        (HangUpCause::Client, Retry::None),
        (HangUpCause::LateSend, Retry::None),
        (HangUpCause::OptOut, Retry::Never),
        (HangUpCause::TakenForDead, Retry::Never),
        (HangUpCause::Denied, Retry::None),
        (HangUpCause::Drain, Retry::Later),
    ] {
        assert_eq!(own(Own::HangUp(cause)), (Outcome::Canceled, retry));
    }
    let elsewhere = own(Own::HangUp(HangUpCause::Elsewhere));
    assert_eq!(elsewhere, (Outcome::NoAnswer, Retry::Later));
    let deaf = own(Own::HangUp(HangUpCause::NoMedia));
    assert_eq!(deaf, (Outcome::MediaIncompatible, Retry::Later));
    assert_eq!(
        check_with(
            &trunk(),
            Some(Own::RingTimer),
            Signal::Code(486),
            "X",
            "",
            true
        ),
        (Outcome::NoAnswer, Retry::Later)
    );
}

#[test]
fn blocking_by_analytics_is_known_by_phrase_or_reason() {
    let blocked = (Outcome::BlockedByAnalytics, Retry::Never);
    let tell =
        |phrase, reason| check_with(&trunk(), None, Signal::Code(603), phrase, reason, false);
    assert_eq!(tell("Network Blocked", ""), blocked);
    let text = r#"Q.850;cause=21;text="v=analytics1;url=https://redress.example.com;location=LN""#;
    assert_eq!(tell("Decline", text), blocked);
    assert_eq!(
        tell("Decline", r#"SIP;cause=603;text="Tel=+1 see redress""#),
        blocked
    );
    let person = (Outcome::Rejected, Retry::Later);
    assert_eq!(tell("Decline", ""), person);
    assert_eq!(
        tell("Decline", r#"Q.850;cause=21;text="Call rejected""#),
        person
    );
    assert_eq!(
        tell("Decline", r#"Q.850;cause=16;text="v=analytics1""#),
        person
    );
}

#[test]
fn a_cause_that_says_more_than_a_general_code_decides() {
    check(480, 17, true, Outcome::Busy, Retry::Soon);
    check(500, 1, false, Outcome::InvalidNumber, Retry::Never);
    check(500, 18, true, Outcome::NoAnswer, Retry::Later);
    check(503, 3, false, Outcome::NoRoute, Retry::Trunk);
    check(500, 21, false, Outcome::TrunkRefused, Retry::Fix);
    check(500, 16, false, Outcome::CarrierError, Retry::Trunk);
    // A specific code keeps its row.
    check(486, 1, false, Outcome::Busy, Retry::Soon);
    assert_eq!(
        check_with(
            &trunk(),
            None,
            Signal::Code(500),
            "X",
            "Q.850;cause=21;location=U",
            true
        ),
        (Outcome::Rejected, Retry::Later)
    );
}

#[test]
fn a_trunk_may_have_its_own_translation() {
    let mut trunk = trunk();
    trunk.cause_codes.insert(41, 404);
    assert_eq!(
        check_with(
            &trunk,
            None,
            Signal::Code(500),
            "X",
            "Q.850;cause=41",
            false
        ),
        (Outcome::InvalidNumber, Retry::Never)
    );
}

#[test]
fn silence_is_unreachable_until_something_rang() {
    assert_eq!(
        check_with(&trunk(), None, Signal::Silence, "", "", false),
        (Outcome::Unreachable, Retry::Trunk)
    );
    assert_eq!(
        check_with(&trunk(), None, Signal::Silence, "", "", true),
        (Outcome::NoAnswer, Retry::Later)
    );
}

#[test]
fn retry_after_is_read_and_capped() {
    let after = |value: &str| retry_after(&response(503, &format!("Retry-After: {value}\r\n")));
    assert_eq!(after("120"), Some(Duration::from_secs(120)));
    assert_eq!(
        after("5 (maintenance);duration=9"),
        Some(Duration::from_secs(5))
    );
    assert_eq!(after("86400"), Some(RETRY_AFTER_MAX));
    assert_eq!(after("949302838503028349304023988"), None);
    assert_eq!(after("soon"), None);
}
