//! `/rules`: what is replicated, where to and when.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use axum::{
    Extension, Json,
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{StatusCode, request};
use serde_json::{Map, Value};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    Api,
    body::Body,
    page::{Items, List, NamesQuery, Page, PageQuery},
    problem::Problem,
    projects::created,
    query::Fields,
    rule::{Rule, RuleFields, RuleSwitch, shown},
    tasks::Task,
};
use crate::{
    access::{Caller, Right},
    replication::{KnownRule, Rule as Checked, StopFirst},
};

/// What an answer has and a change need not have.
pub(super) const TOLD: [&str; 7] = [
    "id",
    "owner",
    "warnings",
    "execution",
    "waiting_deletes",
    "created_at",
    "changed_at",
];

/// How a rule is taken away.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// True: what still runs is stopped
    #[param(value_type = Option<bool>)]
    stop: Option<bool>,
}

#[utoipa::path(
    get, path = "/rules", tag = "rules", operation_id = "listRules", params(NamesQuery),
    responses(
        (status = 200, description = "The rules that the caller may change, by name", body = Items<Rule>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: NamesQuery,
) -> Result<Page<Rule>, Problem> {
    let mut rules = api.parts.replication.rules().await?;
    rules.retain(|known| may_see(&caller, &known.rule));
    let total = query.retain(&mut rules, |known| &known.rule.name);
    rules.truncate(query.limit.and_one() as usize);
    let expiring = api.parts.settings.expiring_credentials().await?;
    let mut items = Vec::new();
    for known in &rules {
        items.push(shown_whole(&api, known, &expiring).await?);
    }
    let list = List {
        path: "/rules",
        parameters: &[("q", query.q.as_deref())],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.name.clone()))
}

#[utoipa::path(
    post, path = "/rules", tag = "rules", operation_id = "createRule", request_body = RuleFields,
    responses(
        (status = 201, description = "The rule is there", body = Rule,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "There is one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let rule = given(&api, &caller, body.0).await?;
    let execution = api.parts.replication.create(&rule, caller.name()).await?;
    let mut rule = show_named(&api, &rule.name).await?;
    rule.execution = execution;
    let name = rule.name.clone();
    Ok(created("/rules", &name, rule))
}

#[utoipa::path(
    get, path = "/rules/{name}", tag = "rules", operation_id = "getRule",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "The rule", body = Rule),
        (status = 404, description = "There is none of this name that the caller may change"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Rule>, Problem> {
    let known = find(&api, &caller, &name).await?;
    let expiring = api.parts.settings.expiring_credentials().await?;
    shown_whole(&api, &known, &expiring).await.map(Json)
}

#[utoipa::path(
    put, path = "/rules/{name}", tag = "rules", operation_id = "replaceRule",
    params(("name" = String, Path)), request_body = RuleFields,
    responses(
        (status = 200, description = "The rule is as it says; another name renames it", body = Rule),
        (status = 404, description = "There is none of this name that the caller may change"),
        (status = 409, description = "There is another one of the new name"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Rule>, Problem> {
    let known = find(&api, &caller, &name).await?;
    body.0.entry("name").or_insert_with(|| Value::from(name));
    let rule = given(&api, &caller, body.0).await?;
    change(&api, &known, rule).await
}

#[utoipa::path(
    patch, path = "/rules/{name}", tag = "rules", operation_id = "switchRule",
    params(("name" = String, Path)), request_body = RuleSwitch,
    responses(
        (status = 200, description = "The rule is enabled, or disabled and what ran is stopped", body = Rule),
        (status = 404, description = "There is none of this name that the caller may change"),
    )
)]
pub(super) async fn switch(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Rule>, Problem> {
    let known = find(&api, &caller, &name).await?;
    let enabled: bool = body.required("enabled")?;
    body.finish()?;
    let rule = Checked {
        enabled,
        ..known.rule.clone()
    };
    change(&api, &known, rule).await
}

#[utoipa::path(
    delete, path = "/rules/{name}", tag = "rules", operation_id = "deleteRule",
    params(("name" = String, Path), DeleteQuery),
    responses(
        (status = 204, description = "It is gone; its executions stay"),
        (status = 404, description = "There was none of this name that the caller may change"),
        (status = 409, description = "It is disabled now, but the executions that are named still run"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: DeleteQuery,
) -> Result<StatusCode, Problem> {
    let known = find(&api, &caller, &name).await?;
    let stop = match query.stop {
        Some(true) => StopFirst::Yes,
        Some(false) | None => StopFirst::No,
    };
    api.parts.replication.delete(&known, stop).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    get, path = "/rules/{name}/tasks", tag = "rules", operation_id = "listRuleTasks",
    params(("name" = String, Path), PageQuery<Uuid>),
    responses(
        (status = 200, description = "Tasks of all its executions, the newest first", body = Items<Task>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
        (status = 404, description = "There is no rule of this name that the caller may change"),
    )
)]
pub(super) async fn tasks(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: PageQuery<Uuid>,
) -> Result<Page<Task>, Problem> {
    let known = find(&api, &caller, &name).await?;
    let (meta, limit) = (&api.parts.meta, query.limit);
    let rows = meta.tasks_of_rule(known.id, query.after, limit.and_one());
    let items: Vec<Task> = rows.await?.into_iter().map(Into::into).collect();
    let total = meta.task_count(known.id).await?;
    let list = List {
        path: &format!("/rules/{name}/tasks"),
        parameters: &[],
        limit,
    };
    Ok(list.page(items, total, |last| last.id.to_string()))
}

/// A rule that the caller may change.
pub(super) async fn find(api: &Api, caller: &Caller, name: &str) -> Result<KnownRule, Problem> {
    let known = api.parts.replication.rule(name).await?;
    known
        .filter(|known| may_see(caller, &known.rule))
        .ok_or_else(|| Problem::not_found(format!("there is no rule `{name}`")))
}

/// An admin of the system, and of the project here that the rule is about.
pub(super) fn may_see(caller: &Caller, rule: &Checked) -> bool {
    let on_project = |project| caller.may_on_project(Right::Admin, project);
    caller.is_admin() || rule.local_project().is_some_and(on_project)
}

/// A rule as a call gives it, if the caller may make it.
async fn given(
    api: &Api,
    caller: &Caller,
    mut members: Map<String, Value>,
) -> Result<Checked, Problem> {
    for told in TOLD {
        members.remove(told);
    }
    let rule = api.parts.replication.check(members)?;
    if caller.is_admin() {
        return Ok(rule);
    }
    let project = rule.local_project().filter(|_| may_see(caller, &rule));
    let Some(project) = project else {
        return Err(Problem::forbidden(
            "this takes an admin of the system, or of the project that the rule is about",
        ));
    };
    for known in api.parts.settings.remotes().await? {
        let is_used = rule.remotes.contains(&known.remote.name);
        let opened = known.members.get("projects").and_then(Value::as_array);
        let is_opened = opened.is_some_and(|opened| opened.iter().any(|open| open == project));
        if is_used && !is_opened {
            let name = &known.remote.name;
            return Err(Problem::forbidden(format!(
                "remote `{name}` is not opened to project `{project}`; an admin of the system can do that"
            )));
        }
    }
    Ok(rule)
}

async fn change(api: &Api, known: &KnownRule, rule: Checked) -> Result<Json<Rule>, Problem> {
    let execution = api.parts.replication.replace(known, &rule).await?;
    let mut shown = show_named(api, &rule.name).await?;
    shown.execution = execution;
    Ok(Json(shown))
}

async fn show_named(api: &Api, name: &str) -> Result<Rule, Problem> {
    let known = api.parts.replication.rule(name).await?;
    let expiring = api.parts.settings.expiring_credentials().await?;
    shown_whole(api, &known.ok_or_else(Problem::internal)?, &expiring).await
}

/// With what waits for somebody to look at it.
async fn shown_whole(
    api: &Api,
    known: &KnownRule,
    expiring: &BTreeMap<String, SystemTime>,
) -> Result<Rule, Problem> {
    let mut rule = shown(known, expiring)?;
    rule.waiting_deletes = api.parts.replication.waiting_deletes(known.id).await?;
    Ok(rule)
}

impl<S: Sync> FromRequestParts<S> for DeleteQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let stop = fields.optional("stop");
        fields.finish(Some(Self { stop }))
    }
}
