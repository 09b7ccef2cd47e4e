//! Executions on their way from one state to the next.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{
    ExecutionRow, ExecutionStatus, ExecutionStep, Meta, MetaError, TaskStatus, TaskWrite,
    changes::Changes,
    column,
    connection::Connection,
    execution::{Columns, SQL_GET, end, row},
    member, notice,
    operation::Operation,
    statement::Statement,
    task,
};

/// The oldest that nobody plans ($1 is now).
pub(super) const SQL_HOLD: &str = "UPDATE execution SET holder = $2, held_until = $3, \
     started_at = COALESCE(started_at, $1) WHERE id = (SELECT waiting.id FROM execution AS waiting \
     WHERE waiting.status = 'Planning' AND waiting.held_until <= $1 ORDER BY waiting.id LIMIT 1) \
     RETURNING id, rule_id, members, cause, status, dry_run, message, created_at, started_at, ended_at";

pub(super) const SQL_KEEP: &str = "UPDATE execution SET held_until = $3, message = $4 \
     WHERE id = $1 AND holder = $2 AND status = 'Planning' RETURNING CAST(1 AS BIGINT)";

pub(super) const SQL_STATUS: &str =
    "UPDATE execution SET status = $2, message = $3, held_until = 0 WHERE id = $1 AND status = $4";

pub(super) const SQL_AGAIN: &str =
    "UPDATE execution SET status = 'InProgress', ended_at = NULL WHERE id = $1";

/// What became of a plan.
#[derive(Debug, Clone)]
pub enum Planned {
    /// Its tasks, and what to say of it.
    Tasks {
        tasks: Vec<TaskWrite>,
        message: String,
    },
    /// It cannot be planned.
    Failed(String),
}

impl Meta {
    /// Takes the oldest execution that is to be planned and that nobody plans, for so long.
    pub async fn execution_hold(
        &self,
        holder: Uuid,
        time: Duration,
    ) -> Result<Option<ExecutionRow>, MetaError> {
        self.write(Hold { holder, time }).await
    }

    /// Goes on with planning it for so long, and says how far that is; false: somebody else does, or it was stopped.
    pub async fn execution_keep(
        &self,
        id: Uuid,
        holder: Uuid,
        time: Duration,
        message: String,
    ) -> Result<bool, MetaError> {
        self.write(Keep {
            id,
            holder,
            time,
            message,
        })
        .await
    }

    /// Writes the plan of an execution that this holder plans. Its tasks may begin, unless it is a dry run. False: somebody
    /// else plans it now, or it was stopped.
    pub async fn execution_plan(
        &self,
        id: Uuid,
        holder: Uuid,
        planned: Planned,
    ) -> Result<bool, MetaError> {
        self.write(Plan {
            id,
            holder,
            planned,
        })
        .await
    }

    /// Lets a dry run act. False: it is not waiting for that.
    pub async fn execution_apply(&self, id: Uuid) -> Result<bool, MetaError> {
        self.write(Apply(id)).await
    }

    /// Stops what has not ended of it. False: all has.
    pub async fn execution_stop(&self, id: Uuid) -> Result<bool, MetaError> {
        self.write(Stop(id)).await
    }

    /// Lets what failed or was stopped run once more; how many tasks.
    pub async fn execution_retry(&self, id: Uuid) -> Result<u64, MetaError> {
        self.write(Retry(id)).await
    }
}

/// [`Meta::execution_hold`]
struct Hold {
    holder: Uuid,
    time: Duration,
}

/// [`Meta::execution_keep`]
struct Keep {
    id: Uuid,
    holder: Uuid,
    time: Duration,
    message: String,
}

/// [`Meta::execution_plan`]
struct Plan {
    id: Uuid,
    holder: Uuid,
    planned: Planned,
}

/// [`Meta::execution_apply`]
struct Apply(Uuid);

/// [`Meta::execution_stop`]
struct Stop(Uuid);

/// [`Meta::execution_retry`]
struct Retry(Uuid);

impl Operation for Hold {
    type Output = Option<ExecutionRow>;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<Option<ExecutionRow>, MetaError> {
        let now = member::now(connection).await?;
        let hold = Statement::new(SQL_HOLD)
            .bind(now)
            .bind(self.holder.to_string())
            .bind(now + column::duration(self.time));
        let columns: Option<Columns> = hold.fetch_optional(connection).await?;
        columns.map(row).transpose()
    }
}

impl Operation for Keep {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let (id, holder) = (self.id, self.holder);
        keep(connection, id, holder, self.time, &self.message).await
    }
}

async fn keep(
    connection: &mut Connection,
    id: Uuid,
    holder: Uuid,
    time: Duration,
    message: &str,
) -> Result<bool, MetaError> {
    let now = member::now(connection).await?;
    let keep = Statement::new(SQL_KEEP)
        .bind(id.to_string())
        .bind(holder.to_string())
        .bind(now + column::duration(time))
        .bind(message);
    Ok(keep.fetch_optional::<(i64,)>(connection).await?.is_some())
}

impl Operation for Plan {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        if !keep(connection, self.id, self.holder, Duration::ZERO, "").await? {
            return Ok(false);
        }
        let id = self.id.to_string();
        let status = async |connection: &mut Connection, status: ExecutionStatus, message: &str| {
            let set = Statement::new(SQL_STATUS).bind(id.as_str());
            let set = set.bind(status.as_str()).bind(message);
            set.bind(ExecutionStatus::Planning.as_str())
                .execute(connection)
                .await?;
            Ok::<_, MetaError>(())
        };
        let (tasks, message) = match &self.planned {
            Planned::Tasks { tasks, message } => (tasks, message),
            Planned::Failed(message) => {
                status(connection, ExecutionStatus::Failed, message).await?;
                return end(connection, &id, ExecutionStatus::Failed)
                    .await
                    .map(|()| true);
            }
        };
        let find = Statement::new(SQL_GET).bind(id.as_str());
        let columns: Columns = find.fetch_one(connection).await?;
        let execution = row(columns)?;
        let due_at = (!execution.dry_run).then(SystemTime::now);
        for one in tasks {
            task::put(connection, &execution, one, due_at).await?;
        }
        let next = if execution.dry_run {
            ExecutionStatus::Planned
        } else {
            ExecutionStatus::InProgress
        };
        status(connection, next, message).await?;
        if !execution.dry_run {
            notice::put(connection, &id, ExecutionStep::Started).await?;
            settle(connection, &id).await?;
        }
        Ok(true)
    }
}

impl Operation for Apply {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let id = self.0.to_string();
        let find = Statement::new(SQL_GET).bind(id.as_str());
        let Some(columns) = find.fetch_optional::<Columns>(connection).await? else {
            return Ok(false);
        };
        let execution = row(columns)?;
        if execution.status != ExecutionStatus::Planned {
            return Ok(false);
        }
        let apply = Statement::new(SQL_STATUS).bind(id.as_str());
        apply
            .bind(ExecutionStatus::InProgress.as_str())
            .bind(execution.message.as_str())
            .bind(ExecutionStatus::Planned.as_str())
            .execute(connection)
            .await?;
        let release = Statement::new(task::SQL_RELEASE).bind(id.as_str());
        release
            .bind(column::milliseconds(SystemTime::now()))
            .execute(connection)
            .await?;
        notice::put(connection, &id, ExecutionStep::Started).await?;
        settle(connection, &id).await?;
        Ok(true)
    }
}

impl Operation for Stop {
    type Output = bool;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<bool, MetaError> {
        let id = self.0.to_string();
        let find = Statement::new(SQL_GET).bind(id.as_str());
        let Some(columns) = find.fetch_optional::<Columns>(connection).await? else {
            return Ok(false);
        };
        let execution = row(columns)?;
        if execution.ended_at.is_some() {
            return Ok(false);
        }
        let now = column::milliseconds(SystemTime::now());
        for sql in [task::SQL_STOP_WAITING, task::SQL_STOP_RUNNING] {
            let stop = Statement::new(sql).bind(id.as_str());
            let stop = if sql == task::SQL_STOP_WAITING {
                stop.bind(now)
            } else {
                stop
            };
            stop.execute(connection).await?;
        }
        let stopping = Statement::new(SQL_STATUS).bind(id.as_str());
        stopping
            .bind(ExecutionStatus::Stopping.as_str())
            .bind(execution.message.as_str())
            .bind(execution.status.as_str())
            .execute(connection)
            .await?;
        settle(connection, &id).await?;
        Ok(true)
    }
}

impl Operation for Retry {
    type Output = u64;

    async fn execute(
        &self,
        connection: &mut Connection,
        _changes: &mut Changes,
    ) -> Result<u64, MetaError> {
        let id = self.0.to_string();
        let retry = Statement::new(task::SQL_RETRY)
            .bind(id.as_str())
            .bind(column::milliseconds(SystemTime::now()));
        let count = retry.execute(connection).await?;
        if count > 0 {
            let again = Statement::new(SQL_AGAIN).bind(id.as_str());
            again.execute(connection).await?;
            notice::put(connection, &id, ExecutionStep::Started).await?;
        }
        Ok(count)
    }
}

/// Ends an execution whose tasks have all ended.
pub(super) async fn settle(connection: &mut Connection, id: &str) -> Result<(), MetaError> {
    let open = Statement::new(task::SQL_ANY_OPEN).bind(id);
    if open.fetch_optional::<(i64,)>(connection).await?.is_some() {
        return Ok(());
    }
    let find = Statement::new(SQL_GET).bind(id);
    let columns: Columns = find.fetch_one(connection).await?;
    let was = row(columns)?.status;
    let any = async |connection: &mut Connection, status: TaskStatus| {
        let find = Statement::new(task::SQL_ANY_OF)
            .bind(id)
            .bind(status.as_str());
        let found: Option<(i64,)> = find.fetch_optional(connection).await?;
        Ok::<_, MetaError>(found.is_some())
    };
    let status = if any(connection, TaskStatus::Failed).await? {
        ExecutionStatus::Failed
    } else if was == ExecutionStatus::Stopping || any(connection, TaskStatus::Stopped).await? {
        ExecutionStatus::Stopped
    } else {
        ExecutionStatus::Succeeded
    };
    end(connection, id, status).await
}
