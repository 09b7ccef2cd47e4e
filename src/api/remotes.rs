//! `/remotes`: registries elsewhere. Their secrets go in and never come out.

mod fields;
mod object;

pub use fields::RemoteFields;
pub use object::Remote;
pub(super) use object::split;

use std::{collections::HashSet, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    response::Response,
};
use http::{StatusCode, request};
use utoipa::IntoParams;

use self::object::{check_name, shown};
use super::{
    Api,
    body::Body,
    page::{Items, Limit, List, Page},
    problem::Problem,
    projects::created,
    query::Fields,
};
use crate::replication::Mode;

/// Which page of which list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemotesQuery {
    /// Whose name has this in it
    #[param(value_type = Option<String>)]
    q: Option<String>,
    /// `mirror`: a project is filled from it; `destination`: a rule pushes to it
    #[param(value_type = Option<String>)]
    used_as: Option<UsedAs>,
    /// In this region
    #[param(value_type = Option<String>)]
    region: Option<String>,
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UsedAs {
    Mirror,
    Destination,
}

#[utoipa::path(
    get, path = "/remotes", tag = "remotes", operation_id = "listRemotes", params(RemotesQuery),
    responses(
        (status = 200, description = "All remotes, by name", body = Items<Remote>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: RemotesQuery,
) -> Result<Page<Remote>, Problem> {
    let settings = &api.parts.settings;
    let known = settings.remotes().await?;
    let rules = api.parts.replication.rules().await?;
    let mut remotes: Vec<Remote> = known
        .into_iter()
        .map(|known| shown(settings, &known, &rules))
        .collect();
    let pushes = rules
        .into_iter()
        .filter(|known| known.rule.mode == Mode::Push);
    let destinations: HashSet<String> = pushes.flat_map(|known| known.rule.remotes).collect();
    let wanted = query.q.as_deref().unwrap_or_default().to_lowercase();
    remotes.retain(|remote| remote.name.to_lowercase().contains(&wanted));
    remotes.retain(|remote| match query.used_as {
        None => true,
        Some(UsedAs::Mirror) => !remote.used_by.is_empty(),
        Some(UsedAs::Destination) => destinations.contains(&remote.name),
    });
    if let Some(region) = &query.region {
        remotes.retain(|remote| remote.region.as_ref() == Some(region));
    }
    let total = remotes.len() as u64;
    if let Some(after) = &query.after {
        remotes.retain(|remote| remote.name > *after);
    }
    let list = List {
        path: "/remotes",
        parameters: &[
            ("q", query.q.as_deref()),
            ("used_as", query.used_as.map(UsedAs::as_str)),
            ("region", query.region.as_deref()),
        ],
        limit: query.limit,
    };
    Ok(list.page(remotes, total, |last| last.name.clone()))
}

#[utoipa::path(
    get, path = "/remotes/{name}", tag = "remotes", operation_id = "getRemote",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "The remote", body = Remote),
        (status = 404, description = "There is none of this name"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Remote>, Problem> {
    let remote = find(&api, &name).await?;
    remote.map(Json).ok_or_else(|| missing(&name))
}

#[utoipa::path(
    post, path = "/remotes", tag = "remotes", operation_id = "createRemote",
    request_body = RemoteFields,
    responses(
        (status = 201, description = "The remote is there", body = Remote,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "There is one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    mut body: Body,
) -> Result<Response, Problem> {
    let name: String = body.required("name")?;
    check_name(&name)?;
    let (members, secrets) = split(body)?;
    let settings = &api.parts.settings;
    settings.remote_create(&name, members, secrets).await?;
    let remote = find(&api, &name).await?.ok_or_else(Problem::internal)?;
    Ok(created("/remotes", &name, remote))
}

#[utoipa::path(
    put, path = "/remotes/{name}", tag = "remotes", operation_id = "replaceRemote",
    params(("name" = String, Path)), request_body = RemoteFields,
    responses(
        (status = 200, description = "The remote is as it says", body = Remote),
        (status = 404, description = "There is none of this name"),
        (status = 409, description = "It is managed by the configuration file"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<Remote>, Problem> {
    if body
        .optional::<String>("name")?
        .is_some_and(|other| other != name)
    {
        return Err(Problem::bad_field("name", "a remote keeps its name"));
    }
    let (members, secrets) = split(body)?;
    let settings = &api.parts.settings;
    settings.remote_replace(&name, members, secrets).await?;
    let remote = find(&api, &name).await?.ok_or_else(Problem::internal)?;
    Ok(Json(remote))
}

#[utoipa::path(
    delete, path = "/remotes/{name}", tag = "remotes", operation_id = "deleteRemote",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone. A built-in one that it replaced is back"),
        (status = 404, description = "There was none of this name"),
        (status = 409, description = "It is managed by the configuration file, built in, or used by the projects that are named"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let rules = api.parts.replication.users_of_remote(&name).await?;
    if !rules.is_empty() {
        let rules = rules.join(", ");
        return Err(Problem::conflict(format!(
            "remote `{name}` is used by the rules {rules}"
        )));
    }
    api.parts.settings.remote_delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(api: &Api, name: &str) -> Result<Option<Remote>, Problem> {
    let settings = &api.parts.settings;
    let known = settings.remotes().await?;
    let found = known.into_iter().find(|known| known.remote.name == name);
    let rules = api.parts.replication.rules().await?;
    Ok(found.map(|known| shown(settings, &known, &rules)))
}

pub(super) fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no remote `{name}`"))
}

impl UsedAs {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Destination => "destination",
        }
    }
}

impl std::str::FromStr for UsedAs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        [Self::Mirror, Self::Destination]
            .into_iter()
            .find(|used_as| used_as.as_str() == text)
            .ok_or("expected \"mirror\" or \"destination\"")
    }
}

impl<S: Sync> FromRequestParts<S> for RemotesQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            q: fields.optional("q"),
            used_as: fields.optional("used_as"),
            region: fields.optional("region"),
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
}
