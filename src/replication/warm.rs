//! Images that somebody wants in a mirror ahead of their use: an execution of no rule, whose tasks are known from the start.
//! It carries a rule that nobody made, so that its tasks are carried out, stopped and retried as those of any other.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{Replication, ReplicationError, engine::Cause};
use crate::{
    meta::{Action, ExecutionWrite, TaskItem, TaskWrite},
    oci::{Digest, Name, Tag},
};

/// What executions that are of no rule have in its place.
pub const NO_RULE: Uuid = Uuid::nil();

/// What they are called where a rule must have a name.
const NAME: &str = "cache-warm";

/// A tag that is wanted in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub remote: String,
    /// The name at the remote.
    pub repository: Name,
    /// The whole name here.
    pub destination: Name,
    pub tag: Tag,
}

impl Replication {
    /// Begins to fetch these tags, of which there is one at least: of each index only what is for these platforms (all, if
    /// there are none). Gives the execution.
    pub async fn warm(
        &self,
        wanted: Vec<Wanted>,
        platforms: &[String],
    ) -> Result<Uuid, ReplicationError> {
        let remote = wanted.first().map_or("", |wanted| &wanted.remote);
        let filters = match platforms {
            [] => json!([]),
            platforms => json!([{"type": "platform", "value": platforms}]),
        };
        let members = json!({
            "name": NAME,
            "mode": "pull",
            "remotes": [remote],
            "source": { "project": super::EVERY_PROJECT, "filters": filters },
            "trigger": { "type": Cause::Manual.as_str() },
        });
        let id = Uuid::now_v7();
        let execution = ExecutionWrite {
            id,
            rule_id: NO_RULE,
            members: members.to_string(),
            cause: Cause::Manual.as_str().to_owned(),
            dry_run: false,
            message: String::new(),
        };
        let meta = &self.inner.parts.meta;
        meta.execution_begin(execution, divided(wanted)).await?;
        self.inner.to_work.notify_one();
        Ok(id)
    }
}

/// One task for each repository.
fn divided(wanted: Vec<Wanted>) -> Vec<TaskWrite> {
    let mut by_place: BTreeMap<(String, Name, Name), Vec<TaskItem>> = BTreeMap::new();
    for one in wanted {
        let place = (one.remote, one.repository, one.destination);
        let items = by_place.entry(place).or_default();
        if items.iter().all(|item| item.tag != one.tag) {
            items.push(TaskItem {
                tag: one.tag,
                // The remote is asked when the task runs.
                digest: Digest::sha256(b""),
                action: Action::Copy,
                bytes: None,
                message: None,
            });
        }
    }
    let task = |((remote, repository, destination), items)| TaskWrite {
        remote,
        repository,
        destination,
        items,
        delay: Duration::ZERO,
    };
    by_place.into_iter().map(task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_task_for_each_repository_with_each_tag_once() {
        let wanted = |name: &str, tag: &str| Wanted {
            remote: "hub".to_owned(),
            repository: name.parse().unwrap(),
            destination: format!("docker.io/{name}").parse().unwrap(),
            tag: tag.parse().unwrap(),
        };
        let tasks = divided(vec![
            wanted("b", "1"),
            wanted("a", "1"),
            wanted("b", "2"),
            wanted("b", "1"),
        ]);
        let tags = |task: &TaskWrite| task.items.iter().map(|item| item.tag.to_string()).collect();
        let told: Vec<(String, Vec<String>)> = tasks
            .iter()
            .map(|task| (task.destination.to_string(), tags(task)))
            .collect();
        let expected = [("docker.io/a", vec!["1"]), ("docker.io/b", vec!["1", "2"])];
        let expected = expected.map(|(name, tags)| {
            (
                name.to_owned(),
                tags.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        });
        assert_eq!(told, expected);
    }
}
