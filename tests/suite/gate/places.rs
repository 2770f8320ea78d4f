//! Checking and placing.

use super::on_both;

on_both! {
    a_stranger_is_refused_for_the_facts_that_are_missing,
    a_known_consumer_is_queued_and_everything_is_on_record,
    a_check_decides_the_same_and_reserves_nothing,
    p07_the_same_request_gets_the_first_answer_also_elsewhere,
    p07_another_body_under_the_same_id_is_refused,
    p07_a_request_sent_five_times_at_once_is_one_call,
    p07_two_bodies_of_one_request_at_once_are_told_apart,
    what_the_campaign_does_not_allow_is_refused_before_the_law,
    p05_no_emergency_or_premium_number_is_decided_on,
    a_placement_that_nobody_waits_for_is_not_dialed,
    p07_a_placement_that_is_late_before_its_commit_never_was,
    p07_a_placement_committed_too_late_is_taken_back,
    p07_a_placement_whose_client_gave_up_is_taken_back,
    p07_a_late_repetition_takes_nothing_back,
    a_node_that_stops_places_no_calls,
    a_full_trunk_says_when_to_come_again,
    batches_at_once_fill_no_trunk_twice,
    many_are_decided_together_and_each_gets_its_own_answer,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::call::{Call, CallKind, CallState, Outcome};
    use dialgate::domain::decision::{Decision, Stage, Verdict};
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::TenantId;
    use dialgate::gate::GateError;
    use dialgate::policy::facts::Case;
    use dialgate::store::{CALL_FIELDS, ListQuery};

    use crate::gate::bench::{Bench, QUEUE_MAX, campaign, phone};

    const ANNA: &str = "+14045550141";

    pub async fn a_stranger_is_refused_for_the_facts_that_are_missing(bench: Bench) {
        let placed = bench.place(ANNA).await;
        assert_eq!(placed.decision.judgement.verdict, Verdict::Deny);
        assert_eq!(placed.decision.judgement.denied_by, ["US-national-dnc"]);
        assert_eq!(placed.call, None);
        assert_eq!(bench.audit().await, ["decision"]);
    }

    pub async fn a_known_consumer_is_queued_and_everything_is_on_record(bench: Bench) {
        let party = bench.callable(ANNA).await;
        let placed = bench.place(ANNA).await;
        let call = placed.call.unwrap();
        assert_eq!(
            (call.state, call.party_id),
            (CallState::Queued, party.party_id)
        );
        assert_eq!(
            (call.to, call.from),
            (Some(phone(ANNA)), Some(phone("+12125550100")))
        );

        let stored = bench.decision(call.place_decision_id).await;
        assert_eq!(stored.stage, Stage::Place);
        assert_eq!(stored.judgement, placed.decision.judgement);
        assert_eq!(stored.call_id, Some(call.call_id));
        assert_eq!(&stored.pack, bench.gate.pack().version());
        let case: Case = serde_json::from_str(&stored.case_json.unwrap()).unwrap();
        assert_eq!((case.call.at, case.call.to.as_str()), (bench.now(), ANNA));
        assert_eq!(case.call.seller.as_deref(), Some("seller"));
        assert_eq!(case.facts.registers.len(), 2);
        assert_eq!(
            case.facts.caller_id.and_then(|shown| shown.owned),
            Some(true)
        );
        // The very case, judged again, gives the very judgement.
        assert_eq!(
            dialgate::policy::judge(&bench.gate.pack(), &case),
            stored.judgement
        );
        assert_eq!(bench.audit().await, ["contact.upserted", "decision"]);
    }

    pub async fn a_check_decides_the_same_and_reserves_nothing(bench: Bench) {
        bench.callable(ANNA).await;
        let mut question = bench.request(ANNA);
        (question.request_id, question.expire_time) = (None, None);
        let checked = bench.gate.check(question).await.unwrap();
        assert_eq!(
            (checked.stage, checked.judgement.verdict),
            (Stage::Check, Verdict::Allow)
        );
        assert!(bench.lease().await.is_empty());
        let placed = bench.place(ANNA).await;
        let said = |decision: &Decision| -> Vec<_> {
            let rules = decision.judgement.rules.iter();
            rules
                .map(|rule| (rule.rule.clone(), rule.outcome))
                .collect()
        };
        assert_eq!(said(&placed.decision), said(&checked));
    }

    pub async fn p07_the_same_request_gets_the_first_answer_also_elsewhere(bench: Bench) {
        bench.callable(ANNA).await;
        let request = bench.request(ANNA);
        let first = bench.gate.place(request.clone()).await.unwrap();
        assert_eq!(
            bench.gate.place(request.clone()).await.unwrap().call,
            first.call
        );
        // The world has moved on, the campaign is gone, another node is asked: the answer is the first one.
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(ANNA))
            .await
            .unwrap();
        bench.clock.advance(Duration::from_secs(3600));
        let again = bench.again(Vec::new()).place(request).await.unwrap();
        assert_eq!(again.call, first.call);
        assert_eq!(again.decision.judgement, first.decision.judgement);
        assert_eq!(bench.lease().await.len(), 1, "one call only");
    }

    pub async fn p07_another_body_under_the_same_id_is_refused(bench: Bench) {
        bench.callable(ANNA).await;
        let request = bench.request(ANNA);
        bench.gate.place(request.clone()).await.unwrap();
        let other = dialgate::domain::call::CallRequest {
            request_digest: [8; 32],
            ..request
        };
        let refused = bench.gate.place(other).await.unwrap_err();
        assert!(matches!(refused, GateError::RequestIdReused), "{refused}");
    }

    pub async fn p07_a_request_sent_five_times_at_once_is_one_call(bench: Bench) {
        bench.callable(ANNA).await;
        let request = bench.request(ANNA);
        let nodes = [
            bench.gate.clone(),
            bench.again(vec![campaign("us", "US", "seller")]),
        ];
        let asked = (0..10).map(|n| {
            let (gate, request) = (nodes[n % 2].clone(), request.clone());
            tokio::spawn(async move { gate.place(request).await })
        });
        let mut calls = Vec::new();
        for answer in asked.collect::<Vec<_>>() {
            // A node that loses the race to the other one's row tries again; no client sees it.
            calls.push(answer.await.unwrap().unwrap().call.unwrap().call_id);
        }
        calls.dedup();
        assert_eq!(calls.len(), 1);
        assert_eq!(bench.lease().await.len(), 1);
    }

    pub async fn what_the_campaign_does_not_allow_is_refused_before_the_law(bench: Bench) {
        bench.callable(ANNA).await;
        let ask = async |change: fn(&mut dialgate::domain::call::CallRequest)| {
            let mut request = bench.request(ANNA);
            change(&mut request);
            bench.gate.place(request).await.unwrap_err()
        };
        assert!(matches!(
            ask(|r| r.campaign_id = "none".to_owned()).await,
            GateError::CampaignUnknown
        ));
        assert!(matches!(
            ask(|r| r.campaign_id = "asleep".to_owned()).await,
            GateError::CampaignInactive
        ));
        assert!(matches!(
            ask(|r| r.caller_id = Some(phone("+12125550199"))).await,
            GateError::CallerIdNotAllowed
        ));
        assert!(matches!(
            ask(|r| r.call_kind = CallKind::Prerecorded).await,
            GateError::CallKindNotAllowed
        ));
        assert!(matches!(
            ask(|r| r.to = phone("+493023125201")).await,
            GateError::DestinationNotAllowed { .. }
        ));
        assert!(matches!(
            ask(|r| r.expire_time = Some(r.expire_time.unwrap().minus(Duration::from_secs(60))))
                .await,
            GateError::RequestExpired
        ));
        assert!(matches!(
            ask(|r| r.expire_time = None).await,
            GateError::Invalid { .. }
        ));
        assert!(bench.lease().await.is_empty());
    }

    pub async fn p05_no_emergency_or_premium_number_is_decided_on(bench: Bench) {
        for number in ["+1911555", "+19005550141", "+18005550141", "+12115550141"] {
            let refused = bench.gate.place(bench.request(number)).await.unwrap_err();
            assert!(
                matches!(refused, GateError::NotDialable { field: "to", .. }),
                "{number}: {refused}"
            );
        }
        assert!(bench.audit().await.is_empty());
    }

    pub async fn a_placement_that_nobody_waits_for_is_not_dialed(bench: Bench) {
        bench.callable(ANNA).await;
        let mut request = bench.request(ANNA);
        request.answer_by = Some(bench.gate.read().mono);
        let late = bench.gate.place(request.clone()).await.unwrap_err();
        assert!(matches!(late, GateError::RequestExpired), "{late}");
        request.answer_by = Some(bench.gate.read().mono.plus(Duration::from_secs(1)));
        assert!(bench.gate.place(request).await.unwrap().call.is_some());
        assert_eq!(bench.lease().await.len(), 1);
    }

    /// The calls to this number.
    async fn calls(bench: &Bench, number: &str) -> Vec<Call> {
        let all = ListQuery {
            filter: Filter::parse("", CALL_FIELDS).unwrap(),
            page_size: 10,
            after: None,
        };
        let mut tx = bench.store.read().await;
        let page = tx.list_calls(&TenantId::default(), &all).await.unwrap();
        let to = Some(phone(number));
        page.rows.into_iter().filter(|call| call.to == to).collect()
    }

    /// The client had given up when the gate had judged: nothing is stored, and the same request with more patience is a call.
    pub async fn p07_a_placement_that_is_late_before_its_commit_never_was(bench: Bench) {
        bench.callable(ANNA).await;
        let mut request = bench.request(ANNA);
        request.answer_by = Some(bench.gate.read().mono.plus(Duration::from_secs(1)));
        // After the gate's first look at the clock, which is in time.
        bench.clock.advance_after(1, Duration::from_secs(5));
        let late = bench.gate.place(request.clone()).await.unwrap_err();
        assert!(matches!(late, GateError::RequestExpired), "{late}");
        assert!(calls(&bench, ANNA).await.is_empty());
        request.answer_by = None;
        let again = bench.gate.place(request).await.unwrap();
        let leased = bench.lease().await;
        assert_eq!(leased[0].call.call_id, again.call.unwrap().call_id);
    }

    /// The client had given up while the COMMIT was made: what it placed is ended before a worker leases it.
    pub async fn p07_a_placement_committed_too_late_is_taken_back(bench: Bench) {
        // After the gate's first look at the clock and those right before COMMIT, which are in time.
        for (looks, number) in [(2, "+14045550142"), (3, ANNA)] {
            bench.callable(number).await;
            let mut request = bench.request(number);
            request.answer_by = Some(bench.gate.read().mono.plus(Duration::from_secs(1)));
            bench.clock.advance_after(looks, Duration::from_secs(5));
            let late = bench.gate.place(request.clone()).await.unwrap_err();
            assert!(matches!(late, GateError::RequestExpired), "{late}");
            assert!(bench.lease().await.is_empty());
            let call = calls(&bench, number).await.remove(0);
            assert_eq!(
                (call.state, call.outcome),
                (CallState::Canceled, Some(Outcome::Canceled))
            );
            // The same request with more patience is answered as it was decided, and still is no call.
            request.answer_by = None;
            let again = bench.gate.place(request).await.unwrap();
            assert_eq!(again.call.unwrap().call_id, call.call_id);
            assert!(bench.lease().await.is_empty());
        }
    }

    /// The server's timer, the transport's and the client's go off around the deadline: whoever is gone by then waited no
    /// longer. Whoever is gone long before it lost the connection, and comes back.
    pub async fn p07_a_placement_whose_client_gave_up_is_taken_back(bench: Bench) {
        for (patience, leased) in [(Duration::from_millis(50), 0), (Duration::from_secs(9), 1)] {
            let number = ["+14045550143", ANNA][leased];
            bench.callable(number).await;
            let mut request = bench.request(number);
            request.answer_by = Some(bench.gate.read().mono.plus(patience));
            let gone = tokio::time::timeout(Duration::ZERO, bench.gate.place(request));
            assert!(gone.await.is_err(), "gone before the answer");
            let mut state = None;
            for _ in 0..200 {
                state = calls(&bench, number).await.first().map(|call| call.state);
                if state.is_some_and(CallState::is_final) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let expected = [CallState::Canceled, CallState::Queued][leased];
            assert_eq!(state, Some(expected), "{patience:?}");
            assert_eq!(bench.lease().await.len(), leased);
        }
    }

    /// A repetition that comes too late for its own deadline ends nothing that the first one began.
    pub async fn p07_a_late_repetition_takes_nothing_back(bench: Bench) {
        bench.callable(ANNA).await;
        let mut request = bench.request(ANNA);
        let first = bench.gate.place(request.clone()).await.unwrap();
        request.answer_by = Some(bench.gate.read().mono.plus(Duration::from_secs(1)));
        bench.clock.advance_after(1, Duration::from_secs(5));
        let again = bench.gate.place(request).await.unwrap();
        let id = |placed: dialgate::gate::Placed| placed.call.unwrap().call_id;
        assert_eq!(id(again), id(first));
        assert_eq!(bench.lease().await.len(), 1);
    }

    pub async fn a_node_that_stops_places_no_calls(bench: Bench) {
        bench.callable(ANNA).await;
        bench.gate.close();
        let refused = bench.gate.place(bench.request(ANNA)).await.unwrap_err();
        assert!(matches!(refused, GateError::Closing), "{refused}");
        let mut question = bench.request(ANNA);
        (question.request_id, question.expire_time) = (None, None);
        assert!(
            bench.gate.check(question).await.is_ok(),
            "questions are still answered"
        );
        assert!(bench.lease().await.is_empty());
    }

    /// They share no number, so that nothing but the request itself keeps their batches apart.
    pub async fn p07_two_bodies_of_one_request_at_once_are_told_apart(bench: Bench) {
        const BERTA: &str = "+14045550142";
        bench.callable(ANNA).await;
        bench.callable(BERTA).await;
        for _ in 0..10 {
            let (one, mut other) = (bench.request(ANNA), bench.request(BERTA));
            (other.request_id, other.request_digest) = (one.request_id, [8; 32]);
            let asked = [one, other].map(|mut request| {
                // The queue is not what is tried.
                request.campaign_id = "other".to_owned();
                let gate = bench.gate.clone();
                tokio::spawn(async move { gate.place(request).await })
            });
            let mut refused = 0;
            for answer in asked {
                match answer.await.unwrap() {
                    Ok(placed) => drop(placed),
                    Err(GateError::RequestIdReused) => refused += 1,
                    Err(GateError::TrunkSaturated { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert!(refused <= 1, "nobody was first");
        }
    }

    /// More ask than there is room for, all at once, while the store is slow.
    pub async fn batches_at_once_fill_no_trunk_twice(bench: Bench) {
        let numbers: Vec<String> = (0..25)
            .map(|n| format!("+140455501{:02}", 20 + n))
            .collect();
        for number in &numbers {
            bench.callable(number).await;
        }
        // Whoever asks first waits for this one, and the others for more than one batch.
        let mut slow = bench.store.write().await;
        let key = bench.key(&numbers[0]);
        let tenant = TenantId::default();
        slow.lock_numbers(&tenant, &[key]).await.unwrap();
        let mut asked = Vec::new();
        for number in &numbers {
            let (gate, request) = (bench.gate.clone(), bench.request(number));
            asked.push(tokio::spawn(async move { gate.place(request).await }));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slow.commit().await.unwrap();
        let mut queued = 0;
        for answer in asked {
            match answer.await.unwrap() {
                Ok(placed) => queued += i64::from(placed.call.is_some()),
                Err(GateError::TrunkSaturated { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(queued, QUEUE_MAX);
    }

    pub async fn a_full_trunk_says_when_to_come_again(bench: Bench) {
        for index in 0..=QUEUE_MAX {
            let number = format!("+140455501{:02}", 20 + index);
            bench.callable(&number).await;
            let answer = bench.gate.place(bench.request(&number)).await;
            if index < QUEUE_MAX {
                assert!(answer.unwrap().call.is_some());
            } else {
                assert!(matches!(
                    answer.unwrap_err(),
                    GateError::TrunkSaturated { .. }
                ));
            }
        }
    }

    pub async fn many_are_decided_together_and_each_gets_its_own_answer(bench: Bench) {
        bench.callable(ANNA).await;
        let asked: Vec<_> = (0..60)
            .map(|n| {
                let gate = bench.gate.clone();
                let mut request = bench.request(if n % 3 == 0 { ANNA } else { "+14045550142" });
                if n % 3 == 2 {
                    request.campaign_id = "none".to_owned();
                }
                (request.request_id, request.expire_time) = (None, None);
                tokio::spawn(async move { gate.check(request).await })
            })
            .collect();
        for (n, answer) in asked.into_iter().enumerate() {
            match (n % 3, answer.await.unwrap()) {
                (0, Ok(decision)) => assert_eq!(decision.judgement.verdict, Verdict::Allow),
                (1, Ok(decision)) => assert_eq!(decision.judgement.verdict, Verdict::Deny),
                (2, Err(GateError::CampaignUnknown)) => {}
                (_, other) => panic!("{n}: {other:?}"),
            }
        }
        assert_eq!(
            bench
                .audit()
                .await
                .iter()
                .filter(|kind| *kind == "decision")
                .count(),
            40
        );
    }
}
