//! `/tasks`, and the tasks of an execution: what was done with one repository at one remote.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Extension, Json,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    execution::Id,
    executions::execution,
    page::{Items, Limit, List, Page},
    problem::Problem,
    query::Fields,
    timestamp::Timestamp,
};
use crate::{
    access::Caller,
    meta::{TaskRow, TaskStatus},
};

/// What an execution does with one repository at one remote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Task {
    pub id: Uuid,
    pub execution: Uuid,
    pub remote: String,
    /// Here
    pub repository: String,
    /// What it is called there
    pub destination: String,
    pub tags: Vec<String>,
    /// `Pending`, `Running`, `Retrying`, `Stopping`, `Succeeded`, `Failed` or `Stopped`
    pub status: String,
    pub attempts: u64,
    /// While it waits for that
    pub next_attempt_at: Option<Timestamp>,
    pub bytes_total: u64,
    pub bytes_sent: u64,
    /// It was there already
    pub bytes_skipped: u64,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// What went wrong, or what was left alone
    pub error: Option<String>,
}

/// Which tasks of an execution.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TasksQuery {
    /// In this state
    #[param(value_type = Option<String>)]
    status: Option<StatusWord>,
    /// At this remote
    #[param(value_type = Option<String>)]
    remote: Option<String>,
    /// Of this repository
    #[param(value_type = Option<String>)]
    repository: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<Uuid>)]
    after: Option<Uuid>,
}

/// A task's status, as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct StatusWord(TaskStatus);

#[utoipa::path(
    get, path = "/executions/{id}/tasks", tag = "executions", operation_id = "listTasks",
    params(("id" = Uuid, Path), TasksQuery),
    responses(
        (status = 200, description = "Its tasks, in the order of their making", body = Items<Task>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
        (status = 404, description = "There is no such execution that the caller may see"),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    query: TasksQuery,
) -> Result<Page<Task>, Problem> {
    execution(&api, &caller, id).await?;
    let meta = &api.parts.meta;
    let wanted = query.limit.get() as usize;
    let (mut items, mut after, mut is_last) = (Vec::new(), query.after, false);
    // Filters let through few or many: pages are read until one is full.
    while items.len() <= wanted && !is_last {
        let page = meta.tasks(id, after, query.limit.and_one()).await?;
        is_last = page.len() < query.limit.and_one() as usize;
        after = page.last().map(|last| last.id);
        items.extend(
            page.into_iter()
                .filter(|row| query.takes(row))
                .map(Task::from),
        );
    }
    let counts = meta.task_counts(id).await?;
    let total = query
        .status
        .map_or(counts.total(), |status| counts.of(status.0));
    let list = List {
        path: &format!("/executions/{id}/tasks"),
        parameters: &[
            ("status", query.status.map(|status| status.0.as_str())),
            ("remote", query.remote.as_deref()),
            ("repository", query.repository.as_deref()),
        ],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.id.to_string()))
}

#[utoipa::path(
    get, path = "/tasks/{id}", tag = "executions", operation_id = "getTask",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 404, description = "There is none of this id that the caller may see"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Task>, Problem> {
    let row = find(&api, &caller, id).await?;
    Ok(Json(row.into()))
}

#[utoipa::path(
    get, path = "/tasks/{id}/log", tag = "executions", operation_id = "getTaskLog",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "What was done, line by line: the newest 1000", body = String,
            content_type = "text/plain"),
        (status = 404, description = "There is none of this id that the caller may see"),
    )
)]
pub(super) async fn log(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Problem> {
    find(&api, &caller, id).await?;
    let mut text = String::new();
    for (at, line) in api.parts.meta.task_log(id).await? {
        let at = Timestamp::from(at);
        writeln!(text, "{at} {line}").expect("a string takes everything");
    }
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

async fn find(api: &Api, caller: &Caller, id: Uuid) -> Result<TaskRow, Problem> {
    let missing = || Problem::not_found(format!("there is no task {id}"));
    let row = api.parts.meta.task(id).await?.ok_or_else(missing)?;
    let of = execution(api, caller, row.execution_id).await;
    of.map(|_| row).map_err(|_| missing())
}

impl TasksQuery {
    fn takes(&self, row: &TaskRow) -> bool {
        let is = |asked: &Option<String>, known: &str| asked.as_deref().is_none_or(|a| a == known);
        self.status.is_none_or(|status| status.0 == row.status)
            && is(&self.remote, &row.remote)
            && is(&self.repository, row.repository.as_str())
    }
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        let waits = row.status == TaskStatus::Retrying;
        Self {
            id: row.id,
            execution: row.execution_id,
            remote: row.remote,
            repository: row.repository.to_string(),
            destination: row.destination.to_string(),
            tags: row.items.iter().map(|item| item.tag.to_string()).collect(),
            status: row.status.as_str().to_owned(),
            attempts: row.attempts,
            next_attempt_at: row.due_at.filter(|_| waits).map(Into::into),
            bytes_total: row.bytes.total,
            bytes_sent: row.bytes.sent,
            bytes_skipped: row.bytes.skipped,
            created_at: row.created_at.into(),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            error: row.error,
        }
    }
}

impl std::str::FromStr for StatusWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = TaskStatus::ALL.iter().find(|(word, _)| *word == text);
        found.map(|(_, status)| Self(*status)).ok_or_else(|| {
            let words: Vec<_> = TaskStatus::ALL.iter().map(|(word, _)| *word).collect();
            format!("expected one of {}", words.join(", "))
        })
    }
}

impl<S: Sync> FromRequestParts<S> for TasksQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            status: fields.optional("status"),
            remote: fields.optional("remote"),
            repository: fields.optional("repository"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
