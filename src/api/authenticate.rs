//! Who may call: the system admin. Writes also need to come from where the caller is, and not from somebody else's page.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method};

use super::problem::Problem;
use crate::access::{Gate, Source};

/// Sent by browsers, which also send a login that they remember, whoever's page asks them to.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let source = request.extensions().get().copied();
    let source = source.unwrap_or(Source::UNKNOWN);
    match admit(&gate, request.method(), request.headers(), source).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    gate: &Gate,
    method: &Method,
    headers: &HeaderMap,
    source: Source,
) -> Result<(), Problem> {
    let caller = gate.identify(headers, source).await?;
    if caller.is_anonymous() {
        return Err(Problem::unauthorized("log in as `admin`"));
    }
    if !caller.is_admin() {
        return Err(Problem::forbidden("this takes an admin of the system"));
    }
    if !method.is_safe() && is_of_another_site(headers) {
        return Err(Problem::forbidden(
            "a page of another site may not change anything here",
        ));
    }
    Ok(())
}

fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}
