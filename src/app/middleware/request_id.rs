//! Each request has an id, its client's or a new one: in the log, and in `X-Request-Id` of the answer.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one is not an id.
const MAX_BYTES: usize = 128;

/// The id, for layers further in.
#[derive(Clone)]
pub(in crate::app) struct RequestId(pub(in crate::app) HeaderValue);

pub(in crate::app) async fn assign_request_id(mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(X_REQUEST_ID)
        .filter(|id| (1..=MAX_BYTES).contains(&id.len()) && id.to_str().is_ok())
        .cloned()
        .unwrap_or_else(fresh);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

fn fresh() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).expect("hexadecimal and hyphens are visible ASCII")
}
