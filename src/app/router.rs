//! The one list of mounts and layers.

use std::sync::Arc;

use axum::{Router, middleware::from_fn, middleware::from_fn_with_state, routing::get};
use ipnet::IpNet;

use super::{
    App,
    exposition::{self, Exposition},
    middleware::{
        access_log::{AccessLog, log_access},
        catch_panic::catch_panic,
        limit::limit_requests,
        request_id::assign_request_id,
        source::assign_source,
    },
    status,
};
use crate::{api, v2};

/// Everything that one listener answers. What tells of this server, or changes it, is on the main one alone.
pub(super) fn router(app: &App, parts: v2::Parts, kind: v2::Listener) -> Router {
    let access_log = AccessLog::new(
        app.metrics.clone(),
        app.config.server.trusted_proxies.clone(),
    );
    let peers = match (&app.cluster, kind) {
        (Some(cluster), v2::Listener::Main) => v2::peer_router(v2::PeerParts {
            cluster: cluster.clone(),
            fills: app.fills.clone(),
        }),
        _ => Router::new(),
    };
    let limit = from_fn_with_state(app.limit.clone(), limit_requests);
    let mounts = Router::new()
        .merge(v2::router(parts, kind).route_layer(limit))
        .merge(peers)
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready).with_state(app.meta.clone()));
    let mounts = match kind {
        v2::Listener::MirrorOnly => mounts.route("/", get(status::about_pulls)),
        v2::Listener::Main => mounts
            .route("/", get(status::about))
            .route(
                "/metrics",
                get(exposition::metrics)
                    .with_state(Exposition::new(app.metrics.clone(), app.meta.clone())),
            )
            .merge(api::router(app.api_parts())),
    };
    let trusted_proxies: Arc<[IpNet]> = app.config.server.trusted_proxies.clone().into();
    let mounts = mounts
        .fallback(status::not_found)
        .layer(from_fn_with_state(trusted_proxies, assign_source));
    layered(mounts, access_log)
}

/// The layers, the innermost first.
pub(super) fn layered(mounts: Router, access_log: AccessLog) -> Router {
    mounts
        .layer(from_fn(catch_panic))
        .layer(from_fn_with_state(access_log, log_access))
        .layer(from_fn(assign_request_id))
}
