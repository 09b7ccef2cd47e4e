//! Deletes that rules pass on without asking: so many at a time. What is more waits in a plan until somebody applies it.

use std::{collections::BTreeSet, time::SystemTime};

use uuid::Uuid;

use super::{
    ExecutionStatus, ExecutionWrite, Meta, MetaError, TaskWrite,
    changes::Changes,
    column,
    connection::Connection,
    execution::{self, Columns},
    operation::Operation,
    settle,
    statement::Statement,
    task,
};
use crate::oci::{Name, Tag};

/// $2 is now.
pub(super) const SQL_COUNTED: &str =
    "SELECT repository, tag FROM unasked_delete WHERE rule_id = $1 AND counts_until > $2";

pub(super) const SQL_PUT: &str = "INSERT INTO unasked_delete (rule_id, repository, tag, counts_until) \
     VALUES ($1, $2, $3, $4) \
     ON CONFLICT (rule_id, repository, tag) DO UPDATE SET counts_until = excluded.counts_until";

pub(super) const SQL_PAST: &str =
    "DELETE FROM unasked_delete WHERE rule_id = $1 AND counts_until <= $2";

pub(super) const SQL_FORGET: &str = "DELETE FROM unasked_delete WHERE rule_id = $1";

/// Those that the rule has nowhere any more.
pub(super) const SQL_GONE: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM unasked_delete \
     WHERE rule_id = $1 AND counts_until > $2 AND NOT EXISTS (SELECT 1 FROM delivery \
     WHERE delivery.rule_id = unasked_delete.rule_id AND delivery.repository = unasked_delete.repository \
     AND delivery.tag = unasked_delete.tag)";

pub(super) const SQL_DELIVERED: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM delivery WHERE rule_id = $1 AND remote = $2";

/// The plan of deletes of the rule as it is ($3) that waits.
pub(super) const SQL_PLAN: &str = "SELECT id FROM execution WHERE rule_id = $1 AND status = 'Planned' \
     AND dry_run AND cause = $2 AND members = $3 ORDER BY id DESC LIMIT 1";

/// Deletes that a rule would pass on.
#[derive(Debug, Clone)]
pub struct UnaskedDeletes {
    pub rule: Uuid,
    /// By their names at the source: each counts once, wherever it is deleted.
    pub tags: BTreeSet<(Name, Tag)>,
    /// How long they count.
    pub until: SystemTime,
    /// How many may count at a time.
    pub cap: usize,
}

/// [`Meta::deletes_wait`]
struct Wait {
    execution: ExecutionWrite,
    tasks: Vec<TaskWrite>,
}

impl Meta {
    /// Counts deletes that a rule passes on, if these and what counts already are not too many. False: they are, and
    /// nothing is written.
    pub async fn deletes_count(&self, deletes: UnaskedDeletes) -> Result<bool, MetaError> {
        self.write(deletes).await
    }

    /// About how many tags a rule has at the remote that has most of them, with those that it has deleted of late.
    pub async fn tags_of_rule(&self, rule: Uuid, remotes: &[String]) -> Result<u64, MetaError> {
        let mut most = 0;
        for remote in remotes {
            let count = Statement::new(SQL_DELIVERED).bind(rule.to_string());
            let row: Option<(i64,)> = self.fetch_optional(count.bind(remote.as_str())).await?;
            most = most.max(row.map_or(0, |(count,)| count));
        }
        let gone = Statement::new(SQL_GONE)
            .bind(rule.to_string())
            .bind(column::milliseconds(SystemTime::now()));
        let gone: Option<(i64,)> = self.fetch_optional(gone).await?;
        column::size_read(most + gone.map_or(0, |(count,)| count))
    }

    /// Adds tasks to the plan of deletes that waits for somebody to apply it, or makes it as `execution`; its id.
    pub async fn deletes_wait(
        &self,
        execution: ExecutionWrite,
        tasks: Vec<TaskWrite>,
    ) -> Result<Uuid, MetaError> {
        self.write(Wait { execution, tasks }).await
    }
}

impl Operation for UnaskedDeletes {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let rule = self.rule.to_string();
        let now = column::milliseconds(SystemTime::now());
        let counted = Statement::new(SQL_COUNTED).bind(rule.as_str()).bind(now);
        let counted: Vec<(String, String)> = counted.fetch_all(connection).await?;
        let named = |(repository, tag): &(Name, Tag)| (repository.to_string(), tag.to_string());
        let all: BTreeSet<_> = counted
            .into_iter()
            .chain(self.tags.iter().map(named))
            .collect();
        if all.len() > self.cap {
            return Ok(false);
        }
        let past = Statement::new(SQL_PAST).bind(rule.as_str()).bind(now);
        past.execute(connection).await?;
        for (repository, tag) in &self.tags {
            Statement::new(SQL_PUT)
                .bind(rule.as_str())
                .bind(repository)
                .bind(tag)
                .bind(column::milliseconds(self.until))
                .execute(connection)
                .await?;
        }
        Ok(true)
    }
}

impl Operation for Wait {
    type Output = Uuid;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Uuid, MetaError> {
        let write = &self.execution;
        let find = Statement::new(SQL_PLAN)
            .bind(write.rule_id.to_string())
            .bind(write.cause.as_str())
            .bind(write.members.as_str());
        let id = if let Some((id,)) = find.fetch_optional::<(String,)>(connection).await? {
            id
        } else {
            execution::put(connection, write).await?;
            Statement::new(settle::SQL_STATUS)
                .bind(write.id.to_string())
                .bind(ExecutionStatus::Planned.as_str())
                .bind(write.message.as_str())
                .bind(ExecutionStatus::Planning.as_str())
                .execute(connection)
                .await?;
            write.id.to_string()
        };
        let find = Statement::new(execution::SQL_GET).bind(id);
        let columns: Columns = find.fetch_one(connection).await?;
        let plan = execution::row(columns)?;
        for one in &self.tasks {
            task::put(connection, &plan, one, None).await?;
        }
        Ok(plan.id)
    }
}
