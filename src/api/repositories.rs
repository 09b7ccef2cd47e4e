//! `/repositories`, `/repository`: names that have content, or were made to have some. Names hold slashes, so they travel
//! as query parameters.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, PREFIX, Visibility,
    body::Body,
    page::{Items, Limit, Page, next_page},
    problem::Problem,
    query::Fields,
    timestamp::Timestamp,
};
use crate::{
    access::{Caller, ProjectSet, Right},
    config,
    meta::Browsed,
    oci::{Name, Tag},
};

/// Names that are read at a time.
const NAMES: u32 = 1000;

/// A repository in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedRepository {
    /// The whole name, project first
    #[schema(example = "team/app")]
    pub name: String,
    pub project: String,
    /// Its own, or its project's
    pub visibility: Visibility,
}

/// A repository with a page of its tags.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    pub name: String,
    pub project: String,
    pub visibility: Visibility,
    /// It has no visibility of its own
    pub inherits_visibility: bool,
    /// Null: it was made by what came into it
    pub created_at: Option<Timestamp>,
    /// By name, a page at a time
    pub tags: Vec<RepositoryTag>,
}

/// A tag and the manifest that it points to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepositoryTag {
    pub tag: String,
    pub digest: String,
    pub media_type: String,
    /// Of the manifest and all that it names
    pub size_bytes: u64,
    /// Such as `linux/arm64`, where an index says so
    pub platforms: Vec<String>,
    /// When a client last pulled it
    pub used_at: Option<Timestamp>,
    /// When the manifest came
    pub created_at: Option<Timestamp>,
}

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

/// A repository that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepositoryFields {
    /// The whole name; its first component is a hosted project
    #[schema(example = "team/app")]
    pub name: String,
    #[serde(flatten)]
    pub visibility: VisibilityField,
}

/// Who may pull from a repository.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct VisibilityField {
    /// `public` or `private`; null or not there: as its project says
    pub visibility: Option<Visibility>,
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
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_last).map(|last| {
        let parameters = [
            ("project", query.project.as_deref()),
            ("q", query.q.as_deref()),
            ("after", Some(last.name.as_str())),
        ];
        next_page("/repositories", query.limit, &parameters)
    });
    Ok(Page { items, total, next })
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
    let limit = query.limit.get() as usize;
    let repository = found(&api, name, query.after.as_ref(), query.limit.and_one()).await?;
    let mut repository = repository.ok_or_else(|| missing(name))?;
    let is_last = repository.tags.len() <= limit;
    repository.tags.truncate(limit);
    let next = repository.tags.last().filter(|_| !is_last).map(|last| {
        let parameters = [
            ("name", Some(name.as_str())),
            ("after", Some(last.tag.as_str())),
        ];
        next_page("/repository", query.limit, &parameters)
    });
    let mut response = Json(repository).into_response();
    if let Some(next) = next {
        let link = HeaderValue::try_from(format!("<{next}>; rel=\"next\""));
        let link = link.expect("paths of ours and encoded parameters are visible ASCII");
        response.headers_mut().insert(header::LINK, link);
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

/// Names of repositories, read a piece at a time.
pub(super) struct Names<'a> {
    api: &'a Api,
    containing: &'a str,
    piece: std::vec::IntoIter<Name>,
    last: String,
    has_ended: bool,
}

impl<'a> Names<'a> {
    /// All that have the text in them.
    pub(super) fn new(api: &'a Api, containing: &'a str) -> Self {
        Self {
            api,
            containing,
            piece: Vec::new().into_iter(),
            last: String::new(),
            has_ended: false,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Name>, Problem> {
        if self.piece.len() == 0 && !self.has_ended {
            let meta = &self.api.parts.meta;
            let piece = meta.repositories_containing(self.containing, &self.last, NAMES);
            let piece = piece.await?;
            self.has_ended = piece.len() < NAMES as usize;
            if let Some(last) = piece.last() {
                self.last = last.to_string();
            }
            self.piece = piece.into_iter();
        }
        Ok(self.piece.next())
    }
}

/// `None`: its project is gone.
pub(super) fn listed(projects: &ProjectSet, name: &Name) -> Option<ListedRepository> {
    let project = projects.get(name.first())?;
    Some(ListedRepository {
        name: name.to_string(),
        project: project.name.clone(),
        visibility: projects.visibility_of(project, name).into(),
    })
}

async fn found(
    api: &Api,
    name: &Name,
    after: Option<&Tag>,
    limit: u32,
) -> Result<Option<Repository>, Problem> {
    let projects = api.parts.projects.now();
    let (Some(row), Some(listed)) = (
        api.parts.meta.repository(name).await?,
        listed(&projects, name),
    ) else {
        return Ok(None);
    };
    let mut tags = Vec::new();
    for browsed in api.parts.meta.tags_browsed(name, after, limit).await? {
        tags.push(tag(api, name, browsed).await?);
    }
    Ok(Some(Repository {
        name: listed.name,
        project: listed.project,
        visibility: listed.visibility,
        inherits_visibility: row.visibility.is_none(),
        created_at: row.created_at.map(Into::into),
        tags,
    }))
}

async fn tag(api: &Api, name: &Name, browsed: Browsed) -> Result<RepositoryTag, Problem> {
    let image = api.parts.mirror.outline(name, &browsed.digest).await?;
    Ok(RepositoryTag {
        tag: browsed.tag.to_string(),
        digest: browsed.digest.to_string(),
        media_type: browsed.media_type,
        size_bytes: image.size_bytes,
        platforms: image.platforms,
        used_at: browsed.used_at.map(Into::into),
        created_at: browsed.created_at.map(Into::into),
    })
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

fn visibility(mut body: Body) -> Result<Option<config::Visibility>, Problem> {
    let visibility: Option<Visibility> = body.optional("visibility")?;
    body.finish()?;
    match visibility {
        None => Ok(None),
        Some(Visibility::Public) => Ok(Some(config::Visibility::Public)),
        Some(Visibility::Private) => Ok(Some(config::Visibility::Private)),
        Some(Visibility::Remote) => Err(Problem::bad_field(
            "visibility",
            "expected \"public\" or \"private\": the remote decides for whole projects",
        )),
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
