//! `frequency_cap`: how often a person may be tried, and how long to leave them alone after a refusal.

use std::time::Duration;

use serde::Deserialize;

use super::super::facts::Attempt;
use super::super::heal::Readable;
use super::super::moment::{Finding, Moment};
use super::super::origin::Faults;
use super::super::rule::{Common, Rule};
use super::{Names, RuleKind};
use crate::domain::disposition::AttemptResult;

/// Keys of the kind: a number of attempts in a period, or a rest after an outcome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    max_attempts: Option<usize>,
    pub(in super::super) period_hours: Option<u32>,
    period_days: Option<i64>,
    per: Per,
    #[serde(default)]
    same_subject: bool,
    counts: Option<Counts>,
    after: Option<After>,
    cooloff_days: Option<i64>,
}

/// Whose attempts count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    Person,
    Number,
}

/// Which attempts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Counts {
    Attempts,
    Completed,
}

/// The outcome that calls for a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum After {
    Refused,
    HungUp,
}

impl Readable for FrequencyCap {
    const STAND_INS: &'static [(&'static str, &'static str)] = &[
        ("max_attempts", "1"),
        ("period_hours", "1"),
        ("period_days", "1"),
        ("per", "\"person\""),
        ("counts", "\"attempts\""),
        ("after", "\"refused\""),
        ("cooloff_days", "1"),
    ];
}

/// The store tells of the attempts of the last 400 days: of a longer period it would know too little.
const DAYS_MAX: i64 = 400;

impl RuleKind for FrequencyCap {
    fn check(&self, _: &Common, _: &Names, faults: &mut Faults<'_>) {
        faults.within(
            "period_hours",
            self.period_hours.map(i64::from),
            1..=DAYS_MAX * 24,
        );
        faults.within("period_days", self.period_days, 1..=DAYS_MAX);
        faults.within("cooloff_days", self.cooloff_days, 1..=i64::MAX);
        let of_a_cap = [
            ("max_attempts", self.max_attempts.is_some()),
            ("counts", self.counts.is_some()),
            ("period_hours", self.period_hours.is_some()),
            ("period_days", self.period_days.is_some()),
        ];
        if self.after.is_some() {
            for (key, _) in of_a_cap.iter().filter(|(_, is_there)| *is_there) {
                faults.tell_of(
                    key,
                    format!(
                        "`{key}` belongs to a cap, and `after` to a rest; a row is one of the two"
                    ),
                );
            }
            return;
        }
        if self.cooloff_days.is_some() {
            faults.tell_of("cooloff_days", "`cooloff_days` needs `after`");
        }
        for (key, is_there) in of_a_cap.iter().take(2) {
            if !is_there {
                faults.tell_of(
                    "",
                    format!(
                        "`{key}` is missing; a cap takes `max_attempts`, `counts` and a period"
                    ),
                );
            }
        }
        match (self.period_hours, self.period_days) {
            (Some(_), Some(_)) => faults.tell_of(
                "period_days",
                "a cap takes one of `period_hours` and `period_days`, and not both",
            ),
            (None, None) => faults.tell_of(
                "",
                "`period_hours` or `period_days` is missing; a cap takes one of the two",
            ),
            _ => {}
        }
    }

    fn judge(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        match self.after {
            Some(after) => self.judge_rest(after, rule, moment),
            None => self.judge_cap(rule, moment),
        }
    }

    fn heals(&self) -> bool {
        self.after.is_none() || self.cooloff_days.is_some()
    }
}

impl FrequencyCap {
    /// How long after an attempt the row may still deny because of it; nothing if for ever.
    pub(in super::super) fn longest(&self) -> Duration {
        let days = self.period_days.max(self.cooloff_days).unwrap_or(0);
        // Its own day may be a day longer on the last of the clocks.
        let days = u64::try_from(days).unwrap_or(0).saturating_add(2);
        let hours =
            u64::from(self.period_hours.unwrap_or(0)).saturating_add(days.saturating_mul(24));
        Duration::from_secs(hours.saturating_mul(3600))
    }

    fn judge_cap(&self, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let max = self.max_attempts.unwrap_or(0);
        let made = self
            .attempts(moment)
            .filter(|attempt| self.is_recent(attempt, moment))
            .filter(|attempt| {
                self.counts != Some(Counts::Completed) || attempt.outcome != AttemptResult::NoAnswer
            })
            .count();
        let (length, unit) = match (self.period_hours, self.period_days) {
            (Some(hours), _) => (i64::from(hours), "hours"),
            (None, days) => (days.unwrap_or(0), "days"),
        };
        // This call is among those that the cap allows.
        if made < max {
            moment.pass(format_args!(
                "{made} of {max} attempts made within {length} {unit}"
            ))
        } else {
            moment.fail_unless_lifted(
                rule,
                format_args!("{made} attempts made within {length} {unit}, of {max} allowed"),
            )
        }
        .with(format_args!("attempts={made}"))
        .with(format_args!("max_attempts={max}"))
    }

    fn judge_rest(&self, after: After, rule: &Rule, moment: &Moment<'_>) -> Finding {
        let (outcome, words) = match after {
            After::Refused => (AttemptResult::Refused, "refused"),
            After::HungUp => (AttemptResult::HungUp, "hung up"),
        };
        let attempts = self.attempts(moment);
        let last = attempts
            .filter(|a| a.outcome == outcome)
            .map(|a| a.at)
            .max();
        let Some(at) = last else {
            return moment.pass(format_args!("the person has not {words}"));
        };
        let date = moment.date_of(at);
        match self.cooloff_days {
            // Full days: the day itself does not count, and day n is still one of them.
            Some(days) if moment.days_since(date) > days => moment.pass(format_args!(
                "the {days} days of rest after the person {words} are over"
            )),
            Some(days) => moment.fail_unless_lifted(
                rule,
                format_args!("the person {words}; {days} full days of rest follow"),
            ),
            None => moment.fail_unless_lifted(
                rule,
                format_args!("the person {words}; no further call may follow"),
            ),
        }
        .with(format_args!("attempt.at={at}"))
    }

    /// The attempts that this row looks at. An attempt of unknown subject counts for every subject.
    fn attempts<'a>(&self, moment: &Moment<'a>) -> impl Iterator<Item = &'a Attempt> {
        let scene = moment.scene;
        let (per, same_subject) = (self.per, self.same_subject);
        let subject = scene.case.call.subject.as_ref();
        scene.case.facts.attempts.iter().filter(move |attempt| {
            let number = attempt.to.is_none_or(|to| to == scene.number);
            let other_subject = attempt.subject.is_some()
                && subject.is_some()
                && attempt.subject.as_ref() != subject;
            (per == Per::Person || number) && !(same_subject && other_subject)
        })
    }

    /// Attempts that lie ahead of this clock count as well: some clock was wrong, and the call was made.
    fn is_recent(&self, attempt: &Attempt, moment: &Moment<'_>) -> bool {
        let in_hours = self.period_hours.is_some_and(|hours| {
            let period = Duration::from_secs(u64::from(hours) * 3600);
            // Exactly as old as the period has dropped out.
            attempt.at > moment.now.minus(period)
        });
        let in_days = (self.period_days)
            .is_some_and(|days| moment.days_since(moment.date_of(attempt.at)) < days);
        in_hours || in_days
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::decision::RuleOutcome::*;
    use crate::policy::testing::*;

    use crate::policy::facts::{Attempt, Case};

    const AT: &str = "2026-03-17T19:00:00Z";

    fn about(subject: &str, at: &str) -> Attempt {
        let mut attempt = attempt(at, "no_answer");
        attempt.subject = (!subject.is_empty()).then(|| subject.to_owned());
        attempt
    }

    fn tried(case: &mut Case, attempts: [Attempt; 3]) {
        case.call.subject = Some("roof".to_owned());
        case.facts.attempts = attempts.into();
    }

    #[test]
    fn hours_roll_and_the_subject_counts() {
        let mornings = ["2026-03-17T14:00:00Z", "2026-03-17T16:00:00Z"];
        for (what, oldest, subject, expected) in [
            (
                "three in 24 hours",
                "2026-03-16T19:00:00.000001Z",
                "roof",
                Fail,
            ),
            (
                "the oldest exactly 24 hours old",
                "2026-03-16T19:00:00Z",
                "roof",
                Pass,
            ),
            (
                "one of another subject",
                "2026-03-17T12:00:00Z",
                "pool",
                Pass,
            ),
            ("one of unknown subject", "2026-03-17T12:00:00Z", "", Fail),
            (
                "one by a clock that was ahead",
                "2026-03-17T19:00:09Z",
                "roof",
                Fail,
            ),
        ] {
            let mut case = case("US-FL", AT);
            tried(
                &mut case,
                [
                    about(subject, oldest),
                    about("roof", mornings[0]),
                    about("roof", mornings[1]),
                ],
            );
            assert_eq!(outcome(&case, "US-FL-cap"), expected, "{what}");
        }
    }

    #[test]
    fn days_are_local_calendar_days() {
        let mut case = case("FR", "2026-09-22T13:30:00Z");
        let rest = [
            "2026-09-01T09:00:00Z",
            "2026-09-08T09:00:00Z",
            "2026-09-15T09:00:00Z",
        ];
        for (first, expected) in [
            // 24 August in Paris is the first of 30 days; its midnight is 22:00 UTC.
            ("2026-08-23T22:00:00Z", Fail),
            ("2026-08-23T21:59:59Z", Pass),
        ] {
            case.facts.attempts = rest
                .iter()
                .chain([&first])
                .map(|at| attempt(at, "answered"))
                .collect();
            assert_eq!(outcome(&case, "FR-frequency"), expected, "{first}");
        }
    }

    #[test]
    fn a_refusal_is_followed_by_rest() {
        let mut case = case("FR", "2026-06-16T09:00:00Z");
        case.facts.attempts = vec![attempt("2026-04-10T09:00:00Z", "refused")];
        timeline(
            &case,
            "FR-refusal",
            &[
                ("2026-06-09T21:59:59Z", Fail),
                ("2026-06-09T22:00:00Z", Pass),
            ],
        );
        timeline(&case, "FR-refusal-final", &[("2036-06-10T12:00:00Z", Fail)]);
        case.facts.attempts = vec![attempt("2026-04-10T09:00:00Z", "answered")];
        timeline(&case, "FR-refusal-final", &[("2026-09-22T12:00:00Z", Pass)]);
    }

    #[test]
    fn caps_by_number_leave_other_numbers_out() {
        let mut case = case("US-NV", AT);
        case.call.call_kind = crate::domain::call::CallKind::Prerecorded;
        case.facts.attempts = vec![attempt("2020-03-17T12:00:00Z", "hung_up")];
        assert_eq!(
            outcome(&case, "US-NV-redial-prerecorded"),
            Fail,
            "no number said: this one"
        );
        case.facts.attempts[0].to =
            Some(crate::domain::phone::Phone::parse("+17025550199").unwrap());
        assert_eq!(outcome(&case, "US-NV-redial-prerecorded"), Pass);
    }
}
