//! `GET /v2/` (distribution-spec, "Determining Support"): answered at once, no remote is asked.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};

use super::{Edge, error::ApiError};
use crate::access::Caller;

impl Edge {
    pub(super) fn base(&self, caller: &Caller) -> Result<Response, ApiError> {
        if caller.is_anonymous() && self.challenges() {
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
