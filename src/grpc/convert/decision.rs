//! Decisions, as clients see them.

use serde_json::Value;

use crate::domain::Text;
use crate::domain::access::Role;
use crate::domain::decision::{Decision, PackVersion, RuleResult};
use crate::domain::phone::Phone;
use crate::grpc::auth::reads_personal_data;
use crate::grpc::pb;

use super::{text, time, time_option, wire};

/// A decision, for this role. Its case is there only if the store was asked for it.
pub(in crate::grpc) fn decision(decision: Decision, role: Role) -> pb::Decision {
    let judgement = decision.judgement;
    pb::Decision {
        decision_id: decision.decision_id.to_string(),
        stage: wire(decision.stage),
        verdict: wire(judgement.verdict),
        denied_by: strings(judgement.denied_by),
        rule_results: judgement.rules.into_iter().map(rule_result).collect(),
        jurisdictions: strings(judgement.jurisdictions),
        zones: strings(judgement.zones),
        next_allowed_time: time_option(judgement.next_allowed_time),
        warnings: judgement.warnings,
        pack: Some(pack(decision.pack)),
        decided_time: Some(time(decision.decided_at)),
        call_id: text(decision.call_id),
        party_id: decision.party_id.to_string(),
        number_key: decision.number_key.hex(),
        campaign: decision.campaign_id,
        actor: decision.actor,
        case_json: decision
            .case_json
            .and_then(|case| shown_case(case, role))
            .unwrap_or_default(),
    }
}

/// A decision without its case, which the gate has at hand when it has just decided.
pub(in crate::grpc) fn basic(mut made: Decision, role: Role) -> pb::Decision {
    made.case_json = None;
    decision(made, role)
}

fn strings(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(String::from).collect()
}

fn rule_result(result: RuleResult) -> pb::RuleResult {
    pb::RuleResult {
        rule: result.rule.into(),
        outcome: wire(result.outcome),
        reason: result.reason.into(),
        citation: result.citation.into(),
        evidence: strings(result.evidence),
    }
}

fn pack(pack: PackVersion) -> pb::PackVersion {
    pb::PackVersion {
        version: pack.version,
        sha256: pack.sha256,
        zone_data: pack.zone_data,
    }
}

/// The case as it was judged; for who may not read personal data, with its numbers masked. What cannot be read cannot be
/// masked, and is not shown.
fn shown_case(case: String, role: Role) -> Option<String> {
    if reads_personal_data(role) {
        return Some(case);
    }
    let mut value: Value = serde_json::from_str(&case).ok()?;
    mask(&mut value);
    Some(value.to_string())
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(number) = Phone::parse(text) {
                *text = number.masked();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auditor_sees_the_case_without_its_numbers() {
        let case = r#"{"call":{"to":"+14045550141","at":"2027-01-31T00:00:00Z"},"facts":{"attempts":[{"to":"+14045550142"}]}}"#;
        let agent = shown_case(case.to_owned(), Role::Agent).unwrap();
        assert_eq!(agent, case, "byte for byte, for a replay");
        let auditor: Value =
            serde_json::from_str(&shown_case(case.to_owned(), Role::Auditor).unwrap()).unwrap();
        assert_eq!(auditor["call"]["to"], "+…41");
        assert_eq!(auditor["facts"]["attempts"][0]["to"], "+…42");
        assert_eq!(auditor["call"]["at"], "2027-01-31T00:00:00Z");
        assert_eq!(shown_case("+14045550141".to_owned(), Role::Auditor), None);
    }
}
