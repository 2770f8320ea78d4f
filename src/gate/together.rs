//! What is done for several at once, because a commit costs the same for one as for many. Whoever comes while it is being done
//! for others is served together with all who came meanwhile; who comes alone is served alone, and at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// Most that are served at once.
const MOST: usize = 64;

/// How many are at it at the same time: while one waits for its commit, the next can be put together.
const TURNS: usize = 2;

/// Where those wait who want the same done.
pub(super) struct Together<J, A> {
    waiting: Mutex<Waiting<J, A>>,
    turns: Arc<Semaphore>,
}

struct Waiting<J, A> {
    jobs: VecDeque<(J, oneshot::Sender<A>)>,
    /// How many have come, and how many of them were taken.
    came: u64,
    taken: u64,
}

impl<J, A> Default for Together<J, A> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                came: 0,
                taken: 0,
            }),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }
}

impl<J: Send + 'static, A: Send + 'static> Together<J, A> {
    /// The answer to this job. `serve` answers any number of them, in their order; it goes on although its caller goes away, for
    /// others wait for it. `None` = it did not come to its end.
    pub(super) async fn ask<F>(&self, job: J, serve: impl Fn(Vec<J>) -> F) -> Option<A>
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let mine = self.join(job, reply);
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answer => return answer.ok(),
                turn = Arc::clone(&self.turns).acquire_owned() => turn.ok()?,
            };
            let (jobs, replies) = self.take();
            let is_taken = self.taken() >= mine;
            if !jobs.is_empty() {
                let served = serve(jobs);
                tokio::spawn(async move {
                    let _turn = turn;
                    for (reply, answer) in replies.into_iter().zip(served.await) {
                        // Who went away does not want to know.
                        let _ = reply.send(answer);
                    }
                });
            }
            if is_taken {
                return answer.await.ok();
            }
        }
    }

    fn join(&self, job: J, reply: oneshot::Sender<A>) -> u64 {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.jobs.push_back((job, reply));
        waiting.came += 1;
        waiting.came
    }

    fn take(&self) -> (Vec<J>, Vec<oneshot::Sender<A>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.jobs.len().min(MOST);
        waiting.taken += count as u64;
        waiting.jobs.drain(..count).unzip()
    }

    fn taken(&self) -> u64 {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Doubling = Together<u64, (u64, usize)>;

    /// Twice the number, and how many were doubled with it.
    async fn double(jobs: Vec<u64>) -> Vec<(u64, usize)> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let count = jobs.len();
        jobs.into_iter().map(|job| (2 * job, count)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_gets_its_own_answer_and_many_share_the_work() {
        let doubling = Arc::new(Doubling::default());
        assert_eq!(doubling.ask(4, double).await, Some((8, 1)), "alone");
        let mut asking = tokio::task::JoinSet::new();
        for job in 0..300 {
            let doubling = Arc::clone(&doubling);
            asking.spawn(async move { (job, doubling.ask(job, double).await.unwrap()) });
        }
        let told = asking.join_all().await;
        assert!(told.iter().all(|(job, (twice, _))| *twice == 2 * job));
        let largest = told.iter().map(|(_, (_, count))| *count).max();
        assert_eq!(largest, Some(MOST));
        assert_eq!(
            told.iter().filter(|(_, (_, count))| *count == 1).count(),
            TURNS
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_holds_up_nobody() {
        let doubling = Arc::new(Doubling::default());
        let mut gone = Vec::new();
        for job in 0..10 {
            let doubling = Arc::clone(&doubling);
            gone.push(tokio::spawn(async move { doubling.ask(job, double).await }));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(doubling.ask(21, double).await.map(|told| told.0), Some(42));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_those_who_met_it() {
        let doubling = Doubling::default();
        let fail = |_| async { panic!("on purpose") };
        assert_eq!(doubling.ask(1, fail).await, None);
        assert_eq!(doubling.ask(2, double).await, Some((4, 1)));
    }
}
