//! Providers that are asked of one number, online, and what they said.

use jiff::civil::Date;

use super::ids::ScrubResultId;
use super::party::LineType;
use super::phone::NumberKey;
use super::text::words;
use super::time::Micros;

words! {
    /// What a provider is asked.
    ProviderKind, "kind of provider" {
        /// Whether the number was given up since a date, and may be somebody else's now.
        Reassigned = "reassigned",
        /// What kind of line it is.
        LineType = "line_type",
        /// Whether its holder is known for suing callers.
        Litigator = "litigator",
    }
}

words! {
    /// What came of a question. Only `clear` and `listed` are answers; the other two are never `clear`.
    ScrubOutcome, "result of a question to a provider" {
        /// The number is on the list, or was given up.
        Listed = "listed",
        /// It is not; of a line type: the provider knows it.
        Clear = "clear",
        /// The provider answered that it cannot tell, or in words that nobody knows.
        Unknown = "unknown",
        /// There was no answer that can be believed.
        Error = "error",
    }
}

/// One question to one provider, answered. Only added; what holds of several is [`ScrubResult::standing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubResult {
    /// Identifier.
    pub scrub_result_id: ScrubResultId,
    /// The number that was asked about.
    pub number_key: NumberKey,
    /// Name of the provider in the configuration.
    pub provider: String,
    /// What it was asked.
    pub kind: ProviderKind,
    /// What came of it.
    pub result: ScrubOutcome,
    /// The provider's own word, or ours for what went wrong: letters, never a number of anybody.
    pub raw_code: String,
    /// The line type, where that was asked and answered.
    pub line_type: Option<LineType>,
    /// Of reassignment: since when.
    pub for_date: Option<Date>,
    /// When it was asked.
    pub asked_at: Micros,
    /// When it was answered, or given up.
    pub answered_at: Micros,
    /// Until when it counts; a question that would be answered by it is not asked again before.
    pub valid_until: Micros,
}

impl ScrubResult {
    /// Whether this answers the question at that instant, so that nobody need ask again. Given up since March answers for
    /// February too; not given up since February answers for March. Where no date matters, any does.
    #[must_use]
    pub fn answers(&self, since: Option<Date>, at: Micros) -> bool {
        let covers = match (self.for_date, since) {
            (Some(asked), Some(wanted)) => match self.result {
                ScrubOutcome::Listed => asked >= wanted,
                ScrubOutcome::Clear => asked <= wanted,
                ScrubOutcome::Unknown | ScrubOutcome::Error => asked == wanted,
            },
            _ => true,
        };
        covers && self.is_valid(at)
    }

    /// Which of one provider's results on one number holds: a listing until its validity is over, whatever is weaker and
    /// newer; else the newest that clears the question; else one that lists the number for an earlier date, for nobody has
    /// cleared this one; else the newest, which knows nothing.
    #[must_use]
    pub fn standing<'a>(results: &[&'a Self], since: Option<Date>, at: Micros) -> Option<&'a Self> {
        let newest = |holds: &dyn Fn(&Self) -> bool| {
            let holding = results.iter().copied().filter(|each| holds(each));
            holding.max_by_key(|each| (each.answered_at, each.scrub_result_id))
        };
        let of = |each: &Self, outcome| each.result == outcome && each.is_valid(at);
        let answering = |outcome| newest(&|each| of(each, outcome) && each.answers(since, at));
        answering(ScrubOutcome::Listed)
            .or_else(|| answering(ScrubOutcome::Clear))
            .or_else(|| newest(&|each| of(each, ScrubOutcome::Listed)))
            .or_else(|| {
                newest(&|each| matches!(each.result, ScrubOutcome::Unknown | ScrubOutcome::Error))
            })
    }

    fn is_valid(&self, at: Micros) -> bool {
        at < self.valid_until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Micros = Micros(1_795_262_400_000_000);

    fn result(outcome: ScrubOutcome, since: &str, minute: u64, valid_minutes: u64) -> ScrubResult {
        let answered_at = NOON.plus(Duration::from_mins(minute));
        ScrubResult {
            scrub_result_id: ScrubResultId::new(answered_at),
            number_key: NumberKey([7; 32]),
            provider: "rnd".to_owned(),
            kind: ProviderKind::Reassigned,
            result: outcome,
            raw_code: "true".to_owned(),
            line_type: None,
            for_date: Some(since.parse().unwrap()),
            asked_at: answered_at,
            answered_at,
            valid_until: answered_at.plus(Duration::from_mins(valid_minutes)),
        }
    }

    #[test]
    fn p06_nothing_weaker_takes_the_place_of_a_valid_answer() {
        use ScrubOutcome::{Clear, Error, Listed, Unknown};
        let (march, may) = ("2026-03-01", "2026-05-01");
        let at = NOON.plus(Duration::from_mins(10));
        let mut cases = Vec::new();
        let mut case = |what, results: Vec<ScrubResult>, stands, is_answered| {
            cases.push((what, results, stands, is_answered));
        };
        case("nothing", vec![], None, false);
        for weak in [Unknown, Error] {
            let after = |outcome| vec![result(outcome, march, 0, 60), result(weak, march, 5, 60)];
            case("after a listing", after(Listed), Some(Listed), true);
            case("after a clearing", after(Clear), Some(Clear), true);
            case("alone", vec![result(weak, march, 5, 60)], Some(weak), true);
            case("over", vec![result(weak, march, 0, 1)], Some(weak), false);
        }
        let both = |first, second| vec![result(first, march, 0, 60), result(second, march, 5, 60)];
        case("a listing stays", both(Listed, Clear), Some(Listed), true);
        case(
            "a clearing is replaced",
            both(Clear, Listed),
            Some(Listed),
            true,
        );
        let ended = vec![result(Listed, march, 0, 6), result(Clear, march, 5, 60)];
        case("a listing ends", ended, Some(Clear), true);
        case(
            "a clearing ends",
            vec![result(Clear, march, 0, 10)],
            None,
            false,
        );
        // Asked since March.
        case(
            "given up since May",
            vec![result(Listed, may, 0, 60)],
            Some(Listed),
            true,
        );
        case(
            "not since May",
            vec![result(Clear, may, 0, 60)],
            None,
            false,
        );
        let before = "2026-01-01";
        let earlier = |outcome| vec![result(outcome, before, 0, 60)];
        case(
            "given up since January: perhaps before March",
            earlier(Listed),
            Some(Listed),
            false,
        );
        case("not since January", earlier(Clear), Some(Clear), true);
        let since = Some(march.parse().unwrap());
        for (what, results, stands, is_answered) in cases {
            for results in [
                results.iter().collect(),
                results.iter().rev().collect::<Vec<_>>(),
            ] {
                let found = ScrubResult::standing(&results, since, at);
                assert_eq!(found.map(|each| each.result), stands, "{what}");
                let answered = results.iter().any(|each| each.answers(since, at));
                assert_eq!(answered, is_answered, "{what}");
            }
        }
    }
}
