//! `GET /v2/` (distribution-spec, "Determining Support"): answered at once, no remote is asked.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, header};

use super::{Edge, error::ApiError};
use crate::access::Caller;

impl Edge {
    pub(super) fn base(&self, caller: &Caller, headers: &HeaderMap) -> Result<Response, ApiError> {
        // Who comes with a token has been at `/token`, and got one for nobody.
        let has_asked = headers
            .get(header::AUTHORIZATION)
            .is_some_and(|sent| sent.as_bytes().get(..7).is_some_and(is_bearer));
        if caller.is_anonymous() && !has_asked && self.challenges() {
            return Err(ApiError::unauthorized("log in to see all projects"));
        }
        let mut response = Response::new(Body::from("{}"));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Ok(response)
    }
}

fn is_bearer(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"bearer ")
}
