//! Which of a campaign's numbers a person is shown.

use super::on_both;

on_both! {
    a_person_is_always_shown_the_same_number_and_people_share_the_pool,
    only_what_the_law_of_the_place_lets_be_shown_is_chosen,
}

mod tests {
    use std::collections::BTreeSet;

    use dialgate::domain::campaign::{CallerId, Campaign};
    use dialgate::domain::decision::RuleOutcome;
    use dialgate::domain::ids::TenantId;
    use dialgate::domain::phone::Phone;
    use dialgate::gate::{GateError, ScrubTerms};
    use dialgate::policy::facts::Case;

    use crate::gate::bench::{Bench, campaign, phone};

    fn own(number: &str) -> CallerId {
        CallerId {
            number: phone(number),
            owned: true,
            callable: true,
            in_directory: false,
        }
    }

    /// Another node over the same store, whose campaign has these numbers.
    fn node(bench: &Bench, country: &str, pool: &[CallerId]) -> dialgate::gate::Gate {
        bench.again(vec![Campaign {
            caller_ids: pool.to_vec(),
            ..campaign("us", country, "seller")
        }])
    }

    pub async fn a_person_is_always_shown_the_same_number_and_people_share_the_pool(bench: Bench) {
        // The neighbours' area code is in the pool, and one that nobody answers.
        let unanswered = CallerId {
            callable: false,
            ..own("+14045550198")
        };
        let pool = [
            unanswered,
            own("+12125550100"),
            own("+13125550101"),
            own("+14045550199"),
        ];
        let mut reversed = pool;
        reversed.reverse();
        let (gate, other) = (node(&bench, "US", &pool), node(&bench, "US", &reversed));
        let mut shown = BTreeSet::new();
        for person in 10..50 {
            let number = format!("+140455501{person}");
            bench.callable(&number).await;
            let mut seen = BTreeSet::new();
            for gate in [&gate, &other, &gate] {
                let mut request = bench.request(&number);
                (request.request_id, request.expire_time) = (None, None);
                let decision = gate.check(request).await.unwrap();
                let stored = bench.decision(decision.decision_id).await;
                let case: Case = serde_json::from_str(&stored.case_json.unwrap()).unwrap();
                seen.insert(case.call.from.unwrap());
            }
            assert_eq!(seen.len(), 1, "one number a person, whatever the order");
            shown.extend(seen);
        }
        let all: BTreeSet<Phone> = pool[1..].iter().map(|each| each.number).collect();
        assert_eq!(shown, all);

        // The call keeps what it was placed with, and a request may name any of the pool, and no other.
        let anna = "+14045550110";
        let call = gate.place(bench.request(anna)).await.unwrap().call.unwrap();
        assert!(all.contains(&call.from.unwrap()));
        let named = |number: &str| {
            let mut request = bench.request(anna);
            request.caller_id = Some(phone(number));
            gate.place(request)
        };
        let call = named("+14045550198").await.unwrap().call.unwrap();
        assert_eq!(call.from, Some(unanswered.number));
        let strange = named("+14045550197").await.unwrap_err();
        assert!(matches!(strange, GateError::CallerIdNotAllowed));
    }

    pub async fn only_what_the_law_of_the_place_lets_be_shown_is_chosen(bench: Bench) {
        let (mobile, fixed) = (own("+33612345678"), own("+33162001122"));
        let paris = "+33142345670";
        let judged = async |pool: &[CallerId]| {
            let gate = node(&bench, "FR", pool);
            let mut request = bench.request(paris);
            (request.request_id, request.expire_time) = (None, None);
            let decision = gate.check(request).await.unwrap();
            let mut rules = decision.judgement.rules.iter();
            let rule = rules.find(|rule| rule.rule == "FR-caller-id").unwrap();
            let stored = bench.decision(decision.decision_id).await;
            let case: Case = serde_json::from_str(&stored.case_json.unwrap()).unwrap();
            let denied_by = decision.judgement.denied_by.clone();
            // A list says the same of the number as the single question.
            let terms = ScrubTerms {
                tenant: TenantId::default(),
                campaign_id: "us".to_owned(),
                call_kind: dialgate::domain::call::CallKind::LiveManual,
                caller_id: None,
                at: None,
                home_country: None,
                with_reasons: false,
                actor: "key:admin".to_owned(),
            };
            let list = gate.scrub(terms).unwrap();
            let rows = list.judge(vec![paris.to_owned()]).await.unwrap().rows;
            let row = rows[0].said.clone().unwrap();
            assert_eq!(row.denied_by, denied_by);
            (case.call.from.unwrap(), rule.outcome)
        };
        for pool in [[mobile, fixed], [fixed, mobile]] {
            assert_eq!(judged(&pool).await, (fixed.number, RuleOutcome::Pass));
        }
        let other = own("+33712345678");
        assert_eq!(
            judged(&[mobile, other]).await,
            (mobile.number, RuleOutcome::Fail),
            "the rule says why nothing may be shown"
        );
    }
}
