//! The law, pure: facts in, judgement out, and a permit if and only if the verdict is allow.
//!
//! No clock, no logging, no I/O but the loading of a pack. Start reading at [`evaluate`]. A pack ([`Pack`]) holds the rows
//! of `rules/*.toml`; `moment` gathers which of them are in play for one call, at one instant, in each zone where the
//! person may be; the kinds of rule stand in `kinds`, one file each, and the grounds they share in `ground`. Every row in
//! play is judged, none is skipped, and a missing fact denies by the row that needs it.

#![deny(missing_docs)]

mod consent;
pub mod facts;
mod ground;
mod holidays;
mod kinds;
mod listing;
mod moment;
mod next;
mod pack;
mod permit;
mod read;
mod rule;
mod window;

pub use ground::Ground;
pub use listing::rules_markdown;
pub use pack::{Pack, PackProblem, PackProblems};
pub use permit::{Permit, PermitExpired};
pub use rule::{Certainty, Common, Flag, Reach, RowAudience, Rule};

use crate::domain::decision::{Judgement, RuleOutcome, RuleResult, Verdict};
use crate::domain::phone::Phone;
use crate::domain::time::Reading;
use crate::place::{self, NotDialable};
use facts::Case;
use moment::{Finding, Moment, Scene};

/// The rule under all rules: built in, so that no pack can lift it.
pub const NOT_DIALABLE: &str = "POLICY-not-dialable";

/// Judges the case, and hands out a permit if and only if the verdict is allow and the instant judged is the one just
/// read off the clocks.
#[must_use]
pub fn evaluate(pack: &Pack, case: &Case, read: Reading) -> (Judgement, Option<Permit>) {
    let judgement = judge(pack, case);
    let current = case.call.at == read.wall;
    let number = Phone::parse(&case.call.to).ok();
    let permit = number
        .filter(|_| current && judgement.verdict == Verdict::Allow)
        .map(|to| Permit::new(to, case.call.from, read));
    (judgement, permit)
}

/// What every rule in play says of the case at `case.call.at`, and what follows from it.
#[must_use]
pub fn judge(pack: &Pack, case: &Case) -> Judgement {
    let number = match place::dialable(pack.tables(), &case.call.to) {
        Ok(number) => number,
        Err(why) => return refused(why),
    };
    let scene = Scene::open(pack, case, &number);
    let moments = scene.moments(case.call.at, true);
    let mut results = Vec::with_capacity(scene.candidates.len());
    let mut failing = Vec::new();
    for (index, rule) in scene.candidates.iter().copied().enumerate() {
        let findings = (moments.iter())
            .filter(|moment| moment.holds(index))
            .map(|moment| (moment.judge(rule), moment));
        // The first zone of the worst outcome speaks for the row.
        let worst = findings.reduce(|worst, other| {
            if severity(&other.0) > severity(&worst.0) {
                other
            } else {
                worst
            }
        });
        let Some((finding, moment)) = worst else {
            continue;
        };
        if finding.outcome == RuleOutcome::Fail {
            failing.push(rule);
        }
        results.push(result(rule, finding, moment));
    }
    let allowed = failing.is_empty();
    Judgement {
        verdict: if allowed {
            Verdict::Allow
        } else {
            Verdict::Deny
        },
        denied_by: failing.iter().map(|rule| rule.common.id.clone()).collect(),
        next_allowed_time: if allowed {
            None
        } else {
            next::next_allowed_time(&scene, &failing)
        },
        rules: results,
        zones: (scene.place.zones.iter())
            .map(|zone| zone.name.clone())
            .collect(),
        warnings: number.warnings.clone(),
        jurisdictions: scene.jurisdictions,
    }
}

/// README 4: fail > void > pass > lifted > info.
fn severity(finding: &Finding) -> u8 {
    match finding.outcome {
        RuleOutcome::Fail => 4,
        RuleOutcome::Void => 3,
        RuleOutcome::Pass => 2,
        RuleOutcome::Lifted => 1,
        RuleOutcome::Info => 0,
    }
}

fn result(rule: &Rule, finding: Finding, moment: &Moment<'_>) -> RuleResult {
    let (reason, mut evidence) = finding
        .text
        .map(|text| (text.reason, text.evidence))
        .unwrap_or_default();
    if let Some(zone) = moment.zone.filter(|_| finding.outcome != RuleOutcome::Info) {
        evidence.push(format!("zone={}", zone.name));
    }
    RuleResult {
        rule: rule.common.id.clone(),
        outcome: finding.outcome,
        reason,
        citation: rule.common.citation.clone(),
        evidence,
    }
}

/// The floor refuses the number: no other rule is judged.
fn refused(why: NotDialable) -> Judgement {
    Judgement {
        verdict: Verdict::Deny,
        denied_by: vec![NOT_DIALABLE.to_owned()],
        rules: vec![RuleResult {
            rule: NOT_DIALABLE.to_owned(),
            outcome: RuleOutcome::Fail,
            reason: why.code().to_owned(),
            citation: "built in".to_owned(),
            evidence: Vec::new(),
        }],
        jurisdictions: Vec::new(),
        zones: Vec::new(),
        next_allowed_time: None,
        warnings: Vec::new(),
    }
}
