//! Tasks that are carried out: which one is next, how one runs, and what becomes of it.
//!
//! Remotes take turns, and so do the rules at a remote. A remote that cannot be reached is left alone for a while, so that
//! its tasks do not keep others waiting.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{FutureExt, future::BoxFuture};
use rand::RngExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Replication, Rule,
    engine::{Running, read},
    task::{self, Ended},
};
use crate::{
    jobs::{Job, Queue},
    meta::{HeldTask, MetaError, TaskBytes, TaskEnd, TaskStatus},
    transfer::{
        Budget,
        send::{Destination, Progress, Sender, Source},
    },
};

/// Nobody else takes a task for so long after it was last heard of.
const HOLD: Duration = Duration::from_secs(30);
/// How often it is told how far a task is, and asked whether it is to stop.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Tasks at one remote at once.
const PER_REMOTE: usize = 4;
/// Blobs that one task sends at once.
const TRANSFERS: usize = 3;
/// Before a task is tried again: the first wait, doubled each time up to the last.
const BACKOFF: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What tasks are carried out with.
pub struct WorkParts {
    /// Our own repositories.
    pub source: Arc<dyn Source>,
    /// Bytes per second of all rules together.
    pub bandwidth: Option<u64>,
    pub shutdown: CancellationToken,
}

/// Takes tasks and carries them out.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

pub(super) struct Inner {
    pub(super) replication: Replication,
    pub(super) parts: WorkParts,
    everything: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which queue was served last.
    last: (String, Uuid),
    /// How many tasks run at a remote.
    at_remote: HashMap<String, usize>,
    /// How many tasks of a rule run.
    of_rule: HashMap<Uuid, usize>,
    /// Remotes that could not be reached, until when they are left alone.
    resting: HashMap<String, Instant>,
    destinations: HashMap<String, Destination>,
    budgets: HashMap<Uuid, Arc<Budget>>,
}

/// Counts a task while it runs.
struct Place {
    inner: Arc<Inner>,
    remote: String,
    rule: Uuid,
    execution: Uuid,
    /// Ends it, with the execution.
    stop: CancellationToken,
}

impl Worker {
    pub fn new(replication: Replication, parts: WorkParts) -> Self {
        let everything = Arc::new(Budget::new(parts.bandwidth.and_then(NonZeroU64::new)));
        Self(Arc::new(Inner {
            replication,
            parts,
            everything,
            state: Mutex::default(),
        }))
    }

    /// Carries out one task that is due, here and now. False: none is.
    pub async fn run_once(&self) -> bool {
        match self.take().await {
            Some(job) => {
                job.await;
                true
            }
            None => false,
        }
    }

    async fn next(&self) -> Result<Option<HeldTask>, MetaError> {
        let inner = &self.0;
        let meta = &inner.replication.inner.parts.meta;
        let mut queues = meta.task_queues().await?;
        let last = inner.state().last.clone();
        // After the one that was served last, round and round.
        let begin = queues.partition_point(|queue| *queue <= last);
        queues.rotate_left(begin);
        for (remote, rule) in queues {
            if !inner.has_room(&remote) {
                continue;
            }
            let due = meta.task_due(&remote, rule).await?;
            if due.is_none_or(|due| due > SystemTime::now()) {
                continue;
            }
            let held = meta.task_hold(&remote, rule, Uuid::now_v7(), HOLD).await?;
            if let Some(held) = held {
                inner.state().last = (remote, rule);
                return Ok(Some(held));
            }
        }
        Ok(None)
    }
}

impl Queue for Worker {
    fn take(&self) -> BoxFuture<'_, Option<Job>> {
        async {
            match self.next().await {
                Ok(held) => {
                    let held = held?;
                    let place = Place::new(&self.0, &held);
                    Some(carry_out(place, held).boxed())
                }
                Err(error) => {
                    warn!(%error, "cannot look for tasks: {error}");
                    None
                }
            }
        }
        .boxed()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, remote: &str) -> bool {
        let state = self.state();
        let rests = state.resting.get(remote);
        rests.is_none_or(|until| *until <= Instant::now())
            && state
                .at_remote
                .get(remote)
                .is_none_or(|count| *count < PER_REMOTE)
    }

    /// The destination of this name, as the remotes say it now.
    pub(super) fn destination(&self, remote: &str) -> Option<Destination> {
        let client = self
            .replication
            .inner
            .parts
            .remotes
            .get(remote)?
            .background();
        let mut state = self.state();
        if let Some(known) = state.destinations.get(remote)
            && known.client().is_of_same_remote(&client)
        {
            return Some(known.clone());
        }
        let destination = Destination::new(&client);
        state
            .destinations
            .insert(remote.to_owned(), destination.clone());
        Some(destination)
    }

    /// Keeps to the budgets of the rule, of one transfer, and of everything.
    pub(super) fn sender(&self, rule: &Rule, id: Uuid) -> Sender {
        let of_rule = Arc::clone(self.state().budgets.entry(id).or_default());
        of_rule.set(rule.bandwidth.and_then(NonZeroU64::new));
        let of_transfer = rule.transfer_bandwidth.and_then(NonZeroU64::new);
        let of_transfer = Arc::new(Budget::new(of_transfer));
        Sender::new(
            TRANSFERS,
            [of_rule, of_transfer, Arc::clone(&self.everything)],
        )
    }
}

impl Place {
    fn new(inner: &Arc<Inner>, held: &HeldTask) -> Self {
        let (remote, rule, execution) = (
            held.task.remote.clone(),
            held.rule_id,
            held.task.execution_id,
        );
        let mut state = inner.state();
        *state.at_remote.entry(remote.clone()).or_default() += 1;
        *state.of_rule.entry(rule).or_default() += 1;
        drop(state);
        let mut running = inner.running();
        let of_execution = running.entry(execution).or_default();
        of_execution.tasks += 1;
        let stop = of_execution.stop.clone();
        drop(running);
        Self {
            inner: Arc::clone(inner),
            remote,
            rule,
            execution,
            stop,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        less(&mut state.at_remote, &self.remote);
        less(&mut state.of_rule, &self.rule);
        drop(state);
        let mut running = self.inner.running();
        if let Some(of_execution) = running.get_mut(&self.execution) {
            of_execution.tasks = of_execution.tasks.saturating_sub(1);
            if of_execution.tasks == 0 {
                running.remove(&self.execution);
            }
        }
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Carries out a task that was taken, and writes down what became of it.
async fn carry_out(place: Place, held: HeldTask) {
    let inner = &place.inner;
    let (progress, log) = (Progress::default(), Log::default());
    log.line(format!("attempt {}", held.task.attempts));
    let ended = tokio::select! {
        ended = task::run(inner, &held, &progress, &log) => Some(ended),
        () = place.stop.cancelled() => Some(Ended::Stopped),
        () = inner.parts.shutdown.cancelled() => Some(Ended::Interrupted),
        told = tell(inner, &held, &progress, &log) => told,
    };
    let Some(ended) = ended else {
        info!(task = %held.task.id, "a task is somebody else's now");
        return;
    };
    let end = inner.end(&held, ended);
    log.line(words(&end));
    flush(inner, &held, &log).await;
    let meta = &inner.replication.inner.parts.meta;
    let written = meta.task_end(held.task.id, held.token, bytes(&progress), end);
    if let Err(error) = written.await {
        warn!(task = %held.task.id, %error, "it cannot be written what became of a task: {error}");
    }
    inner.replication.inner.to_work.notify_one();
}

/// Tells how far a task is, until it is to stop. `None`: it is somebody else's now.
async fn tell(inner: &Inner, held: &HeldTask, progress: &Progress, log: &Log) -> Option<Ended> {
    let meta = &inner.replication.inner.parts.meta;
    loop {
        sleep(TELL_EVERY).await;
        flush(inner, held, log).await;
        let kept = meta.task_keep(held.task.id, held.token, bytes(progress), HOLD);
        match kept.await {
            Ok(Some(TaskStatus::Stopping)) => return Some(Ended::Stopped),
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => warn!(task = %held.task.id, %error, "a task cannot be kept: {error}"),
        }
    }
}

async fn flush(inner: &Inner, held: &HeldTask, log: &Log) {
    let lines = log.take();
    if lines.is_empty() {
        return;
    }
    let meta = &inner.replication.inner.parts.meta;
    if let Err(error) = meta.task_log_put(held.task.id, lines).await {
        warn!(task = %held.task.id, %error, "lines of a task's log are lost: {error}");
    }
}

fn bytes(progress: &Progress) -> TaskBytes {
    let counted = progress.read();
    TaskBytes {
        total: counted.bytes_total,
        sent: counted.bytes_sent,
        skipped: counted.bytes_skipped,
    }
}

fn words(end: &TaskEnd) -> String {
    match end {
        TaskEnd::Succeeded { message: None } => "done".to_owned(),
        TaskEnd::Succeeded {
            message: Some(message),
        } => format!("done; {message}"),
        TaskEnd::Failed(error) => format!("failed: {error}"),
        TaskEnd::Stopped => "stopped".to_owned(),
        TaskEnd::Retry { at, error } => {
            let at = humantime::format_rfc3339_seconds(*at);
            format!("to be tried again at {at}: {error}")
        }
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        let running = self.replication.inner.running.lock();
        running.unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written of how a task ended: tried again later, or for the last time.
    fn end(&self, held: &HeldTask, ended: Ended) -> TaskEnd {
        let (error, after) = match ended {
            Ended::Succeeded { message } => return TaskEnd::Succeeded { message },
            Ended::Failed(error) => return TaskEnd::Failed(error),
            Ended::Stopped => return TaskEnd::Stopped,
            Ended::Interrupted => {
                let error = "the server was stopped".to_owned();
                let at = SystemTime::now();
                return TaskEnd::Retry { at, error };
            }
            Ended::Retry { error, after } => (error, after),
        };
        let wait = wait(held.task.attempts, after);
        self.state()
            .resting
            .insert(held.task.remote.clone(), Instant::now() + wait.min(BACKOFF));
        let retry_for = read(&held.members).map_or(Duration::ZERO, |rule| rule.retry_for);
        let at = SystemTime::now() + wait;
        if at > held.task.created_at + retry_for {
            let tried = humantime::format_duration(retry_for);
            return TaskEnd::Failed(format!("{error}; it was tried for {tried}"));
        }
        TaskEnd::Retry { at, error }
    }
}

/// How long a task waits after so many attempts: at least as long as the remote asks for.
fn wait(attempts: u64, after: Option<Duration>) -> Duration {
    let doubled = u32::try_from(attempts.saturating_sub(1).min(16)).expect("at most 16");
    let wait = BACKOFF.saturating_mul(1 << doubled).min(LONGEST_BACKOFF);
    let jitter = rand::rng().random_range(0.8..1.2);
    wait.mul_f64(jitter).max(after.unwrap_or_default())
}

/// What is to be told of a task, line by line.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(super) fn line(&self, line: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.into());
    }

    fn take(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_seconds_to_minutes_and_no_further() {
        let around = |attempts, seconds: u64| {
            let wait =
                wait(attempts, None).as_secs_f64() / Duration::from_secs(seconds).as_secs_f64();
            assert!((0.79..1.21).contains(&wait), "{attempts}: {wait}");
        };
        around(1, 5);
        around(2, 10);
        around(4, 40);
        around(7, 300);
        around(u64::MAX, 300);
        assert_eq!(
            wait(1, Some(Duration::from_secs(900))),
            Duration::from_secs(900)
        );
    }
}
