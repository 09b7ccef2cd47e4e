//! `/tokens`: what machines log in with. A caller has their own; an admin of the system sees everybody's.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api, Rights,
    body::Body,
    page::{Items, List, Page, PageQuery},
    problem::Problem,
    projects::created,
    timestamp::Timestamp,
};
use crate::access::{self, Actor, Caller, NewToken, Source};

/// What a machine logs in with, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    /// The user for whom it acts
    pub owner: String,
    /// Goes with the secret, to `docker login` or as a remote's credentials
    pub username: String,
    /// Null: all that its owner may
    pub rights: Option<Vec<Rights>>,
    pub created_at: Timestamp,
    /// Null: never
    pub expires_at: Option<Timestamp>,
}

/// A token just made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    pub id: String,
    pub username: String,
    /// Shown this once
    pub secret: String,
    pub expires_at: Option<Timestamp>,
}

/// A token to be. It acts for the caller, who may give it no more than is theirs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TokenFields {
    #[schema(example = "ci", pattern = "^[A-Za-z0-9._@-]{1,128}$")]
    pub name: String,
    /// Left out: all that the caller may
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<Vec<Rights>>,
    /// Such as `90d`; left out: it never expires
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "90d")]
    pub expires_in: Option<String>,
}

#[utoipa::path(
    get, path = "/tokens", tag = "tokens", operation_id = "listTokens", params(PageQuery<String>),
    responses(
        (status = 200, description = "The caller's tokens; an admin's list has everybody's", body = Items<Token>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    query: PageQuery<String>,
) -> Result<Page<Token>, Problem> {
    let owner = (!caller.is_admin()).then(|| caller.name());
    let accounts = &api.parts.accounts;
    let wanted = query.limit.and_one();
    let tokens = if let Some(owner) = owner {
        let after = query.after.as_deref().unwrap_or_default();
        accounts.tokens_of(owner, after, wanted).await?
    } else {
        let expected = "expected the value from the `Link` of the page before";
        let after = query.after.as_deref().map(str::parse::<Uuid>).transpose();
        let after = after.map_err(|_| Problem::bad_field("after", expected))?;
        accounts.tokens(after, wanted).await?
    };
    let items: Vec<Token> = tokens.into_iter().map(Into::into).collect();
    let total = accounts.token_count(owner).await?;
    let list = List {
        path: "/tokens",
        parameters: &[],
        limit: query.limit,
    };
    Ok(list.page(items, total, |last| match owner {
        Some(_) => last.name.clone(),
        None => last.id.clone(),
    }))
}

#[utoipa::path(
    post, path = "/tokens", tag = "tokens", operation_id = "createToken", request_body = TokenFields,
    responses(
        (status = 201, description = "The token is there; its secret is shown this once", body = CreatedToken,
            headers(("Location" = String, description = "Its path"))),
        (status = 409, description = "The caller has one of this name already"),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    mut body: Body,
) -> Result<Response, Problem> {
    let new = NewToken {
        name: body.required("name")?,
        rights: body.optional::<Option<_>>("rights")?.flatten(),
        expires_in: lifetime(&mut body)?,
    };
    body.finish()?;
    if !caller.is_whole() {
        return Err(Problem::forbidden("a token makes no tokens"));
    }
    let actor = Actor::new(&caller, source);
    let (token, secret) = api.parts.accounts.create_token(&actor, new).await?;
    let made = CreatedToken {
        id: token.id.to_string(),
        username: token.username,
        secret: secret.expose().to_owned(),
        expires_at: token.expires_at.map(Into::into),
    };
    Ok(created("/tokens", &made.id.clone(), made))
}

#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens", operation_id = "deleteToken", params(("id" = String, Path)),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 404, description = "The caller has no such token"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::not_found(format!("there is no token `{id}`"));
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let accounts = &api.parts.accounts;
    let token = accounts.token(id).await?.ok_or_else(missing)?;
    let is_own = caller.is_whole() && token.owner == caller.name();
    if !is_own && !caller.is_admin() {
        return Err(missing());
    }
    accounts
        .delete_token(&Actor::new(&caller, source), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn lifetime(body: &mut Body) -> Result<Option<Duration>, Problem> {
    let wrong = || Problem::bad_field("expires_in", "expected a duration such as \"90d\"");
    let Some(given) = body.take("expires_in") else {
        return Ok(None);
    };
    let text = given.as_str().ok_or_else(wrong)?;
    humantime::parse_duration(text)
        .map(Some)
        .map_err(|_| wrong())
}

impl From<access::Token> for Token {
    fn from(token: access::Token) -> Self {
        let rights = token
            .rights
            .map(|rights| rights.into_iter().map(Into::into));
        Self {
            id: token.id.to_string(),
            name: token.name,
            owner: token.owner,
            username: token.username,
            rights: rights.map(Iterator::collect),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.map(Into::into),
        }
    }
}
