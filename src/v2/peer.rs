//! `GET /peer/<member>/…`: what other replicas have from this one (`cluster/peers.rs` says how they ask). Nobody else is
//! told anything.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;

use crate::{
    cluster::{Cluster, peers::TOTAL},
    oci::{Digest, Name, media_type::OCTET_STREAM},
    transfer::{Content, Fills, Shared},
};

/// What this needs from the rest.
#[derive(Clone)]
pub struct PeerParts {
    pub cluster: Cluster,
    pub fills: Fills,
}

/// What is wanted.
#[derive(Deserialize)]
struct Wanted {
    from: u64,
    #[serde(rename = "for")]
    repository: Option<String>,
}

/// The routes for other replicas.
pub fn peer_router(parts: PeerParts) -> Router {
    Router::new()
        .route("/peer/{member}/{kind}/{digest}", get(answer))
        .with_state(Arc::new(parts))
}

async fn answer(
    State(parts): State<Arc<PeerParts>>,
    Path((member, kind, digest)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let uri = request.uri();
    let asked = uri.path_and_query().map_or("", |asked| asked.as_str());
    if parts.cluster.verify(asked, request.headers()).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    if member != parts.cluster.me().as_str() {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    let parsed = parse(uri, &digest);
    let Some((digest, from, repository)) = parsed else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let fills = &parts.fills;
    let shared = match kind.as_str() {
        "fills" => fills.share(&digest, repository.as_ref()).await,
        "blobs" => fills.share_stored(&digest, repository.as_ref()).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match shared {
        Ok(Shared::Content(content)) => send(&content, from),
        Ok(Shared::NeedsRight) => StatusCode::CONFLICT.into_response(),
        Ok(Shared::Nothing) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::warn!(%digest, %error, "cannot share a blob with another replica: {error}");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn parse(uri: &Uri, digest: &str) -> Option<(Digest, u64, Option<Name>)> {
    let Query(wanted) = Query::<Wanted>::try_from_uri(uri).ok()?;
    let repository = wanted.repository.map(|name| name.parse()).transpose();
    Some((digest.parse().ok()?, wanted.from, repository.ok()?))
}

fn send(content: &Content, from: u64) -> Response {
    let total = content.length();
    if total.is_some_and(|total| from > total) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let body = content.body(Some(from..total.unwrap_or(u64::MAX)));
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    let binary = HeaderValue::from_static(OCTET_STREAM);
    headers.insert(header::CONTENT_TYPE, binary);
    if let Some(total) = total {
        headers.insert(TOTAL, HeaderValue::from(total));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(total - from));
    }
    response
}
