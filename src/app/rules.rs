//! Rules: made of what the configuration says, and their background work.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{home::OwnHome, source::OwnSource};
use crate::{
    access::Accounts,
    client::Remotes,
    config::{Config, Database},
    jobs,
    replication::{Parts, Planner, Replication, WorkParts, Worker},
    settings::Settings,
    transfer::Budget,
};

/// How often it is looked whether a task is due that nobody told of.
const POLL: Duration = Duration::from_secs(1);
/// However many remotes there are.
const MAX_TASKS: usize = 128;
/// Executions that are planned at once: remotes are asked meanwhile, and some of them are slow.
const MAX_PLANS: usize = 8;

/// Rules, which nothing is done for yet.
pub(super) fn made(
    config: &Config,
    remotes: &Remotes,
    own: &OwnSource,
    settings: &Settings,
    accounts: &Accounts,
) -> Replication {
    Replication::new(Parts {
        meta: own.meta.clone(),
        projects: own.projects.clone(),
        accounts: accounts.clone(),
        remotes: remotes.clone(),
        home: Arc::new(OwnHome::new(own, settings)),
        event_delay: config.replication.event_delay,
        reconcile: config.replication.reconcile,
    })
}

/// Begins to plan and to carry out. Gives what all background transfers together keep to.
pub(super) fn start(
    replication: &Replication,
    source: OwnSource,
    config: &Config,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Arc<Budget> {
    let concurrency = usize::try_from(config.replication.concurrency);
    let bandwidth = config.replication.bandwidth.and_then(NonZeroU64::new);
    let everything = Arc::new(Budget::new(bandwidth));
    let work = WorkParts {
        source: Arc::new(source),
        concurrency: concurrency.unwrap_or(usize::MAX),
        everything: Arc::clone(&everything),
        shutdown: shutdown.clone(),
    };
    let worker = Worker::new(replication.clone(), work);
    let planner = Planner::new(replication.clone(), shutdown.clone());
    let (replication, shutdown) = (replication.clone(), shutdown.clone());
    let is_alone = matches!(config.database, Database::Sqlite(_));
    tasks.spawn(async move {
        if is_alone {
            replication.recover().await;
        }
        let (wake, poll) = (replication.plan_waker(), replication.event_delay());
        let plans = jobs::run(planner, MAX_PLANS, wake, poll, shutdown.clone());
        let wake = replication.work_waker();
        let tasks = jobs::run(worker, MAX_TASKS, wake, POLL, shutdown.clone());
        let pings = replication.look_after_remotes(shutdown.clone());
        tokio::join!(
            replication.clone().run(shutdown.clone()),
            plans,
            tasks,
            pings
        );
    });
    everything
}
