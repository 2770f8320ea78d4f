//! How old the lists are: told to the operator before rules deny for it.

use std::time::Duration;

use super::Shelf;
use crate::domain::register::RegisterSnapshot;
use crate::domain::time::Micros;
use crate::policy::Pack;

/// So many days before a list is too old, the operator is told.
const WARN_DAYS: i64 = 5;

/// How often the operator is told of the same.
const TELL_AGAIN: Duration = Duration::from_hours(24);

/// What the operator was told of the age of a list, and when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    age: Age,
    at: Option<Micros>,
}

/// How a list stands to the oldest that the rules take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Age {
    #[default]
    Fresh,
    Growing,
    Stale,
}

/// Tells the operator of lists that are too old, or soon will be: once a day, and when it changes.
pub(super) fn tell(shelf: &Shelf, pack: &Pack, now: Micros) {
    for known in &mut *shelf.known() {
        let age = age(pack, &known.snapshot, now);
        let is_news = known.told.age != age;
        let is_due = known.told.at.is_none_or(|at| now >= at.plus(TELL_AGAIN));
        if !is_news && !is_due {
            continue;
        }
        known.told = Told { age, at: Some(now) };
        let (register, as_of) = (&known.snapshot.register, known.snapshot.as_of);
        match age {
            Age::Fresh => {}
            Age::Growing => tracing::warn!(
                %register, register.as_of = %as_of,
                "the list of a register will soon be too old for the rules; load a newer one with `dialgate registry import`"
            ),
            Age::Stale => tracing::error!(
                %register, register.as_of = %as_of,
                "the list of a register is too old and rules deny for it; load a newer one with `dialgate registry import`"
            ),
        }
    }
}

fn age(pack: &Pack, snapshot: &RegisterSnapshot, now: Micros) -> Age {
    let today = now.utc_date();
    let stale_on = |day| {
        let why = pack.register_staleness(&snapshot.register, snapshot.as_of, day);
        why.is_some()
    };
    if stale_on(today) {
        return Age::Stale;
    }
    let soon = today.saturating_add(jiff::Span::new().days(WARN_DAYS));
    if stale_on(soon) {
        Age::Growing
    } else {
        Age::Fresh
    }
}
