//! Going on to the trunk's next target, over real sockets: when it is tried, when it is not, and what the history and the
//! caps make of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{Call, CallEvent, CallState, EventKind, Outcome, Retry};
use dialgate::domain::decision::{Stage, Verdict};
use dialgate::domain::disposition::AttemptResult;
use dialgate::domain::ids::TenantId;
use dialgate::domain::route::Carriers;
use dialgate::policy::facts::Case;
use dialgate::sip::{Behaviour, Endpoint, SimulatedCarrier, SipConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::{PATIENCE, limits, tick};
use crate::gate::bench::Bench;
use crate::gate::on_both;
use crate::joints::sink::Message;
use crate::support::builders::TestStore;

on_both! {
    p03_an_opt_out_between_two_targets_keeps_the_second_from_an_invite,
}

const HOUR: i64 = 3_600_000_000;
pub(super) const ANNA: &str = "+14045550141";
/// So that the second target has to wait for its token, and something can happen meanwhile.
pub(super) const SLOW: (u32, u32) = (1, 1);
pub(super) const QUICK: (u32, u32) = (50, 10);

/// A call on its way through these targets.
pub(super) struct Run {
    pub(super) bench: Bench,
    pub(super) dialer: Dialer,
    ticking: JoinHandle<()>,
    pub(super) call: Call,
}

impl Run {
    pub(super) async fn begin(targets: &[SocketAddr], pace: (u32, u32)) -> Self {
        Self::over(Bench::over(TestStore::sqlite().await).await, targets, pace).await
    }

    async fn over(bench: Bench, targets: &[SocketAddr], pace: (u32, u32)) -> Self {
        let lane = lane("carrier", targets, pace);
        Self::by(bench, vec![lane], DialerConfig::default()).await
    }

    /// The same by these trunks.
    pub(super) async fn by(bench: Bench, lanes: Vec<Lane>, config: DialerConfig) -> Self {
        bench.callable(ANNA).await;
        let carriers = || lanes.iter().map(Lane::carrier).collect();
        bench.gate.take_carriers(carriers());
        // Good for longer than the calling hours of the day.
        let mut request = bench.request(ANNA);
        request.expire_time = Some(bench.now().plus(Duration::from_secs(20 * 3600)));
        let call = bench.gate.place(request).await.unwrap().call.unwrap();
        let carriers = carriers();
        Self::begun(bench, lanes, config, call, || carriers).await
    }

    /// A call that waits, and a worker that begins when the trunks may carry this.
    pub(super) async fn begun(
        bench: Bench,
        lanes: Vec<Lane>,
        config: DialerConfig,
        call: Call,
        carriers: impl FnOnce() -> Carriers,
    ) -> Self {
        bench.gate.take_carriers(carriers());
        let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let dialer = Dialer::start(bench.gate.clone(), endpoint, lanes, &config, clock);
        Self {
            bench,
            dialer,
            ticking,
            call,
        }
    }

    pub(super) async fn now(&self) -> Call {
        self.bench.call(self.call.call_id).await
    }

    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while !holds().await {
            assert!(tokio::time::Instant::now() < give_up, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn over_at_last(&self) -> Call {
        let over = async || self.now().await.state.is_final();
        self.until("the end", over).await;
        self.now().await
    }

    pub(super) async fn ends_as(&self, outcome: Outcome, retry: Retry) {
        assert_eq!(self.over_at_last().await.outcome, Some(outcome));
        let ended = async || self.kinds().await.contains(&EventKind::Ended);
        self.until("the last event", ended).await;
        let mut events = self.events().await;
        events.retain(|event| event.kind == EventKind::Ended);
        assert_eq!(events[0].detail.retry, Some(retry), "{events:?}");
    }

    /// Its history tells so.
    async fn tells(&self, what: &str) {
        let told = async || {
            let of = |event: &CallEvent| event.detail.note.clone().unwrap_or_default();
            self.notes()
                .await
                .iter()
                .any(|note| of(note).contains(what))
        };
        self.until(what, told).await;
    }

    /// The first target has failed, and the next INVITE waits for its token.
    pub(super) async fn between(&self) {
        let told = async || !self.notes().await.is_empty();
        self.until("the note on the next target", told).await;
    }

    pub(super) async fn events(&self) -> Vec<CallEvent> {
        let (mut tx, tenant) = (self.bench.store.read().await, TenantId::default());
        let events = tx.events_after(&tenant, self.call.call_id, 0, 100).await;
        events.unwrap()
    }

    pub(super) async fn kinds(&self) -> Vec<EventKind> {
        let kinds = |event: &CallEvent| event.kind;
        self.events().await.iter().map(kinds).collect()
    }

    pub(super) async fn notes(&self) -> Vec<CallEvent> {
        let mut events = self.events().await;
        events.retain(|event| event.kind == EventKind::Note);
        events
    }

    /// How many attempts the law counts.
    pub(super) async fn counted(&self) -> usize {
        self.counted_as().await.len()
    }

    async fn counted_as(&self) -> Vec<AttemptResult> {
        let mut question = self.bench.request(ANNA);
        (question.request_id, question.expire_time) = (None, None);
        let seen = self.bench.gate.check(question).await.unwrap();
        let stored = self.bench.decision(seen.decision_id).await;
        let case: Case = serde_json::from_str(&stored.case_json.unwrap()).unwrap();
        let results = case.facts.attempts.iter().map(|attempt| attempt.outcome);
        results.collect()
    }

    /// Targets that stay silent to the end are waited for, and here not for as long as it would take.
    pub(super) async fn stop(self) {
        let stopped = tokio::spawn(self.dialer.drain());
        while !stopped.is_finished() {
            self.bench.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopped.await.unwrap();
        self.ticking.abort();
    }
}

/// A trunk to these targets.
pub(super) fn lane(name: &str, targets: &[SocketAddr], (rate, burst): (u32, u32)) -> Lane {
    let config = TrunkConfig {
        target: targets[0].into(),
        fallback_targets: targets[1..].iter().copied().map(Into::into).collect(),
        first_response_timeout_ms: 500,
        ..limits(rate, burst, 10)
    };
    Lane::new(config.trunk(name).unwrap(), config)
}

pub(super) async fn carrier(behaviour: Behaviour) -> SimulatedCarrier {
    SimulatedCarrier::start(move |_: &str| behaviour.clone())
        .await
        .unwrap()
}

pub(super) fn refuses(code: u16) -> Behaviour {
    let reason = "No".to_owned();
    Behaviour::Reject { code, reason }
}

pub(super) fn answers() -> Behaviour {
    Behaviour::Answer {
        after: Duration::from_millis(50),
        hang_up_after: Some(Duration::from_millis(50)),
    }
}

pub(super) fn invites(carrier: &SimulatedCarrier) -> u32 {
    carrier.received(ANNA).invites
}

/// A carrier that says these responses, one after the other, to each INVITE.
pub(super) struct Scripted {
    pub(super) addr: SocketAddr,
    pub(super) invites: Arc<AtomicUsize>,
    cancels: Arc<AtomicUsize>,
    byes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(super) async fn start(responses: &'static [&'static str]) -> Self {
        Self::after(Duration::ZERO, responses).await
    }

    async fn after(silence: Duration, responses: &'static [&'static str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (addr, invites) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let cancels = Arc::<AtomicUsize>::default();
        let byes = Arc::<AtomicUsize>::default();
        let (heard, asked) = (Arc::clone(&invites), Arc::clone(&cancels));
        let left = Arc::clone(&byes);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, node) = socket.recv_from(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let message = Message::parse(&text).unwrap();
                match message.what.as_str() {
                    "INVITE" => heard.fetch_add(1, Ordering::SeqCst),
                    "CANCEL" => {
                        asked.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    "BYE" => {
                        left.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    _ => continue,
                };
                tokio::time::sleep(silence).await;
                for response in responses {
                    let said = format!(
                        "SIP/2.0 {response}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=callee\r\nCall-ID: {}\r\nCSeq: {}\r\n\
                         Contact: <sip:{addr}>\r\nContent-Length: 0\r\n\r\n",
                        message.get("via"),
                        message.get("from"),
                        message.get("to"),
                        message.get("call-id"),
                        message.get("cseq"),
                    );
                    socket.send_to(said.as_bytes(), node).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        Self {
            addr,
            invites,
            cancels,
            byes,
            task,
        }
    }
}

/// The second target answers, and the two INVITEs count as one attempt.
async fn goes_on(run: &Run, second: &SimulatedCarrier, told: &str) {
    let over = run.over_at_last().await;
    let kinds = run.kinds().await;
    assert_eq!(
        (over.state, over.outcome),
        (CallState::Ended, Some(Outcome::Answered)),
        "{kinds:?}"
    );
    assert_eq!(invites(second), 1);
    assert_eq!(run.counted().await, 1, "one attempt, whatever was tried");
    let notes = run.notes().await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0].detail.note.clone().unwrap();
    assert!(
        note.contains(told) && note.contains("next target"),
        "{note}"
    );
    let of = |kind| kinds.iter().filter(|each| **each == kind).count();
    assert_eq!((of(EventKind::Claimed), of(EventKind::Ended)), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_is_followed_by_the_next() {
    for code in [503, 500] {
        let (first, second) = (carrier(refuses(code)).await, carrier(answers()).await);
        let run = Run::begin(&[first.addr(), second.addr()], QUICK).await;
        goes_on(
            &run,
            &second,
            if code == 503 {
                "congestion"
            } else {
                "carrier_error"
            },
        )
        .await;
        assert_eq!(invites(&first), 1);
        run.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_target_is_followed_by_the_next() {
    let (first, second) = (carrier(Behaviour::Silent).await, carrier(answers()).await);
    let run = Run::begin(&[first.addr(), second.addr()], QUICK).await;
    goes_on(&run, &second, "unreachable").await;
    let sent = invites(&first);
    assert!(sent >= 1);
    run.stop().await;
    // It is not sent to any more.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(invites(&first), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_port_is_followed_by_the_next() {
    let closed = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let second = carrier(answers()).await;
    let run = Run::begin(&[closed, second.addr()], QUICK).await;
    goes_on(&run, &second, "unreachable").await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_phone_is_busy_at_every_target() {
    let (first, second) = (carrier(Behaviour::busy()).await, carrier(answers()).await);
    let run = Run::begin(&[first.addr(), second.addr()], QUICK).await;
    assert_eq!(run.over_at_last().await.outcome, Some(Outcome::Busy));
    assert_eq!(invites(&second), 0);
    run.stop().await;
}

/// Who heard one ring would hear a second call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_rang_is_not_called_by_way_of_another_target() {
    let first = Scripted::start(&["180 Ringing", "503 Service Unavailable"]).await;
    let second = carrier(answers()).await;
    let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
    assert_eq!(run.over_at_last().await.outcome, Some(Outcome::Congestion));
    assert_eq!(invites(&second), 0);
    run.stop().await;
}

/// It is given up for silence, and rings while the next target waits for its token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_rings_late_is_not_called_by_way_of_another_target_either() {
    let first = Scripted::after(Duration::from_millis(700), &["180 Ringing"]).await;
    let second = carrier(answers()).await;
    let run = Run::begin(&[first.addr, second.addr()], SLOW).await;
    run.ends_as(Outcome::NoAnswer, Retry::Later).await;
    let notes = run.notes().await;
    assert_eq!(notes.len(), 2, "it was about to be tried: {notes:?}");
    let cancelled = async || first.cancels.load(Ordering::SeqCst) > 0;
    run.until("the CANCEL", cancelled).await;
    assert_eq!(invites(&second), 0);
    run.stop().await;
}

const OK: &[&str] = &["200 OK"];

/// It is given up for silence, and rings or is picked up while the next target has the INVITE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_rings_late_is_not_to_be_called_again_at_once() {
    let first = Scripted::after(Duration::from_millis(800), &["180 Ringing"]).await;
    let second = carrier(Behaviour::Silent).await;
    let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
    run.ends_as(Outcome::NoAnswer, Retry::Later).await;
    run.tells("rang after all").await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_picked_up_late_counts_as_answered_whatever_the_next_target_does() {
    let (first, second) = (
        Scripted::after(Duration::from_millis(800), OK).await,
        carrier(Behaviour::Silent).await,
    );
    let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
    run.ends_as(Outcome::AnsweredAfterCancel, Retry::None).await;
    run.tells("answered after all").await;
    assert_eq!(run.counted_as().await, [AttemptResult::Answered]);
    let ended = async || first.byes.load(Ordering::SeqCst) > 0;
    run.until("the BYE", ended).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rings_at_the_next_target_is_cancelled_when_the_phone_is_picked_up_late() {
    let (first, second) = (
        Scripted::after(Duration::from_millis(1_500), OK).await,
        carrier(Behaviour::RingForever).await,
    );
    let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
    run.ends_as(Outcome::AnsweredAfterCancel, Retry::None).await;
    let heard = second.received(ANNA);
    assert_eq!((heard.invites, heard.cancels), (1, 1));
    assert_eq!(run.counted_as().await, [AttemptResult::Answered]);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_picked_up_when_all_is_over_is_told_of() {
    let first = Scripted::after(Duration::from_millis(1_500), OK).await;
    let run = Run::begin(&[first.addr], QUICK).await;
    run.ends_as(Outcome::Unreachable, Retry::Soon).await;
    run.tells("answered after the outcome").await;
    assert_eq!(run.now().await.outcome, Some(Outcome::Unreachable));
    assert_eq!(run.counted_as().await, [AttemptResult::Answered]);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_is_that_of_the_last_target() {
    let (first, second) = (carrier(refuses(503)).await, carrier(refuses(502)).await);
    let run = Run::begin(&[first.addr(), second.addr()], QUICK).await;
    let over = run.over_at_last().await;
    assert_eq!(
        (over.outcome, over.sip_code),
        (Some(Outcome::CarrierError), Some(502))
    );
    assert_eq!((invites(&first), invites(&second)), (1, 1));
    let last = run.events().await.pop().unwrap();
    assert_eq!(last.detail.retry, Some(Retry::Soon), "no target is left");
    run.stop().await;
}

/// RFC 3261 section 21.5.4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_wants_to_be_left_alone_is_left_alone() {
    let first = Scripted::start(&["503 Service Unavailable\r\nRetry-After: 120"]).await;
    let second = carrier(answers()).await;
    let run = Run::begin(&[first.addr, second.addr()], QUICK).await;
    goes_on(&run, &second, "congestion").await;
    const BERTA: &str = "+14045550142";
    run.bench.callable(BERTA).await;
    let next = run.bench.queued(BERTA).await;
    let over = async || run.bench.call(next.call_id).await.state.is_final();
    run.until("the end of the next call", over).await;
    assert_eq!(second.received(BERTA).invites, 1);
    assert_eq!(first.invites.load(Ordering::SeqCst), 1);
    run.stop().await;
}

/// Both are due at once: the first call's second INVITE and the second call's first one share the trunk's pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_the_next_target_waits_for_a_token_of_the_trunk() {
    let (first, second) = (carrier(refuses(503)).await, carrier(answers()).await);
    let begun = tokio::time::Instant::now();
    let run = Run::begin(&[first.addr(), second.addr()], SLOW).await;
    run.until("the second INVITE", async || invites(&second) > 0)
        .await;
    assert!(begun.elapsed() > Duration::from_millis(900));
    run.over_at_last().await;
    run.stop().await;
}

/// Something happens while the second target waits for its token: no INVITE goes there, and the call ends so.
async fn stopped_by(what: &str, happens: impl AsyncFnOnce(&Run), state: CallState) -> Run {
    let (first, second) = (carrier(refuses(503)).await, carrier(answers()).await);
    let run = Run::begin(&[first.addr(), second.addr()], SLOW).await;
    run.between().await;
    happens(&run).await;
    let over = run.over_at_last().await;
    assert_eq!(over.state, state, "{what}: {over:?}");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!((invites(&first), invites(&second)), (1, 0), "{what}");
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p09_a_window_that_closes_between_two_targets_keeps_the_second_from_an_invite() {
    let night = async |run: &Run| run.bench.clock.step_wall(12 * HOUR);
    let run = stopped_by("night", night, CallState::Canceled).await;
    let decided = run.notes().await.pop().unwrap().detail.decision_id.unwrap();
    let decision = run.bench.decision(decided).await;
    assert_eq!(decision.stage, Stage::Claim);
    assert_eq!(decision.judgement.verdict, Verdict::Deny);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_over_between_two_targets_is_not_dialed_again() {
    let late = async |run: &Run| run.bench.clock.step_wall(21 * HOUR);
    let run = stopped_by("time", late, CallState::Failed).await;
    assert_eq!(run.now().await.outcome, Some(Outcome::Congestion));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_a_worker_that_drains_tries_no_further_target() {
    let (first, second) = (carrier(refuses(503)).await, carrier(answers()).await);
    let run = Run::begin(&[first.addr(), second.addr()], SLOW).await;
    run.between().await;
    let begun = tokio::time::Instant::now();
    run.dialer.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let over = run.bench.call(run.call.call_id).await;
    assert_eq!(over.outcome, Some(Outcome::Congestion));
    assert_eq!((invites(&first), invites(&second)), (1, 0));
    run.ticking.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_between_two_targets_keeps_the_second_from_an_invite() {
    let hang_up = async |run: &Run| {
        let mut tx = run.bench.store.write().await;
        let (tenant, at) = (TenantId::default(), run.bench.now());
        let asked = tx.request_hang_up(&tenant, run.call.call_id, at).await;
        assert_eq!(asked.unwrap(), Some(CallState::Inviting));
        tx.commit().await.unwrap();
    };
    let run = stopped_by("a hang-up", hang_up, CallState::Canceled).await;
    run.stop().await;
}

mod tests {
    use super::*;

    pub async fn p03_an_opt_out_between_two_targets_keeps_the_second_from_an_invite(bench: Bench) {
        let (first, second) = (carrier(refuses(503)).await, carrier(answers()).await);
        let run = Run::over(bench, &[first.addr(), second.addr()], SLOW).await;
        run.between().await;
        // The first permit is on record as given up: there is nothing for the opt-out to wait for.
        let (key, tenant) = (run.call.number_key, TenantId::default());
        let open = run
            .bench
            .store
            .read()
            .await
            .open_permits(&tenant, &key, &[])
            .await;
        assert!(open.unwrap().is_empty());
        let (ask, opt_out) = (run.bench.ask("admin"), run.bench.opt_out(ANNA));
        run.bench.gate.suppress(&ask, opt_out).await.unwrap();
        let over = run.over_at_last().await;
        assert_eq!(
            (over.state, over.outcome),
            (CallState::Canceled, Some(Outcome::Canceled))
        );
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!((invites(&first), invites(&second)), (1, 0));
        // Its history says why: the owner heard of the opt-out, or the gate refused the further claim.
        let told = |event: &CallEvent| {
            event.kind == EventKind::OptOut
                || event.detail.decision_id.is_some() && event.kind == EventKind::Note
        };
        assert!(
            run.events().await.iter().any(told),
            "{:?}",
            run.kinds().await
        );
        assert_eq!(run.counted().await, 1);
        run.stop().await;
    }
}
