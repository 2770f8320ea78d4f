//! The agent's phone first: real SIP on both legs, on both stores. Who is rung when, what is said to whom, and what is counted.

use std::sync::Arc;
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Agent, AgentConfig, Dialer, DialerConfig, Lane, agent_names};
use dialgate::domain::call::{AgentResult, Call, CallEvent, CallState, EventKind, Outcome};
use dialgate::domain::ids::TenantId;
use dialgate::sip::{Endpoint, SipConfig};
use tokio::task::JoinHandle;

use super::failover::{ANNA, QUICK, lane};
use super::{PATIENCE, tick};
use crate::gate::bench::Bench;
use crate::gate::on_both;
use crate::support::phone::{Heard, Phone, Then};

on_both! {
    agent_and_person_are_connected_and_parted,
    an_agent_who_is_not_there_costs_the_person_nothing,
    p03_an_opt_out_while_the_agent_waits_keeps_the_person_from_an_invite,
    an_agent_has_one_call_at_a_time,
}

const SOON: Duration = Duration::from_millis(50);
const BEN: &str = "+14045550142";

/// A worker with one agent, and a trunk to one person's phone.
pub(super) struct Desk {
    pub(super) bench: Bench,
    dialer: Dialer,
    ticking: JoinHandle<()>,
}

impl Desk {
    async fn open(bench: Bench, agent: &Phone, person: &Phone) -> Self {
        Self::with(bench, agent, person, |_| {}).await
    }

    async fn with(
        bench: Bench,
        agent: &Phone,
        person: &Phone,
        change: impl FnOnce(&mut AgentConfig),
    ) -> Self {
        let mut config = AgentConfig::at(&format!("sip:anna@{}", agent.addr));
        config.first_response_timeout_ms = 500;
        change(&mut config);
        let agent = config.agent("anna").unwrap();
        Self::of(bench, agent, lane("carrier", &[person.addr], QUICK)).await
    }

    pub(super) async fn of(bench: Bench, agent: Agent, lane: Lane) -> Self {
        let agents = vec![agent];
        bench.gate.take_agents(agent_names(&agents));
        let carriers = [lane.carrier()].into_iter().collect();
        bench.gate.take_carriers(carriers);
        let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let config = DialerConfig {
            agents,
            drain_seconds: 0,
            ..DialerConfig::default()
        };
        let dialer = Dialer::start(bench.gate.clone(), endpoint, vec![lane], &config, clock);
        Self {
            bench,
            dialer,
            ticking,
        }
    }

    /// A call for the agent to this number.
    pub(super) async fn place(&self, number: &str) -> Call {
        self.bench.callable(number).await;
        let mut request = self.bench.request(number);
        request.agent = Some("anna".to_owned());
        request.sdp_offer = Vec::new();
        request.expire_time = Some(self.bench.now().plus(Duration::from_secs(600)));
        self.bench.gate.place(request).await.unwrap().call.unwrap()
    }

    pub(super) async fn over(&self, call: &Call) -> Call {
        let over = async || self.bench.call(call.call_id).await.state.is_final();
        until("the end", over).await;
        self.bench.call(call.call_id).await
    }

    async fn events(&self, call: &Call) -> Vec<CallEvent> {
        let (mut tx, tenant) = (self.bench.store.read().await, TenantId::default());
        let events = tx.events_after(&tenant, call.call_id, 0, 100).await;
        events.unwrap()
    }

    async fn kinds(&self, call: &Call) -> Vec<EventKind> {
        let events = self.events(call).await;
        events.iter().map(|event| event.kind).collect()
    }

    pub(super) async fn tells(&self, call: &Call, kind: EventKind) {
        let told = async || self.kinds(call).await.contains(&kind);
        until(kind.as_str(), told).await;
    }

    /// How many attempts the law counts.
    async fn counted(&self, number: &str) -> usize {
        let mut question = self.bench.request(number);
        (question.request_id, question.expire_time) = (None, None);
        let seen = self.bench.gate.check(question).await.unwrap();
        let stored = self.bench.decision(seen.decision_id).await;
        let case: dialgate::policy::facts::Case =
            serde_json::from_str(&stored.case_json.unwrap()).unwrap();
        case.facts.attempts.len()
    }

    pub(super) async fn close(self) -> Bench {
        let stopped = tokio::spawn(self.dialer.drain());
        while !stopped.is_finished() {
            self.bench.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopped.await.unwrap();
        self.ticking.abort();
        self.bench
    }
}

pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < give_up, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// So many messages of this kind have come.
async fn hears(phone: &Phone, what: &str, times: usize) -> Heard {
    until(what, async || phone.of(what).len() >= times).await;
    phone.of(what)[times - 1].clone()
}

fn audio(heard: &Heard) -> String {
    heard.audio().unwrap_or_default()
}

/// One that the agent's phone and the person's are at.
async fn phones(agent: Then, person: Then) -> (Phone, Phone) {
    (
        Phone::start(4000, agent).await,
        Phone::start(5000, person).await,
    )
}

async fn sqlite() -> Bench {
    Bench::over(crate::support::builders::TestStore::sqlite().await).await
}

mod tests {
    use super::*;

    pub async fn agent_and_person_are_connected_and_parted(bench: Bench) {
        let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON)).await;
        let desk = Desk::open(bench, &agent, &person).await;
        let call = desk.place(ANNA).await;
        desk.tells(&call, EventKind::Connected).await;
        // The agent was asked for a session, put on hold, and then told where the person is.
        let invite = hears(&agent, "INVITE", 1).await;
        assert_eq!(invite.body(), "");
        assert!(!invite.text.contains(&ANNA[1..]), "no number at the desk");
        assert_eq!(audio(&hears(&agent, "ACK", 1).await), "9 inactive");
        assert_eq!(
            audio(&hears(&agent, "INVITE within", 1).await),
            "5000 sendrecv"
        );
        let offered = hears(&person, "INVITE", 1).await;
        assert_eq!(audio(&offered), "4000 sendrecv");
        // Hold, from either side, reaches the other.
        person.offer("sendonly");
        assert_eq!(
            audio(&hears(&agent, "INVITE within", 2).await),
            "5000 sendonly"
        );
        assert_eq!(
            audio(&hears(&person, "200 INVITE", 1).await),
            "4000 recvonly"
        );
        agent.offer("sendonly");
        assert_eq!(
            audio(&hears(&person, "INVITE within", 1).await),
            "4000 sendonly"
        );
        assert_eq!(
            audio(&hears(&agent, "200 INVITE", 1).await),
            "5000 recvonly"
        );
        person.hang_up();
        let bye = hears(&agent, "BYE", 1).await;
        assert!(bye.header("Reason").is_some(), "{}", bye.text);
        let over = desk.over(&call).await;
        assert_eq!(
            (
                over.state,
                over.outcome,
                over.abandon_time,
                over.agent_result
            ),
            (CallState::Ended, Some(Outcome::Answered), None, None)
        );
        assert_eq!(over.agent.as_deref(), Some("anna"));
        let kinds = desk.kinds(&call).await;
        let order = [
            EventKind::Queued,
            EventKind::AgentCalled,
            EventKind::AgentRinging,
            EventKind::AgentAnswered,
            EventKind::Claimed,
            EventKind::Inviting,
            EventKind::Ringing,
            EventKind::Answered,
            EventKind::Connected,
            EventKind::Ended,
        ];
        assert_eq!(kinds, order);
        assert_eq!(desk.counted(ANNA).await, 1);
        drop(desk.close().await);
    }

    pub async fn an_agent_who_is_not_there_costs_the_person_nothing(bench: Bench) {
        let (agent, person) = phones(Then::Refuse(486), Then::Answer(SOON)).await;
        let desk = Desk::open(bench, &agent, &person).await;
        let call = desk.place(ANNA).await;
        let over = desk.over(&call).await;
        assert_eq!(
            (over.state, over.outcome, over.agent_result, over.attempt_id),
            (CallState::Failed, None, Some(AgentResult::Busy), None)
        );
        let ended = desk.events(&call).await.pop().unwrap();
        assert_eq!(ended.detail.agent_result, Some(AgentResult::Busy));
        assert_eq!(ended.detail.sip_code, Some(486));
        assert!(person.heard().is_empty());
        assert_eq!(desk.counted(ANNA).await, 0, "nothing was tried");
        drop(desk.close().await);
    }

    pub async fn p03_an_opt_out_while_the_agent_waits_keeps_the_person_from_an_invite(
        bench: Bench,
    ) {
        let (agent, person) = phones(Then::Ring, Then::Answer(SOON)).await;
        let desk = Desk::open(bench, &agent, &person).await;
        let call = desk.place(ANNA).await;
        hears(&agent, "INVITE", 1).await;
        let (ask, opt_out) = (desk.bench.ask("admin"), desk.bench.opt_out(ANNA));
        desk.bench.gate.suppress(&ask, opt_out).await.unwrap();
        agent.answer();
        let over = desk.over(&call).await;
        assert_eq!(over.state, CallState::Denied);
        assert!(over.claim_decision_id.is_some(), "the client sees why");
        assert!(hears(&agent, "BYE", 1).await.header("Reason").is_some());
        assert!(person.heard().is_empty());
        drop(desk.close().await);
    }

    pub async fn an_agent_has_one_call_at_a_time(bench: Bench) {
        let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON)).await;
        let desk = Desk::open(bench, &agent, &person).await;
        let first = desk.place(ANNA).await;
        let second = desk.place(BEN).await;
        desk.tells(&first, EventKind::Connected).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(agent.of("INVITE").len(), 1);
        assert_eq!(
            desk.bench.call(second.call_id).await.state,
            CallState::Queued
        );
        agent.hang_up();
        desk.tells(&second, EventKind::Connected).await;
        assert_eq!(agent.of("INVITE").len(), 2);
        agent.hang_up();
        for call in [first, second] {
            assert_eq!(desk.over(&call).await.outcome, Some(Outcome::Answered));
        }
        drop(desk.close().await);
    }
}

/// What becomes of an agent who does not take the call, or takes it in a way that is of no use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_agent_was_not_there_is_told() {
    for (then, result) in [
        (Then::Refuse(603), AgentResult::Declined),
        (Then::Refuse(404), AgentResult::Unreachable),
        (Then::Refuse(488), AgentResult::MediaIncompatible),
        (Then::Ring, AgentResult::NoAnswer),
    ] {
        let (agent, person) = phones(then, Then::Answer(SOON)).await;
        let desk = Desk::with(sqlite().await, &agent, &person, |config| {
            config.ring_timeout_seconds = 1;
        })
        .await;
        let call = desk.place(ANNA).await;
        let over = desk.over(&call).await;
        assert_eq!(over.agent_result, Some(result), "{then:?}");
        assert!(person.heard().is_empty());
        drop(desk.close().await);
    }
}

/// A name is as good as the address that it stands for: what is reached there dials numbers, and asks no gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_said_to_be_where_a_trunk_is_is_not_called() {
    let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON)).await;
    let port = person.addr.port();
    for host in ["localhost", "[::ffff:127.0.0.1]"] {
        let uri = format!("sip:anna@{host}:{port}");
        let named = AgentConfig::at(&uri).agent("anna").unwrap();
        let desk = Desk::of(
            sqlite().await,
            named,
            lane("carrier", &[person.addr], QUICK),
        )
        .await;
        let call = desk.place(ANNA).await;
        let over = desk.over(&call).await;
        assert_eq!(over.agent_result, Some(AgentResult::Unreachable), "{host}");
        assert!(person.heard().is_empty() && agent.heard().is_empty());
        drop(desk.close().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_wants_an_offer_is_connected_all_the_same() {
    let (agent, person) = phones(Then::Answer(SOON), Then::AnswerEarly(SOON * 8)).await;
    let desk = Desk::with(sqlite().await, &agent, &person, |config| {
        config.offerless = false;
    })
    .await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Connected).await;
    assert_eq!(audio(&hears(&agent, "INVITE", 1).await), "9 inactive");
    assert_eq!(hears(&agent, "ACK", 1).await.body(), "");
    assert_eq!(audio(&hears(&person, "INVITE", 1).await), "4000 sendrecv");
    // Early media was put through, and the answer changed nothing.
    assert_eq!(
        audio(&hears(&agent, "INVITE within", 1).await),
        "5000 sendrecv"
    );
    assert_eq!(agent.of("INVITE within").len(), 1);
    agent.hang_up();
    hears(&person, "BYE", 1).await;
    assert_eq!(desk.over(&call).await.outcome, Some(Outcome::Answered));
    assert_eq!(agent.of("BYE").len(), 0, "who has hung up is not hung up");
    drop(desk.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_moves_has_the_person_told_where_it_is() {
    let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON * 10)).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    hears(&person, "INVITE", 1).await;
    agent.moves_to(4010);
    desk.tells(&call, EventKind::Connected).await;
    assert_eq!(
        audio(&hears(&person, "INVITE within", 1).await),
        "4010 sendrecv"
    );
    agent.hang_up();
    desk.over(&call).await;
    drop(desk.close().await);
}

/// The row of a hang-up by the agent before the person has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_agent_leaves_what_rings_is_cancelled() {
    let (agent, person) = phones(Then::Answer(SOON), Then::Ring).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Ringing).await;
    agent.hang_up();
    let cancel = hears(&person, "CANCEL", 1).await;
    assert!(cancel.header("Reason").unwrap().contains("cause=480"));
    let over = desk.over(&call).await;
    assert_eq!(
        (over.outcome, over.abandon_time),
        (Some(Outcome::Canceled), None)
    );
    assert!(desk.kinds(&call).await.contains(&EventKind::AgentGone));
    drop(desk.close().await);
}

/// And if the person answers at that very moment, they have answered to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_when_the_agent_has_left_is_counted_as_abandoned() {
    let (agent, person) = phones(Then::Answer(SOON), Then::RingAndCross).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Ringing).await;
    agent.hang_up();
    let bye = hears(&person, "BYE", 1).await;
    assert!(
        bye.header("Reason").unwrap().contains("cause=480"),
        "{}",
        bye.text
    );
    let over = desk.over(&call).await;
    assert_eq!(over.outcome, Some(Outcome::AnsweredAfterCancel));
    assert!(over.abandon_time.is_some());
    let ended = desk.events(&call).await.pop().unwrap();
    assert!(ended.detail.abandoned, "{ended:?}");
    drop(desk.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_ends_both_whatever_they_are_at() {
    // The agent's phone rings.
    let (agent, person) = phones(Then::Ring, Then::Ring).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    hears(&agent, "INVITE", 1).await;
    let ask = desk.bench.ask("agent");
    desk.bench.gate.hang_up(&ask, call.call_id).await.unwrap();
    hears(&agent, "CANCEL", 1).await;
    let over = desk.over(&call).await;
    assert_eq!((over.state, over.attempt_id), (CallState::Canceled, None));
    assert!(person.heard().is_empty());
    // They talk.
    drop(desk.close().await);
    let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON)).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Connected).await;
    let ask = desk.bench.ask("agent");
    desk.bench.gate.hang_up(&ask, call.call_id).await.unwrap();
    hears(&person, "BYE", 1).await;
    hears(&agent, "BYE", 1).await;
    desk.over(&call).await;
    drop(desk.close().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_parts_them() {
    let (agent, person) = phones(Then::Answer(SOON), Then::Answer(SOON)).await;
    let desk = Desk::open(sqlite().await, &agent, &person).await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Connected).await;
    let bench = desk.close().await;
    for phone in [&agent, &person] {
        let bye = phone.of("BYE").pop().unwrap();
        let reason = bye.header("Reason").unwrap().to_owned();
        assert!(reason.contains("cause=503"), "{reason}");
    }
    let over = bench.call(call.call_id).await;
    assert_eq!(over.outcome, Some(Outcome::Answered));
}

/// An agent who has answered waits for a trunk, and not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_waits_for_a_trunk_for_so_long_and_no_longer() {
    let (agent, person) = phones(Then::Ring, Then::Answer(SOON)).await;
    let desk = Desk::with(sqlite().await, &agent, &person, |config| {
        config.wait_seconds = 1;
    })
    .await;
    // While the phone rings the trunk is taken away that would carry it.
    let call = desk.place(ANNA).await;
    hears(&agent, "INVITE", 1).await;
    let impatient = AgentConfig {
        wait_seconds: 1,
        ..AgentConfig::at(&format!("sip:anna@{}", agent.addr))
    };
    let config = DialerConfig {
        agents: vec![impatient.agent("anna").unwrap()],
        ..DialerConfig::default()
    };
    let another = lane("another", &[person.addr], QUICK);
    desk.dialer.take_trunks(vec![another], &config);
    agent.answer();
    let over = desk.over(&call).await;
    assert_eq!(over.agent_result, Some(AgentResult::KeptWaiting));
    hears(&agent, "BYE", 1).await;
    assert!(person.heard().is_empty());
    assert_eq!(desk.counted(ANNA).await, 0);
    drop(desk.close().await);
}
