//! Executions: what a rule does at one time, as it was then.
//!
//! ```text
//! Planning ──► InProgress ──► Succeeded │ Failed      its tasks say so: the last one that ends
//!    │  ▲          ▲    └──► Stopping ──► Stopped
//!    │  └ retry    │ apply
//!    └──► Planned ─┘                                  a dry run
//! ```

use std::time::SystemTime;

use uuid::Uuid;

use super::{
    ExecutionStep, Meta, MetaError, TaskWrite, changes::Changes, column, connection::Connection,
    notice, operation::Operation, statement::Statement, task,
};

pub(super) const SQL_PUT: &str = "INSERT INTO execution \
     (id, rule_id, members, cause, status, dry_run, message, created_at) \
     VALUES ($1, $2, $3, $4, 'Planning', $5, $6, $7)";

pub(super) const SQL_GET: &str = "SELECT id, rule_id, members, cause, status, dry_run, message, \
     created_at, started_at, ended_at FROM execution WHERE id = $1";

/// The newest first.
pub(super) const SQL_PAGE: &str = "SELECT id, rule_id, members, cause, status, dry_run, message, \
     created_at, started_at, ended_at FROM execution WHERE id < $1 ORDER BY id DESC LIMIT $2";

pub(super) const SQL_PAGE_OF: &str = "SELECT id, rule_id, members, cause, status, dry_run, message, \
     created_at, started_at, ended_at FROM execution WHERE rule_id = $1 AND id < $2 \
     ORDER BY id DESC LIMIT $3";

pub(super) const SQL_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM execution";

pub(super) const SQL_COUNT_OF: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM execution WHERE rule_id = $1";

/// One that has not ended: that is being planned, has tasks to run, or is a plan that waits.
pub(super) const SQL_OPEN: &str =
    "SELECT id FROM execution WHERE rule_id = $1 AND ended_at IS NULL ORDER BY id";

/// One of everything that the rule takes.
pub(super) const SQL_PLANNING: &str = "SELECT CAST(1 AS BIGINT) FROM execution WHERE rule_id = $1 \
     AND status = 'Planning' AND NOT dry_run LIMIT 1";

/// Those of which a task runs, the newest first.
pub(super) const SQL_RUNNING: &str = "SELECT id FROM execution WHERE status = 'InProgress' \
     AND EXISTS (SELECT 1 FROM task WHERE task.execution_id = execution.id AND task.status = 'Running') \
     ORDER BY id DESC LIMIT $1";

/// A plan of deletes that somebody has to look at.
pub(super) const SQL_PROPOSED: &str = "SELECT id FROM execution WHERE rule_id = $1 \
     AND status = 'Planned' AND dry_run AND cause = $2 ORDER BY id DESC LIMIT 1";

/// It was planned when it was made.
pub(super) const SQL_BEGUN: &str =
    "UPDATE execution SET status = 'InProgress', started_at = $2 WHERE id = $1";

pub(super) const SQL_END: &str =
    "UPDATE execution SET status = $2, ended_at = $3 WHERE id = $1 AND ended_at IS NULL";

/// What an execution is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It is being found out what there is to do.
    Planning,
    /// A dry run that nobody has applied.
    Planned,
    InProgress,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
}

/// An execution as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionRow {
    pub id: Uuid,
    pub rule_id: Uuid,
    /// The rule as it was: a JSON object.
    pub members: String,
    /// Which trigger it was: manual, cron or event.
    pub cause: String,
    pub status: ExecutionStatus,
    pub dry_run: bool,
    pub message: String,
    /// When the trigger fired; kept to the millisecond.
    pub created_at: SystemTime,
    pub started_at: Option<SystemTime>,
    pub ended_at: Option<SystemTime>,
}

/// An execution that is to be planned.
#[derive(Debug, Clone)]
pub struct ExecutionWrite {
    pub id: Uuid,
    pub rule_id: Uuid,
    pub members: String,
    pub cause: String,
    pub dry_run: bool,
    pub message: String,
}

/// id, `rule_id`, members, cause, status, `dry_run`, message, `created_at`, `started_at`, `ended_at`
pub(super) type Columns = (
    String,
    String,
    String,
    String,
    String,
    bool,
    String,
    i64,
    Option<i64>,
    Option<i64>,
);

impl ExecutionStatus {
    const ALL: [(&'static str, Self); 7] = [
        ("Planning", Self::Planning),
        ("Planned", Self::Planned),
        ("InProgress", Self::InProgress),
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
            .ok_or_else(|| MetaError::Corrupt(format!("execution `{text}`")))
    }
}

impl Meta {
    /// Writes an execution that is to be planned.
    pub async fn execution_put(&self, execution: ExecutionWrite) -> Result<(), MetaError> {
        self.write(Put(execution)).await
    }

    /// Writes an execution whose tasks are known already, and lets them begin.
    pub async fn execution_begin(
        &self,
        execution: ExecutionWrite,
        tasks: Vec<TaskWrite>,
    ) -> Result<(), MetaError> {
        self.write(Begin { execution, tasks }).await
    }

    pub async fn execution(&self, id: Uuid) -> Result<Option<ExecutionRow>, MetaError> {
        let select = Statement::new(SQL_GET).bind(id.to_string());
        let columns: Option<Columns> = self.fetch_optional(select).await?;
        columns.map(row).transpose()
    }

    /// Up to `limit` executions (of a rule) that came before the one with the id `before`, the newest first.
    pub async fn executions(
        &self,
        rule: Option<Uuid>,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<ExecutionRow>, MetaError> {
        let before = before.unwrap_or(Uuid::max()).to_string();
        let select = match rule {
            Some(rule) => Statement::new(SQL_PAGE_OF).bind(rule.to_string()),
            None => Statement::new(SQL_PAGE),
        };
        let select = select.bind(before).bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        rows.into_iter().map(row).collect()
    }

    /// How many executions there are (of a rule).
    pub async fn execution_count(&self, rule: Option<Uuid>) -> Result<u64, MetaError> {
        let count = match rule {
            Some(rule) => Statement::new(SQL_COUNT_OF).bind(rule.to_string()),
            None => Statement::new(SQL_COUNT),
        };
        let row: Option<(i64,)> = self.fetch_optional(count).await?;
        column::size_read(row.map_or(0, |(count,)| count))
    }

    /// Executions of a rule that have not ended, the oldest first.
    pub async fn executions_open(&self, rule: Uuid) -> Result<Vec<Uuid>, MetaError> {
        let select = Statement::new(SQL_OPEN).bind(rule.to_string());
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        rows.iter().map(|(id,)| column::parsed(id)).collect()
    }

    /// Up to `limit` executions of which a task runs now, the newest first.
    pub async fn executions_running(&self, limit: u32) -> Result<Vec<Uuid>, MetaError> {
        let select = Statement::new(SQL_RUNNING).bind(i64::from(limit));
        let rows: Vec<(String,)> = self.fetch_all(select).await?;
        rows.iter().map(|(id,)| column::parsed(id)).collect()
    }

    /// The newest plan that this cause has made of a rule and that nobody has applied.
    pub async fn execution_proposed(
        &self,
        rule: Uuid,
        cause: &str,
    ) -> Result<Option<Uuid>, MetaError> {
        let select = Statement::new(SQL_PROPOSED);
        let select = select.bind(rule.to_string()).bind(cause);
        let row: Option<(String,)> = self.fetch_optional(select).await?;
        row.map(|(id,)| column::parsed(&id)).transpose()
    }
}

pub(super) fn row(columns: Columns) -> Result<ExecutionRow, MetaError> {
    let (id, rule_id, members, cause, status, dry_run, message, created, started, ended) = columns;
    Ok(ExecutionRow {
        id: column::parsed(&id)?,
        rule_id: column::parsed(&rule_id)?,
        members,
        cause,
        status: ExecutionStatus::read(&status)?,
        dry_run,
        message,
        created_at: column::time(created),
        started_at: started.map(column::time),
        ended_at: ended.map(column::time),
    })
}

/// [`Meta::execution_put`]
struct Put(ExecutionWrite);

impl Operation for Put {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        put(connection, &self.0).await
    }
}

/// [`Meta::execution_begin`]
struct Begin {
    execution: ExecutionWrite,
    tasks: Vec<TaskWrite>,
}

impl Operation for Begin {
    type Output = ();

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<(), MetaError> {
        let execution = begin(connection, &self.execution).await?;
        for one in &self.tasks {
            task::put(connection, &execution, one, execution.started_at).await?;
        }
        Ok(())
    }
}

/// Writes an execution that needs no planning any more.
pub(super) async fn begin(
    connection: &mut Connection,
    execution: &ExecutionWrite,
) -> Result<ExecutionRow, MetaError> {
    put(connection, execution).await?;
    let (id, now) = (execution.id.to_string(), SystemTime::now());
    let begun = Statement::new(SQL_BEGUN).bind(id.as_str());
    let begun = begun.bind(column::milliseconds(now));
    begun.execute(connection).await?;
    notice::put(connection, &id, ExecutionStep::Started).await?;
    Ok(ExecutionRow {
        id: execution.id,
        rule_id: execution.rule_id,
        members: execution.members.clone(),
        cause: execution.cause.clone(),
        status: ExecutionStatus::InProgress,
        dry_run: false,
        message: execution.message.clone(),
        created_at: now,
        started_at: Some(now),
        ended_at: None,
    })
}

pub(super) async fn put(
    connection: &mut Connection,
    execution: &ExecutionWrite,
) -> Result<(), MetaError> {
    Statement::new(SQL_PUT)
        .bind(execution.id.to_string())
        .bind(execution.rule_id.to_string())
        .bind(execution.members.as_str())
        .bind(execution.cause.as_str())
        .bind(execution.dry_run)
        .bind(execution.message.as_str())
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes how it ended, once.
pub(super) async fn end(
    connection: &mut Connection,
    id: &str,
    status: ExecutionStatus,
) -> Result<(), MetaError> {
    let end = Statement::new(SQL_END)
        .bind(id)
        .bind(status.as_str())
        .bind(column::milliseconds(SystemTime::now()));
    if end.execute(connection).await? > 0 {
        notice::put(connection, id, ExecutionStep::of_end(status)).await?;
    }
    Ok(())
}
