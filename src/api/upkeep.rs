//! `/upkeep`: eviction, clean-up and scrub, now instead of when they are due.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
};
use http::request;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Timestamp, problem::Problem, query::Fields};
use crate::upkeep;

/// What went.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Evicted {
    pub images: u64,
    pub blobs: u64,
    pub bytes: u64,
    /// A budget is still exceeded, and nothing more may go
    pub in_vain: bool,
}

/// What nothing named any more, and is gone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// How often a blob went from a repository
    pub links: u64,
    /// Blobs that no repository has any more
    pub blobs: u64,
    pub bytes: u64,
}

/// Tags that their project's retention does not keep.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retired {
    pub tags: u64,
    /// The first thousand of them
    pub due: Vec<DueTag>,
}

/// A tag that is due.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DueTag {
    pub repository: String,
    pub tag: String,
    pub digest: String,
    pub pushed_at: Timestamp,
}

/// Whether anything is done.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RetentionQuery {
    /// Only tell what would go
    #[param(value_type = Option<bool>, default = false)]
    dry_run: bool,
}

/// What was read, and what was wrong.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Scrubbed {
    pub blobs: u64,
    pub bytes: u64,
    /// Digests of content that was not what it should be, the first thousand; it is gone, and fetched anew when it is asked
    /// for
    pub damaged: Vec<String>,
    /// Files that no row told of; they are gone, too
    pub strays: u64,
}

#[utoipa::path(
    post, path = "/upkeep/evict", tag = "upkeep", operation_id = "evict",
    responses(
        (status = 200, description = "This went", body = Evicted),
        (status = 503, description = "The server is stopping"),
    )
)]
pub(super) async fn evict(State(api): State<Arc<Api>>) -> Result<Json<Evicted>, Problem> {
    let evicted = until_stop(&api, api.parts.evictor.run_once()).await?;
    Ok(Json(evicted.into()))
}

#[utoipa::path(
    post, path = "/upkeep/orphans", tag = "upkeep", operation_id = "orphans",
    responses(
        (status = 200, description = "What no manifest named for longer than `upkeep.orphan_grace` is gone", body = Collected),
        (status = 503, description = "The server is stopping"),
    )
)]
pub(super) async fn orphans(State(api): State<Arc<Api>>) -> Result<Json<Collected>, Problem> {
    match until_stop(&api, api.parts.orphans.run_once()).await? {
        Ok(collected) => Ok(Json(collected.into())),
        Err(error) => {
            tracing::error!(%error, "the clean-up cannot go on: {error}");
            Err(Problem::internal())
        }
    }
}

#[utoipa::path(
    post, path = "/upkeep/retention", tag = "upkeep", operation_id = "retention", params(RetentionQuery),
    responses(
        (status = 200, description = "These tags are gone, or would be", body = Retired),
        (status = 503, description = "The server is stopping"),
    )
)]
pub(super) async fn retention(
    State(api): State<Arc<Api>>,
    query: RetentionQuery,
) -> Result<Json<Retired>, Problem> {
    let retainer = &api.parts.retainer;
    let retired = if query.dry_run {
        until_stop(&api, retainer.dry_run()).await?
    } else {
        until_stop(&api, retainer.run_once()).await?
    };
    match retired {
        Ok(retired) => Ok(Json(retired.into())),
        Err(error) => {
            tracing::error!(%error, "the retention cannot go on: {error}");
            Err(Problem::internal())
        }
    }
}

impl<S: Sync> FromRequestParts<S> for RetentionQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let dry_run = fields.optional("dry_run").unwrap_or(false);
        fields.finish(Some(Self { dry_run }))
    }
}

#[utoipa::path(
    post, path = "/upkeep/scrub", tag = "upkeep", operation_id = "scrub",
    responses(
        (status = 200, description = "All content was read and compared with its digest", body = Scrubbed),
        (status = 409, description = "A scrub is running"),
        (status = 503, description = "The server is stopping"),
    )
)]
pub(super) async fn scrub(State(api): State<Arc<Api>>) -> Result<Json<Scrubbed>, Problem> {
    let Ok(_turn) = api.scrub_turn.try_lock() else {
        return Err(Problem::conflict("a scrub is running"));
    };
    match until_stop(&api, api.parts.scrubber.run_once()).await? {
        Ok(scrubbed) => Ok(Json(scrubbed.into())),
        Err(error) => {
            tracing::error!(%error, "the scrub cannot go on: {error}");
            Err(Problem::internal())
        }
    }
}

async fn until_stop<T>(api: &Api, work: impl Future<Output = T>) -> Result<T, Problem> {
    let done = api.parts.shutdown.run_until_cancelled(work).await;
    done.ok_or_else(|| Problem::unavailable("the server is stopping"))
}

impl From<upkeep::Evicted> for Evicted {
    fn from(evicted: upkeep::Evicted) -> Self {
        Self {
            images: evicted.images,
            blobs: evicted.blobs,
            bytes: evicted.bytes,
            in_vain: evicted.in_vain,
        }
    }
}

impl From<upkeep::Collected> for Collected {
    fn from(collected: upkeep::Collected) -> Self {
        Self {
            links: collected.links,
            blobs: collected.blobs,
            bytes: collected.bytes,
        }
    }
}

impl From<upkeep::Retired> for Retired {
    fn from(retired: upkeep::Retired) -> Self {
        let due = |due: upkeep::DueTag| DueTag {
            repository: due.repository.to_string(),
            tag: due.tag.to_string(),
            digest: due.digest.to_string(),
            pushed_at: due.pushed_at.into(),
        };
        Self {
            tags: retired.tags,
            due: retired.due.into_iter().map(due).collect(),
        }
    }
}

impl From<upkeep::Scrubbed> for Scrubbed {
    fn from(scrubbed: upkeep::Scrubbed) -> Self {
        Self {
            blobs: scrubbed.blobs,
            bytes: scrubbed.bytes,
            damaged: scrubbed.damaged.iter().map(ToString::to_string).collect(),
            strays: scrubbed.strays,
        }
    }
}
