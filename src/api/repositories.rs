//! `/repositories`, `/repository`: names that have content, or were made to have some. Names hold slashes, so they travel
//! as query parameters.

mod names;
mod object;

pub(super) use names::Names;
pub(super) use object::listed;
pub use object::{ListedRepository, Repository, RepositoryFields, RepositoryTag, VisibilityField};

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request};
use utoipa::IntoParams;

use self::object::{found, visibility};
use super::{
    Api, PREFIX,
    body::Body,
    page::{Items, Limit, List, Page},
    problem::Problem,
    query::Fields,
};
use crate::{
    access::{Caller, Right},
    oci::{Name, Tag},
};

/// Which page of which list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only of this project
    #[param(value_type = Option<String>)]
    project: Option<String>,
    /// Whose name has this in it
    #[param(value_type = Option<String>)]
    q: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<Name>,
}

/// Which repository, and which page of its tags.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// The repository, project first
    #[param(value_type = String, example = "team/app")]
    name: Name,
    /// At most so many tags: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<Tag>,
}

/// Which repository.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NameQuery {
    /// The repository, project first
    #[param(value_type = String, example = "team/app")]
    pub(super) name: Name,
}

#[utoipa::path(
    get, path = "/repositories", tag = "repositories", operation_id = "listRepositories", params(ListQuery),
    responses(
        (status = 200, description = "Repositories that the caller may pull, by name", body = Items<ListedRepository>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ListQuery,
) -> Result<Page<ListedRepository>, Problem> {
    let projects = api.parts.projects.now();
    let wanted = query.q.as_deref().unwrap_or_default().to_lowercase();
    let limit = query.limit.get() as usize;
    let mut items = Vec::new();
    let mut total = 0;
    let mut names = Names::new(&api, &wanted);
    while let Some(name) = names.next().await? {
        let is_wanted = query
            .project
            .as_deref()
            .is_none_or(|project| project == name.first());
        if !is_wanted || !projects.may_pull(&caller, &name) {
            continue;
        }
        total += 1;
        if items.len() <= limit && query.after.as_ref().is_none_or(|after| name > *after) {
            items.extend(listed(&projects, &name));
        }
    }
    let list = List {
        path: "/repositories",
        parameters: &[
            ("project", query.project.as_deref()),
            ("q", query.q.as_deref()),
        ],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.name.clone()))
}

#[utoipa::path(
    post, path = "/repositories", tag = "repositories", operation_id = "createRepository",
    request_body = RepositoryFields,
    responses(
        (status = 201, description = "The repository is there", body = Repository,
            headers(("Location" = String, description = "Its path"))),
        (status = 404, description = "There is no such project"),
        (status = 409, description = "There is one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    mut body: Body,
) -> Result<Response, Problem> {
    let name: String = body.required("name")?;
    let name: Name = name.parse().map_err(|error: crate::oci::name::NameError| {
        Problem::bad_field("name", error.to_string())
    })?;
    let visibility = visibility(body)?;
    admit(&api, &caller, &name)?;
    let projects = api.parts.projects.now();
    if projects.is_mirror(name.first()) {
        let message = "the project is a mirror: its repositories are those of its remote";
        return Err(Problem::bad_field("name", message));
    }
    api.parts
        .settings
        .repository_create(&name, visibility)
        .await?;
    let repository = found(&api, &name, None, 1)
        .await?
        .ok_or_else(Problem::internal)?;
    let mut response = (StatusCode::CREATED, Json(repository)).into_response();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("name", name.as_str())
        .finish();
    let place = HeaderValue::try_from(format!("{PREFIX}/repository?{query}"));
    let place = place.expect("an encoded name is visible ASCII");
    response.headers_mut().insert(header::LOCATION, place);
    Ok(response)
}

#[utoipa::path(
    get, path = "/repository", tag = "repositories", operation_id = "getRepository", params(ShowQuery),
    responses(
        (status = 200, description = "The repository with a page of its tags", body = Repository,
            headers(("Link" = String, description = "The next page"))),
        (status = 404, description = "There is none of this name that the caller may pull"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: ShowQuery,
) -> Result<Response, Problem> {
    let name = &query.name;
    if !api.parts.projects.now().may_pull(&caller, name) {
        return Err(missing(name));
    }
    let repository = found(&api, name, query.after.as_ref(), query.limit.and_one()).await?;
    let mut repository = repository.ok_or_else(|| missing(name))?;
    let list = List {
        path: "/repository",
        parameters: &[("name", Some(name.as_str()))],
        limit: query.limit,
    };
    let next = list.cut(&mut repository.tags, |last| last.tag.clone());
    let mut response = Json(repository).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(header::LINK, next);
    }
    Ok(response)
}

#[utoipa::path(
    put, path = "/repository", tag = "repositories", operation_id = "replaceRepository", params(NameQuery),
    request_body = VisibilityField,
    responses(
        (status = 200, description = "It has this visibility", body = ListedRepository),
        (status = 404, description = "There is none of this name that the caller may pull"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: NameQuery,
    body: Body,
) -> Result<Json<ListedRepository>, Problem> {
    let name = &query.name;
    let visibility = visibility(body)?;
    admit(&api, &caller, name)?;
    api.parts
        .settings
        .repository_visibility(name, visibility)
        .await?;
    let projects = api.parts.projects.now();
    listed(&projects, name)
        .map(Json)
        .ok_or_else(|| missing(name))
}

#[utoipa::path(
    delete, path = "/repository", tag = "repositories", operation_id = "deleteRepository", params(NameQuery),
    responses(
        (status = 204, description = "It is gone, with all that it had"),
        (status = 404, description = "There was none of this name that the caller may pull"),
        (status = 409, description = "It is of a mirror: `DELETE /cache/entry` takes what is cached"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: NameQuery,
) -> Result<StatusCode, Problem> {
    let name = &query.name;
    may_delete(&api, &caller, name)?;
    if !api.parts.pushes.delete_repository(name).await? {
        let row = api.parts.meta.repository(name).await?;
        row.ok_or_else(|| missing(name))?;
    }
    api.parts.settings.repository_forget(name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets those in who may delete from the repository of a hosted project.
pub(super) fn may_delete(api: &Api, caller: &Caller, name: &Name) -> Result<(), Problem> {
    let projects = api.parts.projects.now();
    let Some(project) = projects.get(name.first()) else {
        return Err(missing(name));
    };
    if !caller.may(Right::Delete, project, name) {
        return Err(if projects.may_pull(caller, name) {
            Problem::forbidden(format!("this takes the right `delete` in `{name}`"))
        } else {
            missing(name)
        });
    }
    if project.is_mirror() {
        let message =
            format!("`{name}` is of a mirror; what is cached goes by `DELETE /cache/entry`");
        return Err(Problem::conflict(message));
    }
    Ok(())
}

/// Lets those in who administer the repository; tells others no more than they may know.
pub(super) fn admit(api: &Api, caller: &Caller, name: &Name) -> Result<(), Problem> {
    let projects = api.parts.projects.now();
    let Some(project) = projects.get(name.first()) else {
        return Err(missing(name));
    };
    if caller.may(Right::Admin, project, name) {
        return Ok(());
    }
    if projects.may_pull(caller, name) {
        Err(Problem::forbidden(format!(
            "this takes the right `admin` in `{name}`"
        )))
    } else {
        Err(missing(name))
    }
}

fn missing(name: &Name) -> Problem {
    Problem::not_found(format!("there is no repository `{name}`"))
}

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            project: fields.optional("project"),
            q: fields.optional("q"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}

impl<S: Sync> FromRequestParts<S> for ShowQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let name = fields.required("name");
        let limit = Limit::read(&mut fields);
        let after = fields.optional("after");
        fields.finish(name.map(|name| Self { name, limit, after }))
    }
}

impl<S: Sync> FromRequestParts<S> for NameQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let name = fields.required("name");
        fields.finish(name.map(|name| Self { name }))
    }
}
