//! `/projects`: tenants' spaces, hosted or mirrors.

mod fields;
mod members;
mod object;

pub use fields::{FreshnessFields, ProjectFields, RetentionFields};
pub use members::ProjectMember;
pub(super) use object::duration;
pub use object::{Freshness, Kind, ManagedBy, Project, Retention, Visibility};

use std::{collections::HashSet, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use self::object::check;
use super::{
    Api, PREFIX,
    body::Body,
    page::{Items, List, NamesQuery, Page},
    problem::Problem,
};
use crate::{
    access::{Actor, Caller, Right, Source},
    settings::{self, KnownProject},
};

#[utoipa::path(
    get, path = "/projects", tag = "projects", operation_id = "listProjects", params(NamesQuery),
    responses(
        (status = 200, description = "The projects that the caller may see, by name", body = Items<Project>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: NamesQuery,
) -> Result<Page<Project>, Problem> {
    let visible = api.parts.projects.now().visible(&caller);
    let mut known = api.parts.settings.projects().await?;
    known.retain(|known| visible.contains(&known.project.name));
    let total = query.retain(&mut known, |known| &known.project.name);
    known.truncate(query.limit.and_one() as usize);
    let items = shown(&api, &caller, known).await?;
    let list = List {
        path: "/projects",
        parameters: &[("q", query.q.as_deref())],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.name.clone()))
}

#[utoipa::path(
    get, path = "/projects/{name}", tag = "projects", operation_id = "getProject",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "The project", body = Project),
        (status = 404, description = "There is none of this name that the caller may see"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Project>, Problem> {
    let is_visible = api.parts.projects.now().visible(&caller).contains(&name);
    if !is_visible {
        return Err(missing(&name));
    }
    found(&api, &caller, &name).await.map(Json)
}

#[utoipa::path(
    post, path = "/projects", tag = "projects", operation_id = "createProject",
    request_body = ProjectFields,
    responses(
        (status = 201, description = "The project is there", body = Project,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "There is one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    mut body: Body,
) -> Result<Response, Problem> {
    let name: String = body.required("name")?;
    check(&mut body)?;
    let members = members::take(&mut body)?.unwrap_or_default();
    let (settings, accounts) = (&api.parts.settings, &api.parts.accounts);
    accounts.check_members(&name, &members).await?;
    settings.project_create(&name, &body.0).await?;
    if !members.is_empty() {
        let actor = Actor::new(&caller, source);
        accounts.set_members(&actor, &name, &members).await?;
    }
    let project = found(&api, &caller, &name).await?;
    Ok(created("/projects", &name, project))
}

#[utoipa::path(
    put, path = "/projects/{name}", tag = "projects", operation_id = "replaceProject",
    params(("name" = String, Path)), request_body = ProjectFields,
    responses(
        (status = 200, description = "The project is as it says. An admin of the project alone changes no bounds of it", body = Project),
        (status = 404, description = "There is none of this name that the caller may see"),
        (status = 409, description = "It is managed by the configuration file, but for its members"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Project>, Problem> {
    members::admit(&api, &caller, &name)?;
    if body
        .optional::<String>("name")?
        .is_some_and(|other| other != name)
    {
        return Err(Problem::bad_field("name", "a project keeps its name"));
    }
    check(&mut body)?;
    let members = members::take(&mut body)?;
    let (settings, accounts) = (&api.parts.settings, &api.parts.accounts);
    if let Some(members) = &members {
        accounts.check_members(&name, members).await?;
    }
    let known = known(&api, &name).await?.ok_or_else(|| missing(&name))?;
    // Of what the file declares the members are kept here all the same.
    let is_declared = known.managed_by == settings::ManagedBy::Configuration;
    if !(is_declared && members.is_some() && body.0.is_empty()) {
        if !caller.is_admin() {
            members::keep_bounds(&known, &mut body)?;
        }
        settings.project_replace(&name, &body.0).await?;
    }
    if let Some(members) = &members {
        let actor = Actor::new(&caller, source);
        accounts.set_members(&actor, &name, members).await?;
    }
    found(&api, &caller, &name).await.map(Json)
}

#[utoipa::path(
    delete, path = "/projects/{name}", tag = "projects", operation_id = "deleteProject",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone, and so are its members. A built-in one that it replaced is back"),
        (status = 404, description = "There was none of this name"),
        (status = 409, description = "It is managed by the configuration file, built in, or has repositories"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    api.parts.settings.project_delete(&name).await?;
    // Who makes another one of this name says anew who may what there.
    let actor = Actor::new(&caller, source);
    let accounts = &api.parts.accounts;
    accounts.set_members(&actor, &name, &[]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn known(api: &Api, name: &str) -> Result<Option<KnownProject>, Problem> {
    let known = api.parts.settings.projects().await?;
    Ok(known.into_iter().find(|known| known.project.name == name))
}

async fn found(api: &Api, caller: &Caller, name: &str) -> Result<Project, Problem> {
    let known = known(api, name).await?.ok_or_else(|| missing(name))?;
    let mut shown = shown(api, caller, vec![known]).await?;
    shown.pop().ok_or_else(Problem::internal)
}

/// As this caller may see them: with the members where the caller decides who they are.
async fn shown(
    api: &Api,
    caller: &Caller,
    known: Vec<KnownProject>,
) -> Result<Vec<Project>, Problem> {
    let mut projects: Vec<Project> = known.into_iter().map(Into::into).collect();
    let names = projects.iter().map(|project| project.name.as_str());
    let own: HashSet<&str> = names
        .filter(|name| caller.may_on_project(Right::Admin, name))
        .collect();
    if own.is_empty() {
        return Ok(projects);
    }
    let mut members = api.parts.accounts.members(&own).await?;
    for project in &mut projects {
        if caller.may_on_project(Right::Admin, &project.name) {
            let of_project = members.remove(&project.name).unwrap_or_default();
            project.members = Some(of_project.into_iter().map(Into::into).collect());
        }
    }
    Ok(projects)
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no project `{name}`"))
}

/// 201 with the object and where it is.
pub(super) fn created(path: &str, name: &str, object: impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(object)).into_response();
    let place = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let place = HeaderValue::try_from(format!("{PREFIX}{path}/{place}"));
    let place = place.expect("an encoded name is visible ASCII");
    response.headers_mut().insert(header::LOCATION, place);
    response
}
