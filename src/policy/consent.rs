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
        // README 1.9: the state is the latest event that no row rejects. When its own period is over no older one comes back.
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
