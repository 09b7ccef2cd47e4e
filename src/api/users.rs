//! `/users`: people who may log in, and what they may.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    body::Body,
    page::{Items, List, Page, PageQuery},
    problem::Problem,
    projects::created,
    timestamp::Timestamp,
};
use crate::{
    access::{self, Actor, Caller, GrantText, NewUser, Source},
    config::Secret,
};

/// What somebody may do in the repositories that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rights {
    /// A pattern on project names
    #[schema(example = "team")]
    pub project: String,
    /// A pattern on repository names without the project
    #[serde(default = "everything")]
    #[schema(example = "**")]
    pub repositories: String,
    /// `pull`, `push`, `delete`, `seed`, `admin`
    pub rights: Vec<String>,
}

/// Somebody who may log in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub name: String,
    /// Of the whole system
    pub admin: bool,
    pub rights: Vec<Rights>,
    /// The password comes from the htpasswd file
    pub imported: bool,
    pub created_at: Timestamp,
}

/// A user to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct UserFields {
    #[serde(default)]
    #[schema(example = "ada", pattern = "^[A-Za-z0-9._@-]{1,128}$")]
    pub name: String,
    /// At least 8 bytes; left out: nobody can log in by this name yet
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only, min_length = 8)]
    pub password: Option<String>,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub rights: Vec<Rights>,
}

/// A new password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PasswordFields {
    #[schema(write_only, min_length = 8)]
    pub password: String,
}

#[utoipa::path(
    get, path = "/users", tag = "users", operation_id = "listUsers", params(PageQuery<String>),
    responses(
        (status = 200, description = "All users, by name", body = Items<User>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: PageQuery<String>,
) -> Result<Page<User>, Problem> {
    let accounts = &api.parts.accounts;
    let after = query.after.as_deref().unwrap_or_default();
    let users = accounts.users(after, query.limit.and_one()).await?;
    let items: Vec<User> = users.into_iter().map(Into::into).collect();
    let total = accounts.user_count().await?;
    let list = List {
        path: "/users",
        parameters: &[],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| last.name.clone()))
}

#[utoipa::path(
    post, path = "/users", tag = "users", operation_id = "createUser", request_body = UserFields,
    responses(
        (status = 201, description = "The user is there", body = User,
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
    let new = NewUser {
        name: body.required("name")?,
        password: password(&mut body)?,
        is_admin: body.optional("admin")?.unwrap_or_default(),
        rights: body.optional("rights")?.unwrap_or_default(),
    };
    body.finish()?;
    let actor = Actor::new(&caller, source);
    let user = User::from(api.parts.accounts.create_user(&actor, new).await?);
    Ok(created("/users", &user.name.clone(), user))
}

#[utoipa::path(
    get, path = "/users/{name}", tag = "users", operation_id = "getUser", params(("name" = String, Path)),
    responses(
        (status = 200, description = "The user", body = User),
        (status = 404, description = "There is none of this name"),
    )
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<User>, Problem> {
    let user = api.parts.accounts.user(&name).await?;
    user.map(|user| Json(user.into()))
        .ok_or_else(|| missing(&name))
}

#[utoipa::path(
    put, path = "/users/{name}", tag = "users", operation_id = "replaceUser", params(("name" = String, Path)),
    request_body = UserFields,
    responses(
        (status = 200, description = "The user may do this now. A password that is left out stays", body = User),
        (status = 404, description = "There is none of this name"),
        (status = 409, description = "The configuration says it"),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Json<User>, Problem> {
    if body
        .optional::<String>("name")?
        .is_some_and(|other| other != name)
    {
        return Err(Problem::bad_field("name", "a user keeps its name"));
    }
    for told in ["imported", "created_at"] {
        body.take(told);
    }
    let password = password(&mut body)?;
    let is_admin = body.optional("admin")?.unwrap_or_default();
    let rights: Vec<GrantText> = body.optional("rights")?.unwrap_or_default();
    body.finish()?;
    let (accounts, actor) = (&api.parts.accounts, Actor::new(&caller, source));
    accounts
        .set_rights(&actor, &name, is_admin, &rights)
        .await?;
    if let Some(password) = password {
        accounts.set_password(&actor, &name, &password).await?;
    }
    let user = accounts.user(&name).await?.ok_or_else(|| missing(&name))?;
    Ok(Json(user.into()))
}

#[utoipa::path(
    delete, path = "/users/{name}", tag = "users", operation_id = "deleteUser", params(("name" = String, Path)),
    responses(
        (status = 204, description = "The user is gone, with all tokens that acted for it"),
        (status = 404, description = "There was none of this name"),
        (status = 409, description = "The configuration says it"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let actor = Actor::new(&caller, source);
    api.parts.accounts.delete_user(&actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    put, path = "/users/me/password", tag = "users", operation_id = "changeOwnPassword",
    request_body = PasswordFields,
    responses(
        (status = 204, description = "The caller logs in with this from now on"),
        (status = 409, description = "The configuration says it"),
    )
)]
pub(super) async fn change_own(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    mut body: Body,
) -> Result<StatusCode, Problem> {
    let new = password(&mut body)?.ok_or_else(|| Problem::bad_field("password", "missing"))?;
    body.finish()?;
    if !caller.is_whole() {
        return Err(Problem::forbidden("a token changes no password"));
    }
    let actor = Actor::new(&caller, source);
    api.parts
        .accounts
        .set_password(&actor, caller.name(), &new)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A password is never repeated by a refusal.
fn password(body: &mut Body) -> Result<Option<Secret>, Problem> {
    match body.take("password") {
        None => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(Secret::new(text))),
        Some(_) => Err(Problem::bad_field("password", "expected a text")),
    }
}

fn everything() -> String {
    "**".to_owned()
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no user `{name}`"))
}

impl From<GrantText> for Rights {
    fn from(grant: GrantText) -> Self {
        Self {
            project: grant.project,
            repositories: grant.repositories,
            rights: grant.rights,
        }
    }
}

impl From<access::User> for User {
    fn from(user: access::User) -> Self {
        Self {
            name: user.name,
            admin: user.is_admin,
            rights: user.rights.into_iter().map(Into::into).collect(),
            imported: user.is_imported,
            created_at: user.created_at.into(),
        }
    }
}
