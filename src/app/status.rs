//! What people and their monitors ask of the process itself: `/`, `/healthz`, `/readyz`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::meta::Meta;

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

/// 200 while the database answers; what the disk and remotes do does not matter.
pub(super) async fn ready(State(meta): State<Meta>) -> Response {
    if meta.is_ready().await {
        return "ok\n".into_response();
    }
    let text = "the database is not available\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "nothing is here\n").into_response()
}
