//! What a person says through one of their numbers holds for all of them, in the answers and in the barrier.

use super::on_both;

on_both! {
    p02_an_opt_out_of_one_number_stops_the_persons_others,
    p02_an_opt_out_of_an_agent_stops_the_persons_other_numbers,
    p02_an_opt_out_follows_to_and_from_numbers_that_change_hands,
    p02_what_names_a_number_stays_with_it_and_hides_no_wish,
    p02_no_consent_opens_what_only_two_people_lift,
    p03_an_opt_out_waits_for_the_persons_other_calls,
    p03_an_opt_out_waits_for_who_was_given_the_number_meanwhile,
    a_claim_that_saw_the_opt_out_of_another_number_goes_on,
    p03_a_wish_outlives_the_link_whatever_the_clock_that_ends_it,
    p03_a_wrong_number_by_a_clock_that_is_behind_keeps_the_wish,
    p03_a_wish_outlives_a_link_that_is_being_ended,
    p03_in_doubt_whoever_gave_the_number_up_is_the_one_who_spoke,
    p03_an_opt_out_outranks_the_consent_before_it_of_who_is_found_to_hold_the_number,
    p03_an_opt_out_outranks_the_consent_before_it_of_who_is_given_the_number_meanwhile,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::decision::Verdict;
    use dialgate::domain::disposition::DispositionCode;
    use dialgate::domain::ids::CallId;
    use dialgate::domain::party::Party;
    use dialgate::domain::phone::Phone;
    use dialgate::domain::suppression::SuppressionReason;
    use dialgate::gate::{BARRIER_WAIT, Claimed, ContactDraft, NewDisposition, NewSuppression};
    use dialgate::store::{CancelCause, Engine, PartyDraft};

    use crate::gate::bench::{Bench, phone};
    use crate::support::builders::tenant;

    const DESK: &str = "+14045550161";
    const CELL: &str = "+14045550162";
    const HOME: &str = "+14045550163";

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(300);

    async fn denied(bench: &Bench, number: &str) -> Vec<dialgate::domain::Text> {
        bench.place(number).await.decision.judgement.denied_by
    }

    async fn opt_out(bench: &Bench, number: &str, reason: SuppressionReason) {
        let mut new = bench.opt_out(number);
        new.reason = reason;
        bench.gate.suppress(&bench.ask("admin"), new).await.unwrap();
    }

    async fn is_waiting(task: &mut tokio::task::JoinHandle<()>) -> bool {
        tokio::time::timeout(A_WHILE, task).await.is_err()
    }

    /// What the agent says of a call.
    async fn said(bench: &Bench, call_id: CallId, code: DispositionCode) {
        let said = NewDisposition {
            call_id,
            code,
            note: None,
            amends: None,
        };
        let ask = bench.ask("agent");
        bench.gate.record_disposition(&ask, said).await.unwrap();
    }

    /// Lets the barrier's wait pass until the opt-out is through: it begins with its commit, which may take a while.
    async fn passes(bench: &Bench, mut opt_out: tokio::task::JoinHandle<()>) {
        let through = async {
            loop {
                bench.clock.advance(BARRIER_WAIT);
                match tokio::time::timeout(A_WHILE, &mut opt_out).await {
                    Ok(ended) => return ended.unwrap(),
                    Err(_) => continue,
                }
            }
        };
        tokio::time::timeout(SOON, through).await.unwrap();
    }

    /// The person with these of the numbers they are given.
    fn with(party: &Party, of: &[&Party], numbers: &[&str]) -> PartyDraft {
        let kept: Vec<Phone> = numbers.iter().map(|number| phone(number)).collect();
        let known = of.iter().flat_map(|each| each.numbers.clone());
        PartyDraft {
            party_id: party.party_id,
            profile: party.profile.clone(),
            numbers: known.filter(|each| kept.contains(&each.number)).collect(),
        }
    }

    async fn record(bench: &Bench, draft: &PartyDraft) {
        bench.clock.advance(Duration::from_millis(1));
        let mut tx = bench.store.write().await;
        tx.upsert_party(&tenant(), draft, bench.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// RCW 80.36.390: all numbers of the person.
    pub async fn p02_an_opt_out_of_one_number_stops_the_persons_others(bench: Bench) {
        let (desk, cell) = ("+12065550161", "+12065550162");
        // Late enough for Seattle.
        bench.clock.advance(Duration::from_hours(4));
        bench.contact(&[desk, cell], "US-WA").await.unwrap();
        bench.queued(cell).await;
        let made = bench
            .gate
            .suppress(&bench.ask("ines"), bench.opt_out(desk))
            .await
            .unwrap();
        let both = ["US-internal-dnc", "US-WA-internal-dnc"];
        assert_eq!(denied(&bench, desk).await, both);
        assert_eq!(denied(&bench, cell).await, both);
        let leased = bench.lease().await;
        let claimed = bench.gate.claim(bench.claim(&leased[0], None)).await;
        assert!(matches!(claimed, Ok(Claimed::Denied(_))), "{claimed:?}");
        bench.lift(made.suppression_id).await;
        assert_eq!(
            bench.place(cell).await.decision.judgement.verdict,
            Verdict::Allow
        );
    }

    pub async fn p02_an_opt_out_of_an_agent_stops_the_persons_other_numbers(bench: Bench) {
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        bench.queued(CELL).await;
        let waiting = bench.lease().await;
        let (leased, _permit, attempt_id) = bench.claimed(DESK).await;
        bench.ended(&leased, attempt_id).await;
        said(
            &bench,
            leased.call.call_id,
            DispositionCode::OptOutThisSeller,
        )
        .await;
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
        let claimed = bench.gate.claim(bench.claim(&waiting[0], None)).await;
        assert!(matches!(claimed, Ok(Claimed::Denied(_))), "{claimed:?}");
        let mut other_seller = bench.request(CELL);
        other_seller.campaign_id = "other".to_owned();
        let placed = bench.gate.place(other_seller).await.unwrap();
        assert_eq!(placed.decision.judgement.verdict, Verdict::Allow);
    }

    pub async fn p02_an_opt_out_follows_to_and_from_numbers_that_change_hands(bench: Bench) {
        let anna = bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        let bert = bench.contact(&[HOME], "US-GA").await.unwrap();
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        record(&bench, &with(&anna, &[&anna], &[CELL])).await;
        assert_eq!(
            denied(&bench, CELL).await,
            ["US-internal-dnc"],
            "given up after the wish, which is not taken back by it"
        );
        assert!(denied(&bench, HOME).await.is_empty(), "another person");
        record(&bench, &with(&bert, &[&anna, &bert], &[DESK, HOME])).await;
        assert_eq!(
            denied(&bench, HOME).await,
            ["US-internal-dnc"],
            "found to be theirs later"
        );
        record(&bench, &with(&bert, &[&bert], &[HOME])).await;
        opt_out(&bench, CELL, SuppressionReason::PartyRequest).await;
        record(&bench, &with(&anna, &[&anna], &[])).await;
        let carl = bench.contact(&["+14045550164"], "US-GA").await.unwrap();
        record(
            &bench,
            &with(&carl, &[&carl, &anna], &["+14045550164", CELL]),
        )
        .await;
        record(&bench, &with(&carl, &[&carl], &["+14045550164"])).await;
        opt_out(&bench, CELL, SuppressionReason::Complaint).await;
        assert_eq!(
            denied(&bench, "+14045550164").await,
            ["US-internal-dnc"],
            "it was theirs after the first wish"
        );
    }

    pub async fn p02_what_names_a_number_stays_with_it_and_hides_no_wish(bench: Bench) {
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        let before = bench.now();
        bench.clock.advance(Duration::from_secs(1));
        for reason in [
            SuppressionReason::Registry,
            SuppressionReason::Internal,
            SuppressionReason::Litigator,
        ] {
            opt_out(&bench, DESK, reason).await;
        }
        let blocks = ["OPERATOR-block-internal", "OPERATOR-block-litigator"];
        let all = [&["US-internal-dnc"], &blocks[..]].concat();
        assert_eq!(denied(&bench, DESK).await, all);
        assert!(denied(&bench, CELL).await.is_empty());
        let mut told_late = bench.opt_out(DESK);
        told_late.received_at = Some(before);
        bench
            .gate
            .suppress(&bench.ask("admin"), told_late)
            .await
            .unwrap();
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
    }

    pub async fn p03_an_opt_out_waits_for_the_persons_other_calls(bench: Bench) {
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        bench.callable(HOME).await;
        let (_, _other, _) = bench.claimed(HOME).await;
        let (leased, _permit, attempt_id) = bench.claimed(CELL).await;
        let mut opt_out = bench.suppressing(DESK);
        assert!(is_waiting(&mut opt_out).await, "the cell may yet be dialed");
        let mut tx = bench.store.read().await;
        assert_eq!(
            tx.cancels_for(bench.me, bench.now()).await.unwrap(),
            [(attempt_id, leased.call.call_id, CancelCause::OptOut)],
            "what rings is cancelled, and nobody else's call"
        );
        drop(tx);
        bench.close(attempt_id).await;
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
        // Nothing of theirs is open any more, so nothing is waited for.
        tokio::time::timeout(SOON, bench.suppressing(DESK))
            .await
            .unwrap()
            .unwrap();
    }

    /// Whoever is given the number after the locks and before the commit was not locked.
    pub async fn p03_an_opt_out_waits_for_who_was_given_the_number_meanwhile(bench: Bench) {
        if bench.store.store.engine() == Engine::Sqlite {
            // A writer is alone there.
            return;
        }
        let anna = bench.callable(CELL).await;
        let (_, _permit, _) = bench.claimed(CELL).await;
        let mut given = bench.store.write().await;
        given
            .lock_numbers(&tenant(), &[bench.store.key(phone(DESK)).0])
            .await
            .unwrap();
        let mut both = with(&anna, &[&anna], &[CELL]);
        let desk = dialgate::domain::party::PartyNumber {
            number: phone(DESK),
            ..anna.numbers[0].clone()
        };
        both.numbers.push(desk);
        given
            .upsert_party(&tenant(), &both, bench.now())
            .await
            .unwrap();
        let mut opt_out = bench.suppressing(DESK);
        tokio::time::sleep(Duration::from_millis(100)).await;
        given.commit().await.unwrap();
        assert!(is_waiting(&mut opt_out).await);
        passes(&bench, opt_out).await;
    }

    pub async fn a_claim_that_saw_the_opt_out_of_another_number_goes_on(bench: Bench) {
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        let consent = bench.consent(CELL, ConsentAction::Given);
        bench
            .gate
            .record_consent(&bench.ask("admin"), consent)
            .await
            .unwrap();
        let (_, _permit, _) = bench.claimed(CELL).await;
        let mut tx = bench.store.read().await;
        let found = tx.cancels_for(bench.me, bench.now()).await.unwrap();
        assert!(found.is_empty(), "a newer permission had opened it again");
    }

    /// What the simulation sets clocks by; the worst that is promised to be survived.
    const FIVE_MINUTES: i64 = 300_000_000;

    /// The person keeps only these numbers, as told at a node whose clock is this far off.
    async fn keeps(bench: &Bench, party: &Party, numbers: &[&str], off: i64) {
        let kept = with(party, &[party], numbers);
        bench.clock.step_wall(off);
        let draft = ContactDraft {
            party_id: Some(party.party_id),
            profile: kept.profile,
            numbers: kept.numbers,
            etag: None,
            mask: Some(vec!["numbers".to_owned()]),
        };
        let ask = bench.ask("admin");
        bench.gate.upsert_contact(&ask, draft).await.unwrap();
        bench.clock.step_wall(-off);
    }

    pub async fn p03_a_wish_outlives_the_link_whatever_the_clock_that_ends_it(bench: Bench) {
        let anna = bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        bench.queued(CELL).await;
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        let waiting = bench.lease().await;
        bench.clock.advance(Duration::from_secs(1));
        keeps(&bench, &anna, &[CELL], -FIVE_MINUTES).await;
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
        let claimed = bench.gate.claim(bench.claim(&waiting[0], None)).await;
        assert!(matches!(claimed, Ok(Claimed::Denied(_))), "{claimed:?}");
        let key = bench.store.key(phone(CELL));
        let mut tx = bench.store.read().await;
        let covering = tx.covering(&tenant(), &[key], None, bench.now()).await;
        assert_eq!(covering.unwrap().len(), 1);
        drop(tx);
        // Somebody who was given the number after the wish, and gave it up by the same clock.
        let bert = bench.contact(&[HOME], "US-GA").await.unwrap();
        record(&bench, &with(&bert, &[&anna, &bert], &[DESK, HOME])).await;
        keeps(&bench, &bert, &[HOME], -FIVE_MINUTES).await;
        assert_eq!(denied(&bench, HOME).await, ["US-internal-dnc"]);
    }

    pub async fn p03_a_wrong_number_by_a_clock_that_is_behind_keeps_the_wish(bench: Bench) {
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        let (leased, _permit, attempt_id) = bench.claimed(DESK).await;
        bench.ended(&leased, attempt_id).await;
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        bench.clock.step_wall(-FIVE_MINUTES);
        said(&bench, leased.call.call_id, DispositionCode::WrongNumber).await;
        bench.clock.step_wall(FIVE_MINUTES);
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
    }

    /// The transaction that ends the link has looked for opt-outs before there was one, and commits after its answer.
    pub async fn p03_a_wish_outlives_a_link_that_is_being_ended(bench: Bench) {
        if bench.store.store.engine() == Engine::Sqlite {
            // A writer is alone there.
            return;
        }
        let anna = bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        let mut ending = bench.store.write().await;
        let behind = dialgate::domain::time::Micros(bench.now().0 - FIVE_MINUTES);
        ending
            .upsert_party(&tenant(), &with(&anna, &[&anna], &[CELL]), behind)
            .await
            .unwrap();
        tokio::time::timeout(SOON, bench.suppressing(DESK))
            .await
            .unwrap()
            .unwrap();
        ending.commit().await.unwrap();
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
    }

    /// What was told before the end and is recorded after it follows; the end's clock may have been behind.
    pub async fn p03_in_doubt_whoever_gave_the_number_up_is_the_one_who_spoke(bench: Bench) {
        let told_late = async |number: &str, told_at| {
            let mut new = bench.opt_out(number);
            new.received_at = Some(told_at);
            let ask = bench.ask("admin");
            bench.gate.suppress(&ask, new).await.unwrap();
        };
        let anna = bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        keeps(&bench, &anna, &[CELL], 0).await;
        let given_up = bench.now();
        bench.clock.advance(Duration::from_mins(30));
        told_late(DESK, given_up.plus(Duration::from_mins(20))).await;
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        assert!(denied(&bench, CELL).await.is_empty(), "told by a stranger");
        // The same as what is on record already, and told earlier.
        told_late(DESK, given_up.minus(Duration::from_mins(1))).await;
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
        let carl = bench
            .contact(&[HOME, "+14045550164"], "US-GA")
            .await
            .unwrap();
        keeps(&bench, &carl, &["+14045550164"], -FIVE_MINUTES).await;
        bench.clock.advance(Duration::from_mins(1));
        told_late(HOME, bench.now().minus(Duration::from_mins(2))).await;
        assert_eq!(denied(&bench, "+14045550164").await, ["US-internal-dnc"]);
    }

    async fn consents(bench: &Bench, number: &str) {
        let (ask, given) = (
            bench.ask("admin"),
            bench.consent(number, ConsentAction::Given),
        );
        bench.gate.record_consent(&ask, given).await.unwrap();
    }

    /// Of the person's own wish the law says which consent opens it; of what others said, nobody's consent.
    pub async fn p02_no_consent_opens_what_only_two_people_lift(bench: Bench) {
        use SuppressionReason::{Complaint, Court, Deceased, Internal, Minor, Objection};
        bench.contact(&[DESK, CELL], "US-GA").await.unwrap();
        opt_out(&bench, DESK, Objection).await;
        opt_out(&bench, DESK, Complaint).await;
        bench.clock.advance(Duration::from_mins(11));
        consents(&bench, DESK).await;
        consents(&bench, CELL).await;
        assert!(denied(&bench, DESK).await.is_empty());
        for (reason, of_person) in [
            (Court, true),
            (Minor, true),
            (Deceased, true),
            (Internal, false),
        ] {
            let told = bench.opt_out(DESK);
            let told = NewSuppression { reason, ..told };
            let told = bench
                .gate
                .suppress(&bench.ask("admin"), told)
                .await
                .unwrap();
            bench.clock.advance(Duration::from_mins(11));
            consents(&bench, DESK).await;
            consents(&bench, CELL).await;
            let block = format!("OPERATOR-block-{reason}");
            assert_eq!(denied(&bench, DESK).await, [&*block], "{reason}");
            let others = denied(&bench, CELL).await;
            assert_eq!(others == [&*block], of_person, "{reason} {others:?}");
            bench.lift(told.suppression_id).await;
            assert!(denied(&bench, DESK).await.is_empty(), "{reason}");
        }
    }

    /// The number of the wish, told at a node whose clock is behind, is nobody's known to hold the consent.
    pub async fn p03_an_opt_out_outranks_the_consent_before_it_of_who_is_found_to_hold_the_number(
        bench: Bench,
    ) {
        let anna = bench.contact(&[CELL], "US-GA").await.unwrap();
        let bert = bench.contact(&[DESK], "US-GA").await.unwrap();
        consents(&bench, CELL).await;
        bench.clock.advance(Duration::from_millis(1500));
        bench.clock.step_wall(-FIVE_MINUTES);
        opt_out(&bench, DESK, SuppressionReason::PartyRequest).await;
        bench.clock.step_wall(FIVE_MINUTES);
        assert!(denied(&bench, CELL).await.is_empty());
        let both = with(&anna, &[&anna, &bert], &[CELL, DESK]);
        record(&bench, &both).await;
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
        // What is said after that reopens it, and a record that is told again with the same numbers changes nothing.
        bench.clock.advance(Duration::from_mins(2));
        consents(&bench, CELL).await;
        record(&bench, &both).await;
        assert!(denied(&bench, CELL).await.is_empty());
        // Long after a wish no clock is in doubt.
        opt_out(&bench, HOME, SuppressionReason::PartyRequest).await;
        bench.clock.advance(Duration::from_mins(11));
        consents(&bench, CELL).await;
        let carl = bench.contact(&[HOME], "US-GA").await.unwrap();
        let all = with(&anna, &[&anna, &bert, &carl], &[CELL, DESK, HOME]);
        record(&bench, &all).await;
        assert!(denied(&bench, CELL).await.is_empty());
    }

    /// Neither transaction sees the other.
    pub async fn p03_an_opt_out_outranks_the_consent_before_it_of_who_is_given_the_number_meanwhile(
        bench: Bench,
    ) {
        if bench.store.store.engine() == Engine::Sqlite {
            // A writer is alone there.
            return;
        }
        let anna = bench.contact(&[CELL], "US-GA").await.unwrap();
        let bert = bench.contact(&[DESK], "US-GA").await.unwrap();
        consents(&bench, CELL).await;
        bench.clock.advance(Duration::from_millis(1500));
        let mut given = bench.store.write().await;
        let both = with(&anna, &[&anna, &bert], &[CELL, DESK]);
        given
            .upsert_party(&tenant(), &both, bench.now())
            .await
            .unwrap();
        bench.clock.step_wall(-FIVE_MINUTES);
        let mut opt_out = bench.suppressing(DESK);
        assert!(is_waiting(&mut opt_out).await, "the number is being given");
        // It could not have its lock for 250 ms, and then was committed.
        tokio::time::sleep(A_WHILE).await;
        given.commit().await.unwrap();
        passes(&bench, opt_out).await;
        bench.clock.step_wall(FIVE_MINUTES);
        assert_eq!(denied(&bench, CELL).await, ["US-internal-dnc"]);
    }
}
