//! Tasks while they are worked on: rows that are leased to whoever does, so that nothing is lost when a process dies:
//! `held_until` passes, and somebody else takes the task.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{
    Meta, MetaError, TaskBytes, TaskRow, TaskStatus,
    changes::Changes,
    column,
    connection::Connection,
    member,
    operation::Operation,
    settle::settle,
    statement::Statement,
    task::{SQL_GET, row},
};

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

pub(super) const SQL_TO_STOP: &str =
    "SELECT CAST(1 AS BIGINT) FROM task WHERE id = $1 AND token = $2 AND status = 'Stopping'";

pub(super) const SQL_END: &str = "UPDATE task SET status = $3, error = $4, due_at = $5, ended_at = $6, \
     held_until = 0, bytes_total = $7, bytes_sent = $8, bytes_skipped = $9 \
     WHERE id = $1 AND token = $2 AND ended_at IS NULL RETURNING execution_id";

/// Those that are given up by whoever held them while they were to stop ($1 is now).
pub(super) const SQL_LEFT: &str = "UPDATE task SET status = 'Stopped', ended_at = $2 \
     WHERE ended_at IS NULL AND remote = $3 AND rule_id = $4 AND status = 'Stopping' AND held_until <= $1 \
     RETURNING execution_id";

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

impl Meta {
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

    /// Takes the tasks of this rule for this remote that have been due for longest, so many at most, for so long.
    pub async fn task_hold(
        &self,
        remote: &str,
        rule: Uuid,
        most: usize,
        time: Duration,
    ) -> Result<Vec<HeldTask>, MetaError> {
        self.write(Hold {
            remote: remote.to_owned(),
            rule,
            most,
            holder: Uuid::now_v7(),
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

    /// Ends a task, or puts it off unless it is to stop, with the last lines of its log; and its execution with the last one.
    /// False: it is no longer the holder's.
    pub async fn task_end(
        &self,
        id: Uuid,
        token: i64,
        bytes: TaskBytes,
        end: TaskEnd,
        lines: Vec<String>,
    ) -> Result<bool, MetaError> {
        self.write(End {
            token,
            bytes,
            outcome: end,
            log: Log { id, lines },
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

/// [`Meta::task_hold`]
struct Hold {
    remote: String,
    rule: Uuid,
    most: usize,
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
    token: i64,
    bytes: TaskBytes,
    outcome: TaskEnd,
    log: Log,
}

/// [`Meta::task_log_put`]
struct Log {
    id: Uuid,
    lines: Vec<String>,
}

impl Operation for Hold {
    type Output = Vec<HeldTask>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Vec<HeldTask>, MetaError> {
        let now = member::now(connection).await?;
        let left: Vec<(String,)> = Statement::new(SQL_LEFT)
            .bind(now)
            .bind(column::milliseconds(SystemTime::now()))
            .bind(self.remote.as_str())
            .bind(self.rule.to_string())
            .fetch_all(connection)
            .await?;
        for (execution,) in &left {
            settle(connection, execution).await?;
        }
        let mut held: Vec<HeldTask> = Vec::new();
        while held.len() < self.most {
            let hold = Statement::new(SQL_HOLD)
                .bind(self.remote.as_str())
                .bind(self.rule.to_string())
                .bind(now)
                .bind(self.holder.to_string())
                .bind(now + column::duration(self.time));
            let Some((id, token)) = hold.fetch_optional::<(String, i64)>(connection).await? else {
                break;
            };
            let task = Statement::new(SQL_GET).bind(id);
            let task = row(&task.fetch_one(connection).await?)?;
            let before = held.last();
            let (members, is_as_planned) = match before {
                Some(before) if before.task.execution_id == task.execution_id => {
                    (before.members.clone(), before.is_as_planned)
                }
                _ => {
                    let members = Statement::new(SQL_MEMBERS).bind(task.execution_id.to_string());
                    members.fetch_one(connection).await?
                }
            };
            held.push(HeldTask {
                task,
                members,
                is_as_planned,
                rule_id: self.rule,
                token,
            });
        }
        Ok(held)
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
        changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        if !self.log.lines.is_empty() {
            self.log.execute(connection, changes).await?;
        }
        let now = column::milliseconds(SystemTime::now());
        let is_retry = matches!(self.outcome, TaskEnd::Retry { .. });
        let outcome = if is_retry && self.is_to_stop(connection).await? {
            &TaskEnd::Stopped
        } else {
            &self.outcome
        };
        let (status, error, due_at) = match outcome {
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
            .bind(self.log.id.to_string())
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
            settle(connection, &execution).await?;
        }
        Ok(true)
    }
}

impl End {
    async fn is_to_stop(&self, connection: &mut Connection) -> Result<bool, MetaError> {
        let select = Statement::new(SQL_TO_STOP).bind(self.log.id.to_string());
        let row: Option<(i64,)> = select.bind(self.token).fetch_optional(connection).await?;
        Ok(row.is_some())
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
        if number > LOG_LINES {
            Statement::new(SQL_LOG_DROP)
                .bind(id)
                .bind(number - LOG_LINES)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}
