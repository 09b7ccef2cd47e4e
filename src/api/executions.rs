//! `/executions`: what rules do, and did.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{StatusCode, request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    execution::{Execution, Id, Plan, status},
    page::{Items, Limit, List, Page},
    problem::Problem,
    projects::created,
    query::Fields,
    rules::{find, may_see},
};
use crate::{
    access::Caller,
    meta::{ExecutionRow, ExecutionStatus, TaskCounts},
    replication::{Cause, NO_RULE, Run},
};

/// How an execution is begun.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ExecutionFields {
    /// Only the plan is made
    #[serde(default)]
    pub dry_run: bool,
}

/// An execution that has begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Begun {
    pub id: Uuid,
}

/// How much runs once more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    pub tasks: u64,
}

/// Which executions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExecutionsQuery {
    /// Of the rule of this name
    #[param(value_type = Option<String>)]
    rule: Option<String>,
    /// In this state
    #[param(value_type = Option<String>)]
    status: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<Uuid>)]
    after: Option<Uuid>,
}

#[utoipa::path(
    post, path = "/rules/{name}/executions", tag = "executions", operation_id = "beginExecution",
    params(("name" = String, Path)), request_body = ExecutionFields,
    responses(
        (status = 201, description = "It has begun", body = Begun,
            headers(("Location" = String, description = "Its path"))),
        (status = 404, description = "There is no rule of this name that the caller may run"),
        (status = 409, description = "The rule is disabled, and this is no dry run"),
    )
)]
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Response, Problem> {
    let known = find(&api, &caller, &name).await?;
    let dry_run = body.optional::<bool>("dry_run")?.unwrap_or(false);
    body.finish()?;
    let run = if dry_run { Run::Dry } else { Run::Now };
    let id = api
        .parts
        .replication
        .begin(&known, Cause::Manual, run)
        .await?;
    Ok(created("/executions", &id.to_string(), Begun { id }))
}

#[utoipa::path(
    get, path = "/executions", tag = "executions", operation_id = "listExecutions",
    params(ExecutionsQuery),
    responses(
        (status = 200, description = "Executions that the caller may see, the newest first", body = Items<Execution>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
        (status = 404, description = "There is no rule of this name that the caller may change"),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ExecutionsQuery,
) -> Result<Page<Execution>, Problem> {
    let meta = &api.parts.meta;
    let rule = match &query.rule {
        Some(name) => Some(find(&api, &caller, name).await?.id),
        None => None,
    };
    let wanted = query.limit.get() as usize;
    let (mut items, mut before, mut is_last) = (Vec::new(), query.after, false);
    while items.len() <= wanted && !is_last {
        let page = meta.executions(rule, before, query.limit.and_one()).await?;
        is_last = page.len() < query.limit.and_one() as usize;
        before = page.last().map(|last| last.id);
        for row in page {
            let counts = meta.task_counts(row.id).await?;
            if query.takes(&row, &counts) && is_visible(&api, &caller, &row) {
                items.push(shown(&api, &row, &counts).await?);
            }
        }
    }
    let total = meta.execution_count(rule).await?;
    let list = List {
        path: "/executions",
        parameters: &[
            ("rule", query.rule.as_deref()),
            ("status", query.status.as_deref()),
        ],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.id.to_string()))
}

#[utoipa::path(
    get, path = "/executions/{id}", tag = "executions", operation_id = "getExecution",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The execution", body = Execution),
        (status = 404, description = "There is none of this id that the caller may see"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Execution>, Problem> {
    let row = execution(&api, &caller, id).await?;
    show_row(&api, &row).await
}

#[utoipa::path(
    get, path = "/executions/{id}/plan", tag = "executions", operation_id = "getPlan",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "What it would do, or does", body = Plan),
        (status = 404, description = "There is none of this id that the caller may see"),
        (status = 409, description = "It is not planned yet"),
    )
)]
pub(super) async fn plan(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Plan>, Problem> {
    const PAGE: u32 = 1000;
    let row = execution(&api, &caller, id).await?;
    if row.status == ExecutionStatus::Planning {
        return Err(Problem::conflict("the plan is still being made"));
    }
    let mut plan = Plan {
        items: Vec::new(),
        totals: super::PlanTotals::default(),
    };
    let mut after = None;
    loop {
        let page = api.parts.meta.tasks(id, after, PAGE).await?;
        for task in &page {
            plan.add(task);
        }
        after = page.last().map(|last| last.id);
        if page.len() < PAGE as usize {
            return Ok(Json(plan));
        }
    }
}

#[utoipa::path(
    post, path = "/executions/{id}/apply", tag = "executions", operation_id = "applyPlan",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Exactly its plan is carried out", body = Execution),
        (status = 404, description = "There is none of this id that the caller may run"),
        (status = 409, description = "It is no plan that waits for this, or its rule is disabled"),
    )
)]
pub(super) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Execution>, Problem> {
    execution(&api, &caller, id).await?;
    if !api.parts.replication.apply(id).await? {
        return Err(Problem::conflict(
            "this execution is no plan that waits to be applied",
        ));
    }
    show_again(&api, id).await
}

#[utoipa::path(
    post, path = "/executions/{id}/stop", tag = "executions", operation_id = "stopExecution",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "What has not ended of it stops", body = Execution),
        (status = 404, description = "There is none of this id that the caller may stop"),
        (status = 409, description = "It has ended"),
    )
)]
pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Execution>, Problem> {
    execution(&api, &caller, id).await?;
    if !api.parts.replication.stop(id).await? {
        return Err(Problem::conflict("this execution has ended"));
    }
    show_again(&api, id).await
}

#[utoipa::path(
    post, path = "/executions/{id}/retry", tag = "executions", operation_id = "retryExecution",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "What failed or was stopped runs once more", body = Retried),
        (status = 404, description = "There is none of this id that the caller may run"),
        (status = 409, description = "Nothing of it failed or was stopped, or its rule is disabled"),
    )
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    execution(&api, &caller, id).await?;
    let tasks = api.parts.replication.retry(id).await?;
    if tasks == 0 {
        return Err(Problem::conflict(
            "nothing of this execution failed or was stopped",
        ));
    }
    Ok((StatusCode::OK, Json(Retried { tasks })))
}

/// An execution that the caller may see.
pub(super) async fn execution(
    api: &Api,
    caller: &Caller,
    id: Uuid,
) -> Result<ExecutionRow, Problem> {
    let row = api.parts.replication.execution(id).await?;
    row.filter(|row| is_visible(api, caller, row))
        .ok_or_else(|| Problem::not_found(format!("there is no execution {id}")))
}

fn is_visible(api: &Api, caller: &Caller, row: &ExecutionRow) -> bool {
    let rule = api.parts.replication.rule_of(row);
    caller.is_admin() || rule.is_some_and(|rule| may_see(caller, &rule))
}

async fn show_again(api: &Api, id: Uuid) -> Result<Json<Execution>, Problem> {
    let row = api.parts.replication.execution(id).await?;
    show_row(api, &row.ok_or_else(Problem::internal)?).await
}

async fn show_row(api: &Api, row: &ExecutionRow) -> Result<Json<Execution>, Problem> {
    let counts = api.parts.meta.task_counts(row.id).await?;
    shown(api, row, &counts).await.map(Json)
}

async fn shown(api: &Api, row: &ExecutionRow, counts: &TaskCounts) -> Result<Execution, Problem> {
    if row.rule_id == NO_RULE {
        return Ok(Execution::new(row, String::new(), counts));
    }
    let replication = &api.parts.replication;
    let now = replication.rule_by_id(row.rule_id).await?;
    let rule = now
        .map(|known| known.rule)
        .or_else(|| replication.rule_of(row));
    let name = rule.map(|rule| rule.name).unwrap_or_default();
    Ok(Execution::new(row, name, counts))
}

impl ExecutionsQuery {
    fn takes(&self, row: &ExecutionRow, counts: &TaskCounts) -> bool {
        let asked = self.status.as_deref();
        asked.is_none_or(|asked| asked == status(row.status, counts))
    }
}

impl<S: Sync> FromRequestParts<S> for ExecutionsQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            rule: fields.optional("rule"),
            status: fields.optional("status"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
