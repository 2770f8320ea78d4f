//! The earliest later instant at which the same facts would allow the call.
//!
//! What rules say changes only at few instants: a window opens, a local day begins, a zone shifts its clock, a cap's
//! period runs out, a promised call-back begins. The search steps through exactly these, in UTC, and judges each:
//! local times are never converted back, so gaps and folds of the clocks cannot lead it astray.

use std::time::Duration;

use super::kinds::Kind;
use super::moment::{Moment, Scene};
use super::rule::Rule;
use crate::domain::consent::ConsentAction;
use crate::domain::decision::RuleOutcome;
use crate::domain::time::Micros;
use crate::place::Zone;

/// How far ahead the search looks: a year and the longest holidays after it.
const HORIZON: Duration = Duration::from_secs(400 * 24 * 3600);

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Finds that instant; `None` when there is none within the horizon. `failing` are the rows that deny now.
pub(super) fn next_allowed_time(scene: &Scene<'_>, failing: &[&Rule]) -> Option<Micros> {
    let now = scene.case.call.at;
    let hints = fact_instants(scene);
    if scene.place.zones.is_empty() || !time_can_help(scene, failing, &hints) {
        return None;
    }
    let openings = opening_minutes(scene);
    let mut clocks: Vec<_> = (scene.place.zones.iter()).map(Changes::of).collect();
    let (mut at, end) = (now, now.plus(HORIZON));
    let mut suspect = 0;
    loop {
        let by_clock = clocks
            .iter_mut()
            .filter_map(|clock| clock.after(at, &openings));
        let by_fact = hints.iter().copied().filter(|hint| *hint > at);
        at = by_clock.chain(by_fact).min()?;
        if at > end {
            return None;
        }
        if allows(scene, at, &mut suspect) {
            return Some(at);
        }
    }
}

/// Whether all rows are met at this instant, in all zones. The row that failed last is asked first: most steps of a
/// search fail by the same one.
fn allows(scene: &Scene<'_>, at: Micros, suspect: &mut usize) -> bool {
    scene.place.zones.iter().all(|zone| {
        let moment = Moment::new(scene, at, Some(zone), false);
        let first = scene.candidates.get(*suspect).map(|rule| (*suspect, *rule));
        let all = scene.candidates.iter().copied().enumerate();
        let failing = first.into_iter().chain(all).find(|(index, rule)| {
            moment.holds(*index) && moment.judge(rule).outcome == RuleOutcome::Fail
        });
        if let Some((index, _)) = failing {
            *suspect = index;
        }
        failing.is_none()
    })
}

/// Instants named by facts at which a row may change its mind.
fn fact_instants(scene: &Scene<'_>) -> Vec<Micros> {
    let facts = &scene.case.facts;
    let mut instants = Vec::new();
    if let Some(wish) = &facts.callback {
        instants.push(wish.requested_at);
        instants.extend(wish.not_before);
    }
    let given = (facts.consents.iter()).filter(|event| event.action == ConsentAction::Given);
    instants.extend(given.map(|event| event.at));
    for rule in &scene.candidates {
        let Kind::FrequencyCap(row) = &rule.kind else {
            continue;
        };
        if let Some(hours) = row.period_hours {
            let period = Duration::from_secs(u64::from(hours) * 3600);
            instants.extend(facts.attempts.iter().map(|attempt| attempt.at.plus(period)));
        }
    }
    instants.retain(|at| *at > scene.case.call.at);
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// Whether searching can find anything: each failing row heals with time, or the law or the grounds change.
fn time_can_help(scene: &Scene<'_>, failing: &[&Rule], hints: &[Micros]) -> bool {
    let heals = failing.iter().all(|rule| rule.kind.heals());
    let today = scene
        .case
        .call
        .at
        .timestamp()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let law_changes = scene.candidates.iter().any(|rule| {
        let dates = [rule.common.effective_from, rule.common.effective_to];
        // A day of margin: some zone may still be on yesterday's date.
        rule.common.enforced
            && (dates.into_iter().flatten())
                .any(|date| today <= date.saturating_add(jiff::Span::new().days(1)))
    });
    heals || law_changes || !hints.is_empty()
}

/// The minutes of the day at which some window opens, and midnight.
fn opening_minutes(scene: &Scene<'_>) -> Vec<i64> {
    let mut minutes = vec![0];
    for rule in &scene.candidates {
        if let Kind::CallingWindow(row) = &rule.kind {
            row.opening_minutes(&mut minutes);
        }
    }
    minutes.sort_unstable();
    minutes.dedup();
    minutes
        .into_iter()
        .map(|minute| i64::from(minute) * MINUTE)
        .collect()
}

/// Walks the changes on one wall clock. Between two shifts of the clock, local time and UTC run alike.
struct Changes<'a> {
    zone: &'a Zone,
    shift: Option<Micros>,
    looked: bool,
}

impl<'a> Changes<'a> {
    fn of(zone: &'a Zone) -> Self {
        Self {
            zone,
            shift: None,
            looked: false,
        }
    }

    /// The next opening, midnight or clock shift after this instant.
    fn after(&mut self, at: Micros, openings: &[i64]) -> Option<Micros> {
        let local = self.zone.local(at);
        if !self.looked || self.shift.is_some_and(|shift| shift <= at) {
            let mut shifts = local.time_zone().following(local.timestamp());
            self.shift = shifts.next().map(|shift| shift.timestamp().into());
            self.looked = true;
        }
        let time = local.time();
        let of_day = i64::from(time.hour()) * 60 * MINUTE
            + i64::from(time.minute()) * MINUTE
            + i64::from(time.second()) * 1_000_000
            + i64::from(time.subsec_nanosecond()) / 1000;
        let next = openings.iter().copied().find(|opening| *opening > of_day);
        let opening = Micros(at.0.saturating_add(next.unwrap_or(DAY) - of_day));
        Some(self.shift.map_or(opening, |shift| shift.min(opening)))
    }
}
