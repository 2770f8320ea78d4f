//! How earlier attempts count towards caps on completed calls: what is not known to have been unanswered was answered.

use super::on_both;

on_both! {
    a_call_that_is_not_over_may_be_answered,
    p04_a_call_of_which_nobody_knows_how_it_ended_was_answered,
}

mod tests {
    use dialgate::domain::call::{CallKind, CallRequest, EventDetail, Outcome, Purpose};
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::decision::RuleOutcome;
    use dialgate::domain::ids::TenantId;
    use dialgate::gate::ContactDraft;
    use dialgate::store::AttemptEnd;

    use crate::gate::bench::{Bench, campaign};

    const BANGOR: &str = "+12075550141";

    /// 10 M.R.S. 1498(3): one completed recording in eight hours.
    const CAP: &str = "US-ME-cap-prerecorded";

    /// Somebody in Maine, and a gate that may play them recordings.
    async fn in_maine(mut bench: Bench) -> Bench {
        let campaign = Campaign {
            purpose: Purpose::Informational,
            call_kinds: vec![CallKind::Prerecorded, CallKind::LiveManual],
            ..campaign("us", "US", "seller")
        };
        bench.gate = bench.again(vec![campaign]);
        bench.gate.settle().await.unwrap();
        let party = bench.contact(&[BANGOR], "US-ME").await.unwrap();
        // The state wants the database of reassigned numbers asked before every call.
        let mut number = party.numbers[0].clone();
        let mut asked = number.registers[0].clone();
        asked.register = "us-rnd".to_owned();
        number.registers.push(asked);
        let draft = ContactDraft {
            party_id: Some(party.party_id),
            profile: party.profile,
            numbers: vec![number],
            etag: None,
            mask: None,
        };
        let ask = bench.ask("admin");
        bench.gate.upsert_contact(&ask, draft).await.unwrap();
        bench
    }

    async fn cap(bench: &Bench) -> RuleOutcome {
        let request = CallRequest {
            call_kind: CallKind::Prerecorded,
            ..bench.request(BANGOR)
        };
        let judged = bench.gate.check(request).await.unwrap().judgement;
        let found = judged.rules.iter().find(|each| each.rule == CAP);
        found.unwrap().outcome
    }

    pub async fn a_call_that_is_not_over_may_be_answered(bench: Bench) {
        let bench = in_maine(bench).await;
        assert_eq!(cap(&bench).await, RuleOutcome::Pass);
        let (leased, _permit, attempt_id) = bench.claimed(BANGOR).await;
        assert_eq!(cap(&bench).await, RuleOutcome::Fail);
        bench.ended(&leased, attempt_id).await;
        assert_eq!(cap(&bench).await, RuleOutcome::Pass, "nobody answered");
    }

    /// A node died in the middle of it, and another one ended it on record.
    pub async fn p04_a_call_of_which_nobody_knows_how_it_ended_was_answered(bench: Bench) {
        let bench = in_maine(bench).await;
        let (leased, _permit, attempt_id) = bench.claimed(BANGOR).await;
        let end = AttemptEnd {
            attempt_id,
            call_id: leased.call.call_id,
            outcome: Outcome::InterruptedUnknown,
            counts_as: None,
            detail: EventDetail::default(),
            at: bench.now(),
            permit_gone: false,
        };
        let mut tx = bench.store.write().await;
        assert!(tx.end_attempt(&TenantId::default(), &end).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(cap(&bench).await, RuleOutcome::Fail);
    }
}
