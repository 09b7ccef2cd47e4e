//! Work in the background: takes what is due from a queue, and runs so many jobs at once. Layer 1; knows no job. What is
//! to be done is in rows that the queue leases, so that nothing is lost when the process dies.

mod backoff;

pub use backoff::backoff;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long jobs have to end at a shutdown; what is cut then is found by its lease.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A job that was taken; it runs to its end by itself, and soon ends at a shutdown.
pub type Job = BoxFuture<'static, ()>;

/// Where jobs come from.
pub trait Queue: Send + Sync + 'static {
    /// Takes jobs that are due, so many at most. None: there is none now.
    fn take(&self, most: usize) -> BoxFuture<'_, Vec<Job>>;
}

/// Runs up to `concurrency` jobs at once until the shutdown. Looks for more when `wake` is notified, when a job ends, and
/// every `poll`.
pub async fn run(
    queue: impl Queue,
    concurrency: usize,
    wake: Arc<Notify>,
    poll: Duration,
    shutdown: CancellationToken,
) {
    let mut running = JoinSet::new();
    while !shutdown.is_cancelled() {
        // Before the look: a wake-up that comes meanwhile counts.
        let woken = wake.notified();
        let mut places = concurrency.max(1).saturating_sub(running.len());
        while places > 0 {
            let jobs = queue.take(places).await;
            if jobs.is_empty() {
                break;
            }
            places = places.saturating_sub(jobs.len());
            for job in jobs {
                running.spawn(job);
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = woken => {}
            () = sleep(poll) => {}
            Some(_) = running.join_next() => {}
        }
        // Who ended together makes room together.
        while running.try_join_next().is_some() {}
    }
    let ended = async { while running.join_next().await.is_some() {} };
    if timeout(END_TIMEOUT, ended).await.is_err() {
        tracing::warn!("jobs are cut that did not end in time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    struct Jobs {
        waiting: Mutex<usize>,
        running: Arc<AtomicUsize>,
        peak: Arc<AtomicUsize>,
        done: Arc<Semaphore>,
        gate: Arc<Semaphore>,
    }

    impl Queue for Arc<Jobs> {
        fn take(&self, most: usize) -> BoxFuture<'_, Vec<Job>> {
            let mut waiting = self.waiting.lock().unwrap();
            let taken = most.min(*waiting);
            *waiting -= taken;
            let jobs = std::iter::repeat_with(|| {
                let jobs = Arc::clone(self);
                let job = async move {
                    let now = jobs.running.fetch_add(1, SeqCst) + 1;
                    jobs.peak.fetch_max(now, SeqCst);
                    jobs.gate.acquire().await.unwrap().forget();
                    jobs.running.fetch_sub(1, SeqCst);
                    jobs.done.add_permits(1);
                };
                job.boxed()
            });
            let jobs: Vec<Job> = jobs.take(taken).collect();
            async { jobs }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_jobs_run_at_once_and_a_wake_up_brings_more() {
        let jobs = Arc::new(Jobs {
            waiting: Mutex::new(5),
            running: Arc::default(),
            peak: Arc::default(),
            done: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
        });
        let (wake, shutdown) = (Arc::new(Notify::new()), CancellationToken::new());
        let poll = Duration::from_secs(3600);
        let loops = run(
            Arc::clone(&jobs),
            2,
            Arc::clone(&wake),
            poll,
            shutdown.clone(),
        );
        let loops = tokio::spawn(loops);
        while jobs.running.load(SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        jobs.gate.add_permits(5);
        drop(jobs.done.acquire_many(5).await.unwrap());
        assert_eq!(jobs.peak.load(SeqCst), 2);
        *jobs.waiting.lock().unwrap() = 1;
        jobs.gate.add_permits(1);
        wake.notify_one();
        drop(jobs.done.acquire_many(6).await.unwrap());
        shutdown.cancel();
        loops.await.unwrap();
    }
}
