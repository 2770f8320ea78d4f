//! Several trunks: which carries a call, when another is tried, how fast, in whose turn, and what a change of them does to calls
//! that are up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::dialer::{DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{CallState, EventKind, Outcome, Retry};
use dialgate::domain::campaign::Campaign;
use dialgate::domain::route::{Carrier, Dialing, Prefix, Route};
use dialgate::gate::GateError;
use dialgate::sip::{Behaviour, SimulatedCarrier};
use tokio::time::Instant;

use super::failover::{ANNA, QUICK, Run, Scripted, answers, carrier, invites, lane, refuses};
use super::{PATIENCE, limits};
use crate::gate::bench::{Bench, campaign};
use crate::gate::on_both;
use crate::sip::sipp::Sipp;
use crate::support::builders::TestStore;

on_both! {
    p03_an_opt_out_between_two_trunks_keeps_the_second_from_an_invite,
    a_call_that_no_trunk_may_carry_is_refused_at_once_or_ends_with_the_reason,
}

/// First this trunk, then that.
fn first_then(first: &str, then: &str) -> Dialing {
    let second = Route {
        priority: 1,
        ..Route::by(then)
    };
    Dialing {
        routes: vec![Route::by(first), second],
        ..Dialing::by(first)
    }
}

async fn bench(dialing: Dialing) -> Bench {
    over(TestStore::sqlite().await, dialing).await
}

async fn over(store: TestStore, dialing: Dialing) -> Bench {
    let us = Campaign {
        dialing,
        ..campaign("us", "US", "seller")
    };
    Bench::with(store, vec![us, campaign("other", "US", "other-seller")]).await
}

/// A call by one trunk, and by the next if need be.
async fn run(lanes: Vec<Lane>) -> Run {
    let bench = bench(first_then("north", "south")).await;
    Run::by(bench, lanes, DialerConfig::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_targets_of_a_trunk_and_then_the_next_trunk() {
    let (one, two) = (carrier(refuses(503)).await, carrier(refuses(500)).await);
    let three = carrier(answers()).await;
    let north = lane("north", &[one.addr(), two.addr()], QUICK);
    let run = run(vec![north, lane("south", &[three.addr()], QUICK)]).await;
    assert_eq!(run.call.trunk, "north", "it would go by that");
    let over = run.over_at_last().await;
    assert_eq!(over.outcome, Some(Outcome::Answered));
    assert_eq!(over.trunk, "south", "and went by this");
    assert_eq!((invites(&one), invites(&two), invites(&three)), (1, 1, 1));
    assert_eq!(run.counted().await, 1, "one attempt, whatever was tried");
    let notes = run.notes().await;
    let told = |index: usize| notes[index].detail.note.clone().unwrap();
    assert!(told(0).contains("the trunk's next target"), "{notes:?}");
    assert!(told(1).contains("the next trunk, `south`"), "{notes:?}");
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_about_the_person_is_so_at_every_trunk() {
    for (code, outcome) in [
        (486, Outcome::Busy),
        (600, Outcome::Busy),
        (603, Outcome::Rejected),
        (403, Outcome::TrunkRefused),
        (400, Outcome::CarrierError),
    ] {
        let (one, two) = (carrier(refuses(code)).await, carrier(answers()).await);
        let run = run(vec![
            lane("north", &[one.addr()], QUICK),
            lane("south", &[two.addr()], QUICK),
        ])
        .await;
        assert_eq!(run.over_at_last().await.outcome, Some(outcome), "{code}");
        assert_eq!((invites(&one), invites(&two)), (1, 0), "{code}");
        run.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_rang_is_not_called_by_way_of_another_trunk() {
    for last in ["503 Service Unavailable", "404 Not Found"] {
        let heard: &'static [&'static str] = match last {
            "404 Not Found" => &["180 Ringing", "404 Not Found"],
            _ => &["180 Ringing", "503 Service Unavailable"],
        };
        let (one, two) = (Scripted::start(heard).await, carrier(answers()).await);
        let run = run(vec![
            lane("north", &[one.addr], QUICK),
            lane("south", &[two.addr()], QUICK),
        ])
        .await;
        run.over_at_last().await;
        assert_eq!(invites(&two), 0, "{last}");
        run.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_bad_when_two_trunks_say_so() {
    const NO_CAUSE: &[&str] = &["404 Not Found"];
    const CAUSE: &[&str] = &["404 Not Found\r\nReason: Q.850;cause=1"];
    let bad = (Outcome::InvalidNumber, Retry::Never);
    for (first, second, asked, (outcome, retry)) in [
        (NO_CAUSE, refuses(404), 1, bad),
        (NO_CAUSE, answers(), 1, (Outcome::Answered, Retry::None)),
        (
            NO_CAUSE,
            refuses(503),
            1,
            (Outcome::Congestion, Retry::Soon),
        ),
        // Whoever gives the cause knows it.
        (CAUSE, answers(), 0, bad),
    ] {
        let (one, two) = (Scripted::start(first).await, carrier(second).await);
        // The trunk's own next target would say the same.
        let spare = carrier(answers()).await;
        let run = run(vec![
            lane("north", &[one.addr, spare.addr()], QUICK),
            lane("south", &[two.addr()], QUICK),
        ])
        .await;
        run.ends_as(outcome, retry).await;
        assert_eq!((invites(&two), invites(&spare)), (asked, 0), "{outcome}");
        run.stop().await;
    }
    // With one trunk its word has to do.
    let one = Scripted::start(NO_CAUSE).await;
    let bench = bench(Dialing::by("north")).await;
    let lanes = vec![lane("north", &[one.addr], QUICK)];
    let run = Run::by(bench, lanes, DialerConfig::default()).await;
    run.ends_as(Outcome::InvalidNumber, Retry::Never).await;
    run.stop().await;
}

/// A trunk with so many channels.
fn narrow(name: &str, to: &SimulatedCarrier, channels: u32) -> Lane {
    let config = TrunkConfig {
        target: to.addr().into(),
        ..limits(50, 10, channels)
    };
    Lane::new(config.trunk(name).unwrap(), config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_is_full_is_passed_over_and_used_again_when_it_is_not() {
    let talk = Behaviour::Answer {
        after: Duration::from_millis(20),
        hang_up_after: Some(Duration::from_millis(1_500)),
    };
    let (one, two) = (carrier(talk).await, carrier(answers()).await);
    let lanes = vec![narrow("north", &one, 1), narrow("south", &two, 5)];
    let run = run(lanes).await;
    let up = async || run.now().await.state == CallState::Answered;
    run.until("the first call", up).await;
    const BERTA: &str = "+14045550142";
    run.bench.callable(BERTA).await;
    let next = run.bench.queued(BERTA).await;
    let over = async || run.bench.call(next.call_id).await.state.is_final();
    run.until("the second call", over).await;
    assert_eq!(run.bench.call(next.call_id).await.trunk, "south");
    assert_eq!(run.over_at_last().await.trunk, "north");
    const CARLA: &str = "+14045550143";
    run.bench.callable(CARLA).await;
    let third = run.bench.queued(CARLA).await;
    let over = async || run.bench.call(third.call_id).await.state.is_final();
    run.until("the third call", over).await;
    assert_eq!(run.bench.call(third.call_id).await.trunk, "north");
    run.stop().await;
}

/// When each INVITE arrived, and of whom.
type Arrived = Arc<Mutex<Vec<(String, Instant)>>>;

async fn listening() -> (SimulatedCarrier, Arrived) {
    let arrived = Arrived::default();
    let seen = Arc::clone(&arrived);
    let behave = move |number: &str| {
        let mut seen = seen.lock().unwrap();
        seen.push((number.to_owned(), Instant::now()));
        Behaviour::busy()
    };
    (SimulatedCarrier::start(behave).await.unwrap(), arrived)
}

async fn queue(bench: &Bench, campaign: &str, numbers: std::ops::Range<usize>) {
    for index in numbers {
        let number = format!("+140455501{index:02}");
        bench.callable(&number).await;
        let mut request = bench.request(&number);
        request.campaign_id = campaign.to_owned();
        let placed = bench.gate.place(request).await.unwrap();
        assert!(placed.call.is_some(), "{:?}", placed.decision.judgement);
    }
}

async fn wait_for(arrived: &Arrived, count: usize) -> Vec<(String, Instant)> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let seen = arrived.lock().unwrap().clone();
        if seen.len() >= count {
            return seen;
        }
        assert!(Instant::now() < give_up, "{} of {count}", seen.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_a_campaign_that_comes_late_has_its_turns_among_the_calls_of_a_large_one() {
    let (far, arrived) = listening().await;
    let bench = bench(Dialing::by("carrier")).await;
    let lanes = vec![lane("carrier", &[far.addr()], (8, 1))];
    let run = Run::by(bench, lanes, DialerConfig::default()).await;
    queue(&run.bench, "us", 42..90).await;
    wait_for(&arrived, 6).await;
    queue(&run.bench, "other", 10..15).await;
    let before = arrived.lock().unwrap().len();
    let seen = wait_for(&arrived, before + 16).await;
    let of_other = |number: &String| (10..15).any(|index| number.ends_with(&format!("501{index}")));
    let last = seen.iter().rposition(|(number, _)| of_other(number));
    let count = seen.iter().filter(|(number, _)| of_other(number)).count();
    assert_eq!(count, 5, "{seen:?}");
    // Every second turn, give or take those that were on their way.
    assert!(last.unwrap() < before + 14, "{before}: {seen:?}");
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_numbers_that_begin_alike_have_a_pace_of_their_own_whatever_the_trunk_takes() {
    let (far, arrived) = listening().await;
    let bench = bench(Dialing::by("carrier")).await;
    let row = |prefix: &str| {
        let text = format!("prefix = \"{prefix}\"\ncalls_per_second = 2\n");
        toml::from_str(&text).unwrap()
    };
    let config = DialerConfig {
        paces: vec![row("+1404555016")],
        ..DialerConfig::default()
    };
    let lanes = vec![lane("carrier", &[far.addr()], QUICK)];
    let run = Run::by(bench, lanes, config).await;
    queue(&run.bench, "us", 60..66).await;
    // Those behind them have no such pace and are not held up.
    queue(&run.bench, "us", 70..74).await;
    let seen = wait_for(&arrived, 11).await;
    let of = |digit: &str| {
        let those = seen.iter().filter(|(number, _)| number.contains(digit));
        those.map(|(_, at)| *at).collect::<Vec<Instant>>()
    };
    let (slow, quick) = (of("55016"), of("55017"));
    assert_eq!((slow.len(), quick.len()), (6, 4), "{seen:?}");
    assert!(quick[3] < slow[5], "{seen:?}");
    assert!(slow[5] - slow[0] > Duration::from_millis(2_300), "{seen:?}");
    run.stop().await;
}

/// A burst is smoothed and none of it lost; measured where it counts, by somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_sipp_receives_no_more_in_any_second_than_rate_and_burst() {
    const CALLS: usize = 16;
    let Some(mut sipp) = Sipp::play_calls(CALLS + 1, "sipp/refuse.xml", "486 Busy Here") else {
        return;
    };
    let bench = bench(Dialing::by("carrier")).await;
    let (per_second, burst) = (5, 2);
    let lanes = vec![lane("carrier", &[sipp.addr], (per_second, burst))];
    let run = Run::by(bench, lanes, DialerConfig::default()).await;
    queue(&run.bench, "us", 50..50 + CALLS).await;
    sipp.is_content().await;
    let seen = sipp.invites();
    assert_eq!(seen.len(), CALLS + 1, "each once: {seen:?}");
    for (index, first) in seen.iter().enumerate() {
        // What left in time may arrive a little later on a busy machine.
        let within = seen[index..].iter().filter(|at| **at < first + 0.95);
        assert!(within.count() <= (per_second + burst) as usize, "{seen:?}");
    }
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sipps_as_two_carriers() {
    let (Some(mut one), Some(mut two)) = (
        Sipp::play_calls(1, "sipp/refuse.xml", "503 Service Unavailable"),
        Sipp::play_calls(1, "sipp/answer_hangs_up.xml", ""),
    ) else {
        return;
    };
    let run = run(vec![
        lane("north", &[one.addr], QUICK),
        lane("south", &[two.addr], QUICK),
    ])
    .await;
    let over = run.over_at_last().await;
    assert_eq!(
        (over.outcome, over.trunk.as_str()),
        (Some(Outcome::Answered), "south")
    );
    one.is_content().await;
    two.is_content().await;
    assert_eq!((one.invites().len(), two.invites().len()), (1, 1));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_trunks_drop_no_call_that_is_up() {
    let (one, two) = (carrier(talks()).await, carrier(answers()).await);
    let bench = bench(first_then("north", "south")).await;
    let lanes = vec![narrow("north", &one, 1), narrow("south", &two, 1)];
    let run = Run::by(bench, lanes, DialerConfig::default()).await;
    let up = async || run.now().await.state == CallState::Answered;
    run.until("the call", up).await;
    // The trunk moves to another address; its one channel is in use still, so the next call goes by the other.
    let three = carrier(answers()).await;
    let lanes = vec![narrow("north", &three, 1), narrow("south", &two, 1)];
    run.dialer.take_trunks(lanes, &DialerConfig::default());
    let next = dialed(&run, "+14045550142").await;
    assert_eq!(next.trunk, "south");
    assert_eq!(run.now().await.state, CallState::Answered);
    // With another channel it is used beside the call that is up.
    let lanes = vec![narrow("north", &three, 2), narrow("south", &two, 1)];
    run.dialer.take_trunks(lanes, &DialerConfig::default());
    let next = dialed(&run, "+14045550143").await;
    assert_eq!(next.trunk, "north");
    assert_eq!(three.received("+14045550143").invites, 1);
    // Without it all goes by the other, and the call that is up goes on until its end.
    run.dialer
        .take_trunks(vec![narrow("south", &two, 1)], &DialerConfig::default());
    let next = dialed(&run, "+14045550144").await;
    assert_eq!(next.trunk, "south");
    assert_eq!(run.now().await.state, CallState::Answered);
    let over = run.over_at_last().await;
    assert_eq!(
        (over.outcome, over.trunk.as_str()),
        (Some(Outcome::Answered), "north")
    );
    run.stop().await;
}

fn talks() -> Behaviour {
    Behaviour::Answer {
        after: Duration::from_millis(20),
        hang_up_after: Some(Duration::from_secs(5)),
    }
}

/// A call to this number that has come to its end.
async fn dialed(run: &Run, number: &str) -> dialgate::domain::call::Call {
    run.bench.callable(number).await;
    let call = run.bench.queued(number).await;
    let over = async || run.bench.call(call.call_id).await.state.is_final();
    run.until("the end of the call", over).await;
    run.bench.call(call.call_id).await
}

mod tests {
    use super::*;

    pub async fn p03_an_opt_out_between_two_trunks_keeps_the_second_from_an_invite(bench: Bench) {
        let bench = over(bench.store, first_then("north", "south")).await;
        let (one, two) = (carrier(refuses(503)).await, carrier(answers()).await);
        let lanes = vec![
            lane("north", &[one.addr()], QUICK),
            lane("south", &[two.addr()], QUICK),
        ];
        // So that the second trunk has to wait, and something can happen meanwhile.
        let pace = toml::from_str("prefix = \"+1404555014\"\ncalls_per_second = 1\n").unwrap();
        let config = DialerConfig {
            paces: vec![pace],
            ..DialerConfig::default()
        };
        let run = Run::by(bench, lanes, config).await;
        run.between().await;
        let (ask, opt_out) = (run.bench.ask("admin"), run.bench.opt_out(ANNA));
        run.bench.gate.suppress(&ask, opt_out).await.unwrap();
        let over = run.over_at_last().await;
        assert_eq!(
            (over.state, over.outcome),
            (CallState::Canceled, Some(Outcome::Canceled))
        );
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!((invites(&one), invites(&two)), (1, 0));
        assert_eq!(run.counted().await, 1);
        run.stop().await;
    }

    pub async fn a_call_that_no_trunk_may_carry_is_refused_at_once_or_ends_with_the_reason(
        bench: Bench,
    ) {
        let bench = over(bench.store, Dialing::by("north")).await;
        let far = carrier(answers()).await;
        let only = |prefix: &str, shown: &[&str]| {
            let carrier = Carrier {
                destinations: vec![Prefix::parse(prefix).unwrap()],
                caller_ids: shown
                    .iter()
                    .map(|each| crate::gate::bench::phone(each))
                    .collect(),
                ..Carrier::of_all(100)
            };
            [("north".to_owned(), carrier)].into()
        };
        bench.callable(ANNA).await;
        for (carriers, field) in [
            (only("+1212", &[]), "to"),
            (only("+1404", &["+12125550199"]), "caller_id"),
        ] {
            bench.gate.take_carriers(carriers);
            let refused = bench.gate.place(bench.request(ANNA)).await;
            let named =
                matches!(&refused, Err(GateError::Invalid { field: named, .. }) if named == field);
            assert!(named, "{refused:?}");
        }
        // Found out when it is to be dialed: the decision says it, and nothing is sent.
        bench.gate.take_carriers(only("+1404", &[]));
        let call = bench.queued(ANNA).await;
        let lanes = vec![lane("north", &[far.addr()], QUICK)];
        let run = Run::begun(bench, lanes, DialerConfig::default(), call, || {
            only("+1212", &[])
        })
        .await;
        let over = run.over_at_last().await;
        assert_eq!(over.state, CallState::Denied);
        assert_eq!(invites(&far), 0);
        let decision = run.bench.decision(over.claim_decision_id.unwrap()).await;
        let why = format!("{:?}", decision.judgement.rules[0].reason);
        assert!(why.contains("no trunk of the campaign"), "{why}");
        assert!(run.kinds().await.contains(&EventKind::Denied));
        run.stop().await;
    }
}
