//! Stored decisions made again by the packs that they name, page by page. No number is answered with.

use tonic::{Request, Response, Status};

use crate::gate::{ReplayOutcome, ReplayProblem, Replayed, Said};
use crate::place::zone_data_version;

use super::audit::FILTERABLE;
use super::convert::{Fields, policy as show, time, wire};
use super::paging::{self, Listing};
use super::{Api, Asked, pb, status};

/// `AuditService.ReplayDecisions`.
pub(super) async fn replay(
    api: &Api,
    request: Request<pb::ReplayDecisionsRequest>,
) -> Result<Response<pb::ReplayDecisionsResponse>, Status> {
    let Asked {
        who, mut message, ..
    } = api.open(request)?;
    let mut fields = Fields::default();
    let size = paging::page_size(&mut fields, message.page_size);
    let number = fields.any_number(api.pack().tables(), "number", &message.number);
    fields.done()?;
    let token = std::mem::take(&mut message.page_token);
    message.page_size = 0;
    let listing = Listing::read(
        "ReplayDecisions",
        &message,
        &token,
        &message.filter,
        FILTERABLE,
    )?
    .of_number(number?.map(|number| api.key(&who, number)));
    let page = api.gate.replay(&who.tenant, &listing.query(size?)).await;
    let page = page.map_err(|error| status::from_gate(&error))?;
    let outcomes: Vec<Counted> = page.rows.iter().map(|row| (&row.outcome).into()).collect();
    // One message a decision, empty where nothing is to be said of it: so the page is cut where it would be too large.
    let (differences, next_page_token) = listing.answer(page, Replayed::key, difference);
    let count = |wanted: Counted| {
        let shown = outcomes.iter().take(differences.len());
        let count = shown.filter(|each| **each == wanted).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    Ok(Response::new(pb::ReplayDecisionsResponse {
        same: count(Counted::Same),
        different: count(Counted::Different),
        impossible: count(Counted::Impossible),
        erased: count(Counted::Erased),
        refused: count(Counted::Refused),
        next_page_token,
        differences: (differences.into_iter())
            .filter(|each| !each.decision_id.is_empty())
            .collect(),
    }))
}

/// Where a decision is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Same,
    Different,
    Impossible,
    Erased,
    Refused,
}

impl From<&ReplayOutcome> for Counted {
    fn from(outcome: &ReplayOutcome) -> Self {
        match outcome {
            ReplayOutcome::Same => Self::Same,
            ReplayOutcome::Different { .. } => Self::Different,
            ReplayOutcome::Impossible { .. } => Self::Impossible,
            ReplayOutcome::Erased => Self::Erased,
            ReplayOutcome::Refused => Self::Refused,
        }
    }
}

/// What is told of one decision; nothing if it is as it should be.
fn difference(replayed: Replayed) -> pb::ReplayDifference {
    let (before, after, parts, why) = match replayed.outcome {
        ReplayOutcome::Same | ReplayOutcome::Erased | ReplayOutcome::Refused => {
            return pb::ReplayDifference::default();
        }
        ReplayOutcome::Different {
            before,
            after,
            parts,
        } => (before, Some(after), parts, pb::ReplayProblem::Unspecified),
        ReplayOutcome::Impossible {
            before,
            problem: why,
        } => (before, None, Vec::new(), problem(why)),
    };
    let (before, denied_by_before) = said(before);
    let (after, denied_by_after) = said(after);
    pb::ReplayDifference {
        decision_id: replayed.decision_id.to_string(),
        decided_time: Some(time(replayed.decided_at)),
        problem: why.into(),
        before,
        after,
        denied_by_before,
        denied_by_after,
        parts,
        pack: Some(show::version(&replayed.pack)),
        zone_data: zone_data_version().to_owned(),
    }
}

fn said(said: Option<Said>) -> (i32, Vec<String>) {
    said.map_or_else(Default::default, |said| {
        (wire(said.verdict), said.denied_by)
    })
}

fn problem(problem: ReplayProblem) -> pb::ReplayProblem {
    match problem {
        ReplayProblem::PackNotFound => pb::ReplayProblem::PackNotFound,
        ReplayProblem::PackUnusable => pb::ReplayProblem::PackUnusable,
        ReplayProblem::CaseUnreadable => pb::ReplayProblem::CaseUnreadable,
        ReplayProblem::CaseOfAnother => pb::ReplayProblem::CaseOfAnother,
        ReplayProblem::CaseMissing => pb::ReplayProblem::CaseMissing,
        ReplayProblem::JudgementUnreadable => pb::ReplayProblem::JudgementUnreadable,
    }
}
