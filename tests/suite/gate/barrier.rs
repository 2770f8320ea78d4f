//! P-03: an acknowledged opt-out is a barrier.

use super::on_both;

on_both! {
    p03_with_nothing_open_an_opt_out_is_answered_at_once,
    p03_an_opt_out_is_answered_at_once_though_every_connection_is_taken,
    p03_an_opt_out_waits_until_the_owner_closes_its_claim,
    p03_an_opt_out_waits_the_full_time_for_an_owner_that_is_silent,
    p03_an_opt_out_waits_no_longer_for_a_store_that_is_busy,
    p03_an_opt_out_of_a_person_waits_the_full_time,
    p03_only_what_an_opt_out_covers_is_cancelled,
    p03_a_wish_told_for_one_kind_of_call_stops_every_kind,
    p03_what_was_ended_by_mistake_is_cancelled_by_its_owner,
    p03_an_opt_out_of_a_person_is_not_held_up_by_a_change_of_them,
    p03_an_opt_out_that_is_there_already_waits_all_the_same,
    p03_the_same_request_again_waits_until_it_has_passed_and_then_no_more,
    p03_opt_outs_and_claims_at_once_leave_no_permit_behind_an_answer,
    p16_of_two_people_who_ask_for_a_lift_at_once_the_second_waits_for_the_first,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::call::{CallKind, EventDetail, Outcome};
    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::ids::TenantId;
    use dialgate::domain::suppression::{LiftRequest, SuppressionReason};
    use dialgate::gate::{BARRIER_WAIT, Claimed, GateError, NewSuppression};
    use dialgate::store::{AttemptEnd, CancelCause, Engine};

    use crate::gate::bench::{Bench, campaign, phone};

    const ANNA: &str = "+14045550141";

    /// The clock stands still, so whatever is answered now did not wait for time to pass.
    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(300);

    async fn is_waiting(task: &mut tokio::task::JoinHandle<()>) -> bool {
        tokio::time::timeout(A_WHILE, task).await.is_err()
    }

    pub async fn p03_with_nothing_open_an_opt_out_is_answered_at_once(bench: Bench) {
        tokio::time::timeout(SOON, bench.suppressing(ANNA))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(bench.audit().await, ["suppression.created"]);
    }

    /// On SQLite the readers; the writer is one, and goes to opt-outs first.
    pub async fn p03_an_opt_out_is_answered_at_once_though_every_connection_is_taken(bench: Bench) {
        bench.callable(ANNA).await;
        let mut taken = Vec::new();
        for _ in 0..bench.store.config.max_connections {
            taken.push(bench.store.read().await);
        }
        tokio::time::timeout(SOON, bench.suppressing(ANNA))
            .await
            .unwrap()
            .unwrap();
    }

    pub async fn p03_an_opt_out_waits_until_the_owner_closes_its_claim(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, _permit, attempt_id) = bench.claimed(ANNA).await;
        let mut opt_out = bench.suppressing(ANNA);
        assert!(is_waiting(&mut opt_out).await);
        let asked = bench
            .store
            .read()
            .await
            .cancels_for(bench.me, bench.now())
            .await
            .unwrap();
        assert_eq!(asked.len(), 1, "the owner is told to cancel");
        bench.close(attempt_id).await;
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
    }

    pub async fn p03_an_opt_out_waits_the_full_time_for_an_owner_that_is_silent(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, permit, _) = bench.claimed(ANNA).await;
        let mut opt_out = bench.suppressing(ANNA);
        assert!(is_waiting(&mut opt_out).await);
        bench.clock.advance(BARRIER_WAIT - Duration::from_millis(1));
        assert!(is_waiting(&mut opt_out).await);
        assert!(
            permit.check(bench.gate.read()).is_err(),
            "the permit is over before the opt-out is answered"
        );
        bench.clock.advance(Duration::from_millis(1));
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
    }

    /// It looks whether the claim is closed, and every connection that it could look by is taken.
    pub async fn p03_an_opt_out_waits_no_longer_for_a_store_that_is_busy(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, _permit, _) = bench.claimed(ANNA).await;
        let mut taken = Vec::new();
        for _ in 0..bench.store.config.max_connections {
            taken.push(bench.store.read().await);
        }
        let mut opt_out = bench.suppressing(ANNA);
        assert!(is_waiting(&mut opt_out).await);
        bench.clock.advance(BARRIER_WAIT);
        // One look may be under way, and is given up after the time that it was begun with.
        tokio::time::timeout(BARRIER_WAIT * 3 / 2, opt_out)
            .await
            .unwrap()
            .unwrap();
    }

    pub async fn p03_an_opt_out_of_a_person_waits_the_full_time(bench: Bench) {
        let party = bench.callable(ANNA).await;
        let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
        let mut new = bench.opt_out(ANNA);
        (new.number, new.party_id) = (None, Some(party.party_id));
        let mut opt_out =
            tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) });
        assert!(
            is_waiting(&mut opt_out).await,
            "nothing is open, but nobody can list what a person's numbers are"
        );
        bench.clock.advance(BARRIER_WAIT);
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
    }

    /// Somebody changes the person's record and has stopped in the middle of it.
    pub async fn p03_an_opt_out_of_a_person_is_not_held_up_by_a_change_of_them(bench: Bench) {
        let party = bench.callable(ANNA).await;
        if bench.store.store.engine() == Engine::Sqlite {
            // A writer is alone there.
            return;
        }
        let mut stuck = bench.store.write().await;
        stuck
            .party(&TenantId::default(), party.party_id)
            .await
            .unwrap();
        let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
        let mut new = bench.opt_out(ANNA);
        (new.number, new.party_id) = (None, Some(party.party_id));
        let mut opt_out =
            tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) });
        assert!(is_waiting(&mut opt_out).await);
        bench.clock.advance(BARRIER_WAIT);
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
        drop(stuck);
    }

    pub async fn p03_only_what_an_opt_out_covers_is_cancelled(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.close(attempt_id).await;
        let cancels = async |bench: &Bench| {
            let mut tx = bench.store.read().await;
            tx.cancels_for(bench.me, bench.now()).await.unwrap().len()
        };
        let mut other_seller = bench.opt_out(ANNA);
        other_seller.seller = Some("other-seller".to_owned());
        bench
            .gate
            .suppress(&bench.ask("admin"), other_seller)
            .await
            .unwrap();
        let mut other_kind = bench.opt_out(ANNA);
        other_kind.channels = vec![CallKind::Prerecorded];
        other_kind.reason = SuppressionReason::Litigator;
        bench
            .gate
            .suppress(&bench.ask("admin"), other_kind)
            .await
            .unwrap();
        assert_eq!(cancels(&bench).await, 0, "neither is about this call");
        let mut this_one = bench.opt_out(ANNA);
        this_one.seller = Some("seller".to_owned());
        this_one.channels = vec![CallKind::Prerecorded, CallKind::LiveManual];
        bench
            .gate
            .suppress(&bench.ask("admin"), this_one)
            .await
            .unwrap();
        assert_eq!(cancels(&bench).await, 1);
    }

    /// Whoever asks for no more recordings has asked not to be called, and has taken back what they had allowed.
    pub async fn p03_a_wish_told_for_one_kind_of_call_stops_every_kind(bench: Bench) {
        bench.callable(ANNA).await;
        let consent = bench.consent(ANNA, ConsentAction::Given);
        let ask = bench.ask("admin");
        bench.gate.record_consent(&ask, consent).await.unwrap();
        let (_leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        let mut wish = bench.opt_out(ANNA);
        wish.channels = vec![CallKind::Prerecorded];
        let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
        let told = tokio::spawn(async move { gate.suppress(&ask, wish).await.unwrap() });
        // Its owner finds it and gives the permit up.
        let cause = loop {
            let mut tx = bench.store.read().await;
            let found = tx.cancels_for(bench.me, bench.now()).await.unwrap();
            if let Some((_, _, cause)) = found.first() {
                break *cause;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(cause, CancelCause::OptOut);
        bench.close(attempt_id).await;
        let recorded = tokio::time::timeout(SOON, told).await.unwrap().unwrap();
        assert!(recorded.channels.is_empty(), "{recorded:?}");
        let mut request = bench.request(ANNA);
        request.call_kind = CallKind::LiveManual;
        let judged = bench.gate.check(request).await.unwrap().judgement;
        let denied = judged.denied_by.contains(&"US-internal-dnc".into());
        assert!(denied, "{:?}", judged.denied_by);
        // What the number alone is listed for keeps to the kinds named, also on record.
        let mut listed = bench.opt_out("+14045550142");
        (listed.channels, listed.reason) =
            (vec![CallKind::Prerecorded], SuppressionReason::Litigator);
        let listed = bench.gate.suppress(&bench.ask("admin"), listed).await;
        assert_eq!(listed.unwrap().channels, [CallKind::Prerecorded]);
    }

    /// A sweeper may think a living owner dead. The log then says that the call is over, so its owner must end it: no
    /// later opt-out would find it.
    pub async fn p03_what_was_ended_by_mistake_is_cancelled_by_its_owner(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        let mut tx = bench.store.write().await;
        let outcome = Outcome::InterruptedUnknown;
        let end = AttemptEnd {
            attempt_id,
            call_id: leased.call.call_id,
            outcome,
            counts_as: None,
            detail: EventDetail::default(),
            at: bench.now(),
            permit_gone: false,
        };
        assert!(tx.end_attempt(&TenantId::default(), &end).await.unwrap());
        tx.commit().await.unwrap();
        let found = bench
            .store
            .read()
            .await
            .cancels_for(bench.me, bench.now())
            .await
            .unwrap();
        let cause = CancelCause::TakenForDead;
        assert_eq!(found, [(attempt_id, leased.call.call_id, cause)]);
    }

    pub async fn p03_an_opt_out_that_is_there_already_waits_all_the_same(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, _permit, _) = bench.claimed(ANNA).await;
        let received_at = Some(bench.now());
        let telling = || {
            let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
            let new = NewSuppression {
                received_at,
                ..bench.opt_out(ANNA)
            };
            tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) })
        };
        let mut first = telling();
        assert!(is_waiting(&mut first).await);
        let mut second = telling();
        assert!(is_waiting(&mut second).await);
        bench.clock.advance(BARRIER_WAIT);
        for opt_out in [first, second] {
            tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
        }
        let kinds = bench.audit().await;
        assert_eq!(
            kinds
                .iter()
                .filter(|kind| *kind == "suppression.created")
                .count(),
            1
        );
        assert_eq!(
            kinds
                .iter()
                .filter(|kind| *kind == "suppression.repeated")
                .count(),
            1
        );
    }

    pub async fn p03_the_same_request_again_waits_until_it_has_passed_and_then_no_more(
        bench: Bench,
    ) {
        bench.callable(ANNA).await;
        let (_, _permit, _) = bench.claimed(ANNA).await;
        let (ask, new) = (bench.ask("admin"), bench.opt_out(ANNA));
        // The client goes away before the answer: what was recorded has not passed.
        let gone = tokio::time::timeout(A_WHILE, bench.gate.suppress(&ask, new.clone())).await;
        assert!(gone.is_err());
        let (gate, ask_again, new_again) = (bench.gate.clone(), ask.clone(), new.clone());
        let mut again =
            tokio::spawn(async move { drop(gate.suppress(&ask_again, new_again).await.unwrap()) });
        assert!(is_waiting(&mut again).await);
        bench.clock.advance(BARRIER_WAIT);
        tokio::time::timeout(SOON, again).await.unwrap().unwrap();
        tokio::time::timeout(SOON, bench.gate.suppress(&ask, new))
            .await
            .unwrap()
            .unwrap();
        let key = bench.store.key(phone(ANNA));
        let covering = bench
            .store
            .read()
            .await
            .covering(&TenantId::default(), &[key], None, bench.now())
            .await
            .unwrap();
        assert_eq!(covering.len(), 1, "one row, however often it was asked");
    }

    /// Real time, two nodes: whenever an opt-out is answered, no permit made before it is alive and none is made after.
    pub async fn p03_opt_outs_and_claims_at_once_leave_no_permit_behind_an_answer(bench: Bench) {
        let node = bench.again(vec![campaign("us", "US", "seller")]);
        for round in 0..8u32 {
            let number = format!("+140455501{:02}", 50 + round);
            bench.callable(&number).await;
            bench.queued(&number).await;
            let leased = bench.lease().await.remove(0);
            let gate = if round % 2 == 0 {
                node.clone()
            } else {
                bench.gate.clone()
            };
            let claim = bench.claim(&leased, None);
            let claiming = tokio::spawn(async move { gate.claim(claim).await.unwrap() });
            let opt_out = bench.suppressing(&number);
            let claimed = claiming.await.unwrap();
            match claimed {
                Claimed::Permitted { permit, attempt_id } => {
                    let key = bench.store.key(phone(&number));
                    let covered = bench
                        .store
                        .read()
                        .await
                        .covering(&TenantId::default(), &[key], None, bench.now())
                        .await
                        .unwrap();
                    if !covered.is_empty() {
                        assert!(
                            !opt_out.is_finished(),
                            "answered while a permit that did not see it is alive"
                        );
                    }
                    assert!(permit.check(bench.gate.read()).is_ok());
                    bench.close(attempt_id).await;
                }
                Claimed::Denied(_) => {}
                other => panic!("{other:?}"),
            }
            tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
            assert_eq!(
                bench.place(&number).await.decision.judgement.denied_by,
                ["US-internal-dnc"]
            );
        }
    }

    /// The second reads the row while the first one's wish is not yet committed, and must not record another wish.
    pub async fn p16_of_two_people_who_ask_for_a_lift_at_once_the_second_waits_for_the_first(
        bench: Bench,
    ) {
        let ask = bench.ask("admin");
        let opted = bench.gate.suppress(&ask, bench.opt_out(ANNA)).await;
        let id = opted.unwrap().suppression_id;
        let mut first = bench.store.write().await;
        let wish = LiftRequest {
            at: bench.now(),
            requested_by: "key:first".to_owned(),
            reason: "asked to be called again".to_owned(),
            evidence_ref: "letter 3".to_owned(),
            evidence_at: Some(bench.now()),
        };
        assert!(
            first
                .request_lift(&TenantId::default(), id, &wish)
                .await
                .unwrap()
        );
        let (gate, ask, permitted) = (bench.gate.clone(), bench.ask("second"), bench.permitted());
        let mut second = tokio::spawn(async move { gate.lift(&ask, id, permitted).await });
        assert!(
            tokio::time::timeout(A_WHILE, &mut second).await.is_err(),
            "it waits for the row"
        );
        first.commit().await.unwrap();
        let answer = tokio::time::timeout(SOON, second).await.unwrap().unwrap();
        assert!(matches!(answer, Err(GateError::SecondApproverRequired)));
        assert_eq!(bench.audit().await, ["suppression.created"]);
    }
}
