//! What people and their monitors ask of the process itself: `/`, `/healthz`, `/readyz`, `/metrics`.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::{
    meta::Meta,
    telemetry::{Metrics, metrics::EXPOSITION_TYPE},
};

/// A database that takes longer for an answer is not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

const ABOUT: &str = concat!(
    "Entrepot ",
    env!("CARGO_PKG_VERSION"),
    ", a container registry that mirrors other registries\n\n",
    "The Distribution API is under /v2/; for example: docker pull <this host>/docker.io/library/nginx\n",
);

pub(super) async fn about() -> String {
    format!("{ABOUT}/healthz  /readyz  /metrics  /api/v1/openapi.json\n")
}

/// On the listener that is for pulls only.
pub(super) async fn about_pulls() -> String {
    format!("{ABOUT}/healthz  /readyz\n")
}

/// 200 while the process runs.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// 200 while store and database can be used; what remotes do does not matter.
pub(super) async fn ready(State(meta): State<Meta>) -> Response {
    match tokio::time::timeout(READY_TIMEOUT, meta.ping()).await {
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is not available\n",
        )
            .into_response(),
    }
}

pub(super) async fn metrics(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION_TYPE)], metrics.encode()).into_response()
}

pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "nothing is here\n").into_response()
}
