//! `/fills`: the downloads from remotes that are running now.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    page::{Items, List, Page, PageQuery},
    timestamp::Timestamp,
};
use crate::{oci::Digest, transfer::RunningFill};

/// One running download of one blob, on behalf of everybody who waits for it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Fill {
    pub digest: String,
    pub remote: String,
    /// The repository that was asked for it first
    pub repository: String,
    /// So many are here
    pub bytes: u64,
    /// Of so many, if that is known
    pub total_bytes: Option<u64>,
    /// Clients that read it while it grows
    pub waiters: u64,
    pub started_at: Timestamp,
}

#[utoipa::path(
    get, path = "/fills", tag = "fills", operation_id = "listFills", params(PageQuery<Digest>),
    responses(
        (status = 200, description = "Running downloads, by digest", body = Items<Fill>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(State(api): State<Arc<Api>>, query: PageQuery<Digest>) -> Page<Fill> {
    let mut fills = api.parts.fills.running();
    let total = fills.len() as u64;
    fills.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    if let Some(after) = &query.after {
        fills.retain(|fill| fill.digest > *after);
    }
    let items: Vec<_> = fills.into_iter().map(Fill::from).collect();
    let list = List {
        path: "/fills",
        parameters: &[],
        limit: query.limit,
    };
    list.page(items, total, |last| last.digest.clone())
}

impl From<RunningFill> for Fill {
    fn from(fill: RunningFill) -> Self {
        Self {
            digest: fill.digest.to_string(),
            remote: fill.remote,
            repository: fill.repository.to_string(),
            bytes: fill.bytes,
            total_bytes: fill.total_bytes,
            waiters: fill.waiters as u64,
            started_at: fill.started_at.into(),
        }
    }
}
