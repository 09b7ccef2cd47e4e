//! Rules: made of what the configuration says, and their background work.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{home::OwnHome, source::OwnSource};
use crate::{
    client::Remotes,
    config::{self, Config},
    jobs,
    meta::Meta,
    replication::{Parts, Planner, Replication, WorkParts, Worker},
    settings::Settings,
};

/// How often it is looked whether a task is due that nobody told of.
const POLL: Duration = Duration::from_secs(1);
/// However many remotes there are.
const MAX_TASKS: usize = 128;
/// Executions that are planned at once: remotes are asked meanwhile, and some of them are slow.
const MAX_PLANS: usize = 8;

/// Rules, which nothing is done for yet.
pub(super) fn replication(
    config: &Config,
    meta: &Meta,
    remotes: &Remotes,
    own: &OwnSource,
    settings: &Settings,
) -> Replication {
    Replication::new(Parts {
        meta: meta.clone(),
        projects: own.projects.clone(),
        remotes: remotes.clone(),
        home: Arc::new(OwnHome::new(own, settings, meta)),
        event_delay: config.replication.event_delay,
        reconcile: config.replication.reconcile,
    })
}

/// Begins to plan and to carry out.
pub(super) fn start(
    replication: &Replication,
    source: OwnSource,
    config: &config::Replication,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    tasks.spawn(replication.clone().run(shutdown.clone()));
    let planner = Planner::new(replication.clone(), shutdown.clone());
    let (wake, poll) = (replication.plan_waker(), replication.event_delay());
    tasks.spawn(jobs::run(planner, MAX_PLANS, wake, poll, shutdown.clone()));
    let work = WorkParts {
        source: Arc::new(source),
        concurrency: usize::try_from(config.concurrency).unwrap_or(usize::MAX),
        bandwidth: config.bandwidth,
        shutdown: shutdown.clone(),
    };
    let wake = replication.work_waker();
    let worker = Worker::new(replication.clone(), work);
    tasks.spawn(jobs::run(worker, MAX_TASKS, wake, POLL, shutdown.clone()));
}
