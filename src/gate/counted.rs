//! What is counted of the gate's answers, once they are committed.

use crate::domain::decision::{Decision, Stage, Verdict};
use crate::meter;

use super::claim::Claimed;
use super::job::Answer;
use super::scrub::Scrubbed;

/// A decision that was made and recorded just now; what was decided before is not counted again.
pub(super) fn decision(answer: &Answer) {
    let decided = |decision: &Decision| {
        let verdict = decision.judgement.verdict;
        meter::decided(decision.stage.as_str(), verdict, 1);
    };
    match answer {
        Answer::Checked(decision) | Answer::Claimed(Claimed::Denied(decision)) => decided(decision),
        Answer::Placed(placed) => decided(&placed.decision),
        Answer::Claimed(Claimed::Permitted { .. }) => {
            meter::decided(Stage::Claim.as_str(), Verdict::Allow, 1);
        }
        Answer::Claimed(Claimed::Lost | Claimed::Expired)
        | Answer::Repeated(_)
        | Answer::Refused(_) => {}
    }
}

/// A batch of a list; a row without a verdict is no decision.
pub(super) fn list(batch: &Scrubbed) {
    let (mut allowed, mut denied) = (0, 0);
    for said in batch.rows.iter().filter_map(|row| row.said.as_ref().ok()) {
        match said.verdict {
            Verdict::Allow => allowed += 1,
            Verdict::Deny => denied += 1,
        }
    }
    meter::decided(meter::LIST, Verdict::Allow, allowed);
    meter::decided(meter::LIST, Verdict::Deny, denied);
}
