//! What earlier tasks of a rule are yet to do, and is not planned once more: a site that is away does not get the same tasks
//! each time that everything is gone through.

use std::collections::{BTreeMap, BTreeSet};

use super::PAGE;
use crate::{
    meta::{Action, ExecutionRow, TaskAhead, TaskWrite},
    oci::{Name, Tag},
    replication::{Replication, ReplicationError, Rule, collision::Shipment, engine::Cause},
};

/// Tags by remote, repository and place: what a task finds of them when it begins, it does.
#[derive(Default)]
pub(super) struct Ahead {
    copies: Tags,
    deletes: Tags,
    /// Whose tags a task asks for when it begins.
    unasked: BTreeSet<Place>,
}

type Place = (String, Name, Name);
type Tags = BTreeMap<Place, BTreeSet<Tag>>;

impl Replication {
    /// What waits to be done by the rule as it is. Whoever begins an execution by hand does not want to wait for it.
    pub(super) async fn ahead(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
    ) -> Result<Ahead, ReplicationError> {
        let mut ahead = Ahead::default();
        if execution.dry_run || execution.cause == Cause::Manual.as_str() {
            return Ok(ahead);
        }
        let (id, members) = (execution.rule_id, &execution.members);
        for remote in &rule.remotes {
            let mut last: Option<TaskAhead> = None;
            loop {
                let meta = &self.inner.parts.meta;
                let page = meta.tasks_ahead(id, remote, members, last.as_ref(), PAGE);
                let page = page.await?;
                for task in &page {
                    ahead.add(remote, task);
                }
                last = page.into_iter().next_back();
                if last.is_none() {
                    break;
                }
            }
        }
        Ok(ahead)
    }
}

impl Ahead {
    fn add(&mut self, remote: &str, task: &TaskAhead) {
        if task.items.is_empty() {
            let place = place(remote, &task.repository, &task.destination);
            self.unasked.insert(place);
        }
        for item in &task.items {
            let tags = match item.action {
                Action::Copy => &mut self.copies,
                Action::Delete => &mut self.deletes,
                Action::Skip | Action::Conflict | Action::Collision => continue,
            };
            let place = place(remote, &task.repository, &task.destination);
            tags.entry(place).or_default().insert(item.tag.clone());
        }
    }

    pub(super) fn deletes(&self, remote: &str, shipment: &Shipment) -> bool {
        let place = place(remote, &shipment.repository, &shipment.destination);
        let tags = self.deletes.get(&place);
        tags.is_some_and(|tags| tags.contains(&shipment.tag))
    }

    /// Takes out of tasks what is to be sent anyway; how many tags.
    pub(super) fn leave_out(&self, tasks: &mut Vec<TaskWrite>) -> usize {
        let mut left_out = 0;
        tasks.retain_mut(|task| {
            let place = place(&task.remote, &task.repository, &task.destination);
            if task.items.is_empty() {
                return !self.unasked.contains(&place);
            }
            if let Some(tags) = self.copies.get(&place) {
                let before = task.items.len();
                let is_new = |tag: &Tag| !tags.contains(tag);
                task.items
                    .retain(|item| item.action != Action::Copy || is_new(&item.tag));
                left_out += before - task.items.len();
            }
            !task.items.is_empty()
        });
        left_out
    }
}

fn place(remote: &str, repository: &Name, destination: &Name) -> Place {
    (remote.to_owned(), repository.clone(), destination.clone())
}
