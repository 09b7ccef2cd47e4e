//! Notices: events and what becomes of executions, in one order, for those outside who want to know: webhooks, and whoever
//! listens.
//!
//! ```text
//!   event             1 ─ 2 ─────────── 3 ─ 4        ids grow in the order of the commits
//!   execution_event         1 (after 2) ─────── 2 (after 4)
//! ```
//! A position is the last id of each.

use std::{fmt, iter::Peekable, str::FromStr, time::SystemTime, vec::IntoIter};

use uuid::Uuid;

use super::{
    EventRow, ExecutionStatus, Meta, MetaError, column, connection::Connection, event,
    expire::Expire, statement::Statement,
};

pub(super) const SQL_PUT: &str = "INSERT INTO execution_event (after_event, execution_id, kind, at) \
     VALUES ($1, $2, $3, $4)";

pub(super) const SQL_AFTER: &str = "SELECT id, after_event, execution_id, kind, at \
     FROM execution_event WHERE id > $1 ORDER BY id LIMIT $2";

pub(super) const SQL_NEWEST: &str =
    "SELECT id FROM execution_event WHERE id > 0 ORDER BY id DESC LIMIT 1";

/// The oldest that are old enough to go, and that every webhook has passed.
pub(super) const SQL_EXPIRED: &str = "SELECT id FROM execution_event WHERE at < $1 \
     AND NOT EXISTS (SELECT 1 FROM webhook WHERE webhook.passed_execution < execution_event.id) \
     ORDER BY at LIMIT $2";

pub(super) const SQL_DELETE: &str = "DELETE FROM execution_event WHERE id = $1";

/// What an execution has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStep {
    /// It is planned, and its tasks begin; or it goes on after a retry.
    Started,
    Succeeded,
    Failed,
    Stopped,
}

/// An execution that has begun or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionEvent {
    pub id: i64,
    /// The newest event then.
    pub after_event: i64,
    pub execution: Uuid,
    pub step: ExecutionStep,
    /// Kept to the millisecond.
    pub at: SystemTime,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Content(EventRow),
    Execution(ExecutionEvent),
}

/// How far somebody has got. As text: `12.3`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    pub event: i64,
    pub execution: i64,
}

/// id, `after_event`, `execution_id`, kind, at
type Columns = (i64, i64, String, String, i64);

impl ExecutionStep {
    const ALL: [(&'static str, Self); 4] = [
        ("execution_started", Self::Started),
        ("execution_succeeded", Self::Succeeded),
        ("execution_failed", Self::Failed),
        ("execution_stopped", Self::Stopped),
    ];

    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, step)| *step == self);
        found.expect("each step has its word").0
    }

    fn read(text: &str) -> Result<Self, MetaError> {
        let found = Self::ALL.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, step)| *step)
            .ok_or_else(|| MetaError::Corrupt(format!("event `{text}` of an execution")))
    }

    /// Of an execution that ends like this.
    pub(super) fn of_end(status: ExecutionStatus) -> Self {
        match status {
            ExecutionStatus::Failed => Self::Failed,
            ExecutionStatus::Succeeded => Self::Succeeded,
            _ => Self::Stopped,
        }
    }
}

impl Notice {
    /// The word for what happened.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Content(event) => event.kind.as_str(),
            Self::Execution(event) => event.step.as_str(),
        }
    }

    pub fn at(&self) -> SystemTime {
        match self {
            Self::Content(event) => event.at,
            Self::Execution(event) => event.at,
        }
    }
}

impl Position {
    /// With this one behind.
    #[must_use]
    pub fn past(self, notice: &Notice) -> Self {
        match notice {
            Notice::Content(event) => Self {
                event: event.id,
                ..self
            },
            Notice::Execution(event) => Self {
                execution: event.id,
                ..self
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.event, self.execution)
    }
}

/// It is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected two numbers such as 12.3")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (event, execution) = text.split_once('.').ok_or(NoPosition)?;
        let number = |text: &str| text.parse().map_err(|_| NoPosition);
        Ok(Self {
            event: number(event)?,
            execution: number(execution)?,
        })
    }
}

impl Meta {
    /// Some of what happened after this position, in its order: at most `limit` of each kind. Nothing: that was all.
    pub async fn notices_after(
        &self,
        position: Position,
        limit: u32,
    ) -> Result<Vec<Notice>, MetaError> {
        // First: all events before these are there when they are read.
        let select = Statement::new(SQL_AFTER)
            .bind(position.execution)
            .bind(i64::from(limit));
        let rows: Vec<Columns> = self.fetch_all(select).await?;
        let executions: Vec<_> = rows.into_iter().map(row).collect::<Result<_, _>>()?;
        let events = self.events_after(position.event, limit).await?;
        Ok(merged(events, executions, limit as usize))
    }

    /// The newest of all.
    pub async fn newest_notice(&self) -> Result<Position, MetaError> {
        let newest = async |sql| {
            let row: Option<(i64,)> = self.fetch_optional(Statement::new(sql)).await?;
            Ok::<_, MetaError>(row.map_or(0, |(id,)| id))
        };
        Ok(Position {
            event: newest(event::SQL_NEWEST).await?,
            execution: newest(SQL_NEWEST).await?,
        })
    }

    /// Deletes what is from before this time of executions, and has been passed by every webhook, a bounded number; how many.
    pub async fn notices_expire(&self, before: SystemTime) -> Result<u64, MetaError> {
        self.write(Expire {
            select: SQL_EXPIRED,
            delete: SQL_DELETE,
            before,
        })
        .await
    }
}

/// Both in one order. Where a list is cut at the limit, what may come after its end waits.
fn merged(events: Vec<EventRow>, executions: Vec<ExecutionEvent>, limit: usize) -> Vec<Notice> {
    let (more_events, more_executions) = (events.len() == limit, executions.len() == limit);
    let mut events: Peekable<IntoIter<_>> = events.into_iter().peekable();
    let mut executions = executions.into_iter().peekable();
    let mut merged = Vec::new();
    loop {
        let is_event = match (events.peek(), executions.peek()) {
            (None, None) => break,
            (None, Some(_)) if more_events => break,
            (Some(_), None) if more_executions => break,
            (Some(event), Some(execution)) => event.id <= execution.after_event,
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        merged.extend(match is_event {
            true => events.next().map(Notice::Content),
            false => executions.next().map(Notice::Execution),
        });
    }
    merged
}

fn row(columns: Columns) -> Result<ExecutionEvent, MetaError> {
    let (id, after_event, execution, kind, at) = columns;
    Ok(ExecutionEvent {
        id,
        after_event,
        execution: column::parsed(&execution)?,
        step: ExecutionStep::read(&kind)?,
        at: column::time(at),
    })
}

/// To be part of the transaction in which the execution comes to it.
pub(super) async fn put(
    connection: &mut Connection,
    execution: &str,
    step: ExecutionStep,
) -> Result<(), MetaError> {
    let after = event::newest(connection).await?;
    Statement::new(SQL_PUT)
        .bind(after)
        .bind(execution)
        .bind(step.as_str())
        .bind(column::milliseconds(SystemTime::now()))
        .execute(connection)
        .await?;
    Ok(())
}

/// The newest of executions; 0: none yet.
pub(super) async fn newest(connection: &mut Connection) -> Result<i64, MetaError> {
    let newest: Option<(i64,)> = Statement::new(SQL_NEWEST)
        .fetch_optional(connection)
        .await?;
    Ok(newest.map_or(0, |(id,)| id))
}
