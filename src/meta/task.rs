//! Tasks: what an execution does with one repository at one remote. Rows that are leased to whoever works on them, so that
//! nothing is lost when a process dies: `held_until` passes, and somebody else takes the task.
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

use super::{
    ExecutionRow, Meta, MetaError, changes::Changes, column, connection::Connection, execution,
    member, operation::Operation, statement::Statement,
};
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

/// A rule that has tasks for a remote, after this one.
pub(super) const SQL_QUEUE: &str = "SELECT remote, rule_id FROM task WHERE ended_at IS NULL \
     AND (remote, rule_id) > ($1, $2) ORDER BY remote, rule_id LIMIT 1";

pub(super) const SQL_DUE: &str = "SELECT due_at FROM task WHERE ended_at IS NULL AND remote = $1 \
     AND rule_id = $2 AND due_at IS NOT NULL AND held_until <= $3 ORDER BY due_at, id LIMIT 1";

/// $3 is now. Nobody else works on the same repository there.
pub(super) const SQL_HOLD: &str = "UPDATE task SET status = 'Running', holder = $4, token = token + 1, \
     held_until = $5, attempts = attempts + 1, started_at = COALESCE(started_at, $3) \
     WHERE id = (SELECT due.id FROM task AS due WHERE due.ended_at IS NULL AND due.remote = $1 \
     AND due.rule_id = $2 AND due.due_at <= $3 AND due.held_until <= $3 AND due.status <> 'Stopping' \
     AND NOT EXISTS (SELECT 1 FROM task AS other WHERE other.ended_at IS NULL AND other.remote = due.remote \
     AND other.destination = due.destination AND other.held_until > $3) \
     ORDER BY due.due_at, due.id LIMIT 1) RETURNING id, token";

pub(super) const SQL_MEMBERS: &str = "SELECT members, dry_run FROM execution WHERE id = $1";

pub(super) const SQL_KEEP: &str = "UPDATE task SET held_until = $3, bytes_total = $4, bytes_sent = $5, \
     bytes_skipped = $6 WHERE id = $1 AND token = $2 AND ended_at IS NULL RETURNING status";

pub(super) const SQL_END: &str = "UPDATE task SET status = $3, error = $4, due_at = $5, ended_at = $6, \
     held_until = 0, bytes_total = $7, bytes_sent = $8, bytes_skipped = $9 \
     WHERE id = $1 AND token = $2 AND ended_at IS NULL RETURNING execution_id";

/// Those that are given up by whoever held them while they were to stop ($1 is now).
pub(super) const SQL_LEFT: &str = "UPDATE task SET status = 'Stopped', ended_at = $2 \
     WHERE ended_at IS NULL AND remote = $3 AND rule_id = $4 AND status = 'Stopping' AND held_until <= $1 \
     RETURNING execution_id";

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

pub(super) const SQL_RETRY: &str = "UPDATE task SET status = 'Pending', ended_at = NULL, error = NULL, \
     due_at = $2, held_until = 0, attempts = 0, started_at = NULL \
     WHERE execution_id = $1 AND status IN ('Failed', 'Stopped')";

/// One that has not started takes in more.
pub(super) const SQL_WAITING: &str = "SELECT id, items FROM task WHERE ended_at IS NULL AND remote = $1 \
     AND destination = $2 AND rule_id = $3 AND repository = $4 AND status = 'Pending' AND attempts = 0 \
     AND due_at <= $5 ORDER BY id LIMIT 1";

pub(super) const SQL_TAKE_IN: &str = "UPDATE task SET items = $2 WHERE id = $1";

pub(super) const SQL_LOG_LAST: &str =
    "SELECT number FROM task_log WHERE task_id = $1 ORDER BY number DESC LIMIT 1";

pub(super) const SQL_LOG_PUT: &str =
    "INSERT INTO task_log (task_id, number, at, line) VALUES ($1, $2, $3, $4)";

pub(super) const SQL_LOG_DROP: &str = "DELETE FROM task_log WHERE task_id = $1 AND number <= $2";

pub(super) const SQL_LOG: &str =
    "SELECT at, line FROM task_log WHERE task_id = $1 ORDER BY number LIMIT $2";

/// Lines of a task's log that are kept, the newest.
const LOG_LINES: i64 = 1000;

/// How many pairs of remote and rule are looked at.
const MAX_QUEUES: usize = 10_000;

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

/// A task in the hands of whoever works on it.
#[derive(Debug, Clone)]
pub struct HeldTask {
    pub task: TaskRow,
    /// The rule as it was: a JSON object.
    pub members: String,
    pub rule_id: Uuid,
    /// A plan that was looked at is applied: what the tags point to by now does not matter.
    pub is_as_planned: bool,
    /// Every write of the holder names it.
    pub token: i64,
}

/// How a task came to an end, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    Succeeded {
        /// What was left alone, if anything was.
        message: Option<String>,
    },
    Failed(String),
    Stopped,
    /// It is tried again then.
    Retry {
        at: SystemTime,
        error: String,
    },
}

/// id, `execution_id`, remote, repository, destination, items, status, attempts, `due_at`, bytes (total, sent, skipped),
/// `created_at`, `started_at`, `ended_at`, error
type Columns = (
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

    fn read(text: &str) -> Result<Self, MetaError> {
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
        columns.map(row).transpose()
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
        rows.into_iter().map(row).collect()
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
        rows.into_iter().map(row).collect()
    }

    /// How many tasks of a rule there are.
    pub async fn task_count(&self, rule: Uuid) -> Result<u64, MetaError> {
        let count = Statement::new(SQL_COUNT_OF).bind(rule.to_string());
        let row: Option<(i64,)> = self.fetch_optional(count).await?;
        column::size_read(row.map_or(0, |(count,)| count))
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

    /// Which rules have tasks for which remotes, by remote.
    pub async fn task_queues(&self) -> Result<Vec<(String, Uuid)>, MetaError> {
        let mut queues = Vec::new();
        let mut after = (String::new(), String::new());
        while queues.len() < MAX_QUEUES {
            let select = Statement::new(SQL_QUEUE).bind(after.0.as_str());
            let select = select.bind(after.1.as_str());
            let Some((remote, rule)) = self.fetch_optional::<(String, String)>(select).await?
            else {
                break;
            };
            queues.push((remote.clone(), column::parsed(&rule)?));
            after = (remote, rule);
        }
        Ok(queues)
    }

    /// When the next task of this rule for this remote is due; `None`: nobody waits.
    pub async fn task_due(
        &self,
        remote: &str,
        rule: Uuid,
    ) -> Result<Option<SystemTime>, MetaError> {
        let select = Statement::new(SQL_DUE)
            .bind(remote)
            .bind(rule.to_string())
            .bind(column::milliseconds(SystemTime::now()));
        let row: Option<(i64,)> = self.fetch_optional(select).await?;
        Ok(row.map(|(due_at,)| column::time(due_at)))
    }

    /// Takes the task of this rule for this remote that has been due for longest, for so long.
    pub async fn task_hold(
        &self,
        remote: &str,
        rule: Uuid,
        holder: Uuid,
        time: Duration,
    ) -> Result<Option<HeldTask>, MetaError> {
        self.write(Hold {
            remote: remote.to_owned(),
            rule,
            holder,
            time,
        })
        .await
    }

    /// Goes on with a task for so long, and tells how far it is. `None`: it is no longer the holder's; else its status,
    /// which may say that it is to stop.
    pub async fn task_keep(
        &self,
        id: Uuid,
        token: i64,
        bytes: TaskBytes,
        time: Duration,
    ) -> Result<Option<TaskStatus>, MetaError> {
        self.write(Keep {
            id,
            token,
            bytes,
            time,
        })
        .await
    }

    /// Ends a task, or puts it off; and its execution with the last one. False: it is no longer the holder's.
    pub async fn task_end(
        &self,
        id: Uuid,
        token: i64,
        bytes: TaskBytes,
        end: TaskEnd,
    ) -> Result<bool, MetaError> {
        self.write(End {
            id,
            token,
            bytes,
            end,
        })
        .await
    }

    /// Adds lines to a task's log; the oldest go when there are more than 1,000.
    pub async fn task_log_put(&self, id: Uuid, lines: Vec<String>) -> Result<(), MetaError> {
        self.write(Log { id, lines }).await
    }

    /// The log of a task: when, and what.
    pub async fn task_log(&self, id: Uuid) -> Result<Vec<(SystemTime, String)>, MetaError> {
        let select = Statement::new(SQL_LOG).bind(id.to_string()).bind(LOG_LINES);
        let rows: Vec<(i64, String)> = self.fetch_all(select).await?;
        let line = |(at, line)| (column::time(at), line);
        Ok(rows.into_iter().map(line).collect())
    }
}

fn row(columns: Columns) -> Result<TaskRow, MetaError> {
    let (id, execution_id, remote, repository, destination, items, status, attempts, due_at, ..) =
        &columns;
    let (.., total, sent, skipped, created_at, started_at, ended_at, error) = &columns;
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

/// [`Meta::task_hold`]
struct Hold {
    remote: String,
    rule: Uuid,
    holder: Uuid,
    time: Duration,
}

/// [`Meta::task_keep`]
struct Keep {
    id: Uuid,
    token: i64,
    bytes: TaskBytes,
    time: Duration,
}

/// [`Meta::task_end`]
struct End {
    id: Uuid,
    token: i64,
    bytes: TaskBytes,
    end: TaskEnd,
}

/// [`Meta::task_log_put`]
struct Log {
    id: Uuid,
    lines: Vec<String>,
}

impl Operation for Hold {
    type Output = Option<HeldTask>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Option<HeldTask>, MetaError> {
        let now = member::now(connection).await?;
        let left: Vec<(String,)> = Statement::new(SQL_LEFT)
            .bind(now)
            .bind(column::milliseconds(SystemTime::now()))
            .bind(self.remote.as_str())
            .bind(self.rule.to_string())
            .fetch_all(connection)
            .await?;
        for (execution,) in &left {
            execution::settle(connection, execution).await?;
        }
        let hold = Statement::new(SQL_HOLD)
            .bind(self.remote.as_str())
            .bind(self.rule.to_string())
            .bind(now)
            .bind(self.holder.to_string())
            .bind(now + column::duration(self.time));
        let Some((id, token)) = hold.fetch_optional::<(String, i64)>(connection).await? else {
            return Ok(None);
        };
        let task = Statement::new(SQL_GET).bind(id);
        let task = row(task.fetch_one(connection).await?)?;
        let members = Statement::new(SQL_MEMBERS).bind(task.execution_id.to_string());
        let (members, is_as_planned) = members.fetch_one(connection).await?;
        Ok(Some(HeldTask {
            task,
            members,
            is_as_planned,
            rule_id: self.rule,
            token,
        }))
    }
}

impl Operation for Keep {
    type Output = Option<TaskStatus>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Option<TaskStatus>, MetaError> {
        let now = member::now(connection).await?;
        let keep = Statement::new(SQL_KEEP)
            .bind(self.id.to_string())
            .bind(self.token)
            .bind(now + column::duration(self.time))
            .bind(column::size(self.bytes.total))
            .bind(column::size(self.bytes.sent))
            .bind(column::size(self.bytes.skipped));
        let row: Option<(String,)> = keep.fetch_optional(connection).await?;
        row.map(|(status,)| TaskStatus::read(&status)).transpose()
    }
}

impl Operation for End {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let now = column::milliseconds(SystemTime::now());
        let (status, error, due_at) = match &self.end {
            TaskEnd::Succeeded { message } => (TaskStatus::Succeeded, message.as_deref(), None),
            TaskEnd::Failed(error) => (TaskStatus::Failed, Some(error.as_str()), None),
            TaskEnd::Stopped => (TaskStatus::Stopped, None, None),
            TaskEnd::Retry { at, error } => {
                let at = Some(column::milliseconds(*at));
                (TaskStatus::Retrying, Some(error.as_str()), at)
            }
        };
        let ended_at = (status != TaskStatus::Retrying).then_some(now);
        let end = Statement::new(SQL_END)
            .bind(self.id.to_string())
            .bind(self.token)
            .bind(status.as_str())
            .bind(error)
            .bind(due_at)
            .bind(ended_at)
            .bind(column::size(self.bytes.total))
            .bind(column::size(self.bytes.sent))
            .bind(column::size(self.bytes.skipped));
        let Some((execution,)) = end.fetch_optional::<(String,)>(connection).await? else {
            return Ok(false);
        };
        if ended_at.is_some() {
            execution::settle(connection, &execution).await?;
        }
        Ok(true)
    }
}

impl Operation for Log {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let id = self.id.to_string();
        let last = Statement::new(SQL_LOG_LAST).bind(id.as_str());
        let last: Option<(i64,)> = last.fetch_optional(connection).await?;
        let mut number = last.map_or(0, |(number,)| number);
        let now = column::milliseconds(SystemTime::now());
        for line in &self.lines {
            number += 1;
            Statement::new(SQL_LOG_PUT)
                .bind(id.as_str())
                .bind(number)
                .bind(now)
                .bind(line.as_str())
                .execute(connection)
                .await?;
        }
        Statement::new(SQL_LOG_DROP)
            .bind(id)
            .bind(number - LOG_LINES)
            .execute(connection)
            .await?;
        Ok(())
    }
}
