//! What an execution of a rule has to do: everything that the rule takes, gone through before anything is sent.
//!
//! ```text
//! execution (Planning) ──► repositories ──► tags ──► names there ──► collisions ──► tasks, in one transaction
//!                                          dry run: ──► each tag is asked for at its destination
//! ```
//!
//! What earlier tasks are yet to do is left to them, and deletes that are too many wait in a plan of their own.

mod ahead;
mod deletes;

use std::{pin::pin, time::Duration};

use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Mode, Replication, ReplicationError, Rule, check_depth, collision,
    draft::{Draft, divided},
    engine::read,
    task::summary,
};
use crate::{
    jobs::{Job, Queue},
    meta::{ExecutionRow, MetaError, Planned},
    oci::Name,
};
use ahead::Ahead;

/// Nobody else plans an execution for so long after it was last heard of.
pub(super) const HOLD: Duration = Duration::from_secs(60);
const PAGE: u32 = 1000;
/// Repositories whose tags are read at once.
const AT_ONCE: usize = 4;
/// When an execution is planned again whose remote could not be asked.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Why there is no plan.
pub(super) enum Problem {
    /// The rule cannot be done so.
    Told(String),
    /// Its remote cannot be asked now.
    Later(String),
    /// Somebody else plans it, or it was stopped.
    Lost,
    Failed(ReplicationError),
}

impl From<ReplicationError> for Problem {
    fn from(error: ReplicationError) -> Self {
        Self::Failed(error)
    }
}

impl From<MetaError> for Problem {
    fn from(error: MetaError) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes executions that wait for their plans.
pub struct Planner {
    replication: Replication,
    shutdown: CancellationToken,
}

impl Planner {
    pub fn new(replication: Replication, shutdown: CancellationToken) -> Self {
        Self {
            replication,
            shutdown,
        }
    }
}

impl Queue for Planner {
    fn take(&self, _most: usize) -> BoxFuture<'_, Vec<Job>> {
        async {
            let (replication, holder) = (self.replication.clone(), Uuid::now_v7());
            let held = replication.inner.parts.meta.execution_hold(holder, HOLD);
            let held = held.await.unwrap_or_else(|error| {
                warn!(%error, "cannot look for what is to be planned: {error}");
                None
            });
            let shutdown = self.shutdown.clone();
            let plan = held.map(|execution| async move {
                let planned = replication.plan_held(&execution, holder).boxed();
                // What is cut is planned anew, when the hold is over.
                let _ = shutdown.run_until_cancelled(planned).await;
            });
            plan.into_iter().map(FutureExt::boxed).collect()
        }
        .boxed()
    }
}

impl Replication {
    /// Plans an execution that was taken.
    async fn plan_held(&self, execution: &ExecutionRow, holder: Uuid) {
        let (id, rule) = (execution.id, execution.rule_id);
        let planned = match self.plan(execution, holder).boxed().await {
            Ok(planned) => planned,
            Err(Problem::Later(message)) if is_in_time(execution) => {
                info!(%id, %rule, "an execution is planned again later: {message}");
                self.put_off(id, holder, message).await;
                return;
            }
            Err(Problem::Told(message) | Problem::Later(message)) => Planned::Failed(message),
            Err(Problem::Lost) => return,
            Err(Problem::Failed(error)) => {
                warn!(%id, %rule, %error, "an execution cannot be planned now: {error}");
                return;
            }
        };
        match &planned {
            Planned::Tasks { tasks, message } => {
                info!(%id, %rule, tasks = tasks.len(), "an execution is planned: {message}");
            }
            Planned::Failed(message) => {
                warn!(%id, %rule, "an execution cannot be planned: {message}");
            }
        }
        let meta = &self.inner.parts.meta;
        if let Err(error) = meta.execution_plan(id, holder, planned).await {
            warn!(%id, %rule, %error, "a plan cannot be written: {error}");
        }
        self.inner.to_work.notify_one();
    }

    /// The hold ends soon, and somebody plans anew.
    pub(super) async fn put_off(&self, execution: Uuid, holder: Uuid, why: String) {
        let meta = &self.inner.parts.meta;
        // If it cannot be written, the hold ends a little later.
        let kept = meta.execution_keep(execution, holder, AGAIN_AFTER, why);
        let _ = kept.await;
    }

    async fn plan(&self, execution: &ExecutionRow, holder: Uuid) -> Result<Planned, Problem> {
        let rule = read(&execution.members)
            .ok_or_else(|| Problem::Told("the rule cannot be read any more".to_owned()))?;
        let mut draft = Draft::default();
        let seen = match rule.mode {
            Mode::Push => {
                self.draft(&rule, execution.id, holder, &mut draft).await?;
                None
            }
            Mode::Pull => Some(
                self.draft_pull(&rule, execution, holder, &mut draft)
                    .await?,
            ),
        };
        let collisions = collision::mark(&mut draft.shipments);
        if collisions > 0 {
            draft.notes.push(format!(
                "{collisions} tags are not sent, because several repositories would go to one place"
            ));
        }
        let ahead = self.ahead(&rule, execution).await?;
        if rule.propagate_delete {
            self.find_deletes(&rule, execution, seen.as_ref(), &ahead, &mut draft)
                .await?;
        }
        let mut tasks = divided(&rule, &draft);
        let waiting = ahead.leave_out(&mut tasks);
        if waiting > 0 {
            let note = format!("{waiting} tags wait already for earlier tasks");
            draft.notes.push(note);
        }
        if execution.dry_run {
            let uncompared = self.ask(&rule, execution, holder, &mut tasks).await?;
            draft.lacking.extend(uncompared);
        }
        if !draft.lacking.is_empty() {
            draft.notes.push(summary(&draft.lacking));
        }
        if draft.same > 0 {
            let same = draft.same;
            draft.notes.push(format!("{same} tags are here already"));
        } else if tasks.is_empty() && waiting == 0 {
            draft.notes.push("there is nothing to replicate".to_owned());
        }
        let message = draft.notes.join("; ");
        Ok(Planned::Tasks { tasks, message })
    }

    /// Everything that the rule takes.
    async fn draft(
        &self,
        rule: &Rule,
        execution: Uuid,
        holder: Uuid,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        let mut after: Option<Name> = None;
        loop {
            let page = self.repositories(rule, after.as_ref()).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            let found = draft.shipments.len();
            let said = format!("it is being planned: {found} tags found before `{last}`");
            after = Some(last.clone());
            self.go_on(execution, holder, said).await?;
            let selected = page.into_iter().map(|repository| async {
                let tags = self.selected(rule, &repository).await?;
                Ok::<_, Problem>((repository, tags))
            });
            let mut selected = pin!(stream::iter(selected).buffered(AT_ONCE));
            while let Some((repository, tags)) = selected.try_next().await? {
                if tags.is_empty() {
                    continue;
                }
                let destination = self.destination(rule, &repository).map_err(Problem::Told)?;
                for (tag, digest) in tags {
                    draft.ship(&repository, &destination, tag, digest);
                }
            }
        }
    }

    /// Says how far the plan is. Still ours to make?
    pub(super) async fn go_on(
        &self,
        execution: Uuid,
        holder: Uuid,
        said: String,
    ) -> Result<(), Problem> {
        let meta = &self.inner.parts.meta;
        if meta.execution_keep(execution, holder, HOLD, said).await? {
            Ok(())
        } else {
            Err(Problem::Lost)
        }
    }

    /// What a repository is called at every remote of a rule.
    pub(super) fn destination(&self, rule: &Rule, repository: &Name) -> Result<Name, String> {
        let destination = rule
            .naming
            .name(repository)
            .map_err(|error| error.to_string())?;
        for remote in &rule.remotes {
            if let Some(client) = self.inner.parts.remotes.get(remote) {
                let provider = client.remote().provider;
                check_depth(provider, &destination)
                    .map_err(|error| format!("`{repository}` at remote `{remote}`: {error}"))?;
            }
        }
        Ok(destination)
    }
}

/// Is it still tried to plan it?
fn is_in_time(execution: &ExecutionRow) -> bool {
    let retry_for = read(&execution.members).map_or(Duration::ZERO, |rule| rule.retry_for);
    let age = execution.created_at.elapsed().unwrap_or_default();
    !execution.dry_run && age < retry_for
}
