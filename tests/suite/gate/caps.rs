//! How earlier attempts count towards caps on completed calls: what is not known to have been unanswered was answered.

use super::on_both;

on_both! {
    a_call_that_is_not_over_may_be_answered,
}

mod tests {
    use dialgate::domain::call::{CallKind, CallRequest, Purpose};
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::decision::RuleOutcome;
    use dialgate::gate::ContactDraft;

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
}
