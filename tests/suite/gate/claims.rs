//! The question at dial time.

use super::on_both;

on_both! {
    a_claim_gives_a_permit_and_leaves_an_attempt,
    p01_a_claim_is_refused_when_the_facts_have_changed,
    p08_one_lease_makes_one_claim,
    a_call_whose_time_has_passed_is_never_dialed,
    a_call_past_its_time_leaves_the_queue_by_itself,
    a_lease_that_nobody_heard_of_can_be_found,
    a_call_that_was_hung_up_in_the_queue_cannot_be_claimed,
    a_campaign_that_is_gone_dials_nothing,
    a_further_claim_ends_the_old_attempt_and_counts_once,
    a_further_claim_after_an_opt_out_is_refused,
    a_further_claim_of_a_call_that_somebody_hung_up_is_lost,
    p11_caps_count_the_person_over_all_their_numbers_and_at_once,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::call::{CallState, Outcome};
    use dialgate::domain::decision::{Stage, Verdict};
    use dialgate::domain::ids::TenantId;
    use dialgate::gate::Claimed;
    use dialgate::policy::Permit;

    use crate::gate::bench::{Bench, phone};

    const ANNA: &str = "+14045550141";

    pub async fn a_claim_gives_a_permit_and_leaves_an_attempt(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, permit, attempt_id) = bench.claimed(ANNA).await;
        assert_eq!(permit.to(), phone(ANNA));
        assert_eq!(permit.from(), Some(phone("+12125550100")));
        assert_eq!(
            permit.read(),
            bench.gate.read(),
            "its life counts from before the transaction"
        );
        let call = bench.call(leased.call.call_id).await;
        assert_eq!(
            (call.state, call.attempt_id),
            (CallState::Claimed, Some(attempt_id))
        );
        let decision = bench.decision(call.claim_decision_id.unwrap()).await;
        assert_eq!(
            (decision.stage, decision.judgement.verdict),
            (Stage::Claim, Verdict::Allow)
        );
        let key = bench.store.key(phone(ANNA));
        assert_eq!(
            bench
                .store
                .read()
                .await
                .open_permits(&TenantId::default(), &key, &[])
                .await
                .unwrap(),
            [attempt_id]
        );
        assert_eq!(
            bench.audit().await,
            ["contact.upserted", "decision", "claim"]
        );
        bench.clock.advance(Permit::LIFE);
        assert!(permit.check(bench.gate.read()).is_err());
    }

    pub async fn p01_a_claim_is_refused_when_the_facts_have_changed(bench: Bench) {
        bench.callable(ANNA).await;
        bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        // Night falls while the call waits for its turn.
        bench.clock.advance(Duration::from_secs(30));
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(ANNA))
            .await
            .unwrap();
        let claimed = bench.gate.claim(bench.claim(&leased, None)).await.unwrap();
        let Claimed::Denied(decision) = claimed else {
            panic!("{claimed:?}")
        };
        assert_eq!(decision.judgement.denied_by, ["US-internal-dnc"]);
        let call = bench.call(leased.call.call_id).await;
        assert_eq!(
            (call.state, call.claim_decision_id),
            (CallState::Denied, Some(decision.decision_id))
        );
        assert_eq!(call.attempt_id, None);
        assert!(bench.lease().await.is_empty(), "it is not offered again");
    }

    pub async fn p08_one_lease_makes_one_claim(bench: Bench) {
        bench.callable(ANNA).await;
        bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        let node = bench.again(vec![crate::gate::bench::campaign("us", "US", "seller")]);
        let (one, two) = tokio::join!(
            bench.gate.claim(bench.claim(&leased, None)),
            node.claim(bench.claim(&leased, None))
        );
        let permits = [one.unwrap(), two.unwrap()]
            .into_iter()
            .filter(|claimed| matches!(claimed, Claimed::Permitted { .. }))
            .count();
        assert_eq!(permits, 1);
        let key = bench.store.key(phone(ANNA));
        assert_eq!(
            bench
                .store
                .read()
                .await
                .open_permits(&TenantId::default(), &key, &[])
                .await
                .unwrap()
                .len(),
            1
        );
        // Nor does an old lease open what another worker has leased since.
        bench.callable("+14045550142").await;
        bench.queued("+14045550142").await;
        let old = bench.lease().await.remove(0);
        let mut tx = bench.store.write().await;
        assert!(
            tx.release_lease(old.call.call_id, old.lease_epoch)
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
        let new = bench.lease().await.remove(0);
        assert!(matches!(
            bench.gate.claim(bench.claim(&old, None)).await.unwrap(),
            Claimed::Lost
        ));
        assert!(matches!(
            bench.gate.claim(bench.claim(&new, None)).await.unwrap(),
            Claimed::Permitted { .. }
        ));
    }

    pub async fn a_call_whose_time_has_passed_is_never_dialed(bench: Bench) {
        bench.callable(ANNA).await;
        let call = bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        bench.clock.advance(Duration::from_secs(60));
        assert!(matches!(
            bench.gate.claim(bench.claim(&leased, None)).await.unwrap(),
            Claimed::Expired
        ));
        assert_eq!(bench.call(call.call_id).await.state, CallState::Expired);
        let told = bench.audit().await.pop();
        assert_eq!(told.as_deref(), Some("call.expired"), "P-16");
    }

    pub async fn a_call_past_its_time_leaves_the_queue_by_itself(bench: Bench) {
        bench.callable(ANNA).await;
        let call = bench.queued(ANNA).await;
        let waiting = async |bench: &Bench| {
            let mut tx = bench.store.read().await;
            tx.queued_count("carrier", bench.now()).await.unwrap()
        };
        assert_eq!(waiting(&bench).await, 1);
        let mut tx = bench.store.write().await;
        assert!(tx.expire_due(bench.now(), 10).await.unwrap().is_empty());
        bench.clock.advance(Duration::from_secs(61));
        assert_eq!(waiting(&bench).await, 0, "it holds no place");
        let expired = tx.expire_due(bench.now(), 10).await.unwrap();
        assert_eq!(expired.len(), 1);
        assert_eq!(
            (expired[0].call_id, expired[0].number_key),
            (call.call_id, call.number_key)
        );
        assert!(tx.expire_due(bench.now(), 10).await.unwrap().is_empty());
        tx.commit().await.unwrap();
        assert_eq!(bench.call(call.call_id).await.state, CallState::Expired);
        assert!(bench.lease().await.is_empty());
    }

    pub async fn a_lease_that_nobody_heard_of_can_be_found(bench: Bench) {
        bench.callable(ANNA).await;
        let call = bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        let found = bench.store.read().await.leases_of(bench.me).await.unwrap();
        assert_eq!(found, [(call.call_id, leased.lease_epoch)]);
        let claimed = bench.gate.claim(bench.claim(&leased, None)).await.unwrap();
        assert!(matches!(claimed, Claimed::Permitted { .. }));
        assert!(
            bench
                .store
                .read()
                .await
                .leases_of(bench.me)
                .await
                .unwrap()
                .is_empty()
        );
    }

    pub async fn a_call_that_was_hung_up_in_the_queue_cannot_be_claimed(bench: Bench) {
        bench.callable(ANNA).await;
        let call = bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        let ended = bench
            .gate
            .hang_up(&bench.ask("agent"), call.call_id)
            .await
            .unwrap();
        assert_eq!(ended.state, CallState::Canceled);
        assert!(matches!(
            bench.gate.claim(bench.claim(&leased, None)).await.unwrap(),
            Claimed::Lost
        ));
    }

    pub async fn a_campaign_that_is_gone_dials_nothing(bench: Bench) {
        bench.callable(ANNA).await;
        bench.queued(ANNA).await;
        let leased = bench.lease().await.remove(0);
        let node = bench.again(Vec::new());
        let claimed = node.claim(bench.claim(&leased, None)).await.unwrap();
        let Claimed::Denied(decision) = claimed else {
            panic!("{claimed:?}")
        };
        assert_eq!(decision.judgement.denied_by, ["POLICY-campaign"]);
    }

    pub async fn a_further_claim_ends_the_old_attempt_and_counts_once(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, old) = bench.claimed(ANNA).await;
        bench.clock.advance(Duration::from_secs(4));
        let claimed = bench
            .gate
            .claim(bench.claim(&leased, Some(old)))
            .await
            .unwrap();
        let Claimed::Permitted {
            attempt_id: new, ..
        } = claimed
        else {
            panic!("{claimed:?}")
        };
        assert_ne!(old, new);
        let key = bench.store.key(phone(ANNA));
        assert_eq!(
            bench
                .store
                .read()
                .await
                .open_permits(&TenantId::default(), &key, &[])
                .await
                .unwrap(),
            [new]
        );
        // The old attempt is over, so neither it nor its lease can claim once more.
        assert!(matches!(
            bench
                .gate
                .claim(bench.claim(&leased, Some(old)))
                .await
                .unwrap(),
            Claimed::Lost
        ));
        assert!(matches!(
            bench.gate.claim(bench.claim(&leased, None)).await.unwrap(),
            Claimed::Lost
        ));
        bench.ended(&leased, new).await;
        assert_eq!(
            bench.call(leased.call.call_id).await.outcome,
            Some(Outcome::NoAnswer)
        );
        let mut question = bench.request(ANNA);
        (question.request_id, question.expire_time) = (None, None);
        let seen = bench.gate.check(question).await.unwrap();
        let stored = bench.decision(seen.decision_id).await;
        let case: dialgate::policy::facts::Case =
            serde_json::from_str(&stored.case_json.unwrap()).unwrap();
        assert_eq!(
            case.facts.attempts.len(),
            1,
            "one attempt, however many claims it took"
        );
    }

    pub async fn a_further_claim_after_an_opt_out_is_refused(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, old) = bench.claimed(ANNA).await;
        bench.close(old).await;
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(ANNA))
            .await
            .unwrap();
        let claimed = bench
            .gate
            .claim(bench.claim(&leased, Some(old)))
            .await
            .unwrap();
        assert!(matches!(claimed, Claimed::Denied(_)), "{claimed:?}");
        // The first claim may have been sent, so it ends the call, and it still can.
        assert_eq!(
            bench.call(leased.call.call_id).await.state,
            CallState::Claimed
        );
        bench.ended(&leased, old).await;
    }

    /// The wish is on record before its owner has heard of it.
    pub async fn a_further_claim_of_a_call_that_somebody_hung_up_is_lost(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, old) = bench.claimed(ANNA).await;
        let (call, tenant) = (leased.call.call_id, TenantId::default());
        let mut tx = bench.store.write().await;
        let asked = tx.request_hang_up(&tenant, call, bench.now()).await;
        assert_eq!(asked.unwrap(), Some(CallState::Claimed));
        tx.commit().await.unwrap();
        let claimed = bench.gate.claim(bench.claim(&leased, Some(old))).await;
        assert!(matches!(claimed.unwrap(), Claimed::Lost));
        assert_eq!(bench.call(call).await.attempt_id, Some(old));
        bench.ended(&leased, old).await;
    }

    /// Florida allows three calls in 24 hours on one subject (Fla. Stat. 501.616(6)(b)).
    pub async fn p11_caps_count_the_person_over_all_their_numbers_and_at_once(bench: Bench) {
        let numbers = [
            "+12395550141",
            "+12395550142",
            "+12395550143",
            "+12395550144",
        ];
        bench.contact(&numbers, "US-FL").await.unwrap();
        for number in numbers {
            bench.queued(number).await;
        }
        let leased = bench.lease().await;
        assert_eq!(leased.len(), 4);
        let node = bench.again(vec![crate::gate::bench::campaign("us", "US", "seller")]);
        let asked: Vec<_> = leased
            .iter()
            .enumerate()
            .map(|(n, leased)| {
                let gate = if n % 2 == 0 {
                    bench.gate.clone()
                } else {
                    node.clone()
                };
                let claim = bench.claim(leased, None);
                tokio::spawn(async move { gate.claim(claim).await })
            })
            .collect();
        let (mut permitted, mut denied) = (0, Vec::new());
        for answer in asked {
            match answer.await.unwrap().unwrap() {
                Claimed::Permitted { .. } => permitted += 1,
                Claimed::Denied(decision) => denied.extend(decision.judgement.denied_by),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(permitted, 3, "denied by {denied:?}");
        assert_eq!(denied.len(), 1, "{denied:?}");
    }
}
