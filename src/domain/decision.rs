//! A verdict with every rule, its evidence and its citation. A denial is one of its values, never an error.

use serde::{Deserialize, Serialize};

use super::ids::{CallId, DecisionId, PartyId};
use super::phone::NumberKey;
use super::text::{Text, words};
use super::time::Micros;

words! {
    /// The answer to "may we call?".
    Verdict, "verdict" {
        /// Every rule in play is met.
        Allow = "allow",
        /// At least one rule denies.
        Deny = "deny",
    }
}

words! {
    /// What one rule says of one call.
    RuleOutcome, "rule outcome" {
        /// Met.
        Pass = "pass",
        /// Denies the call.
        Fail = "fail",
        /// A ground lifts or reopens it.
        Lifted = "lifted",
        /// A ground on file does not count because of this rule.
        Void = "void",
        /// A duty or a record; nothing decided.
        Info = "info",
    }
}

words! {
    /// When in a call's life the gate was asked.
    Stage, "stage" {
        /// A question without the wish to call.
        Check = "check",
        /// Before the call is queued.
        Place = "place",
        /// Right before it is dialed.
        Claim = "claim",
    }
}

/// What one rule says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleResult {
    /// Stable id of the rule.
    pub rule: Text,
    /// What it says.
    pub outcome: RuleOutcome,
    /// A sentence for people.
    pub reason: Text,
    /// The law.
    pub citation: Text,
    /// Ids and values used, `name=value` each; never a phone number.
    pub evidence: Vec<Text>,
}

/// The answer of the law, before anybody stored it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Allow or deny.
    pub verdict: Verdict,
    /// Ids of the rules that deny, in order of report.
    pub denied_by: Vec<Text>,
    /// Every rule in play.
    pub rules: Vec<RuleResult>,
    /// Whose law was in play.
    pub jurisdictions: Vec<Text>,
    /// Clocks that were asked.
    pub zones: Vec<Text>,
    /// Earliest later instant at which the same facts would allow the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_allowed_time: Option<Micros>,
    /// What to know beside the verdict, such as a number that the library calls possible but not valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Which law and which clocks decided: enough to decide again, bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackVersion {
    /// Version of the rule pack.
    pub version: String,
    /// SHA-256 over its files, hexadecimal.
    pub sha256: String,
    /// Release of the time-zone data.
    pub zone_data: String,
}

/// A decision as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Identifier.
    pub decision_id: DecisionId,
    /// When in the call's life.
    pub stage: Stage,
    /// The call, once there is one.
    pub call_id: Option<CallId>,
    /// Whom it is about.
    pub party_id: PartyId,
    /// Key of the number it is about.
    pub number_key: NumberKey,
    /// Campaign.
    pub campaign_id: String,
    /// When it was made.
    pub decided_at: Micros,
    /// Which law decided.
    pub pack: PackVersion,
    /// What it says.
    pub judgement: Judgement,
    /// The case object as JSON; absent once the person was erased, or where it was not asked for.
    pub case_json: Option<String>,
    /// Who asked.
    pub actor: String,
}
