//! How the endpoint's one task hears what the owners of all its calls ask for: the channel of each call rings a bell of its
//! own, which wakes the task and tells it which channel to look at. A task for each call would cost more than the call's
//! messages do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The bells of all calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Bells(Arc<Mutex<Board>>);

/// Calls that rang, each once however often it did, and who is to be woken.
#[derive(Debug, Default)]
struct Board {
    rang: BTreeSet<u64>,
    task: Option<Waker>,
}

impl Bells {
    /// The bell of one call, for its channel.
    pub(super) fn of(&self, key: u64) -> Waker {
        let bells = self.clone();
        Waker::from(Arc::new(Bell { bells, key }))
    }

    /// Those that rang since the last time.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<BTreeSet<u64>> {
        let mut board = self.board();
        if board.rang.is_empty() {
            board.task = Some(context.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(std::mem::take(&mut board.rang))
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Bell {
    bells: Bells,
    key: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut board = self.bells.board();
            board.rang.insert(self.key);
            board.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_that_rings_often_is_told_once_and_wakes_once() {
        let (bells, task) = (Bells::default(), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        let context = Context::from_waker(&waker);
        assert_eq!(bells.poll(&context), Poll::Pending);
        let [one, two] = [1, 2].map(|key| bells.of(key));
        two.wake_by_ref();
        one.wake_by_ref();
        two.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert_eq!(bells.poll(&context), Poll::Ready([1, 2].into()));
        assert_eq!(bells.poll(&context), Poll::Pending);
        one.wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
        assert_eq!(bells.poll(&context), Poll::Ready([1].into()));
    }
}
