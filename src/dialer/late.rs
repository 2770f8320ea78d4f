//! What a target says after its turn, and what it means for the call: who heard one ring is not told to be called again,
//! and who picked up has been called, whatever the target after it came to.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use crate::domain::call::{EventDetail, Outcome, Retry};
use crate::sip::{EndedBy, Ending, Heard, Rang};

use super::Phase;
use super::attempt::Under;
use super::journal::Journal;

/// Resolves once one of the earlier legs is answered while the present one is not; never otherwise.
pub(super) async fn elsewhere(earlier: Vec<Rang>, present: Rang) {
    if !any_answered(earlier).await || present.yet() == Heard::Answered {
        std::future::pending().await
    }
}

/// Waits for the first of these to be answered; false once nothing can be heard of any of them.
async fn any_answered(legs: Vec<Rang>) -> bool {
    let wait = |mut leg: Rang| Box::pin(async move { leg.answered().await });
    let mut waits: Vec<_> = legs.into_iter().map(wait).collect();
    poll_fn(|context| {
        let mut answered = false;
        waits.retain_mut(|wait| match wait.as_mut().poll(context) {
            Poll::Ready(is) => {
                answered |= is;
                false
            }
            Poll::Pending => true,
        });
        if answered || waits.is_empty() {
            Poll::Ready(answered)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Those of which an answer would be news.
pub(super) fn unanswered(legs: &[Rang]) -> Vec<Rang> {
    let silent = legs.iter().filter(|leg| leg.yet() != Heard::Answered);
    silent.cloned().collect()
}

/// How far the call has come beyond what its ending knows of.
pub(super) fn heard(legs: &[Rang], ending: &Ending) -> Heard {
    let Some((last, earlier)) = legs.split_last() else {
        return Heard::Nothing;
    };
    let last = match last.yet() {
        // It is judged so already, unless that came later still: what asks for the next target has not rung.
        Heard::Rang if ending.retry != Retry::Trunk => Heard::Nothing,
        Heard::Answered if ending.answered => Heard::Nothing,
        heard => heard,
    };
    earlier.iter().map(Rang::yet).fold(last, Heard::max)
}

/// The ending that takes the last target's place after what was heard late, if one does.
pub(super) fn outweighs(last: &Ending, heard: Heard) -> Option<Ending> {
    let refused = matches!(last.outcome, Outcome::Rejected | Outcome::Unwanted);
    let canceled = last.outcome == Outcome::Canceled && last.by == EndedBy::Us;
    let answered = matches!(
        last.outcome,
        Outcome::Answered | Outcome::AnsweredAfterCancel
    );
    match heard {
        // A refusal counts for more than either.
        _ if refused || answered => None,
        Heard::Nothing => None,
        // So does what forbids another call, and who canceled knows why.
        Heard::Rang if canceled || last.answered || last.retry == Retry::Never => None,
        Heard::Rang => {
            let silence = Ending::plain(Outcome::NoAnswer, Retry::Later, EndedBy::Timeout);
            Some(silence)
        }
        Heard::Answered => Some(Ending {
            answered: true,
            ..Ending::plain(Outcome::AnsweredAfterCancel, Retry::None, EndedBy::Us)
        }),
    }
}

/// Why the outcome is not the last target's, and what that was.
pub(super) fn note(last: &Ending, heard: Heard) -> EventDetail {
    let what = match heard {
        Heard::Answered => "was answered after all; that call was ended, for nobody was there",
        Heard::Rang | Heard::Nothing => "rang after all and was cancelled",
    };
    EventDetail {
        sip_code: last.code,
        sip_reason: last.reason.clone(),
        q850_cause: last.q850_cause,
        note: Some(format!(
            "a target that had been given up {what}; the last thing heard was `{}`",
            last.outcome
        )),
        ..EventDetail::default()
    }
}

impl Under<'_> {
    /// A phone that is picked up when all is written down has its line in the history too. It is over when `sip` forgets the
    /// call or the worker stops, which waits for the line of what was heard before.
    pub(super) fn listen_on(&self, legs: Vec<Rang>) {
        let (shared, call) = (Arc::clone(self.shared), self.leased.call.clone());
        let attempt_id = self.attempt_id;
        let mut phase = self.begun.phase.clone();
        let keepers = shared.keepers.clone();
        keepers.spawn(async move {
            let answered = tokio::select! {
                biased;
                answered = any_answered(legs) => answered,
                _ = phase.wait_for(|phase| *phase == Phase::Stopped) => false,
            };
            if answered {
                tracing::warn!(call.id = %call.call_id, "answered after its outcome was recorded, and hung up at once");
                let at = shared.clock.read().wall;
                Journal::new(&shared, &call, at)
                    .late_answer(attempt_id)
                    .await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_late_takes_the_place_of_what_says_less() {
        let (us, peer, silent) = (EndedBy::Us, EndedBy::Peer, EndedBy::Timeout);
        let no_answer = Some((Outcome::NoAnswer, Retry::Later, false));
        let answered = Some((Outcome::AnsweredAfterCancel, Retry::None, true));
        // The last target's own ending, what becomes of it if an earlier one rang, and if one was answered.
        for (outcome, retry, by, if_rang, if_answered) in [
            (
                Outcome::Unreachable,
                Retry::Trunk,
                silent,
                no_answer,
                answered,
            ),
            (Outcome::Congestion, Retry::Trunk, peer, no_answer, answered),
            (Outcome::Congestion, Retry::Soon, us, no_answer, answered),
            (Outcome::CarrierError, Retry::Fix, peer, no_answer, answered),
            (Outcome::TrunkRefused, Retry::Fix, peer, no_answer, answered),
            (Outcome::Busy, Retry::Soon, peer, no_answer, answered),
            (
                Outcome::Unreachable,
                Retry::Later,
                peer,
                no_answer,
                answered,
            ),
            (Outcome::NoAnswer, Retry::Later, us, no_answer, answered),
            (
                Outcome::PermitExpired,
                Retry::None,
                silent,
                no_answer,
                answered,
            ),
            (Outcome::Canceled, Retry::Later, peer, no_answer, answered),
            (Outcome::Canceled, Retry::None, us, None, answered),
            (Outcome::Canceled, Retry::Never, us, None, answered),
            (Outcome::InvalidNumber, Retry::Never, peer, None, answered),
            (
                Outcome::InterruptedUnknown,
                Retry::Never,
                us,
                None,
                answered,
            ),
            (Outcome::Rejected, Retry::Later, peer, None, None),
            (Outcome::Unwanted, Retry::Never, peer, None, None),
            (Outcome::Answered, Retry::None, peer, None, None),
            (Outcome::AnsweredAfterCancel, Retry::None, us, None, None),
        ] {
            let last = Ending::plain(outcome, retry, by);
            let becomes = |heard| {
                let ending = outweighs(&last, heard)?;
                Some((ending.outcome, ending.retry, ending.answered))
            };
            assert_eq!(becomes(Heard::Nothing), None, "{last:?}");
            assert_eq!(becomes(Heard::Rang), if_rang, "{last:?}");
            assert_eq!(becomes(Heard::Answered), if_answered, "{last:?}");
        }
    }
}
