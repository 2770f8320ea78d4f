//! How a campaign's calls introduce themselves comes into their cases from the configuration.

use super::on_both;

on_both! {
    a_recorded_message_after_a_live_introduction_is_one_some_states_allow,
}

mod tests {
    use dialgate::domain::call::{CallKind, Introduction, Voice};
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::decision::RuleOutcome;
    use serde_json::Value;

    use crate::gate::bench::{Bench, campaign};

    /// Minn. Stat. 325E.27 and Cal. Pub. Util. Code 2873 want a person first; NRS 597.814 is content with a recording.
    pub async fn a_recorded_message_after_a_live_introduction_is_one_some_states_allow(
        bench: Bench,
    ) {
        use Introduction::{Live, None as Silent, Recorded};
        use RuleOutcome::{Fail, Pass};
        let of = |name: &str, introduction| Campaign {
            call_kinds: vec![CallKind::Prerecorded],
            introduction,
            voice: introduction.map(|_| Voice::AiGenerated),
            ..campaign(name, "US", "seller")
        };
        let campaigns = [
            ("unsaid", None),
            ("live", Some(Live)),
            ("recorded", Some(Recorded)),
            ("none", Some(Silent)),
        ];
        let gate = bench.again(campaigns.map(|(name, how)| of(name, how)).to_vec());
        gate.settle().await.unwrap();
        for (number, region, expected) in [
            ("+16125550161", "US-MN", [Fail, Pass, Fail, Fail]),
            ("+17025550162", "US-NV", [Fail, Pass, Pass, Fail]),
        ] {
            bench.contact(&[number], region).await.unwrap();
            let rule = format!("{region}-consent-prerecorded");
            for ((name, how), outcome) in campaigns.into_iter().zip(expected) {
                let mut request = bench.request(number);
                request.campaign_id = name.to_owned();
                request.call_kind = CallKind::Prerecorded;
                let made = gate.check(request).await.unwrap();
                let found = made.judgement.rules.iter().find(|each| each.rule == rule);
                assert_eq!(found.unwrap().outcome, outcome, "{rule} {name}");
                let denied = made.judgement.denied_by.iter().any(|each| *each == rule);
                assert_eq!(denied, outcome == Fail, "{rule} {name}");
                let stored = bench.decision(made.decision_id).await.case_json.unwrap();
                let case: Value = serde_json::from_str(&stored).unwrap();
                let told = case["call"].get("introduction").and_then(Value::as_str);
                assert_eq!(told, how.map(|how| how.as_str()));
                let voice = case["call"].get("voice").and_then(Value::as_str);
                assert_eq!(voice, how.map(|_| "ai_generated"));
            }
        }
    }
}
