//! Deletes: what is certainly gone, and how much of it goes without asking. What is more waits in a plan of its own until
//! somebody applies it.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use tracing::warn;
use uuid::Uuid;

use super::{Ahead, PAGE, Problem};
use crate::{
    meta::{
        Action, DeliveryRow, ExecutionRow, ExecutionWrite, MetaError, TaskItem, TaskWrite,
        UnaskedDeletes,
    },
    oci::{Name, Tag},
    replication::{
        Replication, ReplicationError, Rule,
        collision::Shipment,
        delete::delete_cap,
        draft::{Draft, delete_tasks},
        engine::{Cause, Run},
        pull::Seen,
    },
};

/// For so long after it is due, a delete counts among those that a rule carries out without asking.
const WINDOW: Duration = Duration::from_hours(1);

/// Tags that are to be deleted, by their names at the source: each counts once, however many remotes have it.
type Tags = BTreeSet<(Name, Tag)>;

impl Replication {
    /// What the rule put somewhere and is at its source no longer. Nothing of it, if it is too much to do without asking.
    pub(super) async fn find_deletes(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
        seen: Option<&Seen>,
        ahead: &Ahead,
        draft: &mut Draft,
    ) -> Result<(), Problem> {
        let id = execution.rule_id;
        let mut found = self.gone_from_source(id, rule, seen).await?;
        if execution.dry_run {
            draft.deletes = found;
            return Ok(());
        }
        found.retain(|(remote, shipment)| !ahead.deletes(remote, shipment));
        let waiting = self.waiting(id).await?;
        let (waiting, found): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(remote, shipment)| {
                let (destination, tag) = (shipment.destination.clone(), shipment.tag.clone());
                waiting.contains(&(remote.clone(), destination, tag))
            });
        let (mut waiting, gone) = (tags(&waiting), tags(&found));
        if self.may_delete(id, rule, gone.clone()).await? {
            draft.deletes = found;
        } else {
            self.let_wait(id, rule, delete_tasks(rule, &found)).await?;
            waiting.extend(gone);
        }
        if !waiting.is_empty() {
            draft.notes.push(format!(
                "{} tags that are to be deleted wait in a plan until somebody applies it",
                waiting.len()
            ));
        }
        Ok(())
    }

    async fn gone_from_source(
        &self,
        id: Uuid,
        rule: &Rule,
        seen: Option<&Seen>,
    ) -> Result<Vec<(String, Shipment)>, MetaError> {
        let meta = &self.inner.parts.meta;
        let mut gone = Vec::new();
        for remote in &rule.remotes {
            let mut after: Option<(Name, Tag)> = None;
            loop {
                let from = after.as_ref().map(|(name, tag)| (name, tag));
                let page = meta.deliveries(id, remote, from, PAGE).await?;
                after = page
                    .last()
                    .map(|row| (row.destination.clone(), row.tag.clone()));
                let is_last = page.len() < PAGE as usize;
                for row in page {
                    if self.is_gone(&row, seen).await? {
                        gone.push((remote.clone(), shipment(row)));
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(gone)
    }

    /// Is a tag certainly gone from where it came from?
    pub(in crate::replication) async fn is_gone(
        &self,
        row: &DeliveryRow,
        seen: Option<&Seen>,
    ) -> Result<bool, MetaError> {
        if let Some(seen) = seen {
            // Of a repository that told no tags, nothing is known.
            let tags = seen.get(&row.repository);
            return Ok(tags.is_some_and(|tags| !tags.contains(&row.tag)));
        }
        let projects = self.inner.parts.projects.now();
        let project = projects.get(row.repository.first());
        // A mirror forgets what is not used: only deleting it there is one, of which an event tells.
        if project.is_none_or(|project| project.is_mirror()) {
            return Ok(false);
        }
        let meta = &self.inner.parts.meta;
        Ok(meta.tag(&row.repository, &row.tag).await?.is_none())
    }

    /// What waits for somebody to apply it: remote, place, tag.
    async fn waiting(&self, rule: Uuid) -> Result<BTreeSet<(String, Name, Tag)>, ReplicationError> {
        let mut waiting = BTreeSet::new();
        let Some(plan) = self.waiting_deletes(rule).await? else {
            return Ok(waiting);
        };
        let mut after = None;
        loop {
            let tasks = self.inner.parts.meta.tasks(plan, after, PAGE).await?;
            after = tasks.last().map(|task| task.id);
            for task in &tasks {
                let tags = task.items.iter().map(|item| &item.tag);
                let place =
                    |tag: &Tag| (task.remote.clone(), task.destination.clone(), tag.clone());
                waiting.extend(tags.map(place));
            }
            if after.is_none() {
                return Ok(waiting);
            }
        }
    }

    /// Of what events tell, the tasks that may be carried out: deletes wait if they are too many.
    pub(in crate::replication) async fn unasked(
        &self,
        id: Uuid,
        rule: &Rule,
        tasks: Vec<TaskWrite>,
    ) -> Result<Vec<TaskWrite>, ReplicationError> {
        let is_delete = |item: &TaskItem| item.action == Action::Delete;
        let deletes = |task: &TaskWrite| task.items.iter().any(is_delete);
        let (deletes, mut tasks): (Vec<_>, Vec<_>) = tasks.into_iter().partition(deletes);
        let mut gone = Tags::new();
        for task in &deletes {
            let tags = task.items.iter().map(|item| item.tag.clone());
            gone.extend(tags.map(|tag| (task.repository.clone(), tag)));
        }
        if self.may_delete(id, rule, gone).await? {
            tasks.extend(deletes);
        } else {
            self.let_wait(id, rule, deletes).await?;
        }
        Ok(tasks)
    }

    /// Are these few enough, with those of before, to delete them without asking? They count from now on, if so.
    async fn may_delete(&self, rule_id: Uuid, rule: &Rule, tags: Tags) -> Result<bool, MetaError> {
        if tags.is_empty() {
            return Ok(true);
        }
        let meta = &self.inner.parts.meta;
        let mut deletes = UnaskedDeletes {
            rule: rule_id,
            tags,
            until: SystemTime::now() + rule.delete_grace + WINDOW,
            cap: delete_cap(rule, 0),
        };
        if meta.deletes_count(deletes.clone()).await? {
            return Ok(true);
        }
        let known = meta.tags_of_rule(rule_id, &rule.remotes).await?;
        deletes.cap = delete_cap(rule, usize::try_from(known).unwrap_or(usize::MAX));
        meta.deletes_count(deletes).await
    }

    async fn let_wait(
        &self,
        rule_id: Uuid,
        rule: &Rule,
        tasks: Vec<TaskWrite>,
    ) -> Result<(), MetaError> {
        let message = "the rule does not delete so many tags without asking: apply it, or stop it";
        let execution = ExecutionWrite {
            message: message.to_owned(),
            ..Self::execution_of(rule_id, rule, Cause::Event, Run::Dry)
        };
        let plan = self.inner.parts.meta.deletes_wait(execution, tasks).await?;
        let name = &rule.name;
        warn!(
            rule = name, execution = %plan,
            "rule `{name}` would delete too many tags: they wait until the execution is applied"
        );
        Ok(())
    }
}

fn shipment(row: DeliveryRow) -> Shipment {
    Shipment {
        repository: row.repository,
        destination: row.destination,
        tag: row.tag,
        digest: row.claim.digest().clone(),
        action: Action::Delete,
    }
}

fn tags(deletes: &[(String, Shipment)]) -> Tags {
    let tags = deletes.iter().map(|(_, shipment)| shipment);
    tags.map(|shipment| (shipment.repository.clone(), shipment.tag.clone()))
        .collect()
}
