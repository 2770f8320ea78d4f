//! Calls whose client goes away: a grace period to come back, by whatever node, and then the end as if the agent had hung up.

use std::sync::Arc;
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::ids::{CallId, Incarnation, TenantId};
use dialgate::grpc::{GrpcConfig, pb};
use dialgate::sip::{Behaviour, Endpoint, SimulatedCarrier, SipConfig};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use super::{PATIENCE, tick};
use crate::gate::bench::Bench;
use crate::gate::on_both;
use crate::grpc::house::{ATLANTA, Client, House};
use crate::support::builders::TestStore;

on_both! {
    a_call_that_rings_is_cancelled_when_its_client_does_not_come_back,
    a_talk_goes_on_if_the_client_comes_back_and_ends_if_not,
    a_call_in_the_queue_is_not_dialed_for_a_client_that_left,
    a_call_that_nobody_ever_followed_goes_on_unless_that_was_asked_for,
    only_streams_of_who_placed_the_call_count_and_none_that_only_looks,
    a_client_that_goes_on_at_another_node_keeps_its_call,
    what_a_dead_process_followed_is_ended,
}

const GRACE: Duration = Duration::from_secs(1);
const OTHER: &str = "+14045550142";

/// A house whose worker calls by way of a simulated carrier.
struct Line {
    house: House,
    agent: Client,
    dialer: Dialer,
    carrier: SimulatedCarrier,
    ticking: JoinHandle<()>,
}

type Events = Streaming<pb::WatchCallResponse>;

fn rings() -> Behaviour {
    Behaviour::RingForever
}

fn answers() -> Behaviour {
    Behaviour::Answer {
        after: Duration::from_millis(20),
        hang_up_after: None,
    }
}

impl Line {
    async fn to(behaviour: Behaviour, store: TestStore) -> Self {
        let house = House::over(store, GrpcConfig::default()).await;
        let carrier = SimulatedCarrier::start(move |_: &str| behaviour.clone())
            .await
            .unwrap();
        let clock = Clock::Manual(Arc::clone(&house.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let trunk = TrunkConfig {
            channels: 1_u32.try_into().unwrap(),
            ..TrunkConfig::towards(carrier.addr())
        };
        let lane = Lane::new(trunk.trunk("carrier").unwrap(), trunk);
        let config = DialerConfig {
            unwatched_seconds: GRACE.as_secs(),
            ..DialerConfig::default()
        };
        let ticking = tokio::spawn(tick(Arc::clone(&house.clock)));
        let dialer = Dialer::start(house.gate.clone(), endpoint, vec![lane], &config, clock);
        let agent = house.agent().await;
        house.callable(ATLANTA).await;
        Self {
            house,
            agent,
            dialer,
            carrier,
            ticking,
        }
    }

    async fn place(&self, hang_up_unless_followed: bool) -> String {
        self.place_to(ATLANTA, hang_up_unless_followed).await
    }

    async fn place_to(&self, number: &str, hang_up_unless_followed: bool) -> String {
        let wanted = pb::PlaceCallRequest {
            hang_up_unless_followed,
            ..self.house.place(number)
        };
        let placed = self.agent.calls().place_call(wanted).await.unwrap();
        placed.into_inner().call.unwrap().call_id
    }

    async fn follow(&self, call_id: &str) -> Events {
        follow(&self.agent, call_id, false).await
    }

    async fn call(&self, call_id: &str) -> pb::Call {
        let request = pb::GetCallRequest {
            call_id: call_id.to_owned(),
        };
        let call = self.agent.calls().get_call(request).await.unwrap();
        call.into_inner().call.unwrap()
    }

    /// Until it has come so far.
    async fn until(&self, call_id: &str, state: pb::CallState) -> pb::Call {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let call = self.call(call_id).await;
            if call.state() == state {
                return call;
            }
            assert!(Instant::now() < give_up, "still {:?}", call.state());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// So long that whoever was to be hung up has been, by the clock that the worker lives by.
    async fn some_time(&self) {
        let until = self.house.now().plus(GRACE * 3);
        while self.house.now() < until {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What its history says of clients that left, in order.
    async fn notes(&self, call_id: &str) -> Vec<String> {
        let call_id = CallId(call_id.parse().unwrap());
        let mut tx = self.house.base.read().await;
        let events = tx.events_after(&TenantId::default(), call_id, 0, 100).await;
        let notes = events
            .unwrap()
            .into_iter()
            .filter_map(|event| event.detail.note);
        notes
            .filter(|note| note.contains("nobody follows"))
            .collect()
    }

    async fn stop(self) {
        self.dialer.drain().await;
        self.ticking.abort();
    }
}

async fn follow(client: &Client, call_id: &str, only_looking: bool) -> Events {
    let request = pb::WatchCallRequest {
        call_id: call_id.to_owned(),
        only_looking,
        ..pb::WatchCallRequest::default()
    };
    let mut events = client
        .calls()
        .watch_call(request)
        .await
        .unwrap()
        .into_inner();
    // Now it is there.
    events.message().await.unwrap();
    events
}

mod tests {
    use super::*;

    pub async fn a_call_that_rings_is_cancelled_when_its_client_does_not_come_back(bench: Bench) {
        let line = Line::to(rings(), bench.store).await;
        let call_id = line.place(false).await;
        let events = line.follow(&call_id).await;
        line.until(&call_id, pb::CallState::Ringing).await;
        line.some_time().await;
        assert_eq!(line.call(&call_id).await.state(), pb::CallState::Ringing);
        drop(events);
        let call = line.until(&call_id, pb::CallState::Canceled).await;
        assert_eq!(call.outcome(), pb::Outcome::Canceled);
        assert_eq!(line.carrier.received(ATLANTA).cancels, 1);
        assert_eq!(line.notes(&call_id).await.len(), 1);
        line.stop().await;
    }

    pub async fn a_talk_goes_on_if_the_client_comes_back_and_ends_if_not(bench: Bench) {
        let line = Line::to(answers(), bench.store).await;
        let call_id = line.place(false).await;
        let events = line.follow(&call_id).await;
        line.until(&call_id, pb::CallState::Answered).await;
        for _ in 0..3 {
            drop(line.follow(&call_id).await);
        }
        line.some_time().await;
        drop(events);
        sleep(GRACE / 4).await;
        let events = line.follow(&call_id).await;
        line.some_time().await;
        assert_eq!(line.call(&call_id).await.state(), pb::CallState::Answered);
        drop(events);
        let call = line.until(&call_id, pb::CallState::Ended).await;
        assert_eq!(call.outcome(), pb::Outcome::Answered);
        assert_eq!(line.carrier.received(ATLANTA).byes, 1);
        assert_eq!(line.notes(&call_id).await.len(), 1);
        line.stop().await;
    }

    pub async fn a_call_in_the_queue_is_not_dialed_for_a_client_that_left(bench: Bench) {
        let line = Line::to(rings(), bench.store).await;
        // The trunk's one channel is taken.
        let other = line.place(false).await;
        line.until(&other, pb::CallState::Ringing).await;
        line.house.callable(OTHER).await;
        let call_id = line.place_to(OTHER, false).await;
        drop(line.follow(&call_id).await);
        let call = line.until(&call_id, pb::CallState::Canceled).await;
        assert_eq!(call.outcome(), pb::Outcome::Canceled);
        assert_eq!(line.carrier.received(OTHER).invites, 0);
        assert_eq!(line.call(&other).await.state(), pb::CallState::Ringing);
        line.stop().await;
    }

    pub async fn a_call_that_nobody_ever_followed_goes_on_unless_that_was_asked_for(bench: Bench) {
        let line = Line::to(rings(), bench.store).await;
        let call_id = line.place(false).await;
        line.until(&call_id, pb::CallState::Ringing).await;
        line.some_time().await;
        assert_eq!(line.call(&call_id).await.state(), pb::CallState::Ringing);
        let wish = pb::HangUpCallRequest {
            request_id: crate::grpc::house::request_id(),
            call_id: call_id.clone(),
        };
        line.agent.calls().hang_up_call(wish).await.unwrap();
        line.until(&call_id, pb::CallState::Canceled).await;
        let call_id = line.place(true).await;
        line.until(&call_id, pb::CallState::Canceled).await;
        assert_eq!(line.notes(&call_id).await.len(), 1);
        line.stop().await;
    }

    pub async fn only_streams_of_who_placed_the_call_count_and_none_that_only_looks(bench: Bench) {
        let line = Line::to(rings(), bench.store).await;
        let call_id = line.place(false).await;
        line.until(&call_id, pb::CallState::Ringing).await;
        let (other, auditor) = (line.house.agent().await, line.house.auditor().await);
        drop(follow(&other, &call_id, false).await);
        drop(follow(&auditor, &call_id, false).await);
        drop(follow(&line.agent, &call_id, true).await);
        line.some_time().await;
        assert_eq!(line.call(&call_id).await.state(), pb::CallState::Ringing);
        // Nor do they keep a call up that its own client left.
        let _looking = (
            follow(&other, &call_id, false).await,
            follow(&line.agent, &call_id, true).await,
        );
        drop(line.follow(&call_id).await);
        line.until(&call_id, pb::CallState::Canceled).await;
        line.stop().await;
    }

    pub async fn a_client_that_goes_on_at_another_node_keeps_its_call(bench: Bench) {
        let line = Line::to(answers(), bench.store).await;
        let call_id = line.place(false).await;
        let events = line.follow(&call_id).await;
        line.until(&call_id, pb::CallState::Answered).await;
        let elsewhere = Incarnation::new(line.house.now());
        let (tenant, id) = (TenantId::default(), CallId(call_id.parse().unwrap()));
        let mut tx = line.house.base.write().await;
        tx.beat(elsewhere, "other", line.house.now()).await.unwrap();
        tx.attend(elsewhere, &[(tenant.clone(), id)]).await.unwrap();
        tx.commit().await.unwrap();
        drop(events);
        line.some_time().await;
        assert_eq!(line.call(&call_id).await.state(), pb::CallState::Answered);
        // It comes back here, which the other node is told of, and so would not end the call when the client leaves it.
        let events = line.follow(&call_id).await;
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut tx = line.house.base.write().await;
            if tx.is_attended_elsewhere(id, elsewhere).await.unwrap() {
                break;
            }
            drop(tx);
            assert!(Instant::now() < give_up, "the other node is not told");
            sleep(Duration::from_millis(10)).await;
        }
        let mut tx = line.house.base.write().await;
        tx.leave(elsewhere, &[id]).await.unwrap();
        tx.commit().await.unwrap();
        drop(events);
        line.until(&call_id, pb::CallState::Ended).await;
        line.stop().await;
    }

    /// The client was at a node that died, and came to no other.
    pub async fn what_a_dead_process_followed_is_ended(bench: Bench) {
        let line = Line::to(answers(), bench.store).await;
        let call_id = line.place(false).await;
        line.until(&call_id, pb::CallState::Answered).await;
        let dead = Incarnation::new(line.house.now());
        let id = CallId(call_id.parse().unwrap());
        let mut tx = line.house.base.write().await;
        tx.beat(dead, "dead", line.house.now()).await.unwrap();
        tx.attend(dead, &[(TenantId::default(), id)]).await.unwrap();
        tx.commit().await.unwrap();
        // Some 20 s of its heart standing still, which need not be the machine's.
        let (clock, faster) = (Arc::clone(&line.house.clock), Duration::from_millis(6));
        let hurry = tokio::spawn(async move {
            loop {
                clock.advance(faster);
                sleep(Duration::from_millis(3)).await;
            }
        });
        line.until(&call_id, pb::CallState::Ended).await;
        hurry.abort();
        assert_eq!(line.carrier.received(ATLANTA).byes, 1);
        line.stop().await;
    }
}
