//! Rules: made of what the configuration says, and their background work.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::source::OwnSource;
use crate::{
    config, jobs,
    replication::{Parts, Replication, WorkParts, Worker},
};

/// How often it is looked whether a task is due that nobody told of.
const POLL: Duration = Duration::from_secs(1);

/// Begins to plan and to carry out.
pub(super) fn start(
    parts: Parts,
    source: OwnSource,
    config: &config::Replication,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Replication {
    let replication = Replication::new(parts);
    let plans = replication.clone();
    tasks.spawn(plans.run(shutdown.clone()));
    let work = WorkParts {
        source: Arc::new(source),
        bandwidth: config.bandwidth,
        shutdown: shutdown.clone(),
    };
    let wake = replication.work_waker();
    let worker = Worker::new(replication.clone(), work);
    let concurrency = usize::try_from(config.concurrency).unwrap_or(usize::MAX);
    tasks.spawn(jobs::run(worker, concurrency, wake, POLL, shutdown.clone()));
    replication
}
