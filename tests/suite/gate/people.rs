//! Consents, contacts, dispositions and lifts.

use super::on_both;

on_both! {
    a_lift_takes_two_people,
    a_permission_from_before_the_opt_out_lifts_nothing,
    p16_of_two_who_ask_for_a_lift_at_once_one_is_written_down,
    what_a_register_said_cannot_be_lifted,
    a_persons_wish_never_expires,
    an_opt_out_of_one_seller_leaves_the_other,
    p02_an_opt_out_said_again_after_a_consent_binds_anew,
    p03_an_opt_out_by_a_clock_that_is_behind_outranks_the_consent_before_it,
    a_withdrawal_by_a_clock_that_is_behind_outranks_the_consent_before_it,
    p03_an_opt_out_of_a_stated_time_outranks_the_consent_before_it,
    a_wish_told_late_keeps_its_place_among_consents,
    p03_a_consent_told_late_does_not_outrank_a_clock_that_is_behind,
    p03_what_a_clock_that_is_behind_takes_for_now_may_be_minutes_old,
    p03_a_consent_told_late_does_not_outrank_a_withdrawal_by_a_clock_that_is_behind,
    consent_is_recorded_and_withdrawn,
    a_contact_is_merged_masked_and_guarded_by_its_etag,
    two_people_on_one_number_must_be_told_apart,
    an_opt_out_among_dispositions_stops_further_calls,
    of_two_first_words_at_once_one_stands,
    p02_an_opt_out_of_an_agent_is_not_held_up_by_the_calls_own_end,
    a_correction_may_add_an_opt_out_and_never_removes_one,
    a_wrong_number_leaves_the_person,
    p16_every_effect_has_its_entry,
}

mod tests {
    use dialgate::domain::call::{EventDetail, Outcome};
    use std::time::Duration;

    use dialgate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm};
    use dialgate::domain::decision::Verdict;
    use dialgate::domain::disposition::DispositionCode;
    use dialgate::domain::ids::{DispositionId, PartyId};
    use dialgate::domain::party::{LineType, PartyNumber, Profile};
    use dialgate::domain::suppression::{Suppression, SuppressionReason, SuppressionSubject};
    use dialgate::domain::time::Micros;
    use dialgate::gate::{ContactDraft, GateError, LiftStep, NewConsent, NewDisposition};
    use dialgate::store::{AttemptEnd, Engine, PartyDraft};
    use serde_json::Value;

    use crate::gate::bench::{Bench, phone};
    use crate::support::builders::{suppression, tenant};

    const ANNA: &str = "+14045550141";

    async fn opted_out(bench: &Bench) -> Suppression {
        let ask = bench.ask("ines");
        bench
            .gate
            .suppress(&ask, bench.opt_out(ANNA))
            .await
            .unwrap()
    }

    pub async fn a_lift_takes_two_people(bench: Bench) {
        bench.callable(ANNA).await;
        let id = opted_out(&bench).await.suppression_id;
        let omar = bench.approver("omar");
        let nothing = bench.gate.lift(&omar, id, LiftStep::Approve).await;
        assert!(matches!(nothing, Err(GateError::LiftNotRequested)));
        let (ines, permitted) = (bench.ask("ines"), bench.permitted());
        let asked = bench.gate.lift(&ines, id, permitted.clone()).await.unwrap();
        assert!(asked.lift.is_none() && asked.lift_request.is_some());
        assert_eq!(
            bench.gate.lift(&ines, id, permitted.clone()).await.unwrap(),
            asked,
            "the same request again"
        );
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.verdict,
            Verdict::Deny,
            "it binds until approved"
        );
        for administrator in ["ines", "omar"] {
            let ask = bench.ask(administrator);
            let alone = bench.gate.lift(&ask, id, permitted.clone()).await;
            assert!(matches!(alone, Err(GateError::SecondApproverRequired)));
        }
        let eva = bench.approver("eva");
        let agreed = bench.gate.lift(&eva, id, LiftStep::Approve).await;
        let lifted = agreed.unwrap().lift.unwrap();
        assert_ne!(lifted.requested_by, lifted.approved_by);
        let asked = asked.lift_request.unwrap();
        assert_eq!(
            (&lifted.evidence_ref, lifted.evidence_at),
            (&asked.evidence_ref, asked.evidence_at)
        );
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.verdict,
            Verdict::Allow
        );
        let kinds = bench.audit().await;
        assert!(
            kinds.ends_with(&["suppression.lifted".to_owned(), "decision".to_owned()]),
            "{kinds:?}"
        );
    }

    pub async fn a_permission_from_before_the_opt_out_lifts_nothing(bench: Bench) {
        let before = bench.permitted();
        let made = opted_out(&bench).await;
        let LiftStep::Ask(mut same) = before.clone() else {
            unreachable!()
        };
        same.evidence_at = made.received_at;
        for step in [before, LiftStep::Ask(same)] {
            let ines = bench.ask("ines");
            let refused = bench.gate.lift(&ines, made.suppression_id, step).await;
            let refused = refused.unwrap_err();
            assert!(
                matches!(&refused, GateError::Invalid { field, .. } if field == "evidence_time"),
                "{refused}"
            );
        }
        assert_eq!(bench.audit().await, ["suppression.created"]);
    }

    pub async fn p16_of_two_who_ask_for_a_lift_at_once_one_is_written_down(bench: Bench) {
        const ROUNDS: usize = 12;
        for round in 0..ROUNDS {
            let new = bench.opt_out(&format!("+140455501{:02}", 50 + round));
            let made = bench.gate.suppress(&bench.ask("ines"), new).await.unwrap();
            let (ines, omar) = (bench.ask("ines"), bench.ask("omar"));
            let id = made.suppression_id;
            let permitted = bench.permitted();
            let (one, other) = tokio::join!(
                bench.gate.lift(&ines, id, permitted.clone()),
                bench.gate.lift(&omar, id, permitted.clone())
            );
            assert!(one.is_ok() != other.is_ok());
        }
        let kinds = bench.audit().await;
        let asked = kinds
            .iter()
            .filter(|kind| *kind == "suppression.lift_requested");
        assert_eq!(asked.count(), ROUNDS);
    }

    pub async fn what_a_register_said_cannot_be_lifted(bench: Bench) {
        let mut new = bench.opt_out(ANNA);
        new.reason = SuppressionReason::Registry;
        let made = bench.gate.suppress(&bench.ask("ines"), new).await.unwrap();
        let refused = bench
            .gate
            .lift(&bench.ask("omar"), made.suppression_id, bench.permitted())
            .await
            .unwrap_err();
        assert!(matches!(refused, GateError::Invalid { .. }), "{refused}");
    }

    pub async fn a_persons_wish_never_expires(bench: Bench) {
        let mut new = bench.opt_out(ANNA);
        new.expires_at = Some(bench.now().plus(std::time::Duration::from_secs(1)));
        let refused = bench
            .gate
            .suppress(&bench.ask("ines"), new.clone())
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, GateError::Invalid { field, .. } if field == "expire_time"),
            "{refused}"
        );
        bench.callable(ANNA).await;
        new.reason = SuppressionReason::Internal;
        bench.gate.suppress(&bench.ask("ines"), new).await.unwrap();
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.verdict,
            Verdict::Deny
        );
        bench.clock.advance(std::time::Duration::from_secs(2));
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.verdict,
            Verdict::Allow
        );
    }

    pub async fn an_opt_out_of_one_seller_leaves_the_other(bench: Bench) {
        bench.callable(ANNA).await;
        let mut new = bench.opt_out(ANNA);
        new.seller = Some("seller".to_owned());
        bench.gate.suppress(&bench.ask("ines"), new).await.unwrap();
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
        let mut request = bench.request(ANNA);
        request.campaign_id = "other".to_owned();
        assert!(bench.gate.place(request).await.unwrap().call.is_some());
    }

    /// A signed consent reopens what an earlier opt-out closed. Who opts out once more is not "on the list already".
    pub async fn p02_an_opt_out_said_again_after_a_consent_binds_anew(bench: Bench) {
        bench.callable(ANNA).await;
        let opt_out = async || {
            let (ask, new) = (bench.ask("admin"), bench.opt_out(ANNA));
            bench.gate.suppress(&ask, new).await.unwrap();
        };
        opt_out().await;
        let signed = NewConsent {
            form: Some(ConsentForm::Written),
            ..bench.consent(ANNA, ConsentAction::Given)
        };
        bench
            .gate
            .record_consent(&bench.ask("admin"), signed)
            .await
            .unwrap();
        let reopened = bench.place(ANNA).await.decision.judgement;
        assert_eq!(reopened.verdict, Verdict::Allow, "{:?}", reopened.denied_by);
        opt_out().await;
        let denied = bench.place(ANNA).await.decision.judgement.denied_by;
        assert!(denied.contains(&"US-internal-dnc".into()), "{denied:?}");
    }

    pub async fn p03_an_opt_out_by_a_clock_that_is_behind_outranks_the_consent_before_it(
        bench: Bench,
    ) {
        const FIVE_MINUTES: i64 = 300_000_000;
        bench.callable(ANNA).await;
        let (ask, given) = (
            bench.ask("admin"),
            bench.consent(ANNA, ConsentAction::Given),
        );
        bench.gate.record_consent(&ask, given).await.unwrap();
        bench.clock.step_wall(-FIVE_MINUTES);
        let (ask, new) = (bench.ask("admin"), bench.opt_out(ANNA));
        bench.gate.suppress(&ask, new).await.unwrap();
        bench.clock.step_wall(FIVE_MINUTES);
        let denied = bench.place(ANNA).await.decision.judgement.denied_by;
        assert!(denied.contains(&"US-internal-dnc".into()), "{denied:?}");
    }

    pub async fn a_withdrawal_by_a_clock_that_is_behind_outranks_the_consent_before_it(
        bench: Bench,
    ) {
        bench.callable(ANNA).await;
        let record = |action| {
            let (gate, ask, told) = (
                bench.gate.clone(),
                bench.ask("admin"),
                bench.consent(ANNA, action),
            );
            async move { gate.record_consent(&ask, told).await }
        };
        let given = record(ConsentAction::Given).await.unwrap();
        bench.clock.step_wall(-300_000_000);
        let gone = record(ConsentAction::Withdrawn).await.unwrap();
        assert!(gone.recorded_at < given.at && given.at <= gone.at);
    }

    /// Recorded by a node whose clock is this far off: given then, or as it is recorded.
    async fn act(
        bench: &Bench,
        off: i64,
        action: ConsentAction,
        at: Option<Micros>,
    ) -> Result<ConsentEvent, GateError> {
        bench.clock.step_wall(off);
        let told = NewConsent {
            at,
            ..bench.consent(ANNA, action)
        };
        let ask = bench.ask("admin");
        let recorded = bench.gate.record_consent(&ask, told).await;
        bench.clock.step_wall(-off);
        recorded
    }

    async fn opts_out_at(bench: &Bench, received_at: Micros) {
        let mut new = bench.opt_out(ANNA);
        new.received_at = Some(received_at);
        let ask = bench.ask("admin");
        bench.gate.suppress(&ask, new).await.unwrap();
    }

    async fn is_reopened(bench: &Bench) -> bool {
        let judged = bench.place(ANNA).await.decision.judgement;
        !judged.denied_by.contains(&"US-internal-dnc".into())
    }

    pub async fn p03_an_opt_out_of_a_stated_time_outranks_the_consent_before_it(bench: Bench) {
        const MINUTE: i64 = 60_000_000;
        let half_a_second = Duration::from_millis(500);
        bench.callable(ANNA).await;
        for (off, later) in [(15, 2), (300, 2), (300, 280), (-300, 2)] {
            act(&bench, off * MINUTE / 60, ConsentAction::Given, None)
                .await
                .unwrap();
            bench.clock.advance(Duration::from_secs(later));
            opts_out_at(&bench, bench.now().minus(half_a_second)).await;
            assert!(!is_reopened(&bench).await, "{off} {later}");
            // When the clock of the consent's node is no longer ahead.
            bench.clock.advance(Duration::from_mins(11));
            assert!(!is_reopened(&bench).await, "{off} {later}");
        }
        // So with a withdrawal.
        let given = act(&bench, 5 * MINUTE, ConsentAction::Given, None).await;
        bench.clock.advance(Duration::from_secs(2));
        let at = Some(bench.now().minus(half_a_second));
        let gone = act(&bench, 0, ConsentAction::Withdrawn, at).await;
        assert!(given.unwrap().at <= gone.unwrap().at);
    }

    pub async fn a_wish_told_late_keeps_its_place_among_consents(bench: Bench) {
        let before = |hours| bench.now().minus(Duration::from_hours(hours));
        bench.callable(ANNA).await;
        act(&bench, 0, ConsentAction::Given, Some(before(24)))
            .await
            .unwrap();
        opts_out_at(&bench, before(24 * 7)).await;
        assert!(is_reopened(&bench).await, "the consent came after it");
        opts_out_at(&bench, before(12)).await;
        assert!(!is_reopened(&bench).await, "it came after the consent");
        // Both stated long after: five minutes are an order too.
        let at = before(6);
        act(&bench, 0, ConsentAction::Given, Some(at))
            .await
            .unwrap();
        opts_out_at(&bench, at.minus(Duration::from_mins(5))).await;
        assert!(is_reopened(&bench).await);
    }

    pub async fn p03_a_consent_told_late_does_not_outrank_a_clock_that_is_behind(bench: Bench) {
        const FIVE_MINUTES: i64 = 300_000_000;
        bench.callable(ANNA).await;
        let said = bench.now();
        bench.clock.advance(Duration::from_mins(2));
        bench.clock.step_wall(-FIVE_MINUTES);
        let (ask, new) = (bench.ask("admin"), bench.opt_out(ANNA));
        bench.gate.suppress(&ask, new).await.unwrap();
        bench.clock.step_wall(FIVE_MINUTES);
        bench.clock.advance(Duration::from_secs(10));
        let late = act(&bench, 0, ConsentAction::Given, Some(said)).await;
        assert!(
            matches!(&late, Err(GateError::Invalid { field, .. }) if field == "event_time"),
            "{late:?}"
        );
        // As it happens, and of long after.
        act(&bench, 0, ConsentAction::Given, None).await.unwrap();
        assert!(is_reopened(&bench).await);
        bench.clock.advance(Duration::from_mins(30));
        let then = Some(bench.now().minus(Duration::from_mins(15)));
        act(&bench, 0, ConsentAction::Given, then).await.unwrap();
    }

    /// One node, five minutes behind: the opt-out by its clock, then a consent that came five minutes before, as stated.
    pub async fn p03_what_a_clock_that_is_behind_takes_for_now_may_be_minutes_old(bench: Bench) {
        bench.callable(ANNA).await;
        bench.clock.step_wall(-300_000_000);
        let (ask, new) = (bench.ask("admin"), bench.opt_out(ANNA));
        bench.gate.suppress(&ask, new).await.unwrap();
        bench.clock.advance(Duration::from_secs(4));
        for ago in [Duration::from_secs(1), Duration::ZERO] {
            let at = Some(bench.now().minus(ago));
            let stated = act(&bench, 0, ConsentAction::Given, at).await;
            assert!(
                matches!(&stated, Err(GateError::Invalid { field, .. }) if field == "event_time"),
                "{stated:?}"
            );
        }
        assert!(!is_reopened(&bench).await);
        act(&bench, 0, ConsentAction::Given, None).await.unwrap();
        assert!(is_reopened(&bench).await);
    }

    pub async fn p03_a_consent_told_late_does_not_outrank_a_withdrawal_by_a_clock_that_is_behind(
        bench: Bench,
    ) {
        const FIVE_MINUTES: i64 = 300_000_000;
        bench.callable(ANNA).await;
        let said = bench.now();
        bench.clock.advance(Duration::from_mins(2));
        let gone = act(&bench, -FIVE_MINUTES, ConsentAction::Withdrawn, None).await;
        assert!(gone.unwrap().at < said);
        bench.clock.advance(Duration::from_secs(10));
        let late = act(&bench, 0, ConsentAction::Given, Some(said)).await;
        assert!(
            matches!(&late, Err(GateError::Invalid { field, .. }) if field == "event_time"),
            "{late:?}"
        );
        // Towards another seller, and to this one as it happens.
        let other = NewConsent {
            at: Some(said),
            seller: "other-seller".to_owned(),
            ..bench.consent(ANNA, ConsentAction::Given)
        };
        let ask = bench.ask("admin");
        bench.gate.record_consent(&ask, other).await.unwrap();
        act(&bench, 0, ConsentAction::Given, None).await.unwrap();
    }

    pub async fn consent_is_recorded_and_withdrawn(bench: Bench) {
        let given = bench
            .gate
            .record_consent(
                &bench.ask("ines"),
                bench.consent(ANNA, ConsentAction::Given),
            )
            .await
            .unwrap();
        let ask = bench.ask("ines");
        let gone = bench
            .gate
            .record_consent(&ask, bench.consent(ANNA, ConsentAction::Withdrawn))
            .await
            .unwrap();
        assert_eq!(
            given.party_id, gone.party_id,
            "the number got one person of its own"
        );
        let again = bench
            .gate
            .record_consent(&ask, bench.consent(ANNA, ConsentAction::Withdrawn))
            .await
            .unwrap();
        assert_eq!(again, gone);
        let mut late = bench.consent(ANNA, ConsentAction::Given);
        late.at = Some(bench.now().plus(std::time::Duration::from_secs(1)));
        let refused = bench
            .gate
            .record_consent(&bench.ask("ines"), late)
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, GateError::Invalid { field, .. } if field == "event_time"),
            "{refused}"
        );
        assert_eq!(bench.audit().await, ["consent.given", "consent.withdrawn"]);
    }

    pub async fn a_contact_is_merged_masked_and_guarded_by_its_etag(bench: Bench) {
        let first = bench.callable(ANNA).await;
        let named = |name: Option<&str>, mask: Option<&[&str]>, etag: Option<&str>| ContactDraft {
            party_id: Some(first.party_id),
            profile: Profile {
                display_name: name.map(str::to_owned),
                ..Profile::default()
            },
            numbers: Vec::new(),
            etag: etag.map(str::to_owned),
            mask: mask.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect()),
        };
        let second = bench
            .gate
            .upsert_contact(&bench.ask("a"), named(Some("Anna"), None, None))
            .await
            .unwrap();
        assert_eq!(second.profile.display_name.as_deref(), Some("Anna"));
        assert_eq!(
            second.profile.audience, first.profile.audience,
            "what is not set stays"
        );
        assert_eq!(second.numbers, first.numbers);
        assert_ne!(second.etag, first.etag);
        let stale = bench
            .gate
            .upsert_contact(&bench.ask("a"), named(Some("B"), None, Some(&first.etag)))
            .await;
        assert!(matches!(stale.unwrap_err(), GateError::EtagMismatch));
        let cleared = named(None, Some(&["display_name"]), Some(&second.etag));
        let third = bench
            .gate
            .upsert_contact(&bench.ask("a"), cleared)
            .await
            .unwrap();
        assert_eq!(third.profile.display_name, None);
        let wrong = bench
            .gate
            .upsert_contact(&bench.ask("a"), named(None, Some(&["shoe_size"]), None))
            .await
            .unwrap_err();
        assert!(
            matches!(&wrong, GateError::Invalid { field, .. } if field == "update_mask"),
            "{wrong}"
        );
        let unknown = ContactDraft {
            party_id: Some(PartyId::new(bench.now())),
            ..named(None, None, None)
        };
        let missing = bench
            .gate
            .upsert_contact(&bench.ask("a"), unknown)
            .await
            .unwrap_err();
        assert!(matches!(missing, GateError::NotFound { .. }));
    }

    pub async fn two_people_on_one_number_must_be_told_apart(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let mut tx = bench.store.write().await;
        let number = PartyNumber {
            number: phone(ANNA),
            line_type: LineType::Landline,
            registers: Vec::new(),
            reassigned_check: None,
        };
        let ben = PartyId::new(bench.now());
        let draft = PartyDraft {
            party_id: ben,
            profile: Profile::default(),
            numbers: vec![number],
        };
        tx.upsert_party(&tenant(), &draft, bench.now())
            .await
            .unwrap();
        // The line is the same, and so is what registers say of it; what he wants is not.
        let wish = suppression(SuppressionSubject::Party(ben));
        tx.insert_suppression(&tenant(), &wish).await.unwrap();
        tx.commit().await.unwrap();
        let refused = bench.gate.place(bench.request(ANNA)).await.unwrap_err();
        assert!(matches!(refused, GateError::PartyAmbiguous));
        for (party_id, allowed) in [(anna.party_id, true), (ben, false)] {
            let mut request = bench.request(ANNA);
            request.party_id = Some(party_id);
            assert_eq!(
                bench.gate.place(request).await.unwrap().call.is_some(),
                allowed
            );
        }
        let mut request = bench.request(ANNA);
        request.party_id = Some(PartyId::new(bench.now()));
        assert!(matches!(
            bench.gate.place(request).await.unwrap_err(),
            GateError::Invalid { .. }
        ));
    }

    fn said(leased: &dialgate::store::Leased, code: DispositionCode) -> NewDisposition {
        NewDisposition {
            call_id: leased.call.call_id,
            code,
            note: None,
            amends: None,
        }
    }

    pub async fn an_opt_out_among_dispositions_stops_further_calls(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        let ask = bench.ask("agent");
        let new = said(&leased, DispositionCode::OptOutAll);
        let first = bench
            .gate
            .record_disposition(&ask, new.clone())
            .await
            .unwrap();
        assert!(first.suppression_id.is_some());
        assert_eq!(
            bench
                .gate
                .record_disposition(&ask, new.clone())
                .await
                .unwrap(),
            first,
            "the same request again"
        );
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
        let again = said(&leased, DispositionCode::Gatekeeper);
        let again = bench
            .gate
            .record_disposition(&bench.ask("agent"), again)
            .await
            .unwrap_err();
        assert!(matches!(again, GateError::DispositionExists), "{again}");
        let stop = bench
            .gate
            .record_disposition(&bench.ask("agent"), new)
            .await
            .unwrap();
        assert_eq!(
            stop.amends,
            Some(first.disposition_id),
            "an opt-out is never refused"
        );
        assert!(stop.suppression_id.is_some() && stop.at > first.at);
    }

    pub async fn of_two_first_words_at_once_one_stands(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        let (one, other) = (bench.ask("a"), bench.ask("b"));
        let (first, second) = tokio::join!(
            bench
                .gate
                .record_disposition(&one, said(&leased, DispositionCode::Gatekeeper)),
            bench
                .gate
                .record_disposition(&other, said(&leased, DispositionCode::MeetingBooked)),
        );
        assert_eq!(
            usize::from(first.is_ok()) + usize::from(second.is_ok()),
            1,
            "{first:?} {second:?}"
        );
        let mut tx = bench.store.read().await;
        let said = tx.dispositions_of(&tenant(), leased.call.call_id).await;
        assert_eq!(said.unwrap().len(), 1);
    }

    /// The worker writes the call's outcome and has stopped in the middle of it.
    pub async fn p02_an_opt_out_of_an_agent_is_not_held_up_by_the_calls_own_end(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _, attempt_id) = bench.claimed(ANNA).await;
        bench.close(attempt_id).await;
        if bench.store.store.engine() == Engine::Sqlite {
            // A writer is alone there.
            return;
        }
        let mut stuck = bench.store.write().await;
        let end = AttemptEnd {
            attempt_id,
            call_id: leased.call.call_id,
            outcome: Outcome::NoAnswer,
            counts_as: None,
            detail: EventDetail::default(),
            at: bench.now(),
            permit_gone: true,
        };
        assert!(stuck.end_attempt(&tenant(), &end).await.unwrap());
        for (code, recorded) in [
            (DispositionCode::Gatekeeper, false),
            (DispositionCode::OptOutAll, true),
        ] {
            let ask = bench.ask("a");
            let told = bench
                .gate
                .record_disposition(&ask, said(&leased, code))
                .await;
            assert_eq!(told.is_ok(), recorded, "{code:?}: {told:?}");
        }
        drop(stuck);
        let denied = bench.place(ANNA).await.decision.judgement.denied_by;
        assert!(denied.contains(&"US-internal-dnc".into()), "{denied:?}");
    }

    pub async fn a_correction_may_add_an_opt_out_and_never_removes_one(bench: Bench) {
        bench.callable(ANNA).await;
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        let ask = || bench.ask("agent");
        let first = bench
            .gate
            .record_disposition(&ask(), said(&leased, DispositionCode::Gatekeeper))
            .await
            .unwrap();
        assert_eq!(first.suppression_id, None);
        let amend = |code, amends| NewDisposition {
            amends: Some(amends),
            ..said(&leased, code)
        };
        let stop = amend(DispositionCode::ObjectionGdpr, first.disposition_id);
        let second = bench.gate.record_disposition(&ask(), stop).await.unwrap();
        assert!(second.suppression_id.is_some());
        let stale = amend(DispositionCode::MeetingBooked, first.disposition_id);
        let stale = bench.gate.record_disposition(&ask(), stale).await;
        assert!(
            matches!(stale, Err(GateError::DispositionNotLatest)),
            "only the latest can be corrected: {stale:?}"
        );
        let unknown = amend(DispositionCode::OptOutAll, DispositionId::new(bench.now()));
        let unknown = bench.gate.record_disposition(&ask(), unknown).await;
        assert!(
            matches!(
                unknown,
                Err(GateError::NotFound {
                    what: "disposition"
                })
            ),
            "{unknown:?}"
        );
        let back = amend(DispositionCode::MeetingBooked, second.disposition_id);
        bench.gate.record_disposition(&ask(), back).await.unwrap();
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"],
            "the opt-out stays"
        );
        let all = bench
            .store
            .read()
            .await
            .dispositions_of(&tenant(), leased.call.call_id)
            .await
            .unwrap();
        assert_eq!(all.len(), 3, "every version is kept");
    }

    pub async fn a_wrong_number_leaves_the_person(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        bench
            .gate
            .record_disposition(
                &bench.ask("agent"),
                said(&leased, DispositionCode::WrongNumber),
            )
            .await
            .unwrap();
        let mut request = bench.request(ANNA);
        request.party_id = Some(anna.party_id);
        assert!(
            bench.gate.place(request).await.is_err(),
            "it is not theirs any more"
        );
        let placed = bench.place(ANNA).await;
        assert_ne!(placed.decision.party_id, anna.party_id);
        // Of the stranger who holds it nothing is known but what the register said of the number.
        let made = bench.decision(placed.decision.decision_id).await;
        let case: Value = serde_json::from_str(&made.case_json.unwrap()).unwrap();
        let facts = case["facts"].as_object().unwrap();
        assert!(!facts.contains_key("audience") && !facts.contains_key("location"));
        assert_eq!(facts["registers"].as_array().unwrap().len(), 2);
    }

    pub async fn p16_every_effect_has_its_entry(bench: Bench) {
        bench.callable(ANNA).await;
        bench
            .gate
            .record_consent(&bench.ask("a"), bench.consent(ANNA, ConsentAction::Given))
            .await
            .unwrap();
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        bench
            .gate
            .record_disposition(&bench.ask("a"), said(&leased, DispositionCode::Gatekeeper))
            .await
            .unwrap();
        let call = bench.queued(ANNA).await;
        bench
            .gate
            .hang_up(&bench.ask("a"), call.call_id)
            .await
            .unwrap();
        bench
            .gate
            .suppress(&bench.ask("a"), bench.opt_out(ANNA))
            .await
            .unwrap();
        let wanted = [
            "contact.upserted",
            "consent.given",
            "decision",
            "claim",
            "disposition.recorded",
            "decision",
            "call.hang_up",
            "suppression.created",
        ];
        assert_eq!(bench.audit().await, wanted);
    }
}
