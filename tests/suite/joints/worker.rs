//! A running worker in this process, with a carrier that lets every phone ring, and what must end such a call.

use std::sync::Arc;
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::dialer::{Dialer, DialerConfig, Lane, TrunkConfig};
use dialgate::domain::call::{
    Call, CallKind, CallRequest, CallState, EventDetail, EventKind, Introduction, Outcome,
};
use dialgate::domain::campaign::Campaign;
use dialgate::domain::consent::ConsentAction;
use dialgate::domain::ids::TenantId;
use dialgate::gate::{Ask, Gate};
use dialgate::sip::{Behaviour, Endpoint, SimulatedCarrier, SipConfig};
use dialgate::store::{AttemptEnd, Engine};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::sink::now;
use crate::dialer::tick;
use crate::gate::bench::{Bench, campaign};
use crate::gate::on_both;

on_both! {
    p03_an_opt_out_by_a_node_whose_clock_is_off_cancels_what_rings,
    p03_an_opt_out_that_the_claim_saw_reopened_cancels_nothing,
    p04_a_worker_ends_what_a_sweeper_ended_by_mistake,
    p04_a_worker_ends_an_answered_call_that_a_sweeper_ended_by_mistake,
    p04_a_hang_up_that_a_sweeper_came_after_is_not_lost,
    p04_a_call_that_cannot_be_read_ends_and_the_next_is_dialed,
    p31_a_call_on_its_way_to_the_wire_is_hung_up_when_draining,
    who_hangs_up_on_a_recording_is_not_played_another,
}

const ANNA: &str = "+14045550141";

struct Worker {
    bench: Bench,
    carrier: SimulatedCarrier,
    dialer: Dialer,
    ticking: JoinHandle<()>,
}

impl Worker {
    async fn start(bench: Bench, config: &DialerConfig) -> Self {
        Self::towards(Behaviour::RingForever, bench, config).await
    }

    async fn towards(behaviour: Behaviour, bench: Bench, config: &DialerConfig) -> Self {
        let ticking = tokio::spawn(tick(Arc::clone(&bench.clock)));
        let carrier = SimulatedCarrier::start(move |_: &str| behaviour.clone())
            .await
            .unwrap();
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let sip = SipConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..SipConfig::default()
        };
        let endpoint = Endpoint::bind(&sip, clock.clone()).await.unwrap();
        let trunk = TrunkConfig::towards(carrier.addr());
        let lane = Lane::new(trunk.trunk("carrier").unwrap(), trunk);
        let dialer = Dialer::start(bench.gate.clone(), endpoint, vec![lane], config, clock);
        Self {
            bench,
            carrier,
            dialer,
            ticking,
        }
    }

    /// Somebody in Atlanta whose phone rings.
    async fn ringing(bench: Bench) -> (Self, Call) {
        let worker = Self::start(bench, &DialerConfig::default()).await;
        let call = worker.bench.queued(ANNA).await;
        let call = worker.until(&call, CallState::Ringing).await;
        (worker, call)
    }

    /// Somebody in Atlanta who talks until we hang up.
    async fn talking(bench: Bench) -> (Self, Call) {
        let talks = Behaviour::Answer {
            after: Duration::from_millis(20),
            hang_up_after: None,
        };
        bench.callable(ANNA).await;
        let worker = Self::towards(talks, bench, &DialerConfig::default()).await;
        let call = worker.bench.queued(ANNA).await;
        let call = worker.until(&call, CallState::Answered).await;
        (worker, call)
    }

    /// Another node takes this worker for dead, and ends the call on record.
    async fn buried(&self, call: &Call) {
        let end = self.burial(call);
        let mut tx = self.bench.store.write().await;
        assert!(tx.end_attempt(&TenantId::default(), &end).await.unwrap());
        tx.commit().await.unwrap();
    }

    fn burial(&self, call: &Call) -> AttemptEnd {
        AttemptEnd {
            attempt_id: call.attempt_id.unwrap(),
            call_id: call.call_id,
            outcome: Outcome::InterruptedUnknown,
            counts_as: None,
            detail: EventDetail::default(),
            at: self.bench.now(),
            permit_gone: false,
        }
    }

    /// Until the carrier was told that it is over, which must be soon.
    async fn left(&self) {
        let give_up = now() + Duration::from_secs(3);
        while self.carrier.received(ANNA).byes == 0 {
            assert!(now() < give_up, "nobody can end it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Two lines after the end: why the call is ended after all, and what then came of it. The outcome stays.
    async fn says_why(&self, call: &Call) {
        let give_up = now() + Duration::from_secs(10);
        while self.notes(call).await.len() < 2 {
            assert!(now() < give_up, "{:?}", self.history(call).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let kinds = self.history(call).await;
        let ends = kinds.iter().filter(|kind| **kind == EventKind::Ended);
        assert_eq!(ends.count(), 1, "{kinds:?}");
        // Nobody opted out, and no line says so: the first one after the end tells what happened.
        assert!(!kinds.contains(&EventKind::OptOut), "{kinds:?}");
        let notes = self.notes(call).await;
        assert!(notes[0].contains("for dead"), "{notes:?}");
        let over = self.bench.call(call.call_id).await;
        assert_eq!(over.outcome, Some(Outcome::InterruptedUnknown));
    }

    async fn until(&self, call: &Call, state: CallState) -> Call {
        let give_up = now() + Duration::from_secs(30);
        loop {
            let call = self.bench.call(call.call_id).await;
            if call.state == state {
                return call;
            }
            assert!(now() < give_up, "still {:?}", call.state);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Until the carrier was told to cancel.
    async fn cancelled(&self) {
        let give_up = now() + Duration::from_secs(10);
        while self.carrier.received(ANNA).cancels == 0 {
            assert!(now() < give_up, "it rings on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn history(&self, call: &Call) -> Vec<EventKind> {
        let mut tx = self.bench.store.read().await;
        let tenant = TenantId::default();
        let events = tx.events_after(&tenant, call.call_id, 0, 100).await;
        events.unwrap().iter().map(|event| event.kind).collect()
    }

    async fn notes(&self, call: &Call) -> Vec<String> {
        let mut tx = self.bench.store.read().await;
        let tenant = TenantId::default();
        let events = tx.events_after(&tenant, call.call_id, 0, 100).await;
        let notes = events.unwrap().into_iter();
        notes.filter_map(|event| event.detail.note).collect()
    }

    async fn stop(self) {
        self.dialer.drain().await;
        self.ticking.abort();
    }
}

/// An opt-out of the person, at whatever time that node believes it is.
fn opting_out(bench: &Bench, gate: Gate, call: &Call) -> JoinHandle<()> {
    let ask = Ask {
        at: gate.read().wall,
        ..bench.ask("admin")
    };
    let mut new = bench.opt_out(ANNA);
    (new.number, new.party_id) = (None, Some(call.party_id));
    tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) })
}

mod tests {
    use super::*;

    pub async fn p03_an_opt_out_by_a_node_whose_clock_is_off_cancels_what_rings(bench: Bench) {
        bench.callable(ANNA).await;
        let (worker, call) = Worker::ringing(bench).await;
        let elsewhere = worker.bench.elsewhere(-300);
        let opt_out = opting_out(&worker.bench, elsewhere, &call);
        worker.cancelled().await;
        let over = worker.until(&call, CallState::Canceled).await;
        assert_eq!(over.outcome, Some(Outcome::Canceled));
        assert!(worker.history(&call).await.contains(&EventKind::OptOut));
        tokio::time::timeout(Duration::from_secs(30), opt_out)
            .await
            .unwrap()
            .unwrap();
        worker.stop().await;
    }

    /// Recorded a moment before the call, by a node whose clock is ahead: it looks newer than the claim, and is not.
    pub async fn p03_an_opt_out_that_the_claim_saw_reopened_cancels_nothing(bench: Bench) {
        bench.callable(ANNA).await;
        let elsewhere = bench.elsewhere(120);
        let ask = Ask {
            at: elsewhere.read().wall,
            ..bench.ask("admin")
        };
        let mut new = bench.opt_out(ANNA);
        new.received_at = Some(bench.now());
        elsewhere.suppress(&ask, new).await.unwrap();
        let signed = bench.consent(ANNA, ConsentAction::Given);
        bench
            .gate
            .record_consent(&bench.ask("admin"), signed)
            .await
            .unwrap();
        let (worker, call) = Worker::ringing(bench).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            worker.bench.call(call.call_id).await.state,
            CallState::Ringing
        );
        assert_eq!(worker.carrier.received(ANNA).cancels, 0);
        worker.ticking.abort();
    }

    /// The log says that the call is over and it still rings: its owner must end it, and leaves the outcome as it is.
    pub async fn p04_a_worker_ends_what_a_sweeper_ended_by_mistake(bench: Bench) {
        bench.callable(ANNA).await;
        let (worker, call) = Worker::ringing(bench).await;
        worker.buried(&call).await;
        worker.cancelled().await;
        worker.says_why(&call).await;
        worker.stop().await;
    }

    /// It is up, and on record it is over: nobody could hang it up.
    pub async fn p04_a_worker_ends_an_answered_call_that_a_sweeper_ended_by_mistake(bench: Bench) {
        let (worker, call) = Worker::talking(bench).await;
        worker.buried(&call).await;
        worker.left().await;
        worker.says_why(&call).await;
        let over = worker.bench.call(call.call_id).await;
        assert_eq!(over.state, CallState::Ended);
        worker.stop().await;
    }

    /// The hang-up is acknowledged while the owner stands still, and the sweeper comes before it goes on.
    pub async fn p04_a_hang_up_that_a_sweeper_came_after_is_not_lost(bench: Bench) {
        let (worker, call) = Worker::talking(bench).await;
        let end = worker.burial(&call);
        let tenant = TenantId::default();
        // In one transaction: this owner does not stand still.
        let mut tx = worker.bench.store.write().await;
        let asked = tx.request_hang_up(&tenant, call.call_id, end.at).await;
        assert_eq!(asked.unwrap(), Some(CallState::Answered));
        assert!(tx.end_attempt(&tenant, &end).await.unwrap());
        tx.commit().await.unwrap();
        worker.left().await;
        worker.says_why(&call).await;
        worker.stop().await;
    }

    pub async fn p04_a_call_that_cannot_be_read_ends_and_the_next_is_dialed(bench: Bench) {
        const BERTA: &str = "+14045550142";
        bench.callable(BERTA).await;
        let damaged = bench.queued(BERTA).await;
        let sql = "UPDATE calls SET sealed_number = $1 WHERE call_id = $2";
        bench.store.damage(sql, damaged.call_id.0).await;
        bench.callable(ANNA).await;
        let (worker, _) = Worker::ringing(bench).await;
        assert_eq!(
            worker.history(&damaged).await.last(),
            Some(&EventKind::Ended)
        );
        let entries = worker.bench.audit().await;
        assert!(
            entries.contains(&"call.unreadable".to_owned()),
            "{entries:?}"
        );
        assert_eq!(worker.carrier.received(BERTA).invites, 0);
        worker.ticking.abort();
    }

    /// It is just being claimed when everything is told to end: whoever is told once would miss it.
    pub async fn p31_a_call_on_its_way_to_the_wire_is_hung_up_when_draining(bench: Bench) {
        // Only there can a test hold up a claim and nothing else.
        if bench.store.store.engine() == Engine::Sqlite {
            return;
        }
        bench.callable(ANNA).await;
        let call = bench.queued(ANNA).await;
        let mut holding = bench.store.write().await;
        holding
            .lock_numbers(&TenantId::default(), &[call.number_key.0])
            .await
            .unwrap();
        let at_once = DialerConfig {
            drain_seconds: 0,
            ..DialerConfig::default()
        };
        let worker = Worker::start(bench, &at_once).await;
        // The transaction that holds the lock is ended by the database when it is idle for 2 s.
        let give_up = now() + Duration::from_millis(1800);
        while !worker.bench.store.somebody_waits().await {
            assert!(now() < give_up, "nothing was claimed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let Worker {
            bench,
            carrier,
            dialer,
            ticking,
        } = worker;
        let begun = now();
        let draining = tokio::spawn(dialer.drain());
        // The first word to end has been said by now.
        tokio::time::sleep(Duration::from_millis(100)).await;
        holding.commit().await.unwrap();
        draining.await.unwrap();
        assert!(
            now() - begun < Duration::from_secs(10),
            "it waited for the phone to stop ringing"
        );
        let over = bench.call(call.call_id).await;
        assert_eq!(
            (over.state, over.outcome),
            (CallState::Canceled, Some(Outcome::Canceled))
        );
        let received = carrier.received(ANNA);
        assert_eq!(
            (received.invites > 0, received.cancels > 0),
            (true, true),
            "{received:?}"
        );
        ticking.abort();
    }

    /// NRS 597.814(2)(b). Where people talk a BYE is how a call ends, and what ends a recording is not always the far end.
    pub async fn who_hangs_up_on_a_recording_is_not_played_another(mut bench: Bench) {
        const NEVADA: &str = "US-NV-redial-prerecorded";
        let recorded = Campaign {
            call_kinds: vec![CallKind::Prerecorded, CallKind::LiveManual],
            introduction: Some(Introduction::Live),
            ..campaign("us", "US", "seller")
        };
        // 11:00 in Las Vegas.
        bench.clock.advance(Duration::from_hours(4));
        bench.gate = bench.again(vec![recorded]);
        bench.gate.settle().await.unwrap();
        for (number, kind, they_hang_up, counts) in [
            ("+17025550161", CallKind::Prerecorded, true, "hung_up"),
            ("+17025550162", CallKind::Prerecorded, false, "answered"),
            ("+17025550163", CallKind::LiveManual, true, "answered"),
        ] {
            bench.contact(&[number], "US-NV").await.unwrap();
            let consent = bench.consent(number, ConsentAction::Given);
            let ask = bench.ask("agent");
            bench.gate.record_consent(&ask, consent).await.unwrap();
            let behaviour = Behaviour::Answer {
                after: Duration::from_millis(20),
                hang_up_after: they_hang_up.then_some(Duration::from_millis(100)),
            };
            let worker = Worker::towards(behaviour, bench, &DialerConfig::default()).await;
            let request = |kind| CallRequest {
                call_kind: kind,
                ..worker.bench.request(number)
            };
            let placed = worker.bench.gate.place(request(kind)).await.unwrap();
            let denied_by = &placed.decision.judgement.denied_by;
            let call = placed.call.unwrap_or_else(|| panic!("{denied_by:?}"));
            if !they_hang_up {
                worker.until(&call, CallState::Answered).await;
                let ask = worker.bench.ask("agent");
                worker.bench.gate.hang_up(&ask, call.call_id).await.unwrap();
            }
            worker.until(&call, CallState::Ended).await;
            let again = request(CallKind::Prerecorded);
            let again = worker.bench.gate.check(again).await.unwrap();
            let denied = again.judgement.denied_by.iter().any(|rule| rule == NEVADA);
            assert_eq!(denied, counts == "hung_up", "{:?}", again.judgement);
            let stored = worker.bench.decision(again.decision_id).await;
            let case: Value = serde_json::from_str(&stored.case_json.unwrap()).unwrap();
            assert_eq!(case["facts"]["attempts"][0]["outcome"], counts, "{number}");
            worker.dialer.drain().await;
            worker.ticking.abort();
            bench = worker.bench;
        }
    }
}
