//! The management API: `/api/v1/…`, JSON, described by `/api/v1/openapi.json`. Layer 4. Called by `app` as one router, on the
//! main listener alone; asks `access` who calls, and puts on the wire what `mirror`, `transfer` and `upkeep` know or do.
//! `problem` is the only place where a failure becomes a status.
//!
//! One file per resource: its objects, its queries, its handlers. The command line reads the same objects.

mod audit;
mod authenticate;
mod cache;
mod entry;
mod fills;
mod openapi;
mod page;
mod problem;
mod query;
mod remote_status;
mod status;
mod timestamp;
mod upkeep;

pub use entry::{CacheEntry, CacheState, ContentKind, MAX_MISSING, MissingContent};
pub use fills::Fill;
pub use page::Items;
pub use problem::{FieldError, ProblemDetails};
pub use remote_status::{RateLimit, RemoteStatus, UrlStatus};
pub use status::{DatabaseStatus, ProjectBudget, Replica, Status, StoreStatus, Totals};
pub use timestamp::Timestamp;
pub use upkeep::{Evicted, Scrubbed};

use std::{sync::Arc, time::SystemTime};

use axum::{
    Router,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{audit::record, authenticate::authenticate, problem::Problem};
use crate::{
    access::Gate,
    client::RegistryClient,
    config,
    meta::Meta,
    mirror::Mirror,
    telemetry::Metrics,
    transfer::Fills,
    upkeep::{Evictor, Scrubber},
};

/// Where the API is mounted.
pub const PREFIX: &str = "/api/v1";

/// What the API needs from the rest.
pub struct Parts {
    pub gate: Arc<Gate>,
    pub mirror: Mirror,
    pub fills: Fills,
    /// Of all remotes.
    pub clients: Vec<RegistryClient>,
    pub meta: Meta,
    pub metrics: Metrics,
    pub storage: config::Storage,
    pub database: config::Database,
    pub evictor: Evictor,
    pub scrubber: Scrubber,
    pub started_at: SystemTime,
    /// Ends what a call has begun.
    pub shutdown: CancellationToken,
    /// Holds writes, which go on when their client leaves.
    pub tasks: TaskTracker,
}

/// What handlers share.
struct Api {
    parts: Parts,
    /// One scrub at a time.
    scrub_turn: Mutex<()>,
}

/// `/api/v1/…`
pub fn router(parts: Parts) -> Router {
    let (gate, tasks) = (Arc::clone(&parts.gate), parts.tasks.clone());
    let (routes, mut document) = resources().split_for_parts();
    openapi::complete(&mut document.paths);
    let document = document
        .to_json()
        .expect("a document of strings and maps is JSON");
    let routes = routes
        .route_layer(from_fn_with_state(tasks, record))
        .route_layer(from_fn_with_state(gate, authenticate))
        .route("/openapi.json", get(async move || json(document.clone())))
        .fallback(async || Problem::not_found("the API has nothing of this name"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(Arc::new(Api {
            parts,
            scrub_turn: Mutex::default(),
        }));
    Router::new().nest(PREFIX, routes)
}

/// Every call, as it is served and as it is described.
fn resources() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(status::show))
        .routes(routes!(cache::list))
        .routes(routes!(cache::show, cache::purge))
        .routes(routes!(cache::refresh))
        .routes(routes!(cache::pin, cache::unpin))
        .routes(routes!(fills::list))
        .routes(routes!(upkeep::evict))
        .routes(routes!(upkeep::scrub))
}

fn json(text: String) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
