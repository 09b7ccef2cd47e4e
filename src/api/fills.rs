//! `/fills`: the downloads from remotes that are running now.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use http::request;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    page::{Items, Limit, Page, next_page},
    problem::Problem,
    query::Fields,
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

/// Which page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FillsQuery {
    /// At most so many: 1 to 1000
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
    /// From the `Link` of the page before
    #[param(value_type = Option<String>)]
    after: Option<Digest>,
}

#[utoipa::path(
    get, path = "/fills", tag = "fills", operation_id = "listFills", params(FillsQuery),
    responses(
        (status = 200, description = "Running downloads, by digest", body = Items<Fill>,
            headers(("Link" = String, description = "The next page"), ("X-Total-Count" = u64))),
    )
)]
pub(super) async fn list(State(api): State<Arc<Api>>, query: FillsQuery) -> Page<Fill> {
    let mut fills = api.parts.fills.running();
    let total = fills.len() as u64;
    fills.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    if let Some(after) = &query.after {
        fills.retain(|fill| fill.digest > *after);
    }
    let limit = query.limit.get() as usize;
    let is_last = fills.len() <= limit;
    fills.truncate(limit);
    let items: Vec<_> = fills.into_iter().map(Fill::from).collect();
    let next = items
        .last()
        .filter(|_| !is_last)
        .map(|last| next_page("/fills", query.limit, &[("after", Some(&last.digest))]));
    Page { items, total, next }
}

impl<S: Sync> FromRequestParts<S> for FillsQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut fields = Fields::of(&parts.uri);
        let query = Self {
            limit: Limit::read(&mut fields),
            after: fields.optional("after"),
        };
        fields.finish(Some(query))
    }
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
