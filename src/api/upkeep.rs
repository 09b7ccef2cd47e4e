//! `/upkeep`: eviction and scrub, now instead of when they are due.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, problem::Problem};
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
