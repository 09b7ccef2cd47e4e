//! Who may call: the system admin. Writes also need to come from where the caller is, and not from somebody else's page.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method, header};

use super::problem::Problem;
use crate::access::{Caller, Gate};

/// Sent by browsers, which also send a login that they remember, whoever's page asks them to.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    match admit(&gate, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admit(gate: &Gate, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let authorization = headers.get(header::AUTHORIZATION);
    let caller = gate
        .identify(authorization.map(http::HeaderValue::as_bytes))
        .map_err(|bad| Problem::unauthorized(bad.to_string()))?;
    match caller {
        Caller::Anonymous => Err(Problem::unauthorized("log in as `admin`")),
        Caller::Admin if !method.is_safe() && is_of_another_site(headers) => Err(
            Problem::forbidden("a page of another site may not change anything here"),
        ),
        Caller::Admin => Ok(()),
    }
}

fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}
