//! What a dry run finds at the destinations: each tag is asked for, and nothing is changed.

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::{Replication, Rule, plan::Problem};
use crate::{
    client::{ClientError, ErrorKind, Patience, RegistryClient},
    meta::{Action, DeliveryKey, ExecutionRow, TaskWrite},
    oci::{Digest, Name, Reference},
};

/// Questions at once.
const AT_ONCE: usize = 8;
/// After so many questions it is told that the plan is still being made.
const STEP: usize = 200;

/// One question.
struct Asked {
    client: RegistryClient,
    key: DeliveryKey,
    repository: Name,
    digest: Digest,
    action: Action,
}

/// What is there of a tag.
pub(super) enum There {
    Nothing,
    /// A manifest; of some registries only its being there is known.
    Manifest(Option<Digest>),
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
        for task in tasks {
            let Some(client) = self.inner.parts.remotes.get(&task.remote) else {
                return Err(Problem::Told(format!(
                    "there is no remote `{}`",
                    task.remote
                )));
            };
            let client = client.background();
            for items in task.items.chunks_mut(STEP) {
                self.go_on(execution.id, holder).await?;
                let asked: Vec<_> = items
                    .iter()
                    .map(|item| Asked {
                        client: client.clone(),
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

    async fn would_do(&self, rule: &Rule, asked: Asked) -> Result<(Action, Option<u64>), Problem> {
        if asked.action == Action::Collision {
            return Ok((Action::Collision, None));
        }
        let there = there(&asked.client, &asked.key).await;
        let there = there.map_err(|error| Problem::Told(error.to_string()))?;
        let meta = &self.inner.parts.meta;
        let ours = meta.delivery(&asked.key).await?.map(|(digest, _)| digest);
        let action = decide(
            asked.action,
            &there,
            &asked.digest,
            ours.as_ref(),
            rule.overwrite,
        );
        let bytes = match action {
            Action::Copy => {
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
    client: &RegistryClient,
    key: &DeliveryKey,
) -> Result<There, ClientError> {
    let reference = Reference::Tag(key.tag.clone());
    let head = client.manifest_head(&key.destination, &reference, Patience::Full);
    match head.await {
        Ok(head) => Ok(There::Manifest(head.digest)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(There::Nothing),
        Err(error) => Err(error),
    }
}

/// Does a destination have a manifest?
pub(super) async fn is_there(
    client: &RegistryClient,
    name: &Name,
    reference: &Reference,
) -> Result<bool, ClientError> {
    match client.manifest_head(name, reference, Patience::Full).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is to be done with a tag, by what is there and what the rule put there. Pure.
pub(super) fn decide(
    wanted: Action,
    there: &There,
    digest: &Digest,
    ours: Option<&Digest>,
    overwrite: bool,
) -> Action {
    match (wanted, there) {
        (Action::Delete, There::Nothing) => Action::Skip,
        (Action::Delete, There::Manifest(there)) => {
            let is_ours = there.is_none() || there.as_ref() == ours;
            if is_ours && ours.is_some() {
                Action::Delete
            } else {
                Action::Conflict
            }
        }
        (_, There::Nothing) => Action::Copy,
        (_, There::Manifest(Some(there))) if there == digest => Action::Skip,
        // What was rewritten on its way has another digest there.
        (_, There::Manifest(there)) => {
            let is_ours = match there {
                Some(there) => ours == Some(there),
                None => ours.is_some(),
            };
            if is_ours || overwrite {
                Action::Copy
            } else {
                Action::Conflict
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn decided(wanted: Action, there: Option<&str>, ours: Option<&str>, overwrite: bool) -> Action {
        let there = there.map_or(There::Nothing, |text| There::Manifest(Some(digest(text))));
        let ours = ours.map(digest);
        decide(wanted, &there, &digest("new"), ours.as_ref(), overwrite)
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

    #[test]
    fn a_registry_that_tells_no_digest_is_believed_to_have_what_was_put_there() {
        let unknown = There::Manifest(None);
        let (new, old) = (digest("new"), digest("old"));
        let decided = |ours| decide(Action::Copy, &unknown, &new, ours, false);
        assert_eq!(decided(Some(&old)), Action::Copy);
        assert_eq!(decided(None), Action::Conflict);
    }
}
