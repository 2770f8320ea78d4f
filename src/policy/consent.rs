//! What stands of the consents on file: the state is the latest event, and an opt-out withdraws all before it.

use jiff::civil::Date;

use super::facts::Consent;
use super::kinds::Kind;
use super::moment::Moment;
use crate::domain::consent::{ConsentAction, ConsentForm};

/// The consents that bear on this kind of call at one moment.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    /// Given, covering, and not ended by a withdrawal, an opt-out or their own period.
    pub live: Vec<&'a Consent>,
    /// The latest that no row rejects, if its own period still runs.
    pub valid: Option<&'a Consent>,
    /// Whether a consent was on file that a withdrawal or an opt-out has ended.
    pub ended: bool,
}

impl<'a> Standing<'a> {
    /// Looks at all events up to now; an end counts even if its time lies ahead of this clock.
    pub fn of(moment: &Moment<'a>) -> Self {
        let scene = moment.scene;
        let covering = |event: &&Consent| match event.channels.as_deref() {
            None => true,
            // No reader lets an empty list pass; if one is there, whichever reading allows less.
            Some([]) => event.action == ConsentAction::Withdrawn,
            Some(channels) => channels.contains(&scene.case.call.call_kind),
        };
        let events = || scene.case.facts.consents.iter().filter(covering);
        let withdrawn = events()
            .filter(|event| event.action == ConsentAction::Withdrawn)
            .map(|event| event.at)
            .max();
        let end = withdrawn.max(scene.last_opt_out);
        let given: Vec<_> = events()
            .filter(|event| event.action == ConsentAction::Given && event.at <= moment.now)
            .collect();
        // At the same instant the end wins.
        let after = |event: &&Consent| end.is_none_or(|end| event.at > end);
        let standing = || given.iter().copied().filter(after);
        let rejected = |event: &Consent| {
            moment.rows().any(|rule| match &rule.kind {
                Kind::GroundValidity(row) => rule.decides() && row.rejects(event, moment).is_some(),
                _ => false,
            })
        };
        // The state is the latest event that no row rejects. When its own period is over no older one comes back.
        let latest = standing().filter(|event| !rejected(event));
        let latest = latest.max_by_key(|event| (event.at, std::cmp::Reverse(worth(event))));
        Self {
            valid: latest.filter(|event| runs(event, moment.date())),
            ended: given.iter().any(|event| !after(event)),
            live: standing()
                .filter(|event| runs(event, moment.date()))
                .collect(),
        }
    }
}

/// What a consent opens: of two of the same instant the one that opens less is taken for the latest, in whatever order they
/// are told.
fn worth(event: &Consent) -> (bool, bool, bool, bool) {
    (
        event.form == Some(ConsentForm::Written),
        event.explicit == Some(true),
        event.out_of_hours == Some(true),
        event.documented == Some(true),
    )
}

/// Whether the consent's own period still runs; a period that cannot be read has ended.
fn runs(event: &Consent, today: Date) -> bool {
    match event.period.as_deref() {
        None | Some("indefinite" | "unspecified") => true,
        Some(end) => end.parse::<Date>().is_ok_and(|end| today <= end),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::Verdict;
    use crate::policy::judge;
    use crate::policy::testing::*;

    fn prerecorded(consents: Vec<crate::policy::facts::Consent>) -> Verdict {
        let mut case = case("US-GA", "2026-04-21T15:00:00Z");
        case.call.call_kind = crate::domain::call::CallKind::Prerecorded;
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-04-10")];
        case.facts.consents = consents;
        judge(pack(), &case).verdict
    }

    #[test]
    fn what_has_run_out_brings_nothing_older_back() {
        let older = given("2025-01-01T00:00:00Z", "written");
        let mut latest = given("2025-06-01T00:00:00Z", "written");
        assert_eq!(
            prerecorded(vec![older.clone(), latest.clone()]),
            Verdict::Allow
        );
        latest.period = Some("2025-12-31".to_owned());
        assert_eq!(prerecorded(vec![older.clone()]), Verdict::Allow);
        assert_eq!(prerecorded(vec![older, latest]), Verdict::Deny);
    }

    #[test]
    fn of_one_instant_the_lesser_counts_in_any_order() {
        let [written, oral] = ["written", "oral"].map(|form| given("2026-01-01T00:00:00Z", form));
        assert_eq!(prerecorded(vec![written.clone()]), Verdict::Allow);
        assert_eq!(
            prerecorded(vec![written.clone(), oral.clone()]),
            Verdict::Deny
        );
        assert_eq!(prerecorded(vec![oral, written]), Verdict::Deny);
    }
}
