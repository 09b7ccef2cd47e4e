//! Tasks: what an execution does with one repository at one remote. (How they are worked on: `held.rs`.)
//!
//! ```text
//! Pending ──► Running ──► Succeeded │ Failed
//!    ▲          │ ▲ └──► Stopping ──► Stopped
//!    │ retry    ▼ │
//!    └───── Retrying, until `due_at`
//! ```

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ExecutionRow, Meta, MetaError, column, connection::Connection, statement::Statement};
use crate::oci::{Digest, Name, Tag};

pub(super) const SQL_PUT: &str = "INSERT INTO task \
     (id, execution_id, rule_id, remote, repository, destination, items, status, due_at, bytes_total, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'Pending', $8, $9, $10)";

pub(super) const SQL_GET: &str = "SELECT id, execution_id, remote, repository, destination, items, status, \
     attempts, due_at, bytes_total, bytes_sent, bytes_skipped, created_at, started_at, ended_at, error \
     FROM task WHERE id = $1";

pub(super) const SQL_PAGE: &str = "SELECT id, execution_id, remote, repository, destination, items, status, \
     attempts, due_at, bytes_total, bytes_sent, bytes_skipped, created_at, started_at, ended_at, error \
     FROM task WHERE execution_id = $1 AND id > $2 ORDER BY id LIMIT $3";

/// The newest first.
pub(super) const SQL_PAGE_OF: &str = "SELECT id, execution_id, remote, repository, destination, items, status, \
     attempts, due_at, bytes_total, bytes_sent, bytes_skipped, created_at, started_at, ended_at, error \
     FROM task WHERE rule_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

pub(super) const SQL_COUNTS: &str = "SELECT status, CAST(COUNT(*) AS BIGINT), \
     CAST(SUM(bytes_total) AS BIGINT), CAST(SUM(bytes_sent) AS BIGINT), CAST(SUM(bytes_skipped) AS BIGINT) \
     FROM task WHERE execution_id = $1 GROUP BY status";

pub(super) const SQL_REPOSITORIES: &str =
    "SELECT CAST(COUNT(DISTINCT repository) AS BIGINT) FROM task WHERE execution_id = $1";

pub(super) const SQL_COUNT_OF: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM task WHERE rule_id = $1";

pub(super) const SQL_ANY_OPEN: &str = "SELECT CAST(1 AS BIGINT) FROM task WHERE execution_id = $1 \
     AND status IN ('Pending', 'Running', 'Retrying', 'Stopping') LIMIT 1";

pub(super) const SQL_ANY_OF: &str =
    "SELECT CAST(1 AS BIGINT) FROM task WHERE execution_id = $1 AND status = $2 LIMIT 1";

/// The plan is applied.
pub(super) const SQL_RELEASE: &str =
    "UPDATE task SET due_at = $2 WHERE execution_id = $1 AND status = 'Pending'";

pub(super) const SQL_STOP_WAITING: &str = "UPDATE task SET status = 'Stopped', ended_at = $2 \
     WHERE execution_id = $1 AND status IN ('Pending', 'Retrying')";

pub(super) const SQL_STOP_RUNNING: &str =
    "UPDATE task SET status = 'Stopping' WHERE execution_id = $1 AND status = 'Running'";

/// But for what was only planned.
pub(super) const SQL_RETRY: &str = "UPDATE task SET status = 'Pending', ended_at = NULL, error = NULL, \
     due_at = $2, held_until = 0, attempts = 0, started_at = NULL \
     WHERE execution_id = $1 AND status IN ('Failed', 'Stopped') AND (due_at IS NOT NULL OR started_at IS NOT NULL)";

pub(super) const SQL_LAST_SUCCESS: &str = "SELECT ended_at FROM task WHERE rule_id = $1 \
     AND remote = $2 AND status = 'Succeeded' ORDER BY id DESC LIMIT 1";

/// One for the same place that came before, and is not only planned.
pub(super) const SQL_BEHIND: &str = "SELECT CAST(1 AS BIGINT) FROM task WHERE ended_at IS NULL \
     AND remote = $1 AND destination = $2 AND rule_id = $3 AND id < $4 AND due_at IS NOT NULL LIMIT 1";

/// Those of a rule at a remote that have not ended and delete something.
pub(super) const SQL_DELETING: &str = "SELECT id, execution_id, remote, repository, destination, items, status, \
     attempts, due_at, bytes_total, bytes_sent, bytes_skipped, created_at, started_at, ended_at, error \
     FROM task WHERE ended_at IS NULL AND remote = $1 AND rule_id = $2 AND (destination, id) > ($3, $4) \
     AND items LIKE '%\"action\":\"delete\"%' ORDER BY destination, id LIMIT $5";

/// One that has not started takes in more.
pub(super) const SQL_WAITING: &str = "SELECT id, items FROM task WHERE ended_at IS NULL AND remote = $1 \
     AND destination = $2 AND rule_id = $3 AND repository = $4 AND status = 'Pending' AND attempts = 0 \
     AND due_at <= $5 ORDER BY id LIMIT 1";

pub(super) const SQL_TAKE_IN: &str = "UPDATE task SET items = $2 WHERE id = $1";

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    Pending,
    Running,
    Retrying,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
}

/// What is done with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Copy,
    /// It is there already.
    Skip,
    /// Something else is there, which the rule did not put there.
    Conflict,
    /// Another repository would go to the same place.
    Collision,
    Delete,
}

/// One tag of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskItem {
    pub tag: Tag,
    /// What it pointed to when this was planned.
    pub digest: Digest,
    pub action: Action,
    /// Of the whole image, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why a dry run could not compare it with what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A task that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskWrite {
    pub remote: String,
    pub repository: Name,
    pub destination: Name,
    pub items: Vec<TaskItem>,
    /// How long it waits before it begins.
    pub delay: Duration,
}

/// A task as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    pub id: Uuid,
    pub execution_id: Uuid,
    pub remote: String,
    pub repository: Name,
    pub destination: Name,
    pub items: Vec<TaskItem>,
    pub status: TaskStatus,
    pub attempts: u64,
    /// When it is tried next, while it waits for that.
    pub due_at: Option<SystemTime>,
    pub bytes: TaskBytes,
    pub created_at: SystemTime,
    pub started_at: Option<SystemTime>,
    pub ended_at: Option<SystemTime>,
    pub error: Option<String>,
}

/// How much of a task is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskBytes {
    pub total: u64,
    pub sent: u64,
    pub skipped: u64,
}

/// The tasks of an execution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounts {
    pub by_status: Vec<(TaskStatus, u64)>,
    pub bytes: TaskBytes,
    /// Distinct source repositories.
    pub repositories: u64,
}

/// id, `execution_id`, remote, repository, destination, items, status, attempts, `due_at`, bytes (total, sent, skipped),
/// `created_at`, `started_at`, `ended_at`, error
pub(super) type Columns = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl TaskStatus {
    pub const ALL: [(&'static str, Self); 7] = [
        ("Pending", Self::Pending),
        ("Running", Self::Running),
        ("Retrying", Self::Retrying),
        ("Stopping", Self::Stopping),
        ("Succeeded", Self::Succeeded),
        ("Failed", Self::Failed),
        ("Stopped", Self::Stopped),
    ];

    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, status)| *status == self);
        found.expect("each status has its word").0
    }

    pub(super) fn read(text: &str) -> Result<Self, MetaError> {
        let found = Self::ALL.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, status)| *status)
            .ok_or_else(|| MetaError::Corrupt(format!("task `{text}`")))
    }
}

impl TaskCounts {
    pub fn of(&self, status: TaskStatus) -> u64 {
        let found = self.by_status.iter().find(|(known, _)| *known == status);
        found.map_or(0, |(_, count)| *count)
    }

    pub fn total(&self) -> u64 {
        self.by_status.iter().map(|(_, count)| count).sum()
    }
}

impl Meta {
    pub async fn task(&self, id: Uuid) -> Result<Option<TaskRow>, MetaError> {
        let select = Statement::new(SQL_GET).bind(id.to_string());
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.as_ref().map(row).transpose()
    }

    /// Up to `limit` tasks of an execution after the one with this id, in the order of their making.
    pub async fn tasks(
        &self,
        execution: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, MetaError> {
        let select = Statement::new(SQL_PAGE)
            .bind(execution.to_string())
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.iter().map(row).collect()
    }

    /// Up to `limit` tasks of a rule before the one with this id, the newest first.
    pub async fn tasks_of_rule(
        &self,
        rule: Uuid,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, MetaError> {
        let select = Statement::new(SQL_PAGE_OF)
            .bind(rule.to_string())
            .bind(before.unwrap_or(Uuid::max()).to_string())
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.iter().map(row).collect()
    }

    /// Up to `limit` tasks of a rule at a remote, by destination after this one, that have not ended and delete something.
    pub async fn tasks_that_delete(
        &self,
        rule: Uuid,
        remote: &str,
        after: Option<&TaskRow>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, MetaError> {
        let (destination, id) = match after {
            Some(task) => (task.destination.as_str(), task.id.to_string()),
            None => ("", String::new()),
        };
        let select = Statement::new(SQL_DELETING)
            .bind(remote)
            .bind(rule.to_string())
            .bind(destination)
            .bind(id)
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.iter().map(row).collect()
    }

    /// How many tasks of a rule there are.
    pub async fn task_count(&self, rule: Uuid) -> Result<u64, MetaError> {
        let count = Statement::new(SQL_COUNT_OF).bind(rule.to_string());
        let row: Option<(i64,)> = self.fetch_optional(count).await?;
        column::size_read(row.map_or(0, |(count,)| count))
    }

    /// When a task of a rule at a remote last succeeded.
    pub async fn last_success(
        &self,
        rule: Uuid,
        remote: &str,
    ) -> Result<Option<SystemTime>, MetaError> {
        let select = Statement::new(SQL_LAST_SUCCESS).bind(rule.to_string());
        let row: Option<(Option<i64>,)> = self.fetch_optional(select.bind(remote)).await?;
        Ok(row.and_then(|(ended_at,)| ended_at.map(column::time)))
    }

    /// Has a task of the same rule for the same repository at the same remote, which is older, not ended?
    pub async fn task_is_behind(&self, task: &TaskRow, rule: Uuid) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_BEHIND)
            .bind(task.remote.as_str())
            .bind(&task.destination)
            .bind(rule.to_string())
            .bind(task.id.to_string());
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        Ok(row.is_some())
    }

    /// How the tasks of an execution are doing.
    pub async fn task_counts(&self, execution: Uuid) -> Result<TaskCounts, MetaError> {
        let id = execution.to_string();
        let select = Statement::new(SQL_COUNTS).bind(id.as_str());
        let rows: Vec<(String, i64, i64, i64, i64)> = self.fetch_all(select).await?;
        let mut counts = TaskCounts::default();
        for (status, count, total, sent, skipped) in rows {
            let status = TaskStatus::read(&status)?;
            counts.by_status.push((status, column::size_read(count)?));
            counts.bytes.total += column::size_read(total)?;
            counts.bytes.sent += column::size_read(sent)?;
            counts.bytes.skipped += column::size_read(skipped)?;
        }
        let select = Statement::new(SQL_REPOSITORIES).bind(id);
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        counts.repositories = column::size_read(row.map_or(0, |(count,)| count))?;
        Ok(counts)
    }
}

pub(super) fn row(columns: &Columns) -> Result<TaskRow, MetaError> {
    let (id, execution_id, remote, repository, destination, items, status, attempts, due_at, ..) =
        columns;
    let (.., total, sent, skipped, created_at, started_at, ended_at, error) = columns;
    Ok(TaskRow {
        id: column::parsed(id)?,
        execution_id: column::parsed(execution_id)?,
        remote: remote.clone(),
        repository: column::parsed(repository)?,
        destination: column::parsed(destination)?,
        items: items_read(items)?,
        status: TaskStatus::read(status)?,
        attempts: column::size_read(*attempts)?,
        due_at: due_at.map(column::time),
        bytes: TaskBytes {
            total: column::size_read(*total)?,
            sent: column::size_read(*sent)?,
            skipped: column::size_read(*skipped)?,
        },
        created_at: column::time(*created_at),
        started_at: started_at.map(column::time),
        ended_at: ended_at.map(column::time),
        error: error.clone(),
    })
}

pub(super) fn items_read(text: &str) -> Result<Vec<TaskItem>, MetaError> {
    serde_json::from_str(text)
        .map_err(|error| MetaError::Corrupt(format!("items of a task: {error}")))
}

pub(super) fn items_text(items: &[TaskItem]) -> String {
    serde_json::to_string(items).expect("tags and digests are JSON")
}

/// A task of an execution; `due_at` `None`: not yet.
pub(super) async fn put(
    connection: &mut Connection,
    execution: &ExecutionRow,
    task: &TaskWrite,
    due_at: Option<SystemTime>,
) -> Result<(), MetaError> {
    let bytes = task.items.iter().filter_map(|item| item.bytes).sum();
    Statement::new(SQL_PUT)
        .bind(Uuid::now_v7().to_string())
        .bind(execution.id.to_string())
        .bind(execution.rule_id.to_string())
        .bind(task.remote.as_str())
        .bind(&task.repository)
        .bind(&task.destination)
        .bind(items_text(&task.items))
        .bind(due_at.map(|due_at| column::milliseconds(due_at + task.delay)))
        .bind(column::size(bytes))
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}
