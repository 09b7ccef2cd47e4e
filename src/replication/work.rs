//! Tasks that are carried out: which one is next, how one runs, and what becomes of it.
//!
//! Remotes take turns, and so do the rules at a remote. A remote that cannot be reached is left alone for a while, so that
//! its tasks do not keep others waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Replication,
    backoff::{SHORTEST, wait},
    budgets::Budgets,
    engine::read,
    log::Log,
    pull::CLOSED,
    seat::Seat,
    task,
    trouble::{Ended, Fault},
    turns::Turns,
};
use crate::{
    jobs::{Job, Queue},
    meta::{HeldTask, TaskBytes, TaskEnd, TaskStatus},
    transfer::{
        Budget,
        send::{Destination, Progress, Source},
    },
};

/// Nobody else takes a task for so long after it was last heard of.
pub(super) const HOLD: Duration = Duration::from_secs(30);
/// How often it is told how far a task is, and asked whether it is to stop.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What tasks are carried out with.
pub struct WorkParts {
    /// Our own repositories.
    pub source: Arc<dyn Source>,
    /// About so many tasks run at once; each remote always has a place.
    pub concurrency: usize,
    /// What all rules together keep to; may change meanwhile.
    pub everything: Arc<Budget>,
    pub shutdown: CancellationToken,
}

/// Takes tasks and carries them out.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

pub(super) struct Inner {
    pub(super) replication: Replication,
    pub(super) parts: WorkParts,
    pub(super) turns: Turns,
    destinations: Mutex<HashMap<String, Destination>>,
    /// Of the rules that have tasks here.
    pub(super) budgets: Mutex<HashMap<Uuid, Arc<Budget>>>,
}

/// A task while it runs.
struct Place {
    seat: Seat,
    execution: Uuid,
    /// Ends it, with the execution.
    stop: CancellationToken,
}

impl Worker {
    pub fn new(replication: Replication, parts: WorkParts) -> Self {
        Self(Arc::new(Inner {
            replication,
            turns: Turns::new(parts.concurrency),
            parts,
            destinations: Mutex::default(),
            budgets: Mutex::default(),
        }))
    }
}

impl Queue for Worker {
    fn take(&self, most: usize) -> BoxFuture<'_, Vec<Job>> {
        async move {
            let held = self.0.take(most).await.unwrap_or_else(|error| {
                warn!(%error, "cannot look for tasks: {error}");
                Vec::new()
            });
            let jobs = held.into_iter().map(|(seat, held)| {
                let place = Place::new(seat, &held);
                carry_out(place, held).boxed()
            });
            jobs.collect()
        }
        .boxed()
    }
}

impl Inner {
    /// How many tasks a remote takes at once; `None`: it does not say.
    pub(super) fn limit(&self, remote: &str) -> Option<usize> {
        if self.replication.closed_until(remote).is_some() {
            return Some(0);
        }
        let client = self.replication.inner.parts.remotes.get(remote)?;
        client.remote().max_concurrent.map(|limit| limit as usize)
    }

    /// The destination of this name, as the remotes say it now.
    pub(super) fn destination(&self, remote: &str) -> Option<Destination> {
        let client = self.replication.inner.parts.remotes.get(remote)?;
        let client = client.background();
        let mut destinations = locked(&self.destinations);
        let is_same = |known: &&Destination| {
            let known = known.client();
            known.is_some_and(|known| known.is_of_same_remote(&client))
        };
        if let Some(known) = destinations.get(remote).filter(is_same) {
            return Some(known.clone());
        }
        let destination = Destination::new(&client);
        destinations.insert(remote.to_owned(), destination.clone());
        Some(destination)
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    fn new(seat: Seat, held: &HeldTask) -> Self {
        let execution = held.task.execution_id;
        let mut running = locked(&seat.inner.replication.inner.running);
        let of_execution = running.entry(execution).or_default();
        of_execution.tasks += 1;
        let stop = of_execution.stop.clone();
        drop(running);
        Self {
            seat,
            execution,
            stop,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = locked(&self.seat.inner.replication.inner.running);
        if let Some(of_execution) = running.get_mut(&self.execution) {
            of_execution.tasks = of_execution.tasks.saturating_sub(1);
            if of_execution.tasks == 0 {
                running.remove(&self.execution);
            }
        }
    }
}

/// Carries out a task that was taken, and writes down what became of it.
async fn carry_out(place: Place, held: HeldTask) {
    let inner = &place.seat.inner;
    let (progress, log) = (Progress::default(), Log::default());
    log.line(format!("attempt {}", held.task.attempts));
    let budgets = inner.budgets(&held).await;
    let sender = inner.sender(&budgets);
    let run = task::run(inner, &held, sender, &progress, &log);
    let ended = tokio::select! {
        ended = run => Some(ended),
        () = place.stop.cancelled() => Some(Ended::Stopped),
        () = inner.parts.shutdown.cancelled() => Some(Ended::Interrupted),
        told = tell(inner, &held, &budgets, &progress, &log) => told,
    };
    let Some(ended) = ended else {
        info!(task = %held.task.id, "a task is somebody else's now");
        return;
    };
    let end = inner.end(&held, ended);
    log.line(words(&end));
    let meta = &inner.replication.inner.parts.meta;
    let (id, token, lines) = (held.task.id, held.token, log.take());
    let written = meta.task_end(id, token, bytes(&progress), end, lines);
    if let Err(error) = written.await {
        warn!(task = %id, %error, "it cannot be written what became of a task: {error}");
    }
}

/// Tells how far a task is, until it is to stop. `None`: it is somebody else's now.
async fn tell(
    inner: &Inner,
    held: &HeldTask,
    budgets: &Budgets,
    progress: &Progress,
    log: &Log,
) -> Option<Ended> {
    let meta = &inner.replication.inner.parts.meta;
    loop {
        sleep(TELL_EVERY).await;
        if inner.replication.closed_until(&held.task.remote).is_some() {
            return Some(Ended::Closed);
        }
        inner.adjust(held, budgets).await;
        flush(inner, held, log).await;
        let bytes = bytes(progress);
        if bytes.sent + bytes.skipped > 0 {
            inner.turns.answered(&held.task.remote);
        }
        let kept = meta.task_keep(held.task.id, held.token, bytes, HOLD);
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
    /// What is written of how a task ended: tried again later, or for the last time.
    fn end(&self, held: &HeldTask, ended: Ended) -> TaskEnd {
        if matches!(ended, Ended::Succeeded { .. } | Ended::Failed(_)) {
            self.turns.answered(&held.task.remote);
        }
        let (error, after, fault) = match ended {
            Ended::Succeeded { message } => return TaskEnd::Succeeded { message },
            Ended::Failed(error) => return TaskEnd::Failed(error),
            Ended::Stopped => return TaskEnd::Stopped,
            Ended::Interrupted => {
                let error = "the server was stopped".to_owned();
                let at = SystemTime::now();
                return TaskEnd::Retry { at, error };
            }
            Ended::Closed => {
                let error = CLOSED.to_owned();
                let at = self.replication.closed_until(&held.task.remote);
                let at = at.unwrap_or_else(SystemTime::now);
                return TaskEnd::Retry { at, error };
            }
            Ended::Behind => {
                let error = "what was to be sent there before goes first".to_owned();
                let at = SystemTime::now() + SHORTEST;
                return TaskEnd::Retry { at, error };
            }
            Ended::Retry {
                error,
                after,
                fault,
            } => (error, after, fault),
        };
        let wait = wait(held.task.attempts, after);
        if fault == Fault::Remote {
            let until = Instant::now() + wait.min(SHORTEST);
            self.turns.rest(&held.task.remote, until);
        }
        let retry_for = read(&held.members).map_or(Duration::ZERO, |rule| rule.retry_for);
        let at = SystemTime::now() + wait;
        let begun = held.task.started_at.unwrap_or(held.task.created_at);
        if at > begun + retry_for {
            let tried = humantime::format_duration(retry_for);
            return TaskEnd::Failed(format!("{error}; it was tried for {tried}"));
        }
        TaskEnd::Retry { at, error }
    }
}
