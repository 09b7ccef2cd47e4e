//! The one list of mounts and layers.

use axum::{Router, middleware::from_fn, middleware::from_fn_with_state, routing::get};

use super::{
    App,
    middleware::{
        access_log::{AccessLog, log_access},
        catch_panic::catch_panic,
        request_id::assign_request_id,
    },
    status,
};
use crate::v2;

/// Everything that one listener answers.
pub(super) fn router(app: &App, parts: v2::Parts, kind: v2::Listener) -> Router {
    let access_log = AccessLog::new(
        app.metrics.clone(),
        app.config.server.trusted_proxies.clone(),
    );
    let mounts = Router::new()
        .merge(v2::router(parts, kind))
        .route("/", get(status::about))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready).with_state(app.meta.clone()))
        .route(
            "/metrics",
            get(status::metrics).with_state(app.metrics.clone()),
        )
        .fallback(status::not_found);
    layered(mounts, access_log)
}

/// The layers, the innermost first.
pub(super) fn layered(mounts: Router, access_log: AccessLog) -> Router {
    mounts
        .layer(from_fn(catch_panic))
        .layer(from_fn_with_state(access_log, log_access))
        .layer(from_fn(assign_request_id))
}
