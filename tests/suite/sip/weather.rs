//! Calls through a network that loses, doubles, delays and reorders: each ends, once, with an outcome that its callee can have
//! brought about, and nothing is left of it afterwards.

use std::sync::atomic::Ordering;

use super::sipp::Sipp;
use super::*;
use crate::joints::rng::seed;
use crate::support::relay::{Relay, Weather};

fn weathers() -> [Weather; 3] {
    [(1, 1, 2, 10), (5, 5, 10, 30), (10, 10, 20, 60)].map(|(lost, doubled, late, delay_ms)| {
        Weather {
            lost,
            doubled,
            late,
            delay_ms,
        }
    })
}

/// Plays the client of one call, and checks how it ended.
async fn play(number: String, mut call: Call) {
    let hangs_up = match number.chars().last() {
        Some('1') => {
            while !matches!(call.seen.last().map(String::as_str), Some("answered")) {
                if let Some(SipEvent::Ended(ending)) = call.next().await {
                    return check(&number, &ending, &call.seen);
                }
            }
            true
        }
        // The 180 may be lost, and nobody repeats it.
        Some('4') => {
            sleep(Duration::from_millis(700)).await;
            true
        }
        _ => false,
    };
    if hangs_up {
        let cause = HangUpCause::Client;
        let _ = call.dialog.control.send(Control::HangUp { cause }).await;
    }
    let ending = call.ending().await;
    check(&number, &ending, &call.seen);
}

fn check(number: &str, ending: &Ending, seen: &[String]) {
    let possible = match number.chars().last() {
        Some('0' | '1') => Outcome::Answered,
        Some('2') => Outcome::Busy,
        Some('3') => Outcome::Rejected,
        Some('4') => Outcome::Canceled,
        _ => Outcome::Unreachable,
    };
    // Both INVITEs that a permit lets out may be lost, or all that was said to them.
    let fits = ending.outcome == possible || ending.outcome == Outcome::Unreachable;
    assert!(fits, "{number}: {ending:?}, {seen:?}");
    let answers = seen.iter().filter(|word| *word == "answered").count();
    assert_eq!(answers, usize::from(ending.answered), "{number}: {seen:?}");
}

/// Nothing is left once the last straggler may have come.
async fn nothing_is_left(place: &Place) {
    eventually("the end of all", || place.endpoint.active_calls() == 0).await;
    for _ in 0..8 {
        place.clock.advance(Duration::from_secs(10));
        sleep(Duration::from_millis(20)).await;
    }
    eventually("the end of all stragglers", || {
        place.endpoint.lingering_calls() == 0 && place.endpoint.unsettled_calls() == 0
    })
    .await;
}

#[tokio::test]
async fn in_any_weather_each_call_ends_once_and_nothing_is_left_of_it() {
    let seed = seed();
    for (round, weather) in weathers().into_iter().enumerate() {
        let (place, carrier) = (Place::new().await, carrier().await);
        let relay = Relay::before(carrier.addr(), weather, seed + round as u64).await;
        let trunk = Arc::new(towards(relay.addr));
        let mut calls = tokio::task::JoinSet::new();
        for line in 0..60 {
            let number = format!("+140455501{:02}", line % 6 + 10 * (line / 6));
            let call = place.dial_over(&number, &trunk);
            calls.spawn(play(number, call));
            sleep(Duration::from_millis(5)).await;
        }
        while let Some(played) = calls.join_next().await {
            played.unwrap();
        }
        nothing_is_left(&place).await;
        let fates = [
            &relay.fates.lost,
            &relay.fates.doubled,
            &relay.fates.late,
            &relay.fates.passed,
        ]
        .map(|fate| fate.load(Ordering::Relaxed));
        println!("{weather:?}: lost, doubled, late, passed: {fates:?}");
        assert!(fates[3] > 150, "{fates:?}");
        assert!(
            round == 0 || fates.iter().all(|fate| *fate > 5),
            "{fates:?}"
        );
    }
}

/// Against SIPp, whose digest is its own: a challenge that comes late asks for a new permit, and gets one.
#[tokio::test]
async fn in_any_weather_a_challenged_call_ends_once() {
    let seed = seed();
    for (round, weather) in weathers().into_iter().enumerate() {
        let Some(sipp) = Sipp::play("sip/digest.xml", "", "") else {
            return;
        };
        let place = Place::new().await;
        let relay = Relay::before(sipp.addr, weather, seed + round as u64).await;
        let number = "+14045550148";
        let mut call = place.dial(number, towards(relay.addr));
        let ending = loop {
            match call.next().await {
                Some(SipEvent::PermitNeeded) => {
                    let renewed = Control::Renew(place.permit(number));
                    let _ = call.dialog.control.send(renewed).await;
                }
                Some(SipEvent::Answered { .. }) => call.hang_up(HangUpCause::Client).await,
                Some(SipEvent::Ended(ending)) => break ending,
                Some(_) => {}
                None => panic!("no ending: {:?}", call.seen),
            }
        };
        assert!(call.next().await.is_none(), "nothing follows the ending");
        let fits = matches!(ending.outcome, Outcome::Answered | Outcome::Unreachable);
        assert!(fits, "{ending:?}, {:?}", call.seen);
        nothing_is_left(&place).await;
    }
}
