//! What a dry run finds at the destinations: each tag is asked for, and nothing is changed.

use std::{collections::BTreeMap, pin::pin};

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::{
    Mode, Replication, Rule,
    plan::Problem,
    pull::{CLOSED, is_away, is_passing, waits_for_somebody},
    versions::{Leave, to_delete, to_send},
};
use crate::{
    meta::{Action, DeliveryKey, ExecutionRow, MetaError, TaskItem, TaskWrite},
    oci::{Digest, Name},
    transfer::send::{Destination, SendError},
};

/// Questions at once.
const AT_ONCE: usize = 8;
/// After so many questions it is told that the plan is still being made.
const STEP: usize = 200;
/// Tags that a remote cannot be asked for: with one more it is left alone.
const MOST_UNASKED: usize = 8;

/// One question.
struct Asked {
    key: DeliveryKey,
    repository: Name,
    digest: Digest,
    action: Action,
}

/// Why a tag was not compared.
enum Halt {
    /// Its destination could not be asked.
    Unasked(SendError),
    /// No tag is.
    Plan(Problem),
}

impl From<MetaError> for Halt {
    fn from(error: MetaError) -> Self {
        Self::Plan(error.into())
    }
}

/// A remote while it is asked.
struct Asking {
    destination: Option<Destination>,
    /// Why it is asked for nothing more.
    left: Option<String>,
    /// Tags that it could not be asked for.
    unasked: usize,
}

impl Replication {
    /// Says of each tag of a plan what would be done with it, and how much that is. A remote that cannot be asked keeps no
    /// other waiting: its tags say so. Gives which remotes these are, and why.
    pub(super) async fn ask(
        &self,
        rule: &Rule,
        execution: &ExecutionRow,
        holder: Uuid,
        tasks: &mut [TaskWrite],
    ) -> Result<Vec<String>, Problem> {
        let total: usize = tasks.iter().map(|task| task.items.len()).sum();
        let mut asked_for = 0;
        let mut remotes: BTreeMap<String, Asking> = BTreeMap::new();
        for task in tasks {
            let remote = task.remote.clone();
            let asking = remotes
                .entry(remote)
                .or_insert_with_key(|remote| self.asking(rule, execution, remote));
            let place = (task.remote.as_str(), &task.repository, &task.destination);
            for items in task.items.chunks_mut(STEP) {
                let said = format!("it is being planned: {asked_for} of {total} tags asked for");
                self.go_on(execution.id, holder, said).await?;
                asked_for += items.len();
                let step = questions(execution, place, items);
                self.ask_step(rule, asking, step, items).await?;
            }
        }
        let left = remotes.into_iter().filter_map(|(remote, asking)| {
            let why = asking.left?;
            Some(format!("remote `{remote}` could not be compared: {why}"))
        });
        Ok(left.collect())
    }

    fn asking(&self, rule: &Rule, execution: &ExecutionRow, remote: &str) -> Asking {
        let destination = self.destination_of(rule, remote);
        let left = if destination.is_none() {
            Some(format!("there is no remote `{remote}`"))
        } else if !waits_for_somebody(execution) && self.closed_until(remote).is_some() {
            Some(CLOSED.to_owned())
        } else {
            None
        };
        Asking {
            destination,
            left,
            unasked: 0,
        }
    }

    /// Asks for some tags, in their order, until nothing more can be asked there.
    async fn ask_step(
        &self,
        rule: &Rule,
        asking: &mut Asking,
        step: Vec<Asked>,
        items: &mut [TaskItem],
    ) -> Result<(), Problem> {
        let mut items = items.iter_mut();
        let destination = asking.destination.clone();
        if let Some(destination) = destination.filter(|_| asking.left.is_none()) {
            let found = step.into_iter();
            let found = found.map(|asked| self.would_do(rule, &destination, asked));
            let mut found = pin!(stream::iter(found).buffered(AT_ONCE));
            while asking.left.is_none()
                && let Some(found) = found.next().await
                && let Some(item) = items.next()
            {
                match found {
                    Ok(found) => (item.action, item.bytes) = found,
                    Err(Halt::Plan(problem)) => return Err(problem),
                    Err(Halt::Unasked(error)) => {
                        item.message = Some(error.to_string());
                        asking.give_up_if_away(&error).await;
                    }
                }
            }
        }
        for item in items {
            item.message.clone_from(&asking.left);
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

    async fn would_do(
        &self,
        rule: &Rule,
        destination: &Destination,
        asked: Asked,
    ) -> Result<(Action, Option<u64>), Halt> {
        if asked.action == Action::Collision {
            return Ok((Action::Collision, None));
        }
        let key = &asked.key;
        let there = destination.tag(&key.destination, &key.tag).await;
        let there = there.map_err(Halt::Unasked)?;
        let meta = &self.inner.parts.meta;
        let ours = meta.delivery(key).await?.map(|(claim, _)| claim);
        let state = match rule.mode {
            Mode::Push => meta.tag_state(&asked.repository, &key.tag).await?,
            Mode::Pull => None,
        };
        let verdict = if asked.action == Action::Delete {
            let keeps_versions = destination.keeps_versions();
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

impl Asking {
    /// One tag that cannot be asked for says nothing of the others; many do, and so does a remote that does not answer.
    async fn give_up_if_away(&mut self, error: &SendError) {
        self.unasked += 1;
        let SendError::Destination(error) = error else {
            return;
        };
        let client = self.destination.as_ref().and_then(Destination::client);
        let is_away = match client {
            Some(client) if is_passing(error) => {
                self.unasked > MOST_UNASKED || is_away(client).await
            }
            _ => false,
        };
        if is_away {
            self.left = Some(error.to_string());
        }
    }
}

fn questions(
    execution: &ExecutionRow,
    (remote, repository, destination): (&str, &Name, &Name),
    items: &[TaskItem],
) -> Vec<Asked> {
    let questions = items.iter().map(|item| Asked {
        key: DeliveryKey {
            rule: execution.rule_id,
            remote: remote.to_owned(),
            destination: destination.clone(),
            tag: item.tag.clone(),
        },
        repository: repository.clone(),
        digest: item.digest.clone(),
        action: item.action,
    });
    questions.collect()
}
