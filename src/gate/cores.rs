//! Work on the questions of a batch that needs nothing but the processor, shared out over its cores. The law is pure: it does
//! not matter where a question is judged, and while a batch is judged its database waits.

use std::num::NonZero;
use std::thread;

/// So few questions are answered sooner than another thread is started.
const ALONE: usize = 32;

/// Does the work for each item, in order of the items.
pub(super) fn on_all_cores<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores).max(ALONE);
    let (count, work) = (items.len(), &work);
    let mut items = items.into_iter();
    thread::scope(|scope| {
        let first: Vec<T> = items.by_ref().take(share).collect();
        let others: Vec<_> = (share..count)
            .step_by(share)
            .map(|_| {
                let part: Vec<T> = items.by_ref().take(share).collect();
                scope.spawn(move || part.into_iter().map(work).collect::<Vec<R>>())
            })
            .collect();
        let mut done: Vec<R> = first.into_iter().map(work).collect();
        for other in others {
            match other.join() {
                Ok(part) => done.extend(part),
                // As if it had happened here: the gate's task ends, and the node with it.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_the_questions() {
        for count in [0, 1, ALONE - 1, ALONE, ALONE + 1, 256, 1_001] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(on_all_cores(items, |item| item * 2), doubled);
        }
    }

    #[test]
    fn a_panic_on_another_core_is_one_here() {
        let items: Vec<usize> = (0..256).collect();
        let ended = std::panic::catch_unwind(|| {
            on_all_cores(items, |item| assert_ne!(item, 255, "the last item"))
        });
        assert!(ended.is_err());
    }
}
