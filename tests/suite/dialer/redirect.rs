//! A target that sends a call elsewhere is followed to another target of its trunk, once, and nowhere else; and never to another
//! number.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use dialgate::domain::call::{CallState, EventKind, Outcome, Retry};
use dialgate::domain::decision::{Stage, Verdict};
use dialgate::sip::Behaviour;

use super::failover::{ANNA, QUICK, Run, SLOW, Scripted, answers, carrier, invites};

/// A target that says so to each INVITE.
async fn sends_to(code: u16, contact: &str) -> Scripted {
    let response: &str = format!("{code} Moved\r\nContact: {contact}").leak();
    Scripted::start(vec![response].leak()).await
}

fn at(number: &str, addr: SocketAddr) -> String {
    format!("<sip:{number}@{addr};user=phone>")
}

fn asked(target: &Scripted) -> usize {
    target.invites.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_number_at_another_target_of_the_trunk_is_called_there() {
    let (passed_over, third) = (carrier(answers()).await, carrier(answers()).await);
    for code in [300, 301, 302, 305] {
        let first = sends_to(code, &at(ANNA, third.addr())).await;
        let run = Run::begin(&[first.addr, passed_over.addr(), third.addr()], QUICK).await;
        let over = run.over_at_last().await;
        assert_eq!(
            (over.state, over.outcome),
            (CallState::Ended, Some(Outcome::Answered))
        );
        let kinds = run.kinds().await;
        let of = |kind| kinds.iter().filter(|each| **each == kind).count();
        assert_eq!((of(EventKind::Claimed), of(EventKind::Ended)), (2, 1));
        assert_eq!(run.counted().await, 1, "one attempt, whatever was tried");
        let notes = run.notes().await;
        let note = notes[0].detail.note.clone().unwrap();
        assert!(note.contains("target that it names"), "{note}");
        assert_eq!((asked(&first), invites(&passed_over)), (1, 0));
        run.stop().await;
    }
    assert_eq!(invites(&third), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nowhere_else_and_never_another_number() {
    let (second, strangers) = (carrier(answers()).await, carrier(answers()).await);
    for (code, contact) in [
        (302, at(ANNA, strangers.addr())),
        (302, at("+14045550142", second.addr())),
        (302, format!("<sip:{}>", second.addr())),
        (302, format!("<tel:{ANNA}>")),
        (380, at(ANNA, second.addr())),
        (486, at(ANNA, second.addr())),
    ] {
        let first = sends_to(code, &contact).await;
        let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
        let outcome = run.over_at_last().await.outcome;
        let told = match code {
            486 => Outcome::Busy,
            _ => Outcome::Redirected,
        };
        assert_eq!(outcome, Some(told), "{code} {contact}");
        run.stop().await;
    }
    assert_eq!((invites(&second), invites(&strangers)), (0, 0));
}

/// Two targets that send calls to each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_call() {
    let first = carrier(Behaviour::RingForever).await;
    let second = sends_to(302, &at(ANNA, first.addr())).await;
    let third = sends_to(302, &at(ANNA, second.addr)).await;
    let run = Run::begin(&[third.addr, second.addr, first.addr()], QUICK).await;
    run.ends_as(Outcome::Redirected, Retry::Never).await;
    assert_eq!((asked(&third), asked(&second), invites(&first)), (1, 1, 0));
    run.stop().await;
}

/// The way there is a claim's, as any other INVITE: what has come in between counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_a_window_that_closes_before_the_redirected_call_keeps_it_from_being_dialed() {
    let second = carrier(answers()).await;
    let first = sends_to(302, &at(ANNA, second.addr())).await;
    let run = Run::begin(&[first.addr, second.addr()], SLOW).await;
    run.between().await;
    // Night in Atlanta.
    run.bench.clock.step_wall(12 * 3_600_000_000);
    let over = run.over_at_last().await;
    assert_eq!(over.state, CallState::Canceled, "{over:?}");
    let decided = run.notes().await.pop().unwrap().detail.decision_id.unwrap();
    let decision = run.bench.decision(decided).await;
    assert_eq!(decision.stage, Stage::Claim);
    assert_eq!(decision.judgement.verdict, Verdict::Deny);
    assert_eq!(invites(&second), 0);
    run.stop().await;
}
