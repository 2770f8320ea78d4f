//! What comes next, as plain values: whether a webhook's turn is to be taken now, what an answer means, and how things stand after
//! it. Time comes in, and so does chance.

use std::time::Duration;

use crate::domain::time::Micros;
use crate::domain::webhook::{WebhookProgress, WebhookState};
use crate::http_client::{DeliveryError, Receipt};

/// Changes of one message.
pub const BATCH_MAX: i64 = 100;

/// The first pause after a failure, which doubles with each.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause that we choose ourselves.
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// The longest that a receiver may ask for.
const ASKED_MAX: Duration = Duration::from_hours(1);
/// Between two tries lies no more than this, unless no node was there to try.
const GAP_MAX: Duration = Duration::from_mins(70);

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The receiver has it.
    Taken,
    /// It has not, or nobody knows.
    Failed {
        /// What went wrong, in one word.
        problem: String,
        /// How long the receiver asked to be left alone.
        wait: Option<Duration>,
    },
    /// The receiver says that there is nobody any more.
    Gone,
}

/// Whether the time has come to try. A pause that is longer than any we make was made by a clock that was wrong.
pub(super) fn is_due(progress: &WebhookProgress, now: Micros) -> bool {
    progress.state == WebhookState::Delivering
        && progress
            .next_try_at
            .is_none_or(|at| at <= now || at > now.plus(ASKED_MAX))
}

/// How many changes the next message has at most: what was sent and not taken is sent again as it was.
pub(super) fn batch_size(progress: &WebhookProgress) -> i64 {
    let again = progress
        .batch_end
        .map(|end| end.saturating_sub(progress.delivered));
    again.filter(|size| *size > 0).unwrap_or(BATCH_MAX)
}

/// What this outcome means.
pub(super) fn read(outcome: &Result<Receipt, DeliveryError>, now: Micros) -> Answer {
    let problem = match outcome {
        Ok(receipt) if (200..300).contains(&receipt.status) => return Answer::Taken,
        Ok(receipt) if receipt.status == 410 => return Answer::Gone,
        Ok(receipt) => format!("http_{}", receipt.status),
        Err(DeliveryError::Refused) => "address_refused".to_owned(),
        Err(DeliveryError::Unresolved) => "unresolved".to_owned(),
        Err(DeliveryError::Timeout) => "timeout".to_owned(),
        Err(DeliveryError::Unreachable) => "unreachable".to_owned(),
        Err(DeliveryError::Broken) => "broken".to_owned(),
    };
    let wait = match outcome {
        Ok(receipt) if matches!(receipt.status, 429 | 503) => {
            let asked = receipt.retry_after.as_deref();
            asked.and_then(|text| asked_for(text, now))
        }
        _ => None,
    };
    Answer::Failed { problem, wait }
}

/// `Retry-After`: seconds, or a date.
fn asked_for(text: &str, now: Micros) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(ASKED_MAX));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let micros = Micros::from(at).since(now);
    let span = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    Some(span.min(ASKED_MAX))
}

/// How things stand after a delivery up to `last` came to this; `chance` is any number.
pub(super) fn after(
    before: &WebhookProgress,
    last: i64,
    answer: &Answer,
    retry_for: Duration,
    (now, chance): (Micros, u32),
) -> WebhookProgress {
    let (problem, wait) = match answer {
        Answer::Taken => {
            return WebhookProgress {
                delivered: last,
                delivered_at: Some(now),
                round: before.round,
                ..WebhookProgress::new(before.name.clone(), last)
            };
        }
        Answer::Gone => ("http_410", None),
        Answer::Failed { problem, wait } => (problem.as_str(), *wait),
    };
    let failing_for = before.failing_for.saturating_add(gap(before, now));
    let is_over = *answer == Answer::Gone || failing_for >= retry_for;
    let pause = wait.unwrap_or_default().max(pause(before.tries, chance));
    WebhookProgress {
        batch_end: Some(last),
        state: if is_over {
            WebhookState::Parked
        } else {
            WebhookState::Delivering
        },
        tries: before.tries.saturating_add(1),
        failing_since: before.failing_since.or(Some(now)),
        tried_at: Some(now),
        failing_for,
        next_try_at: (!is_over).then(|| now.plus(pause)),
        last_problem: Some(problem.to_owned()),
        ..before.clone()
    }
}

/// From the try before to this one. A night in which no node ran is no night in which it was tried, and a clock that was set
/// parks nobody.
fn gap(before: &WebhookProgress, now: Micros) -> Duration {
    let micros = before.tried_at.map_or(0, |at| now.since(at));
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).min(GAP_MAX)
}

/// Anything between the shortest pause and what so many failures come to: receivers that come back are not met by everybody
/// at once.
fn pause(tries: i64, chance: u32) -> Duration {
    let doublings = u32::try_from(tries.clamp(0, 16)).unwrap_or(0);
    let most = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let above = most.saturating_sub(PAUSE_MIN);
    PAUSE_MIN + above.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_hours(24);

    fn at(seconds: i64) -> Micros {
        Micros((1_795_262_400 + seconds) * 1_000_000)
    }

    fn failed() -> Answer {
        Answer::Failed {
            problem: "http_500".to_owned(),
            wait: None,
        }
    }

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let receipt = Receipt {
            status,
            retry_after: retry_after.map(str::to_owned),
        };
        read(&Ok(receipt), at(0))
    }

    #[test]
    fn p32_only_2xx_is_taken_and_who_asks_for_time_gets_it() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(answer(status, Some("5")), Answer::Taken, "{status}");
        }
        assert_eq!(answer(410, None), Answer::Gone);
        let wait = |status, header| match answer(status, Some(header)) {
            Answer::Failed { wait, problem } => {
                assert_eq!(problem, format!("http_{status}"));
                wait.map(|span| span.as_secs())
            }
            other => panic!("{other:?}"),
        };
        for (status, header, wanted) in [
            (503, "120", Some(120)),
            (429, "120", Some(120)),
            (503, " 7 ", Some(7)),
            (503, "0", Some(0)),
            (503, "999999999999", Some(3600)),
            (503, "Sat, 21 Nov 2026 12:02:00 GMT", Some(120)),
            (503, "Sat, 21 Nov 2026 11:00:00 GMT", Some(0)),
            (503, "Sat, 21 Nov 2099 12:00:00 GMT", Some(3600)),
            (503, "soon", None),
            (503, "-5", None),
            (500, "120", None),
            (301, "120", None),
            (404, "120", None),
        ] {
            assert_eq!(wait(status, header), wanted, "{status} {header}");
        }
        for (error, problem) in [
            (DeliveryError::Refused, "address_refused"),
            (DeliveryError::Timeout, "timeout"),
        ] {
            let wanted = Answer::Failed {
                problem: problem.to_owned(),
                wait: None,
            };
            assert_eq!(read(&Err(error), at(0)), wanted);
        }
    }

    #[test]
    fn p32_what_was_sent_is_sent_again_as_it_was() {
        let before = WebhookProgress::new("crm".to_owned(), 7);
        assert_eq!(batch_size(&before), BATCH_MAX);
        let after_failure = after(&before, 9, &failed(), RETRY, (at(0), 0));
        assert_eq!(batch_size(&after_failure), 2);
        assert_eq!(after_failure.delivered, 7);
        assert_eq!(after_failure.next_try_at, Some(at(1)));
        let taken = after(&after_failure, 9, &Answer::Taken, RETRY, (at(5), 0));
        let wanted = WebhookProgress {
            delivered_at: Some(at(5)),
            ..WebhookProgress::new("crm".to_owned(), 9)
        };
        assert_eq!(taken, wanted);
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_are_drawn() {
        for (tries, chance, millis) in [
            (0, u32::MAX, 1_000),
            (1, u32::MAX, 2_000),
            (2, u32::MAX, 4_000),
            (2, 0, 1_000),
            (9, u32::MAX, 512_000),
            (10, u32::MAX, 600_000),
            (1_000_000, u32::MAX, 600_000),
            (1_000_000, 0, 1_000),
        ] {
            assert_eq!(
                pause(tries, chance),
                Duration::from_millis(millis),
                "{tries} {chance}"
            );
        }
    }

    #[test]
    fn p32_it_is_tried_for_the_whole_time_and_then_parked() {
        let mut now = at(0);
        let mut progress = WebhookProgress::new("crm".to_owned(), 7);
        while progress.state == WebhookState::Delivering {
            assert!(now <= at(24 * 3600 + 600), "for ever: {progress:?}");
            progress = after(&progress, 9, &failed(), RETRY, (now, u32::MAX));
            now = progress.next_try_at.unwrap_or(now);
        }
        assert!(now >= at(24 * 3600), "parked at {now}");
        assert!(progress.tries > 140, "{}", progress.tries);
        assert_eq!(progress.failing_since, Some(at(0)));
        assert!(!is_due(&progress, now.plus(RETRY)));
    }

    #[test]
    fn time_in_which_nobody_tried_and_clocks_that_were_set_park_nobody() {
        let first = after(
            &WebhookProgress::new("crm".to_owned(), 7),
            9,
            &failed(),
            RETRY,
            (at(0), 0),
        );
        let week = 7 * 24 * 3600;
        let later = after(&first, 9, &failed(), RETRY, (at(week), 0));
        assert_eq!(later.state, WebhookState::Delivering);
        let back = after(&later, 9, &failed(), RETRY, (at(0), 0));
        assert_eq!(back.failing_for, GAP_MAX);
        // Set back by a week, the pause would last for one.
        assert!(is_due(&later, at(0)));
        assert!(!is_due(&first, at(0)) && is_due(&first, at(1)));
    }

    proptest::proptest! {
        /// Whatever is answered in whatever order: nothing is passed over, nothing is taken back.
        #[test]
        fn p32_a_place_moves_only_by_what_was_taken(steps in proptest::collection::vec((0_u8..4, 0_i64..5000, 1_i64..200), 1..60)) {
            let mut now = at(0);
            let mut progress = WebhookProgress::new("crm".to_owned(), 0);
            for (kind, seconds, size) in steps {
                now = now.plus(Duration::from_secs(seconds.unsigned_abs()));
                let last = progress.delivered + size.min(batch_size(&progress));
                let last = progress.batch_end.unwrap_or(last);
                let answer = match kind {
                    0 => Answer::Taken,
                    1 => Answer::Gone,
                    _ => failed(),
                };
                let next = after(&progress, last, &answer, RETRY, (now, 7));
                match answer {
                    Answer::Taken => assert_eq!((next.delivered, next.batch_end, next.tries), (last, None, 0)),
                    _ => assert_eq!((next.delivered, next.batch_end), (progress.delivered, Some(last))),
                }
                assert_eq!(next.next_try_at.is_some(), next.tries > 0 && next.state == WebhookState::Delivering);
                progress = next;
            }
        }
    }
}
