//! An open loop: questions start when they are planned, whether earlier ones were answered or not, and their time counts
//! from the plan. A server that stalls cannot hide it by being asked less.

use std::time::Duration;

use tokio::runtime::Handle;

use super::{now, sleep_until};

/// Asks `rate` times a second for so long; answers how long each took from its planned start.
pub async fn open_loop<F, A>(rate: u32, span: Duration, ask: F) -> Vec<Duration>
where
    F: Fn(u32) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let count = u32::try_from(span.as_millis()).unwrap() * rate / 1_000;
    let runtime = Handle::current();
    // A thread, for it must begin to the tenth of a millisecond.
    let pacer = std::thread::spawn(move || {
        let begun = now() + Duration::from_millis(20);
        let asked = (0..count).map(|index| {
            let planned = begun + Duration::from_secs(1) * index / rate;
            sleep_until(planned);
            let answer = ask(index);
            runtime.spawn(async move {
                answer.await;
                now() - planned
            })
        });
        asked.collect::<Vec<_>>()
    });
    let asked = tokio::task::spawn_blocking(|| pacer.join().unwrap())
        .await
        .unwrap();
    let mut took = Vec::with_capacity(asked.len());
    for each in asked {
        took.push(each.await.unwrap());
    }
    took
}

/// The same for work that blocks and needs nobody else, one after the other on one thread.
pub fn open_loop_blocking(rate: u32, span: Duration, mut work: impl FnMut(u32)) -> Vec<Duration> {
    let count = u32::try_from(span.as_millis()).unwrap() * rate / 1_000;
    let begun = now() + Duration::from_millis(20);
    let took = (0..count).map(|index| {
        let planned = begun + Duration::from_secs(1) * index / rate;
        sleep_until(planned);
        work(index);
        now() - planned
    });
    took.collect()
}
