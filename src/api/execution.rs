//! An execution as the API shows it, and what it would do.

use std::time::SystemTime;

use axum::extract::{FromRequestParts, Path};
use http::request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{problem::Problem, timestamp::Timestamp};
use crate::meta::{Action, ExecutionRow, ExecutionStatus, TaskCounts, TaskRow, TaskStatus};

/// The id in a path, of an execution or a task.
pub(super) struct Id(pub(super) Uuid);

/// What a rule does at one time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    pub id: Uuid,
    /// Its name now, or as it was when it is gone; empty: of no rule, but by `POST /cache/warm`
    pub rule: String,
    /// `manual`, `cron` or `event`
    pub trigger: String,
    /// `Planned`, `InProgress`, `Retrying`, `Stopping`, `Succeeded`, `Failed` or `Stopped`
    pub status: String,
    pub dry_run: bool,
    /// When the trigger fired
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Waits for retries included; up to now while it runs
    pub duration_ms: u64,
    /// Distinct repositories here
    pub repositories: u64,
    /// Of all tasks, 0 to 1; null until it is planned
    pub success_rate: Option<f64>,
    pub tasks: ExecutionTasks,
    pub bytes_total: u64,
    pub bytes_sent: u64,
    /// It was there already
    pub bytes_skipped: u64,
    pub message: String,
}

/// How its tasks are doing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExecutionTasks {
    pub total: u64,
    pub pending: u64,
    pub running: u64,
    pub retrying: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub stopped: u64,
}

/// What a dry run would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    pub items: Vec<PlanItem>,
    pub totals: PlanTotals,
}

/// What would be done with a tag.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanItem {
    pub remote: String,
    /// Here
    pub repository: String,
    /// What it is called there
    pub destination: String,
    pub tag: String,
    /// `copy`, `skip`, `conflict`, `collision` or `delete`
    pub action: String,
    pub digest: String,
    /// Of the whole image, if it is to be copied; what is there already is not sent
    pub bytes: u64,
    /// Why it could not be compared with what is there: its `action` is what is to be done if nothing is in the way
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How many tags would be what, and bytes to be copied.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PlanTotals {
    pub copy: u64,
    pub skip: u64,
    pub conflict: u64,
    pub collision: u64,
    pub delete: u64,
    pub bytes: u64,
}

impl Execution {
    pub(super) fn new(row: &ExecutionRow, rule: String, counts: &TaskCounts) -> Self {
        let of = |status| counts.of(status);
        let total = counts.total();
        let end = row.ended_at.unwrap_or_else(SystemTime::now);
        let duration = end.duration_since(row.created_at).unwrap_or_default();
        let is_planned = row.status != ExecutionStatus::Planning;
        Self {
            id: row.id,
            rule,
            trigger: row.cause.clone(),
            status: status(row.status, counts).to_owned(),
            dry_run: row.dry_run,
            created_at: row.created_at.into(),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            repositories: counts.repositories,
            success_rate: is_planned.then(|| rate(of(TaskStatus::Succeeded), total)),
            tasks: ExecutionTasks {
                total,
                pending: of(TaskStatus::Pending),
                running: of(TaskStatus::Running) + of(TaskStatus::Stopping),
                retrying: of(TaskStatus::Retrying),
                succeeded: of(TaskStatus::Succeeded),
                failed: of(TaskStatus::Failed),
                stopped: of(TaskStatus::Stopped),
            },
            bytes_total: counts.bytes.total,
            bytes_sent: counts.bytes.sent,
            bytes_skipped: counts.bytes.skipped,
            message: row.message.clone(),
        }
    }
}

/// Without tasks nothing has failed.
#[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
fn rate(succeeded: u64, total: u64) -> f64 {
    if total == 0 {
        1.0
    } else {
        succeeded as f64 / total as f64
    }
}

/// The word for it. While every task that is left waits for its next attempt, it is `Retrying`.
pub(super) fn status(status: ExecutionStatus, counts: &TaskCounts) -> &'static str {
    let of = |status| counts.of(status);
    let is_under_way = of(TaskStatus::Pending) + of(TaskStatus::Running) > 0;
    match status {
        ExecutionStatus::Planning => ExecutionStatus::InProgress.as_str(),
        ExecutionStatus::InProgress if !is_under_way && of(TaskStatus::Retrying) > 0 => {
            TaskStatus::Retrying.as_str()
        }
        other => other.as_str(),
    }
}

impl Plan {
    /// The part of a plan that these tasks are.
    pub(super) fn add(&mut self, task: &TaskRow) {
        for item in &task.items {
            let totals = &mut self.totals;
            let (word, count) = match item.action {
                Action::Copy => ("copy", &mut totals.copy),
                Action::Skip => ("skip", &mut totals.skip),
                Action::Conflict => ("conflict", &mut totals.conflict),
                Action::Collision => ("collision", &mut totals.collision),
                Action::Delete => ("delete", &mut totals.delete),
            };
            *count += 1;
            let bytes = item.bytes.unwrap_or_default();
            totals.bytes += bytes;
            self.items.push(PlanItem {
                remote: task.remote.clone(),
                repository: task.repository.to_string(),
                destination: task.destination.to_string(),
                tag: item.tag.to_string(),
                action: word.to_owned(),
                digest: item.digest.to_string(),
                bytes,
                message: item.message.clone(),
            });
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let missing = || Problem::not_found("there is nothing of this id");
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| missing())?;
        id.parse().map(Self).map_err(|_| missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: ExecutionStatus, tasks: &[(TaskStatus, u64)]) -> &'static str {
        let counts = TaskCounts {
            by_status: tasks.to_vec(),
            ..TaskCounts::default()
        };
        status(now, &counts)
    }

    #[test]
    fn an_execution_whose_tasks_wait_for_their_next_attempt_is_retrying() {
        use TaskStatus::{Pending, Retrying, Succeeded};
        let now = ExecutionStatus::InProgress;
        assert_eq!(shown(now, &[(Retrying, 1), (Succeeded, 3)]), "Retrying");
        assert_eq!(shown(now, &[(Retrying, 1), (Pending, 1)]), "InProgress");
        assert_eq!(
            shown(ExecutionStatus::Stopping, &[(Retrying, 1)]),
            "Stopping"
        );
        assert_eq!(shown(ExecutionStatus::Planning, &[]), "InProgress");
    }

    #[test]
    fn an_execution_with_nothing_to_do_has_done_all_of_it() {
        assert!((rate(0, 0) - 1.0).abs() < f64::EPSILON);
        assert!((rate(1, 4) - 0.25).abs() < f64::EPSILON);
    }
}
