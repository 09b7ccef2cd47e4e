//! What a dry run finds at the destinations: each tag is asked for, and nothing is changed.

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::{
    Mode, Replication, Rule,
    plan::Problem,
    versions::{Leave, to_delete, to_send},
};
use crate::{
    meta::{Action, DeliveryKey, ExecutionRow, TaskWrite},
    oci::{Digest, Name},
    transfer::send::Destination,
};

/// Questions at once.
const AT_ONCE: usize = 8;
/// After so many questions it is told that the plan is still being made.
const STEP: usize = 200;

/// One question.
struct Asked {
    destination: Destination,
    key: DeliveryKey,
    repository: Name,
    digest: Digest,
    action: Action,
}

impl Replication {
    /// Says of each tag of a plan what would be done with it, and how much that is.
    pub(super) async fn ask(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
        holder: Uuid,
        tasks: &mut [TaskWrite],
    ) -> Result<(), Problem> {
        let total: usize = tasks.iter().map(|task| task.items.len()).sum();
        let mut asked_for = 0;
        for task in tasks {
            let destination = self.destination_of(rule, &task.remote);
            let destination = destination.ok_or_else(|| {
                let remote = &task.remote;
                Problem::Told(format!("there is no remote `{remote}`"))
            })?;
            for items in task.items.chunks_mut(STEP) {
                let said = format!("it is being planned: {asked_for} of {total} tags asked for");
                self.go_on(execution.id, holder, said).await?;
                asked_for += items.len();
                let asked: Vec<_> = items
                    .iter()
                    .map(|item| Asked {
                        destination: destination.clone(),
                        key: DeliveryKey {
                            rule: execution.rule_id,
                            remote: task.remote.clone(),
                            destination: task.destination.clone(),
                            tag: item.tag.clone(),
                        },
                        repository: task.repository.clone(),
                        digest: item.digest.clone(),
                        action: item.action,
                    })
                    .collect();
                let found = stream::iter(asked)
                    .map(|asked| self.would_do(rule, asked))
                    .buffered(AT_ONCE)
                    .collect::<Vec<_>>()
                    .await;
                for (item, found) in items.iter_mut().zip(found) {
                    (item.action, item.bytes) = found?;
                }
            }
        }
        Ok(())
    }

    /// Where a rule puts things at one of its remotes, or here.
    pub(super) fn destination_of(&self, rule: &Rule, remote: &str) -> Option<Destination> {
        match rule.mode {
            Mode::Pull => Some(self.inner.home.clone()),
            Mode::Push => {
                let client = self.inner.parts.remotes.get(remote)?;
                Some(Destination::new(&client.background()))
            }
        }
    }

    /// May a rule replace what it did not put there? What a mirror has is its remote's, whoever asked for it.
    pub(super) fn may_overwrite(&self, rule: &Rule, destination: &Name) -> bool {
        let projects = self.inner.parts.projects.now();
        rule.overwrite || rule.mode == Mode::Pull && projects.is_mirror(destination.first())
    }

    async fn would_do(&self, rule: &Rule, asked: Asked) -> Result<(Action, Option<u64>), Problem> {
        if asked.action == Action::Collision {
            return Ok((Action::Collision, None));
        }
        let key = &asked.key;
        let there = asked.destination.tag(&key.destination, &key.tag).await;
        let there = there.map_err(|error| Problem::Told(error.to_string()))?;
        let meta = &self.inner.parts.meta;
        let ours = meta.delivery(key).await?.map(|(claim, _)| claim);
        let state = match rule.mode {
            Mode::Push => meta.tag_state(&asked.repository, &key.tag).await?,
            Mode::Pull => None,
        };
        let verdict = if asked.action == Action::Delete {
            let keeps_versions = asked.destination.keeps_versions();
            to_delete(state.as_ref(), &there, ours.as_ref(), keeps_versions)
        } else {
            let state = state.filter(|state| state.digest == asked.digest && !state.is_deleted);
            let leave = Leave {
                overwrite: self.may_overwrite(rule, &key.destination),
                respect_deletes: rule.propagate_delete,
                rewrites: rule.rewrites(),
            };
            to_send(&asked.digest, state.as_ref(), &there, ours.as_ref(), leave)
        };
        let action = verdict.action();
        let bytes = match action {
            Action::Copy if rule.mode == Mode::Push => {
                let bytes = meta
                    .manifest_bytes(&asked.repository, &asked.digest)
                    .await?;
                Some(bytes)
            }
            _ => None,
        };
        Ok((action, bytes))
    }
}
