//! What a dry run finds at the destinations: each tag is asked for, and nothing is changed.

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::{Mode, Replication, Rule, plan::Problem};
use crate::{
    meta::{Action, DeliveryKey, ExecutionRow, TaskWrite},
    oci::{Digest, Name, Reference},
    transfer::send::{Destination, SendError},
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
        let there = there(&asked.destination, &asked.key).await;
        let there = there.map_err(|error| Problem::Told(error.to_string()))?;
        let meta = &self.inner.parts.meta;
        let ours = meta.delivery(&asked.key).await?.map(|(digest, _)| digest);
        let action = decide(
            asked.action,
            there.as_ref(),
            &asked.digest,
            ours.as_ref(),
            self.may_overwrite(rule, &asked.key.destination),
        );
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

/// What a destination has under a tag.
pub(super) async fn there(
    destination: &Destination,
    key: &DeliveryKey,
) -> Result<Option<Digest>, SendError> {
    let reference = Reference::Tag(key.tag.clone());
    destination.digest(&key.destination, &reference).await
}

/// What is to be done with a tag, by what is there and what the rule put there. Pure.
pub(super) fn decide(
    wanted: Action,
    there: Option<&Digest>,
    digest: &Digest,
    ours: Option<&Digest>,
    overwrite: bool,
) -> Action {
    match (wanted, there) {
        (Action::Delete, None) => Action::Skip,
        (Action::Delete, Some(_)) if there == ours => Action::Delete,
        (Action::Delete, Some(_)) => Action::Conflict,
        (_, None) => Action::Copy,
        (_, Some(there)) if there == digest => Action::Skip,
        // What was rewritten on its way has another digest there.
        (_, Some(_)) if there == ours || overwrite => Action::Copy,
        (_, Some(_)) => Action::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn decided(wanted: Action, there: Option<&str>, ours: Option<&str>, overwrite: bool) -> Action {
        let (there, ours) = (there.map(digest), ours.map(digest));
        decide(
            wanted,
            there.as_ref(),
            &digest("new"),
            ours.as_ref(),
            overwrite,
        )
    }

    #[test]
    fn only_what_the_rule_put_there_is_overwritten_unless_it_may() {
        let copy = |there, ours, overwrite| decided(Action::Copy, there, ours, overwrite);
        assert_eq!(copy(None, None, false), Action::Copy);
        assert_eq!(copy(None, Some("old"), false), Action::Copy);
        assert_eq!(copy(Some("new"), None, false), Action::Skip);
        assert_eq!(copy(Some("old"), Some("old"), false), Action::Copy);
        assert_eq!(copy(Some("foreign"), Some("old"), false), Action::Conflict);
        assert_eq!(copy(Some("foreign"), None, false), Action::Conflict);
        assert_eq!(copy(Some("foreign"), None, true), Action::Copy);
    }

    #[test]
    fn only_what_the_rule_put_there_is_deleted() {
        let delete = |there, ours| decided(Action::Delete, there, ours, true);
        assert_eq!(delete(None, Some("old")), Action::Skip);
        assert_eq!(delete(Some("old"), Some("old")), Action::Delete);
        assert_eq!(delete(Some("foreign"), Some("old")), Action::Conflict);
        assert_eq!(delete(Some("foreign"), None), Action::Conflict);
    }
}
