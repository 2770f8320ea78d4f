//! What providers said becomes facts of a case.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;

use crate::domain::consent::ConsentAction;
use crate::domain::ids::TenantId;
use crate::domain::party::{ReassignedAnswer, ReassignedCheck, RegisterCheck};
use crate::domain::phone::NumberKey;
use crate::domain::provider::{ProviderKind, ScrubOutcome, ScrubResult};
use crate::domain::time::Micros;
use crate::policy::facts::{Facts, ProviderAnswer};
use crate::provider::Service;
use crate::store::{FactsWanted, StoreError, Tx};

use super::Providers;

impl Providers {
    /// Adds to the facts of these questions what is kept of the numbers and counts; answers the results themselves, by number.
    pub async fn add_answers(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        wanted: &[FactsWanted],
        facts: &mut [Facts],
    ) -> Result<HashMap<NumberKey, Vec<ScrubResult>>, StoreError> {
        let mut kept: HashMap<NumberKey, Vec<ScrubResult>> = HashMap::new();
        let Some(earliest) = wanted.iter().map(|wanted| wanted.at).min() else {
            return Ok(kept);
        };
        if self.is_empty() {
            return Ok(kept);
        }
        let keys: Vec<NumberKey> = wanted.iter().map(|wanted| wanted.number_key).collect();
        for result in tx.scrub_results(tenant, &keys, earliest).await? {
            kept.entry(result.number_key).or_default().push(result);
        }
        for (facts, wanted) in facts.iter_mut().zip(wanted) {
            let Some(results) = kept.get(&wanted.number_key) else {
                continue;
            };
            let since = relied_on_since(facts, wanted.at);
            for desk in &self.desks {
                let service = &desk.service;
                let theirs = results_of(service, results);
                let since = since_of(service, since);
                if let Some(stands) = ScrubResult::standing(&theirs, since, wanted.at) {
                    add(facts, service, stands);
                }
            }
        }
        Ok(kept)
    }
}

/// The results of one provider; one that was asked something else under the same name said nothing to this.
pub(super) fn results_of<'a>(
    service: &Service,
    results: &'a [ScrubResult],
) -> Vec<&'a ScrubResult> {
    let theirs = results.iter();
    theirs
        .filter(|each| each.provider == service.name && each.kind == service.kind)
        .collect()
}

/// The date that a question to this provider turns on; only reassignment is asked for since a date.
pub(super) fn since_of(service: &Service, since: Option<Date>) -> Option<Date> {
    since.filter(|_| service.kind == ProviderKind::Reassigned)
}

/// Since when nobody else may have had the number: the first consent on file that no withdrawal followed, else the last
/// dealing; none if nobody relies on anything.
pub(super) fn relied_on_since(facts: &Facts, at: Micros) -> Option<Date> {
    let of = |action| {
        let consents = facts.consents.iter();
        consents.filter(move |each| each.action == action && each.at <= at)
    };
    let withdrawn = of(ConsentAction::Withdrawn).map(|each| each.at).max();
    let standing = of(ConsentAction::Given).map(|each| each.at);
    let standing = standing.filter(|given| withdrawn.is_none_or(|end| *given > end));
    let known = facts.relationship.as_ref();
    let dealing = known.and_then(|known| known.last_transaction.max(known.last_inquiry));
    let since = standing.min().map(furthest_west).or(dealing);
    since.map(|since| since.min(furthest_west(at)))
}

/// The date in the zone where the day begins last: a day too early asks for more.
pub(super) fn furthest_west(at: Micros) -> Date {
    const BEHIND: Duration = Duration::from_hours(12);
    at.minus(BEHIND).utc_date()
}

/// What stands becomes facts. An answer takes its place beside what others told, and the newer one counts; what is no answer
/// takes nobody's place.
fn add(facts: &mut Facts, service: &Service, stands: &ScrubResult) {
    let day = stands.answered_at.utc_date();
    let listed = match stands.result {
        ScrubOutcome::Listed => Some(true),
        ScrubOutcome::Clear => Some(false),
        ScrubOutcome::Unknown | ScrubOutcome::Error => None,
    };
    if service.kind == ProviderKind::Reassigned {
        add_reassigned(facts, stands, day);
    }
    if let Some(register) = &service.register {
        let is_told = facts
            .registers
            .iter()
            .any(|each| each.register == *register);
        if listed.is_some() || !is_told {
            facts.registers.push(RegisterCheck {
                register: register.clone(),
                listed,
                as_of: day,
                listed_since: None,
                snapshot: None,
            });
        }
    }
    // When the record's line type was told nobody knows; an answer is of these days.
    if listed.is_some() && stands.line_type.is_some() {
        facts.line_type = stands.line_type;
    }
    facts.provider_answers.push(ProviderAnswer {
        provider: service.name.clone(),
        kind: service.kind,
        result: stands.result,
        raw_code: stands.raw_code.clone(),
        answered_at: stands.answered_at,
        register: service.register.clone(),
    });
}

fn add_reassigned(facts: &mut Facts, stands: &ScrubResult, day: Date) {
    let check = |answer| ReassignedCheck {
        queried_on: day,
        for_date: stands.for_date.unwrap_or(day),
        answer,
    };
    let answer = match stands.result {
        ScrubOutcome::Listed => ReassignedAnswer::Yes,
        ScrubOutcome::Clear => ReassignedAnswer::No,
        ScrubOutcome::Unknown => {
            // It was asked and cannot tell; what others told stands.
            facts
                .reassigned_check
                .get_or_insert(check(ReassignedAnswer::NoData));
            return;
        }
        ScrubOutcome::Error => return,
    };
    let said = check(answer);
    facts.reassigned_check = Some(match facts.reassigned_check {
        Some(told) => said.or_what_holds(told),
        None => said,
    });
}
